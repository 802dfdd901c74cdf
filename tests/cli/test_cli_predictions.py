"""``evaluate --predicted-boxes`` and ``--predictions``: systems of two networks, against loops over boxes."""

import json
from dataclasses import replace

import numpy as np
import pytest

import wsolbench
from wsolbench.api import DatasetRoots, Split
from wsolbench.data.opened import open_dataset
from wsolbench.data.predictions import PredictedImages, read_predicted_boxes, read_predicted_classes
from wsolbench.errors import DataError, UsageError
from wsolbench.host.loading import load_plugins
from wsolbench.leaderboard.entries import group_tables, read_entry
from wsolbench.records.verify import contradiction, read_verified

COUNT = 8
DELTAS = (0.3, 0.5, 0.7)


def read_lists(made, split="test"):
    """Return sizes, boxes and labels of a split as its lists have them."""
    lists = {}
    for name in ("image_sizes", "localization", "class_labels"):
        for line in (made.metadata / split / f"{name}.txt").read_text().split("\n"):
            image_id, *numbers = line.split(",")
            lists.setdefault(name, {})[image_id] = [int(number) for number in numbers]
    return lists["image_sizes"], lists["localization"], {name: of[0] for name, of in lists["class_labels"].items()}


def in_frame(box, size):
    return [int(corner * 224 / side) for corner, side in zip(box, size * 2, strict=True)]


def iou(one, other):
    def area(box):
        return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)

    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    shared = max(width, 0) * max(height, 0)
    return shared / (area(one) + area(other) - shared)


@pytest.fixture
def made(folder_set):
    return folder_set(val=3, test=COUNT)


@pytest.fixture
def predicted(made):
    """Return two boxes an image, the second one better in every second image, and two different classes."""
    sizes, boxes, labels = read_lists(made)
    random, found, classes = np.random.default_rng(3), {}, {}
    for number, (image_id, (x0, y0, x1, y1)) in enumerate(boxes.items()):
        width, height = sizes[image_id]
        near = [max(x0 - int(random.integers(0, 3)), 0), y0, x1, min(y1 + int(random.integers(0, 4)), height - 1)]
        far = [0, 0, width - 1, height - 1]
        found[image_id] = [far, near] if number % 2 else [near, far]
        classes[image_id] = [labels[image_id], 1 - labels[image_id]][:: 1 if number % 3 else -1]
    return found, classes


def write_boxes(path, boxes, form):
    """Write boxes in one of the forms that are read; returns the file."""
    rows = [(name, box, 1 - place / 4) for name, found in boxes.items() for place, box in enumerate(found)]
    extents = [(name, [x0, y0, x1 - x0, y1 - y0], score) for name, (x0, y0, x1, y1), score in rows]
    results = [{"image_id": name, "category_id": 1, "bbox": box, "score": score} for name, box, score in extents]
    numbers = {name: number for number, name in enumerate(boxes, start=7)}

    def joined(box, separator=","):
        return separator.join(map(str, box))

    contents = {
        "corners.csv": ["image,x0,y0,x1,y1", *(f"{name},{joined(box)}" for name, box, _ in rows)],
        "scored.csv": [
            "score;File Name;xmin;ymin;xmax;ymax",
            *(f"{score};{name};{joined(box, ';')}" for name, box, score in reversed(rows)),
        ],
        "extents.csv": ["x,y,width,height,image", *(f"{joined(box)},{name}" for name, box, _ in extents)],
        "short.csv": ["image,x1,y1,x2,y2", *(f"{name[:-4]},{joined(f'{c}.4' for c in box)}" for name, box, _ in rows)],
        "boxes.json": boxes,
        "results.json": results[::-1],
        "coco.json": {
            "images": [{"id": number, "file_name": name} for name, number in numbers.items()],
            "annotations": [{**result, "image_id": numbers[result["image_id"]]} for result in results],
        },
    }
    content = contents[form]
    file = path / form
    file.write_text("\n".join(content) if form.endswith("csv") else json.dumps(content))
    return file


