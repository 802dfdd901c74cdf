import numpy as np
import pytest

from wsolbench.contract import DatasetRoots, Split
from wsolbench.data.fingerprint import annotations_hash, content_version
from wsolbench.data.reference import ReferenceDataset
from wsolbench.data.reference_writer import write_lists
from wsolbench.errors import UsageError


def opened(root):
    return ReferenceDataset("toy", DatasetRoots(metadata=root))


def test_what_is_written_reads_back(folder_set, tmp_path):
    original = opened(folder_set(train=3, val=2, test=4).metadata)
    write_lists(original, tmp_path / "lists")
    copy = opened(tmp_path / "lists")
    assert copy.splits == set(Split)
    for split in Split:
        assert copy.images(split).ids == original.images(split).ids
        np.testing.assert_array_equal(copy.images(split).labels, original.images(split).labels)
    for split in (Split.TRAIN_FULLSUP, Split.TEST):
        hashes = [annotations_hash(data.images(split), data.annotations(split)) for data in (original, copy)]
        assert hashes[0] == hashes[1]
    assert content_version(copy) == content_version(original)


def test_no_box_of_train_weaksup_is_written(folder_set, tmp_path):
    write_lists(opened(folder_set(train=3, test=2).metadata), tmp_path / "lists")
    assert (tmp_path / "lists" / "train" / "localization.txt").read_text() == ""
    assert (tmp_path / "lists" / "train" / "image_sizes.txt").read_text() == ""
    assert not (tmp_path / "lists" / "val").exists()


def test_masks_are_refused(folder_set, tmp_path):
    masked = folder_set(annotation="masks", test=2)
    data = ReferenceDataset("toy", DatasetRoots(images=masked.images, metadata=masked.metadata))
    with pytest.raises(UsageError, match="test of 'toy' has masks; its lists cannot be written"):
        write_lists(data, tmp_path / "lists")


def test_a_version_is_of_what_is_scored_on(folder_set):
    made = folder_set(train=3, val=2, test=4)
    before = content_version(opened(made.metadata))
    labels = made.metadata / "train" / "class_labels.txt"
    labels.write_text(labels.read_text().replace(",1", ",0"))
    assert content_version(opened(made.metadata)) == before
    labels = made.metadata / "val" / "class_labels.txt"
    labels.write_text(labels.read_text().replace(",1", ",0"))
    assert content_version(opened(made.metadata)) != before
