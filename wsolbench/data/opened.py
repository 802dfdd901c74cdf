"""A data set at work: its provider beside it, its code guarded, its splits checked, limited, hashed and picklable."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import (
    Annotations,
    Conventions,
    Dataset,
    DatasetRoots,
    DatasetSpec,
    Finding,
    ImageSplit,
    Severity,
    Split,
)
from wsolbench.contract.choices import DATASET_NAME
from wsolbench.contract.datasets import ignore_finding, raise_fault
from wsolbench.data.boxes import findings_of_changes
from wsolbench.data.class_map import check_rows, names_of_classes, read_class_map
from wsolbench.data.fingerprint import annotations_hash
from wsolbench.data.ids import check_ids
from wsolbench.data.masks import MaskFacts, NotedMasks, findings_of_masks
from wsolbench.data.remarks import count_and_name, remarks_on
from wsolbench.data.sampling import in_order_of_ids, limit_split, select_images
from wsolbench.errors import DataError, UsageError
from wsolbench.host.provider import Provider, blaming
from wsolbench.host.registry import Offer
from wsolbench.progress import Reporter
from wsolbench.texts import printable

__all__ = ["OpenDataset", "OpenSplit", "find_unused_classes", "is_selection", "open_dataset", "show_finding"]

ADVICE_WITHOUT_FULLSUP = "; 'wsolbench data split' cuts one off test"
ADVICE_WITHOUT_TEST = (
    "; if train-fullsup is to be test, pass the folder of its classes as --data-root, or rename the folder 'val' of "
    "the lists to 'test'; 'wsolbench data split' then cuts a train-fullsup off it"
)
"""What to do with a data set that has train-fullsup and no test, as where a download calls its test split ``val``."""

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class OpenSplit:
    """The images of one split that are evaluated, and their annotations; it can be sent to another process."""

    split: Split
    images: ImageSplit
    annotations: Annotations
    omitted: int = 0
    """How many images were left out, because they have neither a box nor a mask."""
    masks: Mapping[str, MaskFacts] = field(default_factory=dict)
    """Image id -> what is noted about its masks, as far as they were loaded."""
    labels: frozenset[int] = frozenset()
    """The labels of all images of the split, also where only some of them are evaluated."""
    is_pseudo: bool = False
    """Whether the boxes are pseudo boxes, on which τ is chosen."""
    class_names: Mapping[int, str] = field(default_factory=dict)
    """Label -> the name of the class, for those of the images that are evaluated."""

    @property
    def label(self) -> str:
        """What people call it."""
        return "pseudo boxes" if self.is_pseudo else self.split.label

    @cached_property
    def annotations_sha256(self) -> str:
        """What identifies ids, labels, sizes, boxes and masks."""
        return annotations_hash(self.images, self.annotations)

    def remarks_on(self, index: int, size: tuple[int, int]) -> tuple[str, ...]:
        """Return what was decided about an image that was loaded with (width, height). Raises ``DataError``."""
        mask = self.masks.get(self.images.ids[index]) if self.masks else None
        return remarks_on(self.images, index, size, None if mask is None else mask.size)

    def check_masks(self, on_finding: Callable[[Finding], None]) -> None:
        """Report what a user should know about the masks, all of which are loaded.

        Raises:
            DataError: They cannot be scored, or every map would score the same.
        """
        if self.annotations.load_mask is None:
            return
        _ = self.annotations_sha256  # for which every mask is loaded, once
        for finding in findings_of_masks(self.split.label, self.masks):
            if finding.severity is Severity.ERROR:
                raise DataError(finding.text)
            on_finding(finding)

    @property
    def has_boxes(self) -> bool:
        """Whether boxes can be scored."""
        return bool(self.annotations.boxes)


@dataclass(frozen=True)
class OpenDataset:
    """A data set and who provides it; an error in the provider's code names the provider.

    Args:
        dataset: The data set.
        provider: Who provides it.
        conventions: How its lists are read.
        on_finding: Called with what a user should know.
        published_classes: The number of classes that its publisher states.
    """

    dataset: Dataset
    provider: Provider
    conventions: Conventions = field(default_factory=Conventions)
    on_finding: Callable[[Finding], None] = ignore_finding
    published_classes: int | None = None

    @property
    def name(self) -> str:
        """The name that checkpoints and records refer to."""
        return self.dataset.name

    @property
    def title(self) -> str | None:
        """What people call it, where `name` is that of a layout; None where it is `name`."""
        title = getattr(self.dataset, "title", None)
        return printable(title, 100) if isinstance(title, str) else None

    @property
    def version(self) -> str:
        """The version of the data set. Raises ``DataError`` where it has to be computed and a split is damaged."""
        with blaming(self.provider, f"computing the version of the data set '{self.name}'"):
            return self.dataset.version

    @property
    def class_names(self) -> Sequence[str]:
        """One name a class, in the order of the labels."""
        return self.dataset.class_names

    @property
    def num_classes(self) -> int:
        """The number of classes: as published, also where the lists here hold fewer, else that of the names."""
        return max(len(self.class_names), self.published_classes or 0)

    @property
    def class_map(self) -> Path | None:
        """The file that puts classes and rows of a classifier's head together, if there is one."""
        return self.conventions.class_map

    @property
    def splits(self) -> frozenset[Split]:
        """The available splits."""
        return self.dataset.splits

    def check_class_map(self, parts: Iterable[ImageSplit], on_fault: Callable[[DataError], None] = raise_fault) -> bool:
        """Check the classes of the lines of the class map that name rows of a head; return whether there are any.

        Args:
            parts: The images, whose folders are names of their classes.
            on_fault: Called with the error about a line.

        Raises:
            DataError: It cannot be read; or a line names no class, where `on_fault` raises that.
        """
        class_map = None if self.class_map is None else read_class_map(self.class_map)
        if class_map is None or not class_map.rows:
            return False
        check_rows(class_map, names_of_classes(self.class_names, self.num_classes, parts), on_fault)
        return True

    def images(self, split: Split, limit: int | None = None) -> ImageSplit:
        """Return a split's images and labels, limited.

        Where it is scored, its images are in the order of their ids, so that the order of a list decides nothing.

        Raises:
            UsageError: The data set has no such split.
            DataError: It is damaged, or empty.
            PluginError: The data set's own code fails, now or when an image is loaded.
        """
        with blaming(self.provider, f"opening {split.label} of the data set '{self.name}'"):
            if split not in self.splits:
                there = ", ".join(part.label for part in Split if part in self.splits)
                is_val = split is Split.TEST and Split.TRAIN_FULLSUP in self.splits
                advice = ADVICE_WITHOUT_TEST if is_val else ""
                text = f"the data set '{self.name}' has no split {split.label}; it has {there or 'none'}"
                raise UsageError(f"{text}{advice}")
            everything = self.dataset.images(split)
            check_ids(everything, f"{split.label} of the data set '{self.name}'")
            images = limit_split(in_order_of_ids(everything) if split is not Split.TRAIN_WEAKSUP else everything, limit)
        load = _Guarded(images.load, self.provider, "loading the image", images.ids)
        doing = "deciding about the image"
        remarks = images.remarks and _Guarded(images.remarks, self.provider, doing, images.ids)
        is_upright = images.is_upright and _Guarded(images.is_upright, self.provider, doing, images.ids)
        return replace(images, load=load, remarks=remarks, is_upright=is_upright)

    def open(self, split: Split, limit: int | None = None) -> OpenSplit:
        """Return a split's annotated images and their annotations, limited.

        Raises:
            UsageError: The data set has no such split.
            DataError: It is damaged, or an image has no annotation where others have one and none may be left out.
            PluginError: The data set's own code fails, now or when an image or a mask is loaded.
        """
        return self.annotate(split, self.images(split), limit)

    def annotate(self, split: Split, everything: ImageSplit, limit: int | None = None) -> OpenSplit:
        """Return a split's annotated images and their annotations, limited.

        Args:
            split: The split.
            everything: All of its images.
            limit: At most so many images; the choice is made among those that are annotated.

        Raises:
            DataError: The annotations are damaged, or an image has none where others have one and none may be left out.
            PluginError: The data set's own code fails, now or when a mask is loaded.
        """
        with blaming(self.provider, f"reading the annotations of {split.label}"):
            annotations = self.dataset.annotations(split)
            if not annotations.boxes and annotations.load_mask is None and self.conventions.unannotated == "error":
                raise DataError(f"the split {split.label} has neither boxes nor masks to evaluate against")
            annotated = self.select_annotated(split, everything, annotations)
            images = limit_split(annotated, limit)
            boxes = _boxes_of(images.ids, annotations.boxes) if annotations.boxes else {}
            class_names = dict(enumerate(self.class_names))
            changes = {image_id: done for image_id in images.ids if (done := annotations.changes.get(image_id))}
        for finding in findings_of_changes(split.label, changes):
            self.on_finding(finding)
        load_mask = annotations.load_mask
        facts: dict[str, MaskFacts] = {}
        guarded = None if load_mask is None else _Guarded(load_mask, self.provider, "loading the mask of")
        noted = None if guarded is None else NotedMasks(guarded, facts)
        omitted = len(everything.ids) - len(annotated.ids)
        placed = Annotations(boxes, annotations.image_sizes, noted, changes=changes)
        labels = frozenset(everything.labels.tolist())
        named = {label: class_names[label] for label in np.unique(images.labels).tolist() if label in class_names}
        return OpenSplit(split, images, placed, omitted, facts, labels, class_names=named)

    def report_unused_classes(self, parts: Iterable[OpenSplit]) -> None:
        """Warn where no image of any split is of some class; the images to train on are asked last.

        Args:
            parts: The splits that are evaluated.
        """
        used = frozenset().union(*(part.labels for part in parts))
        if used.issuperset(range(len(self.class_names))):
            return
        for split in self.splits - {part.split for part in parts}:
            with suppress(DataError):
                used |= frozenset(self.dataset.images(split).labels.tolist())
        finding = find_unused_classes(len(self.class_names), used)
        if finding is not None and not is_selection(self.dataset, self.published_classes, used):
            self.on_finding(finding)

    def select_annotated(self, split: Split, images: ImageSplit, annotations: Annotations) -> ImageSplit:
        """Return the images of a split that have a box or a mask, and say how many have none.

        Raises:
            DataError: An image has none where others have one, and none may be left out.
        """
        bare = {
            image_id
            for image_id in images.ids
            if image_id in annotations.unannotated or (annotations.boxes and image_id not in annotations.boxes)
        }
        if self._lacks_all(split, annotations):
            bare = set(images.ids)
        if not bare:
            return images
        has_masks = annotations.load_mask is not None and not annotations.boxes
        what = "mask" if has_masks else "box"
        if self.conventions.unannotated == "error":
            first = next(image_id for image_id in images.ids if image_id in bare)
            subject = (
                f"1 image of {split.label} has" if len(bare) == 1 else f"{len(bare):,} images of {split.label} have"
            )
            raise DataError(f"{subject} no {what}; the first is '{first}'; --unannotated omit leaves such images out")
        if len(bare) == len(images.ids):
            raise DataError(f"no image of {split.label} has a {what}: --unannotated omit would leave out all of them")
        verb = "has no {} and is" if len(bare) == 1 else "have no {} and are"
        text = f"{len(bare):,} of {len(images.ids):,} images of {split.label} {verb.format(what)} left out"
        self.on_finding(Finding(Severity.NOTE, f"{text} (--unannotated omit)"))
        return select_images(images, [place for place, image_id in enumerate(images.ids) if image_id not in bare])

    def _lacks_all(self, split: Split, annotations: Annotations) -> bool:
        """Whether a split that is scored has no annotation at all, though images without one may be left out."""
        omitting = self.conventions.unannotated == "omit" and split is not Split.TRAIN_WEAKSUP
        return omitting and not annotations.boxes and annotations.load_mask is None


