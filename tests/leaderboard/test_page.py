"""The page as text: what it holds, what it may load, and that no text of a record is more than a text."""

import json
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hostile import HOSTILE
from toy_networks import trained_record

from wsolbench.escaping import csv_cell, latex_text, markdown_text, visible
from wsolbench.leaderboard.architectures import architectures_of
from wsolbench.leaderboard.details import details_of
from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.markdown import Section, as_readme
from wsolbench.leaderboard.page import Part, render_page
from wsolbench.leaderboard.rows import Row, rows_of, score_of
from wsolbench.records.compare import scores_of

SCORE = "fullsup_box_acc_v2"


def row(method, score, network="net", seeds=(0,), group=None, kind="measured", **changes):
    """Return a row of a network under a method."""
    named = f"{network}/{method}/{','.join(map(str, seeds))}"
    weights = "plain" if len(seeds) > 1 else f"plain, seed {seeds[0]}"
    facts = {"id": named, "table": "birds", "kind": kind, "network": network, "system": None, "family": "other"}
    facts |= {"kernel": 3, "parameters": 10**6, "precision": "fp32", "weights": weights, "recipe": "plain"}
    facts |= {"weights_kind": "trained here", "seeds": seeds, "group": group, "method": method, "images": 8}
    return Row(**{**facts, "metrics": {SCORE: score}, **changes})


