"""Which rows of a head are the classes of a data set."""

import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import each

from wsolbench.contract import Conventions, ImageSplit, Split
from wsolbench.data.opened import OpenDataset
from wsolbench.errors import DataError, UsageError
from wsolbench.host.provider import Provider
from wsolbench.networks.class_rows import choose_rows
from wsolbench.networks.plain_data import find_statements
from wsolbench.networks.row_names import KnownClasses, find_row_names, names_beside_weights
from wsolbench.networks.weights_file import WeightsFile, read_weights_file


@dataclass(frozen=True)
class Set:
    """A data set of which names matter alone."""

    class_names: tuple[str, ...]
    part: ImageSplit
    name: str = "own"
    splits = frozenset([Split.TEST])

    def images(self, _split):
        return self.part


def rows_of(
    names, classes, *, folders=None, class_map=None, published=None, labels=None, training=None, trained=(), known=None
):
    """Return the choice of rows for a data set with such class names and a head of so many classes.

    The weights are from a file; `training` is the data set of their card, `trained` are the classes that it names.
    """
    conventions = Conventions(class_map=class_map)
    labels = np.arange(len(names)) if labels is None else np.array(labels)
    ids = tuple(f"test/{(folders or names)[label]}/{place}.jpg" for place, label in enumerate(labels))
    part = ImageSplit(ids, labels, lambda _: None)
    dataset = OpenDataset(
        Set(tuple(names), part), Provider("acme", "1", "own"), conventions, published_classes=published
    )
    weights = SimpleNamespace(source="file", training=training and SimpleNamespace(dataset=training))
    known = KnownClasses("its training", tuple((name,) for name in trained)) if trained else known
    network = SimpleNamespace(num_classes=classes, weights=weights, row_names=known, spec=SimpleNamespace(name="net"))
    return choose_rows(network, dataset, [part])


def test_labels_are_rows_where_numbers_of_classes_are_equal():
    assert rows_of(["cat", "dog"], 2).rows is None
    assert rows_of([str(label) for label in range(3)], 200, published=200) == rows_of(["cat"], 1)
    assert rows_of([f"class {label}" for label in range(1000)], 1000).rows is None


FOUND = {
    "WordNet ids": (["n01440764", "n02979186", "n03888257"], None, (0, 482, 701)),
    "names": (["tench", "Cassette_Player", "parachute"], None, (0, 482, 701)),
    "folders of ids": (["fish", "music", "chute"], ["n01440764", "n02979186", "n03888257"], (0, 482, 701)),
    "labels of lists": (["0", "1"], ["n03888257", "n01440764"], (701, 0)),
}


@pytest.mark.parametrize("case", FOUND)
def test_classes_of_imagenet_are_found_by_name(case):
    names, folders, expected = FOUND[case]
    chosen = rows_of(names, 1000, folders=folders)
    assert chosen.rows == expected
    assert "3 of the 1,000" in chosen.remark or "2 of the 1,000" in chosen.remark
    assert "found by name among those of imagenet-1k" in chosen.remark
    assert rows_of(names, 1000, folders=folders, training="ilsvrc").rows == expected


def test_a_thousand_folders_named_in_another_order_are_found_too():
    from timm.data import ImageNetInfo

    wnids = ImageNetInfo("imagenet-1k").label_names()
    assert rows_of(wnids, 1000).rows is None
    assert rows_of(wnids[::-1], 1000).rows == tuple(range(999, -1, -1))


