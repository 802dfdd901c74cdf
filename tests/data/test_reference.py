import os
import pickle
import re
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from cases import each
from PIL import Image

from wsolbench.contract import Conventions, DatasetRoots, Split
from wsolbench.data.boxes import findings_of_changes
from wsolbench.data.images import decode_grey
from wsolbench.data.reference import ReferenceDataset
from wsolbench.errors import DataError, UsageError

FILES = {
    "image_ids.txt": "x/a.jpg\nx/b.jpg\n",
    "class_labels.txt": "x/a.jpg,0\nx/b.jpg,2\n",
    "image_sizes.txt": "x/a.jpg,10,20\nx/b.jpg,30,40\n",
    "localization.txt": "x/a.jpg,0,0,9,19\nx/b.jpg,1,2,3,4\nx/a.jpg,5,5,5,5\n",
}
MASKS = FILES | {"image_sizes.txt": "", "localization.txt": "x/a.jpg,m1.png,i.png\nx/a.jpg,m2.png,\nx/b.jpg,m3.png,\n"}


def write_split(root, files, split="test"):
    folder = root / split
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def dataset(root, **roots):
    return ReferenceDataset("toy", DatasetRoots(metadata=root, **roots))


def read_all(data, split=Split.TEST):
    images, annotations = data.images(split), data.annotations(split)
    return images.ids, images.labels.tolist(), {name: box.tolist() for name, box in annotations.boxes.items()}


PARSED = (
    ("x/a.jpg", "x/b.jpg"),
    [0, 2],
    {"x/a.jpg": [[0, 0, 9, 19], [5, 5, 5, 5]], "x/b.jpg": [[1, 2, 3, 4]]},
)


def test_boxes_sizes_and_labels(tmp_path):
    write_split(tmp_path, FILES)
    data = dataset(tmp_path)
    assert read_all(data) == PARSED
    annotations = data.annotations(Split.TEST)
    assert annotations.image_sizes == {"x/a.jpg": (10, 20), "x/b.jpg": (30, 40)}
    assert annotations.load_mask is None
    assert annotations.boxes["x/a.jpg"].dtype == np.int64
    assert data.images(Split.TEST).labels.dtype == np.int64
    assert data.class_names == ("0", "1", "2")
    assert (data.name, data.version, data.splits) == ("toy", "", {Split.TEST})


LEGAL = {
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "no_final_newline": lambda text: text.rstrip("\n"),
    "blank_last_lines": lambda text: text + "\n  \n\r\n",
    "byte_order_mark": lambda text: "\ufeff" + text,
    "spaces_around_numbers": lambda text: re.sub(r",(\d)", r", \1", text),
    "other_order": lambda text: text,
}


@each("form", LEGAL)
def test_legal_forms_of_the_files(tmp_path, form):
    files = {name: LEGAL[form](text) for name, text in FILES.items()}
    if form == "other_order":
        files["class_labels.txt"] = "x/b.jpg,2\nx/a.jpg,0\n"
        files["image_sizes.txt"] = "x/b.jpg,30,40\nx/a.jpg,10,20\n"
    write_split(tmp_path, files)
    assert read_all(dataset(tmp_path)) == PARSED


def test_ids_with_commas_spaces_and_accents(tmp_path):
    ids = ["a, b/c,1.jpg", " é/ü 2.jpg", "1,2,3,4", "./..hidden/x..y.jpg"]
    write_split(
        tmp_path,
        {
            "image_ids.txt": "\n".join(ids),
            "class_labels.txt": "\n".join(f"{name},0" for name in ids),
            "image_sizes.txt": "\n".join(f"{name},8,9" for name in ids),
            "localization.txt": "\n".join(f"{name},1,2,3,4" for name in ids),
        },
    )
    parsed_ids, _, boxes = read_all(dataset(tmp_path))
    assert list(parsed_ids) == ids
    assert boxes == {name: [[1, 2, 3, 4]] for name in ids}


@each("absent", [False, True])
def test_train_needs_neither_sizes_nor_localization(tmp_path, absent):
    unneeded = {} if absent else {"image_sizes.txt": "", "localization.txt": ""}
    write_split(tmp_path, {name: FILES[name] for name in ("image_ids.txt", "class_labels.txt")} | unneeded, "train")
    assert read_all(dataset(tmp_path), Split.TRAIN_WEAKSUP) == (*PARSED[:2], {})


