"""Folders that hold a whole data set in the reference layout: images, lists, and perhaps a ZIP file to train on.

::

    images/                    what the lists name
    metadata/{train,val,test}  the lists; or metadata/<name>/{train,val,test}
    train*.zip                 the train-weaksup images, where they are not among the others
"""

from __future__ import annotations

from dataclasses import replace

from wsolbench.data.reference import has_splits
from wsolbench.errors import DataError
from wsolbench.interfaces import DatasetRoots

__all__ = ["prepared_roots"]


def prepared_roots(name: str, roots: DatasetRoots) -> DatasetRoots | None:
    """Return where images and lists lie in a folder in the layout above; None where ``roots.images`` is none.

    Places that the user named stay as they are.

    Args:
        name: The data set.
        roots: ``images`` is the folder.

    Raises:
        DataError: Which of several ZIP files is meant cannot be told.
    """
    folder = roots.images
    if folder is None or roots.metadata is not None:
        return roots if roots.metadata is not None else None
    lists = next((place for place in (folder / "metadata" / name, folder / "metadata") if has_splits(place)), None)
    if lists is None:
        return None
    images = folder / "images"
    archives = sorted(folder.glob("train*.zip"))
    if len(archives) > 1 and roots.train is None:
        found = ", ".join(path.name for path in archives)
        raise DataError(f"{folder} holds {found}; say with --train-root which one has the images to train on")
    train = roots.train or next(iter(archives), None)
    return replace(roots, images=images if images.is_dir() else folder, metadata=lists, train=train)
