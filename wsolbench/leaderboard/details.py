"""What the page shows of a row that is opened or compared: a small script for every record.

A page that is opened from disk may load scripts, but may not fetch data, so each file calls a function of the page
with an object.
"""

from __future__ import annotations

from collections.abc import Iterable

from wsolbench.escaping import finite_json
from wsolbench.leaderboard.entries import Entry, Table
from wsolbench.leaderboard.rows import COLUMNS
from wsolbench.records import ResultRecord
from wsolbench.records.compare import in_order_of_ids
from wsolbench.texts import counted

__all__ = ["DETAILS", "detail_of", "details_of", "images_of"]

DETAILS = "details"
"""The folder beside the page."""


def details_of(table: Table) -> dict[str, bytes]:
    """Return the files of a table: of every record, and of the ids of its images."""
    files = {f"{DETAILS}/{entry.sha256[:16]}.js": detail_of(entry) for entry in table.entries}
    return files | {f"{DETAILS}/{images_of(entry)}.js": _images(entry) for entry in table.entries[:1]}


def images_of(entry: Entry) -> str:
    """Return under which name the ids of the images of a record are kept; all records of a table share it."""
    record = entry.record
    digest = next(part.image_ids_sha256 for part in record.splits if part.split == record.protocol.split)
    return f"images-{digest[:16]}"


def detail_of(entry: Entry) -> bytes:
    """Return the file of a record."""
    record = entry.record
    labelled = {
        "record": entry.name,
        "seed": entry.seed,
        "images": images_of(entry),
        "commands": [*dict.fromkeys(each.command for each in entry.history), record.environment.command],
        "facts": list(_facts(entry)),
        "scores": {column.key: found for column in COLUMNS if (found := _score(record, column.key)) is not None},
    }
    return _script(entry.sha256[:16], f"{finite_json(labelled)[:-1]}, {entry.measured[1:]}")


def _images(entry: Entry) -> bytes:
    evaluated = next(part for part in in_order_of_ids(entry.record) if part.split == entry.record.protocol.split)
    return _script(images_of(entry), finite_json(list(evaluated.image_ids)))


def _script(name: str, content: str) -> bytes:
    """Return a script that gives the page the JSON of something."""
    return f"wsolbenchDetail({finite_json(name)},{content});\n".encode()


def _facts(entry: Entry) -> Iterable[tuple[str, str]]:
    """Yield what is known of a measurement, as pairs of a name and a value."""
    record, network = entry.record, entry.network
    dataset, environment = record.dataset, record.environment
    sizes = ", ".join(f"{counted(count, 'images')} of {split}" for split, count in dataset.split_sizes.items())
    yield "Data", f"{dataset.name} {dataset.version or ''}: {sizes}; annotations {dataset.content_sha256[:16]}"
    if network is not None:
        weights = network.weights
        yield "Network", f"{network.label}, by {network.provider}; {network.preprocessing.size} px, {network.precision}"
        named = ", ".join(filter(None, [weights.file, weights.sha256 and f"sha256 {weights.sha256[:16]}"]))
        yield "Weights", f"{entry.weights}{f'; {named}' if named else ''}"
    method = record.method
    options = ", ".join(f"{name}={value}" for name, value in method.options.items())
    yield "Method", f"{entry.method}{f', by {method.provider}' if method.provider else ''}; {options or 'no options'}"
    revision = f", revision {environment.git_revision[:12]}" if environment.git_revision else ""
    yield "Measured", f"{environment.created}, wsolbench {environment.wsolbench}{revision}, {environment.device}"
    yield "Packages", ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    yield "Hashes", f"record {entry.sha256[:16]}, outcomes {(record.outcomes_sha256 or '–')[:16]}"


def _score(record: ResultRecord, key: str) -> tuple[float, tuple[float, float] | None] | None:
    """Return a metric with its interval; None where there is none."""
    value = getattr(record.metrics, key)
    return None if value is None else (value, record.intervals.metrics.get(key) if record.intervals else None)
