"""Curves of IoU and box over τ of many images, packed: they are most of what is kept of an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import compress, decompress

import numpy as np
from numpy.typing import NDArray

from wsolbench.protocol.boxes import NO_BOX, unpack_boxes

__all__ = ["IouSteps"]

_AT_A_TIME = 1000  # images whose steps are packed together; fewer would pack worse, more would take memory when read


class IouSteps:
    """The IoU of an image's box and the box itself at every τ, stored as their steps: few differ among neighbouring τ.

    Args:
        num_thresholds: T, the number of τ.
        corner: The type of a box's corners.
    """

    def __init__(self, num_thresholds: int, corner: type[np.unsignedinteger[Any]]) -> None:
        place = np.min_scalar_type(num_thresholds)
        # The first τ of a step, which is 0 for the first step of an image; IoU and box from there to the next step.
        self._kind = np.dtype([("start", place), ("value", np.float32), ("box", corner, 4)])
        self._pieces: list[_Piece] = []
        self._loose: list[tuple[str, bytes]] = []

    def add(self, image_id: str, ious: NDArray[np.float64], boxes: NDArray[np.uint64] | None) -> None:
        """Store the curves of one image, (T,) each, the boxes packed; without boxes there is no step."""
        self._loose.append((image_id, b"" if boxes is None else self._encoded(ious, boxes)))
        if len(self._loose) >= _AT_A_TIME:
            self._pack()

    def merge(self, other: IouSteps) -> None:
        """Take over the steps of other images."""
        self._pieces += other._pieces
        self._loose += other._loose

    def at(self, threshold_index: int, image_ids: Sequence[str]) -> NDArray[np.float64]:
        """Return the IoU of every image at one τ, to 7 digits: (N,)."""
        found = np.zeros(len(image_ids), dtype=np.float64)
        for images, steps in self._begun(threshold_index, image_ids):
            found[images] = steps["value"]  # of an image with several, the last is kept
        return found

    def boxes_at(self, threshold_index: int, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the box of every image at one τ, `NO_BOX` where there is none: (N, 4)."""
        found = np.tile(np.array(NO_BOX, dtype=np.int64), (len(image_ids), 1))
        for images, steps in self._begun(threshold_index, image_ids):
            found[images] = steps["box"]
        return found

    def _begun(
        self, threshold_index: int, image_ids: Sequence[str]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.void]]]:
        """Yield places of images, and as many steps that begin at a τ or before it, some images at a time."""
        self._pack()
        places = {image_id: place for place, image_id in enumerate(image_ids)}
        for piece in self._pieces:
            steps = piece.steps(self._kind)
            begun = steps["start"] <= threshold_index
            yield piece.images(places)[begun], steps[begun]

    def _encoded(self, ious: NDArray[np.float64], boxes: NDArray[np.uint64]) -> bytes:
        """Return (S,) steps: where the box over τ is another one, its IoU, and the box."""
        changes = (boxes[1:] != boxes[:-1]).nonzero()[0]
        steps = np.empty(len(changes) + 1, dtype=self._kind)
        starts = steps["start"]
        starts[0] = 0
        np.add(changes, 1, out=starts[1:], casting="unsafe")
        steps["value"], steps["box"] = ious[starts], unpack_boxes(boxes[starts])
        # Bytes, because Python allocates them apart from arrays: small arrays that stay, between large ones that come
        # and go, would fragment the memory.
        return steps.tobytes()

    def _pack(self) -> None:
        if self._loose:
            self._pieces.append(_Piece.of(self._loose, self._kind))
            self._loose.clear()


@dataclass(frozen=True, eq=False)
class _Piece:
    """The steps of some images, packed by zlib.

    Attributes:
        image_ids: The images.
        lengths: How many steps each has.
        packed: Starts, IoUs and boxes one after the other; starts and corners as differences from the step before.
    """

    image_ids: tuple[str, ...]
    lengths: NDArray[np.int32]
    packed: bytes

    @classmethod
    def of(cls, encoded: Sequence[tuple[str, bytes]], kind: np.dtype[np.void]) -> _Piece:
        steps = np.frombuffer(b"".join(part for _, part in encoded), dtype=kind)
        lengths = np.array([len(part) // kind.itemsize for _, part in encoded], dtype=np.int32)
        columns = [_differences(steps["start"]), steps["value"], _differences(steps["box"])]
        return cls(tuple(name for name, _ in encoded), lengths, compress(b"".join(c.tobytes() for c in columns), 1))

    def images(self, places: Mapping[str, int]) -> NDArray[np.intp]:
        """Return the place of the image of each step."""
        return np.repeat(np.fromiter(map(places.__getitem__, self.image_ids), np.intp), self.lengths)

    def steps(self, kind: np.dtype[np.void]) -> NDArray[np.void]:
        """Return the steps."""
        content, count = decompress(self.packed), int(self.lengths.sum())
        steps, read = np.empty(count, dtype=kind), 0
        for name in ("start", "value", "box"):
            column = np.frombuffer(content, steps[name].dtype, steps[name].size, read).reshape(steps[name].shape)
            steps[name] = column if name == "value" else column.cumsum(axis=0, dtype=column.dtype)
            read += column.nbytes
        return steps


def _differences(values: NDArray[Any]) -> NDArray[Any]:
    """Return how each row of whole numbers differs from the one before, modulo their type, as it undoes `cumsum`."""
    return np.diff(values, axis=0, prepend=np.zeros_like(values[:1]))