def test_train_returns_the_boxes_that_are_there(tmp_path):
    files = {"localization.txt": "x/b.jpg,1,2,3,4", "image_sizes.txt": "x/b.jpg,30,40"}
    write_split(tmp_path, FILES | files, "train")
    assert read_all(dataset(tmp_path), Split.TRAIN_WEAKSUP)[2] == {"x/b.jpg": [[1, 2, 3, 4]]}


def test_splits_are_parsed_when_asked_for(tmp_path):
    write_split(tmp_path, FILES)
    write_split(tmp_path, FILES | {"class_labels.txt": "broken"}, "val")
    (tmp_path / "train").mkdir()
    data = dataset(tmp_path)
    assert data.splits == set(Split)  # a folder without its files is damaged, not absent
    assert read_all(data) == PARSED
    assert data.images(Split.TEST).ids is data.images(Split.TEST).ids
    with pytest.raises(DataError, match=r"val/class_labels\.txt, line 1"):
        data.images(Split.TRAIN_FULLSUP)


def test_class_names_span_all_splits(tmp_path):
    write_split(tmp_path, FILES)
    labels = {"class_labels.txt": "x/a.jpg,4\nx/b.jpg,1"}
    write_split(tmp_path, {"image_ids.txt": FILES["image_ids.txt"]} | labels, "train")
    assert dataset(tmp_path).class_names == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_list_to_train_on_is_parsed_for_names_where_it_may_have_more_classes(tmp_path, encoding):
    write_split(tmp_path, FILES)
    lists = {"image_ids.txt": "x/a.jpg\n", "class_labels.txt": "x/a.jpg,2\ny/other.jpg,9\n"}
    folder = write_split(tmp_path, {name: text.encode(encoding) for name, text in lists.items()}, "train")
    assert dataset(tmp_path).class_names == ("0", "1", "2")  # an image that is not listed has none
    (folder / "image_ids.txt").write_text("x/a.jpg\nx/a.jpg\n")
    with pytest.raises(DataError, match=r"train/image_ids\.txt, line 2"):
        _ = dataset(tmp_path).class_names
    (folder / "class_labels.txt").write_text("x/a.jpg,2\n")
    assert dataset(tmp_path).class_names == ("0", "1", "2")  # told when these images are asked for
    with pytest.raises(DataError, match=r"train/image_ids\.txt, line 2"):
        dataset(tmp_path).images(Split.TRAIN_WEAKSUP)