@pytest.mark.parametrize(
    "form",
    ["corners.csv", "scored.csv", "extents.csv", "short.csv", "boxes.json", "results.json", "coco.json"],
)
def test_boxes_of_every_form_score_as_loops_over_boxes_say(tmp_path, made, predicted, form):
    boxes, classes = predicted
    sizes, true, labels = read_lists(made)
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    record = wsolbench.evaluate(
        predicted_boxes=write_boxes(tmp_path, boxes, form),
        predictions=tmp_path / "classes.json",
        metadata_root=made.metadata,
        threshold_step=0.25,
        out=tmp_path / "out",
    )
    ious = {
        image_id: [iou(in_frame(box, sizes[image_id]), in_frame(true[image_id], sizes[image_id])) for box in found]
        for image_id, found in boxes.items()
    }
    best = np.array([found[0] for found in ious.values()])
    fitting = np.array([max(found) for found in ious.values()])
    first_right = np.array([classes[image_id][0] == labels[image_id] for image_id in ious])
    metrics = record.metrics
    assert metrics.max_box_acc == metrics.fullsup_box_acc == metrics.gt_known_loc == 100 * (best >= 0.5).mean()
    assert metrics.max_box_acc_by_iou == {str(delta): 100 * (fitting >= delta).mean() for delta in DELTAS}
    assert metrics.fullsup_box_acc_by_iou == metrics.max_box_acc_by_iou
    assert metrics.top1_loc == pytest.approx(100 * ((best >= 0.5) & first_right).mean())
    assert metrics.top1_acc == pytest.approx(100 * first_right.mean())
    assert metrics.mean_iou == pytest.approx(100 * best.mean(), abs=1e-4)
    assert metrics.box_acc_area == pytest.approx(metrics.max_box_acc)
    assert 0 < metrics.max_box_acc < metrics.max_box_acc_by_iou["0.5"]
    assert record.missing["fullsup_cam_threshold"] == "boxes have no τ"
    assert record.missing["pointing_game"] == record.missing["pxap"] == "boxes were predicted, not maps"
    assert contradiction(read_verified(tmp_path / "out" / "record-predicted-boxes.json")) is None
    assert "boxes, no τ" in str(record)


def test_predictions_alone_are_boxes_and_beside_boxes_classes(cli, tmp_path, made, predicted):
    boxes = write_boxes(tmp_path, predicted[0], "boxes.json")
    (tmp_path / "classes.json").write_text(json.dumps(predicted[1]))
    classes, metrics = tmp_path / "classes.json", []
    for given in (
        ("--predictions", boxes, "--classifier", classes),
        ("--predicted-boxes", boxes, "--predictions", classes),
        ("--boxes", boxes, "--classifier", classes),
    ):
        done = cli("evaluate", "--metadata-root", made.metadata, *given, "--json")
        metrics.append(json.loads(done.out)["metrics"])
    assert metrics[0] == metrics[1] == metrics[2]
    assert metrics[0]["top1_loc"] is not None


@pytest.mark.slow
def test_boxes_and_maps_of_the_same_images_compare(cli, tmp_path, made, predicted):
    boxes = write_boxes(tmp_path, predicted[0], "boxes.json")
    options = [*made.options, "--interval", "0.25"]
    network = ["--backbone", "wsolbench:replknet_nano", "--weights", "random", "--method", "centred-box"]
    assert cli("run", *network, *options, "--out", tmp_path / "maps").code == 0
    done = cli("evaluate", *options, "--boxes", boxes, "--out", tmp_path / "boxes")
    assert done.code == 0
    records = [tmp_path / "maps" / "record-centred-box.json", tmp_path / "boxes" / "record-predicted-boxes.json"]
    compared = cli("compare", *records)
    assert "second: boxes, no τ" in compared.out
    assert "MaxBoxAcc, fullsup τ" in compared.out
    assert "Mean IoU" not in compared.out
    assert "Mean IoU, fullsup τ" in cli("compare", *records, "--all-metrics").out


