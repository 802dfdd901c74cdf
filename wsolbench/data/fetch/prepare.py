"""Preparation of a data set: its files are downloaded where this is allowed and unpacked, and its lists written."""

from __future__ import annotations

import errno
import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import (
    Annotations,
    Dataset,
    DatasetRoots,
    DatasetSpec,
    Download,
    ImageSplit,
    Preparation,
    Split,
)
from wsolbench.data.disk import DiskDataset, DiskSplit, PickedSplit
from wsolbench.data.fetch.download import MEGABYTE, NotFetchedError, fetch, matches_checksum
from wsolbench.data.fetch.unpack import unpack
from wsolbench.data.images import warp
from wsolbench.data.opened import open_dataset
from wsolbench.data.prepared import prepared_roots
from wsolbench.data.reference_writer import write_lists
from wsolbench.data.sizes import format_size
from wsolbench.drafts import draft_folder
from wsolbench.errors import DataError, MissingFileError, OutputError, UsageError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer
from wsolbench.progress import Reporter

SOURCE = ".source"
"""Holds the downloads of a data set that is copied, until the copy is complete."""
UNPACKED = "unpacked"
"""What becomes of an archive that the user has, below `SOURCE`."""
IMAGES, LISTS = "images", "metadata"
QUALITY = 95
"""Of the JPEG files of images that are copied as squares."""


def prepare_dataset(
    offer: Offer[DatasetSpec], folder: Path, reporter: Reporter, own: DatasetRoots | None = None
) -> None:
    """Prepare a data set in a folder, so that ``--data-root`` with this folder is enough to use it.

    Files that exist already are kept: a call continues where an earlier one stopped.

    Args:
        offer: The data set.
        folder: The folder for it.
        reporter: Shows the progress.
        own: Where the user has what would be downloaded; nothing is downloaded then.

    Raises:
        UsageError: The data set has nothing to prepare, or is used where the user has it.
        DataError: A file cannot be downloaded, is damaged, or has to be downloaded by the user.
        OutputError: The folder cannot be written, for example on a full disk.
        PluginError: The data set's code fails.
    """
    plan = offer.spec.preparation
    if plan is None:
        raise UsageError(f"the data set '{offer.name}' has nothing to prepare")
    copied = plan.copied_from is not None
    if own is not None:
        _check_own(offer, own, plan)
    if copied and (folder / LISTS).is_dir():
        open_dataset(offer, DatasetRoots(images=folder))
        reporter.say(f"{folder} already holds '{offer.name}'")
        return
    place = folder / SOURCE if copied else folder
    if own is None:
        reporter.say(f"terms: {plan.terms}")
        with _writing(folder):
            place.mkdir(parents=True, exist_ok=True)
            for draft in folder.glob(".*-draft-*"):  # left by a process that was killed
                shutil.rmtree(draft, ignore_errors=True)
        _gather(plan, folder, place, reporter)
    if plan.copied_from is not None:
        with blaming(offer.provider, f"preparing the data set '{offer.name}'"):
            roots = plan.copied_from(place) if own is None else _unpacked(own, place / UNPACKED, reporter)
            _copy(open_dataset(offer, roots, reporter).dataset, plan, folder, reporter)
        shutil.rmtree(place, ignore_errors=True)
    open_dataset(offer, DatasetRoots(images=folder))


def _check_own(offer: Offer[DatasetSpec], own: DatasetRoots, plan: Preparation) -> None:
    """Check that what the user has is there, and that the data set is copied from such files. Raises ``UsageError``."""
    if plan.copied_from is None:
        raise UsageError(f"'{offer.name}' is not copied: name the folder of what you have in every command")
    for option, place in (("--data-root", own.images), ("--metadata-root", own.metadata)):
        if place is not None and not place.exists():
            raise UsageError(f"{option} {place} does not exist")
    if plan.side is not None and prepared_roots(offer.name, replace(own, metadata=None)) is not None:
        raise UsageError(
            f"--data-root {own.images} already holds '{offer.name}', prepared: use it as it is, or copy the folder"
        )


