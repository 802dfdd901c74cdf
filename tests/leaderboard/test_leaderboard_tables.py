"""Tables for papers and READMEs: which rows and columns, what is best, second and tied; and that LaTeX compiles."""

import csv
import io
import json
import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from generated_board import write_board
from hostile import HOSTILE

from wsolbench.leaderboard.build import _parts, _tables, _texts
from wsolbench.leaderboard.data import as_json, read_board
from wsolbench.leaderboard.latex import as_latex
from wsolbench.leaderboard.markdown import Section, as_readme
from wsolbench.leaderboard.output import MANIFEST
from wsolbench.leaderboard.page import Part, render_page
from wsolbench.leaderboard.reported import read_reported, reported_rows
from wsolbench.leaderboard.rows import BoardTable, Row
from wsolbench.leaderboard.shown import FIELDS, fields_named
from wsolbench.progress import Reporter

SCORE = "fullsup_box_acc_v2"
BOARD = Path(__file__).parents[2] / "leaderboard"


def row(name, value, rank=None, **changes):
    """Return a row with a score, and nothing else that matters."""
    facts = {"id": f"toys/{name}", "table": "toys", "kind": "measured", "network": name, "method": "cam"}
    plain = dict.fromkeys(("system", "kernel", "precision", "weights", "weights_kind", "recipe", "group"))
    metrics = dict.fromkeys(("max_box_acc", "fullsup_box_acc", "max_box_acc_v2", "top1_loc", "top1_acc", "pxap"))
    score = {**metrics, SCORE: value}
    made = Row(**facts, **plain, parameters=10**6, family="other", seeds=(), metrics=score, rank=rank)
    return replace(made, **changes)


ROWS = [
    row("a", 61.04, (1, 2), seeds=(0, 1), id="toys/a//mean", sd={SCORE: 1.26}),
    row("a", 62.3, group="toys/a//mean", seeds=(0,), id="toys/a0"),
    row("a", 59.78, group="toys/a//mean", seeds=(1,), id="toys/a1"),
    row("b", 60.96, (1, 2), method="pc1", intervals={SCORE: (58.0, 63.2)}),
    row("c", 40.0, (3, 4)),
    row("c", 39.0, (3, 4), method="pc1", id="toys/c-pc1"),
    row("d", None, incomplete="not defined: features are never negative", method="cam-neg"),
    row(None, 70.0, kind="baseline", method="centred-box"),
    row("ResNet", 99.0, kind="reported", printed={SCORE: "99*"}, source="A paper, Table 1; * in another way"),
]
TABLE = BoardTable("toys", "toys", "toys, test (8 images)", ROWS, SCORE)


@pytest.fixture
def board(tmp_path):
    """A folder with the rows of a build."""
    (tmp_path / MANIFEST).write_text(as_json([TABLE]))
    return tmp_path


def lines_of(latex):
    """Return the cells of the lines of a LaTeX table, and `---` for a line between groups."""
    body = latex.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
    cells = [[cell.strip() for cell in line.removesuffix(r"\\").split("&")] for line in body.strip().splitlines()]
    return ["---" if line == [r"\midrule"] else line for line in cells]


def test_the_best_is_bold_the_second_underlined_and_ties_are_marked(board, cli):
    found = cli("leaderboard", "table", "--folder", board, "--columns", f"rank,network,method,{SCORE}")
    assert found.code == 0
    assert lines_of(found.out) == [
        ["Rank", "Network", "Method", r"V2 @fullsup [95 \%]"],
        "---",
        ["1–2", "a", "cam", r"\textbf{61.0 ± 1.3}\textsuperscript{=}"],
        ["1–2", "b", "pc1", r"\textbf{61.0} [58.0, 63.2]\textsuperscript{=}"],
        ["3–4", "c", "cam", r"\underline{40.0}"],
        ["3–4", "c", "pc1", "39.0"],
        "---",
        ["–", "d", "cam-neg (not defined)", "–"],
        "---",
        ["–", "–", "centred-box", "70.0"],
        "---",
        ["–", "ResNet", "cam", "99*"],
    ]
    assert "{\\footnotesize A paper, Table 1; * in another way\\par}" in found.out
    assert r"{\footnotesize \textsuperscript{=} No row is surely better." in found.out