# file, its content (None: not there), what the message must hold besides the path of the file
BROKEN = {
    "ids_missing": ("image_ids.txt", None, "is missing"),
    "ids_empty": ("image_ids.txt", "\n", "is empty: expected the images of the test split"),
    "ids_twice": ("image_ids.txt", "x/a.jpg\nx/b.jpg\nx/a.jpg", "line 3: expected each image once"),
    "ids_blank_middle": ("image_ids.txt", "x/a.jpg\n\nx/b.jpg", "line 2: expected an entry"),
    "ids_not_utf8": ("image_ids.txt", b"x/a.jpg\nx/\xe9.jpg\n", "line 2: the text is not UTF-8"),
    "ids_utf16": ("image_ids.txt", "x/a.jpg\n".encode("utf-16")[:-1], "line 1: the text is not UTF-16"),
    "ids_old_mac": ("image_ids.txt", "x/a.jpg\rx/b.jpg\r", "line 1: expected a path without control characters"),
    "ids_nul": ("image_ids.txt", "x/a.jpg\0", "line 1: expected a path without control characters"),
    "ids_up": ("image_ids.txt", "x/b.jpg\n../x/a.jpg", "line 2: expected a relative path"),
    "ids_up_inside": ("image_ids.txt", "a/../../x", "line 1: expected a relative path"),
    "ids_up_last": ("image_ids.txt", "x/..", "line 1: expected a relative path"),
    "ids_absolute": ("image_ids.txt", "/etc/passwd", "line 1: expected a relative path"),
    "ids_backslash": ("image_ids.txt", "\\\\x\\a.jpg", "line 1: expected a relative path"),
    "ids_twice_otherwise": (
        "image_ids.txt",
        "x/a.jpg\n./x//a.jpg",
        "line 2: expected each image once, this one is on line 1 too, as 'x/a.jpg', got './x//a.jpg'",
    ),
    "ids_drive": ("image_ids.txt", "C:x/a.jpg", "line 1: expected a relative path"),
    "labels_missing": ("class_labels.txt", None, "is missing"),
    "label_missing": (
        "class_labels.txt",
        "x/b.jpg,0",
        "1 image has no class label, though listed in image_ids.txt: 'x/a",
    ),
    "labels_empty": ("class_labels.txt", "", "2 images have no class label"),
    "label_twice": ("class_labels.txt", "x/a.jpg,0\nx/a.jpg,0", "line 2: expected one label an image"),
    "label_unknown": (
        "class_labels.txt",
        "x/a.jpg,0\nx/c.jpg,0",
        "line 2: expected path,label with a path of image_ids",
    ),
    "label_float": ("class_labels.txt", "x/a.jpg,1.5", "line 1: expected path,label in whole numbers"),
    "label_underscore": ("class_labels.txt", "x/a.jpg,1_0", "line 1: expected path,label in whole numbers"),
    "label_arabic_digit": ("class_labels.txt", "x/a.jpg,٣", "line 1: expected path,label in whole numbers"),
    "label_negative": ("class_labels.txt", "x/a.jpg,-1", "line 1: expected a label from 0"),
    "label_huge": ("class_labels.txt", "x/a.jpg,999999999", "line 1: expected a label from 0"),
    "label_empty": ("class_labels.txt", "x/a.jpg,", "line 1: expected path,label in whole numbers"),
    "label_no_comma": ("class_labels.txt", "x/a.jpg 0", "line 1: expected path,label"),
    "label_header": ("class_labels.txt", "path,label\nx/a.jpg,0", "is not; a header is not part of this layout"),
    "label_comma": ("class_labels.txt", "x/a.jpg,0,\nx/b.jpg,2,", "is not; remove the comma at the end"),
    "label_quoted": ("class_labels.txt", '"x/a.jpg",0\nx/b.jpg,2', "is not; paths are not quoted here"),
    "label_tab": ("class_labels.txt", "x/a.jpg;0\nx/b.jpg;2", "line 1: expected path,label, separated by commas"),
    "ids_quoted": ("image_ids.txt", '"x/a.jpg"\nx/b.jpg', "line 1: expected a path without quotes"),
    "sizes_missing": (
        "image_sizes.txt",
        None,
        "2 images have no size, though listed in image_ids.txt: 'x/a.jpg', 'x/b",
    ),
    "size_missing": (
        "image_sizes.txt",
        "x/a.jpg,10,20",
        "1 image has no size, though listed in image_ids.txt: 'x/b.jpg'",
    ),
    "size_twice": ("image_sizes.txt", "x/a.jpg,10,20\nx/a.jpg,10,20", "line 2: expected one size an image"),
    "size_zero": ("image_sizes.txt", "x/a.jpg,10,0", "line 1: expected a width and height of 1 or more"),
    "size_negative": ("image_sizes.txt", "x/a.jpg,-1,20", "line 1: expected a width and height of 1 or more"),
    "size_short": ("image_sizes.txt", "x/a.jpg,10", "line 1: expected path,width,height"),
    "size_float": ("image_sizes.txt", "x/a.jpg,10.5,3", "line 1: expected path,width,height in whole numbers"),
    "size_comma": ("image_sizes.txt", "x/a.jpg,10.,20.0x", "line 1: expected path,width,height in whole numbers"),
    "size_endless": (
        "image_sizes.txt",
        "x/a.jpg,10," + "9" * 5000,
        "line 1: expected path,width,height in whole numbers",
    ),
    "size_unknown": ("image_sizes.txt", "x/c.jpg,10,20", "line 1: expected path,width,height with a path of image_ids"),
    "boxes_missing": ("localization.txt", None, "is missing or empty: test needs boxes"),
    "boxes_empty": ("localization.txt", "", "is missing or empty: test needs boxes"),
    "box_missing": (
        "localization.txt",
        "x/b.jpg,1,2,3,4",
        "1 image has no box, though listed in image_ids.txt: 'x/a.jpg'",
    ),
    "box_unknown": (
        "localization.txt",
        "x/c.jpg,1,2,3,4",
        "line 1: expected path,x0,y0,x1,y1 with a path of image_ids",
    ),
    "box_short": ("localization.txt", "x/a.jpg,1,2,3", "line 1: expected path,x0,y0,x1,y1"),
    "box_text": ("localization.txt", "x/a.jpg,1,two,3,4", "line 1: expected path,x0,y0,x1,y1 in numbers"),
    "box_nan": ("localization.txt", "x/a.jpg,1,2,3,nan", "line 1: expected path,x0,y0,x1,y1 in numbers"),
    "box_comma": ("localization.txt", "x/a.jpg,1,2,3,4,", "line 1: expected path,x0,y0,x1,y1 with a path of image_ids"),
    "box_x_inverted": (
        "localization.txt",
        "x/a.jpg,3,2,2,4\nx/b.jpg,1,2,3,4",
        "line 1: expected x0 <= x1 and y0 <= y1",
    ),
    "box_y_inverted": (
        "localization.txt",
        "x/a.jpg,1,5,3,4\nx/b.jpg,1,2,3,4",
        "line 1: expected x0 <= x1 and y0 <= y1",
    ),
    "box_left": (
        "localization.txt",
        "x/a.jpg,-1,2,3,4\nx/b.jpg,1,2,3,4",
        "line 1: expected a box inside its 10x20 image",
    ),
    "box_above": (
        "localization.txt",
        "x/a.jpg,1,-2,3,4\nx/b.jpg,1,2,3,4",
        "line 1: expected a box inside its 10x20 image",
    ),
    "box_right": (
        "localization.txt",
        "x/a.jpg,1,2,10,4\nx/b.jpg,1,2,3,4",
        "line 1: expected a box inside its 10x20 image",
    ),
    "box_below": (
        "localization.txt",
        "x/a.jpg,1,2,3,20\nx/b.jpg,1,2,3,4",
        "line 1: expected a box inside its 10x20 image",
    ),
    "box_header": (
        "localization.txt",
        "path,x0,y0,x1,y1\nx/a.jpg,1,2,3,4",
        "line 1: expected path,x0,y0,x1,y1 or path,mask.png,ignore.png; a header is not part of this layout; remove it",
    ),
    "box_spaces": (
        "localization.txt",
        "x/a.jpg 1 2 3 4",
        "line 1: expected path,x0,y0,x1,y1, separated by commas, which no line has",
    ),
    "mask_semicolons": (
        "localization.txt",
        "x/a.jpg;m.png;",
        "line 1: expected path,mask.png,ignore.png, separated by commas, which no line has",
    ),
    "size_spaces": (
        "image_sizes.txt",
        "x/a.jpg 10 20",
        "line 1: expected path,width,height, separated by commas, which no line has",
    ),
    "mask_among_boxes": ("localization.txt", "x/a.jpg,1,2,3,4\nx/b.jpg,m.png,", "line 2: expected a box"),
    "box_among_masks": ("localization.txt", "x/b.jpg,m.png,\nx/a.jpg,1,2,3,4", "line 2: expected a mask"),
    "mask_short": ("localization.txt", "x/a.jpg,m.png", "line 1: expected path,mask.png,ignore.png"),
    "mask_empty": ("localization.txt", "x/a.jpg,,i.png", "line 1: expected a relative path"),
    "mask_missing": ("localization.txt", "x/a.jpg,m.png,", "1 image has no mask, though listed in image_ids.txt: 'x/b"),
    "mask_unknown": ("localization.txt", "x/c.jpg,m.png,", "line 1: expected path,mask.png,ignore.png with a path of"),
    "mask_up": ("localization.txt", "x/a.jpg,../m.png,", "line 1: expected a relative path"),
    "mask_nul": ("localization.txt", "x/a.jpg,m\0.png,", "line 1: expected a path without control characters"),
    "ignore_absolute": ("localization.txt", "x/a.jpg,m.png,/i.png", "line 1: expected a relative path"),
    "ignore_twice": (
        "localization.txt",
        "x/a.jpg,m.png,i.png\nx/a.jpg,n.png,i.png",
        "line 2: expected the ignore mask",
    ),
}


