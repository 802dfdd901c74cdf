"""One map in both modes: the sweep, and the published procedure with its IoU as it is and vectorised."""

import pytest
from benchmark_maps import KINDS, draw_boxes, draw_map
from reference_procedure import best_ious

from wsolbench.protocol import best_iou_curves, cam_threshold_grid

INTERVALS = (0.001, 0.01)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=INTERVALS)
def thresholds(request, benchmark, kind):
    benchmark.group = f"{kind}, interval {request.param}"
    return cam_threshold_grid(request.param)


def test_sweep(benchmark, kind, thresholds):
    benchmark.pedantic(best_iou_curves, (draw_map(kind, 1), draw_boxes(1), thresholds), rounds=30, warmup_rounds=3)


@pytest.mark.parametrize("vectorised", [False, True], ids=["as-it-is", "vectorised"])
def test_reference(benchmark, kind, thresholds, vectorised):
    scoremap, boxes = draw_map(kind, 1), draw_boxes(1)

    def both_modes():
        for multi in (False, True):
            best_ious(scoremap, boxes, thresholds, multi=multi, vectorised=vectorised)

    benchmark.pedantic(both_modes, rounds=1 if kind == "noise" else 3)
