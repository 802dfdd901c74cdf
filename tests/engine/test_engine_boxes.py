"""Methods that make boxes in place of maps: scored as ``evaluate --predicted-boxes`` scores them, or refused."""

import numpy as np
import pytest
import torch
from toys import ToyNet

import wsolbench
from wsolbench.contract import Boxes, MethodSpec, Split
from wsolbench.engine.localize import NetworkMaps
from wsolbench.engine.methods import build_methods
from wsolbench.engine.predictions import StoredBoxes
from wsolbench.engine.scoring import score_maps
from wsolbench.errors import DataError, PluginError, UsageError
from wsolbench.figures.panels import Picture
from wsolbench.figures.side_by_side import Column, draw_columns
from wsolbench.progress import Reporter
from wsolbench.protocol import FRAME, Scoring, box_iou
from wsolbench.records.tables import results_table
from wsolbench.records.verify import contradiction, verified

pytestmark = pytest.mark.usefixtures("no_gallery")

NAN = float("nan")
SQUARE = [4 / 32, 4 / 32, 19 / 32, 19 / 32]
"""The box of image 0 of the toys in fractions of its 32 pixels; that of image n begins n pixels further right."""


class Boxer:
    """Gives the boxes that a function makes of an image's number."""

    def __init__(self, boxes, scores=None, statistics=()):
        self.boxes, self.scores, self.statistics = boxes, scores, statistics

    def __call__(self, features, _context):
        numbers = (features[:, 0].mean(dim=(1, 2)) * 255).round().int().tolist()
        boxes = torch.tensor([self.boxes(number) for number in numbers])
        scores = None if self.scores is None else torch.tensor([self.scores(number) for number in numbers])
        return Boxes(boxes, scores, {name: torch.tensor(numbers).float() for name in self.statistics})


def right(number):
    return [4 / 32 + number / 32, 4 / 32, 19 / 32 + number / 32, 19 / 32]


@pytest.fixture
def boxer(toys):
    """Run the boxes of a function on toys; return the record."""

    def run(*arguments, **settings):
        (record,) = toys.run(toys.method("boxer", Boxer(*arguments)), **settings)
        assert contradiction(verified(record)) is None
        return record

    return run


def test_a_box_is_right_at_every_threshold_or_at_none(boxer, toys):
    record = boxer(lambda number: right(number) if number < 3 else [0.0, 0.0, 0.05, 0.05])
    metrics = record.metrics
    assert metrics.max_box_acc == metrics.fullsup_box_acc == metrics.gt_known_loc == metrics.box_acc_area == 50
    assert metrics.max_box_acc_v2 == metrics.fullsup_box_acc_v2 == 50
    assert record.protocol.scored == "boxes"
    assert record.missing["pxap"] == "boxes were predicted, not maps"
    assert record.missing["fullsup_cam_threshold"] == "boxes have no τ"
    assert metrics.top1_acc == 100
    assert metrics.top1_loc == 50
    assert record.boxes_per_image == 1
    assert "boxes, no τ" in str(record)
    assert "boxes an image" not in str(record)
    assert "oracle τ" not in str(record)
    assert [info.split for info in record.splits] == ["test", "train-fullsup"]
    assert record.splits[0].images_sha256 is not None
    assert toys.notes.warned == []


def test_corners_become_pixels_as_those_of_lists_in_fractions_do(boxer):
    record = boxer(lambda number: right(number) if number else [0.0, 0.249, 1.0, 0.5])
    frame = [[int(corner * 224 / 32) for corner in box] for box in ([0, 7, 31, 16], [5, 4, 20, 19])]
    assert record.evaluated.predicted_boxes[:2].tolist() == frame
    assert record.evaluated.predicted_boxes[1].tolist() == record.evaluated.true_boxes[1][0].tolist()


def test_of_several_boxes_the_best_score_counts_alone_and_any_for_v2(boxer):
    def boxes(number):
        return [[0.0, 0.0, 0.1, 0.1], right(number), [NAN] * 4]

    first = boxer(boxes)
    assert (first.metrics.max_box_acc, first.metrics.max_box_acc_v2) == (0, 100)
    assert first.boxes_per_image == 2  # the third is none
    assert "boxes, no τ; 2.0 boxes an image" in str(first)
    assert "boxer ¶" in str(first)
    assert "¶ more than one predicted box an image: MaxBoxAccV2 counts an image as right where any" in str(first)


