"""Zoos: networks or methods that a plugin offers under a prefix, without listing each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from wsolbench.contract.backbones import BackboneSpec
from wsolbench.contract.datasets import DatasetSpec
from wsolbench.contract.methods import MethodSpec
from wsolbench.contract.recipes import RecipeSpec
from wsolbench.contract.systems import SystemSpec

__all__ = [
    "BackboneZoo",
    "MethodZoo",
    "Spec",
    "Zoo",
]

Spec: TypeAlias = BackboneSpec | MethodSpec | DatasetSpec | RecipeSpec | SystemSpec

S_co = TypeVar("S_co", bound=Spec, covariant=True)


@dataclass(frozen=True)
class Zoo(Generic[S_co]):
    """Networks or methods that a plugin offers without listing each: users type a prefix, as in ``timm:resnet18``.

    Nothing is called before a user types the prefix, so `names` and `find` may import libraries. Both raise
    ``UsageError`` that says what to install where a library is missing.

    Args:
        name: The prefix, without its colon.
        names: Return every name that may follow the prefix.
        find: Name -> its spec, which may have another name: the current one of an earlier one. Raises
            ``UsageError`` that says why the name cannot be offered.
        source: Library or repository.
        fitting: Shapes of the entries of a weights file, and a name or nothing -> the networks that have these very
            entries, those of similar names first. It yields None after each network that does not, since the caller
            stops when its time is over. None where files cannot be compared.
    """

    name: str
    names: Callable[[], Collection[str]]
    find: Callable[[str], S_co]
    source: str
    fitting: Callable[[Mapping[str, tuple[int, ...]], str], Iterator[str | None]] | None = None


class BackboneZoo(Zoo[BackboneSpec]):
    """Networks under a prefix."""


class MethodZoo(Zoo[MethodSpec]):
    """Localization methods under a prefix."""
