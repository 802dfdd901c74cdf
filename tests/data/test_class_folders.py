import os

import pytest

from wsolbench.contract import Finding, Severity, Split
from wsolbench.data.class_folders import check_class_names, list_class_folders
from wsolbench.data.storage import FolderStorage
from wsolbench.errors import DataError


@pytest.fixture
def root(tmp_path):
    for path in ("b/2.jpg", "b/10.JPEG", "b/.hidden.jpg", "b/notes.txt", "a/x.png", ".git/y.png", "loose.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


def test_images_by_class_in_the_order_of_their_names(root):
    found = list_class_folders(FolderStorage(root))
    assert list(found.items()) == [("a", ("x.png",)), ("b", ("10.JPEG", "2.jpg"))]


def test_a_class_without_images(root):
    (root / "c").mkdir()
    with pytest.raises(DataError, match=r"class folder .*/c holds no image \(\.jpg, "):
        list_class_folders(FolderStorage(root))


def test_a_class_without_images_is_kept_where_that_is_allowed(root):
    (root / "c").mkdir()
    faults = []
    assert list(list_class_folders(FolderStorage(root), "", faults.append).items())[2] == ("c", ())
    assert len(faults) == 1


def test_no_class_folder(tmp_path):
    with pytest.raises(DataError, match="holds no class folder"):
        list_class_folders(FolderStorage(tmp_path))
    with pytest.raises(DataError, match=r"expected a folder of class folders: .*gone cannot be read: No such file"):
        list_class_folders(FolderStorage(tmp_path / "gone"))


def test_names_that_are_no_text_are_named_with_what_to_do(tmp_path):
    for path in (b"K\xe4fer/a.jpg", b"dog/b\xe4.jpg", b"dog/a.jpg"):
        place = tmp_path / os.fsdecode(path)
        place.parent.mkdir(exist_ok=True)
        place.touch()
    with pytest.raises(DataError, match=r"K\\udce4fer: the name is not UTF-8; rename it"):
        list_class_folders(FolderStorage(tmp_path))
    faults = []
    assert list_class_folders(FolderStorage(tmp_path), "", faults.append) == {"dog": ("a.jpg",)}
    assert [str(fault).rpartition("/")[2] for fault in faults] == [
        "K\\udce4fer: the name is not UTF-8; rename it",
        "b\\udce4.jpg: the name is not UTF-8; rename it",
    ]


def test_what_is_left_out_is_counted_by_ending(tmp_path):
    names = ("a/1.JFIF", "a/2.jpe", "a/3.avif", "a/4.heic", "a/5.HEIC", "a/6", "a/sub/7.jpg", "8.png", "a/Thumbs.db")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    findings = []
    assert list_class_folders(FolderStorage(tmp_path), on_finding=findings.append) == {
        "a": ("1.JFIF", "2.jpe", "3.avif")
    }
    (finding,) = findings
    assert finding.severity is Severity.WARNING
    assert finding.text == (
        f"{tmp_path}: left out: 2 .heic, 1 without ending, 1 in folders inside a class folder, 1 beside the class "
        "folders (a/4.heic, a/5.HEIC, a/6, ...); save photos as JPEG or PNG, directly in their class folder"
    )


def test_annotations_beside_photos_are_only_noted(tmp_path):
    for name in ("a/1.jpg", "a/1.xml", "a/2.jpg", "a/2.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    findings = []
    list_class_folders(FolderStorage(tmp_path), on_finding=findings.append)
    assert findings == [Finding(Severity.NOTE, f"{tmp_path}: left out: 2 .xml (a/1.xml, a/2.xml)")]


def test_a_root_one_folder_too_high_says_which_is_meant(tmp_path):
    for path in ("photos/test/cat/a.jpg", "__MACOSX/photos/._a.jpg", "notes/a.txt"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    words = r"no photo in a class folder, but .*/photos holds folders \(test\); did you mean --data-root .*/photos\?"
    with pytest.raises(DataError, match=words):
        list_class_folders(FolderStorage(tmp_path))
    assert list_class_folders(FolderStorage(tmp_path), "photos/test") == {"cat": ("a.jpg",)}


LEVELS = {
    "one too many": (["a/a/cat/1.jpg"], "--data-root", r"a/a holds folders \(cat\); did you mean --data-root .*a/a\?"),
    "beside unsorted photos": (
        ["a/a/1.jpg", "b/b/cat/1.jpg", "b/b/dog/1.jpg"],
        "--data-root",
        r"but .*b/b holds folders \(cat, dog\); did you mean --data-root .*b/b\?",
    ),
    "several": (["f0/cat/1.jpg", "f1/cat/1.jpg"], "--data-root", r"--data-root .*/f0 or --data-root .*/f1\?"),
    "all splits": (["test/cat/1.jpg", "train/cat/1.jpg"], "--train-root", r"did you mean --train-root .*/train\?"),
    "of a split": (["val/cat/1.jpg"], "", r"val holds folders \(cat\); move them up into "),
    "too deep": (["1.jpg", "2.jpg"], "--data-root", "holds 2 photos and no class folder with any; .* the folder above"),
    "a superclass": (["cat/1.jpg", "big/cow/1.jpg"], "--data-root", r"big holds no image but folders \(cow\); move"),
}


@pytest.mark.parametrize("case", LEVELS)
def test_class_folders_at_another_level(tmp_path, case):
    names, option, words = LEVELS[case]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=words):
        list_class_folders(FolderStorage(tmp_path), option=option)


@pytest.mark.parametrize(
    ("train", "test", "refused"),
    [
        (["cat", "dog"], ["Cat", "dog"], True),
        (["caf\u00e9"], ["cafe\u0301"], True),
        (["sea lion"], ["sea_lion"], True),
        (["a", "A"], ["A"], False),
        (["cat"], ["cat", "dog"], False),
    ],
)
def test_names_of_one_class_that_differ_between_splits(train, test, refused):
    faults = []
    check_class_names({Split.TRAIN_WEAKSUP: train, Split.TEST: test}, faults.append)
    assert [f"{fault}".startswith("the class folders ") for fault in faults] == [True] * refused
