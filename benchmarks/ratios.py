"""Prints how many times faster than the published procedure, as a Markdown table with versions.

    python benchmarks/ratios.py [NAME=FOLDER ...]

A folder holds the maps of a network, as `wsolbench run --save-scoremaps` writes them. Their rows come first.

Reference and ours take turns on the same maps in one process and one thread. What is measured is processor time: a
long call would be interrupted by other processes, and a short one would not. Ratios are medians over maps of the ratio
on one map. Results are compared before they are timed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from benchmark_maps import KINDS, SIDES, draw_boxes, draw_map, draw_mask
from conditions import conditions
from reference_procedure import best_ious

from wsolbench.protocol import MaskEvaluator, best_iou_curves, cam_threshold_grid
from wsolbench.protocol.compilation import load_sweep

MAPS = 6
NETWORK_MAPS = 20
NOISE_MAPS = 1  # its reference takes minutes


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Return the median processor time of a call."""
    durations = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        durations.append(time.process_time() - started)
    return float(np.median(durations))


def time_sweep(scoremap: np.ndarray, seed: int, interval: float) -> tuple[float, float, float]:
    """Return the processor seconds of one map in both modes: the procedure as it is, with vectorised IoU, and ours."""
    boxes, thresholds = draw_boxes(seed), cam_threshold_grid(interval)

    def reference(*, vectorised: bool) -> list[np.ndarray]:
        return [best_ious(scoremap, boxes, thresholds, multi=multi, vectorised=vectorised) for multi in (False, True)]

    curves = best_iou_curves(scoremap, boxes, thresholds)
    for found, expected in zip((curves.single, curves.multi), reference(vectorised=True), strict=True):
        np.testing.assert_array_equal(found, expected)
    as_it_is = seconds(lambda: reference(vectorised=False), 1)
    before = seconds(lambda: best_iou_curves(scoremap, boxes, thresholds), 9)
    vectorised = seconds(lambda: reference(vectorised=True), 1)
    after = seconds(lambda: best_iou_curves(scoremap, boxes, thresholds), 9)
    return as_it_is, vectorised, (before + after) / 2


def time_masks(seed: int, interval: float) -> tuple[float, float]:
    """Return for one map and mask the seconds of two histograms of NumPy and of ours."""
    scoremap, mask = draw_map(KINDS[seed % len(SIDES)], seed), draw_mask(seed)
    edges = np.append(cam_threshold_grid(interval), [1.0, 2.0, 3.0])
    evaluator = MaskEvaluator(["a"], interval)

    def histograms() -> list[np.ndarray]:
        return [np.histogram(scoremap[part].astype(np.float64), edges)[0] for part in (mask, ~mask)]

    found = evaluator.score(scoremap, "a", mask)
    for one, other in zip((found.foreground, found.background), histograms(), strict=True):
        np.testing.assert_array_equal(one, other)
    return seconds(histograms, 9), seconds(lambda: evaluator.score(scoremap, "a", mask), 9)


def read_maps(folder: Path) -> list[np.ndarray]:
    """Return maps of a network, evenly drawn from those below a folder."""
    files = sorted(folder.rglob("*.npy"))
    return [np.load(files[place]) for place in np.linspace(0, len(files) - 1, NETWORK_MAPS).astype(int)]


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    load_sweep(print)
    folders = dict(argument.split("=", 1) for argument in sys.argv[1:])
    print("| maps | τ step | reference, ms | IoU vectorised, ms | wsolbench, ms | times faster | than vectorised |")
    print("|---|---|---|---|---|---|---|")
    for interval in (0.001, 0.01):
        rows = {name: read_maps(Path(folder)) for name, folder in folders.items()}
        for kind in KINDS:
            rows[kind] = [draw_map(kind, seed) for seed in range(NOISE_MAPS if kind == "noise" else MAPS)]
        for name, maps in rows.items():
            print_row(name, interval, np.array([time_sweep(each, seed, interval) for seed, each in enumerate(maps)]))
    print("\n| PxAP, τ step | two histograms, ms | wsolbench, ms | times faster |\n|---|---|---|---|")
    for interval in (0.001, 0.01):
        masks = np.array([time_masks(seed, interval) for seed in range(4 * MAPS)])
        theirs, ours = 1000 * np.median(masks, axis=0)
        print(f"| {interval} | {theirs:.2f} | {ours:.2f} | {np.median(masks[:, 0] / masks[:, 1]):.1f} |")
    print("\n" + conditions("opencv-python", "numpy", "numba"))


def print_row(kind: str, interval: float, times: np.ndarray) -> None:
    """Print medians over maps; `times` is (maps, 3) seconds."""
    as_it_is, vectorised, ours = 1000 * np.median(times, axis=0)
    ratios = np.median(times[:, :2] / times[:, 2:], axis=0)
    print(
        f"| {kind} | {interval} | {as_it_is:.0f} | {vectorised:.0f} | {ours:.2f} | {ratios[0]:.0f} | {ratios[1]:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
