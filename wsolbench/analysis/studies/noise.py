"""How clean feature maps are: total variation, entropy, and the energy of the strongest pattern (Sec. 4.5).

The paper explains with the noise of feature maps why networks localize differently, and shows maps; here noise is three
numbers that hardly depend on the resolution of the maps.

Source: Yasuki and Taki, "CAM Back Again", CVPR 2024, Sec. 4.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsolbench.analysis.correlation import UNDEFINED, Estimate, image_draws, rank_correlations
from wsolbench.analysis.study import Findings, Measured, NetworkStudy, looks_of
from wsolbench.analysis.subject import Subject
from wsolbench.engine.redraw import picture
from wsolbench.figures.distributions import draw_violins
from wsolbench.figures.map_table import Cell, FeatureMap, Row, draw_map_table
from wsolbench.figures.panels import short_id
from wsolbench.records import ResultRecord
from wsolbench.records.labels import label_apart, recorded_facts

VARIATION = "total variation"
AREA, ENERGY = "entropy as area", "energy share"
QUANTITIES = (VARIATION, AREA, ENERGY)
CORRELATION = f"correlation of {VARIATION} with IoU of {{method}}"
EXTREMES = ("cleanest image", "noisiest image")
CELLS = 3
"""What is drawn of each: the image, the mean of its maps, and one of them."""


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a network's feature maps.

    Attributes:
        ids: The images.
        quantities: Name -> its value for each image (N,); NaN where it is not defined.
        cells: What is drawn of the cleanest and of the noisiest image.
    """

    ids: Sequence[str]
    quantities: dict[str, NDArray[np.float64]]
    cells: Sequence[Cell]

    def defined(self, name: str) -> NDArray[np.float64]:
        """Return the values of a quantity without those that are not defined."""
        values = self.quantities[name]
        return values[~np.isnan(values)]


@dataclass(frozen=True)
class Study(NetworkStudy[Noise]):
    """The noise of the feature maps of each image, and its correlation with the IoU of records that are given."""

    images: ClassVar[int] = 300
    beside_random: ClassVar[bool] = True
    beside_records: ClassVar[bool] = True
    cannot_say: ClassVar[str] = (
        "Smooth maps need not be right maps: a map of one large blob is clean wherever the blob lies, and maps of few "
        "cells cannot show fine noise."
    )
    terms: ClassVar[Mapping[str, str]] = {
        VARIATION: "how often a map goes up and down through its range: the sum of the absolute differences between "
        "neighbours in a row or column over the range (maximum - minimum) of the map, the mean over all rows and "
        "columns; of an image, the mean over its maps that are not constant.",
        AREA: "over which share of the cells the energy of a map, its squared values, is spread: exp(entropy of the "
        "energy) / number of cells; of an image, the mean over its maps that are not 0 everywhere.",
        ENERGY: "which share of the energy of an image's maps is along their first component, after the mean of every "
        "map over its cells was removed: maps are variables, cells are samples, nothing is normalised, so large maps "
        "count most. For the PC1 share of 'components', maps are samples and are normalised.",
        "maps": "channels × rows × columns.",
        "(median)": "the median over images.",
        "not defined": "images all of whose maps are constant: they have no total variation and no energy share.",
        CORRELATION.format(method="METHOD"): "Spearman's rank correlation over images, one for each record that is "
        "given; the IoU is that of the record's box (largest contour) at its τ from train-fullsup, or at its best τ "
        "without one; low and high are the ends of the 95 % interval (bootstrap over images); images is the number of "
        "images that it is over.",
    }

    def measure(self, subject: Subject) -> Noise:
        """Measure the three quantities of every image, and collect what is drawn of the two extreme images."""
        batches = [
            torch.stack([map_variation(batch.features), map_area(batch.features), energy_share(batch.features)])
            for batch in subject.stream("noise of the maps")
        ]
        quantities = dict(zip(QUANTITIES, torch.cat(batches, dim=1).cpu().double().numpy(), strict=True))
        variation = quantities[VARIATION]
        extremes = [] if np.isnan(variation).all() else [int(np.nanargmin(variation)), int(np.nanargmax(variation))]
        shown = {index: _cells(subject, index, variation[index]) for index in sorted(set(extremes))}
        return Noise(subject.part.images.ids, quantities, [cell for index in extremes for cell in shown[index]])

    def conclude(self, measured: Sequence[Measured[Noise]]) -> Findings:
        """Compare the distributions of the networks."""
        defined = {name: {each.label: each.result.defined(name) for each in measured} for name in QUANTITIES}
        correlations = {each.label: list(_correlations(each)) for each in measured}
        table = pd.DataFrame(
            {
                "network": each.label,
                "maps": " × ".join(map(str, each.backbone.feature_shape)),
                "images": len(each.result.ids),
                "not defined": len(each.result.ids) - len(defined[VARIATION][each.label]),
                **{f"{name} (median)": _median(defined[name][each.label]) for name in QUANTITIES},
                **_columns(correlations[each.label]),
            }
            for each in measured
        )
        images = [
            pd.DataFrame({"network": each.label, "image": list(each.result.ids), **each.result.quantities})
            for each in measured
        ]
        several = len(measured[0].result.ids) > 1
        extremes = EXTREMES if several else ["the image"]
        rows = [Row(each.label, _filled(each.result.cells, CELLS * len(extremes))) for each in measured]
        return Findings(
            table,
            {
                "": draw_violins(
                    defined, looks_of(measured), caption=[f"{name}: {self.terms[name]}" for name in QUANTITIES]
                ),
                "maps": draw_map_table(
                    dict.fromkeys(extremes, CELLS),
                    rows,
                    f"{VARIATION.capitalize()} (TV)"
                    + (": the images with the smallest and the largest one of each network" if several else ""),
                    [
                        "Rows: networks, in the order in which they are named. Above an image stands the mean TV "
                        "of its maps; beside it are the mean of all its maps, and the one map whose TV is the median."
                    ],
                ),
            },
            _shows(table, correlations),
            {"images": pd.concat(images, ignore_index=True)},
        )