def test_the_step_of_tau_does_not_keep_boxes_from_maps(cli, tmp_path, made, predicted):
    random = np.random.default_rng(0)
    for split, count in (("test", COUNT), ("val", 3)):
        (tmp_path / split).mkdir()
        for number in range(count):
            np.save(tmp_path / split / f"{number:02d}.png.npy", random.random((5, 5)))
    maps = ["--scoremaps", tmp_path / "test", "--fullsup-scoremaps", tmp_path / "val"]
    boxes = ["--boxes", write_boxes(tmp_path, predicted[0], "boxes.json")]
    evaluate = ["evaluate", *made.options, "--interval", "0.25", "--out"]
    assert cli(*evaluate, tmp_path / "maps", *maps, "--name", "maps").code == 0
    done = cli(*evaluate, tmp_path / "boxes", *boxes)
    assert "--threshold-step (--interval) has no effect: boxes have no τ" in done.err
    records = {name: tmp_path / name / f"record-{file}.json" for name, file in PAIR.items()}
    assert read_verified(records["boxes"]).protocol.threshold_step == 0.001
    for pair in (list(records.values()), list(records.values())[::-1]):
        assert "MaxBoxAcc, fullsup τ" in cli("compare", *pair).out
    boxes_of = read_entry(records["boxes"], "boxes")
    protocol = boxes_of.record.protocol.model_copy(update={"threshold_step": 0.25})
    older = replace(boxes_of, name="older", record=boxes_of.record.model_copy(update={"protocol": protocol}))
    (table,) = group_tables([boxes_of, older])
    assert {entry.name for entry in table.entries} == {"boxes", "older"}


def test_predicted_classes_give_stored_maps_a_top_1_loc(cli, tmp_path, made):
    random = np.random.default_rng(0)
    for split, count in (("test", COUNT), ("val", 3)):
        (tmp_path / "maps" / split).mkdir(parents=True)
        for number in range(count):
            np.save(tmp_path / "maps" / split / f"{number:02d}.png.npy", random.random((5, 5)))
    labels = read_lists(made)[2]
    lines = [f"{image_id},{(label + (number == 2)) % 2}" for number, (image_id, label) in enumerate(labels.items())]
    (tmp_path / "classes.csv").write_text("\n".join(["image,class", *lines]))
    maps = ["--scoremaps", tmp_path / "maps", "--fullsup-scoremaps", tmp_path / "maps"]
    (record,) = cli(
        "evaluate", "--metadata-root", made.metadata, *maps, "--predictions", tmp_path / "classes.csv", "--json"
    ).records
    hits = record["outcomes"]["test"]["hits"]
    assert hits["1"] == [number != 2 for number in range(COUNT)]
    assert record["metrics"]["top1_acc"] == 100 * (COUNT - 1) / COUNT
    assert record["metrics"]["top1_loc"] <= record["metrics"]["fullsup_box_acc"]
    assert record["missing"]["top5_acc"] == "fewer than five classes an image were predicted"
    assert record["missing"]["gt_known_loc"] == "the files do not say for which class"


def test_an_image_may_have_no_box_where_the_file_says_so(tmp_path, made, predicted):
    boxes = {**predicted[0], "test/00.png": []}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    record = wsolbench.evaluate(predicted_boxes=tmp_path / "boxes.json", metadata_root=made.metadata)
    assert record.outcomes[0].values["mean_iou"][0] == 0
    assert not record.outcomes[0].correct["multi"][0.3].at(0)[0]


PAIR = {"maps": "maps", "boxes": "predicted-boxes"}
NEITHER = "the class 'red' of 'test/00.png' is no class of the data set"
GOOD = [f"test/{number:02d}.png,2,2,10,10" for number in range(COUNT)]
HEADER = "image,x0,y0,x1,y1"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([HEADER, *GOOD[1:]], "1 of 8 images of test has no predicted box; the first is 'test/00.png'"),
        ([HEADER, *GOOD, "test/99.png,1,1,2,2"], "line 10: boxes of 1 image that the data set does not have, first"),
        ([HEADER, *GOOD, "test/01.png,2,2,10,900"], "the box 2 2 10 900 of 'test/01.png' is not inside its"),
        ([HEADER, *GOOD, "test/01.png,-9,2,10,9"], "the box -9 2 10 9 of 'test/01.png' is not inside its"),
        ([HEADER, *GOOD, "test/01.png,9,2,3,9"], "ends before it begins: expected x0 <= x1"),
        ([HEADER, *GOOD, "test/01.png,nan,2,3,9"], "line 10: expected a box of four finite numbers"),
        ([HEADER, *GOOD, "test/01.png,1,2,3"], "line 10: expected 5 fields, as the header has"),
        (GOOD, "line 1: expected a header that says what the columns are, such as 'image,x0,y0,x1,y1'"),
        (["image,a,b,c,d", *GOOD], "expected a header that says what the columns are"),
        (
            [HEADER, *(line.replace("2,2,10,10", "0.1,0.1,0.5,0.5") for line in GOOD[1:]), GOOD[0]],
            "in pixels, but others",
        ),
        (["image,x,y,w,h", *(line.replace("2,2,10,10", "0.6,0.6,0.9,0.5") for line in GOOD)], "boxes are in fractions"),
    ],
)
def test_boxes_that_do_not_fit_are_refused_in_one_line(cli, tmp_path, made, lines, words):
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    done = cli("evaluate", "--metadata-root", made.metadata, "--boxes", tmp_path / "boxes.csv", "--out", tmp_path / "o")
    assert done.refused(words)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("form", ["x0,y0,x1,y1", "x,y,w,h", "json"])
