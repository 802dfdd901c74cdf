"""Per-class DDT and its boxes against stored numbers of the formula, and against loops."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import ToyNet
from wsolbench_plugins.methods.ddt import ClassDDT

from wsolbench.api import Boxes, MethodContext, UsageError, region_boxes
from wsolbench.engine.methods import build_methods

STORED = Path(os.environ.get("WSOLBENCH_SHARED_DATA", "absent"), "systems", "ddt_per_class.npz")


def context_of(labels):
    return MethodContext(ToyNet(), torch.zeros(len(labels), 3, 8, 8), labels, torch.zeros(len(labels), 2))


def fitted(features, labels, batch=3, **options):
    method = ClassDDT(**options)
    for part in zip(features.split(batch), labels.split(batch), strict=True):
        method.partial_fit(*part)
    method.end_round()
    return method


@pytest.mark.skipif(not STORED.exists(), reason="the stored numbers are not here")
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_equals_the_stored_numbers(batch):
    stored = np.load(STORED)

    def both(name):
        return np.concatenate([stored[f"class{label}_{name}"] for label in (0, 1)])

    features, labels = torch.from_numpy(both("features")), torch.tensor([3] * 4 + [1] * 4)
    order = torch.tensor([0, 4, 1, 5, 6, 2, 7, 3])
    method = fitted(features[order], labels[order], batch)
    np.testing.assert_allclose(method(features, context_of(labels)), both("projection"), rtol=0, atol=1e-12)
    state = method.fit_state()
    assert state["classes"].tolist() == [1, 3]
    for name, key in (("mean", "means"), ("component", "axes")):
        np.testing.assert_allclose(state[key], [stored[f"class1_{name}"], stored[f"class0_{name}"]], atol=1e-12)
    boxes = fitted(features, labels, boxes=True)(features, context_of(labels))
    x, y, width, height = both("boxes_xywh").T
    assert isinstance(boxes, Boxes)
    np.testing.assert_allclose(boxes.boxes, np.stack([x, y, x + width, y + height], axis=1), atol=1e-12)


def plain_box(cells):
    """Regions by flooding from each cell, row by row; a later one counts if it is larger."""
    height, width = cells.shape
    best, seen = [], set()
    for start in [(y, x) for y in range(height) for x in range(width)]:
        region, edge = [], [start]
        while edge:
            y, x = edge.pop()
            if (y, x) in seen or not (0 <= y < height and 0 <= x < width) or not cells[y, x]:
                continue
            seen.add((y, x))
            region.append((y, x))
            edge += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        best = region if len(region) > len(best) else best
    if not best:
        return [0, 0, 1, 1]
    rows, columns = zip(*best, strict=True)
    return [min(columns) / width, min(rows) / height, (max(columns) + 1) / width, (max(rows) + 1) / height]


def test_boxes_of_regions_equal_a_flood_from_every_cell():
    random = np.random.default_rng(0)
    for height, width in ((5, 8), (9, 4), (1, 6), (14, 14)):
        cells = random.random((40, height, width)) < random.choice([0.1, 0.25, 0.4], (40, 1, 1))
        cells[0] = False
        found = region_boxes(torch.from_numpy(cells))
        np.testing.assert_allclose(found, [plain_box(of_image) for of_image in cells], atol=1e-12)


def test_of_regions_of_one_size_the_first_counts():
    cells = torch.zeros(1, 4, 6, dtype=torch.bool)
    cells[0, 1:3, 4:] = True  # begins above the other
    cells[0, 2:4, :2] = True
    assert region_boxes(cells).tolist() == [[4 / 6, 1 / 4, 1, 3 / 4]]


def test_an_image_with_features_that_are_not_finite_has_no_box_and_no_part_in_the_fit():
    random = torch.Generator().manual_seed(0)
    features, labels = torch.randn(6, 4, 5, 5, generator=random), torch.tensor([0, 1, 0, 1, 0, 1])
    spoilt = torch.cat([features, torch.full((1, 4, 5, 5), float("nan"))])
    method = fitted(spoilt, torch.cat([labels, labels[:1]]), boxes=True)
    assert torch.equal(method.fit_state()["axes"], fitted(features, labels).fit_state()["axes"])
    boxes = method(spoilt[-2:], context_of(torch.tensor([1, 0]))).boxes
    assert boxes.isnan().tolist() == [[False] * 4, [True] * 4]


def test_a_class_that_it_was_not_fitted_on_is_one_line():
    features = torch.randn(4, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    method = fitted(features, torch.zeros(4, dtype=torch.int64))
    with pytest.raises(UsageError, match="'ddt-per-class' was fitted on no image of class 1, counted from 0"):
        method(features[:1], context_of(torch.tensor([1])))


@pytest.mark.usefixtures("no_gallery")
@pytest.mark.parametrize("boxes", [False, True])
def test_a_run_scores_its_maps_or_its_boxes(toys, registry, boxes):
    methods = build_methods(registry, {"ddt-per-class": {"boxes": boxes}})
    (record,) = toys.run(*methods, dataset=toys.dataset(weaksup=8))
    assert record.protocol.scored == ("boxes" if boxes else "maps")
    assert (record.method.fitted_images, record.method.fit_rounds) == (8, 1)
    assert record.metrics.max_box_acc == 100
