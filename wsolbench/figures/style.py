"""The style of all figures that are written to files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.style

__all__ = ["own_style"]

_SETTINGS = {
    "text.parse_math": False,  # a "$" in a name is no formula
    "svg.fonttype": "none",
    "svg.hashsalt": "wsolbench",
}


@contextmanager
def own_style() -> Iterator[None]:
    """Draw with the defaults of the drawing library, whatever a ``matplotlibrc`` of the user says; also a decorator.

    Warnings of the drawing library are about the picture, which is what a user sees, and not about something to type.
    """
    with matplotlib.style.context(["default", _SETTINGS]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names may be in any script, and as long as they like
        yield
