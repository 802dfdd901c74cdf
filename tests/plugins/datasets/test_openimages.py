import pytest
from trees import write_openimages
from wsolbench_plugins.datasets import openimages

from wsolbench.api import DatasetRoots, Split, UsageError

(SPEC,) = openimages.wsolbench_datasets()


def test_masks_and_ignore_masks(tmp_path):
    dataset = SPEC.build(write_openimages(tmp_path))
    assert dataset.class_names == ("0bt9lr", "0bt_c3")
    assert dataset.splits == set(Split)
    truth = dataset.annotations(Split.TEST)
    assert not truth.boxes
    pair = truth.load_mask("test/0bt_c3/1.jpg")
    assert (int(pair.foreground.sum()), int(pair.ignore.sum())) == (15 * 17, 11 * 17)
    assert truth.load_mask("test/0bt_c3/0.jpg").ignore is None  # an empty field is legal


def test_masks_may_lie_elsewhere(tmp_path):
    roots = write_openimages(tmp_path)
    dataset = SPEC.build(DatasetRoots(tmp_path / "none", roots.metadata, masks=roots.images))
    assert dataset.annotations(Split.TRAIN_FULLSUP).load_mask("val/0bt9lr/0.jpg").foreground.any()


def test_lists_beside_the_images_are_found(tmp_path):
    roots = write_openimages(tmp_path)
    roots.images.rename(tmp_path / "images")
    dataset = SPEC.build(DatasetRoots(tmp_path))
    assert dataset.images(Split.TEST).load(0).shape == (24, 30, 3)


def test_lists_are_needed(tmp_path):
    for roots in (DatasetRoots(), DatasetRoots(images=tmp_path)):
        with pytest.raises(UsageError, match="pass --metadata-root DIR/OpenImages"):
            SPEC.build(roots)


def test_the_shared_sample(shared_data):
    sample = shared_data / "openimages-sample"
    dataset = SPEC.build(DatasetRoots(metadata=sample / "metadata" / "OpenImages", masks=sample / "masks"))
    truth = dataset.annotations(Split.TRAIN_FULLSUP)
    shares = [float(truth.load_mask(name).foreground.mean()) for name in dataset.images(Split.TRAIN_FULLSUP).ids]
    assert [round(share, 3) for share in shares] == [0.007, 0.017, 0.858, 0, 1]
    assert dataset.class_names[80] == "0bt_c3"
