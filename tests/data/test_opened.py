"""An opened data set: its splits can be sent to another process."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from toys import Notes

from wsolbench.contract import (
    Annotations,
    Conventions,
    DatasetRoots,
    DatasetSpec,
    Finding,
    ImageSplit,
    Severity,
    Split,
)
from wsolbench.data import DiskDataset
from wsolbench.data.check.report import check_dataset
from wsolbench.data.fingerprint import combine_digests, image_digest
from wsolbench.data.opened import open_dataset
from wsolbench.engine.assembly import check_masks, open_splits
from wsolbench.errors import DataError
from wsolbench.host.loading import load_plugins
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer

HASHES = """
import pickle, sys
from wsolbench.data.fingerprint import combine_digests, image_digest
part = pickle.load(sys.stdin.buffer)
print(combine_digests(image_digest(part.images.load(index)) for index in range(len(part.images.ids))))
print(part.annotations_sha256)
"""


@pytest.mark.parametrize("annotation", ["boxes", "masks"])
def test_an_opened_split_is_read_in_another_process(folder_set, annotation):
    made = folder_set(annotation=annotation, val=3, test=6)
    roots = DatasetRoots(images=made.images, metadata=made.metadata, masks=made.images)
    part = open_dataset(load_plugins().datasets.get("folder"), roots).open(Split.TEST, limit=5)
    there = subprocess.run([sys.executable, "-c", HASHES], input=pickle.dumps(part), stdout=subprocess.PIPE, check=True)
    images = combine_digests(image_digest(part.images.load(index)) for index in range(5))
    assert there.stdout.decode().split() == [images, part.annotations_sha256]


def test_what_a_data_set_reports_is_shown_once():
    def build(roots):
        for severity in (Severity.NOTE, Severity.WARNING, Severity.WARNING):
            roots.on_finding(Finding(severity, f"a {severity.value}"))
        return DiskDataset("toy", (), {})

    notes = Notes()
    open_dataset(Offer(DatasetSpec("toy", build, "here"), Provider("toys", "1", "toy")), DatasetRoots(), notes)
    assert (notes.said, notes.warned) == (["a note"], ["a warning"])


@pytest.mark.parametrize(
    ("labels", "published", "trained", "warned"),
    [
        ([0, 1, 3], 4, False, None),  # photos to evaluate on, selected from a published data set
        ([0, 1, 3], None, False, "is a label out of range?"),
        ([0, 1, 3], 5, False, "is a label out of range?"),
        ([0, 1, 3], 4, True, "is a label out of range?"),
        ([1, 2, 3], 4, False, "labels start at 0; do these start at 1?"),
        ([0, 1, 2, 3], None, False, None),
    ],
)
def test_classes_without_an_image_are_warned_of_unless_photos_are_selected(labels, published, trained, warned):
    class Photos:
        name, version, class_names = "photos", "1", ("a", "b", "c", "d")
        splits = frozenset({Split.TEST, Split.TRAIN_WEAKSUP} if trained else {Split.TEST})

        def images(self, _):
            return ImageSplit(tuple(map(str, labels)), np.array(labels), lambda _: np.zeros((2, 2, 3), np.uint8))

        def annotations(self, _):
            box = np.array([[0, 0, 1, 1]])
            return Annotations({str(label): box for label in labels}, {str(label): (2, 2) for label in labels})

    notes = Notes()
    spec = DatasetSpec("photos", lambda _: Photos(), "here", classes=published)
    dataset = open_dataset(Offer(spec, Provider("toys", "1", "photos")), DatasetRoots(), notes)
    dataset.report_unused_classes([dataset.open(Split.TEST)])
    absent = min(set(range(4)) - set(labels), default=None)
    assert notes.warned == ([] if warned is None else [f"no split has an image of 1 class ({absent}); {warned}"])


def without_annotation(made, split, image_id):
    """Take an image's line out of localization.txt."""
    path = made.metadata / split / "localization.txt"
    path.write_text("\n".join(line for line in path.read_text().split("\n") if not line.startswith(image_id)))


def open_folder(made, unannotated):
    notes = Notes()
    roots = DatasetRoots(made.images, made.metadata, conventions=Conventions(unannotated=unannotated))
    return open_dataset(load_plugins().datasets.get("folder"), roots, notes), notes


@pytest.mark.parametrize(("annotation", "what"), [("boxes", "box"), ("masks", "mask")])
def test_images_without_annotation_are_left_out_where_that_is_asked_for(folder_set, annotation, what):
    made = folder_set(annotation=annotation, test=6)
    without_annotation(made, "test", "test/02.png")
    strict, _ = open_folder(made, "error")
    with pytest.raises(DataError, match=rf"1 image has no {what}.*test/02\.png.*--unannotated omit leaves such"):
        strict.open(Split.TEST)
    lenient, notes = open_folder(made, "omit")
    part = lenient.open(Split.TEST)
    assert part.images.ids == tuple(f"test/{number:02d}.png" for number in (0, 1, 3, 4, 5))
    assert part.images.labels.tolist() == [0, 1, 1, 0, 1]
    assert part.omitted == 1
    assert notes.said == [f"1 of 6 images of test has no {what} and is left out (--unannotated omit)"]
    assert len(lenient.images(Split.TEST).ids) == 6
    limited = lenient.open(Split.TEST, limit=5)
    assert (limited.images.ids, limited.omitted) == (part.images.ids, 1)
    assert limited.annotations_sha256 == part.annotations_sha256


