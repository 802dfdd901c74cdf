"""What differs between two states of a leaderboard: rows that are new or gone, scores and ranks that changed.

A state is the list of rows in a ``leaderboard.json``: of this folder, of another one, or of a git revision.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from tabulate import tabulate

from wsolbench.errors import DataError
from wsolbench.escaping import markdown_text, visible
from wsolbench.files import read_regular, sha256
from wsolbench.leaderboard.entries import RANKED, RECORDS, record_paths
from wsolbench.leaderboard.output import LARGEST, MANIFEST, parsed_manifest
from wsolbench.leaderboard.rows import COLUMNS, Row
from wsolbench.records.record import v2_over
from wsolbench.texts import counted, first_names
from wsolbench.validation import refusal

__all__ = [
    "Change",
    "Difference",
    "Standing",
    "as_lines",
    "as_markdown",
    "as_table",
    "compare",
    "parse",
    "read",
    "read_current",
    "standing_of",
]

_ROUNDING = 1e-9  # percent
_DASH = "–"
_ARROW = "→"
_COUNTED = {"gone": "gone", "score": "with other scores", "rank": "with other ranks"}
_HEADINGS = ["", "table", "network", "weights", "method", "scores", "rank"]
_SCORES = (*RANKED, "pxap")
"""The metric that a new row is shown with: the first that it has."""
_LABELS = {column.key: column.heading.partition(" [")[0] for column in COLUMNS}


def _metrics(value: Any) -> Any:
    """Return those metrics that are columns; a ``leaderboard.json`` may have more."""
    return {key: value.get(key) for key in _LABELS} if isinstance(value, Mapping) else value


class Standing(BaseModel):
    """What is compared of a row; the names are those of `Row`, which says more of each."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    id: Annotated[str, AfterValidator(lambda name: name.removesuffix(".json"))] = Field(
        validation_alias=AliasChoices("id", "record")  # versions without ids have the file of the record
    )
    table: str = ""
    kind: str = "measured"
    network: str | None = Field(validation_alias=AliasChoices("network", "backbone"))
    weights: str | None = None
    method: str
    metrics: Annotated[dict[str, float | None], BeforeValidator(_metrics)]
    iou_thresholds: tuple[float, ...] = ()
    rank: tuple[int, int] | None = None
    record: str | None = None
    record_sha256: str | None = None

    @property
    def score(self) -> str | None:
        """The metric that stands for the row; None where it has no score."""
        return next((key for key in _SCORES if self.metrics.get(key) is not None), None)

    def label(self, key: str) -> str:
        """Return what people call one of its metrics."""
        return _LABELS[key].replace("V2", v2_over(self.iou_thresholds)) if self.iou_thresholds else _LABELS[key]


@dataclass(frozen=True)
class Change:
    """A row that is not in both states, or not the same in both.

    Attributes:
        before: The row in the old state; None where it is new.
        after: The row in the new state; None where it is gone.
    """

    before: Standing | None
    after: Standing | None

    @property
    def row(self) -> Standing:
        """The row as it is now or, where it is gone, as it was."""
        row = self.after or self.before
        assert row is not None
        return row

    @property
    def kind(self) -> Literal["new", "gone", "score", "rank"]:
        """What happened to it; a changed score says more than the rank that follows from it."""
        if self.before is None:
            return "new"
        if self.after is None:
            return "gone"
        return "score" if self.scores else "rank"

    @property
    def scores(self) -> dict[str, tuple[float | None, float | None]]:
        """Metric -> its value before and after, where both rows are there and the values differ."""
        if self.before is None or self.after is None:
            return {}
        pairs = {key: (self.before.metrics.get(key), self.after.metrics.get(key)) for key in _LABELS}
        return {key: pair for key, pair in pairs.items() if _differ(*pair)}

    @property
    def is_reranked(self) -> bool:
        """Whether both rows have a range of ranks, and the two differ."""
        if self.before is None or self.after is None or self.before.rank is None or self.after.rank is None:
            return False
        return self.before.rank != self.after.rank

    def summary(self) -> dict[str, Any]:
        """Return the change as plain values for JSON."""
        row = self.row
        scores = self.scores or {key: self._ends(row.metrics[key]) for key in _LABELS if row.metrics.get(key)}
        return {
            "change": self.kind,
            **row.model_dump(include={"id", "table", "kind", "network", "weights", "method"}),
            "scores": {key: {"before": before, "after": after} for key, (before, after) in scores.items()},
            "rank": {
                "before": self.before and self.before.rank,
                "after": self.after and self.after.rank,
            },
        }

    def _ends(self, value: Any) -> tuple[Any, Any]:
        return (None, value) if self.before is None else (value, None)

    def cells(self) -> list[str]:
        """Return what a table shows of it, with every character visible."""
        row = self.row
        texts = [self.kind, row.table, row.network or _DASH, row.weights or _DASH, row.method]
        return [*map(visible, texts), self._shown_scores(), self._shown_rank()]

    def _shown_scores(self) -> str:
        row = self.row
        if self.before is not None and self.after is not None:
            return "; ".join(f"{row.label(key)} {_move(*map(_number, pair))}" for key, pair in self.scores.items())
        key = row.score
        return _DASH if key is None else f"{row.label(key)} {_number(row.metrics[key])}"

    def _shown_rank(self) -> str:
        return _move(*(_range(row.rank if row else None) for row in (self.before or self.after, self.row)))


