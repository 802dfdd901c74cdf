"""Maps that were made before are taken from the cache, and those that are made now are put there.

The unit is a batch of one method: what a network computes for an image may depend, in its last digits, on the images
beside it in a forward pass. A batch is found by its images, their labels and their annotations, and is taken only if
the content of every image's file is what it was. Everything else that a map depends on is the identity of the shelf;
see `wsolbench.engine.cache_identity`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from wsolbench.cache import Shelf, cache_folder, open_shelf
from wsolbench.cache.place import VARIABLE
from wsolbench.cache.shards import DamagedError
from wsolbench.contract import ImageSplit
from wsolbench.contract.choices import Target
from wsolbench.data.fingerprint import image_digest
from wsolbench.data.opened import OpenSplit
from wsolbench.engine.boxes import FractionBoxes
from wsolbench.engine.localize import NetworkMaps
from wsolbench.engine.made import MadeBatch
from wsolbench.engine.methods import MethodBoxes, MethodMaps
from wsolbench.engine.sources import MapBatch
from wsolbench.progress import Reporter
from wsolbench.texts import counted
from wsolbench.threads import ordered_map

__all__ = [
    "CachedMaps",
    "batches_of",
    "cached_maps",
    "contents_of",
    "decode_batch",
    "encode_batch",
    "place_of",
    "report_cache",
    "stored_batch",
]


@dataclass(frozen=True)
class CacheSummary:
    """What there is to say of the cache after a run.

    Attributes:
        taken: How many maps came from it.
        faults: What is damaged there.
        refusals: Why maps could not be kept.
    """

    taken: int
    faults: Sequence[str]
    refusals: Sequence[str]


@dataclass
class CachedMaps:
    """The maps of a network, from the cache as far as they are there.

    Args:
        maps: What makes the others.
        shelves: Method -> its shelf; methods without one are computed each time.
        reporter: Is told as soon as maps cannot be kept.
    """

    maps: NetworkMaps
    shelves: Mapping[str, Shelf]
    reporter: Reporter
    taken: int = 0
    """How many maps came from the cache so far."""
    refusals: list[str] = field(default_factory=list)
    """Why maps could not be kept, each reason once."""
    _subsets: dict[frozenset[str], NetworkMaps] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods."""
        return self.maps.methods

    @property
    def target(self) -> Target | None:
        """Whose maps they are."""
        return self.maps.target

    @property
    def ahead(self) -> int:
        """How many maps may be in work at a time."""
        return self.maps.ahead

    @property
    def fate_of_constants(self) -> str:
        """What becomes of maps of one value."""
        return self.maps.fate_of_constants

    def locate(self, split: OpenSplit, index: int) -> str:
        """Say where the map of an image is to be found."""
        return self.maps.locate(split, index)

    @property
    def summary(self) -> CacheSummary:
        """What there is to say of the cache so far."""
        faults = [fault for shelf in self.shelves.values() for fault in shelf.faults]
        return CacheSummary(self.taken, faults, self.refusals)

    def stream(self, split: OpenSplit, positions: Sequence[int]) -> Generator[MapBatch, None, None]:
        """Yield the maps or boxes of the images at some positions.

        Raises:
            DataError: An image cannot be read.
            PluginError: The network or a method fails, or a map has a wrong shape, or a box is none.
        """
        batches = batches_of(positions, self.maps.batch_size)
        for lacking, of_run in groupby(batches, key=lambda batch: self._lacking(place_of(split, batch))):
            run = list(of_run)
            with closing(self._made(split, run, lacking)) as made:
                for batch in made:
                    self.maps.count_seconds(batch.seconds)
                    yield batch.to_score()

    def _lacking(self, place: bytes) -> frozenset[str]:
        """Return the methods of which nothing is stored about some images, whatever is in their files."""
        there = {method for method, shelf in self.shelves.items() if shelf.has(place)}
        return frozenset(self.methods) - there

    def _made(
        self, split: OpenSplit, batches: Sequence[Sequence[int]], lacking: frozenset[str]
    ) -> Generator[MadeBatch, None, None]:
        """Yield what is made of batches that lack the same methods."""
        if not lacking:
            with closing(contents_of(split.images, batches, self.maps.workers)) as contents:
                for batch, content in zip(batches, contents, strict=True):
                    yield self._joined(split, batch, content, None)
            return
        digests: dict[int, bytes] = {}

        def look(index: int, image: NDArray[np.uint8]) -> None:
            digests[index] = _content_of(split.images, index, image)

        positions = [index for batch in batches for index in batch]
        with closing(self._only(lacking).make(split, positions, look)) as computed:
            for batch, made in zip(batches, computed, strict=True):
                content = _combined(digests.pop(index) for index in batch)
                self._put(split, made, content)
                yield self._joined(split, batch, content, made)

    def _joined(self, split: OpenSplit, batch: Sequence[int], content: bytes, made: MadeBatch | None) -> MadeBatch:
        """Return a batch with what is stored of the methods that were not computed; what is not whole is made again."""
        place, parts = place_of(split, batch), [] if made is None else [made]
        computed = set() if made is None else set(made.made)
        for method in self.methods:
            if method in computed:
                continue
            stored = stored_batch(self.shelves[method], place, content, method, batch)
            if stored is None:
                with closing(self._only(frozenset({method})).make(split, batch)) as again:
                    (stored,) = again
                self._put(split, stored, content)
            else:
                self.taken += len(batch)
            parts.append(stored)
        of_methods = {name: part for part in parts for name in part.made}
        return replace(
            parts[0],
            made={name: of_methods[name].made[name] for name in self.methods},
            seconds={name: of_methods[name].seconds[name] for name in self.methods},
        )

    def _put(self, split: OpenSplit, made: MadeBatch, content: bytes) -> None:
        place = place_of(split, made.indices.tolist())
        for method in made.made:
            if method in self.shelves and not self.shelves[method].put(place, content, encode_batch(made, method)):
                self._tell(self.shelves[method].refusal)

    def _tell(self, refusal: str) -> None:
        """Say once that maps cannot be kept: who kills a run should know that it would start again."""
        if refusal not in self.refusals:
            self.refusals.append(refusal)
            self.reporter.warn(_not_kept(refusal))

    def _only(self, methods: frozenset[str]) -> NetworkMaps:
        """Return the source of some methods' maps: always the same one, as it hashes the weights at its beginning."""
        if methods == frozenset(self.methods):
            return self.maps
        if methods not in self._subsets:
            built = tuple(built for built in self.maps.built if built.name in methods)
            self._subsets[methods] = replace(self.maps, built=built)
        return self._subsets[methods]


