"""Data sets in the metadata layout of the reference evaluator (Choe et al., CVPR 2020), read strictly.

A metadata folder holds ``train``, ``val`` (train-fullsup) and ``test``, or some of them, each with four text files::

    image_ids.txt      path                             one relative image path a line
    class_labels.txt   path,label                       labels from 0
    image_sizes.txt    path,width,height                of the original image; not needed for masks
    localization.txt   path,x0,y0,x1,y1                 boxes in original pixels, inclusive corners; or
                       path,mask.png,ignore.png         masks; only an image's first line has its ignore mask, if any

Two more files are not part of the layout of the reference evaluator, and need not be there::

    orientations.txt   path,upright  or  path,stored    whether the lists have a photo turned by its EXIF orientation
    class_names.txt    name                             beside the splits: the names of the labels 0, 1, ..., one a line

Paths may hold commas and spaces. CRLF line ends, a byte order mark and blank last lines are legal; a header, quotes,
and fields separated by tabs or semicolons are not. Fractions of corners are truncated. An image without an object has
no line in localization.txt, or one whose other fields are empty. Whatever an evaluation needs is checked, and what is
wrong is named by file and line: an image left out unnoticed would change the denominator of every score.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import (
    Annotations,
    Conventions,
    DatasetRoots,
    Finding,
    ImageSplit,
    Severity,
    Split,
)
from wsolbench.contract.datasets import ignore_finding, raise_fault
from wsolbench.data.boxes import BoxRule, Corners, Quad, findings_of_dummies, is_inside, outside_advice
from wsolbench.data.conventions import refuse_unused
from wsolbench.data.image_files import ImageFiles
from wsolbench.data.lines import Line, parse_each, quote, read_file, read_lines
from wsolbench.data.masks import MaskFiles, MaskPaths
from wsolbench.data.names import NameIndex, tidy_path
from wsolbench.data.split_folders import find_split_folders
from wsolbench.data.storage import FolderStorage, open_storage
from wsolbench.data.units import check_units, find_fractions
from wsolbench.errors import DataError, MissingFileError, UsageError

__all__ = [
    "IDS",
    "ReferenceDataset",
    "ReferenceSplit",
    "check_folders",
    "folder_names",
    "has_splits",
    "reference_splits",
]

IDS = "image_ids.txt"
LABELS = "class_labels.txt"
SIZES = "image_sizes.txt"
LOCALIZATION = "localization.txt"
ORIENTATIONS = "orientations.txt"
CLASS_NAMES = "class_names.txt"
UPRIGHT, STORED = "upright", "stored"

_BOX = "path,x0,y0,x1,y1"
_MASK = "path,mask.png,ignore.png"
_NUMBER_LIKE = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE)
_HEADER = re.compile(r"\W*(image|img|file|path|id|name)[\w ]*\W*(,|$)", re.IGNORECASE)
_MOST_CLASSES = 1_000_000
_NAMED = 10

FaultHandler: TypeAlias = Callable[[DataError], None]
_ListedBox: TypeAlias = tuple[Line, Quad]


# -------------------------------------------------------------------------------------------------------- the data set


@dataclass(frozen=True)
class ReferenceDataset:
    """A data set on disk in the reference metadata layout; a split is parsed when it is first asked for.

    Args:
        name: The name that checkpoints and records refer to.
        roots: ``metadata`` holds the split folders. ``images`` is where image paths start, and is needed when an image
            is loaded; those of train-weaksup start at ``train`` where that is given. Mask paths start at ``masks``,
            else at ``images``.
        version: Changes whenever an image, a label or an annotation does.
        title: What people call it, where `name` is that of a layout; None where it is `name`.

    Raises:
        UsageError: No metadata root is given.
        DataError: The metadata root holds no split.
    """

    name: str
    roots: DatasetRoots
    version: str = ""
    title: str | None = None

    def __post_init__(self) -> None:
        if self.roots.metadata is None:
            raise UsageError(f"data set {self.name!r} needs its annotation files; pass --metadata-root DIR")
        _check_metadata_root(self.roots.metadata, self.roots)

    @property
    def splits(self) -> frozenset[Split]:
        """The splits whose folder is there: one without its files is damaged, not absent."""
        return frozenset(split for split, part in self._parts.items() if part.is_there)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The listed names, or else the labels 0 to the highest of any split, as text. Raises ``DataError``."""
        highest = -1
        for split in sorted(self.splits, key=lambda split: split is Split.TRAIN_WEAKSUP):  # whose lists are the longest
            if self._parts[split].may_exceed(highest):
                highest = max(highest, int(self._parts[split].labels.max(initial=-1)))
        assert self.roots.metadata is not None
        return _read_class_names(self.roots.metadata / CLASS_NAMES, highest + 1) or tuple(
            str(label) for label in range(highest + 1)
        )

    def images(self, split: Split) -> ImageSplit:
        """Return the images of a split; its ``load`` raises ``UsageError`` without an image root.

        Raises:
            DataError: The split is missing, or its ids, labels or sizes are damaged, or its image root is not there.
        """
        return self._parts[split].images()

    def annotations(self, split: Split) -> Annotations:
        """Return the boxes and sizes of a split, or its masks; train-weaksup has what is there, perhaps nothing.

        Raises:
            DataError: The split is missing, or its annotations are damaged or incomplete.
            UsageError: The split has masks and there is no mask or image root.
        """
        return self._parts[split].annotations()

    @cached_property
    def _parts(self) -> dict[Split, ReferenceSplit]:
        return _all_splits(self.roots.metadata or Path(), self.roots)


