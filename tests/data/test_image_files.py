import io
import pickle

import numpy as np
import pytest
from PIL import Image

from wsolbench.data.image_files import HeaderSizes, ImageFiles
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