@each("name", BROKEN)
def test_broken_file_is_named_with_its_line(tmp_path, name):
    file, content, problem = BROKEN[name]
    files = {key: text for key, text in (FILES | {file: content}).items() if text is not None}
    folder = write_split(tmp_path, FILES, "val").parent / "test"
    write_split(tmp_path, files)
    data = dataset(tmp_path, images=tmp_path)
    with pytest.raises(DataError) as caught:
        read_all(data)
    message = str(caught.value)
    assert str(folder / file) in message
    assert problem in message
    assert "\n" not in message
    assert "\0" not in message
    assert len(message) < 500
    if "line" in problem and "utf" not in name:
        number = int(re.search(r"line (\d+)", problem)[1])
        assert repr(content.split("\n")[number - 1].removesuffix("\r"))[:100] in message


# convention, first pixel, lines of localization.txt, boxes, what is reported
READ = {
    "fractions": (
        "inclusive",
        None,
        "x/a.jpg,1.9,2.5,9.99,4",
        [[1, 2, 9, 4]],
        ["1 box with fractions, truncated to w"],
    ),
    "exponents": (
        "inclusive",
        None,
        "x/a.jpg,1e-05,2,9,1e1",
        [[0, 2, 9, 10]],
        ["1 box with fractions, truncated to w"],
    ),
    "half-open": (
        "half-open",
        None,
        "x/a.jpg,0,1,10,20\nx/a.jpg,3,4,5,6",
        [[0, 1, 9, 19], [3, 4, 4, 5]],
        ["3 boxes half-open, with 1 subtracted from the second corner"],
    ),
    "clip": (
        "clip",
        None,
        "x/a.jpg,-3,2,10,21\nx/a.jpg,0,0,9,19",
        [[0, 2, 9, 19], [0, 0, 9, 19]],
        ["1 box beyond the image, clipped to it"],
    ),
    "from one": ("inclusive", 1, "x/a.jpg,1,1,10,20", [[0, 0, 9, 19]], []),
    "half-open from one": (
        "half-open",
        1,
        "x/a.jpg,1,1,11,21",
        [[0, 0, 9, 19]],
        ["2 boxes half-open, with 1 subtracted"],
    ),
}


