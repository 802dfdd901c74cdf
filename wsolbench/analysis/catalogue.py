"""Which analyses there are: the modules of `wsolbench.analysis.studies`."""

from __future__ import annotations

import ast
import difflib
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

from wsolbench.errors import UnknownNameError

if TYPE_CHECKING:
    from wsolbench.analysis.study import CompositeStudy, NetworkStudy, RecordStudy

__all__ = ["StudyKind", "list_studies", "load_study"]

StudyKind: TypeAlias = "type[NetworkStudy[Any]] | type[RecordStudy] | type[CompositeStudy]"

_PACKAGE = "wsolbench.analysis.studies"


def list_studies() -> dict[str, str]:
    """Return name -> the first sentence of every analysis; none is imported."""
    modules = sorted(path.name for path in files(_PACKAGE).iterdir() if path.name.endswith(".py"))
    return {
        name.removesuffix(".py").replace("_", "-"): _first_line((files(_PACKAGE) / name).read_text(encoding="utf-8"))
        for name in modules
        if name != "__init__.py"
    }


def load_study(name: str) -> StudyKind:
    """Return the class of an analysis, whose fields are its options.

    Raises:
        UnknownNameError: There is none of this name.
    """
    known = list_studies()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UnknownNameError(f"there is no analysis '{name}'.{hint} The analyses are {', '.join(known)}")
    study: StudyKind = import_module(f"{_PACKAGE}.{name.replace('-', '_')}").Study
    return study


def _first_line(source: str) -> str:
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