def reference_splits(metadata: Path, roots: DatasetRoots) -> dict[Split, ReferenceSplit]:
    """Return the splits that a metadata folder holds; ``roots`` says where their images and masks lie.

    Raises:
        DataError: It holds none.
    """
    _check_metadata_root(metadata, roots)
    return {split: part for split, part in _all_splits(metadata, roots).items() if part.is_there}


def _all_splits(metadata: Path, roots: DatasetRoots) -> dict[Split, ReferenceSplit]:
    images: dict[Split, Path | None] = dict.fromkeys(Split, roots.images)
    images[Split.TRAIN_WEAKSUP] = roots.train or roots.images
    masks = roots.masks or roots.images
    return {
        split: ReferenceSplit(
            split,
            metadata / split.value,
            images[split],
            masks,
            conventions=roots.conventions,
            on_fault=roots.on_fault,
            on_finding=roots.on_finding,
        )
        for split in Split
    }


def folder_names(parts: Iterable[ReferenceSplit]) -> tuple[str, ...]:
    """Return a name for every class, where each has a folder: that of its first image; else the label as text.

    Raises:
        DataError: The ids or labels of a split are damaged.
    """
    folders: dict[int, str] = {}
    for part in parts:
        for image_id, label in zip(part.ids, part.labels.tolist(), strict=True):
            folders.setdefault(label, image_id.rpartition("/")[0].rpartition("/")[2])
    return tuple(folders.get(label) or str(label) for label in range(max(folders, default=-1) + 1))


def check_folders(
    part: ReferenceSplit, name: str, folders: Sequence[str], on_fault: Callable[[DataError], None]
) -> None:
    """Check that the lists of a split are those of a data set: every image is in the folder of its class.

    Args:
        part: The split.
        name: The data set, for the message.
        folders: The folder of each class, in the order of the labels.
        on_fault: Called with the error about an image.
    """
    for image_id, label in zip(part.ids, part.labels.tolist(), strict=True):
        if label >= len(folders) or not image_id.startswith(f"{folders[label]}/"):
            message = f"{part.folder} is not {name}'s: {image_id!r} has label {label}; use --dataset folder for it"
            on_fault(DataError(message))


def _check_metadata_root(root: Path, roots: DatasetRoots) -> None:
    try:
        if not root.is_dir():
            raise DataError(f"metadata folder {root} is not a folder; check --metadata-root")
        nearby = [root.parent, *islice(root.iterdir(), 1000)]
    except OSError as error:
        raise DataError(f"metadata folder {root} cannot be read: {error.strerror}") from error
    find_split_folders(FolderStorage(root), roots, lambda folder: _has_ids(root / folder))
    if not has_splits(root):
        hint = next((f"; did you mean {folder}?" for folder in sorted(nearby) if has_splits(folder)), "")
        raise DataError(f"metadata folder {root} holds no split: expected train, val or test with {IDS} in it{hint}")


def has_splits(root: Path) -> bool:
    """Whether a folder holds the lists of any split."""
    return any(_has_ids(root / split.value) for split in Split)


