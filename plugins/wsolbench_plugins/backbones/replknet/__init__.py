"""Family ``replknet``: RepLKNet, and nano and micro variants for small images; the nano variant ships weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from wsolbench.api import Backbone, BackboneSpec, Checkpoint, InputConfig, hookimpl

SOURCE = "Ding et al., Scaling Up Your Kernels to 31x31: Revisiting Large Kernel Design in CNNs, CVPR 2022"
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"

_FULL: dict[str, Any] = {"depths": (2, 2, 18, 2), "kernels": (31, 29, 27, 13)}
_IMAGENET_384 = InputConfig(size=384, interpolation="bicubic")
_CUB_384 = InputConfig(size=384, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""The input of the network that Yasuki & Taki (CAM Back Again, CVPR 2024) fine-tuned on CUB."""
_VARIANTS: dict[str, tuple[dict[str, Any], InputConfig]] = {
    "replknet_nano": (
        {
            "channels": (24, 48, 72),
            "depths": (1, 1, 2),
            "kernels": (13, 13, 13),
            "small_kernel": 3,
            "strides": (2, 1),
            "drop_path_rate": 0.0,
        },
        InputConfig(size=96, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
    ),
    "replknet_micro": (
        {
            "channels": (32, 96, 144),
            "depths": (1, 2, 1),
            "kernels": (13, 13, 13),
            "small_kernel": 3,
            "strides": (2, 1),
            "drop_path_rate": 0.0,
        },
        InputConfig(size=64),
    ),
    "replknet_31b": ({**_FULL, "channels": (128, 256, 512, 1024)}, _IMAGENET_384),
    "replknet_31b_cub": ({**_FULL, "channels": (128, 256, 512, 1024)}, _CUB_384),
    "replknet_31l": ({**_FULL, "channels": (192, 384, 768, 1536)}, _IMAGENET_384),
    "replknet_xl": (
        {
            **_FULL,
            "channels": (256, 512, 1024, 2048),
            "kernels": (27, 27, 27, 13),
            "small_kernel": None,
            "dw_ratio": 1.5,
        },
        InputConfig(size=320, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic"),
    ),
}
_SHIPPED = {"replknet_nano": (Checkpoint("critters", CHECKPOINTS / "replknet_nano__critters.safetensors"),)}


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec]:
    """Return the variants."""
    return [
        BackboneSpec(
            name=name,
            build=partial(_build, **settings),
            input=input_config,
            source=SOURCE,
            family=None if name == "replknet_31b_cub" else "replknet",  # a file fits both it and replknet_31b
            checkpoints=_SHIPPED.get(name, ()),
        )
        for name, (settings, input_config) in _VARIANTS.items()
    ]


def _build(num_classes: int, **settings: Any) -> Backbone:
    from wsolbench_plugins.backbones.replknet.network import RepLKNet

    return RepLKNet(num_classes, **settings)
