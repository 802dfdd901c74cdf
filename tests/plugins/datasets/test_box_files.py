"""Files of boxes as the common tools write them, and what is no such file."""

import json
import os

import pytest
from trees import write
from wsolbench_plugins.datasets.imagefolder.box_files import read_box_files
from wsolbench_plugins.datasets.imagefolder.named_boxes import Known

from wsolbench.api import Conventions, DataError, DatasetRoots

SIZE = (120, 90)
INCLUSIVE = (10, 20, 59, 69)
"""Pixels 10 to 59 and 20 to 69, as a rule with inclusive corners has them."""
EDGE = (10, 20, 60, 70)
"""The same box by the rule of CUB, whose x + width has no - 1."""


def read(path, text, **conventions):
    """Return image -> corners, what is concluded, and the file itself."""
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(content)
    return read_place(path, **conventions)


def sizes_of(found):
    return {listed.image: listed.size for listed in found.sizes}


def read_place(path, **conventions):
    findings = []
    roots = DatasetRoots(conventions=Conventions(**conventions), on_finding=findings.append)
    found = read_box_files(path, roots, Known())
    corners = {box.image: found.rule(box.quad, sizes_of(found).get(box.image, SIZE)) for box in found.boxes}
    return corners, [finding.text for finding in findings], found


# --------------------------------------------------------------------------------------------------------------- CSV

# text, corners, size, category
TABLES = {
    "ours": ("image,x0,y0,x1,y1\na.jpg,10,20,59,69\n", INCLUSIVE, None, None),
    "our extents": ("image,x,y,width,height\na.jpg,10,20,50,50\n", EDGE, None, None),
    "Roboflow, TensorFlow": (
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,120,90,cat,10,20,59,69\n",
        INCLUSIVE,
        SIZE,
        "cat",
    ),
    "Kaggle's wheat": ('image_id,width,height,bbox,source\na,120,90,"[10.0, 20.0, 50.0, 50.0]",x\n', EDGE, SIZE, None),
    "Pascal-like": ("image_path,x_min,y_min,x_max,y_max,label\nimages/a.jpg,10,20,59,69,cat\n", INCLUSIVE, None, "cat"),
    "RetinaNet, other order": ("Class,X2,Y2,X1,Y1,Path\ncat,59,69,10,20,a.jpg\n", INCLUSIVE, None, "cat"),
    "OpenImages": (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf\n"
        "a,xclick,cat,1,0.083333,0.5,0.222222,0.777778,0\na,xclick,cat,1,0,1,0,1,1\n",
        EDGE,
        None,
        "cat",
    ),
    "YOLO's numbers": (
        "image,class,x_center,y_center,width,height\na.jpg,cat,0.291667,0.5,0.416667,0.555556\n",
        EDGE,
        None,
        "cat",
    ),
    "makesense": (
        "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
        "cat,10,20,50,50,a.jpg,120,90\n",
        EDGE,
        SIZE,
        "cat",
    ),
    "VIA": (
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
        'a.jpg,99,"{}",1,0,"{""name"":""rect"",""x"":10,""y"":20,""width"":50,""height"":50}","{""class"":""cat""}"\n'
        'b.jpg,99,"{}",0,0,"{}","{}"\n',
        EDGE,
        None,
        "cat",
    ),
    "German Excel": (
        "\ufeffsep=;\r\nImage;X;Y;Width;Height\r\na.jpg;10,0;20,0;50,0;50,0\r\n;;;;\r\n",
        EDGE,
        None,
        None,
    ),
    "VIA 3": (
        '# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)\n# Notes: "x"y\n'
        "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
        '"1_a","[""a.jpg""]",0,"[]","[2,10,20,50,50]","{""1"":""cat""}"\n"1_b","[""b.jpg""]",0,"[]","[]","{}"\n',
        EDGE,
        None,
        "cat",
    ),
    "comments": ("# by me, 2024\n#\nimage,x0,y0,x1,y1\na.jpg,10,20,59,69\n", INCLUSIVE, None, None),
    "blank lines": ("image,x0,y0,x1,y1\n\na.jpg,10,20,59,69\n\n,,,,\n", INCLUSIVE, None, None),
    "commas at the end": ("image,x0,y0,x1,y1\na.jpg,10,20,59,69,,\n", INCLUSIVE, None, None),
    "UTF-16": ("image\tx0\ty0\tx1\ty1\r\na.jpg\t10\t20\t59\t69\r\n".encode("utf-16"), INCLUSIVE, None, None),
    "top left, bottom right": ("img,tlx,tly,brx,bry\na.jpg,10,20,59,69", INCLUSIVE, None, None),
    "upper and lower": ("image,left,upper,right,lower\na.jpg,10,20,59,69", INCLUSIVE, None, None),
    "tabs": ("image\tx0\ty0\tx1\ty1\tnote\na.jpg\t10\t20\t59\t69\tblurred\n", INCLUSIVE, None, None),
    "an image without a box": ("image,x0,y0,x1,y1\na.jpg,10,20,59,69\nb.jpg,,,,\n", INCLUSIVE, None, None),
}


