import re

import numpy as np
import pytest
from trees import write_imagenette, write_lists
from wsolbench_plugins.datasets import imagenette
from wsolbench_plugins.datasets.imagenette import CLASSES

from wsolbench.api import DataError, DatasetRoots, Split, UsageError

(SPEC,) = imagenette.wsolbench_datasets()


@pytest.fixture
def download(tmp_path):
    return write_imagenette(tmp_path)


def test_boxed_photos_are_split_by_number_and_all_others_train(download):
    dataset = SPEC.build(download)
    assert dataset.class_names == tuple(CLASSES.values())
    weaksup, fullsup, test = (dataset.images(split) for split in Split)
    assert weaksup.ids[:2] == ("n01440764/n01440764_0.JPEG", "n01440764/n01440764_1.JPEG")
    assert np.bincount(weaksup.labels).tolist() == [2] * 10
    assert fullsup.ids[10:20] == tuple(f"n02102040/ILSVRC2012_val_{100 * k + 1:08d}.JPEG" for k in range(10))
    assert test.ids[2:4] == tuple(f"n02102040/ILSVRC2012_val_{100 * k + 1:08d}.JPEG" for k in (10, 11))
    assert np.bincount(test.labels).tolist() == [2] * 10
    for images in (weaksup, fullsup, test):
        assert images.load(len(images.ids) - 1).ndim == 3  # found in train/ or in val/


def test_boxes_and_sizes_are_those_of_ilsvrc(download):
    dataset = SPEC.build(download)
    truth = dataset.annotations(Split.TEST)
    assert truth.boxes["n02102040/ILSVRC2012_val_00001101.JPEG"].tolist() == [[1, 2, 20, 21]]
    assert set(truth.image_sizes.values()) == {(30, 24)}
    assert set(truth.boxes) == set(dataset.images(Split.TEST).ids)
    assert not dataset.annotations(Split.TRAIN_WEAKSUP).boxes


def test_a_photo_that_ilsvrc_does_not_list(download):
    folder = download.images / "train" / "n01440764"
    (folder / "ILSVRC2012_val_00000100.JPEG").rename(folder / "ILSVRC2012_val_00000050.JPEG")
    with pytest.raises(DataError, match=r"no boxes for 1 photos, such as val/ILSVRC2012_val_00000050\.JPEG"):
        SPEC.build(download).images(Split.TRAIN_FULLSUP)


def test_what_is_wrong_with_the_folder_is_told(download, tmp_path):
    with pytest.raises(UsageError, match="pass --data-root DIR, the folder imagenette2"):
        SPEC.build(DatasetRoots())
    with pytest.raises(UsageError, match="pass --metadata-root DIR/ILSVRC"):
        SPEC.build(DatasetRoots(images=download.images))
    with pytest.raises(UsageError, match="leave out --masks"):
        SPEC.build(DatasetRoots(images=download.images, masks=tmp_path))
    with pytest.raises(DataError, match="neither train/ and val/ nor metadata/imagenette"):
        SPEC.build(DatasetRoots(images=tmp_path))
    with pytest.raises(DataError, match=r"holds no test/image_ids\.txt"):
        SPEC.build(DatasetRoots(images=download.images, metadata=tmp_path))
    for photo in (download.images / "val" / "n03000684").iterdir():
        photo.unlink()
    with pytest.raises(DataError, match=r"class folder .*val/n03000684 holds no image"):
        SPEC.build(download)
    (download.images / "val" / "n03000684").rmdir()
    with pytest.raises(DataError, match="val holds other classes than the 10 of 'imagenette'"):
        SPEC.build(download)


def test_lists_of_another_data_set_are_refused(tmp_path):
    write_lists(tmp_path / "metadata" / "test", [("n01440764/a.JPEG", 1, [(0, 0, 1, 1)])], (8, 8))
    with pytest.raises(DataError, match=re.escape("'n01440764/a.JPEG' has label 1; use --dataset folder")):
        SPEC.build(DatasetRoots(images=tmp_path))


def test_the_shared_part(shared_data):
    dataset = SPEC.build(DatasetRoots(images=shared_data / "imagenette"))
    counts = {split: len(dataset.images(split).ids) for split in Split}
    assert counts == {Split.TRAIN_WEAKSUP: 12_894, Split.TRAIN_FULLSUP: 100, Split.TEST: 200}
    assert dataset.images(Split.TEST).load(199).shape == (224, 224, 3)
    fullsup, test = dataset.images(Split.TRAIN_FULLSUP).ids, dataset.images(Split.TEST).ids
    for wnid in CLASSES:  # the part that is here was chosen by the rule for the whole
        first, second = (sorted(name for name in ids if name.startswith(wnid)) for ids in (fullsup, test))
        assert len(first) == 10
        assert first[-1] < second[0]
