"""The row model: what a row says of a record, of a mean over seeds, and of what is incomplete."""

import json
from dataclasses import fields

import numpy as np
import pytest
from toy_networks import trained_record
from toy_records import FULLSUP, make_outcomes, make_record, remade

from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.rows import COLUMNS, Row, family_of, frame_of, rows_of, score_of
from wsolbench.records import TrainingInfo, WeightsInfo


def entry(name, record, **changes):
    return Entry(f"{name}.json", "0" * 64, record.model_copy(update=changes))


def of_seed(seed):
    """Return an entry of a training from a seed, which localizes other images than those of other seeds."""
    shifted = [make_outcomes(shift=3 * seed), make_outcomes("train-fullsup", FULLSUP)]
    record = remade(trained_record(), shifted)
    scores = record.metrics.model_copy(update={"fullsup_box_acc_v2": 60.0 + seed, "top1_acc": 50.0})
    return entry(f"toys/seed{seed}", with_seed(record, seed), metrics=scores)


def with_seed(record, seed):
    start = WeightsInfo(source="random", file=None, sha256=None)
    training = TrainingInfo(
        **{"dataset": "birds", "recipe": "plain", "recipe_options": {}, "seed": seed, "initial_weights": start},
        command=f"wsolbench train --seed {seed}",
    )
    weights = WeightsInfo(source="file", file="toy.pth", sha256=f"{seed}" * 64, training=training)
    return record.model_copy(update={"backbone": record.backbone.model_copy(update={"weights": weights})})


def rows(*entries):
    (table,) = group_tables(entries)
    return rows_of(table)


def test_a_row_has_the_plain_values_of_its_record():
    record = trained_record()
    (row,) = rows(entry("toys/one", record))
    assert (row.id, row.record, row.record_sha256) == ("toys/one", "toys/one.json", "0" * 64)
    assert (row.kind, row.network, row.method) == ("measured", record.backbone.label, record.method.name)
    assert row.metrics["fullsup_box_acc_v2"] == record.metrics.fullsup_box_acc_v2
    assert row.intervals["max_box_acc"] == record.intervals.metrics["max_box_acc"]
    assert row.images == len(record.evaluated.image_ids)
    assert row.commands[-1] == record.environment.command
    assert row.group is None
    assert json.loads(json.dumps({each.name: getattr(row, each.name) for each in fields(Row)}))["id"] == "toys/one"


def test_a_mean_over_seeds_stands_before_its_trainings():
    mean, *singles = rows(*(of_seed(seed) for seed in range(3)))
    assert mean.seeds == (0, 1, 2)
    assert mean.is_mean
    assert [row.group for row in singles] == [mean.id] * 3
    assert mean.metrics["fullsup_box_acc_v2"] == pytest.approx(61.0)
    assert mean.sd["fullsup_box_acc_v2"] == pytest.approx(np.std([60, 61, 62], ddof=1))
    assert mean.sd["top1_acc"] == 0.0
    assert mean.record is None
    assert {f"wsolbench train --seed {seed}" for seed in range(3)} < set(mean.commands)


def test_incomplete_rows_say_why():
    without_fullsup = make_record(fullsup=None)
    (row,) = rows(entry("a", without_fullsup))
    assert row.incomplete is None  # in its table nobody has a τ of train-fullsup
    constant = make_outcomes(constant_maps=8, nan_maps=0)
    (row,) = rows(entry("a", remade(make_record(), [constant, make_outcomes("train-fullsup", FULLSUP)])))
    assert row.incomplete == "no map has a score"


def test_tables_are_compared_by_v2_at_the_fullsup_threshold_where_there_is_one():
    (table,) = group_tables([entry("a", make_record())])
    assert score_of(table) == "fullsup_box_acc_v2"
    (table,) = group_tables([entry("a", make_record(fullsup=None))])
    assert score_of(table) == "max_box_acc_v2"


def test_a_submitted_record_is_told_by_its_folder():
    (row,) = rows(entry("submitted/toys/one", trained_record()))
    assert row.kind == "submitted"


@pytest.mark.parametrize(
    ("name", "recorded", "family"),
    [
        ("timm:mobilenetv2_100", None, "MobileNet"),
        ("timm:tf_efficientnet_lite2", None, "EfficientNet"),
        ("squeezenet1_0", None, "SqueezeNet"),
        ("resnet_micro", "resnet", "ResNet"),
        ("slak_nano", "slak", "SLaK"),
        ("mine", "convnext", "ConvNeXt"),
        ("mine", None, "other"),
    ],
)
def test_families_of_networks(name, recorded, family):
    assert family_of(name, recorded) == family


def test_a_frame_has_every_field_and_every_metric():
    frame = frame_of(rows(*(of_seed(seed) for seed in range(2))))
    assert [column.key for column in COLUMNS if column.key not in frame] == []
    assert list(frame["id"]) == ["toys/seed0//mean", "toys/seed1", "toys/seed0"]
    assert frame["fullsup_box_acc_v2"].dtype == float
    assert frame["fullsup_box_acc_v2_sd"].iloc[0] == pytest.approx(np.std([60, 61], ddof=1))
    assert np.isnan(frame["fullsup_box_acc_v2_sd"].iloc[1])
