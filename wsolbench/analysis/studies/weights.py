"""How much of an image feature maps activate, against their class weights (Fig. 5 and 12).

A point is one feature map of one image: its weight for the class of the image, and how active the map is. The paper
counts the pixels above 10, and shows the mean of a map (global average pooling) beside it; its RepLKNet has a pillar:
maps that are active in a large part of the image have weights near 0. Networks differ in the scale of their features,
so that none of a map, or most of it, may be above 10. The relative threshold is a share of the image's 99th percentile
over all maps: half of the largest value would be above nearly all maps, since few channels have values far above all
others.

The pillar is a number here: the mean activated area of the fifth of the maps with weights nearest to 0, divided by that
of the others. It is 1 where weights say nothing of areas.

Source: Yasuki and Taki, "CAM Back Again", CVPR 2024, Fig. 5 and 12. The paper gives no numbers for them, and does not
say whether a norm before the classifier counts; ``raw`` weights are those that its CAM uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from wsolbench.analysis.correlation import UNDEFINED, Estimate, estimate, image_draws, rank_correlations
from wsolbench.analysis.study import Findings, Measured, NetworkStudy, looks_of
from wsolbench.analysis.subject import Subject, WeightsKind
from wsolbench.figures.joint_densities import JointDensity, draw_joint_densities

PERCENTILE = 99.0
"""Of an image's features: what the relative threshold is a share of."""
NEAR_ZERO = 0.2
"""The share of all maps whose weights count as near 0."""
BINS = 10
"""Of weights, with equally many maps in each."""
_FIGURES = {"": "area above R of the 99th percentile", "threshold": "area above T", "mean": "mean (GAP)"}
"""The name of a figure -> the term of its quantity."""


@dataclass(frozen=True, eq=False)
class WeighedMaps:
    """The feature maps of N images, and their class weights.

    Attributes:
        weights: (N, K) the weight of each map for the class of the image.
        area: (N, K) the share of pixels above the threshold.
        relative_area: (N, K) the share of pixels above the relative threshold.
        means: (N, K) the mean of each map.
    """

    weights: NDArray[np.float64]
    area: NDArray[np.float64]
    relative_area: NDArray[np.float64]
    means: NDArray[np.float64]


@dataclass(frozen=True)
class Study(NetworkStudy[WeighedMaps]):
    """Activated areas and means of feature maps against their class weights.

    Args:
        threshold: Pixels above it are activated; the paper's is 10.
        relative: The same as a share of the image's 99th percentile over all maps.
        class_weights: ``raw`` weights of the head, or ``effective`` ones, with the norm before it.
    """

    images: ClassVar[int] = 100
    beside_random: ClassVar[bool] = True
    cannot_say: ClassVar[str] = (
        "A correlation with weights does not say where a map is active: a large area may be the object or the "
        "background; and intervals are of other images, not of another training or another draw of random weights."
    )

    terms: ClassVar[Mapping[str, str]] = {
        "class weight": "the weight of a map for the true class of the image: of the head as it is (raw), or with the "
        "norm before it (effective).",
        "area above R of the 99th percentile": "the share of a map's cells above R (--relative) times the 99th "
        "percentile of all values of the image's maps.",
        "area above T": "the share of a map's cells above T (--threshold; the paper's is 10).",
        "mean (GAP)": "the mean of a map over its cells, its global average pooling.",
        "mean": "the mean of the quantity over all maps of all images.",
        "rank correlation": "Spearman's ρ of class weight and quantity, over all pairs of an image and a map.",
        "near 0": "the mean area of the fifth of all maps whose weights are nearest to 0, over the mean area of the "
        "others: above 1 is the paper's pillar, 1 where weights say nothing of areas.",
        "low, high": "the ends of the 95 % interval: bootstrap over images.",
        "share w > 0, above (and so on)": "the quadrants: shares of all maps with a positive or another weight, and a "
        "quantity above its median over all maps or not.",
    }

    threshold: Annotated[float, Field(allow_inf_nan=False, description="Pixels of a map above it are activated.")] = 10
    relative: Annotated[
        float,
        Field(gt=0, lt=1, description="A second threshold, as a share of the 99th percentile of the image's features."),
    ] = 0.5
    class_weights: Annotated[
        WeightsKind, Field(description="Of the head as they are, or with the norm before it (effective).")
    ] = "raw"

    def measure(self, subject: Subject) -> WeighedMaps:
        """Return weights, areas and means of all maps of all images."""
        subject.require_class_weights()
        found: list[list[NDArray[np.float64]]] = []
        for batch in subject.stream("areas of the maps"):
            weights = subject.class_weights(batch, self.class_weights).double().cpu().numpy()
            maps = batch.features.float().cpu().numpy()
            level = self.relative * np.percentile(maps, PERCENTILE, axis=(1, 2, 3), keepdims=True)
            areas = [(maps > cut).mean(axis=(2, 3)) for cut in (self.threshold, level)]
            found.append([weights, *areas, maps.mean(axis=(2, 3), dtype=np.float64)])
        return WeighedMaps(*map(np.concatenate, zip(*found, strict=True)))

    def conclude(self, measured: Sequence[Measured[WeighedMaps]]) -> Findings:
        """Correlate weights with areas and means, and draw them."""
        looks = looks_of(measured)
        parts = [_Network(each.label, each.result, self._quantities(each.result)) for each in measured]
        rows = [row for part in parts for row in part.rows]
        figures = {
            name: draw_joint_densities(
                {part.label: part.density(quantity) for part in parts},
                looks,
                across="class weight" if self.class_weights == "raw" else "effective class weight",
                up=quantity,
                point="a feature map of an image",
                caption=[
                    f"{quantity}: {self.terms[term]} Line: its mean in {BINS} bins of the weight with equally many "
                    "maps. Dotted: its median. ρ: rank correlation of both, with its 95 % interval over images."
                ],
            )
            for (name, term), quantity in zip(_FIGURES.items(), parts[0].quantities, strict=True)
        }
        bins = pd.concat([part.bins for part in parts], ignore_index=True)
        return Findings(pd.DataFrame(rows), figures, self._shows(parts), {"bins": bins})

    def _quantities(self, maps: WeighedMaps) -> dict[str, NDArray[np.float64]]:
        """Return the name of each quantity, with its values (N, K); the one that suits all networks comes first."""
        return {
            f"area above {self.relative:g} of the {PERCENTILE:g}th percentile": maps.relative_area,
            f"area above {self.threshold:g}": maps.area,
            "mean (GAP)": maps.means,
        }

    def _shows(self, parts: Sequence[_Network]) -> str:
        first = next(iter(parts[0].quantities))
        told = [f"{part.label} {part.correlations[first]} (near 0: {part.pillars[first]})" for part in parts]
        alone = "" if len(parts[0].maps.weights) > 1 else "; one image gives no intervals, use several"
        return f"Rank correlation of class weight and {first}: {'; '.join(told)}{alone}."


