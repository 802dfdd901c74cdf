"""Networks whose large kernels have dilated ones beside them: families ``unireplknet`` and ``overlock``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from wsolbench.api import Backbone, BackboneSpec, InputConfig, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "Ding et al., UniRepLKNet: A Universal Perception Large-Kernel ConvNet, CVPR 2024"
OVERLOCK = "Lou & Yu, OverLoCK: An Overview-first-Look-Closely-next ConvNet, CVPR 2025"

_SHORT = ((3, 3), (13,) * 2, (13,) * 6, (13,) * 2)
_NANO = ((3, 3), (13,) * 2, (13,) * 8, (13,) * 2)
_EVERY_SECOND = ((3,) * 3, (13,) * 3, (13, 3) * 9, (13,) * 3)
_EVERY_THIRD = ((3,) * 3, (13,) * 3, (13, 3, 3) * 9, (13,) * 3)
"""Kernels of the blocks of each stage: in long third stages a large one is followed by small ones."""
_PUBLISHED: dict[str, tuple[int, tuple[tuple[int, ...], ...], int]] = {
    "a": (40, _SHORT, 224),
    "f": (48, _SHORT, 224),
    "p": (64, _SHORT, 224),
    "n": (80, _NANO, 224),
    "t": (80, _EVERY_SECOND, 224),
    "s": (96, _EVERY_THIRD, 224),
    "b": (128, _EVERY_THIRD, 384),
    "l": (192, _EVERY_THIRD, 384),
    "xl": (256, _EVERY_THIRD, 384),
}
"""Width of the first stage, kernels, and input size of the file for the 1,000 classes of ImageNet.

The files of ``b`` to ``xl`` were trained on ImageNet-22k first, at 224 (B) or 192 pixels; for ``s`` there are such
files too, at 224 and 384.
"""
_MICRO: dict[str, Any] = {
    "channels": (32, 96, 144),
    "kernels": ((3,), (13, 13), (13,)),
    "strides": (2, 1),
    "layer_scale": 1.0,
    "he_init": True,
}

_OVERLOCK: dict[str, dict[str, Any]] = {
    "xt": {"channels": (56, 112, 256, 336), "depths": (2, 2, 3, 2), "focus_depths": (6, 2), "focus_heads": (4, 6)},
    "t": {"channels": (64, 128, 256, 512), "depths": (4, 4, 6, 2), "focus_depths": (12, 2), "focus_heads": (4, 8)},
    "s": {"channels": (64, 128, 320, 512), "depths": (6, 6, 8, 3), "focus_depths": (16, 3), "focus_heads": (8, 16)},
    "b": {"channels": (80, 160, 384, 576), "depths": (8, 8, 10, 4), "focus_depths": (20, 4), "focus_heads": (6, 9)},
}


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec]:
    """Return the variants."""
    published = [
        _spec(
            f"unireplknet_{name}", InputConfig(size, interpolation="bicubic"), channels=_widths(width), kernels=kernels
        )
        for name, (width, kernels, size) in _PUBLISHED.items()
    ]
    overlocks = [
        BackboneSpec(
            name=f"overlock_{name}",
            build=partial(_build_overlock, **settings),
            input=InputConfig(224, interpolation="bicubic"),
            source=OVERLOCK,
            family="overlock",
            classifier_key="head.4.weight",
            convert_weights=_without_auxiliary_head,
        )
        for name, settings in _OVERLOCK.items()
    ]
    return [_spec("unireplknet_micro", InputConfig(64), **_MICRO), *published, *overlocks]


def _widths(first: int) -> tuple[int, ...]:
    return tuple(first * 2**stage for stage in range(4))


def _spec(name: str, input_config: InputConfig, **settings: Any) -> BackboneSpec:
    return BackboneSpec(
        name=name,
        build=partial(_build, **settings),
        input=input_config,
        source=SOURCE,
        family="unireplknet",
    )


def _build(num_classes: int, **settings: Any) -> Backbone:
    from wsolbench_plugins.backbones.unireplknet.network import UniRepLKNet

    return UniRepLKNet(num_classes, **settings)


def _build_overlock(num_classes: int, **settings: Any) -> Backbone:
    from wsolbench_plugins.backbones.unireplknet.overlock import OverLoCK

    return OverLoCK(num_classes, **settings)


def _without_auxiliary_head(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the entries of the head behind the overview, which is used in training only."""
    return {key: value for key, value in state.items() if not key.startswith("aux_head.")}
