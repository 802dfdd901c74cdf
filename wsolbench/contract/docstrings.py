"""What docstrings say of a builder and of its options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial

__all__ = ["arguments_of", "first_paragraph"]

_ENTRY = re.compile(r"    (\w+): (.*)")


def first_paragraph(build: Callable[..., object]) -> str:
    """Return the first paragraph of a builder's docstring in one line, or an empty text."""
    return " ".join(_docstring(build).partition("\n\n")[0].split())


def arguments_of(build: Callable[..., object]) -> dict[str, str]:
    """Return what the section ``Args:`` of a builder's docstring says, of a class those of its bases too."""
    build = _bare(build)
    bases = reversed(build.__mro__) if isinstance(build, type) else [build]
    return {name: text for each in bases for name, text in _arguments(_docstring(each)).items()}


def _bare(build: Callable[..., object]) -> Callable[..., object]:
    return _bare(build.func) if isinstance(build, partial) else build


def _docstring(build: Callable[..., object]) -> str:
    build = _bare(build)
    own = build.__dict__.get("__doc__") if isinstance(build, type) else build.__doc__
    made = isinstance(build, type) and (own or "").startswith(f"{build.__name__}(")  # by ``dataclass``
    return "" if not own or made else inspect.cleandoc(own)


def _arguments(docstring: str) -> dict[str, str]:
    _, heading, rest = docstring.partition("Args:\n")
    found: dict[str, str] = {}
    name = ""
    for line in rest.splitlines() if heading else []:
        entry = _ENTRY.fullmatch(line)
        if entry:
            name = entry[1]
            found[name] = entry[2]
        elif line.startswith("        ") and name:
            found[name] += f" {line.strip()}"
        else:
            break
    return found
