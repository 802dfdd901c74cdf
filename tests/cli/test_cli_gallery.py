"""The side-by-side gallery: redrawn from records, from their very data and weights, or refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_records import make_metrics, make_missing, remade, write_sealed

from wsolbench.engine import redraw
from wsolbench.engine.localize import NetworkMaps
from wsolbench.figures.panels import Picture
from wsolbench.figures.side_by_side import Column, draw_columns
from wsolbench.leaderboard import build, check
from wsolbench.leaderboard.figures import records_shown
from wsolbench.protocol import FRAME
from wsolbench.records import compute_intervals, read_record, write_record
from wsolbench.records.store import files_beside

QUICK = ["--weights", "random", "--limit", "9", "--interval", "0.05", "--workers", "1"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, without_galleries):
    """Records of two networks with random weights, one method with an option."""
    from wsolbench.cli.app import main

    folder = tmp_path_factory.mktemp("runs")
    methods = ["--method", "cam", "--method", "pc1", "--method-opt", "cam.relu=false"]
    for backbone in ("resnet_nano", "replknet_nano"):
        with pytest.raises(SystemExit) as ended, without_galleries():
            main(["run", "--backbone", backbone, *methods, *QUICK, "--out", str(folder / backbone)])
        assert ended.value.code == 0
    return folder


def changed(path, folder, **values):
    """Write a copy of a record in which dotted fields have other values."""
    record = json.loads(path.read_text())
    for dotted, value in values.items():
        *way, last = dotted.split("__")
        part = record
        for step in way:
            part = part[int(step)] if step.isdigit() else part[step]
        part[last] = value
    copy = folder / "changed.json"
    write_sealed(copy, record)
    for beside in files_beside(path, read_record(path)):
        shutil.copy(beside, folder / beside.name.replace(path.stem, copy.stem))
    return copy


def outcomes_of(path):
    """Return what a record says of the images of its evaluated split."""
    return read_record(path).outcomes[0]


@pytest.fixture
def drawn(monkeypatch):
    """The columns, and the ids of the images, that were drawn."""
    seen = {}
    draw = redraw.draw_columns

    def watch(pictures, columns):
        seen.update(columns=columns, ids=[picture.name for picture in pictures])
        return draw(pictures, columns)

    monkeypatch.setattr(redraw, "draw_columns", watch)
    return seen


@pytest.mark.slow
def test_networks_stand_together_and_show_the_images_of_the_records(cli, runs, tmp_path, drawn):
    records = [runs / name for name in ("resnet_nano/record-cam.json", "replknet_nano/record-pc1.json")]
    records.append(runs / "resnet_nano/record-pc1.json")
    done = cli("gallery", *records, "--images", 4, "--out", tmp_path / "new" / "side.png")
    assert (done.code, done.out) == (0, f"{tmp_path / 'new' / 'side.png'}\n")
    shown = [(column.network, column.method) for column in drawn["columns"]]
    names = ["resnet_nano (random)"] * 2 + ["replknet_nano (random)"]
    assert shown == list(zip(names, ["cam\nrelu=False", "pc1", "pc1"], strict=True))
    measured = outcomes_of(records[0]).image_ids
    assert len(drawn["ids"]) == 4
    assert set(drawn["ids"]) <= set(measured)
    with Image.open(tmp_path / "new" / "side.png") as picture:
        assert np.asarray(picture).std() > 20


def test_maps_are_those_that_were_scored(cli, runs, tmp_path, drawn):
    """The IoU of the maps drawn is right exactly where the record says that the image was right."""
    from wsolbench_plugins.datasets.critters.dataset import Critters

    from wsolbench.protocol import best_iou_curves, cam_threshold_grid

    path = runs / "replknet_nano/record-pc1.json"
    assert cli("gallery", path, "--images", 9, "--out", tmp_path / "side.svg").code == 0
    record = json.loads(path.read_text())
    annotations = Critters().annotations(redraw.Split.TEST)
    (column,) = drawn["columns"]
    grid, correct = cam_threshold_grid(0.05), outcomes_of(path).correct["single"][0.5]
    assert column.threshold == record["metrics"]["fullsup_cam_threshold_single"]
    for index, image_id in enumerate(drawn["ids"]):
        boxes = (annotations.boxes[image_id] * 224 / 96).astype(np.int64)
        right = best_iou_curves(column.scoremaps[index], boxes, grid).single >= 0.5
        assert (right == [correct.at(place)[index] for place in range(len(grid))]).all()


def test_images_can_be_named_and_unknown_ones_are_refused(cli, runs, tmp_path, drawn):
    record = runs / "resnet_nano/record-cam.json"
    ids = outcomes_of(record).image_ids
    out = tmp_path / "side.pdf"
    assert cli("gallery", record, "--image", ids[5], "--image", ids[2], "--out", out).code == 0
    assert drawn["ids"] == [ids[5], ids[2]]
    assert out.read_bytes().startswith(b"%PDF")
    refused = cli("gallery", record, "--image", "test/none.png", "--out", tmp_path / "other.png")
    assert refused.refused("--image test/none.png", "test has no such image")
    assert not (tmp_path / "other.png").exists()


def test_without_a_fullsup_threshold_boxes_are_drawn_at_the_oracle_one(cli, runs, tmp_path, drawn):
    path = runs / "replknet_nano/record-pc1.json"
    record = read_record(path)
    # The boxes are of the other τ; without them there are no names of classes.
    part = replace(outcomes_of(path), true_boxes=None, predicted_boxes=None, class_names=None)
    metrics = make_metrics([part], record.protocol, pxap=record.metrics.pxap)
    missing = make_missing(metrics, [part], record.protocol)
    intervals = compute_intervals([part], record.protocol)
    alone = remade(record, [part], metrics=metrics, missing=missing, intervals=intervals)
    copy = write_record(alone, tmp_path, "alone")
    assert cli("gallery", copy, "--images", 1, "--out", tmp_path / "side.png").code == 0
    curve = outcomes_of(path).box_acc("single", 0.5)
    assert drawn["columns"][0].threshold == pytest.approx(0.05 * int(np.argmax(curve)))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("backbone", None, ["read from files"]),
        ("backbone__weights__sha256", "0" * 64, ["not the file"]),
        ("backbone__name", "no_such", ["unknown backbone"]),
        ("method__name", "no_such", ["unknown method"]),
    ],
)
def test_what_cannot_be_redrawn_truthfully_is_refused(cli, runs, tmp_path, field, value, words):
    copy = changed(runs / "resnet_nano/record-pc1.json", tmp_path, **{field: value})
    out = tmp_path / "side.png"
    assert cli("gallery", copy, "--images", 1, "--out", out).refused(*words)
    assert not out.exists()


def test_all_places_that_are_missing_are_named_at_once(cli, runs, tmp_path):
    """The folder of the data set and that of the weights, which are both left to the user."""
    fields = {"backbone__weights__source": "file", "backbone__weights__file": "w.pth", "dataset__name": "folder"}
    copy = changed(runs / "resnet_nano/record-pc1.json", tmp_path, **fields)
    gallery = ["gallery", copy, "--out", tmp_path / "side.png"]
    weights = "'resnet_nano' was measured with the file w.pth; name the folder that holds it: --weights-root DIR"
    data = "data set 'folder' needs its annotation files; pass --metadata-root DIR"
    assert cli(*gallery).err == f"error: {data}; {weights}\n"
    assert cli(*gallery, "--weights-root", tmp_path).err == f"error: {data}\n"


def test_records_of_different_data_are_not_shown_together(cli, runs, tmp_path):
    path, out = runs / "resnet_nano/record-pc1.json", tmp_path / "side.png"
    record = read_record(path)
    outcomes = [replace(part, annotations_sha256="0" * 64) for part in record.outcomes]
    other = write_record(remade(record, outcomes), tmp_path, "other")
    assert cli("gallery", path, other, "--out", out).refused("different images")
    assert cli("gallery", other, "--out", out).refused("not what the records were measured on")


def test_a_record_that_does_not_follow_from_its_outcomes_is_not_drawn(cli, runs, tmp_path):
    copy = changed(runs / "resnet_nano/record-pc1.json", tmp_path, metrics__fullsup_cam_threshold_single=0.95)
    assert cli("gallery", copy, "--out", tmp_path / "side.png").refused("fullsup_cam_threshold_single is 0.95, but")


@pytest.mark.slow
def test_weights_files_are_looked_for_and_compared(cli, tmp_path):
    from safetensors.torch import save_file
    from wsolbench_plugins.backbones.timm_networks.networks import build

    save_file(build("resnet_nano", 12).state_dict(), tmp_path / "mine.safetensors")
    quick = [*QUICK[2:], "--weights", tmp_path / "mine.safetensors"]
    assert cli("run", "--backbone", "resnet_nano", "--method", "pc1", *quick, "--out", tmp_path / "run").code == 0
    record, out = tmp_path / "run" / "record-pc1.json", tmp_path / "side.png"
    assert cli("gallery", record, "--out", out).refused("mine.safetensors", "--weights-root DIR")
    assert cli("gallery", record, "--weights-root", tmp_path, "--images", 2, "--out", out).code == 0
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "mine.safetensors").rename(tmp_path / "deep" / "er" / "mine.safetensors")
    other = {key: value + 1 for key, value in build("resnet_nano", 12).state_dict().items()}
    save_file(other, tmp_path / "mine.safetensors")
    assert cli("gallery", record, "--weights-root", tmp_path, "--images", 2, "--out", out).code == 0
    shutil.rmtree(tmp_path / "deep")
    assert cli("gallery", record, "--weights-root", tmp_path, "--out", out).refused("not the file")


@pytest.mark.slow
def test_a_fitted_method_is_fitted_again_on_the_same_images(cli, tmp_path, folder_set, monkeypatch, drawn):
    made, maps = folder_set(train=9, val=3, test=4), {}
    compute = NetworkMaps.scoremaps

    def watch(source, images, indices, *frame):
        found = compute(source, images, indices, *frame)
        maps.update(found["ddt"])
        return found

    monkeypatch.setattr(NetworkMaps, "scoremaps", watch)
    options = ["--method", "ddt", "--method-opt", "ddt.fit_images=3", "--seed", 5, "--limit", 7, *QUICK[4:]]
    run = ["run", "--backbone", "resnet_nano", "--weights", "random", *options, *made.options]
    assert cli(*run, "--out", tmp_path / "run").code == 0
    record, out = tmp_path / "run" / "record-ddt.json", tmp_path / "side.png"
    of_run = dict(maps)
    assert cli("gallery", record, *made.options[2:], "--out", out).code == 0
    (column,) = drawn["columns"]
    assert len(of_run) == 3  # what the gallery of the run shows
    for index, scoremap in of_run.items():
        np.testing.assert_allclose(column.scoremaps[index], scoremap, atol=1e-5)
    other = changed(record, tmp_path, method__fitted_images=4)
    assert cli("gallery", other, *made.options[2:], "--out", out).refused("a fit on 4 images", "now gives 3")


def test_an_ending_of_no_picture_and_a_place_that_cannot_be_written_are_refused(cli, runs, tmp_path):
    record = runs / "resnet_nano/record-pc1.json"
    assert cli("gallery", record, "--out", tmp_path / "side.gif").refused(".png, .svg, .pdf")
    (tmp_path / "file").write_text("x")
    assert cli("gallery", record, "--images", 1, "--out", tmp_path / "file" / "a.png").refused("is a file")


def test_the_leaderboard_shows_a_gallery_of_its_own_records_only(cli, runs, tmp_path):
    board = tmp_path / "leaderboard"
    records = board / "records" / "critters"
    write_record(read_record(runs / "resnet_nano/record-pc1.json"), records, "a")
    gallery = board / "figures" / "critters-gallery.png"
    assert cli("gallery", records / "a.json", "--images", 1, "--out", gallery).code == 0
    assert len(records_shown(gallery.read_bytes())) == 1
    build(board)
    assert "(figures/critters-gallery.png)" in (board / "README.md").read_text()
    assert check(board) == []
    shutil.rmtree(records)
    write_record(read_record(runs / "resnet_nano/record-cam.json"), records, "b")
    build(board)
    assert check(board) == [f"{gallery} shows records that are not there; draw it again with 'wsolbench gallery'"]


def test_lists_are_read_as_the_record_says():
    from types import SimpleNamespace

    from wsolbench.cli.gallery import _conventions
    from wsolbench.contract import Conventions

    config = {"dataset": "folder", "boxes": "clip", "unannotated": "omit", "class_map": "map.csv", "seed": 3}
    record = SimpleNamespace(config=config)
    assert _conventions(record, None) == Conventions("clip", None, "omit", Path("map.csv"))
    assert _conventions(record, Path("moved.csv")).class_map == Path("moved.csv")
    assert _conventions(SimpleNamespace(config=None), None) == Conventions()


def test_a_method_is_built_with_all_options_of_its_record_whatever_their_defaults_now(
    cli, runs, tmp_path, drawn, monkeypatch
):
    """One record has another value than today's default, and calls it its default; the other lacks an option."""
    path = runs / "resnet_nano/record-cam.json"
    for name, options in (("older", {"weights": "raw"}), ("other", {"weights": "raw", "relu": False})):
        (tmp_path / name).mkdir()
        changed(path, tmp_path / name, method__options=options, method__changed_options={}, config__methods={})
    built, real = [], NetworkMaps.__init__

    def watch(maps, network, methods, *rest, **named):
        built.extend(method.options["relu"] for method in methods)
        real(maps, network, methods, *rest, **named)

    monkeypatch.setattr(NetworkMaps, "__init__", watch)
    records = [tmp_path / name / "changed.json" for name in ("older", "other")]
    done = cli("gallery", *records, "--images", 2, "--out", tmp_path / "side.png")
    assert done.code == 0, done.err
    assert built == [True, False]
    assert f"{records[0]} has no option relu of 'cam', which came later: it is True" in done.err
    assert [column.method for column in drawn["columns"]] == ["cam\nrelu not recorded", "cam\nrelu false"]


def test_a_method_with_options_has_a_line_for_each_above_its_column():
    shown = Picture("a.png", np.zeros((FRAME, FRAME, 3), dtype=np.uint8), np.zeros((0, 4), dtype=np.int64))
    column = Column("net", "cam\nrelu=False\nx=\x1b", None, [np.zeros((FRAME, FRAME), dtype=np.float32)])
    figure = draw_columns([shown], [column])
    title = figure.axes[1].title
    assert title.get_text() == "cam\nrelu=False\nx=\\u001b"
    figure.draw_without_rendering()
    (name,) = figure.texts
    assert title.get_window_extent().y1 < name.get_window_extent().y0
