"""Data sets on disk as their publishers lay them out, small and written by the tests."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from wsolbench_plugins.datasets import nettewoof
from wsolbench_plugins.datasets.imagenette import CLASSES
from wsolbench_plugins.datasets.tiny_imagenet import FORTY

from wsolbench.api import DatasetRoots


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_photo(path, width, height, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photo(width, height, seed))


def photo(width, height, seed=0, kind="JPEG"):
    """Return the bytes of an image file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind)
    return stream.getvalue()


def write_lists(folder, entries, size):
    """Write the four files of a split in the reference layout; entries are (id, label, boxes)."""
    width, height = size
    write(folder / "image_ids.txt", "\n".join(image_id for image_id, _, _ in entries))
    write(folder / "class_labels.txt", "\n".join(f"{image_id},{label}" for image_id, label, _ in entries))
    write(folder / "image_sizes.txt", "\n".join(f"{image_id},{width},{height}" for image_id, _, _ in entries))
    rows = [",".join(map(str, (image_id, *box))) for image_id, _, boxes in entries for box in boxes]
    write(folder / "localization.txt", "\n".join(rows))


def write_tiny_imagenet(root, classes=("n02000000", "n01000000"), *, photos=True):
    """Write the folder of the public download; number 401 of each class has a box without area."""
    content = photo(64, 64)
    write(root / "wnids.txt", "\n".join(classes) + "\n")
    val = []
    for position, wnid in enumerate(classes):
        rows = [f"{wnid}_{number}.JPEG\t{number % 50}\t3\t63\t{number // 10 + 10}" for number in range(500)]
        rows[401] = f"{wnid}_401.JPEG\t5\t7\t6\t60"
        write(root / "train" / wnid / f"{wnid}_boxes.txt", "\n".join(rows) + "\n")
        val += [(number * len(classes) + position, wnid) for number in range(50)]
        files = [root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG" for number in range(500)]
        files += [root / "val" / "images" / f"val_{number}.JPEG" for number, of in val if of == wnid]
        for file in files if photos else ():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    rows = [f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62" for number, wnid in sorted(val, key=lambda one: str(one[0]))]
    write(root / "val" / "val_annotations.txt", "\n".join(rows) + "\n")
    return DatasetRoots(images=root)


def write_prepared_forty(root):
    for split, count in (("train", 1), ("val", 1), ("test", 2)):
        entries = [
            (f"{wnid}/{wnid}_{split}{number}.JPEG", label, [(3, 4, 40, 63)])
            for label, wnid in enumerate(FORTY)
            for number in range(count)
        ]
        for image_id, _, _ in entries:
            write_photo(root / "images" / image_id, 64, 64)
        write_lists(root / "metadata" / split, entries, (64, 64))
    return DatasetRoots(images=root)


def write_folder(root):
    for split in ("train", "val", "test"):
        ids = [f"{split}/{number}.png" for number in range(2)]
        for image_id in ids:
            write_photo(root / image_id, 30, 20)
        write_lists(root / split, [(image_id, label, [(3, 4, 29, 19)]) for label, image_id in enumerate(ids)], (30, 20))
    return DatasetRoots(images=root, metadata=root)


def write_imagenette(root):
    """Write the folder of the download, and the published lists of ILSVRC's test split beside it."""
    boxed = []
    for label, wnid in enumerate(CLASSES):
        for number in range(12):
            name = f"ILSVRC2012_val_{number * 100 + label:08d}.JPEG"
            boxed.append((f"val/{name}", label, [(label, 2, 20, 10 + number)]))
            write_photo(root / "imagenette2" / ("train" if number % 3 else "val") / wnid / name, 30, 24, seed=number)
        for number in range(2):
            write_photo(root / "imagenette2" / ("train", "val")[number] / wnid / f"{wnid}_{number}.JPEG", 40, 30)
    boxed.append(("val/ILSVRC2012_val_00049999.JPEG", 999, [(0, 0, 1, 1)]))
    write_lists(root / "ILSVRC" / "test", boxed, (30, 24))
    return DatasetRoots(images=root / "imagenette2", metadata=root / "ILSVRC")


def write_nettewoof(root):
    """Write the folder with its two ZIP files and both kinds of lists; one photo a class has a small box."""
    images, to_train = (zipfile.ZipFile(root / name, "w") for name in ("images.zip", "train-128px.zip"))
    for split, numbers in (("train", (1, 2)), ("val", (3,)), ("test", (4, 5))):
        entries = []
        for label, wnid in enumerate(nettewoof.CLASSES):
            for number in numbers:
                image_id = f"{wnid}/{number}.JPEG"
                box = (2, 2, 9, 9) if number in (3, 4) else (1, 1, 28, 20)
                entries.append((image_id, label, [] if split == "train" else [box]))
                (to_train if split == "train" else images).writestr(image_id, photo(30, 24, number))
        write_lists(root / "metadata" / split, entries, (30, 24))
        write_lists(
            root / "metadata-small" / split, [each for each in entries if each[2] != [(1, 1, 28, 20)]], (30, 24)
        )
    for archive in (images, to_train):
        archive.close()
    return DatasetRoots(images=root)


@dataclass(frozen=True)
class Bird:
    """What the official lists say of one image, as text, and its size."""

    path: str
    label: int
    box: tuple[str, str, str, str]
    train: bool
    size: tuple[int, int]


def write_cub(root, birds, classes):
    """Write the official folder CUB_200_2011."""
    numbered = list(enumerate(birds, start=1))
    for number, bird in numbered:
        write_photo(root / "images" / bird.path, *bird.size, seed=number)
    write(root / "images.txt", "".join(f"{number} {bird.path}\n" for number, bird in numbered))
    write(root / "image_class_labels.txt", "".join(f"{number} {bird.label + 1}\n" for number, bird in numbered))
    write(root / "train_test_split.txt", "".join(f"{number} {int(bird.train)}\n" for number, bird in numbered))
    write(root / "bounding_boxes.txt", "".join(f"{number} {' '.join(bird.box)}\n" for number, bird in numbered))
    write(root / "classes.txt", "".join(f"{number} {name}\n" for number, name in enumerate(classes, start=1)))
    return DatasetRoots(images=root)


def write_small_cub(root):
    classes = ["001.Auk", "002.Bee_eater"]
    birds = [
        Bird(f"{name}/{name[4:]}_{number}.jpg", label, ("3.0", "4.0", "20.0", "15.0"), number < 2, (40, 30))
        for label, name in enumerate(classes)
        for number in range(4)
    ]
    write_cub(root / "CUB_200_2011", birds, classes)
    fullsup = [
        (f"{name}/{number}.jpg", label, [(1, 2, 30, 29)]) for label, name in enumerate(classes) for number in (7, 8)
    ]
    for image_id, _, _ in fullsup:
        write_photo(root / "CUBV2" / image_id, 32, 30)
    write_lists(root / "metadata" / "CUB" / "val", fullsup, (32, 30))
    return DatasetRoots(images=root / "CUB_200_2011", metadata=root / "metadata" / "CUB")


def write_ilsvrc(root):
    """Write the published lists and, as ImageNet unpacks them, a few images of every part."""
    test = [(f"val/ILSVRC2012_val_{number:08d}.JPEG", number % 3, [(1, 2, 20, 19)]) for number in range(1, 7)]
    fullsup = [(f"val2/{label}/{number}.jpeg", label, [(0, 0, 9, 9)]) for label in range(3) for number in range(2)]
    for seed, (image_id, _, _) in enumerate((*test, *fullsup)):
        write_photo(root / "ILSVRC" / image_id, 30, 24, seed)
    write_lists(root / "metadata" / "ILSVRC" / "test", test, (30, 24))
    write_lists(root / "metadata" / "ILSVRC" / "val", fullsup, (30, 24))
    return DatasetRoots(images=root / "ILSVRC", metadata=root / "metadata" / "ILSVRC")


def write_ilsvrc_photos(root):
    """Write the folder with its ZIP file and both kinds of lists; one photo of each split has a small box."""
    with zipfile.ZipFile(root / "images.zip", "w") as images:
        for split, numbers in (("val", (1, 2)), ("test", (3, 4, 5))):
            boxes = {number: (2, 2, 9, 9) if number in (1, 3) else (1, 1, 28, 20) for number in numbers}
            entries = [(f"val/ILSVRC2012_val_{number:08d}.JPEG", 7 * number, [boxes[number]]) for number in numbers]
            for number, (image_id, _, _) in zip(numbers, entries, strict=True):
                images.writestr(image_id, photo(30, 24, number))
            write_lists(root / "metadata" / split, entries, (30, 24))
            write_lists(root / "metadata-small" / split, entries[:1], (30, 24))
    return DatasetRoots(images=root)


def write_openimages(root):
    for split in ("train", "val", "test"):
        ids = [f"{split}/{mid}/{number}.jpg" for mid in ("0bt9lr", "0bt_c3") for number in range(2)]
        folder, rows = root / "metadata" / "OpenImages" / split, []
        for number, image_id in enumerate(ids):
            stem = image_id.removesuffix(".jpg")
            write_photo(root / "OpenImages" / image_id, 30, 24, number)
            rows.append(
                f"{image_id},{stem}_m0_1.png,{stem}_ignore.png" if number % 2 else f"{image_id},{stem}_m0_1.png,"
            )
            for kind, corner in (("m0_1", 5), ("ignore", 9)):
                mask = Image.new("1", (30, 24))
                mask.paste(1, (corner, 3, 20, 20))
                mask.save(root / "OpenImages" / f"{stem}_{kind}.png")
        write(folder / "image_ids.txt", "\n".join(ids))
        write(
            folder / "class_labels.txt", "\n".join(f"{image_id},{number // 2}" for number, image_id in enumerate(ids))
        )
        write(folder / "localization.txt", "" if split == "train" else "\n".join(rows))
    return DatasetRoots(images=root / "OpenImages", metadata=root / "metadata" / "OpenImages")


def write_imagefolder(root):
    rows = ["image,x0,y0,x1,y1"]
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            for number in range(2):
                write_photo(root / "images" / split / name / f"{number}.jpg", 30, 20)
                rows += [f"{split}/{name}/{number}.jpg,1,2,20,19"] * (split != "train")
    write(root / "boxes.csv", "\n".join(rows))
    return DatasetRoots(images=root / "images", metadata=root / "boxes.csv")


TREES: dict[str, Callable[[Path], DatasetRoots]] = {
    "cub": write_small_cub,
    "folder": write_folder,
    "ilsvrc": write_ilsvrc,
    "ilsvrc-photos": write_ilsvrc_photos,
    "imagefolder": write_imagefolder,
    "openimages": write_openimages,
    "imagenette": write_imagenette,
    "nettewoof": write_nettewoof,
    "tiny-imagenet": write_tiny_imagenet,
    "tiny-imagenet-40": write_prepared_forty,
}
