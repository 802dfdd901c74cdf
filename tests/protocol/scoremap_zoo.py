"""Small maps of every awkward kind, drawn from a generator."""

import cv2
import numpy as np

KINDS = (
    "noise",
    "plateaus",
    "ties",
    "constant",
    "ring",
    "nested",
    "blobs",
    "sparse",
    "smooth",
    "zero",
    "spiral",
    "comb",
    "one pixel",
    "all but one pixel",
)


def draw_shape(rng):
    height, width = (int(v) for v in rng.integers(1, 41, size=2))
    thin = rng.integers(8)
    return (1, width) if thin == 0 else (height, 1) if thin == 1 else (height, width)


def draw_map(rng, kind, shape=None):
    height, width = shape or draw_shape(rng)
    rows, columns = np.mgrid[0:height, 0:width]
    if kind == "noise":
        scores = rng.random((height, width))
    elif kind == "plateaus":
        scores = rng.integers(0, 4, (height, width)) / 3
    elif kind == "ties":
        scores = (rng.random((height, width)) < 0.4) * rng.choice([0.2, 0.7, 1.0])
    elif kind == "constant":
        scores = np.full((height, width), rng.random())
    elif kind in ("ring", "nested"):
        distance = np.maximum(abs(rows - height // 2), abs(columns - width // 2))
        step = 2 if kind == "ring" else 1
        scores = ((distance // step) % 2) * (0.3 + 0.7 * rng.random((height, width)).round(1))
    elif kind == "blobs":
        scores = np.zeros((height, width))
        for _ in range(5):
            y, x = rng.integers(height), rng.integers(width)
            scores[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = rng.choice([0.4, 0.5, 1.0])
    elif kind == "sparse":
        scores = rng.random((height, width)) * (rng.random((height, width)) < 0.1)
    elif kind == "spiral":
        scores = spiral(height, width) * (0.2 + 0.8 * rng.random((height, width)).round(1))
    elif kind == "comb":
        teeth = (columns % 2 == 0) | (rows == rng.integers(height))
        scores = np.where(teeth, rng.choice([0.5, 1.0], (height, width)), rng.choice([0.0, 0.1]))
    elif kind in ("one pixel", "all but one pixel"):
        scores = np.zeros((height, width)) if kind == "one pixel" else np.full((height, width), 0.6)
        scores[rng.integers(height), rng.integers(width)] = 1.0 if kind == "one pixel" else rng.choice([0.0, 0.59, 1.0])
    elif kind == "smooth":
        scores = np.clip(cv2.resize(rng.random((5, 5)), (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    else:
        scores = np.zeros((height, width))
    return scores.astype(np.float32 if rng.integers(2) else np.float64)


def spiral(height, width):
    """Return a map (H, W) of 0 and 1: one path, a pixel wide, from the first pixel to the middle."""
    scores = np.zeros((height, width))
    y, x, down, right = 0, 0, 0, 1
    scores[0, 0] = 1
    for _ in range(height * width):
        ahead = (y + down, x + right)
        beyond = (y + 2 * down, x + 2 * right)
        free = 0 <= ahead[0] < height and 0 <= ahead[1] < width and not scores[ahead]
        clear = not (0 <= beyond[0] < height and 0 <= beyond[1] < width) or not scores[beyond]
        if free and clear:
            y, x = ahead
            scores[y, x] = 1
        else:
            down, right = right, -down
    return scores


def in_other_forms(array, folder):
    """Yield the same numbers in every form that an array may come in, with its name."""
    order = ">" if array.dtype.newbyteorder("=").isnative else "<"
    yield "big-endian", array.astype(array.dtype.newbyteorder(order))
    yield "Fortran order", np.asfortranarray(array)
    yield "negative strides", array[::-1, ::-1].copy()[::-1, ::-1]
    yield "every second column", np.repeat(array, 2, axis=1)[:, ::2]
    unaligned = np.zeros(array.nbytes + 1, dtype=np.uint8)[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    yield "unaligned", unaligned
    read_only = array.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only
    np.save(folder / "map.npy", array)
    yield "memory-mapped", np.load(folder / "map.npy", mmap_mode="r")
    yield "a subclass", array.view(np.matrix) if array.ndim == 2 else array


def draw_boxes(rng, size, count=None):
    width, height = size
    count = count or int(rng.integers(1, 6))
    x = np.sort(rng.integers(0, width, (count, 2)), axis=1)
    y = np.sort(rng.integers(0, height, (count, 2)), axis=1)
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)


def realistic_map(seed, side=12):
    rng = np.random.default_rng(seed)
    scores = cv2.resize(rng.random((side, side)), (224, 224), interpolation=cv2.INTER_CUBIC)
    return (scores - scores.min()) / (scores.max() - scores.min())


def paint(shape, strokes, dtype=np.float64):
    """Return a map of levels: each stroke (row, column, height, width, filled, level) is a rectangle or its outline."""
    scores = np.zeros(shape, dtype=dtype)
    for y, x, height, width, filled, level in strokes:
        core = np.s_[y + 1 : y + height - 1, x + 1 : x + width - 1]
        inside = scores[core].copy()
        scores[y : y + height, x : x + width] = level
        if not filled:
            scores[core] = inside
    return scores
