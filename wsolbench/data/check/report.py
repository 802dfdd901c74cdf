"""The check of a data set before any run: its lists, its files, and violations of the protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from wsolbench.contract import (
    Annotations,
    Dataset,
    DatasetRoots,
    DatasetSpec,
    Finding,
    Inspectable,
    Severity,
    Split,
)
from wsolbench.data.check.findings import count_boxes, error_finding, findings_of_all, findings_of_split, list_findings
from wsolbench.data.check.inspection import InspectedSplit, inspect_split
from wsolbench.data.ids import check_ids
from wsolbench.data.opened import OpenDataset, open_dataset
from wsolbench.errors import DataError, UsageError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer
from wsolbench.progress import Reporter


@dataclass(frozen=True)
class SplitCounts:
    """One line of the report; None stands for what does not apply or was not inspected."""

    split: Split
    images: int
    known: int | None
    classes: int
    per_class: tuple[int, int]
    boxes: int | None
    masks: int | None
    missing: int | None
    damaged: int | None
    available: bool


@dataclass(frozen=True)
class CheckReport:
    """The result of a check."""

    dataset: str
    version: str
    splits: tuple[SplitCounts, ...]
    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> list[str]:
        """Return the texts of the findings of one severity."""
        return [finding.text for finding in self.findings if finding.severity is severity]


def check_dataset(offer: Offer[DatasetSpec], roots: DatasetRoots, *, workers: int, reporter: Reporter) -> CheckReport:
    """Read all lists and inspect all files of a data set.

    Args:
        offer: The data set.
        roots: Where it lies.
        workers: Number of threads.
        reporter: Shows the progress.

    Raises:
        UsageError: A folder that it needs was not given.
        DataError: It cannot be opened at all.
        PluginError: The data set's code fails.
    """
    faults: list[DataError] = []
    told: list[Finding] = []
    opened = open_dataset(offer, replace(roots, on_fault=faults.append, on_finding=told.append))
    dataset = opened.dataset
    parts, unread = _read_lists(opened, faults, told.append)
    _check_class_map(opened, parts, faults.append, told.append)
    inspected = [
        replace(
            inspect_split(part.split, part.images, part.annotations, workers=workers, reporter=reporter),
            omitted=part.omitted,
        )
        for part in parts
    ]
    with blaming(offer.provider, f"inspecting the data set '{offer.name}'"):
        found = [
            *(finding for part in inspected for finding in findings_of_split(part, offer.spec, dataset)),
            *findings_of_all(inspected, dataset, roots, offer.spec),
            *_findings_of_plugin(dataset),
        ]
    version = _version(dataset)
    messages = dict.fromkeys(str(fault) for fault in [*faults, *unread])  # after the inspections, which add faults
    errors = list_findings(Severity.ERROR, list(messages))
    findings = tuple(dict.fromkeys((*errors, *told, *found)))  # several splits and checks come to the same one
    counts = tuple(_count(part, offer.spec) for part in inspected)
    return CheckReport(dataset.name, version, counts, findings)


def _read_lists(
    opened: OpenDataset, faults: Sequence[DataError], told: Callable[[Finding], None]
) -> tuple[list[InspectedSplit], list[DataError]]:
    """Read the lists of every split.

    Args:
        opened: The data set.
        faults: The faults that its readers report; it grows while the lists are read.
        told: Called with what cannot be checked.

    Returns:
        The splits whose ids and labels can be read, before their files are, and the errors that are not among `faults`.
    """
    dataset, unread = opened.dataset, list[DataError]()
    parts: list[InspectedSplit] = []
    for split in (split for split in Split if split in dataset.splits):
        before = len(faults)
        with blaming(opened.provider, f"opening {split.label} of the data set '{dataset.name}'"):
            try:
                images = dataset.images(split)
            except DataError as error:
                unread.append(error)
                continue
            annotations = Annotations(image_sizes=images.sizes)
            try:
                annotations = annotations if split is Split.TRAIN_WEAKSUP else dataset.annotations(split)
            except DataError as error:
                unread.append(error)
            except UsageError as error:  # a place that was not named, and that training does not need
                told(Finding(Severity.NOTE, f"the annotations of {split.label} were not checked: {error}"))
        annotated = images
        if len(faults) == before and (images.ids or not faults):  # otherwise a fault explains what is missing
            try:
                check_ids(images, f"{split.label} of the data set '{dataset.name}'")
                annotated = opened.select_annotated(split, images, annotations)
            except DataError as error:  # with which every run would refuse the split
                unread.append(error)
        kept = set(annotated.ids)
        omitted = tuple(image_id for image_id in images.ids if image_id not in kept)
        parts.append(InspectedSplit(split, annotated, annotations, omitted=omitted))
    return parts, unread


def _check_class_map(
    opened: OpenDataset,
    parts: Sequence[InspectedSplit],
    on_fault: Callable[[DataError], None],
    told: Callable[[Finding], None],
) -> None:
    """Check the classes of a class map as a run does, and say that the rows of a network's head were not checked."""
    try:
        has_rows = opened.check_class_map([part.images for part in parts], on_fault)
    except DataError as fault:
        on_fault(fault)
    else:
        if has_rows:
            text = f"{opened.class_map}: its rows were not checked, as they are those of a network; a run checks them"
            told(Finding(Severity.NOTE, text))


def _version(dataset: Dataset) -> str:
    try:
        return dataset.version
    except DataError:  # the same error is already among the findings
        return ""


def _count(part: InspectedSplit, spec: DatasetSpec) -> SplitCounts:
    known = spec.known.get(part.split)
    counts = Counter(part.images.labels[part.images.labels >= 0].tolist()).values()
    looked = bool(part.facts)
    return SplitCounts(
        split=part.split,
        images=len(part.images.ids),
        known=known.images if known else None,
        classes=len(counts),
        per_class=(min(counts, default=0), max(counts, default=0)),
        boxes=count_boxes(part) if part.annotations.boxes else None,
        masks=len(part.masks) if part.masks else None,
        missing=len(part.missing) if looked else None,
        damaged=len(part.damaged) if looked else None,
        available=part.is_available,
    )


def _findings_of_plugin(dataset: Dataset) -> Iterator[Finding]:
    if isinstance(dataset, Inspectable):
        try:
            yield from dataset.inspect()
        except DataError as error:
            yield error_finding(str(error))
