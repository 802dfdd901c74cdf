import hashlib
import random

import pytest
from trees import photo, write, write_ilsvrc, write_lists, write_photo
from wsolbench_plugins.datasets import ilsvrc
from wsolbench_plugins.datasets.ilsvrc.imagenet_v2 import match_files, read_mapping

from wsolbench.api import DataError, DatasetRoots, Split, UsageError

SPEC, _ = ilsvrc.wsolbench_datasets()
WNIDS = [f"n{number:08d}" for number in range(1000)]


@pytest.fixture
def roots(tmp_path):
    return write_ilsvrc(tmp_path)


def loads_all(dataset, split):
    images = dataset.images(split)
    return [images.load(index).shape for index in range(len(images.ids))] == [(24, 30, 3)] * len(images.ids)


def test_the_published_lists_and_folders(roots):
    dataset = SPEC.build(roots)
    assert dataset.splits == {Split.TRAIN_FULLSUP, Split.TEST}
    assert len(dataset.class_names) == 1000
    assert dataset.images(Split.TEST).ids[:2] == (
        "val/ILSVRC2012_val_00000001.JPEG",
        "val/ILSVRC2012_val_00000002.JPEG",
    )
    assert dataset.images(Split.TEST).labels.tolist() == [1, 2, 0, 1, 2, 0]
    assert dataset.annotations(Split.TEST).boxes["val/ILSVRC2012_val_00000001.JPEG"].tolist() == [[1, 2, 20, 19]]
    assert dataset.images(Split.TRAIN_FULLSUP).ids[2] == "val2/1/0.jpeg"
    assert loads_all(dataset, Split.TEST)
    assert loads_all(dataset, Split.TRAIN_FULLSUP)


@pytest.mark.parametrize("below", ["", "ILSVRC/Data/CLS-LOC"])
def test_the_validation_set_in_class_folders(roots, tmp_path, below):
    version = SPEC.build(roots).version
    val = tmp_path / "elsewhere" / below / "val"
    for number, path in enumerate(sorted((roots.images / "val").iterdir())):
        (val / WNIDS[number]).mkdir(parents=True)
        path.rename(val / WNIDS[number] / path.name)
    (roots.images / "val2").rename(tmp_path / "elsewhere" / below / "imagenetv2-threshold0.7-format-val")
    dataset = SPEC.build(DatasetRoots(tmp_path / "elsewhere", roots.metadata))
    assert loads_all(dataset, Split.TEST)
    assert loads_all(dataset, Split.TRAIN_FULLSUP)
    assert dataset.version == version


def test_photos_to_train_on_in_class_folders(roots, tmp_path):
    for wnid in WNIDS:
        (tmp_path / "photos" / wnid).mkdir(parents=True)
        (tmp_path / "photos" / wnid / f"{wnid}_1.JPEG").touch()
    write_photo(tmp_path / "photos" / WNIDS[0] / f"{WNIDS[0]}_1.JPEG", 9, 8)
    dataset = SPEC.build(DatasetRoots(roots.images, roots.metadata, train=tmp_path / "photos"))
    images = dataset.images(Split.TRAIN_WEAKSUP)
    assert dataset.class_names == tuple(WNIDS)
    assert images.ids[0] == "train/n00000000/n00000000_1.JPEG"
    assert images.labels.tolist() == list(range(1000))
    assert images.load(0).shape == (8, 9, 3)
    (tmp_path / "photos" / WNIDS[7] / f"{WNIDS[7]}_1.JPEG").unlink()
    (tmp_path / "photos" / WNIDS[7]).rmdir()
    with pytest.raises(DataError, match="holds 999 class folders; expected 1,000, or labels would be wrong"):
        SPEC.build(DatasetRoots(roots.images, roots.metadata, train=tmp_path / "photos")).images(Split.TRAIN_WEAKSUP)


