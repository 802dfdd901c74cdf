"""Rows of numbers that are kept of every image, packed: of many images they would fill the memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import compress, decompress

import numpy as np
from numpy.typing import NDArray

__all__ = ["PackedRows"]

_AT_A_TIME = 1000  # images that are packed together; fewer would pack worse, more would take memory when read


class PackedRows:
    """Any number of rows of each image.

    Args:
        kind: The columns of a row.
        ordered: The columns of whole numbers that change little from row to row: their differences are packed.
    """

    def __init__(self, kind: np.dtype[np.void], ordered: Sequence[str]) -> None:
        self.kind, self._ordered = kind, ordered
        self._pieces: list[_Piece] = []
        self._loose: list[tuple[str, bytes]] = []

    def add(self, image_id: str, rows: NDArray[np.void]) -> None:
        """Store the rows of one image, (R,)."""
        # Bytes, because Python allocates them apart from arrays: small arrays that stay, between large ones that come
        # and go, would fragment the memory.
        self._loose.append((image_id, rows.tobytes()))
        if len(self._loose) >= _AT_A_TIME:
            self._pack()

    def merge(self, other: PackedRows) -> None:
        """Take over the rows of other images."""
        self._pieces += other._pieces
        self._loose += other._loose

    def read(self, image_ids: Sequence[str]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.void]]]:
        """Yield rows, (R,), and for each the place of its image in `image_ids`, (R,), some images at a time."""
        self._pack()
        places = {image_id: place for place, image_id in enumerate(image_ids)}
        for piece in self._pieces:
            yield piece.images(places), piece.rows(self.kind, self._ordered)

    def _pack(self) -> None:
        if self._loose:
            self._pieces.append(_Piece.of(self._loose, self.kind, self._ordered))
            self._loose.clear()


@dataclass(frozen=True, eq=False)
class _Piece:
    """The rows of some images, packed by zlib.

    Attributes:
        image_ids: The images.
        lengths: How many rows each has.
        packed: One column after the other, byte by byte: all first bytes of its numbers, then all second ones.
    """

    image_ids: tuple[str, ...]
    lengths: NDArray[np.int32]
    packed: bytes

    @classmethod
    def of(cls, encoded: Sequence[tuple[str, bytes]], kind: np.dtype[np.void], ordered: Sequence[str]) -> _Piece:
        rows = np.frombuffer(b"".join(part for _, part in encoded), dtype=kind)
        lengths = np.array([len(part) // kind.itemsize for _, part in encoded], dtype=np.int32)
        columns = (_differences(rows[name]) if name in ordered else rows[name] for name in kind.names or ())
        return cls(tuple(name for name, _ in encoded), lengths, compress(b"".join(map(_by_bytes, columns))))

    def images(self, places: Mapping[str, int]) -> NDArray[np.intp]:
        """Return the place of the image of each row."""
        return np.repeat(np.fromiter(map(places.__getitem__, self.image_ids), np.intp), self.lengths)

    def rows(self, kind: np.dtype[np.void], ordered: Sequence[str]) -> NDArray[np.void]:
        """Return the rows."""
        content, rows, start = decompress(self.packed), np.empty(int(self.lengths.sum()), dtype=kind), 0
        for name in kind.names or ():
            stop = start + rows[name].nbytes
            column = np.frombuffer(content[start:stop], np.uint8).reshape(rows[name].itemsize, -1).T
            values = np.ascontiguousarray(column).view(rows[name].dtype).reshape(rows[name].shape)
            rows[name] = values.cumsum(axis=0, dtype=values.dtype) if name in ordered else values
            start = stop
        return rows


def _differences(values: NDArray[Any]) -> NDArray[Any]:
    """Return how each row of whole numbers differs from the one before, modulo their type, as it undoes `cumsum`."""
    return np.diff(values, axis=0, prepend=np.zeros_like(values[:1]))


def _by_bytes(values: NDArray[Any]) -> bytes:
    """Return all first bytes of numbers, then all second ones, and so on: alike ones side by side pack better."""
    return np.ascontiguousarray(values).reshape(-1, 1).view(np.uint8).T.tobytes()
