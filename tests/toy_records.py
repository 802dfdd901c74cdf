"""Records made by hand: eight images of test, five of train-fullsup, twenty thresholds."""

import json
from dataclasses import replace

import numpy as np

from wsolbench.contract.choices import iou_key
from wsolbench.protocol import FRAME, IOU_THRESHOLDS, MODES, cam_threshold_grid, object_sizes
from wsolbench.protocol.uncertainty import CorrectRuns
from wsolbench.records import (
    BackboneInfo,
    DatasetInfo,
    Environment,
    MethodInfo,
    Metrics,
    Preprocessing,
    ProtocolInfo,
    SplitOutcomes,
    WeightsInfo,
    compute_intervals,
    content_sha256,
    new_record,
)
from wsolbench.records.missing import FULLSUP_IS_EVALUATED, FULLSUP_WITHOUT_BOXES, NO_FULLSUP_MAPS, explain_missing
from wsolbench.records.outcomes import recompute_pxap, recompute_scores
from wsolbench.records.plain import sealed
from wsolbench.records.record import LATER_METRICS

TEST, FULLSUP, GRID = 8, 5, 20
PROTOCOL = ProtocolInfo(split="test", target=None, threshold_step=1 / GRID, frame=224, iou_thresholds=IOU_THRESHOLDS)
ENVIRONMENT = Environment(
    **{"wsolbench": "0", "git_revision": None, "plugins": {}, "packages": {}, "platform": "", "device": "cpu"},
    **{"seed": None, "batch_size": None, "command": "wsolbench evaluate", "created": ""},
)
PRECOMPUTED = MethodInfo(name="precomputed", provider=None, options={}, changed_options={}, reads_network=True)


def make_runs(flat, thresholds=GRID):
    """Return runs from a list of start, stop, start, stop ... an image."""
    return CorrectRuns.from_flat(flat, thresholds)


def make_outcomes(split="test", count=TEST, shift=0, **changes):
    """Image i is correct at four of twenty thresholds, from i + shift on; every second one is classified."""
    runs = make_runs([[index + shift, index + shift + 4] for index in range(count)])
    made = SplitOutcomes(
        split=split,
        image_ids=tuple(f"{split}/{index}" for index in range(count)),
        correct={mode: dict.fromkeys(IOU_THRESHOLDS, runs) for mode in MODES},
        hits={1: np.arange(count) % 2 == 0},
        statistics={"share": np.where(np.arange(count) == 1, np.nan, np.arange(count) / 4)},
        nan_maps=1,
        constant_maps=2,
        annotations_sha256="c" * 64,
        images_sha256=None,
    )
    return replace(made, **changes)


def with_values(outcomes):
    """Return outcomes with labels, sizes of objects and a number of every image for every metric that is their mean."""
    counts = [len(part.image_ids) for part in outcomes]
    scored, *fullsup = [
        replace(part, labels=np.arange(count) % 3, sizes=np.linspace(0.05, 0.95, count).round(6))
        for part, count in zip(outcomes, counts, strict=True)
    ]
    count = len(scored.image_ids)
    choosing = {"mean_iou": scored, **({"fullsup_mean_iou": fullsup[0]} if fullsup else {})}
    values = {
        "pointing_game": np.arange(count) % 3 / 2 > 0,
        "pointing_game_exact": np.arange(count) % 3 / 2 == 1,
        "energy_pointing_game": np.linspace(0, 1, count).round(6),
    }
    for name, part in choosing.items():
        best = part.box_acc("single", 0.5).argmax()
        values[name] = 0.1 + 0.2 * sum(scored.correct["single"][iou].at(best).astype(int) for iou in IOU_THRESHOLDS)
    floats = {name: np.round(np.asarray(of_images, dtype=float), 6) for name, of_images in values.items()}
    return [replace(scored, values=floats), *(replace(part, values={}) for part in fullsup)]


def with_boxes(outcomes):
    """Return outcomes with boxes too: objects 100 pixels wide, and predicted boxes of their height, as wide as correct.

    Object i is 20 · (i + 1) pixels high; every second image has another, smaller object.
    """
    scored, *fullsup = with_values(outcomes)
    ious = scored.values["fullsup_mean_iou" if fullsup else "mean_iou"]
    rows = enumerate(np.rint(100 * ious).astype(int).tolist())
    predicted = np.array([[20, 30, 20 + width - 1, 30 + 20 * (i + 1) - 1] for i, width in rows])
    objects = [[[20, 30, 119, 30 + 20 * (i + 1) - 1], [200, 200, 219, 219]] for i in range(len(predicted))]
    true = tuple(np.array(both[: 1 + i % 2]) for i, both in enumerate(objects))
    sizes = object_sizes(true, [(FRAME, FRAME)] * len(true)).round(6)
    return [replace(scored, sizes=sizes, true_boxes=true, predicted_boxes=predicted), *fullsup]


def make_record(shift=0, *, test=None, fullsup="default", protocol=PROTOCOL, **changes):
    """Return a record whose metrics and intervals follow from its outcomes."""
    fullsup = make_outcomes("train-fullsup", FULLSUP) if fullsup == "default" else fullsup
    outcomes = [part for part in (test or make_outcomes(shift=shift), fullsup) if part is not None]
    metrics = make_metrics(outcomes, protocol)
    parts = {
        "metrics": metrics,
        "missing": make_missing(changes.get("metrics", metrics), outcomes, protocol),
        "intervals": compute_intervals(outcomes, protocol),
        "dataset": DatasetInfo(
            **{"name": "birds", "version": "1", "num_classes": 3, "limit": None},
            content_sha256=content_sha256((part.split, part.annotations_sha256) for part in outcomes),
            split_sizes={part.split: len(part.image_ids) for part in outcomes},
        ),
        "backbone": None,
        "method": PRECOMPUTED,
        "protocol": protocol,
        "environment": ENVIRONMENT,
        "seconds": {},
    }
    return new_record(outcomes=outcomes, **{**parts, **changes})


