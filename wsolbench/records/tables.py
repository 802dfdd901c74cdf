"""Result records as tables: for a terminal, for a notebook, and as data frames."""

from __future__ import annotations

import html
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from wsolbench.contract.choices import iou_key
from wsolbench.contract.methods import NOT_DEFINED
from wsolbench.errors import UsageError
from wsolbench.escaping import markdown_text, visible
from wsolbench.protocol import (
    IOU_THRESHOLDS,
    MODES,
    OBJECT_SIZES,
    cam_threshold_grid,
    select_threshold,
    size_classes,
)
from wsolbench.protocol.rules import OTSU, PSEUDO_BOXES, fixed_threshold
from wsolbench.records import OF_METHOD, BackboneInfo, ResultRecord, ThresholdScores
from wsolbench.records.compare import Comparison, Difference, Discordant
from wsolbench.records.contrasts import Cell, Contrast, Contrasts
from wsolbench.records.marks import CLAIMED, explain_marks, marked, marks_of, network_marked
from wsolbench.records.outcomes import Localized
from wsolbench.texts import counted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "comparison_html",
    "comparison_table",
    "contrasts_markdown",
    "contrasts_table",
    "curves_frame",
    "metric_labels",
    "plot_curves",
    "records_frame",
    "results_html",
    "results_table",
    "terminal_width",
]

NO_WIDTH = "an interval of no width is no certainty: the images are too few or too alike to say more"
INTERVALS = ("max_box_acc", "fullsup_box_acc", "max_box_acc_v2", "fullsup_box_acc_v2")
"""The metrics whose intervals the table of a run has."""
_USUAL_METRICS = ("fullsup_box_acc_v2", "max_box_acc_v2")
"""What a table against a reference shows, the first that there is."""
WIDTH = 100
"""Characters of a line, where nobody says how many fit."""
_LABEL_WIDTH = 8
"""Characters of a metric's name in a heading, as long as its words are no longer."""
INTERVAL = ", 95 %"
"""What follows the name of a metric where a table shows its interval."""
FULLSUP = "fullsup τ"
"""What a table calls the τ that is chosen on train-fullsup."""


def metric_labels(v2: str = "MaxBoxAccV2", iou_thresholds: Iterable[float] = IOU_THRESHOLDS) -> dict[str, str]:
    """Return what tables call metrics.

    Args:
        v2: The name of the mean over δ.
        iou_thresholds: The δ.
    """
    keys = [iou_key(iou) for iou in iou_thresholds]
    return {
        "max_box_acc": "MaxBoxAcc, oracle τ",
        "fullsup_box_acc": "MaxBoxAcc, fullsup τ",
        "max_box_acc_v2": f"{v2}, oracle τ",
        "fullsup_box_acc_v2": f"{v2}, fullsup τ",
        **{f"max_box_acc_by_iou.{key}": f"V2 at IoU {key}, oracle τ" for key in keys},
        **{f"fullsup_box_acc_by_iou.{key}": f"V2 at IoU {key}, fullsup τ" for key in keys},
        "gt_known_loc": "GT-known Loc",
        "top1_loc": "Top-1 Loc",
        "top5_loc": "Top-5 Loc",
        "top1_acc": "top-1",
        "top5_acc": "top-5",
        "pxap": "PxAP",
    }


LABELS = metric_labels()
"""What tables call the metrics of the protocol."""
FURTHER_LABELS = {
    "mean_iou": "Mean IoU, oracle τ",
    "fullsup_mean_iou": "Mean IoU, fullsup τ",
    "box_acc_area": "Area under BoxAcc",
    "box_acc_area_v2": "Area under BoxAcc, V2",
    **{f"max_box_acc_by_size.{size}": f"MaxBoxAcc, object {size}, oracle τ" for size in OBJECT_SIZES},
    **{f"fullsup_box_acc_by_size.{size}": f"MaxBoxAcc, object {size}, fullsup τ" for size in OBJECT_SIZES},
    "pointing_game": "Pointing game, 15 px",
    "pointing_game_exact": "Pointing game, 0 px",
    "energy_pointing_game": "Energy pointing game",
}
"""Of the metrics that tables have on request; an object's size is the share of the frame that its box covers."""


