"""Result records, one or two compared, as tables for a person."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from wsolbench.records import IOU_KEYS, BackboneInfo, ResultRecord
from wsolbench.records.compare import Comparison, Difference, Exchange

METHODS_ABREAST = 4
"""More make lines longer than a terminal."""
LABELS = {
    "max_box_acc": "MaxBoxAcc, oracle τ",
    "fullsup_box_acc": "MaxBoxAcc, fullsup τ",
    "max_box_acc_v2": "MaxBoxAccV2, oracle τ",
    "fullsup_box_acc_v2": "MaxBoxAccV2, fullsup τ",
    **{f"max_box_acc_by_iou.{key}": f"V2 at IoU {key}, oracle τ" for key in IOU_KEYS},
    **{f"fullsup_box_acc_by_iou.{key}": f"V2 at IoU {key}, fullsup τ" for key in IOU_KEYS},
    "gt_known_loc": "GT-known Loc",
    "top1_loc": "Top-1 Loc",
    "top5_loc": "Top-5 Loc",
    "top1_acc": "top-1",
    "top5_acc": "top-5",
    "pxap": "PxAP",
}


def results_table(records: Sequence[ResultRecord]) -> str:
    """Return a heading, tables with a line a metric and two columns a method, and the reasons for what is missing."""
    parts = [records[start : start + METHODS_ABREAST] for start in range(0, len(records), METHODS_ABREAST)]
    return "\n".join([_heading(records[0]), *("\n" + _metrics_table(part) for part in parts), *_reasons(records)])


def _metrics_table(records: Sequence[ResultRecord]) -> str:
    names = [record.method.name for record in records]
    headers = ["", *(f"{name}\n{column}" for name in names for column in ("oracle τ", "fullsup τ"))]
    columns = [_columns(record) for record in records]
    rows = [
        [label, *(cell for column in columns for cell in column[label])]
        for label in columns[0]
        if any(cell != "" for column in columns for cell in column[label])
    ]
    return tabulate(rows, headers=headers, disable_numparse=True, stralign="right", colalign=("left",))


def comparison_table(comparison: Comparison) -> str:
    """Return what is compared, a line a metric, and how many images only one of the two localizes."""
    records = {"first": comparison.first, "second": comparison.second}
    found = {label: comparison.differences[name] for name, label in LABELS.items() if name in comparison.differences}
    rows = [
        [label, f"{of.first:.2f}", f"{of.second:.2f}", f"{of.difference:+.2f}", _ends(of)]
        for label, of in found.items()
    ]
    headers = ["", *records, "difference", "95 % interval"]
    return "\n".join(
        [
            _images(comparison.first),
            *(f"{word:6}  {_made_by(record)}" for word, record in records.items()),
            "all values in percent; difference: second - first; intervals: resamples of the same images",
            "",
            tabulate(rows, headers, disable_numparse=True, stralign="right", colalign=("left",)),
            *(["", *comparison.notes] if comparison.notes else []),
            *(["", *_exchanged(comparison.exchange)] if comparison.exchange else []),
        ]
    )


def _ends(difference: Difference) -> str:
    return "" if difference.low is None else f"{difference.low:+.2f} to {difference.high:+.2f}"


def _exchanged(exchange: Exchange) -> list[str]:
    """Return how many images were won and lost, and at which τ they were judged."""
    first, second = exchange.first, exchange.second
    return [
        f"images that only second localizes (won): {len(exchange.won)}; only first (lost): {len(exchange.lost)}",
        f"largest contour, IoU 0.5, {first.selection} τ: first {first.threshold:g}, second {second.threshold:g}",
    ]


def _made_by(record: ResultRecord) -> str:
    if record.backbone is None:
        return record.method.name
    changed = "".join(f", {name}={value}" for name, value in record.method.changed_options.items())
    return f"{record.backbone.name}, {_weights(record.backbone)}, {record.method.name}{changed}"


def _columns(record: ResultRecord) -> dict[str, tuple[str, str]]:
    """Return, for every line of the table, its cell at the oracle τ and its cell at the fullsup τ."""
    metrics = record.metrics
    oracle, fullsup = metrics.max_box_acc_by_iou, metrics.fullsup_box_acc_by_iou
    threshold = metrics.fullsup_cam_threshold_single
    return {
        "MaxBoxAcc": (_percent(metrics.max_box_acc), _percent(metrics.fullsup_box_acc)),
        "MaxBoxAcc, 95 %": (_interval(record, "max_box_acc"), _interval(record, "fullsup_box_acc")),
        "MaxBoxAccV2": (_percent(metrics.max_box_acc_v2), _percent(metrics.fullsup_box_acc_v2)),
        "MaxBoxAccV2, 95 %": (_interval(record, "max_box_acc_v2"), _interval(record, "fullsup_box_acc_v2")),
        **{
            f"V2 at IoU {key}": (_percent(oracle[key] if oracle else None), _percent(fullsup[key] if fullsup else None))
            for key in IOU_KEYS
        },
        "GT-known Loc": ("", _percent(metrics.gt_known_loc)),
        "Top-1 Loc": ("", _percent(metrics.top1_loc)),
        "Top-5 Loc": ("", _percent(metrics.top5_loc)),
        "PxAP": (_percent(metrics.pxap), ""),
        "τ of MaxBoxAcc": ("", "" if threshold is None else f"{threshold:g}"),
    }


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _interval(record: ResultRecord, metric: str) -> str:
    ends = record.intervals.metrics.get(metric) if record.intervals else None
    return "" if ends is None else f"{ends[0]:.1f}–{ends[1]:.1f}"


def _images(record: ResultRecord) -> str:
    sizes, split = record.dataset.split_sizes, record.protocol.split
    told = f"{record.dataset.name}, {split}: {sizes[split]} images"
    if split == "test" and "train-fullsup" in sizes:
        told += f"; τ chosen on {sizes['train-fullsup']} images of train-fullsup"
    return told


def _weights(backbone: BackboneInfo) -> str:
    weights = backbone.weights
    told = f"weights {weights.file}" if weights.source in ("file", "pretrained") else f"{weights.source} weights"
    if weights.source == "file" and weights.training is not None:  # files of several seeds have one name
        told += f" ({weights.training.recipe}, seed {weights.training.seed})"
    return told if backbone.precision == "fp32" else f"{told} in {backbone.precision}"


def _heading(record: ResultRecord) -> str:
    lines = [_images(record)]
    if record.backbone is not None:
        parameters = record.backbone.parameters / 1e6
        lines.append(f"{record.backbone.name}, {_weights(record.backbone)}, {parameters:.2f} M parameters")
        if record.metrics.top1_acc is not None and record.metrics.top5_acc is not None:
            lines[-1] += f"; top-1 {record.metrics.top1_acc:.1f}, top-5 {record.metrics.top5_acc:.1f}"
        if record.protocol.target == "predicted":
            lines.append("maps of the predicted class, not the true one")
    lines.append("all values in percent, except τ")
    if record.intervals is not None and "max_box_acc" in record.intervals.metrics:
        lines.append("95 %: bootstrap over images, τ chosen anew in each resample; oracle values are biased upwards")
    return "\n".join(lines)


def _reasons(records: Sequence[ResultRecord]) -> list[str]:
    """Return a line for every reason why something is missing, with the names of the metrics as the table has them."""
    labels = {
        "max_box_acc": "MaxBoxAcc, MaxBoxAccV2",
        "fullsup_box_acc": "value at the fullsup τ",
        "gt_known_loc": "GT-known Loc",
        "top1_loc": "Top-1 Loc, Top-5 Loc",
        "pxap": "PxAP",
    }
    missing = records[0].missing
    by_reason: dict[str, list[str]] = {}
    for name, label in labels.items():
        if name in missing:
            by_reason.setdefault(missing[name], []).append(label)
    return [f"no {', '.join(named)}: {reason}" for reason, named in by_reason.items()]