@pytest.mark.parametrize("tool", TABLES)
def test_tables_of_the_common_tools(tmp_path, tool):
    text, corners, size, category = TABLES[tool]
    boxes, _, found = read(tmp_path / "boxes.csv", text)
    assert list(boxes.values()) == [corners]
    assert list(sizes_of(found).values()) == ([size] if size else [])
    assert {box.category for box in found.boxes} == {category}
    assert found.categories == ({category} if category else set())


def test_normalised_numbers_and_groups_are_reported(tmp_path):
    _, said, _ = read(tmp_path / "boxes.csv", TABLES["OpenImages"][0])
    assert said[0].endswith("the numbers are fractions of the image's width and height")
    assert said[1].endswith("1 boxes of groups are left out, as marked by 'IsGroupOf' or 'iscrowd'")
    boxes, said, _ = read(tmp_path / "boxes.csv", "image,x0,y0,x1,y1\na.jpg,0.1,0,0.5,1\nb.jpg,0,0,1,1")
    assert boxes == {"a.jpg": (12, 0, 60, 89), "b.jpg": (0, 0, 119, 89)}
    assert said[0].endswith("fractions of the image's width and height, as none of them is above 1")


def test_a_table_of_one_pixel_is_not_normalised(tmp_path):
    assert read(tmp_path / "boxes.csv", "image,x0,y0,x1,y1\na.jpg,0,0,1,1")[0] == {"a.jpg": (0, 0, 1, 1)}


