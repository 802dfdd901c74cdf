"""The metrics beside the published ones, against loops over images, thresholds and boxes that OpenCV traces."""

import math

import numpy as np
import pytest

import wsolbench
from wsolbench.api import MaskPair
from wsolbench.protocol import OBJECT_SIZES, boxes_at, cam_threshold_grid, to_scoremap
from wsolbench.records.store import parse_record
from wsolbench.records.verify import contradiction

STEP = 0.05
GRID = cam_threshold_grid(STEP).tolist()


def make_images(count, seed):
    """Return raw maps, boxes and sizes of images whose objects are small, large and in between."""
    random = np.random.default_rng(seed)
    maps, boxes, sizes = {}, {}, {}
    for index in range(count):
        image_id, (width, height) = f"{seed}/{index:02d}.jpg", random.integers(60, 200, 2).tolist()
        maps[image_id], sizes[image_id] = random.random((5, 6)), (width, height)
        corners = random.random((1 + index % 2, 4)) * [width / 2, height / 2, width / 2, height / 2]
        boxes[image_id] = [[int(x), int(y), int(x + w), int(y + h)] for x, y, w, h in corners]
    first = next(iter(maps))
    boxes[first] = [[0, 0, sizes[first][0] - 1, sizes[first][1] - 1]]
    return {"scoremaps": maps, "boxes": boxes, "image_sizes": sizes}


def in_frame(box, size):
    return [int(corner * 224 / side) for corner, side in zip(box, size * 2, strict=True)]


def area(box):
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)


def iou(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    shared = max(width, 0) * max(height, 0)
    return shared / (area(one) + area(other) - shared)


class Literal:
    """What a split scores, one image and one τ after another."""

    def __init__(self, scoremaps, boxes, image_sizes):
        self.maps = {image_id: to_scoremap(raw) for image_id, raw in scoremaps.items()}
        self.boxes = {
            image_id: [in_frame(box, image_sizes[image_id]) for box in found] for image_id, found in boxes.items()
        }
        self.single, self.multi = [], []  # [image][τ]: the best IoU
        for image_id, scoremap in self.maps.items():
            traced = [boxes_at(scoremap, threshold) for threshold in GRID]
            true = self.boxes[image_id]
            self.single.append([max(iou(largest.tolist(), box) for box in true) for largest, _ in traced])
            self.multi.append([max(iou(one, box) for one in found.tolist() for box in true) for _, found in traced])

    def acc(self, place, curves="single", delta=0.5):
        return self.mean([curve[place] >= delta for curve in getattr(self, curves)])

    @property
    def best(self):
        return max(range(len(GRID)), key=lambda place: (self.acc(place), -place))

    def size(self, image_id):
        share = max(map(area, self.boxes[image_id])) / 224**2
        return next(name for name, edge in reversed(OBJECT_SIZES.items()) if share >= edge)

    def acc_by_size(self, place):
        groups = {}
        for image_id, curve in zip(self.maps, self.single, strict=True):
            groups.setdefault(self.size(image_id), []).append(curve[place] >= 0.5)
        return {name: pytest.approx(self.mean(groups[name])) for name in OBJECT_SIZES if name in groups}

    def area(self, curves, deltas):
        return self.mean([self.acc(place, curves, delta) / 100 for place in range(len(GRID)) for delta in deltas])

    @staticmethod
    def mean(values):
        return 100 * math.fsum(values) / len(values)


@pytest.fixture(scope="module")
def splits():
    return make_images(24, 0), make_images(12, 1)


@pytest.fixture(scope="module")
def record(splits):
    test, fullsup = splits
    return wsolbench.score(**test, fullsup=fullsup, threshold_step=STEP)


def test_every_metric_is_that_of_the_loops(splits, record):
    test, fullsup = (Literal(**given) for given in splits)
    metrics, chosen = record.metrics, fullsup.best
    assert metrics.mean_iou == pytest.approx(test.mean([curve[test.best] for curve in test.single]), abs=1e-4)
    assert metrics.fullsup_mean_iou == pytest.approx(test.mean([curve[chosen] for curve in test.single]), abs=1e-4)
    assert metrics.box_acc_area == pytest.approx(test.area("single", [0.5]))
    assert metrics.box_acc_area_v2 == pytest.approx(test.area("multi", [0.3, 0.5, 0.7]))
    assert metrics.max_box_acc_by_size == test.acc_by_size(test.best)
    assert metrics.fullsup_box_acc_by_size == test.acc_by_size(chosen)
    assert len(metrics.max_box_acc_by_size) > 2
    assert record.outcomes[0].sizes.tolist() == pytest.approx(
        [max(map(area, test.boxes[image_id])) / 224**2 for image_id in test.maps], abs=1e-6
    )


def test_points_are_those_of_the_boxes_in_the_frame(splits, record):
    test = Literal(**splits[0])
    near, exact, energy = [], [], []
    for image_id, scoremap in test.maps.items():
        y, x = divmod(int(scoremap.argmax()), 224)
        away = [math.hypot(max(b[0] - x, x - b[2], 0), max(b[1] - y, y - b[3], 0)) for b in test.boxes[image_id]]
        covered = np.zeros((224, 224), dtype=bool)
        for x0, y0, x1, y1 in test.boxes[image_id]:
            covered[y0 : y1 + 1, x0 : x1 + 1] = True
        near.append(min(away) <= 15)
        exact.append(min(away) == 0)
        energy.append(scoremap[covered].sum(dtype=float) / scoremap.sum(dtype=float))
    assert record.metrics.pointing_game == pytest.approx(test.mean(near))
    assert record.metrics.pointing_game_exact == pytest.approx(test.mean(exact))
    assert record.metrics.energy_pointing_game == pytest.approx(test.mean(energy), abs=1e-4)


def test_the_record_follows_from_its_outcomes_and_has_an_interval_of_every_metric(record):
    assert contradiction(record) is None
    assert contradiction(parse_record(record.to_line().encode(), record)) is None
    for name in ("mean_iou", "fullsup_mean_iou", "box_acc_area", "box_acc_area_v2", "energy_pointing_game"):
        low, high = record.intervals.metrics[name]
        assert low < getattr(record.metrics, name) < high
    for size, value in record.metrics.fullsup_box_acc_by_size.items():
        low, high = record.intervals.metrics[f"fullsup_box_acc_by_size.{size}"]
        assert low <= value <= high


def test_masks_alone_have_the_pointing_games_and_say_why_they_lack_the_others():
    random = np.random.default_rng(5)
    maps = {f"{index}": random.random((4, 4)) for index in range(6)}
    masks = {name: MaskPair(random.random((30, 20)) > 0.7, random.random((15, 15)) > 0.5) for name in maps}
    record = wsolbench.score(maps, masks=masks)
    energies = []
    for name, raw in maps.items():
        scoremap, pair = to_scoremap(raw), masks[name]
        rows, columns = (np.arange(224) * side // 224 for side in pair.foreground.shape)
        on = pair.foreground[rows][:, columns]
        off = pair.ignore[np.arange(224) * 15 // 224][:, np.arange(224) * 15 // 224] & ~on
        energies.append(scoremap[on].sum(dtype=float) / scoremap[~off].sum(dtype=float))
    assert record.metrics.energy_pointing_game == pytest.approx(100 * np.mean(energies), abs=1e-4)
    assert record.metrics.pointing_game == 100  # the foreground is everywhere near
    assert record.missing["mean_iou"] == record.missing["max_box_acc_by_size"] == "the data set has no boxes"
    assert "pointing_game" not in record.missing