def test_boxes_in_fractions_are_read_as_listed_ones_are(tmp_path, form):
    """By hand: 0.25 of 40 pixels is pixel 10; the end 0.75 is pixel 30, and the border the last pixel."""
    sizes, ids = {"a": (40, 20), "b": (101, 50)}, ["a", "b"]
    quads = {"a": [0.25, 0.1, 0.75, 1], "b": [0, 0.5, 0.5, 0.9999999]}
    boxes = {"a": [10, 2, 30, 19], "b": [0, 25, 50, 49]}
    if form == "json":
        (file := tmp_path / "boxes.json").write_text(json.dumps(quads))
    else:
        extents = {
            one: [x0, y0, x1 - x0, y1 - y0] if "w" in form else quads[one] for one, (x0, y0, x1, y1) in quads.items()
        }
        lines = [",".join(map(str, [one, *extents[one]])) for one in ids]
        (file := tmp_path / "boxes.csv").write_text("\n".join([f"image,{form}", *lines]))
    found = read_predicted_boxes(file, PredictedImages("test", ids, ids, lambda: ()), sizes)
    assert {one: found.boxes[one].tolist() for one in ids} == {one: [boxes[one]] for one in ids}
    assert found.notes[0].endswith(
        "the numbers are fractions of the image's width and height, as none of them is above 1"
    )


@pytest.mark.parametrize(
    ("read", "name"), [(read_predicted_boxes, "test.csv"), (read_predicted_classes, "record-cam.json")]
)
def test_a_folder_in_place_of_a_file_is_said_to_be_one_with_what_may_be_meant(tmp_path, read, name):
    (tmp_path / name).touch()
    images = PredictedImages("test", ["a"], ["a"], lambda: ())
    rest = ({"a": (9, 9)},) if read is read_predicted_boxes else (["x"], 1)
    with pytest.raises(DataError, match=rf"{tmp_path}: it is a folder; name a file in it, such as {tmp_path / name}$"):
        read(tmp_path, images, *rest, "--option")


def test_coco_is_in_pixels(tmp_path):
    (file := tmp_path / "boxes.json").write_text(json.dumps([{"image_id": "a", "bbox": [0.1, 0.1, 0.5, 0.5]}]))
    with pytest.raises(
        DataError, match=r"they are fractions, but boxes of COCO are in pixels; multiply them .*, or write"
    ):
        read_predicted_boxes(file, PredictedImages("test", ["a"], ["a"], lambda: ()), {"a": (40, 20)})


@pytest.mark.parametrize("content", ["image,x0,y0,x1,y1,score\na,nan,NaN,nan,nan,nan\nb,1,2,3,4,0.5", None])
def test_numbers_that_are_not_there_are_no_box(tmp_path, content):
    """Four NaN are what data frames and detectors write where there is nothing."""
    file = tmp_path / ("boxes.csv" if content else "boxes.json")
    file.write_text(content or json.dumps({"a": [float("nan")] * 4, "b": [1, 2, 3, 4]}))
    found = read_predicted_boxes(
        file, PredictedImages("test", ["a", "b"], ["a", "b"], lambda: ()), {"a": (9, 9), "b": (9, 9)}
    )
    assert {one: boxes.tolist() for one, boxes in found.boxes.items()} == {"a": [], "b": [[1, 2, 3, 4]]}
    assert found.notes == (f"{file}: 1 image has no predicted box and counts as wrong",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"test/00.png": [1, 2, float("nan"), 4]}, "expected finite numbers"),
        ({"test/00.png": [1, 2, 3]}, "expected a box of four numbers, got [1, 2, 3]"),
        ({"test/00.png": {"x": 1}}, 'expected {"image": [x0, y0, x1, y1]}'),
        ([{"image": 1}], "entry 1: expected COCO's results"),
        ([{"image_id": 4711, "bbox": [1, 2, 3, 4]}], "boxes of 1 image that the data set does not have, first '4711'"),
        ({"images": [], "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}, "'image_id' 1 is no id of 'images'"),
    ],
)
def test_json_that_holds_no_boxes_is_refused_in_one_line(cli, tmp_path, made, content, words):
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    assert cli("evaluate", "--metadata-root", made.metadata, "--boxes", tmp_path / "boxes.json").refused(words)


