"""Every escape, with the reader of its format: a hostile text stays one text, and can be read back."""

import csv
import html
import io
import json
import re
from html.parser import HTMLParser

import pytest
from hostile import HOSTILE
from markdown_it import MarkdownIt

from wsolbench.escaping import (
    csv_cell,
    fence,
    finite_json,
    latex_text,
    markdown_text,
    message_text,
    terminal_text,
    visible,
)

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def inline_types(token):
    return {child.type for child in token.children}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_visible_text_is_one_line_of_printable_characters(text):
    shown = visible(text)
    assert all(character.isprintable() for character in shown)
    assert visible(shown) == shown


def test_hidden_characters_are_shown_as_json_writes_them():
    assert visible("a\x1b[1m\n\tb\u202e\U000e0041\x9b") == "a\\u001b[1m\\n\\tb\\u202e\\udb40\\udc41\\u009b"
    assert terminal_text("one\ttwo\nthree\r") == "one\ttwo\nthree\\r"


def test_scripts_and_accents_stay_as_they_are():
    for text in ("τ 0.5 – 3×3 ± 1 [95 %]", "Ω日本語 עברית é", "naïve_name"):
        assert visible(text) == terminal_text(text) == message_text(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_of_a_message_is_the_first_or_indented(text):
    shown = message_text(f"error: {text}\n  what to type\n  {text}")
    first, *rest = shown.split("\n")
    assert first.startswith("error: ")
    assert all(line.startswith("  ") for line in rest)
    assert all(character.isprintable() for character in shown.replace("\n", ""))


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_stays_a_cell_a_heading_and_a_text(text):
    table = f"| {markdown_text(text)} | b |\n|---|---|\n| {markdown_text(text)} | 1 |\n"
    cells = [token for token in MARKDOWN.parse(table) if token.type == "inline"]
    shown = visible(text).strip()
    assert [html.unescape(cell.content).strip() for cell in cells] == [shown, "b", shown, "1"]
    heading, inline, _ = MARKDOWN.parse(f"## {markdown_text(text)}\n")
    assert heading.tag == "h2"
    assert "".join(child.content for child in inline.children).strip() == shown
    for token in [*cells, inline]:
        assert inline_types(token) <= {"text", "text_special", "entity"}
    assert not re.search(r"://|www\.", markdown_text(text), re.IGNORECASE)  # GitHub makes links of these


@pytest.mark.parametrize("text", HOSTILE)
def test_a_fence_is_longer_than_any_run_of_backticks(text):
    page = f"{fence(text)}sh\n{text}\n{fence(text)}\n\nafter\n"
    kinds = [token.type for token in MARKDOWN.parse(page.replace("\r", "").replace("\x00", ""))]
    assert kinds == ["fence", "paragraph_open", "inline", "paragraph_close"]


@pytest.mark.parametrize("text", HOSTILE)
def test_latex_has_no_command_but_those_of_the_escapes(text):
    escaped = latex_text(text)
    known = r"\\textbackslash\{\}|\\\^\{\}|\\textasciitilde\{\}|\\ensuremath\{[<>]\}|\\[&%$#_{}]"
    assert not re.search(r"[\\&%$#_{}^~<>\n\r]", re.sub(known, "", escaped).removeprefix("{}"))
    assert escaped.lstrip()[:1] not in ("[", "*")


@pytest.mark.parametrize("text", HOSTILE)
def test_csv_cells_are_read_back_and_are_no_formulas(text):
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(["a", csv_cell(text), "b"])
    ((_, cell, _),) = csv.reader(io.StringIO(buffer.getvalue()))
    assert cell.removeprefix("'") == visible(text).removeprefix("'")
    assert cell.strip()[:1] not in ("=", "+", "-", "@", "＝", "＋", "－", "＠")
    assert buffer.getvalue().count("\n") == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_the_same_value_in_visible_characters(text):
    value = {"name": [text, {"x": text}], "number": 1.5}
    shown = finite_json(value, indent=1)
    assert json.loads(shown) == value
    assert shown == terminal_text(shown)


def test_json_has_no_nan_and_no_infinity():
    assert json.loads(finite_json({"a": float("nan"), "b": (1, -float("inf"))})) == {"a": None, "b": [1, None]}


class Tags(HTMLParser):
    """Collects every tag of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, _attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_html_of_a_page_with_the_text_has_no_tag_of_the_text(text):
    tags = Tags()
    tags.feed(MARKDOWN.render(f"a {markdown_text(text)} b\n"))
    assert tags.tags == ["p"]