def test_a_table_that_is_wider_than_a_page_says_how_to_have_fewer_columns():
    hint = "\n% wider than most pages; fewer columns: wsolbench leaderboard table TABLE --columns "
    assert hint in as_latex(TABLE.title, ROWS, fields_named([]), SCORE)
    assert hint not in as_latex(TABLE.title, ROWS, fields_named(["network", "method", SCORE]), SCORE)


@pytest.mark.parametrize(
    ("wanted", "networks"),
    [
        (["means"], ["a", "b", "c", "c", "d", "–", "ResNet"]),
        (["all"], ["a", "a", "a", "b", "c", "c", "d", "–", "ResNet"]),
        (["best"], ["a", "b", "c", "d", "–", "ResNet"]),
        (["method=pc1"], ["b", "c"]),
        (["method=pc1", "method=cam", "network=c"], ["c", "c"]),
        (["kind=baseline"], ["–"]),
    ],
)
def test_rows_are_chosen(board, cli, wanted, networks):
    options = [part for each in wanted for part in ("--rows", each)]
    markdown = ("--format", "markdown", "--columns", "network")
    found = cli("leaderboard", "table", "toys", "--folder", board, *markdown, *options)
    assert [line.strip("| ") for line in found.out.splitlines()[2:] if line.startswith("|")] == networks


def test_csv_and_json_have_all_of_a_row(board, cli):
    found = cli("leaderboard", "table", "--folder", board, "--format", "csv", "--rows", "method=pc1")
    rows = list(csv.DictReader(io.StringIO(found.out)))
    assert [(each["network"], each[SCORE], each["rank_best"], each["rank_worst"]) for each in rows] == [
        ("b", "60.96", "1", "2"),
        ("c", "39.0", "3", "4"),
    ]
    found = cli("leaderboard", "table", "--folder", board, "--format", "json", "--rows", "method=pc1")
    assert [each["id"] for each in json.loads(found.out)["tables"][0]["rows"]] == ["toys/b", "toys/c-pc1"]


def test_v2_over_other_iou_thresholds_is_told_in_every_format(tmp_path, cli):
    rows = [replace(each, iou_thresholds=(0.3, 0.5)) for each in ROWS if each.kind != "reported"]
    (tmp_path / MANIFEST).write_text(as_json([TABLE.of(rows)]))
    table = ("leaderboard", "table", "--folder", tmp_path, "--columns", f"network,max_box_acc,{SCORE}")
    assert lines_of(cli(*table).out)[0] == [
        "Network",
        "MaxBoxAcc",
        r"V2 over \ensuremath{\delta} 0.3, 0.5 @fullsup [95 \%]",
    ]
    head = cli(*table, "--format", "markdown").out.splitlines()[0]
    assert [cell.strip() for cell in head.split("|")[2:4]] == ["MaxBoxAcc", "V2 over δ 0.3, 0.5 @fullsup [95 %]"]
    found = cli(*table[:-2], "--format", "csv").out
    assert {each["iou_thresholds"] for each in csv.DictReader(io.StringIO(found))} == {"0.3 0.5"}
    usual = Part("usual", "toys", "toys", [replace(each, images=8) for each in ROWS], SCORE)
    page = render_page([Part("toys", "toys", TABLE.title, rows, SCORE, unusual=["V2 over δ 0.3, 0.5"]), usual]).decode()
    heads = re.findall(f'<th scope="col" data-key="{SCORE}"[^>]*><button[^>]*>([^<]*)<', page)
    assert heads == ["V2 over δ 0.3, 0.5 @fullsup"] * 2 + ["V2 @fullsup"] * 2
    assert "or over the δ that a heading names" in page
    assert r'"V2 over δ 0.3, 0.5": "V2 over \\ensuremath{\\delta} 0.3, 0.5"' in page  # how the page copies it as LaTeX
    (readme,) = [line for line in as_readme([Section(TABLE.of(rows), [], [])], []).splitlines() if "Network" in line]
    assert "V2 over δ 0.3, 0.5 @fullsup [95 %]" in readme


