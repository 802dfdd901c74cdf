"""Steps of a training that several processes take together: each passes its part of the batch through the network.

The loss is that of the whole batch, in every process: the parts of what the network gives are put together before it.
So a loss may read any image beside any other, as contrasts of a class or mixtures do, and gradients are those of one
process but for rounding. torch's DistributedDataParallel, which computes a loss for each part, gives neither; it also
follows calls of ``forward`` alone, and networks here are called by other methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from wsolbench.engine.ranks import ALONE, Ranks
from wsolbench.errors import UsageError
from wsolbench.networks.weights import state_sha256

__all__ = ["SharedSteps"]


class SharedSteps:
    """What the processes of a training exchange: images, outputs and gradients of each step.

    Args:
        ranks: The processes; one alone exchanges nothing.
        device: Where this one computes. Between GPUs, tensors go through nccl, otherwise through gloo.
    """

    def __init__(self, ranks: Ranks = ALONE, device: torch.device | None = None) -> None:
        self.ranks = ranks
        self._group: Any = None
        if ranks.count > 1 and device is not None and device.type == "cuda":
            torch.cuda.set_device(device)
            self._group = distributed.new_group(backend="nccl")

    @property
    def are_shared(self) -> bool:
        """Whether there are several processes."""
        return self.ranks.count > 1

    def rows(self, images: int, number: int | None = None) -> slice:
        """Return which images of a batch are those of a process: as many one after another in each, or one more.

        Args:
            images: Number of images in the batch.
            number: Of the process; this one by default.
        """
        place, count = self.ranks.number if number is None else number, self.ranks.count
        return slice(images * place // count, images * (place + 1) // count)

    def own(self, order: NDArray[np.int64], batch_size: int) -> NDArray[np.int64]:
        """Return the images of this process in an order of all: its rows of every batch."""
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        return np.concatenate([batch[self.rows(len(batch))] for batch in batches]) if batches else order

    def seed(self, *numbers: int, of_all: bool) -> None:
        """Seed torch's own draws in a step, so that no process has to store those of the others.

        Args:
            numbers: Of the seed, the epoch and the step.
            of_all: Whether all processes draw the same.
        """
        if self.are_shared:
            place = self.ranks.count if of_all else self.ranks.number
            drawn = np.random.SeedSequence((*numbers, place)).generate_state(1, np.uint64)[0]
            torch.manual_seed(int(drawn >> np.uint64(1)))

    def whole(self, part: Tensor, images: int) -> Tensor:
        """Return the rows of all processes (images, ...), differentiable with respect to those of this one.

        Args:
            part: Those of this process.
            images: Number of images in the batch.
        """
        if not self.are_shared:
            return part
        whole: Tensor = _Whole.apply(part, images, self)
        return whole

    def outputs(self, parts: Mapping[str, Tensor], images: int) -> Mapping[str, Tensor]:
        """Return what the network gives for the whole batch.

        Args:
            parts: Name -> what it gives for the images of this process.
            images: Number of images in the batch.
        """
        return {name: self.whole(part, images) for name, part in parts.items()} if self.are_shared else parts

    def check_outputs(self, parts: Mapping[str, Tensor], images: int) -> None:
        """Check that outputs can be put together.

        Raises:
            TypeError: One has no row for each image.
        """
        rows = self.rows(images)
        for name, part in parts.items() if self.are_shared else ():
            if part.ndim == 0 or len(part) != rows.stop - rows.start:
                raise TypeError(
                    f"the forward pass returned '{name}' of shape {tuple(part.shape)}: expected a row for each of "
                    f"{rows.stop - rows.start} images, because several processes train; train with one"
                )

    def put_together(self, part: Tensor, images: int) -> Tensor:
        """Return the rows of all processes: the same bytes in each."""
        part = part.detach()
        whole = torch.empty((images, *part.shape[1:]), dtype=part.dtype, device=part.device)
        whole[self.rows(images)] = part
        content = whole.view(-1).view(torch.uint8)  # gloo does not know every type of numbers
        size = len(content) // images
        with self.ranks.noticing_deaths():
            for number in range(self.ranks.count):
                rows = self.rows(images, number)
                distributed.broadcast(content[size * rows.start : size * rows.stop], number, group=self._group)
        return whole

    def average(self, network: torch.nn.Module) -> None:
        """Give each gradient, and each buffer of floating numbers, the mean over the processes.

        Buffers are the running statistics of batch normalisation, which are those of a part in each process.
        """
        if not self.are_shared:
            return
        with torch.no_grad():
            trained = [each for each in network.parameters() if each.requires_grad]
            has = torch.tensor([float(each.grad is not None) for each in trained], device=trained[0].device)
            self._sum(has)
            for parameter, some in zip(trained, has.tolist(), strict=True):
                if some and parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            buffers = [each for each in network.buffers() if each.is_floating_point()]
            averaged = [each.grad for each in trained if each.grad is not None] + buffers
            for kind in dict.fromkeys(each.dtype for each in averaged):
                self._average_all([each for each in averaged if each.dtype is kind])

    def _average_all(self, tensors: list[Tensor]) -> None:
        """Give tensors of one type their means, with one exchange for all of them."""
        flat = torch.cat([each.reshape(-1) for each in tensors])
        self._sum(flat)
        flat /= self.ranks.count
        for each, mean in zip(tensors, torch.split(flat, [each.numel() for each in tensors]), strict=True):
            each.copy_(mean.view(each.shape))

    def _sum(self, values: Tensor) -> None:
        with self.ranks.noticing_deaths():
            distributed.all_reduce(values, group=self._group)

    def check_equal(self, state: Mapping[str, Tensor], epoch: int) -> None:
        """Check that all processes have the same weights.

        Raises:
            UsageError: They do not.
        """
        if not self.are_shared:
            return
        hashes = self.ranks.gathered_everywhere(lambda: state_sha256(state))
        if len(set(hashes)) > 1:
            raise UsageError(
                f"the {self.ranks.count} processes have different weights after epoch {epoch}: something draws or "
                "counts for itself in each of them; train in one process"
            )


class _Whole(torch.autograd.Function):
    """Rows of all processes. Every process computes the whole loss, and gradients are averaged at the end.

    The gradient of the rows of a process arises in that process alone, so it counts as often as there are processes;
    that of weights which the loss reads itself arises in all, and is its own mean.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, images: int, steps: SharedSteps) -> Tensor:
        ctx.steps, ctx.images = steps, images
        whole = steps.put_together(part, images)
        if not part.is_floating_point():
            ctx.mark_non_differentiable(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        return gradient[ctx.steps.rows(ctx.images)] * ctx.steps.ranks.count, None, None