@contextmanager
def cached_maps(
    maps: NetworkMaps, identities: Mapping[str, Mapping[str, Any]], reporter: Reporter
) -> Iterator[CachedMaps]:
    """Open the shelves of methods.

    Args:
        maps: What makes the maps that are not there.
        identities: Method -> the identity of its maps; without those that nobody could recognize again.
        reporter: Is told as soon as maps cannot be kept.
    """
    with ExitStack() as stack:
        cache = cache_folder()
        shelves = {method: stack.enter_context(open_shelf(cache, facts)) for method, facts in identities.items()}
        yield CachedMaps(maps, shelves, reporter)


def report_cache(summaries: Sequence[CacheSummary], reporter: Reporter) -> None:
    """Show how much came from the cache, and what is wrong with it.

    Args:
        summaries: The summary of every process; the first one has told itself what it could not keep.
        reporter: Shows it.
    """
    first, *others = summaries or [CacheSummary(0, [], [])]
    for refusal in dict.fromkeys(refusal for other in others for refusal in other.refusals):
        if refusal not in first.refusals:
            reporter.warn(_not_kept(refusal))
    for fault in dict.fromkeys(fault for summary in summaries for fault in summary.faults):
        reporter.warn(f"cache: {fault}")
    taken = sum(summary.taken for summary in summaries)
    if taken:
        reporter.say(f"{counted(taken, 'maps')} from the cache ({cache_folder()}); --no-cache makes all anew")


def _not_kept(refusal: str) -> str:
    return (
        f"cache: maps cannot be kept in {cache_folder()} ({refusal}), so that a run that is stopped makes them again; "
        f"{VARIABLE} may name another place"
    )


def place_of(split: OpenSplit, batch: Sequence[int]) -> bytes:
    """Return what identifies images and what is known of them, but for their pixels."""
    images = split.images
    named = [split.label, split.annotations_sha256, [(images.ids[index], int(images.labels[index])) for index in batch]]
    return hashlib.sha256(json.dumps(named).encode()).digest()


def batches_of(positions: Sequence[int], size: int) -> list[Sequence[int]]:
    """Return positions in batches, as `stream_features` makes them."""
    return [positions[start : start + size] for start in range(0, len(positions), size)]


def contents_of(images: ImageSplit, batches: Sequence[Sequence[int]], workers: int) -> Generator[bytes, None, None]:
    """Yield what identifies the content of the images of every batch; files are read ahead by threads.

    Raises:
        DataError: A file cannot be read.
    """

    def content_of(batch: Sequence[int]) -> bytes:
        return _combined(_content_of(images, index) for index in batch)

    with closing(ordered_map(content_of, batches, workers=workers, ahead=2 * workers)) as contents:
        yield from contents


def _content_of(images: ImageSplit, index: int, image: NDArray[np.uint8] | None = None) -> bytes:
    """Return the hash of an image's file or, where images are no files, of its pixels, which may be known."""
    if images.read is not None:
        return hashlib.sha256(images.read(index)).digest()
    return bytes.fromhex(image_digest(images.load(index) if image is None else image))


def _combined(digests: Iterator[bytes]) -> bytes:
    return hashlib.sha256(b"".join(digests)).digest()


