"""The picture of a training: loss, accuracy and learning rate over its epochs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wsolbench.escaping import visible
from wsolbench.figures.style import encoded, own_style

ACCURACIES = {
    "train_top1": "top-1 on train-weaksup, as trained",
    "train_fullsup_top1": "top-1 on train-fullsup",
    "test_top1": "top-1 on test",
    "train_fullsup_max_box_acc_v2": "MaxBoxAccV2 on train-fullsup",
    "train_fullsup_max_box_acc": "MaxBoxAcc on train-fullsup",
    "train_fullsup_pxap": "PxAP on train-fullsup",
}


@own_style()
def draw_curve(log: pd.DataFrame, title: str, path: Path) -> None:
    """Draw the log of a training, one line an epoch, and write it as PNG.

    The terms of a system's loss are drawn beside their sum, and stages are divided by lines that name them.
    """
    measured = [name for name in ACCURACIES if name in log and log[name].notna().any()]
    heights = (2, *([2] if measured else []), 1)
    figure = Figure(figsize=(6, 1 + 1.2 * sum(heights)), dpi=100, layout="constrained")
    loss, *accuracy, rate = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    _draw_loss(loss, log)
    loss.set_title(visible(title), pad=20 if _begins(log) else None)
    for axes in accuracy:
        for name in measured:
            _draw(axes, log, name, ACCURACIES[name])
        axes.set(ylabel="%")
        axes.legend()
    _draw(rate, log, "learning_rate", divided=True)  # every stage has a schedule of its own
    rate.set(ylabel="learning rate", xlabel="epoch", ylim=(0, None))
    if len(log) == 1:
        rate.set_xlim(0.5, 1.5)
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (loss, *accuracy, rate):
        axes.grid(alpha=0.3)
        for _, begin in _begins(log)[1:]:
            axes.axvline(begin - 0.5, color="0.4", linestyle=":", linewidth=1)
    for name, begin in _begins(log):
        loss.annotate(
            visible(name),
            (begin - 0.5 * (begin > 1), 1),
            (2, 3),
            xycoords=loss.get_xaxis_transform(),
            textcoords="offset points",
            fontsize="small",
            color="0.3",
        )
    path.write_bytes(encoded(figure, path.suffix[1:], {}))


def _draw_loss(axes: Axes, log: pd.DataFrame) -> None:
    """Draw the loss, and its terms where there are several; no line crosses a border between stages."""
    names = list(log.columns)
    terms = names[names.index("stage") + 1 :] if "stage" in names else []
    _draw(axes, log, "loss", "sum" if len(terms) > 1 else None, divided=True)
    for name in terms if len(terms) > 1 else []:
        _draw(axes, log, name, visible(name), linestyle="--", divided=True)
    axes.set(ylabel="loss")
    if len(terms) > 1:
        axes.legend()


def _draw(
    axes: Axes, log: pd.DataFrame, name: str, label: str | None = None, linestyle: str = "-", *, divided: bool = False
) -> None:
    """Draw a column, as a line for each stage if it is to be divided; a value without neighbours is a dot."""
    epochs, values = log["epoch"].astype(float).to_numpy(), log[name].astype(float).to_numpy()
    borders = np.searchsorted(epochs, [begin for _, begin in _begins(log)[1:]] if divided else [])
    epochs, values = np.insert(epochs, borders, np.nan), np.insert(values, borders, np.nan)
    known = np.pad(np.isfinite(values), 1)
    alone = np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:]).tolist()
    axes.plot(epochs, values, linestyle, marker="o" if alone else None, markevery=alone or None, label=label)


def _begins(log: pd.DataFrame) -> list[tuple[str, int]]:
    """Return the stages of a log with their first epochs; none where there is one."""
    if "stage" not in log or log["stage"].nunique() < 2:
        return []
    rows = list(zip(log["stage"], log["epoch"], strict=True))
    return [rows[0], *(after for before, after in pairwise(rows) if after[0] != before[0])]
