"""Outcomes of a split: images selected or put in another order, whole."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from toy_records import (
    FULLSUP,
    TEST,
    make_outcomes,
    make_record,
    make_runs,
    remade,
    with_boxes,
    with_values,
    write_sealed,
)

from wsolbench.errors import DataError
from wsolbench.protocol import IOU_THRESHOLDS, MODES
from wsolbench.records import encoding, read_record, write_record
from wsolbench.records.encoding import encode_outcomes
from wsolbench.records.missing import OLDER_RECORD
from wsolbench.records.outcomes import IMAGE_VALUES, OtsuOutcomes, SplitOutcomes, claimed_scores, recompute_scores
from wsolbench.records.record import LATER_METRICS
from wsolbench.records.store import with_outcomes
from wsolbench.records.verify import contradiction, read_verified

OF_THE_SPLIT = {
    "split",
    "frame",
    "nan_maps",
    "constant_maps",
    "annotations_sha256",
    "images_sha256",
    "histograms",
    "class_names",
}
"""Fields that say nothing of one image; every other field holds one thing for each."""


def values(part):
    """Return for every field of single images, with the keys of what it holds, a list of one item an image."""
    found = {}

    def walk(path, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk((*path, key), inner)
        elif isinstance(value, OtsuOutcomes):
            walk(path, vars(value))
        elif hasattr(value, "num_thresholds"):
            found[path] = [tuple(value.at(place)[i] for place in range(value.num_thresholds)) for i in range(TEST)]
        else:
            found[path] = [str(item) for item in value]

    for field in fields(SplitOutcomes):
        if field.name not in OF_THE_SPLIT:
            walk((field.name,), getattr(part, field.name))
    return found


def uneven():
    """Return outcomes in which every curve, hit and statistic differs from image to image; some have no run, or two."""
    flat = [[2, 9], [], [0, 1, 5, 20], [3, 4], [0, 20], [], [7, 8, 10, 12], [19, 20]]
    correct = {
        mode: {iou: make_runs(flat[place:] + flat[:place]) for place, iou in enumerate(IOU_THRESHOLDS)}
        for mode in MODES
    }
    hits = {1: np.array([1, 0, 0, 1, 1, 1, 0, 0], bool), 5: np.array([1, 0, 1, 1, 1, 1, 0, 1], bool)}
    at_otsu = {mode: {iou: hits[5] & (np.arange(TEST) > 9 * iou) for iou in IOU_THRESHOLDS} for mode in MODES}
    otsu = OtsuOutcomes(np.arange(TEST) / TEST, at_otsu)
    labels, sizes = np.arange(TEST), np.linspace(0, 1, TEST).round(6)
    energy = {"energy_pointing_game": np.linspace(1, 0, TEST).round(6)}
    (boxed,) = with_boxes([make_outcomes()])
    boxes = {"true_boxes": boxed.true_boxes, "predicted_boxes": np.arange(4 * TEST).reshape(TEST, 4)}
    return make_outcomes(correct=correct, hits=hits, otsu=otsu, labels=labels, sizes=sizes, values=energy, **boxes)


@pytest.mark.parametrize("order", [range(TEST)[::-1], [3, 1, 4, 0, 5, 2, 6, 7], range(TEST)])
def test_selecting_takes_every_field_of_every_image_along(order):
    part = uneven()
    before, after = values(part), values(part.select(order))
    assert {path[0] for path in before} == {field.name for field in fields(SplitOutcomes)} - OF_THE_SPLIT
    assert before.keys() == after.keys()
    for path, items in before.items():
        assert after[path] == [items[place] for place in order], path


def test_some_images_can_be_selected_and_none_has_runs_of_another():
    part = uneven().select([6, 1])
    assert part.image_ids == ("test/6", "test/1")
    runs = part.correct["single"][0.3]
    assert (runs.num_images, runs.image.tolist()) == (2, [0, 0])
    assert (runs.start.tolist(), runs.stop.tolist()) == ([7, 10], [8, 12])
    assert uneven().select([]).correct["multi"][0.7].num_images == 0


@pytest.mark.parametrize("at_a_time", [1, 3, 1000])
def test_outcomes_of_many_images_are_written_as_those_of_few(monkeypatch, at_a_time):
    outcomes = [replace(uneven(), statistics={"share": np.array([0.0, 1.0, np.nan, 0.25, 1e-7, 1e22, 0.5, 3.0])})]
    whole = b"".join(encode_outcomes(outcomes))
    assert json.loads(whole)["test"]["statistics"]["share"][:4] == [0.0, 1.0, None, 0.25]
    monkeypatch.setattr(encoding, "_FEW", 0)
    monkeypatch.setattr(encoding, "_AT_A_TIME", at_a_time)
    pieces = list(encode_outcomes(outcomes))
    assert b"".join(pieces) == whole
    assert len(pieces) > 50


def test_the_order_of_images_changes_no_score():
    record = make_record(test=uneven())
    turned = [part.select(np.arange(len(part.image_ids))[::-1]) for part in record.outcomes]
    assert recompute_scores(turned, record.protocol) == recompute_scores(record.outcomes, record.protocol)


def test_a_curve_is_the_share_of_images_that_are_correct():
    curve = make_outcomes("train-fullsup", FULLSUP).box_acc("multi", 0.7)
    assert curve.tolist() == [20, 40, 60, 80, 80, 60, 40, 20] + [0] * 12
    with pytest.raises(DataError, match="test has no boxes"):
        make_outcomes(correct=None).box_acc("single", 0.5)


@pytest.mark.parametrize(
    "change",
    [
        {"image_ids": ()},
        {"hits": {1: np.ones(TEST - 1, bool)}},
        {"statistics": {"share": np.ones(TEST + 1)}},
        {"image_ids": ("a",)},
    ],
)
def test_outcomes_of_different_numbers_of_images_are_refused(change):
    with pytest.raises(DataError, match="outcomes of test: expected one of each kind for each of"):
        make_outcomes(**change).images  # noqa: B018


def test_a_record_with_numbers_of_every_image_is_verified_and_comes_back(tmp_path):
    record = make_record(test=with_values([make_outcomes()])[0], fullsup=None)
    assert {"mean_iou", "energy_pointing_game", "box_acc_area_v2"} <= claimed_scores(record.metrics).keys()
    read = read_verified(write_record(record, tmp_path, "a"))
    assert read == record
    for name in ("labels", "sizes"):
        np.testing.assert_array_equal(getattr(read.outcomes[0], name), getattr(record.outcomes[0], name))
    turned = read.outcomes[0].select(range(TEST)[::-1])
    assert recompute_scores([turned], read.protocol) == recompute_scores(read.outcomes, read.protocol)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean_iou": np.full(TEST, 0.2)}, "mean_iou of 'test/0' is 0.2, but its outcomes say otherwise"),
        ({"pointing_game": np.zeros(TEST)}, "a maximum is on the object, but not near it"),
        ({"energy_pointing_game": np.full(TEST, 1.5)}, "each number from 0 to 1"),
        ({"energy_pointing_game": np.full(TEST, 1 / 3)}, "with at most 6 decimals"),
        ({"charm": np.zeros(TEST)}, "'charm': expected one of mean_iou, fullsup_mean_iou, pointing_game"),
    ],
)
def test_numbers_of_images_that_cannot_be_are_refused(changes, words):
    (part,) = with_values([make_outcomes()])
    record = make_record(test=part, fullsup=None)
    changed = replace(part, values={**part.values, **changes})
    possible = all(values.max() <= 1 and name in IMAGE_VALUES for name, values in changes.items())
    assert words in contradiction(make_record(test=changed, fullsup=None) if possible else remade(record, [changed]))


@pytest.mark.parametrize("fullsup", [None, make_outcomes("train-fullsup", FULLSUP)])
def test_a_record_with_boxes_is_verified_and_comes_back(tmp_path, fullsup):
    scored, *choosing = with_boxes([make_outcomes(), *([fullsup] if fullsup else [])])
    scored = replace(scored, class_names={0: "gr\u00fcn", 2: "a, b"})
    record = make_record(test=scored, fullsup=choosing[0] if choosing else None)
    read = read_verified(write_record(record, tmp_path, "a"))
    (part, *_), (expected, *_) = read.outcomes, record.outcomes
    assert [boxes.tolist() for boxes in part.true_boxes] == [boxes.tolist() for boxes in expected.true_boxes]
    np.testing.assert_array_equal(part.predicted_boxes, expected.predicted_boxes)
    assert part.class_names == {0: "gr\u00fcn", 2: "a, b"}
    np.testing.assert_array_equal(part.sizes, expected.sizes)  # which follow from the boxes, and are not stored


def moved(boxes, place, box):
    return np.array([box if at == place else of.tolist() for at, of in enumerate(boxes)])


TURNED = np.array([[9, 0, 0, 9]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: {"predicted_boxes": moved(p.predicted_boxes, 0, [0, 0, 0, 0])}, "the IoU of the box of 'test/0' is"),
        (lambda p: {"predicted_boxes": moved(p.predicted_boxes, 0, [20, 30, 91, 49])}, "mean_iou of its images and"),
        (lambda p: {"predicted_boxes": moved(p.predicted_boxes, 0, [0, 0, 224, 9])}, "inside the frame of 224"),
        (lambda p: {"predicted_boxes": moved(p.predicted_boxes, 0, TURNED[0])}, "inside the frame of 224"),
        (lambda p: {"true_boxes": (TURNED, *p.true_boxes[1:])}, "expected true boxes"),
        (lambda p: {"true_boxes": (p.true_boxes[0][:0], *p.true_boxes[1:])}, "an image has no true box"),
        (lambda p: {"true_boxes": (p.true_boxes[0] // 2, *p.true_boxes[1:])}, "sizes of objects are not those"),
        (lambda _: {"true_boxes": None}, "are there together"),
        (lambda _: {"class_names": {0: "a\nb"}}, "the name of class 0"),
        (lambda _: {"class_names": {9: "owl"}}, "class 9 has a name and no image"),
        (lambda p: {"labels": p.labels - 1}, "the label of 'test/0' is -1; labels count from 0"),
        (lambda p: {"labels": p.labels + 1}, "the label of 'test/2' is 3, but the data set has 3 classes"),
        (
            lambda _: {"class_names": {0: "owl"}, "true_boxes": None, "predicted_boxes": None},
            "they name classes and have no boxes",
        ),
        (lambda _: {"class_names": {}, "values": None}, "they name classes and have no values"),
    ],
)
def test_boxes_that_the_other_outcomes_contradict_are_refused(change, words):
    (part,) = with_boxes([make_outcomes()])
    assert contradiction(make_record(test=part, fullsup=None)) is None
    changed = replace(part, **change(part))
    assert words in contradiction(make_record(test=changed, fullsup=None))


def test_labels_that_are_no_classes_are_refused_when_a_file_is_read(tmp_path):
    (part,) = with_boxes([make_outcomes()])
    path = write_record(make_record(test=replace(part, labels=part.labels + 8), fullsup=None), tmp_path, "a")
    with pytest.raises(DataError, match=r"a\.outcomes\.json\.gz: outcomes of test: the label of 'test/0' is 8, but"):
        read_record(path)


def test_an_older_record_lacks_the_later_metrics_and_says_so(tmp_path):
    record = make_record()
    content = json.loads(record.to_json())
    for name in LATER_METRICS:
        assert content["metrics"].pop(name) is None
        assert content["missing"].pop(name) == "the record is older than this metric"
    write_record(record, tmp_path, "a")
    read = read_verified(write_sealed(tmp_path / "a.json", content))
    assert read == record
    newer = make_record(test=with_values([make_outcomes()])[0], fullsup=None)
    pretending = newer.model_copy(update={"missing": {**newer.missing, "fullsup_mean_iou": OLDER_RECORD}})
    assert "missing.fullsup_mean_iou" in contradiction(with_outcomes(pretending, newer.outcomes))