# ------------------------------------------------------------------------------------------------------------ downloads


def _gather(plan: Preparation, folder: Path, place: Path, reporter: Reporter) -> None:
    """Download and unpack every file; report those that the user has to download together, at the end.

    Args:
        plan: The downloads.
        folder: The folder of the data set, where archives are kept until they are unpacked.
        place: The folder for the files and the content of the archives.
        reporter: Shows the progress.

    Raises:
        DataError: A file is damaged, or some have to be downloaded by the user.
        OutputError: A folder cannot be written.
    """
    absent: list[Download] = []
    failure: NotFetchedError | None = None
    for download in plan.downloads:
        target = place / download.place
        archive = None if download.archive is None else folder / download.archive
        if target.exists():
            continue
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        if archive is not None and archive.exists():
            _check(archive, download)
        elif download.url is not None and failure is None:
            try:
                _fetch(download.url, archive or target, download.checksum, reporter)
            except NotFetchedError as error:  # the others would fail too, each after several pauses: do not try them
                failure = error
                absent.append(download)
                continue
        elif download.url is not None or download.needed:
            absent.append(download)
            continue
        else:
            reporter.say(f"not downloaded: {_describe_source(download, folder, place)}")
            continue
        if archive is not None:
            _unpack(archive, target, download, reporter)
    if absent:
        lines = "".join(f"\n  {_describe_source(download, folder, place)}" for download in absent)
        files = "1 file" if len(absent) == 1 else f"{len(absent)} files"
        why = "" if failure is None else f"{failure}\n  "
        raise DataError(f"{why}download {files} yourself, then run this command again{lines}")


def _describe_source(download: Download, folder: Path, place: Path) -> str:
    """Return where a file belongs and where to download it, for a message."""
    target = place / download.place if download.archive is None else folder / download.archive
    return f"{target}: from {download.url or download.by_hand}"


def _check(archive: Path, download: Download) -> None:
    if download.checksum is not None and not matches_checksum(archive, download.checksum):
        raise DataError(
            f"{archive} is not the published file: its checksum is not {download.checksum}; download it again"
        )


