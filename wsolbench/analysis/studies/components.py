"""The first components of an image's feature maps, and how much of their variance lies along the first (Fig. 7 and 8).

Components are those of the method ``pc1``: maps are samples and positions variables, so a component is a map. Every map
is multiplied by its class weight and then min-max normalised, so only the sign of the weight counts. At every position
of an image the mean over its maps is removed; images have nothing in common. The share of a component is its eigenvalue
over the sum of all. The energy share of `noise` is another number, which ``pc1-patches`` has too: there positions are
samples, and nothing is normalised.

Source: Yasuki and Taki, "CAM Back Again", CVPR 2024, Fig. 7 and 8: 1,000 images of train-fullsup, maps of 12×12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from wsolbench.analysis.study import Findings, Measured, NetworkStudy, looks_of
from wsolbench.analysis.subject import Subject
from wsolbench.contract import Split
from wsolbench.engine.features import FeatureBatch
from wsolbench.engine.guards import MethodGuard
from wsolbench.engine.methods import BuiltMethod, MethodMaps, apply_method, build_methods, maps_of
from wsolbench.engine.redraw import picture
from wsolbench.errors import UnknownNameError
from wsolbench.figures.distributions import draw_violins
from wsolbench.figures.map_table import Cell, FeatureMap, Heatmap, Row, draw_map_table
from wsolbench.figures.panels import short_id
from wsolbench.protocol import to_scoremap

SHOWN = {"PC1": "pc1-corrected", "PC2": "pc2", "PC3": "pc3", "PC4": "pc4"}
"""What pictures call a component, and the method that makes it; all have the sign that makes the border dark."""
STATISTIC = "variance_share"
"""What methods of components report of a map."""
SHARE = "PC1 share"
"""What tables and figures call it."""


SIGN = (
    "a component has no sign of its own. It is scaled so that its largest value is 1 in magnitude, and has the sign "
    "with which most cells of the border are below its mean; 'inverted' says that its largest value is -1 then: the "
    "border is blue, and white or red is what stands out from it."
)


@dataclass(frozen=True, eq=False)
class ShownImage:
    """The components of one image.

    Attributes:
        title: Its class and its name.
        cells: What is drawn of one network: the image, perhaps components, and the map as it is scored.
    """

    title: str
    cells: Sequence[Cell]

    @property
    def has_components(self) -> bool:
        """Whether components are drawn."""
        return len(self.cells) > 2


@dataclass(frozen=True, eq=False)
class Components:
    """What was measured of one network.

    Attributes:
        ids: The images.
        shares: (N,) the share of the first component; NaN where all maps are equal or constant.
        shown: The images of which components are drawn.
    """

    ids: Sequence[str]
    shares: NDArray[np.float64]
    shown: Sequence[ShownImage]


@dataclass(frozen=True)
class Study(NetworkStudy[Components]):
    """The variance share of the first component of each image, and pictures of the first four of a few images."""

    split: ClassVar[Split] = Split.TRAIN_FULLSUP
    images: ClassVar[int | None] = 1000
    beside_random: ClassVar[bool] = True
    cannot_say: ClassVar[str] = (
        "A large share says that the maps of an image resemble one another, not that what they share is the object; "
        "maps that are 0 nearly everywhere differ mostly in the sign of their weights, and so random weights can have "
        "a large share too."
    )
    terms: ClassVar[Mapping[str, str]] = {
        SHARE: "the share of the variance of an image's maps along their first component: its eigenvalue over the sum "
        "of all. Maps are samples and cells are variables: every map is multiplied by the sign of its class weight and "
        "min-max normalised, then the mean over the maps is removed at every cell. With --method pc1-unsigned all "
        "signs are positive; with pc1-patches cells are samples, and it is the energy share of 'noise'.",
        "(lower quartile), (median), (upper quartile)": "over images.",
        "not defined": "images whose maps are all constant or all equal; they are in no quartile.",
        "PC1 to PC4, inverted": SIGN,
    }

    method: Annotated[
        Literal["pc1", "pc1-unsigned", "pc1-patches"],
        Field(description="Whose component is measured; the other two serve networks without class weights."),
    ] = "pc1"
    image: Annotated[
        tuple[str, ...], Field(description="Id of an image to show; repeatable. By default images are drawn at random.")
    ] = ()
    shown: Annotated[int, Field(ge=1, le=50, description="How many images are drawn at random to be shown.")] = 3

    def measure(self, subject: Subject) -> Components:
        """Return the share of the first component of every image, and the first components of a few."""
        measured, others = self._build(subject)
        guard = MethodGuard(subject.network.module, subject.seed)
        indices = subject.choose_images(self.image, self.shown)
        shares: list[NDArray[np.float64]] = []
        shown: dict[int, ShownImage] = {}
        for batch in subject.stream("first components"):
            made = _apply(measured, subject, batch, guard)
            shares.append(made.statistics[STATISTIC])
            if set(indices) & set(batch.indices.tolist()):
                components = {name: _apply(other, subject, batch, guard) for name, other in others.items()}
                for row, index in enumerate(batch.indices.tolist()):
                    if index in indices:
                        shown[index] = _shown(subject, index, row, made, components, self.method)
        return Components(subject.part.images.ids, np.concatenate(shares), [shown[index] for index in indices])

    def conclude(self, measured: Sequence[Measured[Components]]) -> Findings:
        """Compare the distributions of the networks, and put their components side by side."""
        shares = {each.label: each.result.shares[np.isfinite(each.result.shares)] for each in measured}
        table = pd.DataFrame(
            {
                "network": each.label,
                "images": len(each.result.shares),
                "not defined": int(np.isnan(each.result.shares).sum()),
                **_quartiles(shares[each.label]),
            }
            for each in measured
        )
        images = pd.concat(
            [
                pd.DataFrame({"network": each.label, "image": each.result.ids, SHARE: each.result.shares})
                for each in measured
            ],
            ignore_index=True,
        )
        figures = {"": draw_violins({SHARE: shares}, looks_of(measured), caption=[f"{SHARE}: {self.terms[SHARE]}"])}
        for number, one in enumerate(measured[0].result.shown):
            rows = [Row(each.label, each.result.shown[number].cells) for each in measured]
            figures[f"image-{number + 1}"] = draw_map_table(self._groups(one), rows, one.title, self._caption(one))
        median = f"{SHARE} (median)"
        ordered = table.dropna(subset=[median]).sort_values(median, ascending=False, kind="stable")
        told = [f"{label} {share:.2f}" for label, share in zip(ordered["network"], ordered[median], strict=True)]
        text = "From the largest share of the variance along PC1 to the smallest, medians over images"
        return Findings(table, figures, f"{text}: {', '.join(told) or 'none is defined'}.", {"images": images})

    def _build(self, subject: Subject) -> tuple[BuiltMethod, dict[str, BuiltMethod]]:
        """Return the method that is measured, and those of the components that are shown besides.

        Raises:
            UnknownNameError: No installed plugin offers one of them.
            UsageError: They need class weights, which the network does not have.
        """
        try:
            (measured,) = build_methods(subject.registry, {self.method: {}})
            if "class weights" not in measured.offer.spec.needs:
                return measured, {}
            subject.require_class_weights(subject.spelling.option("method", "pc1-unsigned"))
            others = build_methods(subject.registry, {method: {} for method in SHOWN.values()})
        except UnknownNameError as error:
            needed = ", ".join([self.method, *SHOWN.values()])
            raise UnknownNameError(f"this analysis needs the methods {needed}: {error}") from error
        return measured, dict(zip(SHOWN, others, strict=True))

    def _groups(self, one: ShownImage) -> dict[str, int]:
        """Return the headings of the columns of a picture."""
        return {"": 1, **({"components": len(SHOWN)} if one.has_components else {}), "map": 1}

    def _caption(self, one: ShownImage) -> list[str]:
        """Return how the rows of a picture are chosen, and the signs of its maps."""
        chosen = "named" if self.image else "drawn at random, the same for all networks"
        rows = f"The image is {chosen}. Rows: networks, in the order in which they are named."
        if not one.has_components:
            return [f"{rows} The map is that of {self.method}, as it is scored."]
        authors = (
            "The map on the right is PC1 as it is scored, with the authors' sign: 1 - PC1 where their count of the"
        )
        return [
            rows,
            f"PC1 to PC4, with their shares of the variance: {SIGN}",
            f"{authors} border finds more than half of it above the mean.",
        ]


def _apply(method: BuiltMethod, subject: Subject, batch: FeatureBatch, guard: MethodGuard) -> MethodMaps:
    ids = [subject.part.images.ids[index] for index in batch.indices]
    return maps_of(method, apply_method(method, batch.features, subject.context(batch), ids, guard))


def _shown(
    subject: Subject, index: int, row: int, made: MethodMaps, components: dict[str, MethodMaps], method: str
) -> ShownImage:
    """Return what is drawn of an image: itself, its components cell by cell, and the map as it is scored."""
    image = picture(subject.part, index)
    cells: list[Cell] = [("", image)]
    for name, of_component in components.items():
        share, values = of_component.statistics[STATISTIC][row], of_component.maps[row]
        inverted = " inverted" if values.max() < -values.min() else ""
        told = "not defined" if np.isnan(share) else f"{100 * share:.1f} %"
        cells.append((f"{name}{inverted}: {told}", FeatureMap(values)))
    scoremap = to_scoremap(made.maps[row])
    is_map = scoremap.min() < scoremap.max()
    cells.append((method, Heatmap(image, scoremap, None)) if is_map else (f"{method}: not defined", image))
    name = subject.dataset.class_names[int(subject.part.images.labels[index])]
    return ShownImage(f"{name}, {short_id(image.name)}", cells)


def _quartiles(shares: NDArray[np.float64]) -> dict[str, float | None]:
    """Return the columns of the table; None where no share is defined."""
    names = [f"{SHARE} ({name})" for name in ("lower quartile", "median", "upper quartile")]
    found = np.quantile(shares, (0.25, 0.5, 0.75)).tolist() if shares.size else [None] * 3
    return dict(zip(names, found, strict=True))
