import math
import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from trees import Bird, write, write_cub, write_lists, write_photo, write_small_cub
from wsolbench_plugins.datasets import cub

from wsolbench.api import Conventions, DataError, DatasetRoots, Split, UsageError
from wsolbench.data import ReferenceDataset
from wsolbench.data.reference_writer import write_lists as write_reference

(SPEC,) = cub.wsolbench_datasets()
NAMES = ((0, "001.Auk/Auk"), (1, "002.Bee_eater/Bee_eater"))
CLASSES = [f"{number:03d}.Bird_{number}" for number in range(1, 21)]


def random_bird(number, rng):
    width, height = rng.randint(20, 60), rng.randint(20, 60)
    x, y = rng.uniform(0, width - 2), rng.uniform(0, height - 2)
    beyond = rng.uniform(0, 2)  # a box may end a little beyond its image
    box = (x, y, rng.uniform(1, width - x + beyond), rng.uniform(1, height - y + beyond))
    label = rng.randrange(len(CLASSES))
    name = f"{CLASSES[label]}/bird_{number}.jpg"
    return Bird(
        name, label, tuple(f"{value:.{rng.randint(1, 4)}f}" for value in box), rng.random() < 0.5, (width, height)
    )


def expected_box(bird):
    """The rule, written down once more: (x, y, min(x + w, W - 1), min(y + h, H - 1)), fractions cut off."""
    x, y, w, h = map(float, bird.box)
    return [
        math.floor(x),
        math.floor(y),
        math.floor(min(x + w, bird.size[0] - 1)),
        math.floor(min(y + h, bird.size[1] - 1)),
    ]


def test_a_thousand_random_boxes_come_out_in_the_reference_layout(tmp_path):
    birds = [random_bird(number, random.Random(number)) for number in range(1000)]
    roots = write_cub(tmp_path / "CUB_200_2011", birds, CLASSES)
    write_reference(SPEC.build(roots), tmp_path / "metadata")
    written = ReferenceDataset("copy", DatasetRoots(images=roots.images / "images", metadata=tmp_path / "metadata"))
    assert written.splits == {Split.TRAIN_WEAKSUP, Split.TEST}
    for split in written.splits:
        images, chosen = written.images(split), [bird for bird in birds if bird.train is (split is Split.TRAIN_WEAKSUP)]
        assert images.ids == tuple(bird.path for bird in chosen)
        assert images.labels.tolist() == [bird.label for bird in chosen]
    truth = written.annotations(Split.TEST)
    for bird in birds:
        if not bird.train:
            assert truth.boxes[bird.path].tolist() == [expected_box(bird)]
            assert truth.image_sizes[bird.path] == bird.size
    assert not written.annotations(Split.TRAIN_WEAKSUP).boxes
    assert written.images(Split.TEST).load(0).shape[:2] == next(bird for bird in birds if not bird.train).size[::-1]


def test_boxes_of_photos_that_were_resized_are_refused(tmp_path):
    """Clipped to the smaller photo they would give wrong scores without a word."""
    bird = Bird(f"{CLASSES[0]}/a.jpg", 0, ("100", "20", "150", "60"), False, (300, 200))
    roots = write_cub(tmp_path / "CUB_200_2011", [bird], CLASSES)
    assert SPEC.build(roots).annotations(Split.TEST).boxes[bird.path].tolist() == [[100, 20, 250, 80]]
    with Image.open(roots.images / "images" / bird.path) as photo:
        photo.resize((150, 100)).save(roots.images / "images" / bird.path)
    with pytest.raises(DataError, match=r"is not inside its 150x100 image; the photos may have been resized after"):
        SPEC.build(roots).annotations(Split.TEST).boxes[bird.path]


def test_opening_reads_no_image(tmp_path, monkeypatch):
    roots = write_small_cub(tmp_path)
    monkeypatch.setattr("wsolbench.data.storage.FolderStorage.read_head", lambda *_: pytest.fail("an image was read"))
    dataset = SPEC.build(roots)
    assert [len(dataset.images(split).ids) for split in Split] == [4, 4, 4]
    assert len(dataset.annotations(Split.TEST).boxes) == 4


