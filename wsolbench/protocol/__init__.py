"""The evaluation protocol of weakly supervised object localization: arrays in, numbers out; no torch, no files."""

from wsolbench.protocol.boxes import box_iou, check_boxes, scale_boxes
from wsolbench.protocol.evaluators import (
    BoxEvaluator,
    BoxResult,
    MaskEvaluator,
    MaskResult,
    OtsuResult,
    ScoreHistograms,
)
from wsolbench.protocol.grid import DEFAULT_INTERVAL, FRAME, IOU_THRESHOLDS, MODES, Mode, cam_threshold_grid
from wsolbench.protocol.scoremaps import (
    RawMapKind,
    check_scoremap,
    classified_scoremap,
    classify_raw_map,
    scoremap_in_frame,
    to_scoremap,
)
from wsolbench.protocol.selection import (
    SelectedScores,
    ThresholdSelection,
    fix_threshold,
    score_at_otsu,
    select_on_fullsup,
    select_threshold,
    top_k_loc,
)
from wsolbench.protocol.sweep import IouCurves, best_iou_curves, boxes_at

__all__ = [
    "DEFAULT_INTERVAL",
    "FRAME",
    "IOU_THRESHOLDS",
    "MODES",
    "BoxEvaluator",
    "BoxResult",
    "IouCurves",
    "MaskEvaluator",
    "MaskResult",
    "Mode",
    "OtsuResult",
    "RawMapKind",
    "ScoreHistograms",
    "SelectedScores",
    "ThresholdSelection",
    "best_iou_curves",
    "box_iou",
    "boxes_at",
    "cam_threshold_grid",
    "check_boxes",
    "check_scoremap",
    "classified_scoremap",
    "classify_raw_map",
    "fix_threshold",
    "scale_boxes",
    "score_at_otsu",
    "scoremap_in_frame",
    "select_on_fullsup",
    "select_threshold",
    "to_scoremap",
    "top_k_loc",
]
