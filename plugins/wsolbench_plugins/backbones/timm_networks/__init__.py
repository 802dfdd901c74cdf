"""Networks that timm builds: ResNets, ConvNeXts, VGG-16 with a GAP head, Inception-v3, small ViTs, and its zoo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from wsolbench.api import (
    Backbone,
    BackboneSpec,
    BackboneZoo,
    Checkpoint,
    InputConfig,
    Pretrained,
    UsageError,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
RESNET = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016; built by timm"
CONVNEXT = "Liu et al., A ConvNet for the 2020s, CVPR 2022; built by timm"
CONVNEXT_V2 = (
    "Woo et al., ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders, CVPR 2023; built by timm"
)
VIT = "Dosovitskiy et al., ICLR 2021, with the convolutions of Xiao et al., NeurIPS 2021, before it; built by timm"
VGG_GAP = "Simonyan & Zisserman, ICLR 2015, with the GAP head of Zhou et al., CVPR 2016, section 3"
INCEPTION_WSOL = "Szegedy et al., CVPR 2016, in the form of Zhang et al. (SPG), ECCV 2018, and Choe et al., CVPR 2020"
INCEPTION = "Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016; built by timm"

_HALF = (0.5, 0.5, 0.5)
_NANO_INPUT = InputConfig(size=96, mean=_HALF, std=(0.25, 0.25, 0.25))
_MICRO_INPUT = InputConfig(size=64)
_BILINEAR_224 = InputConfig(size=224)
_BICUBIC_224 = InputConfig(size=224, interpolation="bicubic")

OddSize: TypeAlias = Literal[3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31]
"""Sizes of a depthwise kernel: from the smallest that looks around to RepLKNet's."""


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec | BackboneZoo]:
    """Return the variants, and a zoo of all other timm networks that have feature maps."""
    source = "timm's networks that have feature maps"
    zoo = BackboneZoo("timm", _names_in_timm, _find_in_timm, source, _fitting_in_timm)
    return [*_resnets(), *_convnexts(), *_second_convnexts(), *_vits(), *_others(), zoo]


def _resnets() -> list[BackboneSpec]:
    resnet = partial(_spec, source=RESNET, family="resnet", classifier_key="fc.weight")
    return [
        resnet("resnet_nano", _NANO_INPUT, checkpoints=_shipped("resnet_nano")),
        resnet("resnet_micro", _MICRO_INPUT),
        resnet("resnet_micro_wsol", _MICRO_INPUT),
        resnet("resnet50", _BILINEAR_224, pretrained=_from_timm("resnet50.tv_in1k")),
        resnet("resnet50_wsol", _BILINEAR_224, pretrained=_from_timm("resnet50.tv_in1k")),
        resnet("resnet50_wsol14", _BILINEAR_224, pretrained=_from_timm("resnet50.tv_in1k")),
    ]


def _convnexts() -> list[BackboneSpec]:
    """Return ConvNeXt in all sizes, and in the form that the authors of *CAM Back Again* fine-tuned on CUB."""
    convnext = partial(_spec, source=CONVNEXT, family="convnext", classifier_key="head.fc.weight")
    published = partial(convnext, convert_weights=_convert_convnext)
    return [
        convnext("convnext_nano", _NANO_INPUT, build=_build_small_convnext, checkpoints=_shipped("convnext_nano")),
        convnext("convnext_micro", _MICRO_INPUT, build=_build_small_convnext),
        *(
            published(f"convnext_{size}", _BICUBIC_224, pretrained=_from_timm(f"convnext_{size}.fb_in1k"))
            for size in ("tiny", "small", "base", "large")
        ),
        published("convnext_base_cub", InputConfig(size=384, mean=_HALF, std=_HALF)),
    ]


def _second_convnexts() -> list[BackboneSpec]:
    """Return ConvNeXt V2 in all sizes; timm builds the layers of the small ones as 1×1 convolutions."""
    convolutional = ("atto", "femto", "pico", "nano")
    return [
        _spec(
            f"convnextv2_{size}",
            _BICUBIC_224,
            source=CONVNEXT_V2,
            family="convnextv2",
            classifier_key="head.fc.weight",
            pretrained=_from_timm(f"convnextv2_{size}.fcmae_ft_in1k"),
            convert_weights=partial(_convert_convnext, conv_mlp=size in convolutional),
        )
        for size in (*convolutional, "tiny", "base", "large", "huge")
    ]


