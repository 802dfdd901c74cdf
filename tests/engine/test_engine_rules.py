"""Scores at τ beside the oracle's and train-fullsup's: fixed, Otsu's, and chosen on pseudo boxes."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from cases import replacing

import wsolbench
from wsolbench.protocol import BoxEvaluator, box_iou, boxes_at, scale_boxes
from wsolbench.protocol.sweep import otsu_level
from wsolbench.records.identity import identity_of
from wsolbench.records.verify import contradiction, read_verified

pytestmark = pytest.mark.usefixtures("no_gallery")

RUN = ["run", "--backbone", "wsolbench:replknet_nano", "--weights", "random", "--method", "cam"]
FRAME = (224, 224)


@pytest.fixture
def made(tmp_path, folder_set):
    """A small data set with lists of pseudo boxes of its train-fullsup images, and stored maps of a network."""
    data = folder_set(val=6, test=8, train=4)
    pseudo = tmp_path / "pseudo"
    shutil.copytree(data.metadata / "val", pseudo)
    rows = [line.split(",") for line in (pseudo / "localization.txt").read_text().split("\n")]
    moved = [f"{name},0,0,{x1},{y1}" for name, _, _, x1, y1 in rows]
    (pseudo / "localization.txt").write_text("\n".join(moved))
    return data, pseudo


def scored(cli, data, *options):
    done = cli(*replacing([*RUN, *data.options, "--interval", "0.01", "--json"], options))
    assert done.code == 0, done.err
    return json.loads(done.out)


def boxes_of(folder):
    rows = [line.split(",") for line in (folder / "localization.txt").read_text().split("\n")]
    sizes = {
        name: (int(w), int(h))
        for name, w, h in (line.split(",") for line in (folder / "image_sizes.txt").read_text().split("\n"))
    }
    return {name: np.array([[int(x) for x in box]]) for name, *box in rows}, sizes


def maps_of(folder):
    return {path.relative_to(folder).as_posix().removesuffix(".npy"): np.load(path) for path in folder.rglob("*.npy")}


def share_correct(maps, boxes, sizes, threshold_of, iou, multi):
    """The share of images with a box of IoU at least `iou`, image by image, in percent."""
    hits = 0
    for name, scoremap in maps.items():
        largest, every = boxes_at(scoremap, threshold_of(scoremap))
        truth = scale_boxes(boxes[name], sizes[name], FRAME)
        hits += box_iou(every if multi else largest[None], truth).max() >= iou
    return 100 * hits / len(maps)


def otsu_threshold(scoremap):
    quantised = (scoremap.astype(np.float64) * 255).astype(np.uint8)
    return (otsu_level(quantised) + 0.5) / int(quantised.max())


def test_every_rule_scores_as_boxes_drawn_image_by_image_do(cli, made, tmp_path):
    data, pseudo = made
    maps = tmp_path / "maps"
    options = ["--tau", "0.2", "--tau", "Otsu", "--tau-from", pseudo, "--save-scoremaps", maps, "--out", tmp_path / "o"]
    record = scored(cli, data, *options)
    test, boxes, sizes = maps_of(maps / "cam" / "test"), *boxes_of(data.metadata / "test")
    rules = record["thresholds"]
    assert list(rules) == ["pseudo-boxes", "fixed-0.2", "otsu"]
    for name, threshold_of in (("fixed-0.2", lambda _: 0.2), ("otsu", otsu_threshold)):
        assert rules[name]["box_acc"] == share_correct(test, boxes, sizes, threshold_of, 0.5, multi=False)
        for iou, value in rules[name]["box_acc_by_iou"].items():
            assert value == share_correct(test, boxes, sizes, threshold_of, float(iou), multi=True)
        assert rules[name]["box_acc_v2"] == pytest.approx(sum(rules[name]["box_acc_by_iou"].values()) / 3)
    assert rules["fixed-0.2"]["cam_threshold_single"] == pytest.approx(0.2)

    pseudo_boxes, pseudo_sizes = boxes_of(pseudo)
    evaluator = BoxEvaluator(pseudo_boxes, pseudo_sizes, 0.01)
    for image_id, scoremap in maps_of(maps / "cam" / "val").items():
        evaluator.update(scoremap, image_id)
    curve = evaluator.compute().box_acc("single", 0.5)
    threshold = evaluator.thresholds[curve.argmax()]
    assert rules["pseudo-boxes"]["cam_threshold_single"] == threshold
    assert rules["pseudo-boxes"]["box_acc"] == share_correct(test, boxes, sizes, lambda _: threshold, 0.5, multi=False)
    ends = record["intervals"]["metrics"]["pseudo-boxes.box_acc"]
    assert ends[0] <= rules["pseudo-boxes"]["box_acc"] <= ends[1]
    assert contradiction(read_verified(tmp_path / "o" / "record-cam.json")) is None


def test_pseudo_boxes_that_are_the_true_ones_choose_the_fullsup_threshold(cli, made):
    data, _ = made
    record = scored(cli, data, "--tau-from", data.metadata / "val")
    metrics, rule = record["metrics"], record["thresholds"]["pseudo-boxes"]
    for name in ("box_acc", "box_acc_v2", "box_acc_by_iou", "cam_threshold", "cam_threshold_single"):
        assert rule[name] == metrics[f"fullsup_{name}"]
    assert rule["top1_loc"] == metrics["top1_loc"]
    assert scored(cli, data, "--tau-from", data.metadata)["thresholds"] == record["thresholds"]


def test_further_thresholds_change_nothing_else_and_are_the_same_measurement(cli, made, tmp_path):
    data, pseudo = made
    plain = scored(cli, data, "--out", tmp_path / "plain")
    more = scored(cli, data, "--tau-from", pseudo, "--tau", "otsu", "--tau", "0.2", "--out", tmp_path / "more")
    assert more["metrics"] == plain["metrics"]
    assert plain["thresholds"] == {}
    shared = plain["intervals"]["metrics"]
    assert {name: more["intervals"]["metrics"][name] for name in shared} == shared
    assert list(more["outcomes"]) == ["test", "train-fullsup", "pseudo-boxes"]
    records = [read_verified(tmp_path / name / "record-cam.json") for name in ("plain", "more")]
    assert identity_of(records[0]) == identity_of(records[1])
    assert more["maps_sha256"] == plain["outcomes_sha256"]
    assert set(wsolbench.compare(*records).differences) == set(shared)
    same = wsolbench.compare(records[1], records[1])
    assert {"otsu.box_acc", "fixed-0.2.top1_loc", "pseudo-boxes.box_acc_by_iou.0.3"} <= set(same.differences)
    assert "MaxBoxAccV2, Otsu's τ" in str(same)
    assert {"otsu.box_acc", "fixed-0.2.box_acc.low"} <= set(records[1].to_frame())
    assert isinstance(records[1].to_frame(), pd.DataFrame)


def test_the_table_has_a_column_for_every_rule_and_the_default_none(cli, made):
    data, pseudo = made
    lines = cli(*RUN, *data.options, "--limit", 2, "--tau", "0.2", "--tau", "otsu", "--tau-from", pseudo).out
    assert all(text in lines for text in ("oracle τ", "fullsup τ", "τ of pseudo boxes", "τ 0.2", "Otsu's τ", "mean 0."))
    assert "Otsu" not in cli(*RUN, *data.options, "--limit", 2).out


def test_pseudo_boxes_may_be_of_images_of_train_weaksup(cli, made):
    data, _ = made
    record = scored(cli, data, "--tau-from", data.metadata / "train")
    (part,) = [part for part in record["splits"] if part["split"] == "pseudo-boxes"]
    assert part["images"] == 4
    assert record["dataset"]["split_sizes"] == {"test": 8, "train-fullsup": 6}


def test_stored_maps_are_scored_at_the_same_thresholds(cli, made, tmp_path):
    data, pseudo = made
    maps = tmp_path / "maps" / "cam"
    rules = ["--tau", "0.2", "--tau", "otsu", "--tau-from", pseudo, "--interval", "0.01"]
    record = scored(cli, data, *rules, "--save-scoremaps", tmp_path / "maps")
    evaluate = ["evaluate", *data.options, "--scoremaps", maps / "test", "--json"]
    (again,) = cli(*evaluate, *rules, "--fullsup-scoremaps", maps / "val").records
    (plain,) = cli(*evaluate, "--interval", "0.01", "--fullsup-scoremaps", maps / "val").records
    for rule, scores in record["thresholds"].items():
        known = {name: value for name, value in scores.items() if not name.startswith("top")}
        assert {name: again["thresholds"][rule][name] for name in known} == known
    assert again["maps_sha256"] == plain["outcomes_sha256"]
    shutil.rmtree(data.metadata / "val")  # τ of pseudo boxes needs no train-fullsup
    shutil.rmtree(data.metadata / "train")
    (alone,) = cli(*evaluate, *rules, "--fullsup-scoremaps", maps / "val").records
    assert alone["thresholds"] == again["thresholds"]
    assert alone["metrics"]["fullsup_box_acc"] is None


def test_maps_in_memory_are_scored_at_fixed_and_otsu_thresholds():
    maps = {str(number): np.random.default_rng(number).normal(size=(7, 7)) for number in range(5)}
    boxes, sizes = {name: [10, 12, 40, 44] for name in maps}, dict.fromkeys(maps, (64, 64))
    record = wsolbench.score(maps, boxes, sizes, tau=(0.2, "otsu"), threshold_step=0.1)
    assert list(record.thresholds) == ["fixed-0.2", "otsu"]
    assert record.thresholds["fixed-0.2"].box_acc == record.curves()["single", 0.5][0.2]
    with pytest.raises(wsolbench.api.UsageError, match=r"--tau 0\.25 is no multiple of the step 0\.1"):
        wsolbench.score(maps, boxes, sizes, tau=[0.25], threshold_step=0.1)


def test_what_cannot_be_is_refused_in_one_line(cli, made, tmp_path):
    data, pseudo = made
    run = [*RUN, *data.options, "--interval", "0.01"]
    assert cli(*run, "--tau", "half").refused("--tau half", "0.2", "otsu")
    assert cli(*run, "--tau", "0.2,otsu").refused("--tau 0.2 --tau otsu")
    assert cli(*run, "--tau", "1").refused("--tau 1")
    assert cli(*run, "--tau", "0.205").refused("--tau 0.205", "0.01", "--threshold-step")
    assert cli(*run, "--tau", "otsu", "--tau", "otsu").refused("--tau otsu is given twice")
    assert cli(*run, "--tau-from", tmp_path).refused("--tau-from", "image_ids.txt")
    assert cli(*run, "--tau-from", data.metadata / "test").refused("8 of its images are evaluated", "test/00.png")
    lists = pseudo / "image_ids.txt"
    unknown = lists.read_text().replace("val/03.png", "val/99.png")
    for name in ("image_ids", "image_sizes", "localization", "class_labels"):
        path = pseudo / f"{name}.txt"
        path.write_text(path.read_text().replace("val/03.png", "val/99.png"))
    assert lists.read_text() == unknown
    assert cli(*run, "--tau-from", pseudo).refused("1 of its 6 images are not in", "val/99.png")
    boxes = pseudo / "localization.txt"
    boxes.write_text("\n".join(boxes.read_text().split("\n")[1:]))
    assert cli(*run, "--tau-from", pseudo).refused("localization.txt", "1 image has no box", "val/00.png")
    maps = ["evaluate", *data.options, "--scoremaps", tmp_path]
    assert cli(*maps, "--tau-from", pseudo).refused("--tau-from", "--fullsup-scoremaps")


def test_masks_have_no_boxes_to_score_at_a_threshold(cli, folder_set):
    data = folder_set(annotation="masks")
    assert cli(*RUN, *data.options, "--tau", "otsu").refused("--tau: test has no boxes")
    assert cli(*RUN, *data.options, "--tau-from", data.metadata / "val").refused("masks", "x0,y0,x1,y1")