def test_scores_decide_which_box_is_the_best(boxer):
    record = boxer(lambda number: [[0.0, 0.0, 0.1, 0.1], right(number)], lambda number: [0.5, number - 1.4])
    assert record.metrics.max_box_acc == pytest.approx(100 * 4 / 6)  # where the number is 2 or more
    assert record.metrics.max_box_acc_by_iou == {"0.3": 100, "0.5": 100, "0.7": 100}


def test_boxes_outside_are_cut_and_missing_ones_count_as_wrong(boxer, toys):
    odd = {0: [-0.5, 4 / 32, 19 / 32, 19 / 32], 1: [1.2, 0.1, 1.4, 0.5], 2: [NAN] * 4, 3: [0.5, 0.5, 0.5, 0.5]}
    record = boxer(lambda number: odd.get(number, right(number)), None, ["area"])
    predicted = record.evaluated.predicted_boxes
    assert predicted[0].tolist() == [0, 28, 133, 133]
    assert predicted[1].tolist() == predicted[2].tolist() == [0, 0, -1, -1]
    assert predicted[3].tolist() == [112, 112, 112, 112]
    assert record.metrics.max_box_acc == 50
    assert (record.evaluated.values["mean_iou"][[1, 2]] == 0).all()
    assert record.splits[0].statistics == ["area"]
    assert "2 boxes of 'boxer' on test outside the image, cut at its border" in toys.notes.said
    missing = "2 of 6 images of test have no box of 'boxer' and count as wrong; the first is 'test/1'"
    assert missing in toys.notes.said


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([4.0, 4.0, 19.0, 19.0], "the box 4 4 19 19 for the image 'test/2'; expected corners in fractions"),
        ([0.5, 0.1, 0.2, 0.3], "the box 0.5 0.1 0.2 0.3 for the image 'test/2'; expected corners with x0 <= x1"),
        (
            [0.5, NAN, 0.6, 0.3],
            "the box 0.5 nan 0.6 0.3 for the image 'test/2'; expected corners in fractions of the image, from 0",
        ),
        (
            [0.5, 0.1, float("inf"), 0.3],
            "the box 0.5 0.1 inf 0.3 for the image 'test/2'; expected corners in fractions",
        ),
    ],
)
def test_what_is_no_box_is_one_line(boxer, toys, box, words):
    with pytest.raises(PluginError, match=rf"'toys': the method 'boxer' returned {words}"):
        boxer(lambda number: box if number == 2 else right(number), dataset=toys.dataset(fullsup=2))
    assert list(toys.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Boxes(torch.zeros(4, 5)), r"boxes \(4, 5\) for the images from 'val/0' on; expected \(4, 4\) or \(4, n, 4\)"),
        (Boxes(torch.zeros(3, 4)), r"boxes \(3, 4\) for the images"),
        (Boxes(np.zeros((4, 4))), "ndarray as boxes for the images from 'val/0' on; expected a tensor"),
        (Boxes(torch.zeros(4, 4), torch.zeros(4, 2)), r"scores of boxes \(4, 2\) .* expected one for each box, \(4,\)"),
        (Boxes(torch.zeros(4, 4), torch.full((4,), NAN)), "a score that is not finite for a box of the image 'val/0'"),
    ],
)
def test_boxes_of_another_form_are_one_line(toys, made, words):
    with pytest.raises(PluginError, match=f"the method 'boxer' returned {words}"):
        toys.run(toys.method("boxer", lambda *_: made))


def test_maps_of_one_batch_and_boxes_of_another_are_one_line(toys):
    def undecided(features, _context):
        return features[:, 1] if len(features) == 4 else Boxes(torch.tensor([SQUARE] * len(features)))

    words = "returned boxes for the images from 'test/4' on, and maps for those before; it has to return one of the two"
    with pytest.raises(PluginError, match=words):
        toys.run(toys.method("undecided", undecided))


