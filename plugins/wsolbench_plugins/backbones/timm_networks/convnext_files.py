"""ConvNeXt files whose entries have other names than timm's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.models import convnext
from torch import Tensor

_CUB_PREFIXES = {"0.0.": "stem.", "0.1.": "stages.", "1.fc.": "head.fc."}


def convert(state: Mapping[str, Tensor], conv_mlp: bool) -> Mapping[str, Tensor]:
    """Rename the entries of official files, and of the files of *CAM Back Again*, to timm's names.

    The files of *CAM Back Again* hold the first two children of timm's network as ``0`` and its classifier as ``1``,
    without the norm between pool and classifier. All other files are returned unchanged.

    Args:
        state: The entries of a file of ConvNeXt or ConvNeXt V2.
        conv_mlp: Whether timm builds the linear layers of this network's blocks as 1×1 convolutions.
    """
    if "downsample_layers.0.0.weight" in state:
        converted: dict[str, Tensor] = convnext.checkpoint_filter_fn(dict(state), _network_like(state, conv_mlp))
        return converted
    if "0.0.0.weight" in state and "1.fc.weight" in state:
        return {_renamed(key): value for key, value in state.items()}
    return state


def _network_like(state: Mapping[str, Tensor], conv_mlp: bool) -> convnext.ConvNeXt:
    """Return a network without memory that has the depths and widths of an official file; timm reads shapes off it."""
    blocks = [key.split(".")[1:3] for key in state if key.endswith(".dwconv.weight")]
    depths = [sum(stage == str(number) for stage, _ in blocks) for number in range(4)]
    dims = [state[f"stages.{number}.0.dwconv.weight"].shape[0] for number in range(4)]
    with torch.device("meta"):
        return convnext.ConvNeXt(depths=depths, dims=dims, conv_mlp=conv_mlp)


def _renamed(key: str) -> str:
    for theirs, timms in _CUB_PREFIXES.items():
        if key.startswith(theirs):
            return timms + key.removeprefix(theirs)
    return key