# ------------------------------------------------------------------------------------------------ batches as bytes


def encode_batch(batch: MadeBatch, method: str) -> bytes:
    """Return what one method made of a batch, with what is known of its images, as bytes that lose nothing."""
    made = batch.made[method]
    arrays: dict[str, NDArray[Any]] = {"sizes": batch.sizes}
    arrays |= {f"hits {k}": hit for k, hit in batch.hits.items()}
    arrays |= {f"statistic {name}": values for name, values in made.statistics.items()}
    if isinstance(made, MethodMaps):
        arrays["maps"] = _smallest(made.maps)
    else:
        arrays["counts"] = np.array([len(boxes.corners) for boxes in made.boxes], dtype=np.int64)
        arrays["corners"] = np.concatenate([boxes.corners for boxes in made.boxes])
        if all(boxes.scores is not None for boxes in made.boxes):
            arrays["scores"] = np.concatenate([boxes.scores for boxes in made.boxes if boxes.scores is not None])
    text = {"digests": batch.digests, "remarks": batch.remarks, "seconds": batch.seconds[method]}
    contiguous = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    return save(contiguous, metadata={"facts": json.dumps(text)})


def _smallest(maps: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return maps in single precision where that loses nothing."""
    with np.errstate(over="ignore"):
        single = maps.astype(np.float32)
    return single if np.array_equal(single, maps, equal_nan=True) else maps


def stored_batch(shelf: Shelf, place: bytes, content: bytes, method: str, batch: Sequence[int]) -> MadeBatch | None:
    """Return a batch of one method from its shelf; None where it is not there, or damaged, which the shelf notes."""
    payload = shelf.get(place, content)
    if payload is None:
        return None
    try:
        return decode_batch(payload, method, batch)
    except DamagedError as error:
        shelf.faults.append(f"{shelf.folder}: {error}")
        return None


def decode_batch(payload: bytes, method: str, batch: Sequence[int]) -> MadeBatch:
    """Return the batch that `encode_batch` was given, of one method, with the positions that its images have now.

    Raises:
        DamagedError: It is no such batch: whoever wrote it also wrote its checksum.
    """
    try:
        made = _decoded(payload, method, batch)
    except (SafetensorError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise DamagedError("an entry with a right checksum is no batch of maps") from error
    _check_batch(made, method)
    return made


def _check_batch(batch: MadeBatch, method: str) -> None:
    """Check that there is something of the right form for every image.

    Raises:
        DamagedError: There is not.
    """
    count, made = len(batch.indices), batch.made[method]
    is_right = (
        all(values.shape == (count,) for values in [*batch.hits.values(), *made.statistics.values()])
        and all(hits.dtype == bool for hits in batch.hits.values())
        and [len(batch.digests), len(batch.remarks)] == [count, count]
        and all(isinstance(text, str) for text in [*batch.digests, *chain(*batch.remarks)])
        and batch.sizes.shape == (count, 2)
        and isinstance(batch.seconds[method], int | float)
    )
    if isinstance(made, MethodMaps):
        has_maps = made.maps.ndim == 3 and len(made.maps) == count and made.maps.size > 0
    else:
        has_maps = len(made.boxes) == count and all(map(_are_boxes, made.boxes))
    if not (is_right and has_maps):
        raise DamagedError("an entry with a right checksum is no batch of maps of these images")


def _are_boxes(boxes: FractionBoxes) -> bool:
    corners, scores = boxes.corners, boxes.scores
    are_four = corners.ndim == 2 and corners.shape[1] == 4 and bool(np.isfinite(corners).all())
    return are_four and (scores is None or scores.shape == (len(corners),))


def _decoded(payload: bytes, method: str, batch: Sequence[int]) -> MadeBatch:
    arrays = load(payload)
    length = int.from_bytes(payload[:8], "little")
    facts = json.loads(json.loads(payload[8 : 8 + length])["__metadata__"]["facts"])
    statistics = {
        name.removeprefix("statistic "): values for name, values in arrays.items() if name.startswith("statistic ")
    }
    made: MethodMaps | MethodBoxes
    if "maps" in arrays:
        made = MethodMaps(arrays["maps"].astype(np.float64), statistics)
    else:
        ends = np.cumsum(arrays["counts"])[:-1]
        corners = np.split(arrays["corners"], ends)
        scores = np.split(arrays["scores"], ends) if "scores" in arrays else [None] * len(corners)
        made = MethodBoxes([FractionBoxes(*each) for each in zip(corners, scores, strict=True)], statistics)
    return MadeBatch(
        np.array(batch, dtype=np.int64),
        {method: made},
        {method: facts["seconds"]},
        {int(name.removeprefix("hits ")): hit for name, hit in arrays.items() if name.startswith("hits ")},
        facts["digests"],
        [tuple(of_image) for of_image in facts["remarks"]],
        arrays["sizes"],
    )
