"""Every field of a record, changed in every way: noticed by its hash, and without it refused or known to be a claim."""

import copy
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_records import (
    ENVIRONMENT,
    FULLSUP,
    GRID,
    TEST,
    as_version1,
    make_outcomes,
    make_record,
    with_boxes,
    write_sealed,
)

from wsolbench.errors import DataError
from wsolbench.protocol import FRAME, IOU_THRESHOLDS, ScoreHistograms
from wsolbench.records import (
    BackboneInfo,
    Environment,
    MethodInfo,
    Preprocessing,
    ProtocolInfo,
    TrainingInfo,
    WeightsInfo,
    read_record,
    verify,
    write_record,
)
from wsolbench.records.store import with_outcomes
from wsolbench.records.verify import CLAIMED, contradiction, read_verified

MISSING = object()
DERIVED = ("dataset.split_sizes", "dataset.content_sha256")


@pytest.fixture(scope="module")
def record():
    """A record in which nothing is empty but what has to be."""
    bins = np.arange(GRID + 2)
    histograms = ScoreHistograms(np.where(bins <= GRID, bins, 0), np.where(bins <= GRID, FRAME - bins, 0))
    hits = {1: np.arange(TEST) % 2 == 0, 5: np.arange(TEST) < TEST - 1}
    test = make_outcomes(hits=hits, histograms=histograms, images_sha256="d" * 64)
    first = WeightsInfo(source="random", file=None, sha256=None)
    told = {"dataset": "birds", "recipe": "plain", "recipe_options": {"epochs": 2, "momentum": 0.9}}
    for seed in (0, 1):
        training = TrainingInfo(**told, seed=seed, initial_weights=first, command=f"wsolbench train --seed {seed}")
        first = WeightsInfo(source="file", file="w.safetensors", sha256=f"{seed}" * 64, training=training)
    return make_record(
        test=test,
        fullsup=make_outcomes("train-fullsup", FULLSUP, hits={k: hit[:FULLSUP] for k, hit in hits.items()}),
        protocol=ProtocolInfo(
            split="test", target="gt", threshold_step=1 / GRID, frame=FRAME, iou_thresholds=IOU_THRESHOLDS
        ),
        backbone=BackboneInfo(
            **{"requested": "net", "name": "net_a", "family": "net", "provider": "acme 1 'net'", "parameters": 6},
            **{"largest_kernel": 3, "reparameterized": False, "feature_shape": (3, 8, 8), "weights": first},
            preprocessing=Preprocessing(size=32, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear"),
        ),
        method=MethodInfo(
            **{"name": "cam", "provider": "acme 1 'cam'", "options": {"relu": True, "share": 0.5, "layers": [1, 2]}},
            **{"changed_options": {"share": 0.5}, "reads_network": True, "fitted_images": 4},
        ),
        environment=ENVIRONMENT.model_copy(
            update={"seed": 3, "batch_size": 2, "plugins": {"acme": "1"}, "packages": {"numpy": "2"}}
        ),
        config={"split": "test", "seed": 3, "methods": {"cam": {"share": 0.5}}, "workers": 2},
        seconds={"test": 2.5},
    )


def leaves(value, way=()):
    """Yield the way to every value of a record, and to every object and list."""
    if way:
        yield way
    for step in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from leaves(value[step], (*way, step))


def at(content, way):
    for step in way:
        content = content[step]
    return content


def other_values(value):
    """Yield values that might stand in a value's place: near, far, of another type, hostile."""
    match value:
        case bool():
            yield from (not value, int(value), None)
        case int():
            yield from (value + 1, value - 1, -value - 1, 10**18, 10**30, float(value), True, f"{value}", None)
        case float():
            yield from (value + 1e-6, value + 1, -value - 1, 1e300, f"{value}", None)
        case str():
            yield from (f"{value}x", "", "../x", "a\nb", "a\x1bb", "a\u202eb", "x" * 10**6, 7, None)
        case list():
            yield from (value[:-1], [*value, *value[-1:]], [*value, None], value[::-1], {}, None)
        case dict():
            yield from ({**value, "surplus": 1}, {}, [], None, "x")
        case None:
            yield from (0, 1.5, "x", "0" * 64, {}, [])


def changes(content, every):
    """Yield the name of a place, and the content with another value there, or without it; every n-th of all changes."""
    ways = [(way, value) for way in leaves(content) for value in (*other_values(at(content, way)), MISSING)]
    assert len(ways) > 1400
    for way, value in ways[::every]:
        changed = copy.deepcopy(content)
        *before, last = way
        if value is MISSING:
            del at(changed, before)[last]
        else:
            at(changed, before)[last] = value
        if json.dumps(changed, sort_keys=True) != json.dumps(content, sort_keys=True):
            yield ".".join(str(step) for step in way), changed


def is_claimed(name):
    return name not in DERIVED and any(name == claim or name.startswith(f"{claim}.") for claim in CLAIMED)


def accepts(path, record):
    """Return whether a record is accepted, and says something else than another one; a refusal is one line."""
    try:
        return read_verified(path) != record
    except DataError as error:
        told = str(error)
    assert "\n" not in told
    assert told.startswith(str(path.parent))
    return False


@pytest.fixture(autouse=True)
def _resamples_once(monkeypatch):
    """Compute the resamples of the same outcomes once."""
    found = {}

    def compute(outcomes, protocol, rules):
        key = (verify.outcomes_sha256(outcomes), protocol.model_dump_json(), tuple(rules))
        if key not in found:
            found[key] = original(outcomes, protocol, rules)
        return found[key]

    original = verify.scores_and_resamples
    monkeypatch.setattr(verify, "scores_and_resamples", compute)


some_or_all = pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.slow)])
"""Every eleventh change, or all of them."""


