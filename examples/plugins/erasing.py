"""A recipe: AdamW with a cosine, and a rectangle of each image erased, after Zhong et al., 2020.

In the folder of this file, check it, train with it, score what comes of it:

    wsolbench check erasing.py
    wsolbench train --plugin erasing.py --recipe erasing --recipe-opt epochs=3 --backbone resnet_nano --out net
    wsolbench run --backbone resnet_nano --weights net/weights.safetensors --method cam

`wsolbench train --choose 5` draws its options at random.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch.nn import functional as F

from wsolbench.api import Count, LogUniform, NonNegative, Positive, Probability, RecipeSpec, hookimpl


@dataclass(frozen=True)
class Erasing:
    """Each field is an option, ``--recipe-opt epochs=3``; its annotation says what is allowed, and what --choose draws.

    Args:
        epochs: Number of passes over the images.
        batch_size: Images in a step.
        learning_rate: The first learning rate.
        weight_decay: Weight decay.
        side: Sides of the erased rectangle, as a share of those of the image.
    """

    epochs: Count = 12
    batch_size: Count = 64
    learning_rate: Annotated[Positive, LogUniform(1e-4, 1e-2)] = 2e-3
    weight_decay: NonNegative = 0.05
    side: Probability = 0.4

    def prepare(self, images, labels, generator):  # normalised (B, 3, H, W), (B,) -> images, and what `loss` takes
        count, _, height, width = images.shape
        down, across, mirrored = torch.rand(3, count, 1, generator=generator).to(images.device)
        rows = self.inside(torch.arange(height, device=images.device) / height, down)
        columns = self.inside(torch.arange(width, device=images.device) / width, across)
        images = images.where(mirrored[:, :, None, None] < 0.5, images.flip(3))
        erased = rows[:, None, :, None] & columns[:, None, None, :]
        return images.masked_fill(erased, 0.0), labels

    def inside(self, places, draws):  # (n,) in [0, 1), (B, 1) in [0, 1) -> bool (B, n)
        start = draws * (1 - self.side)
        return (places >= start) & (places < start + self.side)

    def loss(self, logits, targets):
        return F.cross_entropy(logits, targets)

    def optimizer(self, network, total_steps):  # the schedule steps after every batch
        parameters = [each for each in network.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(parameters, self.learning_rate, weight_decay=self.weight_decay)
        return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total_steps)


@hookimpl
def wsolbench_recipes():
    return [RecipeSpec("erasing", Erasing, "an example, after Zhong et al., 2020")]
