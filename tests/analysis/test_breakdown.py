"""Records broken down, against loops over images and resamples; and what records do not tell."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_records import (
    FULLSUP,
    GRID,
    TEST,
    make_outcomes,
    make_record,
    make_runs,
    with_boxes,
    with_values,
)

import wsolbench
from wsolbench.analysis.groupings import groupings_of
from wsolbench.analysis.studies.breakdown import PARTS, Study, break_down, tables_of
from wsolbench.analysis.study import Evidence
from wsolbench.errors import DataError
from wsolbench.figures.threshold_ranges import RangedCurve
from wsolbench.protocol import IOU_THRESHOLDS, MODES, cam_threshold_grid
from wsolbench.protocol.box_errors import KINDS
from wsolbench.protocol.boxes import NO_BOX
from wsolbench.protocol.breakdown import resample_groups, resample_threshold_range
from wsolbench.protocol.uncertainty import draw_resamples, interval
from wsolbench.records import write_record

GROUPED = ("size", "position", "objects", "class")


def random_part(seed, split="test", count=TEST):
    """Return outcomes whose runs are drawn."""
    random = np.random.default_rng(seed)
    starts = random.integers(0, GRID - 4, count)
    runs = make_runs(
        [[start, start + length] for start, length in zip(starts, random.integers(1, 5, count), strict=True)]
    )
    return make_outcomes(split, count, correct={mode: dict.fromkeys(IOU_THRESHOLDS, runs) for mode in MODES})


def boxed_record(seed=0, *, fullsup=True, **changes):
    """Return a record with boxes."""
    choosing = [random_part(seed + 1, "train-fullsup", FULLSUP)] if fullsup else []
    scored, *choosing = with_boxes([random_part(seed), *choosing])
    return make_record(test=scored, fullsup=choosing[0] if choosing else None, **changes)


def evidence(*records):
    return Evidence(records, labels=[f"r{place}" for place in range(len(records))])


def tables(*records):
    return tables_of(break_down(evidence(*records), 1.0))


@pytest.mark.parametrize("fullsup", [True, False])
def test_the_whole_is_as_the_record_says(fullsup):
    record = boxed_record(3, fullsup=fullsup)
    name = "fullsup_box_acc" if fullsup else "max_box_acc"
    found = tables(record)
    row = found["all images"].iloc[0]
    assert row["percent"] == pytest.approx(getattr(record.metrics, name))
    assert [row["low"], row["high"]] == pytest.approx(record.intervals.metrics[name])
    sizes = found["size"].dropna(subset="percent")
    for group, value, low, high in sizes[["group", "percent", "low", "high"]].itertuples(index=False):
        assert value == pytest.approx(getattr(record.metrics, f"{name}_by_size")[group])
        assert [low, high] == pytest.approx(record.intervals.metrics[f"{name}_by_size.{group}"])


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_every_table_adds_up_to_the_whole(seed):
    record = boxed_record(seed)
    broken = break_down(evidence(record), 1.0)
    found, images = tables_of(broken), broken[0].images
    whole = found["all images"]["percent"][0]
    for what in GROUPED:
        table = found[what]
        assert table["images"].sum() == TEST
        known = table[table["images"] > 0]
        assert np.average(known["percent"], weights=known["images"]) == pytest.approx(whole)
        assert table[table["images"] == 0][["percent", "low", "high"]].isna().all(axis=None)
    errors = found["errors"]
    assert errors["group"].tolist() == list(KINDS[1:])
    assert errors["percent"].sum() == pytest.approx(100 - whole)
    assert (images["localized"] == (images["kind"] == "right")).all()


def test_groups_are_those_of_their_definitions():
    boxes = [
        [[0, 0, 20, 20]],
        [[100, 0, 110, 9], [120, 100, 125, 102]],
        [[0, 0, 223, 223]] * 3,
        [[150, 150, 223, 223]] * 6,
    ]
    part = make_outcomes(
        count=4,
        labels=np.array([7, 5, 2, 2]),
        class_names={7: "owl", 5: "owl"},
        true_boxes=tuple(np.array(of_image) for of_image in boxes),
    )
    found = groupings_of(part)
    told = {
        what: [found[what].names[group] for group in found[what].groups] for what in ("position", "objects", "class")
    }
    assert told == {
        "position": ["top left", "top", "centre", "bottom right"],
        "objects": ["1", "2", "3-4", "5+"],
        "class": ["owl (7)", "owl (5)", "class 2", "class 2"],
    }


def test_only_the_kind_without_an_error_has_no_row():
    (part,) = with_boxes([random_part(2)])
    labels = np.arange(TEST) % 2
    named = replace(part, labels=labels, class_names={0: "right", 1: "left"})
    found = tables(make_record(test=named, fullsup=None))
    places = groupings_of(named)["position"]
    there = places.groups == places.names.index("right")
    position = found["position"].set_index("group")
    assert position.index.str.removesuffix(" (none)").tolist() == list(places.names)
    assert position["images"].tolist()[places.names.index("right")] == there.sum()
    assert dict(zip(found["class"]["group"], found["class"]["images"], strict=True)) == {
        "right": (labels == 0).sum(),
        "left": (labels == 1).sum(),
    }
    assert "right" not in set(found["errors"]["group"])


def test_groups_without_images_are_printed_only_where_there_are_several_with_images():
    (part,) = with_boxes([random_part(2)])
    sizes = np.array([0.01, 0.9] * (TEST // 2))
    ones = tuple(np.array([[60, 60, 160, 160]]) for _ in range(TEST))
    named = replace(part, sizes=sizes, true_boxes=ones)
    findings = Study().conclude(evidence(make_record(test=named, fullsup=None)))
    printed = {what: table["group"].tolist() for what, table in findings.table.groupby("what")}
    assert printed["objects"] == ["1"]
    assert len(printed["size"]) == len(findings.details["size"]) > 2
    assert sum(group.endswith("(none)") for group in printed["size"]) == len(printed["size"]) - 2
    assert len(findings.details["objects"]) == 4


def test_a_stored_analysis_is_refused(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("wsolbench.analysis.stored._pictures", lambda _: {})  # which take the time
    path = write_record(boxed_record(1), tmp_path, "r")
    assert cli("analyze", "breakdown", path, "--out", tmp_path / "first").code == 0
    done = cli("analyze", "breakdown", path, tmp_path / "first" / "breakdown.json", "--out", tmp_path / "out")
    assert done.refused("an analysis 'breakdown' is among the records", "reads records alone, so leave it out")
    assert not (tmp_path / "out").exists()
    said = [" ".join(cli("analyze", name, "--help").out.split()) for name in ("breakdown", "scatter")]
    assert ["Files of records. And files of earlier analyses." in each for each in said] == [False, True]


def curve_of(part, drawn):
    """Return BoxAcc at every τ of a resample, image by image."""
    runs = part.correct["single"][0.5]
    correct = np.array([runs.at(place) for place in range(GRID)])
    return np.array([sum(count * right for count, right in zip(drawn, row, strict=True)) for row in correct])


def test_resamples_equal_loops():
    scored, fullsup = random_part(5), random_part(6, "train-fullsup", FULLSUP)
    groups = np.array([0, 1, 1, 2, 0, 1, 1, 1])
    found = resample_groups(scored.images, fullsup.images, groups, 4)
    ranges = resample_threshold_range(scored.images, 13)
    weights, of_fullsup = (
        np.concatenate(parts) for parts in zip(*draw_resamples(scored.images, fullsup.images), strict=True)
    )
    for place in range(0, 1000, 50):
        drawn, curve = weights[place], curve_of(fullsup, of_fullsup[place])
        right = scored.correct["single"][0.5].at(int(curve.argmax()))
        for group in range(4):
            there = sum(drawn[groups == group])
            expected = 100 * sum(drawn[(groups == group) & right]) / there if there else np.nan
            assert found.resamples[place, group] == pytest.approx(expected, nan_ok=True)
        own = 100 * curve_of(scored, drawn) / TEST
        near = sum(value >= max(own) - 13 for value in own)
        assert ranges.width.resamples[place, 0] == pytest.approx(100 * near / GRID)
    assert found.intervals()[1] == pytest.approx(interval(found.value[1], found.resamples[:, 1]))
    assert np.isnan(found.intervals()[3]).all()


def test_differences_are_paired_where_the_images_are_the_same():
    one, other = boxed_record(1), boxed_record(2)
    first, same, third = (row for _, row in tables(one, one.model_copy(), other)["all images"].iterrows())
    assert np.isnan(first["difference"])
    assert (same["difference"], same["its low"], same["its high"]) == (0, 0, 0)
    expected = wsolbench.compare(one, other).differences["fullsup_box_acc"]
    assert third["difference"] == pytest.approx(expected.difference)
    assert [third["its low"], third["its high"]] == pytest.approx([expected.low, expected.high])
    elsewhere = boxed_record(1, dataset=one.dataset.model_copy(update={"name": "fish"}))
    assert tables(one, elsewhere)["errors"]["difference"].isna().all()


def test_an_older_record_says_what_it_does_not_tell(monkeypatch):
    monkeypatch.setattr("wsolbench.analysis.studies.breakdown.FEWEST", 3)
    values = with_values([make_outcomes(), make_outcomes("train-fullsup", FULLSUP)])
    old, middle = make_record(), make_record(test=values[0], fullsup=values[1])
    findings = Study().conclude(evidence(old, middle, boxed_record()))
    told = {
        what: table[table["group"].str.startswith("not known")]
        for what, table in findings.details.items()
        if what != "images"
    }
    lacking = {what: table["record"].tolist() for what, table in told.items()}
    assert lacking == {
        **{"size": ["r0"], "class": ["r0"], "tau": []},
        **{what: ["r0", "r1"] for what in ("position", "objects", "errors")},
    }
    assert "Not known of r0: size, because the record is older than sizes of objects in outcomes." in findings.shows
    assert not findings.table["group"].str.contains("not known").any()
    whole, by_size, _ = findings.figures[""].axes  # a record that does not tell sizes has its place in the first panel
    assert [len(axes.containers) for axes in (whole, by_size)] == [3, 2]
    assert set(findings.figures) == {"", "errors", "boxes", "position", "class", "tau"}
    assert set(Study().conclude(evidence(old)).figures) == {"", "tau"}


@pytest.mark.parametrize(
    ("within", "told"),
    [
        ([0, 1, 1, 1, 0, 0, 0, 0, 0, 0], "0.1 to 0.3"),
        ([1, 0, 0, 1, 1, 0, 0, 0, 0, 1], "0, 0.3 to 0.4, 0.9"),
        ([1, 0, 1, 0, 1, 0, 1, 0, 1, 1], "0, 0.2, 0.4, 0.6, 1 more"),
    ],
)
def test_a_range_with_gaps_is_told_with_all_its_parts(within, told):
    curve = RangedCurve(np.arange(10) / 10, np.zeros(10), np.array(within, dtype=bool), 1)
    assert curve.told == told


def test_the_width_of_a_range_is_that_of_its_parts():
    record = boxed_record(4)
    part = record.outcomes[0]
    curve = part.box_acc("single", 0.5)
    (row,) = tables(record)["range of τ"].to_dict("records")
    near = [place for place, value in enumerate(curve) if value >= max(curve) - 1]
    assert row["percent"] == pytest.approx(100 * len(near) / GRID)
    places = [place for place in near if place - 1 not in near]
    assert row["group"].count(",") == len(places) - 1
    assert row["group"].endswith(f"(best {cam_threshold_grid(1 / GRID)[np.argmax(curve)]:.4g})")


def test_pictures_of_one_group_or_of_no_box_are_left_out():
    (part,) = with_boxes([random_part(0)])
    same = {
        "true_boxes": tuple(np.array([[60, 60, 160, 160]]) for _ in range(TEST)),
        "labels": np.zeros(TEST, dtype=int),
        "sizes": np.full(TEST, 0.2),
        "predicted_boxes": np.tile(NO_BOX, (TEST, 1)),
    }
    figures = Study().conclude(evidence(make_record(test=replace(part, **same), fullsup=None))).figures
    assert not {"boxes", "position", "class"} & set(figures)
    assert [tick.get_text() for tick in figures[""].axes[0].get_xticklabels()] == [f"all images\nn={TEST}"]


def test_what_has_no_boxes_is_refused():
    record = make_record(test=make_outcomes(correct=None), fullsup=None)
    with pytest.raises(
        DataError, match="the record 'r0' has no BoxAcc to break down: its data have no boxes; leave it out"
    ):
        tables(record)


@pytest.mark.slow
def test_the_command(cli, tmp_path):
    paths = [write_record(boxed_record(seed), tmp_path, f"r{seed}") for seed in (1, 2)]
    done = cli("analyze", "breakdown", *paths, paths[0], "--points", "5", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "range of τ" in done.out
    assert "breakdown-position.csv" in done.out
    assert "breakdown-class.csv" in done.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    tables = {f"breakdown-{what}.csv" for what in (*GROUPED, "errors", "tau", "images")}
    assert tables <= names
    assert {"breakdown.json", "breakdown.csv", "breakdown.png", "breakdown-boxes.svg"} <= names
    assert len(pd.read_csv(tmp_path / "out" / "breakdown-images.csv")) == 2 * TEST  # a record named twice is read once
    assert set(pd.read_csv(tmp_path / "out" / "breakdown.csv")["what"]) <= set(PARTS)
    assert cli("analyze", "breakdown", paths[0], "--points", "0", "--out", tmp_path / "no").refused("points")
    assert cli("analyze", "breakdown", tmp_path / "none.json", "--out", tmp_path / "no").refused("none.json")
