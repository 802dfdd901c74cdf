"""A small board with everything that the page shows: two data sets, seeds, baselines, an undefined method, a paper."""

from hashlib import sha256

import numpy as np
from toy_networks import trained_record
from toy_records import FULLSUP, GRID, make_runs

from wsolbench.leaderboard.details import details_of
from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.page import Part, render_page
from wsolbench.leaderboard.rows import Row, rows_of, score_of
from wsolbench.protocol import IOU_THRESHOLDS, MODES
from wsolbench.records import MethodInfo, SplitOutcomes, TrainingInfo, WeightsInfo, write_record

IMAGES = 40
NETWORKS = ("resnet_toy", "replknet_toy", "slak_toy")
METHODS = ("cam", "pc1", "cam-pos", "cam-neg", "ddt")
SEEDS = (0, 1)


def random_outcomes(split, count, seed):
    """Return outcomes in which an image is right from some τ on, for some τ, and at a larger IoU for fewer."""
    random = np.random.default_rng(seed)
    starts, lengths = random.integers(0, 6, count), random.integers(0, GRID - 6, count)
    ends = {iou: starts + (lengths * (1 - iou)).astype(int) for iou in IOU_THRESHOLDS}
    runs = {
        iou: make_runs([[a, b] if a < b else [] for a, b in zip(starts.tolist(), of.tolist(), strict=True)])
        for iou, of in ends.items()
    }
    return SplitOutcomes(
        split=split,
        image_ids=tuple(f"{split}/{number}" for number in range(count)),
        correct=dict.fromkeys(MODES, runs),
        hits={1: random.random(count) < 0.7},
        **{"statistics": {}, "nan_maps": 0, "constant_maps": 0, "annotations_sha256": "c" * 64, "images_sha256": None},
    )


def method_of(name, *, reads_network=True):
    return MethodInfo(name=name, provider="toys 1 'm'", options={}, changed_options={}, reads_network=reads_network)


def record_of(network, method, seed, number, dataset="birds", *, reads_network=True):
    """Return a record of a training with a card."""
    test, fullsup = (
        random_outcomes(split, count, 100 * number + place)
        for place, (split, count) in enumerate((("test", IMAGES), ("train-fullsup", FULLSUP)))
    )
    record = trained_record(
        network, dataset=dataset, test=test, fullsup=fullsup, method=method_of(method, reads_network=reads_network)
    )
    start = WeightsInfo(source="random", file=None, sha256=None)
    training = TrainingInfo(
        **{"dataset": dataset, "recipe": "plain", "recipe_options": {}, "seed": seed, "initial_weights": start},
        command=f"wsolbench train --backbone {network} --seed {seed}",
    )
    weights = WeightsInfo(
        source="file", file="w.pth", sha256=f"{NETWORKS.index(network)}{seed}" * 32, training=training
    )
    return record.model_copy(update={"backbone": record.backbone.model_copy(update={"weights": weights})})


def toy_entries(folder):
    """Write the records below a folder, and return them as the board has them."""
    plan = [("birds", network, method, seed, True) for network in NETWORKS for method in METHODS for seed in SEEDS]
    plan += [("birds", NETWORKS[0], "centred-box", 0, False)]
    plan += [("fish", network, method, 0, True) for network in NETWORKS for method in METHODS[:2]]
    entries = []
    for number, (dataset, network, method, seed, reads) in enumerate(plan):
        record = record_of(network, method, seed, number, dataset, reads_network=reads)
        path = write_record(record, folder / dataset, f"{network}__{method}__seed{seed}")
        entries.append(Entry(path.relative_to(folder).as_posix(), sha256(path.read_bytes()).hexdigest(), record))
    return entries


REPORTED = Row(
    **{"id": "paper//1", "table": "reported-cub", "kind": "reported", "network": "RepLKNet", "system": None},
    **{"family": "RepLKNet", "kernel": None, "parameters": None, "precision": None, "weights": None},
    **{"weights_kind": None, "recipe": None, "seeds": (), "group": None, "method": "pc1"},
    metrics={"max_box_acc": 93.6, "max_box_acc_v2": 80.4},
    printed={"max_box_acc": "93.6*", "max_box_acc_v2": "80.4"},
    source="Somebody, A Paper, 2024, Table 3",
)
PAPER = "@misc{somebody, title = {A Paper}}\n"


def write_board(folder):
    """Write the page with its records and details, and return the tables."""
    tables = group_tables(toy_entries(folder / "records"))
    parts = [
        Part(table.slug, table.entries[0].record.dataset.name, table.title, rows_of(table), score_of(table))
        for table in tables
    ]
    parts.append(
        Part(
            "reported-cub", "CUB-200-2011", "A paper", [REPORTED], "max_box_acc_v2", papers={"Somebody, A Paper": PAPER}
        )
    )
    (folder / "details").mkdir()
    (folder / "index.html").write_bytes(render_page(parts))
    for table in tables:
        for name, content in details_of(table).items():
            (folder / name).write_bytes(content)
    return tables