def test_the_record_itself_is_accepted(record, tmp_path):
    assert contradiction(record) is None
    path = write_record(record, tmp_path, "r")
    assert read_verified(path) == read_record(path) == record


@some_or_all
def test_every_single_change_of_a_record_is_refused(record, tmp_path, every):
    path = write_record(record, tmp_path, "r")
    for name, changed in changes(json.loads(path.read_text()), every):
        path.write_text(json.dumps(changed), encoding="utf-8")
        assert not accepts(path, record), name


@some_or_all
def test_a_change_under_a_new_hash_is_refused_where_it_is_no_claim(record, tmp_path, every):
    path = write_record(record, tmp_path, "r")
    accepted = set()
    for name, changed in changes(json.loads(path.read_text()), every):
        write_sealed(path, changed)
        if accepts(path, record):
            accepted.add(name)
    assert sorted(name for name in accepted if not is_claimed(name)) == []
    assert len(accepted) > 5, "what is a claim is not seen to pass"


@some_or_all
def test_a_change_of_version_1_is_refused_where_it_is_no_claim(record, tmp_path, every):
    path, content = tmp_path / "r.json", as_version1(record)
    path.write_text(json.dumps(content))
    original = read_verified(path)
    outcomes = content.pop("outcomes")
    accepted = set()
    for name, changed in changes(content, every):
        path.write_text(json.dumps({**changed, "outcomes": outcomes}))
        if accepts(path, original):
            accepted.add(name)
    assert sorted(name for name in accepted if not is_claimed(name)) == []


CHANGED = {
    "metrics.max_box_acc": (99.0, "max_box_acc is 99.0, but its outcomes give 50.0"),
    "environment.seed": (4, "config.seed is 3, but the record was measured with 4"),
    "backbone.name": ("net_b", "in one of the fields that its outcomes do not show: dataset.name, "),
    "seconds": ({}, "in one of the fields that its outcomes do not show: dataset.name, "),
    "surplus": (1, "surplus: there is no such name"),
}


@pytest.mark.parametrize("place", CHANGED)
def test_an_edited_record_is_refused_with_the_field_and_what_to_do(record, tmp_path, place):
    path = write_record(record, tmp_path, "r")
    content = json.loads(path.read_text())
    *way, last = place.split(".")
    at(content, way)[last], words = CHANGED[place]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        read_verified(path)
    assert words in str(caught.value)
    if place != "surplus":
        assert str(caught.value).startswith(f"{path} was changed after it was written (")
        assert str(caught.value).endswith("; put back the file that the run wrote, or run it again")


def test_a_number_in_another_form_is_refused_under_a_new_hash_too(record, tmp_path):
    content = json.loads(record.to_json())
    assert content["metrics"]["top1_acc"] == 50.0
    content["metrics"]["top1_acc"] = 50
    del content["backbone"]["options"]  # a field that came later and has a default
    path = write_record(record, tmp_path, "r")
    write_sealed(path, content)
    with pytest.raises(DataError, match=r"\(metrics\.top1_acc: expected 50\.0, got 50\)"):
        read_verified(path)
    content["metrics"]["top1_acc"] = 50.0
    assert read_verified(write_sealed(path, content)) == record


