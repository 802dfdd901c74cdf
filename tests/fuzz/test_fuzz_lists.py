"""Lists of images and boxes, damaged: every data set that reads files of users, through its check and its opening."""

import json
from functools import partial

from hypothesis import strategies as st
from mutations import as_json, both_sizes, changed, damaged, fuzz, own_folder, photo, refused_in_one_line

from wsolbench.contract import Conventions, DatasetRoots, Split
from wsolbench.data.check.report import check_dataset
from wsolbench.data.opened import open_dataset
from wsolbench.progress import Reporter

PHOTO = photo(40, 30)
NAMES = ("cat/a.jpg", "cat/b, c.jpg", "dog/a.jpg", "dog/ä.jpg")


def look_at_all(registry, name, roots):
    """Check a data set, and open its splits: each is read, or refused in one line, and no box is outside its image."""
    offer = registry.datasets.get(name)
    refused_in_one_line(lambda: check_dataset(offer, roots, workers=1, reporter=Reporter()))
    dataset = refused_in_one_line(lambda: open_dataset(offer, roots))
    for split in dataset.splits if dataset is not None else ():
        part = refused_in_one_line(dataset.open, split)
        if part is not None:
            look_at_split(part)


def look_at_split(part):
    for image_id in part.annotations.boxes:
        boxes = refused_in_one_line(part.annotations.boxes.__getitem__, image_id)
        assert boxes is None or (boxes.ndim == 2 and boxes.shape[1] == 4 and len(boxes))
    refused_in_one_line(lambda: part.annotations_sha256)
    refused_in_one_line(part.images.load, 0)


# ----------------------------------------------------------------------------------------------- the reference layout


LISTS = {
    "image_ids": "a/1.jpg\na/2.jpg\nb/3.jpg",
    "class_labels": "a/1.jpg,0\na/2.jpg,0\nb/3.jpg,1",
    "image_sizes": "a/1.jpg,40,30\na/2.jpg,40,30\nb/3.jpg,40,30",
    "localization": "a/1.jpg,1,2,20,19\na/2.jpg,0,0,39,29\na/2.jpg,3,3,4,4\nb/3.jpg,5,6,7,8",
}


@both_sizes
def test_lists_of_the_reference_layout(registry, examples):
    one_of_four = st.sampled_from(sorted(LISTS)).flatmap(
        lambda name: st.tuples(st.just(name), damaged(LISTS[name].encode()), st.sampled_from(["inclusive", "clip"]))
    )

    def check(drawn):
        name, content, boxes = drawn
        with own_folder() as folder:
            for part in ("val", "test"):
                (folder / "metadata" / part).mkdir(parents=True)
                for list_name, text in LISTS.items():
                    (folder / "metadata" / part / f"{list_name}.txt").write_text(text.replace("/", f"/{part}"))
            (folder / "metadata" / "test" / f"{name}.txt").write_bytes(content)
            for part, image in (("a", "1"), ("a", "2"), ("b", "3")):
                for prefix in ("", "val"):
                    path = folder / "images" / part / f"{prefix}{image}.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(PHOTO)
            roots = DatasetRoots(folder / "images", folder / "metadata", conventions=Conventions(boxes=boxes))
            look_at_all(registry, "folder", roots)

    fuzz(one_of_four, check, examples)


# ------------------------------------------------------------------------------------------------- boxes of imagefolder


