"""``squeezenet1_0`` and ``squeezenet1_1`` as torchvision builds and publishes them.

Weights with Caffe's names, as the authors published version 1.0, are converted; they were trained at ``--input-size
227``. The core reads no ``.npz``: save its arrays as safetensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from wsolbench.api import Backbone, BackboneSpec, InputConfig, Pretrained, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "Iandola et al., SqueezeNet, arXiv 1602.07360, 2016; built by torchvision"


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec]:
    """Return both versions, tapped at the last fire module."""
    return [
        BackboneSpec(
            name=name,
            build=partial(_build, version),
            input=InputConfig(size=224),
            source=SOURCE,
            classifier_key="classifier.1.weight",
            convert_weights=_convert,
            pretrained=Pretrained("torchvision", f"{name}.imagenet1k_v1", partial(_fetch, version)),
        )
        for name, version in (("squeezenet1_0", "1_0"), ("squeezenet1_1", "1_1"))
    ]


def _build(version: str, num_classes: int) -> Backbone:
    from wsolbench_plugins.backbones.squeezenet.network import SqueezeNet

    return SqueezeNet(version, num_classes)


def _convert(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    from wsolbench_plugins.backbones.squeezenet.caffe_files import convert

    return convert(state)


def _fetch(version: str) -> Mapping[str, Tensor]:
    from wsolbench_plugins.backbones.squeezenet.network import fetch

    return fetch(version)
