"""Records scored again in another frame or at other δ: against an oracle, word by word, and what is refused."""

import copy
import json
import os
import re
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from leaderboards import drawn_of, parts_of, readme_of, rows_in
from PIL import Image

import wsolbench
from wsolbench.cache import cache_folder
from wsolbench.config import RunConfig
from wsolbench.contract import Split
from wsolbench.engine.localize import NetworkMaps
from wsolbench.engine.run import plan_run
from wsolbench.errors import DataError, ScoremapError, UsageError
from wsolbench.leaderboard.entries import group_tables, read_all
from wsolbench.leaderboard.page import render_page
from wsolbench.progress import Reporter
from wsolbench.protocol import BoxEvaluator, MaskEvaluator
from wsolbench.records.plain import sealed
from wsolbench.records.verify import read_verified

NETWORK = {"backbone": "wsolbench:replknet_nano", "weights": "random", "dataset": "folder", "batch_size": 4}
STEP = 0.1
RECORD = Path(__file__).parents[2] / "leaderboard/records/critters/acol-resnet_nano__native__onecycle-seed0.json"
"""A record with the settings of its run, whose maps are in no cache."""
LISTED = {Split.TRAIN_FULLSUP: "val", Split.TEST: "test"}


@pytest.fixture
def run(cli, folder_set):
    """Run methods on a small data set into a new folder, with options."""

    def into(out, *options, data=None, method="cam"):
        data = into.data = data or folder_set(val=3, test=6)
        network = ["-b", NETWORK["backbone"], "-w", "random", "--batch-size", 4, "--no-gallery"]
        done = cli("run", *network, *data.options, "-m", method, "--interval", STEP, *options, "--out", out)
        assert done.code == 0, done.err
        return out

    return into


@pytest.fixture
def rescored(cli, tmp_path):
    """Score a record again with options: the new record."""

    def again(record, *options):
        out = tmp_path / f"again-{'-'.join(map(str, options)).strip('-')}"
        done = cli("rescore", record, *options, "--out", out)
        assert done.code == 0, done.err
        return json.loads((out / record.name).read_text())

    return again


# ----------------------------------------------------------------------------------------------------------- the oracle


def raw_maps(registry, data):
    """Return split -> image id -> its map of the method ``cam``, as the network made it."""
    places = {"data_root": data.images, "metadata_root": data.metadata}
    plan = plan_run(RunConfig.of(**NETWORK, methods={"cam": {}}, **places), registry, Reporter())
    maps = NetworkMaps(plan.network, plan.methods, "gt", batch_size=4, workers=1)
    found = {}
    for split in LISTED:
        part = plan.dataset.open(split)
        batches = list(maps.make(part, range(len(part.images.ids))))
        pairs = [pair for b in batches for pair in zip(b.indices, b.made["cam"].maps, strict=True)]
        found[split] = {part.images.ids[index]: raw for index, raw in pairs}
    return found


def listed(data, split, name):
    lines = (data.metadata / LISTED[split] / f"{name}.txt").read_text().split("\n")
    return {line.split(",")[0]: [int(number) for number in line.split(",")[1:]] for line in lines}


def iou(a, b):
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1 for i in (0, 1))
    shared = max(width, 0) * max(height, 0)
    return shared / (sum((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)) - shared)


