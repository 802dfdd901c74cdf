"""The training of modern convolutional networks: AdamW, a cosine schedule and, in `Modern`, strong augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.api import (
    BELOW_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITY,
    InputConfig,
    Layered,
    Range,
    StochasticDepth,
    UsageError,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class ModernNoAug:
    """AdamW with warm-up and cosine, label smoothing, stochastic depth, layer decay and an average of the weights.

    Weight decay spares biases, norms and scales. Images are warped to the network's input and nothing else.

    Args:
        epochs: How often train-weaksup is gone through.
        batch_size: Images in a step.
        learning_rate: Peak of the schedule.
        min_learning_rate: Where the cosine ends.
        warm_up: Share of the training in which the rate rises linearly.
        weight_decay: That of AdamW.
        label_smoothing: Share of a target that is spread over all classes.
        drop_path: Probability to leave out the last block; for those before it, it falls linearly to 0.
        layer_decay: Factor of the learning rate from a layer to the one before it, for pretrained weights.
        ema: Highest decay of a running average of the weights that is kept in place of the last ones, such as 0.9999.
    """

    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 2e-3
    min_learning_rate: float = 1e-6
    warm_up: float = 0.05
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    drop_path: float = 0.0
    layer_decay: float = 1.0
    ema: float | None = None

    def __post_init__(self) -> None:
        BELOW_ONE.check(self, "warm_up", "label_smoothing", "drop_path")
        POSITIVE.check(self, "learning_rate", "layer_decay")
        NOT_NEGATIVE.check(self, "min_learning_rate", "weight_decay")
        if self.ema is not None:
            Range("between 0 and 1, or none", lambda value: 0 < value < 1).check(self, "ema")

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Any]:  # noqa: ARG002
        """Return both as they are."""
        return images, labels

    def loss(self, logits: Tensor, targets: Any) -> Tensor:
        """Return the cross-entropy with label smoothing, of mixed images by their shares."""
        from wsolbench_plugins.recipes.published.mixing import cross_entropy

        return cross_entropy(logits, targets, self.label_smoothing)

    def optimizer(self, network: torch.nn.Module, total_steps: int) -> tuple[torch.optim.Optimizer, Any]:
        """Return AdamW and its schedule; give the network its stochastic depth."""
        import torch

        if self.drop_path:
            if not isinstance(network, StochasticDepth):
                raise UsageError(f"{type(network).__name__} has no stochastic depth; leave drop_path at 0")
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
        """Return the groups of parameters, each with its learning rate and weight decay."""
        from timm.optim import param_groups_weight_decay

        if self.layer_decay == 1:
            groups: list[dict[str, Any]] = param_groups_weight_decay(network, self.weight_decay)
            return groups
        named = list(network.named_parameters())
        if not isinstance(network, Layered):
            raise UsageError(f"{type(network).__name__} does not number its layers; leave layer_decay at 1")
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
        smallest_crop: Smallest share of the image that a crop may show; 1 shows the whole image, warped.
        flip: Probability to flip an image left to right.
        rand_augment: Magnitude of RandAugment, from 0 to 10; none leaves it out.
        erasing: Probability that a rectangle of the image becomes noise.
        mixup: α of mixup; 0 leaves it out. Half of the batches are mixed so where CutMix is on too.
        cutmix: α of CutMix; 0 leaves it out.
    """

    smallest_crop: float = 0.08
    flip: float = 0.5
    rand_augment: int | None = 9
    erasing: float = 0.25
    mixup: float = 0.8
    cutmix: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        Range("above 0 up to 1", lambda value: 0 < value <= 1).check(self, "smallest_crop")
        PROBABILITY.check(self, "flip", "erasing")
        NOT_NEGATIVE.check(self, "mixup", "cutmix")
        if self.rand_augment is not None:
            Range("from 0 to 10, or none", lambda value: 0 <= value <= 10).check(self, "rand_augment")

    def augment(
        self, image: NDArray[np.uint8], config: InputConfig, generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return a random crop (size, size, 3), resized, perhaps flipped, and changed by RandAugment."""
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
        """Erase rectangles of some images (B, 3, H, W), then mix each with its counterpart from the batch's end."""
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