def rule_label(rule: str) -> str:
    """Return what a table calls the τ of a rule."""
    fixed = fixed_threshold(rule)
    return {OTSU: "Otsu's τ", PSEUDO_BOXES: "τ of pseudo boxes"}.get(rule, rule) if fixed is None else f"τ {fixed:g}"


def _labels(record: ResultRecord, *, further: bool = False) -> dict[str, str]:
    """Return what tables call the metrics of a record, those at the τ of its rules too, in the order of their lines."""
    labels = metric_labels(record.protocol.v2, record.protocol.iou_thresholds)
    of_rules = {
        f"{rule}.{name.removeprefix('fullsup_')}": label.replace("fullsup τ", rule_label(rule))
        for rule in record.thresholds
        for name, label in labels.items()
        if name.startswith("fullsup_")
    }
    shown = labels | of_rules | (_further_labels(record) if further else {})
    return {name: label for name, label in shown.items() if name != "pxap"} | {"pxap": labels["pxap"]}


def _further_labels(record: ResultRecord) -> dict[str, str]:
    area = {} if record.protocol.is_usual else {"box_acc_area_v2": f"Area under BoxAcc, {record.protocol.v2}"}
    return FURTHER_LABELS | area


def results_table(
    records: Sequence[ResultRecord],
    advice: Mapping[str, str] | None = None,
    *,
    further: bool = False,
    width: int = WIDTH,
) -> str:
    """Return a heading, a table, and the reasons for what is missing.

    The table has a line a metric and a method's columns. Where that is too wide, it is turned: a line a method, and as
    many tables below each other as the metrics need.

    Args:
        records: What was measured, in one run.
        advice: Reason -> the end of its line, which says what to do.
        further: Whether the table has the metrics too that it has on request alone.
        width: Characters that fit into a line.
    """
    table = _metrics_table(records, further=further)
    if max(map(len, table.splitlines())) > width:
        table = _turned_table(records, width, further=further)
    below = [*_reasons(records, advice or {}), *_without_width(records)]
    return "\n".join([*map(visible, _heading(records)), "", table, *map(visible, below)])


def terminal_width() -> int:
    """Return how many characters fit into a line: of the terminal, of the variable ``COLUMNS``, or `WIDTH`."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def results_html(records: Sequence[ResultRecord]) -> str:
    """Return the same as HTML for a notebook, with all methods in one table."""
    if not records:
        return "<p>no records</p>"
    above = _paragraphs([*_heading(records), *_reasons(records, {}), *_without_width(records)])
    return f"<div>{above}{_metrics_table(records, 'html')}</div>"


def _metrics_table(records: Sequence[ResultRecord], form: str = "simple", *, further: bool = False) -> str:
    columns, cells = _cells_by_metric(records, further=further)
    headers = ["", *("\n".join(column) for column in columns)]
    rows = [[label, *row] for label, row in cells.items()]
    return str(tabulate(rows, headers, form, disable_numparse=True, stralign="right", colalign=("left",)))


def _turned_table(records: Sequence[ResultRecord], width: int, *, further: bool) -> str:
    """Return tables with a line a method, none wider than a line may be; those at the fullsup τ come first."""
    columns, cells = _cells_by_metric(records, further=further)
    selections = sorted(dict.fromkeys(selection for _, selection in columns), key=lambda each: each != FULLSUP)
    tables: list[str] = []
    for selection in selections:
        places = [place for place, column in enumerate(columns) if column[1] == selection]
        own = [columns[place][0] for place in places]
        scores = {label: [row[place] for place in places] for label, row in cells.items()}
        rest = {label: column for label, column in _with_intervals(scores).items() if any(column)}
        while rest:
            head = f"{', continued' if tables and tables[-1].startswith(selection) else ''}:"
            fitting = _fitting(own, rest, width)
            tables.append(f"{selection}{head}\n{_lines_of_methods(own, dict(fitting))}")
            rest = {label: column for label, column in rest.items() if label not in dict(fitting)}
    return "\n\n".join(tables)


def _with_intervals(scores: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return columns under headings of short lines, in which intervals stand behind their scores."""
    joined: dict[str, list[str]] = {}
    for label, column in scores.items():
        ends = scores.get(label + INTERVAL, [])
        if any(ends):
            label, column = (
                f"{label} [95 %]",
                [f"{score} [{end}]" if end else score for score, end in zip(column, ends, strict=True)],
            )
        if not label.endswith(INTERVAL):
            joined["\n".join(textwrap.wrap(label, _LABEL_WIDTH, break_long_words=False))] = column
    return joined


