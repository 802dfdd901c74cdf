"""Networks passed as objects: any torch module that classifies, with features tapped at one of its layers."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.contract import Backbone, BackboneSpec, InputConfig
from wsolbench.errors import UsageError
from wsolbench.networks.network import form_of

__all__ = ["ModuleSpec", "TappedModule", "module_spec"]


@dataclass(frozen=True)
class ModuleSpec(BackboneSpec):
    """The spec of a network that was passed as an object with its weights; a copy is run, the object never changes.

    Attributes:
        says_input: Whether the user said how images become its input.
    """

    says_input: bool = False


def module_spec(module: nn.Module, *, name: str, layer: str | None, config: InputConfig | None) -> ModuleSpec:
    """Return the spec of a network that is a torch module.

    Args:
        module: A `Backbone`, or any classifier whose scores depend on the output of one of its layers alone.
        name: Its name in records.
        layer: The layer whose output is the feature maps, as in ``module.named_modules()``; None for a `Backbone`.
        config: How images are prepared for it; None for 224×224 with the usual mean and deviation.

    Raises:
        UsageError: The module is not a `Backbone` and no layer is given, the layer does not exist, its output is not
            all that the head reads, or the maps have their channels last.
    """
    try:
        network: Any = copy.deepcopy(module).eval()
    except Exception as error:  # a module may hold anything
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UsageError(f"{type(module).__name__} cannot be copied ({reason}); register a Backbone") from error
    prepared = config or InputConfig(224)
    if layer is not None:
        network = TappedModule(network, layer, prepared)
    elif not isinstance(module, Backbone):
        raise UsageError(
            f"{type(module).__name__} does not have forward_features and forward_head; "
            f"pass the layer whose output is the feature maps: layer='{_last_block(module)}'"
        )
    elif getattr(module, "output_fmt", "NCHW") != "NCHW":
        # timm names the order of the axes so; read as (B, K, h, w), such maps would give scores of nothing
        raise UsageError(
            f"{type(module).__name__} returns feature maps as {module.output_fmt}, not (B, K, h, w); pass its name in "
            "place of the module, such as 'timm:swin_tiny_patch4_window7_224', or a Backbone that returns them so"
        )
    source, says = type(module).__qualname__, config is not None
    return ModuleSpec(name, lambda _classes: copy.deepcopy(network), prepared, source=source, says_input=says)


class TappedModule(nn.Module):
    """A classifier split at one of its layers into features and head.

    The head is everything that the classifier computes from the layer's output. To run it, the whole classifier is run
    again on blank images, and the output of the layer is replaced by the features; so every image costs two passes.

    Class weights are those of the linear layer that computes the scores, where no other one comes between it and the
    layer. Other heads, such as those of several linear layers or of convolutions, have none.

    Args:
        module: The classifier, in eval mode.
        layer: The name of the layer.
        config: The size of its input.

    Raises:
        UsageError: The layer does not exist, or its output is not all that the head reads.
    """

    def __init__(self, module: nn.Module, layer: str, config: InputConfig) -> None:
        super().__init__()
        self.module = module
        self._size = (config.size, config.size)
        layers = dict(module.named_modules())
        if layer not in layers:
            close = difflib.get_close_matches(str(layer), layers, n=3) or [_last_block(module)]
            raise UsageError(f"{type(module).__name__} has no layer '{layer}'; did you mean {' or '.join(close)}?")
        self._layer = layer
        blank = torch.linspace(-1, 1, 3 * config.size**2).reshape(1, 3, *self._size)
        try:
            self._head = self._find_head(blank)
            self._check(blank)
        except UsageError:
            raise
        except Exception as error:  # whatever a stranger's network does with an image that it is not made for
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise UsageError(
                f"{type(module).__name__} cannot be run on a float32 image of {config.size}×{config.size} ({reason}); "
                "pass input=InputConfig(size) with the size that it is made for"
            ) from error

    @torch.no_grad()
    def _find_head(self, blank: Tensor) -> str | None:
        """Return the name of the linear layer whose output are the scores, None where the head is not that layer alone.

        Raises:
            UsageError: The module does not return scores, or the layer no feature maps.
        """
        calls: list[tuple[str, Any]] = []

        def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
            return lambda _module, _inputs, output: calls.append((name, output))

        watched: list[tuple[str, nn.Module]] = [
            (name, part) for name, part in self.module.named_modules() if isinstance(part, nn.Linear)
        ]
        watched.append((self._layer, self.module.get_submodule(self._layer)))
        handles = [part.register_forward_hook(note(name)) for name, part in watched]
        try:
            scores = self.module(blank)
        finally:
            for handle in handles:
                handle.remove()
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            raise UsageError(
                f"{type(self.module).__name__} returns {form_of(scores)}; expected the scores alone, (B, C)"
            )
        names = [name for name, _ in calls]
        if self._layer not in names:
            raise UsageError(f"the layer '{self._layer}' is not used when {type(self.module).__name__} is run")
        features = calls[names.index(self._layer)][1]
        if not isinstance(features, Tensor) or features.ndim != 4:
            raise UsageError(
                f"the layer '{self._layer}' returns {form_of(features)}; expected feature maps (1, K, h, w)"
            )
        after = [(name, out) for name, out in calls[names.index(self._layer) :] if name != self._layer]
        if not after or after[0][1].shape != scores.shape:
            return None
        name, output = after[0]
        return name if torch.allclose(output, scores, rtol=0, atol=0, equal_nan=True) else None

    @torch.no_grad()
    def _check(self, blank: Tensor) -> None:
        """Check that head and features together compute the same scores as the classifier."""
        features = self.forward_features(blank)
        weights, channels = self.classifier_weight, features.shape[1]
        read = channels if weights is None else weights.shape[1]
        if channels != read:
            raise UsageError(
                f"the layer '{self._layer}' returns {channels} feature maps, but the linear layer '{self._head}' "
                f"reads {read} numbers; pass the layer before the pooling"
            )
        if not torch.allclose(self.forward_head(features), self.module(blank), rtol=1e-4, atol=1e-5, equal_nan=True):
            raise UsageError(f"the scores depend on more than the output of the layer '{self._layer}'")

    @property
    def classifier_weight(self) -> Tensor | None:
        """The class weights (C, K), None where the head is not one linear layer."""
        if self._head is None:
            return None
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
