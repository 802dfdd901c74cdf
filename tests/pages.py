"""The blocks of the documentation: which there are, and which are not run, with the reason.

A block is run by `tests/test_documentation_runs.py` unless the line above it says ``<!-- not run: REASON -->``. Near
the top of a page, ``<!-- no block is run: REASON -->`` says so of all its blocks.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks/README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]

_BLOCK = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>.*?) -->\n)?^ *```(?P<language>\w+)\n(?P<text>.*?)^ *```", re.DOTALL | re.MULTILINE
)
_NONE = re.compile(r"^<!-- no block is run: (.*?) -->$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        page: Path of the page.
        line: Its first line, from 1.
        language: What its fence names.
        text: Its lines, without the indentation that they share.
        reason: Why it is not run; None where it is.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None


def blocks(page, *languages):
    """Return the blocks of a page in some languages, in their order."""
    text = page.read_text(encoding="utf-8")
    whole = _NONE.search(text)
    return [
        Block(
            page,
            text.count("\n", 0, match.start("text")) + 1,
            match["language"],
            dedent(match["text"]),
            match["reason"] or (whole[1] if whole else None),
        )
        for match in _BLOCK.finditer(text)
        if match["language"] in languages
    ]
