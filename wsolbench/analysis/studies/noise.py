"""How clean feature maps are: total variation, entropy, and the share of the first component (Sec. 4.5).

The paper explains with the noise of feature maps why networks localize differently, and shows maps; here noise is three
numbers that hardly depend on the resolution of the maps.

Source: Yasuki and Taki, "CAM Back Again", CVPR 2024, Sec. 4.5.
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

from wsolbench.analysis.correlation import Estimate, image_draws, rank_correlations
from wsolbench.analysis.study import Findings, Measured, NetworkStudy, looks_of
from wsolbench.analysis.subject import Subject
from wsolbench.engine.redraw import picture
from wsolbench.figures.distributions import draw_violins
from wsolbench.figures.map_table import Cell, FeatureMap, Row, draw_map_table
from wsolbench.figures.panels import short_id
from wsolbench.records import ResultRecord

VARIATION = "total variation"
QUANTITIES = (VARIATION, "entropy as area", "first component")
EXTREMES = ("cleanest image", "noisiest image")


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a network's feature maps.

    Attributes:
        ids: The images.
        quantities: Name -> its value for each image (N,).
        cells: What is drawn of the cleanest and of the noisiest image.
    """

    ids: Sequence[str]
    quantities: dict[str, NDArray[np.float64]]
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Study(NetworkStudy[Noise]):
    """The noise of the feature maps of each image, and its correlation with the IoU of records that are given."""

    images: ClassVar[int] = 300
    beside_random: ClassVar[bool] = True
    cannot_say: ClassVar[str] = (
        "Smooth maps need not be right maps: a map of one large blob is clean wherever the blob lies, and maps of few "
        "cells cannot show fine noise."
    )

    def measure(self, subject: Subject) -> Noise:
        """Measure the three quantities of every image, and collect what is drawn of the two extreme images."""
        batches = [
            torch.stack([map_variation(batch.features), map_area(batch.features), first_share(batch.features)])
            for batch in subject.stream("noise of the maps")
        ]
        quantities = dict(zip(QUANTITIES, torch.cat(batches, dim=1).cpu().double().numpy(), strict=True))
        extremes = [int(quantities[VARIATION].argmin()), int(quantities[VARIATION].argmax())]
        shown = {index: _cells(subject, index, quantities[VARIATION][index]) for index in sorted(set(extremes))}
        return Noise(subject.part.images.ids, quantities, [cell for index in extremes for cell in shown[index]])

    def conclude(self, measured: Sequence[Measured[Noise]]) -> Findings:
        """Compare the distributions of the networks."""
        table = pd.DataFrame(
            {
                "network": each.label,
                "maps": " × ".join(map(str, each.backbone.feature_shape)),
                "images": len(each.result.ids),
                **{f"{name} (median)": float(np.median(each.result.quantities[name])) for name in QUANTITIES},
                **_correlations(each),
            }
            for each in measured
        )
        ordered = table.sort_values(f"{VARIATION} (median)", kind="stable")["network"].tolist()
        images = [
            pd.DataFrame({"network": each.label, "image": list(each.result.ids), **each.result.quantities})
            for each in measured
        ]
        panels = {name: {each.label: each.result.quantities[name] for each in measured} for name in QUANTITIES}
        rows = [Row(each.label, each.result.cells) for each in measured]
        title = "Mean of the maps, and one map of median total variation (TV); above the image its mean TV"
        return Findings(
            table,
            {
                "": draw_violins(panels, looks_of(measured)),
                "maps": draw_map_table(dict.fromkeys(EXTREMES, 3), rows, title),
            },
            f"From the smoothest maps to the most uneven: {', '.join(ordered)}.",
            {"images": pd.concat(images, ignore_index=True)},
        )


