"""Which network stands beside a system, what the difference is, and how the page puts it."""

import json
import shutil
from pathlib import Path

import pytest
from toy_networks import trained_record
from toy_records import FULLSUP, make_outcomes, remade, write_sealed

from wsolbench.leaderboard.entries import Entry, group_tables, read_entry
from wsolbench.leaderboard.systems import systems_as_markdown, try_systems
from wsolbench.records import StageInfo, SystemInfo, TrainingInfo, TrainingTime, WeightsInfo, identity_of
from wsolbench.records.compare import compare
from wsolbench.records.store import outcomes_path
from wsolbench.records.tables import results_table

RANDOM = WeightsInfo(source="random", file=None, sha256=None)


def trained(seed=0, system=None, start=RANDOM, epochs=4, seconds=60.0, **options):
    """Return how weights were trained, by a system or not."""
    stages = [StageInfo(name="training", epochs=epochs, trains=[])]
    return TrainingInfo(
        **{"dataset": "birds", "recipe": "plain", "recipe_options": {"epochs": 4}, "seed": seed, "command": "…"},
        initial_weights=start,
        system=system and SystemInfo(name=system, options=options, stages=stages),
        time=None if seconds is None else TrainingTime(seconds=seconds, device="cpu", threads=1),
    )


def entry(method, card, *, network="net", weights=0, shift=0, **changes):
    """Return the entry of a network with a card; a shift moves all τ that localize an image."""
    record = trained_record()
    name = network if card.system is None else f"{card.system.name}:{network}"
    file = WeightsInfo(source="file", file="w.safetensors", sha256=f"{weights:064x}", training=card)
    backbone = record.backbone.model_copy(update={"name": name, "weights": file, **changes})
    parts = [make_outcomes(shift=shift), make_outcomes("train-fullsup", FULLSUP)]
    made = remade(record, parts, backbone=backbone, method=record.method.model_copy(update={"name": method}))
    return Entry(f"{name}-{method}-{weights}-{card.seed}.json", "0" * 64, made)


def paired(*entries):
    """Return the names of the entries that stand beside one another, trial by trial."""
    return [[(one.name, two.name) for one, two in trial.pairs] for trial in try_systems(group_tables(entries))]


def test_a_system_stands_beside_the_network_that_was_trained_alike_with_the_same_seed():
    plain = [entry("cam", trained(seed), weights=seed) for seed in (0, 1)]
    systems = [entry("native", trained(seed, "acol", seconds=90.0), weights=10 + seed) for seed in (0, 1)]
    others = [
        entry("pc1", trained(0), weights=0),
        entry("cam", trained(0), network="other", weights=20),
        entry("cam", trained(0), weights=21, options={"kernel_size": 7}),
        entry("cam", trained(0).model_copy(update={"recipe_options": {"epochs": 5}}), weights=22),
        entry("native", trained(3, "acol"), weights=23),
    ]
    assert paired(*plain, *systems, *others) == [
        [(one.name, two.name) for one, two in zip(plain, systems, strict=True)]
    ]


def test_or_beside_what_its_training_started_from():
    plain = entry("cam", trained(5), weights=7)
    start = plain.record.backbone.weights
    system = entry("native", trained(0, "f-cam", start=start), weights=8)
    assert paired(plain, system, entry("cam", trained(0), weights=9)) == [[(plain.name, system.name)]]


def test_without_class_weights_the_attention_stands_beside_it():
    attention, system = entry("class-attention", trained()), entry("native", trained(0, "ts-cam"), weights=1)
    assert paired(attention, system) == [[(attention.name, system.name)]]
    cam = entry("cam", trained())
    assert paired(attention, cam, system) == [[(cam.name, system.name)]]


def test_options_and_maps_of_a_system_are_trials_of_their_own_and_seeds_are_not():
    entries = [
        *(entry("cam", trained(seed), weights=seed) for seed in (0, 1)),
        *(entry("native", trained(seed, "acol"), weights=10 + seed) for seed in (0, 1)),
        *(entry("cam", trained(seed, "acol"), weights=10 + seed) for seed in (0, 1)),
        entry("native", trained(0, "acol", threshold=0.6), weights=20),
    ]
    assert sorted(map(len, paired(*entries))) == [1, 2, 2]


def test_the_difference_of_one_seed_is_that_of_compare():
    plain, system = entry("cam", trained()), entry("native", trained(0, "acol"), weights=1, shift=4)
    (trial,) = try_systems(group_tables([plain, system]))
    assert trial.difference == compare(plain.record, system.record).differences[trial.metric]
    assert trial.difference.difference != 0


