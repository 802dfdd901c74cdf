"""timm's networks as wsolbench backbones: one small class for each place where the features can be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from timm.layers import DropPath
from timm.models import beit, convnext, eva, group_parameters, vision_transformer, vision_transformer_relpos
from timm.utils import reparameterize_model
from torch import Tensor, nn

from wsolbench.api import Features, UsageError, after_layer_norm
from wsolbench_plugins.backbones.timm_networks.anatomy import Anatomy, stages
from wsolbench_plugins.backbones.timm_networks.attention import Attending, shows_attention
from wsolbench_plugins.backbones.timm_networks.classifiers import affine, classifier_of, final_norm
from wsolbench_plugins.backbones.timm_networks.layouts import Layout, find_layout

_PLAIN_NETWORKS = (
    vision_transformer.VisionTransformer,
    vision_transformer_relpos.VisionTransformerRelPos,
    eva.Eva,
    beit.Beit,
)
"""Classes whose blocks are run one after another, and then the final norm alone."""


def as_backbone(network: Any, anatomy: Anatomy | None = None) -> Any:
    """Make a backbone of a timm network in place; its state dict and its scores stay the same.

    Args:
        network: The network; one with 0 classes gets scores (B, 0).
        anatomy: Where its features are; by default it is a convolutional network that is linear behind its pool.
    """
    anatomy = anatomy or Anatomy()
    own, headless = type(network), getattr(network, "num_classes", None) == 0
    mixins: list[type] = [MergingBranches] if any(map(_merges, network.children())) else []
    mixins += [Attending] if shows_attention(network) else []
    if anatomy.final is not None and (headless or anatomy.tap is None):
        mixins += [FinalMaps] if headless or not anatomy.linear else [PooledClassifier, FinalMaps]
    else:
        mixins.append(LastBlock if _is_norm_of_last_block(network, anatomy.tap) else TappedLayer)
    network.__class__ = type(own.__name__, (*mixins, own), {})
    network.anatomy, network.headless = anatomy, headless
    return network


def _is_norm_of_last_block(network: Any, layer: str | None) -> bool:
    """Return whether a layer is the norm before the last attention of a network that is split there without a pass."""
    blocks = getattr(network, "blocks", ())
    return isinstance(network, _PLAIN_NETWORKS) and len(blocks) > 1 and layer == f"blocks.{len(blocks) - 1}.norm1"


class TimmBackbone:
    """What all timm networks have in common: layers that can be tapped, stochastic depth, numbers of layers."""

    anatomy: Anatomy
    headless: bool
    forward_features: Any
    forward_head: Any
    group_matcher: Any
    get_submodule: Any
    modules: Any
    named_parameters: Any

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) of images (B, 3, H, W)."""
        logits: Tensor = self.forward_head(self.forward_features(images))
        return logits

    @property
    def taps(self) -> tuple[str, ...]:
        """The layers that can be tapped, from the image to the head."""
        return stages(self) if self.anatomy.taps is None else self.anatomy.taps

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # hooks of one pass must not be compiled into the next
    def forward_tapped(self, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the logits (B, C) of images, and show the feature maps of layers to functions on the way.

        Args:
            images: Normalised images (B, 3, H, W).
            visit: Name of a tap -> called once with its maps (B, K, h, w); the pass goes on with the maps that it
                returns.
        """
        with ExitStack() as hooks:
            for name, function in visit.items():
                show = partial(self._show, name, images, function)
                hooks.enter_context(self.get_submodule(name).register_forward_hook(show))
            return self._logits(images)

    def _show(
        self,
        name: str,
        images: Tensor,
        function: Callable[[Tensor], Tensor],
        _layer: nn.Module,
        _inputs: tuple[Any, ...],
        output: Any,
    ) -> Any:
        layout = self._layout(output, images)
        if layout is None:
            raise UsageError(f"'{name}' of {type(self).__name__} has no feature maps for images {tuple(images.shape)}")
        maps = layout.maps(output, images)
        return layout.put_back(output, function(maps.clone()).clone())  # the next layer may work in place

    def _layout(self, output: Any, images: Tensor) -> Layout | None:
        prefix, last = getattr(self, "num_prefix_tokens", None), getattr(self, "output_fmt", None) == "NHWC"
        return find_layout(output, images, prefix, channels_last=last)

    def _logits(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) of timm's own forward pass, which does not come here again."""
        output = self.timms_features(images)
        return images.new_zeros(len(images), 0) if self.headless else self._timms_head(output)

    def timms_features(self, images: Tensor) -> Any:
        """Return what timm's ``forward_features`` returns."""
        return super().forward_features(images)  # type: ignore[misc]

    def _timms_head(self, output: Any) -> Tensor:
        """Return the logits (B, C) of what timm's ``forward_features`` returned."""
        logits: Tensor = super().forward_head(output)  # type: ignore[misc]
        return logits

    def set_drop_path(self, rate: float) -> None:
        """Set the stochastic depth rate of the last block; the rates grow linearly from 0.

        Raises:
            UsageError: The network has no residual blocks.
        """
        blocks = [(module, drops) for module in self.modules() if (drops := _drop_paths(module))]
        if not blocks:
            raise UsageError(f"{type(self).__name__} has no residual blocks to drop; set drop_path to 0")
        for index, (block, drops) in enumerate(blocks):
            for name in drops:
                drop = DropPath(rate * index / max(len(blocks) - 1, 1)).train(block.training)
                setattr(block, name, drop)

    def layer_ids(self) -> dict[str, int]:
        """Return parameter -> layer number: timm's, and for ConvNeXt the published ones (`convnext_layer_number`).

        Raises:
            UsageError: timm does not number the layers of the network.
        """
        if isinstance(self, convnext.ConvNeXt):
            return {name: convnext_layer_number(name) for name, _ in self.named_parameters()}
        if not hasattr(self, "group_matcher"):
            raise UsageError(f"{type(self).__name__} does not number its layers; set layer_decay to 1")
        numbers: dict[str, int] = group_parameters(self, self.group_matcher(), reverse=True)
        return numbers


def _drop_paths(block: nn.Module) -> list[str]:
    """Return where a block drops its branches: ConvNeXt's holds an identity there without a rate, ResNet's None."""
    names = ("drop_path", "drop_path1", "drop_path2", "drop_path3")
    return [name for name in names if isinstance(getattr(block, name, ...), nn.Module | None)]


class FinalMaps(TimmBackbone):
    """A network whose classifier reads the maps that timm's ``forward_features`` returns."""

    def forward_features(self, images: Tensor) -> Tensor | Features:
        """Return timm's features as maps (B, K, h, w), with the prefix tokens as the rest if there are any."""
        output = self.timms_features(images)
        layout = self._final
        maps = layout.maps(output, images)
        return Features(maps, (output[:, : layout.prefix],)) if layout.prefix else maps

    def _logits(self, images: Tensor) -> Tensor:
        """Return the logits (B, C), also where a system has given the network another head."""
        return self.forward(images)

    def forward_head(self, features: Tensor | Features) -> Tensor:
        """Return the logits (B, C)."""
        maps, prefix = (features.maps, features.rest[0]) if isinstance(features, Features) else (features, None)
        return maps.new_zeros(len(maps), 0) if self.headless else self._timms_head(self._final.join(maps, prefix))

    @property
    def _final(self) -> Layout:
        assert self.anatomy.final is not None
        return self.anatomy.final


class PooledClassifier:
    """What a network whose head is pool → linear or pool → layer norm → linear has beside: class weights."""

    get_classifier: Any

    @property
    def classifier_weight(self) -> Tensor:
        """The raw weights (C, K) of the classifier, without a layer norm before it."""
        return self._affine[0]

    def effective_weights(self, features: Tensor, class_indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights (B, K) and constants (B,) of the class scores, with a layer norm before the classifier."""
        norm = final_norm(self)
        if norm is not None:
            return after_layer_norm(features, norm, self.get_classifier(), class_indices)
        weight, bias = self._affine
        return weight[class_indices], bias[class_indices]

    @property
    def _affine(self) -> tuple[Tensor, Tensor]:
        known = affine(classifier_of(self))
        assert known is not None
        return known


class LastBlock(TimmBackbone):
    """A network of tokens that scores its class token, split where the last attention reads the patch tokens.

    After that attention nothing depends on the patch tokens any more, so the tokens that leave the last block have no
    gradients. The features are those after the first norm of the last block, and the head is the rest of the network:
    it reads the prefix tokens after that norm, and all tokens before it, to which the block adds.
    """

    blocks: Any
    forward_intermediates: Any
    norm: Any
    num_prefix_tokens: int

    def forward_features(self, images: Tensor) -> Features:
        """Return the patch tokens that the last attention reads as maps (B, K, h, w), and what the head reads."""
        ((patches, prefix),) = self.forward_intermediates(
            images,
            indices=[len(self.blocks) - 2],
            return_prefix_tokens=True,
            stop_early=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        tokens = torch.cat([prefix, patches], dim=1)
        read = self.blocks[-1].norm1(tokens)
        return Features(self._layout_of_tokens.maps(read, images), (read[:, : self.num_prefix_tokens], tokens))

    def forward_head(self, features: Features) -> Tensor:
        """Return the logits (B, C)."""
        prefix, tokens = features.rest
        read = self._layout_of_tokens.join(features.maps, prefix)
        block = self.blocks[-1]
        with block.norm1.register_forward_hook(lambda *_: read):
            output = block(tokens, **_beside_tokens(self, features.maps))
        return self._timms_head(self.norm(output))

    @property
    def feature_layer(self) -> str:
        """The layer whose maps are the features."""
        return f"blocks.{len(self.blocks) - 1}.norm1"

    @property
    def _layout_of_tokens(self) -> Layout:
        return Layout("BNC", self.num_prefix_tokens)


def _beside_tokens(network: Any, maps: Tensor) -> dict[str, Tensor]:
    """Return what the last block of a network reads beside its tokens: positions, the same for all images.

    Args:
        network: The network.
        maps: Maps (B, K, h, w), for the size of the grid.
    """
    if getattr(network, "rel_pos_bias", None) is not None:
        return {"shared_rel_pos_bias": network.rel_pos_bias()}
    if getattr(network, "shared_rel_pos", None) is not None:
        return {"shared_rel_pos": network.shared_rel_pos.get_bias()}
    rope = getattr(network, "rope", None)
    if rope is None:
        return {}
    is_fixed = not network.dynamic_img_size and hasattr(rope, "feat_shape")
    positions = rope.get_embed() if is_fixed else rope.get_embed(shape=tuple(maps.shape[2:]))
    return {"rope": positions[-1] if network.rope_mixed else positions}


class TappedLayer(TimmBackbone):
    """A network whose features are the maps of an inner layer, and whose head is all that comes after that layer.

    The head runs the whole network again on the images, with other maps in the place of the layer's. So it is exact for
    every network, also where later layers read more than these maps, and takes the time of a second pass.
    """

    def forward_features(self, images: Tensor) -> Features:
        """Return the maps (B, K, h, w) of the layer, and the images (B, 3, H, W) that the head runs on."""
        found: list[Tensor] = []

        def keep(maps: Tensor) -> Tensor:
            found.append(maps)
            return maps

        self.forward_tapped(images, {self.feature_layer: keep})
        return Features(found[0], (images,))

    def forward_head(self, features: Features) -> Tensor:
        """Return the logits (B, C)."""
        logits: Tensor = self.forward_tapped(features.rest[0], {self.feature_layer: lambda _: features.maps})
        return logits

    @property
    def feature_layer(self) -> str:
        """The layer whose maps are the features."""
        assert self.anatomy.tap is not None
        return self.anatomy.tap


class MergingBranches:
    """A mixin for timm networks whose parallel branches can be merged, such as RepVGG, MobileOne and FastViT."""

    branches_merged = False

    def reparameterize(self) -> None:
        """Merge the branches in place, as timm does it; branches that are merged already stay."""
        if not self.branches_merged:  # some of timm's modules cannot be merged twice
            reparameterize_model(self, inplace=True)
            self.branches_merged = True


def _merges(module: nn.Module) -> bool:
    """Return whether timm can merge a part of a network."""
    steps = ("fuse", "reparameterize", "switch_to_deploy")
    return any(hasattr(part, step) for part in module.modules() for step in steps)


def convnext_layer_number(name: str) -> int:
    """Return the layer number of a parameter as published, with three blocks of the long third stage as one layer.

    The four stages have the numbers 1, 2, 3 to 11, and 12; norm and head have 13. Stem and down-sampling layers have 0,
    2, 3 and 12.
    """
    if name.startswith("stem."):
        return 0
    place = re.match(r"stages\.(\d+)\.(?:blocks\.(\d+))?", name)
    if place is None:
        return 13
    stage, block = int(place[1]), int(place[2] or 0)
    return (1, 2, 3 + block // 3, 12)[stage]
