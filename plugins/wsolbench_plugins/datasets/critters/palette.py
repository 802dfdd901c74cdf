"""The colours of critters and of what surrounds them."""

import colorsys

from numpy.random import Generator

__all__ = ["COATS", "MARKS", "Colour", "between", "hsv", "jittered", "scenery_colour", "shaded"]

Colour = tuple[float, float, float]

MARKS: dict[str, Colour] = {
    "red": (0.985, 0.84, 0.90),
    "yellow": (0.145, 0.88, 0.98),
    "blue": (0.605, 0.86, 0.92),
}
"""Hue, saturation and value of the mark colours, in label order."""

COATS: tuple[Colour, ...] = ((0.44, 0.42, 0.70), (0.78, 0.38, 0.66), (0.075, 0.48, 0.80))
"""The same of the coat for each mark colour: sea green, lilac and tan, from which the marks stand out."""

_NATURAL: tuple[Colour, ...] = ((0.27, 0.45, 0.52), (0.20, 0.42, 0.60), (0.09, 0.38, 0.48), (0.34, 0.35, 0.42))
_SHARED = 0.5  # how much of the scenery is in colours that critters have


def between(rng: Generator, low: float, high: float) -> float:
    """A uniform number in [low, high)."""
    return low + (high - low) * float(rng.random())


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Convert to RGB; the hue wraps around, the others are clipped to [0, 1]."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def jittered(rng: Generator, colour: Colour, *, hue: float, tone: float) -> Colour:
    """Vary a hue-saturation-value triple by at most ``hue`` and ``tone`` and convert it to RGB."""
    h, s, v = (2.0 * rng.random(3) - 1.0).tolist()
    return hsv(colour[0] + hue * h, colour[1] + tone * s, colour[2] + tone * v)


def shaded(colour: Colour, factor: float, towards: float = 0.0) -> Colour:
    """Mix an RGB colour with grey ``towards``; ``factor`` is the share of the colour that stays."""
    red, green, blue = (factor * channel + (1.0 - factor) * towards for channel in colour)
    return red, green, blue


def scenery_colour(rng: Generator) -> Colour:
    """An RGB colour for a leaf or a pebble: from nature or, as often, any colour that some critter has.

    All mark and coat colours are equally likely in pictures of every class, so that the background does not tell it.
    """
    shared = (*MARKS.values(), *COATS)
    choice, which = rng.random(2).tolist()
    if choice < _SHARED:
        h, s, v = shared[int(which * len(shared))]
        return jittered(rng, (h, 0.85 * s, 0.85 * v), hue=0.02, tone=0.1)
    return jittered(rng, _NATURAL[int(which * len(_NATURAL))], hue=0.03, tone=0.1)
