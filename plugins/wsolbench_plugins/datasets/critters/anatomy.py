"""The body of a critter, seen from the side, as strokes.

The frame: x forward, y upward, the trunk about one unit long with its middle near the origin. The painter turns,
mirrors and scales it.
"""

import math
from typing import NamedTuple

from numpy.random import Generator

from .palette import COATS, MARKS, Colour, between, hsv, jittered, shaded
from .strokes import Stroke, inked, point_on
from .traits import COLOURS, HEADS, PATTERNS, Traits

__all__ = ["Coat", "build_critter", "build_trunk", "choose_coat", "coat_pattern"]

_INK = 0.03  # width of the contour in body lengths
_CAMOUFLAGE = 0.15  # share of the ground that shines through a coat
_FUR = 1.0 - _CAMOUFLAGE
_DOWN = -0.5 * math.pi


class Coat(NamedTuple):
    """The colours of a coat, RGB."""

    base: Colour
    belly: Colour
    pattern: Colour
    far: Colour
    ink: Colour


class _Skull(NamedTuple):
    """Where a head is, how large it is and where it looks."""

    x: float
    y: float
    radius: float
    facing: float

    def at(self, angle: float, distance: float) -> tuple[float, float]:
        """A place ``distance`` radii from the middle, ``angle`` to the left of where the head looks."""
        direction = self.facing + angle
        return (
            self.x + self.radius * distance * math.cos(direction),
            self.y + self.radius * distance * math.sin(direction),
        )


def choose_coat(rng: Generator, kind: int) -> Coat:
    """Draw the colours of a coat of the given kind, an index into ``COATS``."""
    base = jittered(rng, COATS[kind], hue=0.025, tone=0.07)
    return Coat(base, shaded(base, 0.7, 1.0), shaded(base, 0.5), shaded(base, 0.72), shaded(base, 0.24))


def build_trunk(rng: Generator, coat: Coat, bend: float) -> Stroke:
    """A trunk that is bent by at most ``bend`` radians either way."""
    turn = between(rng, -bend, bend)
    length, r0, r1, bulge = 0.66, between(rng, 0.165, 0.195), between(rng, 0.155, 0.185), between(rng, -0.01, 0.02)
    rise = 0.125 * length * turn  # the rise of the arc, so that its middle is at the origin
    return Stroke(-0.5 * length, rise, -0.5 * turn, turn, length, r0, r1, bulge, coat.base, _FUR)


def coat_pattern(rng: Generator, trunk: Stroke, coat: Coat, pattern: int) -> list[Stroke]:
    """Draw the belly and a coat pattern, an index into ``PATTERNS``, inside a trunk."""
    makers = {"plain": _plain, "bands": _bands, "spots": _spots, "saddle": _saddle}
    belly = _lengthwise(trunk, 0.02, 0.98, -0.62, 0.33, coat.belly)
    return [belly, *makers[PATTERNS[pattern]](rng, trunk, coat.pattern)]


def _lengthwise(trunk: Stroke, start: float, stop: float, side: float, width: float, colour: Colour) -> Stroke:
    """A patch along the trunk, ``side`` of its centre line and ``width`` radii to either side of that."""
    x, y, heading = point_on(trunk, start, side)
    x1, y1, heading1 = point_on(trunk, stop, side)
    turn = heading1 - heading
    chord = math.hypot(x1 - x, y1 - y)
    length = chord * (0.5 * turn / math.sin(0.5 * turn) if turn else 1.0)
    r0, r1 = width * trunk.radius(start), width * trunk.radius(stop)
    return Stroke(x, y, heading, turn, length, r0, r1, width * trunk.bulge, colour, _FUR)


def _plain(rng: Generator, trunk: Stroke, colour: Colour) -> list[Stroke]:
    del rng, trunk, colour
    return []


def _bands(rng: Generator, trunk: Stroke, colour: Colour) -> list[Stroke]:
    count = 4
    shift = between(rng, -0.03, 0.03)
    bands = []
    for number in range(count):
        along = shift + (number + 0.5) / count * 1.16 - 0.08
        width = between(rng, 0.036, 0.048)
        reach = 1.0 - width / trunk.radius(along)
        x, y, heading = point_on(trunk, along, -reach)
        length = 2.0 * reach * trunk.radius(along)
        bands.append(Stroke(x, y, heading + 0.5 * math.pi + 0.25, -0.5, length, width, width, 0.0, colour, _FUR))
    return bands


