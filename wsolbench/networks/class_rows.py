"""Which rows of a network's head are the classes of a data set.

A label is the row of its number where the network has as many classes as the data set. Elsewhere a class map names the
rows (`wsolbench.data.class_map`), or the classes are found by name among those of the network: by WordNet id or by
name, of the class or of the folder of its images. Labels that lists state are rows where some numbers do not occur. The
head keeps all of its rows: a prediction is one of all classes that the network knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor

from wsolbench.contract import ImageSplit
from wsolbench.data.class_map import ANY, MapLine, close_names, find_label, names_of_classes, read_class_map, some
from wsolbench.data.opened import OpenDataset
from wsolbench.errors import UsageError
from wsolbench.networks.network import LoadedNetwork
from wsolbench.networks.row_names import KnownClasses, are_numbers

__all__ = ["ClassRows", "choose_rows"]

ILSVRC = "ilsvrc"
"""The data set whose classes are those of ImageNet, in the same order."""
IMAGENET_SIZES = frozenset({1_000, 11_221, 11_821, 21_841, 21_842, 21_843})
"""How many classes ImageNet and its published subsets have."""
NO_ROW = -1
"""Stands for the row of a class of which no image is scored, and whose row is not known."""
_LONGEST_NUMBER = 9


@dataclass(frozen=True)
class ClassRows:
    """The rows of a head that are the classes of a data set.

    Args:
        rows: Label -> row, or `NO_ROW`; None where every label is the row of its number.
        remark: What the user should know of the choice; empty where nothing was chosen.
        certain: Whether the remark is for information only.
    """

    rows: tuple[int, ...] | None = None
    remark: str = ""
    certain: bool = True


def choose_rows(network: LoadedNetwork, dataset: OpenDataset, parts: Sequence[ImageSplit]) -> ClassRows:
    """Return the rows of a network's head that are the classes of a data set; none are looked for where it has no head.

    Args:
        network: The network.
        dataset: The data set, perhaps with a class map.
        parts: The images that are scored; the folder of a class's images is another name of it.

    Raises:
        UsageError: The network has another number of classes, and they cannot be found among its own.
        DataError: The class map is damaged, or names a row that the head does not have.
    """
    if network.num_classes == 0:
        return ClassRows()
    known = _known_classes(network)
    lines = () if dataset.class_map is None else read_class_map(dataset.class_map).rows
    count, rows = dataset.num_classes, network.num_classes
    if any(line.folder == line.row == ANY for line in lines):
        return ClassRows(remark=f"{dataset.class_map}: every label is the row of its number")
    if known is None and not lines and rows == count:
        return ClassRows()
    names = names_of_classes(dataset.class_names, dataset.num_classes, parts)
    mapped = _mapped_rows(lines, names, known, rows)
    found = {label: [mapped[label]] if label in mapped else _find(known, of_label) for label, of_label in names.items()}
    occurring = {label for part in parts for label in np.unique(part.labels).tolist() if label < count}
    undecided = [label for label in sorted(occurring) if len(found[label]) != 1]
    if not undecided:
        chosen = tuple(found[label][0] if len(found[label]) == 1 else NO_ROW for label in range(count))
        how = f"found by name among those of {known.source}" if known else "found by name"
        how = f"as {dataset.class_map} says" if mapped else how
        text = f"the classes of '{dataset.name}' are {len(occurring):,} of the {rows:,} that the weights know, {how}"
        unchanged = rows == count and chosen == tuple(range(count))
        return ClassRows() if unchanged else ClassRows(chosen, f"{text}; a prediction is one of all {rows:,}")
    contradicted = known is not None and known.binding and not are_numbers(dataset.class_names)
    if not mapped and not contradicted and rows == count and all(found[label] in ([], [label]) for label in occurring):
        return ClassRows()
    if not mapped and are_numbers(dataset.class_names) and (known is None or _skip_labels(dataset)):
        remark = f"the weights know {rows} classes and the data set {count}; its labels are taken for the first {count}"
        return ClassRows(remark=f"{remark} of them" if rows > count else "", certain=False)
    raise _unknown_rows(network, dataset, known, [(names[label][0], found[label]) for label in undecided])


def rows_of(labels: Tensor, rows: tuple[int, ...] | None) -> Tensor:
    """Return the rows of a head that are the classes of some images, int64 (B,).

    Args:
        labels: The classes, int64 (B,).
        rows: Label -> row; None where every label is the row of its number.
    """
    return labels if rows is None else labels.new_tensor(rows)[labels]


def _unknown_rows(
    network: LoadedNetwork,
    dataset: OpenDataset,
    known: KnownClasses | None,
    missing: Sequence[tuple[str, list[int]]],
) -> UsageError:
    several = [f"'{name}' is the name of the rows {' and '.join(map(str, rows))}" for name, rows in missing if rows]
    absent = [name for name, rows in missing if not rows]
    reasons, numbered = several[:3], are_numbers(dataset.class_names)
    if absent and known is None:
        reasons = [f"the rows of {some(absent)} are not known"]
    elif absent and known is not None:
        of = known if known.binding else known.source
        reasons.append(f"{some(absent)} {'is' if len(absent) == 1 else 'are'} not among those of {of}")
    return UsageError(
        f"the weights of '{network.spec.name}' know {network.num_classes:,} classes and '{dataset.name}' has "
        f"{dataset.num_classes:,}; {'; '.join(reasons)}; say with --class-map FILE which row is which class, "
        f"a CSV file with the header folder,row{' (and the line *,* where labels are rows)' if numbered else ''}"
    )


def _known_classes(network: LoadedNetwork) -> KnownClasses | None:
    """Return the classes of a head: those that came with its weights or, for heads of ImageNet's sizes, timm's."""
    training = network.weights.training
    if network.row_names is not None and not are_numbers([names[0] for names in network.row_names.names]):
        return network.row_names
    if network.weights.source == "random" or (training is not None and training.dataset != ILSVRC):
        return None
    return _imagenet(network.num_classes)


@lru_cache(maxsize=1)
def _imagenet(classes: int) -> KnownClasses | None:
    """Return the classes of ImageNet's subset of so many, in the order that networks are published with."""
    if classes not in IMAGENET_SIZES:
        return None
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": classes})
    if subset is None:  # an older timm does not know it
        return None
    info = ImageNetInfo(subset)
    names = tuple((wnid, *info.label_name_to_description(wnid).split(", ")) for wnid in info.label_names())
    return KnownClasses(subset, names)


