"""Why a metric is null: a closed set of reasons, which follow from what was scored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract.choices import Target
from wsolbench.contract.methods import NOT_DEFINED

__all__ = [
    "FULLSUP_IS_EVALUATED",
    "FULLSUP_WITHOUT_BOXES",
    "NO_FULLSUP",
    "NO_FULLSUP_MAPS",
    "NO_FULLSUP_MAPS_GIVEN",
    "OLDER_RECORD",
    "explain_missing",
    "reasons_without_fullsup",
    "why_undefined",
]

FULLSUP_IS_EVALUATED = "train-fullsup itself is evaluated, and a threshold chosen on it would be its oracle"
FULLSUP_WITHOUT_BOXES = "train-fullsup has no boxes"
NO_FULLSUP = "the data set has no train-fullsup split"
NO_FULLSUP_MAPS = "no scoremaps of train-fullsup were given (--fullsup-scoremaps)"
NO_FULLSUP_MAPS_GIVEN = "no maps of train-fullsup were given (fullsup)"
NO_BOXES = "the data set has no boxes"
NO_CLASSIFIER = "no classifier ran"
HEADLESS = "the weights have no classifier"
FEWER_THAN_FIVE = "fewer than five classes an image were predicted"
NO_MASKS = "the data set has no masks"
BOXES_HAVE_NO_MAP = "boxes were predicted, not maps"
BOXES_HAVE_NO_THRESHOLD = "boxes have no τ"
OLDER_RECORD = "the record is older than this metric"
OTHER_CLASS = "maps of the predicted class"
BOXES_OF_OTHER_CLASS = "boxes of the predicted class"
UNKNOWN_CLASS = "the files do not say for which class"


def why_undefined(statistics: Sequence[Mapping[str, NDArray[np.float64]]]) -> str | None:
    """Return why a method has no map of any image, or None where it has one; see `wsolbench.contract.Maps`.

    Args:
        statistics: Name -> one number a map, for every split, the evaluated one first.
    """

    def reason(of_split: Mapping[str, NDArray[np.float64]]) -> str | None:
        names = (name for name in of_split if name.startswith(NOT_DEFINED))
        return next((name for name in names if (of_split[name] == 1).all()), None)

    reasons = [reason(of_split) for of_split in statistics]
    return None if None in reasons else reasons[0]


def explain_missing(
    null: Collection[str],
    *,
    undefined: str | None = None,
    later: Collection[str] = (),
    of_maps: bool = True,
    headless: bool = False,
    has_boxes: bool,
    hits: Collection[int],
    target: Target | None,
    no_threshold: str | None,
) -> dict[str, str]:
    """Return the reason for every metric that is null; where several hold, the first of them.

    Args:
        null: The names of the metrics.
        undefined: Why the method has no map of any image; None where it has one.
        later: Metrics that are younger than the record.
        of_maps: Whether maps were scored; otherwise boxes were.
        headless: Whether a network without a classifier ran.
        has_boxes: Whether the evaluated split has boxes.
        hits: The k for which it is known whether an image's class is among the k best predictions.
        target: Whose maps they are; None where nobody knows.
        no_threshold: Why no τ comes from train-fullsup; None where it does.
    """
    of_boxes = ("box_acc", "cam_threshold", "_loc", "mean_iou")
    box_metrics = [name for name in null if any(part in name for part in of_boxes)]
    pointing = [name for name in null if "pointing_game" in name]
    top_k = [name for name in null if name.startswith("top")]
    reasons: Sequence[tuple[bool, str, Collection[str]]] = (
        (True, OLDER_RECORD, later),
        (undefined is not None, undefined or "", (*box_metrics, *pointing, "pxap")),
        (not has_boxes, NO_BOXES, box_metrics),
        (not of_maps, BOXES_HAVE_NO_MAP, (*pointing, "pxap")),
        (not of_maps, BOXES_HAVE_NO_THRESHOLD, [name for name in null if "cam_threshold" in name]),
        (not hits, HEADLESS if headless else NO_CLASSIFIER, top_k),
        (5 not in hits, FEWER_THAN_FIVE, [name for name in top_k if name.startswith("top5")]),
        (no_threshold is not None, no_threshold or "", box_metrics),
        (not of_maps, BOXES_OF_OTHER_CLASS, ("gt_known_loc",)),
        (True, OTHER_CLASS if target else UNKNOWN_CLASS, ("gt_known_loc",)),
        (True, NO_MASKS, ("pxap",)),
    )
    missing: dict[str, str] = {}
    for holds, reason, names in reasons:
        missing.update({name: reason for name in names if holds and name in null and name not in missing})
    return missing


def reasons_without_fullsup(missing: Mapping[str, str], *, is_evaluated: bool) -> Collection[str]:
    """Return the reasons that a record may give where no τ comes from train-fullsup, because it is not there.

    Args:
        missing: The reasons that it gives.
        is_evaluated: Whether train-fullsup is the split that is evaluated.
    """
    if is_evaluated:
        return (FULLSUP_IS_EVALUATED,)
    return [reason for reason in (NO_FULLSUP, NO_FULLSUP_MAPS, NO_FULLSUP_MAPS_GIVEN) if reason in missing.values()]
