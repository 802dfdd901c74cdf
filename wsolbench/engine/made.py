"""What a network and its methods made of some images: on the CPU, at the network's resolution, before it is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from wsolbench.engine.boxes import boxes_in_pixels
from wsolbench.engine.methods import MethodBoxes, MethodMaps
from wsolbench.engine.sources import MapBatch
from wsolbench.protocol import classified_scoremap

__all__ = ["MadeBatch"]


@dataclass(frozen=True)
class MadeBatch:
    """What was made of the images of a batch.

    Attributes:
        indices: Positions in the split, (B,).
        made: Method -> its raw maps, or its boxes.
        seconds: Method -> how long it took, without the network and until its maps were in main memory.
        hits: k -> whether an image's class is among the k best predictions, bool (B,); empty without a classifier.
        digests: A hash of every image's pixels.
        remarks: What was decided about every image's size and orientation.
        sizes: (width, height) of every image, int64 (B, 2), as listed or, where no list has it, as read.
    """

    indices: NDArray[np.int64]
    made: Mapping[str, MethodMaps | MethodBoxes]
    seconds: Mapping[str, float]
    hits: Mapping[int, NDArray[np.bool_]]
    digests: Sequence[str]
    remarks: Sequence[tuple[str, ...]]
    sizes: NDArray[np.int64]

    def to_score(self) -> MapBatch:
        """Return it as what is scored: maps are put into the frame when they are asked for, boxes into pixels now."""
        sizes = [(width, height) for width, height in self.sizes.tolist()]
        return MapBatch(
            self.indices,
            {
                name: [partial(classified_scoremap, raw_map) for raw_map in made.maps]
                for name, made in self.made.items()
                if isinstance(made, MethodMaps)
            },
            {name: made.statistics for name, made in self.made.items()},
            self.hits,
            self.digests,
            self.remarks,
            {
                name: list(map(boxes_in_pixels, made.boxes, sizes))
                for name, made in self.made.items()
                if isinstance(made, MethodBoxes)
            },
        )
