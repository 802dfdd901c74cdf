"""A train-fullsup cut off the test split of a data set: lists in the reference layout that name the same files.

The choice is made class by class. It depends on the seed and on the pictures alone, not on their names or order, so
that it is the same on any machine. Pictures with equal pixels stay together: a threshold would be chosen on test.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsolbench.contract import Annotations, DatasetRoots, ImageSplit, Split
from wsolbench.data.disk import DiskDataset, DiskSplit
from wsolbench.data.fingerprint import image_digest
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.data.reference_writer import write_lists
from wsolbench.data.sampling import select_images
from wsolbench.data.storage import Storage, open_storage, top_folder
from wsolbench.errors import DataError, MissingFileError, UsageError
from wsolbench.progress import Reporter
from wsolbench.threads import ordered_map

__all__ = ["NOTE", "Amount", "Cut", "cut_fullsup", "write_cut"]

NOTE = "split.json"
"""The file that says how the lists beside it were made."""


@dataclass(frozen=True)
class Amount:
    """How many images of every class become train-fullsup: a share of them, or a number.

    Raises:
        UsageError: Neither or both are given, or one is out of range.
    """

    share: float | None = None
    images_per_class: int | None = None

    def __post_init__(self) -> None:
        if (self.share is None) == (self.images_per_class is None):
            raise UsageError("say how much of every class becomes train-fullsup: --share 0.2 or --images-per-class 10")
        if self.share is not None and not 0 < self.share < 1:
            raise UsageError(f"--share {self.share:g}: expected a number above 0 and below 1, such as 0.2")
        if self.images_per_class is not None and self.images_per_class < 1:
            raise UsageError(f"--images-per-class {self.images_per_class}: expected 1 or more")

    def of_class(self, name: str, images: int) -> int:
        """Return the number of images of a class, at least 1; test keeps at least 1. Raises ``DataError``."""
        if images < 2:
            raise DataError(f"the class '{name}' has 1 image; both splits need one, so add images or omit the class")
        if self.images_per_class is not None:
            if self.images_per_class >= images:
                raise DataError(
                    f"the class '{name}' has {images} images, of which --images-per-class {self.images_per_class} "
                    "leaves none for test"
                )
            return self.images_per_class
        assert self.share is not None
        return min(max(int(self.share * images + 0.5), 1), images - 1)


@dataclass(frozen=True)
class Cut:
    """The two splits, and how they were made."""

    fullsup: tuple[int, ...]
    test: tuple[int, ...]
    note: dict[str, Any]


def cut_fullsup(
    dataset: OpenDataset, amount: Amount, *, seed: int, workers: int, reporter: Reporter
) -> tuple[OpenSplit, Cut]:
    """Choose the images of test that become train-fullsup.

    Returns:
        The test split before it is cut, and the positions of both parts in it.

    Raises:
        UsageError: The data set has a train-fullsup split, or no test split with boxes.
        DataError: It is damaged, or a class cannot be cut.
    """
    if Split.TRAIN_FULLSUP in dataset.splits and Split.TEST in dataset.splits:
        raise UsageError(f"'{dataset.name}' has a train-fullsup split here already; there is nothing to cut off")
    part = dataset.open(Split.TEST)
    if not part.has_boxes:
        raise UsageError(f"test of '{dataset.name}' has no boxes, which lists of it would have to state")
    dataset.check_class_map([part.images])
    digests = _digests(part.images, workers, reporter)
    names = [str(name) for name in dataset.class_names]
    chosen = _choose(part.images.labels.tolist(), digests, names, amount, seed)
    test = tuple(position for position in range(len(digests)) if position not in chosen)
    fullsup = tuple(sorted(chosen))
    counts = [Counter(part.images.labels[list(positions)].tolist()) for positions in (fullsup, test)]
    note = {
        "made_by": "wsolbench data split",
        "dataset": dataset.name,
        "annotations_sha256": part.annotations_sha256,
        "share": amount.share,
        "images_per_class": amount.images_per_class,
        "seed": seed,
        "train-fullsup": len(fullsup),
        "test": len(test),
        "identical_pictures": len(digests) - len(set(digests)),
        "classes": [
            {"label": label, "name": name, "train-fullsup": counts[0][label], "test": counts[1][label]}
            for label, name in enumerate(names)
        ],
    }
    return part, Cut(fullsup, test, note)


def _digests(images: ImageSplit, workers: int, reporter: Reporter) -> list[str]:
    def digest(index: int) -> str:
        return image_digest(images.load(index))

    digests: list[str] = []
    with (
        reporter.phase("pictures", len(images.ids)) as advance,
        closing(ordered_map(digest, range(len(images.ids)), workers=workers, ahead=64)) as found,
    ):
        for each in found:
            digests.append(each)
            advance(1)
    return digests


def _choose(
    labels: Sequence[int], digests: Sequence[str], names: Sequence[str], amount: Amount, seed: int
) -> frozenset[int]:
    """Return the positions of train-fullsup: groups of equal pictures, in an order that the seed draws, while they fit.

    Raises:
        DataError: A class cannot be cut.
    """
    wanted = {label: amount.of_class(names[label], count) for label, count in sorted(Counter(labels).items())}
    groups: dict[str, list[int]] = {}
    for position, digest in enumerate(digests):
        groups.setdefault(digest, []).append(position)
    chosen: set[int] = set()
    taken: Counter[int] = Counter()
    for digest in sorted(groups, key=lambda digest: hashlib.sha256(f"{seed} {digest}".encode()).digest()):
        of_group = Counter(labels[position] for position in groups[digest])
        if all(taken[label] + count <= wanted[label] for label, count in of_group.items()):
            chosen.update(groups[digest])
            taken += of_group
    for label in wanted:
        if not taken[label]:
            raise DataError(
                f"the class '{names[label]}' cannot be cut: too many of its images are one picture, which stays in one "
                "split; remove the copies"
            )
    return frozenset(chosen)


# --------------------------------------------------------------------------------------------------------- the lists


@dataclass(frozen=True)
class _Renamed:
    """Some images of a split under the paths of their files."""

    split: ImageSplit
    paths: Mapping[str, str]
    truth: Annotations

    def images(self) -> ImageSplit:
        """Return images and labels."""
        ids = tuple(self.paths[image_id] for image_id in self.split.ids)
        return ImageSplit(ids, self.split.labels, self.split.load, is_upright=self.split.is_upright)

    def annotations(self) -> Annotations:
        """Return boxes and sizes."""
        boxes = {self.paths[image_id]: self.truth.boxes[image_id] for image_id in self.split.ids}
        sizes = {self.paths[image_id]: self.truth.image_sizes[image_id] for image_id in self.split.ids}
        return Annotations(boxes, sizes)


def write_cut(dataset: OpenDataset, part: OpenSplit, cut: Cut, roots: DatasetRoots, folder: Path) -> None:
    """Write the lists of both parts, those of train-weaksup, and a note of how they were made.

    Args:
        dataset: The data set that was cut.
        part: Its test split.
        cut: The positions of both parts.
        roots: Where the images are; the lists name their paths below it.
        folder: Receives ``val``, ``test``, perhaps ``train``, and the note.

    Raises:
        DataError: An image is no file below its root.
        OSError: The files cannot be written.
    """
    paths = _paths(part.images.ids, roots.images)
    parts: dict[Split, DiskSplit] = {
        split: _Renamed(select_images(part.images, positions), paths, part.annotations)
        for split, positions in ((Split.TRAIN_FULLSUP, cut.fullsup), (Split.TEST, cut.test))
    }
    if Split.TRAIN_WEAKSUP in dataset.splits:
        images = dataset.images(Split.TRAIN_WEAKSUP)
        parts[Split.TRAIN_WEAKSUP] = _Renamed(images, _paths(images.ids, roots.train or roots.images), Annotations())
    write_lists(DiskDataset("folder", tuple(map(str, dataset.class_names)), parts), folder)
    text = json.dumps(cut.note, indent=2, ensure_ascii=False)
    (folder / NOTE).write_text(f"{text}\n", encoding="utf-8", newline="\n")


def _paths(ids: Iterable[str], root: Path | None) -> dict[str, str]:
    """Return image id -> the path of its file: the id, or the id without the name of its split; as it is spelled there.

    Raises:
        UsageError: No place was named.
        DataError: An image is no file there.
    """
    if root is None:
        raise UsageError("the images are needed; pass --data-root DIR")
    storage = open_storage(root)
    top = top_folder(storage)
    paths: dict[str, str] = {}
    for image_id in ids:
        names = (image_id, image_id.partition("/")[2])
        found = [path for name in names if name for path in _spelled(storage, f"{top}/{name}".lstrip("/"))]
        if not found:
            raise DataError(f"the image '{image_id}' is no file below {root}; lists cannot name it")
        paths[image_id] = found[0]
    return paths


def _spelled(storage: Storage, path: str) -> tuple[str, ...]:
    """Return a path if there is such a file, else those that differ from it in letter case or accents alone."""
    try:
        storage.read_head(path, 0)
    except MissingFileError:
        return storage.similar(path)
    except DataError:
        return ()
    return (path,)
