"""The checks of data sets: each notices what it is there for."""

import numpy as np
import pytest
from conformance import check_of, fails

from wsolbench.api import Annotations, DatasetSpec, ImageSplit, MaskPair, Split


def blank_image(_):
    return np.zeros((8, 9, 3), dtype=np.uint8)


def filled_mask(_):
    return MaskPair(np.ones((8, 9), dtype=bool))


class Toys:
    """A data set that keeps every rule, with one part changed."""

    name, version, class_names = "toys", "1", ("a", "b")
    splits = frozenset({Split.TEST})

    def __init__(self, **changes):
        self.changes = changes

    def images(self, _):
        parts = {"ids": ("x", "y"), "labels": np.array([0, 1]), "load": blank_image}
        return ImageSplit(**{key: self.changes.get(key, value) for key, value in parts.items()})

    def annotations(self, _):
        parts = {
            "boxes": {"x": np.array([[0, 0, 8, 7]]), "y": np.array([[1, 1, 1, 1]])},
            "image_sizes": {"x": (9, 8), "y": (9, 8)},
            "load_mask": filled_mask,
        }
        return Annotations(**{key: self.changes.get(key, value) for key, value in parts.items()})


def spec(**changes):
    return DatasetSpec("toys", lambda _: Toys(**changes), "s")


def test_a_data_set_that_keeps_every_rule():
    assert fails(spec()) == set()


ONE_BOX = {"x": np.array([[0, 0, 8, 7]])}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"ids": ("x", "x")}, "ids"),
        ({"ids": ()}, "ids"),
        ({"labels": np.array([0, 2])}, "labels"),
        ({"labels": np.array([-1, 1])}, "labels"),
        ({"labels": np.array([0, 1], dtype=np.int32)}, "labels"),
        ({"labels": np.array([0])}, "labels"),
        ({"load": lambda _: np.zeros((8, 9, 3))}, "images"),
        ({"load": lambda _: np.zeros((8, 9), dtype=np.uint8)}, "images"),
        ({"load": lambda _: np.random.default_rng().integers(0, 255, (8, 9, 3), dtype=np.uint8)}, "images"),
        ({"boxes": ONE_BOX}, "boxes"),
        ({"boxes": {**ONE_BOX, "y": np.array([[0, 0, 9, 7]])}}, "boxes"),
        ({"boxes": {**ONE_BOX, "y": np.array([[-1, 0, 8, 7]])}}, "boxes"),
        ({"boxes": {**ONE_BOX, "y": np.array([[5, 0, 4, 7]])}}, "boxes"),
        ({"boxes": {**ONE_BOX, "y": np.zeros((0, 4), dtype=int)}}, "boxes"),
        ({"image_sizes": {"x": (8, 9), "y": (9, 8)}}, "boxes"),
        ({"load_mask": lambda _: MaskPair(np.ones((8, 9)))}, "masks"),
        ({"load_mask": lambda _: MaskPair(np.zeros((8, 9), dtype=bool))}, "masks"),
        ({"load_mask": lambda _: MaskPair(np.ones((8, 9), dtype=bool), np.ones(9, dtype=bool))}, "masks"),
        ({"boxes": {}, "load_mask": None}, "can_be_scored"),
    ],
)
def test_a_data_set_that_breaks_a_rule(changes, rule):
    with pytest.raises(AssertionError):
        check_of(spec(**changes), f"dataset_{rule}")()


@pytest.mark.parametrize("part", ["load", "load_mask"])
def test_a_split_made_of_closures_fails_once_and_says_what_to_use(part):
    closures = {"load": lambda _: np.zeros((8, 9, 3), dtype=np.uint8), "load_mask": lambda _: filled_mask(_)}
    closed = spec(**{part: closures[part]})
    assert fails(closed) == {"dataset_pickles"}
    with pytest.raises(AssertionError, match=r"test sent to another process: expected .*, got .*functools\.partial"):
        check_of(closed, "dataset_pickles")()


class Forgetful:
    """A function that gives something else in another process."""

    def __init__(self, remembered=None, other=None):
        self.remembered, self.other = remembered, other

    def __call__(self, _):
        return self.remembered

    def __reduce__(self):
        return Forgetful, (self.other, self.other)


BLANK = np.zeros((8, 9, 3), dtype=np.uint8)
FILLED = np.ones((8, 9), dtype=bool)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"load": Forgetful(BLANK, BLANK + 1)}, "image 'x' of test"),
        ({"load_mask": Forgetful(MaskPair(FILLED), MaskPair(~FILLED))}, "foreground mask of 'x'"),
        ({"load_mask": Forgetful(MaskPair(FILLED, FILLED), MaskPair(FILLED))}, "ignore mask of 'x'"),
    ],
)
def test_a_split_that_is_another_one_in_another_process(changes, what):
    with pytest.raises(AssertionError, match=f"{what}.* sent to another process: expected the same pixels"):
        check_of(spec(**changes), "dataset_pickles")()