def best_ious(raw, box, size, side, tau):
    """Return the IoU of the largest contour's box, and the best of all contours, at one τ, as the protocol has it."""
    resized = cv2.resize(raw.astype(np.float64), (side, side), interpolation=cv2.INTER_CUBIC)
    scoremap = ((resized - resized.min()) / (resized.max() - resized.min())).astype(np.float32)
    grey = (scoremap.astype(np.float64) * 255).astype(np.uint8)
    _, binary = cv2.threshold(grey, int(tau * int(grey.max())), 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    truth = [int(corner * side / of) for corner, of in zip(box, size * 2, strict=True)]
    bounds = [(*map(cv2.boundingRect, [contour]),)[0] for contour in contours]
    boxes = [(x, y, min(x + w, side - 1), min(y + h, side - 1)) for x, y, w, h in bounds] or [(0, 0, 0, 0)]
    largest = max(range(len(contours)), key=lambda place: cv2.contourArea(contours[place]), default=0)
    return iou(boxes[largest], truth), max(iou(each, truth) for each in boxes)


def curves(registry, data, side, deltas):
    """Return split -> δ -> the shares of correct images at every τ, of the largest contour and of all, in percent."""
    found = {}
    for split, maps in raw_maps(registry, data).items():
        boxes, sizes = listed(data, split, "localization"), listed(data, split, "image_sizes")
        ious = np.array(
            [
                [best_ious(raw, boxes[i], sizes[i], side, tau) for i, raw in maps.items()]
                for tau in np.arange(0, 1, STEP)
            ]
        )
        found[split] = {delta: (ious >= delta).mean(axis=1).T * 100 for delta in deltas}
    return found


def assert_like_oracle(record, registry, data, side, deltas):
    """Compare the scores of a record with those of maps that are resized, cut, traced and compared one by one."""
    found, metrics = curves(registry, data, side, deltas), record["metrics"]
    test, val = found[Split.TEST], found[Split.TRAIN_FULLSUP]
    assert metrics["max_box_acc"] == pytest.approx(test[0.5][0].max())
    assert metrics["max_box_acc_by_iou"] == {str(d): pytest.approx(test[d][1].max()) for d in deltas}
    assert metrics["max_box_acc_v2"] == pytest.approx(np.mean([test[d][1].max() for d in deltas]))
    assert metrics["box_acc_area_v2"] == pytest.approx(np.mean([test[d][1].mean() for d in deltas]))
    assert metrics["fullsup_box_acc"] == pytest.approx(test[0.5][0][val[0.5][0].argmax()])
    chosen = {d: test[d][1][val[d][1].argmax()] for d in deltas}
    assert metrics["fullsup_box_acc_by_iou"] == {str(d): pytest.approx(score) for d, score in chosen.items()}
    assert metrics["fullsup_box_acc_v2"] == pytest.approx(np.mean([*chosen.values()]))
    taus = {str(d): pytest.approx(val[d][1].argmax() * STEP) for d in deltas}
    assert metrics["fullsup_cam_threshold"] == taus


def in_frame(raw, side):
    resized = cv2.resize(raw.astype(np.float64), (side, side), interpolation=cv2.INTER_CUBIC)
    return ((resized - resized.min()) / (resized.max() - resized.min())).astype(np.float32)


def pxap(maps, masks, side):
    """Return PxAP of maps and of the masks of each image, which are resized one by one and united."""
    layers = [
        [cv2.resize(np.float32(mask), (side, side), interpolation=cv2.INTER_NEAREST) > 0.5 for mask in of_image]
        for of_image in masks
    ]
    truth = np.ravel([np.any(of_image, axis=0) for of_image in layers])
    scores = np.ravel([in_frame(raw, side) for raw in maps])
    area = recall = 0.0
    for tau in [1.0, *np.arange(0, 1, STEP)[::-1]]:
        predicted = scores.astype(np.float64) >= tau
        before, recall = recall, (predicted & truth).sum() / truth.sum()
        area += (predicted & truth).sum() / max(predicted.sum(), 1) * (recall - before)
    return 100 * area


# -------------------------------------------------------------------------------------------------------------- frames


def test_scores_in_another_frame_equal_the_oracle(run, rescored, registry, tmp_path):
    record = run(tmp_path / "run") / "record-cam.json"
    again = rescored(record, "--frame", 40)
    assert (again["protocol"]["frame"], again["config"]["frame"]) == (40, 40)
    assert_like_oracle(again, registry, run.data, 40, (0.3, 0.5, 0.7))
    once_more = rescored(tmp_path / "again-frame-40" / "record-cam.json", "--interval", 0.2)
    assert once_more["protocol"]["frame"] == 40  # as the record
    back = rescored(tmp_path / "again-frame-40" / "record-cam.json", "--frame", 224)
    first = json.loads(record.read_text())
    assert all(back[name] == first[name] for name in ("metrics", "intervals", "protocol", "outcomes_sha256"))


def test_masks_in_another_frame_equal_the_oracle(run, rescored, registry, folder_set, tmp_path):
    data = folder_set(val=3, test=6, annotation="masks")
    second = np.zeros((150, 130), dtype=np.uint8)  # of another size than the image: united with the first in the frame
    second[30:77, 41:52] = 255
    Image.fromarray(second).save(data.images / "masks/second.png")
    with (data.metadata / "test" / "localization.txt").open("a") as file:
        file.write("\ntest/00.png,masks/second.png,")
    record = run(tmp_path / "run", "--masks", data.images, data=data) / "record-cam.json"
    maps = raw_maps(registry, data)[Split.TEST]
    masks = [[np.array(Image.open(data.images / "masks" / image))] for image in maps]
    masks[0].append(second)
    for side in (224, 40):
        metrics = rescored(record, "--frame", side)["metrics"]
        assert metrics["pxap"] == pytest.approx(pxap(maps.values(), masks, side))


def test_a_map_of_the_usual_frame_is_resized_to_another(run, rescored, tmp_path):
    record = run(tmp_path / "run", method="centred-box") / "record-centred-box.json"
    first, again = json.loads(record.read_text()), rescored(record, "--frame", 112)
    assert again["metrics"]["max_box_acc"] == pytest.approx(first["metrics"]["max_box_acc"], abs=20)
    assert again["splits"][0]["constant_maps"] == 0


def test_records_of_two_frames_are_neither_compared_nor_ranked_together(run, rescored, cli, tmp_path):
    record = run(tmp_path / "run") / "record-cam.json"
    rescored(record, "--frame", 40)
    again = tmp_path / "again-frame-40" / record.name
    assert cli("compare", record, again).refused("differ in frame (224 and 40)")
    entries, _ = read_all(tmp_path, Reporter())
    titles = [table.title for table in group_tables(entry for entry in entries if "record-" in entry.name)]
    assert len(titles) == 2
    assert [title.endswith("τ grid 0.1, frame 40×40)") for title in titles].count(True) == 1


def test_maps_that_are_gone_are_made_by_the_command_of_the_run(run, rescored, cli, tmp_path):
    record = run(tmp_path / "run") / "record-cam.json"
    rescored(record, "--frame", 40)
    again = tmp_path / "again-frame-40" / record.name
    assert "&& wsolbench rescore" in json.loads(again.read_text())["environment"]["command"]
    shutil.rmtree(cache_folder())
    for each in (record, again):
        refused = cli("rescore", each, "--frame", 100)
        assert refused.refused("does not hold its maps", "make them again: wsolbench run -b")
        assert "rescore" not in refused.err.partition("again: ")[2]


def test_maps_that_are_scored_again_are_used(run, rescored, tmp_path):
    record = run(tmp_path / "run") / "record-cam.json"
    (kept,) = (cache_folder() / "maps").glob("*/shelf.json")
    os.utime(kept, (0, 0))
    rescored(record, "--frame", 40)
    assert time.time() - kept.stat().st_mtime < 600


def test_the_commands_of_a_record_are_all_that_made_it(run, rescored, tmp_path):
    record = run(tmp_path / "run") / "record-cam.json"
    rescored(record, "--iou", 0.5)
    again = rescored(tmp_path / "again-iou-0.5" / record.name, "--frame", 40)
    made, first, second = again["environment"]["command"].split(" && ")
    assert made == json.loads(record.read_text())["environment"]["command"]
    assert first.startswith(f"wsolbench rescore {record} --iou 0.5")
    assert second.startswith(f"wsolbench rescore {tmp_path / 'again-iou-0.5' / record.name} --frame 40")


def test_a_record_of_stored_maps_is_not_scored_again(run, cli, tmp_path):
    record = run(tmp_path / "run", "--save-scoremaps", tmp_path / "maps") / "record-cam.json"
    stored = ["--scoremaps", tmp_path / "maps/cam/test", "--fullsup-scoremaps", tmp_path / "maps/cam/val"]
    for number, origin in enumerate([["--from", record], ["--name", "cam"]]):
        out = tmp_path / f"evaluated-{number}"
        assert cli("evaluate", *run.data.options, *stored, *origin, "--out", out).code == 0
        refused = cli("rescore", out / "record-cam.json", "--frame", 40, "--out", tmp_path / "new")
        assert refused.refused("its maps were read from files", "score them with 'wsolbench evaluate'")


@pytest.mark.parametrize("side", [0, -224, 15, 1025, 100_000])
def test_a_frame_that_no_record_is_of_is_refused(cli, tmp_path, side):
    said = cli("rescore", RECORD, f"--frame={side}", "--out", tmp_path / "new")
    assert said.refused("frame: expected a side of 16 to 1024 pixels, as in --frame 224", f"got {side}")
    assert not (tmp_path / "new").exists()


# ------------------------------------------------------------------------------------------------------ IoU thresholds


@pytest.mark.parametrize("deltas", [(0.5,), (0.25, 0.5, 0.55, 0.75, 0.9)])
def test_scores_at_other_iou_thresholds_equal_the_oracle(run, rescored, registry, tmp_path, deltas):
    record = run(tmp_path / "run", "--tau", "otsu", "--tau", 0.2) / "record-cam.json"
    again = rescored(record, *(part for delta in deltas for part in ("--iou", delta)))
    assert again["protocol"]["iou_thresholds"] == again["config"]["iou_thresholds"] == list(deltas)
    assert_like_oracle(again, registry, run.data, 224, deltas)
    fixed = again["thresholds"]["fixed-0.2"]
    test = curves(registry, run.data, 224, deltas)[Split.TEST]
    assert fixed["box_acc_by_iou"] == {str(delta): pytest.approx(test[delta][1][2]) for delta in deltas}
    for rule in ("otsu", "fixed-0.2"):
        of_rule = again["thresholds"][rule]
        assert of_rule["box_acc_v2"] == pytest.approx(np.mean([*of_rule["box_acc_by_iou"].values()]))
    assert set(again["intervals"]["metrics"]) >= {f"max_box_acc_by_iou.{delta}" for delta in deltas}
    first = json.loads(record.read_text())
    for name in ("max_box_acc", "fullsup_box_acc", "mean_iou", "gt_known_loc", "max_box_acc_by_size", "top1_loc"):
        assert again["metrics"][name] == first["metrics"][name], name


def test_frame_and_iou_thresholds_together_equal_the_oracle(run, rescored, registry, tmp_path):
    record = run(tmp_path / "run") / "record-cam.json"
    again = rescored(record, "--frame", 300, "--iou", 0.4, "--iou", 0.5)
    assert_like_oracle(again, registry, run.data, 300, (0.4, 0.5))
    same = rescored(tmp_path / "again-frame-300---iou-0.4---iou-0.5" / record.name, "--interval", 0.1)
    assert (same["protocol"], same["metrics"]) == (again["protocol"], again["metrics"])


def test_v2_over_other_iou_thresholds_is_called_what_it_is(run, cli, tmp_path):
    record = run(tmp_path / "run") / "record-cam.json"
    said = cli("rescore", record, "--iou", 0.5, "--iou", 0.75, "--out", tmp_path / "other", "--all-metrics").out
    assert "test: 6 images; τ chosen on 3 images of train-fullsup; V2 over δ 0.5, 0.75" in said
    assert "MaxBoxAccV2" not in said
    for label in ("V2 over δ 0.5, 0.75", "V2 over δ 0.5, 0.75, 95 %", "V2 at IoU 0.75", "Area under BoxAcc, V2 over δ"):
        assert f"\n{label}" in said
    assert "V2 at IoU 0.3" not in said
    other = tmp_path / "other" / record.name
    assert cli("compare", record, other).refused("differ in IoU thresholds ((0.3, 0.5, 0.7) and (0.5, 0.75))")
    compared = cli("compare", other, other).out
    assert "V2 over δ 0.5, 0.75, fullsup τ" in compared
    assert "MaxBoxAccV2" not in compared
    many = [part for number in range(50, 100, 5) for part in ("--iou", number / 100)]
    assert "V2 over 10 δ, 0.5 to 0.95" in cli("rescore", record, *many, "--out", tmp_path / "many").out


def test_other_iou_thresholds_are_refused_for_masks_alone(run, cli, folder_set, tmp_path):
    data = folder_set(val=3, test=6, annotation="masks")
    options = ("--masks", data.images, "--save-scoremaps", tmp_path / "maps")
    record = run(tmp_path / "run", *options, data=data) / "record-cam.json"
    stored = ("evaluate", *data.options, "--masks", data.images, "--scoremaps", tmp_path / "maps/cam/test")
    told = ("--iou: test has no boxes, and masks are scored without IoU thresholds; omit --iou",)
    for command in (("rescore", record), stored):
        assert cli(*command, "--iou", 0.3, "--iou", 0.5, "--out", tmp_path / "other").refused(*told)
        assert not (tmp_path / "other").exists()
    usual = [part for delta in (0.3, 0.5, 0.7) for part in ("--iou", delta)]  # those of the protocol change nothing
    assert cli("rescore", record, *usual, "--out", tmp_path / "usual").code == 0
    assert "PxAP" in cli("compare", record, tmp_path / "usual" / record.name).out


def test_other_iou_thresholds_stand_in_a_table_of_their_own(run, cli, tmp_path):
    record = run(tmp_path / "runs" / "run") / "record-cam.json"
    for number, options in enumerate([["--iou", 0.5], ["--iou", 0.5, "--iou", 0.75], ["--frame", 40]]):
        assert cli("rescore", record, *options, "--out", tmp_path / "runs" / f"{number}").code == 0
    tables = group_tables(entry for entry in read_all(tmp_path / "runs", Reporter())[0])
    readme = readme_of(tables)
    titles = [line for line in readme.splitlines() if line.startswith("## ")]
    assert titles[0].endswith("τ grid 0.1)")
    endings = ("V2 over δ 0.5)", "V2 over δ 0.5, 0.75)", "frame 40×40)")
    assert sorted(title.partition("τ grid 0.1, ")[2] for title in titles[1:]) == sorted(endings)
    assert [table.slug for table in tables] == [
        "folder",
        *("folder-iou-0.5", "folder-iou-0.5-0.75", "folder-frame-40"),
    ]
    assert {(row.table, row.iou_thresholds) for row in rows_in(tables)} == {
        ("folder", ()),
        ("folder-iou-0.5", (0.5,)),
        ("folder-iou-0.5-0.75", (0.5, 0.75)),
        ("folder-frame-40", ()),
    }
    assert re.findall(r"\[1 row]\(index\.html#(.*?)\)", readme) == [
        *("t-folder", "t-folder-iou-0.5", "t-folder-iou-0.5-0.75", "t-folder-frame-40"),
    ]
    page = render_page(parts_of(tables)).decode()
    assert re.findall('<li><a href="#(.*?)">(.*?) <small>6</small></a></li>', page) == [
        ("t-folder", "folder"),
        ("t-folder-iou-0.5", "folder, V2 over δ 0.5"),
        ("t-folder-iou-0.5-0.75", "folder, V2 over δ 0.5, 0.75"),
        ("t-folder-frame-40", "folder, frame 40×40"),
    ]
    heads = [line for line in readme.splitlines() if "MaxBoxAcc @fullsup" in line]
    for deltas, count in {"0.5": 1, "0.5, 0.75": 1, "": 2}.items():
        heading = f" V2 over δ {deltas} @fullsup [95 %] " if deltas else " V2 @fullsup [95 %] "
        assert sum(heading in line for line in heads) == count
    (first, *others) = [drawn_of(table).scored for table in tables]
    assert first == "MaxBoxAccV2 at the fullsup τ"
    assert sum(scored.startswith("V2 over δ 0.5") for scored in others) == 2


def test_tables_of_as_many_iou_thresholds_name_them(run, cli, tmp_path):
    record = run(tmp_path / "runs" / "run") / "record-cam.json"
    for last in (0.7, 0.8):
        deltas = [part for delta in (0.3, 0.4, 0.5, 0.6, last, 0.9) for part in ("--iou", delta)]
        assert cli("rescore", record, *deltas, "--out", tmp_path / "runs" / f"{last}").code == 0
    _, *others = group_tables(entry for entry in read_all(tmp_path / "runs", Reporter())[0])
    assert [(table.slug, table.title.partition("0.3 to 0.9); ")[2]) for table in others] == [
        ("folder-iou-0.3-0.4-0.5-0.6-0.7-0.9", "IoU thresholds 0.3, 0.4, 0.5, 0.6, 0.7, 0.9"),
        ("folder-iou-0.3-0.4-0.5-0.6-0.8-0.9", "IoU thresholds 0.3, 0.4, 0.5, 0.6, 0.8, 0.9"),
    ]


def test_an_analysis_names_the_frames_of_records(run, rescored, cli, tmp_path):
    record = run(tmp_path / "run") / "record-cam.json"
    rescored(record, "--frame", 40)
    again = tmp_path / "again-frame-40" / record.name
    assert cli("analyze", "breakdown", record, again, "--out", tmp_path / "broken").code == 0
    told = (tmp_path / "broken" / "breakdown.csv").read_text()
    assert "cam (frame 224)" in told
    assert "cam (frame 40)" in told


def test_stored_maps_are_evaluated_as_the_record_of_their_run_is_scored_again(run, rescored, tmp_path):
    record = run(tmp_path / "run", "--save-scoremaps", tmp_path / "maps") / "record-cam.json"
    again = rescored(record, "--iou", 0.5, "--iou", 0.75)
    evaluated = wsolbench.evaluate(
        *(tmp_path / "maps/cam/test", "folder"),
        fullsup_scoremaps=tmp_path / "maps/cam/val",
        **{"data_root": run.data.images, "metadata_root": run.data.metadata},
        **{"threshold_step": STEP, "iou_thresholds": [0.5, 0.75]},
    )
    for name in ("max_box_acc_v2", "fullsup_box_acc_by_iou", "fullsup_cam_threshold", "box_acc_area_v2"):
        assert getattr(evaluated.metrics, name) == again["metrics"][name], name
    assert list(evaluated.curves()["multi"]) == [0.5, 0.75]
    assert "V2 over δ 0.5, 0.75" in str(evaluated)


def test_python_scores_again_as_the_command_does(run, rescored, tmp_path):
    record = run(tmp_path / "run") / "record-cam.json"
    theirs = rescored(record, "--frame", 100, "--iou", 0.5, "--iou", 0.6, "--tau", "otsu")
    settings = {"frame": 100, "iou_thresholds": (0.5, 0.6), "tau": "otsu"}
    for given in (record, wsolbench.load_record(record)):
        ours = json.loads(wsolbench.rescore(given, **settings, out=tmp_path / f"new-{type(given).__name__}").to_json())
        for name in ("metrics", "intervals", "thresholds", "protocol", "outcomes_sha256", "rescored_from"):
            assert ours[name] == theirs[name], name
        assert "&& wsolbench.rescore(record=" in ours["environment"]["command"]
    assert wsolbench.rescore(record, frame=np.int64(100), tau=np.float64(0.2)).protocol.frame == 100
    assert wsolbench.rescore(record, iou_thresholds=np.array([0.5, 0.6])).protocol.iou_thresholds == (0.5, 0.6)
    with pytest.raises(UsageError, match=r"expected 0\.5 among them"):
        wsolbench.rescore(record, iou_thresholds=[0.3])
    with pytest.raises(UsageError, match=r"multiples of 0\.01 .*, got 0\.5, 0\.6000000000000001$"):
        wsolbench.rescore(record, iou_thresholds=[0.5, 0.6000000000000001])
    with pytest.raises(UsageError, match="expected a record or the path of its file, got int"):
        wsolbench.rescore(3)


def renamed(summary):
    """Write 0.45 in place of the δ 0.4 wherever a summary has it."""
    text = json.dumps(summary).replace("0.4:", "0.45:").replace('"0.4"', '"0.45"').replace("by_iou.0.4", "by_iou.0.45")
    summary |= json.loads(text)
    summary["protocol"]["iou_thresholds"] = summary["config"]["iou_thresholds"] = [0.45, 0.5]


FORGED = {
    "another frame": (lambda s: s["protocol"].update(frame=41), "protocol.frame is 41, but outcomes of test are of 40"),
    "the usual frame": (lambda s: s["protocol"].update(frame=224), "protocol.frame is 224, but outcomes of test"),
    "a frame of no record": (lambda s: s["protocol"].update(frame=8), "protocol.frame"),
    "a δ less": (lambda s: s["protocol"].update(iou_thresholds=[0.5]), "protocol.iou_thresholds is 0.5, but metrics."),
    "the usual δ": (lambda s: s["protocol"].update(iou_thresholds=[0.3, 0.5, 0.7]), "is 0.3, 0.5, 0.7, but metrics."),
    "another δ everywhere": (renamed, "outcomes have another form"),
    "descending δ": (lambda s: s["protocol"].update(iou_thresholds=[0.5, 0.4]), "protocol.iou_thresholds"),
    "no setting of the frame": (lambda s: s["config"].update(frame=None), "config.frame is None, but the record"),
    "other settings": (lambda s: s["config"].update(iou_thresholds=None), "config.iou_thresholds is None, but the"),
    "an older record": (lambda s: s.update(migrated_from=2), "an older record is of frame 224 and δ 0.3, 0.5, 0.7"),
}


def test_a_summary_with_another_frame_or_other_iou_thresholds_than_its_outcomes_is_refused(run, rescored, tmp_path):
    record = run(tmp_path / "run") / "record-cam.json"
    summary = rescored(record, "--frame", 40, "--iou", 0.4, "--iou", 0.5)
    path = tmp_path / "again-frame-40---iou-0.4---iou-0.5" / record.name
    assert read_verified(path).protocol.iou_thresholds == (0.4, 0.5)
    for change, words in FORGED.values():
        forged = copy.deepcopy({name: value for name, value in summary.items() if name != "summary_sha256"})
        change(forged)
        path.write_text(json.dumps(sealed(forged)))
        with pytest.raises(DataError) as refused:
            read_verified(path)
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.5], ["ascending multiples of 0.01 above 0 and below 1", "got 1.5"]),
        ([0, 0.5], ["ascending multiples of 0.01 above 0 and below 1", "got 0, 0.5"]),
        ([0.5, 0.5], ["ascending", "got 0.5, 0.5"]),
        ([0.7, 0.5], ["ascending", "got 0.7, 0.5"]),
        ([0.5, 0.555], ["multiples of 0.01", "got 0.5, 0.555"]),
        ([0.5, "nan"], ["multiples of 0.01", "nan"]),
        ([0.3, 0.7], ["expected 0.5 among them", "got 0.3, 0.7"]),
        ([""], ["--iou", "expected a number"]),
        (["0.3,0.5"], ["--iou", "0.3,0.5"]),
    ],
)
def test_iou_thresholds_that_no_record_has_are_refused(cli, tmp_path, values, words):
    options = [part for value in values for part in ("--iou", value)]
    assert cli("rescore", RECORD, *options, "--out", tmp_path / "new").refused(*words)
    maps = ["--scoremaps", tmp_path, "--dataset", "critters", "--out", tmp_path / "new"]
    assert cli("evaluate", *maps, *options).refused(*words)
    assert not (tmp_path / "new").exists()


