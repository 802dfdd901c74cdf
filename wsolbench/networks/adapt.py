"""Networks passed as objects: any torch module with a linear head, with features tapped at one of its layers."""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.contract import Backbone, BackboneSpec, InputConfig
from wsolbench.errors import UsageError

__all__ = ["ModuleSpec", "TappedModule", "module_spec"]


@dataclass(frozen=True)
class ModuleSpec(BackboneSpec):
    """The spec of a network that was passed as an object with its weights; a copy is run, the object never changes."""


def module_spec(module: nn.Module, *, name: str, layer: str | None, config: InputConfig) -> ModuleSpec:
    """Return the spec of a network that is a torch module.

    Args:
        module: A `Backbone`, or any classifier with a linear head that reads the pooled output of one of its layers.
        name: Its name in records.
        layer: The layer whose output is the feature maps, as in ``module.named_modules()``; None for a `Backbone`.
        config: How images are prepared for it.

    Raises:
        UsageError: The module is not a `Backbone` and no layer is given, the layer does not exist, or its output is not
            the feature maps that the head reads.
    """
    network: Any = copy.deepcopy(module).eval()
    if layer is not None:
        network = TappedModule(network, layer, config)
    elif not isinstance(module, Backbone):
        raise UsageError(
            f"{type(module).__name__} does not have forward_features, forward_head and classifier_weight; "
            f"pass the layer whose output is the feature maps: layer='{_last_block(module)}'"
        )
    return ModuleSpec(name, lambda _classes: copy.deepcopy(network), config, source=type(module).__qualname__)


class TappedModule(nn.Module):
    """A classifier split at one of its layers into features and head.

    The head is everything that the classifier computes from the layer's output. To run it, the whole classifier is run
    again on blank images, and the output of the layer is replaced by the features; so every image costs two passes.

    Args:
        module: The classifier, in eval mode; its last linear layer is the head.
        layer: The name of the layer.
        config: The size of its input.

    Raises:
        UsageError: The layer does not exist, or its output is not the feature maps that the head reads.
    """

    def __init__(self, module: nn.Module, layer: str, config: InputConfig) -> None:
        super().__init__()
        self.module = module
        self._size = (config.size, config.size)
        layers = dict(module.named_modules())
        if layer not in layers:
            close = difflib.get_close_matches(layer, layers, n=3) or [_last_block(module)]
            raise UsageError(f"{type(module).__name__} has no layer '{layer}'; did you mean {' or '.join(close)}?")
        self._layer = layer
        heads = [name for name, part in layers.items() if isinstance(part, nn.Linear)]
        if not heads:
            raise UsageError(f"{type(module).__name__} has no linear layer, so no class weights; register a Backbone")
        self._head = heads[-1]
        self._check()

    def _check(self) -> None:
        """Check that head and features together compute the same scores as the classifier."""
        blank = torch.linspace(-1, 1, 3 * self._size[0] * self._size[1]).reshape(1, 3, *self._size)
        with torch.no_grad():
            features = self.forward_features(blank)
            if not isinstance(features, Tensor) or features.ndim != 4:
                form = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
                raise UsageError(f"the layer '{self._layer}' returns {form}; expected feature maps (1, K, h, w)")
            channels, read = features.shape[1], self.classifier_weight.shape[1]
            if channels != read:
                raise UsageError(
                    f"the layer '{self._layer}' returns {channels} feature maps, but the linear layer '{self._head}' "
                    f"reads {read} numbers; pass the layer before the pooling (a head of several layers has no CAM)"
                )
            scores = self.module(blank)
            if not isinstance(scores, Tensor):
                raise UsageError(
                    f"{type(self.module).__name__} returns {type(scores).__name__}; expected the scores alone, (B, C)"
                )
            if not torch.allclose(self.forward_head(features), scores, rtol=1e-4, atol=1e-5):
                raise UsageError(f"the scores depend on more than the output of the layer '{self._layer}'")

    @property
    def classifier_weight(self) -> Tensor:
        """The class weights (C, K)."""
        weight = self.module.get_submodule(self._head).weight
        assert isinstance(weight, Tensor)
        return weight

    def forward_features(self, images: Tensor) -> Any:
        """Return the output of the layer, feature maps (B, K, h, w)."""
        self._size = (images.shape[2], images.shape[3])
        found: list[Any] = []

        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            found.append(output.clone() if isinstance(output, Tensor) else output)  # the next layer may work in place

        with self.module.get_submodule(self._layer).register_forward_hook(keep):
            self.module(images)
        return found[-1]

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the scores (B, C) of the classifier when the layer's output is replaced by these features."""
        blank = features.new_zeros(len(features), 3, *self._size)

        def replace(_module: nn.Module, _inputs: Any, _output: Any) -> Tensor:
            return features.clone()

        with self.module.get_submodule(self._layer).register_forward_hook(replace):
            scores: Tensor = self.module(blank)
        return scores


def _last_block(module: nn.Module) -> str:
    """Return a suggestion for the layer before the pooling: the last child with a convolution."""
    names = [
        name for name, child in module.named_children() if any(isinstance(part, nn.Conv2d) for part in child.modules())
    ]
    return names[-1] if names else "features"
