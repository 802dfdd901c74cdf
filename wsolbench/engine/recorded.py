"""The network of a record, loaded again with the very weights that it was measured with."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

import torch

from wsolbench.contract import InputConfig
from wsolbench.contract.inputs import NO_CHANGES, InputChanges
from wsolbench.errors import DataError, UsageError, WeightsError
from wsolbench.files import sha256
from wsolbench.host.registry import Registry
from wsolbench.networks.known_weights import Weights
from wsolbench.networks.load import load_network
from wsolbench.networks.network import Execution, LoadedNetwork
from wsolbench.records import ResultRecord, WeightsInfo

__all__ = ["lacks_weights_root", "load_recorded"]


def load_recorded(
    record: ResultRecord,
    registry: Registry,
    num_classes: int,
    weights_root: Path | None,
    device: torch.device,
    *,
    random: bool = False,
    changes: InputChanges = NO_CHANGES,
) -> LoadedNetwork:
    """Load the network of a record with the very weights that it was measured with.

    Args:
        record: A record of a network.
        registry: What the plugins offer.
        num_classes: Classes of the data set, for random weights.
        weights_root: The folder below which weights files that records name are found.
        device: Where the network runs.
        random: Whether it gets random weights instead: the same network before any training.
        changes: What is to be different in its input from that of the record.

    Raises:
        UsageError: The weights are in a file, and nobody said where files are; or the record is of a module.
        WeightsError: Weights cannot be found, or are not those of the record.
    """
    backbone = record.backbone
    assert backbone is not None
    if backbone.weights.source == "object" and not registry.backbones.find(backbone.name):
        raise UsageError(
            f"the record of '{backbone.name}' is of a torch module, which a record does not hold: pass the module too, "
            "as to wsolbench.analyze beside its records"
        )
    weights: Weights = "random" if random else _weights_of(backbone.name, backbone.weights, weights_root)
    measured_input = InputConfig(**backbone.preprocessing.model_dump())
    network = load_network(
        registry,
        backbone.name,
        dataset=record.dataset.name,
        num_classes=num_classes,
        weights=weights,
        device=device,
        seed=record.environment.seed or 0,
        execution=Execution(backbone.precision),
        weights_key=None if random else backbone.weights.key,
        options=backbone.options,
        tap=backbone.tap,
        changes=InputChanges.all_of(changes.of(measured_input, measured_input)),
    )
    if not random and network.weights.sha256 != backbone.weights.sha256:
        of_module = backbone.weights.source == "object"
        what, kind = ("the module", "one") if of_module else (network.weights.file or "the weights file", "file")
        raise WeightsError(f"{what} is not the {kind} that '{backbone.name}' was measured with")
    return network


def lacks_weights_root(records: Iterable[ResultRecord], weights_root: Path | None) -> str | None:
    """Return the message that a record was measured with a weights file and nobody said where files are, or None."""
    for network in (record.backbone for record in records):
        if weights_root is None and network is not None and network.weights.source == "file":
            return _no_root(network.name, network.weights)
    return None


def _no_root(name: str, weights: WeightsInfo) -> str:
    return f"'{name}' was measured with the file {weights.file}; name the folder that holds it: --weights-root DIR"


def _weights_of(name: str, weights: WeightsInfo, root: Path | None) -> Weights:
    """Return the weights of a record as they are asked for."""
    if weights.source == "random":
        return "random"
    if weights.source == "pretrained":
        return Path(str(weights.file).partition(":")[0])
    if weights.source != "file":
        return None
    if root is None:
        raise UsageError(_no_root(name, weights))
    return _find_weights(root, weights)


def _find_weights(root: Path, weights: WeightsInfo) -> Path:
    """Return the weights file of a record: that of its name and hash below a folder, or of its name in it.

    Raises:
        DataError: What the record calls the file is no name.
    """
    name = str(weights.file)
    if not name or name in (".", "..") or re.search(r"[/\\\0]", name):
        raise DataError(f"the record names the weights file {name!r}; expected a file name without folders")
    same_name = sorted(root.rglob(glob.escape(str(weights.file))))
    return next((path for path in same_name if sha256(path) == weights.sha256), root / str(weights.file))
