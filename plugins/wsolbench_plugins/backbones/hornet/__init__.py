"""Family ``hornet``: HorNet with 7×7 kernels, or with global filters (``_gf``) in the last two stages."""

from __future__ import annotations

from functools import partial
from typing import Any

from wsolbench.api import Backbone, BackboneSpec, InputConfig, hookimpl

SOURCE = "Rao et al., HorNet: Efficient High-Order Spatial Interactions with Recursive Gated Convolutions, NeurIPS 2022"

_WIDTHS = {"tiny": 64, "small": 96, "base": 128, "large": 192}


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec]:
    """Return the variants."""
    kernels = [_spec(f"hornet_{size}", width) for size, width in _WIDTHS.items()]
    filters = [_spec(f"hornet_{size}_gf", width, global_filters=True) for size, width in _WIDTHS.items()]
    return [*kernels, *filters, _spec("hornet_large_gf_384", _WIDTHS["large"], global_filters=True, size=384)]


def _spec(name: str, width: int, *, global_filters: bool = False, size: int = 224) -> BackboneSpec:
    settings: dict[str, Any] = {"channels": (width, 2 * width, 4 * width, 8 * width)}
    if global_filters:
        settings["filter_sides"] = (None, None, size // 16, size // 32)
    return BackboneSpec(
        name=name,
        build=partial(_build, **settings),
        input=InputConfig(size=size, interpolation="bicubic"),
        source=SOURCE,
        family="hornet",
    )


def _build(num_classes: int, **settings: Any) -> Backbone:
    from wsolbench_plugins.backbones.hornet.network import HorNet

    return HorNet(num_classes, **settings)
