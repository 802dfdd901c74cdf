"""Data sets: images, labels and annotations in splits, how they come to a disk, and what a check finds in them.

Pixels of boxes count from 0 and both corners belong to the box.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wsolbench.errors import DataError

__all__ = [
    "Annotations",
    "Dataset",
    "DatasetRoots",
    "DatasetSpec",
    "Download",
    "Finding",
    "ImageSplit",
    "Inspectable",
    "KnownSplit",
    "MaskPair",
    "Preparation",
    "Severity",
    "Split",
    "raise_fault",
]


class Split(enum.Enum):
    """A part of a data set, named by what it may be used for; the value is its published folder name."""

    TRAIN_WEAKSUP = "train"
    TRAIN_FULLSUP = "val"
    TEST = "test"

    @property
    def label(self) -> str:
        """The name that people read and type: ``train-weaksup``, ``train-fullsup`` or ``test``."""
        return {"train": "train-weaksup", "val": "train-fullsup", "test": "test"}[self.value]

    @classmethod
    def labelled(cls, label: str) -> Split:
        """Return the split that people call so."""
        return next(split for split in cls if split.label == label)


def raise_fault(fault: DataError) -> None:
    """Raise what is wrong with a list: the usual thing to do with it."""
    raise fault


@dataclass(frozen=True)
class DatasetRoots:
    """Where a data set lies on disk; None where the user named no place.

    Args:
        images: Folder of the data set, or of its images; also a ZIP file of images.
        metadata: What says which images there are, with labels and boxes.
        masks: Folder or ZIP file of masks, where it is not that of the images.
        train: Folder or ZIP file of the train-weaksup images, where it is not that of the others.
        on_fault: Called with what is wrong with an entry of a list. Where it returns, the entry is left out and reading
            goes on, as far as that makes sense, so that all faults of a data set can be told at once.
    """

    images: Path | None = None
    metadata: Path | None = None
    masks: Path | None = None
    train: Path | None = None
    on_fault: Callable[[DataError], None] = field(default=raise_fault, compare=False)


@dataclass(frozen=True)
class ImageSplit:
    """The images and class labels of one split: all that a classifier and a method may see.

    Args:
        ids: Unique image ids, in the order of the split.
        labels: Class indices, int64 (N,).
        load: Index -> RGB image, uint8 (H, W, 3). Called from several threads. Raises ``DataError``.
        read: Index -> what the image's file holds; None where images are no files. Called from several threads. Raises
            ``MissingFileError`` or another ``DataError``.
        sizes: Image id -> (width, height) of the original, where lists of images tell them; files are checked by them.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    load: Callable[[int], NDArray[np.uint8]]
    read: Callable[[int], bytes] | None = None
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskPair:
    """The object's pixels and the pixels that count nowhere (None: every pixel counts), bool (H, W), any sizes."""

    foreground: NDArray[np.bool_]
    ignore: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Annotations:
    """The full supervision of one split, read by evaluators only.

    Args:
        boxes: Image id -> boxes (n, 4) in original pixels, inclusive corners; empty where the data set has none.
        image_sizes: Image id -> (width, height) of the original, for every image with boxes.
        load_mask: Image id -> masks, or None where the data set has none. Called from several threads.
    """

    boxes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    image_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    load_mask: Callable[[str], MaskPair] | None = None


class Dataset(Protocol):
    """Images, labels and annotations in up to three splits."""

    @property
    def name(self) -> str:
        """The name that checkpoints and records refer to."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever an image, a label or an annotation of the data set does."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """One name a class, in the order of the labels."""
        ...

    @property
    def splits(self) -> frozenset[Split]:
        """The splits that are there."""
        ...

    def images(self, split: Split) -> ImageSplit:
        """Return the images of a split. Raises ``DataError``."""
        ...

    def annotations(self, split: Split) -> Annotations:
        """Return the boxes and masks of a split. Raises ``DataError``."""
        ...


class Severity(enum.Enum):
    """How much a finding matters."""

    ERROR = "error"
    """A run would fail, or the protocol would be violated."""
    WARNING = "warning"
    """Scores may not mean what they seem to."""
    NOTE = "note"
    """Worth knowing, and nothing to mend."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check of a data set found: a sentence that says what, where, and what to do."""

    severity: Severity
    text: str


@runtime_checkable
class Inspectable(Protocol):
    """A data set that has more to check than any data set has."""

    def inspect(self) -> Iterable[Finding]:
        """Return what was found. Raises ``DataError`` where nothing can be."""
        ...


@dataclass(frozen=True)
class KnownSplit:
    """How many images a split of a published data set has, and where they are fixed, images a class and boxes."""

    images: int
    per_class: int | None = None
    boxes: int | None = None


@dataclass(frozen=True)
class Download:
    """A file that a data set on disk is made of.

    Args:
        place: Where it belongs below the data set's folder: the file itself, or the folder that an archive becomes.
        url: Where it is fetched; None where a licence or a website asks for a person.
        archive: The name of the archive; None where the file is none.
        inside: The folder in the archive whose content is taken; all of it by default.
        checksum: ``md5:`` or ``sha256:`` and hex digits, as published; None where nobody published one.
        by_hand: Where a person finds it.
        needed: Whether the data set is of use without it.
    """

    place: str
    url: str | None = None
    archive: str | None = None
    inside: str = ""
    checksum: str | None = None
    by_hand: str = ""
    needed: bool = True


@dataclass(frozen=True)
class Preparation:
    """How a data set comes to lie on disk.

    Args:
        downloads: What it is made of.
        terms: What may be done with it.
        copied_from: A folder with the downloads -> where the data set lies in it, for a data set that is copied from
            there to ``images`` and ``metadata``; None for one that stays as it was unpacked.
    """

    downloads: tuple[Download, ...]
    terms: str
    copied_from: Callable[[Path], DatasetRoots] | None = None


@dataclass(frozen=True)
class DatasetSpec:
    """A data set that a plugin offers.

    Args:
        name: What users type, lowercase ``[a-z0-9_.-]``.
        build: Where it lies on disk -> the data set. Raises ``DataError`` where something is missing.
        source: Paper or publisher.
        classes: How many classes it is known to have.
        known: What is known of its splits, for a check of what is on disk.
        preparation: How it comes to lie on disk; None where there is nothing to fetch.
    """

    name: str
    build: Callable[[DatasetRoots], Dataset]
    source: str
    classes: int | None = None
    known: Mapping[Split, KnownSplit] = field(default_factory=dict)
    preparation: Preparation | None = None
