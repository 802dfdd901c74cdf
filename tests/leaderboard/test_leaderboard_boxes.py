"""Predicted boxes among maps: their table, and what is said in place of a τ."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from leaderboards import figure_in, figures_in, readme_of
from toy_networks import METHOD, trained_record
from toy_records import FULLSUP, PROTOCOL, TEST, make_outcomes, make_record, make_runs

from wsolbench.leaderboard.data import as_csv, as_json
from wsolbench.leaderboard.details import detail_of
from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.latex import as_latex
from wsolbench.leaderboard.markdown import as_markdown
from wsolbench.leaderboard.page import Part, render_page
from wsolbench.leaderboard.rows import BoardTable, rows_of
from wsolbench.leaderboard.seeds import group_seeds
from wsolbench.leaderboard.shown import fields_named, select_rows
from wsolbench.protocol import IOU_THRESHOLDS, MODES, cam_threshold_grid
from wsolbench.records import TrainingInfo, WeightsInfo
from wsolbench.records.compare import compare

NATIVE = METHOD.model_copy(update={"name": "native"})
SCORE = "fullsup_box_acc_v2"


def outcomes(split, count, runs, step, pixels):
    """Return outcomes in which some images are right over runs of τ."""
    flat = make_runs([runs.get(image, []) for image in range(count)], len(cam_threshold_grid(step)))
    correct = {mode: dict.fromkeys(IOU_THRESHOLDS, flat) for mode in MODES}
    return make_outcomes(split, count, correct=correct, images_sha256=pixels and pixels * 64)


def entry(name, scored, runs, *, target="gt", step=0.05, pixels=None, **changes):
    """Return a record as the board has it; every fifth image chooses its τ."""
    plain = trained_record("net" if scored == "maps" else "psol:net", method=METHOD if scored == "maps" else NATIVE)
    facts = {"backbone": plain.backbone, "method": plain.method, "environment": plain.environment, **changes}
    record = make_record(
        test=outcomes("test", TEST, runs, step, pixels),
        fullsup=outcomes("train-fullsup", FULLSUP, {0: [3, 5]}, step, pixels),
        protocol=PROTOCOL.model_copy(update={"scored": scored, "target": target, "threshold_step": step}),
        **facts,
    )
    return Entry(f"{name}.json", name[0] * 64, record)


def maps(name="maps", **changes):
    """Return maps that localize two images of eight at τ 0.15."""
    return entry(name, "maps", {0: [3, 5], 1: [2, 6]}, **changes)


def boxes(name="boxes", right=range(6), step=0.001, **changes):
    """Return boxes of which six of eight are right, at every τ."""
    every = [0, len(cam_threshold_grid(step))]
    return entry(name, "boxes", dict.fromkeys(right, every), step=step, **changes)


def tables_of(*entries):
    """Return the names of the entries of every table by its slug, whatever the order of the entries."""
    (found, *others) = (
        {table.slug: {each.name.removesuffix(".json") for each in table.entries} for table in group_tables(order)}
        for order in (entries, entries[::-1])
    )
    assert others == [found]
    return found


def test_boxes_stand_among_maps_with_the_title_of_these_and_are_ranked_with_them():
    (table,) = group_tables([boxes(), maps()])
    assert table.title == "birds, test (8 images, τ from 5 of train-fullsup; true class, τ grid 0.05)"
    assert table.slug == "birds"
    rows = rows_of(table)
    assert [(row.scored, row.metrics[SCORE]) for row in rows] == [("boxes", 75.0), ("maps", 25.0)]
    assert None not in {row.rank for row in rows}


def test_their_difference_is_that_of_compare():
    first, second = maps(), boxes()
    (table,) = group_tables([first, second])
    shown = {each.name: each.resampled[SCORE] for each in table.entries}
    difference = compare(first.record, second.record).differences[SCORE]
    assert difference.difference == shown["boxes.json"][0] - shown["maps.json"][0] == 50.0


@pytest.mark.parametrize(
    ("others", "where"),
    [
        ([maps("fine", step=0.05), maps("coarse", step=0.1)], "fine"),
        ([maps("fine", pixels="a", step=0.05), maps("coarse", pixels="b", step=0.1)], "coarse"),
        ([maps("fine", step=0.05), maps("coarse", pixels="b", step=0.1)], "fine"),
        ([maps("true"), maps("predicted", target="predicted")], "true"),
    ],
    ids=["grids", "pixels", "pixels not known", "targets"],
)
def test_of_several_tables_of_maps_boxes_stand_in_one(others, where):
    found = tables_of(*others, boxes(pixels="b"))
    assert {where, "boxes"} in found.values()
    assert len(found) == 2


@pytest.mark.parametrize(
    ("targets", "where"),
    [([None, "gt", "predicted"], None), (["gt", "predicted"], "gt"), (["predicted"], "predicted")],
)
def test_boxes_of_no_class_stand_among_stored_maps_or_those_of_the_true_class(targets, where):
    found = tables_of(*(maps(f"of {target}", target=target) for target in targets), boxes(target=None))
    assert {f"of {where}", "boxes"} in found.values()


def test_boxes_without_maps_have_a_table_of_another_name():
    kept = [maps("one", target="predicted"), maps("two", target="predicted"), boxes()]
    tables = group_tables(kept)
    assert {table.slug: table.title for table in tables} == {
        "birds": "birds, test (8 images, τ from 5 of train-fullsup; predicted class, τ grid 0.05)",
        "birds-boxes": "birds, test (8 images; predicted boxes, no τ)",
    }
    parts = [Part(table.slug, "birds", table.title, rows_of(table), SCORE) for table in tables]
    page = render_page(parts).decode()
    assert '<a href="#t-birds-boxes">birds-boxes <small>8</small></a>' in page


def test_rows_say_that_boxes_have_no_threshold():
    (table,) = group_tables([maps(), boxes()])
    rows, fields = rows_of(table), fields_named(["method", SCORE])
    assert "| native (boxes, no τ) |" in as_markdown(rows, fields)
    assert r"native (boxes, no \ensuremath{\tau})" in as_latex("birds", rows, fields, SCORE)
    assert ">native (boxes, no τ)</td>" in render_page([Part("birds", "birds", "birds", rows, SCORE)]).decode()
    assert [row["scored"] for row in csv.DictReader(io.StringIO(as_csv(rows)))] == ["boxes", "maps"]
    (stored,) = json.loads(as_json([BoardTable("birds", "birds", "birds", rows, SCORE)]))["tables"]
    assert [(row["method"], row["scored"]) for row in stored["rows"]] == [("native", "boxes"), ("cam", "maps")]


def test_stored_maps_are_of_no_network():
    (table,) = group_tables([maps("stored", target=None, backbone=None)])
    rows = rows_of(table)
    assert figures_in(table) == {}
    assert [row.method for row in select_rows(rows, ["best"], SCORE)] == ["cam"]
    page = render_page([Part("birds", "birds", "birds", rows, SCORE)]).decode()
    assert ">None<" not in page
    assert 'class="summary"' not in page
    assert "no network</button>" in page
    assert "| –         | cam      |" in readme_of([table])


def test_details_of_boxes_have_no_curve_and_no_threshold():
    detail = detail_of(boxes()).decode()
    assert '"curves": null' in detail
    assert '"threshold": {"selection": "none", "value": null}' in detail


def test_the_curve_of_boxes_is_level_on_the_grid_of_the_maps():
    with_boxes, without = (figure_in(group_tables(each)[0], "curves") for each in ([maps(), boxes()], [maps()]))
    assert "Predicted boxes have no τ: their lines are level." in with_boxes
    assert "their lines are level" not in without


def test_boxes_of_two_trainings_may_be_right_on_the_same_images():
    def trained(seed, corner):
        made = boxes(f"{seed}")
        card = TrainingInfo(
            **{"dataset": "birds", "recipe": "plain", "recipe_options": {}, "seed": seed, "command": "wsolbench train"},
            initial_weights=WeightsInfo(source="random", file=None, sha256=None),
        )
        weights = WeightsInfo(source="file", file="w.pth", sha256=f"{seed}" * 64, training=card)
        network = made.record.backbone.model_copy(update={"weights": weights})
        predicted = np.tile([corner, 0, 100, 100], (TEST, 1))
        both = {"true_boxes": tuple(predicted[:, None]), "predicted_boxes": predicted}
        parts = [replace(made.record.evaluated, **both), *made.record.outcomes[1:]]
        record = make_record(
            **{"test": parts[0], "fullsup": parts[1], "protocol": made.record.protocol, "backbone": network},
            **{"method": NATIVE, "environment": made.record.environment},
        )
        return replace(made, record=record)

    assert [len(group) for group in group_seeds(group_tables([trained(0, 5), trained(1, 6)])[0])] == [2]
    assert group_seeds(group_tables([trained(0, 5), trained(1, 5)])[0]) == []