def test_fullsup_is_in_the_metadata_and_its_photos_where_they_are_found(tmp_path):
    dataset = SPEC.build(write_small_cub(tmp_path))
    assert dataset.class_names == ("001.Auk", "002.Bee_eater")
    fullsup = dataset.images(Split.TRAIN_FULLSUP)
    assert fullsup.ids[0] == "001.Auk/7.jpg"
    assert fullsup.load(0).shape == (30, 32, 3)
    (tmp_path / "CUBV2" / "001.Auk").rename(tmp_path / "CUB_200_2011" / "images" / "moved")
    for photo in (tmp_path / "CUB_200_2011" / "images" / "moved").iterdir():
        photo.rename(tmp_path / "CUB_200_2011" / "images" / "001.Auk" / photo.name)
    assert (
        SPEC.build(DatasetRoots(tmp_path, tmp_path / "metadata" / "CUB")).images(Split.TRAIN_FULLSUP).load(1).ndim == 3
    )


def test_without_metadata_there_is_no_fullsup(tmp_path):
    dataset = SPEC.build(DatasetRoots(images=write_small_cub(tmp_path).images))
    assert dataset.splits == {Split.TRAIN_WEAKSUP, Split.TEST}
    with pytest.raises(DataError, match="there is no train-fullsup split of 'cub' here"):
        dataset.images(Split.TRAIN_FULLSUP)


def test_the_published_lists_count_where_both_are_given(tmp_path):
    roots = write_small_cub(tmp_path)
    image_id = "001.Auk/Auk_2.jpg"
    write_lists(roots.metadata / "test", [(image_id, 0, [(3, 4, 24, 18)])], (40, 30))
    truth = SPEC.build(roots).annotations(Split.TEST)
    assert {name: boxes.tolist() for name, boxes in truth.boxes.items()} == {image_id: [[3, 4, 24, 18]]}
    official = SPEC.build(DatasetRoots(images=roots.images)).annotations(Split.TEST)
    assert official.boxes[image_id].tolist() == [[3, 4, 23, 19]]


def test_the_official_boxes_have_one_convention_and_published_lists_any(tmp_path):
    roots = replace(write_small_cub(tmp_path), conventions=Conventions("half-open"))
    with pytest.raises(UsageError, match=r"'bounding_boxes\.txt' has no use for --boxes; omit it"):
        cub.build(roots)
    (tmp_path / "metadata" / "CUB" / "val").rename(tmp_path / "metadata" / "CUB" / "test")
    assert cub.build(roots).annotations(Split.TEST).boxes["001.Auk/7.jpg"].tolist() == [[1, 2, 29, 28]]


def test_the_published_lists_alone(tmp_path):
    """As the reference evaluator wants the folder: class folders without ``images`` and lists."""
    write_photo(tmp_path / "CUB" / "001.Auk" / "a.jpg", 20, 10)
    write_lists(tmp_path / "metadata" / "test", [("001.Auk/a.jpg", 0, [(0, 0, 9, 9)])], (20, 10))
    dataset = SPEC.build(DatasetRoots(tmp_path / "CUB", tmp_path / "metadata"))
    assert dataset.class_names == ("001.Auk",)
    assert dataset.images(Split.TEST).load(0).shape == (10, 20, 3)


