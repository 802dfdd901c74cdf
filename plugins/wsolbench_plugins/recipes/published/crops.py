"""Where an image is cut out for training; boxes are (left, upper, right, lower) in its pixels."""

from __future__ import annotations

import math

import numpy as np

Box = tuple[float, float, float, float]

_ASPECTS = (3 / 4, 4 / 3)
_TRIALS = 10


def resized_crop(width: int, height: int, smallest: float, generator: np.random.Generator) -> Box:
    """Draw a box of a share of the image between `smallest` and 1, three to four up to four to three in its aspect.

    Inception's crop (Szegedy et al., CVPR 2015, section 6); where none of ten trials fits, the largest centred box of
    a legal aspect.
    """
    for _ in range(_TRIALS):
        area = generator.uniform(smallest, 1) * width * height
        aspect = math.exp(generator.uniform(*np.log(_ASPECTS)))
        w, h = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if w <= width and h <= height:
            left, upper = generator.uniform(0, width - w), generator.uniform(0, height - h)
            return left, upper, left + w, upper + h
    aspect = min(max(width / height, _ASPECTS[0]), _ASPECTS[1])
    w, h = min(width, height * aspect), min(height, width / aspect)
    return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2
