"""What surrounds a critter: noisy ground, leaves and the like, and headless decoys.

Nothing here knows the class of the picture, so that the background cannot tell it.
"""

import math
from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .anatomy import build_trunk, choose_coat, coat_pattern
from .palette import COATS, between, hsv, scenery_colour, shaded
from .strokes import Stroke, inked, point_on
from .traits import PATTERNS

__all__ = ["build_scenery", "draw_ground"]

_COARSE, _FINE = 5, 22  # cells of value noise along a side
_SEE_THROUGH = 0.88


def _interpolation(cells: int, size: int) -> NDArray[np.float32]:
    """Weights of a cubic B-spline that spreads values at ``cells + 3`` knots over ``size`` pixels.

    They are whole multiples of 1/64. With whole values up to 255 every product and sum below is exact in single
    precision, so that a matrix library may add in any order and still give the same pixels.
    """
    position = (np.arange(size) + 0.5) * cells / size
    knot = np.floor(position).astype(np.intp)
    part = position - knot
    basis = np.stack(
        [
            (1.0 - part) ** 3,
            3.0 * part**3 - 6.0 * part**2 + 4.0,
            -3.0 * part**3 + 3.0 * part**2 + 3.0 * part + 1.0,
            part**3,
        ]
    )
    upto = np.rint(np.cumsum(basis, axis=0) * (64.0 / 6.0))  # rounding the running sum keeps the total at one
    weights = np.zeros((size, cells + 3), dtype=np.float32)
    for tap, weight in enumerate(np.diff(upto, axis=0, prepend=0.0)):
        weights[np.arange(size), knot + tap] = weight / 64.0
    return weights


