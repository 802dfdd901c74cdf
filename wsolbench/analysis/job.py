"""An `AnalyzeConfig` carried out: networks are measured one after the other, or records are read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from wsolbench.analysis.catalogue import load_study
from wsolbench.analysis.composite import Refuse, carry_out_parts
from wsolbench.analysis.stored import (
    AnalyzedNetwork,
    AnalyzedRecord,
    StoredAnalysis,
    is_analysis,
    read_analysis,
    write_findings,
)
from wsolbench.analysis.study import CompositeStudy, Evidence, Findings, Measured, NetworkStudy, RecordStudy
from wsolbench.analysis.subject import Subject, within_memory
from wsolbench.config import AnalyzeConfig
from wsolbench.contract import Split
from wsolbench.contract.inputs import InputChanges
from wsolbench.contract.options import build_with_options
from wsolbench.data.opened import OpenDataset, OpenSplit, open_dataset
from wsolbench.engine.assembly import open_splits
from wsolbench.engine.provenance import describe_backbone, describe_dataset, describe_environment
from wsolbench.engine.recorded import load_recorded
from wsolbench.errors import DataError, OutputError, UsageError, WeightsError, WsolbenchError
from wsolbench.files import atomic_folder
from wsolbench.host.registry import Registry
from wsolbench.networks.adapt import ModuleSpec
from wsolbench.networks.devices import choose_device
from wsolbench.networks.known_weights import Weights
from wsolbench.networks.load import load_network, report_weights
from wsolbench.networks.network import LoadedNetwork
from wsolbench.progress import NamedReporter, Reporter
from wsolbench.records import BackboneInfo, ResultRecord, identity_of
from wsolbench.records.labels import flat, tell_apart, told_as_text
from wsolbench.records.plain import plain
from wsolbench.records.store import ids_sha256, read_summary
from wsolbench.records.verify import read_verified

__all__ = ["analyze", "dataset_of"]

AnyStudy: TypeAlias = NetworkStudy[Any] | RecordStudy | CompositeStudy


def analyze(config: AnalyzeConfig, registry: Registry, reporter: Reporter, *, command: str) -> Findings:
    """Carry an analysis out, and write its files where the configuration names a folder.

    Args:
        config: What to analyze.
        registry: What the plugins offer.
        reporter: Shows the progress.
        command: How the analysis was asked for, for its JSON file.

    Raises:
        WsolbenchError: Whatever the user can mend.
    """
    with nullcontext(None) if config.out is None else atomic_folder(config.out) as draft:
        return _Job(config, registry, reporter, command).carry_out(draft)


def dataset_of(records: Sequence[Path]) -> str:
    """Return the data set that networks are measured on where nobody names one: that of the first record, or critters.

    Raises:
        DataError: The record cannot be read.
    """
    return read_summary(records[0]).dataset.name if records else "critters"


@dataclass(frozen=True)
class _Job:
    """What an analysis is carried out with, alone or as a part of a composite."""

    config: AnalyzeConfig
    registry: Registry
    reporter: Reporter
    command: str
    refuse: Refuse | None = None
    """Called with a network that cannot be measured, and the reason; None where this is an error."""
    evidence: Evidence | None = None
    """Of an analysis of records; None where its files have to be read."""

    def says(self, option: str) -> bool:
        """Return whether the user says an option of the analysis; nobody says those of a part of a composite."""
        return option in self.config.options and self.refuse is None

    def carry_out(self, draft: Path | None) -> Findings:
        """Return what the analysis finds, and write its files into a folder.

        Args:
            draft: The folder, which may not exist yet; None writes none.
        """
        kind = load_study(self.config.analysis)
        study: AnyStudy
        study, options = build_with_options(f"the analysis '{self.config.analysis}'", kind, self.config.options)
        if isinstance(study, NetworkStudy):
            findings, read = _analyze_networks(study, self)
        elif isinstance(study, RecordStudy):
            findings, read = _analyze_records(study, self)
        else:
            findings, read = _compose(study, self, draft), {}
        if draft is not None:
            self._store(findings, study, options, read, draft)
        findings.table.attrs = {"shows": findings.shows, "cannot_say": study.cannot_say}
        return findings

    def _store(
        self, findings: Findings, study: AnyStudy, options: dict[str, Any], read: dict[str, Any], draft: Path
    ) -> None:
        config = self.config
        stored = StoredAnalysis(
            analysis=config.analysis,
            options=plain(options),
            environment=describe_environment(
                self.registry.providers,
                command=self.command,
                device=str(choose_device(config.device)),
                seed=config.seed,
                batch_size=config.batch_size,
            ),
            config=plain(config.model_dump(mode="json")),
            shows=findings.shows,
            cannot_say=study.cannot_say,
            terms=dict(study.terms),
            table=findings.rows,
            files=[],
            **read,
        )
        try:
            draft.mkdir(exist_ok=True)
            write_findings(findings, stored, draft)
        except OSError as error:
            raise OutputError(f"--out {config.out}: cannot be written ({error.strerror})") from error


# ---------------------------------------------------------------------------------------------------------- composites


def _compose(study: CompositeStudy, job: _Job, draft: Path | None) -> Findings:
    """Carry out the parts of a composite, and conclude from them.

    Raises:
        UsageError: There is no folder for the parts, nothing to analyze, or no part could be carried out.
    """
    config = job.config
    if draft is None:
        raise UsageError(f"the analysis '{config.analysis}' writes files; name a new folder for them: out")
    evidence = _read_evidence(config.records)
    if not (evidence.records or config.backbones):
        raise UsageError(f"the analysis '{config.analysis}' needs networks or records: --backbone NAME, or files")

    def carry_out(part: AnalyzeConfig, known: Evidence, refuse: Refuse) -> None:
        replace(job, config=part, refuse=refuse, evidence=known).carry_out(draft / part.analysis)

    records = tuple(path for path in config.records if not is_analysis(path))
    parts = carry_out_parts(study, config.model_copy(update={"records": records}), evidence, draft, carry_out)
    return study.conclude(parts, job.command)


# ------------------------------------------------------------------------------------------------------------- records


def _analyze_records(study: RecordStudy, job: _Job) -> tuple[Findings, dict[str, Any]]:
    config = job.config
    evidence = job.evidence or _read_evidence(config.records)
    if not evidence.records:
        raise UsageError(f"the analysis '{config.analysis}' reads records; name their files")
    read = [
        AnalyzedRecord(label=label, outcomes_sha256=record.outcomes_sha256)
        for label, record in zip(evidence.labels, evidence.records, strict=True)
    ]
    return study.conclude(evidence), {"records": read}


def _read_evidence(paths: Sequence[Path]) -> Evidence:
    """Read files of records and of analyses, whichever each is; a record that is named twice is read once."""
    records: list[ResultRecord] = []
    analyses: list[StoredAnalysis] = []
    for path in paths:
        if is_analysis(path):
            analyses.append(read_analysis(path))
        else:
            record = read_verified(path)
            if record not in records:
                records.append(record)
    labels = _told_apart(_record_labels(records), _facts_of_records(records))
    return Evidence(records, analyses, labels)


def _record_labels(records: Sequence[ResultRecord]) -> list[str]:
    """Return network and method of each record, and the data set where there are several."""
    several = len({record.dataset.name for record in records}) > 1
    return [
        f"{record.backbone.label if record.backbone else record.protocol.scored}, {record.method.name}"
        + (f" on {record.dataset.name}" if several else "")
        for record in records
    ]


def _facts_of_records(records: Sequence[ResultRecord]) -> list[dict[str, str]]:
    return [{**flat(identity_of(record).comparable[0]), "outcomes": record.outcomes_sha256} for record in records]


# ------------------------------------------------------------------------------------------------------------ networks


@dataclass(frozen=True)
class _Wanted:
    """A network that is asked for: by a record, or by name and weights."""

    name: str
    record: ResultRecord | None = None
    weights: Weights = None
    random: bool = False
    records: tuple[ResultRecord, ...] = ()

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name + (" (random)" if self.is_random else "")

    @property
    def is_random(self) -> bool:
        """Whether its weights are random."""
        if self.record is None or self.record.backbone is None:
            return self.random or self.weights == "random"
        return self.random or self.record.backbone.weights.source == "random"

    @property
    def architecture(self) -> tuple[object, ...]:
        """What it has in common with its random twin, and that of another training."""
        if self.record is None or self.record.backbone is None:
            return (self.name,)
        return (self.record.backbone.label, self.record.environment.seed)


def _analyze_networks(study: NetworkStudy[Any], job: _Job) -> tuple[Findings, dict[str, Any]]:
    config, registry, reporter = job.config, job.registry, job.reporter
    wanted = _wanted(config)
    dataset = open_dataset(registry.datasets.get(config.dataset), config.roots, reporter)
    limit = config.images or study.images
    split = Split.labelled(config.split) if config.split else study.split
    parts = open_splits(dataset, split, limit).parts if study.scores_maps else [dataset.open(split, limit)]
    part = parts[0]
    part.images.load(0)
    twins = study.beside_random if config.random is None else config.random
    measured: list[Measured[Any]] = []
    for each in _with_twins(wanted, registry, asked=bool(config.random)) if twins else wanted:
        try:
            measured.append(_measure(each, study, job, dataset, part, limit))
        except WsolbenchError as error:
            if job.refuse is None or isinstance(error, WeightsError):
                raise
            job.refuse(each.label, error)
    if not measured:
        raise UsageError("no network could be measured")
    measured = _once(measured)
    labels = _told_apart([each.label for each in measured], [_facts_of_network(each.backbone) for each in measured])
    measured = [replace(each, label=label) for each, label in zip(measured, labels, strict=True)]
    return study.conclude(measured), {
        "dataset": describe_dataset(dataset, parts, limit),
        "image_ids_sha256": ids_sha256(part.images.ids),
        "seed": config.seed,
        "networks": [AnalyzedNetwork(label=each.label, backbone=each.backbone) for each in measured],
    }


def _wanted(config: AnalyzeConfig) -> list[_Wanted]:
    """Return the networks that are asked for, those of records first; several records may be of one network.

    Raises:
        UsageError: There is none, or the number of weights is not that of networks.
        DataError: A record cannot be read, or has no network.
    """
    records: dict[object, list[ResultRecord]] = {}
    for path in config.records:
        record = read_verified(path)
        if record.backbone is None:
            raise DataError(f"{path}: its maps were read from files; there is no network to analyze")
        key = (record.backbone.label, record.backbone.weights.sha256, record.environment.seed)
        records.setdefault(key, []).append(record)
    if not records and not config.backbones:
        raise UsageError(f"the analysis '{config.analysis}' measures networks; name them: --backbone NAME, or records")
    sources = config.weights_of_backbones
    named = [_Wanted(name, None, _weights(text)) for name, text in zip(config.backbones, sources, strict=True)]
    recorded = [
        _Wanted(of.backbone.name, of, records=tuple(group)) for group in records.values() if (of := group[0]).backbone
    ]
    return [*recorded, *dict.fromkeys(named)]


def _with_twins(wanted: Sequence[_Wanted], registry: Registry, *, asked: bool) -> list[_Wanted]:
    """Return networks, each followed by itself with random weights; trainings of one network share their twin.

    Args:
        wanted: The networks; a torch module has no twin, since nobody knows how it is built.
        registry: What the plugins offer.
        asked: Whether the user asked for twins.

    Raises:
        UsageError: The user asked for the twin of a module.
    """
    found: list[_Wanted] = []
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
            found.append(replace(each, random=True, records=()))
    return found


def _once(measured: Sequence[Measured[Any]]) -> list[Measured[Any]]:
    """Return measurements without those of a network that a record and a name stand for, and of a second twin."""
    first: dict[str, Measured[Any]] = {}
    for each in measured:
        first.setdefault(each.backbone.model_dump_json(exclude={"requested"}), each)
    return list(first.values())


def _weights(text: str | None) -> Weights:
    return None if text is None else "random" if text == "random" else Path(text)


def _measure(
    wanted: _Wanted,
    study: NetworkStudy[Any],
    job: _Job,
    dataset: OpenDataset,
    part: OpenSplit,
    limit: int | None,
) -> Measured[Any]:
    config, registry, reporter = job.config, job.registry, job.reporter
    network = _load(wanted, study, job, dataset)
    if not wanted.random:
        report_weights(network.weights, network.warnings, reporter)
    smaller = f"a smaller {_size_option(study)}"
    advice = smaller if study.input_size is not None else f"fewer images in a pass (--batch-size), {smaller}"
    with within_memory(wanted.name, network.device, advice):
        backbone = describe_backbone(network)
        label = backbone.label + (" (random)" if network.weights.source == "random" else "")
        subject = Subject(
            label=label,
            network=network,
            dataset=dataset,
            part=part,
            limit=limit,
            size_option=_size_option(study),
            registry=registry,
            batch_size=config.batch_size,
            workers=config.workers,
            seed=config.seed,
            reporter=NamedReporter(label, reporter),
        )
        return Measured(label, backbone, study.measure(subject), wanted.records)


def _load(wanted: _Wanted, study: NetworkStudy[Any], job: _Job, dataset: OpenDataset) -> LoadedNetwork:
    config, registry = job.config, job.registry
    classes, device = len(dataset.class_names), choose_device(config.device)
    changes = _input_changes(wanted, study, job)
    if wanted.record is not None:
        return load_recorded(
            wanted.record, registry, classes, config.weights_root, device, random=wanted.random, changes=changes
        )
    return load_network(
        registry,
        wanted.name,
        dataset=dataset.name,
        num_classes=classes,
        weights="random" if wanted.random else wanted.weights,
        device=device,
        seed=config.seed,
        weights_key=None if wanted.random else config.weights_key,
        options=config.backbone_options,
        tap=config.tap,
        changes=changes,
    )


def _input_changes(wanted: _Wanted, study: NetworkStudy[Any], job: _Job) -> InputChanges:
    """Return what is different in the input of a network; a size in its name counts more than that of the analysis.

    Raises:
        UsageError: The user says the size of the input with the wrong option.
    """
    changes = job.config.input_changes
    if study.input_size is None:
        return changes
    if changes.size is not None:
        raise UsageError(f"--input-size: the analysis '{job.config.analysis}' has an input size of its own: --size")
    _, named = (wanted.name, None) if wanted.record else job.registry.sized(wanted.name)
    size = study.input_size if named is None or job.says("size") else named
    return replace(changes, size=size, size_option=_size_option(study))


def _size_option(study: NetworkStudy[Any]) -> str:
    return "--input-size" if study.input_size is None else "--size"


def _facts_of_network(backbone: BackboneInfo) -> dict[str, str]:
    weights, training = backbone.weights, backbone.weights.training
    trained = {"epoch": str(training.epoch or "last"), "seed": str(training.seed)} if training else {}
    return {**trained, "key": str(weights.key), "weights": str(weights.sha256)}


def _told_apart(labels: Sequence[str], facts: Sequence[dict[str, str]]) -> list[str]:
    """Return labels of which no two are the same."""
    told = tell_apart(labels, facts)
    return [f"{label} ({told_as_text(each)})" if each else label for label, each in zip(labels, told, strict=True)]