@dataclass(frozen=True)
class Difference:
    """Everything that differs between two states.

    Attributes:
        old: What people call the old state.
        new: What people call the new one.
        changes: The rows: first those that are new, then those that are gone, other scores, other ranks.
    """

    old: str
    new: str
    changes: Sequence[Change]

    def counts(self) -> dict[str, int]:
        """Return how many changes there are of each kind; a changed score with another rank counts as both."""
        kinds = [change.kind for change in self.changes]
        ranks = sum(change.is_reranked for change in self.changes)
        return {"new": kinds.count("new"), "gone": kinds.count("gone"), "score": kinds.count("score"), "rank": ranks}

    def summary(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        changes = [change.summary() for change in self.changes]
        return {"old": self.old, "new": self.new, "counts": self.counts(), "changes": changes}


def standing_of(row: Row) -> Standing:
    """Return what is compared of a row."""
    fields = {name: getattr(row, name) for name in Standing.model_fields}
    return Standing.model_validate(fields)


def compare(old: Iterable[Standing], new: Iterable[Standing], names: tuple[str, str]) -> Difference:
    """Return what differs between two states.

    Args:
        old: The rows of the one.
        new: The rows of the other.
        names: What people call the two.
    """
    before, after = ({row.id: row for row in rows} for rows in (old, new))
    pairs = [Change(before.get(key), after.get(key)) for key in {**after, **before}]
    changes = [each for each in pairs if each.before is None or each.after is None or each.scores or each.is_reranked]
    order = ("new", "gone", "score", "rank")
    return Difference(*names, sorted(changes, key=lambda change: order.index(change.kind)))


# -------------------------------------------------------------------------------------------------------------- reading


def read(state: str, folder: Path) -> list[Standing]:
    """Return the rows of a state.

    Args:
        state: Another leaderboard, its ``leaderboard.json``, or a git revision of the folder.
        folder: The leaderboard that it is compared with.

    Raises:
        DataError: It is none of them.
    """
    path = Path(state)
    if path.is_dir():
        path /= MANIFEST
    elif not path.exists():
        return parse(_of_revision(state, folder), f"{MANIFEST} of {state}")
    try:
        return parse(read_regular(path, LARGEST), str(path))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; 'wsolbench leaderboard build' writes it") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def read_current(folder: Path) -> list[Standing]:
    """Return the rows of a leaderboard that is built from the records in it.

    Raises:
        DataError: It is not built, or from other records.
    """
    rows, records = read(str(folder), folder), folder / RECORDS
    if records.is_dir():
        there = {path.relative_to(records).as_posix(): sha256(path) for path in record_paths(records)}
        shown = {row.record: row.record_sha256 for row in rows if row.record is not None}
        other = sorted(name for name in {**there, **shown} if there.get(name) != shown.get(name))
        if other:
            raise DataError(
                f"{folder} is not built from the records in it ({first_names(other, 1)}); "
                f"run 'wsolbench leaderboard build --folder {folder}' first"
            )
    return rows


def parse(content: bytes, where: str) -> list[Standing]:
    """Return the rows of a ``leaderboard.json``.

    Args:
        content: What it holds.
        where: What people call it.

    Raises:
        DataError: It is none, or was changed after it was built.
    """
    manifest = parsed_manifest(content)
    if manifest is None:
        raise DataError(
            f"{where}: not a leaderboard.json as 'wsolbench leaderboard build' writes it, or changed since it was built"
        )
    try:
        stored = _Manifest.model_validate(manifest)
    except ValidationError as error:
        raise DataError(f"{where}: not a leaderboard.json of this program ({refusal(error)})") from None
    return [row.model_copy(update={"table": table.slug}) for table in stored.tables for row in table.rows]


class _StoredTable(BaseModel):
    slug: str
    rows: list[Standing]


class _Manifest(BaseModel):
    tables: list[_StoredTable]


def _of_revision(revision: str, folder: Path) -> bytes:
    """Return the ``leaderboard.json`` of a git revision.

    Raises:
        DataError: There is none.
    """
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise DataError(
            f"{visible(revision)}: neither a leaderboard, its {MANIFEST}, nor a git revision of {folder}; "
            "name one, as in 'wsolbench leaderboard diff HEAD'"
        )
    content = _git(folder, "show", f"{commit.decode().strip()}:./{MANIFEST}")
    if content is None:
        raise DataError(f"{visible(revision)}: this git revision has no {folder / MANIFEST}")
    return content


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Return what a command of git prints, or None where it fails."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False, timeout=60)
    except (OSError, ValueError, subprocess.TimeoutExpired):  # a name with a null character is a ValueError
        return None
    return done.stdout if done.returncode == 0 else None


# -------------------------------------------------------------------------------------------------------------- writing


def as_table(difference: Difference) -> str:
    """Return a difference for a terminal."""
    rows = [change.cells() for change in difference.changes]
    shown = [tabulate(rows, _HEADINGS, disable_numparse=True)] if rows else []
    return "\n\n".join([f"{difference.new} against {difference.old}: {_counted(difference)}", *shown])


def as_markdown(difference: Difference) -> str:
    """Return a difference for a pull request; other ranks, which may be many, are folded."""
    names = (markdown_text(name) for name in (difference.new, difference.old))
    parts = [f"{' against '.join(names)}: {_counted(difference)}."]
    folded = [change for change in difference.changes if change.kind == "rank"]
    shown = [change for change in difference.changes if change.kind != "rank"]
    parts += [_markdown_table(shown)] if shown else []
    if folded:
        summary = f"<summary>{counted(len(folded), 'rows')} with other ranks and the same scores</summary>"
        parts.append(f"<details>{summary}\n\n{_markdown_table(folded)}\n\n</details>")
    return "\n\n".join(parts)


def as_lines(difference: Difference, most: int) -> list[str]:
    """Return a difference as lines, the first of which counts the changes.

    Args:
        difference: What differs.
        most: So many changes have a line.
    """
    lines = [f"{difference.new} against {difference.old}: {_counted(difference)}"]
    for change in difference.changes[:most]:
        what, *names, scores, rank = change.cells()
        ranks = [] if rank == _DASH else [f"rank {rank}"]
        lines.append(f"  {what}: {', '.join(names)}: {'; '.join([*filter(None, [scores]), *ranks])}")
    further = len(difference.changes) - most
    return [*lines, f"  and {further:,} more"] if further > 0 else lines


def _markdown_table(changes: Sequence[Change]) -> str:
    rows = [[*map(markdown_text, change.cells())] for change in changes]
    return tabulate(rows, _HEADINGS, tablefmt="pipe", disable_numparse=True)


def _counted(difference: Difference) -> str:
    if not difference.changes:
        return "no row differs"
    new, *others = difference.counts().items()
    said = [counted(new[1], "new rows"), *(f"{count:,} {_COUNTED[kind]}" for kind, count in others)]
    return ", ".join(said)


def _differ(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(before - after) > _ROUNDING


def _move(before: str, after: str) -> str:
    return before if before == after else f"{before} {_ARROW} {after}"


def _number(value: float | None) -> str:
    return _DASH if value is None else f"{value:.1f}"


def _range(rank: tuple[int, int] | None) -> str:
    if rank is None:
        return _DASH
    low, high = rank
    return str(low) if low == high else f"{low}{_DASH}{high}"