def test_missing_photos_are_told_when_they_are_loaded(roots):
    (roots.images / "val" / "ILSVRC2012_val_00000003.JPEG").unlink()
    with pytest.raises(DataError, match=r"val/ILSVRC2012_val_00000003\.JPEG does not exist"):
        SPEC.build(roots).images(Split.TEST).load(2)


def test_places_that_make_no_sense(roots, tmp_path):
    with pytest.raises(
        UsageError, match="pass --data-root DIR, which holds val, val2 and train, and its published lists"
    ):
        SPEC.build(DatasetRoots())
    with pytest.raises(UsageError, match="leave out --masks"):
        SPEC.build(DatasetRoots(masks=tmp_path, metadata=roots.metadata))
    with pytest.raises(DataError, match="holds no split: expected train, val or test"):
        SPEC.build(DatasetRoots(metadata=roots.images))
    with pytest.raises(DataError, match="neither train/ nor XML files of boxes; pass --metadata-root DIR/ILSVRC too"):
        SPEC.build(DatasetRoots(images=roots.images))


# ---------------------------------------------------------------------------------------------------------- ImageNetV2


def hashed_name(path):
    return f"{hashlib.sha1(path.read_bytes()).hexdigest()}.jpeg"


def rename_upstream(roots):
    """Rename the files of ImageNetV2 as the download has them, and return the lines of mapping.txt."""
    lines = []
    for path in sorted((roots.images / "val2").glob("*/*")):
        new = path.with_name(hashed_name(path))
        lines.append(f"{path.parent.name}/{path.name}, {path.parent.name}/{new.name}")
        path.rename(new)
    return "\n".join(lines)


def pixels(dataset):
    images = dataset.images(Split.TRAIN_FULLSUP)
    return [images.load(index).tobytes() for index in range(len(images.ids))]


@pytest.mark.parametrize("place", ["metadata", "images"])
def test_renamed_files_are_found_through_the_published_mapping(roots, place):
    before = pixels(SPEC.build(roots))
    mapping = rename_upstream(roots)
    with pytest.raises(
        DataError, match=r"of 6 images of ImageNetV2, matched none; 6 unmatched, .*put the published mapp"
    ):
        SPEC.build(roots).images(Split.TRAIN_FULLSUP)
    write((roots.metadata / "val" if place == "metadata" else roots.images / "val2") / "mapping.txt", mapping)
    assert pixels(SPEC.build(roots)) == before


def test_lists_with_the_new_names_find_files_with_the_old(roots):
    before = pixels(SPEC.build(roots))
    mapping = rename_upstream(roots)
    new_names = dict(line.split(", ") for line in mapping.splitlines())
    for path in sorted((roots.metadata / "val").iterdir()):
        text = path.read_text()
        for old, new in new_names.items():
            text = text.replace(f"val2/{old}", f"val2/{new}")
        path.write_text(text)
    for old, new in new_names.items():
        (roots.images / "val2" / new).rename(roots.images / "val2" / old)
    write(roots.metadata / "val" / "mapping.txt", mapping)
    assert pixels(SPEC.build(roots)) == before


def test_files_of_any_name_are_known_by_their_content(roots):
    before = pixels(SPEC.build(roots))
    write(roots.metadata / "val" / "mapping.txt", rename_upstream(roots))
    for number, path in enumerate(sorted((roots.images / "val2").glob("*/*"))):
        path.rename(path.with_name(f"photo{number}.jpeg"))
    assert pixels(SPEC.build(roots)) == before


@pytest.fixture
def sized(tmp_path):
    """A class of five images, two of one size, whose files have new names."""
    sizes = {f"val2/0/{number}.jpeg": size for number, size in enumerate([(9, 8), (9, 7), (8, 9), (12, 5), (12, 5)])}
    for (width, height), name in zip(sizes.values(), "edcba", strict=True):
        write_photo(tmp_path / "0" / f"{name}.jpeg", width, height)
    return tmp_path, sizes


