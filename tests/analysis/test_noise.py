"""The noise of feature maps, against loops over maps and positions; its correlation with IoU; what is drawn."""

import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch.nn.functional import interpolate
from toy_records import make_outcomes, make_record, with_values
from toys import ToyDataset

import wsolbench
from wsolbench.analysis.studies.noise import _columns, _correlations, energy_share, map_area, map_variation
from wsolbench.contract import InputConfig, Split
from wsolbench.records.store import with_outcomes
from wsolbench.testing.toys import ToyNetwork


def of_loops(maps):
    """Return variation, area and energy share of the maps (K, h, w) of one image."""
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
    share = variances[-1] / variances.sum() if variations else np.nan
    return [np.mean(variations) if variations else np.nan, np.mean(areas) if areas else np.nan, share]


@pytest.mark.parametrize("shape", [(3, 5, 4), (6, 1, 7), (2, 2, 2)])
def test_quantities(shape):
    maps = np.random.default_rng(0).normal(size=(4, *shape))
    maps[0, 0] = 0
    maps[1] = 2.5
    maps[2] = 0
    features = torch.tensor(maps)
    found = torch.stack([map_variation(features), map_area(features), energy_share(features)], dim=1)
    np.testing.assert_allclose(found, [of_loops(each) for each in maps], atol=1e-9)


def test_known_answers():
    board = torch.zeros(1, 1, 4, 4)
    board[0, 0, ::2, ::2] = board[0, 0, 1::2, 1::2] = 1
    assert map_variation(board) == 3  # a chess board: each of the three steps of a line is the whole range
    assert map_area(board) == pytest.approx(0.5)
    assert map_area(torch.ones(1, 2, 4, 4)) == pytest.approx(1)
    assert map_variation(torch.full((1, 2, 4, 4), 0.1)).isnan()
    assert energy_share(torch.full((1, 2, 4, 4), 0.1)).isnan()
    one = torch.zeros(1, 1, 4, 4)
    one[0, 0, 2, 2] = 3
    assert map_area(one) == pytest.approx(1 / 16)
    assert energy_share(torch.cat([board, 2 * board + 7], dim=1)) == pytest.approx(1)  # each map is centred
    stripes = torch.tensor([0.0, 1, 0, 1])[None, None, None].expand(1, 1, 4, 4)
    both = torch.cat([3 * (2 * board - 1), 2 * stripes - 1], dim=1)  # orthogonal, with energies 9 and 1
    assert energy_share(both) == pytest.approx(0.9)


def test_resolution_does_not_matter():
    ramp = torch.linspace(-1, 1, 8)
    blob = torch.exp(-4 * (ramp[:, None] ** 2 + ramp**2))[None, None]
    fine = interpolate(blob, scale_factor=4, mode="bilinear")
    torch.testing.assert_close(map_variation(fine), map_variation(blob), rtol=0.01, atol=0)
    torch.testing.assert_close(map_area(fine), map_area(blob), rtol=0.15, atol=0)


@pytest.mark.slow
def test_correlation_with_iou_and_pictures_of_extremes(tmp_path, without_galleries, compiled_sweep):  # noqa: ARG001
    with without_galleries():
        (record,) = wsolbench.run("resnet_nano", "cam", limit=8, out=tmp_path / "run")
    table = wsolbench.analyze("noise", records=tmp_path / "run" / "record-cam.json", out=tmp_path / "out")
    images = pd.read_csv(tmp_path / "out" / "noise-images.csv").query("network == 'resnet_nano'")
    evaluated = record.evaluated
    iou = dict(zip(evaluated.image_ids, evaluated.values["fullsup_mean_iou"], strict=True))
    expected = images["total variation"].rank().corr(images["image"].map(iou).rank())
    name = "correlation of total variation with IoU of cam"
    assert table[name][0] == pytest.approx(expected, abs=1e-4)
    assert table[f"{name}, low"][0] <= expected <= table[f"{name}, high"][0]
    assert table[f"{name}, images"][0] == 8
    assert f"resnet_nano, cam {expected:.2f} [" in table.attrs["shows"]
    assert "] over 8 images." in table.attrs["shows"]
    drawing = (tmp_path / "out" / "noise-maps.svg").read_text()
    ordered = images.sort_values("total variation")
    assert all(f"{Path(image).name}: TV" in drawing for image in (ordered["image"].iloc[0], ordered["image"].iloc[-1]))


def noise_of(*ids):
    """Return noise of images, which grows from one to the next."""
    return SimpleNamespace(ids=ids, quantities={"total variation": np.arange(1.0, len(ids) + 1)})


def renamed(record, name):
    return record.model_copy(update={"method": record.method.model_copy(update={"name": name})})


def test_everything_is_noted_of_every_record():
    record = make_record(fullsup=None, test=with_values([make_outcomes()])[0])
    old = renamed(with_outcomes(record, [make_outcomes()]), "old")  # of an earlier version, without IoUs
    limited = record.model_copy(update={"dataset": record.dataset.model_copy(update={"limit": 8})})
    elsewhere = "the record of precomputed is of other images: --dataset birds --split test --images 8"
    cases = [
        (("elsewhere",), [limited], elsewhere),
        (
            ("test/1", "test/2", "elsewhere"),
            [limited, record],
            "the record of precomputed has 2 of the 3 images; --images 8 measures those that it has; "
            "the record of precomputed has 2 of the 3 images",
        ),
        (
            ("elsewhere",),
            [limited, old],
            f"{elsewhere}; the record of old holds no IoU of its images; run it again",
        ),
    ]
    for ids, records, note in cases:
        assert _columns(list(_correlations(SimpleNamespace(result=noise_of(*ids), records=records))))["note"] == note
    other = make_record(fullsup=None, test=with_values([make_outcomes(shift=1)])[0])
    whole = SimpleNamespace(result=noise_of(*record.evaluated.image_ids), records=[record, other])
    columns = _columns(list(_correlations(whole)))
    assert "note" not in columns
    assert len([name for name in columns if name.endswith(", images")]) == 2  # of one method, and told apart


def test_images_of_constant_maps_are_counted(monkeypatch):
    monkeypatch.setattr("wsolbench.analysis.studies.noise.draw_map_table", lambda *_: Figure())
    network = ToyNetwork(3, 2).eval()
    with torch.no_grad():
        network.conv.weight.zero_()
    table = wsolbench.analyze("noise", network, ToyDataset({Split.TEST: 2}), input=InputConfig(32), random=False)
    assert table[["images", "not defined"]].iloc[0].tolist() == [2, 2]
    assert table[["total variation (median)", "energy share (median)"]].isna().all(axis=None)
    assert "none is defined" in table.attrs["shows"]
