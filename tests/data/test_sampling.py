import pickle
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsolbench.contract import ImageSplit
from wsolbench.data.sampling import limit_split
from wsolbench.errors import UsageError


def load_index(index):
    return np.full((1, 1, 3), index, dtype=np.uint8)


def split_of(count):
    return ImageSplit(tuple(f"{k}.jpg" for k in range(count)), np.arange(count, dtype=np.int64) * 10, load_index)


def test_what_is_kept_belongs_together():
    limited = limit_split(split_of(10), 4)
    kept = [int(limited.load(k)[0, 0, 0]) for k in range(4)]
    assert limited.ids == tuple(f"{k}.jpg" for k in kept)
    assert limited.labels.tolist() == [10 * k for k in kept]
    assert limited.labels.dtype == np.int64


def test_a_limited_split_knows_the_sizes_of_its_images():
    split = split_of(10)
    sizes = dict.fromkeys(split.ids, (7, 5))
    limited = limit_split(replace(split, sizes=sizes), 4)
    assert {limited.sizes[image_id] for image_id in limited.ids} == {(7, 5)}


def test_the_same_images_are_kept_every_time():
    assert limit_split(split_of(500), 40).ids == limit_split(split_of(500), 40).ids


@pytest.mark.parametrize(
    "label", [lambda k, _: k % 12, lambda k, count: k * 12 // count], ids=["in turns", "in blocks"]
)
def test_classes_in_any_order_are_met(label):
    for count, limit in product([300, 1000], [25, 50, 100]):
        labels = np.array([label(k, count) for k in range(count)], dtype=np.int64)
        split = ImageSplit(split_of(count).ids, labels, load_index)
        assert len(set(limit_split(split, limit).labels.tolist())) >= min(10, limit // 3), (count, limit)


@pytest.mark.parametrize("limit", [None, 10, 11])
def test_no_effective_limit_keeps_the_split(limit):
    split = split_of(10)
    assert limit_split(split, limit) is split


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_below_one(limit):
    with pytest.raises(UsageError, match=f"a limit of {limit} images leaves nothing"):
        limit_split(split_of(10), limit)


@given(st.integers(0, 60), st.integers(1, 70))
def test_limited_split_is_ordered_and_unique(count, limit):
    limited = limit_split(split_of(count), limit)
    assert len(limited.ids) == min(count, limit)
    assert sorted(set(limited.labels.tolist())) == limited.labels.tolist()


def test_limited_split_can_be_sent_to_another_process():
    limited = pickle.loads(pickle.dumps(limit_split(split_of(10), 5)))
    assert f"{limited.load(2)[0, 0, 0]}.jpg" == limited.ids[2]
