import numpy as np
import pytest
from trees import write_lists, write_photo, write_prepared_forty, write_tiny_imagenet
from wsolbench_plugins.datasets import tiny_imagenet
from wsolbench_plugins.datasets.tiny_imagenet import FORTY

from wsolbench.api import DataError, DatasetRoots, Split, UsageError

ALL, SMALL = (spec.build for spec in tiny_imagenet.wsolbench_datasets())


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    return write_tiny_imagenet(tmp_path_factory.mktemp("download") / "tiny-imagenet-200").images


@pytest.mark.parametrize("above", [False, True])
def test_the_download_is_split_by_number(download, above):
    dataset = ALL(DatasetRoots(images=download.parent if above else download))
    assert dataset.name == "tiny-imagenet"
    assert dataset.class_names == ("n01000000", "n02000000")  # in the order of their ids, whatever wnids.txt has
    assert dataset.splits == set(Split)
    weaksup, fullsup, test = (dataset.images(split) for split in Split)
    assert weaksup.ids[:400] == tuple(f"n01000000/n01000000_{number}.JPEG" for number in range(400))
    assert np.bincount(weaksup.labels).tolist() == [400, 400]
    numbers = [number for number in range(400, 425) if number != 401]  # whose box has no area
    assert fullsup.ids[24:] == tuple(f"n02000000/n02000000_{number}.JPEG" for number in numbers)
    validation = tuple(f"n01000000/val_{number}.JPEG" for number in range(1, 100, 2))
    assert test.ids[:125] == tuple(f"n01000000/n01000000_{number}.JPEG" for number in range(425, 500)) + validation
    assert np.bincount(test.labels).tolist() == [125, 125]
    assert test.load(124).shape == (64, 64, 3)


def test_boxes_are_taken_as_they_stand(download):
    dataset = ALL(DatasetRoots(images=download))
    annotations = dataset.annotations(Split.TEST)
    assert annotations.boxes["n01000000/n01000000_426.JPEG"].tolist() == [[26, 3, 63, 52]]
    assert annotations.boxes["n02000000/val_0.JPEG"].tolist() == [[0, 32, 44, 62]]
    assert set(annotations.image_sizes.values()) == {(64, 64)}
    assert not dataset.annotations(Split.TRAIN_WEAKSUP).boxes


def test_forty_of_two_hundred(tmp_path):
    roots = write_tiny_imagenet(tmp_path, ["n00000001", *FORTY], photos=False)
    dataset = SMALL(roots)
    assert dataset.class_names == tuple(FORTY.values())
    assert len(dataset.images(Split.TRAIN_WEAKSUP).ids) == 16_000
    assert {image_id.partition("/")[0] for image_id in dataset.images(Split.TEST).ids} == set(FORTY)


def test_equal_contents_have_equal_versions_whatever_the_layout(download, tmp_path):
    original = ALL(DatasetRoots(images=download))
    for split in Split:
        images, truth = original.images(split), original.annotations(split)
        entries = [
            (image_id, label, truth.boxes[image_id].tolist() if truth.boxes else [])
            for image_id, label in zip(images.ids, images.labels, strict=True)
        ]
        write_lists(tmp_path / "metadata" / split.value, entries, (64, 64))
    assert ALL(DatasetRoots(images=tmp_path)).version == original.version
    boxes = tmp_path / "metadata" / "test" / "localization.txt"
    boxes.write_text(boxes.read_text().replace(",0,32,44,62", ",0,32,44,61", 1))
    assert ALL(DatasetRoots(images=tmp_path)).version != original.version


def test_a_prepared_folder_of_other_classes_is_not_the_forty(tmp_path):
    roots = write_prepared_forty(tmp_path)
    for file in (tmp_path / "metadata").glob("*/*.txt"):
        file.write_text(file.read_text().replace("n12267677/", "n12267678/"))
    with pytest.raises(DataError, match="other classes than the 40 of 'tiny-imagenet-40'; use --dataset folder"):
        SMALL(roots)


# file below the folder, what is written there, what the message must hold
BROKEN = {
    "no boxes": ("train/n01000000/n01000000_boxes.txt", None, "n01000000_boxes.txt is missing"),
    "too few": ("train/n01000000/n01000000_boxes.txt", "n01000000_0.JPEG\t0\t1\t2\t3\n", "lacks n01000000_"),
    "other class": (
        "train/n01000000/n01000000_boxes.txt",
        "n02_0.JPEG\t0\t1\t2\t3\n",
        "line 1: expected a file n01",
    ),
    "fields": ("val/val_annotations.txt", "val_0.JPEG\tn01000000\t0\t1\t2\n", "line 1: expected FILE ID X0 Y0 X1 Y1"),
    "number": ("val/val_annotations.txt", "val_0.JPEG\tn01000000\t0\t1\t2\t3.5\n", "line 1: expected X0 Y0 X1 Y1 in"),
    "outside": ("val/val_annotations.txt", "val_0.JPEG\tn01000000\t0\t1\t2\t64\n", "line 1: expected a box inside"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_lists_are_named(tmp_path, case):
    file, text, problem = BROKEN[case]
    roots = write_tiny_imagenet(tmp_path, photos=False)
    (tmp_path / file).unlink()
    if text is not None:
        (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=problem):
        ALL(roots).images(Split.TEST)


def test_places_that_make_no_sense(download, tmp_path):
    with pytest.raises(UsageError, match=r"'tiny-imagenet' needs its folder; pass --data-root DIR"):
        ALL(DatasetRoots())
    with pytest.raises(UsageError, match="no masks; leave out --masks"):
        ALL(DatasetRoots(images=download, masks=download))
    with pytest.raises(UsageError, match="leave out --train-root"):
        ALL(DatasetRoots(images=download, train=download))
    with pytest.raises(DataError, match=r"neither wnids\.txt, as the folder tiny-imagenet-200 does, nor metadata/test"):
        ALL(DatasetRoots(images=tmp_path))
    with pytest.raises(DataError, match="lacks 40 classes of 'tiny-imagenet-40', such as n01855672"):
        SMALL(DatasetRoots(images=download))


def test_two_archives_to_train_on(tmp_path):
    roots = write_prepared_forty(tmp_path)
    for name in ("train-64px.zip", "train-32px.zip"):
        write_photo(tmp_path / name, 8, 8)
    with pytest.raises(DataError, match=r"train-32px\.zip, train-64px\.zip; say with --train-root which one"):
        SMALL(roots)


def test_the_shared_part(shared_data):
    dataset = SMALL(DatasetRoots(images=shared_data / "tiny-imagenet-40"))
    assert {split: len(dataset.images(split).ids) for split in Split} == {
        Split.TRAIN_WEAKSUP: 16_000,
        Split.TRAIN_FULLSUP: 993,
        Split.TEST: 2_984,
    }
    assert len(dataset.class_names) == 40
    for split in Split:
        images = dataset.images(split)
        for index in range(0, len(images.ids), len(images.ids) // 20):
            assert images.load(index).shape == (64, 64, 3)
    for image_id, (box,) in dataset.annotations(Split.TEST).boxes.items():
        assert (box[2:] - box[:2]).min() >= tiny_imagenet.SMALLEST_SPAN, image_id