def _fitting(names: Sequence[str], scores: Mapping[str, list[str]], width: int) -> list[tuple[str, list[str]]]:
    """Return the first columns, as many as fit into a line, and at least one."""
    found = list(scores.items())
    while len(found) > 1 and max(map(len, _lines_of_methods(names, dict(found)).splitlines())) > width:
        found.pop()
    return found


def _lines_of_methods(names: Sequence[str], scores: Mapping[str, list[str]]) -> str:
    rows = list(map(list, zip(names, *scores.values(), strict=True)))
    return str(tabulate(rows, ["", *scores], disable_numparse=True, stralign="right", colalign=("left",)))


def _cells_by_metric(
    records: Sequence[ResultRecord], *, further: bool
) -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """Return the columns, each a method and a τ, and for every metric that one of them has its cells in their order."""
    names = [network_marked(visible(record.method.name), marks_of([record])) for record in records]
    columns = [_columns(record, further=further) for record in records]
    of_maps = [column for column, record in zip(columns, records, strict=True) if record.protocol.scored == "maps"]
    has_fullsup = any(fullsup for column in of_maps for _, fullsup, *_ in column.values())
    shown = [_shown_thresholds(record, has_fullsup=has_fullsup) for record in records]
    named = [(name, threshold) for name, of_one in zip(names, shown, strict=True) for threshold in of_one.values()]
    cells = {
        label: [
            column[label][place] if label in column else ""
            for column, labels in zip(columns, shown, strict=True)
            for place in labels
        ]
        for label in dict.fromkeys(label for column in columns for label in column)
    }
    return named, {label: row for label, row in cells.items() if any(row)}


def _shown_thresholds(record: ResultRecord, *, has_fullsup: bool) -> dict[int, str]:
    """Return which cells of a method a table shows: their place -> the τ."""
    if record.protocol.scored == "boxes":  # their cells at the fullsup τ are those at every τ
        count = record.boxes_per_image or 0
        return {1: f"boxes, no τ; {count:.1f} boxes an image" if count > 1 else "boxes, no τ"}
    rules = {place: rule_label(rule) for place, rule in enumerate(record.thresholds, start=2)}
    return {0: "oracle τ", **({1: FULLSUP} if has_fullsup else {}), **rules}


def comparison_table(comparison: Comparison, *, further: bool = False) -> str:
    """Return what is compared, a line a metric, and how many images only one of the two localizes.

    Args:
        comparison: The comparison.
        further: Whether the table has the metrics too that it has on request alone.
    """
    return "\n".join(
        [
            *map(visible, _compared(comparison)),
            "",
            _differences_table(comparison, further=further),
            *(["", *map(visible, notes)] if (notes := _notes(comparison)) else []),
            *(["", *_discordant(comparison.discordant)] if comparison.discordant else []),
        ]
    )


def comparison_html(comparison: Comparison) -> str:
    """Return the same as HTML for a notebook."""
    notes = [*_notes(comparison), *(_discordant(comparison.discordant) if comparison.discordant else [])]
    above, below = _paragraphs(_compared(comparison)), _paragraphs(notes)
    return f"<div>{above}{_differences_table(comparison, 'html')}{below}</div>"


