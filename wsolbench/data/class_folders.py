"""Images in folders named by their class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from wsolbench.contract import Finding, Severity, Split
from wsolbench.contract.datasets import ignore_finding, raise_fault
from wsolbench.data.class_map import plain_name
from wsolbench.data.file_kinds import COMPANIONS, IMAGE_SUFFIXES, is_image_name
from wsolbench.data.ids import is_text, shown_name
from wsolbench.data.split_names import split_named
from wsolbench.data.storage import Storage, visible_entries
from wsolbench.errors import DataError
from wsolbench.texts import first_names

__all__ = ["check_class_names", "list_class_folders"]

_NAMED = 3
_LOOKED_AT = 100
"""The most folders that are looked into for a hint."""
_SEVERAL = 2
"""A folder of photos that have no class looks like one class folder: several are looked for first."""
_DEEPEST = 3
"""So many folders deeper are class folders looked for."""


def list_class_folders(
    storage: Storage,
    below: str = "",
    on_fault: Callable[[DataError], None] = raise_fault,
    on_finding: Callable[[Finding], None] = ignore_finding,
    option: str = "--data-root",
) -> dict[str, tuple[str, ...]]:
    """Return folder name -> names of its image files, both in the order of their names; no file is opened.

    Hidden files are ignored. Files whose names are not those of images that can be read, folders inside the class
    folders and images beside them are left out, which is reported.

    Args:
        storage: The files.
        below: The folder in it that holds the class folders.
        on_fault: Called with the error about a folder or a name, which is left out where it returns.
        on_finding: Called with what is left out.
        option: What the folder was named with; empty of the folder of a split.

    Raises:
        DataError: The folder is not there, or class folders are in other folders than this one; or it holds no class
            folder, or one without images, where `on_fault` raises that.
    """
    root = storage.place(below)
    front = f"{below}/" if below else ""
    found: dict[str, tuple[str, ...]] = {}
    others: list[str] = []
    nested: dict[str, list[str]] = {}
    try:
        classes, beside = visible_entries(storage, below)
        for name in _texts(classes, root, on_fault):
            folders, files = visible_entries(storage, f"{front}{name}")
            found[name] = tuple(_texts(filter(is_image_name, files), storage.place(f"{front}{name}"), on_fault))
            others += (f"{name}/{other}" for other in files if not is_image_name(other))
            others += (f"{name}/{folder}/" for folder in folders)
            nested[name] = folders
    except DataError as error:
        raise DataError(f"expected a folder of class folders: {error}") from error
    others += filter(is_image_name, beside)
    if not any(found.values()):
        _refuse_other_level(storage, below, sum(map(is_image_name, beside)), option)
    for finding in _findings_of_others(root, others):
        on_finding(finding)
    if not found:
        on_fault(DataError(f"{root} holds no class folder"))
    for name in (name for name, images in found.items() if not images):
        suffixes = ", ".join(IMAGE_SUFFIXES)
        holds = f"holds no image ({suffixes}); remove or fill it"
        if nested[name]:
            holds = f"holds no image but folders ({first_names(nested[name], _NAMED)}); move their images up into it"
        on_fault(DataError(f"class folder {storage.place(front + name)} {holds}"))
    return found


def check_class_names(of_split: Mapping[Split, Iterable[str]], on_fault: Callable[[DataError], None]) -> None:
    """Refuse names of one class that differ between splits in letter case, accents, spaces or signs alone.

    Two such names that are in one split are two classes.

    Args:
        of_split: Split -> the names of its class folders.
        on_fault: Called with the error.
    """
    splits_of: dict[str, dict[str, list[Split]]] = {}
    for split, names in of_split.items():
        for name in names:
            splits_of.setdefault(plain_name(name), {}).setdefault(name, []).append(split)
    for same in (same for same in splits_of.values() if len(same) > 1):
        every = [split for splits in same.values() for split in splits]
        if len(set(every)) == len(every):
            named = " and ".join(
                f"{name!r} in {', '.join(split.value for split in splits)}" for name, splits in same.items()
            )
            message = f"the class folders {named} would be two classes: their names differ in letter case, accents"
            on_fault(DataError(f"{message}, spaces or signs alone; rename one"))


def _refuse_other_level(storage: Storage, below: str, photos: int, option: str) -> None:
    """Refuse a folder whose class folders are deeper, or that is a class folder itself. Raises ``DataError``."""
    root = storage.place(below)
    meant = _class_roots(storage, below, _SEVERAL) or _class_roots(storage, below, 1)
    named = [folder for folder in meant if split_named(folder.rpartition("/")[2]) is Split.TRAIN_WEAKSUP]
    if option == "--train-root" and len(named) == 1:
        meant = named
    if meant:
        first = storage.place(meant[0])
        inside = first_names(visible_entries(storage, meant[0])[0], _NAMED)
        text = f"{root} holds no photo in a class folder, but {first} holds folders ({inside})"
        places = " or ".join(f"{option} {storage.place(folder)}" for folder in meant[:_NAMED])
        is_file = first.startswith(f"{meant[0]} in ")  # of a ZIP file, whose folders no option names
        advice = f"did you mean {places}?" if option and not is_file else f"move them up into {root}"
        raise DataError(f"{text}; {advice}")
    if photos and option:
        text = f"{root} holds {photos:,} photos and no class folder with any"
        raise DataError(f"{text}; sort them into class folders, or pass the folder above with {option}")


def _class_roots(storage: Storage, below: str, least: int) -> list[str]:
    """Return the folders nearest below a folder that hold so many class folders with images, or splits that do."""
    level = [below]
    for _ in range(_DEEPEST):
        deeper = [
            f"{folder}/{name}".lstrip("/") for folder in level for name in _entered(storage, folder)[0][:_LOOKED_AT]
        ]
        level = deeper[:_LOOKED_AT]
        found = [folder for folder in level if _holds_classes(storage, folder, least)]
        if found:
            return found
    return []


def _entered(storage: Storage, folder: str) -> tuple[list[str], list[str]]:
    """Return what is in a folder; nothing of one that cannot be entered."""
    with suppress(DataError):
        return visible_entries(storage, folder)
    return [], []


def _holds_classes(storage: Storage, folder: str, least: int) -> bool:
    """Whether a folder holds so many class folders with images, or folders named by their split that do."""
    count = 0
    for name in _entered(storage, folder)[0][:_LOOKED_AT]:
        inside, files = _entered(storage, f"{folder}/{name}")
        count += any(map(is_image_name, files))
        if count >= least or (split_named(name) is not None and inside):
            return True
    return False


def _findings_of_others(root: str, others: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding about what is left out below a folder of class folders, counted by ending."""
    kinds = Counter(_kind(path) for path in others)
    if not kinds:
        return
    counted = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    named = first_names(others, _NAMED, shown_name)
    harmless = all(kind in COMPANIONS for kind in kinds)
    advice = "" if harmless else "; save photos as JPEG or PNG, directly in their class folder"
    severity = Severity.NOTE if harmless else Severity.WARNING
    yield Finding(severity, f"{root}: left out: {counted} ({named}){advice}")


def _kind(path: str) -> str:
    """Return the kind of a file that is left out: its ending, or what else it is."""
    if path.endswith("/"):
        return "in folders inside a class folder"
    if "/" not in path:
        return "beside the class folders"
    return os.path.splitext(path)[1].lower() or "without ending"  # noqa: PTH122


def _texts(names: Iterable[str], folder: str, on_fault: Callable[[DataError], None]) -> list[str]:
    """Return the names that are text; lists and records cannot hold others."""
    every = list(names)
    odd = [name for name in every if not is_text(name)]
    if odd:
        shown = shown_name(f"{folder}/{odd[0]}")
        more = f", and so are {len(odd) - 1} others beside it" if len(odd) > 1 else ""
        on_fault(DataError(f"{shown}: the name is not UTF-8{more}; rename it"))
    return [name for name in every if is_text(name)]
