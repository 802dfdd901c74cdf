"""One pass over a split: images through the network once, its features through every method, every map scored."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsolbench.contract import ImageSplit, MethodContext
from wsolbench.data.fingerprint import combine_digests, image_digest
from wsolbench.data.opened import OpenSplit
from wsolbench.engine.methods import BuiltMethod, MethodMaps, apply_method
from wsolbench.engine.scoring import ClassHits, Score, ScoredSplit, SplitScorer, Target
from wsolbench.engine.stream import Batch, stream_batches
from wsolbench.errors import ScoremapError
from wsolbench.host.provider import blaming
from wsolbench.networks.network import Network
from wsolbench.progress import Reporter
from wsolbench.protocol import classified_scoremap
from wsolbench.threads import ordered_map

ScoremapSink = Callable[[str, str, NDArray[np.float32]], None]
ScoreObserver = Callable[[str, int, Score], None]


@dataclass(frozen=True)
class RawMaps:
    """What a batch of images gave: logits (B, C), on the CPU, and what every method made of it."""

    indices: NDArray[np.int64]
    logits: Tensor
    methods: dict[str, MethodMaps]


@dataclass(frozen=True)
class Localizer:
    """A network, its methods, and how they are put to work."""

    network: Network
    methods: tuple[BuiltMethod, ...]
    target: Target
    batch_size: int
    workers: int

    def raw_maps(
        self, images: ImageSplit, observe: Callable[[int, NDArray[np.uint8]], None] | None = None
    ) -> Generator[RawMaps, None, None]:
        """Yield logits and raw maps of every image, a batch at a time.

        Raises:
            DataError: An image cannot be read.
            PluginError: The network or a method fails, or a map has a wrong shape.
        """
        network = self.network
        stream = stream_batches(
            images,
            network.spec.input,
            batch_size=self.batch_size,
            workers=self.workers,
            device=network.device,
            observe=observe,
        )
        with closing(stream) as batches:
            for batch in batches:
                yield self._of_batch(batch, [images.ids[index] for index in batch.indices])

    @torch.no_grad()
    def _of_batch(self, batch: Batch, ids: list[str]) -> RawMaps:
        network = self.network
        with blaming(network.offer.provider, f"in '{network.spec.name}' on the images from '{ids[0]}' on"):
            features, logits = network.forward(batch.images)
        classes = batch.labels if self.target == "gt" else logits.argmax(dim=1)
        context = MethodContext(network.module, batch.images, classes, logits)
        made = {built.name: apply_method(built, features, context, ids) for built in self.methods}
        return RawMaps(batch.indices, logits.float().cpu(), made)


@dataclass(frozen=True)
class _Item:
    method: str
    index: int
    raw_map: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class _Outcome:
    item: _Item
    kind: Literal["ok", "nan", "constant"]
    score: Score


def localize(
    localizer: Localizer,
    part: OpenSplit,
    *,
    interval: float,
    strict: bool,
    reporter: Reporter,
    save: ScoremapSink | None = None,
    observe: ScoreObserver | None = None,
) -> dict[str, ScoredSplit]:
    """Localize every image of a split with every method and score the maps, while the network goes on.

    Args:
        localizer: Network and methods.
        part: Images and annotations.
        interval: Step of the grid of τ.
        strict: Make a map of NaN or of one value an error.
        reporter: Told how far the work is.
        save: Given method, image id and scoremap of every map, from several threads.
        observe: Given method, position and score of every map, in order.

    Returns:
        Method name -> what its maps scored.

    Raises:
        DataError: An image or a mask cannot be read.
        PluginError: The network or a method fails.
        ScoremapError: A map is bad and `strict` is set.
    """
    images = part.images
    scorers = {built.name: SplitScorer(part, interval) for built in localizer.methods}
    bad: dict[str, dict[str, list[str]]] = {name: {"nan": [], "constant": []} for name in scorers}
    hits, statistics = _HitCollector(images), _StatisticsCollector(len(images.ids))
    digests: dict[int, str] = {}

    def digest(index: int, image: NDArray[np.uint8]) -> None:
        digests[index] = image_digest(image)

    def items() -> Generator[_Item, None, None]:
        with closing(localizer.raw_maps(images, digest)) as batches:
            for batch in batches:
                hits.add(batch)
                statistics.add(batch)
                for name, made in batch.methods.items():
                    for position, index in enumerate(batch.indices):
                        yield _Item(name, int(index), made.maps[position])

    def score(item: _Item) -> _Outcome:
        kind, scoremap = classified_scoremap(item.raw_map)
        if save is not None:
            save(item.method, images.ids[item.index], scoremap)
        return _Outcome(item, kind, scorers[item.method].score(item.index, scoremap))

    ahead = 2 * localizer.batch_size * len(localizer.methods)
    with (
        reporter.phase(part.split.label, len(images.ids) * len(scorers), "maps") as advance,
        closing(items()) as work,
        closing(ordered_map(score, work, workers=localizer.workers, ahead=ahead)) as results,
    ):
        for outcome in results:
            name, index = outcome.item.method, outcome.item.index
            if outcome.kind != "ok":
                bad[name][outcome.kind].append(images.ids[index])
            scorers[name].add(index, outcome.score)
            if observe is not None:
                observe(name, index, outcome.score)
            advance(1)
    for name, by_kind in bad.items():
        _tell_bad_maps(name, by_kind, part, strict=strict, reporter=reporter)
    pixels = combine_digests(digests[index] for index in range(len(images.ids)))
    scored = {}
    for name, scorer in scorers.items():
        boxes, masks = scorer.compute()
        nan, constant = (len(bad[name][kind]) for kind in ("nan", "constant"))
        scored[name] = ScoredSplit(part, boxes, masks, hits.result(), nan, constant, pixels, statistics.result(name))
    return scored


def _tell_bad_maps(
    method: str, by_kind: dict[str, list[str]], part: OpenSplit, *, strict: bool, reporter: Reporter
) -> None:
    """Say once, or raise, that maps of NaN or of one value were scored as zero maps."""
    words = {"nan": "NaN or infinity", "constant": "one value only"}
    for kind, ids in by_kind.items():
        if not ids:
            continue
        told = f"{len(ids)} of {len(part.images.ids)} maps of '{method}' on {part.split.label} hold {words[kind]}"
        if strict:
            raise ScoremapError(f"{told}, the first for the image '{ids[0]}'")
        reporter.warn(f"{told} and count as zero maps; the first is that of '{ids[0]}'")


class _HitCollector:
    """Gathers which images were classified rightly."""

    def __init__(self, images: ImageSplit) -> None:
        self._labels = images.labels
        self._top1 = np.zeros(len(images.ids), dtype=np.bool_)
        self._top5 = self._top1.copy()

    def add(self, batch: RawMaps) -> None:
        """Note the hits of a batch; logits that are not finite predict nothing."""
        best = batch.logits.topk(min(5, batch.logits.shape[1]), dim=1).indices
        best[~batch.logits.isfinite().all(dim=1)] = -1
        hit = best.numpy() == self._labels[batch.indices][:, None]
        self._top1[batch.indices] = hit[:, 0]
        self._top5[batch.indices] = hit.any(axis=1)

    def result(self) -> ClassHits:
        """Return the hits of all images."""
        return ClassHits(self._top1, self._top5)


class _StatisticsCollector:
    """Gathers what methods report of their maps; NaN where a method has not reported."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._values: dict[str, dict[str, NDArray[np.float64]]] = {}

    def add(self, batch: RawMaps) -> None:
        """Note the statistics of a batch."""
        for method, made in batch.methods.items():
            of_method = self._values.setdefault(method, {})
            for name, values in made.statistics.items():
                of_method.setdefault(name, np.full(self._count, np.nan))[batch.indices] = values

    def result(self, method: str) -> dict[str, NDArray[np.float64]]:
        """Return the statistics of a method's maps: name -> (N,)."""
        return self._values.get(method, {})