# file, what is written there, what the message must hold
BROKEN = {
    "no list": ("bounding_boxes.txt", None, r"bounding_boxes\.txt is missing"),
    "other images": ("bounding_boxes.txt", "1 1 1 1 1\n9 1 1 1 1\n", r"differ: image \d is in one of them alone"),
    "twice": ("images.txt", "1 a.jpg\n1 b.jpg\n", "line 2: expected each number once"),
    "one path twice": (
        "images.txt",
        "1 a/a.jpg\n2 a/a.jpg\n",
        "line 2: expected each image once, this one is on line 1 too",
    ),
    "fields": ("images.txt", "1 a.jpg b.jpg\n", "line 1: expected NUMBER PATH"),
    "outside": ("images.txt", "1 ../a.jpg\n2 b.jpg\n", "line 1: expected a relative path"),
    "class 0": ("image_class_labels.txt", "1 0\n2 1\n", "line 1: expected a class from 1 to 2"),
    "class 3": ("image_class_labels.txt", "1 1\n2 3\n", "line 2: expected a class from 1 to 2"),
    "no number": (
        "bounding_boxes.txt",
        "1 1 1 1 1\n2 1 1 nan 1\n",
        "line 2: expected NUMBER X Y WIDTH HEIGHT in numbers",
    ),
    "no area": (
        "bounding_boxes.txt",
        "1 1 1 1 1\n2 1 1 0 1\n",
        "line 2: expected X and Y of 0 or more, WIDTH and HEIGHT",
    ),
    "mark": ("train_test_split.txt", "1 0\n2 2\n", "line 2: expected 1 for the images to train on and 0"),
    "classes": ("classes.txt", "1 a\n3 b\n", r"classes\.txt: expected the numbers 1 to 2"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_lists_are_named(tmp_path, case):
    file, text, problem = BROKEN[case]
    birds = [Bird(f"a/{name}.jpg", 0, ("1", "1", "5", "5"), False, (20, 20)) for name in "ab"]
    roots = write_cub(tmp_path, birds, ["a", "b"])
    (tmp_path / file).unlink()
    if text is not None:
        write(tmp_path / file, text)
    with pytest.raises(DataError, match=problem):
        SPEC.build(roots).images(Split.TEST)


def test_a_box_beyond_its_image(tmp_path):
    roots = write_cub(tmp_path, [Bird("a/a.jpg", 0, ("25", "1", "5", "5"), False, (20, 20))], ["a"])
    with pytest.raises(DataError, match=r"the box 25 1 5 5 of 'a/a\.jpg' is not inside its 20x20 image"):
        SPEC.build(roots).annotations(Split.TEST).boxes["a/a.jpg"]


def test_places_that_make_no_sense(tmp_path):
    with pytest.raises(UsageError, match="pass --data-root DIR, the folder CUB_200_2011, or --metadata-root DIR/CUB"):
        SPEC.build(DatasetRoots())
    with pytest.raises(UsageError, match="leave out --masks"):
        SPEC.build(DatasetRoots(images=tmp_path, masks=tmp_path))
    with pytest.raises(DataError, match=r"holds no images\.txt, as CUB_200_2011 does; or pass --metadata"):
        SPEC.build(DatasetRoots(images=tmp_path))
    roots = write_small_cub(tmp_path)
    with pytest.raises(DataError, match=r"holds no split: .*did you mean .*metadata/CUB\?"):
        SPEC.build(DatasetRoots(roots.images, tmp_path / "metadata"))


def test_the_shared_sample(shared_data):
    sample = shared_data / "cub-sample"
    dataset = SPEC.build(DatasetRoots(sample / "images", sample / "metadata" / "CUB"))
    images, truth = dataset.images(Split.TRAIN_FULLSUP), dataset.annotations(Split.TRAIN_FULLSUP)
    assert len(dataset.class_names) == 20
    for index, image_id in enumerate(images.ids):
        height, width = images.load(index).shape[:2]
        assert truth.image_sizes[image_id] == (width, height)
        assert np.all(truth.boxes[image_id][:, 2:] < (width, height))


def test_the_two_sources_of_boxes_are_compared(tmp_path):
    roots = write_small_cub(tmp_path)
    entries = [(f"{name}_{number}.jpg", label, [(3, 4, 23, 19)]) for label, name in NAMES for number in (2, 3)]
    write_lists(roots.metadata / "test", entries, (40, 30))
    (finding,) = SPEC.build(roots).inspect()
    assert finding.text.endswith("and bounding_boxes.txt agree on the boxes and sizes of all 4 images")
    boxes = roots.metadata / "test" / "localization.txt"
    boxes.write_text(boxes.read_text().replace("Auk_2.jpg,3,4,23,19", "Auk_2.jpg,3,4,22,18"))
    (finding,) = SPEC.build(roots).inspect()
    assert "differ on 1 of 4 images, by at most 1 pixels a corner, such as '001.Auk/Auk_2.jpg'" in finding.text


def test_all_faults_of_the_official_lists_are_told_at_once(tmp_path):
    birds = [Bird(f"a/{number}.jpg", 0, ("1", "1", "5", "5"), False, (20, 20)) for number in range(6)]
    roots = write_cub(tmp_path, birds, ["a"])
    for file, old, new in (
        ("bounding_boxes", "1 1 1 5 5", "1 1 1 0 5"),
        ("bounding_boxes", "2 1 1 5 5\n", ""),
        ("image_class_labels", "3 1", "3 9"),
        ("images", "4 a/3.jpg", "4 ../3.jpg"),
    ):
        path = tmp_path / f"{file}.txt"
        path.write_text(path.read_text().replace(old, new, 1))
    faults = []
    images = SPEC.build(DatasetRoots(roots.images, on_fault=faults.append)).images(Split.TEST)
    assert images.ids == ("a/4.jpg", "a/5.jpg")
    assert len(faults) == 4
