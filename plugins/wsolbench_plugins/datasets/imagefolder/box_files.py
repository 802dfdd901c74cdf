"""Files of boxes as other tools write them: CSV, COCO's JSON, VOC's XML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from wsolbench.api import DataError, DatasetRoots
from wsolbench.data import open_storage
from wsolbench_plugins.datasets.imagefolder.coco_files import read_coco
from wsolbench_plugins.datasets.imagefolder.csv_files import read_csv
from wsolbench_plugins.datasets.imagefolder.named_boxes import BoxFile
from wsolbench_plugins.datasets.imagefolder.voc_files import read_voc

_Reader: TypeAlias = Callable[[Path, Sequence[Path], DatasetRoots], BoxFile]

_READERS: dict[str, _Reader] = {".csv": read_csv, ".json": read_coco, ".tsv": read_csv, ".xml": read_voc}


def read_box_files(path: Path, roots: DatasetRoots) -> BoxFile:
    """Read a file of boxes, or all those below a folder, which must be of one kind; hidden files are not read.

    Args:
        path: The file or folder.
        roots: The conventions, and who gets the faults and findings; an entry with a fault is left out where
            ``on_fault`` returns.

    Raises:
        DataError: There is none, one is damaged as a whole, or they are of several kinds.
    """
    files = _files_below(path) if path.is_dir() else [path]
    if not path.exists():
        raise DataError(f"{path} does not exist; name a file of boxes, or a folder of them, with --metadata-root")
    readable = [file for file in files if file.suffix.lower() in _READERS]
    kinds = sorted({file.suffix.lower() for file in readable})
    if len(kinds) != 1:
        others = sorted({file.suffix.lower() or "no ending" for file in files})
        found = (
            f"; it has files of the kinds {', '.join(others[:10])}" if others and path.is_dir() and not kinds else ""
        )
        message = f"holds files of the kinds {', '.join(kinds)}" if kinds else f"is or holds no file of boxes{found}"
        yolo = "; YOLO's text files have to be exported as COCO, VOC or CSV" if not kinds and ".txt" in others else ""
        raise DataError(f"{path} {message}; expected one kind of {', '.join(_READERS)}{yolo}")
    return _READERS[kinds[0]](path, readable, roots)


def _files_below(folder: Path) -> list[Path]:
    paths = sorted(open_storage(folder).paths())
    return [folder / path for path in paths if not any(part.startswith(".") for part in path.split("/"))]