# ---------------------------------------------------------------------------------------------------------- evaluators


@pytest.mark.parametrize("frame", [(0, 0), (224, 0), (2**15, 8), (100_000, 100_000)])
def test_evaluators_refuse_a_frame_that_they_cannot_hold(frame):
    for make in (
        lambda: BoxEvaluator({"a": np.array([[0, 0, 1, 1]])}, {"a": (2, 2)}, frame=frame),
        lambda: MaskEvaluator(["a"], frame=frame),
    ):
        with pytest.raises(UsageError, match="expected sides of 1 to 32767 pixels"):
            make()


def test_evaluators_refuse_maps_whose_areas_could_overflow():
    evaluator = BoxEvaluator({"a": np.array([[0, 0, 1, 1]])}, {"a": (2, 2)}, 0.5, frame=None)
    with pytest.raises(ScoremapError, match="expected sides of at most 32767 pixels"):
        evaluator.update(np.zeros((1, 2**15), dtype=np.float32), "a")


def test_evaluators_of_other_iou_thresholds_are_not_merged():
    one, other = (
        BoxEvaluator({"a": np.array([[0, 0, 1, 1]])}, {"a": (2, 2)}, 0.5, iou_thresholds=deltas)
        for deltas in ((0.5,), (0.5, 0.6))
    )
    with pytest.raises(UsageError, match="the same boxes, image sizes, interval, frame and δ"):
        one.merge(other)
    for deltas in ((), (0.3,), (0.5, 1)):
        with pytest.raises(UsageError, match="IoU thresholds: expected"):
            BoxEvaluator({"a": np.array([[0, 0, 1, 1]])}, {"a": (2, 2)}, iou_thresholds=deltas)
