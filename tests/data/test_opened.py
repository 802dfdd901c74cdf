"""An opened data set: its splits can be sent to another process."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest
from toys import Notes

from wsolbench.contract import DatasetRoots, DatasetSpec, Finding, Severity, Split
from wsolbench.data import DiskDataset
from wsolbench.data.fingerprint import combine_digests, image_digest
from wsolbench.data.opened import open_dataset
from wsolbench.host.loading import load_plugins
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer


def hashes(sent):
    """Return the hash of the images of a pickled split, and that of its boxes and masks."""
    part = pickle.loads(sent)
    images = combine_digests(image_digest(part.images.load(index)) for index in range(len(part.images.ids)))
    return images, part.annotations_sha256


@pytest.mark.parametrize("annotation", ["boxes", "masks"])
def test_an_opened_split_is_read_in_another_process(folder_set, annotation):
    made = folder_set(annotation=annotation, val=3, test=6)
    roots = DatasetRoots(images=made.images, metadata=made.metadata, masks=made.images)
    part = open_dataset(load_plugins().datasets.get("folder"), roots).open(Split.TEST, limit=5)
    sent = pickle.dumps(part)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(hashes, sent).result()
    images = combine_digests(image_digest(part.images.load(index)) for index in range(5))
    assert there == (images, part.annotations_sha256)


def test_what_a_data_set_reports_is_shown_once():
    def build(roots):
        for severity in (Severity.NOTE, Severity.WARNING, Severity.WARNING):
            roots.on_finding(Finding(severity, f"a {severity.value}"))
        return DiskDataset("toy", (), {})

    notes = Notes()
    open_dataset(Offer(DatasetSpec("toy", build, "here"), Provider("toys", "1", "toy")), DatasetRoots(), notes)
    assert (notes.said, notes.warned) == (["a note"], ["a warning"])