def _has_ids(folder: Path) -> bool:
    try:
        return (folder / IDS).exists()
    except OSError:  # a folder that may not be entered
        return False


# ----------------------------------------------------------------------------------------------------------- one split


@dataclass(frozen=True)
class _Localization:
    """What localization.txt says: the boxes and what was done to them, or the paths of the masks."""

    boxes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    masks: dict[str, MaskPaths] = field(default_factory=dict)
    changes: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ReferenceSplit:
    """The four files of one split, each parsed once and only when needed.

    Args:
        split: Which one it is.
        folder: Holds the four files.
        image_root: Folder or ZIP file where image paths start; needed when an image is loaded.
        mask_root: Folder or ZIP file where mask paths start.
        conventions: How the files are read.
        on_fault: Called with what is wrong with an entry, which is left out where it returns.
        on_finding: Called with what a user should know about the boxes.
    """

    split: Split
    folder: Path
    image_root: Path | None = None
    mask_root: Path | None = None
    conventions: Conventions = field(default_factory=Conventions)
    on_fault: FaultHandler = raise_fault
    on_finding: Callable[[Finding], None] = ignore_finding

    @property
    def is_there(self) -> bool:
        """Whether its folder is there: one without its files is damaged, not absent."""
        return self.folder.exists()

    def images(self) -> ImageSplit:
        """Return the images and labels; ``load`` raises ``UsageError`` without an image root. Raises ``DataError``."""
        return self._files.split(self.labels)

    def annotations(self) -> Annotations:
        """Return the boxes and sizes, or the masks. Raises ``DataError``, and ``UsageError`` without a mask root."""
        boxes, masks = self.localization.boxes, self.localization.masks
        if not masks:
            return Annotations(boxes, self.sizes, changes=self.localization.changes)
        unannotated = frozenset(image_id for image_id in self.ids if image_id not in masks)
        return Annotations(load_mask=self._open_masks(masks).load, unannotated=unannotated)

    def _open_masks(self, masks: Mapping[str, MaskPaths]) -> MaskFiles:
        storage = None if self.mask_root is None else open_storage(self.mask_root)
        return MaskFiles(storage, masks, self.split.label, LOCALIZATION)

    @cached_property
    def _masks(self) -> MaskFiles | None:
        """The masks, whose sizes say how images are read; None without, and where `annotations` reports a fault."""
        with suppress(DataError, UsageError):
            masks = self.localization.masks if self._scored else {}
            return self._open_masks(masks) if masks else None
        return None

    @cached_property
    def _files(self) -> ImageFiles:
        storage = None if self.image_root is None else open_storage(self.image_root)
        # Parsed now: a damaged file must not wait for an image.
        return ImageFiles(storage, self.ids, sizes=self.sizes, stated=self.orientations, masks=self._masks)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The image ids, in the order of the split. Raises ``DataError``."""
        if not self.folder.exists():
            raise DataError(f"there is no {self.split.label} split: folder {self.folder} does not exist")
        ids = _parse_ids(self._lines(IDS), self.on_fault)
        if not ids and self._scored:
            message = f"{self.folder / IDS} is empty: expected the images of the {self.split.label} split"
            self.on_fault(DataError(message))
        return ids

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The class indices, int64 (N,); -1 where there is none and `on_fault` allows it. Raises ``DataError``."""
        labels = _parse_labels(self._entries(LABELS, "path,label"), self._known, self.on_fault)
        self._check_complete(LABELS, "class label", self.ids, labels)
        return np.array([labels.get(image_id, -1) for image_id in self.ids], dtype=np.int64)

    def may_exceed(self, label: int) -> bool:
        """Whether an image may have a higher label. The numbers alone can say no, long before the list is parsed."""
        try:
            lines = read_file(self.folder / LABELS).rstrip().split(b"\n")
            return any(int(line.rpartition(b",")[2]) > label for line in lines)
        except (DataError, ValueError):  # what is wrong is said when it is parsed
            return True

    @cached_property
    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """Image id -> (width, height), of the images that have one. Raises ``DataError``."""
        sizes = _parse_sizes(self._entries(SIZES, "path,width,height"), self._known, self.on_fault)
        return _packed_sizes(sizes, self._places)

    @cached_property
    def orientations(self) -> dict[str, bool]:
        """Image id -> whether the lists state that it is upright (True) or as stored (False). Raises ``DataError``."""
        return _parse_orientations(self._entries(ORIENTATIONS, "path,orientation"), self._known, self.on_fault)

    @cached_property
    def localization(self) -> _Localization:
        """The boxes, or the paths of the masks. Raises ``DataError``, ``UsageError``."""
        lines = self._lines(LOCALIZATION)
        if lines and _is_header(lines[0], self._known):
            self.on_fault(lines[0].error(f"expected {_BOX} or {_MASK}; a header is not part of this layout; remove it"))
            del lines[0]
        layout = _MASK if lines and _is_mask(lines[0]) else _BOX
        separated = self._with_commas(lines, layout)
        if lines and not separated:
            return _Localization()
        lines = [line for line in separated if not self._is_without_object(line)]
        lines = self._of_listed(LOCALIZATION, lines, layout)
        if not lines:
            if self._scored:
                message = f"is missing or empty: {self.split.label} needs boxes ({_BOX}) or masks ({_MASK})"
                self.on_fault(DataError(f"{self.folder / LOCALIZATION} {message}"))
            return _Localization()
        if _is_mask(lines[0]):
            refuse_unused(str(self.folder / LOCALIZATION), DatasetRoots(conventions=self.conventions))  # of boxes
            masks = _parse_masks(lines, self._known, self.on_fault)
            self._check_annotated("mask", masks)
            return _Localization(masks=masks)
        quads = self._with_area(_parse_boxes(lines, self._known, self.on_fault))
        self._check_annotated("box", quads)
        sized = [image_id for image_id in self.ids if image_id in quads]
        self._check_complete(SIZES, "size", sized, self.sizes)
        return self._place_boxes({name: quads[name] for name in sized if name in self.sizes})

    @cached_property
    def _known(self) -> NameIndex:
        return NameIndex(self.ids)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {image_id: place for place, image_id in enumerate(self.ids)}

    @property
    def _scored(self) -> bool:
        return self.split is not Split.TRAIN_WEAKSUP

    def _lines(self, file: str) -> list[Line]:
        path = self.folder / file
        try:
            return read_lines(path, self.on_fault)
        except MissingFileError:
            if file in (IDS, LABELS):
                self.on_fault(DataError(f"{path} is missing; every split needs {IDS} and {LABELS}"))
        except DataError as fault:
            self.on_fault(fault)
        return []

    def _entries(self, file: str, layout: str) -> list[Line]:
        """Return the lines of a file that are of listed images."""
        return self._of_listed(file, self._with_commas(self._lines(file), layout), layout)

    def _of_listed(self, file: str, lines: list[Line], layout: str) -> list[Line]:
        """Return the lines of images of the split; those of others are counted, as where only the ids are a subset.

        Where an image of the split has no line, its name may be among the others, misspelled: they are refused later.
        """
        others = [line for line in lines if _is_of_another_image(line, layout, self._known)]
        if not others or not self._has_all(lines, layout):
            return lines
        count = "1 line is" if len(others) == 1 else f"{len(others):,} lines are"
        text = f"{count} of images that {IDS} does not list and left out, first line {others[0].number}"
        severity = Severity.WARNING if 2 * len(others) > len(lines) else Severity.NOTE
        self.on_finding(Finding(severity, f"{self.folder / file}: {text}, {quote(others[0].text)}"))
        left_out = {line.number for line in others}
        return [line for line in lines if line.number not in left_out]

    def _has_all(self, lines: list[Line], layout: str) -> bool:
        """Whether every image of the split has a line; where those without a box are left out, whether any has."""
        paths = {line.text.rsplit(",", layout.count(","))[0] for line in lines}
        found = {image_id for path in paths for image_id in self._known.find(path)}
        may_lack = layout in (_BOX, _MASK) and self.conventions.unannotated == "omit"
        return bool(found) if may_lack else found.issuperset(self.ids)

    def _with_commas(self, lines: list[Line], layout: str) -> list[Line]:
        """Return lines, or report that their fields are separated by something else, once."""
        if not lines or any("," in line.text for line in lines):
            return lines
        self.on_fault(lines[0].error(f"expected {layout}, separated by commas, which no line has"))
        return []

    def _is_without_object(self, line: Line) -> bool:
        """Whether a line says that its image has no box and no mask: all fields behind the path are empty."""
        path = line.text.rstrip(", ")
        return line.text.count(",", len(path)) > 1 and path in self._known

    def _check_annotated(self, what: str, annotated: Collection[str]) -> None:
        if self._scored and self.conventions.unannotated == "error":
            advice = "; --unannotated omit leaves such images out"
            self._check_complete(LOCALIZATION, what, self.ids, annotated, advice)

    def _check_complete(
        self, file: str, what: str, ids: Iterable[str], found: Collection[str], advice: str = ""
    ) -> None:
        missing = [image_id for image_id in ids if image_id not in found]
        if missing:
            examples = ", ".join(map(quote, missing[:_NAMED]))
            images = "1 image has" if len(missing) == 1 else f"{len(missing)} images have"
            more = ", ..." if len(missing) > _NAMED else ""
            message = f"{images} no {what}, though listed in {IDS}: {examples}{more}{advice}"
            self.on_fault(DataError(f"{self.folder / file}: {message}"))

    def _with_area(self, quads: dict[str, list[_ListedBox]]) -> dict[str, list[_ListedBox]]:
        """Return the boxes without those that stand for none, which are counted; an image with such alone has none."""
        empty = [line for name, found in quads.items() for line, quad in found if self._is_empty(name, quad)]
        if not empty:
            return quads
        boxes = "1 box is" if len(empty) == 1 else f"{len(empty):,} boxes are"
        text = f"{boxes} left out, as all four numbers are 0 or -1, first {empty[0].place}"
        self.on_finding(Finding(Severity.WARNING, text))
        kept = {name: [box for box in found if not self._is_empty(name, box[1])] for name, found in quads.items()}
        return {name: found for name, found in kept.items() if found or not quads[name]}

    def _is_empty(self, name: str, quad: Quad) -> bool:
        """Whether a box stands for none; in an image of one pixel, four zeros are all of it."""
        return self._rule.is_empty(quad) and self.sizes.get(name) != (1, 1)

    def _place_boxes(self, quads: Mapping[str, list[_ListedBox]]) -> _Localization:
        """Return the boxes that are inside their images; the first that is not counts the others."""
        listed = {name: [quad for _, quad in boxes] for name, boxes in quads.items()}
        if not self._is_in_pixels(quads) or not check_units(
            listed, self.sizes, self._rule, str(self.folder / LOCALIZATION), self.on_fault, self.on_finding
        ):
            return _Localization()
        for finding in findings_of_dummies(str(self.folder / LOCALIZATION), listed):
            self.on_finding(finding)
        inside: dict[str, list[Corners]] = {}
        outside: dict[str, list[tuple[Line, Quad, Corners]]] = {}
        changes: dict[str, list[str]] = {}
        rule, sizes = self._rule, self.sizes
        for name, (line, quad) in ((name, box) for name, boxes in quads.items() for box in boxes):
            corners = rule(quad, sizes[name])
            if is_inside(corners, sizes[name]):
                inside.setdefault(name, []).append(corners)
                if corners != quad:
                    changes.setdefault(name, []).extend(rule.changes(quad, sizes[name]))
            else:
                outside.setdefault(name, []).append((line, quad, corners))
        beyond = [(quad, sizes[name]) for name, found in outside.items() for _, quad, _ in found]
        advice = outside_advice(beyond, rule)
        remark = f"; so have {len(outside) - 1:,} other images" if len(outside) > 1 else ""
        remark += f"; {advice}" if advice else ""
        for name, found in outside.items():
            for line, _, corners in found:
                refusal = _refusal(line, corners, sizes[name], rule)
                self.on_fault(DataError(f"{refusal}{remark}"))
                remark = ""
        return _Localization(_packed_boxes(inside, self._places), changes=changes)

    def _is_in_pixels(self, quads: Mapping[str, list[_ListedBox]]) -> bool:
        boxes = [box for found in quads.values() for box in found]
        fractions = find_fractions([quad for _, quad in boxes], lambda position: boxes[position][0].place)
        if fractions:
            text = "all numbers are from 0 to 1: they are fractions, but this layout is in pixels"
            self.on_fault(DataError(f"{self.folder / LOCALIZATION}: {text}; multiply them by width and height"))
        return not fractions

    @property
    def _rule(self) -> BoxRule:
        return BoxRule(self.conventions.boxes, self.conventions.first_pixel or 0)


