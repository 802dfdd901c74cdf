"""What was measured, apart from what came of it: known before a run, and the one notion of "the same measurement".

Tables group records whose data and protocol are equal, `compare` refuses others, a gallery loads one network for the
records of one network, and a record replaces another one whose whole identity is its own.

Of a method it has all options that the record names, also those at their defaults: where a later version has another
default or one option more, it measures something else.

Scores at further τ (`ResultRecord.thresholds`) are no part of it: they are more columns of the same measurement.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from wsolbench.contract.names import SOURCE
from wsolbench.protocol.rules import PSEUDO_BOXES
from wsolbench.records.record import (
    BackboneInfo,
    ClassifierInfo,
    DatasetInfo,
    MethodInfo,
    ProtocolInfo,
    ResultRecord,
    WeightsInfo,
)

__all__ = ["Facts", "Identity", "content_sha256", "difference", "facts_but_seeds", "identify", "identity_of"]

Facts: TypeAlias = tuple[tuple[str, Any], ...]
"""Pairs of a name, in words for people, and a plain value that can be hashed."""


@dataclass(frozen=True)
class Identity:
    """What was measured.

    Attributes:
        data: The data set, its content and the splits that take part.
        protocol: The settings of the evaluation.
        network: The network, its weights, precision and input; empty for maps that were read.
        method: The method and its options; for maps that were read, the hash of what came of them.
        pixels: The hashes of the images' pixels by split; empty before a run, and where no image was read.
    """

    data: Facts
    protocol: Facts
    network: Facts
    method: Facts
    pixels: Facts = ()

    @property
    def comparable(self) -> tuple[Facts, Facts]:
        """What has to be equal for two records to stand in one table; where pixels are known, they have to be too."""
        return self.data, self.protocol

    @property
    def sha256(self) -> str:
        """A hash of all of it: two records that share it measured the same thing."""
        facts = [self.data, self.protocol, self.network, self.method, *([self.pixels] if self.pixels else [])]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def content_sha256(annotations: Iterable[tuple[str, str]]) -> str:
    """Return the hash of a data set's content.

    Args:
        annotations: The name of every split that takes part, and the hash of its annotations.
    """
    return hashlib.sha256(repr(sorted(annotations)).encode()).hexdigest()


def identify(
    *,
    dataset: DatasetInfo,
    backbone: BackboneInfo | None,
    method: MethodInfo,
    protocol: ProtocolInfo,
    seed: int | None,
    classifier: ClassifierInfo | None = None,
    maps_sha256: str | None = None,
    images_sha256: Mapping[str, str] | None = None,
) -> Identity:
    """Return the identity of a measurement, which may not have been made yet.

    Args:
        dataset: What is evaluated on.
        backbone: The network; None for maps that are read.
        method: What makes the maps.
        protocol: The settings.
        seed: Of every random draw.
        classifier: Whose classes are scored, where these are not the network's own.
        maps_sha256: For maps that are read, the hash of their outcomes: nothing else is known of them.
        images_sha256: Split -> the hash of its images' pixels, where they were read.
    """
    sizes = " + ".join(f"{size} of {split}" for split, size in sorted(dataset.split_sizes.items()))
    return Identity(
        data=(("data set", dataset.name), ("images", sizes), ("data hash", dataset.content_sha256)),
        protocol=(
            ("evaluated split", protocol.split),
            ("target", protocol.target),
            ("τ step", protocol.threshold_step),
            ("frame", protocol.frame),
            ("IoU thresholds", protocol.iou_thresholds),
            ("protocol version", protocol.version),
        ),
        network=() if backbone is None else _network(backbone, seed),
        method=(
            ("method", method.name),
            ("method provider", method.provider and _distribution(method.provider)),
            ("method options", _plain(method.options)),
            ("seed", seed),
            *((("maps", maps_sha256),) if backbone is None else _classifier(classifier)),
        ),
        pixels=tuple((f"pixels of {split}", digest) for split, digest in sorted((images_sha256 or {}).items())),
    )


def identity_of(record: ResultRecord) -> Identity:
    """Return the identity of a record."""
    return identify(
        dataset=record.dataset,
        backbone=record.backbone,
        method=record.method,
        protocol=record.protocol,
        seed=record.environment.seed,
        classifier=record.classifier,
        maps_sha256=record.maps_sha256 or record.outcomes_sha256,
        images_sha256={
            part.split: part.images_sha256
            for part in record.splits
            if part.images_sha256 is not None and part.split != PSEUDO_BOXES
        },
    )


def facts_but_seeds(measured: Identity) -> Facts:
    """Return what network and method are, but for the training of the weights and for the seed of the run."""
    seeded = {"training", "trained from", "seed"}
    return tuple(fact for fact in (*measured.network, *measured.method) if fact[0] not in seeded)


def difference(one: Mapping[str, Any] | Facts, other: Mapping[str, Any] | Facts) -> list[tuple[str, Any, Any]]:
    """Return the facts in which two differ: the name, and both values, None where there is none."""
    ours, theirs = dict(one), dict(other)
    pairs = [(name, ours.get(name), theirs.get(name)) for name in {**ours, **theirs}]
    return [(name, mine, yours) for name, mine, yours in pairs if mine != yours]


def _classifier(classifier: ClassifierInfo | None) -> Facts:
    """Return what distinguishes predicted classes; of maps that were read, the hash of their outcomes does."""
    if classifier is None:
        return ()
    return (("classifier", classifier.label), ("classifier hash", classifier.sha256))


def _network(backbone: BackboneInfo, seed: int | None) -> Facts:
    return (
        ("network", backbone.name),
        *((("network options", _plain(backbone.options)),) if backbone.options else ()),
        *((("tap", backbone.tap),) if backbone.tap is not None else ()),
        ("network provider", _distribution(backbone.provider)),
        ("precision", backbone.precision),
        ("preprocessing", _plain(backbone.preprocessing.model_dump())),
        *_weights(backbone.weights, seed),
        *((("class rows", _plain(backbone.class_rows)),) if backbone.class_rows is not None else ()),
    )


def _weights(weights: WeightsInfo, seed: int | None) -> Facts:
    """Return what distinguishes weights.

    A training counts as what it was asked to be, since a repetition on another machine gives other weights; weights
    without a card count as their content, random ones as the seed that drew them.
    """
    training = weights.training
    key = () if weights.key is None else (("weights key", weights.key),)
    if training is None:
        return (("weights", weights.source), ("weights hash", weights.sha256 or f"seed {seed}"), *key)
    usual = {name for name in ("preprocessing", "epoch") if getattr(training, name) is None}  # older records have none
    asked = training.model_dump(
        exclude={"initial_weights", "command", "chosen", "system", "best_epoch", "time", *usual}
    )
    return (
        ("training", _plain(asked)),
        *((("system", _plain(training.system.without_targets.model_dump())),) if training.system is not None else ()),
        *((("chosen among trainings", _plain(training.chosen.asked)),) if training.chosen is not None else ()),
        *((("epoch chosen", _plain(training.best_epoch.asked)),) if training.best_epoch is not None else ()),
        ("trained from", _plain(dict(_weights(training.initial_weights, training.seed)))),
        *key,
    )


def _distribution(provider: str) -> str:
    """Return the distribution of a provider without its version: another version measures the same thing again.

    A function that was given from Python and a plugin in a file have no release; their source tells them apart from
    others of their name.
    """
    distribution, _, rest = provider.partition(" ")
    version = rest.partition(" ")[0]
    return f"{distribution} {version}" if version.startswith(SOURCE) else distribution


def _plain(value: Any) -> str:
    """Return a value as text that is the same before and after it was stored."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
