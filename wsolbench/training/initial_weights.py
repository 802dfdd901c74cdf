"""Weights that a training starts from: those of another data set, whose classifier is left out where classes differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wsolbench.contract import BackboneSpec
from wsolbench.errors import UsageError, WeightsError
from wsolbench.host.registry import Offer
from wsolbench.networks.load import KnownWeights, read_weights
from wsolbench.networks.weights import count_classes, load_state


def read_initial_weights(offer: Offer[BackboneSpec], weights: Path) -> KnownWeights:
    """Read a file, or fetch the network's pretrained weights where `weights` is their source.

    Raises:
        UsageError: Random ones are asked for, which need no asking.
        WeightsError: They cannot be had.
    """
    _check_source(offer.spec, weights)
    known = read_weights(offer, "", weights)
    assert known is not None
    return known


def _check_source(spec: BackboneSpec, weights: Path) -> None:
    """Refuse what is neither a file nor the source of the network's pretrained weights."""
    source = spec.pretrained.source if spec.pretrained else None
    if weights.exists() or (source is not None and weights == Path(source)):
        return
    if weights == Path("random"):
        raise UsageError("--weights random: random weights are what a training starts from without --weights; omit it")
    known = f", or --weights {source} for pretrained ones" if source else f"; '{spec.name}' has no pretrained ones"
    raise WeightsError(
        f"weights file {weights} does not exist; pass a file{known}; without --weights training starts from random ones"
    )


def start_from(known: KnownWeights, spec: BackboneSpec, network: Any, num_classes: int) -> None:
    """Put weights into a network; of a classifier of other classes the network's own, random, entries stay.

    Raises:
        WeightsError: They do not fit.
    """
    state = dict(known.state)
    if count_classes(known.path, spec, state) != num_classes:
        classifier = spec.classifier_key.rpartition(".")[0] + "."
        own = network.state_dict()
        state.update({key: value for key, value in own.items() if key.startswith(classifier)})
    load_state(known.path, spec, network, state)