# --------------------------------------------------------------------------------------------------------- text to data


def _fields(line: Line, layout: str, known: NameIndex) -> list[str]:
    """Return the id of a known image and the other fields, split from the right as a path may hold commas."""
    fields = line.text.rsplit(",", layout.count(","))
    if len(fields) != layout.count(",") + 1:
        raise line.error(f"expected {layout}, separated by commas")
    if fields[0] in known:
        return [known.as_listed(fields[0]), *fields[1:]]
    found = known.find(fields[0])
    if len(found) > 1:
        raise line.error(f"expected {layout} with a path of {IDS}; {fields[0]!r} may be {' or '.join(found)}")
    if not found:
        hint = _hint(line, fields, known)
        raise line.error(f"expected {layout} with a path of {IDS}, which {quote(fields[0])} is not{hint}")
    return [found[0], *fields[1:]]


def _is_of_another_image(line: Line, layout: str, known: NameIndex) -> bool:
    """Whether a line is of an image that is not known, and nothing about it is unusual."""
    fields = line.text.rsplit(",", layout.count(","))
    whole = len(fields) == layout.count(",") + 1 and fields[0] not in known
    if layout in (_BOX, _MASK) and _is_mask(line) != (layout == _MASK):
        return False
    return whole and not known.find(fields[0]) and not _hint(line, fields, known)