def contrasts_table(contrasts: Contrasts, metric: str | None) -> str:
    """Return what is compared, and a line for every network and method with its difference to the reference.

    Args:
        contrasts: The records.
        metric: One of theirs; None for V2 at the fullsup τ or, where none has it, at the oracle τ.

    Raises:
        UsageError: No record has the metric.
    """
    metric, shown = _with_metric(contrasts, metric)
    rows = [
        [
            visible(cell.method),
            network_marked(visible(cell.network), marks_of(cell.records)),
            str(len(cell.records)),
            _value(score),
            "" if score.difference is None else f"{score.difference.difference:+.2f}",
            "" if score.difference is None else _ends(score.difference),
        ]
        for cell, score in shown
    ]
    headers = ["method", "network", "trainings", _metric_label(contrasts, metric), "difference", "95 % interval"]
    alignment = ("left", "left", "right", "right", "right", "right")
    table = str(tabulate(rows, headers, disable_numparse=True, colalign=alignment))
    return "\n".join([*map(visible, _contrasted(contrasts)), "", table, *map(visible, contrasts.notes)])


def contrasts_markdown(contrasts: Contrasts, metric: str | None) -> str:
    """Return the same as a table in Markdown with a row a network and a column a method."""
    metric, shown = _with_metric(contrasts, metric)
    methods = list(dict.fromkeys(cell.method for cell, _ in shown))
    rows: dict[str, dict[str, str]] = {}
    for cell, score in shown:
        text = _value(score)
        if score.difference is not None:
            text += f" ({score.difference.difference:+.2f}, {_ends(score.difference)})"
        network = network_marked(cell.network, marks_of(cell.records))
        rows.setdefault(network, {})[cell.method] = text
    lines = [[markdown_text(network), *(row.get(method, "") for method in methods)] for network, row in rows.items()]
    headers = ["network", *map(markdown_text, methods)]
    table = str(tabulate(lines, headers, "pipe", disable_numparse=True, colalign=["left"] + ["right"] * len(methods)))
    below = [_metric_label(contrasts, metric), *_contrasted(contrasts), *contrasts.notes]
    return f"{table}\n\n{'; '.join(map(markdown_text, below))}"


def _with_metric(contrasts: Contrasts, metric: str | None) -> tuple[str, list[tuple[Cell, Contrast]]]:
    """Return the metric of a table, and the cells that have it."""
    known = dict.fromkeys(name for cell in contrasts.cells for name in cell.scores)
    name = metric or next((each for each in _USUAL_METRICS if each in known), _USUAL_METRICS[0])
    if name not in known:
        raise UsageError(f"--metric: none of the records has '{name}' with an interval; they have {', '.join(known)}")
    return name, [(cell, cell.scores[name]) for cell in contrasts.cells if name in cell.scores]


def _metric_label(contrasts: Contrasts, metric: str) -> str:
    return _labels(contrasts.records[0]).get(metric, metric)


def _contrasted(contrasts: Contrasts) -> list[str]:
    """Return what is compared, a line each."""
    same = "method" if contrasts.axis == "network" else "network"
    lines = [
        _images(contrasts.records[0]),
        f"all values in percent; difference to {contrasts.against}, with the same {same}",
        "intervals: resamples of the same images, for these trainings",
    ]
    if any(len(cell.records) > 1 for cell in contrasts.cells):
        lines.append("±: standard deviation over trainings that differ in their seeds")
    return lines


def _value(score: Contrast) -> str:
    return f"{score.value:.2f}" if score.spread is None else f"{score.value:.2f} ± {score.spread:.2f}"


def _paragraphs(lines: Sequence[str]) -> str:
    return "".join(f"<p>{html.escape(visible(line))}</p>" for line in lines)


def _compared(comparison: Comparison) -> list[str]:
    """Return what is compared, a line each."""
    return [
        _images(comparison.first),
        *(
            f"{which:7} {network_marked(_made_by(record), marks_of([record]))}"
            for which, record in (("first", comparison.first), ("second", comparison.second))
        ),
        "all values in percent; difference: second - first; intervals: resamples of the same images",
    ]


