"""Scoremaps on disk: written as they were scored, read in either of the layouts that users have."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.storage import FolderStorage
from wsolbench.errors import ScoremapError
from wsolbench.files import read_regular
from wsolbench.protocol import check_scoremap, to_scoremap

_LARGEST = 1 << 28
_MAGIC = (b"\x93NUMPY", b"PK")  # an array, an archive of arrays
_SAVE_PLAIN = "save a plain array: np.save(path, array, allow_pickle=False)"


def save_scoremap(root: Path, image_id: str, scoremap: NDArray[np.float32]) -> None:
    """Write ``<root>/<image id>.npy``, in a folder that nobody reads before all maps are there."""
    path = root / f"{image_id}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()  # an array that is written to a full disk says nothing that a user understands
    np.save(buffer, scoremap)
    path.write_bytes(buffer.getvalue())


class ScoremapFolder:
    """A folder of scoremaps for a set of images, ``<image id>.npy`` or, without the image's ending, ``<stem>.npy``.

    Args:
        root: The folder.
        image_ids: The images whose maps are read.
        others: More images whose maps may lie there. Where two of all these differ in their ending only, the short form
            would be ambiguous and is not read.

    Raises:
        ScoremapError: The folder does not exist, or images have no map in it.
    """

    def __init__(self, root: Path, image_ids: Iterable[str], others: Iterable[str] = ()) -> None:
        if not root.is_dir():
            raise ScoremapError(f"{root} is no folder of scoremaps; name one that holds IMAGE.npy for every image")
        self._root = root
        ids = list(image_ids)
        self._storage = FolderStorage(root)
        uses = Counter(name for image_id in {*ids, *others} for name in {image_id, _stem(image_id)})
        self._names = frozenset(uses)
        self._paths = {image_id: self._find(image_id, uses) for image_id in ids}
        missing = [image_id for image_id, path in self._paths.items() if path is None]
        if missing:
            first, stem = missing[0], _stem(missing[0])
            short = f" or {stem}.npy" if uses[stem] == 1 else f"; {stem}.npy could be of {uses[stem]} images"
            raise ScoremapError(
                f"{root} has no scoremap for {len(missing)} of {len(ids)} images; the first is '{first}' "
                f"(expected {first}.npy{short}); {self._advice(missing)}"
            )

    def _advice(self, missing: Sequence[str]) -> str:
        """Return what to do where images have no map."""
        boxes = sorted(path.name for path in self._root.glob("*.csv")) if len(missing) == len(self._paths) else []
        if boxes:
            return f"it holds {', '.join(boxes)}: boxes are scored by --predictions FILE in place of --scoremaps"
        return "write the missing files, or name the folder that holds them"

    def refuse_unlisted(self, known: Iterable[str]) -> None:
        """Refuse maps that are of no image, such as those of another data set.

        Args:
            known: Every image of the data set; more than the folder's own where only some of them are evaluated.

        Raises:
            ScoremapError: There are such maps; the message names one.
        """
        unlisted = self.find_unlisted(known)
        if unlisted:
            raise ScoremapError(
                f"{self._root / unlisted[0]}.npy is the scoremap of no image of the data set "
                f"(one of {len(unlisted)}); take such files away, or name the data set that they were made for"
            )

    def find_unlisted(self, known: Iterable[str]) -> list[str]:
        """Return the maps, named without ``.npy``, that are of none of these images."""
        expected = {name for image_id in known for name in (image_id, _stem(image_id))}
        expected |= {path.relative_to(self._root).with_suffix("").as_posix() for path in self._paths.values() if path}
        found = (path.relative_to(self._root).with_suffix("").as_posix() for path in sorted(self._root.rglob("*.npy")))
        return [name for name in found if name not in expected]

    def _find(self, image_id: str, uses: Counter[str]) -> Path | None:
        """Return the file of an image; its short name counts where no other image can mean it."""
        stem = _stem(image_id)
        names = [image_id] if uses[stem] > 1 else [image_id, stem]
        paths = (self._root / f"{name}.npy" for name in names)
        exact = next((path for path in paths if path.is_file()), None)
        return exact or self._find_respelled(image_id, names)

    def _find_respelled(self, image_id: str, names: Sequence[str]) -> Path | None:
        """Return the file whose name differs from that of an image in letter case or the form of accents alone.

        Raises:
            ScoremapError: There are several.
        """
        found = sorted({path for name in names for path in self._storage.similar(f"{name}.npy")})
        found = [path for path in found if path.removesuffix(".npy") not in self._names]
        if len(found) > 1:
            raise ScoremapError(f"{self._root}: the scoremap of '{image_id}' may be {' or '.join(found)}; keep one")
        return self._root / found[0] if found else None

    def path(self, image_id: str) -> Path:
        """Return the file of an image's scoremap."""
        path = self._paths[image_id]
        assert path is not None
        return path

    def load(self, image_id: str, frame: tuple[int, int]) -> NDArray[np.floating[Any]]:
        """Read the scoremap of an image; one that is not of the frame's size is resized and normalised.

        Args:
            image_id: The image.
            frame: Width and height of the frame in pixels.

        Raises:
            ScoremapError: The file is damaged or is no scoremap; the message names it.
        """
        path = self.path(image_id)
        try:
            content = read_regular(path, _LARGEST)
            if content and not content.startswith(_MAGIC):
                raise ScoremapError(f"scoremap {path} cannot be read: it is no .npy file; {_SAVE_PLAIN}")
            stored = np.load(io.BytesIO(content), allow_pickle=False)
        except ScoremapError:
            raise
        except OSError as error:
            reason = (
                "it was there when the work began, and is gone"
                if isinstance(error, FileNotFoundError)
                else (error.strerror or str(error))
            )
            raise ScoremapError(f"scoremap {path} cannot be read: {reason}") from error
        except Exception as error:  # a damaged header can make numpy raise anything from SyntaxError to MemoryError
            raise ScoremapError(f"scoremap {path} cannot be read: {_why(error)}") from error
        if not isinstance(stored, np.ndarray):
            stored.close()
            raise ScoremapError(f"scoremap {path}: expected one array (.npy), got an archive of several; {_SAVE_PLAIN}")
        scoremap = check_scoremap(stored, str(path))
        return scoremap if scoremap.shape == frame[::-1] else to_scoremap(scoremap, frame)


def _why(error: Exception) -> str:
    """Say in our words what numpy refused, and what to do."""
    if "Object arrays" in str(error):
        return f"it holds pickled objects, which are never loaded; {_SAVE_PLAIN}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "it is damaged or cut off; write the file again"


def _stem(image_id: str) -> str:
    return str(PurePosixPath(image_id).with_suffix(""))
