"""``ilsvrc-photos`` prepared from a validation set in the forms that people have it in."""

import io
import tarfile

import pytest
from PIL import Image
from trees import photo, write, write_lists, write_photo
from wsolbench_plugins.datasets.ilsvrc import photos

from wsolbench.api import DataError, DatasetRoots, Split, UsageError
from wsolbench.data.fetch.prepare import prepare_dataset
from wsolbench.host.loading import load_plugins
from wsolbench.progress import Reporter

OFFER = load_plugins().datasets.get("ilsvrc-photos")
CHOSEN = {Split.TRAIN_FULLSUP: (2, 5), Split.TEST: (3, 7)}
SMALL_BOX, LARGE_BOX = (2, 2, 21, 20), (0, 0, 29, 23)  # of photos of 30 × 24 pixels: 342 and 667 of 720, half is 360


@pytest.fixture(autouse=True)
def four_photos(monkeypatch, tmp_path):
    lines = [f"{number},{split.label}" for split, numbers in CHOSEN.items() for number in numbers]
    monkeypatch.setattr(photos, "NUMBERS", tmp_path / "photos.csv")
    write(photos.NUMBERS, "\n".join(lines) + "\n")
    photos._chosen.cache_clear()
    yield
    photos._chosen.cache_clear()


def name(number):
    return f"ILSVRC2012_val_{number:08d}"


def boxes_of(number):
    return [SMALL_BOX] if number in (2, 3) else [SMALL_BOX, LARGE_BOX]


def as_lists(root):
    entries = [(f"val/{name(number)}.JPEG", 100 * number, boxes_of(number)) for number in range(1, 9)]
    write_lists(root / "ILSVRC" / "test", entries, (30, 24))
    return root / "ILSVRC"


def as_xml(root):
    """Write a file for each of the 1,000 classes, since labels are the places of their ids."""
    for number in range(1, 1001):
        objects = "".join(
            f"<object><name>n{number:08d}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>"
            f"<ymax>{y1}</ymax></bndbox></object>"
            for x0, y0, x1, y1 in boxes_of(number)
        )
        size = "<size><width>30</width><height>24</height></size>"
        write(root / "xml" / f"{name(number)}.xml", f"<annotation>{size}{objects}</annotation>")
    return root / "xml"


def as_flat(root):
    for number in range(1, 9):
        write_photo(root / "flat" / f"{name(number)}.JPEG", 30, 24, number)
    return root / "flat"


def in_class_folders(root):
    for number in range(1, 9):
        write_photo(root / "imagenet" / "val" / f"n{number:08d}" / f"{name(number)}.JPEG", 30, 24, number)
    return root / "imagenet"


def as_tar(root):
    with tarfile.open(root / "val.tar", "w") as archive:
        for number in range(1, 9):
            content = photo(30, 24, number)
            member = tarfile.TarInfo(f"{name(number)}.JPEG")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return root / "val.tar"


@pytest.mark.parametrize(
    ("images", "boxes", "label"),
    [(as_flat, as_lists, 300), (in_class_folders, as_lists, 300), (as_tar, as_lists, 300), (as_flat, as_xml, 2)],
)
def test_lists_and_squares_are_written_from_what_a_user_has(tmp_path, images, boxes, label):
    folder = tmp_path / "photos"
    prepare_dataset(OFFER, folder, Reporter(), DatasetRoots(images(tmp_path), boxes(tmp_path)))
    assert sorted(path.name for path in folder.iterdir()) == ["images", "metadata", "metadata-small"]
    lists = {path.name: path.read_text().splitlines() for path in (folder / "metadata" / "test").iterdir()}
    assert lists == {
        "image_ids.txt": [f"val/{name(3)}.JPEG", f"val/{name(7)}.JPEG"],
        "class_labels.txt": [f"val/{name(3)}.JPEG,{label}", f"val/{name(7)}.JPEG,{700 if label == 300 else 6}"],
        "image_sizes.txt": [f"val/{name(3)}.JPEG,30,24", f"val/{name(7)}.JPEG,30,24"],
        "localization.txt": [
            f"val/{name(3)}.JPEG,2,2,21,20",
            f"val/{name(7)}.JPEG,2,2,21,20",
            f"val/{name(7)}.JPEG,0,0,29,23",
        ],
    }
    for split, number in (("val", 2), ("test", 3)):
        assert (folder / "metadata-small" / split / "image_ids.txt").read_text() == f"val/{name(number)}.JPEG\n"
    with Image.open(folder / "images" / "val" / f"{name(3)}.JPEG") as written:
        assert (written.size, written.format) == ((224, 224), "JPEG")
    dataset = OFFER.spec.build(DatasetRoots(folder))
    assert dataset.images(Split.TRAIN_FULLSUP).ids == (f"val/{name(2)}.JPEG", f"val/{name(5)}.JPEG")
    small = OFFER.spec.build(DatasetRoots(folder, folder / "metadata-small"))
    assert small.images(Split.TEST).ids == (f"val/{name(3)}.JPEG",)


def test_the_whole_selection_is_in_the_published_numbers(shared_data, monkeypatch):
    monkeypatch.undo()
    photos._chosen.cache_clear()
    lists = shared_data / "ilsvrc-photos" / "metadata"
    for split, ids in photos._chosen().items():
        assert list(ids) == (lists / split.value / "image_ids.txt").read_text().split()


def test_what_is_missing_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty does not hold metadata/test/image_ids\.txt, .* nor is it ImageNet's"):
        prepare_dataset(OFFER, tmp_path / "out", Reporter(), DatasetRoots(tmp_path / "empty"))
    few = [(f"val/{name(3)}.JPEG", 1, [SMALL_BOX])]
    write_lists(tmp_path / "few" / "test", few, (30, 24))
    with pytest.raises(DataError, match="2 photos are not among the 1 that are listed, such as val/ILSVRC"):
        prepare_dataset(OFFER, tmp_path / "out", Reporter(), DatasetRoots(as_flat(tmp_path), tmp_path / "few"))
    assert not (tmp_path / "out").exists()


def test_missing_photos_and_other_sizes_are_counted_before_anything_is_copied(tmp_path):
    flat, lists = as_flat(tmp_path), as_lists(tmp_path)
    for number in (3, 5):
        write_photo(flat / f"{name(number)}.JPEG", 20, 24, number)
    with pytest.raises(
        DataError, match="2 of 4 photos of 'ilsvrc-photos' are of another size than listed, such as"
    ) as of:
        prepare_dataset(OFFER, tmp_path / "out", Reporter(), DatasetRoots(flat, lists))
    assert f"val/{name(5)}.JPEG (20x24 in place of 30x24)" in str(of.value)
    for number in (2, 7):
        (flat / f"{name(number)}.JPEG").unlink()
    with pytest.raises(DataError, match=f"2 of 4 photos of 'ilsvrc-photos' are missing, such as val/{name(2)}.JPEG;"):
        prepare_dataset(OFFER, tmp_path / "out", Reporter(), DatasetRoots(flat, lists))
    assert not (tmp_path / "out").exists()


def test_what_is_prepared_is_not_encoded_again(tmp_path):
    done = tmp_path / "done"
    prepare_dataset(OFFER, done, Reporter(), DatasetRoots(as_flat(tmp_path), as_lists(tmp_path)))
    for own in (DatasetRoots(done), DatasetRoots(done, done / "metadata")):
        with pytest.raises(UsageError, match="done already holds 'ilsvrc-photos', prepared: use it as it is"):
            prepare_dataset(OFFER, tmp_path / "again", Reporter(), own)
    assert not (tmp_path / "again").exists()