def _differences_table(comparison: Comparison, form: str = "simple", *, further: bool = False) -> str:
    labels = _labels(comparison.first, further=further)
    found = {label: comparison.differences[name] for name, label in labels.items() if name in comparison.differences}
    rows = [
        [label, f"{of.first:.2f}", f"{of.second:.2f}", f"{of.difference:+.2f}", _ends(of)]
        for label, of in found.items()
    ]
    if "pxap" in comparison.differences:  # the last of them
        rows[-1][1] = marked(rows[-1][1], CLAIMED, marks_of([comparison.first]))
        rows[-1][2] = marked(rows[-1][2], CLAIMED, marks_of([comparison.second]))
    headers = ["", "first", "second", "difference", "95 % interval"]
    return str(tabulate(rows, headers, form, disable_numparse=True, stralign="right", colalign=("left",)))


# ------------------------------------------------------------------------------------------- data frames and the curve


def records_frame(records: Sequence[ResultRecord]) -> pd.DataFrame:
    """Return a row for every record: what was measured, every metric, and the ends of its interval."""
    import pandas as pd  # not at the top: importing it takes long, and tables for a terminal need none of it

    return pd.DataFrame([_row(record) for record in records])


def _row(record: ResultRecord) -> dict[str, Any]:
    network = record.backbone
    row: dict[str, Any] = {
        "dataset": record.dataset.name,
        "split": record.protocol.split,
        "images": record.dataset.split_sizes[record.protocol.split],
        "backbone": network.label if network else None,
        "weights": _weights(network) if network else None,
        "method": record.method.name,
        "options": record.method.changed_options,
        "classes_of": None if record.classifier is None else record.classifier.label,
        "frame": record.protocol.frame,
        "iou_thresholds": record.protocol.iou_thresholds,
        "migrated_from": record.migrated_from,
        "pxap_claimed": record.pxap_is_claimed,
        "best_epoch": record.best_epoch,
        "boxes_per_image": record.boxes_per_image,
        "method_seconds": record.seconds.get(OF_METHOD),
    }
    for name, value in record.metrics.model_dump().items():
        terms = {f"{name}.{key}": term for key, term in value.items()} if isinstance(value, dict) else {name: value}
        row |= terms
    for rule, scores in record.thresholds.items():
        for name, value in scores.model_dump().items():
            terms = {f"{name}.{key}": term for key, term in value.items()} if isinstance(value, dict) else {name: value}
            row |= {f"{rule}.{term}": score for term, score in terms.items()}
    row["oracle_cam_threshold_single"] = _oracle_threshold(record)
    for name, (low, high) in (record.intervals.metrics if record.intervals else {}).items():
        row |= {f"{name}.low": low, f"{name}.high": high}
    return row


def curves_frame(record: ResultRecord) -> pd.DataFrame:
    """Return BoxAcc(τ, δ) in percent: a row for every τ, a column for every (mode, δ).

    Raises:
        DataError: The data set has no boxes, or the record was read without outcomes.
    """
    import pandas as pd  # not at the top, as above

    index = pd.Index(cam_threshold_grid(record.protocol.threshold_step), name="threshold")
    curves = {
        (mode, iou): record.evaluated.box_acc(mode, iou) for mode in MODES for iou in record.protocol.iou_thresholds
    }
    return pd.DataFrame(curves, index=index)


def plot_curves(record: ResultRecord, axes: Axes | None) -> Axes:
    """Draw BoxAcc(τ) at δ 0.5, of the largest contour and of all contours, with the chosen τ marked.

    Raises:
        DataError: The data set has no boxes, or the record was read without outcomes.
    """
    from wsolbench.figures.accuracy_curve import draw_accuracy_curves

    frame, metrics = curves_frame(record), record.metrics
    labels = {"largest contour": frame["single", 0.5], "all contours": frame["multi", 0.5]}
    chosen = {}
    if metrics.fullsup_cam_threshold_single is not None and metrics.fullsup_cam_threshold is not None:
        chosen = dict(
            zip(labels, (metrics.fullsup_cam_threshold_single, metrics.fullsup_cam_threshold["0.5"]), strict=True)
        )
    curves = {label: curve.to_numpy() for label, curve in labels.items()}
    return draw_accuracy_curves(frame.index.to_numpy(), curves, chosen, title=visible(_made_by(record)), axes=axes)


