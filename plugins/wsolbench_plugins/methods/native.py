"""``native``: the map or the box that a network makes itself, as its paper does at test time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsolbench.api import MethodContext, MethodSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from wsolbench.api import Boxes, Maps


class Native:
    """The network's own map or box of the class to localize; see `Localizing`."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor | Maps | Boxes:
        """Return raw maps (B, h, w), or boxes."""
        return context.localize(features)


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the method."""
    return [MethodSpec("native", Native, "the paper of the network or its system", needs=frozenset({"native"}))]
