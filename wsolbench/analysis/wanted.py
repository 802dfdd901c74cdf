"""Which networks an analysis measures: those of records, those that are named, and their random twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsolbench.analysis.spelling import Spelling
from wsolbench.analysis.study import Evidence
from wsolbench.config import AnalyzeConfig
from wsolbench.contract.inputs import InputChanges
from wsolbench.data.opened import OpenDataset
from wsolbench.engine.recorded import load_recorded
from wsolbench.errors import DataError, UsageError
from wsolbench.host.registry import Registry
from wsolbench.networks.adapt import ModuleSpec
from wsolbench.networks.devices import choose_device
from wsolbench.networks.known_weights import Weights
from wsolbench.networks.load import load_network
from wsolbench.networks.network import LoadedNetwork
from wsolbench.records import ResultRecord

__all__ = ["WantedNetwork", "list_wanted", "load_wanted", "said_size"]


@dataclass(frozen=True)
class WantedNetwork:
    """A network that is asked for, by a record or by name and weights.

    Attributes:
        name: Its name, or that of its family.
        record: The record that it is loaded from; None where it is named.
        weights: Its weights, where it is named.
        as_twin: Whether it gets random weights instead of those above.
        records: All records of it that the user gave; none of its random twin.
    """

    name: str
    record: ResultRecord | None = None
    weights: Weights = None
    as_twin: bool = False
    records: tuple[ResultRecord, ...] = ()

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name + (" (random)" if self.is_random else "")

    @property
    def is_random(self) -> bool:
        """Whether its weights are random."""
        if self.record is None or self.record.backbone is None:
            return self.as_twin or self.weights == "random"
        return self.as_twin or self.record.backbone.weights.source == "random"

    @property
    def architecture(self) -> tuple[object, ...]:
        """What it has in common with its random twin, and that of another training."""
        if self.record is None or self.record.backbone is None:
            return (self.name,)
        return (self.record.backbone.label, self.record.environment.seed)


def list_wanted(
    evidence: Evidence, config: AnalyzeConfig, registry: Registry, *, with_twins: bool, spelling: Spelling
) -> list[WantedNetwork]:
    """Return the networks that are asked for, those of records first; several records may be of one network.

    Args:
        evidence: The records.
        config: Names the other networks, with their weights.
        registry: What the plugins offer.
        with_twins: Whether each network is followed by itself with random weights.
        spelling: How the user types what is missing.

    Raises:
        UsageError: There is none, the number of weights is not that of networks, or the user asks for the twin of a
            module.
        DataError: A record has no network.
    """
    recorded = _of_records(evidence)
    names, sources = config.backbones, config.weights_of_backbones
    named = [WantedNetwork(name, None, _weights(source)) for name, source in zip(names, sources, strict=True)]
    wanted = [*recorded, *dict.fromkeys(named)]
    if not wanted:
        raise UsageError(
            f"the analysis '{config.analysis}' measures networks; name them: {spelling.backbone('NAME')}, or records"
        )
    return _with_twins(wanted, registry, asked=bool(config.random)) if with_twins else wanted


def load_wanted(
    wanted: WantedNetwork, config: AnalyzeConfig, registry: Registry, dataset: OpenDataset, changes: InputChanges
) -> LoadedNetwork:
    """Load a network.

    Args:
        wanted: Which one.
        config: Device, seed, and the options of networks that are named.
        registry: What the plugins offer.
        dataset: Whose classes it predicts.
        changes: What is to be different in its input.

    Raises:
        WsolbenchError: It cannot be loaded.
    """
    classes, device = len(dataset.class_names), choose_device(config.device)
    if wanted.record is not None:
        return load_recorded(
            wanted.record, registry, classes, config.weights_root, device, random=wanted.as_twin, changes=changes
        )
    return load_network(
        registry,
        wanted.name,
        dataset=dataset.name,
        num_classes=classes,
        weights="random" if wanted.as_twin else wanted.weights,
        device=device,
        seed=config.seed,
        weights_key=None if wanted.as_twin else config.weights_key,
        options=config.backbone_options,
        tap=config.tap,
        changes=changes,
    )


def said_size(wanted: WantedNetwork, registry: Registry) -> int | None:
    """Return the side of the input that the user says with a network: behind its name, or as the input of a module."""
    for offer in registry.backbones.find(wanted.name):
        if isinstance(offer.spec, ModuleSpec):
            return offer.spec.input.size if offer.spec.says_input else None
    return None if wanted.record else registry.sized(wanted.name)[1]


def _of_records(evidence: Evidence) -> list[WantedNetwork]:
    groups: dict[object, list[ResultRecord]] = {}
    for record, file in zip(evidence.records, evidence.files, strict=True):
        if record.backbone is None:
            raise DataError(f"{file or record!r}: its maps were read from files; there is no network to analyze")
        key = (record.backbone.label, record.backbone.weights.sha256, record.environment.seed)
        groups.setdefault(key, []).append(record)
    return [
        WantedNetwork(first.backbone.name, first, records=tuple(group))
        for group in groups.values()
        if (first := group[0]).backbone
    ]


def _weights(text: str | None) -> Weights:
    return None if text is None else "random" if text == "random" else Path(text)


def _with_twins(wanted: Sequence[WantedNetwork], registry: Registry, *, asked: bool) -> list[WantedNetwork]:
    """Return networks, each followed by itself with random weights; trainings of one network share their twin.

    Args:
        wanted: The networks; a torch module has no twin, since nobody knows how it is built.
        registry: What the plugins offer.
        asked: Whether the user asked for twins.

    Raises:
        UsageError: The user asked for the twin of a module.
    """
    found: list[WantedNetwork] = []
    with_twin = {each.architecture for each in wanted if each.is_random}
    for each in wanted:
        found.append(each)
        if any(isinstance(offer.spec, ModuleSpec) for offer in registry.backbones.find(each.name)):
            if asked:
                raise UsageError(
                    f"random: '{each.name}' is a module with its own weights; pass one with random ones too"
                )
        elif each.architecture not in with_twin:
            with_twin.add(each.architecture)
            found.append(replace(each, as_twin=True, records=()))
    return found
