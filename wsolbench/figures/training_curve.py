"""The picture of a training: loss, accuracy and learning rate over its epochs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wsolbench.escaping import visible
from wsolbench.figures.style import own_style

ACCURACIES = {
    "train_top1": "train-weaksup, as trained",
    "train_fullsup_top1": "train-fullsup",
    "test_top1": "test",
}


@own_style()
def draw_curve(log: pd.DataFrame, title: str, path: Path) -> None:
    """Draw the log of a training, one line an epoch, and write it as PNG."""
    figure = Figure(figsize=(6, 7), dpi=100, layout="constrained")
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=(2, 2, 1))
    marker = "o" if len(log) == 1 else None
    loss.plot(log["epoch"], log["loss"], marker=marker)
    loss.set(ylabel="loss", title=visible(title))
    for column, label in ACCURACIES.items():
        if log[column].notna().any():
            accuracy.plot(log["epoch"], log[column], marker=marker, label=label)
    accuracy.set(ylabel="top-1 (%)")
    accuracy.legend()
    rate.plot(log["epoch"], log["learning_rate"], marker=marker)
    rate.set(ylabel="learning rate", xlabel="epoch", ylim=(0, None))
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (loss, accuracy, rate):
        axes.grid(alpha=0.3)
    figure.savefig(path)
