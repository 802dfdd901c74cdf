"""Names that lists have for files: matched however they are spelled, never by guessing."""

import unicodedata

import pytest

from wsolbench.data.names import NameIndex, common_front, tidy_path

NFD = unicodedata.normalize("NFD", "test/Käfer/ö.jpg")
PATHS = ("test/cat/a.jpg", "test/dog/a.jpg", "val/cat/b.jpg", "test/Käfer/ö.jpg", "test/cat/C.JPG")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("test/cat/a.jpg", "test/cat/a.jpg"),
        ("cat/a", "test/cat/a.jpg"),
        ("./cat//a.jpg", "test/cat/a.jpg"),
        ("test\\cat\\a.jpg", "test/cat/a.jpg"),
        ("C:\\photos\\test\\cat\\a.jpg", "test/cat/a.jpg"),
        ("/home/me/photos/test/cat/a.jpg", "test/cat/a.jpg"),
        ("images/cat/a.jpg", "test/cat/a.jpg"),
        ("CAT/A.JPG", "test/cat/a.jpg"),
        ("b.jpg", "val/cat/b.jpg"),
        ("c.jpg", "test/cat/C.JPG"),
        (NFD, "test/Käfer/ö.jpg"),
        ("bird/b.jpg", None),
        ("d.jpg", None),
        ("", None),
    ],
)
def test_a_name_is_found_however_it_is_spelled(name, found):
    assert NameIndex(PATHS, ends=True).find(name) == (() if found is None else (found,))


def test_a_name_that_may_be_several_files_is_not_decided():
    index = NameIndex((*PATHS, "test/cat/A.jpg"), ends=True)
    assert index.find("a.jpg") == ("test/cat/a.jpg", "test/dog/a.jpg")
    assert index.find("cat/a.jpg") == ("test/cat/a.jpg",)
    assert index.find("cat/a.JPG") == ("test/cat/a.jpg", "test/cat/A.jpg")


def test_what_all_names_begin_with_says_nothing():
    front = common_front(["data\\images\\a.jpg", "./data/images/b.jpg", "data/images/x/c.jpg"])
    assert front == "data/images"
    assert NameIndex(PATHS, ends=True, front=front).find("data/images/b.jpg") == ("val/cat/b.jpg",)
    assert common_front(["a.jpg", "x/b.jpg"]) == common_front([]) == ""


SPLITS = ("test/cat/0.jpg", "test/dog/1.jpg", "val/cat/v.jpg", "val/dog/1.jpg")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("train/cat/0.jpg", ()),
        ("images/Training/cat/0.jpg", ()),
        ("train2017/0.jpg", ()),
        ("/data/val/images/cat/0.jpg", ()),
        ("train-fullsup/cat/0.jpg", ()),
        ("train/images/0.jpg", ()),
        ("img_val/dog/1.jpg", ("val/dog/1.jpg",)),
        ("TEST/1.jpg", ("test/dog/1.jpg",)),
        ("/home/me/dev/photos/cat/0.jpg", ("test/cat/0.jpg",)),
        ("dev/cat/0.jpg", ()),
        ("/train/photos/test/cat/0.jpg", ("test/cat/0.jpg",)),
        ("my_test_photos/cat/v.jpg", ("val/cat/v.jpg",)),
        ("photos/cat/0.jpg", ("test/cat/0.jpg",)),
    ],
)
def test_a_split_in_front_of_a_name_is_that_of_the_file(name, found):
    front = common_front([name], ("cat", "dog"))
    assert NameIndex(SPLITS, ends=True, front=front).find(name) == found


def test_the_name_of_the_root_in_front_says_nothing():
    assert NameIndex(SPLITS, ends=True, root="train").find("train/cat/0.jpg") == ("test/cat/0.jpg",)
    assert NameIndex(SPLITS, ends=True, root="train").find("val/cat/0.jpg") == ()


def test_the_class_that_all_names_begin_with_is_not_dropped():
    assert common_front(["x/dog/0.jpg", "x/dog/1.jpg"], ("cat", "Dog")) == "x"


def test_whole_names_are_not_found_by_their_ends():
    index = NameIndex(("a.jpg", "x/b.jpg"))
    assert "a.jpg" in index
    assert "A.jpg" not in index
    assert index.find("images/a.jpg") == ("a.jpg",)
    assert index.find("images/x/B.jpg") == ("x/b.jpg",)
    assert index.find("b.jpg") == ()


def test_a_path_without_needless_parts():
    assert [tidy_path(path) for path in ("a/b", "./a//b/.", "a\\b", "..a/b.", "/a")] == [
        *("a/b", "a/b", "a/b", "..a/b.", "/a")
    ]