def _spots(rng: Generator, trunk: Stroke, colour: Colour) -> list[Stroke]:
    spots = []
    for number in range(9):
        a, b, c = rng.random(3).tolist()
        along = -0.06 + 1.12 * (number + 0.35 + 0.3 * a) / 9
        side = (-0.5, 0.45, 0.0)[number % 3] + 0.2 * (b - 0.5)
        x, y, _ = point_on(trunk, along, side)
        size = 0.042 + 0.014 * c
        spots.append(Stroke(x, y, 0.0, 0.0, 0.0, size, size, 0.0, colour, _FUR))
    return spots


def _saddle(rng: Generator, trunk: Stroke, colour: Colour) -> list[Stroke]:
    start, stop = between(rng, 0.12, 0.22), between(rng, 0.78, 0.88)
    return [_lengthwise(trunk, start, stop, 0.44, 0.52, colour)]


def build_critter(rng: Generator, traits: Traits) -> list[Stroke]:
    """Draw the strokes of a critter, those further away first."""
    coat = choose_coat(rng, traits.coat)
    mark = jittered(rng, MARKS[COLOURS[traits.colour]], hue=0.015, tone=0.06)
    feet = jittered(rng, MARKS[COLOURS[traits.feet]], hue=0.015, tone=0.06)
    trunk = build_trunk(rng, coat, 0.6)
    skull, neck = _neck(rng, trunk, coat)
    behind, before = _ornament(rng, HEADS[traits.head], skull, mark, coat)
    far, near = _limbs(rng, trunk, coat, feet)
    head = Stroke(skull.x, skull.y, 0.0, 0.0, 0.0, skull.radius, skull.radius, 0.0, coat.base, _FUR)
    return [
        *inked(far, coat.ink, _INK),
        *inked(_tail(rng, trunk, coat, feet), coat.ink, _INK),
        *inked(behind, coat.ink, _INK),
        *inked([*near, trunk, neck, head, *_muzzle(skull, traits, coat)], coat.ink, _INK),
        *coat_pattern(rng, trunk, coat, traits.pattern),
        *before,
        *_eye(skull),
    ]


def _neck(rng: Generator, trunk: Stroke, coat: Coat) -> tuple[_Skull, Stroke]:
    x, y, heading = point_on(trunk, 1.0)
    rise = 0.5 * heading + between(rng, 0.65, 1.15)
    radius = between(rng, 0.17, 0.20)
    neck = Stroke(x, y, rise, 0.0, between(rng, 0.24, 0.32), 0.14, 0.11, 0.0, coat.base, _FUR)
    x, y, _ = point_on(neck, 1.0)
    return _Skull(x, y, radius, between(rng, -0.25, 0.3)), neck


def _muzzle(skull: _Skull, traits: Traits, coat: Coat) -> list[Stroke]:
    """The snout of every critter that has no beak."""
    if HEADS[traits.head] == "beak":
        return []
    x, y = skull.at(-0.5, 0.55)
    length, r0, r1 = 0.7 * skull.radius, 0.5 * skull.radius, 0.4 * skull.radius
    return [Stroke(x, y, skull.facing - 0.1, 0.0, length, r0, r1, 0.0, coat.base, _FUR)]


def _eye(skull: _Skull) -> list[Stroke]:
    x, y = skull.at(0.35, 0.36)
    px, py = skull.at(0.3, 0.46)
    white, black = hsv(0.0, 0.0, 0.97), hsv(0.65, 0.4, 0.08)
    return [
        Stroke(x, y, 0.0, 0.0, 0.0, 0.42 * skull.radius, 0.42 * skull.radius, 0.0, white),
        Stroke(px, py, 0.0, 0.0, 0.0, 0.25 * skull.radius, 0.25 * skull.radius, 0.0, black),
    ]


def _tail(rng: Generator, trunk: Stroke, coat: Coat, tip: Colour) -> list[Stroke]:
    x, y, heading = point_on(trunk, 0.0, 0.2)
    heading += math.pi - between(rng, -0.2, 0.9)
    turn, length = between(rng, -1.9, 1.1), between(rng, 0.42, 0.56)
    tail = Stroke(x, y, heading, turn, length, 0.075, 0.05, 0.0, coat.base, _FUR)
    x, y, heading = point_on(tail, 1.0)
    return [tail, Stroke(x, y, heading, 0.0, 0.1, 0.085, 0.055, 0.015, tip)]