class Tags(HTMLParser):
    """The tags of a page with their attributes, and the text of every element of a class."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def page_of(*rows):
    return render_page([Part("birds", "birds", "birds, test", rows, SCORE)]).decode()


def test_a_network_has_a_line_with_its_best_method_and_those_of_the_paper():
    rows = [
        row("pc1", 40.0, seeds=(0, 1)),
        row("pc1", 39.0, group="net/pc1/0,1"),
        row("pc1", 41.0, seeds=(1,), group="net/pc1/0,1"),
        row("cam", 38.0, seeds=(0, 1)),
        row("cam", 38.0, group="net/cam/0,1"),
        row("cam", 38.0, seeds=(1,), group="net/cam/0,1"),
        row("ddt", 70.0),  # of one seed only, so that it does not stand for the network
        row("cam", 50.0, network="other"),
        row("cam-neg", 60.0, network="other", incomplete="not defined"),
        row("full-image", 90.0, network=None, kind="baseline"),
        row("cam", 95.0, network="untrained", weights_kind="random"),
    ]
    other, net = architectures_of(rows, SCORE)
    assert (other.best.method, other.best.metrics[SCORE]) == ("cam", 50.0)
    assert set(other.of_method) == {"cam", "cam-neg"}
    assert (net.best.method, net.best.metrics[SCORE]) == ("pc1", 40.0)
    assert net.rows == {each.id for each in rows if each.network == "net"}


def test_further_pages_are_linked_where_there_are_some():
    part = Part("birds", "birds", "birds, test", [row("cam", 50.0)], SCORE)
    for pages in ((), ("systems.md",), ("claims.md", "systems.md")):
        links = {
            attributes.get("href") for tag, attributes in Tags(render_page([part], pages).decode()).found if tag == "a"
        }
        assert links & {"claims.md", "systems.md"} == set(pages)
    page, readme = render_page([part], ["systems.md"]).decode(), as_readme([Section(part, [], [])], ["systems.md"])
    told = "Systems that are trained to localize{}: each beside the same network that was trained without it."
    assert told.format("</a>") in page
    assert "[" + told.format("](systems.md)") in readme


def test_nouns_agree_with_their_numbers_where_there_is_one_of_each():
    rows = [row("cam", 50.0, images=1), row("cam", 40.0, network="other", images=1)]
    paper = row("cam", 60.0, kind="reported", images=None, printed={"max_box_acc": "60"}, source="A paper")
    reported = Part("cub", "CUB", "CUB, as papers report it", [replace(paper, metrics={"max_box_acc": 60.0})], SCORE)
    one, two = (Part("birds", "birds", "birds, test", rows[:count], SCORE) for count in (1, 2))
    page = render_page([one, reported], left_out=1).decode()
    for text in (
        " 1 measurement of 1 network and 1 method on 1 data set;",
        '<p class="warning">1 record is left out:',
        ' <a href="#t-cub">1 number</a>.',
        '<h2 id="h-birds">birds <small>1 image</small></h2>',
        '<label><input type="checkbox" value="birds"> birds, 1 image</label>',
        '<span class="told">1 row</span>',
    ):
        assert text in page
    assert '<td class="sure">not ranked</td>' in page
    page = render_page([replace(two, rows=[replace(each, rank=(1, 2)) for each in rows])], left_out=2).decode()
    for text in (
        " 2 measurements of 2 networks and 1 method on 1 data set;",
        '<p class="warning">2 records are left out:',
        '<td class="sure">1 of 1 other</td>',
        '<span class="told">All 2 rows</span>',
    ):
        assert text in page


def test_nouns_of_the_readme_agree_with_their_numbers():
    rows = [row("cam", 50.0 - place, network=f"net{place}") for place in range(14)]
    one, thirteen, fourteen = (Part("birds", "birds", "birds, test", rows[:count], SCORE) for count in (1, 13, 14))
    parts = (one, thirteen, fourteen)
    texts = [as_readme([Section(part, [], [])], [], left_out) for left_out, part in enumerate(parts)]
    assert "[1 row](index.html#t-birds); as [LaTeX](birds.tex)." in texts[0]
    assert "[All 13 rows](index.html#t-birds), with 1 more network; as" in texts[1]
    assert "**1 record is left out**:" in texts[1]
    assert "[All 14 rows](index.html#t-birds), with 2 more networks; as" in texts[2]
    assert "**2 records are left out**:" in texts[2]


def test_methods_that_differ_in_case_alone_are_always_in_the_same_order():
    names = [name for letter in "abcdefgh" for name in (letter.upper(), letter)]
    page = page_of(*(row(name, 50.0) for name in reversed(names)))
    shown = [attributes["value"] for tag, attributes in Tags(page).found if tag == "input" and "value" in attributes]
    assert [value for value in shown if value in names] == names


def test_texts_of_records_are_texts():
    rows = [
        row(text or "-", 50.0, network=text, weights=text, family=text, incomplete=text, source=text, precision=text)
        for text in HOSTILE
    ]
    plain = Tags(page_of(row("cam", 50.0)))
    page = page_of(*rows)
    hostile = Tags(page)
    assert {tag for tag, _ in hostile.found} <= {tag for tag, _ in plain.found} | {"b", "em"}
    assert sum(tag == "script" for tag, _ in hostile.found) == sum(tag == "script" for tag, _ in plain.found)
    assert not [attributes for _, attributes in hostile.found if any(name.startswith("on") for name in attributes)]
    known = [
        attributes["data-method"] for tag, attributes in hostile.found if tag == "tr" and "data-method" in attributes
    ]
    assert set(known) >= {visible(text) for text in HOSTILE if text}
    assert not set(page) & {"\x1b", "\u202e", "\x07", "\x00", "\u200b"}


def test_texts_for_other_formats_come_escaped_with_the_page():
    page = page_of(*[row("cam", 50.0, network=text or "-") for text in HOSTILE])
    start = page.index('id="settings">') + len('id="settings">')
    escaped = json.loads(page[start : page.index("</script>", start)])["escaped"]
    for text in map(visible, filter(None, HOSTILE)):
        assert escaped["latex"].get(text, text) == latex_text(text)
        assert escaped["markdown"].get(text, text) == markdown_text(text)
        assert escaped["csv"].get(text, text) == csv_cell(text)


def test_nothing_is_loaded_but_files_beside_the_page():
    tags = Tags(page_of(row("cam", 50.0))).found
    places = [attributes[name] for _, attributes in tags for name in ("src", "href") if name in attributes]
    assert places
    assert not [place for place in places if ":" in place or place.startswith("//")]
    assert not [tag for tag, _ in tags if tag in ("link", "iframe", "object", "embed")]
    (policy,) = [attributes["content"] for tag, attributes in tags if attributes.get("http-equiv")]
    assert "default-src 'none'" in policy


@pytest.fixture(scope="module")
def details():
    """A table of two records with its files, and their scores."""
    records = [trained_record(name, shift=shift) for shift, name in enumerate(("one", "two"))]
    entries = [Entry(f"birds/{place}.json", f"{place}" * 64, record) for place, record in enumerate(records)]
    (table,) = group_tables(entries)
    scores = {entry.name: scores_of(entry.record, ()) for entry in table.entries}
    return table, scores, details_of(table)


def test_resamples_in_a_file_are_those_that_records_are_compared_by(details):
    table, scores, files = details
    for entry in table.entries:
        content = files[f"details/{entry.sha256[:16]}.js"].decode()
        name, detail = json.loads(f"[{content[len('wsolbenchDetail(') : -len(');') - 1]}]")
        assert name == entry.sha256[:16]
        assert detail["record"] == entry.name
        assert detail["resampled"]
        for metric, kept in detail["resampled"].items():
            value, resampled = scores[entry.name][metric]
            numbers = np.frombuffer(b64decode(kept["numbers"]), f"<u{kept['width']}")
            np.testing.assert_allclose(
                (kept["lowest"] + numbers.astype(int)) * 100 / kept["whole"], resampled, atol=1e-9
            )
            assert kept["value"] == value


def test_a_row_names_the_file_of_its_details(details):
    table, _, files = details
    part = Part(table.slug, "birds", table.title, rows_of(table), score_of(table))
    named = [
        attributes.get("data-detail") for tag, attributes in Tags(render_page([part]).decode()).found if tag == "tr"
    ]
    assert {f"details/{name}.js" for name in named if name} < set(files)
