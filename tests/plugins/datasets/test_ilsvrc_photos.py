import re
from dataclasses import replace

import pytest
from trees import write_ilsvrc_photos, write_lists
from wsolbench_plugins.datasets import ilsvrc

from wsolbench.api import DataError, DatasetRoots, Split, UsageError

_, SPEC = ilsvrc.wsolbench_datasets()


@pytest.fixture
def roots(tmp_path):
    return write_ilsvrc_photos(tmp_path)


def test_labels_and_boxes_are_those_of_the_lists(roots):
    dataset = SPEC.build(roots)
    assert dataset.splits == {Split.TRAIN_FULLSUP, Split.TEST}
    assert len(dataset.class_names) == 1_000
    test = dataset.images(Split.TEST)
    assert test.ids == tuple(f"val/ILSVRC2012_val_0000000{number}.JPEG" for number in (3, 4, 5))
    assert test.labels.tolist() == [21, 28, 35]
    assert test.load(2).shape == (24, 30, 3)
    truth = dataset.annotations(Split.TEST)
    assert truth.boxes[test.ids[0]].tolist() == [[2, 2, 9, 9]]
    assert truth.image_sizes[test.ids[0]] == (30, 24)


def test_the_lists_of_small_objects_are_named_by_their_folder(roots):
    small = SPEC.build(replace(roots, metadata=roots.images / "metadata-small"))
    assert [len(small.images(split).ids) for split in (Split.TRAIN_FULLSUP, Split.TEST)] == [1, 1]
    assert small.images(Split.TEST).load(0).shape == (24, 30, 3)


def test_what_is_wrong_with_the_folder_is_told(roots, tmp_path):
    with pytest.raises(UsageError, match="pass --data-root DIR, which holds images"):
        SPEC.build(DatasetRoots())
    with pytest.raises(UsageError, match="leave out --masks"):
        SPEC.build(replace(roots, masks=tmp_path))
    with pytest.raises(DataError, match="does not hold metadata/test/image_ids"):
        SPEC.build(DatasetRoots(images=tmp_path / "metadata"))
    write_lists(tmp_path / "metadata" / "test", [("val/a.JPEG", 1000, [(0, 0, 1, 1)])], (8, 8))
    with pytest.raises(DataError, match=re.escape("lists label 1000, but 'ilsvrc-photos' has 1,000 classes, from 0")):
        SPEC.build(roots)


def test_the_whole_data_set(shared_data):
    folder = shared_data / "ilsvrc-photos"
    dataset = SPEC.build(DatasetRoots(images=folder))
    small = SPEC.build(DatasetRoots(images=folder, metadata=folder / "metadata-small"))
    for of, counts in ((dataset, (319, 1_358)), (small, (182, 726))):
        assert tuple(len(of.images(split).ids) for split in (Split.TRAIN_FULLSUP, Split.TEST)) == counts
    assert dataset.images(Split.TEST).load(0).shape in {(224, 224, 3), (227, 227, 3)}
