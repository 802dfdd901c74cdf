import re
from dataclasses import replace

import numpy as np
import pytest
from trees import write_lists, write_nettewoof
from wsolbench_plugins.datasets import nettewoof
from wsolbench_plugins.datasets.nettewoof import CLASSES

from wsolbench.api import DataError, DatasetRoots, Split, UsageError

(SPEC,) = nettewoof.wsolbench_datasets()


@pytest.fixture
def roots(tmp_path):
    return write_nettewoof(tmp_path)


def test_the_photos_come_from_two_zip_files(roots):
    dataset = SPEC.build(roots)
    assert dataset.class_names == tuple(CLASSES.values())
    weaksup, fullsup, test = (dataset.images(split) for split in Split)
    assert weaksup.ids[:3] == ("n01440764/1.JPEG", "n01440764/2.JPEG", "n02086240/1.JPEG")
    assert [len(images.ids) for images in (weaksup, fullsup, test)] == [40, 20, 40]
    assert np.bincount(test.labels).tolist() == [2] * 20
    for images in (weaksup, fullsup, test):
        assert images.load(len(images.ids) - 1).shape == (24, 30, 3)
    assert dataset.annotations(Split.TEST).boxes["n01440764/4.JPEG"].tolist() == [[2, 2, 9, 9]]
    assert not dataset.annotations(Split.TRAIN_WEAKSUP).boxes


def test_the_lists_of_small_objects_are_named_by_their_folder(roots):
    dataset = SPEC.build(replace(roots, metadata=roots.images / "metadata-small"))
    assert [len(dataset.images(split).ids) for split in Split] == [40, 20, 20]
    assert dataset.images(Split.TEST).load(0).shape == (24, 30, 3)


def test_what_is_wrong_with_the_folder_is_told(roots, tmp_path):
    with pytest.raises(UsageError, match="pass --data-root DIR, which holds images"):
        SPEC.build(DatasetRoots())
    with pytest.raises(UsageError, match="leave out --masks"):
        SPEC.build(replace(roots, masks=tmp_path))
    with pytest.raises(DataError, match="does not hold metadata/test/image_ids"):
        SPEC.build(DatasetRoots(images=tmp_path / "metadata"))
    write_lists(tmp_path / "metadata" / "test", [("n01440764/a.JPEG", 1, [(0, 0, 1, 1)])], (8, 8))
    with pytest.raises(DataError, match=re.escape("'n01440764/a.JPEG' has label 1; use --dataset folder")):
        SPEC.build(roots)


def test_the_whole_data_set(shared_data):
    folder = shared_data / "nettewoof"
    dataset = SPEC.build(DatasetRoots(images=folder))
    assert [len(dataset.images(split).ids) for split in Split] == [23_390, 750, 1_428]
    small = SPEC.build(DatasetRoots(images=folder, metadata=folder / "metadata-small"))
    assert [len(small.images(split).ids) for split in Split][1:] == [344, 699]
    for split, size in zip(Split, (128, 224, 224), strict=True):
        assert dataset.images(split).load(0).shape == (size, size, 3)