def _columns(correlations: Sequence[Correlation]) -> dict[str, float | str | None]:
    """Return the columns of the table for the records of a network; what is to note of each is in one column."""
    columns = {name: value for each in correlations for name, value in each.columns.items()}
    notes = [f"the record of {each.method} {each.note}" for each in correlations if each.note is not None]
    return {**columns, **({"note": "; ".join(notes)} if notes else {})}


def _filled(cells: Sequence[Cell], count: int) -> list[Cell]:
    """Return so many cells, where there may be none since all maps are constant."""
    return list(cells[:count]) or [("all maps are constant", None), *[("", None)] * (count - 1)]


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if values.size else None


def _shows(table: pd.DataFrame, correlations: Mapping[str, Sequence[Correlation]]) -> str:
    """Return the networks in their order, and the correlations with the IoU of records."""
    median = f"{VARIATION} (median)"
    ordered = table.dropna(subset=[median]).sort_values(median, kind="stable")
    told = [f"{label} {value:.2f}" for label, value in zip(ordered["network"], ordered[median], strict=True)]
    found = [each.told(label) for label, of_network in correlations.items() for each in of_network]
    order = (
        f"From the smoothest maps to the most uneven, medians of {VARIATION}: {', '.join(told) or 'none is defined'}"
    )
    return order + (f"; rank correlation of {VARIATION} with IoU: {'; '.join(found)}" if found else "") + "."


