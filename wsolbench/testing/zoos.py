"""The checks of a zoo: its names, and what it finds by one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsolbench.contract import BackboneSpec, BackboneZoo, MethodSpec, Spec, Zoo
from wsolbench.contract.names import NAME_PATTERN
from wsolbench.errors import UsageError
from wsolbench.testing.expectations import expect, skip

__all__ = ["ZOO_CHECKS", "check_zoo_finds", "check_zoo_names"]


def check_zoo_names(zoo: Zoo[Spec]) -> None:
    """A zoo lists names, each once, of the characters that names may hold."""
    names = _names(zoo)
    assert names, "names: expected at least one, got none"
    expect("names that differ", len(names), len(set(names)))
    strange = [name for name in names if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name)]
    assert not strange, f"names: expected lowercase letters, digits, '_', '.', '+' and '-', got {strange[0]!r}"


def check_zoo_finds(zoo: Zoo[Spec]) -> None:
    """Behind its prefix a zoo finds what it lists; the first and the last name are tried."""
    kind = BackboneSpec if isinstance(zoo, BackboneZoo) else MethodSpec
    names = sorted(_names(zoo))
    for name in names[:1] + names[1:][-1:]:
        try:
            found = zoo.find(name)
        except UsageError:  # a name that it knows and says why it cannot offer
            continue
        assert isinstance(found, kind), f"'{name}': expected a {kind.__name__}, got {type(found).__name__}"
        assert callable(found.build), f"'build' of '{name}': expected a function, got {type(found.build).__name__}"


ZOO_CHECKS: tuple[Callable[[Any], None], ...] = (check_zoo_names, check_zoo_finds)


def _names(zoo: Zoo[Spec]) -> list[str]:
    try:
        return list(zoo.names())
    except UsageError as error:  # its library is missing
        skip(str(error))
