"""A data set in the reference layout without images, and scoremaps for it as a network gives them: 12×12, float16."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIDE = 12
IMAGE_SIZE = (500, 375)


def write_map_folder(root: Path, count: int) -> None:
    """Write ``root/metadata/test`` and ``root/maps``, one box and one map an image."""
    metadata, maps = root / "metadata" / "test", root / "maps"
    metadata.mkdir(parents=True)
    rng = np.random.default_rng(0)
    ids = [f"{index // 1000:03d}/{index:06d}.png" for index in range(count)]
    width, height = IMAGE_SIZE
    x0, y0 = rng.integers(0, width // 2, count), rng.integers(0, height // 2, count)
    x1, y1 = rng.integers(x0 + 50, width), rng.integers(y0 + 50, height)
    lines = {
        "image_ids.txt": ids,
        "class_labels.txt": [f"{image_id},0" for image_id in ids],
        "image_sizes.txt": [f"{image_id},{width},{height}" for image_id in ids],
        "localization.txt": [f"{i},{a},{b},{c},{d}" for i, a, b, c, d in zip(ids, x0, y0, x1, y1, strict=True)],
    }
    for name, content in lines.items():
        (metadata / name).write_text("\n".join(content) + "\n", encoding="utf-8")
    for image_id in ids:
        path = maps / f"{image_id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = rng.random((SIDE, SIDE))
        np.save(path, ((raw - raw.min()) / np.ptp(raw)).astype(np.float16))


def read_all(root: Path) -> int:
    """Read every map and nothing else; return how many bytes of maps there are."""
    return sum(np.load(path, allow_pickle=False).nbytes for path in sorted((root / "maps").rglob("*.npy")))
