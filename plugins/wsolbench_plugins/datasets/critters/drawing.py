"""Draw a critter: a small animal in the undergrowth, its class shown by an ornament on its head.

Everything is drawn at twice the size, without antialiasing, and reduced by averaging blocks of 2×2 pixels. Randomness
comes from uniform numbers alone and polygon corners are rounded to a sixteenth of a pixel, so that pixels do not depend
on the machine.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from .anatomy import build_critter
from .background import build_scenery, draw_ground
from .strokes import Stroke, outlines, paint
from .traits import CLASS_NAMES, CUE, Traits, choose_traits

__all__ = ["CLASS_NAMES", "CUE", "GENERATOR_VERSION", "IMAGE_SIZE", "Drawing", "draw", "traits_of"]

IMAGE_SIZE = 96
"""Pixels along a side of a picture."""

GENERATOR_VERSION = 1
"""To be raised whenever a pixel changes."""

_FACTOR = 2
_CANVAS = _FACTOR * IMAGE_SIZE
# The long side of the outlines. Tips lose a little to the pixel grid and half covered blocks count as whole; the
# margins keep the box between 0.40 and 0.90 whatever the orientation.
_SMALLEST, _LARGEST = 0.40 * IMAGE_SIZE + 1.0, 0.90 * IMAGE_SIZE - 1.6
_MARGIN = 1.0  # canvas pixels that stay free along the border
_UNIT = 16383.0  # four of it fit in 16 bits
_SLOPE = np.linspace(-1.0, 1.0, IMAGE_SIZE, dtype=np.float32)

_Number = TypeVar("_Number", np.uint8, np.uint64)


@dataclass(frozen=True)
class Drawing:
    """A picture with everything known about it.

    Attributes:
        image: RGB, shape (96, 96, 3).
        mask: The visible pixels of the critter, shape (96, 96).
        label: Index into ``CLASS_NAMES``.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    label: int

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """The tight box of the mask, (x0, y0, x1, y1) in pixels, corners included."""
        columns = np.flatnonzero(self.mask.any(axis=0))
        rows = np.flatnonzero(self.mask.any(axis=1))
        return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def draw(index: int, *, split: int, seed: int = 0, cue: float = CUE) -> Drawing:
    """Draw one picture; a pure function of its arguments.

    The long side of the box takes from 0.40 to 0.90 of the picture (39 to 86 pixels), small ones being more common, and
    the critter lies inside it.
    Changing ``cue`` changes the coats, feet and tail tips of some critters and nothing else, not even a mask.

    Args:
        index: Number of the picture in its split, 0 or more; the label is ``index % 12``.
        split: Number of the split, 0 or more.
        seed: Number of the data set, 0 or more.
        cue: Probability that coat pattern, coat hue and feet each agree with the class.

    Returns:
        The picture, the mask and the label.

    Raises:
        ValueError: If ``cue`` is not a probability, or a number is negative.
    """
    rng, label, traits = _begin(index, split, seed, cue)
    ground = draw_ground(rng, IMAGE_SIZE)
    scenery = build_scenery(rng, _CANVAS)
    pose, light, noise = rng.random(5), _light(rng), _noise(rng)
    # Last to draw from the generator: coat patterns take more numbers or fewer, and all else stays when a cue changes.
    critter = build_critter(rng, traits)
    seen = np.zeros((_CANVAS, _CANVAS), dtype=np.uint8)
    paint(seen, np.concatenate([outlines(scenery), _posed(pose, outlines(critter))]))
    colours = _coloured(ground, seen, scenery + critter)
    covered = _block_sums((seen > len(scenery)).view(np.uint8))
    return Drawing(_developed(colours * light + noise), covered >= _FACTOR**2 // 2, label)


def traits_of(index: int, *, split: int, seed: int = 0, cue: float = CUE) -> Traits:
    """What the critter of :func:`draw` looks like, without drawing it; same arguments."""
    return _begin(index, split, seed, cue)[2]


def _begin(index: int, split: int, seed: int, cue: float) -> tuple[Generator, int, Traits]:
    if min(index, split, seed) < 0:
        raise ValueError(f"index, split and seed must be 0 or more, got {index}, {split} and {seed}")
    if not 0.0 <= cue <= 1.0:
        raise ValueError(f"cue must be a probability from 0 to 1, got {cue}")
    rng = Generator(PCG64([seed, split, index]))
    label = index % len(CLASS_NAMES)
    return rng, label, choose_traits(rng, label, cue)


def _posed(pose: NDArray[np.float64], polygons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn, perhaps mirror, enlarge and move a critter so that it lies inside the canvas.

    Args:
        pose: Orientation, mirror, size and place across and down, each uniform in [0, 1), shape (5,).
        polygons: Outlines in body lengths, shape (strokes, corners, 2).

    Returns:
        Outlines in canvas pixels, same shape.
    """
    angle, mirror, size, *place = pose.tolist()
    cos, sin = math.cos(2.0 * math.pi * angle), math.sin(2.0 * math.pi * angle)
    x, y = polygons[..., 0], polygons[..., 1] * (1.0 if mirror < 0.5 else -1.0)
    turned = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
    low, high = turned.min(axis=(0, 1)), turned.max(axis=(0, 1))
    side = _SMALLEST + (_LARGEST - _SMALLEST) * size * size * size  # tuned: see Critters
    scale = _FACTOR * side / float((high - low).max())
    room = _CANVAS - 1.0 - 2.0 * _MARGIN - scale * (high - low)
    placed: NDArray[np.float64] = scale * (turned - low) + (_MARGIN + room * np.array(place))
    return placed


def _coloured(ground: NDArray[np.float32], seen: NDArray[np.uint8], strokes: list[Stroke]) -> NDArray[np.float32]:
    """Give each pixel the mean colour of the strokes that are seen there, over the ground.

    The red, green and blue of a stroke, times its opacity, and its transparency are whole numbers in the four 16-bit
    lanes of one 64-bit word, so that a block of canvas pixels is averaged by adding words.

    Returns:
        RGB in about [0, 1], shape (3, 96, 96).
    """
    paints = np.zeros((len(strokes) + 1, 4))
    paints[1:, :3] = [s.colour for s in strokes]
    opacity = np.array([0.0, *(s.opacity for s in strokes)])
    paints[:, :3] *= opacity[:, None]
    paints[:, 3] = 1.0 - opacity
    words: NDArray[np.uint64] = np.rint(paints * _UNIT).astype(np.uint16).view(np.uint64)[:, 0]
    lanes = _block_sums(words.take(seen)).view(np.uint16).reshape(IMAGE_SIZE, IMAGE_SIZE, 4)
    shares = np.moveaxis(lanes, -1, 0).astype(np.float32, order="C") * np.float32(1.0 / (_FACTOR**2 * _UNIT))
    colours: NDArray[np.float32] = shares[:3] + shares[3] * ground
    return colours


def _block_sums(canvas: NDArray[_Number]) -> NDArray[_Number]:
    """Add up blocks of 2×2 pixels."""
    rows = canvas[0::2] + canvas[1::2]
    return rows[:, 0::2] + rows[:, 1::2]


def _light(rng: Generator) -> NDArray[np.float32]:
    """Light that fades across the picture, about 1, shape (96, 96)."""
    across, down = (0.36 * (rng.random(2) - 0.5)).astype(np.float32)
    light: NDArray[np.float32] = np.float32(1.0) + across * _SLOPE[None, :] + down * _SLOPE[:, None]
    return light


def _noise(rng: Generator) -> NDArray[np.float32]:
    """Pixel noise about 0, shape (3, 96, 96)."""
    noise = rng.random((3, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
    return np.float32(0.07) * (noise - np.float32(0.5))


def _developed(colours: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round to bytes and put the channels last."""
    levels = np.clip(colours * np.float32(255.0) + np.float32(0.5), 0.0, 255.0).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(levels, 0, -1))