def _limbs(rng: Generator, trunk: Stroke, coat: Coat, feet: Colour) -> tuple[list[Stroke], list[Stroke]]:
    """Two limbs on the far side and two on the near side, in step with one another."""
    far: list[Stroke] = []
    near: list[Stroke] = []
    for along, knee in ((0.02, 0.45), (0.98, -0.35)):
        swing = between(rng, 0.2, 0.55) * (1.0 if rng.random() < 0.5 else -1.0)
        far += _limb(rng, trunk, along, swing, knee, coat.far, shaded(feet, 0.75))
        near += _limb(rng, trunk, along, -swing, knee, coat.base, feet)
    return far, near


def _limb(
    rng: Generator, trunk: Stroke, along: float, swing: float, knee: float, fur: Colour, foot: Colour
) -> list[Stroke]:
    x, y, _ = point_on(trunk, along, -0.35)
    knee *= between(rng, 0.6, 1.2)
    thigh = Stroke(x, y, _DOWN + swing + knee, 0.0, 0.22, 0.095, 0.065, 0.0, fur, _FUR)
    x, y, _ = point_on(thigh, 1.0)
    shank = Stroke(x, y, _DOWN + swing - knee, 0.0, 0.2, 0.062, 0.05, 0.0, fur, _FUR)
    x, y, _ = point_on(shank, 1.0)
    return [thigh, shank, Stroke(x, y, 0.25 * swing, 0.0, 0.1, 0.066, 0.062, 0.0, foot)]


def _ornament(rng: Generator, head: str, skull: _Skull, mark: Colour, coat: Coat) -> tuple[list[Stroke], list[Stroke]]:
    """The ornament that shows the class: strokes behind the head, to be inked, and strokes before it, complete."""
    size = between(rng, 0.95, 1.1)
    if head == "ears":
        return _ears(skull, mark, size)
    if head == "horns":
        return _horns(skull, mark, size)
    if head == "beak":
        return _beak(skull, mark, coat, size)
    return _crest(skull, mark, size)


def _ears(skull: _Skull, mark: Colour, size: float) -> tuple[list[Stroke], list[Stroke]]:
    ears, inside = [], []
    for angle in (0.85, 2.45):
        x, y = skull.at(angle, 0.95)
        direction = skull.facing + angle
        ears.append(Stroke(x, y, direction, 0.0, 0.12 * size, 0.1 * size, 0.14 * size, 0.0, mark))
        inside.append(Stroke(x, y, direction, 0.0, 0.12 * size, 0.04 * size, 0.07 * size, 0.0, shaded(mark, 0.55)))
    return [*ears, *inside], []


def _horns(skull: _Skull, mark: Colour, size: float) -> tuple[list[Stroke], list[Stroke]]:
    horns = []
    for angle, turn in ((1.0, 1.0), (2.4, -1.0)):
        x, y = skull.at(angle, 0.75)
        heading = skull.facing + angle - 0.2 * turn
        horns.append(Stroke(x, y, heading, turn, 0.46 * size, 0.085, 0.022, 0.0, mark))
    return horns, []


def _beak(skull: _Skull, mark: Colour, coat: Coat, size: float) -> tuple[list[Stroke], list[Stroke]]:
    x, y = skull.at(-0.2, 0.92)
    beak = Stroke(x, y, skull.facing - 0.1, -0.4, 0.36 * size, 0.115, 0.025, 0.0, mark)
    gape = Stroke(*point_on(beak, 0.1, -0.1), -0.3, 0.24 * size, 0.014, 0.01, 0.0, coat.ink)
    return [], [*inked([beak], coat.ink, _INK), gape]


def _crest(skull: _Skull, mark: Colour, size: float) -> tuple[list[Stroke], list[Stroke]]:
    spikes = []
    for number in range(5):
        angle = 0.75 + 0.5 * number
        x, y = skull.at(angle, 0.7)
        length = (0.26, 0.32, 0.34, 0.3, 0.24)[number] * size
        spikes.append(Stroke(x, y, skull.facing + angle + 0.1, 0.25, length, 0.085, 0.02, 0.0, mark))
    return spikes, []
