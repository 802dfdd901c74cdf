"""Maps from a network: its features go through every method, in one pass over the images."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsolbench.contract import ImageSplit, MethodContext
from wsolbench.contract.choices import Target
from wsolbench.data.fingerprint import image_digest
from wsolbench.data.opened import OpenSplit
from wsolbench.engine.features import FeatureBatch, stream_features
from wsolbench.engine.guards import MethodGuard
from wsolbench.engine.made import MadeBatch
from wsolbench.engine.methods import BuiltMethod, MethodBoxes, MethodMaps, apply_method, maps_of
from wsolbench.engine.sources import MapBatch
from wsolbench.errors import PluginError, WeightsError
from wsolbench.networks.class_rows import rows_of
from wsolbench.networks.class_weights import check_class_weights
from wsolbench.networks.network import LoadedNetwork
from wsolbench.protocol import FRAME, to_scoremap

__all__ = ["NetworkMaps"]


@dataclass(frozen=True)
class NetworkMaps:
    """A source of maps or boxes: a network, its methods, and how they are put to work.

    Args:
        network: What computes features and logits.
        built: The methods.
        target: Whether the true or the predicted class is localized.
        batch_size: Images in a forward pass.
        workers: Threads that load images.
        seed: Of what methods draw.
        class_rows: Label -> row of the head; None where every label is the row of its number.
    """

    network: LoadedNetwork
    built: tuple[BuiltMethod, ...]
    target: Target
    batch_size: int
    workers: int
    seed: int = 0
    class_rows: tuple[int, ...] | None = None
    fate_of_constants: str = "count as zero maps"
    _checked: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    _makes: dict[str, type] = field(default_factory=dict, init=False, repr=False, compare=False)
    seconds: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Method -> how long it took so far, without the network and until its maps are in main memory."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods."""
        return tuple(built.name for built in self.built)

    @property
    def ahead(self) -> int:
        """How many maps may be in work at a time: those of two batches."""
        return 2 * self.batch_size * len(self.built)

    def locate(self, split: OpenSplit, index: int) -> str:
        """Return the image's id."""
        return f"that of '{split.images.ids[index]}'"

    def stream(self, split: OpenSplit, positions: Sequence[int]) -> Generator[MapBatch, None, None]:
        """Yield the maps or boxes of the images at some positions.

        Raises:
            DataError: An image cannot be read.
            PluginError: The network or a method fails, or a map has a wrong shape, or a box is none.
        """
        with closing(self.make(split, positions)) as batches:
            for batch in batches:
                self.count_seconds(batch.seconds)
                yield batch.to_score()

    def make(
        self,
        split: OpenSplit,
        positions: Sequence[int],
        observe: Callable[[int, NDArray[np.uint8]], None] | None = None,
    ) -> Generator[MadeBatch, None, None]:
        """Yield what is made of the images at some positions, `batch_size` of them at a time.

        Args:
            split: The split.
            positions: In its order or another one.
            observe: Called by the threads with the position and the pixels of every image.

        Raises:
            DataError: An image cannot be read.
            PluginError: The network or a method fails, or a map has a wrong shape, or a box is none.
        """
        digests: dict[int, str] = {}
        remarks: dict[int, tuple[str, ...]] = {}
        sizes: dict[int, tuple[int, int]] = {}
        listed = split.annotations.image_sizes

        def look(index: int, image: NDArray[np.uint8]) -> None:
            size = (image.shape[1], image.shape[0])
            digests[index] = image_digest(image)
            remarks[index] = split.remarks_on(index, size)
            sizes[index] = listed.get(split.images.ids[index], size)
            if observe is not None:
                observe(index, image)

        stream = stream_features(
            self.network,
            split.images,
            batch_size=self.batch_size,
            workers=self.workers,
            order=positions,
            observe=look,
        )
        guard = self._guard
        with closing(stream) as batches:
            for batch in batches:
                self._check_class_weights(batch)
                made, seconds = self._apply_methods(batch, split.images, guard)
                where = batch.indices.tolist()
                yield MadeBatch(
                    batch.indices,
                    made,
                    seconds,
                    _class_hits(batch.logits.float().cpu(), rows_of(batch.labels, self.class_rows).cpu()),
                    [digests.pop(index) for index in where],
                    [remarks.pop(index) for index in where],
                    np.array([sizes.pop(index) for index in where], dtype=np.int64),
                )
        guard.check_values(self.built)

    def count_seconds(self, spent: Mapping[str, float]) -> None:
        """Add what methods took."""
        for method, seconds in spent.items():
            self.seconds[method] = self.seconds.get(method, 0.0) + seconds

    def scoremaps(
        self, images: ImageSplit, indices: Sequence[int], frame: int = FRAME
    ) -> dict[str, dict[int, NDArray[np.float32]]]:
        """Compute the maps of a few images: method -> position in the split -> (frame, frame).

        Args:
            images: The split.
            indices: Positions in it.
            frame: Side of the evaluation frame in pixels.

        Raises:
            DataError: An image cannot be read.
            PluginError: The network or a method fails, or a map has a wrong shape.
            UsageError: A method makes boxes.
        """
        scoremaps: dict[str, dict[int, NDArray[np.float32]]] = {name: {} for name in self.methods}
        stream = stream_features(
            self.network, images, batch_size=self.batch_size, workers=self.workers, order=list(indices)
        )
        guard = self._guard
        with closing(stream) as batches:
            for batch in batches:
                made, _ = self._apply_methods(batch, images, guard)
                for built in self.built:
                    maps = maps_of(built, made[built.name]).maps
                    drawn = [to_scoremap(raw_map, (frame, frame)) for raw_map in maps]
                    scoremaps[built.name].update(zip(batch.indices.tolist(), drawn, strict=True))
        guard.check_values(self.built)
        return scoremaps

    def only(self, method: str) -> NetworkMaps:
        """Return the source of one method's maps alone."""
        return replace(self, built=tuple(built for built in self.built if built.name == method))

    @property
    def weights_sha256(self) -> str:
        """A hash of the values of all parameters and buffers of the network."""
        return self._guard.weights_sha256

    def _check_class_weights(self, batch: FeatureBatch) -> None:
        """Refuse a network whose class weights are not those of its class scores; its first batch shows it."""
        if "class weights" in self._checked:
            return
        self._checked.add("class weights")
        check_class_weights(self.network, batch.head_input, batch.logits)

    def _check_values(self, batch: FeatureBatch, images: ImageSplit) -> None:
        """Refuse weights that give class scores, or features without a classifier, that are not finite."""
        what, values = ("class scores", batch.logits) if batch.logits.shape[1] else ("features", batch.features)
        finite = values.flatten(1).isfinite().all(dim=1)
        if bool(finite.all()):
            return
        first = images.ids[batch.indices[int(finite.logical_not().nonzero()[0])]]
        weights = self.network.weights.file or f"its {self.network.weights.source} weights"
        raise WeightsError(
            f"the {what} of '{self.network.spec.name}' with {weights} are not finite for the image '{first}': "
            f"the weights are damaged, or their numbers too large for {self.network.execution.precision}"
        )

    @cached_property
    def _guard(self) -> MethodGuard:
        """The one guard of all splits: it hashes the weights when it is made."""
        return MethodGuard(self.network.module, self.seed)

    @torch.no_grad()
    def _apply_methods(
        self, batch: FeatureBatch, images: ImageSplit, guard: MethodGuard
    ) -> tuple[dict[str, MethodMaps | MethodBoxes], dict[str, float]]:
        """Return what the methods make of a batch, and how long each took."""
        self._check_values(batch, images)
        classes = batch.logits.argmax(dim=1) if self.target == "predicted" else rows_of(batch.labels, self.class_rows)
        context = MethodContext(self.network.module, batch.images, classes, batch.logits, batch.rest)
        ids = [images.ids[index] for index in batch.indices]
        made, seconds = {}, {}
        for built in self.built:
            started = time.perf_counter()
            made[built.name] = apply_method(built, batch.features, context, ids, guard)
            seconds[built.name] = time.perf_counter() - started
        for built in self.built:
            self._check_kind(built, type(made[built.name]), ids[0])
        return made, seconds

    def _check_kind(self, built: BuiltMethod, kind: type, first: str) -> None:
        """Refuse a method that makes maps of some images, and boxes of others."""
        if self._makes.setdefault(built.name, kind) is not kind:
            now, before = ("boxes", "maps") if kind is MethodBoxes else ("maps", "boxes")
            raise PluginError(
                f"plugin {built.offer.provider}: the method '{built.name}' returned {now} for the images from "
                f"'{first}' on, and {before} for those before; it has to return one of the two for all images"
            )


def _class_hits(logits: Tensor, labels: Tensor) -> dict[int, NDArray[np.bool_]]:
    """Return whether each label is the best prediction, and among the five best; nothing without a classifier."""
    if logits.shape[1] == 0:
        return {}
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    hit = best == labels[:, None]
    return {1: hit[:, 0].numpy(), 5: hit.any(dim=1).numpy()}
