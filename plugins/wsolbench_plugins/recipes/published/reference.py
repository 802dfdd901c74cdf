"""The WSOL reference's training (Choe et al., CVPR 2020): SGD by steps, alone and with Hide-and-Seek or CutMix."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from wsolbench.api import (
    Count,
    InputConfig,
    LogUniform,
    NonNegative,
    Positive,
    Probability,
    Uniform,
    UsageError,
    warp,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MARGIN = 256 / 224
"""Side of the image before the crop, as a multiple of the side of the network's input."""
_AT_THE_CLASSIFIERS_RATE = re.compile(r"(^|\.)(layer4|conv6|classifier_[AB]|SPG_\w+)\.")
"""Layers that the reference trains at the classifier's rate: ResNet's last stage, VGG-GAP's convolution, those that
Inception-v3 has for WSOL, and the heads of ACoL and SPG, which in its ResNet-50 alone have the lower rate."""


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class Plain:
    """SGD with Nesterov momentum 0.9, a learning rate that drops by steps, random crops and flips.

    Images are warped to 8/7 of the input's side before the crop. The classifier, ``layer4`` of ResNets, ``conv6`` of
    VGG-GAP, the last convolutions of ``inception_v3_wsol`` and the heads of ``acol`` and ``spg`` have a higher learning
    rate.

    Args:
        epochs: Number of passes over train-weaksup.
        batch_size: Images in a step.
        learning_rate: Learning rate of the pretrained layers in the first epochs.
        classifier_rate: Learning rate of the classifier, as a multiple of that of the pretrained layers.
        weight_decay: L2 penalty on every parameter.
        decay_every: Every learning rate is divided by 10 at the start of each epoch that this number divides.
    """

    epochs: Count = 40
    batch_size: Count = 64
    learning_rate: Annotated[Positive, LogUniform(1e-5, 1)] = 0.01
    classifier_rate: Positive = 10.0
    weight_decay: NonNegative = 1e-4
    decay_every: Count = 30

    def augment(
        self, image: NDArray[np.uint8], config: InputConfig, generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return a random crop (size, size, 3) of the warped image, flipped in half of the cases."""
        larger = warp(image, round(_MARGIN * config.size), config.interpolation)
        top, left = generator.integers(len(larger) - config.size + 1, size=2)
        crop = larger[top : top + config.size, left : left + config.size]
        return crop[:, ::-1] if generator.random() < 0.5 else crop

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:  # noqa: ARG002
        """Return both unchanged."""
        return images, labels

    def loss(self, logits: Tensor, targets: Any) -> Tensor:
        """Return the cross-entropy."""
        from wsolbench_plugins.recipes.published.mixing import cross_entropy

        return cross_entropy(logits, targets)

    def optimizer(self, network: torch.nn.Module, total_steps: int) -> tuple[torch.optim.Optimizer, Any]:
        """Return SGD with two groups of parameters, and a schedule that decays every `decay_every` epochs."""
        import torch

        steps = max(total_steps // self.epochs, 1)
        groups = [
            {"params": slow, "lr": self.learning_rate * rate}
            for slow, rate in zip(_split(network), (1.0, self.classifier_rate), strict=True)
            if slow
        ]
        optimizer = torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=self.weight_decay)

        def decay(step: int) -> float:
            epoch = 1 + step // steps
            return math.pow(0.1, epoch // self.decay_every)

        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, decay)


@dataclass(frozen=True)
class HideAndSeek(Plain):
    """`Plain`, with random patches of every image hidden: their pixels become the mean colour.

    Args:
        patch_size: Side of a patch in pixels of the network's input; patches at the right and lower border may be cut.
        drop_rate: Probability that a patch is hidden.
    """

    patch_size: Count = 4
    drop_rate: Annotated[Probability, Uniform(0, 1)] = 0.5

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:
        """Hide patches of images (B, 3, H, W); every image draws its own."""
        import torch

        batch, _, height, width = images.shape
        patches = (math.ceil(height / self.patch_size), math.ceil(width / self.patch_size))
        kept = torch.rand(batch, 1, *patches, generator=generator) >= self.drop_rate
        pixels = kept.repeat_interleave(self.patch_size, dim=2).repeat_interleave(self.patch_size, dim=3)
        return images * pixels[:, :, :height, :width].to(images.device), labels


@dataclass(frozen=True)
class CutMix(Plain):
    """`Plain`, with a rectangle of every image replaced by that of another image.

    Args:
        beta: Both parameters of the beta distribution from which the fraction of the image that stays is drawn.
        probability: Probability that a batch is mixed.
    """

    beta: Positive = 1.0
    probability: Annotated[Probability, Uniform(0, 1)] = 1.0

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:
        """Mix every image (B, 3, H, W) with a random other image of the batch."""
        import torch

        from wsolbench_plugins.recipes.published.mixing import MixedLabels, cutmix, numpy_generator

        draws = numpy_generator(generator)
        if draws.random() >= self.probability:
            return images, labels
        others = torch.from_numpy(draws.permutation(len(images))).to(images.device)
        mixed, share = cutmix(images, images[others], self.beta, draws)
        return mixed, MixedLabels(labels, labels[others], share)


def _split(network: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters of the pretrained layers, and those of the classifier and of the layers at its rate."""
    classifier = getattr(network, "classifier_weight", None)
    if classifier is None:
        raise UsageError(f"{type(network).__name__} has no class weights, whose layer this recipe trains faster")
    weight = classifier.data_ptr()
    fast = {
        id(parameter)
        for module in network.modules()
        if any(own.data_ptr() == weight for own in module.parameters(recurse=False))
        for parameter in module.parameters(recurse=False)
    }
    fast |= {id(parameter) for name, parameter in network.named_parameters() if _AT_THE_CLASSIFIERS_RATE.search(name)}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [p for p in trained if id(p) not in fast], [p for p in trained if id(p) in fast]
