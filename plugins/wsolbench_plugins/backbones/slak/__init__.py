"""Family ``slak``: SLaK, and nano and micro variants for small images; the nano variant ships weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsolbench.api import Backbone, BackboneSpec, Checkpoint, InputConfig, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "Liu et al., More ConvNets in the 2020s: Scaling up Kernels Beyond 51x51 using Sparsity, ICLR 2023"
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"

_TINY: dict[str, Any] = {"channels": (124, 249, 499, 998), "depths": (3, 3, 9, 3)}
_SMALL: dict[str, Any] = {"channels": (124, 249, 499, 998), "depths": (3, 3, 27, 3)}
_BASE: dict[str, Any] = {"channels": (166, 332, 665, 1331), "depths": (3, 3, 27, 3)}
_IMAGENET_224 = InputConfig(size=224, interpolation="bicubic")
_VARIANTS: dict[str, tuple[dict[str, Any], InputConfig]] = {
    "slak_nano": (
        {
            "channels": (32, 64, 96),
            "depths": (1, 1, 2),
            "kernels": (25, 23, 13),
            "strides": (4, 2, 1),
            "layer_scale": 1.0,
            "stem": "overlap",
            "he_init": True,
        },
        InputConfig(size=96, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
    ),
    "slak_micro": (
        {
            "channels": (32, 96, 128),
            "depths": (1, 2, 2),
            "kernels": (21, 13, 13),
            "strides": (4, 2, 1),
            "layer_scale": 1.0,
            "stem": "overlap",
            "he_init": True,
        },
        InputConfig(size=64),
    ),
    "slak_tiny": ({**_TINY, "kernels": (51, 49, 47, 13)}, _IMAGENET_224),
    "slak_small": ({**_SMALL, "kernels": (51, 49, 47, 13)}, _IMAGENET_224),
    "slak_base": ({**_BASE, "kernels": (51, 49, 47, 13)}, _IMAGENET_224),
    # For these two only the first stage's kernel is published; the others are inferred from those of slak_tiny.
    "slak_tiny_k31": ({**_TINY, "kernels": (31, 29, 27, 13)}, _IMAGENET_224),
    "slak_tiny_k61": ({**_TINY, "kernels": (61, 59, 57, 13)}, _IMAGENET_224),
}
_SHIPPED = {"slak_nano": (Checkpoint("critters", CHECKPOINTS / "slak_nano__critters.safetensors"),)}


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec]:
    """Return the variants."""
    return [
        BackboneSpec(
            name=name,
            build=partial(_build, **settings),
            input=input_config,
            source=SOURCE,
            family="slak",
            checkpoints=_SHIPPED.get(name, ()),
            convert_weights=_convert,
        )
        for name, (settings, input_config) in _VARIANTS.items()
    ]


def _build(num_classes: int, **settings: Any) -> Backbone:
    from wsolbench_plugins.backbones.slak.network import SLaK

    return SLaK(num_classes, **settings)


def _convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the branches of early files, ``Decom1`` and ``Decom2``, to their later names.

    Raises:
        ValueError: The large kernels are not decomposed, as in the first published file.
    """
    if any(key.startswith("stages.0.0.large_kernel.lkb_") for key in state):
        raise ValueError(
            "it holds a SLaK whose large kernels are not decomposed ('lkb_...' in place of 'LoRA1' and 'LoRA2'); "
            "use a later file, or train with decomposed kernels"
        )
    return {key.replace(".Decom1.", ".LoRA1.").replace(".Decom2.", ".LoRA2."): value for key, value in state.items()}
