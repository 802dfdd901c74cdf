"""What counts as a seed of its own, and what says so by mistake."""

from dataclasses import replace

import numpy as np
import pytest
from toy_networks import trained_record
from toy_records import FULLSUP, GRID, TEST, make_outcomes, make_runs, remade

from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.seeds import group_seeds, uncounted
from wsolbench.protocol import IOU_THRESHOLDS, MODES, ScoreHistograms
from wsolbench.records import TrainingInfo, WeightsInfo
from wsolbench.records.outcomes import share_alike

START = WeightsInfo(source="random", file=None, sha256=None)
WITHOUT_HASH = "names no hash of its weights"
ONE_TRAINING = "has the outcomes of seed0.json, so that both are of one training"


def outcomes(shift=0, odd=0, **changes):
    """Return outcomes in which the last images are correct at other τ."""
    flat = [[index + shift, index + shift + (5 if index >= TEST - odd else 4)] for index in range(TEST)]
    correct = {mode: dict.fromkeys(IOU_THRESHOLDS, make_runs(flat)) for mode in MODES}
    return make_outcomes(correct=correct, **changes)


def seed_of(seed, shift, *, odd=0, sha256="made up", **weights):
    """Return the entry of a training."""
    record = trained_record()
    training = TrainingInfo(
        **{"dataset": "birds", "recipe": "plain", "recipe_options": {}, "seed": seed, "command": "wsolbench train"},
        initial_weights=START,
    )
    digest = f"{seed}" * 64 if sha256 == "made up" else sha256
    told = record.backbone.weights.model_copy(update={"training": training, "sha256": digest, **weights})
    parts = [outcomes(shift, odd), make_outcomes("train-fullsup", FULLSUP)]
    network = record.backbone.model_copy(update={"weights": told})
    return Entry(f"seed{seed}{weights.get('key', '')}.json", "0" * 64, remade(record, parts, backbone=network))


CASES = {
    "two trainings": ([seed_of(0, 0), seed_of(1, 2)], [2], []),
    "equal outcomes": ([seed_of(0, 0), seed_of(1, 0)], [], [ONE_TRAINING]),
    "nearly equal outcomes": ([seed_of(0, 0), seed_of(1, 0, odd=2)], [], [ONE_TRAINING]),
    "no hashes": ([seed_of(0, 0, sha256=None), seed_of(1, 2, sha256=None)], [], [WITHOUT_HASH] * 2),
    "one hash less": ([seed_of(0, 0), seed_of(1, 2), seed_of(2, 4, sha256=None)], [2], [WITHOUT_HASH]),
    "one hash": (
        [seed_of(0, 0, sha256="a" * 64), seed_of(1, 2, sha256="a" * 64)],
        [],
        ["is of the training of seed0.json"],
    ),
    "two state dicts of each file": (
        [seed_of(seed, 2 * seed + (key == "ema"), key=key) for seed in (0, 1) for key in ("raw", "ema")],
        [2, 2],
        [],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_counts_as_a_seed_and_what_is_said_of_the_others(name):
    entries, sizes, reasons = CASES[name]
    (table,) = group_tables(entries)
    assert [len(group) for group in group_seeds(table)] == sizes
    assert [why for _, why in uncounted(table)] == reasons
    assert all(len({entry.record.backbone.weights.key for entry in group}) == 1 for group in group_seeds(table))


def test_the_share_of_images_alike_does_not_depend_on_their_order():
    one, other = outcomes(), outcomes(odd=2)
    assert share_alike(one, one) == 1
    assert share_alike(one, other) == share_alike(one, other.select(np.arange(TEST)[::-1])) == 0.75
    assert share_alike(one, outcomes(shift=1)) == 0


def test_without_boxes_numbers_of_pixels_are_compared():
    bins = np.arange(GRID + 2)
    one = make_outcomes(correct=None, histograms=ScoreHistograms(bins, bins))
    other = replace(one, histograms=ScoreHistograms(bins, bins + 1))
    assert share_alike(one, one) == 1
    assert share_alike(one, other) == 0
    assert share_alike(make_outcomes(correct=None), make_outcomes(correct=None)) == 0
