"""Data sets on disk as their publishers lay them out, small and written by the tests."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
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


TREES: dict[str, Callable[[Path], DatasetRoots]] = {
    "folder": write_folder,
    "imagenette": write_imagenette,
    "tiny-imagenet": write_tiny_imagenet,
    "tiny-imagenet-40": write_prepared_forty,
}