def _vits() -> list[BackboneSpec]:
    return [_vit("vit_nano", _NANO_INPUT), _vit("vit_micro", _MICRO_INPUT)]


def _vit(name: str, input_config: InputConfig) -> BackboneSpec:
    size = input_config.size
    return BackboneSpec(
        name=name,
        build=partial(_build_vit, name, size),
        input=input_config,
        source=VIT,
        family="vit",
        convert_weights=partial(_resize_vit, size),
        at_size=lambda size: _vit(name, replace(input_config, size=_of_whole_patches(size))),
    )


def _of_whole_patches(size: int) -> int:
    """Return a size of images. Raises ``UsageError`` where its patches of 8×8 pixels would be cut off."""
    if size % 8:
        raise UsageError("they are not whole patches of 8×8 pixels")
    return size


def _others() -> list[BackboneSpec]:
    return [
        *(
            _spec(name, _BILINEAR_224, source=VGG_GAP, classifier_key="fc.weight", start_weights=_convolutions(pools))
            for name, pools in (("vgg16_gap", 4), ("vgg16_wsol", 3))
        ),
        _spec(
            "inception_v3_wsol",
            _BILINEAR_224,
            source=INCEPTION_WSOL,
            classifier_key="SPG_A4.weight",
            start_weights=_inception_body,
        ),
        _spec(
            "inception_v3",
            InputConfig(size=299, mean=_HALF, std=_HALF, interpolation="bicubic"),
            source=INCEPTION,
            classifier_key="fc.weight",
            pretrained=_from_timm("inception_v3.tv_in1k"),
            convert_weights=_without_auxiliary_head,
        ),
    ]


def _spec(
    name: str, input_config: InputConfig, *, build: Callable[..., Backbone] | None = None, **about: object
) -> BackboneSpec:
    return BackboneSpec(name=name, build=partial(build or _build, name), input=input_config, **about)  # type: ignore[arg-type]


def _shipped(name: str) -> tuple[Checkpoint, ...]:
    return (Checkpoint("critters", CHECKPOINTS / f"{name}__critters.safetensors"),)


def _build(name: str, num_classes: int) -> Backbone:
    from wsolbench_plugins.backbones.timm_networks import networks

    network: Backbone = networks.build(name, num_classes)
    return network


def _build_small_convnext(name: str, num_classes: int, kernel_size: OddSize = 7) -> Backbone:
    from wsolbench_plugins.backbones.timm_networks import networks

    network: Backbone = networks.build(name, num_classes, kernel_size=kernel_size)
    return network


def _build_vit(name: str, image_size: int, num_classes: int) -> Backbone:
    from wsolbench_plugins.backbones.timm_networks.vits import small_vit

    network: Backbone = small_vit(name, num_classes, image_size=image_size)
    return network


def _resize_vit(image_size: int, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    from wsolbench_plugins.backbones.timm_networks.vits import resized

    return resized(state, image_size=image_size)


def _names_in_timm() -> Collection[str]:
    from wsolbench_plugins.backbones.timm_networks import zoo

    return zoo.names()


def _find_in_timm(name: str) -> BackboneSpec:
    from wsolbench_plugins.backbones.timm_networks import zoo

    return zoo.find(name)


def _fitting_in_timm(shapes: Mapping[str, tuple[int, ...]], like: str) -> Iterator[str | None]:
    from wsolbench_plugins.backbones.timm_networks import zoo

    return zoo.fitting(shapes, like)


def _from_timm(name: str) -> Pretrained:
    """Return timm's weights ``model.tag``; all of them were trained on ImageNet-1k only, like those of the papers."""
    return Pretrained("timm", name, partial(_fetch, name))


def _fetch(name: str) -> Mapping[str, Tensor]:
    from wsolbench_plugins.backbones.timm_networks import networks

    return networks.fetch(name)


def _convert_convnext(state: Mapping[str, Tensor], conv_mlp: bool = False) -> Mapping[str, Tensor]:
    from wsolbench_plugins.backbones.timm_networks.convnext_files import convert

    return convert(state, conv_mlp)


def _without_auxiliary_head(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the entries of the auxiliary head, which is used in training only."""
    return {key: value for key, value in state.items() if not key.startswith("AuxLogits.")}


def _convolutions(pools: int) -> Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]:
    def convolutions(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        from wsolbench_plugins.backbones.timm_networks.networks import vgg_convolutions

        return vgg_convolutions(state, pools=pools)

    return convolutions


def _inception_body(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    from wsolbench_plugins.backbones.timm_networks.inception import body_of

    return body_of(state)