CSV = 'image,x0,y0,x1,y1\ncat/a.jpg,1.5,2,3.7,4\n"b, c.jpg",0,0,39,29\ntest/dog/a.jpg,1,1,2,2\ndog/ä.jpg,1,1,9,9\n'
ROBOFLOW = (
    "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    'cat/a.jpg,40,30,cat,1,2,3,4\n"cat/b, c.jpg",40,30,cat,1,1,9,9\ntest/dog/a.jpg,40,30,dog,1,2,3,4\n'
    "dog/ä.jpg,40,30,dog,1,2,3,4\n"
)
COCO = {
    "images": [{"id": number, "file_name": name, "width": 40, "height": 30} for number, name in enumerate(NAMES)],
    "annotations": [
        {"id": number, "image_id": number, "category_id": 1 + number // 2, "iscrowd": 0, "bbox": [1.5, 2, 3.7, 4]}
        for number in range(len(NAMES))
    ],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
}
VOC = (
    '<?xml version="1.0" encoding="UTF-8"?><annotation><filename>a.jpg</filename><size><width>40</width>'
    "<height>30</height><depth>3</depth></size><object><name>cat</name><bndbox><xmin>2</xmin><ymin>3</ymin>"
    "<xmax>21</xmax><ymax>20</ymax></bndbox></object><object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
    "<xmax>40</xmax><ymax>30</ymax></bndbox></object></annotation>"
)


def look_at_photos(registry, folder, boxes, conventions):
    for name in NAMES:
        path = folder / "photos" / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PHOTO)
    look_at_all(registry, "imagefolder", DatasetRoots(folder / "photos", boxes, conventions=conventions))


def look_at_boxes(registry, name, drawn):
    content, wanted = drawn
    with own_folder() as folder:
        (folder / name).write_bytes(content)
        look_at_photos(registry, folder, folder / name, wanted)


conventions = st.builds(
    Conventions,
    boxes=st.sampled_from(["inclusive", "half-open", "clip"]),
    first_pixel=st.sampled_from([None, 0, 1]),
    unannotated=st.sampled_from(["error", "omit"]),
)


@both_sizes
def test_csv_files_of_boxes(registry, examples):
    texts = st.sampled_from([CSV, ROBOFLOW, CSV.replace(",", ";"), ROBOFLOW.replace(",", "\t")])
    encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])
    contents = st.tuples(texts, encodings).flatmap(lambda pair: damaged(pair[0].encode(pair[1])))
    fuzz(st.tuples(contents, conventions), partial(look_at_boxes, registry, "boxes.csv"), examples)


@both_sizes
def test_coco_files(registry, examples):
    contents = st.one_of(as_json(changed(COCO)), damaged(json.dumps(COCO).encode()))
    fuzz(st.tuples(contents, conventions), partial(look_at_boxes, registry, "boxes.json"), examples)


@both_sizes
def test_voc_files(registry, examples):
    def check(drawn):
        content, wanted = drawn
        with own_folder() as folder:
            for name in NAMES:
                path = folder / "xml" / f"{name.removesuffix('.jpg')}.xml"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(VOC, encoding="utf-8")
            (folder / "xml" / "cat" / "a.xml").write_bytes(content)
            look_at_photos(registry, folder, folder / "xml", wanted)

    encodings = st.sampled_from(["utf-8", "utf-16", "latin-1"])
    contents = encodings.flatmap(lambda name: damaged(VOC.replace("UTF-8", name).encode(name)))
    fuzz(st.tuples(contents, conventions), check, examples)


CLASS_MAP = "folder,category\ncat,kitten\ndog,puppy\ndog,hound\n"


@both_sizes
def test_class_maps(registry, examples):
    coco = json.dumps({**COCO, "categories": [{"id": 1, "name": "kitten"}, {"id": 2, "name": "hound"}]})

    def check(content):
        with own_folder() as folder:
            (folder / "boxes.json").write_text(coco)
            (folder / "map.csv").write_bytes(content)
            look_at_photos(registry, folder, folder / "boxes.json", Conventions(class_map=folder / "map.csv"))

    fuzz(damaged(CLASS_MAP.encode()), check, examples)


def test_the_valid_files_are_read(registry):
    """The damaged files are made of files that are read, so that what is tried reaches the depth of each reader."""
    files = {"b.csv": CSV, "r.csv": ROBOFLOW, "b.json": json.dumps(COCO), "cat.json": json.dumps(COCO)}
    for name, text in files.items():
        with own_folder() as folder:
            (folder / name).write_text(text, encoding="utf-8")
            look_at_photos(registry, folder, folder / name, Conventions())
            dataset = open_dataset(registry.datasets.get("imagefolder"), DatasetRoots(folder / "photos", folder / name))
            assert len(dataset.open(Split.TEST).annotations.boxes) == len(NAMES), name