def test_boxes_need_true_boxes(toys):
    with pytest.raises(DataError, match="the method 'boxer' makes boxes, and the split test has none"):
        toys.run(toys.method("boxer", Boxer(right)), dataset=toys.dataset(boxes=False))


def test_methods_of_both_kinds_stand_in_one_table(toys):
    records = toys.run(toys.method(), toys.method("boxer", Boxer(right)), tau=(0.25, "otsu"))
    assert [record.protocol.scored for record in records] == ["maps", "boxes"]
    assert [list(record.thresholds) for record in records] == [["fixed-0.25", "otsu"], []]
    assert "--tau has no effect on boxer: boxes have no τ" in toys.notes.said
    table = results_table(records)
    columns = next(line for line in table.splitlines() if "oracle τ " in line).split("  ")
    assert [text.strip() for text in columns if text] == ["oracle τ", "fullsup τ", "τ 0.25", "Otsu's τ", "boxes, no τ"]
    assert "τ chosen on 4 images of train-fullsup" in table
    comparison = records[0].compare(records[1])
    assert comparison.differences["max_box_acc"].second == 100


def test_boxes_of_the_predicted_class_have_no_gt_known_loc(boxer):
    record = boxer(right, target="predicted")
    assert record.metrics.gt_known_loc is None
    assert record.missing["gt_known_loc"] == "boxes of the predicted class"
    assert record.metrics.fullsup_box_acc == 100


class Grid:
    """Nine boxes an image, in an order that depends on the image; two reach beyond it, and an image has none."""

    def __call__(self, features, _context):
        starts = torch.tensor([[x / 6 - 0.01, y / 6 + 0.013] for x in range(3) for y in range(3)])
        boxes = torch.cat([starts, starts + 0.347], dim=1).repeat(len(features), 1, 1)
        boxes[features.mean(dim=(1, 2, 3)).argmax()] = NAN
        return Boxes(boxes, features.mean(dim=(2, 3))[:, :9])


def test_boxes_that_a_run_saves_score_the_same_in_evaluate(folder_set, tmp_path):
    made = folder_set(val=3, test=12)
    options = {"dataset": "folder", "data_root": made.images, "metadata_root": made.metadata}
    method = MethodSpec("grid", Grid, "us")
    (ran,) = wsolbench.run(
        "replknet_nano", method, **options, weights="random", save_scoremaps=tmp_path / "saved", threshold_step=0.1
    )
    file = tmp_path / "saved" / "grid" / "test.csv"
    lines = file.read_text().splitlines()
    assert lines[0] == "image,x0,y0,x1,y1,score"
    assert (tmp_path / "saved" / "grid" / "val.csv").exists()
    evaluated = wsolbench.evaluate(predicted_boxes=file, metadata_root=made.metadata)
    of_classes = {"top1_loc", "top5_loc", "top1_acc", "top5_acc"}
    assert 0 < ran.metrics.max_box_acc_v2 < 100
    assert ran.metrics.model_dump(exclude=of_classes) == evaluated.metrics.model_dump(exclude=of_classes)
    assert (ran.evaluated.predicted_boxes == evaluated.evaluated.predicted_boxes).all()
    assert ran.dataset.content_sha256 == evaluated.dataset.content_sha256
    assert ran.compare(evaluated).differences["max_box_acc"].difference == 0


def test_an_analysis_that_needs_maps_refuses_boxes(toys):
    plan = toys.plan(toys.method("boxer", Boxer(right)))
    maps = NetworkMaps(plan.network, plan.methods, "gt", 4, 1)
    with pytest.raises(UsageError, match="the method 'boxer' makes boxes, not maps"):
        maps.scoremaps(plan.dataset.images(Split.TEST), [0])


def test_a_network_may_make_boxes_itself(toys, registry):
    class Regressor(ToyNet):
        def localize(self, features, images, class_indices):
            assert images.shape == (len(features), 3, 32, 32)
            assert class_indices.shape == (len(features),)
            return Boxer(right)(features, None)

    native = build_methods(registry, {"native": {}})
    (record,) = toys.run(*native, network=toys.network(Regressor()))
    assert (record.method.name, record.protocol.scored, record.metrics.max_box_acc) == ("native", "boxes", 100)


