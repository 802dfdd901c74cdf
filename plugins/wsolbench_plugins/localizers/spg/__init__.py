"""SPG: branches that learn the object from a classifier's maps, and teach each other (Zhang et al., ECCV 2018).

The networks of the WSOL evaluation (Choe et al., CVPR 2020) have the reference's branches: ``resnet50_wsol``,
``vgg16_wsol``, ``inception_v3_wsol``. Any other network with class weights and three taps has its branches at the two
taps before the last. At test time the branches are not used: the map is the class map, CAM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_RESNET = {
    r"SPG_A1\.0": "layer3.0",
    **{rf"SPG_A2\.{block}": f"layer3.{block + 1}" for block in range(5)},
    "SPG_A4": "fc",
}
_VGG = {
    **{rf"SPG_A_1\.{place}": f"features.{17 + place}" for place in (0, 2, 4)},
    **{rf"SPG_A_2\.{place}": f"features.{23 + place}" for place in (0, 2, 4)},
    "SPG_A_3": "conv6",
    "SPG_A_4": "fc",
}
_PUBLISHED = {"resnet50_wsol": _RESNET, "resnet50_wsol14": _RESNET, "vgg16_wsol": _VGG}
"""Layers in files of the WSOL evaluation -> ours; those of Inception-v3 have the same names."""


def in_own_names(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in our own names, where they have those of the WSOL evaluation.

    Args:
        name: The network.
        state: Weights in either names.
    """
    layers = _PUBLISHED.get(name, {})
    converted = {}
    for theirs, value in state.items():
        found = [(layer, ours) for layer, ours in layers.items() if re.match(rf"{layer}\.", theirs)]
        ours = re.sub(f"^{found[0][0]}", found[0][1], theirs) if found else theirs
        converted[ours] = value.flatten(1) if ours == "fc.weight" else value
    return converted
