"""Effective receptive field: how much of the image the centre of the feature maps depends on (Fig. 9, 10).

The steps are those of the script that RepLKNet's authors published: ReLU of the centre cell (h // 2, w // 2) of the
maps, the sum over channels; its gradient with respect to the normalised image; ReLU, the sum over the colours; the mean
A over images; D = log10(A + 1) over its maximum. The contribution of a square is its share of the sum of D.

The cell lies half a cell right of and below the middle of the image if the maps have an even side; the squares have the
pixel (H // 2, W // 2) in the middle, and odd sides from 3 up. All this is as published.

Where paper and script are silent, and where this differs from them:

* Images: the first of the test split in a fixed random order. The paper takes 100 of CUB and does not say which.
* Normalisation: that of each network. The logarithm makes D depend on the scale of the gradients, which the table has.
* Maps: the features of the network, as every method reads them. The script takes the maps before the final norm, and so
  do RepLKNet, ConvNeXt, SLaK, HorNet and UniRepLKNet here. A ResNet has no such norm. Networks of tokens, Swin and
  EfficientNet among timm's have their features after a norm. It matters little: after the norm, the ERF size of
  replknet_nano on critters is 2 % smaller, and that of slak_nano 5 %.
* Rounding: a ReLU whose input is close to 0 can be open in the merged network and closed in the unmerged one. At a few
  pixels of RepLKNet-31B at 512 px, D then differs by about 1e-3 from that in double precision, in the script as much
  as here. With the same ReLUs open, all agree within 1e-6 at 256 px. Ratios and ERF size are equal at 1024 px
  (`benchmarks/erf.py`).
* A gradient that is not finite is an error. The script skips the image.
* A share that no square reaches has the area ratio 1, and the table names it. The script stops with an error.
* ERF size: the area under the ratio by the trapezoidal rule, from the first share to the last. The paper does not say
  how it integrates, nor whether it divides by the length 0.89 of that axis: both numbers are in the table.

Sources: Yasuki and Taki, "CAM Back Again", CVPR 2024, Fig. 9 and 10; Ding et al., "Scaling Up Your Kernels to 31x31",
CVPR 2022; Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NeurIPS
2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field

from wsolbench.analysis.study import Findings, Measured, NetworkStudy, looks_of
from wsolbench.analysis.subject import Subject
from wsolbench.engine.features import FeatureBatch
from wsolbench.errors import DataError, UsageError
from wsolbench.figures.heat_maps import HeatMap, draw_heat_maps
from wsolbench.figures.share_curves import draw_share_curves
from wsolbench.host.provider import blaming
from wsolbench.texts import in_pixels, percentage

SHARES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
"""The shares t of the contribution for which a square is sought."""
IN_TABLE = (0.2, 0.3, 0.5, 0.99)
"""Those that the table has, as published."""
DRAWN = 0.5
"""That whose square is drawn."""


@dataclass(frozen=True, eq=False)
class Gradients:
    """What was measured of one network.

    Attributes:
        mean: A, float64 (H, W): the mean over images of the gradient's positive part, summed over the colours.
        images: Number of images.
        without: Number of images whose gradient is 0, because no feature of the centre cell is positive.
    """

    mean: NDArray[np.float64]
    images: int
    without: int


@dataclass(frozen=True)
class Study(NetworkStudy[Gradients]):
    """The gradient of the centre of the maps, and the squares that hold shares of it."""

    images: ClassVar[int] = 100
    beside_random: ClassVar[bool] = True
    quick: ClassVar[Mapping[str, Any]] = {"size": 256}
    quick_images: ClassVar[int | None] = 20
    cannot_say: ClassVar[str] = (
        "Sizes depend on the scale of the gradients, by the logarithm, and on the input size, and are of the centre of "
        "the maps alone: a network with a larger ERF need not localize better."
    )

    terms: ClassVar[Mapping[str, str]] = {
        "contribution": "of a pixel, D = log10(A + 1) over its maximum. A is the positive part of the gradient of s "
        "with respect to the pixel, summed over its colours, the mean over images; s is the sum over channels of "
        "ReLU(maps) in the centre cell, so that channels that are negative there do not count. As published.",
        "side (t=...), ratio (t=...)": "the smallest centred square that holds more than the share t of the sum of all "
        "contributions: its side in pixels, and its area over the area of the image. Sides are odd, from 3 up, as "
        "published: where one pixel contributes all, the side is 3.",
        "ERF size": "the area under the curve of the ratio against t, from t = 0.1 to 0.99, by the trapezoidal rule; "
        "equal contributions of all pixels have about 0.49.",
        "ERF size / 0.89": "the same over the length of this range, 0.99 - 0.1, so that it is a mean ratio; equal "
        "contributions of all pixels have about 0.55.",
        "input": "the side of the input in pixels; ERF sizes at different ones are not comparable.",
        "mean gradient": "the mean of A over the pixels; by the logarithm, sizes depend on it.",
        "shares not reached": "t that no square below the whole image holds; their ratio counts as 1.",
    }

    size: Annotated[
        int | None,
        Field(
            ge=4,
            description="Side of the input in pixels, or 'none' for each network's own. A size behind the name of a "
            "network, as in NAME_224, counts more than the default.",
        ),
    ] = 1024

    @property
    def input_size(self) -> int | None:
        """Side of the input in pixels; None for each network's own."""
        return self.size

    def measure(self, subject: Subject) -> Gradients:
        """Return the mean gradient over the images, one image in memory at a time."""
        size = subject.network.spec.input.size
        total = np.zeros((size, size))
        images = without = 0
        for batch in subject.stream("gradient of the centre", gradients=True, batch_size=1):
            gradient = centre_gradient(subject, batch)
            total += gradient
            images += 1
            without += not gradient.any()
        if without == images:
            raise UsageError(
                f"the centre of the features of '{subject.label}' depends on no pixel of the {images} images: none of "
                f"them is positive there, or their gradients are 0; choose another {subject.spelling.setting('tap')}"
            )
        return Gradients(total / images, images, without)

    def conclude(self, measured: Sequence[Measured[Gradients]]) -> Findings:
        """Compare the areas that the centres of the networks' maps depend on."""
        squares = {each.label: find_squares(contribution(each.result.mean)) for each in measured}
        table = pd.DataFrame(_row(each, squares[each.label]) for each in measured)
        curves = pd.concat([found.table(label) for label, found in squares.items()], ignore_index=True)
        ratios = {label: found.ratios for label, found in squares.items()}
        sizes = {label: f"ERF size {found.size:.3g}" for label, found in squares.items()}
        at = in_pixels(len(each.result.mean) for each in measured)
        return Findings(
            table,
            {
                "": draw_heat_maps(
                    _columns(measured, squares),
                    f"contribution of each pixel to the centre of the maps; input {at}",
                    "D = log10(A + 1), maximum 1",
                    caption=[
                        f"Contribution {self.terms['contribution']}",
                        f"The square is the smallest centred one that holds {percentage(DRAWN)} of their sum.",
                    ],
                ),
                "curve": draw_share_curves(
                    SHARES,
                    ratios,
                    looks_of(measured),
                    title=f"smallest centred square that holds a share of the contribution; input {at}",
                    x="share t of the contribution",
                    y="area of the square / area of the image",
                    notes=sizes,
                    caption=[f"{name}: {self.terms[name]}" for name in ("contribution", "ERF size")],
                ),
            },
            _shows(table, at),
            {"curve": curves},
            {"gradients": {each.label: each.result.mean.astype(np.float32) for each in measured}},
        )


