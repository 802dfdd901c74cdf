"""What columns, numbers and categories of box files mean: the boxes are right, or one line says what is not known."""

import json

import pytest
from cases import each
from trees import write, write_lists, write_photo
from wsolbench_plugins.datasets import folder, imagefolder

from wsolbench.api import Conventions, DataError, DatasetRoots, Split

(SPEC,) = imagefolder.wsolbench_datasets()
(LISTS,) = folder.wsolbench_datasets()
SIZE = WIDTH, HEIGHT = 300, 240
TRUE = {
    "test/cat/0.jpg": (60, 70, 199, 140),
    "test/cat/1.jpg": (12, 30, 170, 229),
    "test/cat/2.jpg": (100, 20, 290, 150),
    "test/dog/3.jpg": (150, 120, 240, 235),
    "test/dog/4.jpg": (30, 40, 260, 200),
    "test/dog/5.jpg": (90, 10, 180, 160),
}
WHOLE = (0, 0, WIDTH - 1, HEIGHT - 1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for image_id in TRUE:
        write_photo(root / image_id, *SIZE)
    return root


def class_of(image_id):
    return image_id.split("/")[1]


def extent(box):
    x0, y0, x1, y1 = box
    return x0, y0, x1 - x0, y1 - y0


def table(header, row, boxes=None):
    """Return a CSV file of a row a box, which a function of image, class and box gives."""
    rows = [row(image_id, class_of(image_id), box) for image_id, box in (boxes or TRUE).items()]
    return "\n".join([header, *(",".join(map(str, fields)) for fields in rows)])


def with_others(header, row, other):
    """Return a CSV file with one more box an image, of another category, over the whole image."""
    rows = [row(image_id, other, WHOLE) for image_id in TRUE]
    return table(header, row) + "\n" + "\n".join(",".join(map(str, fields)) for fields in rows)


def coco(boxes=None, size=SIZE, **changes):
    boxes = TRUE if boxes is None else boxes
    images = [
        {"id": number, "file_name": name, "width": size[0], "height": size[1]} for number, name in enumerate(TRUE)
    ]
    annotations = [
        {"id": number, "image_id": number, "category_id": ["cat", "dog"].index(class_of(name)), "bbox": extent(box)}
        for number, (name, box) in enumerate(boxes.items())
    ]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    return {"images": images, "annotations": annotations, "categories": categories} | changes


def read(photos, tmp_path, files, **conventions):
    """Return the boxes of test and what was said of them; `files` is one text, or a text for each name."""
    for name, text in (files if isinstance(files, dict) else {"boxes.csv": files}).items():
        write(tmp_path / "boxes" / name, text)
    found = []
    roots = DatasetRoots(photos, tmp_path / "boxes", conventions=Conventions(**conventions), on_finding=found.append)
    annotations = SPEC.build(roots).annotations(Split.TEST)
    return {name: boxes.tolist() for name, boxes in annotations.boxes.items()}, [finding.text for finding in found]


def is_true(boxes, off=0):
    return boxes.keys() == TRUE.keys() and all(
        len(boxes[name]) == 1 and max(abs(a - b) for a, b in zip(boxes[name][0], box, strict=True)) <= off
        for name, box in TRUE.items()
    )


# ------------------------------------------------------------------------------------------------- whose boxes count


def named(image_id, category, box):
    return image_id, category, *box


def numbered(image_id, category, box):
    return image_id, {"cat": 7, "dog": 8}.get(category, 9), *box


TITLES = [
    "class",
    "Class",
    "class_id",
    "category_id",
    "name",
    "object",
    "labels",
    "classes",
    "tag",
    "species",
    "animal_type",
    "Tierart",
    "类别",
]


@each("title", TITLES)
def test_a_column_of_classes_is_the_category_whatever_its_title(photos, tmp_path, title):
    text = with_others(f"image,{title},x0,y0,x1,y1", named, "person")
    boxes, said = read(photos, tmp_path, text)
    assert is_true(boxes)
    assert said[0].endswith("6 boxes are left out, of another category than the class of the image: 'person' (6)")


@each(
    "title",
    ["class", "class_id", "category_id", "Labels", "label_no", "species", "cls", "cat_id", "Klasse", "categoría"],
)
def test_numbers_of_classes_need_a_class_map(photos, tmp_path, title):
    text = with_others(f"image,{title},x0,y0,x1,y1", numbered, "person")
    with pytest.raises(DataError, match="no category of its boxes is the name of a class folder; categories: '7', '8'"):
        read(photos, tmp_path, text)
    write(tmp_path / "map.csv", "folder,category\ncat,7.0\ndog,8.0")
    assert is_true(read(photos, tmp_path, text, class_map=tmp_path / "map.csv")[0])


@each("title", ["name", "object", "tag", "item_type"])
def test_numbers_that_may_be_the_category_are_a_warning(photos, tmp_path, title):
    text = with_others(f"image,{title},x0,y0,x1,y1", numbered, "person")
    said = read(photos, tmp_path, text)[1]
    write(tmp_path / "map.csv", "folder,category\ncat,7\ndog,8")
    assert is_true(read(photos, tmp_path, text, class_map=tmp_path / "map.csv")[0])
    assert f"all boxes count; if '{title}' does, say with --class-map FILE which class is which" in said[0]


def test_a_column_that_may_be_the_category_is_a_warning(photos, tmp_path):
    words = {"cat": "Katze", "dog": "Hund"}
    text = table("image,Tier,x0,y0,x1,y1", lambda name, label, box: (name, words[label], *box))
    assert read(photos, tmp_path, text)[1][0].endswith(
        "columns that are not read: Tier; none names a category, so that all boxes count; "
        "if 'Tier' does, say with --class-map FILE which class is which"
    )
    write(tmp_path / "map.csv", "folder,category\ncat,Hund\ndog,Katze")
    with pytest.raises(DataError, match="has no box for 6 images of test"):
        read(photos, tmp_path, text, class_map=tmp_path / "map.csv")


@each(
    ("header", "row", "unread"),
    [
        ("image,x0,y0,x1,y1,note,tag", lambda name, _, box: (name, *box, "ok", 3), "note, tag; none names a category"),
        ("folder,image,x0,y0,x1,y1", lambda name, label, box: (label, name, *box), "folder; none names a category"),
        ("image,class_id,class,x0,y0,x1,y1", lambda name, label, box: (name, 7, label, *box), "class_id"),
    ],
)
def test_columns_that_are_not_read_are_named(photos, tmp_path, header, row, unread):
    boxes, said = read(photos, tmp_path, table(header, row))
    assert is_true(boxes)
    assert f"boxes.csv: columns that are not read: {unread}" in said[0]


def test_two_columns_of_classes_that_differ(photos, tmp_path):
    text = table("image,class,photo_of,x0,y0,x1,y1", lambda name, label, box: (name, label, "cat", *box))
    with pytest.raises(
        DataError, match="the columns 'class' and 'photoof' both name classes and differ, as in a row w"
    ):
        read(photos, tmp_path, text)


def without_category(**changes):
    return json.dumps(coco(**{"categories": []} | changes))


def test_coco_without_a_list_of_categories(photos, tmp_path):
    others = [{"id": 9, "image_id": 0, "category_id": 5, "bbox": extent(WHOLE)}]
    text = without_category(annotations=coco()["annotations"] + others)
    with pytest.raises(DataError, match="categories: '0', '1', '5'; class folders: 'cat', 'dog'; say which belong tog"):
        read(photos, tmp_path, {"a.json": text})
    write(tmp_path / "map.csv", "folder,category\ncat,0\ndog,1")
    assert is_true(read(photos, tmp_path, {"a.json": text}, class_map=tmp_path / "map.csv")[0])
    texts = [
        box | {"category_id": None, "category": "dog" if box["category_id"] else "cat"} for box in coco()["annotations"]
    ]
    assert is_true(read(photos, tmp_path, {"a.json": without_category(annotations=texts)})[0])


def in_coco(lacking):
    return {
        "a.json": json.dumps(
            coco(annotations=[*coco()["annotations"], {"id": 9, "image_id": 0, "bbox": [0, 0, 9, 9]} | lacking])
        )
    }


LACKING = {
    "CSV, empty": with_others("image,class,x0,y0,x1,y1", named, ""),
    "CSV, a data frame's": with_others("image,class,x0,y0,x1,y1", named, "nan"),
    "COCO": in_coco({}),
    "COCO, null": in_coco({"category_id": None}),
}


@each("case", LACKING)
def test_boxes_without_category_among_others(photos, tmp_path, case):
    with pytest.raises(DataError, match=r"boxes have no category, so that nobody knows whether they count; name it, f"):
        read(photos, tmp_path, LACKING[case])


# ------------------------------------------------------------------------------------------------ what numbers measure


def fractions(box, width=WIDTH, height=HEIGHT):
    x0, y0, x1, y1 = box
    return x0 / width, y0 / height, (x1 + 0.5) / width, (y1 + 0.5) / height


def scaled(change):
    return {image_id: change(box) for image_id, box in TRUE.items()}


PLAIN = "image,x0,y0,x1,y1"


def plain(image_id, _, box):
    return image_id, *box


@each("value", ["0.2", "1.000001", "-0.000002", "1.01"])
def test_fractions_are_found_in_spite_of_rounding(photos, tmp_path, value):
    listed = scaled(fractions)
    first = next(iter(TRUE))
    left, right = float(value) < 0, float(value) > 1
    x0, y0, x1, y1 = listed[first]
    listed[first] = (float(value) if left else x0, y0, float(value) if right else x1, y1)
    boxes, said = read(photos, tmp_path, table(PLAIN, plain, listed))
    assert boxes.pop(first) == [[0 if left else 60, 70, WIDTH - 1 if right else 199, 140]]
    assert boxes == {name: [list(box)] for name, box in TRUE.items() if name != first}
    assert "the numbers are fractions of the image's width and height" in said[0]


def voc(box, name="cat", head=""):
    x0, y0, x1, y1 = box
    corners = f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
    return f"<annotation>{head}<object><name>{name}</name><bndbox>{corners}</bndbox></object></annotation>"


def voc_files(boxes):
    return {f"{name.removesuffix('.jpg')}.xml": voc(box, class_of(name)) for name, box in boxes.items()}


def hundredths(box):
    return tuple(100 * value for value in fractions(box))


def halves(box):
    return tuple(value / 2 for value in box)


def doubles(box):
    return tuple(value * 2 for value in box)


REFUSED = {
    "fractions": (fractions, "all numbers are from 0 to 1: they are fractions, but .* pixels; multiply them by width"),
    "per cent": (hundredths, "no box ends beyond 100, and numbers have fractions: they are per cent of the image's wi"),
    "doubled": (doubles, r"of 6 boxes end far beyond their images, such as .*; the photos may have been resized"),
}


def read_lists(photos, tmp_path, listed, **conventions):
    found = []
    entries = [(name, ["cat", "dog"].index(class_of(name)), [box]) for name, box in listed.items()]
    write_lists(tmp_path / "lists" / "test", entries, SIZE)
    roots = DatasetRoots(photos, tmp_path / "lists", conventions=Conventions(**conventions), on_finding=found.append)
    return LISTS.build(roots).annotations(Split.TEST).boxes, [finding.text for finding in found]


@each(("case", "boxes"), [(case, boxes) for case in REFUSED for boxes in ("inclusive", "clip")])
def test_numbers_that_are_no_pixels_are_refused_in_every_format(photos, tmp_path, case, boxes):
    change, problem = REFUSED[case]
    listed = scaled(change)
    files = [{"a.json": json.dumps(coco(listed))}, voc_files(listed)]
    for number, content in enumerate([*files, table(PLAIN, plain, listed)] if case != "fractions" else files):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(DataError, match=problem) as caught:
            read(photos, tmp_path / str(number), content, boxes=boxes)
        assert "clip" not in str(caught.value)
    with pytest.raises(DataError, match=problem) as caught:
        read_lists(photos, tmp_path, listed, boxes=boxes)
    assert "clip" not in str(caught.value)


@each(
    ("change", "words"),
    [(lambda box: tuple(int(v) for v in hundredths(box)), "beyond 100"), (halves, "the middle of its image")],
)
def test_numbers_that_may_be_no_pixels_are_a_warning(photos, tmp_path, change, words):
    listed = scaled(lambda box: tuple(int(value) for value in change(box)))
    for said in (read(photos, tmp_path, table(PLAIN, plain, listed))[1], read_lists(photos, tmp_path, listed)[1]):
        assert f"{words}, such as the box" in said[0]
        assert said[0].endswith("the numbers may be per cent, or pixels of a smaller copy of the photo")


def test_whole_images_in_fractions(photos, tmp_path):
    listed = dict.fromkeys(TRUE, (0, 0, 1, 1))
    assert read(photos, tmp_path, table(PLAIN, plain, listed))[0] == {name: [list(WHOLE)] for name in TRUE}
    with pytest.raises(DataError, match="all numbers are from 0 to 1: they are fractions"):
        read_lists(photos, tmp_path, listed)


def test_boxes_far_beyond_are_never_clipped_in_silence(photos, tmp_path):
    """As of photos that were halved, where most objects are small; only a listed size states what they refer to."""
    listed = TRUE | {"test/dog/5.jpg": (90, 10, 400, 160), "test/dog/4.jpg": (90, 10, 400, 400)}
    said = read_lists(photos, tmp_path, listed, boxes="clip")[1]
    assert "2 of 6 boxes end far beyond their images, such as the box 90 10 400 400 of 'test/dog/4.jpg'" in said[0]
    few = TRUE | {"test/dog/5.jpg": (90, 10, 400, 160)}
    for boxes in (listed, few):
        for convention in ("clip", "inclusive"):
            with pytest.raises(DataError, match=r"the photos may have been resized .*: list their original sizes too$"):
                read(photos, tmp_path, table(PLAIN, plain, boxes), boxes=convention)


def test_label_studio_exports_per_cent(photos, tmp_path):
    header = "image,x,y,width,height,rectanglelabels,original_width,original_height"
    text = table(
        header,
        lambda name, label, box: (name, *(round(v) for v in hundredths(extent(box))), f'"[""{label}""]"', *SIZE),
    )
    with pytest.raises(DataError, match="x, y, width, height are per cent of the image, as in all exports of Label St"):
        read(photos, tmp_path, text)
    text = table(header, lambda name, label, box: (name, *extent(box), f'"[""{label}""]"', *SIZE))
    assert is_true(read(photos, tmp_path, text)[0])


def test_fractions_among_pixels(photos, tmp_path):
    listed = TRUE | {"test/dog/5.jpg": fractions(TRUE["test/dog/5.jpg"])}
    with pytest.raises(
        DataError, match=r"boxes.csv, line 7: the box .* is in fractions of the image, but others are in"
    ):
        read(photos, tmp_path, table(PLAIN, plain, listed))
    listed = scaled(fractions) | {"test/dog/5.jpg": (1, 2, 3, 4)}
    with pytest.raises(DataError, match=r"line 6: the box 1 2 3 4 is in pixels, but others are in fractions; list all"):
        read_lists(photos, tmp_path, listed)


def centred(box, width=1, height=1):
    x0, y0, x1, y1 = box
    return (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height


@each(
    ("header", "change", "problem"),
    [
        ("image,x,y,w,h", tuple, "all are inside as corners x0, y0, x1, y1; list them as what they are"),
        ("image,x,y,w,h", centred, "all are inside as x_center, y_center, width, height; list"),
        ("image,x,y,w,h", lambda box: centred(box, *SIZE), "all are inside as x_center, y_center, width, height; list"),
        (PLAIN, lambda box: (150, 120, box[2] // 4, box[3] // 4), "all are inside as x, y, width, height; list them"),
    ],
)
def test_numbers_that_are_another_four(photos, tmp_path, header, change, problem):
    with pytest.raises(DataError, match=problem):
        read(photos, tmp_path, table(header, plain, scaled(change)))


# ------------------------------------------------------------------------------------------------- boxes that are none

ZEROS = TRUE | {"test/cat/0.jpg": (0, 0, 0, 0)}
EMPTY_BOX = [coco()["annotations"][0] | {"bbox": []}, *coco()["annotations"][1:]]
NULL_BOX = [coco()["annotations"][0] | {"bbox": [None] * 4}, *coco()["annotations"][1:]]
LEFT_OUT = {
    "COCO, empty": {"a.json": json.dumps(coco(annotations=EMPTY_BOX))},
    "COCO, null": {"a.json": json.dumps(coco(annotations=NULL_BOX))},
    "corners": table(PLAIN, plain, ZEROS),
    "minus one": table(PLAIN, plain, ZEROS | {"test/cat/0.jpg": (-1, -1, -1, -1)}),
    "extents": table("image,x,y,w,h", lambda name, _, box: (name, *extent(box)), ZEROS),
    "a click": table(
        "image,x,y,w,h", lambda name, _, box: (name, *extent(box)), TRUE | {"test/cat/0.jpg": (9, 8, 9, 8)}
    ),
    "COCO": {"a.json": json.dumps(coco(ZEROS))},
    "VOC": voc_files(
        ZEROS | {name: tuple(value + 1 for value in box) for name, box in TRUE.items() if "/0" not in name}
    ),
    "no numbers": table(PLAIN, lambda name, _, box: (name, *(box if "/0" not in name else ["NaN"] * 4))),
}


@each("case", LEFT_OUT)
def test_boxes_without_area_are_none(photos, tmp_path, case):
    with pytest.raises(DataError, match=r"has no box for 1 image of test, 'test/cat/0.jpg'; --unannotated omit"):
        read(photos, tmp_path, LEFT_OUT[case])
    boxes, said = read(photos, tmp_path, LEFT_OUT[case], unannotated="omit")
    assert boxes == {name: [list(box)] for name, box in TRUE.items() if name != "test/cat/0.jpg"}
    assert case == "no numbers" or any("1 box is left out, without an area: " in text for text in said)


def test_boxes_that_stand_for_none_by_habit_are_a_warning(photos, tmp_path):
    listed = TRUE | dict.fromkeys(("test/cat/0.jpg", "test/dog/5.jpg"), (0, 0, 1, 1))
    for said in (
        read(photos, tmp_path, table(PLAIN, plain, listed))[1],
        read_lists(photos, tmp_path, listed)[1],
    ):
        assert "2 boxes are 0 0 1 1, which stands for no object in some lists, and count; if they are none" in said[-1]
    assert not any("0 0 1 1" in text for text in read(photos, tmp_path, table(PLAIN, plain, TRUE))[1])


def test_sizes_with_their_sides_exchanged_are_one_error(photos, tmp_path):
    found = []
    write(tmp_path / "a.json", json.dumps(coco(size=SIZE[::-1])))
    roots = DatasetRoots(photos, tmp_path / "a.json", on_finding=found.append)
    with pytest.raises(DataError, match=r"but the lists say .*: width and height are swapped in the list"):
        SPEC.build(roots).annotations(Split.TEST)
    assert found == []


def test_boxes_without_area_in_lists(photos, tmp_path):
    with pytest.raises(
        DataError, match=r"1 image has no box, though listed .*; --unannotated omit leaves such images out"
    ):
        read_lists(photos, tmp_path, ZEROS)
    boxes, said = read_lists(photos, tmp_path, ZEROS, unannotated="omit")
    assert {name: tuple(found[0]) for name, found in boxes.items()} == {
        name: box for name, box in TRUE.items() if name != "test/cat/0.jpg"
    }
    assert said == [
        f"1 box is left out, as all four numbers are 0 or -1, first {tmp_path}/lists/test/localization.txt, line 1"
    ]


def test_two_files_with_two_sizes_of_one_image(photos, tmp_path):
    other = json.dumps(coco(annotations=[], size=(600, 480)))
    with pytest.raises(
        DataError, match=r"b.json, image 0: expected one size an image, .* is 300x240 before .*got 600x480"
    ):
        read(photos, tmp_path, {"a.json": json.dumps(coco()), "b.json": other})


# ------------------------------------------------------------------------------------------------- what columns are

HEADERS = {
    "image,width,height,x,y,w,h": lambda name, _, box: (name, *SIZE, *extent(box)),
    "filename,width,height,class,xmin,ymin,box_w,box_h": lambda name, label, box: (name, *SIZE, label, *extent(box)),
    "filename,width,height,bbox_x,bbox_y,bbox_width,bbox_height": lambda name, _, box: (name, *SIZE, *extent(box)),
    "image,width,height,x_center,y_center,w,h": lambda name, _, box: (
        *(name, *SIZE, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2),
        *extent(box)[2:],
    ),
    "image,xmin,ymin,xmax,ymax,width,height": lambda name, _, box: (name, *box, *extent(box)[2:]),
    "ImageID,LabelName,XMin,XMax,YMin,YMax": lambda name, label, box: (name, label, box[0], box[2], box[1], box[3]),
    "photo,original_width,original_height,startX,startY,endX,endY": lambda name, _, box: (name, *SIZE, *box),
    "image_id,file_name_full,x0,y0,x1,y1": lambda name, _, box: (7, name, *box),
    "id,filename,path,x0,y0,x1,y1": lambda name, _, box: (7, f"{hash(name)}.jpg", name, *box),
    "\ufeff\u200eimage,\u200bx0,y0,x1,y1\u200f": lambda name, _, box: (f"\u200e{name}", f"{box[0]}\u200b", *box[1:]),
    "image;x0;y0;x1;y1,": lambda name, _, box: (f"{name};{box[0]};{box[1]};{box[2]};{box[3]}", ""),
    "image,width,height,x0,y0,x1,y1": lambda name, _, box: (name, f"{WIDTH}px", f"{HEIGHT} px", *box),
    "image,image_width,image_height,x0,y0,x1,y1": lambda name, _, box: (name, f"{WIDTH}.0", f"{HEIGHT}.00", *box),
    "Bild;Image;left_x (px);top_y (px);right_x (px);bottom_y (px),": lambda name, _, box: (
        ";".join(map(str, (7, name, *box))),
        "",
    ),
    "image,x0_norm,y0_norm,x1_norm,y1_norm,x0,y0,x1,y1": lambda name, _, box: (name, *fractions(box), *box),
    "image,x_norm,y_norm,w_norm,h_norm": lambda name, _, box: (
        *(name, box[0] / WIDTH, box[1] / HEIGHT),
        *((box[2] - box[0] + 0.5) / WIDTH, (box[3] - box[1] + 0.5) / HEIGHT),
    ),
    'image,x0,y0,x1,y1,"size"': lambda name, _, box: (name, f'"{box[0]},25"', *box[1:], "x"),
}


@each("header", HEADERS)
def test_headers_of_several_candidates(photos, tmp_path, header):
    assert is_true(read(photos, tmp_path, table(header, HEADERS[header]))[0])


def test_fields_between_spaces(photos, tmp_path):
    rows = [f"{name} {class_of(name)} {' '.join(map(str, fractions(box)))}" for name, box in TRUE.items()]
    assert is_true(read(photos, tmp_path, "\n".join(["image class x0 y0 x1 y1", *rows]))[0])


def test_corners_in_the_wrong_order_are_called_so(photos, tmp_path):
    listed = TRUE | {"test/cat/0.jpg": (199, 140, 60, 70)}
    with pytest.raises(DataError, match=r"0\.jpg' ends before it begins: expected x0 <= x1 and y0 <= y1$"):
        read(photos, tmp_path, table(PLAIN, plain, listed))


# ------------------------------------------------------------------------------------------------- names of images


def test_addresses_and_names_that_are_not_there(photos, tmp_path):
    for address in ("https://host/up/3/{}?token=1", "s3://bucket/photos/test/cat/{}", "gs://b/{}"):
        text = table(PLAIN, lambda name, _, box, address=address: (address.format(name.split("/")[-1]), *box))
        assert is_true(read(photos, tmp_path, text)[0])
    others = {f"test/cat/gone{number}.jpg": (1, 2, 3, 4) for number in range(9)}
    boxes, said = read(photos, tmp_path, table(PLAIN, plain, TRUE | others))
    assert is_true(boxes)
    assert f"9 boxes of 9 photos that are not below {photos} are left out, first " in said[0]
    with pytest.raises(
        DataError, match=r"line 2: 'test/cat/gone0.jpg' names no image .*; nor do 8 other names, such as"
    ):
        read(photos, tmp_path, table(PLAIN, plain, others))


def test_names_of_several_images_are_one_fault(tmp_path):
    for split in ("val", "test"):
        for number in range(3):
            write_photo(tmp_path / "photos" / split / "cat" / f"{number}.jpg", 30, 20)
    write(tmp_path / "boxes.csv", "\n".join([PLAIN, *(f"cat/{number}.jpg,1,2,20,18" for number in range(3))]))
    faults = []
    roots = DatasetRoots(tmp_path / "photos", tmp_path / "boxes.csv", on_fault=faults.append)
    dataset = SPEC.build(roots)
    for split in (Split.TRAIN_FULLSUP, Split.TEST):
        assert not dataset.annotations(split).boxes
    (fault,) = map(str, faults)
    assert "line 2: 'cat/0.jpg' names more than one image below the data root: val/cat/0.jpg, test/cat/0.jpg; " in fault
    advice = "; write SPLIT/CLASS/IMAGE, or name each file of boxes after its split, such as test.csv"
    assert fault.endswith(f"{advice}; so do 2 other names, such as 'cat/1.jpg'")


def test_files_that_are_no_images_are_named(tmp_path):
    write_photo(tmp_path / "photos" / "cat" / "0.jpg", 30, 20)
    write_photo(tmp_path / "photos" / "cat" / "more" / "1.jpg", 30, 20)
    write(tmp_path / "photos" / "cat" / "2.heic", "photo")
    for name in ("cat/more/1.jpg", "cat/2.heic"):
        text = f"{PLAIN}\n0.jpg,1,2,20,18\n{name},1,2,20,18"
        with pytest.raises(
            DataError, match=f"'{name}' is there, but not read: save it as JPEG or PNG, directly in its"
        ):
            read(tmp_path / "photos", tmp_path, text)


def test_names_of_voc_files(tmp_path):
    for name in ("a.jpg", "a.png"):
        write_photo(tmp_path / "photos" / "cat" / name, 30, 20)
    files = {"cat/a": voc((2, 3, 21, 19), head="<filename>a.png</filename>")}
    boxes, _ = read(tmp_path / "photos", tmp_path, files, unannotated="omit")
    assert boxes == {"test/cat/a.png": [[1, 2, 20, 18]]}


def test_voc_with_units_and_decimal_commas(photos, tmp_path):
    size = f"<size><width>{WIDTH}px</width><height>{HEIGHT}.00</height></size>"
    files = {
        f"{name.removesuffix('.jpg')}.xml": voc([f"{value + 1},25" for value in box], class_of(name), size)
        for name, box in TRUE.items()
    }
    assert is_true(read(photos, tmp_path, files)[0])
