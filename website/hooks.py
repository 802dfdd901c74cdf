"""The hooks of mkdocs: pages made from the program, the leaderboard beside them, and links out of docs/."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from generated import commands, records, registry, tables
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

GENERATED = {
    "reference/commands.md": commands.page,
    "reference/records.md": records.page,
    "reference/registry.md": registry.page,
    "tables/made.md": lambda: tables.page(ROOT / "leaderboard/records"),
}
"""Page -> what makes it."""

COPIED = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "leaderboard/README.md": "tables/leaderboard.md",
    "leaderboard/claims.md": "tables/claims.md",
    "leaderboard/systems.md": "tables/systems.md",
}
"""Files of the repository that are pages of the site too: path -> page."""

BOARD = "board"
"""Where the page of the leaderboard is on the site, with what it loads."""

_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_ITEM = re.compile(r"(?:[-*]|\d+\.) +")
_FENCE = re.compile(r"^( *```.*?^ *```)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages that are made from the program, pages of files elsewhere in the repository, and the leaderboard."""
    for page, make in GENERATED.items():
        files.append(File.generated(config, page, content=make()))
    for source, page in COPIED.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for path in _board():
        there = f"{BOARD}/{path.relative_to(ROOT / 'leaderboard').as_posix()}"
        files.append(File.generated(config, there, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn what GitHub reads into what mkdocs reads: links to files outside docs/, and what is inside lists."""
    parts = _FENCE.split(markdown)
    parts[::2] = [_LINK.sub(partial(_relinked, page.file.src_uri, config.repo_url, files), part) for part in parts[::2]]
    return "\n".join(_indented("".join(parts).split("\n")))


def _board() -> Iterator[Path]:
    """Yield the files of the leaderboard that its page shows or links to; records stay in the repository."""
    board = ROOT / "leaderboard"
    for pattern in ("index.html", "details/**/*", "figures/*", "*.tex", "leaderboard.csv", "leaderboard.json"):
        yield from sorted(path for path in board.glob(pattern) if path.is_file())


def _indented(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines with what is inside a list item moved to four columns a level.

    On GitHub the text of an item begins where its first word does, after two columns or three; Python's Markdown wants
    four, and would end the list.
    """
    levels: list[int] = []
    fenced = False
    for line in lines:
        text = line.lstrip()
        indent = len(line) - len(text)
        while text and not fenced and levels and indent < levels[-1]:
            levels.pop()
        inside = levels[-1] if levels else 0
        yield " " * (4 * len(levels) + indent - inside) + text if text else line
        fenced ^= text.startswith("```")
        marker = _ITEM.match(text)
        if marker and not fenced and indent - inside < 4:
            levels.append(indent + len(marker[0]))


def _relinked(page: str, repository: str, files: Files, match: re.Match[str]) -> str:
    """Return a link of a page as it has to be on the site."""
    before, target, after = match.groups()
    path, hash_sign, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return match[0]
    source = {there: source for source, there in COPIED.items()}.get(page, f"docs/{page}")
    linked = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if source.startswith("docs/") and linked.startswith("docs/") and not (ROOT / linked).is_dir():
        return match[0]
    return f"{before}{_place(linked, page, repository, files)}{hash_sign}{anchor}{after}"


def _place(path: str, page: str, repository: str, files: Files) -> str:
    """Return where a page of the site finds a file of the repository."""
    is_folder = (ROOT / path).is_dir()
    there = path.removeprefix("docs/") if path.startswith("docs/") and not is_folder else COPIED.get(path)
    if there is None and path.startswith("leaderboard/"):
        on_board = path.replace("leaderboard", BOARD, 1)
        there = on_board if files.get_file_from_path(on_board) else None
    if there is not None:
        return posixpath.relpath(there, posixpath.dirname(page) or ".")
    return f"{repository}/{'tree' if is_folder else 'blob'}/main/{path}"
