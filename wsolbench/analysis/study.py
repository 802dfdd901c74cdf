"""What an analysis is: a dataclass whose fields are its options, which measures and concludes.

An analysis of networks measures one network after the other, so that only one is in memory, and concludes from all
measurements. An analysis of records reads no network and no image. A composite concludes from other analyses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsolbench.analysis.stored import StoredAnalysis
from wsolbench.analysis.subject import Subject
from wsolbench.contract import Split
from wsolbench.figures.style import Look, palette
from wsolbench.records import BackboneInfo, ResultRecord

__all__ = ["CompositeStudy", "Evidence", "Findings", "Measured", "NetworkStudy", "Part", "RecordStudy", "looks_of"]

M = TypeVar("M")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Findings:
    """What an analysis found.

    Attributes:
        table: The numbers, a row for each network or group; the first column says which.
        figures: Name -> picture; the name of the main one is empty.
        shows: One sentence that says what the figures show, with numbers.
        details: Name -> a further table, such as the curves behind a figure.
        arrays: Name -> label -> an array, such as a map of a network.
        pages: Name -> an HTML page; the name of the main one is empty.
    """

    table: pd.DataFrame
    figures: Mapping[str, Figure]
    shows: str
    details: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table, column -> value."""
        return [{str(name): value for name, value in row.items()} for row in self.table.to_dict(orient="records")]


@dataclass(frozen=True, eq=False)
class Measured(Generic[M]):
    """What was measured of one network.

    Attributes:
        label: What tables and figures call the network; no two have one label.
        backbone: The network, its options and its weights.
        result: What the analysis measured.
        records: The records of the network that the user gave; none of its random twin.
    """

    label: str
    backbone: BackboneInfo
    result: M
    records: tuple[ResultRecord, ...] = ()

    def with_result(self, result: R) -> Measured[R]:
        """Return another result of the same network."""
        return Measured(self.label, self.backbone, result, self.records)

    @property
    def is_random(self) -> bool:
        """Whether the network has random weights."""
        return self.backbone.weights.source == "random"


def looks_of(measured: Sequence[Measured[Any]]) -> dict[str, Look]:
    """Return label -> how a network looks in every figure: a colour for each network, lighter with random weights."""
    colours = palette([each.backbone.label for each in measured])
    return {each.label: Look(colours[each.backbone.label], each.is_random) for each in measured}


class _Study(ABC):
    """What every analysis says of itself."""

    cannot_say: ClassVar[str]
    """One sentence on what must not be concluded from the figures."""
    terms: ClassVar[Mapping[str, str]] = {}
    """Words of tables and figures -> what they mean, in a sentence or two; help, files and pages show them."""
    quick: ClassVar[Mapping[str, Any]] = {}
    """Options that make a slow analysis quick, for a first look: name -> value."""


class NetworkStudy(_Study, Generic[M]):
    """An analysis of networks on the images of a split."""

    split: ClassVar[Split] = Split.TEST
    """The images that are used where the user names no split."""
    images: ClassVar[int | None]
    """How many images are used where the user does not say; None for all."""
    quick_images: ClassVar[int | None] = None
    """How many are enough for a first look; None where it is quick with all of them."""
    beside_random: ClassVar[bool] = False
    """Whether every trained network is also measured with random weights where the user does not say."""
    beside_records: ClassVar[bool] = False
    """Whether it compares images with what records say of them: then as many are used as in the first record of them,
    where the user does not say."""
    scores_maps: ClassVar[bool] = False
    """Whether maps are scored, at a τ that is chosen on train-fullsup where that has boxes."""

    @property
    def input_size(self) -> int | None:
        """Side of the input in pixels, perhaps an option ``size``; None where ``--input-size`` decides it."""
        return None

    @abstractmethod
    def measure(self, subject: Subject) -> M:
        """Measure one network.

        Args:
            subject: The network and the images.

        Raises:
            WsolbenchError: The network cannot be measured.
        """

    @abstractmethod
    def conclude(self, measured: Sequence[Measured[M]]) -> Findings:
        """Return what the measurements of all networks say.

        Args:
            measured: At least one measurement, in the order in which networks were named; random twins come second.
        """


@dataclass(frozen=True, eq=False)
class Evidence:
    """What an analysis of records reads.

    Attributes:
        records: Records with their outcomes.
        analyses: What earlier analyses found.
        labels: What tables and figures call each record; no two have one label.
        files: The file of each record; None of one in memory.
    """

    records: Sequence[ResultRecord]
    analyses: Sequence[StoredAnalysis] = ()
    labels: Sequence[str] = ()
    files: Sequence[Path | None] = ()


class RecordStudy(_Study):
    """An analysis of records, and perhaps of what earlier analyses found."""

    reads_analyses: ClassVar[bool] = False
    """Whether it reads what earlier analyses found."""

    @abstractmethod
    def conclude(self, evidence: Evidence) -> Findings:
        """Return what records say.

        Args:
            evidence: At least one record.

        Raises:
            DataError: Records lack what is asked of them.
        """


@dataclass(frozen=True, eq=False)
class Part:
    """One of the analyses that a composite concludes from.

    Attributes:
        name: Its name.
        title: The first sentence of its description.
        stored: What it found; None where it could not be carried out.
        refused: Pairs of a network that could not be measured and the reason; the network is empty where the analysis
            could not be carried out at all.
        quick: Settings for a first look that are not those of the analysis itself: name -> value.
    """

    name: str
    title: str
    stored: StoredAnalysis | None
    refused: Sequence[tuple[str, str]] = ()
    quick: Mapping[str, Any] = field(default_factory=dict)

    @property
    def refusals(self) -> list[str]:
        """What could not be done, in words that name the network."""
        return [
            why if not network or network.rpartition(":")[2] in why else f"{network}: {why}"
            for network, why in self.refused
        ]


class CompositeStudy(_Study):
    """An analysis that carries out others, and concludes from what they find."""

    full: bool
    """Whether the others have their own settings instead of those for a first look."""

    @abstractmethod
    def choose(self, names: Sequence[str]) -> Sequence[str]:
        """Return which analyses are carried out.

        Args:
            names: All that are no composites.

        Raises:
            UnknownNameError: There is no analysis of a name that is asked for.
        """

    @abstractmethod
    def conclude(self, parts: Sequence[Part], command: str) -> Findings:
        """Return what the analyses say together.

        Args:
            parts: At least one of them found something.
            command: How the composite was asked for.
        """