UNKNOWN = {
    "own classes": (
        ["anna", "bert"],
        {},
        "know 1,000 classes and 'own' has 2; 'anna', 'bert' are not among",
    ),
    "one": (["tench", "bert"], {}, "'bert' is not among those of imagenet-1k; say with --class-map FILE which row"),
    "two meanings": (["tench", "crane"], {}, "'crane' is the name of the rows 134 and 517"),
    "trained on others": (
        ["tench", "parachute"],
        {"training": "mine"},
        "the rows of 'tench', 'parachute' are n",
    ),
    "labels": (
        ["0", "1"],
        {},
        "are not among those of imagenet-1k; say with --class-map FILE which row is which class, a CSV f",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_rows_that_are_not_found_are_an_error(case):
    names, more, message = UNKNOWN[case]
    with pytest.raises(UsageError, match=re.escape(message)):
        rows_of(names, 1000, **more)


def test_other_heads_than_those_of_imagenet():
    with pytest.raises(UsageError, match="know 12 classes and 'own' has 2; the rows of 'cat', 'dog' are not known"):
        rows_of(["cat", "dog"], 12)
    chosen = rows_of(["0", "1"], 12)
    assert chosen.rows is None
    assert not chosen.certain
    assert "its labels are taken for the first 2 of them" in chosen.remark


def test_classes_of_a_training_are_found_by_their_names():
    trained = ("cat", "cow", "dog")
    assert rows_of(["Dog", "cat"], 3, trained=trained, training="mine").rows == (2, 0)
    assert rows_of(["cat", "cow", "dog"], 3, trained=trained, training="mine").rows is None
    assert rows_of(["chat", "cow", "chien"], 3, trained=trained, training="mine").rows is None
    with pytest.raises(UsageError, match="know 3 classes and 'own' has 3; 'fox' is not among those of its training"):
        rows_of(["cow", "dog", "fox"], 3, trained=trained, training="mine")
    with pytest.raises(UsageError, match="know 3 classes and 'own' has 2; 'fox' is not among those of its training"):
        rows_of(["cow", "fox"], 3, trained=trained, training="mine")
    assert "first 2 of them" in rows_of(["0", "1"], 3, trained=("0", "1", "2"), training="folder").remark


NAMED = {
    "class_to_idx": ({"class_to_idx": {"cat": 2, "cow": 0, "dog": 1}}, (2, 0, 1)),
    "classes": ({"meta": {"CLASSES": ("cow", "dog", "cat")}}, (2, 0, 1)),
    "idx_to_class": ({"idx_to_class": {0: "dog", 1: "cow", 2: "cat"}}, (2, 1, 0)),
    "id2label": ({"config": {"id2label": {"0": "Dog", "1": "cow", "2": "CAT"}}}, (2, 1, 0)),
    "ids and names": ({"labels": {"2": ["n02", "cat"], "0": ["n03", "cow"], "1": ["n05", "dog"]}}, (2, 0, 1)),
    "two lists": ({"classes": ["n02", "n03", "n05"], "label_names": ["dog", "cat", "cow"]}, (1, 2, 0)),
    "commas": ({"classes": "dog, cow,cat"}, (2, 1, 0)),
    "JSON": ({"class_names": '["dog", "cow", "cat"]'}, (2, 1, 0)),
    "spaces": ({"args": {"class_names": "dog cow cat"}}, (2, 1, 0)),
    "TorchServe": ({"index_to_name": {"0": "dog", "1": "cow", "2": "cat"}}, (2, 1, 0)),
    "folders": ({"cat_to_name": {"0": "dog", "1": "cow", "2": "cat"}}, (2, 1, 0)),
    "numbered folders": (
        {"class_to_idx": {"1": 0, "10": 1, "2": 2}, "cat_to_name": {"1": "dog", "2": "cow", "10": "cat"}},
        (1, 2, 0),
    ),
    "an encoder": ({"label_encoder_classes": ["dog", "cow", "cat"]}, (2, 1, 0)),
    "categories": (
        {"categories": [{"id": 2, "name": "cow"}, {"id": 1, "name": "dog"}, {"id": 3, "name": "cat"}]},
        (2, 1, 0),
    ),
    "in order": ({"class_to_idx": {"cat": 0, "cow": 1, "dog": 2}}, None),
    "generic": ({"id2label": {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}}, None),
    "another number": ({"classes": ["cow", "cat"]}, None),
    "something else": ({"labels": [0, 1, 2], "names": "cat", "classes": 3, "class_to_idx": {}}, None),
    "two of a name": ({"classes": ["cat", "cat", "cow"]}, None),
}


def known_of(content):
    return find_row_names(find_statements(WeightsFile(Path("w.pth"), "", content)), 3)


@pytest.mark.parametrize("case", NAMED)
def test_rows_are_found_by_the_names_in_a_weights_file(case):
    content, expected = NAMED[case]
    known, misfits = known_of(content)
    assert rows_of(["cat", "cow", "dog"], 3, known=known).rows == expected
    if case == "another number":
        assert misfits == [
            "'classes' of the weights file names 2 classes, the rows 0 to 1, and the head has 3 rows, from 0; "
            "the names are not used"
        ]
    if case == "two of a name":
        assert misfits == ["'classes' of the weights file names 'cat' 2 times; the names are not used"]


SAVED = {
    "texts of numpy": np.array(["dog", "cow", "cat"]),
    "big-endian": np.array(["dog", "cow", "cat"], dtype=">U5"),
    "bytes of numpy": np.array([b"dog", b"cow", b"cat"]),
    "objects of numpy": np.array(["dog", "cow", "cat"], dtype=object),
    "tensors": {"dog": torch.tensor(0), "cow": torch.tensor(1), "cat": torch.tensor(2)},
    "keys of numpy": {np.str_("dog"): np.int64(0), np.str_("cow"): np.int64(1), np.str_("cat"): np.int64(2)},
}


@each("case", list(SAVED))
@each("protocol", [2, 4, 5])
def test_names_that_numpy_and_torch_hold_are_read(tmp_path, case, protocol):
    torch.save({"classes": SAVED[case]}, tmp_path / "w.pth", pickle_protocol=protocol)
    known, misfits = find_row_names(find_statements(read_weights_file(tmp_path / "w.pth")), 3)
    assert [names[0] for names in known.names] == ["dog", "cow", "cat"]
    assert misfits == []


@each("value", [{"dog", "cow", "cat"}, "lists/classes.txt", ["dog", None, "cat"], {}])
def test_what_is_named_like_classes_and_is_not_read_is_said(tmp_path, value):
    torch.save({"classes": value, "names": value, "label": "all", "epoch_classes": 3}, tmp_path / "w.pth")
    known, misfits = find_row_names(find_statements(read_weights_file(tmp_path / "w.pth")), 3)
    assert known is None
    assert misfits == ["'classes' of the weights file is not read; rows follow the order of folders"]


@each(
    ("name", "text", "names"),
    [
        ("class_indices.json", '{"0": "dog", "1": "cow", "2": "cat"}', ["dog", "cow", "cat"]),
        ("index_to_name.json", '{"2": ["n3", "cat"], "0": ["n1", "dog"], "1": ["n2", "cow"]}', ["n1", "n2", "n3"]),
        ("labels.txt", "dog\ncow\n\ncat\n", ["dog", "cow", "cat"]),
        ("w_classes.txt", "1 dog\n2 cow\n3 cat", ["dog", "cow", "cat"]),
        ("synsets.txt", "n00000001 dog\nn00000002 cow\nn00000003 cat", ["n00000001", "n00000002", "n00000003"]),
        ("readme.txt", "dog\ncow\ncat", None),
        ("labels.json", "{", None),
    ],
)
def test_lists_of_classes_beside_a_weights_file_are_used(tmp_path, name, text, names):
    (tmp_path / name).write_text(text)
    known, _ = find_row_names(names_beside_weights(tmp_path / "w.pth"), 3)
    assert (known and [of_row[0] for of_row in known.names]) == names
    (tmp_path / name).unlink()


def test_names_in_a_weights_file_that_contradict_the_folders_are_an_error_with_both(tmp_path):
    known, _ = known_of({"class_to_idx": {"cat": 0, "cow": 1, "dog": 2}})
    both = (
        "'chien' is not among those of 'class_to_idx' of the weights file ('cat', 'cow', 'dog'); say with --class-map"
    )
    with pytest.raises(UsageError, match=re.escape(both)):
        rows_of(["cat", "cow", "chien"], 3, known=known)
    (tmp_path / "map.csv").write_text("folder,row\nchien,dog")
    assert rows_of(["cat", "chien", "cow"], 3, known=known, class_map=tmp_path / "map.csv").rows == (0, 2, 1)
    twice, _ = known_of({"classes": ["cat", "cow", "dog"], "class_to_idx": {"cat": 2, "cow": 1, "dog": 0}})
    with pytest.raises(UsageError, match=re.escape("'cat' is the name of the rows 0 and 2")):
        rows_of(["cat", "cow", "dog"], 3, known=twice)
    assert rows_of(["0", "1", "2"], 3, known=known).rows is None


def test_labels_of_lists_with_gaps_are_rows():
    """Lists of some photos of ILSVRC state its 1,000 labels."""
    names = [str(label) for label in range(999)]
    chosen = rows_of(names, 1000, labels=[3, 998, 500], folders=["val"] * 999)
    assert (chosen.rows, chosen.certain) == (None, False)
    assert "its labels are taken for the first 999 of them" in chosen.remark


MAPS = {
    "numbers": ("folder,row\nanna,5\nbert,7", (5, 7)),
    "ids and names": ("folder,category,row\nanna,x,n01440764\nbert,,Cassette player", (0, 482)),
    "the rest by name": ("row;folder\n5;anna", None),
    "labels": ("folder,row\n*,*", None),
}


@pytest.mark.parametrize("case", MAPS)
def test_a_class_map_names_rows(tmp_path, case):
    text, expected = MAPS[case]
    (tmp_path / "map.csv").write_text(text)
    if case == "the rest by name":
        assert rows_of(["anna", "tench"], 1000, class_map=tmp_path / "map.csv").rows == (5, 0)
        with pytest.raises(UsageError, match="'bert' is not among"):
            rows_of(["anna", "bert"], 1000, class_map=tmp_path / "map.csv")
        return
    chosen = rows_of(["anna", "bert"], 1000, class_map=tmp_path / "map.csv")
    assert chosen.rows == expected
    assert "map.csv" in chosen.remark


BROKEN = {
    "folder,row\nanna,1000": "line 2: expected a row from 0 to 999",
    "folder,row\nanna,-1": "line 2: expected the number, id or name of a class of imagenet-1k, which '-1' is not",
    "folder,row\nanna,crane": "line 2: expected the number, id or name of a class of imagenet-1k, which 'crane' is 2",
    "folder,row\ncarl,1": "line 2: expected one of the classes ('anna', 'bert'), which 'carl' is not",
    "folder,row\nanna,1\nanna,2": "line 3: expected one row a class, this one has 1 before",
    "folder,row\n*,1": "line 2: expected a class and a row, or '*' for both",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_row_that_the_head_does_not_have_is_named_by_its_line(tmp_path, text):
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(DataError, match=re.escape(BROKEN[text])):
        rows_of(["anna", "bert"], 1000, class_map=tmp_path / "map.csv")


def test_a_class_without_images_needs_no_row():
    assert rows_of(["tench", "own", "parachute"], 1000, labels=[0, 2, 2]).rows == (0, -1, 701)


def test_a_name_that_is_nearly_that_of_a_row_is_suggested(tmp_path):
    (tmp_path / "map.csv").write_text("folder,row\ncat,tabby cta\n")
    with pytest.raises(DataError, match=r"which 'tabby cta' is not \(did you mean 'tabby cat'\?\)"):
        rows_of(["cat"], 2, class_map=tmp_path / "map.csv", trained=("tabby cat", "dog"))
