import json
import re
import shutil
import zipfile
from dataclasses import replace

import pytest
from PIL import Image
from trees import write, write_imagefolder, write_photo
from wsolbench_plugins.datasets import imagefolder

from wsolbench.api import Conventions, DataError, DatasetRoots, Split, UsageError
from wsolbench.contract import Severity
from wsolbench.data import ReferenceDataset
from wsolbench.data.check.report import check_dataset
from wsolbench.data.reference_writer import write_lists
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer
from wsolbench.progress import Reporter

(SPEC,) = imagefolder.wsolbench_datasets()


def boxes_of(dataset, split=Split.TEST):
    return {name: boxes.tolist() for name, boxes in dataset.annotations(split).boxes.items()}


def test_class_folders_and_a_csv_file(tmp_path):
    dataset = SPEC.build(write_imagefolder(tmp_path))
    assert dataset.class_names == ("cat", "dog")
    images = dataset.images(Split.TEST)
    assert images.ids == ("test/cat/0.jpg", "test/cat/1.jpg", "test/dog/0.jpg", "test/dog/1.jpg")
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert boxes_of(dataset) == {name: [[1, 2, 20, 19]] for name in images.ids}
    assert dataset.annotations(Split.TEST).image_sizes["test/dog/1.jpg"] == (30, 20)
    assert images.load(3).shape == (20, 30, 3)
    assert not dataset.annotations(Split.TRAIN_WEAKSUP).boxes


def said_by(photos, file, **conventions):
    """Return the boxes of test, and what was said of what is left out."""
    said = []
    roots = DatasetRoots(photos, file, conventions=Conventions(**conventions), on_finding=said.append)
    return boxes_of(SPEC.build(roots)), [
        finding.text for finding in said if "left out" in finding.text or "is scored" in finding.text
    ]


@pytest.fixture
def photos(tmp_path):
    """One folder of class folders, which is test."""
    for path in ("cat/a.jpg", "cat/b, c.jpg", "dog/a.jpg"):
        write_photo(tmp_path / "photos" / path, 40, 30)
    return tmp_path / "photos"


def opened(photos, file, text):
    write(photos.parent / file, text)
    return SPEC.build(DatasetRoots(photos, photos.parent / file))


CSV = 'image,x,y,width,height\ncat/a.jpg,1.5,2,3.7,4\n"b, c.jpg",0,0,41,32\ndog/a.jpg,1,1,1,1\n'
EXPECTED = {"test/cat/a.jpg": [[1, 2, 5, 6]], "test/cat/b, c.jpg": [[0, 0, 39, 29]], "test/dog/a.jpg": [[1, 1, 2, 2]]}


def test_widths_and_heights_become_corners_by_the_rule_of_cub(photos):
    assert boxes_of(opened(photos, "boxes.csv", CSV)) == EXPECTED


def coco(**changes):
    names = ("cat/a.jpg", "b, c.jpg", "dog/a.jpg")
    content = {
        "images": [{"id": number, "file_name": name, "width": 40, "height": 30} for number, name in enumerate(names)],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1.5, 2, 3.7, 4]},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 99, 99]},
            {"id": 3, "image_id": 2, "category_id": 2, "bbox": [1, 1, 1, 1]},
            {"id": 4, "image_id": 2, "category_id": 1, "bbox": [9, 9, 1, 1]},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    return json.dumps(content | changes)


def test_coco_without_the_boxes_of_other_classes(photos):
    dataset = opened(photos, "boxes.json", coco())
    assert boxes_of(dataset) == EXPECTED
    assert dataset.annotations(Split.TEST).image_sizes["test/cat/a.jpg"] == (40, 30)


def test_categories_that_are_no_classes_say_nothing(photos):
    dataset = opened(photos, "boxes.json", coco(categories=[{"id": number, "name": "thing"} for number in (1, 2)]))
    assert boxes_of(dataset)["test/dog/a.jpg"] == [[1, 1, 2, 2], [9, 9, 10, 10]]


COCO_CLASSES = json.loads(coco())["categories"]
PERSON = {"id": 5, "image_id": 0, "category_id": 3, "bbox": [0, 0, 40, 30]}


@pytest.mark.parametrize("added", [PERSON, PERSON | {"category_id": 1, "iscrowd": 1}])
def test_coco_without_foreign_classes_and_crowds(photos, added):
    """A file that knows the class folders means other things by its other classes."""
    content = json.loads(coco())
    content["categories"] += [{"id": 3, "name": "person"}]
    content["annotations"] += [added]
    assert boxes_of(opened(photos, "boxes.json", json.dumps(content))) == EXPECTED