ACCEPTED = "expected the header image,x0,y0,x1,y1 or image,x,y,width,height or filename,width,height,class,xmin"
TABLE_FAULTS = {
    "headerless": ("a.jpg,10,20,59,69", ACCEPTED),
    "unknown": ("image,a,b,c,d\na.jpg,1,2,3,4", ACCEPTED),
    "no image": ("x0,y0,x1,y1\n1,2,3,4", "filename,region_shape_attributes; no column names the image, got"),
    "twice": ("image,x0,y0,x1,y1,x0\na.jpg,1,2,3,4,5", "expected each column once, 'x0' is there twice"),
    "a field too many": ("image,x0,y0,x1,y1\na.jpg,1,2,3,4,5", "line 2: expected image,x0,y0,x1,y1, as the header has"),
    "decimal comma": ("image,x0,y0,x1,y1\na.jpg,1,5,2,3,4", "line 2: expected image,x0,y0,x1,y1, as the header has"),
    "no number": (
        "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,1,2,3,?",
        "expected filename,xmin,ymin,xmax,ymax in num",
    ),
    "no name": ("image,x0,y0,x1,y1\n,1,2,3,4", "line 2: expected the name of an image"),
    "three numbers": ('image_id,bbox\na,"[1, 2, 3]"', "line 2: expected image_id,bbox with four numbers"),
    "negative": ("image,x,y,width,height\na.jpg,1,2,-3,4", "line 2: expected a width and height of 0 or more"),
    "polygon": (
        'filename,region_shape_attributes\na.jpg,"{""name"":""polygon""}"',
        "line 2: expected a region 'rect', got 'polygon'",
    ),
    "no JSON": (
        'filename,region_shape_attributes\na.jpg,"{"',
        "line 2: expected JSON in the column region_shape_attrib",
    ),
    "damaged UTF-16": ("image,x0,y0,x1,y1\na.jpg,1,2,3,4".encode("utf-16")[:-1], "line 2: the text is not UTF-16, as"),
    "no header": ("a.jpg,1,2,3,4,cat", "this line is a box: put a header above it, got 'a.jpg,1,2,3,4,cat'"),
    "Kaggle's ImageNet": (
        "ImageId,PredictionString\na,n01 1 2 3 4 ",
        "this is a table of Kaggle, LOC_val_sol",
    ),
    "a point of VIA 3": (
        '# CSV_HEADER = metadata_id,file_list,spatial_coordinates\n"1_a","[""a.jpg""]","[1,10,20]"',
        "line 2: expected a rectangle [2, x, y, width, height] in the column spatial_coordinates",
    ),
}


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_faults_of_tables(tmp_path, fault):
    text, problem = TABLE_FAULTS[fault]
    with pytest.raises(DataError) as caught:
        read(tmp_path / "boxes.csv", text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------------------------- COCO

IMAGE = {"id": 1, "file_name": "a.jpg", "width": 120, "height": 90}
BOX = {"id": 5, "image_id": 1, "category_id": 2, "bbox": [10, 20, 50, 50]}
CAT = {"id": 2, "name": "cat"}


def coco(image=None, box=None, category=None, **others):
    content = {
        "images": [IMAGE | (image or {})],
        "annotations": [BOX | (box or {})],
        "categories": [CAT | (category or {})],
    }
    return json.dumps(content | others)


@pytest.mark.parametrize(
    "text",
    [
        coco(),
        coco(image={"id": "1"}),
        coco(box={"image_id": "1", "category_id": "2"}),
        coco(category={"id": 2.0}),
        coco().encode("utf-16"),
        "\ufeff" + coco(),
    ],
)
def test_ids_of_coco_may_differ_in_type(tmp_path, text):
    boxes, said, found = read(tmp_path / "boxes.json", text)
    assert (boxes, said, sizes_of(found)) == ({"a.jpg": EDGE}, [], {"a.jpg": SIZE})
    assert [box.category for box in found.boxes] == ["cat"]


@pytest.mark.parametrize("size", [{"width": 0, "height": 0}, {"width": None, "height": None}])
def test_an_image_of_coco_may_lack_its_size(tmp_path, size):
    assert read(tmp_path / "boxes.json", coco(image=size))[2].sizes == ()
    found = read(tmp_path / "boxes.json", coco(image={"width": "120", "height": " 90"}))[2]
    assert sizes_of(found) == dict.fromkeys(sizes_of(found), SIZE) != {}


@pytest.mark.parametrize(("name", "advice"), [("a.xlsx", "; save the table as CSV"), ("a.csv.gz", "; unpack it")])
def test_files_that_hold_what_could_be_read(tmp_path, name, advice):
    with pytest.raises(DataError) as caught:
        read(tmp_path / name, "PK")
    assert str(caught.value).endswith(advice)


def test_crowds_of_coco_are_counted(tmp_path):
    boxes, said, _ = read(tmp_path / "boxes.json", coco(box={"iscrowd": 1, "segmentation": {"counts": "x"}}))
    assert boxes == {}
    assert said == [f"{tmp_path / 'boxes.json'}: 1 crowd is left out, as marked by 'iscrowd'"]


COCO_FAULTS = {
    "dangling image": (coco(box={"image_id": 7}), "annotation 5: its 'image_id' 7 is no id of 'images', such as '1'"),
    "dangling category": (coco(box={"category_id": 7}), "annotation 5: its 'category_id' 7 is no id of 'categories'"),
    "no image id": (coco(image={"id": None}), "image #1: expected 'id', a number or text, got"),
    "no file name": (coco(image={"file_name": 7}), "image 1: expected 'file_name', a text, got"),
    "no name": (coco(category={"name": None}), "category 2: expected 'name', a text, got"),
    "size": (coco(image={"width": "12O"}), "image 1: expected 'width' and 'height' in whole pixels, got ['12O', 90]"),
    "half a size": (coco(image={"width": 0}), "image 1: expected 'width' and 'height' in whole pixels, got [0, 90]"),
    "NaN": (coco(box={"bbox": [1, 2, float("nan"), 4]}), "annotation 5: expected a box of four finite numbers"),
    "negative": (
        coco(box={"bbox": [1, 2, -3, 4]}),
        "annotation 5: expected 'bbox' with a width and height of 0 or more",
    ),
    "three": (coco(box={"bbox": [1, 2, 3]}), "annotation 5: expected 'bbox' [x, y, width, height], got [1, 2, 3]"),
    "words": (coco(box={"bbox": [1, 2, 3, "x"]}), "annotation 5: expected 'bbox' of four numbers"),
    "RLE": (coco(box={"bbox": None, "segmentation": {"counts": "x"}}), "lacks 'bbox'; a segmentation alone has no box"),
    "no object": (coco(annotations=[3]), "annotation #1: expected 'image_id', a number or text, got 3"),
    "an id twice": (
        coco(images=[IMAGE, IMAGE | {"file_name": "b.jpg"}]),
        "image 1: expected each id once, 'a.jpg' has it",
    ),
    "a name twice": (coco(images=[IMAGE, IMAGE | {"id": 3}]), "expected each image once, 'a.jpg' is listed 2 times"),
    "categories": (coco(categories={"2": "cat"}), "expected a list of 'categories', got {'2': 'cat'}"),
    "no annotations": (
        json.dumps({"images": []}),
        "the lists 'images' and 'annotations'; it has the keys ['images']",
    ),
    "empty": ("{}", "the lists 'images' and 'annotations'; it is empty"),
    "number": ("3", "expected COCO, an object with the lists"),
    "JSON lines": (
        '{"image_id": 1}\n{"image_id": 2}',
        "Extra data: line 2 column 1 (char 16); is it a file of JSON lines?",
    ),
    "LabelMe": (json.dumps({"shapes": [], "imagePath": "a.jpg"}), "but LabelMe's JSON; export the boxes as COCO"),
    "VIA": (json.dumps({"a.jpg99": {"filename": "a.jpg", "regions": []}}), "but VIA's JSON; export the boxes as COCO"),
    "detections": (json.dumps([{"image_id": 1, "bbox": [], "score": 1}]), "but a list of COCO's detections; export"),
    "CreateML": (json.dumps([{"image": "a.jpg", "annotations": []}]), "but CreateML's JSON; export"),
    "bytes": (coco().encode() + b"\xff", "is no COCO file of boxes: 'utf-8' codec can't decode"),
    "deep": ('{"images": ' + "[" * 100_000, "is no COCO file of boxes: maximum recursion depth"),
    "long number": (coco().replace("120", "9" * 5000), "is no COCO file of boxes: Exceeds the limit"),
}


@pytest.mark.parametrize("fault", COCO_FAULTS)
def test_faults_of_coco(tmp_path, fault):
    text, problem = COCO_FAULTS[fault]
    with pytest.raises(DataError) as caught:
        read(tmp_path / "boxes.json", text)
    assert problem in str(caught.value)
    assert str(tmp_path / "boxes.json") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


# --------------------------------------------------------------------------------------------------------------- VOC


def voc(*corners, name="<name>cat</name>", head="", tag="annotation", size="<width>120</width><height>90</height>"):
    objects = "".join(
        f"<object>{name}<part><bndbox/></part><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>"
        f"<ymax>{y1}</ymax></bndbox></object>"
        for x0, y0, x1, y1 in corners
    )
    return f"{head}<{tag}><filename>é.jpg</filename><size>{size}</size>{objects}</annotation>"


BOXES = (11, 21, 60, 70)
PLAIN = voc(BOXES)
XML_FORMS = {
    "UTF-8": PLAIN,
    "byte order mark": "\ufeff" + PLAIN,
    "UTF-16": PLAIN.encode("utf-16"),
    "declared latin-1": ('<?xml version="1.0" encoding="ISO-8859-1"?>' + PLAIN).encode("latin-1"),
    "namespace": voc(BOXES, tag='annotation xmlns="http://example.org/voc"'),
    "size of zeros": voc(BOXES, size="<width>0</width><height>0</height>"),
    "no size": voc(BOXES, size=""),
    "a size of None": voc(BOXES, size="<width>None</width><height>None</height>"),
}


@pytest.mark.parametrize("form", XML_FORMS)
def test_forms_of_voc(tmp_path, form):
    boxes, said, found = read(tmp_path / "a.xml", XML_FORMS[form])
    assert boxes == {"a": INCLUSIVE}
    assert sizes_of(found) == ({} if "size" in form else {"a": SIZE})
    assert found.other_names == {"a": "é.jpg"}
    assert said == [
        f"{tmp_path / 'a.xml'}: pixels count from 1, as no box begins below 1; --first-pixel 0 if that is wrong"
    ]


XML_FAULTS = {
    "bomb": (
        voc(BOXES, head='<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>'),
        "has a document type declaration, which is not read; remove it",
    ),
    "undeclared": (PLAIN.encode("latin-1"), "its text is not UTF-8 and declares no other encoding; save it as UTF-8"),
    "unknown encoding": ('<?xml version="1.0" encoding="klingon"?>' + PLAIN, "unknown encoding: klingon"),
    "wide encoding": (
        ('<?xml version="1.0" encoding="gbk"?>' + PLAIN).encode("gbk"),
        "multi-byte encodings are not sup",
    ),
    "CVAT": (
        "<annotations><image/></annotations>",
        "expected <annotation>, got <annotations>, as in CVAT's own format",
    ),
    "HTML": ("<html></html>", "expected <annotation>, got <html>"),
    "no name": (voc(BOXES, name=""), "expected <name> in <object>"),
    "two boxes": (PLAIN.replace("</object>", "<bndbox/></object>"), "object 1: expected one <bndbox>, got 2"),
    "no box": ("<annotation><object/></annotation>", "object 1: expected one <bndbox>, got none"),
    "words": (voc((1, 2, "x", 4)), "object 1: could not convert string to float: 'x'"),
    "NaN": (voc((1, 2, "nan", 4)), "object 1: expected a box of four finite numbers, got 1, 2, nan, 4"),
    "size": (
        voc(BOXES, size="<width>x</width>"),
        "expected <size> with a width and height in whole pixels, got ['x', '']",
    ),
    "negative size": (voc(BOXES, size="<width>-1</width><height>3</height>"), "a width and height of 1 or more"),
}


@pytest.mark.parametrize("fault", XML_FAULTS)
def test_faults_of_voc(tmp_path, fault):
    text, problem = XML_FAULTS[fault]
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.xml", text)
    assert problem in str(caught.value)
    assert str(tmp_path / "a.xml") in str(caught.value)
    assert "\n" not in str(caught.value)


ONE, ZERO = (1, 1, 60, 70), (0, 21, 60, 70)
FULL = (11, 21, 120, 90)
# boxes of a and b, conventions, boxes in inclusive corners, what is said
COUNTED = {
    "from one": ((FULL, ONE), {}, [(10, 20, 119, 89), (0, 0, 59, 69)], ["from 1, as no box begins below 1; --first-p"]),
    "a zero": (
        (BOXES, ZERO),
        {},
        [BOXES, ZERO],
        ["from 0, as 1 box begins below 1, first {b}, object 1; --first-pixel 1 if that is wrong"],
    ),
    "a zero and an edge": (
        (FULL, ZERO),
        {},
        [(11, 21, 119, 89), (0, 21, 59, 69)],
        [
            "from 0, as 1 box begins below 1",
            "second corners are edges, read as half-open, as 1 box ends at the width or",
        ],
    ),
    "edges with fractions": (
        ((0, 0.5, 120, 90), (10.5, 20.25, 60, 70)),
        {},
        [(0, 0, 119, 89), (10, 20, 59, 69)],
        ["from 0, as 1 box begins below 1", "second corners are edges, read as half-open, as 1 box ends"],
    ),
    "a slip": (
        (ONE, ONE, ZERO),
        {"boxes": "clip"},
        [(0, 0, 59, 69), (0, 0, 59, 69), (0, 20, 59, 69)],
        ["from 1, as 2 boxes begin at 1, first {a}, object 1; 1 box begins below it, first {c}, object 1; --fi"],
    ),
    "said: 1": ((ZERO, BOXES), {"first_pixel": 1}, [(-1, 20, 59, 69), (10, 20, 59, 69)], []),
    "said: 0": ((BOXES, ONE), {"first_pixel": 0}, [BOXES, ONE], []),
    "said: 0, and clip": ((FULL, ONE), {"first_pixel": 0, "boxes": "clip"}, [(11, 21, 119, 89), ONE], []),
    "said: half-open": (
        (FULL, BOXES),
        {"boxes": "half-open"},
        [(11, 21, 119, 89), (11, 21, 59, 69)],
        ["from 0, as boxes are half-open; --first-pixel 1"],
    ),
    "said: half-open from 1": (
        ((11, 21, 121, 91),),
        {"boxes": "half-open", "first_pixel": 1},
        [(10, 20, 119, 89)],
        [],
    ),
}


@pytest.mark.parametrize("case", COUNTED)
def test_how_voc_counts_is_concluded_and_said(tmp_path, case):
    listed, conventions, expected, said = COUNTED[case]
    names = {name: tmp_path / f"{name}.xml" for name in "abc"}
    for name, corners in zip(names, listed, strict=False):
        write(names[name], voc(corners))
    boxes, told, _ = read_place(tmp_path, **conventions)
    assert list(boxes.values()) == expected
    assert len(told) == len(said)
    for text, words in zip(told, said, strict=True):
        assert words.format(**names) in text


# ------------------------------------------------------------------------------------------------------------- places


def test_hidden_files_are_not_read_and_endings_have_any_case(tmp_path):
    write(tmp_path / "sub" / "a.XML", PLAIN)
    write(tmp_path / "._a.xml", "\0")
    write(tmp_path / ".ipynb_checkpoints" / "a.xml", "\0")
    assert read_place(tmp_path)[0] == {"sub/a": INCLUSIVE}


def test_places_without_boxes(tmp_path):
    with pytest.raises(DataError, match=r"gone\.csv does not exist; name a file of boxes, or a folder of them"):
        read_place(tmp_path / "gone.csv")
    write(tmp_path / "a.txt", "0 0.5 0.5 1 1")
    with pytest.raises(DataError, match=r"it has files of the kinds \.txt; .* YOLO's text files have to be exported"):
        read_place(tmp_path)
    os.mkfifo(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"b\.csv cannot be read: it is a pipe, socket or device, no file"):
        read_place(tmp_path / "b.csv")
