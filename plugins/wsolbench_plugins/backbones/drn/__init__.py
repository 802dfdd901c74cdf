"""Family ``drn``: dilated residual networks C and D, with maps of an eighth of the image."""

from __future__ import annotations

from functools import partial

from wsolbench.api import Backbone, BackboneSpec, InputConfig, hookimpl

SOURCE = "Yu, Koltun & Funkhouser, Dilated Residual Networks, CVPR 2017"

_DEPTHS = {22: (2, 2, 2, 2), 26: (2, 2, 2, 2), 38: (3, 4, 6, 3), 42: (3, 4, 6, 3), 54: (3, 4, 6, 3), 58: (3, 4, 6, 3)}
_DEPTHS[105] = (3, 4, 23, 3)
_BOTTLENECKS = (54, 58, 105)


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec]:
    """Return the published variants."""
    return [
        BackboneSpec(
            name=f"drn_{kind}_{layers}",
            build=partial(_build, kind, layers),
            input=InputConfig(size=224),
            source=SOURCE,
            family="drn",
            classifier_key="fc.weight",
        )
        for kind, sizes in (("c", (26, 42, 58)), ("d", (22, 38, 54, 105)))
        for layers in sizes
    ]


def _build(kind: str, layers: int, num_classes: int) -> Backbone:
    from wsolbench_plugins.backbones.drn.network import DRN

    return DRN(num_classes, plain=kind == "d", depths=_DEPTHS[layers], bottlenecks=layers in _BOTTLENECKS)