def test_an_image_with_boxes_of_foreign_classes_alone_has_none(photos):
    content = json.loads(coco(categories=[*COCO_CLASSES, {"id": 3, "name": "person"}]))
    content["annotations"][0]["category_id"] = 3
    with pytest.raises(DataError, match=r"has no box for 1 image of test, 'test/cat/a\.jpg'"):
        boxes_of(opened(photos, "boxes.json", json.dumps(content)))


def test_categories_in_other_words_than_the_folders(photos):
    """Boxes of persons in photos of cats are not boxes of cats."""
    foreign = [{"id": 1, "name": "person"}, {"id": 2, "name": "chair"}]
    file = photos.parent / "boxes.json"
    write(file, coco(categories=foreign))
    with pytest.raises(DataError, match="categories: 'chair', 'person'; class folders: 'cat', 'dog'; say which belong"):
        said_by(photos, file)
    write(photos.parent / "map.csv", "folder,category\ncat,person\ndog,chair\n")
    boxes, said = said_by(photos, file, class_map=photos.parent / "map.csv")
    assert boxes == EXPECTED
    left_out = "left out, of another category than the class of the image:"
    assert said == [f"test: 1 box is {left_out} 'person' (1)"]
    write(file, coco(categories=[{"id": 1, "name": "CAT"}, {"id": 2, "name": "chair"}]))
    advice = r"/a\.jpg'; .* do not count: 'chair' \(1\), 'CAT' \(1\); --class-map FILE says .*; --unannotated omit"
    with pytest.raises(DataError, match=advice):
        said_by(photos, file)
    boxes, said = said_by(photos, file, unannotated="omit")
    assert boxes == {name: found for name, found in EXPECTED.items() if "cat" in name}
    lost = "no image of 'dog' is scored: none has a box that counts; boxes of other categories: 'chair' (1), 'CAT' (1)"
    advice = "--class-map FILE says which is which class"
    assert said == [f"test: 2 boxes are {left_out} 'chair' (1), 'CAT' (1)", f"test: {lost}; {advice}"]


def test_voc_without_foreign_classes(photos):
    folder = photos.parent / "xml"
    write(folder / "cat" / "a.xml", voc((2, 3, 6, 7)).replace("</annotation>", f"{voc_object('person')}</annotation>"))
    write(folder / "b, c.xml", voc((1, 1, 40, 30)))
    write(folder / "dog" / "a.xml", voc((2, 2, 3, 3), name="dog"))
    assert boxes_of(SPEC.build(DatasetRoots(photos, folder))) == EXPECTED


def test_the_file_of_an_image_names_it_and_else_its_filename(photos):
    folder = photos.parent / "xml"
    for name, filename, label in (("1", "a.jpg", "dog"), ("cat/a", "gone.jpg", "cat"), ("b, c", "cat/a.jpg", "cat")):
        text = voc((2, 2, 3, 3), name=label).replace("<size>", f"<filename>{filename}</filename><size>")
        write(folder / f"{name}.xml", text.replace("a.jpg", "dog/a.jpg") if name == "1" else text)
    dataset = SPEC.build(DatasetRoots(photos, folder))
    assert boxes_of(dataset) == {image_id: [[1, 1, 2, 2]] for image_id in EXPECTED}
    form, odd, *_ = (finding.text for finding in dataset.inspect())
    assert form.endswith(
        "VOC's xmin, ymin, xmax, ymax in pixels counted from 1; the second corner is the last pixel of the box"
    )
    assert odd.endswith("as their <filename> than as their own name, which counts, such as 'b, c' with 'cat/a.jpg'")


def test_conventions_are_carried_out(photos):
    rows = ["image,x0,y0,x1,y1", "cat/a.jpg,1.5,2,40,30", '"b, c.jpg",0,0,9,9', "dog/a.jpg,-2,1,5,5"]
    write(photos.parent / "boxes.csv", "\n".join(rows))
    roots = DatasetRoots(photos, photos.parent / "boxes.csv", conventions=Conventions("clip"))
    annotations = SPEC.build(roots).annotations(Split.TEST)
    assert annotations.boxes["test/cat/a.jpg"].tolist() == [[1, 2, 39, 29]]
    assert annotations.boxes["test/dog/a.jpg"].tolist() == [[0, 1, 5, 5]]
    assert {image_id: sorted(changes) for image_id, changes in annotations.changes.items()} == {
        "test/cat/a.jpg": ["beyond the image, clipped to it", "with fractions, truncated to whole pixels"],
        "test/cat/b, c.jpg": [],
        "test/dog/a.jpg": ["beyond the image, clipped to it"],
    }
    with pytest.raises(
        DataError, match=r"image; 1 other image has such boxes; pass --boxes clip to move corners into the i"
    ):
        boxes_of(SPEC.build(replace(roots, conventions=Conventions())))