def _notes(comparison: Comparison) -> list[str]:
    ends = [
        (of.low, of.high)
        for name, of in comparison.differences.items()
        if of.low is not None and of.high is not None and name not in ("top1_acc", "top5_acc", *FURTHER_LABELS)
    ]  # accuracies are the same for one network
    return [*comparison.notes, *([NO_WIDTH] if any(map(_has_no_width, ends)) else [])]


def _without_width(records: Sequence[ResultRecord]) -> list[str]:
    """Return a line about intervals of no width, where the table has one."""
    ends = [
        record.intervals.metrics[name]
        for record in records
        for name in INTERVALS
        if record.intervals and name in record.intervals.metrics
    ]
    return [NO_WIDTH] if any(map(_has_no_width, ends)) else []


def _has_no_width(ends: tuple[float, float]) -> bool:
    return ends[1] - ends[0] < 1e-9  # scores are means of fractions


def _ends(difference: Difference) -> str:
    return "" if difference.low is None else f"{difference.low:+.2f} to {difference.high:+.2f}"


def _discordant(images: Discordant) -> list[str]:
    """Return how many images only one of the two localizes, and at which τ they were judged."""
    first, second = images.first, images.second
    if "none" in (first.selection, second.selection):
        told = [f"{which}: {_selected(of)}" for which, of in (("first", first), ("second", second))]
        judged = f"largest contour or best box, IoU 0.5; {', '.join(told)}"
    else:
        chosen = f"first {first.threshold:g}, second {second.threshold:g}"
        judged = f"largest contour, IoU 0.5, {first.selection} τ: {chosen}"
    return [
        f"images that only first localizes: {len(images.only_first)}; only second: {len(images.only_second)}",
        judged,
    ]


def _selected(of: Localized) -> str:
    return "boxes, no τ" if of.selection == "none" else f"{of.selection} τ {of.threshold:g}"


def _made_by(record: ResultRecord) -> str:
    classes = "" if record.classifier is None else f", classes of {record.classifier.label}"
    if record.backbone is None:
        return record.method.name + classes
    changed = "".join(f", {name}={value}" for name, value in record.method.changed_options.items())
    return f"{record.backbone.label}, {_weights(record.backbone)}, {record.method.name}{changed}{classes}"


def _columns(record: ResultRecord, *, further: bool) -> dict[str, tuple[str, ...]]:
    """Return, for every line of the table, its cells at the oracle τ, at the fullsup τ and at the τ of every rule."""
    cells_of_all = _main_cells(record) | (_further_cells(record) if further else {})
    rules = [_cells_of_rule(record, rule, scores) for rule, scores in record.thresholds.items()]
    return {label: (*cells, *(of_rule.get(label, "") for of_rule in rules)) for label, cells in cells_of_all.items()}


def _cells_of_rule(record: ResultRecord, rule: str, scores: ThresholdScores) -> dict[str, str]:
    """Return the cells at the τ of one rule, by the line of the table."""
    by_iou = scores.box_acc_by_iou
    threshold, v2 = scores.cam_threshold_single, record.protocol.v2
    mean = "mean " if rule == OTSU and threshold is not None else ""
    return {
        "MaxBoxAcc": _percent(scores.box_acc),
        "MaxBoxAcc, 95 %": _interval(record, f"{rule}.box_acc"),
        v2: _percent(scores.box_acc_v2),
        f"{v2}{INTERVAL}": _interval(record, f"{rule}.box_acc_v2"),
        **{f"V2 at IoU {key}": _percent(by_iou[key] if by_iou else None) for key in _iou_keys(record)},
        "GT-known Loc": _percent(scores.box_acc if record.protocol.target == "gt" else None),
        "Top-1 Loc": _percent(scores.top1_loc),
        "Top-5 Loc": _percent(scores.top5_loc),
        "τ of MaxBoxAcc": "" if threshold is None else f"{mean}{threshold:.3g}",
    }


