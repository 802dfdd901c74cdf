"""Which images records localize, by object and class; what is wrong with the other boxes; and how much τ matters.

BoxAcc is that of the largest contour's box at δ 0.5, at the τ that was chosen on train-fullsup or, without one, at the
oracle's. Groups of images are those of `wsolbench.analysis.groupings`, kinds of errors those of
`wsolbench.protocol.box_errors`. The range of τ is every τ of the grid whose BoxAcc is at most one point below that of
the oracle's τ; it may have gaps, and its width is how many they are. Intervals are bootstrap intervals over images with
τ chosen anew in every resample, as in records; those of kinds hold τ. Differences from the first record are paired, and
there where both are of the same images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import Field

from wsolbench.analysis.groupings import Grouping, groupings_of
from wsolbench.analysis.study import Evidence, Findings, RecordStudy
from wsolbench.errors import DataError, UsageError
from wsolbench.figures.box_comparison import draw_box_comparison
from wsolbench.figures.cell_grids import draw_cell_grids
from wsolbench.figures.grouped_intervals import GroupedIntervals, draw_grouped_intervals
from wsolbench.figures.ranked_groups import draw_ranked_groups
from wsolbench.figures.stacked_bars import draw_stacked_bars
from wsolbench.figures.style import Look, palette
from wsolbench.figures.threshold_ranges import RangedCurve, draw_threshold_ranges
from wsolbench.protocol import cam_threshold_grid
from wsolbench.protocol.box_errors import KINDS, BoxErrors, compare_boxes
from wsolbench.protocol.breakdown import (
    Resampled,
    ThresholdRange,
    resample_groups,
    resample_shares,
    resample_threshold_range,
)
from wsolbench.records import ResultRecord, SplitOutcomes
from wsolbench.records.compare import check_comparable, in_order_of_ids
from wsolbench.records.outcomes import Localized, evaluated_and_choosing, find_localized

ALL, ERRORS, TAU = "all images", "errors", "range of τ"
PARTS = (ALL, "size", "position", "objects", "class", ERRORS, TAU)
"""What a record is broken down into."""
DETAILS = ("position", "class")
"""Those that have too many groups for the table that is printed."""
FEWEST = 10
"""Images of a class that is ranked in the figure: of a few images every class is at 0 or 100 %."""
UNKNOWN = "not known"
_FILES = {TAU: "tau"}
_OLDER = "the record is older than boxes in outcomes"

_Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Study(RecordStudy):
    """BoxAcc of groups of images, kinds of errors, and the range of τ."""

    cannot_say: ClassVar[str] = (
        "Groups differ in more than what they are named after: small objects are of other classes and in other places "
        "than large ones, so that a difference between groups is no effect of size."
    )

    terms: ClassVar[Mapping[str, str]] = {
        "percent": "of all images and of groups: images that are localized (BoxAcc: box of the largest contour, δ 0.5, "
        "at the τ chosen on train-fullsup or, without one, at the best τ). Of errors: images with this error, of all.",
        "low, high": "the ends of the 95 % interval (bootstrap over images).",
        "difference, its low, its high": "to the first record, on the same images, with its interval.",
        "size": "the share of the frame that the largest true box covers.",
        "position": "the cell of a 3×3 grid over the image in which the centre of the largest true box is.",
        "objects": "the number of true boxes.",
        "errors": "of boxes with an IoU below 0.5, the first that applies. no box: there is none; elsewhere: it meets "
        "no true box; several objects: it fits the box around all true boxes; too small, too large: its area is below "
        "half, or above twice that of the true box; off-centre: moved onto the true centre it would be right; wrong "
        "shape: it would not.",
        "range of τ": "the good τ: all whose BoxAcc is at most --points below the best one. The range may have gaps: "
        "the group lists its parts, and percent is how many τ of the grid they are together, without the gaps.",
    }

    points: Annotated[
        float, Field(gt=0, le=100, description="How far below the best BoxAcc, in percent, a τ of the range may be.")
    ] = 1.0

    def conclude(self, evidence: Evidence) -> Findings:
        """Break every record down.

        Raises:
            DataError: A record has no boxes.
        """
        broken = break_down(evidence, self.points)
        tables = tables_of(broken)
        printed = pd.concat([table for what, table in tables.items() if what not in DETAILS], ignore_index=True)
        printed = printed[~printed["group"].str.startswith(UNKNOWN)]  # which a sentence says
        printed = printed[~_says_nothing(printed)]
        return Findings(
            _side_by_side(printed),
            self._figures(broken),
            " ".join([*(each.sentence for each in broken[:3]), *_unknown(broken)]),
            {_FILES.get(what, what): table for what, table in tables.items() if what != ALL}
            | {"images": pd.concat([each.images for each in broken], ignore_index=True)},
        )

    def _figures(self, broken: Sequence[Broken]) -> dict[str, Figure]:
        """Draw whatever is known of at least one record."""
        colours = palette([each.label for each in broken])
        looks = {each.label: Look(colours[each.label], each.is_random) for each in broken}
        figures = {"": draw_grouped_intervals(_panels(broken), looks, up="images localized (%)")}
        with_errors = {each.label: each for each in broken if each.errors is not None}
        shares = {label: each.numbers[ERRORS].value[1:] for label, each in with_errors.items()}
        if any(of_record.any() for of_record in shares.values()):
            figures["errors"] = draw_stacked_bars(
                KINDS[1:],
                shares,
                {label: each.wrong for label, each in with_errors.items()},
                across="images that are not localized (% of all images)",
            )
        compared = {label: each.compared for label, each in with_errors.items() if len(each.compared[0])}
        if compared:
            figures["boxes"] = draw_box_comparison(compared, looks, cut=0.5)
        cells = {each.label: cells for each in broken if (cells := each.cells) is not None}
        if any(np.count_nonzero(counts) > 1 for _, counts in cells.values()):
            figures["position"] = draw_cell_grids(
                cells, title="where the centre of the object lies in the image", scale="images localized (%)"
            )
        classes = {each.label: ranked for each in broken if (ranked := each.ranked) is not None}
        if any(len(names) > 1 for names, _ in classes.values()):
            across = f"Images of a class that are localized (%), with intervals; classes of at least {FEWEST} images"
            figures["class"] = draw_ranked_groups(classes, looks, across=across)
        curves = {each.label: curve for each in broken if (curve := each.curve) is not None}
        if curves:
            caption = f"thick: good τ, at most {_told_points(self.points)} below the best"
            figures["tau"] = draw_threshold_ranges(curves, looks, caption=caption)
        return figures


class Broken:
    """One record, broken down.

    Args:
        label: What tables and figures call it.
        record: The record.
        outcomes: Its outcomes, images in the order of all records.
        points: See `Study.points`.

    Raises:
        DataError: It has no boxes.
    """

    def __init__(self, label: str, record: ResultRecord, outcomes: Sequence[SplitOutcomes], points: float) -> None:
        self.label, self.record, self._points = label, record, points
        self.part = next(part for part in outcomes if part.split == record.protocol.split)
        localized = find_localized(outcomes, record.protocol)
        if localized is None:
            why = record.undefined or "its data have no boxes"
            raise DataError(f"the record '{label}' has no BoxAcc to break down: {why}; leave it out")
        self.localized: Localized = localized
        self._scored, self._choosing = evaluated_and_choosing(outcomes, record.protocol)
        count = len(self.part.image_ids)
        self.groupings = {ALL: Grouping((ALL,), np.zeros(count, dtype=np.intp)), **groupings_of(self.part)}

    @property
    def is_random(self) -> bool:
        """Whether the weights of the network are random."""
        return self.record.backbone is not None and self.record.backbone.weights.source == "random"

    @cached_property
    def numbers(self) -> Mapping[str, Resampled]:
        """What is known: part -> percentages, of the groups of images that are localized, or of all images."""
        found = {
            what: resample_groups(self._scored, self._choosing, of.groups, len(of.names))
            for what, of in self.groupings.items()
            if isinstance(of, Grouping)
        }
        if self.errors is not None:
            found[ERRORS] = resample_shares(self._scored, self.errors.kinds, len(KINDS))
        if self.range is not None:
            found[TAU] = self.range.width
        return found

    def table(self, what: str) -> NDArray[np.float64]:
        """Return numbers with their intervals, (G, 3)."""
        return _with_intervals(self.numbers[what])

    def names(self, what: str) -> tuple[str, ...]:
        """Return what the numbers are of."""
        grouping = self.groupings.get(what)
        if isinstance(grouping, Grouping):
            return grouping.names
        return KINDS if what == ERRORS else (self._range_name,)

    def counts(self, what: str) -> list[int]:
        """Return of how many images the numbers are."""
        grouping = self.groupings.get(what)
        counts = np.array([len(self.part.image_ids)])
        if isinstance(grouping, Grouping):
            counts = grouping.counts
        elif self.errors is not None and what == ERRORS:
            counts = np.bincount(self.errors.kinds, minlength=len(KINDS))
        return [int(count) for count in counts]

    @cached_property
    def errors(self) -> BoxErrors | None:
        """How the boxes compare with the true ones; None where the record is older than boxes."""
        true, predicted = self.part.true_boxes, self.part.predicted_boxes
        return None if true is None or predicted is None else compare_boxes(predicted, true)

    @property
    def wrong(self) -> str:
        """How many images are not localized, in words."""
        assert self.errors is not None
        return f"{np.count_nonzero(self.errors.kinds):,} of {len(self.errors.kinds):,} images"

    @property
    def compared(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ratios of areas and distances of centres, of the images with a box."""
        assert self.errors is not None
        there = ~np.isnan(self.errors.ratios)
        return self.errors.ratios[there], self.errors.distances[there]

    @property
    def cells(self) -> tuple[NDArray[np.float64], NDArray[np.intp]] | None:
        """BoxAcc and number of images by position, (3, 3) each."""
        if "position" not in self.numbers:
            return None
        return self.numbers["position"].value.reshape(3, 3), np.array(self.counts("position")).reshape(3, 3)

    @property
    def ranked(self) -> tuple[tuple[str, ...], NDArray[np.float64]] | None:
        """Names and BoxAcc of the classes that have images enough; None where none has."""
        if "class" not in self.numbers:
            return None
        enough = np.flatnonzero(np.array(self.counts("class")) >= FEWEST)
        names = self.names("class")
        return (tuple(names[place] for place in enough), self.table("class")[enough]) if len(enough) else None

    @cached_property
    def range(self) -> ThresholdRange | None:
        """The range of good τ; None for boxes, which have no τ."""
        return None if self.record.protocol.scored == "boxes" else resample_threshold_range(self._scored, self._points)

    @property
    def curve(self) -> RangedCurve | None:
        """BoxAcc against τ with the range of good τ."""
        if self.range is None:
            return None
        grid = cam_threshold_grid(self.record.protocol.threshold_step)
        width = f"{self.range.width.value[0]:.1f} % of the grid"
        return RangedCurve(grid, self.part.box_acc("single", 0.5), self.range.within, self.range.best, width)

    @property
    def _range_name(self) -> str:
        assert self.curve is not None
        return f"{self.curve.told} (best {self.curve.thresholds[self.curve.best]:.4g})"

    @property
    def images(self) -> pd.DataFrame:
        """A row for every image."""
        columns: dict[str, Any] = {
            "record": self.label,
            "image": self.part.image_ids,
            "localized": self.localized.images,
        }
        for what, grouping in self.groupings.items():
            if isinstance(grouping, Grouping) and what != ALL:
                columns[what] = np.array(grouping.names, dtype=object)[grouping.groups]
        if self.errors is not None:
            columns["kind"] = np.array(KINDS, dtype=object)[self.errors.kinds]
            columns["IoU"] = self.errors.ious
            columns["predicted / true area"] = self.errors.ratios
            columns["distance of centres"] = self.errors.distances
        return pd.DataFrame(columns)

    @property
    def sentence(self) -> str:
        """What the record says, with numbers."""
        told = [f"{self.label} localizes {self.numbers[ALL].value[0]:.1f} % of {len(self.part.image_ids):,} images"]
        if "size" in self.numbers:
            by_size = zip(self.names("size"), self.numbers["size"].value.tolist(), strict=True)
            known = [f"{value:.1f} % ({name})" for name, value in by_size if not np.isnan(value)]
            told.append(f"by the share of the frame that the object covers, {', '.join(known)}")
        if ERRORS in self.numbers and (shares := self.numbers[ERRORS].value[1:]).any():
            worst = int(shares.argmax())
            told.append(f"its most frequent error is '{KINDS[worst + 1]}', {shares[worst]:.1f} % of all images")
        if TAU in self.numbers:
            width = self.numbers[TAU].value[0]
            reach = _told_points(self._points)
            told.append(f"the good τ, at most {reach} below the best, are {width:.1f} % of the grid")
        return f"{'; '.join(told)}."

    def rows(self, what: str, first: Broken) -> list[_Row]:
        """Return the rows of a part, with the differences from the first record where they are paired."""
        if what not in self.numbers:
            return [self._row(what, f"{UNKNOWN}: {self.why_unknown(what)}", None, [np.nan] * 6)]
        values, unpaired = self.table(what), np.full((len(self.names(what)), 3), np.nan)
        numbers = np.column_stack([values, unpaired if first is self else self._differences(what, first, unpaired)])
        rows = zip(self.names(what), self.counts(what), numbers.tolist(), strict=True)
        return [
            self._row(what, f"{name} (none)" if np.isnan(value[0]) else name, count, value)
            for name, count, value in rows
            if (what, name) != (ERRORS, KINDS[0])  # no error
        ]

    def why_unknown(self, what: str) -> str:
        """Return why the record does not tell a part."""
        grouping = self.groupings.get(what)
        return grouping if isinstance(grouping, str) else "boxes have no τ" if what == TAU else _OLDER

    def _differences(self, what: str, first: Broken, unpaired: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the differences from the first record with intervals, (G, 3)."""
        if what not in first.numbers or not self._is_like(first):
            return unpaired
        return _with_intervals(self.numbers[what].minus(first.numbers[what]))

    def _is_like(self, other: Broken) -> bool:
        try:
            check_comparable(other.record, self.record)
        except UsageError:
            return False
        return True

    def _row(self, what: str, group: str, images: int | None, numbers: Sequence[float]) -> _Row:
        names = ("percent", "low", "high", "difference", "its low", "its high")
        facts = {"what": what, "group": group, "record": self.label, "images": images}
        return facts | dict(zip(names, numbers, strict=True))


def break_down(evidence: Evidence, points: float) -> list[Broken]:
    """Return every record broken down, with images in one order.

    Args:
        evidence: At least one record.
        points: See `Study.points`.

    Raises:
        DataError: A record has no boxes.
    """
    ordered = zip(evidence.labels, evidence.records, _in_one_order(evidence.records), strict=True)
    return [Broken(label, record, outcomes, points) for label, record, outcomes in ordered]


def tables_of(broken: Sequence[Broken]) -> dict[str, pd.DataFrame]:
    """Return part -> its rows, record by record."""
    return {what: pd.DataFrame([row for each in broken for row in each.rows(what, broken[0])]) for what in PARTS}


def _in_one_order(records: Sequence[ResultRecord]) -> list[Sequence[SplitOutcomes]]:
    """Return the outcomes of records, their images in one order, so that resamples of the same images are the same."""
    if len({tuple(part.image_ids for part in record.outcomes) for record in records}) == 1:
        return [record.outcomes for record in records]
    return [in_order_of_ids(record) for record in records]


def _with_intervals(found: Resampled) -> NDArray[np.float64]:
    return np.column_stack([found.value, found.intervals()])


def _told_points(points: float) -> str:
    return f"{points:g} {'point' if points == 1 else 'points'}"


def _says_nothing(table: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows are of groups without images where all images of all records are in one group."""
    there = table["percent"].notna()
    groups = table["group"].where(there).groupby(table["what"]).transform("nunique")
    return ~there & (groups == 1)


def _side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows with those of one group together, in the order in which parts and groups first appear."""
    places = [table.groupby("what", sort=False).ngroup(), table.groupby(["what", "group"], sort=False).ngroup()]
    return table.iloc[np.lexsort((*places[::-1],))].reset_index(drop=True)


def _panels(broken: Sequence[Broken]) -> dict[str, GroupedIntervals]:
    """Return all images, and groups by size and number of objects; those without images and single ones say nothing."""
    axes = {"size": "size of the object (share of the frame)", "objects": "number of objects"}
    panels = {"": _panel(ALL, (ALL,), broken, np.arange(1))}
    for what, name in axes.items():
        known = [each for each in broken if what in each.numbers]
        there = np.flatnonzero(np.sum([each.counts(what) for each in known], axis=0)) if known else np.arange(0)
        if len(there) > 1:
            groups = tuple(known[0].names(what)[place] for place in there.tolist())
            panels[name] = _panel(what, groups, known, there)
    return panels


def _panel(what: str, groups: tuple[str, ...], known: Sequence[Broken], there: NDArray[np.intp]) -> GroupedIntervals:
    return GroupedIntervals(
        groups,
        {each.label: each.table(what)[there] for each in known},
        {each.label: np.array(each.counts(what))[there] for each in known},
    )


def _unknown(broken: Sequence[Broken]) -> list[str]:
    """Return a sentence for every reason why some parts of some records are not known."""
    labels: dict[tuple[str, str], list[str]] = {}
    for each in broken:
        unknown = [what for what in PARTS if what not in each.numbers]
        for why in dict.fromkeys(each.why_unknown(what) for what in unknown):
            parts = ", ".join(what for what in unknown if each.why_unknown(what) == why)
            labels.setdefault((parts, why), []).append(each.label)
    every = len(broken)
    return [
        f"Not known of {'any record' if len(names) == every > 1 else '; '.join(names)}: {parts}, because {why}."
        for (parts, why), names in labels.items()
    ]