def _boxes_of(image_ids: Sequence[str], boxes: Mapping[str, NDArray[np.int64]]) -> Mapping[str, NDArray[np.int64]]:
    """Return the boxes of images, checked, in one array. Raises ``DataError``."""
    from wsolbench.protocol import check_boxes  # not at the top: many commands need no protocol
    from wsolbench.protocol.per_image import BoxLists, ByImage

    if isinstance(boxes, ByImage) and len(boxes) == len(image_ids):
        return boxes  # packed and checked already, by the data set
    lists = BoxLists.of(check_boxes(boxes[image_id], image_id) for image_id in image_ids)
    return ByImage({image_id: place for place, image_id in enumerate(image_ids)}, lists)


def find_unused_classes(count: int, used: Collection[int], severity: Severity = Severity.WARNING) -> Finding | None:
    """Return the finding that no split has an image of some class, or None.

    Args:
        count: The number of classes.
        used: The labels of all images.
        severity: How much it matters.
    """
    nowhere = [str(label) for label in range(count) if label not in used]
    if not nowhere:
        return None
    text = f"no split has an image of {count_and_name(nowhere, 'class', 'classes')}"
    advice = "labels start at 0; do these start at 1?" if nowhere == ["0"] else "is a label out of range?"
    return Finding(severity, f"{text}; {advice}")