def _main_cells(record: ResultRecord) -> dict[str, tuple[str, str]]:
    """Return, for every line of the table, its cell at the oracle τ and its cell at the fullsup τ."""
    metrics, of_boxes, v2 = record.metrics, record.protocol.scored == "boxes", record.protocol.v2
    oracle, fullsup = metrics.max_box_acc_by_iou, metrics.fullsup_box_acc_by_iou
    oracle_threshold, fullsup_threshold = _oracle_threshold(record), metrics.fullsup_cam_threshold_single
    return {
        "MaxBoxAcc": (
            "not defined" if record.undefined else _percent(metrics.max_box_acc),
            "not defined" if record.undefined and of_boxes else _percent(metrics.fullsup_box_acc),
        ),
        "MaxBoxAcc, 95 %": (_interval(record, "max_box_acc"), _interval(record, "fullsup_box_acc")),
        v2: (_percent(metrics.max_box_acc_v2), _percent(metrics.fullsup_box_acc_v2)),
        f"{v2}{INTERVAL}": (_interval(record, "max_box_acc_v2"), _interval(record, "fullsup_box_acc_v2")),
        **{
            f"V2 at IoU {key}": (_percent(oracle[key] if oracle else None), _percent(fullsup[key] if fullsup else None))
            for key in _iou_keys(record)
        },
        "GT-known Loc": ("", _percent(metrics.gt_known_loc)),
        "Top-1 Loc": ("", _percent(metrics.top1_loc)),
        "Top-5 Loc": ("", _percent(metrics.top5_loc)),
        "PxAP": (marked(_percent(metrics.pxap), CLAIMED, marks_of([record])), ""),
        "τ of MaxBoxAcc": (_fraction(oracle_threshold), _fraction(fullsup_threshold)),
    }


def _further_cells(record: ResultRecord) -> dict[str, tuple[str, str]]:
    """Return the cells of the metrics that tables have on request; those without a τ are the same at every τ."""
    metrics = record.metrics
    oracle, fullsup = metrics.max_box_acc_by_size or {}, metrics.fullsup_box_acc_by_size or {}
    labels = _further_labels(record)
    of_any_threshold = {
        labels[name]: getattr(metrics, name)
        for name in (
            *("box_acc_area", "box_acc_area_v2"),
            *("pointing_game", "pointing_game_exact", "energy_pointing_game"),
        )
    }
    counts = _images_by_size(record)
    alone = record.seconds.get(OF_METHOD)
    cost = "" if alone is None else f"{1000 * alone / sum(part.images for part in record.splits):.2g}"
    return {
        "Mean IoU": (_percent(metrics.mean_iou), _percent(metrics.fullsup_mean_iou)),
        **{
            f"MaxBoxAcc, object {size}{counts.get(size, '')}": (_percent(oracle.get(size)), _percent(fullsup.get(size)))
            for size in OBJECT_SIZES
        },
        **{
            label: (_percent(value), "" if metrics.fullsup_box_acc is None else _percent(value))
            for label, value in of_any_threshold.items()
        },
        "Method alone, ms an image": (cost, cost if record.protocol.scored == "boxes" else ""),
    }


def _iou_keys(record: ResultRecord) -> list[str]:
    return [iou_key(iou) for iou in record.protocol.iou_thresholds]


def _images_by_size(record: ResultRecord) -> dict[str, str]:
    """Return how many images have an object of each size, for labels; empty without outcomes or sizes."""
    sizes = record.evaluated.sizes if record.has_outcomes else None
    if sizes is None:
        return {}
    counts = np.bincount(size_classes(sizes), minlength=len(OBJECT_SIZES)).tolist()
    return {size: f" ({counted(count, 'images')})" for size, count in zip(OBJECT_SIZES, counts, strict=True)}


