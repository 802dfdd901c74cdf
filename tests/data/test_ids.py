import numpy as np
import pytest

from wsolbench.contract import ImageSplit
from wsolbench.data.ids import check_ids
from wsolbench.errors import DataError


def split_of(ids, labels):
    return ImageSplit(tuple(ids), np.array(labels, dtype=np.int64), lambda _: np.zeros((1, 1, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("ids", "labels", "problem"),
    [
        ([], [], "has no images"),
        (["a.jpg"], [0, 1], "has 1 images but 2 labels"),
        (["../a.jpg"], [0], "stays inside its folder"),
        (["/a.jpg"], [0], "stays inside its folder"),
        (["a/../../b.jpg"], [0], "stays inside its folder"),
        (["c:a.jpg"], [0], "stays inside its folder"),
        (["a\x00.jpg"], [0], "without control characters"),
        (["a.jpg", "a.jpg"], [0, 1], "holds the image 'a.jpg' twice"),
        (["a.jpg", "b.jpg"], [0, -1], "'b.jpg': expected a label of 0 or more, got -1"),
    ],
)
def test_what_a_data_set_may_not_give(ids, labels, problem):
    with pytest.raises(DataError, match=problem):
        check_ids(split_of(ids, labels), "test of the data set 'toy'")


def test_what_it_may():
    check_ids(split_of(["a b,c.jpg", "x/..a.jpg", "é.png"], [0, 0, 7]), "test")
