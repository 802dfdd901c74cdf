r"""A data set: bright discs, squares and triangles on noise, drawn when they are asked for.

In the folder of this file, check it, train a small network of it, score it:

    wsolbench check shapes.py
    wsolbench data check shapes --plugin shapes.py
    wsolbench train --plugin shapes.py --dataset shapes --backbone resnet_nano --recipe-opt epochs=3 --out net
    wsolbench run --plugin shapes.py --dataset shapes --backbone resnet_nano --weights net/weights.safetensors \
        --method cam

Photos in class folders need no plugin; `imagefolder` reads them.
"""

from functools import partial

import numpy as np

from wsolbench.api import Annotations, DatasetSpec, ImageSplit, MaskPair, Split, UsageError, hookimpl

CLASSES = ("disc", "square", "triangle")
SIDE = 64
COUNTS = {Split.TRAIN_WEAKSUP: 900, Split.TRAIN_FULLSUP: 60, Split.TEST: 240}


def shape_of(split, index):
    """Return the pixels of the object, bool (SIDE, SIDE), and the source of randomness that drew it."""
    random = np.random.default_rng([list(Split).index(split), index])
    radius = random.integers(8, 20)
    x, y = random.integers(radius, SIDE - radius, size=2)
    across, down = np.meshgrid(np.arange(SIDE) - x, np.arange(SIDE) - y)
    kind = CLASSES[index % len(CLASSES)]
    if kind == "disc":
        return across**2 + down**2 <= radius**2, random
    if kind == "square":
        return np.maximum(abs(across), abs(down)) <= radius, random
    return (abs(down) <= radius) & (2 * abs(across) <= radius + down), random


def draw(split, index):
    """Return the image: RGB, uint8 (SIDE, SIDE, 3)."""
    pixels, random = shape_of(split, index)
    image = random.integers(0, 120, (SIDE, SIDE, 3), dtype=np.uint8)
    image[pixels] += random.integers(60, 130, 3, dtype=np.uint8)
    return image


def mask_of(split, name):
    """Return the mask of an image by its id."""
    return MaskPair(shape_of(split, int(name.split("/")[1]))[0])


class Shapes:
    """What a data set has: a name, a version that changes with its content, classes, splits, images, annotations."""

    name, version, class_names, splits = "shapes", "1", CLASSES, frozenset(COUNTS)

    def images(self, split):  # all that a network and a method see
        ids = tuple(f"{split.value}/{index}" for index in range(COUNTS[split]))  # no two splits share one
        return ImageSplit(ids, np.arange(len(ids)) % len(CLASSES), partial(draw, split))

    def annotations(self, split):  # seen by the evaluation alone; boxes x0, y0, x1, y1, both corners inside
        boxes = {}
        for index in range(COUNTS[split]):
            down, across = np.nonzero(shape_of(split, index)[0])
            boxes[f"{split.value}/{index}"] = np.array([[across.min(), down.min(), across.max(), down.max()]])
        return Annotations(boxes, dict.fromkeys(boxes, (SIDE, SIDE)), partial(mask_of, split))


def build(roots):
    if roots.images or roots.metadata:
        raise UsageError("'shapes' is drawn and reads nothing from disk; leave out --data-root and --metadata-root")
    return Shapes()


@hookimpl
def wsolbench_datasets():
    return [DatasetSpec("shapes", build, "an example, drawn")]
