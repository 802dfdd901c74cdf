"""A network on the images of a split, as analyses see it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import torch

from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.engine.features import FeatureBatch, stream_features
from wsolbench.errors import DataError, UsageError
from wsolbench.networks.class_rows import choose_rows
from wsolbench.networks.network import LoadedNetwork
from wsolbench.progress import Reporter

__all__ = ["Subject"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and the images that it is studied on.

    Attributes:
        label: What tables and figures call the network.
        network: The network, with its weights.
        dataset: The data set.
        part: The images, and their annotations where the split has any.
        batch_size: Images in a forward pass.
        workers: Threads that load images.
        seed: Of every random draw.
        reporter: Shows the progress.
    """

    label: str
    network: LoadedNetwork
    dataset: OpenDataset
    part: OpenSplit
    batch_size: int
    workers: int
    seed: int
    reporter: Reporter

    @cached_property
    def class_rows(self) -> tuple[int, ...] | None:
        """Label -> row of the head; None where every label is the row of its number."""
        return choose_rows(self.network, self.dataset, [self.part.images]).rows

    def stream(
        self,
        doing: str,
        *,
        order: Sequence[int] | None = None,
        gradients: bool = False,
        batch_size: int | None = None,
    ) -> Generator[FeatureBatch, None, None]:
        """Yield features and logits of the images, and show the progress.

        Args:
            doing: What is measured, for the progress.
            order: Positions of the images; all of them by default.
            gradients: Whether features are differentiable with respect to the images.
            batch_size: Images in a forward pass where it is not the user's choice.

        Raises:
            DataError: An image cannot be read.
            UsageError: Features have no spatial extent or are not finite, or the device has too little memory.
            PluginError: The network fails.
        """
        count = len(self.part.images.ids) if order is None else len(order)
        stream = stream_features(
            self.network,
            self.part.images,
            batch_size=batch_size or self.batch_size,
            workers=self.workers,
            order=order,
            gradients=gradients,
        )
        with self.reporter.phase(f"{self.label}: {doing}", count) as advance, closing(stream) as batches:
            try:
                for batch in batches:
                    self._check(batch)
                    yield batch
                    advance(len(batch.indices))
            except torch.OutOfMemoryError as error:
                raise UsageError(
                    f"'{self.label}' needs more memory than {self.network.device} has; use fewer images in a pass "
                    "(--batch-size), a smaller input (--input-size), or --device cpu"
                ) from error

    def _check(self, batch: FeatureBatch) -> None:
        """Refuse features of which no analysis can say anything."""
        height, width = batch.features.shape[-2:]
        if height * width == 1:
            raise UsageError(
                f"the features of '{self.label}' have one position at {self.network.spec.input.size} px, and an "
                "analysis needs several; choose a larger --input-size or an earlier --tap"
            )
        finite = batch.features.detach().isfinite().flatten(1).all(dim=1)
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0])
            image = self.part.images.ids[int(batch.indices[first])]
            raise DataError(f"'{self.label}': the features of the image '{image}' hold NaN or infinity")
