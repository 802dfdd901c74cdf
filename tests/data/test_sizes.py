"""The one rule of what a listed size means, without files."""

import pickle

import numpy as np
import pytest

from wsolbench.contract import ImageSplit, Severity
from wsolbench.data.remarks import findings_of_readings, findings_of_remarks, remarks_on
from wsolbench.data.sizes import Header, Readings, Remark, decide_size
from wsolbench.errors import DataError
from wsolbench.training.images import TrainingImages

SWAPPED = "swapped"


@pytest.mark.parametrize(
    ("stored", "listed", "expected"),
    [
        ((640, 480), (640, 480), ()),
        ((640, 480), (480, 640), SWAPPED),
        ((320, 240), (480, 640), SWAPPED),
        ((227, 226), (226, 227), SWAPPED),
        ((225, 227), (500, 496), (Remark.RESHAPED,)),  # squashed to about a square, not swapped
        ((224, 224), (500, 375), (Remark.RESHAPED,)),
        ((426, 320), (500, 375), (Remark.RESIZED,)),
        ((1000, 750), (500, 375), (Remark.RESIZED,)),
        ((4, 3), (640, 480), (Remark.RESIZED,)),
        ((639, 480), (640, 480), (Remark.INEXACT,)),
        ((636, 477), (640, 480), (Remark.INEXACT,)),
        ((640, 400), (640, 480), (Remark.RESHAPED,)),
        ((640, 480), None, ()),
    ],
)
def test_a_listed_size_is_compared_with_that_of_the_file(stored, listed, expected):
    decision = decide_size(Header(stored), listed)
    assert (decision.upright, decision.size) == (False, stored)
    if expected is SWAPPED:
        assert "width and height are swapped in the list; exchange them there" in decision.problem
    else:
        assert (decision.remarks, decision.problem) == (expected, None)


@pytest.mark.parametrize(
    ("listed", "reach", "otherwise", "upright", "remark"),
    [
        ((480, 640), None, False, True, Remark.TURNED),
        ((240, 320), None, False, True, Remark.TURNED),
        ((640, 480), None, True, False, Remark.STORED),
        (None, (470, 630), False, True, Remark.TURNED_FOR_BOXES),
        (None, (630, 470), True, False, Remark.STORED_FOR_BOXES),
        (None, (100, 100), False, False, Remark.ASSUMED_STORED),
        (None, (100, 100), True, True, Remark.ASSUMED_UPRIGHT),
        (None, (1000, 1000), True, True, Remark.ASSUMED_UPRIGHT),
        (None, None, True, True, Remark.ASSUMED_UPRIGHT),
    ],
)
def test_a_photo_stored_sideways_is_read_as_its_lists_have_it(listed, reach, otherwise, upright, remark):
    decision = decide_size(Header((640, 480), 6), listed, reach, otherwise=otherwise)
    assert decision.upright is upright
    assert decision.size == ((480, 640) if upright else (640, 480))
    assert decision.remarks[0] is remark
    assert pickle.loads(pickle.dumps(decision)) == decision


@pytest.mark.parametrize(
    ("orientation", "stated", "others", "upright", "remark"),
    [
        (3, True, Readings(stored=9), True, Remark.LISTED_UPRIGHT),
        (3, False, Readings(upright=9), False, Remark.LISTED_STORED),
        (3, None, Readings(upright=2), True, Remark.TURNED_LIKE_OTHERS),
        (3, None, Readings(stored=2), False, Remark.STORED_LIKE_OTHERS),
        (6, None, Readings(upright=3, stored=1), True, Remark.ASSUMED_UPRIGHT),
        (6, None, Readings(upright=1, stored=3), False, Remark.ASSUMED_STORED),
        (6, None, Readings(2, 2), False, Remark.ASSUMED_STORED),
        (1, True, Readings(upright=2), False, None),
    ],
)
def test_a_photo_that_does_not_tell_is_read_like_the_others(orientation, stated, others, upright, remark):
    decision = decide_size(Header((90, 90), orientation), (90, 90), stated=stated, others=others)
    assert decision.upright is upright
    assert decision.remarks == (() if remark is None else (remark,))


@pytest.mark.parametrize(
    ("listed", "reach", "problem"),
    [
        (
            (100, 80),
            (38, 83),
            "size of the photo as it is stored, 100x80, but its boxes reach 38,83 and fit only the ph",
        ),
        (
            (80, 100),
            (98, 40),
            "photo turned upright, 80x100, but its boxes reach 98,40 and fit only the photo as it is",
        ),
        ((200, 160), (70, 190), "200x160, but its boxes reach 70,190 and fit only the photo turned upright, 160x200"),
        ((100, 80), (99, 81), None),
        ((100, 80), (120, 120), None),
    ],
)
def test_boxes_that_fit_only_the_photo_turned_otherwise_contradict_the_listed_size(listed, reach, problem):
    found = decide_size(Header((100, 80), 6), listed, reach).problem
    assert found is None if problem is None else problem in found
    assert decide_size(Header(listed), listed, reach).problem is None  # without an orientation nothing is turned


def test_lists_that_have_photos_in_both_ways_are_told_with_both_counts():
    told = {"train-fullsup": {Remark.TURNED.value: ["a", "b"]}, "test": {Remark.STORED_FOR_BOXES.value: ["c"]}}
    (finding,) = findings_of_readings(told)
    assert finding.severity is Severity.WARNING
    assert "they have 2 images (a, b) upright by EXIF orientation, and 1 image (c) as stored" in finding.text
    assert not list(findings_of_readings({"test": told["test"]}))


def split_of(sizes):
    """A split of a data set that decides nothing itself, of images of 6x4 pixels."""
    return ImageSplit(
        tuple(sizes), np.zeros(len(sizes), np.int64), lambda _: np.zeros((4, 6, 3), np.uint8), sizes=sizes
    )


def test_data_sets_that_decide_nothing_get_the_same_rule():
    split = split_of({"a": (6, 4), "b": (60, 40), "c": (4, 6)})
    assert [remarks_on(split, index, (6, 4)) for index in (0, 1)] == [(), ("resized copies",)]
    with pytest.raises(DataError, match="image 'c' is 6x4, but the lists say 4x6: width and height are swapped"):
        remarks_on(split, 2, (6, 4))


def test_a_training_says_what_was_decided():
    images = TrainingImages(split_of({"a": (6, 4), "b": (60, 40), "c": (60, 40)}))
    images.content_sha256()
    (finding,) = images.findings()
    assert finding.text.startswith("train-weaksup: 2 images (b, c) resized; boxes and sizes remain those of the origin")


def test_every_remark_has_a_sentence():
    for remark in Remark:
        (finding,) = findings_of_remarks("test", {remark.value: ["a", "b", "c", "d"]})
        assert finding.text.startswith("test: ")
        assert "4 images (a, b, c, ...)" in finding.text
        assert finding.severity is not Severity.ERROR