def test_a_record_in_place_of_boxes_and_boxes_in_place_of_maps_are_said_to_be_what_they_are(cli, tmp_path, made):
    (folder := tmp_path / "boxes" / "native").mkdir(parents=True)
    (file := folder / "test.csv").write_text("\n".join([HEADER, *GOOD]))
    place, out = ["--metadata-root", made.metadata], tmp_path / "out"
    assert cli("evaluate", *place, "--predictions", file, "--out", out).code == 0
    (record,) = out.glob("record*.json")
    said = cli("evaluate", *place, "--predictions", record)
    assert said.refused(f"--predictions {record}: it is a record; name a file of boxes", "DIR/METHOD/test.csv")
    said = cli("evaluate", *place, "--scoremaps", folder)
    assert said.refused("it holds test.csv: boxes are scored by --predictions FILE in place of --scoremaps")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([f"test/{number:02d}.png,0" for number in range(1, COUNT)], "1 of 8 images of test has no predicted class"),
        ([*(f"test/{number:02d}.png,0" for number in range(COUNT)), "else.png,0"], "that the data set does not have"),
        ([f"test/{number:02d}.png,7" for number in range(COUNT)], "the class '7' of 'test/00.png' is out of range"),
        ([f"test/{number:02d}.png,ox" for number in range(COUNT)], "the class 'ox' of 'test/00.png' is no class"),
        ([f"test/{number:02d}.png,1,1" for number in range(COUNT)], "expected different classes of 'test/00.png'"),
        ([*(f"test/{number:02d}.png,0" for number in range(COUNT)), "00.png,1"], "has predictions at"),
        (["image,class"], "expected a line an image below the header"),
        ([f"test/{number:02d}.png,{'0' if number else 'red'}" for number in range(COUNT)], NEITHER),
        (["image,true,predicted", "test/00.png,0,1"], "expected a header such as 'image,class' or"),
    ],
)
def test_classes_that_do_not_fit_are_refused_in_one_line(cli, tmp_path, made, predicted, lines, words):
    (tmp_path / "classes.csv").write_text("\n".join(lines))
    boxes = write_boxes(tmp_path, predicted[0], "boxes.json")
    options = ["--metadata-root", made.metadata, "--boxes", boxes, "--predictions", tmp_path / "classes.csv"]
    assert cli("evaluate", *options).refused(words)


def predicted_labels(path, classes, names):
    """Return the labels that a file predicts; classes are those of images called a, b, ..., or all of its text."""
    images = "abcdefghijkl"[: classes.count("\n") - 1 if isinstance(classes, str) else len(classes)]
    if isinstance(classes, str):
        (file := path / "classes.csv").write_text(classes)
    else:
        (file := path / "classes.json").write_text(json.dumps(dict(zip(images, classes, strict=True))))
    found = read_predicted_classes(file, PredictedImages("test", images, images, lambda: ()), names, len(names))
    return found[:, 0].tolist()


FROM_0, FROM_1 = sorted(map(str, range(12))), sorted(map(str, range(1, 13)))  # 0, 1, 10, 11, 2, ... and 1, 10, 11, ...


@pytest.mark.parametrize(
    ("classes", "names", "labels"),
    [
        (list(range(12)), FROM_0, list(range(12))),
        (list(range(12)), FROM_1, list(range(12))),
        ([3, 4, 5], FROM_1, [3, 4, 5]),
        ("image,label\na,3\nb,2\n", FROM_0, [3, 2]),
        ("image,class_name\na,3\nb,2\n", FROM_0, [5, 4]),
        (["0", "1"], FROM_0, [0, 1]),
        (["12"], FROM_1, [3]),
        ("image,c1,c2,c3\na,1,2,0\nb,2,0,1\n", ["x", "y", "z"], [1, 2]),
        (["03", "3"], [f"{number:02d}" for number in range(12)], [3, 3]),
    ],
)
def test_numbers_of_json_are_labels_where_classes_are_called_by_numbers(tmp_path, classes, names, labels):
    assert predicted_labels(tmp_path, classes, names) == labels


