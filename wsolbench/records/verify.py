"""Whether what a record says follows from its own per-image outcomes, and what nobody can verify."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract.choices import iou_key
from wsolbench.errors import DataError, WsolbenchError
from wsolbench.protocol import FRAME, IOU_THRESHOLDS, Mode, best_matches, cam_threshold_grid
from wsolbench.protocol.rules import OTSU, PSEUDO_BOXES, fixed_threshold
from wsolbench.protocol.uncertainty import KIND, LEVEL, RESAMPLES, SEED
from wsolbench.records.identity import content_sha256
from wsolbench.records.missing import FULLSUP_WITHOUT_BOXES, explain_missing, reasons_without_fullsup, why_undefined
from wsolbench.records.outcomes import (
    DECIMALS,
    SplitOutcomes,
    check_labels,
    check_outcomes,
    claimed_at_rules,
    claimed_scores,
    ends_of,
    recompute_pxap,
    scores_and_resamples,
    without_rules,
)
from wsolbench.records.plain import SEAL, parse, sealed
from wsolbench.records.record import LATER_METRICS, ResultRecord
from wsolbench.records.store import (
    ChangedError,
    describe_splits,
    outcomes_sha256,
    parse_record,
    read_file,
    refusing,
)

__all__ = [
    "CLAIMED",
    "MARKED",
    "Recomputed",
    "contradiction",
    "parse_recomputed",
    "parse_verified",
    "read_verified",
    "verified",
]

CLAIMED: Mapping[str, str] = {
    "dataset.name": "the name of the data set",
    "dataset.title": "the name of the folder of images, for people",
    "dataset.version": "the version of the data set",
    "dataset.num_classes": "the number of classes; checked: no label is beyond it",
    "dataset.limit": "the limit on images; checked: no split has more",
    "dataset.omitted": "how many images were left out",
    "dataset.remarks": "what was decided about image files; checked: on no more images than there are",
    "splits": "hashes of annotations and pixels, and how many maps had no score; checked: the outcomes say the same",
    "metrics.pxap": "PxAP of a record without numbers of pixels, as of versions 1 and 2; tables mark it with †",
    "backbone": "the network, its weights and their training, and the preprocessing",
    "classifier": "whose predicted classes are scored, where these are not the network's own",
    "method": "the method, its provider and its options; checked: changed options are among the options",
    "boxes_per_image": "how many boxes an image has on average; tables mark more than one with ¶",
    "protocol.target": "the class that maps are made for; checked: only maps of the true class have GT-known Loc",
    "config": "the settings of the job; checked: split, step of τ, target, limit, batch size, seed are the record's",
    "rescored_from": "the record whose maps were scored again",
    "migrated_from": "the schema version that it was measured with; checked: outcomes have what that version has",
    "environment": "versions, machine, command, seed and time",
    "seconds": "how long each phase took",
}
"""What a record says and its outcomes do not show; from version 3 on a hash covers it, which reveals accidents."""

MARKED = ("metrics.pxap", "migrated_from")
"""Those that only older records claim; tables mark them."""

_ROUNDING = 1e-9  # percent


class Recomputed:
    """The scores that follow from the outcomes of a record, and those of resamples of its images: each made once."""

    def __init__(self, record: ResultRecord) -> None:
        """Take a record, whose outcomes are read when they are needed."""
        self._record = record

    @property
    def scores(self) -> dict[str, float]:
        """Every metric that follows from the outcomes, in percent; see `recompute_scores`."""
        return self._found[0]

    @property
    def resampled(self) -> dict[str, NDArray[np.float64]]:
        """The same for resamples of the images, in the order in which the record has them, (resamples,)."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
        return scores_and_resamples(self._record.outcomes, self._record.protocol, self._record.thresholds)


def read_verified(path: Path) -> ResultRecord:
    """Read a record with its outcomes, and check that its numbers follow from them.

    Raises:
        DataError: The file is no record, its outcomes are missing or altered, or it contradicts itself.
    """
    return parse_verified(read_file(path), path)


