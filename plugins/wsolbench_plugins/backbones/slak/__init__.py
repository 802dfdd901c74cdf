"""Family ``slak``: SLaK, and a nano variant for small images with weights that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wsolbench.api import Backbone, BackboneSpec, Checkpoint, InputConfig, hookimpl

SOURCE = "Liu et al., More ConvNets in the 2020s: Scaling up Kernels Beyond 51x51 using Sparsity, ICLR 2023"
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"

_TINY: dict[str, Any] = {"channels": (124, 249, 499, 998), "depths": (3, 3, 9, 3)}
_SMALL: dict[str, Any] = {"channels": (124, 249, 499, 998), "depths": (3, 3, 27, 3)}
_BASE: dict[str, Any] = {"channels": (166, 332, 665, 1331), "depths": (3, 3, 27, 3)}
_KERNELS: dict[str, Any] = {"kernels": (51, 49, 47, 13)}
_IMAGENET_224 = InputConfig(size=224, interpolation="bicubic")
_VARIANTS: dict[str, tuple[dict[str, Any], InputConfig]] = {
    "slak_nano": (
        {
            "channels": (31, 62, 93),
            "depths": (1, 1, 2),
            "kernels": (25, 23, 13),
            "strides": (4, 2, 1),
            "layer_scale": 0.5,
        },
        InputConfig(size=96, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
    ),
    "slak_tiny": ({**_TINY, **_KERNELS}, _IMAGENET_224),
    "slak_small": ({**_SMALL, **_KERNELS}, _IMAGENET_224),
    "slak_base": ({**_BASE, **_KERNELS}, _IMAGENET_224),
}
_SHIPPED: dict[str, tuple[str, ...]] = {}


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec]:
    """Offer the variants."""
    return [_spec(name) for name in _VARIANTS]


def _spec(name: str) -> BackboneSpec:
    settings, input_config = _VARIANTS[name]

    def build(num_classes: int) -> Backbone:
        from wsolbench_plugins.backbones.slak.network import SLaK

        return SLaK(num_classes, **settings)

    return BackboneSpec(
        name=name,
        build=build,
        input=input_config,
        source=SOURCE,
        family="slak",
        checkpoints=tuple(
            Checkpoint(dataset, CHECKPOINTS / f"{name}__{dataset}.safetensors") for dataset in _SHIPPED.get(name, ())
        ),
    )