def is_selection(dataset: Dataset, published_classes: int | None, used: Collection[int]) -> bool:
    """Return whether photos to evaluate on are a part of a published data set, so that some classes may have none.

    Args:
        dataset: The data set.
        published_classes: The number of classes that its publisher states.
        used: The labels of all images; without a 0 they may start at 1.
    """
    to_train = Split.TRAIN_WEAKSUP in dataset.splits
    return not to_train and 0 in used and published_classes == len(dataset.class_names)


def open_dataset(offer: Offer[DatasetSpec], roots: DatasetRoots, reporter: Reporter | None = None) -> OpenDataset:
    """Build a data set.

    Args:
        offer: The data set.
        roots: Where it is on disk.
        reporter: Shows the findings that the data set reports while it is read; by default `roots` says who gets them.

    Raises:
        UsageError: It needs a place that was not named, or is given one that it has no use for.
        DataError: Something is missing or damaged, or its name cannot be that of a folder.
        PluginError: The plugin's own code fails.
    """
    if reporter is not None:
        roots = replace(roots, on_finding=_Shown(reporter))
    with blaming(offer.provider, f"building the data set '{offer.name}'"):
        dataset = offer.spec.build(roots)
        name = dataset.name
    if not isinstance(name, str) or re.fullmatch(DATASET_NAME, name) is None:
        raise DataError(
            f"the data set '{offer.name}' calls itself {name!r:.120}; records keep names of up to 100 letters, digits "
            "and '_', '.', '+', '-', which begin with a letter or digit"
        )
    return OpenDataset(dataset, offer.provider, roots.conventions, roots.on_finding, offer.spec.classes)


@dataclass(frozen=True)
class _Shown:
    """Shows findings, each once: a data set may come to the same one in every split."""

    reporter: Reporter
    texts: set[str] = field(default_factory=set)

    def __call__(self, finding: Finding) -> None:
        if finding.text not in self.texts:
            self.texts.add(finding.text)
            show_finding(finding, self.reporter)


def show_finding(finding: Finding, reporter: Reporter) -> None:
    """Show a finding: a note as a message, others as warnings."""
    (reporter.remark if finding.severity is Severity.NOTE else reporter.warn)(finding.text)


@dataclass(frozen=True)
class _Guarded(Generic[A, B]):
    """A function of a plugin whose errors name the plugin; unlike a closure it can be sent to another process.

    Args:
        function: A position or an image id -> what is loaded.
        provider: Who provides the function.
        doing: What it does, for the message.
        ids: The images' ids, where the function takes positions.
    """

    function: Callable[[A], B]
    provider: Provider
    doing: str
    ids: Sequence[str] = ()

    def __call__(self, key: A) -> B:
        image_id = self.ids[key] if self.ids and isinstance(key, int) else key
        with blaming(self.provider, f"{self.doing} '{image_id}'"):
            return self.function(key)