# ------------------------------------------------------------------------------------------------------- one network


def centre_gradient(subject: Subject, batch: FeatureBatch) -> NDArray[np.float64]:
    """Return the positive gradient (H, W) of the centre cell of an image's maps, summed over channels and colours.

    Raises:
        UsageError: The features cannot be differentiated.
        DataError: The gradient is not finite.
        PluginError: The network fails.
    """
    height, width = batch.features.shape[-2:]
    score = batch.features[:, :, height // 2, width // 2].relu().sum()
    if not score.requires_grad:
        raise UsageError(
            f"the features of '{subject.label}' have no gradients with respect to the image, which this analysis needs"
        )
    network = subject.network
    with blaming(network.offer.provider, f"in the gradient of '{network.spec.name}'"):
        (gradient,) = torch.autograd.grad(score, batch.images, allow_unused=True, materialize_grads=True)
    if not bool(gradient.isfinite().all()):
        image = subject.part.images.ids[int(batch.indices[0])]
        raise DataError(f"'{subject.label}': the gradient of the features of the image '{image}' holds NaN or infinity")
    summed: NDArray[np.float64] = gradient.relu().sum(dim=(0, 1)).cpu().double().numpy()
    return summed


def contribution(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return D (H, W), which is 1 at its largest: log10(A + 1) of a mean gradient A that is positive somewhere."""
    logarithm = np.log1p(mean)  # of any base, since D is relative; exact also for small gradients
    scaled: NDArray[np.float64] = logarithm / logarithm.max()
    return scaled


@dataclass(frozen=True, eq=False)
class Squares:
    """The smallest centred squares that hold more than each share of a contribution, at every entry of `SHARES`.

    Attributes:
        sides: In pixels, int64; the side of the image where no square holds as much.
        ratios: Area of the square over area of the image; 1 where no square holds as much.
        reached: Whether a square holds as much.
    """

    sides: NDArray[np.int64]
    ratios: NDArray[np.float64]
    reached: NDArray[np.bool_]

    @property
    def size(self) -> float:
        """The ERF size: the area under the ratio over the shares."""
        return float(np.trapezoid(self.ratios, SHARES))

    def table(self, label: str) -> pd.DataFrame:
        """Return a row for each share, with what the network is called."""
        columns = {"t": SHARES, "side": self.sides, "ratio": self.ratios, "reached": self.reached}
        return pd.DataFrame({"network": label, **columns})

    def at(self, share: float) -> int:
        """Return the place of a share."""
        return int(np.flatnonzero(share == SHARES)[0])


def held_shares(contributions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what share of a contribution the square of the side 2 i + 1 holds, for every i (H // 2 + 1,).

    What a square holds more than the next smaller one is the sum over the pixels at the distance i.

    Args:
        contributions: D (H, H), not negative and positive somewhere.
    """
    (height, _) = contributions.shape
    offset = np.abs(np.arange(height) - height // 2)
    distance = np.maximum(offset[:, None], offset[None, :])
    held = np.bincount(distance.ravel(), weights=contributions.ravel()).cumsum()
    shares: NDArray[np.float64] = held / held[-1]
    return shares


def find_squares(contributions: NDArray[np.float64]) -> Squares:
    """Return the smallest squares around the pixel (H // 2, H // 2) that hold more than each share.

    Their sides are odd, from 3 to below H, as published.

    Args:
        contributions: D (H, H), not negative and positive somewhere.
    """
    (height, _) = contributions.shape
    halves = np.searchsorted(held_shares(contributions)[1 : height // 2], SHARES, side="right") + 1
    reached = halves < height // 2
    sides = np.where(reached, 2 * halves + 1, height)
    return Squares(sides, sides**2 / height**2, reached)


# ---------------------------------------------------------------------------------------------------------- all of them


def _row(measured: Measured[Gradients], squares: Squares) -> dict[str, Any]:
    result = measured.result
    places = [(share, squares.at(share)) for share in IN_TABLE]
    missed = ", ".join(f"{share:g}" for share in SHARES[~squares.reached])
    return {
        "network": measured.label,
        "images": result.images,
        "input": len(result.mean),
        "ERF size": squares.size,
        "ERF size / 0.89": squares.size / (SHARES[-1] - SHARES[0]),
        **{f"side (t={share:g})": int(squares.sides[place]) for share, place in places},
        **{f"ratio (t={share:g})": float(squares.ratios[place]) for share, place in places},
        "mean gradient": float(result.mean.mean()),
        "images without gradient": result.without,
        "shares not reached": missed,
    }


def _shows(table: pd.DataFrame, at: str) -> str:
    """Return what the figures show, in one or two sentences."""
    ordered = table.sort_values("ERF size", kind="stable")
    sizes = ", ".join(f"{row['network']} {row['ERF size']:.3g}" for _, row in ordered.iterrows())
    shows = f"ERF size, the part of the image, with inputs of {at}, from the smallest to the largest: {sizes}."
    if table["input"].nunique() > 1:
        shows += " Inputs differ in size, so that a larger size need not be a larger field."
    return shows


def _columns(measured: Sequence[Measured[Gradients]], squares: dict[str, Squares]) -> list[list[HeatMap | None]]:
    """Return a column of pictures for every network: its trainings, and below them the one with random weights."""
    groups: dict[str, tuple[list[HeatMap], list[HeatMap]]] = {}
    for each in measured:
        trained, random = groups.setdefault(each.backbone.label, ([], []))
        (random if each.is_random else trained).append(_picture(each, squares[each.label]))
    above, below = (max(len(group[kind]) for group in groups.values()) for kind in (0, 1))
    return [[*_filled(trained, above), *_filled(random, below)] for trained, random in groups.values()]


def _filled(pictures: list[HeatMap], rows: int) -> list[HeatMap | None]:
    return [*pictures, *[None] * (rows - len(pictures))]


def _picture(measured: Measured[Gradients], squares: Squares) -> HeatMap:
    place = squares.at(DRAWN)
    note = f"{percentage(DRAWN)} in {percentage(float(squares.ratios[place]))} of the area"
    return HeatMap(measured.label, contribution(measured.result.mean), int(squares.sides[place]), note)