def parse_verified(content: bytes, path: Path) -> ResultRecord:
    """Return the record that the content of a file is, verified; see `parse_recomputed`."""
    return parse_recomputed(content, path)[0]


def parse_recomputed(content: bytes, path: Path) -> tuple[ResultRecord, Recomputed]:
    """Return the record that the content of a file is, verified, and the scores that it was verified with.

    Args:
        content: What the file holds.
        path: The file; the outcomes may be beside it.

    Raises:
        DataError: It is no record, its outcomes are missing or altered, or it contradicts itself.
    """
    try:
        record = parse_record(content, path)
    except ChangedError:
        what = _what_was_changed(content, path)
        raise DataError(
            f"{path} was changed after it was written ({what}); put back the file that the run wrote, or run it again"
        ) from None
    recomputed = Recomputed(record)
    with refusing(path):
        problem = contradiction(record, recomputed)
    if problem is not None:
        raise DataError(f"{path}: {problem}")
    return record, recomputed


def _what_was_changed(content: bytes, path: Path) -> str:
    """Say which field of a summary is not as it was written or, where the outcomes do not show it, which may be."""
    summary = {name: value for name, value in parse(content).items() if name != SEAL}
    try:
        record = parse_record(json.dumps(sealed(summary)).encode(), path)
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    claimed = [name for name in CLAIMED if name not in MARKED or (name == "metrics.pxap" and record.pxap_is_claimed)]
    return contradiction(record) or f"in one of the fields that its outcomes do not show: {', '.join(claimed)}"


def verified(given: ResultRecord | Path) -> ResultRecord:
    """Return a record, or that of a file, whose numbers follow from its outcomes.

    Raises:
        DataError: They do not, or the file is no record.
    """
    if isinstance(given, Path):
        return read_verified(given)
    problem = contradiction(given)
    if problem is not None:
        raise DataError(f"{given!r}: {problem}")
    return given


def contradiction(record: ResultRecord, recomputed: Recomputed | None = None) -> str | None:
    """Say where a record's numbers do not follow from the outcomes of its images, or None where all do.

    Args:
        record: The record.
        recomputed: Its scores, which are kept there.
    """
    try:
        for problem in _contradictions(record, recomputed or Recomputed(record)):
            return problem
    except WsolbenchError as error:
        return str(error)
    return None


def _contradictions(record: ResultRecord, recomputed: Recomputed) -> Iterator[str]:
    """Yield what does not follow; each step may rely on those before it."""
    yield from _wrong_splits(record)
    yield from _wrong_scores(record, recomputed)
    yield from _wrong_thresholds(record)
    yield from _wrong_rules(record)
    yield from _wrong_values(record)
    yield from _wrong_boxes(record)
    yield from _wrong_pxap(record)
    yield from _wrong_reasons(record)
    yield from _wrong_intervals(record, recomputed)
    yield from _wrong_settings(record)


