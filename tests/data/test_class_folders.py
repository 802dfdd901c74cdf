import os

import pytest

from wsolbench.data.class_folders import list_class_folders
from wsolbench.errors import DataError


@pytest.fixture
def root(tmp_path):
    for path in ("b/2.jpg", "b/10.JPEG", "b/.hidden.jpg", "b/notes.txt", "a/x.png", ".git/y.png", "loose.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


def test_images_by_class_in_the_order_of_their_names(root):
    found = list_class_folders(root)
    assert list(found.items()) == [("a", ("x.png",)), ("b", ("10.JPEG", "2.jpg"))]


def test_a_class_without_images(root):
    (root / "c").mkdir()
    with pytest.raises(DataError, match=r"class folder .*/c holds no image \(\.jpg, "):
        list_class_folders(root)


def test_a_class_without_images_is_kept_where_that_is_allowed(root):
    (root / "c").mkdir()
    faults = []
    assert list(list_class_folders(root, faults.append).items())[2] == ("c", ())
    assert len(faults) == 1


def test_no_class_folder(tmp_path):
    with pytest.raises(DataError, match="holds no class folder"):
        list_class_folders(tmp_path)
    with pytest.raises(DataError, match="gone cannot be read as a folder of class folders: No such file"):
        list_class_folders(tmp_path / "gone")


def test_names_that_are_no_text_are_named_with_what_to_do(tmp_path):
    for path in (b"K\xe4fer/a.jpg", b"dog/b\xe4.jpg", b"dog/a.jpg"):
        place = tmp_path / os.fsdecode(path)
        place.parent.mkdir(exist_ok=True)
        place.touch()
    with pytest.raises(DataError, match=r"K\\udce4fer: the name is not UTF-8; rename it"):
        list_class_folders(tmp_path)
    faults = []
    assert list_class_folders(tmp_path, faults.append) == {"dog": ("a.jpg",)}
    assert [str(fault).rpartition("/")[2] for fault in faults] == [
        "K\\udce4fer: the name is not UTF-8; rename it",
        "b\\udce4.jpg: the name is not UTF-8; rename it",
    ]
