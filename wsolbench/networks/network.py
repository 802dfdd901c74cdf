"""A network ready for inference: on its device, in eval mode, in the chosen precision, with its provenance."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.contract import BackboneSpec, Features
from wsolbench.contract.backbones import maps_and_rest, with_rest
from wsolbench.contract.choices import Precision
from wsolbench.contract.inputs import InputSetting
from wsolbench.errors import UsageError, WsolbenchError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer
from wsolbench.networks.row_names import KnownClasses
from wsolbench.records import WeightsInfo

_DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Execution:
    """How a network computes its features. Head, methods and evaluation always use float32 or better.

    Args:
        precision: Precision of weights and activations up to the features.
        compiled: Whether torch compiles this part, which takes a minute or more at the first batch.
    """

    precision: Precision = "fp32"
    compiled: bool = False

    def __str__(self) -> str:
        """Return the command-line options that select it."""
        return " ".join([f"--precision {self.precision}", *(["--compile"] if self.compiled else [])])


USUAL = Execution()
_IMAGE_CHANNELS = 3


@dataclass(frozen=True)
class Network:
    """A network on its device, with the offer it was built from."""

    offer: Offer[BackboneSpec]
    module: Any
    device: torch.device
    execution: Execution = USUAL

    @property
    def spec(self) -> BackboneSpec:
        """The plugin's spec."""
        return self.offer.spec

    @property
    def blank_image(self) -> Tensor:
        """A normalised image (1, 3, H, W) of zeros."""
        return torch.zeros(1, 3, self.spec.input.size, self.spec.input.size, device=self.device)

    @cached_property
    def blank_features(self) -> Tensor | Features:
        """The tapped features of one blank image."""
        with torch.no_grad(), blaming(self.offer.provider, f"in '{self.spec.name}' on a blank image"):
            return checked_features(self.module.forward_features(self.blank_image), 1)

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """Channels, height and width (K, h, w) of the tapped features, measured on a blank image."""
        channels, height, width = maps_and_rest(self.blank_features)[0].shape[1:]
        return int(channels), int(height), int(width)

    def forward(self, images: Tensor, *, gradients: bool = False) -> tuple[Tensor | Features, Tensor]:
        """Return what ``forward_features`` makes of images, in float32, and the logits (B, C), in one pass.

        Args:
            images: (B, 3, H, W) float32, normalised.
            gradients: Whether features are differentiable with respect to the images. Logits never are: the head of a
                tapped network would keep what a second pass needs for gradients.

        Raises:
            UsageError: The network fails in the chosen precision or compiled form.
        """
        with self._blaming_execution():
            if gradients:
                with torch.enable_grad():
                    features = _mapped(checked_features(self._forward_features(images), len(images)), _single)
                with torch.no_grad():
                    return features, self.module.forward_head(features)
            with torch.inference_mode():
                features = checked_features(self._forward_features(images), len(images))
            # Tensors made in inference mode cannot take part in autograd, which gradient methods need; a copy can.
            features = _mapped(features, Tensor.clone if self.execution.precision == "fp32" else _single_copy)
            with torch.no_grad():
                return features, self.module.forward_head(features)

    @cached_property
    def _forward_features(self) -> Callable[[Tensor], Any]:
        dtype = _DTYPES[self.execution.precision]
        # Convert a copy: the head of the original stays in float32.
        body = self.module if dtype is torch.float32 else copy.deepcopy(self.module).to(dtype)
        compute = torch.compile(body.forward_features) if self.execution.compiled else body.forward_features
        return lambda images: compute(images.to(dtype))

    @contextmanager
    def _blaming_execution(self) -> Iterator[None]:
        """Attribute any failure to the execution options, unless they are the defaults."""
        try:
            yield
        except WsolbenchError:
            raise
        except Exception as error:
            if self.execution == USUAL:
                raise
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise UsageError(
                f"{self.execution} does not work for '{self.spec.name}' on {self.device} ({reason}); omit it"
            ) from error


@dataclass(frozen=True, kw_only=True)
class LoadedNetwork(Network):
    """A network in eval mode with its weights and their provenance.

    Args:
        requested: The name that the user typed.
        num_classes: Number of classes of its head.
        parameters: Number of parameters before branches were merged and norms fused.
        largest_kernel: Longest side of its kernels, in cells.
        stage_kernel: The same of the kernels that look around a position of a map; see `stage_kernel`.
        reparameterized: Whether parallel branches were merged.
        weights: Where its weights come from.
        options: Options that the network was built with, those that were given.
        tap: The layer whose maps are its features, where it was named; see `taps`.
        changed_input: Settings of its input that are not the network's own.
        warnings: What the user should know about the weights.
        row_names: What the rows of its head are called, as its weights came with it; None where it is not known.
    """

    requested: str
    num_classes: int
    parameters: int
    largest_kernel: int
    stage_kernel: int
    reparameterized: bool
    weights: WeightsInfo
    options: Mapping[str, Any] = field(default_factory=dict)
    tap: str | None = None
    changed_input: tuple[InputSetting, ...] = ()
    warnings: tuple[str, ...] = ()
    row_names: KnownClasses | None = None


def checked_features(features: Any, images: int) -> Tensor | Features:
    """Return what ``forward_features`` returned.

    Args:
        features: What it returned.
        images: The number of images that it was given.

    Raises:
        TypeError: It is neither feature maps nor `Features` of as many images.
    """
    maps, rest = maps_and_rest(features)
    if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != images:
        raise TypeError(f"forward_features returned {form_of(maps)}, expected feature maps ({images}, K, h, w)")
    for part in rest or ():
        if not isinstance(part, Tensor) or part.ndim == 0 or len(part) != images:
            raise TypeError(f"forward_features returned {form_of(part)} in the rest, expected ({images}, ...)")
    return with_rest(maps, rest)


def form_of(value: object) -> str:
    """Return the shape of a tensor, or the type of anything else, for messages."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _mapped(features: Tensor | Features, function: Callable[[Tensor], Tensor]) -> Tensor | Features:
    """Return features with a function applied to each of their tensors."""
    maps, rest = maps_and_rest(features)
    return with_rest(function(maps), None if rest is None else tuple(map(function, rest)))


def _single(values: Tensor) -> Tensor:
    return values.float() if values.is_floating_point() else values


def _single_copy(values: Tensor) -> Tensor:
    return values.to(torch.float32 if values.is_floating_point() else values.dtype, copy=True)


def kernel_sizes(module: nn.Module) -> list[tuple[int, int]]:
    """Return the distinct kernel sizes (height, width) of a network's 2-D convolutions, largest area first."""
    sizes = {
        (int(layer.kernel_size[0]), int(layer.kernel_size[1]))
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d)
    }
    return sorted(sizes, key=lambda size: (-size[0] * size[1], size))


def largest_kernel(module: nn.Module) -> int:
    """Return the longest side of a network's 2-D kernels, 0 if it has none."""
    return max((max(size) for size in kernel_sizes(module)), default=0)


def stage_kernel(module: nn.Module) -> int:
    """Return the longest side of the kernels with which a network looks around a position of its maps, 0 without any.

    Kernels that do not overlap cut a map into patches, and those of layers that read the image are the stem: neither is
    what papers mean by the kernel of a network.
    """
    sides = [
        max(layer.kernel_size)
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d)
        and layer.in_channels > _IMAGE_CHANNELS
        and any(step < side for step, side in zip(layer.stride, layer.kernel_size, strict=True))
    ]
    return int(max(sides, default=0))
