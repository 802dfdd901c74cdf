"""What an analysis found, in files: pictures as PNG and SVG, numbers as CSV, and JSON that says what was done."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from wsolbench.errors import DataError
from wsolbench.escaping import csv_cell, finite_json
from wsolbench.figures.style import encoded, own_style
from wsolbench.files import read_regular
from wsolbench.records import BackboneInfo, DatasetInfo, Environment
from wsolbench.records.plain import parse
from wsolbench.texts import counted
from wsolbench.validation import refusal

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from wsolbench.analysis.study import Findings

__all__ = [
    "AnalyzedNetwork",
    "AnalyzedRecord",
    "StoredAnalysis",
    "is_analysis",
    "read_analysis",
    "told_images",
    "write_findings",
]

_LARGEST = 64 * 2**20


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AnalyzedNetwork(_Part):
    """A network that was measured."""

    label: str
    backbone: BackboneInfo


class AnalyzedRecord(_Part):
    """A record that was read: the name of its file, or ``in memory``; None in older files of analyses."""

    label: str
    file: str | None = None
    outcomes_sha256: str


class StoredAnalysis(_Part):
    """What an analysis found, and what it read.

    Attributes:
        analysis: Its name.
        schema_version: Of this file.
        options: Those of the analysis, all with their values.
        dataset: The images that networks were measured on, with the hash of their annotations; None for records.
        image_ids_sha256: Of the ids of the images, one a line.
        seed: Of every random draw; None for records.
        networks: The networks, in the order of the table.
        records: The records that were read.
        environment: What computed it.
        config: The settings of the call.
        shows: What the figures show.
        cannot_say: What must not be concluded from them.
        terms: Words of tables and figures -> what they mean.
        table: The rows of the table, column -> value.
        files: The other files of the analysis.
    """

    analysis: str
    schema_version: int = 1
    options: dict[str, Any]
    dataset: DatasetInfo | None = None
    image_ids_sha256: str | None = None
    seed: int | None = None
    networks: list[AnalyzedNetwork] = []
    records: list[AnalyzedRecord] = []
    environment: Environment
    config: dict[str, Any]
    shows: str
    cannot_say: str
    terms: dict[str, str] = {}
    table: list[dict[str, Any]]
    files: list[str]


def write_findings(findings: Findings, stored: StoredAnalysis, folder: Path) -> None:
    """Write ``NAME.json``, ``NAME.csv``, ``NAME.png`` and ``NAME.svg``, and the same for further tables and figures.

    Pages are in ``NAME.html``. Arrays are in files ``NAME-PART.npz``, which ``numpy.load`` reads as label -> array.

    Args:
        findings: What was found.
        stored: The same as it is stored; its list of files is filled here.
        folder: An existing folder.

    Raises:
        OSError: A file cannot be written.
    """
    contents = _contents(findings, stored.analysis)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    complete = stored.model_copy(update={"files": sorted(contents)})
    (folder / f"{stored.analysis}.json").write_text(
        finite_json(complete.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8"
    )


def told_images(dataset: DatasetInfo) -> str:
    """Return data and images for people: ``critters, 100 images of test``."""
    return ", ".join(
        [dataset.name, *(f"{counted(count, 'images')} of {split}" for split, count in dataset.split_sizes.items())]
    )


def is_analysis(path: Path) -> bool:
    """Return whether a file is what an analysis found, or pretends to be; records have no entry ``analysis``."""
    try:
        content = parse(read_regular(path, _LARGEST))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "analysis" in content


def read_analysis(path: Path) -> StoredAnalysis:
    """Read what an analysis found.

    Raises:
        DataError: The file cannot be read, or is no analysis.
    """
    try:
        content = parse(read_regular(path, _LARGEST))
        return StoredAnalysis.model_validate_json(json.dumps(content))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise DataError(f"{path}: this is no analysis: {refusal(error)}") from error
    except ValueError as error:
        raise DataError(f"{path}: this is no analysis: {error}") from error


def _contents(findings: Findings, name: str) -> dict[str, bytes]:
    """Return file name -> content of all tables and figures."""
    tables = {"": findings.table, **findings.details}
    contents = {f"{_stem(name, part)}.csv": _csv(table) for part, table in tables.items()}
    for part, figure in findings.figures.items():
        contents |= {f"{_stem(name, part)}{ending}": content for ending, content in _pictures(figure).items()}
    contents |= {f"{_stem(name, part)}.html": page.encode() for part, page in findings.pages.items()}
    return contents | {f"{_stem(name, part)}.npz": _npz(arrays) for part, arrays in findings.arrays.items()}


def _stem(name: str, part: str) -> str:
    return f"{name}-{part}" if part else name


def _csv(table: pd.DataFrame) -> bytes:
    texts = table.map(lambda value: csv_cell(value) if isinstance(value, str) else value)
    content: str = texts.to_csv(index=False, float_format="%.6g")
    return content.encode()


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as numpy stores them; the same arrays give the same bytes. A label may be any text, also "file"."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for label, array in arrays.items():
            with archive.open(f"{label}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


@own_style()
def _pictures(figure: Figure) -> Mapping[str, bytes]:
    """Return a picture as PNG and SVG; the same picture gives the same bytes."""
    metadata: dict[str, dict[str, str | None]] = {".png": {"Software": None}, ".svg": {"Date": None}}
    return {ending: encoded(figure, ending[1:], said) for ending, said in metadata.items()}