def test_a_split_without_any_annotation_is_an_error(folder_set):
    made = folder_set(annotation="masks", test=2)
    (made.metadata / "test" / "image_ids.txt").write_text("test/00.png")
    (made.metadata / "test" / "class_labels.txt").write_text("test/00.png,0")
    (made.metadata / "test" / "image_sizes.txt").write_text("")
    without_annotation(made, "test", "test/01.png")
    without_annotation(made, "test", "test/00.png")
    dataset, _ = open_folder(made, "omit")
    with pytest.raises(DataError, match="is missing or empty: test needs boxes"):
        dataset.open(Split.TEST)


@pytest.mark.parametrize("splits", [("test",), ("val", "test")])
def test_a_split_whose_boxes_all_stand_for_none_is_an_error_of_every_command(folder_set, splits):
    made = folder_set(val=2, test=2)
    for split in splits:
        lines = "\n".join(f"{split}/{number:02d}.png,0,0,0,0" for number in range(2))
        (made.metadata / split / "localization.txt").write_text(lines)
    dataset, _ = open_folder(made, "omit")
    with pytest.raises(DataError, match="no image of test has a box: --unannotated omit would leave out all of them"):
        open_splits(dataset, Split.TEST, None)
    roots = DatasetRoots(made.images, made.metadata, conventions=Conventions(unannotated="omit"))
    report = check_dataset(load_plugins().datasets.get("folder"), roots, workers=1, reporter=Notes())
    labels = ["train-fullsup", "test"] if len(splits) == 2 else ["test"]
    omitted = "has a box: --unannotated omit would leave out all of them"
    assert report.of(Severity.ERROR) == [f"no image of {label} {omitted}" for label in labels]


def test_a_split_without_boxes_is_an_error_before_anything_is_computed(toys):
    dataset = toys.dataset()
    plain = dataset.annotations
    dataset.annotations = lambda split: Annotations() if split is Split.TEST else plain(split)
    with pytest.raises(DataError, match="the split test has neither boxes nor masks to evaluate against"):
        toys.plan(dataset=dataset).dataset.open(Split.TEST)


def test_labels_from_1_are_a_warning_of_run_and_of_data_check(folder_set):
    made = folder_set(val=2, test=4)
    for path in made.metadata.glob("*/class_labels.txt"):
        pairs = (line.split(",") for line in path.read_text().split())
        path.write_text("\n".join(f"{image_id},{int(label) + 1}" for image_id, label in pairs))
    dataset, notes = open_folder(made, "error")
    open_splits(dataset, Split.TEST, 1)  # a limited run is not warned of classes that it leaves out
    warning = "no split has an image of 1 class (0); labels start at 0; do these start at 1?"
    assert notes.warned == [warning]
    roots = DatasetRoots(made.images, made.metadata)
    report = check_dataset(load_plugins().datasets.get("folder"), roots, workers=1, reporter=Notes())
    assert report.of(Severity.WARNING) == [warning]


def test_what_is_noted_about_masks_is_shown_before_any_map_is_made(folder_set):
    made = folder_set(annotation="masks", val=2, test=4)
    Image.new("L", (30, 30), 255).save(made.images / "white.png")
    path = made.images / "masks" / "test" / "01.png"
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[0, 0] = 7
    Image.fromarray(pixels).save(path)
    white = (made.images / "white.png").read_bytes()
    dataset, notes = open_folder(made, "error")
    splits = open_splits(dataset, Split.TEST, None)
    check_masks(splits, notes)
    (warning,) = notes.warned
    assert warning.startswith("test: 1 image (test/01.png) with a mask of several grey values above 0")
    for path in (made.images / "masks" / "test").iterdir():
        path.write_bytes(white)
    with pytest.raises(DataError, match="all masks are foreground wherever they are scored, so PxAP is 100"):
        check_masks(open_splits(dataset, Split.TEST, None), notes)


@pytest.mark.parametrize("name", ["../escaped", "", "..", "a/b", "a\nb", "-", "x" * 101, None])
def test_a_name_that_cannot_be_that_of_a_folder_is_refused_before_any_work(folder_set, name):
    made = folder_set()
    opened = open_dataset(load_plugins().datasets.get("folder"), DatasetRoots(made.images, made.metadata))
    offer = Offer(DatasetSpec("birds", lambda _roots: Renamed(opened.dataset, name), "made up"), opened.provider)
    with pytest.raises(DataError, match="the data set 'birds' calls itself ") as caught:
        open_dataset(offer, DatasetRoots())
    assert "\n" not in str(caught.value)


class Renamed:
    """A data set under another name."""

    def __init__(self, dataset, name):
        self.dataset, self.name = dataset, name

    def __getattr__(self, attribute):
        return getattr(self.dataset, attribute)
