"""The recipe and the system of a training, built from their options."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from wsolbench.contract import RecipeSpec, SystemSpec
from wsolbench.contract.options import build_with_options
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer

__all__ = ["Built", "build"]

M_co = TypeVar("M_co", covariant=True)


@dataclass(frozen=True)
class Built(Generic[M_co]):
    """A recipe or a system, with the offer that it comes from and the options that it was built from."""

    offer: Offer[Any]
    made: M_co
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """The short name."""
        return self.offer.name

    def blaming(self, stage: str | None = None) -> AbstractContextManager[None]:
        """Attribute errors to its plugin, and to a stage where it has several."""
        return blaming(self.offer.provider, f"in {self.told(stage)}")

    def told(self, stage: str | None = None) -> str:
        """Return what messages call it, or one of its stages."""
        return _told(self.offer) if stage is None else f"the stage '{stage}' of {_told(self.offer)}"


def build(offer: Offer[RecipeSpec | SystemSpec], given: Mapping[str, Any]) -> Built[Any]:
    """Build a recipe or a system from its options.

    Args:
        offer: The recipe or the system.
        given: Option -> value, or the text of a value.

    Raises:
        UsageError: An option is unknown or out of range.
        PluginError: The plugin's code fails.
    """
    with blaming(offer.provider, f"building {_told(offer)}"):
        made, options = build_with_options(_told(offer), offer.spec.build, given)
    return Built(offer, made, options)


def _told(offer: Offer[RecipeSpec | SystemSpec]) -> str:
    """Return what messages call a recipe or a system."""
    return f"the {'recipe' if isinstance(offer.spec, RecipeSpec) else 'system'} '{offer.name}'"
