"""Figures that would be empty are left out with their reason; no warning of the drawing library reaches anybody."""

import csv
import io
import warnings
from types import SimpleNamespace

import pytest
from leaderboards import readme_of, rows_in
from toy_networks import METHOD, trained_record
from toy_records import make_outcomes

from wsolbench.engine.redraw import _method_label, _title
from wsolbench.figures.panels import short_id
from wsolbench.figures.style import own_style
from wsolbench.leaderboard.data import as_csv
from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.equal import equal_methods
from wsolbench.leaderboard.figures import ONE_SIZE, draw_figures, figures_of, left_out, methods_drawn
from wsolbench.records.compare import compare
from wsolbench.records.missing import NO_BOXES, NO_FULLSUP_MAPS

CAM_NEG = METHOD.model_copy(update={"name": "cam-neg"})
WHY = "not defined: features ≥ 0"


def undefined(name, method=CAM_NEG):
    """Return a record of a method that has no map of any image."""
    record = trained_record(name, method=method)
    metrics = record.metrics.model_copy(
        update={name: None for name, _ in record.metrics if "box_acc" in name or "loc" in name}
    )
    return record.model_copy(update={"metrics": metrics, "missing": {**record.missing, "max_box_acc": WHY}})


def table_of(*records):
    (table,) = group_tables(Entry(f"r{number}.json", "0" * 64, record) for number, record in enumerate(records))
    return table


def drawn(table):
    """Return the figures of a table, with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return draw_figures(table, methods_drawn(table, [table]), "0" * 64)


CASES = {
    "no train-fullsup": ({"fullsup": None}, ["curves"], {"size": NO_FULLSUP_MAPS}),
    "no boxes": (
        {"fullsup": None, "test": make_outcomes(correct=None)},
        [],
        {"size": NO_BOXES, "curves": NO_BOXES},
    ),
    "one size": ({"name": "two"}, ["curves"], {"size": ONE_SIZE}),
    "all": ({}, ["size", "curves"], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_figure_that_would_be_empty_is_left_out_with_its_reason(name):
    outcomes, figures, reasons = CASES[name]
    table = table_of(trained_record(**outcomes), trained_record(**{**outcomes, "name": "two"}))
    assert figures_of(table, ["cam"]) == figures
    assert left_out(table, ["cam"]) == reasons
    assert sorted(drawn(table)) == sorted(f"birds-{each}.{ending}" for each in figures for ending in ("png", "svg"))
    page = readme_of([table])
    assert page.count("](figures/") == len(figures)
    for why in reasons.values():
        assert f": {why}.\n" in page


def test_a_legend_says_for_which_networks_a_method_is_not_defined():
    other = CAM_NEG.model_copy(update={"name": "other"})
    everywhere = [undefined(name, other) for name in ("one", "two")]
    defined = [trained_record(name, method=CAM_NEG) for name in ("two", "three")]
    figures = drawn(table_of(*everywhere, *defined, undefined("one")))
    for name in ("birds-curves.svg", "birds-size.svg"):
        assert figures[name].count(b">cam-neg (not defined for one)</text>") == 1
        assert b"other" not in figures[name]  # defined for none, it would be a line at 0 or nothing


def test_equal_methods_are_one_entry_of_a_legend_and_a_note_below_the_table():
    def rows(name, **shifts):
        return [
            trained_record(name, shift=shift, method=METHOD.model_copy(update={"name": method}))
            for method, shift in shifts.items()
        ]

    table = table_of(*rows("one", cam=0, grad=0, pc1=1, hires=0), *rows("two", cam=1, grad=1, pc1=2, hires=2))
    assert equal_methods(table.entries) == [["cam", "grad"], ["hires"], ["pc1"]]
    for name, content in drawn(table).items():
        assert name.endswith("png") or content.count(b">cam = grad</text>") == 1
    note = "come to the same map there: cam = grad on two; cam = grad = hires on one; hires = pc1 on two."
    assert note in readme_of([table])


def test_the_page_and_the_csv_give_a_baseline_no_accuracy():
    baseline = METHOD.model_copy(update={"name": "centred-box", "reads_network": False})
    table = table_of(trained_record(), trained_record(method=baseline))
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(as_csv(rows_in([table]))))}
    assert (rows["centred-box"]["network"], rows["centred-box"]["top1_acc"]) == ("", "")
    assert rows["cam"]["network"] == "toy"


def test_a_table_of_predicted_boxes_is_titled_and_named_so():
    def record(scored, target):
        made = trained_record()
        return made.model_copy(
            update={"protocol": made.protocol.model_copy(update={"scored": scored, "target": target})}
        )

    records = [record("maps", "gt"), record("maps", None), record("boxes", None)]
    tables = group_tables(Entry(f"{place}.json", "0" * 64, each) for place, each in enumerate(records))
    titled = {table.entries[0].record.protocol.scored: table for table in tables if len(tables) == 3}
    assert titled["boxes"].title == "birds, test (8 images; predicted boxes, no τ)"
    assert {table.slug for table in tables} == {"birds", "birds-gt", "birds-boxes"}


def test_comparisons_and_galleries_say_that_a_method_is_not_defined():
    record = undefined("one")
    notes = compare(trained_record("one"), record).notes
    assert notes == [f"second: cam-neg is {WHY}"]
    assert _method_label(record) == "cam-neg\nnot defined"
    scored = SimpleNamespace(undefined=WHY, threshold=None)
    assert _title("one, cam-neg", scored) == f"one, cam-neg — {WHY}"


@pytest.mark.parametrize(
    ("image_id", "shown"),
    [
        ("test/church/ILSVRC2012_val_00003014.JPEG", "church/ILSVRC2012_val_00003014.JPEG"),
        ("test/cat/0.jpg", "test/cat/0.jpg"),
        (f"test/{'c' * 30}/ab.jpg", "ab.jpg"),
        (f"test/{'x' * 40}.jpg", f"…{'x' * 31}.jpg"),
    ],
)
def test_a_label_of_an_image_is_cut_at_folders_first(image_id, shown):
    assert short_id(image_id) == shown


def test_no_warning_leaves_a_figure():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with own_style():
            warnings.warn("tight layout not applied", UserWarning, stacklevel=1)
