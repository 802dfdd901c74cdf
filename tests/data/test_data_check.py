"""A clean data set has nothing to fix; every fault that is planted in a copy of it is found and named."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from cases import each
from PIL import Image

from wsolbench.contract import Conventions, DatasetRoots, DatasetSpec, Finding, ImageSplit, KnownSplit, Severity, Split
from wsolbench.data.check.report import check_dataset
from wsolbench.data.reference import ReferenceDataset
from wsolbench.errors import DataError, PluginError
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer
from wsolbench.progress import Reporter

CLASSES = ("ant", "bee", "cat")
COUNTS = {"train": 5, "val": 4, "test": 6}
SIZE = (32, 24)
PROVIDER = Provider("tests", "1", "folder")


def write_image(path, seed, size=SIZE, **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    root = tmp_path_factory.mktemp("clean")
    for split, count in COUNTS.items():
        ids = [f"{name}/{split}{number}.jpg" for name in CLASSES for number in range(count)]
        for seed, image_id in enumerate(ids):
            write_image(root / "images" / image_id, seed + 1000 * len(split))
        lists = {
            "image_ids": ids,
            "class_labels": [f"{image_id},{CLASSES.index(image_id[:3])}" for image_id in ids],
            "image_sizes": [] if split == "train" else [f"{image_id},32,24" for image_id in ids],
            "localization": [] if split == "train" else [f"{image_id},2,3,30,20" for image_id in ids],
        }
        folder = root / "metadata" / split
        folder.mkdir(parents=True)
        for name, lines in lists.items():
            (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root


class Copied:
    """A copy of the clean data set, to plant faults in."""

    def __init__(self, root):
        self.root = root
        self.images, self.metadata = root / "images", root / "metadata"

    def edit(self, file, old, new):
        """Replace a text that must be in a list."""
        path = self.metadata / f"{file}.txt"
        text = path.read_text()
        assert old in text, (file, old)
        path.write_text(text.replace(old, new, 1))

    def add(self, file, line):
        path = self.metadata / f"{file}.txt"
        path.write_text(f"{path.read_text()}{line}\n")

    def list_too(self, split, image_id, label):
        """List an image that is on disk."""
        self.add(f"{split}/image_ids", image_id)
        self.add(f"{split}/class_labels", f"{image_id},{label}")
        self.add(f"{split}/image_sizes", f"{image_id},32,24")
        self.add(f"{split}/localization", f"{image_id},0,0,3,3")

    def copy(self, source, target):
        (self.images / target).parent.mkdir(exist_ok=True)
        shutil.copy(self.images / source, self.images / target)


def copy_of(clean, tmp_path):
    shutil.copytree(clean, tmp_path / "copy")
    return Copied(tmp_path / "copy")


@pytest.fixture
def copied(clean, tmp_path):
    return copy_of(clean, tmp_path)


def check(images, metadata, spec=None, **roots):
    spec = spec or DatasetSpec("folder", lambda places: ReferenceDataset("folder", places), "")
    places = DatasetRoots(images, metadata, **roots)
    return check_dataset(Offer(spec, PROVIDER), places, workers=2, reporter=Reporter())


def told(report):
    return "\n".join(f"{finding.severity.value}: {finding.text}" for finding in report.findings)


def test_nothing_is_found_in_the_clean_one(clean):
    report = check(clean / "images", clean / "metadata")
    assert report.findings == ()
    assert [(counts.split, counts.images, counts.boxes) for counts in report.splits] == [
        (Split.TRAIN_WEAKSUP, 15, None),
        (Split.TRAIN_FULLSUP, 12, 12),
        (Split.TEST, 18, 18),
    ]
    for counts in report.splits:
        assert (counts.classes, counts.missing, counts.damaged, counts.available) == (3, 0, 0, True)
    assert report.splits[2].per_class == (6, 6)


def cut(path):
    path.write_bytes(path.read_bytes()[:-300])


def replace_with_folder(path):
    path.unlink()
    path.mkdir()


# what is planted, and what the check must say
FAULTS = {
    "missing image": (
        lambda data: (data.images / "ant/test0.jpg").unlink(),
        "error: test: missing on disk: 1 image (ant/test0.jpg)",
    ),
    "zero bytes": (
        lambda data: (data.images / "ant/test1.jpg").write_bytes(b""),
        "error: test: image 'ant/test1.jpg' cannot be read: image file",
    ),
    "truncated JPEG": (
        lambda data: cut(data.images / "ant/test2.jpg"),
        "error: test: image 'ant/test2.jpg' cannot be read: ",
    ),
    "a directory": (
        lambda data: replace_with_folder(data.images / "ant/test3.jpg"),
        "error: test: image 'ant/test3.jpg' cannot be read: ",
    ),
    "no image": (
        lambda data: (data.images / "ant/train0.jpg").write_text("<html>not found</html>"),
        "error: train-weaksup: image 'ant/train0.jpg' cannot be read: ",
    ),
    "another size": (
        lambda data: write_image(data.images / "bee/test0.jpg", 5, (40, 24)),
        "warning: test: 1 image (bee/test0.jpg) of another aspect ratio than listed",
    ),
    "turned by EXIF": (
        lambda data: write_image(data.images / "bee/test1.jpg", 6, exif=exif(3)),
        "warning: test: the EXIF orientation of 1 image (bee/test1.jpg) is ignored",
    ),
    "train-fullsup inside test": (
        lambda data: data.copy("bee/val0.jpg", "bee/test2.jpg"),
        "error: train-fullsup and test share 1 picture (bee/val0.jpg = bee/test2.jpg): a threshold would be chosen on ",
    ),
    "train-weaksup inside test": (
        lambda data: data.copy("bee/train0.jpg", "bee/test3.jpg"),
        "warning: train-weaksup and test share 1 picture (bee/train0.jpg = bee/test3.jpg)",
    ),
    "twice in test": (
        lambda data: data.copy("bee/test4.jpg", "bee/test5.jpg"),
        "warning: test contains twice: 1 picture (bee/test4.jpg = bee/test5.jpg)",
    ),
    "one id in two splits": (
        lambda data: data.list_too("val", "cat/test0.jpg", 2),
        "error: train-fullsup and test share 1 image id (cat/test0.jpg)",
    ),
    "box outside": (
        lambda data: data.edit("test/localization", "cat/test1.jpg,2,3,30,20", "cat/test1.jpg,2,3,32,20"),
        "expected a box inside its 32x24 image, corners up to 31,23, got 'cat/test1.jpg,2,3,32,20'",
    ),
    "corners swapped": (
        lambda data: data.edit("test/localization", "cat/test2.jpg,2,3,30,20", "cat/test2.jpg,30,3,2,20"),
        "expected x0 <= x1 and y0 <= y1, got 'cat/test2.jpg,30,3,2,20'",
    ),
    "a corner that is no number": (
        lambda data: data.edit("test/localization", "cat/test3.jpg,2,3,30,20", "cat/test3.jpg,20.5,3,thirty,20"),
        "expected path,x0,y0,x1,y1 in numbers such as 12 or 12.5, of at most 9 digits before the point, got 'cat/test3",
    ),
    "the same box twice": (
        lambda data: data.add("test/localization", "cat/test0.jpg,2,3,30,20"),
        "warning: test: the same box more than once: 1 image (cat/test0.jpg)",
    ),
    "no more than a line": (
        lambda data: data.edit("test/localization", "bee/test0.jpg,2,3,30,20", "bee/test0.jpg,2,3,2,20"),
        "warning: test: boxes one pixel wide or high: 1 image (bee/test0.jpg)",
    ),
    "no box": (
        lambda data: data.edit("test/localization", "cat/test4.jpg,2,3,30,20\n", ""),
        "test/localization.txt: ",
    ),
    "no size": (
        lambda data: data.edit("val/image_sizes", "ant/val0.jpg,32,24\n", ""),
        "val/image_sizes.txt: 1 image has no size, though listed in image_ids.txt: 'ant/val0.jpg'",
    ),
    "no label": (
        lambda data: data.edit("val/class_labels", "ant/val1.jpg,0\n", ""),
        "no class label, though listed in image_ids.txt: 'ant/val1.jpg'",
    ),
    "label out of range": (
        lambda data: data.edit("val/class_labels", "ant/val2.jpg,0", "ant/val2.jpg,70"),
        "error: train-fullsup: train-weaksup has no image of the class of 1 image (ant/val2.jpg (70))",
    ),
    "negative label": (
        lambda data: data.edit("val/class_labels", "ant/val3.jpg,0", "ant/val3.jpg,-1"),
        "expected a label from 0 to 999999, got 'ant/val3.jpg,-1'",
    ),
    "wrong label": (
        lambda data: data.edit("train/class_labels", "ant/train1.jpg,0", "ant/train1.jpg,2"),
        "error: train-weaksup: 'ant/train1.jpg' has the label 2, the others in its folder have 0",
    ),
    "lists of another image": (
        lambda data: data.add("test/class_labels", "dog/val0.jpg,1"),
        "class_labels.txt: 1 line is of images that image_ids.txt does not list and left out",
    ),
    "listed twice": (
        lambda data: data.add("test/image_ids", "cat/test5.jpg"),
        "expected each image once, this one is on line 18 too, got 'cat/test5.jpg'",
    ),
    "leaves the folder": (
        lambda data: data.add("train/image_ids", "../secret.jpg"),
        "expected a relative path with forward slashes that stays inside its folder, got '../secret.jpg'",
    ),
    "blank line": (
        lambda data: data.edit("train/class_labels", "bee/train1.jpg,1\n", "bee/train1.jpg,1\n\n"),
        "train/class_labels.txt, line 8: expected an entry, as only last lines may be blank",
    ),
    "on disk, in no list": (
        lambda data: write_image(data.images / "cat/unlisted.jpg", 9),
        "warning: in no list, but below ",
    ),
}


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@each("name", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else_is_blamed(clean, tmp_path, name):
    copied = copy_of(clean, tmp_path)
    plant, words = FAULTS[name]
    plant(copied)
    report = check(copied.images, copied.metadata)
    assert words in told(report)
    several = {"label out of range": 3, "negative label": 2}  # missed classes and the folder's label; no label at all
    assert len(report.findings) == several.get(name, 1), told(report)


def test_all_faults_are_found_at_once(copied):
    assert len(FAULTS) >= 20
    for plant, _ in FAULTS.values():
        plant(copied)
    found = told(check(copied.images, copied.metadata))
    for name, (_, words) in FAULTS.items():
        assert words in found, name


# ------------------------------------------------------------------------------------------- what is there, what is not


def texts(report, severity):
    return [finding.text for finding in report.findings if finding.severity is severity]


@pytest.mark.parametrize(
    ("split", "severity", "label"),
    [
        ("train", Severity.NOTE, "train-weaksup"),
        ("val", Severity.ERROR, "train-fullsup"),
        ("test", Severity.ERROR, "test"),
    ],
)
def test_a_split_without_its_images_is_not_available_and_faulty_if_a_run_reads_it(copied, split, severity, label):
    for path in copied.images.glob(f"*/{split}*.jpg"):
        path.unlink()
    report = check(copied.images, copied.metadata)
    (text,) = texts(report, severity)
    assert text.startswith(f"{label} is not available: none of its ")
    assert len(report.findings) == 1
    assert [counts.available for counts in report.splits] == [split != "train", split != "val", split != "test"]


def test_images_to_train_on_may_lie_elsewhere(copied, tmp_path):
    for path in copied.images.glob("*/train*.jpg"):
        target = tmp_path / "elsewhere" / path.relative_to(copied.images)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    missing = check(copied.images, copied.metadata)
    assert texts(missing, Severity.NOTE)[0].startswith("train-weaksup is not available: none of its 15 images")
    assert check(copied.images, copied.metadata, train=tmp_path / "elsewhere").findings == ()


def test_lists_of_other_images_than_those_on_disk(copied, tmp_path):
    write_image(tmp_path / "other" / "a.jpg", 3)
    (error,) = texts(check(tmp_path / "other", copied.metadata), Severity.ERROR)
    assert error.endswith("other; the first one expected is 'ant/train0.jpg'")
    assert error.startswith("no image of any split is below ")


def test_lists_alone_are_checked_without_images(copied):
    copied.edit("test/localization", "ant/test0.jpg,2,3", "ant/test0.jpg,-2,3")
    report = check(None, copied.metadata)
    assert len(texts(report, Severity.ERROR)) == 1
    assert texts(report, Severity.NOTE) == ["images were not inspected; pass --data-root DIR"]
    assert [counts.missing for counts in report.splits] == [None, None, None]


def test_a_split_whose_list_is_gone_does_not_hide_the_others(copied):
    (copied.metadata / "val" / "image_ids.txt").unlink()
    (copied.images / "ant/test0.jpg").unlink()
    errors = texts(check(copied.images, copied.metadata), Severity.ERROR)
    assert any("val/image_ids.txt is missing" in error for error in errors)
    assert any("missing on disk: 1 image (ant/test0.jpg)" in error for error in errors)


def test_many_faults_of_a_kind_are_counted(copied):
    labels = copied.metadata / "train" / "class_labels.txt"
    labels.write_text(labels.read_text() + 60 * f"{labels.read_text().splitlines()[0]}\n")
    errors = texts(check(copied.images, copied.metadata), Severity.ERROR)
    assert len(errors) == 51
    assert errors[-1] == "... and 10 more like these"


# --------------------------------------------------------------------------------------------------------------- labels


def permute(copied, split):
    path = copied.metadata / split / "class_labels.txt"
    path.write_text("".join(f"{line[:-1]}{(int(line[-1]) + 1) % 3}\n" for line in path.read_text().splitlines()))


@each(("split", "labels"), [("test", "{0} in train-fullsup, {1} in test"), ("train", "{1} in train")])
def test_a_split_whose_labels_are_permuted(clean, tmp_path, split, labels):
    copied = copy_of(clean, tmp_path)
    permute(copied, split)
    report = check(copied.images, copied.metadata)
    errors = texts(report, Severity.ERROR)
    assert len(report.findings) == 3
    for label, (name, error) in enumerate(zip(CLASSES, errors, strict=True)):
        assert error.startswith(f"the class folder '{name}' has the label ")
        assert labels.format(label, (label + 1) % 3) in error


def test_a_label_to_train_on_that_is_far_out_of_range(copied):
    """It leaves classes without an image, which no training accepts, whatever the folders say."""
    copied.edit("train/class_labels", "ant/train0.jpg,0", "ant/train0.jpg,999")
    errors = texts(check(copied.images, copied.metadata), Severity.ERROR)
    assert any(error.startswith("no split has an image of 996 classes (3, 4, ") for error in errors)


def test_labels_beyond_the_classes_that_a_data_set_names(copied):
    class Named(ReferenceDataset):
        class_names = ("ant", "bee")

    spec = DatasetSpec("folder", lambda places: Named("folder", places), "")
    errors = texts(check(copied.images, copied.metadata, spec), Severity.ERROR)
    assert len(errors) == 3
    assert errors[2].startswith("test: expected labels from 0 to 1, exceeded by 6 images (cat/test0.jpg (2), ")


def test_two_labels_of_a_small_split_that_are_swapped(copied):
    """One of two images a class: whatever the split itself would say, the others know."""
    for name in ("image_ids", "class_labels", "image_sizes", "localization"):
        path = copied.metadata / "val" / f"{name}.txt"
        path.write_text("".join(f"{line}\n" for line in path.read_text().split() if "val0" in line or "val1" in line))
    for path in copied.images.glob("*/val[23].jpg"):
        path.unlink()
    copied.edit("val/class_labels", "ant/val0.jpg,0", "ant/val0.jpg,1")
    copied.edit("val/class_labels", "bee/val0.jpg,1", "bee/val0.jpg,0")
    assert texts(check(copied.images, copied.metadata), Severity.ERROR) == [
        "train-fullsup: 'ant/val0.jpg' has the label 1, the others in its folder have 0",
        "train-fullsup: 'bee/val0.jpg' has the label 0, the others in its folder have 1",
    ]


# ---------------------------------------------------------------------------------------------------------------- sizes


def test_resized_copies_are_legal_and_an_odd_one_is_not(copied):
    for number, path in enumerate(sorted(copied.images.glob("*/test*.jpg"))):
        write_image(path, number, (16, 12))
    report = check(copied.images, copied.metadata)
    (note,) = texts(report, Severity.NOTE)
    assert note.startswith(
        "test: 18 images (ant/test0.jpg, ant/test1.jpg, ant/test2.jpg, ...) resized; boxes and sizes "
    )
    assert len(report.findings) == 1
    write_image(copied.images / "ant/test0.jpg", 99, (16, 16))
    write_image(copied.images / "ant/test1.jpg", 99, (31, 24))
    write_image(copied.images / "ant/test2.jpg", 99, (24, 32))
    report = check(copied.images, copied.metadata)
    nearly, squashed = texts(report, Severity.WARNING)
    assert nearly.startswith("test: 1 image (ant/test1.jpg) nearly of the listed size")
    assert squashed.startswith("test: 1 image (ant/test0.jpg) of another aspect ratio than listed")
    (error,) = texts(report, Severity.ERROR)
    assert "is 24x32, but the lists say 32x24: width and height are swapped in the list" in error


def test_an_image_that_is_turned_as_the_lists_have_it_is_told(copied):
    write_image(copied.images / "ant/test0.jpg", 5, (24, 32), exif=exif(6))
    report = check(copied.images, copied.metadata)
    assert texts(report, Severity.NOTE) == [
        "test: 1 image (ant/test0.jpg) turned upright by EXIF orientation, as the lists have them"
    ]
    assert len(report.findings) == 1


def list_training_sizes(copied):
    ids = (copied.metadata / "train" / "image_ids.txt").read_text().split()
    (copied.metadata / "train" / "image_sizes.txt").write_text("".join(f"{image_id},32,24\n" for image_id in ids))


def test_an_image_to_train_on_of_another_size_than_listed(copied):
    """Its boxes are not read for that, whatever they are."""
    list_training_sizes(copied)
    (copied.metadata / "train" / "localization.txt").write_text("nonsense")
    assert check(copied.images, copied.metadata).findings == ()
    write_image(copied.images / "ant/train0.jpg", 99, (40, 24))
    (warning,) = texts(check(copied.images, copied.metadata), Severity.WARNING)
    assert warning.startswith("train-weaksup: 1 image (ant/train0.jpg) of another aspect ratio than listed")


# -------------------------------------------------------------------------------------------------------- known numbers


def with_known(known, classes=None):
    return DatasetSpec("folder", lambda places: ReferenceDataset("folder", places), "", classes, known)


def test_counts_are_compared_with_what_is_known(copied):
    known = {Split.TRAIN_WEAKSUP: KnownSplit(15, per_class=5), Split.TEST: KnownSplit(18, per_class=6, boxes=18)}
    assert check(copied.images, copied.metadata, with_known(known, 3)).findings == ()
    other = {Split.TRAIN_WEAKSUP: KnownSplit(16), Split.TEST: KnownSplit(18, per_class=7, boxes=20)}
    errors = texts(check(copied.images, copied.metadata, with_known(other, 2)), Severity.ERROR)
    beyond = [error for error in errors if "expected labels from 0 to 1, exceeded by" in error]
    assert [error.partition(":")[0] for error in beyond] == ["train-weaksup", "train-fullsup", "test"]
    assert [error for error in errors if error not in beyond] == [
        "train-weaksup lists 15 images, expected 16: scores would be those of another split",
        "test: expected 7 images a class, which does not hold for 3 classes (0, 1, 2)",
        "test has 18 boxes, expected 20",
    ]


def test_a_class_without_images_in_a_split(copied):
    for name in ("image_ids", "class_labels", "image_sizes", "localization"):
        path = copied.metadata / "test" / f"{name}.txt"
        path.write_text("".join(f"{line}\n" for line in path.read_text().split() if not line.startswith("cat")))
    report = check(copied.images, copied.metadata)
    assert "test has no image of 1 class (2), which train-weaksup has" in texts(report, Severity.WARNING)


# ---------------------------------------------------------------------------------------------------------------- masks


@pytest.fixture
def masked(copied):
    """Give the test split masks instead of boxes."""
    ids = (copied.metadata / "test" / "image_ids.txt").read_text().split()
    for image_id in ids:
        mask = Image.new("L", (64, 48))
        mask.paste(255, (5, 5, 30, 30))
        (copied.root / "masks" / image_id).parent.mkdir(parents=True, exist_ok=True)
        mask.save(copied.root / "masks" / f"{image_id}.png")
    lines = "".join(f"{image_id},{image_id}.png,\n" for image_id in ids)
    (copied.metadata / "test" / "localization.txt").write_text(lines)
    return copied


def check_masks(masked):
    return check(masked.images, masked.metadata, masks=masked.root / "masks")


def test_masks_of_another_resolution_are_legal(masked):
    report = check_masks(masked)
    assert report.findings == ()
    assert (report.splits[2].masks, report.splits[2].boxes) == (18, None)


def test_faults_of_masks(masked):
    masks = masked.root / "masks"
    (masks / "ant/test0.jpg.png").unlink()
    (masks / "ant/test1.jpg.png").write_bytes(b"")
    Image.new("L", (64, 48)).save(masks / "ant/test2.jpg.png")
    Image.new("L", (48, 48), 255).save(masks / "ant/test3.jpg.png")
    report = check_masks(masked)
    errors = texts(report, Severity.ERROR)
    assert ["ant/test1.jpg" in errors[1], "is empty" in errors[1]] == [True, True]
    assert errors[0].startswith("test: masks missing on disk: those of 1 image (ant/test0.jpg); say with --masks DIR")
    assert texts(report, Severity.NOTE) == [
        "test: masks without foreground (one is published): 1 image (ant/test2.jpg)"
    ]
    assert texts(report, Severity.WARNING) == [
        "test: 1 image (ant/test3.jpg) with a mask of another aspect ratio: of another photo, or one of them was "
        "cropped or squashed; the mask is stretched to the image"
    ]


def test_lists_of_masks_are_checked_without_the_masks(masked):
    report = check(None, masked.metadata)
    assert texts(report, Severity.ERROR) == []
    assert "test: masks were not inspected; pass --masks DIR" in texts(report, Severity.NOTE)
    masked.edit("test/localization", "ant/test0.jpg,", "ant/test9.jpg,")
    assert "'ant/test9.jpg'" in texts(check(None, masked.metadata), Severity.ERROR)[0]


def test_no_foreground_at_all(masked):
    for path in (masked.root / "masks").glob("*/*.png"):
        Image.new("L", (64, 48)).save(path)
    (error,) = texts(check_masks(masked), Severity.ERROR)
    assert error.startswith("test: no mask has any foreground, so PxAP is undefined")


# ------------------------------------------------------------------------------------------------- data sets of plugins


def test_what_a_data_set_inspects_itself_is_told(copied):
    class Inspecting(ReferenceDataset):
        def inspect(self):
            yield Finding(Severity.WARNING, "looked twice")
            raise DataError("and stumbled")

    spec = DatasetSpec("folder", lambda places: Inspecting("folder", places), "")
    report = check(copied.images, copied.metadata, spec)
    assert [finding.text for finding in report.findings] == ["looked twice", "and stumbled"]


@each(
    ("ids", "label", "problem"),
    [
        (("a.jpg", "a.jpg"), 0, "test of the data set 'folder' holds the image 'a.jpg' twice"),
        (("a.jpg", "../b.jpg"), 0, "image id '../b.jpg': expected a relative path"),
        (("a.jpg", "b.jpg"), -1, "image 'a.jpg': expected a label of 0 or more, got -1"),
        ((), 0, "test of the data set 'folder' has no images"),
    ],
)
def test_ids_and_labels_that_every_run_refuses(copied, ids, label, problem):
    class Odd(ReferenceDataset):
        def images(self, split):
            images = super().images(split)
            odd = ImageSplit(ids, np.full(len(ids), label, dtype=np.int64), images.load, images.read)
            return odd if split is Split.TEST else images

    spec = DatasetSpec("folder", lambda places: Odd("folder", places), "")
    assert problem in "\n".join(texts(check(copied.images, copied.metadata, spec), Severity.ERROR))


def test_faults_of_lists_that_a_data_set_inspects_itself_are_told_once(copied):
    class Inspecting(ReferenceDataset):
        def inspect(self):
            self.roots.on_fault(DataError("odd line"))
            self.roots.on_fault(DataError("odd line"))
            return ()

    spec = DatasetSpec("folder", lambda places: Inspecting("folder", places), "")
    assert texts(check(copied.images, copied.metadata, spec), Severity.ERROR) == ["odd line"]


def test_images_that_are_no_files_are_checked_by_their_pixels(copied):
    class Drawn(ReferenceDataset):
        def images(self, split):
            return replace(super().images(split), read=None)

    spec = DatasetSpec("folder", lambda places: Drawn("folder", places), "")
    copied.copy("bee/val0.jpg", "bee/test2.jpg")
    (error,) = texts(check(copied.images, copied.metadata, spec), Severity.ERROR)
    assert error.startswith("train-fullsup and test share 1 picture")


def test_a_plugin_that_breaks_is_named(copied):
    spec = DatasetSpec("folder", lambda places: ReferenceDataset("folder", places.nothing), "")
    with pytest.raises(PluginError, match=r"plugin tests 1 'folder' failed building the data set"):
        check(copied.images, copied.metadata, spec)


def test_a_class_map_is_checked_as_a_run_does(clean, tmp_path):
    class_map = tmp_path / "map.csv"
    class_map.write_text("folder,row\nant,281\nantt,7\n*,4\n")
    report = check(clean / "images", clean / "metadata", conventions=Conventions(class_map=class_map))
    assert [text.partition(", line ")[2] for text in report.of(Severity.ERROR)] == [
        "3: expected one of the classes ('0', '1', '2'), which 'antt' is not (did you mean 'ant'?), got 'antt,7'",
        "4: expected a class and a row, or '*' for both, got '*,4'",
    ]
    assert f"{class_map}: its rows were not checked, as they are those of a network; a run checks them" in told(report)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("val", "note: there is no train-fullsup split to choose \u03c4 on; 'wsolbench data split' cuts one off test"),
        (
            "test",
            "error: there is no test split, which a run scores; if train-fullsup is to be test",
        ),
    ],
)
def test_a_split_that_is_not_there_is_said_with_what_to_do(copied, gone, said):
    shutil.rmtree(copied.metadata / gone)
    assert said in told(check(copied.images, copied.metadata))