@pytest.mark.parametrize(
    ("classes", "names", "words"),
    [
        (["3", "2"], FROM_0, "the class '3' of 'a' may be the label 3, or the name of the class with the label 5"),
        (["0", "3"], FROM_1, "the class '3' of 'b' may be the label 3, or the name of the class with the label 5"),
        (["cat", "1"], ["cat", "dog"], "'cat' of 'a' is a name, but .*'1' of 'b' is a number: .*write all of them in"),
        (["ox", 1], ["ox", "dog"], "given partly as names and partly as numbers"),
        (["crane"], ["crane", "crane"], "the class 'crane' of 'a' is the name of 2 classes: write their numbers"),
    ],
)
def test_a_class_that_may_be_two_is_refused(tmp_path, classes, names, words):
    with pytest.raises(DataError, match=words):
        predicted_labels(tmp_path, classes, names)


@pytest.mark.parametrize("option", ["--boxes", "--predictions"])
def test_an_image_that_is_twice_in_one_object_is_refused(cli, tmp_path, made, predicted, option):
    boxes = write_boxes(tmp_path, predicted[0], "boxes.json")
    (tmp_path / "twice.json").write_text(
        '{"test/00.png": [1, 2, 3, 4], "test/01.png": [], "test/00.png": [0, 0, 3, 4]}'
    )
    files = ["--boxes", boxes, "--predictions", tmp_path / "twice.json"]
    options = files if option == "--predictions" else ["--boxes", tmp_path / "twice.json"]
    done = cli("evaluate", "--metadata-root", made.metadata, *options)
    assert done.refused("twice.json: 'test/00.png' is there twice in one object; keep one")


def predicted_boxes(path, quads, size):
    """Return what is read of boxes of images of one size."""
    images = tuple(f"{number}.jpg" for number in range(len(quads)))
    (path / "boxes.json").write_text(json.dumps(dict(zip(images, quads, strict=True))))
    named = PredictedImages("test", images, images, lambda: ())
    return read_predicted_boxes(path / "boxes.json", named, dict.fromkeys(images, size))


@pytest.mark.parametrize(
    ("quads", "words"),
    [
        (
            [[40, 30, 223, 210], [10, 5, 200, 223], *[[60, 60, 150, 150]] * 4],
            "no box ends beyond 224, the input of many",
        ),
        ([[5, 5, 90, 80], *[[4, 4, 60, 90]] * 5], "no box ends beyond 100"),
        ([*[[40, 30, 150, 110]] * 6], "no box reaches the middle of its image"),
        ([[40, 30, 300, 210], [10, 5, 200, 223], *[[60, 60, 150, 150]] * 4], None),
    ],
)
def test_boxes_in_pixels_of_a_smaller_copy_are_doubted(tmp_path, quads, words):
    doubts = predicted_boxes(tmp_path, quads, (500, 375)).doubts
    assert len(doubts) == (words is not None)
    assert all(words in doubt for doubt in doubts)


@pytest.mark.parametrize(
    ("quads", "words"),
    [
        ([[5.5, 5, 90, 80], *[[4, 4, 60, 90.5]] * 5], "they are per cent of the image's width and height"),
        ([*[[400, 300, 900, 700]] * 6], "6 of 6 boxes end far beyond their images"),
        ([*[[300, 200, 100, 90]] * 6], "all are inside as x, y, width, height"),
    ],
)
def test_boxes_in_another_unit_are_refused(tmp_path, quads, words):
    with pytest.raises(DataError, match=words):
        predicted_boxes(tmp_path, quads, (500, 375))


