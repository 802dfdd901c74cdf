"""ACoL: two classifiers on one body, the second of which looks beyond what the first finds (Zhang et al., CVPR 2018).

The networks of the WSOL evaluation (Choe et al., CVPR 2020) have the reference's heads, pools and names of entries:
``resnet50_wsol``, ``vgg16_wsol``, ``inception_v3_wsol``. Any other network whose head reads its feature maps alone gets
two heads on these maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def with_threshold(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return weights with the threshold that those of the WSOL evaluation were trained with by default, if any is."""
    import torch

    return state if "threshold" in state else {**state, "threshold": torch.tensor(0.7)}
