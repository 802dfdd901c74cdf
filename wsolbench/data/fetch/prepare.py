"""A data set made to lie on disk: fetched where that is allowed, unpacked, and its lists written."""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsolbench.contract import Dataset, DatasetRoots, DatasetSpec, Download, Preparation, Split
from wsolbench.data.fetch.download import MEGABYTE, NotFetchedError, fetch, matches_checksum
from wsolbench.data.fetch.unpack import unpack
from wsolbench.data.opened import open_dataset
from wsolbench.data.reference_writer import write_lists
from wsolbench.errors import DataError, OutputError, UsageError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer
from wsolbench.progress import Reporter

SOURCE = ".source"
"""Holds the downloads of a data set that is copied, until it is."""
IMAGES, LISTS = "images", "metadata"


def prepare_dataset(offer: Offer[DatasetSpec], folder: Path, reporter: Reporter) -> None:
    """Make a data set lie in a folder, so that ``--data-root`` with that folder is all it takes to use it.

    What is there already stays: a call goes on where another one ended.

    Raises:
        UsageError: There is nothing to prepare.
        DataError: Something cannot be fetched, is damaged, or is for a person to fetch.
        OutputError: The folder cannot be written, for example on a full disk.
        PluginError: The data set's own code fails.
    """
    plan = offer.spec.preparation
    if plan is None:
        raise UsageError(f"there is nothing to fetch for the data set '{offer.name}'")
    copied = plan.copied_from is not None
    if copied and (folder / LISTS).is_dir():
        open_dataset(offer, DatasetRoots(images=folder))
        reporter.say(f"{folder} holds '{offer.name}' already")
        return
    reporter.say(f"terms: {plan.terms}")
    place = folder / SOURCE if copied else folder
    with _writing(folder):
        place.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob(".*-draft-*"):  # of a run that was killed
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
    """Bring every download to its place; what a person has to fetch is told at once, after all else was fetched."""
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
            except NotFetchedError as error:  # nor would the others be: each would be tried for long
                failure = error
                absent.append(download)
                continue
        elif download.url is not None or download.needed:
            absent.append(download)
            continue
        else:
            reporter.say(f"not fetched: {_by_hand(download, folder, place)}")
            continue
        if archive is not None:
            _unpack(archive, target, download, reporter)
    if absent:
        told = "".join(f"\n  {_by_hand(download, folder, place)}" for download in absent)
        files = "1 file is" if len(absent) == 1 else f"{len(absent)} files are"
        why = "" if failure is None else f"{failure}\n  "
        raise DataError(f"{why}{files} for you to fetch; then run this command again{told}")


def _by_hand(download: Download, folder: Path, place: Path) -> str:
    target = place / download.place if download.archive is None else folder / download.archive
    return f"{target}: from {download.url or download.by_hand}"


def _check(archive: Path, download: Download) -> None:
    if download.checksum is not None and not matches_checksum(archive, download.checksum):
        raise DataError(
            f"{archive} is not the file that was published: its checksum is not {download.checksum}; fetch it again"
        )


def _fetch(url: str, target: Path, checksum: str | None, reporter: Reporter) -> None:
    with reporter.phase(f"fetching {target.name}", None, "MB") as advance:
        came = 0

        def count(more: int) -> None:
            nonlocal came
            advance((came + more) // MEGABYTE - came // MEGABYTE)
            came += more

        fetch(url, target, checksum=checksum, advance=count)


def _unpack(archive: Path, target: Path, download: Download, reporter: Reporter) -> None:
    with reporter.phase(f"unpacking {archive.name}", None, "files") as advance:
        unpack(archive, target, inside=download.inside, advance=advance)
    if download.url is not None:  # what a person fetched is theirs to remove
        archive.unlink()


# --------------------------------------------------------------------------------------------------------------- copies


def _copy(dataset: Dataset, folder: Path, reporter: Reporter) -> None:
    """Write images and lists in the reference layout; the lists come last, and whole, as they say that all is there."""
    draft = folder / f".copy-draft-{secrets.token_hex(4)}"
    try:
        with _writing(folder):
            for split in (split for split in Split if split in dataset.splits):
                _copy_images(dataset, split, draft / IMAGES, reporter)
            write_lists(dataset, draft / LISTS)
            shutil.rmtree(folder / IMAGES, ignore_errors=True)  # of a run that was killed here
            (draft / IMAGES).replace(folder / IMAGES)
            (draft / LISTS).replace(folder / LISTS)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _copy_images(dataset: Dataset, split: Split, folder: Path, reporter: Reporter) -> None:
    images = dataset.images(split)
    if images.read is None:
        raise UsageError(f"images of '{dataset.name}' are no files; they cannot be copied")
    with reporter.phase(f"copying {split.label}", len(images.ids)) as advance:
        for index, image_id in enumerate(images.ids):
            target = folder / image_id
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(images.read(index))
            advance(1)


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Tell in one line why a place cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OutputError(f"the disk is full: {place}; make room and run the command again, it goes on") from error
        raise OutputError(f"{place} cannot be written: {error.strerror}") from error
