"""timm's networks as wsolbench backbones, some with larger feature maps."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import timm
import torch
from timm.data import infer_imagenet_subset
from timm.models import convnext, resnet
from torch import Tensor, nn

from wsolbench.api import UsageError, WeightsError, after_pooling, visit_layers
from wsolbench_plugins.backbones.timm_networks.adapters import as_backbone
from wsolbench_plugins.backbones.timm_networks.anatomy import Anatomy
from wsolbench_plugins.backbones.timm_networks.inception import InceptionWSOL

_MOST_DIMENSIONS = 2048
"""Spaces of images and texts have fewer; lists of classes other than ImageNet's, in timm, have more."""


def build(name: str, num_classes: int, **options: Any) -> Any:
    """Return the network of a name: one defined here, or timm's. The options are those of its function or class."""
    return OWN[name](num_classes, **options) if name in OWN else from_timm(name, num_classes, **options)


def from_timm(name: str, num_classes: int, *, anatomy: Anatomy | None = None, **options: Any) -> Any:
    """Return a timm network with random weights, as a backbone; options are those of its class.

    Without an anatomy, it is a convolutional network that is linear behind its pool.

    Raises:
        UsageError: timm cannot build it with these options.
    """
    return as_backbone(create(name, num_classes, **options), anatomy)


def create(name: str, num_classes: int, **options: Any) -> Any:
    """Return a timm network with random weights. Raises ``UsageError`` if timm cannot build it with these options."""
    try:
        return timm.create_model(name, num_classes=num_classes, **options)
    except Exception as error:  # whatever the code of a network raises for a value that it is not made for
        if not options:
            raise
        given = ", ".join(f"{option}={value}" for option, value in options.items())
        reason = ": ".join(filter(None, [type(error).__name__, " ".join(str(error).split())]))
        raise UsageError(f"timm cannot build '{name}' with {given} ({reason})") from error


