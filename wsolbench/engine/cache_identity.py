"""On what the maps of a run depend, known before the first is made: the identity of a shelf of the cache.

The first part is what a record says, so that the maps of a record are found again. The rest is what no record holds:
the values of the weights, the code, the images that a method was fitted on, and how the lists of the data set are read.
What a batch consists of is no part of it; see `wsolbench.engine.cached`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wsolbench.engine.provenance import describe_backbone, describe_method, package_versions
from wsolbench.host.source_code import source_sha256
from wsolbench.records import BackboneInfo, MethodInfo, ResultRecord

if TYPE_CHECKING:
    from wsolbench.data.opened import OpenDataset
    from wsolbench.engine.fit import Fit
    from wsolbench.engine.localize import NetworkMaps

__all__ = ["FORMAT", "cache_identities", "recorded_facts", "without_fit"]

FORMAT = 1
"""Of the entries; another one makes all maps anew."""


def cache_identities(maps: NetworkMaps, dataset: OpenDataset, fitted: Mapping[str, Fit]) -> dict[str, dict[str, Any]]:
    """Return method -> the identity of its maps.

    Methods, networks and data sets that were given in Python have no code that could be recognized again: they have
    none.

    Args:
        maps: The network and its methods.
        dataset: Whose images they see.
        fitted: Method -> its fit, for those that are fitted.
    """
    network = maps.network
    code = {
        "wsolbench": source_sha256(cache_identities),
        "backbone": source_sha256(network.offer.spec.build),
        "dataset": source_sha256(type(dataset.dataset)),
    }
    found: dict[str, dict[str, Any]] = {}
    for built in maps.built:
        providers = {"backbone": network.offer.provider, "dataset": dataset.provider, "method": built.offer.provider}
        of_method = {**code, "method": source_sha256(built.offer.spec.build)}
        if None in of_method.values() or not all(provider.is_installed for provider in providers.values()):
            continue
        fit = fitted.get(built.name)
        found[built.name] = {
            "format": FORMAT,
            "recorded": _facts(
                dataset=dataset.name,
                backbone=describe_backbone(network, maps.class_rows),
                method=describe_method(built, fit),
                target=maps.target,
                device=str(network.device),
                seed=maps.seed,
                batch_size=maps.batch_size,
                packages=package_versions(),
            ),
            "weights": maps.weights_sha256,
            "fit images": None if fit is None else fit.images_sha256,
            "code": of_method,
            "providers": {what: f"{p.distribution} {p.recorded_version}" for what, p in providers.items()},
            "lists": {name: str(value) for name, value in asdict(dataset.conventions).items()},
        }
    return found


def recorded_facts(record: ResultRecord) -> dict[str, Any]:
    """Return the part of the identity of a record's maps that the record holds.

    Args:
        record: Of a network.
    """
    assert record.backbone is not None
    environment = record.environment
    return _facts(
        dataset=record.dataset.name,
        backbone=record.backbone,
        method=record.method,
        target=record.protocol.target,
        device=environment.device,
        seed=environment.seed,
        batch_size=environment.batch_size,
        packages=environment.packages,
    )


def without_fit(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity without what is known of the fit of its method only once it is fitted."""
    recorded = identity["recorded"]
    method = {name: value for name, value in recorded["method"].items() if not name.startswith("fit")}
    return {**identity, "recorded": {**recorded, "method": method}, "fit images": None}


def _facts(*, backbone: BackboneInfo, method: MethodInfo, **others: Any) -> dict[str, Any]:
    """Return facts as plain values; neither the name that was typed nor where the weights come from changes a map."""
    network = backbone.model_dump(mode="json", exclude={"requested": True, "weights": {"file", "training", "notes"}})
    return {"backbone": network, "method": method.model_dump(mode="json"), **others}
