"""The score histograms of one map against a mask: ours, checks and resizing included, and two calls of NumPy alone."""

import numpy as np
import pytest
from benchmark_maps import draw_map, draw_mask

from wsolbench.protocol import MaskEvaluator, cam_threshold_grid


@pytest.fixture(params=[0.001, 0.01])
def interval(request, benchmark):
    benchmark.group = f"PxAP, interval {request.param}"
    return request.param


def test_binning(benchmark, interval):
    evaluator = MaskEvaluator(["a"], interval)
    benchmark(evaluator.score, draw_map("12×12", 1), "a", draw_mask(1))


def test_two_histograms(benchmark, interval):
    scoremap, mask = draw_map("12×12", 1).astype(np.float64), draw_mask(1)
    edges = np.append(cam_threshold_grid(interval), [1.0, 2.0, 3.0])
    benchmark(lambda: [np.histogram(scoremap[part], edges) for part in (mask, ~mask)])
