"""Lowers the level over the hills of a map, and records every box that a component has; compiled by numba.

The box of a component changes only where a row or a column of pixels has its highest values: the top of a hill is the
first pixel of the component in its row, and the pixel at which a column stops to rise is the first in its column. All
other pixels are inside the box already. Components start at leaves and merge at saddles (union-find over leaves).

Before a box changes, the old one is recorded with the levels at which it was valid. Changes within one level record
nothing after the first, so a box that exists only until more pixels of the same value are added never counts.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from wsolbench.protocol.compiler import compiled
from wsolbench.protocol.hills import END, OUTSIDE_VALUE, TOP, VALUE

__all__ = ["FIRST", "HIGH", "LEAF", "LOW", "X0", "X1", "Y0", "Y1", "grow"]

Image: TypeAlias = NDArray[np.uint8]
Table: TypeAlias = NDArray[np.int32]

# The columns of a record: its levels from LOW to HIGH - 1; the box, last row and column inclusive; the first hill in
# raster order; and the leaf that stands for the component.
LOW, HIGH, X0, Y0, X1, Y1, FIRST, LEAF = range(8)
# While the level falls, HIGH is the level from which down the present box is valid, and LEAF is the parent.
_PARENT: Final = LEAF

# The columns of a point, which can extend a box: leaf, place, hill, and the next point of the same value.
_LEAF, _X, _Y, _HILL, _NEXT = range(5)
_FAR: Final = 1 << 20


# What runs for every row or point is inlined, and what writes for every point is in one function: numba counts the
# references of arrays at every call, which takes longer than what such a function does.


@njit(nogil=True, inline="always")
def _mark_crests(image: Image, y: int, rising: NDArray[np.uint8], marks: NDArray[np.uint8]) -> None:
    """Mark the pixels of a row at which their column, which has risen, begins to fall; `rising` is kept over rows."""
    row = image[y]
    if y + 1 < len(image):
        below = image[y + 1]
        for x in range(len(row)):
            falls = row[x] > below[x]
            marks[x] = falls & rising[x]
            rising[x] = (row[x] < below[x]) | (rising[x] & (not falls))
    else:  # every column ends here
        for x in range(len(row)):
            marks[x] = rising[x]


@njit(nogil=True)
def _find_points(image: Image, hills: Table, rows: Table, leaf_of: Table) -> tuple[Table, Table]:
    """Return all points outside the outside's group, and the first of every value: (p, 5), (256,); -1 ends a list."""
    height, width = image.shape
    outside = leaf_of[-1]
    points = np.empty((len(hills) + width * ((height + 1) // 2) + 1, 5), dtype=np.int32)  # as many as there can be
    heads = np.full(OUTSIDE_VALUE, -1, dtype=np.int32)
    rising = np.ones(width, dtype=np.uint8)
    marks = np.zeros((width + 7) // 8 * 8, dtype=np.uint8)
    words = marks.view(np.uint64)
    columns = np.empty(len(marks) + 1, dtype=np.int32)
    count = 0
    for y in range(height):
        _mark_crests(image, y, rising, marks)
        inside = False
        for hill in range(rows[y], rows[y + 1]):
            marks[hills[hill, TOP]] = 1
            inside |= leaf_of[hill] != outside
        if not inside:
            continue
        # Whether a pixel is marked cannot be predicted: each is written, and the next overwrites it if it is not.
        marked = 0
        for index in range(len(words)):
            if words[index] != 0:
                for x in range(8 * index, 8 * index + 8):
                    columns[marked] = x
                    marked += marks[x]
        hill = rows[y]
        for index in range(marked):
            x = columns[index]
            hill += x > hills[hill, END]  # every hill has a point, its top
            value, leaf = image[y, x], leaf_of[hill]
            points[count, _LEAF], points[count, _X], points[count, _Y] = leaf, x, y
            points[count, _HILL], points[count, _NEXT] = hill, heads[value]
            heads[value] = heads[value] if leaf == outside else count
            count += leaf != outside
    return points[:count], heads


@njit(nogil=True)
def _start(hills: Table, leaves: Table) -> Table:
    """Return the state of all leaves before the first level: empty boxes; that of the outside contains everything."""
    # One row for each column of a record: the processor waits where it reads together what was written one by one.
    state = np.empty((8, len(leaves)), dtype=np.int32)
    for leaf in range(len(leaves)):
        value = hills[leaves[leaf], VALUE]
        nothing = value != OUTSIDE_VALUE
        far = _FAR if nothing else -1
        state[X0, leaf] = state[Y0, leaf] = far
        state[X1, leaf] = state[Y1, leaf] = _FAR - 1 - far
        state[FIRST, leaf] = leaves[leaf] if nothing else -1
        state[HIGH, leaf] = value if nothing else 0  # never recorded: its state never changes, and has no level
        state[_PARENT, leaf] = leaf
    return state


@njit(nogil=True, inline="always")
def _find_root(state: Table, leaf: int) -> int:
    """Return the leaf that stands for a leaf's component now, and shorten the path to it."""
    parent = state[_PARENT, leaf]
    while parent != leaf:
        state[_PARENT, leaf] = state[_PARENT, parent]
        leaf = state[_PARENT, leaf]
        parent = state[_PARENT, leaf]
    return leaf


@compiled(
    "Tuple((int32[:, ::1], int32[:, ::1]))"
    "(uint8[:, ::1], int32[:, ::1], int32[::1], int32[::1], int32[::1], int32[:, ::1])"
)
def grow(image: Image, hills: Table, rows: Table, leaf_of: Table, leaves: Table, saddles: Table) -> tuple[Table, Table]:
    """Return every box that a component has, and every merge of components.

    Invariant: when the points and saddles of a value v have been used, the sets of the union-find are the components of
    the foreground at level v - 1, each root holds the box of its component, and the records are complete for all boxes
    that ended at level v or above.

    Args:
        image: (H, W) uint8.
        hills: (n + 1, 4), of `find_hills`.
        rows: (H + 1,), of `find_hills`.
        leaf_of: (n + 1,), of `find_leaves`.
        leaves: (m,), of `find_leaves`.
        saddles: (k, 3), of `find_leaves`.

    Returns:
        (r, 8) records, and (j, 3) merges in the order in which they happen: a leaf, the leaf that stands for both from
        now on, and the value at which they meet. It is one that was a component before or, of two, that whose first
        pixel comes first: so a component that surrounds another keeps its leaf.
    """
    points, heads = _find_points(image, hills, rows, leaf_of)
    state = _start(hills, leaves)
    at_level = np.full(OUTSIDE_VALUE, -1, dtype=np.int32)
    following = np.empty(len(saddles), dtype=np.int32)
    for index in range(len(saddles)):
        value = saddles[index, 2]
        following[index] = at_level[value]
        at_level[value] = index
    records = np.empty((2 * len(leaves) + len(points), 8), dtype=np.int32)
    merges = np.empty((len(leaves), 3), dtype=np.int32)
    count = merged = 0
    for level in range(OUTSIDE_VALUE - 1, 0, -1):
        point, saddle = heads[level], at_level[level]
        while point >= 0 or saddle >= 0:
            if point >= 0:
                root = _find_root(state, points[point, _LEAF])
                x0 = x1 = points[point, _X]
                y0 = y1 = points[point, _Y]
                first = points[point, _HILL]
                point = points[point, _NEXT]
            else:
                root, other = _find_root(state, saddles[saddle, 0]), _find_root(state, saddles[saddle, 1])
                saddle = following[saddle]
                if root == other:
                    continue
                is_new, other_is_new = hills[leaves[root], VALUE] == level, hills[leaves[other], VALUE] == level
                if is_new or (not other_is_new and state[FIRST, other] < state[FIRST, root]):
                    root, other = other, root
                state[_PARENT, other] = root
                merges[merged, 0], merges[merged, 1], merges[merged, 2] = other, root, level
                merged += 1
                x0, y0, x1, y1 = state[X0, other], state[Y0, other], state[X1, other], state[Y1, other]
                first = state[FIRST, other]
            x0, y0 = min(state[X0, root], x0), min(state[Y0, root], y0)
            x1, y1 = max(state[X1, root], x1), max(state[Y1, root], y1)
            first = min(state[FIRST, root], first)
            changes = (x0 ^ state[X0, root]) | (y0 ^ state[Y0, root]) | (x1 ^ state[X1, root])
            changes |= (y1 ^ state[Y1, root]) | (first ^ state[FIRST, root])
            # One condition, which is rarely true, can be predicted; most points of a level change a box.
            if changes != 0 and state[HIGH, root] != level:
                for column in range(HIGH, LEAF):
                    records[count, column] = state[column, root]
                records[count, LOW], records[count, LEAF] = level, root
                state[HIGH, root] = level
                count += 1
            state[X0, root], state[Y0, root], state[X1, root], state[Y1, root] = x0, y0, x1, y1
            state[FIRST, root] = first
    # The last box of a component: it ends where it merges, and after that its state did not change.
    ends = np.zeros(len(leaves), dtype=np.int32)
    for index in range(merged):
        ends[merges[index, 0]] = merges[index, 2]
    for leaf in range(len(leaves)):
        if state[HIGH, leaf] > ends[leaf]:
            for column in range(HIGH, LEAF):
                records[count, column] = state[column, leaf]
            records[count, LOW], records[count, LEAF] = ends[leaf], leaf
            count += 1
    return records[:count], merges[:merged]
