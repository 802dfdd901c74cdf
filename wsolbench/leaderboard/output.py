"""The files that a build writes: recognized when it is repeated, replaced together, and no others touched."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from wsolbench.drafts import draft_folder
from wsolbench.errors import OutputError
from wsolbench.files import read_regular
from wsolbench.records.plain import SEAL, summary_sha256

__all__ = [
    "FURTHER",
    "INDEX",
    "LARGEST",
    "MANIFEST",
    "PAGE",
    "ROWS",
    "SAYS",
    "SYSTEMS",
    "check_own",
    "leftovers",
    "listed",
    "mark_of",
    "parsed_manifest",
    "publish",
]

INDEX, PAGE, ROWS, MANIFEST = "index.html", "README.md", "leaderboard.csv", "leaderboard.json"
SAYS, SYSTEMS = "claims.md", "systems.md"
FURTHER: Final = {
    SAYS: ("What the board says", "claims of CAM Back Again, tried on these records."),
    SYSTEMS: ("Systems that are trained to localize", "each beside the same network that was trained without it."),
}
"""Further pages, which a board has if its records fill them: file -> title, and a sentence for a link to it."""

LARGEST = 2**28
"""Bytes of a file of a leaderboard; more is taken for damage."""
_NAME = re.compile(r"(figures/)?[A-Za-z0-9_.+=-]+\.(tex|png|svg)|details/[a-z0-9-]+\.js|(claims|systems)\.md")
"""What may be removed, so that no list of files, whoever wrote it, names one elsewhere."""


def mark_of(content: bytes) -> str:
    """Return by what the list of files in ``leaderboard.json`` recognizes a file."""
    return hashlib.sha256(content).hexdigest()


def check_own(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Check that every file that is about to be replaced is as the last build wrote it.

    Args:
        folder: The leaderboard.
        contents: What will be written: name -> content.

    Raises:
        OutputError: Files are there that no build wrote, or that were changed since.
    """
    marks = listed(folder)
    others = [
        folder / name for name, content in contents.items() if not _is_own(folder / name, content, marks.get(name))
    ]
    if others:
        them, were = ("it", "was") if len(others) == 1 else ("them", "were")
        raise OutputError(
            f"{', '.join(map(str, others))} {were} not written by 'wsolbench leaderboard build', or changed since it "
            f"wrote {them}; move {them}, or delete {them} to have {them} built again"
        )


def leftovers(folder: Path, expected: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the files of the last build that no record produces any more.

    Returns:
        Those that are as they were written, and those that were changed since.
    """
    unchanged: list[str] = []
    changed: list[str] = []
    for name, mark in sorted(listed(folder).items()):
        content = _content(folder / name)
        if name in expected or content is None or not _NAME.fullmatch(name):
            continue
        (unchanged if mark_of(content) == mark else changed).append(name)
    return unchanged, changed


def publish(folder: Path, contents: Mapping[str, bytes], removed: Collection[str]) -> None:
    """Replace the files of a leaderboard: all are written to a hidden folder first, then renamed.

    The list of files comes last. Where a build was killed before that, files that the next one writes just so are own.

    Raises:
        OutputError: A file cannot be written; unless it is a rename that fails, nothing has changed.
    """
    names = sorted(contents, key=lambda name: (name == MANIFEST, name))
    place = folder / MANIFEST
    try:
        with draft_folder(place) as draft:
            for name in names:
                place = folder / name
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                (draft / name).write_bytes(contents[name])
            for name in removed:
                (folder / name).unlink(missing_ok=True)
            for name in names:
                place = folder / name
                place.parent.mkdir(exist_ok=True)
                (draft / name).replace(place)
    except OSError as error:
        raise OutputError(f"{place}: cannot be written ({error.strerror})") from error


def listed(folder: Path) -> dict[str, str]:
    """Return what the last build wrote: name -> mark; nothing where no build listed it."""
    files = (parsed_manifest(_content(folder / MANIFEST) or b"") or {}).get("files")
    if not isinstance(files, dict):
        return {}
    return {name: mark for name, mark in files.items() if isinstance(mark, str)}


def _content(path: Path) -> bytes | None:
    """Return the content of a file, or None where there is no regular one that can be read."""
    try:
        return read_regular(path, LARGEST)
    except OSError:
        return None


def _is_own(path: Path, planned: bytes, mark: str | None) -> bool:
    """Tell whether nothing is lost where a file is replaced: it is not there, is empty, or is as a build writes it."""
    content = _content(path)
    if content is None:
        return not path.exists()
    if not content.strip() or content == planned:
        return True
    if path.name == MANIFEST:
        return parsed_manifest(content) is not None
    return mark_of(content) == mark


def parsed_manifest(content: bytes) -> dict[str, object] | None:
    """Return the content of a ``leaderboard.json`` as it was written, or None of any other file."""
    try:
        parsed = json.loads(content)
        return parsed if isinstance(parsed, dict) and parsed.get(SEAL) == summary_sha256(parsed) else None
    except (ValueError, RecursionError):
        return None
