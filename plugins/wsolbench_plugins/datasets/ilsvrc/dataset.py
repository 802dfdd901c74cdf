"""The splits of ``ilsvrc``, from whichever lists are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from wsolbench.api import Annotations, DataError, DatasetRoots, Split
from wsolbench.data import (
    DiskDataset,
    DiskSplit,
    Finding,
    ImageFiles,
    LazySplit,
    ListedSplit,
    PlacedSplit,
    ReferenceSplit,
    Severity,
    compare_annotations,
    list_class_folders,
    lists_below,
    open_storage,
    reference_splits,
    refuse_unused,
)
from wsolbench_plugins.datasets.ilsvrc.folders import TRAIN_PREFIX, find_folder, find_v2, find_xml, locate_by_name
from wsolbench_plugins.datasets.ilsvrc.imagenet_v2 import MAPPING, Matches, match_files, read_mapping
from wsolbench_plugins.datasets.ilsvrc.xml_files import CLASSES, read_xml_files

FaultHandler: TypeAlias = Callable[[DataError], None]


def build(roots: DatasetRoots) -> DiskDataset:
    """Return the data set; its class names are the class ids where a train folder has them, else the labels.

    Raises:
        DataError: There are no lists.
    """
    if roots.metadata is None and roots.images is not None:
        roots = replace(roots, metadata=lists_below(roots.images, "ILSVRC"))
    metadata, images = roots.metadata, roots.images
    lists = metadata is not None and find_xml([metadata]) is None
    listed = reference_splits(metadata, roots) if metadata is not None and lists else {}
    parts: dict[Split, DiskSplit] = dict(listed)
    xml = find_xml(place for place in (metadata, images) if place is not None)
    if Split.TEST in listed:
        parts[Split.TEST] = LazySplit(partial(_place_test, listed[Split.TEST], images))
    elif xml is not None:
        refuse_unused(str(xml), roots)  # the corners of ImageNet's files are known
        parts[Split.TEST] = LazySplit(partial(_read_xml, xml, images, roots.on_fault))
    if Split.TRAIN_FULLSUP in listed:
        parts[Split.TRAIN_FULLSUP] = LazySplit(partial(_place_fullsup, listed[Split.TRAIN_FULLSUP], images))
    train = _train_folder(roots)
    if Split.TRAIN_WEAKSUP not in listed and train is not None:
        parts[Split.TRAIN_WEAKSUP] = LazySplit(partial(_read_train, train, roots.on_fault, roots.on_finding))
    if not parts:
        raise DataError(f"{images} holds neither train/ nor XML files of boxes; pass --metadata-root DIR/ILSVRC too")
    inspections: list[Callable[[], Iterable[Finding]]] = []
    if Split.TEST in listed and xml is not None:
        inspections.append(partial(_compare, listed[Split.TEST], xml, roots.on_fault))
    if Split.TRAIN_FULLSUP in listed and images is not None:
        inspections.append(partial(_tell_matches, listed[Split.TRAIN_FULLSUP], images))
    return DiskDataset("ilsvrc", _class_names(train), parts, tuple(inspections))


def _place_test(listed: ReferenceSplit, root: Path | None) -> DiskSplit:
    if root is None:
        return listed
    folder = find_folder(root, "val") or root
    files = ImageFiles(open_storage(folder), listed.ids, locate_by_name(folder, listed.ids), listed.sizes)
    return PlacedSplit(files, listed)


def _read_xml(folder: Path, root: Path | None, on_fault: FaultHandler) -> ListedSplit:
    found = read_xml_files(folder, on_fault)
    images = None if root is None else find_folder(root, "val") or root
    paths = () if images is None else locate_by_name(images, found.ids)
    files = ImageFiles(None if images is None else open_storage(images), found.ids, paths, found.sizes)
    return ListedSplit(files, found.labels, found.boxes, found.sizes)


def _compare(listed: ReferenceSplit, xml: Path, on_fault: FaultHandler) -> Iterable[Finding]:
    found = read_xml_files(xml, on_fault)
    return compare_annotations(
        listed.annotations(), Annotations(found.boxes, found.sizes), f"test: {listed.folder} and {xml}"
    )


def _tell_matches(listed: ReferenceSplit, root: Path) -> Iterator[Finding]:
    folder = find_v2(root)
    if folder is not None:
        yield Finding(Severity.NOTE, f"train-fullsup: {_match(listed, folder)}")


def _match(listed: ReferenceSplit, folder: Path) -> Matches:
    return match_files(folder, listed.ids, listed.sizes, read_mapping((listed.folder, folder)))


def _place_fullsup(listed: ReferenceSplit, root: Path | None) -> DiskSplit:
    folder = None if root is None else find_v2(root)
    if folder is None:
        return listed
    matches = _match(listed, folder)
    if matches.unmatched:
        advice = f"put the published {MAPPING} into {listed.folder}"
        raise DataError(f"{folder}: {matches}, such as {matches.unmatched[0]}; {advice}")
    paths = tuple(matches.paths[image_id] for image_id in listed.ids)
    return PlacedSplit(ImageFiles(open_storage(folder), listed.ids, paths, listed.sizes), listed)


def _train_folder(roots: DatasetRoots) -> Path | None:
    if roots.train is not None:
        return roots.train
    return None if roots.images is None else find_folder(roots.images, "train")


def _class_names(train: Path | None) -> tuple[str, ...]:
    if train is not None and train.is_dir():
        folders = sorted(entry.name for entry in train.iterdir() if entry.name.startswith("n"))
        if len(folders) == CLASSES:
            return tuple(folders)
    return tuple(str(label) for label in range(CLASSES))


def _read_train(folder: Path, on_fault: FaultHandler, on_finding: Callable[[Finding], None]) -> ListedSplit:
    storage = open_storage(folder)
    classes = list_class_folders(storage, "", on_fault, on_finding)
    if len(classes) != CLASSES:
        raise DataError(
            f"{folder} holds {len(classes):,} class folders; expected {CLASSES:,}, or labels would be wrong"
        )
    paths = tuple(f"{name}/{image}" for name, images in classes.items() for image in images)
    labels = np.repeat(np.arange(CLASSES), [len(images) for images in classes.values()])
    return ListedSplit(ImageFiles(storage, tuple(TRAIN_PREFIX + path for path in paths), paths), labels)
