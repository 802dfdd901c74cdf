"""Two parts of a CAM, side by side with the whole: their scores, their maps, and the feature maps that make them.

`signs` parts the channels by the sign of the class weight, `small-large` by its size.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from wsolbench.analysis.part_scores import (
    WHOLE,
    Scores,
    all_scores_table,
    draw_scores,
    measure_scores,
    score_table,
    verdict,
)
from wsolbench.analysis.study import Findings, Measured, NetworkStudy
from wsolbench.analysis.subject import Subject
from wsolbench.contract.backbones import class_weights
from wsolbench.engine.localize import NetworkMaps
from wsolbench.engine.methods import BuiltMethod, build_methods
from wsolbench.engine.redraw import picture
from wsolbench.errors import UnknownNameError
from wsolbench.figures.map_table import Cell, FeatureMap, Heatmap, Row, draw_map_table
from wsolbench.figures.panels import Picture, short_id
from wsolbench.files import file_name
from wsolbench.protocol import box_iou, boxes_at

__all__ = ["Part", "Parts", "PartsStudy", "strongest"]


@dataclass(frozen=True)
class Part:
    """A part of the channels.

    Attributes:
        name: What figures call it.
        method: The method that sums its feature maps.
        holds: Class weights, of any shape -> which of them are of the part.
        options: Those of the method.
    """

    name: str
    method: str
    holds: Callable[[Tensor], Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Parts:
    """What was measured of one network.

    Attributes:
        scores: Method -> its scores.
        rows: What is drawn of every image that is shown.
    """

    scores: Scores
    rows: Sequence[Row]


@dataclass(frozen=True)
class PartsStudy(NetworkStudy[Parts]):
    """An analysis of two parts of the channels.

    The feature maps that are shown are the strongest of each part: those with the largest product of the class weight's
    magnitude and the mean magnitude of the map. The weight alone would show channels that the image leaves empty.
    """

    images: ClassVar[int | None] = None
    beside_random: ClassVar[bool] = True
    scores_maps: ClassVar[bool] = True
    terms: ClassVar[Mapping[str, str]] = {
        "channels": "how many channels a method sums, the mean over images (classes have other weights).",
        "constant maps": "images whose map has one value only: it counts as a zero map, and localizes nothing. Where "
        "all maps of a method are constant, there is no map to score: scores are empty, and a note says so.",
        "τ": "the threshold at which boxes are drawn, chosen on train-fullsup; the best one where that has no boxes.",
        "MaxBoxAcc, MaxBoxAccV2": "share of the images that are localized, in %, at the best τ: by the box of the "
        "largest contour with IoU 0.5; by any box, the mean over IoU 0.3, 0.5 and 0.7.",
        "difference, low, high": f"to {WHOLE} on the same images, and the ends of its 95 % interval: bootstrap over "
        "images, with the best τ chosen anew in every resample.",
    }

    image: Annotated[
        tuple[str, ...], Field(description="Id of an image to show; repeatable. By default images are drawn at random.")
    ] = ()
    shown: Annotated[int, Field(ge=1, le=50, description="How many images are drawn at random to be shown.")] = 3
    maps: Annotated[int, Field(ge=1, le=12, description="How many feature maps of each part are shown.")] = 3

    @property
    @abstractmethod
    def parts(self) -> tuple[Part, Part]:
        """The two parts of the channels."""

    def measure(self, subject: Subject) -> Parts:
        """Score the maps of the whole and of both parts, and collect what is shown of a few images."""
        subject.require_class_weights()
        indices = subject.choose_images(self.image, self.shown)
        methods = self._build(subject)
        scores = measure_scores(subject, methods, self._count_channels(subject))
        return Parts(scores, self._rows(subject, methods, scores, indices))

    def conclude(self, measured: Sequence[Measured[Parts]]) -> Findings:
        """Compare the scores of the parts with that of the whole, network by network."""
        scores = [each.with_result(each.result.scores) for each in measured]
        columns = {"": 1, **{part.name: self.maps for part in self.parts}, "maps of the class": 1 + len(self.parts)}
        figures = {"": draw_scores(scores)}
        for number, each in enumerate(measured, start=1):
            stem = f"{number}-{file_name(each.label.replace(' (', '-').replace(')', ''))}"
            figures[stem[:80]] = draw_map_table(
                columns, each.result.rows, each.label, self._caption(each.result.scores)
            )
        return Findings(score_table(scores), figures, verdict(scores), {"scores": all_scores_table(scores)})

    def _caption(self, scores: Scores) -> list[str]:
        """Return how images and feature maps of a picture are chosen and ordered, and where boxes are drawn."""
        images = "those that are named" if self.image else "drawn at random, the same for all networks"
        thresholds = [f"{method} {of.threshold:g}" for method, of in scores.items() if of.threshold is not None]
        return [
            f"Rows: images, {images}; their class stands on the left. Maps of the class: as they are scored"
            + (f"; IoU and box at τ: {', '.join(thresholds)}." if thresholds else "."),
            f"Feature maps: of each part the {self.maps} strongest for the image, the strongest first, by |w| times "
            "the mean of |map|; above them the number of the channel, from 0, and its weight w for the class.",
        ]

    def _build(self, subject: Subject) -> tuple[BuiltMethod, ...]:
        """Build the methods of the whole and of the parts.

        Raises:
            UnknownNameError: No installed plugin offers one of them.
        """
        wanted: dict[str, Mapping[str, Any]] = {WHOLE: {}, **{part.method: part.options for part in self.parts}}
        try:
            return build_methods(subject.registry, wanted)
        except UnknownNameError as error:
            raise UnknownNameError(f"this analysis needs the methods {', '.join(wanted)}: {error}") from error

    def _count_channels(self, subject: Subject) -> list[float]:
        """Return how many channels the whole and the parts have, the means over images."""
        weights = class_weights(subject.network.module)
        assert weights is not None
        rows = subject.rows_of(torch.from_numpy(subject.part.images.labels)).to(weights.device)
        held = [float(part.holds(weights)[rows].sum(dim=1).double().mean()) for part in self.parts]
        return [weights.shape[1], *held]

    def _rows(
        self,
        subject: Subject,
        methods: tuple[BuiltMethod, ...],
        scores: Scores,
        indices: Sequence[int],
    ) -> list[Row]:
        """Return what is drawn of some images: the image, feature maps of both parts, and the maps of all methods."""
        settings = (subject.batch_size, subject.workers, subject.seed, subject.class_rows)
        scoremaps = NetworkMaps(subject.network, methods, "gt", *settings).scoremaps(subject.part.images, indices)
        rows: dict[int, Row] = {}
        for batch in subject.stream("feature maps", order=indices):
            weights, features = subject.class_weights(batch).cpu(), batch.features.cpu()
            for index, maps, of_class in zip(batch.indices.tolist(), features, weights, strict=True):
                shown = picture(subject.part, index)
                cells: list[Cell] = [(short_id(shown.name, 22), shown)]
                for part in self.parts:
                    cells += self._feature_maps(maps, of_class, part)
                cells += [_heatmap(shown, scoremaps[method][index], method, scores) for method in scoremaps]
                name = subject.dataset.class_names[int(subject.part.images.labels[index])]
                rows[index] = Row(name, cells)
        return [rows[index] for index in indices]

    def _feature_maps(self, features: Tensor, weights: Tensor, part: Part) -> list[Cell]:
        """Return the strongest feature maps of a part, with empty cells where it has fewer."""
        channels = strongest(features, weights, part.holds(weights), self.maps)
        cells: list[Cell] = [
            (f"map {channel}, w {float(weights[channel]):+.2g}", FeatureMap(features[channel].numpy()))
            for channel in channels
        ]
        return cells + [("", None)] * (self.maps - len(cells))


def strongest(features: Tensor, weights: Tensor, held: Tensor, count: int) -> list[int]:
    """Return the channels with the largest ``|w_k| mean |F_k|``, the strongest first.

    Args:
        features: (K, h, w).
        weights: Of the image's class, (K,).
        held: Which channels are considered, bool (K,).
        count: At most so many are returned.
    """
    strength = weights.abs() * features.abs().mean(dim=(1, 2))
    order = strength.where(held, -1).argsort(descending=True, stable=True)
    channels: list[int] = order[: min(count, int(held.sum()))].tolist()
    return channels


def _heatmap(shown: Picture, scoremap: NDArray[Any], method: str, scores: Scores) -> Cell:
    if scores[method].undefined:
        return f"{method}: not defined", shown
    if scoremap.min() == scoremap.max():
        return f"{method}: constant", shown
    threshold = scores[method].threshold
    if threshold is None:
        return method, Heatmap(shown, scoremap, None)
    overlap = box_iou(boxes_at(scoremap, threshold)[0][None], shown.true_boxes).max()
    return f"{method}: IoU {overlap:.2f}", Heatmap(shown, scoremap, threshold)
