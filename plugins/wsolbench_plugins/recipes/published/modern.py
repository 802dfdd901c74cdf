"""The training of modern convolutional networks: AdamW, a cosine schedule and, in `Modern`, strong augmentation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from wsolbench.api import (
    BelowOne,
    Count,
    InputConfig,
    Layered,
    LogUniform,
    NonNegative,
    Positive,
    Probability,
    StochasticDepth,
    UsageError,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class ModernNoAug:
    """AdamW with warm-up and cosine, label smoothing, stochastic depth, layer decay and an average of the weights.

    Biases, norms and scales have no weight decay. Images are warped to the network's input and not augmented.

    Args:
        epochs: Number of passes over train-weaksup.
        batch_size: Images in a step.
        learning_rate: Peak of the schedule.
        min_learning_rate: Learning rate at the end of the cosine.
        warm_up: Fraction of the training in which the learning rate rises linearly.
        weight_decay: Weight decay of AdamW.
        label_smoothing: Fraction of a target that is spread over all classes.
        drop_path: Probability to skip the last block; it falls linearly to 0 at the first block.
        layer_decay: Learning rate of a layer as a multiple of that of the next layer, for pretrained weights.
        ema: Highest decay of a running average of the weights, such as 0.9999. The average is kept in place of the last
            weights; None keeps the last weights.
    """

    epochs: Count = 100
    batch_size: Count = 128
    learning_rate: Annotated[Positive, LogUniform(1e-5, 1e-1)] = 2e-3
    min_learning_rate: NonNegative = 1e-6
    warm_up: BelowOne = 0.05
    weight_decay: NonNegative = 0.05
    label_smoothing: BelowOne = 0.1
    drop_path: BelowOne = 0.0
    layer_decay: Positive = 1.0
    ema: Annotated[Positive, Field(lt=1)] | None = None

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:  # noqa: ARG002
        """Return both unchanged."""
        return images, labels

    def loss(self, logits: Tensor, targets: Any) -> Tensor:
        """Return the cross-entropy with label smoothing; a mixed image counts for both labels by their fractions."""
        from wsolbench_plugins.recipes.published.mixing import cross_entropy

        return cross_entropy(logits, targets, self.label_smoothing)

    def optimizer(self, network: torch.nn.Module, total_steps: int) -> tuple[torch.optim.Optimizer, Any]:
        """Return AdamW and its schedule, and set the network's stochastic depth."""
        import torch

        if self.drop_path:
            if not isinstance(network, StochasticDepth):
                raise UsageError(f"{type(network).__name__} has no stochastic depth; set drop_path=0")
            network.set_drop_path(self.drop_path)
        optimizer = torch.optim.AdamW(self._groups(network), lr=self.learning_rate)
        rising = round(self.warm_up * total_steps)
        lowest = self.min_learning_rate / self.learning_rate

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            done = (step - rising) / max(total_steps - rising, 1)
            return lowest + (1 - lowest) * (1 + math.cos(math.pi * min(done, 1))) / 2

        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    def _groups(self, network: Any) -> list[dict[str, Any]]:
        """Return groups of parameters with their learning rates and weight decays."""
        from timm.optim import param_groups_weight_decay

        if self.layer_decay == 1:
            groups: list[dict[str, Any]] = param_groups_weight_decay(network, self.weight_decay)
            return groups
        named = list(network.named_parameters())
        if not isinstance(network, Layered):
            raise UsageError(f"{type(network).__name__} does not number its layers; set layer_decay=1")
        numbers = network.layer_ids()
        last = max(numbers.values())
        parameters: dict[tuple[int, bool], list[Tensor]] = {}
        for name, parameter in named:
            decays = parameter.ndim > 1 and not name.endswith(".bias")
            parameters.setdefault((numbers[name], decays), []).append(parameter)
        return [
            {
                "params": group,
                "lr": self.learning_rate * self.layer_decay ** (last - number),
                "weight_decay": self.weight_decay if decays else 0.0,
            }
            for (number, decays), group in parameters.items()
        ]


@dataclass(frozen=True)
class Modern(ModernNoAug):
    """`ModernNoAug`, with random crops and flips, RandAugment, random erasing, mixup and CutMix.

    Args:
        smallest_crop: Smallest fraction of the image's area that a crop shows; 1 shows the whole image, warped.
        flip: Probability to flip an image left to right.
        rand_augment: Magnitude of RandAugment; None turns it off.
        erasing: Probability that a rectangle of the image becomes noise.
        mixup: α of mixup; 0 turns it off. If CutMix is on too, each batch draws one of the two.
        cutmix: α of CutMix; 0 turns it off.
    """

    smallest_crop: Annotated[Positive, Field(le=1)] = 0.08
    flip: Probability = 0.5
    rand_augment: Annotated[int, Field(ge=0, le=10)] | None = 9
    erasing: Probability = 0.25
    mixup: NonNegative = 0.8
    cutmix: NonNegative = 1.0

    def augment(
        self, image: NDArray[np.uint8], config: InputConfig, generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return a random crop, resized to (size, size, 3), with a random flip and RandAugment."""
        from PIL import Image

        from wsolbench_plugins.recipes.published.crops import resized_crop
        from wsolbench_plugins.recipes.published.timm_augmentations import rand_augment

        height, width = image.shape[:2]
        box = (0.0, 0.0, float(width), float(height))
        if self.smallest_crop < 1:
            box = resized_crop(width, height, self.smallest_crop, generator)
        resampling = Image.Resampling[config.interpolation.upper()]
        seen = Image.fromarray(image).resize((config.size, config.size), resampling, box)
        if generator.random() < self.flip:
            seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.rand_augment is not None:
            seen = rand_augment(seen, self.rand_augment, config, generator)
        return np.array(seen, dtype=np.uint8)

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:
        """Erase rectangles of some images (B, 3, H, W), then mix image i with image B - 1 - i."""
        from wsolbench_plugins.recipes.published import mixing
        from wsolbench_plugins.recipes.published.timm_augmentations import erase

        draws = mixing.numpy_generator(generator)
        if self.erasing:
            images = erase(images, self.erasing, draws)
        kinds = [(mixing.mixup, self.mixup), (mixing.cutmix, self.cutmix)]
        offered = [(mix, alpha) for mix, alpha in kinds if alpha > 0]
        if not offered:
            return images, labels
        mix, alpha = offered[draws.integers(len(offered))]
        mixed, share = mix(images, images.flip(0), alpha, draws)
        return mixed, mixing.MixedLabels(labels, labels.flip(0), share)
