import io
import pickle
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

from wsolbench.data.image_files import HeaderSizes, ImageFiles
from wsolbench.data.sizes import Remark
from wsolbench.data.storage import open_storage
from wsolbench.errors import DataError, MissingFileError, UsageError


def jpeg(size, **options):
    stream = io.BytesIO()
    Image.new("RGB", size, (9, 9, 9)).save(stream, format="JPEG", **options)
    return stream.getvalue()


NAMES = ("a", "big", "cut", "text", "gone")


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg((30, 20)))
    (tmp_path / "big.jpg").write_bytes(jpeg((40, 24), icc_profile=bytes(200_000)))  # the size stands behind it
    (tmp_path / "cut.jpg").write_bytes(jpeg((64, 48))[:-10])
    (tmp_path / "text.jpg").write_bytes(b"no image " * 20_000)
    return ImageFiles(open_storage(tmp_path), NAMES, tuple(f"{name}.jpg" for name in NAMES))


def test_sizes_come_from_the_head_of_a_file(files):
    sizes = HeaderSizes(files)
    assert list(sizes) == list(NAMES)
    assert (sizes["a"], sizes["big"], sizes["cut"]) == ((30, 20), (40, 24), (64, 48))
    with pytest.raises(DataError, match=r"text\.jpg is not an image"):
        sizes["text"]
    with pytest.raises(MissingFileError, match=r"gone\.jpg does not exist"):
        sizes["gone"]


def test_a_size_is_read_once(files, monkeypatch):
    sizes = HeaderSizes(files)
    first = sizes["a"]
    monkeypatch.setattr(ImageFiles, "size", lambda *_: pytest.fail("read again"))
    assert sizes["a"] == first


def test_a_split_loads_reads_and_travels(files):
    split = pickle.loads(pickle.dumps(files.split(np.zeros(5, dtype=np.int64))))
    assert split.load(0).shape == (20, 30, 3)
    assert split.read(0) == jpeg((30, 20))
    with pytest.raises(DataError, match=r"cut\.jpg is cut short"):
        split.load(2)
    with pytest.raises(MissingFileError):
        split.read(4)


def test_ids_are_the_paths_unless_told_otherwise(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.jpg").write_bytes(jpeg((3, 2)))
    assert ImageFiles(open_storage(tmp_path), ("x/a.jpg",)).size(0) == (3, 2)


def test_no_place(files):
    nowhere = ImageFiles(None, files.ids)
    for ask in (nowhere.load, nowhere.read, nowhere.size):
        with pytest.raises(UsageError, match="pass --data-root DIR"):
            ask(0)


def test_a_file_is_found_in_other_case_and_other_accents(tmp_path):
    accents = {form: unicodedata.normalize(form, "\u00e4.jpg") for form in ("NFC", "NFD")}
    for name in ("DOG/A.JPG", "DOG/b.jpg", "DOG/B.jpg", f"DOG/{accents['NFD']}"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg((30, 20)))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in tmp_path.glob("DOG/*"):
            archive.write(path, f"DOG/{path.name}")
    ids = ("dog/a.jpg", f"dog/{accents['NFC']}", "dog/B.JPG", "dog/c.jpg")
    for place in (tmp_path, tmp_path / "all.zip"):
        files = ImageFiles(open_storage(place), ids)
        assert [files.load(index).shape for index in (0, 1)] == [(20, 30, 3)] * 2
        assert files.size(0) == (30, 20)
        assert files.remarks(0) == ("found under another spelling",)
        with pytest.raises(DataError, match=r"may be DOG/(B\.jpg or DOG/b|b\.jpg or DOG/B)\.jpg: rename one of them"):
            files.load(2)
        with pytest.raises(MissingFileError):
            files.load(3)


def test_a_file_of_another_image_is_not_taken_for_a_missing_one(tmp_path):
    (tmp_path / "A.jpg").write_bytes(jpeg((30, 20)))
    with pytest.raises(MissingFileError):
        ImageFiles(open_storage(tmp_path), ("a.jpg", "A.jpg")).load(0)


def test_the_name_of_the_data_root_may_be_in_front(tmp_path):
    (tmp_path / "Images" / "x").mkdir(parents=True)
    (tmp_path / "Images" / "x" / "a.jpg").write_bytes(jpeg((30, 20)))
    files = ImageFiles(open_storage(tmp_path / "Images"), ("images/x/a.jpg", "other/x/a.jpg"))
    assert files.load(0).shape == (20, 30, 3)
    with pytest.raises(MissingFileError):
        files.load(1)


def turned(size, orientation=6):
    """Return a photo whose EXIF orientation turns it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(size, exif=exif)


def test_photos_of_other_splits_of_the_same_file_decide_too(tmp_path):
    for name, size in (("oblong.jpg", (100, 80)), ("square.jpg", (90, 90)), ("plain.jpg", (90, 90))):
        (tmp_path / name).write_bytes(turned(size, 1 if name == "plain.jpg" else 6))
    sizes = {"oblong.jpg": (100, 80), "square.jpg": (90, 90), "plain.jpg": (90, 90)}
    storage = open_storage(tmp_path)
    val = ImageFiles(storage, ("oblong.jpg",), sizes=sizes, upright=True)
    test = ImageFiles(storage, ("square.jpg", "plain.jpg"), sizes=sizes, upright=True, beside=(val,))
    images = pickle.loads(pickle.dumps(test.split(np.zeros(2, dtype=np.int64))))
    assert [images.is_upright(index) for index in (0, 1)] == [False, None]
    assert test.decide(0).remarks == (Remark.STORED_LIKE_OTHERS,)
    assert ImageFiles(storage, ("square.jpg",), sizes=sizes, upright=True).decide(0).upright


def test_photos_squashed_to_one_shape_are_not_swapped(tmp_path):
    sizes = {"tall.jpg": (160, 224), "wide.jpg": (448, 320), "other.jpg": (500, 333)}
    for name in sizes:
        (tmp_path / name).write_bytes(jpeg((224, 160)))
    files = ImageFiles(open_storage(tmp_path), tuple(sizes), sizes=sizes)
    assert [files.decide(index).problem for index in range(3)] == [None] * 3
    assert [files.decide(index).remarks for index in range(3)] == [
        *((Remark.RESHAPED,), (Remark.RESIZED,), (Remark.RESHAPED,))
    ]
    tall = {"tall.jpg": (160, 224)}  # without a third shape, it may as well be swapped, or have lost its orientation
    for others, refused in ((tall, True), (sizes | {"other.jpg": (224, 160)}, True), ({"wide.jpg": (448, 320)}, False)):
        listed = {"tall.jpg": (320, 448)} | others
        files = ImageFiles(open_storage(tmp_path), tuple(listed), sizes=listed)
        assert ("swapped in the list" in str(files.decide(0).problem)) is refused
