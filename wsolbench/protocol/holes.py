"""Fills the holes of a map, because the largest contour is an outer one, whose area includes them; numba compiles it.

A hole is a component of the background that does not touch the border. It is enclosed by one component of the
foreground until, at the level at which it opens, it meets the outside. Below that level all its pixels count as
foreground, and so do the components inside it, which OpenCV finds as contours of their own but which are never the
largest: the area of what encloses them contains theirs.

The hills of the inverted map are called basins here.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from wsolbench.protocol.compiler import compiled
from wsolbench.protocol.hills import END, OUTSIDE_VALUE, START, TOP, VALUE

__all__ = ["fill_holes"]

Image: TypeAlias = NDArray[np.uint8]
Table: TypeAlias = NDArray[np.int32]


@njit(nogil=True)
def _find_openings(merges: Table, outside: int) -> tuple[Table, Table]:
    """Return for every leaf of the inverted map the value at which it opens, and the leaf that stands for its hole.

    A hole that never opens, because all around it is at the maximum, has the value 0.
    """
    opened = np.zeros(outside + 1, dtype=np.int32)
    whole = np.arange(outside + 1).astype(np.int32)
    opened[outside] = OUTSIDE_VALUE
    for index in range(len(merges) - 1, -1, -1):  # last merges first: that of the other leaf comes later, or never
        leaf, other, value = merges[index, 0], merges[index, 1], merges[index, 2]
        if other == outside:
            opened[leaf] = value
        else:
            opened[leaf] = opened[other]
            if value > opened[leaf]:  # two that meet only where both open were never one hole
                whole[leaf] = whole[other]
    return opened, whole


@compiled(
    "int32[:, ::1](uint8[:, ::1], int32[:, ::1], int32[::1], int32[::1], "
    "uint8[:, ::1], int32[:, ::1], int32[::1], int32[::1], int32[:, ::1])"
)
def fill_holes(
    image: Image,
    hills: Table,
    rows: Table,
    home: Table,
    inverted: Image,
    basins: Table,
    basin_rows: Table,
    basin_leaf: Table,
    merges: Table,
) -> Table:
    """Raise the pixels of every hole to the value below which it is closed, and return what else joins there.

    Args:
        image: (H, W) uint8; overwritten.
        hills: (n + 1, 4), of `find_hills`.
        rows: (H + 1,), of `find_hills`.
        home: (n + 1,), the component of every hill as `number_components` returns it; overwritten with what encloses
            the hill where a hole contains all of it.
        inverted: (H, W) uint8, 255 minus the map.
        basins: Hills of the inverted map.
        basin_rows: The number of the first basin of every row.
        basin_leaf: The leaf of every basin.
        merges: The merges of the inverted map.

    Returns:
        (k, 3) a component beside a hole, the component that encloses the hole, and the value below which both count as
        one.
    """
    outside = basin_leaf[-1]
    opened, whole = _find_openings(merges, outside)
    encloser = np.full(outside + 1, -1, dtype=np.int32)
    enclosed = np.empty((len(basins) + len(hills), 3), dtype=np.int32)
    count = 0
    for y in range(len(image)):
        wall = rows[y]
        for basin in range(basin_rows[y], basin_rows[y + 1]):
            leaf = basin_leaf[basin]
            opening = opened[leaf]
            if basins[basin, VALUE] <= opening:
                continue
            start = end = basins[basin, TOP]  # never at the border, which is outside
            while inverted[y, start - 1] > opening:
                start -= 1
            while inverted[y, end + 1] > opening:
                end += 1
            value = 255 - opening
            for x in range(start, end + 1):
                image[y, x] = value
            while hills[wall, END] < start - 1:
                wall += 1
            # In its first row, a hole has only foreground above it, which touches the pixel to the left: both belong to
            # what encloses it. In later rows the hill to the left may be an island.
            if encloser[whole[leaf]] < 0:
                encloser[whole[leaf]] = home[wall]
            around = encloser[whole[leaf]]
            hill = wall
            while hill < rows[y + 1] and hills[hill, START] <= end + 1:
                if hills[hill, VALUE] < value:
                    home[hill] = around
                elif home[hill] != around:
                    enclosed[count, 0], enclosed[count, 1], enclosed[count, 2] = home[hill], around, value
                    count += 1
                hill += 1
    return enclosed[:count]