def test_a_check_has_one_error_a_split_for_boxes_outside(photos):
    rows = "".join(f'"{name}",0,0,40,29\n' for name in ("cat/a.jpg", "b, c.jpg", "dog/a.jpg"))
    write(photos.parent / "boxes.csv", f"image,x0,y0,x1,y1\n{rows}")
    roots = DatasetRoots(photos, photos.parent / "boxes.csv")
    report = check_dataset(Offer(SPEC, Provider("tests", "1", "x")), roots, workers=1, reporter=Reporter())
    (error,) = report.of(Severity.ERROR)
    assert "the box 0 0 40 29 of 'test/cat/a.jpg' is not inside its 40x30 image; 2 other images have such" in error
    assert "; pass --boxes half-open if " in error


def voc_object(name):
    corners = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


def voc(*boxes, name="cat"):
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox></object>"
        for x0, y0, x1, y1 in boxes
    )
    return f"<annotation><size><width>40</width><height>30</height></size>{objects}</annotation>"


@pytest.mark.parametrize(("first", "shift"), [(1, 1), (0, 0)])
def test_voc_counts_from_one_unless_a_zero_occurs(photos, first, shift):
    folder = photos.parent / "xml"
    write(folder / "cat" / "a.xml", voc((first, 2, 11, 12), (3, 3, 4, 4)))
    write(folder / "b, c.xml", voc((5, 6, 40 - 1 + shift, 8)))
    write(folder / "dog" / "a.xml", voc((1, 1, 2, 2), name="dog"))
    dataset = SPEC.build(DatasetRoots(photos, folder))
    boxes = boxes_of(dataset)
    assert boxes["test/cat/a.jpg"][0] == [0, 2 - shift, 11 - shift, 12 - shift]
    assert boxes["test/cat/b, c.jpg"] == [[5 - shift, 6 - shift, 39, 8 - shift]]
    assert dataset.annotations(Split.TEST).image_sizes["test/dog/a.jpg"] == (40, 30)


