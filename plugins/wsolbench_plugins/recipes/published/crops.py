"""Random crops for training; boxes are (left, upper, right, lower) in pixels of the image."""

from __future__ import annotations

import math

import numpy as np

Box = tuple[float, float, float, float]

_ASPECTS = (3 / 4, 4 / 3)
_TRIALS = 10


def resized_crop(width: int, height: int, smallest: float, generator: np.random.Generator) -> Box:
    """Draw a box with an aspect from 3:4 to 4:3 that covers at least a given fraction of the image.

    If none of ten draws fits into the image, the result is the largest centred box with such an aspect.

    Args:
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        smallest: Smallest fraction of the image's area; the fraction is uniform between it and 1.
        generator: Source of every random draw.

    Returns:
        The box.

    Source:
        Szegedy et al., CVPR 2015, section 6.
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
