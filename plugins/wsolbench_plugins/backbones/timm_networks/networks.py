"""timm's ResNet and ConvNeXt as wsolbench backbones, with large feature maps where asked."""

from __future__ import annotations

from timm.models import convnext, resnet
from torch import Tensor, nn


class ResNet(resnet.ResNet):  # type: ignore[misc]
    """ResNet (He et al., CVPR 2016); features are tapped after the last stage, ReLU included."""

    @property
    def classifier_weight(self) -> Tensor:
        """The weights (C, K) of the linear layer after the global average pool."""
        weight: Tensor = self.fc.weight
        return weight


class ConvNeXt(convnext.ConvNeXt):  # type: ignore[misc]
    """ConvNeXt (Liu et al., CVPR 2022); features are tapped before pooling and the final layer norm."""

    @property
    def classifier_weight(self) -> Tensor:
        """The raw head weights (C, K); the layer norm between pool and head is not in them."""
        weight: Tensor = self.head.fc.weight
        return weight


def resnet_nano(num_classes: int) -> ResNet:
    """Return a ResNet of four basic blocks for 96×96 images, feature stride 8."""
    network: ResNet = ResNet(
        resnet.BasicBlock,
        layers=(1, 1, 1, 1),
        channels=(24, 48, 48, 96),
        num_classes=num_classes,
        stem_type="deep",
        stem_width=12,
        replace_stem_pool=True,
        output_stride=8,
    )
    undilate(network)
    return network


def convnext_nano(num_classes: int) -> ConvNeXt:
    """Return a ConvNeXt of five blocks for 96×96 images, feature stride 8."""
    network: ConvNeXt = ConvNeXt(
        num_classes=num_classes,
        depths=(1, 1, 2, 1),
        dims=(32, 64, 64, 96),
        stem_type="overlap",
        ls_init_value=0.5,
        output_stride=8,
    )
    undilate(network)
    return network


def undilate(network: nn.Module) -> None:
    """Take the dilation out of a network that timm built for a smaller output stride.

    What remains is the large-feature-map form of the WSOL literature (Choe et al., CVPR 2020): the last stages keep
    their resolution, and their kernels their size. Even kernels, which only change the number of channels there, would
    grow the map by a pixel without dilation and keep it.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1) and module.kernel_size[0] % 2:
            module.dilation = (1, 1)
            module.padding = (module.kernel_size[0] // 2, module.kernel_size[1] // 2)
