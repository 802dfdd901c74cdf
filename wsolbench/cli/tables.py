"""Result records as a table for a person."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from wsolbench.records import IOU_KEYS, Metrics, ResultRecord


def results_table(records: Sequence[ResultRecord]) -> str:
    """Return a heading, a table with a line a metric and two columns a method, and the reasons for what is missing."""
    names = [record.method.name for record in records]
    headers = ["", *(f"{name}\n{column}" for name in names for column in ("oracle τ", "fullsup τ"))]
    columns = [_columns(record.metrics) for record in records]
    rows = [
        [label, *(cell for column in columns for cell in column[label])]
        for label in columns[0]
        if any(cell != "" for column in columns for cell in column[label])
    ]
    table = tabulate(rows, headers=headers, disable_numparse=True, stralign="right", colalign=("left",))
    return "\n".join([_heading(records[0]), "", table, *_reasons(records)])


def _columns(metrics: Metrics) -> dict[str, tuple[str, str]]:
    """Return, for every line of the table, its cell at the oracle τ and its cell at the fullsup τ."""
    oracle, fullsup = metrics.max_box_acc_by_iou, metrics.fullsup_box_acc_by_iou
    threshold = metrics.fullsup_cam_threshold_single
    return {
        "MaxBoxAcc": (_percent(metrics.max_box_acc), _percent(metrics.fullsup_box_acc)),
        "MaxBoxAccV2": (_percent(metrics.max_box_acc_v2), _percent(metrics.fullsup_box_acc_v2)),
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


def _heading(record: ResultRecord) -> str:
    sizes = record.dataset.split_sizes
    split = record.protocol.split
    lines = [f"{record.dataset.name}, {split}: {sizes[split]} images"]
    if split == "test" and "train-fullsup" in sizes:
        lines[0] += f"; τ chosen on {sizes['train-fullsup']} images of train-fullsup"
    if record.backbone is not None:
        weights = record.backbone.weights
        source = {"shipped": "shipped weights", "file": f"weights {weights.file}", "random": "random weights"}
        lines.append(
            f"{record.backbone.name}, {source[weights.source]}, {record.backbone.parameters / 1e6:.2f} M parameters"
        )
        if record.metrics.top1_acc is not None and record.metrics.top5_acc is not None:
            lines[-1] += f"; top-1 {record.metrics.top1_acc:.1f}, top-5 {record.metrics.top5_acc:.1f}"
        if record.protocol.target == "predicted":
            lines.append("maps of the predicted class, not the true one")
    return "\n".join(lines) + "\nall values in percent, except τ"


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
