"""The one shape everything is drawn with: a bent, tapered tube with round ends.

A body, an ear, a leaf, a spot and a blade of grass are all strokes. A whole picture is a list of them, so that all
outlines are computed in one vectorised step and the painter needs nothing but polygons.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .palette import Colour

__all__ = ["Stroke", "inked", "outlines", "paint", "point_on"]

_GRID = 16  # polygon corners are rounded to a sixteenth of a pixel, to be the same on every machine
_ALONG = np.linspace(0.0, 1.0, 9)
_CAP = np.linspace(0.5, -0.5, 9)[1:-1] * math.pi

_Floats = NDArray[np.float64]
_Ints = NDArray[np.integer[Any]]


class Stroke(NamedTuple):
    """A tube along a circular arc; lengths are in the unit of the frame it is drawn in, angles in radians.

    Attributes:
        x: First end of the centre line.
        y: First end of the centre line.
        heading: Direction in which the centre line leaves its first end.
        turn: How much the direction has changed at the last end.
        length: Length of the centre line; 0 gives a disc.
        r0: Radius at the first end.
        r1: Radius at the last end.
        bulge: What the middle has in radius beyond the straight line from ``r0`` to ``r1``.
        colour: RGB, each in [0, 1].
        opacity: Share of the colour; the remainder is the ground below.
    """

    x: float
    y: float
    heading: float
    turn: float
    length: float
    r0: float
    r1: float
    bulge: float
    colour: Colour
    opacity: float = 1.0

    def radius(self, along: float) -> float:
        """The radius at a fraction ``along`` the centre line."""
        return self.r0 + (self.r1 - self.r0) * along + 4.0 * self.bulge * along * (1.0 - along)


def point_on(stroke: Stroke, along: float, side: float = 0.0) -> tuple[float, float, float]:
    """Find a place in a stroke.

    Args:
        stroke: The stroke.
        along: Position on the centre line, 0 at the first end, 1 at the last.
        side: Distance to the left of the centre line in radii, 1 at the edge.

    Returns:
        x, y and the direction of the centre line there.
    """
    half_turn = 0.5 * stroke.turn * along
    chord = stroke.length * along * (math.sin(half_turn) / half_turn if half_turn else 1.0)
    heading = stroke.heading + 2.0 * half_turn
    offset = side * stroke.radius(along)
    x = stroke.x + chord * math.cos(stroke.heading + half_turn) - offset * math.sin(heading)
    y = stroke.y + chord * math.sin(stroke.heading + half_turn) + offset * math.cos(heading)
    return x, y, heading


def inked(strokes: Sequence[Stroke], ink: Colour, width: float) -> list[Stroke]:
    """Put a contour of ``width`` around the union of ``strokes``: first all of them grown, in ink, then all again."""
    grown = [
        Stroke(s.x, s.y, s.heading, s.turn, s.length, s.r0 + width, s.r1 + width, s.bulge, ink, s.opacity)
        for s in strokes
    ]
    return [*grown, *strokes]


def outlines(strokes: Sequence[Stroke]) -> NDArray[np.float64]:
    """Compute the polygons of many strokes at once.

    Returns:
        Corners as x and y, shape (strokes, corners, 2).
    """
    table = np.array([s[:8] for s in strokes], dtype=np.float64)[:, :, None]
    x, y, heading, turn, length, r0, r1, bulge = table.swapaxes(0, 1)
    direction = heading + turn * _ALONG
    half = heading + 0.5 * turn * _ALONG
    chord = length * _ALONG * np.sinc(turn * _ALONG / (2.0 * math.pi))
    radius = r0 + (r1 - r0) * _ALONG + 4.0 * bulge * _ALONG * (1.0 - _ALONG)
    centre = np.stack([x + chord * np.cos(half), y + chord * np.sin(half)], axis=-1)
    across = np.stack([-np.sin(direction), np.cos(direction)], axis=-1) * radius[..., None]
    last = _cap(centre[:, -1:], direction[:, -1:], r1)
    first = _cap(centre[:, :1], direction[:, :1] + math.pi, r0)
    return np.concatenate([centre + across, last, (centre - across)[:, ::-1], first], axis=1)


def _cap(
    centre: NDArray[np.float64], direction: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The half circle that closes a stroke, from its left edge to its right edge."""
    angle = direction + _CAP
    return centre + np.stack([np.cos(angle), np.sin(angle)], axis=-1) * radius[..., None]


def paint(canvas: NDArray[np.uint8], polygons: NDArray[np.float64]) -> None:
    """Fill polygons one over the other, each with its number, counted from 1.

    Whole-number arithmetic throughout: a pixel is filled if a ray from its centre crosses the polygon an odd number of
    times. Drawing libraries have changed such details from release to release, and the pixels of a data set must not.

    Args:
        canvas: Number of what is seen at each pixel, shape (height, width), contiguous; changed in place.
        polygons: Corners as x and y in pixels, shape (polygons, corners, 2); whole numbers are the centres of pixels.

    Raises:
        ValueError: If there are more polygons than numbers.
    """
    if len(polygons) > np.iinfo(canvas.dtype).max:
        raise ValueError(f"a canvas has numbers for 255 polygons, got {len(polygons)}")
    height, width = canvas.shape
    polygon, row, column = _crossings(np.rint(polygons * _GRID).astype(np.int32), height)
    # Sorted by polygon, row and column, crossings come in pairs: where a run of pixels starts and where it ends.
    places = (polygon * height + row) * (width + 1) + column.clip(0, width)
    start, stop = np.sort(places.astype(np.int32)).reshape(-1, 2).T
    line, left = np.divmod(start, width + 1)
    polygon, row = np.divmod(line, height)
    pixels = _runs(row * width + left, stop - start)
    # Of the numbers written to one pixel the last stays, that of the polygon on top.
    canvas.reshape(-1)[pixels] = np.repeat((polygon + 1).astype(np.uint8), stop - start)


def _crossings(corners: NDArray[np.int32], height: int) -> tuple[_Ints, _Ints, _Ints]:
    """Where the edges of polygons cross the middles of pixel rows.

    Returns:
        Number of the polygon, row, and the first column whose centre is not left of the crossing.
    """
    first = corners.reshape(-1, 2)
    last = np.roll(corners, -1, axis=1).reshape(-1, 2)
    falling = (first[:, 1] <= last[:, 1])[:, None]
    (x, y), (x_end, y_end) = np.where(falling, first, last).T, np.where(falling, last, first).T
    top, bottom = (-(-y // _GRID)).clip(0, height), (-(-y_end // _GRID)).clip(0, height)
    edge = np.repeat(np.arange(len(top)), bottom - top)
    row = _runs(top, bottom - top)
    rise, run = (y_end - y)[edge], (x_end - x)[edge]
    column = -(-(x[edge] * rise + (_GRID * row - y[edge]) * run) // (_GRID * rise))
    return edge // corners.shape[1], row, column


def _runs(starts: _Ints, counts: _Ints) -> _Ints:
    """Whole numbers counted upwards from each start, as many as its count says, one run after the other."""
    ends = np.cumsum(counts)
    return np.repeat(starts - (ends - counts), counts) + np.arange(counts.sum())
