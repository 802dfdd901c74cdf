"""What makes two measurements the same one, and in which words they differ."""

import json

import pytest
from toy_records import PROTOCOL, make_record

from wsolbench.records import (
    BackboneInfo,
    Preprocessing,
    StageInfo,
    SystemInfo,
    TrainingInfo,
    WeightsInfo,
    identify,
    identity_of,
)
from wsolbench.records.identity import difference

RANDOM = WeightsInfo(source="random", file=None, sha256=None)


def trained(seed=0, start=RANDOM, sha256="1" * 64, command="wsolbench train", **options):
    training = TrainingInfo(
        **{"dataset": "birds", "recipe": "plain", "recipe_options": {"epochs": 2, **options}},
        **{"seed": seed, "initial_weights": start, "command": command},
    )
    return WeightsInfo(source="file", file="w.safetensors", sha256=sha256, training=training)


def network(weights=RANDOM, **changes):
    made = BackboneInfo(
        **{"requested": "net", "name": "net", "family": None, "provider": "acme 1", "parameters": 6},
        **{"largest_kernel": 3, "reparameterized": False, "feature_shape": (3, 8, 8), "weights": weights},
        preprocessing=Preprocessing(size=32, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear"),
    )
    return made.model_copy(update=changes)


def measured(backbone=None, *, seed=0, **changes):
    """Return the identity of a measurement with a network."""
    record = make_record()
    parts = {"dataset": record.dataset, "method": record.method, "protocol": PROTOCOL}
    return identify(backbone=backbone or network(), seed=seed, **{**parts, **changes})


def facts(identity):
    return (*identity.data, *identity.protocol, *identity.network, *identity.method)


def test_it_is_known_before_there_is_a_record():
    before = measured()
    record = make_record(backbone=network())
    environment = record.environment.model_copy(update={"seed": 0})
    assert identity_of(record.model_copy(update={"environment": environment})) == before
    assert hash(before) == hash(measured())
    assert json.loads(json.dumps(before.sha256)) == measured().sha256


def update(part, **values):
    return getattr(make_record(), part).model_copy(update=values)


DIFFERENT = {
    "data set": lambda: measured(dataset=update("dataset", name="fish")),
    "data hash": lambda: measured(dataset=update("dataset", content_sha256="b" * 64)),
    "evaluated split": lambda: measured(protocol=update("protocol", split="train-fullsup")),
    "target": lambda: measured(protocol=update("protocol", target="gt")),
    "τ step": lambda: measured(protocol=update("protocol", threshold_step=0.1)),
    "IoU thresholds": lambda: measured(protocol=update("protocol", iou_thresholds=(0.5,))),
    "network": lambda: measured(network(name="other")),
    "network provider": lambda: measured(network(provider="another 1")),
    "method provider": lambda: measured(method=update("method", provider="acme 1 'cam'")),
    "tap": lambda: measured(network(tap="stages.1")),
    "precision": lambda: measured(network(precision="bf16")),
    "preprocessing": lambda: measured(
        network(preprocessing=Preprocessing(size=64, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear"))
    ),
    "method": lambda: measured(method=update("method", name="pc1")),
    "method options": lambda: measured(method=update("method", options={"relu": False})),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_every_fact_tells_measurements_apart_and_is_named(name):
    one, other = measured(), DIFFERENT[name]()
    assert one.sha256 != other.sha256
    assert [fact[0] for fact in difference(facts(one), facts(other))] == [name]


def test_a_difference_has_both_values():
    assert difference({"a": 1, "b": 2}, {"b": 3, "c": None, "d": 4}) == [("a", 1, None), ("b", 2, 3), ("d", None, 4)]
    assert difference({"a": 1}, {"a": 1}) == []


SAME = {
    "file": (lambda: trained(), lambda: trained().model_copy(update={"file": "moved.safetensors"})),
    "a repetition": (lambda: trained(), lambda: trained(sha256="2" * 64, command="wsolbench train --device cuda")),
}
OTHER = {
    "seed": (lambda: trained(0), lambda: trained(1)),
    "recipe": (lambda: trained(), lambda: trained(momentum=0.9)),
    "earlier training": (lambda: trained(1, trained(0)), lambda: trained(1, trained(1))),
    "content": (
        lambda: WeightsInfo(source="file", file="w.pth", sha256="1" * 64),
        lambda: WeightsInfo(source="file", file="w.pth", sha256="2" * 64),
    ),
    "source": (lambda: RANDOM, lambda: WeightsInfo(source="shipped", file="w", sha256="1" * 64)),
}


@pytest.mark.parametrize("name", SAME)
def test_weights_of_a_training_count_as_what_was_asked_for(name):
    one, other = (measured(network(make())) for make in SAME[name])
    assert one == other


@pytest.mark.parametrize("name", OTHER)
def test_weights_are_told_apart(name):
    one, other = (measured(network(make())) for make in OTHER[name])
    assert one.network != other.network
    assert one.sha256 != other.sha256


def test_random_weights_are_those_of_their_seed():
    assert measured(seed=0).network != measured(seed=1).network
    assert measured(network(trained()), seed=0).network == measured(network(trained()), seed=1).network


def test_another_version_of_a_provider_measures_the_same():
    assert measured(network(provider="acme 1 'nets'")) == measured(network(provider="acme 2 'nets'"))


def test_stored_maps_are_what_came_of_them():
    assert identity_of(make_record()) == identity_of(make_record())
    assert identity_of(make_record()).sha256 != identity_of(make_record(2)).sha256
    assert identity_of(make_record()).comparable == identity_of(make_record(2)).comparable


@pytest.mark.parametrize(
    ("name", "named", "trained_by", "label"),
    [
        ("net", None, None, "net"),
        ("net", None, "adl", "net (weights of adl)"),
        ("adl:net", "adl", "adl", "adl:net"),
        ("adl:net", None, "adl", "adl:net"),  # a record from before networks had a system
        ("adl:net", "adl", "bridge-gap", "adl:net (weights of bridge-gap)"),
        ("adl:net", "adl", None, "adl:net (weights of no system)"),
    ],
)
def test_a_label_says_whose_the_weights_are_where_its_name_does_not(name, named, trained_by, label):
    weights = trained()
    stages = [StageInfo(name="training", epochs=1, trains=[""])]
    system = None if trained_by is None else SystemInfo(name=trained_by, options={}, stages=stages)
    training = weights.training.model_copy(update={"system": system})
    weights = weights.model_copy(update={"training": training})
    assert network(weights, name=name, system=named).label == label