def test_a_doubt_about_the_unit_is_a_warning(cli, tmp_path, made):
    (tmp_path / "boxes.csv").write_text("\n".join([HEADER, *(f"test/{n:02d}.png,0,0,2,2" for n in range(COUNT))]))
    done = cli("evaluate", "--metadata-root", made.metadata, "--boxes", tmp_path / "boxes.csv")
    assert done.code == 0
    assert "warning: " in done.err
    assert "no box reaches the middle of its image" in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "say what is evaluated: --scoremaps DIR, or --predictions FILE of boxes"),
        (["--boxes", "halfopen"], "--boxes halfopen: neither inclusive, half-open, clip nor a file"),
        (["--predicted-boxes", "absent.csv"], "--predicted-boxes absent.csv: there is no such file"),
        (["--predicted-boxes", "b.csv", "--scoremaps", "maps"], "--scoremaps: boxes are scored in place of maps"),
        (["--predicted-boxes", "b.csv", "--fullsup-scoremaps", "maps"], "--fullsup-scoremaps: boxes have no τ"),
        (["--predicted-boxes", "b.csv", "--tau", "0.2"], "--tau: boxes have no τ"),
        (["--predicted-boxes", "b.csv", "--boxes", "c.csv"], "--boxes c.csv: expected inclusive, half-open, clip"),
        (["--predictions", "absent.csv"], "--predictions absent.csv: there is no such file"),
        (["--predictions", "b.csv", "--tau", "0.2"], "--tau: boxes have no τ; omit it, or omit --predictions"),
        (["--classifier", "c.csv"], "say what is evaluated"),
        (
            ["--predicted-boxes", "b.csv", "--predictions", "c.csv", "--classifier", "c.csv"],
            "--predictions and --classifier: both name predicted classes; omit one",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(cli, made, options, words):
    assert cli("evaluate", "--metadata-root", made.metadata, *options).refused(words)


def test_predicted_boxes_need_true_ones(folder_set, tmp_path, predicted):
    masked = folder_set("masked", annotation="masks", test=COUNT)
    boxes = write_boxes(tmp_path, predicted[0], "boxes.json")
    with pytest.raises((UsageError, wsolbench.api.DataError), match="no boxes to compare predicted boxes with"):
        wsolbench.evaluate(predicted_boxes=boxes, metadata_root=masked.metadata, data_root=masked.images)


def test_an_edge_a_little_beyond_the_image_is_moved_to_its_border(tmp_path, made):
    sizes = read_lists(made)[0]
    boxes = {image_id: [-0.6, 0, width + 0.9, height] for image_id, (width, height) in sizes.items()}
    whole = {image_id: [0, 0, width - 1, height - 1] for image_id, (width, height) in sizes.items()}
    records = []
    for name, of_images in (("a", boxes), ("b", whole)):
        (tmp_path / f"{name}.json").write_text(json.dumps(of_images))
        records.append(wsolbench.evaluate(predicted_boxes=tmp_path / f"{name}.json", metadata_root=made.metadata))
    assert records[0].outcomes_sha256 == records[1].outcomes_sha256


@pytest.mark.parametrize("named", [False, True])
def test_classes_are_numbers_or_names_and_five_of_them_give_top_5(tmp_path, named):
    """Critters has twelve classes; the true one is at place `number % 6` of five, so that every sixth is missed."""
    dataset = open_dataset(load_plugins().datasets.get("critters"), DatasetRoots())
    part, names = dataset.open(Split.TEST, 18), dataset.class_names
    lines = ["image,class1,class2,class3,class4,class5"]
    for number, (image_id, label) in enumerate(zip(part.images.ids, part.images.labels.tolist(), strict=True)):
        others = [other for other in range(12) if other != label][:5]
        five = [*others[: number % 6], label, *others[number % 6 :]][:5]
        lines.append(",".join([image_id, *(names[each].upper() if named else str(each) for each in five)]))
    (tmp_path / "classes.csv").write_text("\n".join(lines))
    sizes = part.annotations.image_sizes
    whole = {image_id: [0, 0, sizes[image_id][0] - 1, sizes[image_id][1] - 1] for image_id in part.images.ids}
    (tmp_path / "boxes.json").write_text(json.dumps(whole))
    record = wsolbench.evaluate(
        dataset="critters",
        limit=18,
        predicted_boxes=tmp_path / "boxes.json",
        predictions=tmp_path / "classes.csv",
        threshold_step=0.5,
    )
    assert record.metrics.top1_acc == pytest.approx(100 / 6)
    assert record.metrics.top5_acc == pytest.approx(500 / 6)
    assert record.metrics.top5_loc <= record.metrics.gt_known_loc
