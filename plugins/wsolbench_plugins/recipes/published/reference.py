"""The WSOL reference's training (Choe et al., CVPR 2020): SGD by steps, alone and with Hide-and-Seek or CutMix."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.api import COUNT, NOT_NEGATIVE, POSITIVE, PROBABILITY, InputConfig, warp

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MARGIN = 256 / 224
"""Side of the image that a crop is taken from, in sides of the network's input."""
_ADDED_FOR_CAM = re.compile(r"(^|\.)(layer4|conv6)\.")
"""Layers that the reference trains as fast as the classifier: ResNet's last stage and VGG-GAP's convolution."""


@dataclass(frozen=True)
class Plain:
    """SGD with Nesterov momentum 0.9, a tenth of the rate every some epochs, random crops and flips.

    Images are warped to 8/7 of the input's side before the crop. Parameters of the classifier, of ``layer4`` in
    ResNets and of ``conv6`` in VGG-GAP learn faster.

    Args:
        epochs: How often train-weaksup is gone through.
        batch_size: Images in a step.
        learning_rate: That of the first epochs and most layers.
        classifier_rate: Learning rate of the classifier as a multiple of the others'.
        weight_decay: L2 penalty on every parameter.
        decay_every: Epochs after which the rate is a tenth: it drops at the beginning of each that this divides.
    """

    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 0.01
    classifier_rate: float = 10.0
    weight_decay: float = 1e-4
    decay_every: int = 30

    def __post_init__(self) -> None:
        POSITIVE.check(self, "learning_rate", "classifier_rate")
        NOT_NEGATIVE.check(self, "weight_decay")
        COUNT.check(self, "decay_every")

    def augment(
        self, image: NDArray[np.uint8], config: InputConfig, generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return a random crop (size, size, 3) of the warped image, flipped in half of the cases."""
        larger = warp(image, round(_MARGIN * config.size), config.interpolation)
        top, left = generator.integers(len(larger) - config.size + 1, size=2)
        crop = larger[top : top + config.size, left : left + config.size]
        return crop[:, ::-1] if generator.random() < 0.5 else crop

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:  # noqa: ARG002
        """Return both as they are."""
        return images, labels

    def loss(self, logits: Tensor, targets: Any) -> Tensor:
        """Return the cross-entropy."""
        from wsolbench_plugins.recipes.published.mixing import cross_entropy

        return cross_entropy(logits, targets)

    def optimizer(self, network: torch.nn.Module, total_steps: int) -> tuple[torch.optim.Optimizer, Any]:
        """Return SGD over two groups of parameters, and a schedule that decays by epochs."""
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
    """`Plain`, with patches of the images hidden at random: their pixels become the mean colour.

    Args:
        patch_size: Side of a patch in pixels of the network's input; the last ones may be cut at the borders.
        drop_rate: Probability that a patch is hidden.
    """

    patch_size: int = 4
    drop_rate: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        COUNT.check(self, "patch_size")
        PROBABILITY.check(self, "drop_rate")

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:
        """Hide patches of images (B, 3, H, W), others in each."""
        import torch

        batch, _, height, width = images.shape
        patches = (math.ceil(height / self.patch_size), math.ceil(width / self.patch_size))
        kept = torch.rand(batch, 1, *patches, generator=generator) >= self.drop_rate
        pixels = kept.repeat_interleave(self.patch_size, dim=2).repeat_interleave(self.patch_size, dim=3)
        return images * pixels[:, :, :height, :width].to(images.device), labels


@dataclass(frozen=True)
class CutMix(Plain):
    """`Plain`, with a rectangle of another image in place of the image's own.

    Args:
        beta: Both parameters of the beta distribution of the share that stays.
        probability: Of a batch to be mixed.
    """

    beta: float = 1.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        POSITIVE.check(self, "beta")
        PROBABILITY.check(self, "probability")

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:
        """Mix every image (B, 3, H, W) with another of the batch, drawn at random."""
        import torch

        from wsolbench_plugins.recipes.published.mixing import MixedLabels, cutmix, numpy_generator

        draws = numpy_generator(generator)
        if draws.random() >= self.probability:
            return images, labels
        others = torch.from_numpy(draws.permutation(len(images))).to(images.device)
        mixed, share = cutmix(images, images[others], self.beta, draws)
        return mixed, MixedLabels(labels, labels[others], share)


def _split(network: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters of the pretrained layers, and those of the classifier and of layers added for CAM."""
    weight = network.classifier_weight.data_ptr()
    fast = {
        id(parameter)
        for module in network.modules()
        if any(own.data_ptr() == weight for own in module.parameters(recurse=False))
        for parameter in module.parameters(recurse=False)
    }
    fast |= {id(parameter) for name, parameter in network.named_parameters() if _ADDED_FOR_CAM.search(name)}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [p for p in trained if id(p) not in fast], [p for p in trained if id(p) in fast]