@each("name", READ)
def test_boxes_are_read_by_the_conventions(tmp_path, name):
    convention, first, lines, boxes, said = READ[name]
    write_split(tmp_path, FILES | {"localization.txt": f"{lines}\nx/b.jpg,1,2,3,4"})
    roots = DatasetRoots(metadata=tmp_path, conventions=Conventions(convention, first))
    annotations = ReferenceDataset("toy", roots).annotations(Split.TEST)
    assert annotations.boxes["x/a.jpg"].tolist() == boxes
    findings = list(findings_of_changes("test", annotations.changes))
    assert len(findings) == len(said)
    for finding, words in zip(findings, said, strict=True):
        assert finding.text.startswith(f"test: {words}")


def test_lists_may_be_larger_than_the_ids(tmp_path):
    gone = {"class_labels.txt": "x/z.jpg,7", "image_sizes.txt": "x/z.jpg,9,9", "localization.txt": "x/z.jpg,1,2,3,4"}
    write_split(tmp_path, {name: f"{gone.get(name, '')}\n{text}".lstrip() for name, text in FILES.items()})
    said = []
    data = ReferenceDataset("toy", DatasetRoots(metadata=tmp_path, on_finding=said.append))
    assert set(data.annotations(Split.TEST).boxes) == {"x/a.jpg", "x/b.jpg"}
    assert data.images(Split.TEST).labels.tolist() == [0, 2]
    assert [finding.text.partition(": ")[0].rpartition("/")[2] for finding in said] == [*gone][::-1]
    assert all("1 line is of images that image_ids.txt does not list" in finding.text for finding in said)


HALF_OPEN = "x/a.jpg,0,0,9,20\nx/a.jpg,0,0,10,20\nx/b.jpg,2,2,30,40"
HALF_OPEN_OR_CLIP = (
    "; so have 1 other images; pass --boxes half-open if second corners are the pixel after the last one, "
    "--first-pixel 1 if pixels count from 1, or --boxes clip to move corners into the image"
)
ADVICE = {
    "half-open": ("inclusive", HALF_OPEN, HALF_OPEN_OR_CLIP),
    "far": ("inclusive", "x/a.jpg,0,0,12,20\nx/b.jpg,2,2,3,4", "; pass --boxes clip to move corners into the image"),
    "wholly": ("inclusive", "x/a.jpg,0,20,9,21\nx/b.jpg,2,2,3,4", "got 'x/a.jpg,0,20,9,21'"),
    "wholly, clipped": ("clip", "x/a.jpg,0,20,9,21\nx/b.jpg,2,2,3,4", "corners up to 9,19, got 'x/a.jpg,0,20,9,21'"),
    "one much farther": ("inclusive", "x/a.jpg,2,0,5,25\nx/b.jpg,2,2,3,4", "drawn: list their original sizes too"),
    "empty": ("half-open", "x/a.jpg,3,0,3,9\nx/b.jpg,2,2,3,4", "expected x0 < x1 and y0 < y1, got 'x/a.jpg,3,0,3,9'"),
}


