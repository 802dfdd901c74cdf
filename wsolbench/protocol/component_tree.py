"""The best IoU at every level of a quantised map, from component trees; numba compiles it, so it is plain loops.

The foreground at a level is the set of pixels whose value exceeds it. When the level falls from 255 to 0, pixels only
ever join the foreground: components appear at local maxima, grow, and merge at saddles (union-find). Each component
keeps its rectangle, area and first pixel. Before one of these changes, the old state is recorded at all levels at which
it was valid. When the level rises from 0 to 255, the background behaves in the same way. Its components that have not
reached the outside are holes; their pixels are raised to the level at which the hole reaches the outside.

Pixels are added in one order when the level falls (by value, then by raster position) and in the reverse order when it
rises. So one mask of eight bits a pixel tells which neighbours are added before it when the level falls, and the
complement of the mask tells which are added before it when the level rises. Earlier neighbours that touch each other
are in the same component already, so the pixel takes one label from each group of touching neighbours. Components merge
only where there is more than one group.

The map gets a frame of background one pixel wide, and rows whose length is a power of two: the place of a pixel is
`row << shift | column`. Places, labels and tables are unsigned, so that the compiled code need not test for negative
indices. All of it is in one file, because numba recompiles a cached function only when the file of that function
changes.

Source: protocol, "Boxes from a scoremap, at one τ"; component trees as in Najman and Couprie, "Building the component
tree in quasi-linear time", IEEE Transactions on Image Processing 15(11), 2006.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["level_ious"]

Values: TypeAlias = NDArray[np.int16]
Masks: TypeAlias = NDArray[np.uint8]
Places: TypeAlias = NDArray[np.uint32]
Nodes: TypeAlias = NDArray[np.uint32]
Label: TypeAlias = np.uint32
Layout: TypeAlias = tuple[int, int, int]
Counts: TypeAlias = NDArray[np.int64]
Boxes: TypeAlias = NDArray[np.int64]
Curve: TypeAlias = NDArray[np.float64]

_LEVELS: Final = 256
_OUTSIDE: Final = -1

# The neighbours of a pixel as (row, column), clockwise from the north-west; bit i of a mask stands for neighbour i. A
# quad names the three neighbours that form a 2x2 square with the pixel.
_RING: Final = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
_QUADS: Final = ((7, 0, 1), (1, 2, 3), (3, 4, 5), (5, 6, 7))
_NONE: Final = 8

# A component is a row of a table with these columns. Birth is the level from which its present state counts. Instead of
# an area, a hole has the level at which it opens to the outside; `_CLOSED` is above all levels and means "not yet".
_PARENT, _BIRTH, _LEFT, _TOP, _RIGHT, _BOTTOM, _AREA, _FIRST = range(8)
_OPENED: Final = _AREA
_CLOSED: Final = _LEVELS

# The margin between a region and the contour around it, in pixels. Contours consist of foreground: that of a component
# runs along its own outermost pixels, that of a hole along the pixels around it.
_AT: Final = 0
_AROUND: Final = 1


def _is_near(one: int, other: int, reach: int) -> bool:
    """Return whether two neighbours of a pixel touch; reach is 1 for 4-connectivity and 2 for 8-connectivity."""
    rows, columns = (abs(a - b) for a, b in zip(_RING[one], _RING[other], strict=True))
    return max(rows, columns) == 1 and rows + columns <= reach


def _group_table(reach: int) -> NDArray[np.uint8]:
    """Return, for every mask, one neighbour of each group of connected neighbours, then `_NONE`: (256, 5).

    Only groups that touch the pixel count. The cells of a group are connected through cells of the mask, so they are in
    one component before the pixel is added.
    """
    table = np.full((256, 5), _NONE, dtype=np.uint8)  # at most four groups, so every row ends in `_NONE`
    touching = [cell for cell, (y, x) in enumerate(_RING) if abs(y) + abs(x) <= reach]
    for mask in range(256):
        rest = {cell for cell in range(8) if mask >> cell & 1}
        firsts = []
        for first in touching:
            if first in rest:
                firsts.append(first)
                group = {first}
                while group:
                    rest -= group
                    group = {cell for cell in rest if any(_is_near(cell, member, reach) for member in group)}
        table[mask, : len(firsts)] = firsts
    return table


def _area_table() -> NDArray[np.uint8]:
    """Return, for every mask, how much the pixel adds to twice the area of the polygon through the outermost pixels.

    A 2x2 square of pixels contributes 2 with four pixels, 1 with three, and 0 with fewer. A pixel that joins two or
    three others therefore adds 1. The area is doubled to stay an integer.
    """
    gains = [sum(sum(mask >> cell & 1 for cell in quad) >= 2 for quad in _QUADS) for mask in range(256)]
    return np.array(gains, dtype=np.uint8)


_GROUPS_4 = _group_table(1)
_GROUPS_8 = _group_table(2)
_AREA_GAIN = _area_table()


_SIGNATURE = "Tuple((float64[:, ::1], int32[:, ::1]))(uint8[:, ::1], int64[:, ::1])"


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile a function and everything it calls, or load what an earlier process has compiled.

    Numba trusts the files of its cache: if one is damaged, cut off or of another version, it raises whatever reading
    raises. Their index is then written anew, and the function compiled again. If that fails, or numba finds no folder
    that it can write to, every process compiles for itself.
    """
    compile_cached = njit(_SIGNATURE, nogil=True, cache=True)
    with suppress(Exception):
        return compile_cached(function)
    with suppress(Exception):
        uncompiled: Any = njit(nogil=True, cache=True)(function)
        uncompiled._cache.flush()
        return compile_cached(function)
    return njit(_SIGNATURE, nogil=True)(function)


