"""One scorer for every source: parts of a split that are scored apart, and merged, are the whole."""

import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsolbench.contract import DatasetRoots, Maps, Split
from wsolbench.data.opened import open_dataset
from wsolbench.engine.assembly import Scored, assemble_record, describe_protocol, open_splits
from wsolbench.engine.localize import NetworkMaps
from wsolbench.engine.metrics import select_thresholds
from wsolbench.engine.provenance import describe_backbone, describe_dataset, describe_environment, describe_method
from wsolbench.engine.scoremap_files import ScoremapFolder, save_scoremap
from wsolbench.engine.scoring import score_maps
from wsolbench.engine.sources import StoredMaps
from wsolbench.errors import UsageError
from wsolbench.progress import Reporter
from wsolbench.protocol import Scoring, to_scoremap

STEP = 0.05


def score_part(toys_plan, part, positions):
    """Score some images of a split with a plan's network and methods."""
    maps = NetworkMaps(toys_plan.network, toys_plan.methods, "gt", batch_size=2, workers=1)
    return score_maps(maps, part, scoring=Scoring(STEP), workers=1, reporter=Reporter(), positions=positions)


def record_of(plan, part, score):
    """Return the record that scores of a split give, without what depends on the clock."""
    protocol = describe_protocol(plan.config, "gt")
    environment = describe_environment([plan.dataset.provider], command="", device="cpu", seed=0, batch_size=2)
    return assemble_record(
        Scored(score.result(), None, select_thresholds(None, "none")),
        dataset=describe_dataset(plan.dataset, [part], None),
        backbone=describe_backbone(plan.network),
        method=describe_method(plan.methods[0], None),
        protocol=protocol,
        environment=environment.model_copy(update={"created": ""}),
        config=None,
        seconds={},
    )


class Numbered:
    """Maps of the green channel, with a statistic; the map of image 2 is not finite, that of image 3 constant."""

    def __call__(self, features, _context):
        numbers = (features[:, 0].mean(dim=(1, 2)) * 255).round()
        maps = features[:, 1].clone()
        maps[numbers == 2] = float("nan")
        maps[numbers == 3] = 1.0
        return Maps(maps, {"number": numbers})


@pytest.fixture
def opened(toys):
    """A plan of toys, and their opened test split."""
    plan = toys.plan(toys.method(method=Numbered()))
    return plan, plan.dataset.open(Split.TEST)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_parts_in_any_order_merge_to_the_whole(opened, data):
    plan, part = opened
    count = len(part.images.ids)
    order = data.draw(st.permutations(range(count)))
    cut = data.draw(st.integers(0, count))
    (whole,) = score_part(plan, part, range(count)).values()
    (first,), (second,) = (score_part(plan, part, half).values() for half in (order[:cut], order[cut:]))
    merged = second.merge(first)
    expected = record_of(plan, part, whole)
    assert record_of(plan, part, merged).to_line() == expected.to_line()


def test_what_was_decided_about_images_survives_threads_and_merging(opened):
    plan, whole = opened
    remarks = {0: ("turned upright", "resized copies"), 3: ("turned upright",)}
    part = replace(whole, images=replace(whole.images, remarks=lambda index: remarks.get(index, ())))
    (first,), (second,) = (score_part(plan, part, half).values() for half in ([2, 3], [0, 1, 4, 5]))
    scored = second.merge(first)
    assert scored.result().remarks == {"turned upright": [0, 3], "resized copies": [0]}
    assert record_of(plan, part, scored).dataset.remarks == {"test": {"resized copies": 1, "turned upright": 2}}


def test_images_that_both_parts_have_are_refused(opened):
    plan, part = opened
    (first,), (second,) = (score_part(plan, part, half).values() for half in ([0, 1], [1, 2]))
    with pytest.raises(UsageError, match=f"image '{part.images.ids[1]}' has already been evaluated"):
        first.merge(second)


def score_half(connection, sent, half):
    """Score half of a split in a process of its own: the split arrives pickled, the scores go back pickled."""
    part, folder = pickle.loads(sent)
    (score,) = score_maps(
        StoredMaps({part.split: folder}), part, scoring=Scoring(STEP), workers=1, reporter=Reporter(), positions=half
    ).values()
    connection.send_bytes(pickle.dumps(score))
    connection.close()


@pytest.mark.slow
def test_two_halves_scored_in_two_processes_merge_to_the_whole(folder_set, tmp_path, registry, toys):
    made = folder_set(val=3, test=8)
    dataset = open_dataset(registry.datasets.get("folder"), DatasetRoots(made.images, made.metadata))
    part = open_splits(dataset, Split.TEST, None).evaluated
    random = np.random.default_rng(0)
    for image_id in part.images.ids:
        save_scoremap(tmp_path / "maps", image_id, to_scoremap(random.random((5, 5))))
    folder = ScoremapFolder(tmp_path / "maps", part.images.ids)
    (whole,) = score_maps(
        StoredMaps({part.split: folder}), part, scoring=Scoring(STEP), workers=2, reporter=Reporter()
    ).values()
    context, sent = multiprocessing.get_context("spawn"), pickle.dumps((part, folder))
    scores = []
    for half in (range(0, 8, 2), range(1, 8, 2)):
        ours, theirs = context.Pipe()
        process = context.Process(target=score_half, args=(theirs, sent, list(half)))
        process.start()
        scores.append(pickle.loads(ours.recv_bytes()))
        process.join()
        assert process.exitcode == 0
    merged = scores[1].merge(scores[0])
    plan = toys.plan()
    assert record_of(plan, part, merged).to_line() == record_of(plan, part, whole).to_line()
