"""Data sets: images, labels and annotations in splits, how they are fetched, and what a check finds in them.

Boxes are ``x0 y0 x1 y1`` in pixels that count from 0; both corners belong to the box.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract.choices import BoxConvention, Unannotated
from wsolbench.errors import DataError

__all__ = [
    "Annotations",
    "Conventions",
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
    "ignore_finding",
    "raise_fault",
]


class Split(enum.Enum):
    """A part of a data set, named by its permitted use; the value is the name of its published folder."""

    TRAIN_WEAKSUP = "train"
    TRAIN_FULLSUP = "val"
    TEST = "test"

    @property
    def label(self) -> str:
        """The name in output and on the command line: ``train-weaksup``, ``train-fullsup`` or ``test``."""
        return {"train": "train-weaksup", "val": "train-fullsup", "test": "test"}[self.value]

    @classmethod
    def labelled(cls, label: str) -> Split:
        """Return the split with that label."""
        return next(split for split in cls if split.label == label)


def raise_fault(fault: DataError) -> None:
    """Raise an error found in a list: the default of ``DatasetRoots.on_fault``."""
    raise fault


def ignore_finding(finding: Finding) -> None:
    """Do nothing: the default of ``DatasetRoots.on_finding``."""


@dataclass(frozen=True)
class Conventions:
    """How the lists of a data set are read where they differ from the protocol; the default is strict.

    Args:
        boxes: What the second corner of a listed box is.
        first_pixel: The number of the first pixel in lists of corners, 0 or 1; None where the format decides.
        unannotated: What happens to images without box and mask where others have one.
        class_map: A file that puts class folders, categories of boxes and rows of a classifier's head together.
    """

    boxes: BoxConvention = "inclusive"
    first_pixel: int | None = None
    unannotated: Unannotated = "error"
    class_map: Path | None = None


@dataclass(frozen=True)
class DatasetRoots:
    """The places of a data set on disk; None where the user named no place.

    Args:
        images: Folder of the data set or of its images, or a ZIP file of images.
        metadata: Folder or file of the lists: ids, labels, boxes.
        masks: Folder or ZIP file of the masks, if it is not that of the images.
        train: Folder or ZIP file of the train-weaksup images, if it is not that of the others.
        conventions: How the lists are read.
        on_fault: Called with the error of a faulty entry of a list. Where it returns, the entry is left out and reading
            continues, so that all faults of a data set can be reported at once.
        on_finding: Called with what a user should know about the data set: what was left out, what was concluded. Every
            command shows it, and shows the same finding once.
    """

    images: Path | None = None
    metadata: Path | None = None
    masks: Path | None = None
    train: Path | None = None
    conventions: Conventions = field(default_factory=Conventions)
    on_fault: Callable[[DataError], None] = field(default=raise_fault, compare=False)
    on_finding: Callable[[Finding], None] = field(default=ignore_finding, compare=False)


@dataclass(frozen=True)
class ImageSplit:
    """The images and class labels of one split: all that a classifier and a method may see.

    It can be sent to another process: functions are bound methods, partials or functions of a module, not closures.

    Args:
        ids: Unique image ids, in the order of the split.
        labels: Class indices, int64 (N,).
        load: Index -> RGB image, uint8 (H, W, 3). Called from several threads. Raises ``DataError``.
        read: Index -> content of the image's file; None where images are not files. Called from several threads. Raises
            ``MissingFileError`` or another ``DataError``.
        sizes: Image id -> (width, height) of the original, as far as the lists have them; the images are compared with
            them when they are loaded.
        remarks: Index of an image that was loaded -> what was decided about it, such as ``turned upright``, in words
            that records keep; None where the data set decides nothing itself.
        is_upright: Index -> whether the EXIF orientation of an image turns it (True) or is ignored (False), and None of
            an image stored upright; None where the data set decides nothing itself.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    load: Callable[[int], NDArray[np.uint8]]
    read: Callable[[int], bytes] | None = None
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    remarks: Callable[[int], Sequence[str]] | None = None
    is_upright: Callable[[int], bool | None] | None = None


@dataclass(frozen=True)
class MaskPair:
    """The masks of one image, of any size.

    Args:
        foreground: The pixels of the object, bool (H, W).
        ignore: The pixels that are not scored, bool (H, W); None where all are.
        values: The grey values that count as foreground, where a mask file has several; users are warned of them.
        layers: The masks of the image's objects, bool (H, W) each, where their sizes differ: these are resized to the
            evaluation frame one by one and united there, in place of `foreground`.
    """

    foreground: NDArray[np.bool_]
    ignore: NDArray[np.bool_] | None = None
    values: tuple[int, ...] = ()
    layers: tuple[NDArray[np.bool_], ...] = ()