def _wrong_splits(record: ResultRecord) -> Iterator[str]:
    """Yield what the summary says of splits, and of the data set, and the outcomes do not."""
    outcomes = record.outcomes
    for part in outcomes:
        if part.frame != record.protocol.frame:
            yield f"protocol.frame is {record.protocol.frame}, but outcomes of {part.split} are of {part.frame} pixels"
        for by_iou in [*(part.correct or {}).values(), *(part.otsu.correct.values() if part.otsu else ())]:
            if tuple(by_iou) != record.protocol.iou_thresholds:
                yield f"outcomes of {part.split} are of δ {', '.join(map(str, by_iou))}"
        check_outcomes(part)
        check_labels(part, record.dataset.num_classes, classified=record.is_classified)
    if len(record.splits) != len(outcomes):
        yield f"it names {len(record.splits)} splits, and there are outcomes of {len(outcomes)}"
    for info, expected in zip(record.splits, describe_splits(outcomes), strict=True):
        if info != expected:
            yield f"splits and outcomes of {info.split} disagree"
    if record.migrated_from is not None and any(
        part.histograms or any(each is not None for each in (part.values, part.true_boxes, part.class_names))
        for part in outcomes
    ):
        yield f"migrated_from is {record.migrated_from}, but outcomes of that version have no histograms, values, boxes"
    if outcomes_sha256(outcomes) != record.outcomes_sha256:
        yield "outcomes_sha256 is not the hash of its outcomes"
    bare = without_rules(outcomes)
    if record.maps_sha256 != (None if bare == list(outcomes) else outcomes_sha256(bare)):
        yield "maps_sha256 is not the hash of its outcomes without those at other τ"
    dataset = record.dataset
    if dataset.limit is not None and max(dataset.split_sizes.values()) > dataset.limit:
        yield f"limit is {dataset.limit}, but split_sizes are {dataset.split_sizes}"
    for split, remarks in dataset.remarks.items():
        if any(images > dataset.split_sizes.get(split, 0) for images in remarks.values()):
            yield f"remarks are on more images of {split} than there are"
    if dataset.content_sha256 != content_sha256((part.split, part.annotations_sha256) for part in bare):
        yield "dataset.content_sha256 is not the hash of its splits' annotations_sha256"


def _wrong_scores(record: ResultRecord, recomputed: Recomputed) -> Iterator[str]:
    found = recomputed.scores
    claimed = claimed_scores(record.metrics) | claimed_at_rules(record.thresholds)
    for name in sorted(found.keys() ^ claimed.keys()):
        yield f"{name} and its outcomes disagree"
    for name, value in found.items():
        if not abs(claimed[name] - value) <= _ROUNDING:  # so that NaN is noticed
            yield f"{name} is {claimed[name]}, but its outcomes give {value}"


def _fullsup(record: ResultRecord) -> SplitOutcomes | None:
    """Return train-fullsup where τ comes from it."""
    return next((part for part in record.outcomes[1:] if part.split == "train-fullsup"), None)


def _wrong_thresholds(record: ResultRecord) -> Iterator[str]:
    """Yield which τ is not the first one at which train-fullsup scores best; this also ties the grid to its step."""
    fullsup, metrics = _fullsup(record), record.metrics
    by_iou = metrics.fullsup_cam_threshold
    claimed: dict[str, tuple[float | None, Mode, float]] = {
        "fullsup_cam_threshold_single": (metrics.fullsup_cam_threshold_single, "single", 0.5),
        **{
            f"fullsup_cam_threshold.{iou}": (None if by_iou is None else by_iou[iou_key(iou)], "multi", iou)
            for iou in record.protocol.iou_thresholds
        },
    }
    grid = cam_threshold_grid(record.protocol.threshold_step)
    for name, (threshold, mode, iou) in claimed.items():
        if metrics.fullsup_box_acc is None or fullsup is None or fullsup.correct is None:
            if threshold is not None:
                yield f"{name} and its outcomes disagree"
            continue
        expected = float(grid[fullsup.box_acc(mode, iou).argmax()])
        if threshold is None or not abs(threshold - expected) <= _ROUNDING:
            yield f"{name} is {threshold}, but its outcomes give {expected}"


def _wrong_rules(record: ResultRecord) -> Iterator[str]:
    """Yield which outcomes are of a rule without scores, and which τ of a rule is another one than they give."""
    pseudo = next((part for part in record.outcomes if part.split == PSEUDO_BOXES), None)
    for rule, there in ((PSEUDO_BOXES, pseudo is not None), (OTSU, record.evaluated.otsu is not None)):
        if there and rule not in record.thresholds:
            yield f"it has outcomes of {rule}, and no scores at this τ"
    for rule, scores in record.thresholds.items():
        expected = {} if record.evaluated.correct is None else _thresholds_of(rule, record, pseudo)
        told: dict[str, float] = {str(key): value for key, value in (scores.cam_threshold or {}).items()}
        told |= {} if scores.cam_threshold_single is None else {"single": scores.cam_threshold_single}
        if expected.keys() != told.keys() or any(abs(expected[name] - told[name]) > _ROUNDING for name in told):
            yield f"τ of {rule} is {told}, but its outcomes give {expected}"


