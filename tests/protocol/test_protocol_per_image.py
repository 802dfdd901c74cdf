"""Boxes of many images in one array read as the arrays they were made of."""

import pickle

import numpy as np
import pytest

from wsolbench.protocol.per_image import BoxLists, ByImage, Sizes

BOXES = [np.array([[0, 1, 2, 3]]), np.array([[4, 5, 6, 7], [8, 9, 10, 11], [0, 0, 0, 0]]), np.array([[1, 1, 2, 2]])]


def as_lists(boxes):
    return [of_image.tolist() for of_image in boxes]


def test_lists_are_what_they_were_made_of():
    lists = BoxLists.of(BOXES)
    assert as_lists(lists) == as_lists(BOXES)
    assert as_lists([lists[-1], lists[np.int64(1)]]) == as_lists([BOXES[-1], BOXES[1]])
    assert as_lists(lists[::-2]) == as_lists(BOXES[::-2])
    assert as_lists(lists.take([2, 0, 2])) == as_lists([BOXES[2], BOXES[0], BOXES[2]])
    assert BoxLists.of(lists) is lists
    assert as_lists(pickle.loads(pickle.dumps(lists))) == as_lists(BOXES)
    for outside in (3, -4):
        with pytest.raises(IndexError):
            lists[outside]
    assert len(BoxLists.of([])) == 0


def test_sizes_are_pairs():
    sizes = Sizes(np.array([[4, 3], [2, 1], [9, 9]]))
    assert list(sizes) == [(4, 3), (2, 1), (9, 9)]
    assert list(sizes[1:]) == [(2, 1), (9, 9)]
    assert sizes.index((2, 1)) == 1


def test_what_an_image_has_is_found_by_its_id():
    table = ByImage({"b": 0, "a": 1, "c": 2}, BoxLists.of(BOXES), lacking=["c"])
    assert list(table) == ["b", "a"]
    assert len(table) == 2
    assert {name: boxes.tolist() for name, boxes in table.items()} == dict(zip("ba", as_lists(BOXES[:2]), strict=True))
    for lacking in ("c", "d"):
        assert lacking not in table
        assert table.get(lacking) is None
        with pytest.raises(KeyError):
            table[lacking]