def _oracle_threshold(record: ResultRecord) -> float | None:
    """Return the τ of MaxBoxAcc, the first of several, or None without boxes or outcomes."""
    if not record.has_outcomes or record.evaluated.correct is None:
        return None
    grid = cam_threshold_grid(record.protocol.threshold_step)
    return float(grid[select_threshold(record.evaluated.box_acc("single", 0.5))])


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _fraction(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _interval(record: ResultRecord, metric: str) -> str:
    ends = record.intervals.metrics.get(metric) if record.intervals else None
    return "" if ends is None else f"{ends[0]:.1f}–{ends[1]:.1f}"


def _images(record: ResultRecord) -> str:
    sizes, split = record.dataset.split_sizes, record.protocol.split
    text = f"{record.dataset.shown}, {split}: {counted(sizes[split], 'images')}"
    if split == "test" and "train-fullsup" in sizes and record.protocol.scored == "maps":
        text += f"; τ chosen on {counted(sizes['train-fullsup'], 'images')} of train-fullsup"
    text += "".join(f"; {told}" for told in record.protocol.unusual)
    text += "".join(
        f"; τ of pseudo boxes on {counted(part.images, 'images')}"
        for part in record.splits
        if part.split == PSEUDO_BOXES
    )
    return text


def _weights(backbone: BackboneInfo) -> str:
    weights = backbone.weights
    text = f"weights {weights.file}" if weights.source in ("file", "pretrained") else f"{weights.source} weights"
    if weights.key is not None:
        text += f" ({weights.key})"
    if weights.source == "file" and weights.training is not None:  # files of several seeds have one name
        epoch = "" if weights.training.epoch is None else f", epoch {weights.training.epoch}"
        text += f" ({weights.training.recipe}, seed {weights.training.seed}{epoch})"
    return text if backbone.precision == "fp32" else f"{text} in {backbone.precision}"


def _heading(records: Sequence[ResultRecord]) -> list[str]:
    """Return what is shown above the table of a run; what is said of τ is said of the methods that make maps."""
    record = next((each for each in records if each.protocol.scored == "maps"), records[0])
    lines = [_images(record)]
    if record.backbone is not None:
        parameters = record.backbone.parameters / 1e6
        lines.append(f"{record.backbone.label}, {_weights(record.backbone)}, {parameters:.2f} M parameters")
        own_classes = record.classifier is None
        if own_classes and record.metrics.top1_acc is not None and record.metrics.top5_acc is not None:
            lines[-1] += f"; top-1 {record.metrics.top1_acc:.1f}, top-5 {record.metrics.top5_acc:.1f}"
        if record.protocol.target == "predicted":
            lines.append(f"{record.protocol.scored} of the predicted class, not the true one")
    if record.metrics.top1_acc is not None and (record.backbone is None or record.classifier is not None):
        five = "" if record.metrics.top5_acc is None else f", top-5 {record.metrics.top5_acc:.1f}"
        whose = "" if record.classifier is None else f" of {record.classifier.label}"
        lines.append(f"predicted classes{whose}: top-1 {record.metrics.top1_acc:.1f}{five}")
    of_boxes = record.protocol.scored == "boxes"
    lines.append("all values in percent" + ("" if of_boxes else ", except τ"))
    if record.intervals is not None and "max_box_acc" in record.intervals.metrics:
        resampled = "" if of_boxes else ", τ chosen anew in each resample; oracle values are biased upwards"
        lines.append(f"95 %: bootstrap over images{resampled}")
    return lines


def _reasons(records: Sequence[ResultRecord], advice: Mapping[str, str]) -> list[str]:
    """Return a line for every reason why something is missing, with the names of the metrics as the table has them."""
    labels = {
        "max_box_acc": "MaxBoxAcc, MaxBoxAccV2",
        "fullsup_box_acc": "value at the fullsup τ",
        "gt_known_loc": "GT-known Loc",
        "top1_loc": "Top-1 Loc, Top-5 Loc",
        "pxap": "PxAP",
    }
    lines: dict[str, None] = {}
    by_reason: dict[tuple[str, str], list[str]] = {}
    for name, label in labels.items():
        for reason in dict.fromkeys(record.missing[name] for record in records if name in record.missing):
            methods = [record.method.name for record in records if record.missing.get(name) == reason]
            if reason.startswith(NOT_DEFINED):
                lines[f"{', '.join(methods)}: {reason}"] = None
            else:
                whose = "" if len(methods) == len(records) else f" of {', '.join(methods)}"
                by_reason.setdefault((reason, whose), []).append(label)
    absent = [
        f"no {', '.join(named)}{whose}: {reason}{advice.get(reason, '')}"
        for (reason, whose), named in by_reason.items()
    ]
    return [*lines, *absent, *explain_marks(marks_of(records))]