def _thresholds_of(rule: str, record: ResultRecord, pseudo: SplitOutcomes | None) -> dict[str, float]:
    """Return τ of the largest contour, and of all contours for each δ; of Otsu's method the mean."""
    scored, grid, of_all = record.evaluated, cam_threshold_grid(record.protocol.threshold_step), fixed_threshold(rule)
    deltas = record.protocol.iou_thresholds
    if rule == OTSU and scored.otsu is not None:
        return {"single": float(scored.otsu.thresholds.mean())}
    if of_all is not None:
        return dict.fromkeys(("single", *map(iou_key, deltas)), of_all)
    if pseudo is None or pseudo.correct is None:
        return {}
    chosen: dict[str, float] = {"single": float(grid[pseudo.box_acc("single", 0.5).argmax()])}
    return chosen | {iou_key(iou): float(grid[pseudo.box_acc("multi", iou).argmax()]) for iou in deltas}


def _wrong_values(record: ResultRecord) -> Iterator[str]:
    """Yield where the IoU of an image's box at a τ says another thing than whether the image is correct there."""
    scored, fullsup = record.evaluated, _fullsup(record)
    choosing = {"mean_iou": scored, "fullsup_mean_iou": fullsup}
    for name, part in choosing.items():
        ious = (scored.values or {}).get(name)
        if ious is None or scored.correct is None or part is None or part.correct is None:
            continue
        best = int(part.box_acc("single", 0.5).argmax())
        for iou in record.protocol.iou_thresholds:
            judged = record.protocol.is_usual | (ious != iou)  # one nearly as large as δ may be rounded to it
            wrong = np.flatnonzero(judged & ((ious >= iou) != scored.correct["single"][iou].at(best)))
            if wrong.size:
                yield f"{name} of '{scored.image_ids[wrong[0]]}' is {ious[wrong[0]]}, but its outcomes say otherwise"
    exact, near = ((scored.values or {}).get(name) for name in ("pointing_game_exact", "pointing_game"))
    if exact is not None and near is not None and (exact > near).any():
        yield "a maximum is on the object, but not near it"


def _wrong_boxes(record: ResultRecord) -> Iterator[str]:
    """Yield where a predicted box overlaps the true ones by another amount than the outcomes say at its τ."""
    scored, fullsup = record.evaluated, _fullsup(record)
    true, predicted = scored.true_boxes, scored.predicted_boxes
    if true is None or predicted is None:
        return
    if scored.correct is None:
        yield "it has boxes, and no outcomes of them"
        return
    name, choosing = "mean_iou", scored
    if fullsup is not None and fullsup.correct is not None:
        name, choosing = "fullsup_mean_iou", fullsup
    best, found = int(choosing.box_acc("single", 0.5).argmax()), best_matches(predicted, true).ious
    for iou in record.protocol.iou_thresholds:
        wrong = np.flatnonzero((found >= iou) != scored.correct["single"][iou].at(best))
        if wrong.size:
            image_id, value = scored.image_ids[wrong[0]], found[wrong[0]]
            yield f"the IoU of the box of '{image_id}' is {value:.6f}, but its outcomes say otherwise"
    claimed = (scored.values or {}).get(name)
    if claimed is not None and not np.allclose(claimed, found, rtol=0, atol=10.0**-DECIMALS):
        yield f"{name} of its images and the IoUs of their boxes disagree"


def _wrong_pxap(record: ResultRecord) -> Iterator[str]:
    """Yield where PxAP is not that of the histograms; without them it is a claim."""
    histograms, claimed = record.evaluated.histograms, record.metrics.pxap
    if histograms is None:
        return
    found = recompute_pxap(histograms)
    if claimed is None or not abs(claimed - found) <= _ROUNDING:
        yield f"pxap is {claimed}, but its outcomes give {found}"