def _hint(line: Line, fields: list[str], known: NameIndex) -> str:
    """Say what is unusual about a line whose path is no image, or nothing."""
    if line.text.rstrip(", ") != line.text.rstrip() and line.text.rstrip(", ").rsplit(",", len(fields) - 1)[0] in known:
        return "; remove the comma at the end"
    if fields[0][:1] == fields[0][-1:] == '"':
        return "; paths are not quoted here"
    return "; a header is not part of this layout" if line.number == 1 and _HEADER.match(line.text) else ""


def _parse_ids(lines: list[Line], on_fault: FaultHandler) -> tuple[str, ...]:
    names: list[str] = []
    ids: dict[str, Line] = {}

    def parse(line: Line) -> None:
        path = tidy_path(line.text)
        name = line.text if "\\" not in line.text or line.text.startswith("\\") else path
        line.check_path(name)
        if line.text[0] == line.text[-1] == '"':
            raise line.error("expected a path without quotes")
        if path in ids:
            first = ids[path]
            spelling = "" if first.text == line.text else f", as {first.text!r}"
            raise line.error(f"expected each image once, this one is on line {first.number} too{spelling}")
        ids[path] = line
        names.append(name)

    parse_each(lines, parse, on_fault)
    return tuple(names)


def _parse_labels(lines: list[Line], known: NameIndex, on_fault: FaultHandler) -> dict[str, int]:
    labels: dict[str, int] = {}

    def parse(line: Line) -> None:
        image_id, text = _fields(line, "path,label", known)
        (label,) = line.whole_numbers([text], "path,label")
        if not 0 <= label < _MOST_CLASSES:
            raise line.error(f"expected a label from 0 to {_MOST_CLASSES - 1}")
        if image_id in labels:
            raise line.error("expected one label an image, this one has another before")
        labels[image_id] = label

    parse_each(lines, parse, on_fault)
    return labels


