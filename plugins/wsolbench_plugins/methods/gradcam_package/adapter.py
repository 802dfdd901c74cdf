"""A class of the package as a method: it gets our features, and its map is taken before the package rescales it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import numpy as np
import pytorch_grad_cam
import torch
from pydantic import Field
from pytorch_grad_cam import ablation_cam, score_cam
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from wsolbench.api import Count, Features, MethodContext, MethodSpec, Positive, UsageError

READ_FEATURES_ALONE = {
    "AblationCAM",
    "EigenCAM",
    "EigenGradCAM",
    "FEM",
    "GradCAM",
    "GradCAMElementWise",
    "GradCAMPlusPlus",
    "HiResCAM",
    "KPCA_CAM",
    "LayerCAM",
    "SegEigenCAM",
    "ShapleyCAM",
    "XGradCAM",
}
"""Classes that do not read the images: for them the network starts at its features."""
READ_NO_GRADIENTS = {"AblationCAM", "EigenCAM", "FEM", "KPCA_CAM", "ScoreCAM"}
READ_SCORES = {"AblationCAM", "ScoreCAM"}
"""Those of them that read class scores: of many copies of an image, one for every channel."""
OBJECTIONS = {
    "FinerCAM": "it wraps another class, and chooses the classes that it compares",
    "FullGrad": "it reads the biases of all layers, not the maps of one",
    "RandomCAM": "it draws from a generator that ignores the seed of a run",
    "RefineCAM": "it wraps another class, and multiplies the maps of several layers",
    "SESS": "it wraps another class, and cuts the images into tiles",
}

OPTION_TYPES: dict[str, Any] = {"batch_size": Count, "ratio_channels_to_ablate": Annotated[Positive, Field(le=1)]}
"""Types of options with a range: outside it the package fails."""

for module in (ablation_cam, score_cam):  # their progress bars, one an image, would overwrite ours
    module.tqdm = SimpleNamespace(tqdm=lambda steps: steps)


class TappedNetwork(nn.Module):
    """A backbone that starts at its images or at its features, with a layer for the package's hooks at the tap.

    Gradients start at the tap. The package gets contiguous tensors in single precision, whatever the backbone's are.

    Args:
        context: The context of some images; of one image where the package runs the network on copies of it.
        reads_images: Whether the network starts at its images.
    """

    def __init__(self, context: MethodContext, *, reads_images: bool) -> None:
        super().__init__()
        self.tap = nn.Identity()  # first, because the package searches layer by layer and fails at layers that are None
        self.backbone: Any = context.backbone
        self.rest = context.rest
        self.reads_images = reads_images
        # ShapleyCAM differentiates gradients: they need a variable, and must be no views of others.
        self.unit = nn.Parameter(torch.ones(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (B, C) of images (B, 3, H, W) or of features (B, K, h, w)."""
        features, rest = self._features(inputs)
        if torch.is_grad_enabled():
            features.requires_grad_()
        tapped = self.tap(features.float().clone(memory_format=torch.contiguous_format))
        maps = tapped.to(features.dtype) * self.unit.to(features.dtype)
        logits: Tensor = self.backbone.forward_head(maps if rest is None else Features(maps, rest))
        return logits.float()

    def _features(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        """Return feature maps (B, K, h, w), and what the head reads beside them."""
        if self.reads_images:
            made = self.backbone.forward_features(inputs)
            return (made.maps.detach(), made.rest) if isinstance(made, Features) else (made.detach(), None)
        if self.rest is None:
            return inputs, None
        return inputs, tuple(part.expand(len(inputs), *part.shape[1:]) for part in self.rest)


@dataclass(frozen=True)
class PackagedCAM:
    """A method whose maps come from a class of the package, built anew at every call: it keeps no hook and no tensor.

    Args:
        cam_class: The class, with `RawMap` mixed in.
        options: Arguments of its constructor.
    """

    cam_class: Any
    options: dict[str, Any]

    def __call__(self, features: Tensor, context: MethodContext) -> Tensor:
        """Return raw maps (B, h, w) of features (B, K, h, w); negative values become 0, as in the package."""
        name = self.cam_class.__name__
        # Copies of images take memory, and copies of features need the rest of their own image.
        alone = name not in READ_FEATURES_ALONE or (name in READ_SCORES and context.rest is not None)
        step = 1 if alone else len(features)
        parts = [slice(start, start + step) for start in range(0, len(features), step)]
        maps = [self._maps(features[part], context[part]) for part in parts]
        return torch.cat(maps).to(features.device).clamp(min=0)

    def _maps(self, features: Tensor, context: MethodContext) -> Tensor:
        reads_images = self.cam_class.__name__ not in READ_FEATURES_ALONE
        network = TappedNetwork(context, reads_images=reads_images).to(features.device).eval()
        targets = [ClassifierOutputTarget(index) for index in context.class_indices.tolist()]
        inputs = context.images if reads_images else features.detach()
        cam = self.cam_class(network, [network.tap], **self.options)
        try:
            with torch.enable_grad(), np.errstate(invalid="ignore"):  # AblationCAM's 0 / 0 for channels of one value
                cam(inputs, targets)
        finally:
            cam.activations_and_grads.release()
        return torch.as_tensor(cam.raw_map)


class RawMap:
    """Mixin for a class of the package: keeps its map from before the package resizes and normalises it."""

    raw_map: Any

    def get_cam_image(self, *arguments: Any, **named: Any) -> Any:
        """Return the map (B, h, w), and store it."""
        self.raw_map = super().get_cam_image(*arguments, **named)  # type: ignore[misc]
        return self.raw_map


def names() -> list[str]:
    """Return the names of the package's classes, including those that cannot be offered."""
    return sorted({*_cam_classes(), *(name for name in OBJECTIONS if hasattr(pytorch_grad_cam, name))})


def find(name: str) -> MethodSpec:
    """Return the method of a class.

    Raises:
        UsageError: It cannot work on one layer, or its maps cannot be repeated.
    """
    if name in OBJECTIONS:
        raise UsageError(f"'gradcam:{name}' cannot be offered: {OBJECTIONS[name]}")
    cam_class = _cam_classes()[name]

    def build(**options: Any) -> PackagedCAM:
        return PackagedCAM(type(name, (RawMap, cam_class), {}), options)

    build.__signature__ = inspect.Signature(_options(cam_class))  # type: ignore[attr-defined]
    return MethodSpec(name, build, f"grad-cam {metadata.version('grad-cam')}", needs=_needs(name))


def _needs(name: str) -> frozenset[Literal["class scores", "gradients"]]:
    if name not in READ_NO_GRADIENTS:
        return frozenset({"gradients"})
    return frozenset({"class scores"}) if name in READ_SCORES else frozenset()


def _cam_classes() -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(pytorch_grad_cam).items()
        if isinstance(value, type) and issubclass(value, BaseCAM) and value is not BaseCAM
    }


def _options(cam_class: Any) -> Sequence[inspect.Parameter]:
    """Return the arguments of a class whose default is a number or text, as options of that type."""
    arguments = inspect.signature(cam_class).parameters.values()
    return [
        argument.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            annotation=OPTION_TYPES.get(argument.name, type(argument.default)),
        )
        for argument in arguments
        if isinstance(argument.default, int | float | str)
    ]