def _wrong_reasons(record: ResultRecord) -> Iterator[str]:
    """Yield where a metric is null for another reason than the record gives."""
    fullsup, scored = _fullsup(record), record.evaluated
    is_evaluated = record.protocol.split == "train-fullsup"
    allowed: Collection[str | None]
    if record.protocol.scored == "boxes":
        allowed = (None,)
    elif fullsup is None:
        allowed = reasons_without_fullsup(record.missing, is_evaluated=is_evaluated)
    else:
        allowed = (None if fullsup.correct is not None else FULLSUP_WITHOUT_BOXES,)
    null = [name for name, value in record.metrics if value is None]
    expected: dict[str, str] = {}
    headless = record.backbone is not None and record.backbone.classes == 0
    for no_threshold in allowed or (None,):
        expected = explain_missing(
            null,
            undefined=why_undefined([part.statistics for part in record.outcomes]),
            later=LATER_METRICS if scored.values is None else (),
            has_boxes=scored.correct is not None,
            of_maps=record.protocol.scored == "maps",
            headless=headless,
            hits=scored.hits,
            target=record.protocol.target,
            no_threshold=no_threshold,
        )
        if expected == record.missing:
            return
    for name in sorted({*expected, *record.missing}):
        if expected.get(name) != record.missing.get(name):
            yield f"missing.{name} is {record.missing.get(name)!r}, but its outcomes give {expected.get(name)!r}"


def _wrong_intervals(record: ResultRecord, recomputed: Recomputed) -> Iterator[str]:
    """Yield which interval does not follow from the outcomes; the settings are those that tables name."""
    claimed = record.intervals
    if claimed is None:
        if claimed_scores(record.metrics) | claimed_at_rules(record.thresholds):
            yield "it has no intervals"
        return
    settings: dict[str, Any] = {"kind": KIND, "level": LEVEL, "resamples": RESAMPLES, "seed": SEED}
    for name, value in settings.items():
        if getattr(claimed, name) != value:
            yield f"intervals.{name} is {getattr(claimed, name)}, expected {value}"
    ends = ends_of(recomputed.scores, recomputed.resampled) if recomputed.scores else {}
    for name in sorted(ends.keys() ^ claimed.metrics.keys()):
        yield f"the interval of {name} and its outcomes disagree"
    for name, expected in ends.items():
        if not all(abs(one - other) <= _ROUNDING for one, other in zip(claimed.metrics[name], expected, strict=True)):
            yield f"the interval of {name} is {_told(claimed.metrics[name])}, but its outcomes give {_told(expected)}"


def _wrong_settings(record: ResultRecord) -> Iterator[str]:
    """Yield where two places of the summary say different things."""
    options = record.method.options
    for name, value in record.method.changed_options.items():
        if name not in options or options[name] != value:
            yield f"method.changed_options.{name} is {value!r}, but its options have {options.get(name)!r}"
    config, protocol, environment = record.config or {}, record.protocol, record.environment
    said = {
        "split": protocol.split,
        "threshold_step": protocol.threshold_step,
        "target": protocol.target,
        "frame": _as_setting(config.get("frame"), protocol.frame, FRAME),
        "iou_thresholds": _as_setting(
            config.get("iou_thresholds"), list(protocol.iou_thresholds), list(IOU_THRESHOLDS)
        ),
        "limit": record.dataset.limit,
        "batch_size": environment.batch_size,
        "seed": environment.seed,
    }
    for name, value in said.items():
        if name in config and config[name] != value:
            yield f"config.{name} is {config[name]!r}, but the record was measured with {value!r}"


def _as_setting(given: Any, measured: Any, usual: Any) -> Any:
    """Return what a setting should be: None may stand for the usual value."""
    return None if given is None and measured == usual else measured


def _told(ends: tuple[float, float]) -> str:
    return f"[{ends[0]}, {ends[1]}]"