def _cells(subject: Subject, index: int, variation: float) -> list[Cell]:
    """Return an image, the mean of its feature maps, and a typical one of them."""
    (batch,) = subject.stream("an extreme image", order=[index])
    maps, of_maps = batch.features[0].cpu(), variations(batch.features)[0].cpu()
    uneven = int(of_maps.isfinite().sum())
    typical = int(of_maps.argsort()[max(uneven - 1, 0) // 2])  # NaN is sorted to the end
    return [
        (f"{short_id(subject.part.images.ids[index], 13)}: TV {variation:.2f}", picture(subject.part, index)),
        ("mean map", FeatureMap(maps.mean(dim=0).numpy())),
        (f"map {typical}: TV {float(of_maps[typical]):.2f}", FeatureMap(maps[typical].numpy())),
    ]


@dataclass(frozen=True)
class Correlation:
    """The rank correlation of total variation with the IoU of a record, over images.

    Attributes:
        method: The method of the record, with the options that were changed; no two of a network are the same.
        images: The number of images that it is over.
        found: The correlation; not defined over one image, or where a quantity is the same in all.
        note: What is to note of the record: why there is no correlation, or that it lacks many of the images.
    """

    method: str
    images: int
    found: Estimate
    note: str | None = None

    @property
    def columns(self) -> dict[str, float | str | None]:
        """The columns of the table; none where there are no images to correlate."""
        if self.images == 0:
            return {}
        name, numbers = CORRELATION.format(method=self.method), (self.found.value, self.found.low, self.found.high)
        value, low, high = (None if np.isnan(number) else number for number in numbers)
        return {name: value, f"{name}, low": low, f"{name}, high": high, f"{name}, images": self.images}

    def told(self, network: str) -> str:
        """Return it in words."""
        if self.images == 0:
            return f"{network} none, since the record of {self.method} {self.note}"
        return f"{network}, {self.method} {self.found} over {self.images} image{'' if self.images == 1 else 's'}"


def _correlations(measured: Measured[Noise]) -> Iterator[Correlation]:
    """Yield the correlations of a network with the IoU of its records."""
    methods = label_apart([_told(record) for record in measured.records], list(map(recorded_facts, measured.records)))
    for record, method in zip(measured.records, methods, strict=True):
        values = record.evaluated.values or {}
        overlap = values.get("fullsup_mean_iou", values.get("mean_iou"))
        if overlap is None:
            yield Correlation(method, 0, UNDEFINED, "holds no IoU of its images; run it again")
            continue
        of_record = dict(zip(record.evaluated.image_ids, overlap.tolist(), strict=True))
        of_images = zip(measured.result.ids, measured.result.quantities[VARIATION].tolist(), strict=True)
        pairs = [(value, of_record[name]) for name, value in of_images if name in of_record and not np.isnan(value)]
        common = len(of_record.keys() & set(measured.result.ids))
        note = None if common == len(measured.result.ids) else _lacking(record, common, len(measured.result.ids))
        if not pairs:
            yield Correlation(method, 0, UNDEFINED, note or "is of images all of whose maps are constant")
            continue
        variation, iou = (np.array(column)[:, None] for column in zip(*pairs, strict=True))
        found = rank_correlations(variation, {"IoU": iou}, image_draws(len(pairs)))["IoU"]
        yield Correlation(method, len(pairs), found, note)


def _told(record: ResultRecord) -> str:
    """Return the method of a record, with the options that were changed."""
    changed = ", ".join(f"{name}={value}" for name, value in record.method.changed_options.items())
    return f"{record.method.name} ({changed})" if changed else record.method.name


def _lacking(record: ResultRecord, common: int, images: int) -> str:
    """Say that a record lacks images that were measured, and which options measure those that it has."""
    limit = record.dataset.limit
    if common == 0:
        of_limit = "" if limit is None else f" --images {limit}"
        return f"is of other images: --dataset {record.dataset.name} --split {record.protocol.split}{of_limit}"
    instead = "" if limit is None else f"; --images {limit} measures those that it has"
    return f"has {common} of the {images} images{instead}"


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
    It is NaN for an image of constant maps only, which is neither clean nor noisy.

    Args:
        features: (B, K, h, w).
    """
    mean: Tensor = variations(features).nanmean(dim=1)
    return mean


def map_area(features: Tensor) -> Tensor:
    """Return over which share of the positions the energy of each image's maps is spread (B,), from 1/hw to 1.

    It is the exponential of the entropy of the squares of a map, over the number of positions: a map that is 1 on a
    share of its positions and 0 elsewhere has this share, at any resolution. The mean is over maps that are not 0
    everywhere; it is NaN for an image without any.

    Args:
        features: (B, K, h, w).
    """
    energy = features.flatten(2).double().square()
    total = energy.sum(dim=2, keepdim=True)
    shares = energy / total.clamp_min(torch.finfo(torch.float64).tiny)
    area = torch.special.entr(shares).sum(dim=2).exp() / energy.shape[2]
    present = total.squeeze(2) > 0
    mean: Tensor = (area * present).sum(dim=1) / present.sum(dim=1)
    return mean.to(features.dtype)


def energy_share(features: Tensor) -> Tensor:
    """Return the share of the energy of each image's maps that is along their first component (B,), from 0 to 1.

    The energy is the sum of squares after the mean of every map over its positions was removed: channels are variables,
    positions are samples. Nothing is normalised, so that maps of large values count most. It is 1 where all maps are
    multiples of one map, each shifted by a constant, and NaN for an image of constant maps only.

    Args:
        features: (B, K, h, w).
    """
    maps = features.flatten(2).double()
    varies = maps.amax(dim=2, keepdim=True) > maps.amin(dim=2, keepdim=True)
    centred = (maps - maps.mean(dim=2, keepdim=True)) * varies  # the mean of equal numbers may differ from them
    energies = torch.linalg.svdvals(centred).square()
    share: Tensor = (energies[:, 0] / energies.sum(dim=1)).where(varies.any(dim=(1, 2)), torch.nan)
    return share.to(features.dtype)
