"""Preparation of a data set: its files are downloaded where this is allowed and unpacked, and its lists written."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsolbench.contract import Dataset, DatasetRoots, DatasetSpec, Download, Preparation, Split
from wsolbench.data.fetch.download import MEGABYTE, NotFetchedError, fetch, matches_checksum
from wsolbench.data.fetch.unpack import unpack
from wsolbench.data.opened import open_dataset
from wsolbench.data.reference_writer import write_lists
from wsolbench.drafts import draft_folder
from wsolbench.errors import DataError, OutputError, UsageError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer
from wsolbench.progress import Reporter

SOURCE = ".source"
"""Holds the downloads of a data set that is copied, until the copy is complete."""
IMAGES, LISTS = "images", "metadata"


def prepare_dataset(offer: Offer[DatasetSpec], folder: Path, reporter: Reporter) -> None:
    """Prepare a data set in a folder, so that ``--data-root`` with this folder is enough to use it.

    Files that exist already are kept: a call continues where an earlier one stopped.

    Args:
        offer: The data set.
        folder: The folder for it.
        reporter: Shows the progress.

    Raises:
        UsageError: The data set has nothing to prepare.
        DataError: A file cannot be downloaded, is damaged, or has to be downloaded by the user.
        OutputError: The folder cannot be written, for example on a full disk.
        PluginError: The data set's code fails.
    """
    plan = offer.spec.preparation
    if plan is None:
        raise UsageError(f"the data set '{offer.name}' has nothing to prepare")
    copied = plan.copied_from is not None
    if copied and (folder / LISTS).is_dir():
        open_dataset(offer, DatasetRoots(images=folder))
        reporter.say(f"{folder} already holds '{offer.name}'")
        return
    reporter.say(f"terms: {plan.terms}")
    place = folder / SOURCE if copied else folder
    with _writing(folder):
        place.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob(".*-draft-*"):  # left by a process that was killed
            shutil.rmtree(draft, ignore_errors=True)
    _gather(plan, folder, place, reporter)
    if plan.copied_from is not None:
        with blaming(offer.provider, f"preparing the data set '{offer.name}'"):
            dataset = open_dataset(offer, plan.copied_from(place)).dataset
            _copy(dataset, folder, reporter)
        shutil.rmtree(place, ignore_errors=True)
    open_dataset(offer, DatasetRoots(images=folder))


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


def _copy(dataset: Dataset, folder: Path, reporter: Reporter) -> None:
    """Write images and lists in the reference layout; the lists come last, since they mark the copy as complete."""
    with _writing(folder), draft_folder(folder / "copy") as draft:
        for split in (split for split in Split if split in dataset.splits):
            _copy_images(dataset, split, draft / IMAGES, reporter)
        write_lists(dataset, draft / LISTS)
        shutil.rmtree(folder / IMAGES, ignore_errors=True)  # left by a process that was killed after the next line
        (draft / IMAGES).replace(folder / IMAGES)
        (draft / LISTS).replace(folder / LISTS)


def _copy_images(dataset: Dataset, split: Split, folder: Path, reporter: Reporter) -> None:
    images = dataset.images(split)
    if images.read is None:
        raise UsageError(f"the images of '{dataset.name}' are not files and cannot be copied")
    with reporter.phase(f"copying {split.label}", len(images.ids)) as advance:
        for index, image_id in enumerate(images.ids):
            target = folder / image_id
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(images.read(index))
            advance(1)


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