@each("name", ADVICE)
def test_the_first_box_outside_counts_the_others_and_names_the_option(tmp_path, name):
    convention, lines, ending = ADVICE[name]
    write_split(tmp_path, FILES | {"localization.txt": lines})
    faults = []
    roots = DatasetRoots(metadata=tmp_path, conventions=Conventions(convention))
    with pytest.raises(DataError) as caught:
        ReferenceDataset("toy", roots).annotations(Split.TEST)
    assert str(caught.value).endswith(ending)
    ReferenceDataset("toy", replace(roots, on_fault=faults.append)).annotations(Split.TEST)
    assert str(faults[0]) == str(caught.value)
    assert not any("--" in str(fault) for fault in faults[1:])


@each("lines", ["x/b.jpg,1,2,3,4", "x/a.jpg,,,,\nx/b.jpg,1,2,3,4", "x/a.jpg, , , ,\r\nx/b.jpg,1,2,3,4"])
def test_an_image_without_an_object_has_no_line_or_empty_fields(tmp_path, lines):
    write_split(tmp_path, FILES | {"localization.txt": lines})
    message = (
        r"1 image has no box, though listed in image_ids\.txt: 'x/a\.jpg'; --unannotated omit leaves such images out$"
    )
    with pytest.raises(DataError, match=message):
        dataset(tmp_path).annotations(Split.TEST)
    annotations = dataset(tmp_path, conventions=Conventions(unannotated="omit")).annotations(Split.TEST)
    assert {name: boxes.tolist() for name, boxes in annotations.boxes.items()} == {"x/b.jpg": [[1, 2, 3, 4]]}


@each("lines", ["x/b.jpg,m3.png,", "x/a.jpg,,\nx/b.jpg,m3.png,"])
def test_an_image_without_a_mask_is_known(tmp_path, lines):
    masked = write_masked(tmp_path)
    (masked / "metadata" / "test" / "localization.txt").write_text(lines)
    with pytest.raises(DataError, match=r"1 image has no mask, .* --unannotated omit leaves such images out$"):
        dataset(masked / "metadata", masks=masked).annotations(Split.TEST)
    annotations = dataset(masked / "metadata", masks=masked, conventions=Conventions(unannotated="omit")).annotations(
        Split.TEST
    )
    assert annotations.unannotated == {"x/a.jpg"}
    assert annotations.load_mask("x/b.jpg").foreground.sum() == 1


def test_masks_have_no_use_for_conventions_of_boxes(masked):
    data = dataset(masked / "metadata", masks=masked, conventions=Conventions("half-open"))
    with pytest.raises(UsageError, match=r"localization\.txt' has no use for --boxes; omit it"):
        data.annotations(Split.TEST)


@each("file", FILES)
def test_directory_where_a_file_is_expected(tmp_path, file):
    write_split(tmp_path, {name: text for name, text in FILES.items() if name != file})
    (tmp_path / "test" / file).mkdir()
    with pytest.raises(DataError, match=re.escape(f"{file} is a directory, where a text file was expected")):
        read_all(dataset(tmp_path))


def test_many_missing_labels_are_counted_and_the_first_are_named(tmp_path):
    write_split(tmp_path, {"image_ids.txt": "\n".join("abcdefghijkl"), "class_labels.txt": "b,1"})
    with pytest.raises(DataError, match=r"11 images have no class label, .*: 'a', 'c', 'd', .*'k', \.\.\.$"):
        dataset(tmp_path).images(Split.TEST)


def test_absent_split(tmp_path):
    write_split(tmp_path, FILES)
    with pytest.raises(DataError, match=r"there is no train-fullsup split: folder .*val does not exist"):
        dataset(tmp_path).images(Split.TRAIN_FULLSUP)


def test_metadata_root(tmp_path):
    with pytest.raises(UsageError, match="data set 'toy' needs its annotation files; pass --metadata-root DIR"):
        ReferenceDataset("toy", DatasetRoots())
    with pytest.raises(DataError, match="gone is not a folder"):
        dataset(tmp_path / "gone")
    with pytest.raises(DataError, match=r"holds no split: expected train, val or test with image_ids\.txt in it$"):
        dataset(tmp_path)


