"""Zoos: networks or methods that a plugin offers behind a prefix, without listing them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from wsolbench.contract.backbones import BackboneSpec
from wsolbench.contract.datasets import DatasetSpec
from wsolbench.contract.methods import MethodSpec
from wsolbench.contract.recipes import RecipeSpec

__all__ = [
    "BackboneZoo",
    "MethodZoo",
    "Spec",
    "Zoo",
]

Spec: TypeAlias = BackboneSpec | MethodSpec | DatasetSpec | RecipeSpec

S_co = TypeVar("S_co", bound=Spec, covariant=True)


@dataclass(frozen=True)
class Zoo(Generic[S_co]):
    """What a plugin offers without listing it: users name one with a prefix, as in ``timm:resnet18``.

    Nothing is called before somebody types the prefix; `names` and `find` may then import what they need. Both raise
    ``UsageError`` that says what to install where that is missing.

    Args:
        name: The prefix, without its colon.
        names: Return every name that may follow the prefix.
        find: One of these names -> what it stands for. Raises ``UsageError`` that says why it cannot be offered.
        source: Library or repository.
    """

    name: str
    names: Callable[[], Collection[str]]
    find: Callable[[str], S_co]
    source: str


class BackboneZoo(Zoo[BackboneSpec]):
    """Networks behind a prefix."""


class MethodZoo(Zoo[MethodSpec]):
    """Localization methods behind a prefix."""