@njit(nogil=True)
def _add_frame(quantised: NDArray[np.uint8]) -> tuple[Values, Layout]:
    """Return the map with its frame, (H + 2, 2 ** shift), and its layout: height, width, shift."""
    height, width = quantised.shape
    shift = 0
    while 1 << shift < width + 2:
        shift += 1
    framed = np.full((height + 2, 1 << shift), _OUTSIDE, dtype=np.int16)
    framed[1 : height + 1, 1 : width + 1] = quantised
    return framed, (height, width, shift)


@njit(nogil=True)
def _find_earlier(framed: Values, layout: Layout) -> Masks:
    """Return, for every place, the mask of the neighbours that are added before it when the level falls."""
    # Of equal values the first in raster order is added first: hence >= for the four neighbours before the pixel in
    # raster order, and > for the four after it. The frame is below all values, so it is never earlier when the level
    # falls, and always earlier when it rises.
    height, width, _ = layout
    masks = np.empty(framed.shape, dtype=np.uint8)  # places in the frame are never read
    for y in range(1, height + 1):
        above, row, below = framed[y - 1], framed[y], framed[y + 1]
        nw, n, ne = above, above[1:], above[2:]
        w, here, e = row, row[1:], row[2:]
        sw, s, se = below, below[1:], below[2:]
        out = masks[y, 1:]
        for x in range(width):
            v = here[x]
            out[x] = (
                (nw[x] >= v)
                | (n[x] >= v) << 1
                | (ne[x] >= v) << 2
                | (e[x] > v) << 3
                | (se[x] > v) << 4
                | (s[x] > v) << 5
                | (sw[x] > v) << 6
                | (w[x] >= v) << 7
            )
    return masks.ravel()


@njit(nogil=True)
def _sort_places(framed: Values, layout: Layout) -> tuple[Places, Counts]:
    """Return the places of all pixels, highest value first and equal values in raster order, by a counting sort.

    Returns:
        (N,) places, and (257,) `following`, the number of pixels with at least each value: the pixels of value v are
        `places[following[v + 1] : following[v]]`.
    """
    height, width, shift = layout
    counts = np.zeros(_LEVELS + 1, dtype=np.int64)
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            counts[framed[y, x]] += 1
    following = counts[::-1].cumsum()[::-1]
    free = following[1:].copy()  # of each value, where the next pixel goes
    order = np.empty(height * width, dtype=np.uint32)
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            value = framed[y, x]
            order[free[value]] = y << shift | x
            free[value] += 1
    return order, following