def test_a_size_tells_a_file_where_no_other_has_it(sized):
    folder, sizes = sized
    matches = match_files(folder, tuple(sizes), sizes, {})
    assert matches.paths == {"val2/0/0.jpeg": "0/e.jpeg", "val2/0/1.jpeg": "0/d.jpeg", "val2/0/2.jpeg": "0/c.jpeg"}
    assert matches.unmatched == ["val2/0/3.jpeg", "val2/0/4.jpeg"]
    assert str(matches) == "of 5 images of ImageNetV2, matched 3 by size; 2 unmatched"


def test_damaged_files_and_foreign_sizes_match_nothing(sized):
    folder, sizes = sized
    (folder / "0" / "e.jpeg").write_bytes(photo(9, 8)[:20])
    write_photo(folder / "0" / "d.jpeg", 40, 40)
    matches = match_files(folder, tuple(sizes), sizes, {})
    assert matches.paths == {"val2/0/2.jpeg": "0/c.jpeg"}


def test_matches_are_told_by_way(sized):
    folder, sizes = sized
    (folder / "0" / "b.jpeg").rename(folder / "0" / "3.jpeg")
    matches = match_files(folder, tuple(sizes), sizes, {"0/4.jpeg": "0/a.jpeg"})
    assert str(matches) == "of 5 images of ImageNetV2, matched 1 by name, 1 by mapping.txt, 3 by size; 0 unmatched"


@pytest.mark.parametrize(
    ("text", "problem"),
    [("0/0.jpeg 0/a.jpeg", "line 1: expected OLD, NEW"), ("a, b\na, c", "line 2: expected each name once")],
)
def test_a_broken_mapping_is_named(tmp_path, text, problem):
    write(tmp_path / "mapping.txt", text)
    with pytest.raises(DataError, match=rf"mapping\.txt, {problem}"):
        read_mapping([tmp_path / "none", tmp_path])


def test_a_check_tells_how_many_were_matched(roots):
    write(roots.metadata / "val" / "mapping.txt", rename_upstream(roots))
    (finding,) = SPEC.build(roots).inspect()
    assert finding.text == "train-fullsup: of 6 images of ImageNetV2, matched 6 by mapping.txt; 0 unmatched"


# ----------------------------------------------------------------------------------------------------------- XML files


