"""Prints how many times faster than the published procedure, as a Markdown table with versions.

Reference and ours take turns on the same maps in one process and one thread. What is measured is processor time: a
long call would be interrupted by other processes, and a short one would not. Ratios are medians over maps of the ratio
on one map. Results are compared before they are timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
from benchmark_maps import KINDS, SIDES, draw_boxes, draw_map, draw_mask
from conditions import conditions
from reference_procedure import best_ious

from wsolbench.protocol import MaskEvaluator, best_iou_curves, cam_threshold_grid
from wsolbench.protocol.compilation import load_sweep

MAPS = 6
NOISE_MAPS = 1  # its reference takes minutes


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Return the median processor time of a call."""
    durations = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        durations.append(time.process_time() - started)
    return float(np.median(durations))


def time_sweep(kind: str, seed: int, interval: float) -> tuple[float, float, float]:
    """Return the processor seconds of one map in both modes: the procedure as it is, with vectorised IoU, and ours."""
    scoremap, boxes, thresholds = draw_map(kind, seed), draw_boxes(seed), cam_threshold_grid(interval)

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


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    load_sweep(print)
    print("| maps | τ step | reference, ms | IoU vectorised, ms | wsolbench, ms | times faster | than vectorised |")
    print("|---|---|---|---|---|---|---|")
    for interval in (0.001, 0.01):
        realistic = []
        for kind in KINDS:
            times = np.array(
                [time_sweep(kind, seed, interval) for seed in range(NOISE_MAPS if kind == "noise" else MAPS)]
            )
            print_row(kind, interval, times)
            if kind != "noise":
                realistic.append(times)
        print_row("all but noise", interval, np.concatenate(realistic))
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
