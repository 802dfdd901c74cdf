"""The settings file: options that need not be typed again, such as the device and the folders of data sets."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsolbench.errors import UsageError

__all__ = ["Settings", "find_settings"]

NAME, PROJECT = "wsolbench.toml", "pyproject.toml"
OPTIONS = ("device", "batch-size", "workers", "seed")
ROOTS = ("data-root", "metadata-root", "masks", "train-root")


@dataclass(frozen=True)
class Settings:
    """What a settings file says.

    Args:
        path: The file.
        values: Option without dashes before it -> value.
        roots: Data set -> the same of its folders, which are relative to the folder of the file.
    """

    path: Path
    values: Mapping[str, str]
    roots: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def options(self, names: Iterable[str], dataset: str | None) -> list[str]:
        """Return arguments of a command line.

        Args:
            names: The options that a command has and that are not given, with underscores.
            dataset: Its data set, if it has one.
        """
        known = {**self.values, **(self.roots.get(dataset, {}) if dataset else {})}
        wanted = set(names)
        return [
            text for name, value in known.items() if name.replace("-", "_") in wanted for text in (f"--{name}", value)
        ]

    def misspelt(self, datasets: Iterable[str]) -> Iterator[str]:
        """Yield a line for every table of folders whose name is no data set, and like that of one.

        Others may be of plugins that a command does not load.
        """
        known = list(datasets)
        for name in self.roots:
            close = difflib.get_close_matches(name, known, n=1)
            if close and name not in known:
                yield f"{self.path}: roots.{name}: there is no data set '{name}'. Did you mean '{close[0]}'?"


def find_settings() -> Settings | None:
    """Read the settings file of the working folder, or of the nearest folder above that has one.

    It is ``wsolbench.toml``, or the table ``[tool.wsolbench]`` of ``pyproject.toml``.

    Raises:
        UsageError: It cannot be read, or says what is no setting.
    """
    here = Path.cwd()
    for folder in (Path(os.path.relpath(each, here)) for each in (here, *here.parents)):
        if (folder / NAME).is_file():
            return _settings(folder / NAME, _read(folder / NAME))
        if (folder / PROJECT).is_file():
            table = _read(folder / PROJECT).get("tool", {}).get("wsolbench")
            if table is not None:
                return _settings(folder / PROJECT, table)
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: no TOML ({error})") from error


def _settings(path: Path, table: Any) -> Settings:
    where = f"{path}" if path.name == NAME else f"{path}: [tool.wsolbench]"
    if not isinstance(table, dict):
        raise UsageError(f"{where}: expected a table")
    roots = table.pop("roots", {})
    if not isinstance(roots, dict) or not all(isinstance(each, dict) for each in roots.values()):
        raise UsageError(f'{where}: roots: expected a table for each data set, as [roots.cub] with data-root = "DIR"')
    values = {name: _text(where, name, value, OPTIONS) for name, value in table.items()}
    folders = {
        dataset: {
            name: str(path.parent / _text(f"{where}: roots.{dataset}", name, value, ROOTS))
            for name, value in of_one.items()
        }
        for dataset, of_one in roots.items()
    }
    return Settings(path, values, folders)


def _text(where: str, name: str, value: object, known: Iterable[str]) -> str:
    if name not in known:
        raise UsageError(f"{where}: '{name}' is no setting; they are {', '.join(known)}")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(f"{where}: {name}: expected a text or a whole number, not {value!r}")
    return str(value)
