"""Finds the component with the largest area at every level, from counts of 2x2 squares of pixels; numba compiles it.

The area of the polygon through the outermost pixels of a component without holes is the number of its 2x2 squares with
four pixels, and half the number of those with three. So a square adds to twice the area below its third-largest and
below its smallest value. Its three largest pixels touch, so at any level at which it counts all of it belongs to one
component: that of the larger of its two upper pixels, one of the three largest. Squares are counted by component and
value, and the counts added where components merge.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from wsolbench.protocol.compiler import compiled
from wsolbench.protocol.growth import FIRST, HIGH, LEAF, LOW
from wsolbench.protocol.hills import END, START, VALUE

__all__ = ["find_largest", "number_components"]

Image: TypeAlias = NDArray[np.uint8]
Table: TypeAlias = NDArray[np.int32]

_MAXIMUM: Final = 255
# How many components times levels a table of counts holds, 2 MB, which stay in a processor's cache. If there are more
# components, the levels are done in parts.
_MOST: Final = 1 << 18


@compiled("Tuple((int32[::1], int32[::1], int64))(int32[:, ::1], int32[::1], int32[::1], int32[:, ::1])")
def number_components(hills: Table, leaf_of: Table, leaves: Table, merges: Table) -> tuple[Table, Table, int]:
    """Number the leaves that are components of their own at any level.

    A leaf that merges at its own value is none. It has the number of the leaf with which it merges.

    Returns:
        (m,) the number of every leaf, (n + 1,) that of every hill, and how many numbers there are.
    """
    number = np.full(len(leaves), -1, dtype=np.int32)
    for index in range(len(merges)):
        number[merges[index, 0]] = -2
    count = 0
    for leaf in range(len(leaves)):
        if number[leaf] == -1:
            number[leaf] = count
            count += 1
    for index in range(len(merges) - 1, -1, -1):  # last merges first: the other leaf has its number
        leaf, other, value = merges[index, 0], merges[index, 1], merges[index, 2]
        if hills[leaves[leaf], VALUE] == value:
            number[leaf] = number[other]
        else:
            number[leaf] = count
            count += 1
    return number, number[leaf_of], count


@njit(nogil=True)
def _count_squares(image: Image, hills: Table, rows: Table, home: Table, low: int, high: int, counts: Table) -> None:
    """Count the squares of every component by value, values below `low` as `low` and those above `high` as `high`."""
    height, width = image.shape
    third, least = np.empty(width, dtype=np.uint8), np.empty(width, dtype=np.uint8)
    floor, ceiling = np.uint8(low), np.uint8(high)
    counts[:] = 0
    for y in range(height - 1):
        upper, lower = image[y], image[y + 1]
        nw, ne, sw, se = upper[: width - 1], upper[1:], lower[: width - 1], lower[1:]
        for x in range(width - 1):
            small, large = min(nw[x], ne[x]), max(nw[x], ne[x])
            small_below, large_below = min(sw[x], se[x]), max(sw[x], se[x])
            smallest = min(small, small_below)
            middle = min(max(small, small_below), min(large, large_below))
            least[x] = min(max(smallest, floor), ceiling) - floor
            third[x] = min(max(middle, floor), ceiling) - floor
        for hill in range(rows[y], rows[y + 1]):
            # A hill begins with a rise, so in the square across its start its own pixel is the larger one.
            of_hill = counts[home[hill]]
            by_third, by_least = of_hill[0], of_hill[1]
            for x in range(max(hills[hill, START] - 1, 0), hills[hill, END]):
                by_third[third[x]] += 1
                by_least[least[x]] += 1


@njit(nogil=True)
def _plan_unions(merges: Table, number: Table, enclosed: Table, size: int) -> tuple[Table, Table]:
    """Return which areas are added to which, in order, and below which level each component is part of another.

    Merges come before enclosures of the same value: a hole is often closed by the merge of what then encloses it. A
    component that first appears inside a closed hole has no squares, and is not known to be enclosed before it merges.
    """
    into = np.arange(size).astype(np.int32)
    gone = np.zeros(size, dtype=np.int32)
    unions = np.empty((size, 3), dtype=np.int32)
    heads = np.full(_MAXIMUM + 1, -1, dtype=np.int32)
    following = np.empty(len(enclosed), dtype=np.int32)
    for index in range(len(enclosed)):
        value = enclosed[index, 2]
        following[index] = heads[value]
        heads[value] = index
    count = merge = 0
    for value in range(_MAXIMUM, 0, -1):
        index = heads[value]
        while True:
            if merge < len(merges) and merges[merge, 2] == value:
                one, other = number[merges[merge, 0]], number[merges[merge, 1]]
                if into[one] != one:  # it is enclosed, so the other is as well, perhaps without being known to be
                    one, other = other, one
                merge += 1
            elif index >= 0:
                one, other = enclosed[index, 0], enclosed[index, 1]
                index = following[index]
            else:
                break
            while into[one] != one:
                into[one] = into[into[one]]
                one = into[one]
            while into[other] != other:
                into[other] = into[into[other]]
                other = into[other]
            if one != other:
                into[one], gone[one] = other, value
                unions[count, 0], unions[count, 1], unions[count, 2] = one, other, value
                count += 1
    return unions[:count], gone


@njit(nogil=True)
def _sum_areas(counts: Table, unions: Table, low: int) -> None:
    """Replace the counts of every component by twice its area at the levels from `low` on: `counts[c, 0, 1:]`."""
    size = counts.shape[2] - 1
    for component in range(len(counts)):
        areas, others = counts[component, 0], counts[component, 1]
        total = 0
        for place in range(size, 0, -1):  # that of value `low + place`, which is above level `low + place - 1`
            total += areas[place] + others[place]
            areas[place] = total
    for index in range(len(unions)):
        one, other, value = unions[index, 0], unions[index, 1], unions[index, 2]
        source, target = counts[one, 0], counts[other, 0]
        for place in range(1, min(value - low, size) + 1):
            target[place] += source[place]


@compiled(
    "int32[::1](uint8[:, ::1], int32[:, ::1], int32[::1], int32[::1], "
    "int32[:, ::1], int32[:, ::1], int32[::1], int64, int32[:, ::1])"
)
def find_largest(
    image: Image,
    hills: Table,
    rows: Table,
    home: Table,
    records: Table,
    merges: Table,
    number: Table,
    size: int,
    enclosed: Table,
) -> Table:
    """Return the record of the component with the largest area at every level: (256,), -1 where there is none.

    Of components with equal area the one whose first pixel comes later wins, because OpenCV lists it first. Their
    first hills are in the order of their first pixels.

    Args:
        image: (H, W) uint8, filled.
        hills: (n + 1, 4), of `find_hills`.
        rows: (H + 1,), of `find_hills`.
        home: (n + 1,), the component of every hill, of `number_components` and `fill_holes`.
        records: (r, 8), of `grow`.
        merges: (j, 3), of `grow`.
        number: (m,), the component of every leaf, of `number_components`.
        size: The number of components.
        enclosed: (k, 3), of `fill_holes`.
    """
    largest = np.full((_MAXIMUM + 1, 3), -1, dtype=np.int32)  # area, first hill, record
    unions, gone = _plan_unions(merges, number, enclosed, size)
    step = min(max(_MOST // size, 1), _MAXIMUM)
    counts = np.zeros((size, 2, step + 1), dtype=np.int32)
    for low in range(0, _MAXIMUM, step):
        high = min(low + step, _MAXIMUM)
        if size > 2:  # else there is nothing but the outside and one component, which wins with any area
            _count_squares(image, hills, rows, home, low, high, counts)
            _sum_areas(counts, unions, low)
        for index in range(len(records)):
            component, first = number[records[index, LEAF]], records[index, FIRST]
            areas = counts[component, 0]
            # Inside a hole a component is part of what encloses it, whose record has a larger box.
            for level in range(max(records[index, LOW], gone[component], low), min(records[index, HIGH], high)):
                area = areas[level - low + 1]
                if area > largest[level, 0] or (area == largest[level, 0] and first > largest[level, 1]):
                    largest[level, 0], largest[level, 1], largest[level, 2] = area, first, index
    return largest[:, 2].copy()
