"""Families ``resnet`` and ``convnext``, built by timm, with nano variants for small images and weights that ship."""

from __future__ import annotations

from pathlib import Path

from wsolbench.api import Backbone, BackboneSpec, Checkpoint, InputConfig, hookimpl

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
_NANO_INPUT = InputConfig(size=96, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def _build_resnet_nano(num_classes: int) -> Backbone:
    from wsolbench_plugins.backbones.timm_networks.networks import resnet_nano

    return resnet_nano(num_classes)


def _build_convnext_nano(num_classes: int) -> Backbone:
    from wsolbench_plugins.backbones.timm_networks.networks import convnext_nano

    return convnext_nano(num_classes)


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec]:
    """Offer the variants."""
    return [
        BackboneSpec(
            name="resnet_nano",
            build=_build_resnet_nano,
            input=_NANO_INPUT,
            source="He et al., Deep Residual Learning for Image Recognition, CVPR 2016; built by timm",
            family="resnet",
            classifier_key="fc.weight",
            checkpoints=(Checkpoint("critters", CHECKPOINTS / "resnet_nano__critters.safetensors"),),
        ),
        BackboneSpec(
            name="convnext_nano",
            build=_build_convnext_nano,
            input=_NANO_INPUT,
            source="Liu et al., A ConvNet for the 2020s, CVPR 2022; built by timm",
            family="convnext",
            classifier_key="head.fc.weight",
        ),
    ]