def test_metadata_root_one_level_off(tmp_path):
    write_split(tmp_path / "metadata" / "CUB", FILES)
    (tmp_path / "metadata" / "README").touch()
    for wrong in (tmp_path / "metadata", tmp_path / "metadata" / "CUB" / "test"):
        with pytest.raises(DataError, match=r"did you mean .*metadata/CUB\?"):
            dataset(wrong)


# --------------------------------------------------------------------------------------------------------------- images


def test_images_are_loaded_below_the_image_root(tmp_path):
    write_split(tmp_path / "metadata", FILES)
    (tmp_path / "real" / "x").mkdir(parents=True)
    Image.new("L", (10, 20), 7).save(tmp_path / "real" / "x" / "a.jpg", format="PNG")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    images = dataset(tmp_path / "metadata", images=tmp_path / "linked").images(Split.TEST)
    assert images.load(0).shape == (20, 10, 3)
    assert pickle.loads(pickle.dumps(images)).load(0).max() == 7
    with pytest.raises(DataError, match=r"x/b\.jpg does not exist"):
        images.load(1)


def test_metadata_size_turns_a_sideways_image(tmp_path):
    write_split(tmp_path, FILES)
    (tmp_path / "x").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "x" / "a.jpg", exif=exif)
    assert dataset(tmp_path, images=tmp_path).images(Split.TEST).load(0).shape == (20, 10, 3)


def test_ids_and_labels_need_no_image_root(tmp_path):
    write_split(tmp_path, FILES)
    images = dataset(tmp_path).images(Split.TEST)
    with pytest.raises(UsageError, match="pass --data-root DIR"):
        images.load(0)


# ---------------------------------------------------------------------------------------------------------------- masks


def save_mask(path, pixels):
    Image.fromarray(np.array(pixels, dtype=np.uint8)).save(path)


def write_masked(tmp_path):
    write_split(tmp_path / "metadata", MASKS)
    save_mask(tmp_path / "m1.png", [[0, 1, 0]])
    save_mask(tmp_path / "m2.png", [[0, 0, 255]])
    save_mask(tmp_path / "m3.png", [[0, 0, 0], [0, 0, 255]])
    save_mask(tmp_path / "i.png", [[1, 1, 0]])
    return tmp_path


@pytest.fixture
def masked(tmp_path):
    return write_masked(tmp_path)


@pytest.mark.parametrize("root", ["masks", "images"])
def test_masks_are_united_and_one_counts_as_foreground(masked, root):
    annotations = dataset(masked / "metadata", **{root: masked}).annotations(Split.TEST)
    assert not annotations.boxes
    pair = annotations.load_mask("x/a.jpg")
    assert pair.foreground.dtype == np.bool_
    assert pair.foreground.tolist() == [[False, True, True]]
    assert pair.ignore.tolist() == [[True, True, False]]
    assert annotations.load_mask("x/b.jpg").ignore is None


def test_masks_root_goes_before_the_image_root(masked):
    annotations = dataset(masked / "metadata", masks=masked, images=masked / "elsewhere").annotations(Split.TEST)
    assert pickle.loads(pickle.dumps(annotations)).load_mask("x/b.jpg").foreground.sum() == 1


def test_masks_need_a_root(masked):
    load_mask = dataset(masked / "metadata").annotations(Split.TEST).load_mask
    assert load_mask is not None
    with pytest.raises(UsageError, match="test is annotated with masks; pass --masks DIR"):
        load_mask("x/a.jpg")


def test_masks_of_several_sizes_are_united_in_the_frame_as_the_protocol_says(masked):
    save_mask(masked / "m2.png", [[0, 0], [1, 1]])
    pair = dataset(masked / "metadata", masks=masked).annotations(Split.TEST).load_mask("x/a.jpg")
    layers = [np.array(Image.open(masked / file)).astype(np.float32) for file in ("m1.png", "m2.png")]
    expected = [cv2.resize(layer, (224, 224), interpolation=cv2.INTER_NEAREST) > 0.5 for layer in layers]
    np.testing.assert_array_equal(pair.foreground, expected[0] | expected[1])
    assert pair.ignore.shape == (1, 3)