def xml(wnid, boxes, size=(500, 375)):
    objects = "".join(
        f"<object><name>{wnid}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>"
        "</object>"
        for x0, y0, x1, y1 in boxes
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{objects}</annotation>"


@pytest.fixture
def annotated(tmp_path):
    """XML files of 1,000 images, one a class, in an order of their own."""
    numbers = list(range(1, 1001))
    random.Random(0).shuffle(numbers)
    for number, wnid in zip(numbers, WNIDS, strict=True):
        boxes = [(number % 100, 0, 499, 374)] + [(1, 2, 3, 4)] * (number % 2)
        write(tmp_path / "Annotations/CLS-LOC/val" / f"ILSVRC2012_val_{number:08d}.xml", xml(wnid, boxes))
    write_photo(tmp_path / "Data/CLS-LOC/val" / "ILSVRC2012_val_00000001.JPEG", 500, 375)
    return tmp_path, dict(zip(numbers, range(1000), strict=True))


@pytest.mark.parametrize("place", ["images", "metadata"])
def test_the_official_xml_files(annotated, place):
    root, label_of = annotated
    metadata = root / "Annotations/CLS-LOC/val" if place == "metadata" else None
    dataset = SPEC.build(DatasetRoots(root, metadata))
    images, truth = dataset.images(Split.TEST), dataset.annotations(Split.TEST)
    assert dataset.splits == {Split.TEST}
    assert images.ids == tuple(f"val/ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 1001))
    assert images.labels.tolist() == [label_of[number] for number in range(1, 1001)]
    assert truth.boxes["val/ILSVRC2012_val_00000007.JPEG"].tolist() == [[7, 0, 499, 374], [1, 2, 3, 4]]
    assert truth.image_sizes["val/ILSVRC2012_val_00000007.JPEG"] == (500, 375)
    assert images.load(0).shape == (375, 500, 3)


def test_corners_beyond_the_last_pixel_are_moved_to_it(annotated):
    root, label_of = annotated
    write(root / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml", xml(WNIDS[label_of[1]], [(0, 1, 500, 375)]))
    truth = SPEC.build(DatasetRoots(root)).annotations(Split.TEST)
    assert truth.boxes["val/ILSVRC2012_val_00000001.JPEG"].tolist() == [[0, 1, 499, 374]]


def test_labels_are_told_from_all_classes_alone(annotated):
    root, _ = annotated
    (root / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml").unlink()
    with pytest.raises(DataError, match="the XML files name 999 classes; labels are known only where all 1,000 occur"):
        SPEC.build(DatasetRoots(root)).images(Split.TEST)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<annotation>", "is damaged: no element found"),
        ("<annotation></annotation>", "is damaged: expected <size><width>"),
        (xml(WNIDS[0], [(0, 0, "x", 1)]), "is damaged: invalid literal"),
        (xml(WNIDS[0], []), "expected boxes of one class, got none"),
        (xml(WNIDS[0], [(5, 0, 4, 1)]), "expected boxes inside the 500x375 image"),
        (xml(WNIDS[0], [(0, 0, 4, 1)], size=(0, 9)), "expected a width and height of 1 or more, got 0x9"),
    ],
)
def test_a_broken_xml_file_is_named(annotated, text, problem):
    root, _ = annotated
    write(root / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml", text)
    with pytest.raises(DataError, match=rf"ILSVRC2012_val_00000001\.xml.* {problem}"):
        SPEC.build(DatasetRoots(root)).images(Split.TEST)


def test_a_broken_xml_file_hides_neither_the_others_nor_its_image(annotated):
    root, label_of = annotated
    faults = []
    write(root / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml", "<")
    write(root / "Annotations/CLS-LOC/val/ILSVRC2012_val_00001001.xml", xml(WNIDS[label_of[1]], [(1, 2, 3, 4)]))
    dataset = SPEC.build(DatasetRoots(root, on_fault=faults.append))
    images, truth = dataset.images(Split.TEST), dataset.annotations(Split.TEST)
    (fault,) = faults
    assert "ILSVRC2012_val_00000001.xml is damaged" in str(fault)
    assert images.labels[:2].tolist() == [-1, label_of[2]]
    assert images.load(0).shape == (375, 500, 3)
    assert len(truth.boxes) == 1000


def test_labels_that_cannot_be_told_hide_no_image(annotated):
    root, _ = annotated
    faults = []
    (root / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000002.xml").unlink()
    images = SPEC.build(DatasetRoots(root, on_fault=faults.append)).images(Split.TEST)
    assert "name 999 classes" in str(faults[0])
    assert set(images.labels.tolist()) == {-1}
    assert images.load(0).shape == (375, 500, 3)


def test_lists_and_xml_files_are_compared(annotated, tmp_path):
    root, label_of = annotated
    entries = [(f"val/ILSVRC2012_val_{n:08d}.JPEG", label_of[n], [(n % 100, 0, 499, 374)]) for n in range(2, 1001, 2)]
    entries += [(f"val/ILSVRC2012_val_{n:08d}.JPEG", label_of[n], [(n % 100, 0, 498, 374)]) for n in range(1, 1001, 2)]
    write_lists(tmp_path / "lists" / "test", entries, (500, 375))
    (finding,) = SPEC.build(DatasetRoots(root, tmp_path / "lists")).inspect()
    assert "differ on 500 of 1,000 images" in finding.text  # those with two boxes in the XML files
