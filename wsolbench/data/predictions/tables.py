"""CSV files of predictions: rows with their line, under a header that says what the columns are."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wsolbench.data.lines import Line, quote, read_file, read_lines
from wsolbench.errors import DataError

__all__ = ["IMAGE_TITLES", "check_kind", "find_image_column", "plain_title", "read_json", "read_rows"]

IMAGE_TITLES = ("image", "image_id", "filename", "file_name", "file", "path", "image_path", "image_name", "id")
_SEPARATORS = (",", ";", "\t")


def check_kind(path: Path, option: str, example: str = "*.csv") -> str:
    """Return the kind of a file of predictions by its ending.

    Args:
        path: The file.
        option: The option that names it, for messages.
        example: What files of a folder are called that may be meant where a folder is named.

    Raises:
        DataError: It is another one, or there is no such file.
    """
    kind = path.suffix.lower()
    if not path.exists():
        raise DataError(f"{option} {path}: there is no such file")
    if path.is_dir():
        found = sorted(path.glob(example))
        such = f", such as {found[0]}" if found else ""
        raise DataError(f"{option} {path}: it is a folder; name a file in it{such}")
    if kind not in (".csv", ".tsv", ".txt", ".json"):
        raise DataError(f"{option} {path}: expected a file of CSV or JSON, whose name ends in .csv or .json")
    return "json" if kind == ".json" else "csv"


def read_rows(path: Path) -> list[tuple[Line, list[str]]]:
    """Return the lines of a CSV file with their fields, separated by what separates those of the first line.

    Raises:
        DataError: It cannot be read, is empty, or a line is no CSV.
    """
    lines = read_lines(path)
    if not lines:
        raise DataError(f"{path} is empty")
    separator = max(_SEPARATORS, key=lines[0].text.count)
    rows = []
    for line in lines:
        try:
            fields = next(csv.reader([line.text], delimiter=separator, strict=True, skipinitialspace=True), [])
        except csv.Error as error:
            raise line.error(f"expected fields separated by {separator!r} ({error})") from None
        rows.append((line, [field.strip() for field in fields]))
    return rows


def plain_title(title: str) -> str:
    """Return the title of a column without case, spaces and signs: ``X min`` and ``x_min`` are one."""
    return re.sub(r"[\W_]", "", title.casefold())


def find_image_column(titles: Sequence[str]) -> int | None:
    """Return the place of the column that names images, by plain title; None where there is none."""
    known = [plain_title(title) for title in IMAGE_TITLES]
    return next((titles.index(title) for title in known if title in titles), None)


def read_json(path: Path, forms: Collection[str]) -> Any:
    """Return what a file of JSON holds; NaN is read, so that it can be refused with its place.

    Args:
        path: The file.
        forms: What is expected in it, for the message.

    Raises:
        DataError: It cannot be read, is no JSON with an object or a list, or an object has a key twice.
    """
    try:
        content = json.loads(read_file(path).decode("utf-8-sig"), object_pairs_hook=partial(_object, path))
    except UnicodeDecodeError:
        raise DataError(f"{path}: the text is not UTF-8; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error})") from None
    if not isinstance(content, dict | list) or not content:
        raise DataError(f"{path}: expected {' or '.join(forms)}, got {quote(content)}")
    return content


def _object(path: Path, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DataError(f"{path}: {quote(key)} is there twice in one object; keep one")
        found[key] = value
    return found
