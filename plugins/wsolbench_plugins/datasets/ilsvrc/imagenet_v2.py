"""ImageNetV2's files and the names that the lists have for them: upstream renamed them after the boxes were drawn.

The published lists say ``val2/0/0.jpeg``; the download has had ``0/<40 hex digits>.jpeg`` since 2020. The reference
evaluator later published ``mapping.txt`` with a pair of names a line. Without it a file is known by its size where no
other of its class shares it.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from wsolbench.api import DataError
from wsolbench.data import ImageFiles, open_storage, read_lines
from wsolbench_plugins.datasets.ilsvrc.folders import FULLSUP_PREFIX

MAPPING = "mapping.txt"


@dataclass
class Matches:
    """Which file each image is.

    Args:
        paths: Image id -> path below the folder of ImageNetV2.
        ways: By what they were matched -> how many.
        unmatched: Image ids without a file.
    """

    paths: dict[str, str] = field(default_factory=dict)
    ways: Counter[str] = field(default_factory=Counter)
    unmatched: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        total = len(self.paths) + len(self.unmatched)
        matched = ", ".join(f"{count:,} by {way}" for way, count in self.ways.items()) or "none"
        return f"of {total:,} images of ImageNetV2, matched {matched}; {len(self.unmatched):,} unmatched"


def read_mapping(folders: Iterable[Path]) -> dict[str, str]:
    """Return name -> other name, both ways, from the first ``mapping.txt`` in any of the folders; empty without one.

    Raises:
        DataError: The file is damaged.
    """
    file = next((folder / MAPPING for folder in folders if (folder / MAPPING).is_file()), None)
    if file is None:
        return {}
    names: dict[str, str] = {}
    for line in read_lines(file):
        pair = [name.strip() for name in line.split(2, ",", "OLD, NEW")]
        for name, other in (pair, reversed(pair)):
            line.check_path(name)
            if name in names:
                raise line.error("expected each name once, this pair has one that was there before")
            names[name] = other
    return names


def match_files(
    folder: Path, ids: Sequence[str], sizes: Mapping[str, tuple[int, int]], mapping: Mapping[str, str]
) -> Matches:
    """Match published ids to the files below a folder of class folders.

    Files whose names say nothing are opened: for their SHA-1, where a mapping has names that may be one, and for their
    size. A size counts where one image and one file of the class have it.

    Raises:
        DataError: The folder or a file in it cannot be read.
    """
    matches = Matches()
    of_class: dict[str, list[str]] = {}
    for image_id in ids:
        of_class.setdefault(image_id.removeprefix(FULLSUP_PREFIX).partition("/")[0], []).append(image_id)
    for class_folder, members in of_class.items():
        _match_class(folder, class_folder, members, sizes, mapping, matches)
    return matches


def _match_class(
    folder: Path,
    class_folder: str,
    ids: Sequence[str],
    sizes: Mapping[str, tuple[int, int]],
    mapping: Mapping[str, str],
    matches: Matches,
) -> None:
    files = {f"{class_folder}/{name}" for name in _names_in(folder / class_folder)}
    images = list(ids)

    def settle(way: str, file_of: Callable[[str], str | None]) -> None:
        for image_id in list(images):
            path = file_of(image_id)
            if path is not None and path in files:
                matches.paths[image_id] = path
                matches.ways[way] += 1
                files.remove(path)
                images.remove(image_id)

    def name(image_id: str) -> str:
        return image_id.removeprefix(FULLSUP_PREFIX)

    settle("name", name)
    settle(MAPPING, lambda image_id: mapping.get(name(image_id)))
    if images and files and mapping:
        storage = open_storage(folder)
        hashes = {hashlib.sha1(storage.read(path)).hexdigest(): path for path in sorted(files)}
        settle("SHA-1", lambda image_id: hashes.get(Path(mapping.get(name(image_id), "")).stem))
    if images and files:
        known = _only_ones({image_id: sizes[image_id] for image_id in images if image_id in sizes})
        found = _only_ones(_file_sizes(folder, tuple(sorted(files))))
        settle("size", {image_id: found[size] for size, image_id in known.items() if size in found}.get)
    matches.unmatched += images


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error


def _file_sizes(folder: Path, paths: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Return path -> (width, height) of the files that are readable images."""
    files = ImageFiles(open_storage(folder), paths)
    sizes = {}
    for index, path in enumerate(paths):
        with suppress(DataError):
            sizes[path] = files.size(index)
    return sizes


def _only_ones(sizes: Mapping[str, tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Return size -> name of what has a size that nothing else has."""
    shared = Counter(sizes.values())
    return {size: name for name, size in sizes.items() if shared[size] == 1}