class _Network:
    """What is said of one network."""

    def __init__(self, label: str, maps: WeighedMaps, quantities: Mapping[str, NDArray[np.float64]]) -> None:
        draws = image_draws(len(maps.weights))
        self.label, self.maps, self.quantities = label, maps, quantities
        self.correlations = rank_correlations(maps.weights, quantities, draws)
        self.pillars = {
            name: pillar(maps.weights, values, draws) if values is not maps.means else UNDEFINED
            for name, values in quantities.items()
        }

    @property
    def rows(self) -> list[dict[str, object]]:
        """The rows of the table."""
        return [
            {
                "network": self.label,
                "quantity": name,
                "images": len(values),
                "mean": float(values.mean()),
                **_columns("rank correlation", self.correlations[name]),
                **_columns("near 0", self.pillars[name]),
                **{f"share w {place}": share for place, share in quadrants(self.maps.weights, values).items()},
            }
            for name, values in self.quantities.items()
        ]

    @property
    def bins(self) -> pd.DataFrame:
        """The mean of every quantity in bins of the weight, which hold equally many maps."""
        tables = [
            binned(self.maps.weights, values).assign(network=self.label, quantity=name)
            for name, values in self.quantities.items()
        ]
        joined = pd.concat(tables, ignore_index=True)
        return joined[["network", "quantity", "weight", "mean"]]

    def density(self, quantity: str) -> JointDensity:
        """Return what is drawn of a quantity."""
        values, line = self.quantities[quantity], binned(self.maps.weights, self.quantities[quantity])
        return JointDensity(
            x=self.maps.weights.ravel(),
            y=values.ravel(),
            cut=float(np.median(values)),
            line=(line["weight"].to_numpy(), line["mean"].to_numpy()),
            caption=self._caption(quantity),
        )

    def _caption(self, quantity: str) -> str:
        found, values = self.correlations[quantity], self.quantities[quantity]
        if np.isnan(found.value):
            return f"all values are {values.flat[0]:g}" if np.ptp(values) == 0 else "all weights are equal"
        return f"ρ = {found}"


def pillar(weights: NDArray[np.float64], areas: NDArray[np.float64], draws: NDArray[np.float64]) -> Estimate:
    """Return the mean area of maps with weights near 0, divided by that of the others.

    Near 0 is the fifth of all maps whose weights are the smallest in absolute value; resamples have the same limit.

    Args:
        weights: (N, K).
        areas: (N, K).
        draws: (B, N) how often each image is in each resample.
    """
    distance = np.abs(weights)
    near = distance <= np.quantile(distance, NEAR_ZERO)
    sums = np.stack([np.where(near, areas, 0).sum(1), near.sum(1), np.where(near, 0, areas).sum(1), (~near).sum(1)])

    def ratio(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        area_near, maps_near, area_far, maps_far = sums @ counts.T
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios: NDArray[np.float64] = (area_near / maps_near) / (area_far / maps_far)
        return np.where(np.isfinite(ratios), ratios, np.nan)

    return estimate(float(ratio(np.ones((1, len(weights))))[0]), ratio(draws), len(weights))


def quadrants(weights: NDArray[np.float64], values: NDArray[np.float64]) -> dict[str, float]:
    """Return the share of maps in every quadrant: by the sign of the weight, and above the median of the values or not.

    Args:
        weights: (N, K); 0 counts as negative.
        values: (N, K); a value equal to the median counts as below.
    """
    positive, above = weights > 0, values > np.median(values)
    return {
        "> 0, above": float((positive & above).mean()),
        "> 0, below": float((positive & ~above).mean()),
        "≤ 0, above": float((~positive & above).mean()),
        "≤ 0, below": float((~positive & ~above).mean()),
    }


def binned(weights: NDArray[np.float64], values: NDArray[np.float64]) -> pd.DataFrame:
    """Return the mean weight and the mean value in bins of the weight, which hold equally many maps."""
    order = np.argsort(weights, axis=None, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if part.size]
    return pd.DataFrame({"weight": weights.ravel()[part].mean(), "mean": values.ravel()[part].mean()} for part in parts)


def _columns(name: str, found: Estimate) -> dict[str, float | None]:
    """Return the columns of an estimate; None where it is not defined."""
    numbers = {name: found.value, f"{name} low": found.low, f"{name} high": found.high}
    return {column: None if np.isnan(number) else number for column, number in numbers.items()}