def _find(known: KnownClasses | None, names: Sequence[str]) -> list[int]:
    """Return the rows of the first name that any row is called."""
    rows = (known.find(name) for name in names) if known else iter(())
    return next((found for found in rows if found), [])


def _mapped_rows(
    lines: Sequence[MapLine], names: Mapping[int, tuple[str, ...]], known: KnownClasses | None, rows: int
) -> dict[int, int]:
    """Return the rows that a class map names: label -> row. Raises ``DataError``."""
    mapped: dict[int, int] = {}
    for each in lines:
        if ANY in (each.folder, each.row):
            raise each.line.error(f"expected a class and a row, or '{ANY}' for both")
        label, row = find_label(each, names), _row(each, known, rows)
        if mapped.setdefault(label, row) != row:
            raise each.line.error(f"expected one row a class, this one has {mapped[label]} before")
    return mapped


def _row(each: MapLine, known: KnownClasses | None, rows: int) -> int:
    if each.row.isascii() and each.row.isdecimal():
        if len(each.row) > _LONGEST_NUMBER or int(each.row) >= rows:
            raise each.line.error(f"expected a row from 0 to {rows - 1}")
        return int(each.row)
    found = known.find(each.row) if known else []
    if len(found) != 1:
        close = close_names(each.row, (name for names in known.names for name in names)) if known else ""
        several = f"which {each.row!r} is {len(found)} times" if found else f"which {each.row!r} is not{close}"
        what = f"the number, id or name of a class of {known.source}" if known else "the number of a row"
        raise each.line.error(f"expected {what}, {several}")
    return found[0]


def _skip_labels(dataset: OpenDataset) -> bool:
    """Return whether labels below the highest do not occur: they are then numbers in a longer list of classes."""
    labels = np.concatenate([np.unique(dataset.images(split).labels) for split in dataset.splits])
    return bool(len(np.unique(labels)) <= labels.max())