def test_outcomes_that_a_version_did_not_have_are_refused(record):
    assert contradiction(record.model_copy(update={"migrated_from": 2})).startswith("migrated_from is 2, but outcomes")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema_version": 3, "schema_version": 3}', "the name 'schema_version' stands twice"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "a, expected a finite number"),
        ('{"a": {"b": [0, ' + "9" * 30 + "]}}", "a, b, 1, expected a number up to"),
        ('{"a": ' + "9" * 5000 + "}", "no JSON"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "nested more than 64 levels deep"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "not a result record"),
        ('{"' + "n" * 10**6 + '": 1}', "expected at most 20,000 characters"),
        ('{"a": [' + "[]," * 2**20 + "0]}", "it has more lists than any record"),
        ('{"a": "\\ud800"}', "expected no control character, got U+D800"),
        ('{"a\\u0000": 1}', "expected no control character, got U+0000"),
        ('{"a": "\\u202e"}', "expected no control character, got U+202E"),
    ],
)
def test_json_that_no_record_is_written_in_is_refused(tmp_path, text, words):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError) as caught:
        read_record(tmp_path / "r.json")
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("image_id", ["", "a\nb", "a\x9bb", "a\u2066b", "a\ud800", "x" * 1001])
def test_ids_that_are_no_line_of_text_are_refused(record, tmp_path, image_id):
    content = as_version1(record)
    content["outcomes"][0]["image_ids"][3] = image_id
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"r\.json: outcomes of test: '.*': expected "):
        read_record(tmp_path / "r.json")


@pytest.mark.parametrize("place", ["pipe", "/dev/zero"])
def test_what_is_no_file_is_not_read(tmp_path, place):
    path = tmp_path / "r.json"
    if place == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(place)
    with pytest.raises(DataError, match="it is a pipe, socket or device, no file"):
        read_record(path)


def test_what_a_run_describes_is_made_printable_and_can_be_read(record, tmp_path):
    environment = record.environment.model_dump() | {"command": "wsolbench run\n```\x1b[2J" + "x" * 30_000}
    options = {"path": Path("a\nb"), "rate": float("inf"), "sizes": (1, np.int64(2)), "by": {"x": np.float64(0.5)}}
    method = record.method.model_dump() | {"options": options, "changed_options": options}
    weights = WeightsInfo(source="file", file="a\\b\n.pth", sha256="0" * 64)
    made = make_record(
        environment=Environment(**environment),
        method=MethodInfo(**method),
        backbone=record.backbone.model_copy(update={"weights": weights}),
    )
    read = read_verified(write_record(made, tmp_path, "r"))
    assert read == made
    assert read.environment.command.startswith("wsolbench run\N{REPLACEMENT CHARACTER}```")
    assert read.method.options == {
        "path": "a\N{REPLACEMENT CHARACTER}b",
        "rate": "inf",
        "sizes": [1, 2],
        "by": {"x": 0.5},
    }
    assert read.backbone.weights.file == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}.pth"


@pytest.mark.parametrize("file", ["../w.pth", "/w.pth", "", ".", ".."])
def test_a_weights_file_that_is_no_name_is_refused(file):
    with pytest.raises(ValueError, match="expected a file name without its folder"):
        WeightsInfo(source="file", file=file, sha256=None)


def test_the_docs_name_every_claim():
    page = (Path(__file__).parents[2] / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("| `")] == [
        f"| `{name}` | {what} |" for name, what in CLAIMED.items()
    ]


FORGED = {
    "true boxes with fractions": (
        lambda part: replace(part, true_boxes=tuple(boxes + 0.5 for boxes in part.true_boxes)),
        "outcomes of test: expected boxes in whole pixels",
    ),
    "predicted boxes with fractions": (
        lambda part: replace(part, predicted_boxes=part.predicted_boxes + 0.0),
        "outcomes of test: expected boxes in whole pixels",
    ),
    "labels with fractions": (
        lambda part: replace(part, labels=part.labels + 0.5, class_names=None),
        "outcomes of test: expected labels as whole numbers",
    ),
}


@pytest.mark.parametrize("kind", FORGED)
def test_outcomes_in_memory_are_refused_as_those_of_a_file(kind):
    change, words = FORGED[kind]
    (part,) = with_boxes([make_outcomes()])
    original = make_record(test=part, fullsup=None)
    assert contradiction(original) is None
    assert contradiction(with_outcomes(original, [change(part)])) == words


def test_no_classes_beside_labels_of_a_network_with_a_classifier(record, tmp_path):
    (part,) = with_boxes([make_outcomes()])
    part = replace(part, class_names=None, labels=part.labels + 2**40)
    original = make_record(test=part, fullsup=None)
    unnamed = original.model_copy(update={"dataset": original.dataset.model_copy(update={"num_classes": 0})})
    assert contradiction(unnamed) is None  # of maps in memory
    forged = with_outcomes(unnamed.model_copy(update={"backbone": record.backbone}), [part])
    words = f"is {2**40}, but the data set has 0 classes"
    assert words in contradiction(forged)
    with pytest.raises(DataError, match=words):
        read_verified(write_record(forged, tmp_path, "r"))
    headless = record.backbone.model_copy(update={"classes": 0})
    assert words not in str(contradiction(forged.model_copy(update={"backbone": headless})))
    named = replace(part, class_names={2**40: "owl"})
    assert words in contradiction(with_outcomes(unnamed, [named]))