def _parse_sizes(lines: list[Line], known: NameIndex, on_fault: FaultHandler) -> dict[str, tuple[int, int]]:
    sizes: dict[str, tuple[int, int]] = {}

    def parse(line: Line) -> None:
        image_id, *texts = _fields(line, "path,width,height", known)
        width, height = line.whole_numbers(texts, "path,width,height")
        if width < 1 or height < 1:
            raise line.error("expected a width and height of 1 or more")
        if image_id in sizes:
            raise line.error("expected one size an image, this one has another before")
        sizes[image_id] = (width, height)

    parse_each(lines, parse, on_fault)
    return sizes


def _is_header(line: Line, known: NameIndex) -> bool:
    return _HEADER.match(line.text) is not None and line.text.partition(",")[0] not in known


def _parse_orientations(lines: list[Line], known: NameIndex, on_fault: FaultHandler) -> dict[str, bool]:
    stated: dict[str, bool] = {}

    def parse(line: Line) -> None:
        image_id, text = _fields(line, "path,orientation", known)
        if text not in (UPRIGHT, STORED):
            raise line.error(f"expected path,{UPRIGHT} or path,{STORED}")
        if image_id in stated:
            raise line.error("expected one orientation an image, this one has another before")
        stated[image_id] = text == UPRIGHT

    parse_each(lines, parse, on_fault)
    return stated


