"""Class maps, and whose boxes count."""

from pathlib import Path

import pytest

from wsolbench.contract import Conventions, DatasetRoots
from wsolbench.data.class_map import match_categories, plain_name, read_class_map
from wsolbench.errors import DataError

BOXES = Path("boxes.json")
FOLDERS = ("cat", "Sea_lion", "dog")


def match(folders, used, listed=(), text=None, tmp_path=None):
    """Return category -> the sorted folders in whose images its boxes count, and what was said."""
    said, class_map = [], None
    if text is not None:
        class_map = tmp_path / "map.csv"
        class_map.write_text(text)
    roots = DatasetRoots(conventions=Conventions(class_map=class_map), on_finding=lambda found: said.append(found.text))
    found = match_categories(folders, used, listed, BOXES, roots)
    return {category: sorted(own) for category, own in found.items() if own}, said


SAME = ["sea lion", "Sea_Lion", "SEA-LION", " sea  lion "]


@pytest.mark.parametrize("name", SAME)
def test_names_match_whatever_their_case_and_separators(name):
    assert plain_name(name) == "sea lion"
    assert match(FOLDERS, ["cat", name])[0] == {"cat": ["cat"], name: ["Sea_lion"]}


def test_names_match_in_both_unicode_forms():
    assert match(["caf\u00e9"], ["cafe\u0301", "tea"])[0] == {"cafe\u0301": ["caf\u00e9"]}


def test_an_exact_name_comes_first_and_two_inexact_ones_are_an_error():
    assert match(["cat", "Cat"], ["Cat"])[0] == {"Cat": ["Cat"]}
    with pytest.raises(DataError, match="the category 'CAT' is the name of the class folders 'cat', 'Cat'"):
        match(["cat", "Cat"], ["CAT"])


def test_categories_of_which_none_is_a_folder_are_an_error():
    with pytest.raises(DataError) as caught:
        match(FOLDERS, ["person", "chair"], [*"abcd", "truck"])
    for words in ("boxes.json", "'chair', 'person'", "'cat', 'Sea_lion', 'dog'", "--class-map FILE"):
        assert words in str(caught.value)


def test_one_category_of_the_right_kind_counts_everywhere():
    found, said = match(FOLDERS, ["Object"], ["shapes"])
    assert found == {"Object": ["Sea_lion", "cat", "dog"]}
    assert said == ["boxes.json: all boxes count, as their one category 'Object' says nothing of classes"]
    with pytest.raises(DataError, match="categories: 'person'; class folders"):
        match(FOLDERS, ["person"])
    with pytest.raises(DataError, match="categories: 'object', 'person'"):
        match(FOLDERS, ["object", "person"])


MAPS = {
    "several categories of a folder": (
        "folder,category\ncat,chat\ncat,Katze\n",
        {"chat": "cat", "Katze": "cat", "dog": "dog"},
    ),
    "the map comes before names": ("category,folder\nchat,cat\ndog,Sea lion\n", {"chat": "cat", "dog": "Sea_lion"}),
    "every category": ("folder,category\ncat,*\n", {"chat": "cat", "Katze": "cat", "dog": "cat dog"}),
    "every folder": ("folder,category\n*,chat\n", {"chat": "Sea_lion cat dog", "dog": "dog"}),
    "all": ("folder;category\n*;*", dict.fromkeys(("chat", "Katze", "dog"), "Sea_lion cat dog")),
    "a folder that is mapped takes no other category": ("folder,category\ndog,chat", {"chat": "dog"}),
    "rows alone": ("folder,row\ncat,3", {"dog": "dog"}),
}


@pytest.mark.parametrize("case", MAPS)
def test_a_class_map_says_which_folder_a_category_belongs_to(tmp_path, case):
    text, expected = MAPS[case]
    found, _ = match(FOLDERS, ["chat", "Katze", "dog"], text=text, tmp_path=tmp_path)
    assert found == {category: folders.split() for category, folders in expected.items()}


BROKEN = {
    "": "line 1: expected the header folder,category,row, or two of these columns, got ''",
    "folder,class\n": "line 1: expected the header folder,category,row",
    "folder\ncat\n": "line 1: expected the header",
    "folder,folder\n": "line 1: expected the header",
    "folder,category\n": "holds no line below its header",
    "folder,category\ncat\n": "line 2: expected folder,category, got 'cat'",
    "folder,category,row\ncat,,\n": "line 2: expected at least two of folder, category, row",
    'folder,category\n"cat,chat\n': "line 2: expected fields separated by ','",
    "folder,category\ncow,chat\n": "line 2: expected a class folder \\('cat', 'Sea_lion', 'dog'\\), which 'cow' is not",
    "folder,category\ncat,chta\n": "line 2: expected a category of boxes.json \\('Katze', 'chat'\\), which 'chta' i",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_class_map_is_named_by_its_line(tmp_path, text):
    with pytest.raises(DataError, match=BROKEN[text]) as caught:
        match(FOLDERS, ["chat", "Katze"], text=text, tmp_path=tmp_path)
    assert "map.csv" in str(caught.value)


def test_a_map_of_categories_for_a_file_without(tmp_path):
    with pytest.raises(DataError, match=r"line 2: boxes\.json names no category; omit the column"):
        match(FOLDERS, [], text="folder,category\ncat,chat", tmp_path=tmp_path)


def test_comments_above_a_class_map(tmp_path):
    (tmp_path / "map.csv").write_text("# mine\nfolder,category\ncat,Katze\n")
    assert [line.category for line in read_class_map(tmp_path / "map.csv").lines] == ["Katze"]


def test_a_missing_class_map(tmp_path):
    with pytest.raises(DataError, match=r"map\.csv is missing"):
        read_class_map(tmp_path / "map.csv")
