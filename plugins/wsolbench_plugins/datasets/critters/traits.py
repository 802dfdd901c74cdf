"""What a critter looks like, before anything is drawn: its class and the body cues that agree with it or do not."""

from dataclasses import dataclass

from numpy.random import Generator

from .palette import MARKS

__all__ = ["CLASS_NAMES", "COLOURS", "CUE", "HEADS", "PATTERNS", "Traits", "choose_traits"]

HEADS = ("ears", "horns", "beak", "crest")
COLOURS = tuple(MARKS)
PATTERNS = ("plain", "bands", "spots", "saddle")
CLASS_NAMES = tuple(f"{colour}-{head}" for head in HEADS for colour in COLOURS)
"""Names in label order: the label is ``head * 3 + colour``."""

CUE = 1.0
"""Default probability that a body cue agrees with the class; lower values leave only the head to be relied on."""


@dataclass(frozen=True)
class Traits:
    """The discrete choices behind one critter.

    Attributes:
        head: Index into ``HEADS``; given by the class.
        colour: Index into ``COLOURS``, the colour of the head ornament; given by the class.
        pattern: Index into ``PATTERNS``; agrees with the class where it equals ``head``.
        coat: Index into the coats; agrees where it equals ``colour``.
        feet: Index into ``COLOURS``, the colour of feet and tail tip; agrees where it equals ``colour``.
    """

    head: int
    colour: int
    pattern: int
    coat: int
    feet: int


def choose_traits(rng: Generator, label: int, cue: float) -> Traits:
    """Draw body cues for a class; each agrees with it with probability ``cue``, else is one of the others."""
    head, colour = divmod(label, len(COLOURS))
    return Traits(
        head=head,
        colour=colour,
        pattern=_agreeing(rng, head, len(PATTERNS), cue),
        coat=_agreeing(rng, colour, len(COLOURS), cue),
        feet=_agreeing(rng, colour, len(COLOURS), cue),
    )


def _agreeing(rng: Generator, value: int, count: int, cue: float) -> int:
    agrees, other = rng.random(2).tolist()
    return value if agrees < cue else (value + 1 + int(other * (count - 1))) % count
