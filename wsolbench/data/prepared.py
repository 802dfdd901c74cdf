"""Folders that hold a whole data set in the reference layout: images, lists, and perhaps a ZIP file to train on.

::

    images/ or images.zip      what the lists name
    masks/                     what they name as masks, where that is not in images/
    metadata/{train,val,test}  the lists; or metadata/<name>/{train,val,test}
    train*.zip                 the train-weaksup images, where they are not among the others
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wsolbench.contract import DatasetRoots
from wsolbench.data.reference import has_splits
from wsolbench.errors import DataError

__all__ = ["lists_below", "prepared_roots"]


def prepared_roots(name: str, roots: DatasetRoots) -> DatasetRoots | None:
    """Return the places of images and lists in a folder of the layout above; None where ``roots.images`` is not one.

    Places that the user named stay as they are.

    Args:
        name: The data set.
        roots: ``images`` is the folder.

    Raises:
        DataError: The folder holds several ZIP files of images to train on.
    """
    folder = roots.images
    if roots.metadata is not None:
        return roots
    lists = None if folder is None else lists_below(folder, name)
    if folder is None or lists is None:
        return None
    archives = sorted(folder.glob("train*.zip"))
    if len(archives) > 1 and roots.train is None:
        found = ", ".join(path.name for path in archives)
        raise DataError(f"{folder} holds {found}; say with --train-root which one has the images to train on")
    return replace(
        roots,
        images=_existing(folder / "images") or _existing(folder / "images.zip") or folder,
        metadata=lists,
        masks=roots.masks or _existing(folder / "masks"),
        train=roots.train or next(iter(archives), None),
    )


def lists_below(folder: Path, name: str) -> Path | None:
    """Return the folder of a data set's lists, ``metadata/<name>`` or ``metadata``; None where it has none."""
    return next((place for place in (folder / "metadata" / name, folder / "metadata") if has_splits(place)), None)


def _existing(place: Path) -> Path | None:
    return place if place.exists() else None
