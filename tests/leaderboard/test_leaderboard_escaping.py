"""Hostile texts of records in every format of the leaderboard and of the tables: the structure stays as it is."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from hostile import HOSTILE
from leaderboards import drawn_of, figure_in, figures_in, parts_of, readme_of, rows_in
from markdown_it import MarkdownIt
from toy_networks import trained_record

from wsolbench.escaping import visible
from wsolbench.leaderboard.data import as_csv, as_json
from wsolbench.leaderboard.entries import Entry, Table
from wsolbench.leaderboard.figures import figures_of
from wsolbench.leaderboard.latex import as_latex
from wsolbench.leaderboard.markdown import as_markdown
from wsolbench.leaderboard.shown import FIELDS
from wsolbench.records.compare import compare
from wsolbench.records.tables import comparison_html, comparison_table, results_html, results_table

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


BASE = trained_record()


def changed(part, **values):
    return part.model_copy(update=values)  # which checks nothing


def record_of(text):
    """Return a record that holds a text wherever one of a plugin, a file or a user can stand."""
    size = 10**6 + len(text)  # networks of one size are drawn in no figure of sizes
    backbone = changed(BASE.backbone, name=text, parameters=size, weights=changed(BASE.backbone.weights, file=text))
    return changed(
        BASE,
        dataset=changed(BASE.dataset, name=text),
        backbone=backbone,
        method=changed(BASE.method, name=text, changed_options={text: text}),
        environment=changed(BASE.environment, command=text),
    )


def table_of(*texts):
    entries = [Entry(f"birds/{number}.json", "0" * 64, record_of(text)) for number, text in enumerate(texts)]
    return Table("birds", f"{texts[0]}, test", tuple(entries))


class Page(HTMLParser):
    """Counts the tags of a page, and keeps where its links and images lead."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.places = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.places += [value for name, value in attributes if name in ("href", "src") or name.startswith("on")]


def shape(page):
    """Return what a page consists of: every token, and every tag of its HTML."""
    html = Page(MARKDOWN.render(page))
    return [token.type for token in MARKDOWN.parse(page)], html.tags, html.places


PLAIN = "ordinary"


@pytest.mark.parametrize("text", HOSTILE)
def test_the_page_has_the_structure_of_an_ordinary_one(text):
    assert shape(readme_of([table_of(text)])) == shape(readme_of([table_of(PLAIN)]))


@pytest.mark.parametrize("text", HOSTILE)
def test_tables_of_markdown_have_the_structure_of_an_ordinary_one(text):
    ours, plain = (as_markdown(rows_in([table_of(each)]), [*FIELDS.values()]) for each in (text, PLAIN))
    assert shape(ours) == shape(plain)


@pytest.mark.parametrize("text", HOSTILE)
def test_rows_are_read_back_from_csv_and_json(text):
    (row,) = csv.DictReader(io.StringIO(as_csv(rows_in([table_of(text)]))))
    assert None not in row
    assert row["network"].removeprefix("'") == visible(text).removeprefix("'")
    assert row["max_box_acc"] == "50.0"
    assert not [cell for cell in row.values() if cell.lstrip()[:1] in tuple("=+-@")]

    def refuse(name):
        raise AssertionError(name)

    content = json.loads(as_json(parts_of([table_of(text)])), parse_constant=refuse)
    assert content["tables"][0]["rows"][0]["network"] == text


@pytest.mark.parametrize("text", HOSTILE)
def test_latex_tables_have_the_lines_and_cells_of_an_ordinary_one(text):
    def structure(table):
        return [
            line[:1] if line[:1] == "%" else (len(re.findall(r"(?<!\\)&", line)), line.endswith(r"\\"))
            for line in as_latex(table.title, rows_in([table]), [*FIELDS.values()], "fullsup_box_acc_v2").splitlines()
        ]

    assert structure(table_of(text)) == structure(table_of(PLAIN))


def test_figures_are_xml_with_the_texts_as_they_are():
    texts = ["$\\undefined{", "\x1b[31m\x00\ufffe", "</text><script/>", "$a$ & <b>", "日本語 l\nine"]
    table = table_of(*texts)
    assert figures_of(drawn_of(table)) == ["size", "intervals", "curves", "methods"]
    for name in figures_of(drawn_of(table)):
        root = ElementTree.fromstring(figure_in(table, name))
        shown = "".join(root.itertext())
        assert all(visible(text) in shown for text in texts)
        assert not [node for node in root.iter() if node.tag.endswith("}script")]


def test_settings_of_the_drawing_library_change_no_figure():
    """As a ``matplotlibrc`` in the working directory has them."""
    drawn = figures_in(table_of(PLAIN))  # every figure as PNG and SVG
    with mpl.rc_context({"savefig.dpi": 10, "figure.facecolor": "red", "font.size": 30, "text.usetex": True}):
        assert figures_in(table_of(PLAIN)) == drawn


@pytest.mark.parametrize("text", HOSTILE)
def test_tables_of_results_and_comparisons_have_their_lines(text):
    ours, plain = ([record_of(each), record_of(each)] for each in (text, PLAIN))
    assert results_table(ours, width=10_000).count("\n") == results_table(plain).count("\n")
    assert comparison_table(compare(*ours)).count("\n") == comparison_table(compare(*plain)).count("\n")
    for table in (results_table(ours), comparison_table(compare(*ours))):
        assert all(line.isprintable() for line in table.split("\n"))
    assert Page(results_html(ours)).tags == Page(results_html(plain)).tags
    assert Page(comparison_html(compare(*ours))).tags == Page(comparison_html(compare(*plain))).tags
