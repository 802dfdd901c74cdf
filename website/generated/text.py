"""Texts of the program as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def cell(text: object) -> str:
    """Return a text as a cell of a table: one line, and no character that Markdown or HTML reads."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: object) -> str:
    """Return a text as code in a cell; nothing for an empty text."""
    line = " ".join(str(text).split())
    return f"`{line.replace('|', chr(0x2502))}`" if line else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a text where it would have no row."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if not lines:
        return "None.\n"
    return "\n".join(["| " + " | ".join(header) + " |", "|" + ":--|" * len(header), *lines]) + "\n"
