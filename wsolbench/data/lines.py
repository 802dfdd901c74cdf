"""Text files with one entry a line, read strictly: an error names file and line."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from wsolbench.contract.datasets import raise_fault
from wsolbench.data.ids import path_problem
from wsolbench.errors import DataError, MissingFileError
from wsolbench.files import read_regular

__all__ = ["Line", "is_blank", "parse_each", "quote", "read_file", "read_lines"]

_WHOLE_NUMBER = re.compile(r"(-?[0-9]{1,9})(\.0*)?")
"""Data frames write 100 as 100.0 where a column has a gap."""
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]*)?(e[-+]?[0-9]{1,2})?", re.IGNORECASE)
_QUOTED = 120
_BLANK = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "-"})


@dataclass(frozen=True)
class Line:
    """One line of a text file, without its end."""

    path: Path
    number: int
    text: str

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.path}, line {self.number}"

    def error(self, problem: str) -> DataError:
        """Return the error that says what was expected here."""
        return DataError(f"{self.place}: {problem}, got {quote(self.text)}")

    def split(self, count: int, separator: str | None, layout: str) -> list[str]:
        """Return so many fields, separated as said or, by default, by white space. Raises ``DataError``."""
        fields = self.text.split(separator)
        if len(fields) != count:
            raise self.error(f"expected {layout}")
        return fields

    def whole_numbers(self, fields: list[str], layout: str) -> list[int]:
        """Return fields as whole numbers. Raises ``DataError``."""
        found = [_WHOLE_NUMBER.fullmatch(value.strip()) for value in fields]
        if not all(found):
            raise self.error(f"expected {layout} in whole numbers of at most 9 digits")
        return [int(match[1]) for match in found if match]

    def numbers(self, fields: list[str], layout: str) -> list[float]:
        """Return fields as numbers, perhaps with fractions. Raises ``DataError``."""
        values = [value.strip() for value in fields]
        if not all(_NUMBER.fullmatch(value) for value in values):
            raise self.error(f"expected {layout} in numbers such as 12 or 12.5, of at most 9 digits before the point")
        return [float(value) for value in values]

    def check_path(self, path: str) -> None:
        """Refuse a path that could leave the folder it is looked for in. Raises ``DataError``."""
        problem = path_problem(path)
        if problem is not None:
            raise self.error(problem)


def is_blank(text: str) -> bool:
    """Return whether a field of a table is what data frames and spreadsheets write where there is nothing."""
    return text.lower() in _BLANK


def quote(value: object) -> str:
    """Return a value as a message has it: as Python writes it, cut where it is long."""
    if isinstance(value, str):
        return repr(value if len(value) <= _QUOTED else value[:_QUOTED] + "...")
    text = repr(value)
    return text if len(text) <= _QUOTED else text[:_QUOTED] + "..."


def read_file(path: Path, most: int = 2**30) -> bytes:
    """Return the content of a list or another file of annotations, of at most so many bytes.

    Raises:
        MissingFileError: There is no such file.
        DataError: It is no regular file, cannot be read or is larger.
    """
    try:
        return read_regular(path, most)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is missing") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a directory, where a text file was expected") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def read_lines(path: Path, on_fault: Callable[[DataError], None] = raise_fault) -> list[Line]:
    """Return the lines of a UTF-8 file; last lines may be blank, a byte order mark and CRLF are legal, UTF-16 with one.

    Raises:
        MissingFileError: There is no such file.
        DataError: It cannot be read, is larger than 1 GiB, is not UTF-8, or has a blank line before an entry, where
            `on_fault` raises that.
    """
    content = read_file(path)
    try:
        is_utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        texts = content.decode("utf-16" if is_utf_16 else "utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        encoding = "UTF-16, as it begins" if is_utf_16 else "UTF-8"
        raise DataError(f"{path}, line {number}: the text is not {encoding}; save it as UTF-8") from error
    while texts and not texts[-1].strip():
        texts.pop()
    lines = [Line(path, number, text.removesuffix("\r")) for number, text in enumerate(texts, start=1)]
    for line in lines:
        if not line.text.strip():
            on_fault(line.error("expected an entry, as only last lines may be blank"))
    return [line for line in lines if line.text.strip()]


def parse_each(
    lines: Iterable[Line], parse: Callable[[Line], None], on_fault: Callable[[DataError], None] = raise_fault
) -> None:
    """Parse line after line; what `parse` raises goes to `on_fault`, and where that returns, to the next line."""
    for line in lines:
        try:
            parse(line)
        except DataError as fault:
            on_fault(fault)
