"""Leaderboards of any number of records that nobody measured: their outcomes are drawn, and their scores follow.

    python tests/generated_board.py FOLDER [RECORDS]

Four data sets, networks of ten families, ten methods each, most of them with three trainings. Images differ in how hard
they are, networks and methods in how good they are, and an image is correct in a range of τ around one of its own.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from itertools import cycle, islice, product
from pathlib import Path

import numpy as np
from toy_records import ENVIRONMENT, make_metrics, make_missing

from wsolbench.protocol import IOU_THRESHOLDS, MODES, cam_threshold_grid
from wsolbench.protocol.uncertainty import CorrectRuns
from wsolbench.records import (
    BackboneInfo,
    DatasetInfo,
    MethodInfo,
    Preprocessing,
    ProtocolInfo,
    SplitOutcomes,
    TrainingInfo,
    WeightsInfo,
    compute_intervals,
    content_sha256,
    new_record,
    write_record,
)

IMAGES, FULLSUP, STEP = 200, 100, 0.001
DATASETS = ("birds", "flowers", "photos", "scenes")
FAMILIES = ("resnet", "convnext", "replknet", "slak", "hornet", "vgg", "densenet", "mobilenet", "efficientnet", "vit")
METHODS = ("cam", "pc1", "cam-pos", "cam-neg", "grad-cam", "layer-cam", "hires-cam", "ddt", "score-cam", "centred-box")
SEEDS = 3
PROTOCOL = ProtocolInfo(split="test", target="gt", threshold_step=STEP, frame=224, iou_thresholds=IOU_THRESHOLDS)
PREPROCESSING = Preprocessing(size=224, mean=(0.5,) * 3, std=(0.2,) * 3, interpolation="bicubic")


def write_board(folder, records=2000):
    """Write records below a folder, as `wsolbench leaderboard build` reads them."""
    for number, (size, family, method, seed, dataset) in enumerate(
        islice(product(range(100), FAMILIES, METHODS, range(SEEDS), DATASETS), records)
    ):
        name = f"{family}_{size}"
        record = made_record(dataset, name, family, method, seed)
        write_record(record, Path(folder) / "records" / dataset, f"{name}__{method}__plain-seed{seed}-{number}")
    return Path(folder)


def made_record(dataset, name, family, method, seed):
    """Return a record of a network's training, whose outcomes depend on all that it is of."""
    quality = number_of(family) * 20 + number_of(f"{name} {method}") * 20
    random = np.random.default_rng([seed, *f"{dataset} {name} {method}".encode()])
    outcomes = [
        made_outcomes(split, count, quality, np.random.default_rng([*f"{dataset} {split}".encode()]), random)
        for split, count in (("test", IMAGES), ("train-fullsup", FULLSUP))
    ]
    metrics = make_metrics(outcomes, PROTOCOL)
    return new_record(
        outcomes=outcomes,
        metrics=metrics,
        missing=make_missing(metrics, outcomes, PROTOCOL),
        intervals=compute_intervals(outcomes, PROTOCOL),
        dataset=DatasetInfo(
            **{"name": dataset, "version": "1", "num_classes": 20, "limit": None},
            content_sha256=content_sha256((part.split, part.annotations_sha256) for part in outcomes),
            split_sizes={part.split: len(part.image_ids) for part in outcomes},
        ),
        backbone=made_backbone(name, family, dataset, seed),
        method=MethodInfo(
            **{"name": method, "provider": f"made-up 1 '{method}'", "options": {}, "changed_options": {}},
            reads_network=method != "centred-box",
        ),
        protocol=PROTOCOL,
        environment=ENVIRONMENT.model_copy(update={"seed": 0, "command": f"wsolbench run --backbone {name}"}),
        seconds={"maps": 1.5},
    )


def number_of(text):
    """Return a number in [0, 1) that depends on a text."""
    return np.random.default_rng([*text.encode()]).random()


def made_backbone(name, family, dataset, seed):
    start = WeightsInfo(source="random", file=None, sha256=None)
    training = TrainingInfo(
        **{"dataset": dataset, "recipe": "plain", "recipe_options": {"epochs": 90}, "seed": seed},
        **{"initial_weights": start, "command": f"wsolbench train --backbone {name} --seed {seed}"},
    )
    digest = sha256(f"{name} {dataset} {seed}".encode()).hexdigest()
    return BackboneInfo(
        **{"requested": name, "name": name, "family": family, "provider": "made-up 1", "reparameterized": False},
        **{"parameters": int(10**6 * (1 + 50 * number_of(name))), "largest_kernel": 7, "feature_shape": (512, 7, 7)},
        stage_kernel=next(islice(cycle((3, 7, 13, 31)), int(number_of(family) * 4), None)),
        weights=WeightsInfo(source="file", file=f"{name}.safetensors", sha256=digest, training=training),
        preprocessing=PREPROCESSING,
    )


def made_outcomes(split, count, quality, of_images, random):
    """Return outcomes: each image has a τ of its own, and a width of τ around it that is smaller for larger δ.

    Args:
        split: Which split.
        count: How many images.
        quality: Percentage points that network and method are worth.
        of_images: What draws how hard the images are: the same for all records.
        random: What draws all else.
    """
    grid = len(cam_threshold_grid(STEP))
    centre = of_images.normal(0.35, 0.08, count) + random.normal(0, 0.05, count)
    margin = (quality - 15) / 100 + of_images.normal(0, 0.12, count) + random.normal(0, 0.08, count)
    correct = {
        mode: {iou: made_runs(centre, margin + 0.5 - iou + 0.02 * (mode == "multi"), grid) for iou in IOU_THRESHOLDS}
        for mode in MODES
    }
    ranks = random.random(count)
    return SplitOutcomes(
        split=split,
        image_ids=tuple(f"{split}/{number:05d}.jpg" for number in range(count)),
        correct=correct,
        hits={1: ranks < 0.8, 5: ranks < 0.95},
        statistics={},
        nan_maps=0,
        constant_maps=0,
        annotations_sha256="c" * 64,
        images_sha256="d" * 64,
    )


def made_runs(centre, width, grid):
    """Return runs of correct τ around a centre; none where the width is below 0."""
    edges = np.clip(np.rint(np.stack([centre - width, centre + width], axis=1) * grid), 0, grid).astype(int)
    return CorrectRuns.from_flat([[low, high] if low < high else [] for low, high in edges.tolist()], grid)


if __name__ == "__main__":
    write_board(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