@dataclass(frozen=True)
class Annotations:
    """The full supervision of one split, read by evaluators only; like `ImageSplit`, it can be sent to another process.

    Args:
        boxes: Image id -> boxes (n, 4) in original pixels, inclusive corners; empty where the data set has none.
        image_sizes: Image id -> (width, height) of the original, for every image with boxes.
        load_mask: Image id -> masks, or None where the data set has none. Called from several threads.
        unannotated: Ids of images that have no mask, though others have one. Without them, an image without box where
            others have one is known to be unannotated.
        changes: Image id -> what was done to its boxes, such as ``clipped``, in words, once for each box; records count
            the images.
    """

    boxes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    image_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    load_mask: Callable[[str], MaskPair] | None = None
    unannotated: frozenset[str] = frozenset()
    changes: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Dataset(Protocol):
    """Images, labels and annotations in up to three splits."""

    @property
    def name(self) -> str:
        """The name that checkpoints and records refer to."""
        ...

    @property
    def version(self) -> str:
        """A version that changes whenever an image, a label or an annotation changes."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """One name a class, in the order of the labels."""
        ...

    @property
    def splits(self) -> frozenset[Split]:
        """The available splits."""
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
    """A run would fail or violate the protocol."""
    WARNING = "warning"
    """Scores may be misleading."""
    NOTE = "note"
    """Information; nothing to correct."""


@dataclass(frozen=True)
class Finding:
    """One result of a check of a data set: its severity, and a sentence that says what, where, and what to do."""

    severity: Severity
    text: str


@runtime_checkable
class Inspectable(Protocol):
    """A data set with checks of its own, beside those that every data set passes."""

    def inspect(self) -> Iterable[Finding]:
        """Return the findings. Raises ``DataError`` where the data set cannot be read."""
        ...


@dataclass(frozen=True)
class KnownSplit:
    """The size of a split of a published data set.

    Args:
        images: Number of images.
        per_class: Number of images of each class; None where it varies.
        boxes: Number of boxes; None where it is unknown or there are none.
    """

    images: int
    per_class: int | None = None
    boxes: int | None = None


@dataclass(frozen=True)
class Download:
    """A file of a data set on disk, and where it is fetched.

    Args:
        place: Its path below the data set's folder: of the file itself, or of the folder that an archive becomes.
        url: Its address; None where only a person can fetch it, because of a licence or a login.
        archive: The file name of the archive; None where the file is not an archive.
        inside: The folder in the archive whose content is unpacked; by default everything.
        checksum: ``md5:`` or ``sha256:`` and hex digits, as published; None where none is published.
        by_hand: Where a person finds it.
        needed: Whether the data set needs it.
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
    """How a data set is fetched and prepared on disk.

    Args:
        downloads: Its files.
        terms: The terms of use.
        copied_from: Folder of the downloads -> the places of the data set in it, where images and lists are copied from
            there to ``images`` and ``metadata``; None where the data set stays as it was unpacked.
        side: The boxed images are copied as JPEG squares with this side in pixels; None where files stay as they are.
        selections: Folder of further lists -> whether an image with these boxes (n, 4) and this (width, height) belongs
            in them. Images without boxes do.
    """

    downloads: tuple[Download, ...]
    terms: str
    copied_from: Callable[[Path], DatasetRoots] | None = None
    side: int | None = None
    selections: Mapping[str, Callable[[NDArray[np.int64], tuple[int, int]], bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetSpec:
    """A data set that a plugin offers.

    Args:
        name: What users type, lowercase ``[a-z0-9_.-]``.
        build: The places on disk -> the data set. Raises ``DataError`` where something is missing.
        source: Paper or publisher.
        classes: The published number of classes; None where none is published.
        known: The published sizes of its splits, with which a check compares those on disk.
        preparation: How it is fetched; None where there is nothing to fetch.
        description: What it is, and what lies where on disk, in a few lines.
        known_failures: Conformance check that it fails, such as ``check_dataset_pickles``, -> the reason.
    """

    name: str
    build: Callable[[DatasetRoots], Dataset]
    source: str
    classes: int | None = None
    known: Mapping[Split, KnownSplit] = field(default_factory=dict)
    preparation: Preparation | None = None
    description: str = ""
    known_failures: Mapping[str, str] = field(default_factory=dict, hash=False)