def _fetch(url: str, target: Path, checksum: str | None, reporter: Reporter) -> None:
    with reporter.phase(f"downloading {target.name}", None, "MB") as advance:
        received = 0

        def count(more: int) -> None:
            nonlocal received
            advance((received + more) // MEGABYTE - received // MEGABYTE)
            received += more

        fetch(url, target, checksum=checksum, advance=count)


def _unpack(archive: Path, target: Path, download: Download, reporter: Reporter) -> None:
    with reporter.phase(f"unpacking {archive.name}", None, "files") as advance:
        unpack(archive, target, inside=download.inside, advance=advance)
    if download.url is not None:  # a file that the user downloaded stays
        archive.unlink()


# --------------------------------------------------------------------------------------------------------------- copies


def _unpacked(own: DatasetRoots, folder: Path, reporter: Reporter) -> DatasetRoots:
    """Return the places of what the user has; a tar file of images is unpacked, a ZIP file can be read as it is."""
    archive = own.images
    if archive is None or not archive.is_file() or zipfile.is_zipfile(archive):
        return own
    if not folder.exists():
        with _writing(folder), reporter.phase(f"unpacking {archive.name}", None, "files") as advance:
            folder.parent.mkdir(parents=True, exist_ok=True)
            unpack(archive, folder, advance=advance)
    return replace(own, images=folder)


def _copy(dataset: Dataset, plan: Preparation, folder: Path, reporter: Reporter) -> None:
    """Write images and lists in the reference layout; the lists come last, since they mark the copy as complete."""
    if plan.side is not None:
        _check_originals(dataset, reporter)
    with _writing(folder), draft_folder(folder / "copy") as draft:
        for split in (split for split in Split if split in dataset.splits):
            _copy_images(dataset, split, None if split is Split.TRAIN_WEAKSUP else plan.side, draft / IMAGES, reporter)
        write_lists(dataset, draft / LISTS)
        for name, belongs in plan.selections.items():
            write_lists(_selected(dataset, belongs), draft / name)
            shutil.rmtree(folder / name, ignore_errors=True)
            (draft / name).replace(folder / name)
        shutil.rmtree(folder / IMAGES, ignore_errors=True)  # left by a process that was killed after the next line
        (draft / IMAGES).replace(folder / IMAGES)
        (draft / LISTS).replace(folder / LISTS)


def _check_originals(dataset: Dataset, reporter: Reporter) -> None:
    """Refuse images that are not there or, by their headers, are of another size than listed; all of them are counted.

    Raises:
        DataError: There are such images, or a file cannot be read.
    """
    missing: list[str] = []
    other: list[str] = []
    count = 0
    for split in (split for split in Split if split in dataset.splits and split is not Split.TRAIN_WEAKSUP):
        images = dataset.images(split)
        listed = {**dataset.annotations(split).image_sizes, **images.sizes}
        count += len(images.ids)
        with reporter.phase(f"checking {split.label}", len(images.ids)) as advance:
            for index, image_id in enumerate(images.ids if images.read is not None else ()):
                assert images.read is not None
                try:
                    size = _size_in_header(images.read(index))
                except MissingFileError:
                    missing.append(image_id)
                else:
                    if size is not None and image_id in listed and sorted(size) != sorted(listed[image_id]):
                        other.append(f"{image_id} ({format_size(size)} in place of {format_size(listed[image_id])})")
                advance(1)
    if missing:
        raise DataError(
            f"{len(missing):,} of {count:,} photos of '{dataset.name}' are missing, such as {missing[0]}; it needs all "
            "of them: check their folder, or unpack all again"
        )
    if other:
        raise DataError(
            f"{len(other):,} of {count:,} photos of '{dataset.name}' are of another size than listed, such as "
            f"{other[0]}; it is prepared from the original photos"
        )


def _size_in_header(content: bytes) -> tuple[int, int] | None:
    """Return the (width, height) of an image file as it is stored; None of one that is damaged, which copying names."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


@dataclass(frozen=True)
class _SplitOf:
    """A split of a data set of any kind."""

    dataset: Dataset
    split: Split

    def images(self) -> ImageSplit:
        return self.dataset.images(self.split)

    def annotations(self) -> Annotations:
        return self.dataset.annotations(self.split)


def _selected(dataset: Dataset, belongs: Callable[[NDArray[np.int64], tuple[int, int]], bool]) -> Dataset:
    """Return the images of a data set that have no boxes, and those whose boxes belong in a selection."""
    parts: dict[Split, DiskSplit] = {}
    for split in dataset.splits:
        ids, truth = dataset.images(split).ids, dataset.annotations(split)
        left_out = {name for name, boxes in truth.boxes.items() if not belongs(boxes, truth.image_sizes[name])}
        parts[split] = PickedSplit(_SplitOf(dataset, split), tuple(name for name in ids if name not in left_out))
    return DiskDataset(dataset.name, tuple(map(str, dataset.class_names)), parts)


def _copy_images(dataset: Dataset, split: Split, side: int | None, folder: Path, reporter: Reporter) -> None:
    images = dataset.images(split)
    if images.read is None:
        raise UsageError(f"the images of '{dataset.name}' are not files and cannot be copied")
    with reporter.phase(f"copying {split.label}", len(images.ids)) as advance:
        for index, image_id in enumerate(images.ids):
            target = folder / image_id
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(images.read(index) if side is None else _as_square(images.load(index), side))
            advance(1)


def _as_square(image: NDArray[np.uint8], side: int) -> bytes:
    """Return an image (H, W, 3), warped to a square, as a JPEG file."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(warp(image, side, "bicubic")).save(content, "JPEG", quality=QUALITY)
    return content.getvalue()


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Convert an error of the file system into one line that says why `place` cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OutputError(
                f"the disk is full: {place}; free some space and run the command again to continue"
            ) from error
        raise OutputError(f"{place} cannot be written: {error.strerror}") from error
