"""``native``: the map or the box that a network makes itself, as its paper does at test time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsolbench.api import Boxes, Maps, MethodContext, MethodSpec, UsageError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Native:
    """The network's own map or box of the class to localize; see `Localizing`."""

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor | Maps | Boxes:
        """Return raw maps (B, h, w), or boxes.

        Raises:
            UsageError: The network makes something else.
        """
        made = context.localize(features)
        maps = made.maps if isinstance(made, Maps) else made
        if not isinstance(maps, Boxes) and getattr(maps, "ndim", 0) != 3:
            got = tuple(maps.shape) if hasattr(maps, "shape") else type(maps).__name__
            raise UsageError(f"localize of the network returned {got}; expected maps ({len(features)}, h, w) or Boxes")
        return made


@hookimpl
def wsolbench_methods() -> list[MethodSpec]:
    """Offer the method."""
    return [MethodSpec("native", Native, "the paper of the network or its system", needs=frozenset({"native"}))]
