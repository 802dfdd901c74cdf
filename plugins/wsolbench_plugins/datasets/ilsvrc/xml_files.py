"""The official XML files of ILSVRC's validation set: sizes, boxes and, through the class ids, labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from wsolbench.api import DataError
from wsolbench.data import read_xml
from wsolbench_plugins.datasets.ilsvrc.folders import TEST_PREFIX

CLASSES = 1000


@dataclass(frozen=True)
class XmlLists:
    """What the XML files say, in the order of their names, under the published ids."""

    class_ids: tuple[str, ...]
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    sizes: dict[str, tuple[int, int]]
    boxes: dict[str, NDArray[np.int64]]


def read_xml_files(folder: Path, on_fault: Callable[[DataError], None]) -> XmlLists:
    """Read all XML files of a folder; labels are the places of the class ids in their order.

    Where `on_fault` returns, an image whose file is damaged has no box and the label -1.

    Corners count from 0 and are inclusive, as they stand in the files (the first file has the corners of the published
    list); those beyond the image's last pixel are moved to it.

    Raises:
        DataError: A file is damaged, or other than 1,000 classes occur, so that labels are unknown; where `on_fault`
            raises that.
    """
    ids: list[str] = []
    class_of: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    boxes: dict[str, NDArray[np.int64]] = {}
    for path in sorted(folder.glob("ILSVRC2012_val_*.xml")):
        image_id = f"{TEST_PREFIX}{path.stem}.JPEG"
        ids.append(image_id)
        try:
            class_of[image_id], sizes[image_id], boxes[image_id] = _read(path)
        except DataError as fault:
            on_fault(fault)
    class_ids = tuple(sorted(set(class_of.values())))
    index = {class_id: label for label, class_id in enumerate(class_ids)} if len(class_ids) == CLASSES else {}
    if not index:
        message = f"the XML files name {len(class_ids):,} classes; labels are known only where all {CLASSES:,} occur"
        on_fault(DataError(f"{folder}: {message}; pass the published lists with --metadata-root DIR/ILSVRC"))
    labels = np.array([index.get(class_of.get(image_id, ""), -1) for image_id in ids], dtype=np.int64)
    return XmlLists(class_ids, tuple(ids), labels, sizes, boxes)


def _read(path: Path) -> tuple[str, tuple[int, int], NDArray[np.int64]]:
    root = read_xml(path)
    try:
        width, height = (int(_text(root, f"size/{side}")) for side in ("width", "height"))
        objects = root.findall("object")
        names = {_text(found, "name") for found in objects}
        corners = [
            [int(_text(found, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")] for found in objects
        ]
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if len(names) != 1:
        raise DataError(f"{path}: expected boxes of one class, got {', '.join(sorted(names)) or 'none'}")
    if width < 1 or height < 1:
        raise DataError(f"{path}: expected a width and height of 1 or more, got {width}x{height}")
    boxes = np.minimum(corners, [width - 1, height - 1] * 2)
    if (boxes[:, :2] < 0).any() or (boxes[:, 2:] < boxes[:, :2]).any():
        raise DataError(f"{path}: expected boxes inside the {width}x{height} image, got {corners}")
    return names.pop(), (width, height), boxes.astype(np.int64)


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"expected <{path.replace('/', '><')}>")
    return text