@pytest.mark.parametrize(
    ("made", "words"), [(lambda maps: maps[:, None], r"\(4, 1, 8, 8\)"), (lambda _: None, "NoneType")]
)
def test_maps_of_another_shape_are_told_to_be_those_of_the_network(toys, registry, made, words):
    class Odd(ToyNet):
        def localize(self, features, *_):
            return made(features.mean(dim=1))

    native = build_methods(registry, {"native": {}})
    with pytest.raises(UsageError, match=f"localize of the network returned {words}; expected maps .*, h, w. or Boxes"):
        toys.run(*native, network=toys.network(Odd()))


def test_parts_of_a_split_that_are_scored_apart_give_the_same(toys):
    part = toys.plan().dataset.open(Split.TEST)
    boxes = [np.array([[4 + number, 4, 19 + number, 19], [0, 0, 9, 9]])[: number % 3] for number in range(6)]
    corners = dict(zip(part.images.ids, boxes, strict=True))
    source = StoredBoxes(corners, ("boxes",), {1: np.arange(6) % 2 == 0})

    def scored(positions):
        (score,) = score_maps(
            source, part, scoring=Scoring(0.05), workers=1, reporter=Reporter(), positions=positions
        ).values()
        return score

    whole, merged = scored(range(6)).result(), scored([4, 0, 3]).merge(scored([1, 2, 5])).result()
    assert whole.without_box == merged.without_box == [0, 3]
    assert not merged.of_maps
    assert (merged.boxes.boxes_at(0) == whole.boxes.boxes_at(0)).all()
    assert merged.boxes.max_box_acc == whole.boxes.max_box_acc == pytest.approx(400 / 6)
    assert (merged.hits[1] == whole.hits[1]).all()


def test_boxes_are_drawn_beside_maps_with_their_iou():
    image = np.zeros((FRAME, FRAME, 3), np.uint8)
    pictures = [Picture(name, image, np.array([[0, 0, 99, 99]])) for name in ("one", "two")]
    boxes = [np.array([0, 0, 99, 49]), np.array([0, 0, -1, -1])]
    columns = [
        Column("net", "map", 0.5, [np.eye(FRAME, dtype=np.float32)] * 2),
        Column("net", "box", None, None, boxes),
    ]
    panels = draw_columns(pictures, columns).axes
    written = [[text.get_text() for text in panel.texts] for panel in panels]
    assert (written[2], written[5]) == (["0.50"], ["no box"])
    assert [len(panel.images) for panel in panels[:3]] == [1, 2, 1]
    assert len(panels[2].patches) == len(panels[5].patches) + 1


def test_a_method_that_has_no_box_of_any_image_for_a_reason_has_no_scores(toys):
    def nowhere(features, _context):
        return Boxes(torch.full((len(features), 4), NAN), None, {"not defined: no object": torch.ones(len(features))})

    (record,) = toys.run(toys.method("nowhere", nowhere))
    assert record.undefined == "not defined: no object"
    assert contradiction(verified(record)) is None
    assert "MaxBoxAcc    not defined" in results_table([record])


def test_boxes_are_compared_in_the_frame_that_was_asked_for(toys):
    part = toys.plan().dataset.open(Split.TEST)
    corners = {image_id: np.array([[5, 4, 22, 19]]) for image_id in part.images.ids}
    source = StoredBoxes(corners, ("boxes",), {})
    for side in (FRAME, 24):
        (score,) = score_maps(source, part, scoring=Scoring(0.5, side), workers=1, reporter=Reporter()).values()
        found = score.result().boxes
        for index, box in enumerate(found.boxes_at(0)):
            assert box.tolist() == [int(corner * side / 32) for corner in (5, 4, 22, 19)]
            truth = np.array([[int(corner * side / 32) for corner in (4 + index, 4, 19 + index, 19)]])
            assert found.true_boxes[index].tolist() == truth.tolist()
            assert found.iou(0)[index] == pytest.approx(box_iou(box[None], truth)[0, 0])
