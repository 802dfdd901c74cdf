"""What nobody can verify is marked in every format, in tables of results and in comparisons."""

import csv

import numpy as np
import pytest
from leaderboards import rows_in
from toy_networks import trained_record
from toy_records import FULLSUP, GRID, make_outcomes, remade

from wsolbench.leaderboard.data import as_csv
from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.latex import as_latex
from wsolbench.leaderboard.markdown import as_markdown
from wsolbench.leaderboard.shown import fields_named
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
    lines = as_markdown(rows_in([table]), fields_named(["network", "weights", "pxap"])).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[-2].strip(" *") for line in lines if " toy.pth " in line}
    value = f"{recompute_pxap(HISTOGRAMS):.1f}"
    assert cells == {"one": value, "two": f"{value} †", "three ‡": f"{value} †"}
    assert [line[0] for line in lines if line and line[0] in "†‡"] == ["†", "‡"]


def test_latex_marks_them_too(table):
    latex = as_latex(table.title, rows_in([table]), fields_named([]), "fullsup_box_acc_v2")
    assert latex.count(r"\dag{}") == 3
    assert latex.count(r"three \ddag{}") == 1
    assert "\n{\\footnotesize \\dag{} PxAP is a claim" in latex.partition(r"\end{tabular}")[2]


def test_csv_and_data_frames_have_columns_for_them(table, records):
    rows = csv.DictReader(as_csv(rows_in([table])).splitlines())
    assert {row["network"]: row["marks"] for row in rows} == {"one": "", "two": "†", "three": "† ‡"}
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