@njit(nogil=True)
def _steps(layout: Layout) -> NDArray[np.int64]:
    """Return the offset of each neighbour's place from the pixel's place: (8,)."""
    steps = np.empty(8, dtype=np.int64)
    for cell in range(8):
        steps[cell] = _RING[cell][0] * (1 << layout[2]) + _RING[cell][1]
    return steps


@njit(nogil=True)
def _table(layout: Layout) -> Nodes:
    """Return an empty table with room for every component: 8-connected maxima, at most one in each 2x2 square."""
    return np.empty((((layout[0] + 1) // 2) * ((layout[1] + 1) // 2), 8), dtype=np.uint32)


@njit(nogil=True)
def _find_root(nodes: Nodes, label: Label) -> Label:
    """Return the component to which a label belongs now, and halve the path to it."""
    parent = np.uint32(nodes[label, _PARENT])
    while parent != label:
        grandparent = np.uint32(nodes[parent, _PARENT])
        nodes[label, _PARENT] = grandparent
        label, parent = parent, grandparent
    return label


@njit(nogil=True)
def _start(nodes: Nodes, label: Label, level: int, x: int, y: int) -> None:
    """Create a component of one pixel."""
    nodes[label, _PARENT] = label
    nodes[label, _BIRTH] = level
    nodes[label, _LEFT] = nodes[label, _RIGHT] = x
    nodes[label, _TOP] = nodes[label, _BOTTOM] = y


@njit(nogil=True)
def _extend(nodes: Nodes, root: Label, left: int, top: int, right: int, bottom: int) -> None:
    """Extend a component's rectangle to contain another rectangle."""
    nodes[root, _LEFT] = min(nodes[root, _LEFT], left)
    nodes[root, _TOP] = min(nodes[root, _TOP], top)
    nodes[root, _RIGHT] = max(nodes[root, _RIGHT], right)
    nodes[root, _BOTTOM] = max(nodes[root, _BOTTOM], bottom)


@njit(nogil=True)
def _holds(nodes: Nodes, root: Label, left: int, top: int, right: int, bottom: int) -> bool:
    """Return whether a component's rectangle contains another rectangle."""
    across: bool = nodes[root, _LEFT] <= left and right <= nodes[root, _RIGHT]
    down: bool = nodes[root, _TOP] <= top and bottom <= nodes[root, _BOTTOM]
    return across and down


@njit(nogil=True)
def _box(nodes: Nodes, root: Label, margin: int, layout: Layout) -> tuple[int, int, int, int]:
    """Return the box of the contour at `margin` around a component.

    As published, it ends one pixel past the contour, or at the last pixel of the map.
    """
    height, width, _ = layout
    right, bottom = nodes[root, _RIGHT] + margin + 1, nodes[root, _BOTTOM] + margin + 1
    return nodes[root, _LEFT] - margin, nodes[root, _TOP] - margin, min(right, width - 1), min(bottom, height - 1)


@njit(nogil=True, error_model="numpy")
def _best_iou(box: tuple[int, int, int, int], boxes: Boxes) -> float:
    """Return the best intersection over union of a box with the true boxes."""
    # Boxes include their last row and column, hence the + 1. No area is 0, which lets the error model skip its test.
    left, top, right, bottom = box
    best = 0.0
    for index in range(boxes.shape[0]):
        x0, y0, x1, y1 = boxes[index, 0], boxes[index, 1], boxes[index, 2], boxes[index, 3]
        width = min(right, x1) - max(left, x0) + 1
        height = min(bottom, y1) - max(top, y0) + 1
        if width > 0 and height > 0:
            shared = width * height
            union = (right - left + 1) * (bottom - top + 1) + (x1 - x0 + 1) * (y1 - y0 + 1) - shared
            best = max(best, shared / union)
    return best


@njit(nogil=True)
def _enter_box(nodes: Nodes, root: Label, level: int, margin: int, layout: Layout, boxes: Boxes, multi: Curve) -> None:
    """Record the IoU of a component's or hole's box at all levels since its birth, and set its birth to this level.

    Called before the box changes. Changes within one level record nothing after the first, so a box that exists only
    until more pixels of the same value are added never counts.
    """
    birth = nodes[root, _BIRTH]
    if birth != level:
        iou = _best_iou(_box(nodes, root, margin, layout), boxes)
        # A component exceeds the level: its box, born with pixels of value b and changed by pixels of value c < b, was
        # valid at the levels c to b - 1. A hole does not exceed it: with c > b, its box was valid at b to c - 1.
        for held in range(min(birth, level), max(birth, level)):
            multi[held] = max(multi[held], iou)
        nodes[root, _BIRTH] = level


@njit(nogil=True)
def _absorb(
    nodes: Nodes, root: Label, other: Label, level: int, margin: int, layout: Layout, boxes: Boxes, multi: Curve
) -> None:
    """Merge a component or hole into another, and record each box that changes or ends."""
    _enter_box(nodes, other, level, margin, layout, boxes, multi)
    nodes[other, _PARENT] = root
    left, top, right, bottom = nodes[other, _LEFT], nodes[other, _TOP], nodes[other, _RIGHT], nodes[other, _BOTTOM]
    if not _holds(nodes, root, left, top, right, bottom):  # otherwise the box of the root stays the same
        _enter_box(nodes, root, level, margin, layout, boxes, multi)
        _extend(nodes, root, left, top, right, bottom)


@njit(nogil=True)
def _sweep_components(
    order: Places, following: Counts, masks: Masks, layout: Layout, boxes: Boxes, multi: Curve
) -> None:
    """Lower the level, and record every component's best IoU in `multi`.

    Invariant: when the pixels of a value v have been added, the sets of the union-find are the 8-connected components
    of the foreground at level v - 1, each root holds the rectangle of its component, and `multi` is complete for all
    states that ended at level v or above.
    """
    shift = layout[2]
    steps = _steps(layout)
    nodes, labels = _table(layout), np.empty(masks.size, dtype=np.uint32)
    used = np.uint32(0)
    for level in range(_LEVELS - 1, 0, -1):  # pixels of value 0 are in the foreground at no level
        for place in order[following[level + 1] : following[level]]:
            mask = masks[place]
            x, y = (place & ((1 << shift) - 1)) - 1, (place >> shift) - 1  # in the map, without its frame
            if mask == 0:  # no earlier neighbour: a local maximum
                _start(nodes, used, level, x, y)
                labels[place] = used
                used += np.uint32(1)
                continue
            groups = _GROUPS_8[mask]
            root = _find_root(nodes, labels[np.uint32(place + steps[groups[0]])])
            for neighbour in groups[1:]:
                if neighbour == _NONE:
                    break
                other = _find_root(nodes, labels[np.uint32(place + steps[neighbour])])
                if other != root:  # the pixel is a saddle between two components
                    _absorb(nodes, root, other, level, _AT, layout, boxes, multi)
            labels[place] = root
            if not _holds(nodes, root, x, y, x, y):  # a pixel inside the rectangle does not change the box
                _enter_box(nodes, root, level, _AT, layout, boxes, multi)
                _extend(nodes, root, x, y, x, y)
    for label in range(used):  # the states that last down to level 0
        root = np.uint32(label)
        if nodes[root, _PARENT] == root:
            _enter_box(nodes, root, 0, _AT, layout, boxes, multi)


@njit(nogil=True)
def _enter_winner(nodes: Nodes, root: Label, level: int, winners: Nodes) -> None:
    """Record a component at all levels since its birth at which it is the largest so far, and set its birth.

    Of components with equal area the one whose first pixel comes later wins, because OpenCV lists it first.
    """
    area, first = nodes[root, _AREA], nodes[root, _FIRST]
    for held in range(level, nodes[root, _BIRTH]):
        if area > winners[held, _AREA] or (area == winners[held, _AREA] and first > winners[held, _FIRST]):
            for column in range(8):
                winners[held, column] = nodes[root, column]
    nodes[root, _BIRTH] = level


@njit(nogil=True)
def _add_up(nodes: Nodes, root: Label, other: Label) -> None:
    """Merge a component into another, with its area and first pixel."""
    nodes[other, _PARENT] = root
    _extend(nodes, root, nodes[other, _LEFT], nodes[other, _TOP], nodes[other, _RIGHT], nodes[other, _BOTTOM])
    nodes[root, _AREA] += nodes[other, _AREA]
    nodes[root, _FIRST] = min(nodes[root, _FIRST], nodes[other, _FIRST])


@njit(nogil=True)
def _sweep_largest(order: Places, following: Counts, masks: Masks, layout: Layout) -> Nodes:
    """Lower the level on a map without holes, and return the largest component at every level: (256, 8).

    Without holes, the polygon through the outermost pixels of a component encloses exactly its pixels, so that its area
    can be summed over 2x2 squares.

    Invariant: when the pixels of a value v have been added, each root holds rectangle, doubled area and first pixel of
    its component at level v - 1, and `winners` is complete for all states that ended at level v or above.
    """
    shift = layout[2]
    steps = _steps(layout)
    nodes, labels = _table(layout), np.empty(masks.size, dtype=np.uint32)
    winners = np.zeros((_LEVELS, 8), dtype=np.uint32)
    used = np.uint32(0)
    for level in range(_LEVELS - 1, 0, -1):
        for place in order[following[level + 1] : following[level]]:
            mask = masks[place]
            x, y = (place & ((1 << shift) - 1)) - 1, (place >> shift) - 1
            if mask == 0:
                _start(nodes, used, level, x, y)
                nodes[used, _AREA], nodes[used, _FIRST] = 0, place  # the polygon through one pixel has no area
                labels[place] = used
                used += np.uint32(1)
                continue
            groups = _GROUPS_8[mask]
            root = _find_root(nodes, labels[np.uint32(place + steps[groups[0]])])
            if nodes[root, _BIRTH] != level:  # every pixel may change the area, also one inside the rectangle
                _enter_winner(nodes, root, level, winners)
            for neighbour in groups[1:]:
                if neighbour == _NONE:
                    break
                other = _find_root(nodes, labels[np.uint32(place + steps[neighbour])])
                if other != root:
                    _enter_winner(nodes, other, level, winners)
                    _add_up(nodes, root, other)
            labels[place] = root
            if not _holds(nodes, root, x, y, x, y):
                _extend(nodes, root, x, y, x, y)
            nodes[root, _AREA] += _AREA_GAIN[mask]  # all earlier neighbours are in this component by now
            nodes[root, _FIRST] = min(nodes[root, _FIRST], place)
    for label in range(used):
        root = np.uint32(label)
        if nodes[root, _PARENT] == root:
            _enter_winner(nodes, root, 0, winners)
    return winners


@njit(nogil=True)
def _sweep_holes(
    order: Places, following: Counts, masks: Masks, layout: Layout, boxes: Boxes, multi: Curve
) -> tuple[Nodes, Places]:
    """Raise the level, and record every hole's best IoU in `multi`.

    Invariant: when the pixels of a value v have been added, every closed set of the union-find is a hole of the
    foreground at level v, a 4-connected component of the background that does not reach the frame. All other sets are
    part of the outside. They are not merged, so that each keeps the level at which it opened.

    Returns:
        The holes and the label of every place; 0 is the outside.
    """
    shift = layout[2]
    steps = _steps(layout)
    nodes = np.empty((order.size // 2 + 2, 8), dtype=np.uint32)  # the outside, and as many minima as there can be
    labels = np.zeros(masks.size, dtype=np.uint32)  # the frame is the outside
    nodes[0, _PARENT] = nodes[0, _OPENED] = 0
    used = np.uint32(1)
    for level in range(_LEVELS):
        for place in order[following[level + 1] : following[level]][::-1]:  # the exact reverse of the way down
            groups = _GROUPS_4[masks[place] ^ np.uint8(255)]
            x, y = (place & ((1 << shift) - 1)) - 1, (place >> shift) - 1
            if groups[0] == _NONE:  # no earlier neighbour: a local minimum, and not at the border of the map
                _start(nodes, used, level, x, y)
                nodes[used, _OPENED] = _CLOSED
                labels[place] = used
                used += np.uint32(1)
                continue
            root = _find_root(nodes, labels[np.uint32(place + steps[groups[0]])])
            for neighbour in groups[1:]:
                if neighbour == _NONE:
                    break
                other = _find_root(nodes, labels[np.uint32(place + steps[neighbour])])
                if other != root:
                    root = _join_holes(nodes, root, other, level, layout, boxes, multi)
            labels[place] = root
            # An open set has no box. Its new pixel has at least the value at which it opened, so filling keeps it.
            if nodes[root, _OPENED] == _CLOSED and not _holds(nodes, root, x, y, x, y):
                _enter_box(nodes, root, level, _AROUND, layout, boxes, multi)
                _extend(nodes, root, x, y, x, y)
    return nodes[:used], labels


@njit(nogil=True)
def _join_holes(
    nodes: Nodes, root: Label, other: Label, level: int, layout: Layout, boxes: Boxes, multi: Curve
) -> Label:
    """Merge two holes, or open a hole that meets the outside, and return the set of the pixel that connects them.

    Open holes are not merged: each keeps the level at which it opened.
    """
    if nodes[root, _OPENED] != _CLOSED:
        root, other = other, root
    if nodes[root, _OPENED] != _CLOSED:  # both are open
        return other
    if nodes[other, _OPENED] == _CLOSED:  # both are closed
        _absorb(nodes, root, other, level, _AROUND, layout, boxes, multi)
        return root
    # The root is closed and the other is open: the hole ends here.
    _enter_box(nodes, root, level, _AROUND, layout, boxes, multi)
    nodes[root, _OPENED] = level
    return other


@njit(nogil=True)
def _fill_holes(framed: Values, layout: Layout, nodes: Nodes, labels: Places) -> bool:
    """Raise the pixels of every hole to the level at which it opens, and return whether there was any hole."""
    # Below that level the hole is enclosed, so its pixels count as foreground; at that level they are outside. At the
    # highest value all pixels are background, so every hole has opened by then.
    opened = np.empty(len(nodes), dtype=np.int16)
    for label in range(len(nodes)):
        opened[label] = nodes[_find_root(nodes, np.uint32(label)), _OPENED]
    height, width, shift = layout
    filled = False
    for y in range(1, height + 1):
        row, of_row = framed[y], labels[y << shift : (y + 1) << shift]
        for x in range(1, width + 1):
            level = opened[of_row[x]]
            if level > row[x]:
                row[x] = level
                filled = True
    return filled


@_compiled
def level_ious(quantised: NDArray[np.uint8], boxes: Boxes) -> tuple[Curve, NDArray[np.int32]]:
    """Return the best IoU at every level, for the largest contour and for all contours, and the box of the largest.

    Args:
        quantised: (H, W) uint8, C-contiguous, H and W at least 1.
        boxes: (n, 4) int64, C-contiguous, true boxes in pixels of the map.

    Returns:
        (2, 256) float64 in [0, 1]: single- and multi-contour mode; and (256, 4), the box of the largest contour. At the
        map's maximum and above there is no foreground, and the box is [0, 0, 0, 0].
    """
    framed, layout = _add_frame(quantised)
    highest = int(quantised.max())
    curves = np.zeros((2, _LEVELS))
    single, multi = curves
    order, following = _sort_places(framed, layout)
    masks = _find_earlier(framed, layout)
    # OpenCV traces the contours of components and of holes, and all of them count in multi-contour mode.
    _sweep_components(order, following, masks, layout, boxes, multi)
    nodes, labels = _sweep_holes(order, following, masks, layout, boxes, multi)
    # The largest contour is an outer one, whose area includes the holes: fill them, and sort again if any changed.
    if _fill_holes(framed, layout, nodes, labels):
        order, following = _sort_places(framed, layout)
        masks = _find_earlier(framed, layout)
    winners = _sweep_largest(order, following, masks, layout)
    largest = np.zeros((_LEVELS, 4), dtype=np.int32)
    for level in range(highest):
        box = _box(winners, np.uint32(level), _AT, layout)
        single[level] = _best_iou(box, boxes)
        largest[level, 0], largest[level, 1], largest[level, 2], largest[level, 3] = box
    curves[:, highest:] = _best_iou((0, 0, 0, 0), boxes)
    return curves, largest