def fetch(name: str) -> dict[str, Tensor]:
    """Return timm's pretrained weights ``model.tag``, from the cache of the hub's client or by download.

    Those of a network that was trained on images and texts have no classifier: what timm lists as one projects images
    into the space of the texts.

    Raises:
        WeightsError: The weights are not available.
    """
    logging.disable(logging.WARNING)  # otherwise the hub's client logs every attempt to connect
    try:
        options = {"num_classes": 0} if _projects(name) else {}
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True, **options).state_dict()
    except Exception as error:  # any error of the hub's client, the connection or the disk
        reason = " ".join(str(error).split()).partition(". ")[0][:120]
        raise WeightsError(
            f"timm's weights '{name}' are not available: neither in the cache of the hub's client nor by download "
            f"({type(error).__name__}: {reason}); without a connection, download 'timm/{name}' elsewhere and pass "
            "a file of it: --weights FILE"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    return state


def _projects(name: str) -> bool:
    """Return whether what timm lists as the classifier of weights is a projection: few rows, and not ImageNet's."""
    config = timm.get_pretrained_cfg(name)
    return config is not None and infer_imagenet_subset(config) is None and config.num_classes <= _MOST_DIMENSIONS


def small_resnet(
    num_classes: int, *, layers: tuple[int, ...], channels: tuple[int, ...], stem_width: int, feature_stride: int = 8
) -> Any:
    """Return a ResNet of basic blocks for small images.

    Args:
        num_classes: Number of classes.
        layers: Number of blocks of each stage.
        channels: Number of channels of each stage.
        stem_width: Number of channels of the first convolution.
        feature_stride: 4 or 8, in pixels; weights fit networks of either stride.
    """
    network = resnet.ResNet(
        resnet.BasicBlock,
        layers=layers,
        channels=channels,
        num_classes=num_classes,
        stem_type="deep",
        stem_width=stem_width,
        replace_stem_pool=True,
        output_stride=8,
    )
    undilate(network)
    if feature_stride == 4:  # not an output stride that timm offers
        for module in network.layer2.modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
    return as_backbone(network)


def resnet50_wsol(num_classes: int, *, output_stride: int = 8) -> Any:
    """Return ResNet-50 as WSOL uses it (Choe et al., CVPR 2020), with stride 1 in its last stages.

    Args:
        num_classes: Number of classes.
        output_stride: 8 for stride 1 in the last two stages, the published form with large maps, 28×28 at 224; 16 for
            stride 1 in the last stage only, the form without, 14×14.
    """
    network = timm.create_model("resnet50", num_classes=num_classes, output_stride=output_stride)
    undilate(network)
    return as_backbone(network)


def small_convnext(
    num_classes: int, *, depths: tuple[int, ...], channels: tuple[int, ...], kernel_size: int = 7
) -> Any:
    """Return a ConvNeXt for small images, with feature stride 8 and depthwise kernels of an odd size.

    It differs from the published networks so that it learns from some thousand images within minutes: batch norm in
    place of layer norm (the ConvNeXt paper before its last step but one, section 2.6), no norm between pool and head,
    He's initial weights (2015) before the head, and an initial layer scale of 1.
    """
    network = convnext.ConvNeXt(
        num_classes=num_classes,
        depths=depths,
        dims=channels,
        kernel_sizes=kernel_size,
        stem_type="overlap_act",
        ls_init_value=1.0,
        output_stride=8,
        norm_layer="batchnorm2d",
        conv_mlp=True,
    )
    network.head.norm = nn.Identity()
    undilate(network)
    for module in (*network.stem.modules(), *network.stages.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return as_backbone(network)


def convnext_base_cub(num_classes: int) -> Any:
    """Return ConvNeXt-B without the norm before its head, as fine-tuned by Yasuki & Taki (CVPR 2024)."""
    network = timm.create_model("convnext_base", num_classes=num_classes)
    network.head.norm = nn.Identity()
    return as_backbone(network)


class VGGGap(nn.Module):
    """VGG-GAP: the convolutions of VGG-16 without its last pools, one more with 1024 channels, pool → linear.

    This is the CAM network of Zhou et al. (CVPR 2016, section 3) as WSOL trains it, tapped after the last ReLU. Its
    keys are those of wsolevaluation (Choe et al., CVPR 2020).

    Args:
        num_classes: Number of classes.
        pools: 4 for maps of 14×14 at 224; 3 for large ones, 28×28, without the pool after the tenth convolution.
    """

    def __init__(self, num_classes: int, *, pools: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage, (width, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
            layers += [nn.MaxPool2d(2)] if 0 < stage <= pools else []
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        self.conv6 = nn.Conv2d(channels, 1024, 3, padding=1)
        self.relu6 = nn.ReLU()
        self.fc = nn.Linear(1024, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward_features(self, images: Tensor) -> Tensor:
        """Return feature maps (B, 1024, h, w), never negative."""
        maps: Tensor = self.relu6(self.conv6(self.features(images)))
        return maps

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits (B, C)."""
        return self.fc(features.mean(dim=(2, 3)))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, C)."""
        return self.forward_head(self.forward_features(images))

    @property
    def taps(self) -> tuple[str, ...]:
        """The last ReLU before every pool, the last one of VGG-16, and that of the features."""
        layers = list(self.features.named_children())
        last = [name for (name, _), (_, after) in pairwise(layers) if isinstance(after, nn.MaxPool2d)]
        return (*(f"features.{name}" for name in [*last, layers[-1][0]]), "relu6")

    def forward_tapped(self, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return logits (B, C), and show the maps (B, K, h, w) of stages to functions on the way."""
        return visit_layers(self, images, visit)

    @property
    def classifier_weight(self) -> Tensor:
        """The weights (C, K) of the linear layer after the global average pool."""
        return self.fc.weight

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the weights (B, K) and constants (B,) of the class scores: the raw ones."""
        return after_pooling(self.fc, class_indices)


def vgg_convolutions(state: Mapping[str, Tensor], *, pools: int) -> dict[str, Tensor]:
    """Return the convolutions of a published VGG-16 under the names of `VGGGap`, which has fewer pools between them.

    Args:
        state: A state dict of torchvision's or timm's VGG-16.
        pools: Those of the `VGGGap`.

    Raises:
        ValueError: It is none, or has norms.
    """
    theirs = [name.removesuffix(".weight") for name in state if re.fullmatch(r"features\.\d+\.weight", name)]
    widths = [state[f"{name}.weight"].shape[0] for name in theirs]
    if widths != [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6:
        raise ValueError(
            "it does not hold the 13 convolutions of a VGG-16 without norms, 'features.0.weight' and so on"
        )
    with torch.device("meta"):
        own = VGGGap(1, pools=pools).features
    places = [place for place, module in enumerate(own) if isinstance(module, nn.Conv2d)]
    return {
        f"features.{place}.{part}": state[f"{name}.{part}"]
        for name, place in zip(theirs, places, strict=True)
        for part in ("weight", "bias")
    }


def undilate(network: nn.Module) -> None:
    """Remove the dilation that timm adds to a network for a smaller output stride.

    The result is the form with large feature maps of the WSOL literature (Choe et al., CVPR 2020): the last stages keep
    their resolution, and their kernels keep their size. Even kernels keep their dilation: they only change the number
    of channels there, and without dilation they would make the map one pixel larger.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1) and module.kernel_size[0] % 2:
            module.dilation = (1, 1)
            module.padding = (module.kernel_size[0] // 2, module.kernel_size[1] // 2)


_RESNET_MICRO = partial(small_resnet, layers=(1, 1, 1, 1), channels=(32, 64, 96, 144), stem_width=16)

OWN: dict[str, Callable[..., Any]] = {
    "resnet_nano": partial(small_resnet, layers=(1, 1, 1, 1), channels=(24, 48, 48, 96), stem_width=12),
    "resnet_micro": _RESNET_MICRO,
    "resnet_micro_wsol": partial(_RESNET_MICRO, feature_stride=4),
    "resnet50_wsol": resnet50_wsol,
    "resnet50_wsol14": partial(resnet50_wsol, output_stride=16),
    "convnext_nano": partial(small_convnext, depths=(1, 1, 2, 1), channels=(32, 64, 64, 96)),
    "convnext_micro": partial(small_convnext, depths=(1, 1, 3, 1), channels=(32, 96, 96, 144)),
    "convnext_base_cub": convnext_base_cub,
    "vgg16_gap": VGGGap,
    "vgg16_wsol": partial(VGGGap, pools=3),
    "inception_v3_wsol": InceptionWSOL,
}
"""The networks defined here: timm has no network of the name, or another one (``convnext_nano``)."""