def test_a_system_alone_has_no_section():
    assert systems_as_markdown(group_tables([entry("native", trained(0, "acol"))])) is None


@pytest.mark.parametrize(("seconds", "shown"), [(60.0, "3.5"), (None, "–")])
def test_the_page_has_the_epochs_and_the_time_of_all_trainings(seconds, shown):
    plain = entry("cam", trained(seconds=seconds))
    system = entry(
        "native", trained(0, "f-cam", start=plain.record.backbone.weights, epochs=2, seconds=150.0), weights=1
    )
    (row,) = [line for line in systems_as_markdown(group_tables([plain, system])).splitlines() if "f-cam" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0:2] + cells[3:5] + cells[7:] == ["net", "cam", "f-cam", "native", "0", "4 + 2", shown]


def test_the_record_of_a_network_says_how_long_what_went_on_from_it_took_before():
    plain = entry("cam", trained(seconds=60.0))
    start = plain.record.backbone.weights.model_copy(update={"training": trained(seconds=None)})
    system = entry("native", trained(0, "f-cam", start=start, epochs=2, seconds=150.0), weights=1)
    assert "3.5" in systems_as_markdown(group_tables([plain, system]))


def test_seeds_are_in_their_order():
    entries = [
        entry(method, trained(seed, system), weights=100 * len(method) + seed, shift=shift)
        for seed, shift in ((2, 0), (0, 3), (1, 1))
        for method, system in (("cam", None), ("native", "acol"))
    ]
    assert "| 0, 1, 2" in systems_as_markdown(group_tables(entries))


def test_the_time_of_a_training_is_no_part_of_what_was_measured():
    fast, slow = (entry("cam", trained(seconds=seconds)).record for seconds in (1.0, 2.0))
    assert identity_of(fast) == identity_of(slow)
    assert trained(seconds=1.0).without_seed() == trained(seconds=None).without_seed()


COMMITTED = Path(__file__).parents[2] / "leaderboard" / "records" / "critters"
LATER = {
    "classifier": lambda record: record,
    "boxes_per_image": lambda record: record,
    "rescored_from": lambda record: record,
    "maps_sha256": lambda record: record,
    "thresholds": lambda record: record,
    "system": lambda record: record["backbone"],
    "compiled": lambda record: record["backbone"],
    "changed_input": lambda record: record["backbone"],
    "fit_rounds": lambda record: record["method"],
    "fit_state_sha256": lambda record: record["method"],
    "time": lambda record: record["backbone"]["weights"]["training"],
    "best_epoch": lambda record: record["backbone"]["weights"]["training"],
    "epoch": lambda record: record["backbone"]["weights"]["training"],
    "preprocessing": lambda record: record["backbone"]["weights"]["training"],
}
"""Fields that records with a system did not have at first -> the part of a record that has them today."""


def older(name, folder):
    """Write a committed record as it was before the later fields; return its entry."""
    path = COMMITTED / f"{name}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for field, part in LATER.items():
        part(content).pop(field, None)
    for beside in (outcomes_path(path), *COMMITTED.glob("images-*.txt.gz")):
        shutil.copy(beside, folder)
    return read_entry(write_sealed(folder / path.name, content), path.name)


def test_records_with_a_system_that_are_older_than_later_fields_are_read_shown_and_compared(tmp_path):
    names = ("resnet_nano__cam__onecycle-seed0", "acol-resnet_nano__native__onecycle-seed0")
    today = [read_entry(COMMITTED / f"{name}.json", f"{name}.json") for name in names]
    plain, system = (older(name, tmp_path) for name in names)
    assert [identity_of(each.record) for each in (plain, system)] == [identity_of(each.record) for each in today]
    tables = [results_table([each.record]) for each in (plain, system)]
    assert tables == [results_table([each.record]) for each in today]
    assert "\nacol:resnet_nano, weights " in tables[1]
    (trial,) = try_systems(group_tables([plain, system]))
    (expected,) = try_systems(group_tables(today))
    assert (trial.system, trial.difference) == ("acol", expected.difference)
    assert "acol" in systems_as_markdown(group_tables([plain, system]))


def test_boxes_of_an_older_record_with_a_system_are_shown_as_boxes(tmp_path):
    entry = older("psol-resnet_nano__native__onecycle+onecycle-seed0", tmp_path)
    assert entry.record.boxes_per_image is None
    assert "boxes, no τ" in results_table([entry.record])
