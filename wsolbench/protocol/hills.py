"""Splits a quantised map into hills, and finds at which level neighbouring hills touch; compiled by numba.

A hill is a run of pixels in one row along which values do not fall, then do not rise. Above any level lies one interval
of it or nothing, so all of it that is in the foreground belongs to one component. A row of a smooth map has a handful
of hills, which is why the sweep works on hills and not on pixels: it looks at each pixel only to find them.

Two hills touch at a level if both exceed it at neighbouring pixels. The highest value at which they touch is their
saddle: from there down they are in one component. A hill that touches a higher one at its own top is never a component
of its own, so it joins the other's group at once. What is left are leaves: hills that start a component, at most a few
dozen on a smooth map. Only saddles between the groups of different leaves matter.

Holes are components of the inverted map, in which hills touch along sides only (reach 0) and all pixels at the border
touch the outside. The outside is one more hill after all others, higher than any value.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from wsolbench.protocol.compiler import compiled

__all__ = ["END", "OUTSIDE_VALUE", "START", "TOP", "VALUE", "find_hills", "find_leaves"]

Image: TypeAlias = NDArray[np.uint8]
Table: TypeAlias = NDArray[np.int32]

# The columns of a hill: its first and last pixel, one with its highest value, and this value.
START, END, TOP, VALUE = range(4)
OUTSIDE_VALUE: Final = 256

# Whether a pixel is above or below the pixel before it: one of eight bytes of a word.
_RISE: Final = 1
_FALL: Final = 2
_RISES: Final = np.uint64(0x0101010101010101)
_FALLS: Final = np.uint64(0x0202020202020202)
_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE, _SEVEN, _EIGHT, _56 = np.uint64(1), np.uint64(7), np.uint64(8), np.uint64(56)


@njit(nogil=True, inline="always")
def _find_next(words: NDArray[np.uint64], place: int, flags: np.uint64) -> int:
    """Return the first place from `place` on whose byte has a flag; there has to be one."""
    index = place >> 3
    found = words[index] & flags & (_ALL << (np.uint64(place & 7) * _EIGHT))
    while found == 0:
        index += 1
        found = words[index] & flags
    # The bytes below the lowest flag are counted by a product, which adds one for each of them in its highest byte.
    below = ((found & (~found + _ONE)) - _ONE) & (_RISES << _SEVEN)
    return 8 * index + int(((below >> _SEVEN) * _RISES) >> _56)


@compiled("Tuple((int32[:, ::1], int32[::1]))(uint8[:, ::1])")
def find_hills(image: Image) -> tuple[Table, Table]:
    """Return all hills, in raster order.

    Args:
        image: (H, W) uint8.

    Returns:
        (n + 1, 4) hills, the last of which is the outside; and (H + 1,), the number of the first hill of every row.
    """
    height, width = image.shape
    hills = np.empty((height * ((width + 1) // 2) + 1, 4), dtype=np.int32)  # as many as there can be, and the outside
    rows = np.empty(height + 1, dtype=np.int32)
    # One byte a pixel, eight of which are looked at together. The byte after the row ends any search in it.
    signs = np.zeros((width + 8) // 8 * 8, dtype=np.uint8)
    signs[width] = _RISE | _FALL
    words = signs.view(np.uint64)
    count = 0
    for y in range(height):
        row = image[y]
        before, here, out = row[: width - 1], row[1:], signs[1:]
        for x in range(width - 1):
            out[x] = (here[x] > before[x]) | (here[x] < before[x]) << 1
        rows[y] = count
        start = 0
        while start < width:
            fall = _find_next(words, start + 1, _FALLS)
            end = _find_next(words, fall + 1, _RISES) if fall < width else width
            hills[count, START], hills[count, END] = start, end - 1
            hills[count, TOP], hills[count, VALUE] = fall - 1, row[fall - 1]
            count += 1
            start = end
    rows[height] = count
    hills[count, START] = hills[count, END] = hills[count, TOP] = -1
    hills[count, VALUE] = OUTSIDE_VALUE
    return hills[: count + 1], rows


@njit(nogil=True)
def _descend(left: Image, last: int, top: int, right: Image, first: int, other_top: int, reach: int) -> int:
    """Return the saddle of two hills in neighbouring rows, the top of one of which is further left; 0 if there is none.

    Between their tops, one falls and the other rises. So the highest of all lower values of pairs is where they cross.

    Args:
        left: The row of the hill on the left.
        last: Its last pixel.
        top: Its top.
        right: The row of the hill on the right.
        first: Its first pixel.
        other_top: Its top.
        reach: How far apart in columns pixels that touch may be: 1 for 8-connectivity, 0 for 4-connectivity.
    """
    best: int = 0
    for x in range(max(top, first - reach), min(other_top - reach, last) + 1):
        falling, rising = left[x], right[x + reach]
        if rising >= falling:
            return max(best, int(falling))
        best = int(rising)
    return best


@njit(nogil=True)
def _touch_outside(image: Image, hills: Table, rows: Table, onto: Table, saddles: Table) -> int:
    """Record at which level every hill reaches the border, and return the number of saddles."""
    height, width = image.shape
    count = 0
    for y in range(height):
        first, last = rows[y], rows[y + 1] - 1
        for hill in range(first, last + 1):
            level = hills[hill, VALUE] if y in (0, height - 1) else 0
            if hill == first:
                level = max(level, image[y, 0])
            if hill == last:
                level = max(level, image[y, width - 1])
            if level == hills[hill, VALUE]:
                onto[hill] = rows[height]
            elif level > 0:
                saddles[count, 0], saddles[count, 1], saddles[count, 2] = hill, rows[height], level
                count += 1
    return count


# Inlined, because numba counts the references of arrays at every call, which takes longer than what is done for a row.
@njit(nogil=True, inline="always")
def _touch_row_above(
    image: Image, hills: Table, rows: Table, y: int, reach: int, onto: Table, saddles: Table, count: int
) -> int:
    """Record the saddles of the hills of a row with those of the row above, and return the number of saddles."""
    above, row = image[y - 1], image[y]
    first = rows[y - 1]
    for lower in range(rows[y], rows[y + 1]):
        start, end, top, value = hills[lower, START], hills[lower, END], hills[lower, TOP], hills[lower, VALUE]
        while hills[first, END] + reach < start:
            first += 1
        upper = first
        while upper < rows[y] and hills[upper, START] - reach <= end:
            upper_top, upper_value = hills[upper, TOP], hills[upper, VALUE]
            if abs(upper_top - top) <= reach:
                level = min(upper_value, value)
            elif upper_top < top:
                level = _descend(above, hills[upper, END], upper_top, row, start, top, reach)
            else:
                level = _descend(row, end, top, above, hills[upper, START], upper_top, reach)
            # A hill whose top touches a hill at least as high is no leaf. Of equally high ones only the lower row joins
            # the upper one, so that no two wait for each other.
            joining, other = (lower, upper) if upper_value >= value else (upper, lower)
            joins = (level == min(value, upper_value)) & (onto[joining] < 0)
            onto[joining] = other if joins else onto[joining]
            saddles[count, 0], saddles[count, 1], saddles[count, 2] = upper, lower, level
            count += not joins  # no branch, which a processor would predict wrongly half of the time
            upper += 1
    return count


@njit(nogil=True)
def _number_leaves(onto: Table) -> tuple[Table, Table]:
    """Return the leaf of every hill, and the hill of every leaf; `onto` is overwritten."""
    leaf_of = np.empty(len(onto), dtype=np.int32)
    leaves = np.empty(len(onto), dtype=np.int32)
    count = 0
    for hill in range(len(onto)):
        if onto[hill] < 0:
            leaf_of[hill], leaves[count], onto[hill] = count, hill, hill
            count += 1
    for hill in range(len(onto)):
        leaf = hill
        while onto[leaf] != leaf:
            leaf = onto[leaf]
        step = hill
        while onto[step] != leaf:  # shortens the way of all hills that come after
            onto[step], step = leaf, onto[step]
        leaf_of[hill] = leaf_of[leaf]
    return leaf_of, leaves[:count]


@compiled("Tuple((int32[::1], int32[::1], int32[:, ::1]))(uint8[:, ::1], int32[:, ::1], int32[::1], int64, boolean)")
def find_leaves(image: Image, hills: Table, rows: Table, reach: int, open_border: bool) -> tuple[Table, Table, Table]:
    """Return the groups of hills that are never apart, and the saddles between them.

    Args:
        image: (H, W) uint8.
        hills: (n + 1, 4), of `find_hills`.
        rows: (H + 1,), of `find_hills`.
        reach: 1 for 8-connectivity, 0 for 4-connectivity.
        open_border: Whether pixels at the border touch the outside.

    Returns:
        (n + 1,) the leaf of every hill; (m,) the hill of every leaf; and (k, 3) saddles: two leaves, and the highest
        value at which they touch. The outside is the last leaf.
    """
    height = len(image)
    onto = np.full(len(hills), -1, dtype=np.int32)
    # A hill ends where the next begins or one column apart in at most three cases a pair; with the row and the outside
    # there are fewer than five saddles a hill.
    saddles = np.empty((5 * len(hills) + 8, 3), dtype=np.int32)
    count = _touch_outside(image, hills, rows, onto, saddles) if open_border else 0
    for y in range(height):
        for hill in range(rows[y], rows[y + 1] - 1):  # a hill ends at the lowest value between it and the next
            saddles[count, 0], saddles[count, 1], saddles[count, 2] = hill, hill + 1, image[y, hills[hill, END]]
            count += 1
        if y > 0:
            count = _touch_row_above(image, hills, rows, y, reach, onto, saddles, count)
    leaf_of, leaves = _number_leaves(onto)
    kept = 0
    for index in range(count):
        one, other, level = leaf_of[saddles[index, 0]], leaf_of[saddles[index, 1]], saddles[index, 2]
        saddles[kept, 0], saddles[kept, 1], saddles[kept, 2] = one, other, level
        kept += (one != other) & (level > 0)
    return leaf_of, leaves, saddles[:kept]
