"""Photos of ten ImageNet classes as a person has them: class folders, and one table of boxes."""

import csv
import shutil
from collections import Counter

NAMES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
SIDE = 224
"""The photos were resized to squares; the published boxes are in pixels of the originals."""


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def write_photos(imagenette, folder):
    """Write ``CLASS/NUMBER.jpg`` for the 200 test photos, and ``boxes.csv`` beside the class folders."""
    lists = imagenette / "metadata" / "imagenette" / "test"
    sizes = {image: (int(width), int(height)) for image, width, height in rows(lists / "image_sizes.txt")}
    names, count = {}, Counter()
    for image in sizes:
        label = NAMES[image.partition("/")[0]]
        count[label] += 1
        names[image] = f"{label}/{count[label]:02}.jpg"
        (folder / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(imagenette / "images" / image, folder / names[image])
    lines = ["image,x0,y0,x1,y1"]
    for image, *corners in rows(lists / "localization.txt"):
        scaled = (int(corner) * SIDE // sizes[image][place % 2] for place, corner in enumerate(corners))
        lines.append(",".join([names[image], *map(str, scaled)]))
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