def save_turned(path, box, orientation, size=(40, 30)):
    """Save a photo that is black but for a white box, upright; stored so that an orientation turns it upright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    upright = Image.new("RGB", size)
    upright.paste((255, 255, 255), (box[0], box[1], box[2] + 1, box[3] + 1))
    back = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    back |= {6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = upright.transpose(Image.Transpose[back[orientation]]) if orientation in back else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(path, exif=exif, quality=95)


def shows(dataset, index):
    """Return whether an image shows its white box where that is scored."""
    split = dataset.images(Split.TEST)
    (box,) = dataset.annotations(Split.TEST).boxes[split.ids[index]].tolist()
    return shown_box(split, index) == box


def shown_box(split, index):
    ys, xs = (split.load(index)[:, :, 0] > 127).nonzero()
    return [int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("lists", ["coco", "csv", "stored coco"])
def test_photos_are_read_as_their_boxes_were_drawn(tmp_path, lists, orientation):
    """With sizes as listed; without, as the boxes fit; the photos that neither decides as the others of the list."""
    stored = lists == "stored coco"
    size, box = ((40, 30), [30, 2, 38, 20]) if stored else ((30, 40), [2, 30, 20, 38])
    images, annotations = [], []
    for number, turn in enumerate((1, orientation, 6, 3)):
        as_drawn = 1 if stored else turn
        save_turned(tmp_path / "photos" / "cat" / f"{number}.jpg", box, as_drawn, size)
        if stored:
            photo = Image.open(tmp_path / "photos" / "cat" / f"{number}.jpg")
            exif = Image.Exif()
            exif[0x0112] = turn
            photo.save(tmp_path / "photos" / "cat" / f"{number}.jpg", exif=exif, quality=95)
        images.append({"id": number, "file_name": f"{number}.jpg", "width": size[0], "height": size[1]})
        extent = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        annotations.append({"id": number, "image_id": number, "bbox": extent})
    text = json.dumps({"images": images, "annotations": annotations})
    if lists == "csv":
        rows = [f"{number}.jpg,{','.join(map(str, box))}" for number in range(4)]
        text = "\n".join(["image,x0,y0,x1,y1", *rows])
    dataset = opened(tmp_path / "photos", "boxes.csv" if lists == "csv" else "boxes.json", text)
    assert [shows(dataset, index) for index in range(4)] == [True] * 4
    assert set(dataset.annotations(Split.TEST).image_sizes.values()) == {size}


@pytest.mark.parametrize("telling", ["train", "val"])
def test_photos_of_any_split_in_the_file_decide_for_square_ones(tmp_path, telling):
    save_turned(tmp_path / "photos" / "test" / "cat" / "square.jpg", [2, 30, 20, 38], 6, (40, 40))
    save_turned(tmp_path / "photos" / telling / "cat" / "oblong.jpg", [2, 30, 20, 38], 6, (30, 40))
    listed = {
        "test/cat/square.jpg": ((40, 40), (30, 19, 38, 37)),
        f"{telling}/cat/oblong.jpg": ((40, 30), (30, 9, 38, 27)),
    }
    rows = [f"{name},{w},{h},{','.join(map(str, box))}" for name, ((w, h), box) in listed.items()]
    dataset = opened(tmp_path / "photos", "boxes.csv", "\n".join(["image,width,height,x0,y0,x1,y1", *rows]))
    assert shows(dataset, 0)
    assert dataset.images(Split.TEST).remarks(0) == ("taken as stored like the others",)


def test_square_photos_that_nothing_decides_are_upright(tmp_path):
    for orientation in range(1, 9):
        save_turned(tmp_path / "photos" / "cat" / f"{orientation}.jpg", [2, 30, 20, 38], orientation, (40, 40))
    rows = [f"{number}.jpg,2,30,20,38" for number in range(1, 9)]
    dataset = opened(tmp_path / "photos", "boxes.csv", "\n".join(["image,x0,y0,x1,y1", *rows]))
    assert all(shows(dataset, index) for index in range(8))
    assert "assumed to be listed upright" in dataset.images(Split.TEST).remarks(7)


def test_orientations_and_class_names_travel_with_written_lists(tmp_path):
    """Photos whose size does not tell: square, upside down; those that show their box where it is listed are right."""
    box, rows = [2, 30, 20, 38], ["image,x0,y0,x1,y1"]
    for split in ("train", "test"):
        for orientation in range(1, 9):
            save_turned(tmp_path / "photos" / split / "cat" / f"{orientation}.jpg", box, orientation, (40, 40))
            rows += [f"test/cat/{orientation}.jpg,2,30,20,38"] if split == "test" else []
    dataset = opened(tmp_path / "photos", "boxes.csv", "\n".join(rows))
    write_lists(dataset, tmp_path / "lists")
    read = ReferenceDataset("folder", DatasetRoots(tmp_path / "photos", tmp_path / "lists"))
    assert read.class_names == ("cat",)
    for images in (read.images(Split.TRAIN_WEAKSUP), read.images(Split.TEST)):
        assert [shown_box(images, index) for index in range(8)] == [box] * 8
        assert images.is_upright(7) is True
    assert boxes_of(read) == boxes_of(dataset)
    (tmp_path / "lists" / "test" / "orientations.txt").write_text("test/cat/8.jpg,sideways\n")
    with pytest.raises(DataError, match=r"orientations\.txt, line 1: expected path,upright or path,stored"):
        ReferenceDataset("folder", read.roots).images(Split.TEST)
    (tmp_path / "lists" / "class_names.txt").write_text("\n")
    with pytest.raises(DataError, match=r"class_names\.txt holds 0 names, and there are labels up to 0"):
        _ = ReferenceDataset("folder", read.roots).class_names


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height><depth>0</depth></size>"])
def test_an_image_without_a_listed_size_has_its_own(photos, size):
    listed = "<size><width>40</width><height>30</height></size>"
    folder = photos.parent / "xml"
    write(folder / "cat" / "a.xml", voc((2, 3, 6, 7)).replace(listed, size))
    write(folder / "b, c.xml", voc((1, 1, 40, 30)))
    write(folder / "dog" / "a.xml", voc((2, 2, 3, 3), name="dog").replace(listed, size))
    dataset = SPEC.build(DatasetRoots(photos, folder))
    assert boxes_of(dataset) == EXPECTED
    images = dataset.images(Split.TEST)
    assert [images.remarks(index) for index in range(3)] == [("without a listed size",), (), ("without a listed size",)]


@pytest.mark.parametrize("header", ["image,x0,y0,x1,y1", "image,x,y,width,height"])
def test_boxes_of_photos_that_were_resized_are_refused(photos, header):
    rows = "cat/a.jpg,10,20,70,30\nb;c,1,1,9,9\ndog/a.jpg,1,1,9,9".replace("b;c", '"b, c.jpg"')
    dataset = opened(photos, "boxes.csv", f"{header}\n{rows}")
    words = r"is not inside its 40x30 image; the photos may have been resized after their boxes were drawn: list their"
    with pytest.raises(DataError, match=words):
        boxes_of(dataset)
    roots = DatasetRoots(photos, photos.parent / "boxes.csv", conventions=Conventions(boxes="clip"))
    with pytest.raises(DataError, match=words):
        boxes_of(SPEC.build(roots))


def test_a_file_for_each_split(tmp_path):
    roots = write_imagefolder(tmp_path)
    header, *rows = roots.metadata.read_text().split("\n")
    for split in ("val", "test"):
        write(tmp_path / "boxes" / f"{split}.csv", "\n".join([header, *(row for row in rows if row.startswith(split))]))
    dataset = SPEC.build(DatasetRoots(roots.images, tmp_path / "boxes"))
    assert len(boxes_of(dataset, Split.TRAIN_FULLSUP)) == len(boxes_of(dataset)) == 4


FILES_OF_SPLITS = {
    "named so": ("val.csv", "test.csv"),
    "in folders": ("val/_annotations.csv", "test/_annotations.csv"),
    "longer names": ("valid_boxes.csv", "instances_test2017.csv"),
    "others' names": ("train.csv", "test.csv"),
}


@pytest.mark.parametrize("case", FILES_OF_SPLITS)
@pytest.mark.parametrize("front", ["cat/", "images/", ""])
def test_files_of_boxes_that_are_named_after_a_split_mean_that_split(tmp_path, case, front):
    for split in ("train", "val", "test"):
        write_photo(tmp_path / "photos" / split / "cat" / "0.jpg", 40, 30)
    write_photo(tmp_path / "photos" / "test" / "cat" / "1.jpg", 40, 30)
    header, absent = "image,x0,y0,x1,y1\n", f"{front}2.jpg,5,5,9,9\n"
    other, test = FILES_OF_SPLITS[case]
    write(tmp_path / "boxes" / other, f"{header}{front}0.jpg,1,2,3,4\n{front}1.jpg,5,5,9,9\n{absent}")
    write(tmp_path / "boxes" / test, f"{header}{front}0.jpg,2,3,4,5\n{front}1.jpg,3,4,5,6\n")
    dataset = SPEC.build(DatasetRoots(tmp_path / "photos", tmp_path / "boxes"))
    assert boxes_of(dataset) == {"test/cat/0.jpg": [[2, 3, 4, 5]], "test/cat/1.jpg": [[3, 4, 5, 6]]}
    if other.startswith("val"):
        assert boxes_of(dataset, Split.TRAIN_FULLSUP) == {"val/cat/0.jpg": [[1, 2, 3, 4]]}
    alone = SPEC.build(DatasetRoots(tmp_path / "photos", tmp_path / "boxes" / test))
    assert boxes_of(alone) == boxes_of(dataset)


def test_photos_to_train_on_may_lie_elsewhere(tmp_path):
    roots = write_imagefolder(tmp_path)
    (roots.images / "train").rename(tmp_path / "elsewhere")
    dataset = SPEC.build(DatasetRoots(roots.images, roots.metadata, train=tmp_path / "elsewhere"))
    assert dataset.images(Split.TRAIN_WEAKSUP).ids[0] == "train/cat/0.jpg"
    alone = SPEC.build(DatasetRoots(tmp_path / "elsewhere", roots.metadata))
    assert alone.splits == {Split.TEST}


def test_training_needs_no_boxes(tmp_path):
    roots = write_imagefolder(tmp_path)
    dataset = SPEC.build(DatasetRoots(roots.images))
    assert dataset.splits == set(Split)
    assert len(dataset.images(Split.TRAIN_WEAKSUP).ids) == 4
    assert dataset.version != SPEC.build(roots).version


# file, text, what the message must hold
BROKEN = {
    "no header": (
        "boxes.csv",
        "cat/a.jpg,1,2,3,4",
        "line 1: expected the header image,x0,y0,x1,y1 or image,x,y,width,hei",
    ),
    "empty": ("boxes.csv", "", "line 1: expected the header"),
    "fields": ("boxes.csv", "image,x0,y0,x1,y1\ncat/a.jpg,1,2,3", "line 2: expected image,x0,y0,x1,y1"),
    "number": ("boxes.csv", "image,x0,y0,x1,y1\ncat/a.jpg,1,2,3,inf", "line 2: expected image,x0,y0,x1,y1 in numbers"),
    "quotes": ("boxes.csv", 'image,x0,y0,x1,y1\n"cat/a.jpg,1,2,3,4', "line 2: expected comma-separated fields"),
    "other images": (
        "boxes.csv",
        "image,x0,y0,x1,y1\ndog/z,1,2,3,4\nfox/z,1,2,3,4",
        "line 2: 'dog/z' names no image below the data root, .*; nor does 'fox/z'; expected a path such as CLASS/I",
    ),
    "no image like it": ("boxes.csv", CSV.replace("dog/a", "dog/z"), "has no box for 1 image of test, 'test/dog/a.j"),
    "two images": (
        "boxes.csv",
        CSV.replace("dog/a", "a"),
        "line 4: 'a.jpg' names more than one image below the data root: test/cat/a.jpg, test/dog/a.jpg; write SPL",
    ),
    "two names": (
        "boxes.csv",
        CSV + "./cat/a.jpg,1,1,1,1",
        "line 5: 'cat/a.jpg' and './cat/a.jpg' are names of one image, test/cat/a.jpg; use one of them",
    ),
    "two sizes": (
        "boxes.csv",
        "image,width,height,x0,y0,x1,y1\ncat/a.jpg,40,30,1,2,3,4\ncat/a.jpg,9,8,1,2,3,4",
        r"line 3: expected one size an image, test/cat/a\.jpg is 40x30 before \(.*, line 2\), got 9x8",
    ),
    "no box": (
        "boxes.csv",
        CSV[: CSV.index("dog")],
        r"boxes\.csv has no box for 1 image of test, 'test/dog/a\.j",
    ),
    "not a number": (
        "boxes.json",
        coco().replace("1.5", "NaN"),
        "annotation 1: expected a box of four finite numbers, g",
    ),
    "infinite": ("boxes.json", coco().replace("99", "1e999"), "boxes.json, annotation 2: .* got 0, 0, inf, inf"),
    "infinite size": (
        "boxes.json",
        coco().replace("40", "Infinity"),
        r"image 0: expected 'width' and 'height' in whole pixels, got \[inf",
    ),
    "nested": ("boxes.json", "[" * 100_000, "is no COCO file of boxes: maximum recursion depth"),
    "not a number in XML": ("a.xml", voc((1, 2, 3, 4), (1, "nan", 3, 4)), r"a\.xml, object 2: .* got 1, nan, 3, 4"),
    "no json": ("boxes.json", "{", "is no COCO file of boxes: Expecting"),
    "json list": (
        "boxes.json",
        "[]",
        "is no COCO file of boxes: expected COCO, an object with the lists 'images' and 'ann",
    ),
    "no bbox": ("boxes.json", coco(annotations=[{"image_id": 0}]), r"boxes\.json, annotation #1: lacks 'bbox'"),
    "no category": (
        "boxes.json",
        coco(categories=COCO_CLASSES[:1]),
        "annotation 3: its 'category_id' 2 is no id of 'categories', such as '1'",
    ),
    "no image": ("boxes.json", coco(images=[]), "annotation 1: its 'image_id' 0 is no id of 'images', there are none"),
    "no xml": ("boxes.xml", "<", "is damaged: unclosed token"),
    "no object": ("boxes.xml", "<annotation/>", "has no box for 3 images of test"),
    "kind": ("boxes.txt", "", "is or holds no file of boxes; expected one kind of .csv, .json, .tsv, .xml; YOLO"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_box_files_are_named(photos, case):
    file, text, problem = BROKEN[case]
    with pytest.raises(DataError, match=problem):
        opened(photos, file, text).annotations(Split.TEST)


def test_a_box_beyond_its_image(photos):
    text = CSV.replace("x,y,width,height", "x0,y0,x1,y1").replace("0,0,41,32", "0,0,99,99")
    with pytest.raises(DataError, match=r"the box 0 0 99 99 of 'test/cat/b, c\.jpg' is not inside its 40x30 image"):
        boxes_of(opened(photos, "boxes.csv", text))


def test_folders_of_several_kinds(photos):
    write(photos.parent / "boxes" / "a.csv", "image,x0,y0,x1,y1")
    write(photos.parent / "boxes" / "b.csv", "image,x,y,width,height")
    with pytest.raises(DataError, match="holds CSV files with different headers; use one for all"):
        SPEC.build(DatasetRoots(photos, photos.parent / "boxes")).annotations(Split.TEST)
    write(photos.parent / "boxes" / "c.json", coco())
    with pytest.raises(DataError, match=r"holds files of the kinds \.csv, \.json; expected one kind"):
        SPEC.build(DatasetRoots(photos, photos.parent / "boxes")).annotations(Split.TEST)


def test_places_that_make_no_sense(photos):
    with pytest.raises(UsageError, match="pass --data-root DIR, which holds test/CLASS/IMAGE"):
        SPEC.build(DatasetRoots())
    with pytest.raises(UsageError, match="use --dataset folder for masks"):
        SPEC.build(DatasetRoots(photos, masks=photos))
    with pytest.raises(UsageError, match="pass --metadata-root FILE, a CSV, COCO or VOC file"):
        SPEC.build(DatasetRoots(photos)).annotations(Split.TEST)
    (photos / "empty").mkdir()
    with pytest.raises(DataError, match=r"class folder .*/empty holds no image"):
        SPEC.build(DatasetRoots(photos))


def told_of(photos, file, text):
    """Return the faults that are told where none ends the reading, and the boxes that are left."""
    write(photos.parent / file, text)
    faults = []
    dataset = SPEC.build(DatasetRoots(photos, photos.parent / file, on_fault=faults.append))
    boxes = boxes_of(dataset)
    assert dataset.images(Split.TEST).labels.tolist() == [0, 0, 1]
    return [str(fault) for fault in faults], boxes


ALL_AT_ONCE = {
    "boxes.csv": (CSV.replace("1.5,2", "x,2").replace("dog/a.jpg", "dog/z.jpg"), ["line 2: expected"]),
    "boxes.json": (coco().replace("1.5", "NaN").replace('"dog/a.jpg"', '"dog/z.jpg"'), ["annotation 1"]),
}


@pytest.mark.parametrize("file", ALL_AT_ONCE)
def test_all_faults_are_told_at_once(photos, file):
    text, problems = ALL_AT_ONCE[file]
    faults, boxes = told_of(photos, file, text)
    assert boxes == {"test/cat/b, c.jpg": [[0, 0, 39, 29]]}
    for problem, fault in zip([*problems, "has no box for 1 image of test, 'test/dog/a"], faults, strict=True):
        assert problem in fault


def test_a_damaged_annotation_leaves_the_others(photos):
    write(photos.parent / "xml" / "b, c.xml", voc((1, 1, 40, 30)))
    write(photos.parent / "xml" / "dog" / "a.xml", voc((2, 2, 3, 3), name="dog"))
    write(photos.parent / "xml" / "cat" / "a.xml", "<annotation>")
    faults = []
    dataset = SPEC.build(DatasetRoots(photos, photos.parent / "xml", on_fault=faults.append))
    assert sorted(boxes_of(dataset)) == ["test/cat/b, c.jpg", "test/dog/a.jpg"]
    assert len(faults) == 1


def test_an_empty_class_folder_keeps_its_label(photos):
    (photos / "bird").mkdir()
    write(photos.parent / "boxes.csv", CSV)
    faults = []
    dataset = SPEC.build(DatasetRoots(photos, photos.parent / "boxes.csv", on_fault=faults.append))
    assert dataset.class_names == ("bird", "cat", "dog")
    assert dataset.images(Split.TEST).labels.tolist() == [1, 1, 2]
    assert "bird holds no image" in str(faults[0])
    assert boxes_of(dataset) == EXPECTED


def test_images_do_not_depend_on_the_boxes(photos):
    dataset = opened(photos, "boxes.json", "{")
    assert len(dataset.images(Split.TEST).ids) == 3


# ------------------------------------------------------------------------------------------- names of photos elsewhere


def write_splits(root, *names):
    for name in names:
        write_photo(root / name, 40, 30)
    return root


def opened_with(root, *rows):
    """Return the data set with a CSV file of these names, the faults and the findings."""
    write(root.parent / "boxes.csv", "image,x0,y0,x1,y1\n" + "".join(f"{row},1,2,20,19\n" for row in rows))
    faults, said = [], []
    roots = DatasetRoots(root, root.parent / "boxes.csv", on_fault=faults.append, on_finding=said.append)
    return SPEC.build(roots), faults, said


def test_boxes_of_photos_of_a_split_that_is_not_here_are_left_out_and_counted(tmp_path):
    root = write_splits(tmp_path / "photos", "test/cat/0.jpg", "test/dog/0.jpg")
    dataset, faults, said = opened_with(root, "train/cat/0.jpg", "val/dog/0.jpg", "test/dog/0.jpg", "test/cat/0.jpg")
    assert set(boxes_of(dataset)) == {"test/cat/0.jpg", "test/dog/0.jpg"}
    assert faults == []
    assert [finding.text.partition(": ")[2] for finding in said] == [
        "boxes of photos that are not scored here are left out: 1 of train-weaksup, 1 of train-fullsup"
    ]


def test_a_list_of_another_split_alone_is_an_error(tmp_path):
    root = write_splits(tmp_path / "photos", "test/cat/0.jpg", "test/dog/0.jpg")
    dataset, faults, _ = opened_with(root, "train/cat/0.jpg", "train/dog/0.jpg")
    assert boxes_of(dataset) == {}
    assert [str(fault).partition(": ")[2] for fault in faults[:1]] == [
        f"all boxes are of photos that are not below {root}: 2 of train-weaksup, such as 'train/cat/0.jpg'; "
        "name the boxes of the photos that are there; if a folder was renamed, rename it in the file too"
    ]


def test_a_root_named_like_a_split_holds_the_photos_that_are_named_so(tmp_path):
    root = write_splits(tmp_path / "train", "cat/0.jpg", "dog/0.jpg")
    dataset, faults, _ = opened_with(root, "train/cat/0.jpg", "train/dog/0.jpg")
    assert set(boxes_of(dataset)) == {"test/cat/0.jpg", "test/dog/0.jpg"}
    assert faults == []


def test_names_with_different_folders_in_front_are_a_warning(tmp_path):
    root = write_splits(tmp_path / "photos", "test/cat/0.jpg", "test/cat/1.jpg", "test/dog/0.jpg")
    dataset, _, said = opened_with(root, "north/cat/0.jpg", "south/cat/1.jpg", "south/dog/0.jpg")
    assert len(boxes_of(dataset)) == 3
    assert "folders in front, which no image has: 'south' (2), 'north' (1); are they all" in said[0].text


def test_photos_in_a_zip_file(tmp_path):
    names = ("test/cat/0.jpg", "test/dog/0.jpg", "val/cat/1.jpg", "val/dog/1.jpg")
    root = write_splits(tmp_path / "photos", *names)
    shutil.make_archive(str(tmp_path / "all"), "zip", root)
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "photos")
    shutil.make_archive(str(tmp_path / "train"), "zip", root / "val")
    expected = boxes_of(opened_with(root, *names)[0])
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as archive:
        for name in names:
            archive.write(root / name, "all\\photos\\" + name.replace("/", "\\"))
        archive.writestr("README.md", "")
        archive.writestr("lists\\val.csv", "")
        archive.writestr("all\\masks\\0.png", "")
    for archive in ("all.zip", "packed.zip", "windows.zip"):
        roots = DatasetRoots(tmp_path / archive, tmp_path / "boxes.csv", train=tmp_path / "train.zip")
        dataset = SPEC.build(roots)
        assert boxes_of(dataset) == expected
        assert dataset.images(Split.TEST).load(1).shape == (30, 40, 3)
        assert dataset.images(Split.TRAIN_WEAKSUP).ids == ("train/cat/1.jpg", "train/dog/1.jpg")


def test_the_other_name_of_an_image_is_not_that_of_another_split_or_class(tmp_path):
    root = write_splits(tmp_path / "photos", "test/cat/0.jpg", "test/dog/1.jpg")
    for place in ("train/cat/0", "dog/0", "test/dog/1"):
        text = voc((2, 3, 6, 7), name="dog").replace("<size>", f"<filename>{place[-1]}.jpg</filename><size>")
        write(tmp_path / "xml" / f"{place}.xml", text)
    faults = []
    dataset = SPEC.build(DatasetRoots(root, tmp_path / "xml", on_fault=faults.append))
    assert set(boxes_of(dataset)) == {"test/dog/1.jpg"}
    assert "has no box for 1 image of test, 'test/cat/0.jpg'" in str(faults[0])


SPELLINGS = {
    # name in the list: (what is said of it, whether it is a warning)
    "test/cat/7.jpg": ("1 box of 1 photo that is not below", False),
    "cat/foto 1.png": ("1 name has another ending than the image: 'cat/foto 1.png' is 'test/cat/foto 1.jpg'", False),
    "cat/foto%201.jpg": ("", False),
    "1.0": ("1 box of 1 photo that is not below .* is it 'test/cat/0001.jpg', which has no box", True),
    "a1b2c3d4-foto 1.jpg": ("line 2: 'a1b2c3d4-foto 1.jpg'; is it 'test/cat/foto 1.jpg', which has no box", True),
}


def test_names_that_are_spelled_in_another_way_and_photos_that_are_not_there(tmp_path):
    names = ("test/cat/0001.jpg", "test/cat/foto 1.jpg", "test/dog/2.jpg", "test/dog/3.jpg")
    root = write_splits(tmp_path / "photos", *names)
    for spelling, (words, is_warning) in SPELLINGS.items():
        rows = [spelling, *(name for name in names if name[-5] != "1" or spelling == "test/cat/7.jpg")]
        dataset, faults, said = opened_with(root, *rows)
        boxes = boxes_of(dataset)
        found = [finding for finding in said if re.search(words, finding.text)]
        assert bool(found) or not words
        assert not found or (found[0].severity is Severity.WARNING) is is_warning
        assert len(boxes) == len(rows) - ("not below" in words or "no box" in words)
        assert bool(faults) is (len(boxes) < len(names))


def test_the_folder_in_front_of_all_names_is_named(tmp_path):
    root = write_splits(tmp_path / "photos", "test/cat/0.jpg", "test/cat/1.jpg")
    dataset, _, said = opened_with(root, "bird/0.jpg", "bird/1.jpg")
    assert len(boxes_of(dataset)) == 2
    assert said[0].text.endswith("'bird' in front of 2 names, a folder that no image has, does not count")
