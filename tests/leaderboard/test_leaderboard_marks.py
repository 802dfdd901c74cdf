"""What nobody can verify is marked in every format, in tables of results and in comparisons."""

import csv

import numpy as np
import pytest
from toy_networks import trained_record
from toy_records import FULLSUP, GRID, make_outcomes, remade

from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.render import as_csv, as_latex, as_markdown
from wsolbench.protocol import FRAME, ScoreHistograms
from wsolbench.records.compare import compare
from wsolbench.records.outcomes import recompute_pxap
from wsolbench.records.tables import records_frame, results_table

BINS = np.arange(GRID + 2)
HISTOGRAMS = ScoreHistograms(np.where(BINS <= GRID, BINS, 0), np.where(BINS <= GRID, FRAME - BINS, 0))


def masked(name, histograms, **changes):
    """Return a record of a data set with masks, its PxAP with or without the numbers of pixels behind it."""
    record = trained_record(name)
    outcomes = [make_outcomes(histograms=histograms), make_outcomes("train-fullsup", FULLSUP)]
    metrics = record.metrics.model_copy(update={"pxap": recompute_pxap(HISTOGRAMS)})
    missing = {key: reason for key, reason in record.missing.items() if key != "pxap"}
    return remade(record, outcomes, metrics=metrics, missing=missing, **changes)


@pytest.fixture(scope="module")
def records():
    """One whose PxAP is verified, one whose PxAP is a claim, and one of version 2, which has no such numbers."""
    return masked("one", HISTOGRAMS), masked("two", None), masked("three", None, migrated_from=2)


@pytest.fixture(scope="module")
def table(records):
    """Their table."""
    (table,) = group_tables([Entry(f"{r.backbone.name}.json", "0" * 64, r) for r in records])
    return table


def test_a_page_marks_claims_and_says_what_the_marks_mean(table):
    lines = as_markdown(table).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[-2].strip() for line in lines if " toy.pth " in line}
    value = f"{recompute_pxap(HISTOGRAMS):.1f}"
    assert cells == {"one": value, "two": f"{value} †", "three ‡": f"{value} †"}
    assert [line[0] for line in lines if line and line[0] in "†‡"] == ["†", "‡"]


def test_latex_marks_them_too(table):
    latex = as_latex(table)
    assert latex.count(r"\dag{}") == 3
    assert latex.count(r"three \ddag{}") == 1
    assert r"\bottomrule" + "\n" + r" \multicolumn{12}{p{\linewidth}}{\footnotesize \dag{} PxAP is a claim" in latex


def test_csv_and_data_frames_have_columns_for_them(table, records):
    rows = {row["backbone"]: row for row in csv.DictReader(as_csv([table]).splitlines())}
    assert {name: (row["pxap_claimed"], row["migrated_from"]) for name, row in rows.items()} == {
        "one": ("False", ""),
        "two": ("True", ""),
        "three": ("True", "2"),
    }
    frame = records_frame(records)
    assert frame["pxap_claimed"].tolist() == [False, True, True]
    assert frame["migrated_from"].fillna(0).tolist() == [0, 0, 2]


def test_results_and_comparisons_mark_them_too(records):
    verified, claimed, older = records
    assert "†" not in results_table([verified])
    assert "\n† PxAP is a claim" in results_table([claimed])
    assert "\n‡ measured with schema version 1 or 2" in results_table([older])
    found = compare(verified, older)
    assert [note[0] for note in found.notes[1:]] == ["†", "‡"]
    (line,) = [line for line in str(found).splitlines() if line.startswith("PxAP")]
    assert line.count("†") == 1
    assert compare(verified, verified).notes == found.notes[:1]
