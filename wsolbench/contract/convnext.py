"""What networks with the layout of ConvNeXt share (Liu et al., "A ConvNet for the 2020s", CVPR 2022)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from wsolbench.contract.heads import after_layer_norm
from wsolbench.contract.taps import visit_layers
from wsolbench.errors import PluginError, UsageError
from wsolbench.texts import counted

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.nn import Module
else:
    Module = object  # the class that inherits from the mixin is the torch module

__all__ = ["ConvNeXtLike"]

_STAGES = 4


class ConvNeXtLike(Module):
    """A mixin for networks with the layout of ConvNeXt: all of a backbone but its layers.

    Many published networks have this layout, and name its parts as below. Features are the maps of the last stage,
    before the pool. The mixin comes before the class of the network::

        class OurBackbone(ConvNeXtLike, OurNetwork): ...

    Attributes:
        downsample_layers: The stem and the down-sampling layers, one before each stage.
        stages: Modules that map (B, C, h, w) to (B, C, h, w), each a sequence of blocks with timm's ``DropPath``.
        norm: Layer norm of the pooled features.
        head: The classifier.
    """

    downsample_layers: nn.ModuleList
    stages: nn.ModuleList
    norm: nn.LayerNorm
    head: nn.Linear

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the maps (B, K, h, w) of the last stage for images (B, 3, H, W).

        Raises:
            PluginError: Parts of the layout are missing.
        """
        self._require("downsample_layers", "stages")
        if len(self.downsample_layers) != len(self.stages):
            raise PluginError(
                f"{type(self).__name__} has {counted(len(self.downsample_layers), 'downsample_layers')} and "
                f"{counted(len(self.stages), 'stages')}; ConvNeXtLike needs one before each stage, the stem first"
            )
        x = images
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return x

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C) of feature maps (B, K, h, w)."""
        self._require("norm", "head")
        logits: Tensor = self.head(self.norm(features.mean(dim=(2, 3))))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) of images (B, 3, H, W)."""
        return self.forward_head(self.forward_features(images))

    @property
    def taps(self) -> tuple[str, ...]:
        """The stages."""
        self._require("stages")
        return tuple(f"stages.{number}" for number in range(len(self.stages)))

    def forward_tapped(self, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the logits (B, C), and show the maps (B, K, h, w) of stages to functions on the way; see `Tapped`."""
        return visit_layers(self, images, visit)

    @property
    def classifier_weight(self) -> Tensor:
        """The raw weights (C, K) of the head, without the layer norm between pool and head."""
        self._require("head")
        return self.head.weight

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights (B, K) and constants (B,) of the class scores, with the layer norm; see `SpatialHead`."""
        return after_layer_norm(features, self.norm, self.head, class_indices)

    def _require(self, *names: str) -> None:
        """Refuse a network that lacks parts of the layout.

        Raises:
            PluginError: It lacks some; the message names its class and them.
        """
        absent = [name for name in names if getattr(self, name, None) is None]
        if absent:
            raise PluginError(
                f"{type(self).__name__} has no {' and no '.join(absent)}: ConvNeXtLike needs downsample_layers, "
                "stages, norm and head; call its parts so, or write the methods that use them"
            )

    def set_drop_path(self, rate: float) -> None:
        """Set the probabilities of skipping a block: 0 for the first, `rate` for the last, linear in between.

        Raises:
            UsageError: The network has no ``DropPath`` of timm.
        """
        from timm.layers import DropPath

        drops = [module for module in self.modules() if isinstance(module, DropPath)]
        if not drops:
            raise UsageError(f"{type(self).__name__} has no stochastic depth (timm's DropPath); set drop_path to 0")
        for index, drop in enumerate(drops):
            drop.drop_prob = rate * index / max(len(drops) - 1, 1)

    def layer_ids(self) -> dict[str, int]:
        """Return parameter -> layer number as ConvNeXt's recipe: three blocks of the long third stage are one layer.

        The four stages have the numbers 1, 2, 3 to 11, and 12; norm and head have 13. Stem and down-sampling layers
        have 0, 2, 3 and 12.

        Raises:
            PluginError: There are more than four stages.
        """
        self._require("stages")
        if len(self.stages) > _STAGES:
            raise PluginError(
                f"{type(self).__name__} has {len(self.stages)} stages, and the layers of ConvNeXt's recipe are "
                f"numbered for {_STAGES}; write layer_ids for it"
            )
        return {name: _layer_number(name) for name, _ in self.named_parameters()}


def _layer_number(name: str) -> int:
    place = re.match(r"(stages|downsample_layers)\.(\d+)(?:\.(\d+))?", name)
    if place is None:
        return 13
    part, stage, block = place[1], int(place[2]), int(place[3] or 0)
    if part == "downsample_layers":
        return (0, 2, 3, 12)[stage]
    return (1, 2, min(3 + block // 3, 11), 12)[stage]
