r"""Texts of records, files and plugins in the formats that show them: one escape for each format.

Whatever a name holds, it stays a text: no tag, link, formula or command of the format, and no second line. Characters
that nobody can see are shown as JSON writes them, such as ``\u001b`` and ``\n``, in every format.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = [
    "csv_cell",
    "fence",
    "finite_json",
    "latex_text",
    "markdown_text",
    "message_text",
    "terminal_text",
    "visible",
]

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_INVISIBLE = (
    "\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_NO_CHARACTERS = "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
_HIDDEN = re.compile(f"[{_CONTROLS}{_INVISIBLE}{_NO_CHARACTERS}]")
"""Controls but tab and line feed, marks of direction, characters of no width, and what is no character.

XML allows none of the controls, and a terminal obeys them; marks of direction reorder what stands around them.
"""


def visible(text: str) -> str:
    """Return a text in one line in which every character can be seen: for a cell, a name, a title."""
    return terminal_text(text).replace("\n", "\\n").replace("\t", "\\t")


def terminal_text(text: str) -> str:
    """Return a text of several lines, perhaps with tabs, that a terminal shows as it is; JSON stays the same JSON."""
    if text.isascii() and text.isprintable():  # most texts are, and this is found out in a tenth of the time
        return text
    return _HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def message_text(text: str) -> str:
    """Return a message for a terminal: further lines are indented by two spaces, so any other line break is data."""
    return re.sub(r"\n(?!  )", r"\\n", terminal_text(text)).replace("\t", "\\t")


# ------------------------------------------------------------------------------------------------------------ Markdown

_MARKDOWN = re.compile(r"[\\`*<>&|~#!\[\]{}$@]|(?<![^\W_])_++|_++(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)


def markdown_text(text: str) -> str:
    """Return a text for a heading, a paragraph or a table cell of Markdown.

    Character references are used instead of backslashes: a backslash before ``|`` is read differently by the parsers,
    and a reference begins no structure in any. A ``_`` inside a word is none either, so that names stay readable.
    """
    return _MARKDOWN.sub(lambda found: "".join(f"&#{ord(character)};" for character in found[0]), visible(text))


def fence(text: str) -> str:
    """Return a line of backticks that opens or closes a code block: longer than any run of them in its text."""
    return "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 0)


# --------------------------------------------------------------------------------------------------------------- LaTeX

_MATHS = {"−": "-", "τ": r"\tau", "δ": r"\delta", "≥": r"\geq", "≤": r"\leq"}
"""Characters of tables of ours that pdfTeX does not know."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\^{}",
    "~": r"\textasciitilde{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    **{character: rf"\ensuremath{{{command}}}" for character, command in _MATHS.items()},
    **{character: rf"\{character}" for character in "&%$#_{}"},
}


def latex_text(text: str) -> str:
    """Return a text for a cell of a LaTeX table.

    A ``[`` or ``*`` at its start would be an argument of the line break before it, so braces protect it.
    """
    shown = visible(text)
    escaped = "".join(_LATEX.get(character, character) for character in shown)
    return "{}" + escaped if shown.lstrip()[:1] in ("[", "*") else escaped


# -------------------------------------------------------------------------------------------------------- CSV and JSON


def csv_cell(text: str) -> str:
    """Return a text for a cell of a CSV file; one that spreadsheets take for a formula gets a ``'`` in front."""
    return f"'{visible(text)}" if text.lstrip()[:1] in tuple("=+-@＝＋－＠") else visible(text)


def finite_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON without NaN and infinity, which JSON does not have: they become null.

    Objects that JSON does not know, such as paths, become texts.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:  # most values have none, and walking through all of them takes longer than writing them
        text = json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False, default=str)
    return terminal_text(text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
