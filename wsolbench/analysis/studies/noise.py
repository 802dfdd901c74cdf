"""How clean feature maps are: total variation, entropy, and the share of the first component (Sec. 4.5).

The paper explains with the noise of feature maps why networks localize differently, and shows maps; here noise is a
number. Source: Yasuki and Taki, "CAM Back Again", CVPR 2024, Sec. 4.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsolbench.analysis.study import Findings, Measured, NetworkStudy, looks_of
from wsolbench.analysis.subject import Subject
from wsolbench.figures.distributions import draw_violins

QUANTITIES = ("total variation", "entropy", "first component")


@dataclass(frozen=True)
class Study(NetworkStudy[dict[str, NDArray[np.float64]]]):
    """The noise of the feature maps of each image."""

    images: ClassVar[int] = 300
    beside_random: ClassVar[bool] = True
    cannot_say: ClassVar[str] = (
        "Smooth maps need not be right maps: a map of one large blob is clean wherever the blob lies, and coarse maps "
        "vary less from position to position than fine ones."
    )

    def measure(self, subject: Subject) -> dict[str, NDArray[np.float64]]:
        """Return the three quantities of every image (N,)."""
        batches = [
            torch.stack([map_variation(batch.features), map_entropy(batch.features), first_share(batch.features)])
            for batch in subject.stream("noise of the maps")
        ]
        return dict(zip(QUANTITIES, torch.cat(batches, dim=1).cpu().double().numpy(), strict=True))

    def conclude(self, measured: Sequence[Measured[dict[str, NDArray[np.float64]]]]) -> Findings:
        """Compare the distributions of the networks."""
        table = pd.DataFrame(
            {
                "network": each.label,
                "images": len(each.result["entropy"]),
                **{f"{name} (median)": float(np.median(each.result[name])) for name in QUANTITIES},
            }
            for each in measured
        )
        ordered = table.sort_values("total variation (median)", kind="stable")["network"].tolist()
        images = pd.concat(
            [pd.DataFrame({"network": each.label, **each.result}) for each in measured], ignore_index=True
        )
        panels = {name: {each.label: each.result[name] for each in measured} for name in QUANTITIES}
        return Findings(
            table,
            {"": draw_violins(panels, looks_of(measured))},
            f"From the smoothest maps to the most uneven: {', '.join(ordered)}.",
            {"images": images},
        )


def map_variation(features: Tensor) -> Tensor:
    """Return how uneven the maps of each image are (B,): total variation over range, the mean over maps.

    The total variation of a map is the mean absolute difference between neighbours, in both directions. A constant map
    has none and is left out; an image of constant maps only has 0.

    Args:
        features: (B, K, h, w).
    """
    steps = [(features.diff(dim=axis)).abs().flatten(2) for axis in (2, 3) if features.shape[axis] > 1]
    variation = torch.cat(steps, dim=2).mean(dim=2)
    extent = features.amax(dim=(2, 3)) - features.amin(dim=(2, 3))
    uneven = extent > 0
    ratio: Tensor = torch.where(uneven, variation / extent.clamp_min(torch.finfo(extent.dtype).tiny), 0)
    return ratio.sum(dim=1) / uneven.sum(dim=1).clamp_min(1)


def map_entropy(features: Tensor) -> Tensor:
    """Return how widely the energy of each image's maps is spread over positions (B,), from 0 to 1.

    It is the entropy of the squares of a map, as a share of that of a uniform map; the mean over maps that are not 0
    everywhere.

    Args:
        features: (B, K, h, w).
    """
    energy = features.flatten(2).double().square()
    total = energy.sum(dim=2, keepdim=True)
    shares = energy / total.clamp_min(torch.finfo(torch.float64).tiny)
    entropy = torch.special.entr(shares).sum(dim=2) / np.log(energy.shape[2])
    present = total.squeeze(2) > 0
    mean: Tensor = (entropy * present).sum(dim=1) / present.sum(dim=1).clamp_min(1)
    return mean.to(features.dtype)


def first_share(features: Tensor) -> Tensor:
    """Return the share of the variance over positions that lies along the first component of each image (B,).

    Args:
        features: (B, K, h, w).
    """
    centred = features.flatten(2).double()
    centred = centred - centred.mean(dim=2, keepdim=True)
    variances = torch.linalg.svdvals(centred).square()
    share: Tensor = variances[:, 0] / variances.sum(dim=1).clamp_min(torch.finfo(torch.float64).tiny)
    return share.to(features.dtype)
