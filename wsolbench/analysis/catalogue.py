"""Which analyses there are: the modules of `wsolbench.analysis.studies`."""

from __future__ import annotations

import ast
import difflib
from importlib import import_module
from importlib.resources import files
from io import StringIO
from tokenize import STRING, generate_tokens
from typing import TYPE_CHECKING, Any, TypeAlias

from wsolbench.errors import UnknownNameError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from wsolbench.analysis.study import CompositeStudy, NetworkStudy, RecordStudy

__all__ = ["StudyKind", "list_studies", "load_study"]

StudyKind: TypeAlias = "type[NetworkStudy[Any]] | type[RecordStudy] | type[CompositeStudy]"

_PACKAGE = "wsolbench.analysis.studies"


def list_studies() -> dict[str, str]:
    """Return name -> the first sentence of every analysis; none is imported."""
    return {name: _first_line(file) for name, file in _files().items()}


def load_study(name: str) -> StudyKind:
    """Return the class of an analysis, whose fields are its options.

    Raises:
        UnknownNameError: There is none of this name.
    """
    known = _files()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UnknownNameError(f"there is no analysis '{name}'.{hint} The analyses are {', '.join(known)}")
    study: StudyKind = import_module(f"{_PACKAGE}.{name.replace('-', '_')}").Study
    return study


def _files() -> dict[str, Traversable]:
    """Return name -> the file of every analysis."""
    found = sorted(
        (file for file in files(_PACKAGE).iterdir() if file.name.endswith(".py")), key=lambda file: file.name
    )
    return {file.name.removesuffix(".py").replace("_", "-"): file for file in found if file.name != "__init__.py"}


def _first_line(module: Traversable) -> str:
    """Return the first line of a module's docstring, which is its first text; the rest is not parsed."""
    tokens = generate_tokens(StringIO(module.read_text(encoding="utf-8")).readline)
    docstring = next(token.string for token in tokens if token.type == STRING)
    return str(ast.literal_eval(docstring)).partition("\n")[0]
