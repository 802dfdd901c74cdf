"""Figures that would be empty are left out with their reason; no warning of the drawing library reaches anybody."""

import csv
import io
import warnings
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from leaderboards import drawn_of, figure_in, figures_in, readme_of, rows_in
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from toy_networks import METHOD, trained_record
from toy_records import make_outcomes

from wsolbench.engine.redraw import _method_label, _title
from wsolbench.figures.curve_panels import Curves, draw_curve_panels
from wsolbench.figures.panels import short_id
from wsolbench.figures.scatter import Dot, draw_scatter
from wsolbench.figures.style import own_style, spread, strokes
from wsolbench.leaderboard import drawing
from wsolbench.leaderboard.data import as_csv
from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.equal import equal_methods
from wsolbench.leaderboard.figures import (
    ENDINGS,
    NO_PAIR,
    NO_THRESHOLD,
    ONE_METHOD,
    ONE_SIZE,
    figures_of,
    fingerprint_of,
    left_out,
)
from wsolbench.records.compare import compare
from wsolbench.records.missing import NO_BOXES

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


def drawn(table, name=None):
    """Return a figure of a table as the text of its SVG file, or all figures as files, with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return figures_in(table) if name is None else figure_in(table, name)


ALL = ["size", "slopes", "intervals", "curves", "methods"]
FEW = {"slopes": NO_PAIR, "methods": ONE_METHOD}
CASES = {
    "no train-fullsup": ({"fullsup": None}, FEW),
    "no boxes": ({"fullsup": None, "test": make_outcomes(correct=None)}, dict.fromkeys(ALL, NO_BOXES)),
    "one size": ({"name": "two"}, {**FEW, "size": ONE_SIZE}),
    "all": ({}, FEW),
}


@pytest.mark.parametrize("name", CASES)
def test_a_figure_that_would_be_empty_is_left_out_with_its_reason(name):
    outcomes, reasons = CASES[name]
    table = table_of(trained_record(**outcomes), trained_record(**{**outcomes, "name": "two"}))
    figures = [each for each in ALL if each not in reasons]
    assert figures_of(drawn_of(table)) == figures
    assert left_out(drawn_of(table)) == reasons
    page = readme_of([table])
    assert page.count("](figures/") == len(figures)
    for why in reasons.values():
        assert f": {why}.\n" in page


def method_of(name):
    return METHOD.model_copy(update={"name": name})


def test_predicted_boxes_have_all_figures_but_the_one_over_thresholds():
    def record(name, method, shift):
        made = trained_record(name, method=method_of(method), shift=shift, fullsup=None)
        return made.model_copy(
            update={"protocol": made.protocol.model_copy(update={"scored": "boxes", "target": None})}
        )

    table = table_of(
        *(record(name, method, shift) for name in ("one", "two") for shift, method in enumerate(("cam", "pc1")))
    )
    assert left_out(drawn_of(table)) == {"curves": NO_THRESHOLD}
    assert "MaxBoxAccV2 of predicted boxes" in drawn(table, "intervals")


def test_cells_say_where_a_method_is_not_defined_and_the_caption_where_it_is_defined_for_no_network():
    everywhere = [undefined(name, method_of("other")) for name in ("one", "two")]
    defined = [trained_record(name) for name in ("one", "two", "three")]
    table = table_of(*everywhere, *defined, undefined("one"), trained_record("two", method=CAM_NEG))
    grid = drawn(table, "methods")
    assert grid.count(">n. d.</text>") == 1
    assert "grey: not measured" in grid
    assert "defined for no network: other" in grid
    assert "other" not in drawn(table, "curves")  # it would be a line at 0 or nothing


def test_slopes_and_intervals_have_the_numbers_of_the_rows():
    """Counted by hand: image i is right at the τ from i + shift on, four of twenty; five images choose the τ."""
    records = [trained_record("one", method=method_of(name), shift=shift) for name, shift in (("cam", 0), ("pc1", 3))]
    table = table_of(*records)
    cam, pc1 = (record.metrics.fullsup_box_acc_v2 for record in records)
    assert f">one  {pc1 - cam:+.1f}</text>".replace("-", "−") in drawn(table, "slopes")
    low, high = records[0].intervals.metrics["fullsup_box_acc_v2"]
    assert f">{cam:.1f} [{low:.1f}, {high:.1f}] cam</text>" in drawn(table, "intervals")


@pytest.mark.slow
def test_panels_of_many_networks_stand_in_rows_of_four_and_the_rest_is_counted():
    names = [f"network{number}" for number in range(14)]
    table = table_of(*(trained_record(name, shift=number % 8) for number, name in enumerate(names)))
    figures = drawn(table)
    assert sorted(figures) == [
        f"birds-{name}.{ending}" for name in ("curves", "intervals", "size") for ending in ENDINGS
    ]
    text = figures["birds-curves.svg"].decode()
    assert "not drawn: 2 others" in text
    assert sum(f">{name}</text>" in text for name in names) == 12
    for name, content in figures.items():
        if name.endswith("png"):
            assert Image.open(io.BytesIO(content)).width <= 1600
            assert len(content) < 150_000
            assert fingerprint_of(content) == "0" * 64


def test_of_more_networks_and_methods_than_can_be_read_the_best_are_drawn_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(drawing, "MOST_NETWORKS", 2)
    monkeypatch.setattr(drawing, "MOST_METHODS", 2)
    monkeypatch.setattr(drawing, "_MOST_EQUAL", 3)
    names, methods = [f"net{number}" for number in range(5)], ["cam", "pc1", *(f"equal{number}" for number in range(4))]
    table = table_of(
        *(
            trained_record(name, shift=place + min(number, 2), method=method_of(method))
            for place, name in enumerate(names)
            for number, method in enumerate(methods)
        )
    )
    figures = {name: drawn(table, name) for name in ALL}
    for name in ("size", "slopes", "intervals", "methods"):
        assert "The 2 networks with the best scores; not drawn: 3 others." in figures[name]
        assert sum(f">{each}" in figures[name] for each in names) == 2
    assert "bold: the best of these methods; not drawn: 4 methods" in figures["methods"]
    assert sum(f">{each}</text>" in figures["methods"] for each in methods) == 2
    assert ">equal0 and 3 more</text>" in figures["curves"]


@pytest.mark.slow
def test_two_processes_draw_what_one_draws(monkeypatch):
    table = table_of(*(trained_record(name, shift=shift) for shift, name in enumerate(("one", "two"))))
    monkeypatch.setattr(drawing, "_WORTHWHILE", 1)
    found = []
    for helpers in (0, 1):
        monkeypatch.setattr(drawing, "spare_processors", lambda helpers=helpers: helpers)
        found.append(figures_in(table))
    assert len(found[0]) == 6
    assert found[0] == found[1]


def test_names_of_networks_of_one_size_never_overlap():
    sizes = [25.6 if number % 3 else 30.0 + number for number in range(24)]
    dots = [Dot(size, 40 + place % 7, f"some_network_{place}", "cam", 7, False) for place, size in enumerate(sizes)]
    figure = draw_scatter(dots, [], {"cam": "k"}, x="parameters", y="score")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axes,) = figure.axes
    boxes = [Text.get_window_extent(text, canvas.get_renderer()) for text in axes.texts]
    assert sorted(text.get_text() for text in axes.texts) == sorted(dot.name for dot in dots)
    assert len({tuple(box.extents) for box in boxes}) == 24
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_places_of_names_keep_their_distance_and_order():
    assert spread([1, 1, 5], 1, 0, 10).tolist() == [0.5, 1.5, 5]
    assert spread([5, 4.5, 4.6], 1, 0, 5).tolist() == [5, 3, 4]
    assert spread([], 1, 0, 5).tolist() == []


def test_methods_that_people_compare_have_colours_of_their_own_and_no_two_methods_one_look():
    looks = strokes(("cam", "pc1"), [f"m{number}" for number in range(24)])
    own = {looks["cam"].colour, looks["pc1"].colour}
    others = [look for name, look in looks.items() if name not in ("cam", "pc1")]
    assert len(own) == 2
    assert not own & {look.colour for look in others}
    assert len(set(others)) == 24
    curves = [Curves(name, np.zeros((1, 3))) for name in looks]
    style = {"strong": ("cam",), "up": "", "caption": ()}
    figure = draw_curve_panels(np.linspace(0, 1, 3), {"one": curves}, looks, {}, **style)
    assert [line.get_color() for line in figure.axes[0].lines] == [look.colour for look in looks.values()]


def test_equal_methods_are_one_entry_of_a_legend_and_a_note_below_the_table():
    def rows(name, **shifts):
        return [
            trained_record(name, shift=shift, method=METHOD.model_copy(update={"name": method}))
            for method, shift in shifts.items()
        ]

    table = table_of(*rows("one", cam=0, grad=0, pc1=1, hires=0), *rows("two", cam=1, grad=1, pc1=2, hires=2))
    assert equal_methods(table.entries) == [["cam", "grad"], ["hires"], ["pc1"]]
    assert drawn(table, "curves").count(">cam = grad</text>") == 1
    note = "come to the same map there: cam = grad on two; cam = grad = hires on one; hires = pc1 on two."
    assert note in readme_of([table])


def test_the_page_and_the_csv_give_a_baseline_no_accuracy():
    baseline = METHOD.model_copy(update={"name": "centred-box", "reads_network": False})
    table = table_of(trained_record(), trained_record(method=baseline))
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(as_csv(rows_in([table]))))}
    assert (rows["centred-box"]["network"], rows["centred-box"]["top1_acc"]) == ("", "")
    assert rows["cam"]["network"] == "toy"


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
