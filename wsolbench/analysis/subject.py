"""A network on the images of a split, as analyses see it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from torch import Tensor

from wsolbench.analysis.spelling import COMMAND_LINE, Spelling
from wsolbench.contract import MethodContext
from wsolbench.contract.backbones import class_weights
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.engine.features import FeatureBatch, stream_features
from wsolbench.engine.redraw import choose_images
from wsolbench.errors import DataError, UsageError, WeightsError
from wsolbench.host.registry import Registry
from wsolbench.networks.class_rows import choose_rows, rows_of
from wsolbench.networks.class_weights import check_class_weights
from wsolbench.networks.network import LoadedNetwork
from wsolbench.progress import Reporter

__all__ = ["Subject", "WeightsKind"]

WeightsKind: TypeAlias = Literal["raw", "effective"]
"""Class weights of the head as they are, or with the norm before it, so that they decompose the class score."""


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
        reporter: Shows the progress, under the name of the network.
        registry: What the plugins offer, such as methods.
        limit: At most so many images of every split are used; None for all.
        size_option: The option with which the user says the size of the input, for messages.
        spelling: How the user types other settings, for messages.
    """

    label: str
    network: LoadedNetwork
    dataset: OpenDataset
    part: OpenSplit
    batch_size: int
    workers: int
    seed: int
    reporter: Reporter
    registry: Registry
    limit: int | None = None
    size_option: str = "--input-size"
    spelling: Spelling = COMMAND_LINE
    _checked: set[str] = field(default_factory=set, init=False, repr=False)

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
            gradients: Whether features, but not logits, are differentiable with respect to the images.
            batch_size: Images in a forward pass where it is not the user's choice.

        Raises:
            DataError: An image cannot be read, or its features are not finite.
            UsageError: Features have no spatial extent.
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
        with self.reporter.phase(doing, count) as advance, closing(stream) as batches:
            for batch in batches:
                self._check(batch)
                yield batch
                advance(len(batch.indices))

    def choose_images(self, named: Sequence[str], count: int) -> list[int]:
        """Return the positions of the images to show: those that are named, or some drawn at random.

        Args:
            named: Ids of images.
            count: How many are drawn where none is named.

        Raises:
            UsageError: An image is not among those that are used.
        """
        used, everything = set(self.part.images.ids), set(self.dataset.images(self.part.split).ids)
        for image in named:
            if image not in everything:
                several = [name.strip() for name in image.split(",")]
                hint = f"; several are {self.spelling.options('image', several)}" if len(several) > 1 else ""
                raise UsageError(
                    f"{self.spelling.option('image', image)}: {self.part.split.label} has no such image among its "
                    f"{len(everything):,}{hint}"
                )
            if image not in used:
                everyone = self.spelling.setting("images", len(everything))
                raise UsageError(
                    f"{self.spelling.option('image', image)}: it is not among the {len(used):,} images of "
                    f"{self.part.split.label} that are used; {everyone} uses all"
                )
        return choose_images(self.part, list(named) or count)

    def context(self, batch: FeatureBatch) -> MethodContext:
        """Return what a method is given beside the features of a batch; the classes are the true ones."""
        return MethodContext(self.network.module, batch.images, self.rows_of(batch.labels), batch.logits, batch.rest)

    def rows_of(self, labels: Tensor) -> Tensor:
        """Return the rows of the head that are the classes of some images, int64 (B,)."""
        return rows_of(labels, self.class_rows)

    def class_weights(self, batch: FeatureBatch, kind: WeightsKind = "raw") -> Tensor:
        """Return the weight of every feature map for the true class of each image of a batch, (B, K).

        Raises:
            UsageError: The network has no linear head, or does not offer effective weights.
            WeightsError: Weights are not finite.
            PluginError: The weights are not those of the class scores.
        """
        self.require_class_weights()
        self._check_class_weights(batch)
        context = self.context(batch)
        weights = context.class_weights if kind == "raw" else context.effective_weights(batch.features)
        if not bool(weights.isfinite().all()):
            raise WeightsError(f"'{self.label}': class weights hold NaN or infinity")
        return weights

    def require_class_weights(self, instead: str = "an analysis that needs none, such as noise") -> None:
        """Refuse a network that has no class weights.

        Args:
            instead: What serves a network without them.

        Raises:
            UsageError: It has none.
        """
        if class_weights(self.network.module) is None:
            tap = "" if self.network.tap is None else f" at the tap '{self.network.tap}'"
            raise UsageError(
                f"'{self.label}' has no linear head on its feature maps{tap}, so it has no class weights; use "
                f"{instead}, or a network with a linear head"
            )

    def _check_class_weights(self, batch: FeatureBatch) -> None:
        """Refuse class weights that are not those of the class scores; the first batch shows it."""
        if "class weights" in self._checked:
            return
        self._checked.add("class weights")
        check_class_weights(self.network, batch.head_input, batch.logits)

    def _check(self, batch: FeatureBatch) -> None:
        """Refuse features of which no analysis can say anything."""
        height, width = batch.features.shape[-2:]
        if height * width == 1:
            raise UsageError(
                f"the features of '{self.label}' have one position at {self.network.spec.input.size} px, and an "
                f"analysis needs several; choose a larger {self.size_option} or an earlier "
                f"{self.spelling.setting('tap')}"
            )
        finite = batch.features.detach().isfinite().flatten(1).all(dim=1)
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0])
            image = self.part.images.ids[int(batch.indices[first])]
            raise DataError(f"'{self.label}': the features of the image '{image}' hold NaN or infinity")