def _cells(subject: Subject, index: int, variation: float) -> list[Cell]:
    """Return an image, the mean of its feature maps, and a typical one of them."""
    (batch,) = subject.stream("an extreme image", order=[index])
    maps, of_maps = batch.features[0].cpu(), variations(batch.features)[0].cpu()
    uneven = int(of_maps.isfinite().sum())
    typical = int(of_maps.argsort()[max(uneven - 1, 0) // 2])  # NaN is sorted to the end
    return [
        (f"{short_id(subject.part.images.ids[index], 16)}: TV {variation:.2f}", picture(subject.part, index)),
        ("mean map", FeatureMap(maps.mean(dim=0).numpy())),
        (f"map {typical}: TV {float(of_maps[typical]):.2f}", FeatureMap(maps[typical].numpy())),
    ]


def _correlations(measured: Measured[Noise]) -> dict[str, float | str]:
    """Return the rank correlations of total variation with the IoU of records of the network, with their intervals."""
    found: dict[str, float | str] = {}
    for record in measured.records:
        estimate, count = _correlation(measured.result, record)
        name = f"correlation of {VARIATION} with IoU of {record.method.name}"
        if estimate is None:
            found["note"] = f"the record of {record.method.name} holds no IoU of these images; run it again"
        else:
            found |= {name: estimate.value, f"{name}, low": estimate.low, f"{name}, high": estimate.high}
            found[f"{name}, images"] = count
    return found


def _correlation(noise: Noise, record: ResultRecord) -> tuple[Estimate | None, int]:
    """Return the correlation over the images that the record has too, and their number; None without IoU of any."""
    values = record.evaluated.values or {}
    overlap = values.get("fullsup_mean_iou", values.get("mean_iou"))
    if overlap is None:
        return None, 0
    of_record = dict(zip(record.evaluated.image_ids, overlap.tolist(), strict=True))
    pairs = [
        (variation, of_record[image_id])
        for image_id, variation in zip(noise.ids, noise.quantities[VARIATION].tolist(), strict=True)
        if image_id in of_record
    ]
    if not pairs:
        return None, 0
    variation, iou = (np.array(column)[:, None] for column in zip(*pairs, strict=True))
    return rank_correlations(variation, {"IoU": iou}, image_draws(len(pairs)))["IoU"], len(pairs)


def variations(features: Tensor) -> Tensor:
    """Return how uneven every map is (B, K): total variation from side to side, over range; NaN for constant maps.

    The total variation of a line is the sum of the absolute differences between neighbours; that of a map is the mean
    over its lines, of rows and columns alike. It says how often a map goes up and down through its range from one side
    to the other, so it is nearly the same for a map at any resolution. The mean difference between neighbours would
    halve where the resolution doubles.

    Args:
        features: (B, K, h, w).
    """
    sides = [axis for axis in (2, 3) if features.shape[axis] > 1]
    of_lines = torch.stack([features.diff(dim=axis).abs().sum(dim=axis).mean(dim=2) for axis in sides])
    extent = features.amax(dim=(2, 3)) - features.amin(dim=(2, 3))
    ratio: Tensor = (of_lines.mean(dim=0) / extent).where(extent > 0, torch.nan)
    return ratio


def map_variation(features: Tensor) -> Tensor:
    """Return how uneven the maps of each image are (B,): the mean of `variations` over maps that are not constant.

    Every map counts alike, whatever its scale: in some networks a few maps are a hundred times larger than the others.
    An image of constant maps only has 0.

    Args:
        features: (B, K, h, w).
    """
    mean: Tensor = variations(features).nanmean(dim=1).nan_to_num(0)
    return mean


def map_area(features: Tensor) -> Tensor:
    """Return over which share of the positions the energy of each image's maps is spread (B,), from 1/hw to 1.

    It is the exponential of the entropy of the squares of a map, over the number of positions: a map that is 1 on a
    share of its positions and 0 elsewhere has this share, at any resolution. The mean is over maps that are not 0
    everywhere; an image without any has 0.

    Args:
        features: (B, K, h, w).
    """
    energy = features.flatten(2).double().square()
    total = energy.sum(dim=2, keepdim=True)
    shares = energy / total.clamp_min(torch.finfo(torch.float64).tiny)
    area = torch.special.entr(shares).sum(dim=2).exp() / energy.shape[2]
    present = total.squeeze(2) > 0
    mean: Tensor = (area * present).sum(dim=1) / present.sum(dim=1).clamp_min(1)
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