def test_v2_of_the_protocol_is_v2_in_every_format(board, cli):
    assert lines_of(cli("leaderboard", "table", "--folder", board, "--columns", SCORE).out)[0] == [
        r"V2 @fullsup [95 \%]"
    ]
    found = cli("leaderboard", "table", "--folder", board, "--format", "csv").out
    assert "iou_thresholds" not in found
    assert "iou_thresholds" not in (board / MANIFEST).read_text()


def test_rows_are_read_back_as_they_were(board):
    (table,) = read_board(board)
    assert [replace(each, commands=()) for each in table.rows] == ROWS
    assert (table.slug, table.title, table.name, table.score) == ("toys", TABLE.title, "toys", SCORE)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["nope"], "there is no table 'nope'"),
        (["toys", "--columns", "accuracy"], "--columns: there is no 'accuracy'; choose from rank, network"),
        (["toys", "--rows", "some"], "--rows: expected means, all, best, or a condition such as method=cam"),
        (["toys", "--rows", "method=gradcam"], "--rows: no row has method 'gradcam'; there are cam, cam-neg"),
        (["toys", "--rows", "all", "--rows", "best"], "--rows: choose one of"),
        (["toys", "--format", "csv", "--columns", "network"], "--columns: csv has all of them"),
    ],
)
def test_what_is_not_there_is_refused(board, cli, options, told):
    assert cli("leaderboard", "table", *options, "--folder", board).refused(told)


def test_a_leaderboard_that_was_not_built_is_refused(tmp_path, cli):
    assert cli("leaderboard", "table", "--folder", tmp_path).refused("run 'wsolbench leaderboard build'")
    (tmp_path / MANIFEST).write_text("{}")
    assert cli("leaderboard", "table", "--folder", tmp_path).refused("run 'wsolbench leaderboard build'")


@pytest.mark.slow
def test_latex_compiles(tmp_path):
    """With the reported tables, and texts of which pdfTeX knows every character."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex; Debian has it in texlive-latex-recommended")
    reported = reported_rows(read_reported(BOARD), [], {})
    hostile = [row(text, 1.0, id=text) for text in HOSTILE if text.isascii()]
    tables = [
        as_latex(TABLE.title, ROWS, fields_named([]), SCORE),
        *(as_latex("t", rows, [*FIELDS.values()], SCORE) for rows in (ROWS, reported, hostile)),
    ]
    for number, table in enumerate(tables):
        (tmp_path / f"t{number}.tex").write_text(table, encoding="utf-8")
    inputs = "\n\n".join(rf"\input{{t{number}.tex}}" for number in range(len(tables)))
    head = r"\documentclass{article}\usepackage{booktabs}\begin{document}\tiny"
    (tmp_path / "main.tex").write_text(f"{head}\n{inputs}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.slow
def test_two_thousand_records_are_built(tmp_path):
    """Generous: benchmarks/leaderboard.py measures it, and benchmarks/README.md has the figures."""
    folder = write_board(tmp_path / "board")
    started = time.process_time()
    tables, refused = _tables(folder, Reporter())
    texts = _texts(_parts(tables, folder), tables)
    assert time.process_time() - started < 60
    assert refused == []
    assert sum(len(table.entries) for table in tables) == 2000
    rows = list(csv.DictReader(io.StringIO(texts["leaderboard.csv"].decode())))
    assert sum(each["record"] != "" for each in rows) == 2000
    ranked = [each for each in rows if each["rank_best"]]
    assert len(ranked) > 500
    assert all(int(each["rank_best"]) <= int(each["rank_worst"]) for each in ranked)