def _value_noise(rng: Generator, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Noise in [-0.5, 0.5], shape (size, size)."""
    knots = np.floor(rng.random((weights.shape[1], weights.shape[1])) * 256.0).astype(np.float32)
    noise = np.asarray(weights @ knots @ weights.T, dtype=np.float32)
    return noise * np.float32(1.0 / 255.0) - np.float32(0.5)


@cache
def _scales(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return _interpolation(_COARSE, size), _interpolation(_FINE, size)


def draw_ground(rng: Generator, size: int) -> NDArray[np.float32]:
    """Draw two scales of value noise between random colours.

    Args:
        rng: Source of randomness.
        size: Pixels along a side.

    Returns:
        RGB in about [0, 1], shape (3, size, size).
    """
    hue = float(rng.random())
    first = np.array(hsv(hue, between(rng, 0.15, 0.45), between(rng, 0.35, 0.8)), dtype=np.float32)
    other = np.array(
        hsv(hue + between(rng, -0.3, 0.3), between(rng, 0.15, 0.45), between(rng, 0.35, 0.8)), dtype=np.float32
    )
    coarse, fine = (_value_noise(rng, weights) for weights in _scales(size))
    share = np.float32(0.5) + np.float32(1.5) * coarse
    tone = np.float32(0.3) * fine
    return np.stack([a + share * (b - a) + tone for a, b in zip(first, other, strict=True)])


def build_scenery(rng: Generator, size: int) -> list[Stroke]:
    """Draw what lies on the ground as strokes, in pixels of a square picture, those further below first."""
    items = [_pebble(rng, size) for _ in range(_count(rng, 2, 5))]
    items += [_leaf(rng, size) for _ in range(_count(rng, 8, 15))]
    items += [_twig(rng, size) for _ in range(_count(rng, 1, 3))]
    items += [_tuft(rng, size) for _ in range(_count(rng, 2, 4))]
    order = np.argsort(rng.random(len(items)), kind="stable").tolist()
    decoys = [_decoy(rng, size) for _ in range(_count(rng, 1, 2))]
    # Half of the scenery lies below the decoys and half above.
    half = len(items) // 2
    arranged = [items[number] for number in order[:half]] + decoys + [items[number] for number in order[half:]]
    return [stroke for item in arranged for stroke in item]


def _count(rng: Generator, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    return low + int(rng.random() * (high - low + 1))


def _leaf(rng: Generator, size: int) -> list[Stroke]:
    x, y, heading, turn, length, width = rng.random(6).tolist()
    colour = scenery_colour(rng)
    length = (0.085 + 0.10 * length) * size
    blade = Stroke(
        x * size,
        y * size,
        2.0 * math.pi * heading,
        1.4 * (turn - 0.5),
        length,
        0.4,
        0.4,
        (0.16 + 0.12 * width) * length,
        colour,
        _SEE_THROUGH,
    )
    rib = blade._replace(r0=0.7, r1=0.4, bulge=0.0, length=0.85 * length, colour=shaded(colour, 0.65))
    return [blade, rib]


def _pebble(rng: Generator, size: int) -> list[Stroke]:
    x, y, heading, radius, length, value = rng.random(6).tolist()
    colour = scenery_colour(rng) if value < 0.4 else hsv(0.1, 0.08, 0.2 + 0.6 * value)
    radius = (0.018 + 0.025 * radius) * size
    angle = 2.0 * math.pi * heading
    stone = Stroke(x * size, y * size, angle, 0.0, length * radius, radius, radius, 0.0, colour, _SEE_THROUGH)
    gleam = stone._replace(r0=0.55 * radius, r1=0.55 * radius, colour=shaded(colour, 0.75, 1.0))
    return [stone._replace(r0=radius + 1.5, r1=radius + 1.5, colour=shaded(colour, 0.5)), stone, gleam]


def _twig(rng: Generator, size: int) -> list[Stroke]:
    x, y, heading, turn, length, fork = rng.random(6).tolist()
    colour = hsv(between(rng, 0.05, 0.12), 0.4, between(rng, 0.22, 0.5))
    angle, length = 2.0 * math.pi * heading, (0.15 + 0.2 * length) * size
    stem = Stroke(x * size, y * size, angle, 0.8 * (turn - 0.5), length, 2.4, 1.2, 0.0, colour, _SEE_THROUGH)
    bx, by, direction = point_on(stem, 0.35 + 0.3 * fork)
    lean = 0.7 if turn < 0.5 else -0.7
    return [stem, Stroke(bx, by, direction + lean, 0.0, 0.35 * length, 1.6, 1.0, 0.0, colour, _SEE_THROUGH)]


def _tuft(rng: Generator, size: int) -> list[Stroke]:
    x, y, heading = rng.random(3).tolist()
    colour = scenery_colour(rng)
    blades = []
    for number in range(4):
        a, b, c = rng.random(3).tolist()
        angle = 2.0 * math.pi * heading + 0.35 * (number - 1.5) + 0.2 * (a - 0.5)
        length = (0.08 + 0.07 * b) * size
        shade = shaded(colour, 0.75 + 0.25 * c)
        blades.append(Stroke(x * size, y * size, angle, c - 0.5, length, 2.2, 0.4, 0.0, shade, _SEE_THROUGH))
    return blades


def _decoy(rng: Generator, size: int) -> list[Stroke]:
    """A patterned body without head and limbs, its coat drawn at random."""
    coat = choose_coat(rng, int(rng.random() * len(COATS)))
    trunk = build_trunk(rng, coat, 1.3)
    pattern = coat_pattern(rng, trunk, coat, int(rng.random() * len(PATTERNS)))
    strokes = [*inked([trunk], coat.ink, 0.03), *pattern]
    x, y, heading, scale = rng.random(4).tolist()
    return [_placed(s, x * size, y * size, 2.0 * math.pi * heading, (0.25 + 0.3 * scale) * size) for s in strokes]


def _placed(stroke: Stroke, x: float, y: float, angle: float, scale: float) -> Stroke:
    """Turn and enlarge a stroke about the origin, then move the origin to (x, y)."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return Stroke(
        x + cos * stroke.x - sin * stroke.y,
        y + sin * stroke.x + cos * stroke.y,
        stroke.heading + angle,
        stroke.turn,
        scale * stroke.length,
        scale * stroke.r0,
        scale * stroke.r1,
        scale * stroke.bulge,
        stroke.colour,
        stroke.opacity,
    )
