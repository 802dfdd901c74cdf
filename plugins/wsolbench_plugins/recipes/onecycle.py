"""``onecycle``: AdamW on a one-cycle schedule with flips and shifts; short training of small networks from scratch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from wsolbench.api import BelowOne, Count, LogUniform, NonNegative, Positive, RecipeSpec, hookimpl

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class OneCycle:
    """Super-convergence (Smith & Topin, 2019) with AdamW; weight decay spares biases and norms.

    Args:
        epochs: Number of passes over train-weaksup.
        batch_size: Images in a step.
        learning_rate: Peak of the cycle.
        weight_decay: Weight decay of matrices and kernels.
        warm_up: Fraction of the steps before the peak.
        label_smoothing: Fraction of the target that is spread over all classes.
        shift: Largest shift of an image along each axis, as a fraction of its side.
    """

    epochs: Count = 12
    batch_size: Count = 32
    learning_rate: Annotated[Positive, LogUniform(1e-5, 1e-1)] = 3e-3
    weight_decay: NonNegative = 0.05
    warm_up: BelowOne = 0.15
    label_smoothing: BelowOne = 0.05
    shift: Annotated[NonNegative, Field(lt=0.5)] = 1 / 16

    def prepare(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Flip half of the images (B, 3, H, W) left to right, and shift each; borders are filled by reflection."""
        import torch
        from torch.nn import functional as F

        batch, _, height, width = images.shape
        flip = torch.rand(batch, generator=generator) < 0.5
        images = images.where(~flip[:, None, None, None].to(images.device), images.flip(3))
        reach = round(self.shift * min(height, width))
        padded = F.pad(images, [reach] * 4, mode="reflect")
        corners = torch.randint(0, 2 * reach + 1, (batch, 2), generator=generator).tolist()
        shifted = [
            image[:, top : top + height, left : left + width]
            for image, (top, left) in zip(padded, corners, strict=True)
        ]
        return torch.stack(shifted).contiguous(memory_format=torch.channels_last), labels

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy with label smoothing."""
        from torch.nn import functional as F

        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)

    def optimizer(self, network: torch.nn.Module, total_steps: int) -> tuple[torch.optim.Optimizer, Any]:
        """Return AdamW and its one-cycle schedule."""
        import torch

        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate)
        # If the climb is a single step, torch's schedule divides by the length of the climb minus one.
        warm_up = math.nextafter(self.warm_up, 0) if self.warm_up * total_steps == 1 else self.warm_up
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.learning_rate, total_steps=total_steps, pct_start=warm_up
        )
        return optimizer, schedule


@hookimpl
def wsolbench_recipes() -> list[RecipeSpec]:
    """Offer the recipe."""
    return [
        RecipeSpec("onecycle", OneCycle, "Smith & Topin, Super-Convergence, 2019; AdamW: Loshchilov & Hutter, 2019")
    ]
