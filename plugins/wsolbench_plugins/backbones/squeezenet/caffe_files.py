"""SqueezeNet files whose entries have Caffe's names, as the authors published the network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

PLACES = {2: 3, 3: 4, 4: 5, 5: 7, 6: 8, 7: 9, 8: 10, 9: 12}
"""Number of a fire module -> its place among torchvision's layers of version 1.0."""
CAFFE_MEAN = (123.0, 117.0, 104.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def convert(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Rename Caffe's entries to torchvision's, and let the first convolution read torchvision's input.

    Caffe's input is BGR from 0 to 255 less a mean; torchvision's is RGB, normalised. The convolution has no padding, so
    that scale and shift can be moved into its kernels and its bias exactly. All other files are returned unchanged.
    """
    if "conv1.weight" not in state or "fire2.squeeze.weight" not in state:
        return state
    converted = {_renamed(key): value for key, value in state.items()}
    kernels = state["conv1.weight"].double().flip(1)
    scale = 255 * torch.tensor(STD, dtype=torch.float64)
    shift = 255 * torch.tensor(MEAN, dtype=torch.float64) - torch.tensor(CAFFE_MEAN, dtype=torch.float64)
    bias = state["conv1.bias"].double() + (kernels * shift[:, None, None]).sum(dim=(1, 2, 3))
    converted["features.0.weight"] = (kernels * scale[:, None, None]).to(state["conv1.weight"])
    converted["features.0.bias"] = bias.to(state["conv1.bias"])
    return converted


def _renamed(key: str) -> str:
    layer, _, rest = key.partition(".")
    if layer.startswith("fire") and layer[4:].isdecimal() and int(layer[4:]) in PLACES:
        return f"features.{PLACES[int(layer[4:])]}.{rest}"
    ends = {"conv1": "features.0", "conv10": "classifier.1"}
    return f"{ends.get(layer, layer)}.{rest}"