def remade(record, outcomes, **changes):
    """Return a record of other outcomes, with the changes to its scores that these make."""
    kept = {
        name: getattr(record, name) for name in type(record).model_fields if name not in ("splits", "outcomes_sha256")
    }
    content = content_sha256((part.split, part.annotations_sha256) for part in outcomes)
    sizes = {part.split: len(part.image_ids) for part in outcomes}
    kept["dataset"] = kept["dataset"].model_copy(update={"content_sha256": content, "split_sizes": sizes})
    return new_record(outcomes=outcomes, **{**kept, **changes})


def make_metrics(outcomes, protocol=PROTOCOL, **others):
    """Return the metrics that follow from outcomes."""
    values = {**dict.fromkeys(Metrics.model_fields), **others}
    for name, value in recompute_scores(outcomes, protocol).items():
        field, _, key = name.partition(".")
        values[field] = {**(values[field] or {}), key: value} if key else value
    scored, *fullsup = outcomes
    if values["fullsup_box_acc"] is not None:
        grid = cam_threshold_grid(protocol.threshold_step)
        values["fullsup_cam_threshold_single"] = grid[fullsup[0].box_acc("single", 0.5).argmax()]
        best = {iou_key(iou): grid[fullsup[0].box_acc("multi", iou).argmax()] for iou in IOU_THRESHOLDS}
        values["fullsup_cam_threshold"] = best
    if scored.histograms is not None:
        values["pxap"] = recompute_pxap(scored.histograms)
    return Metrics(**values)


def make_missing(metrics, outcomes, protocol=PROTOCOL):
    """Return why metrics are null."""
    scored, *fullsup = outcomes
    why = FULLSUP_IS_EVALUATED if protocol.split == "train-fullsup" else NO_FULLSUP_MAPS
    if fullsup:
        why = None if fullsup[0].correct is not None else FULLSUP_WITHOUT_BOXES
    return explain_missing(
        [name for name, value in metrics if value is None],
        later=LATER_METRICS if scored.values is None else (),
        has_boxes=scored.correct is not None,
        hits=scored.hits,
        target=protocol.target,
        no_threshold=why,
    )


def write_sealed(path, content):
    """Write the content of a record, perhaps changed, under its own hash."""
    path.write_text(json.dumps(sealed(content)), encoding="utf-8")
    return path


def as_version2(record):
    """Return the summary of a record as version 2 had it in JSON: without a hash of its own."""
    content = json.loads(record.to_json())
    for name in ("summary_sha256", "migrated_from"):
        del content[name]
    for name in ("options", "classes", "class_rows") if content["backbone"] else ():
        del content["backbone"][name]
    for name in LATER_METRICS:
        del content["metrics"][name]
        content["missing"].pop(name, None)
    return content | {"schema_version": 2}


def as_version1(record):
    """Return a record as version 1 had it in JSON: one object, with curves and all outcomes."""
    content = as_version2(record)
    for name in ("splits", "outcomes_sha256", "config"):
        del content[name]
    for name in ("omitted", "remarks"):
        del content["dataset"][name]
    for name in ("key", "notes") if content["backbone"] else ():
        del content["backbone"]["weights"][name]
    content["schema_version"] = 1
    content["protocol"]["interval"] = content["protocol"].pop("threshold_step")
    content["outcomes"] = [_part_as_version1(part) for part in record.outcomes]
    return content


def _part_as_version1(part):
    def by_curve(make):
        return part.correct and {mode: {iou_key(iou): make(mode, iou) for iou in IOU_THRESHOLDS} for mode in MODES}

    def flat(mode, iou):
        runs = part.correct[mode][iou]
        edges = np.stack([runs.start, runs.stop], axis=1)
        return [edges[runs.image == index].ravel().tolist() for index in range(runs.num_images)]

    return {
        "split": part.split,
        "image_ids": list(part.image_ids),
        "correct": by_curve(flat),
        "box_acc": by_curve(lambda mode, iou: part.box_acc(mode, iou).tolist()),
        **{f"top{k}_hits": part.hits[k].tolist() if k in part.hits else None for k in (1, 5)},
        "nan_maps": part.nan_maps,
        "constant_maps": part.constant_maps,
        "annotations_sha256": part.annotations_sha256,
        "images_sha256": part.images_sha256,
        "statistics": {
            name: [value if np.isfinite(value) else None for value in values.tolist()]
            for name, values in part.statistics.items()
        }
        or None,
    }


def make_backbone(name="net", kernel=3, sha="a", size=64, options=None, source="file", parameters=1000):
    """Return what is stored of a network."""
    weights = WeightsInfo(source=source, file="w.pt", sha256=None if source == "random" else sha * 64)
    return BackboneInfo(
        **{"requested": name, "name": name, "family": name, "provider": "p 1", "reparameterized": False},
        **{"parameters": parameters, "largest_kernel": 31, "stage_kernel": kernel, "feature_shape": (4, 7, 7)},
        options=options or {},
        weights=weights,
        preprocessing=Preprocessing(size=size, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear"),
    )