def _read_class_names(path: Path, classes: int) -> tuple[str, ...]:
    """Return the names of the labels; none where there is no such file.

    Raises:
        DataError: The file has fewer names than there are classes, or one twice.
    """
    try:
        lines = read_lines(path)
    except MissingFileError:
        return ()
    names = [line.text for line in lines]
    counts = Counter(names)
    twice = next((line for line in lines if counts[line.text] > 1), None)
    if twice is not None:
        raise twice.error("expected each name once")
    if len(names) < classes:
        raise DataError(
            f"{path} holds {len(names):,} names, and there are labels up to {classes - 1:,}; add the others"
        )
    return tuple(names)


def _is_mask(line: Line) -> bool:
    """Whether the fields behind the path are those of masks: a box has numbers, also where one comma is too many."""
    return not _NUMBER_LIKE.fullmatch(re.split(r"[,;\s]", line.text.rstrip(",; "))[-1])


def _parse_boxes(lines: list[Line], known: NameIndex, on_fault: FaultHandler) -> dict[str, list[_ListedBox]]:
    boxes: dict[str, list[_ListedBox]] = {}

    def parse(line: Line) -> None:
        if _is_mask(line):
            raise line.error(f"expected a box ({_BOX}), as on the first line")
        image_id, *texts = _fields(line, _BOX, known)
        found = boxes.setdefault(image_id, [])  # a faulty box is one fault: the image is not without a box too
        x0, y0, x1, y1 = line.numbers(texts, _BOX)
        found.append((line, (x0, y0, x1, y1)))

    parse_each(lines, parse, on_fault)
    return boxes


def _packed_boxes(boxes: Mapping[str, Sequence[Corners]], places: Mapping[str, int]) -> Mapping[str, NDArray[np.int64]]:
    from wsolbench.protocol.per_image import BoxLists, ByImage  # not at the top: many commands need no protocol

    of_all = [boxes.get(image_id, ()) for image_id in places]
    corners = np.array([quad for of_image in of_all for quad in of_image], dtype=np.int64).reshape(-1, 4)
    lists = BoxLists(corners, np.array([len(of_image) for of_image in of_all], dtype=np.int64))
    return ByImage(places, lists, places.keys() - boxes.keys())


def _packed_sizes(sizes: Mapping[str, tuple[int, int]], places: Mapping[str, int]) -> Mapping[str, tuple[int, int]]:
    from wsolbench.protocol.per_image import ByImage, Sizes  # not at the top: many commands need no protocol

    pixels = np.array([sizes.get(image_id, (0, 0)) for image_id in places], dtype=np.int64).reshape(-1, 2)
    return ByImage(places, Sizes(pixels), places.keys() - sizes.keys())


def _refusal(line: Line, corners: Corners, size: tuple[int, int], rule: BoxRule) -> DataError:
    (x0, y0, x1, y1), (width, height) = corners, size
    if x1 < x0 or y1 < y0:
        order = "<" if rule.convention == "half-open" else "<="
        return line.error(f"expected x0 {order} x1 and y0 {order} y1")
    return line.error(f"expected a box inside its {width}x{height} image, corners up to {width - 1},{height - 1}")


def _parse_masks(lines: list[Line], known: NameIndex, on_fault: FaultHandler) -> dict[str, MaskPaths]:
    masks: dict[str, MaskPaths] = {}

    def parse(line: Line) -> None:
        if not _is_mask(line):
            raise line.error(f"expected a mask ({_MASK}), as on the first line")
        image_id, instance, ignore = _fields(line, _MASK, known)
        line.check_path(instance)
        if ignore:
            line.check_path(ignore)
            if image_id in masks:
                raise line.error("expected the ignore mask on the image's first line only")
        masks.setdefault(image_id, MaskPaths(ignore)).instances.append(instance)

    parse_each(lines, parse, on_fault)
    return masks