def test_an_ignore_mask_may_have_a_size_of_its_own(masked):
    save_mask(masked / "i.png", [[0, 0], [1, 1]])
    pair = dataset(masked / "metadata", masks=masked).annotations(Split.TEST).load_mask("x/a.jpg")
    assert pair.foreground.shape == (1, 3)
    assert pair.ignore.tolist() == [[False, False], [True, True]]


@each(("content", "problem"), [(None, "does not exist"), (b"", "is empty"), (b"\x89PNG\r\n\x1a\n", "is not an image")])
def test_unreadable_mask_is_named(tmp_path, content, problem):
    masked = write_masked(tmp_path)
    (masked / "m2.png").unlink()
    if content is not None:
        (masked / "m2.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"m2\.png.* {problem}"):
        dataset(masked / "metadata", masks=masked).annotations(Split.TEST).load_mask("x/a.jpg")


def test_image_without_mask(masked):
    with pytest.raises(DataError, match=r"image 'x/c\.jpg' has no mask"):
        dataset(masked / "metadata", masks=masked).annotations(Split.TEST).load_mask("x/c.jpg")


# ------------------------------------------------------------------------------------------------------------ real data

REAL = {
    "imagenette": ("metadata/imagenette", 10, {Split.TRAIN_WEAKSUP: 12894, Split.TRAIN_FULLSUP: 100, Split.TEST: 200}),
    "tiny-imagenet-40": ("metadata", 40, {Split.TRAIN_WEAKSUP: 16000, Split.TRAIN_FULLSUP: 993, Split.TEST: 2984}),
    "cub-sample": ("metadata/CUB", 20, {Split.TRAIN_FULLSUP: 20}),
}


@pytest.mark.parametrize("name", REAL)
def test_real_boxes(shared_data, name):
    metadata, classes, counts = REAL[name]
    data = dataset(shared_data / name / metadata, images=shared_data / name / "images")
    assert len(data.class_names) == classes
    assert {split: len(data.images(split).ids) for split in data.splits} == counts
    for split in data.splits - {Split.TRAIN_WEAKSUP}:
        images, annotations = data.images(split), data.annotations(split)
        assert annotations.boxes.keys() == annotations.image_sizes.keys() == set(images.ids)
        for index in range(0, len(images.ids), max(1, len(images.ids) // 20)):
            assert images.load(index).ndim == 3


def test_real_masks_are_what_opencv_reads(shared_data):
    root = shared_data / "openimages-sample"
    data = dataset(root / "metadata" / "OpenImages", masks=root / "masks")
    annotations = data.annotations(Split.TRAIN_FULLSUP)
    pairs = [annotations.load_mask(image_id) for image_id in data.images(Split.TRAIN_FULLSUP).ids]
    assert all(pair.ignore.shape == pair.foreground.shape for pair in pairs)
    # one published mask is black all over and one is white: neither is an error
    assert [round(float(pair.foreground.mean()), 3) for pair in pairs] == [0.007, 0.017, 0.858, 0, 1]
    masks = list((root / "masks").rglob("*.png"))
    assert masks
    for path in masks:
        expected = cv2.imread(os.fspath(path), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(decode_grey(path.read_bytes(), str(path)) > 0.5, expected > 0.5)


def test_lists_that_spell_one_path_differently_are_put_together(tmp_path):
    files = {
        "image_ids.txt": "x\\a.jpg\nX/\u00e4.jpg",
        "class_labels.txt": "./x/a.jpg,1\nimages/X/a\u0308.jpg,0",
        "image_sizes.txt": "X/A.JPG,8,9\nX//\u00e4.jpg,8,9",
        "localization.txt": "x/a.jpg,1,2,3,4\nx/\u00c4.jpg,1,2,3,4",
    }
    write_split(tmp_path, files)
    ids, labels, boxes = read_all(dataset(tmp_path))
    assert tuple(ids) == ("x/a.jpg", "X/\u00e4.jpg")
    assert labels == [1, 0]
    assert len(boxes) == 2
    shutil.rmtree(tmp_path / "test")
    write_split(tmp_path, {**files, "image_ids.txt": "x/a.jpg\nx/A.jpg", "class_labels.txt": "X/a.jpg,1\nx/A.jpg,0"})
    with pytest.raises(DataError, match=r"line 1: expected .*; 'X/A\.JPG' may be x/a\.jpg or x/A\.jpg"):
        read_all(dataset(tmp_path))
