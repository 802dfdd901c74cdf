"""The noise of feature maps, against loops over maps and positions; its correlation with IoU; what is drawn."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import interpolate

import wsolbench
from wsolbench.analysis.studies.noise import _correlations, first_share, map_area, map_variation


def of_loops(maps):
    """Return variation, area and first share of the maps (K, h, w) of one image."""
    variations, areas = [], []
    for each in maps:
        lines = [line for line in (each, each.T) if line.shape[1] > 1]
        sides = [np.mean([sum(abs(a - b) for a, b in pairwise(row)) for row in side]) for side in lines]
        if each.max() > each.min():
            variations.append(np.mean(sides) / (each.max() - each.min()))
        energy = each.ravel() ** 2
        if energy.sum() > 0:
            shares = energy / energy.sum()
            areas.append(math.exp(-sum(p * math.log(p) for p in shares if p > 0)) / len(shares))
    points = maps.reshape(len(maps), -1)
    variances = np.linalg.eigvalsh(np.cov(points))
    share = variances[-1] / variances.sum() if variances.sum() > 0 else 0
    return [np.mean(variations) if variations else 0, np.mean(areas) if areas else 0, share]


@pytest.mark.parametrize("shape", [(3, 5, 4), (6, 1, 7), (2, 2, 2)])
def test_quantities(shape):
    maps = np.random.default_rng(0).normal(size=(4, *shape))
    maps[0, 0] = 0
    maps[1] = 2.5
    maps[2] = 0
    features = torch.tensor(maps)
    found = torch.stack([map_variation(features), map_area(features), first_share(features)], dim=1)
    np.testing.assert_allclose(found, [of_loops(each) for each in maps], atol=1e-9)


def test_known_answers():
    board = torch.zeros(1, 1, 4, 4)
    board[0, 0, ::2, ::2] = board[0, 0, 1::2, 1::2] = 1
    assert map_variation(board) == 3  # a chess board: each of the three steps of a line is the whole range
    assert map_area(board) == pytest.approx(0.5)
    assert map_area(torch.ones(1, 2, 4, 4)) == pytest.approx(1)
    assert map_variation(torch.ones(1, 2, 4, 4)) == 0
    one = torch.zeros(1, 1, 4, 4)
    one[0, 0, 2, 2] = 3
    assert map_area(one) == pytest.approx(1 / 16)
    assert first_share(torch.cat([board, 2 * board], dim=1)) == pytest.approx(1)


def test_resolution_does_not_matter():
    ramp = torch.linspace(-1, 1, 8)
    blob = torch.exp(-4 * (ramp[:, None] ** 2 + ramp**2))[None, None]
    fine = interpolate(blob, scale_factor=4, mode="bilinear")
    torch.testing.assert_close(map_variation(fine), map_variation(blob), rtol=0.01, atol=0)
    torch.testing.assert_close(map_area(fine), map_area(blob), rtol=0.15, atol=0)


def test_correlation_with_iou_and_pictures_of_extremes(tmp_path, without_galleries, compiled_sweep):  # noqa: ARG001
    with without_galleries():
        (record,) = wsolbench.run("resnet_nano", "cam", limit=8, out=tmp_path / "run")
    table = wsolbench.analyze("noise", records=tmp_path / "run" / "record-cam.json", images=8, out=tmp_path / "out")
    images = pd.read_csv(tmp_path / "out" / "noise-images.csv").query("network == 'resnet_nano'")
    evaluated = record.evaluated
    iou = dict(zip(evaluated.image_ids, evaluated.values["fullsup_mean_iou"], strict=True))
    expected = images["total variation"].rank().corr(images["image"].map(iou).rank())
    name = "correlation of total variation with IoU of cam"
    assert table[name][0] == pytest.approx(expected, abs=1e-4)
    assert table[f"{name}, low"][0] <= expected <= table[f"{name}, high"][0]
    assert table[f"{name}, images"][0] == 8
    bare = SimpleNamespace(method=record.method, evaluated=SimpleNamespace(values=None))  # of an earlier version
    assert "run it again" in _correlations(SimpleNamespace(result=None, records=[bare]))["note"]
    drawing = (tmp_path / "out" / "noise-maps.svg").read_text()
    ordered = images.sort_values("total variation")
    assert all(str(image) in drawing for image in (ordered["image"].iloc[0], ordered["image"].iloc[-1]))
