"""An `AnalyzeConfig` carried out: networks are measured one after the other, or records are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from wsolbench.analysis.catalogue import load_study
from wsolbench.analysis.composite import Refuse, carry_out_parts
from wsolbench.analysis.given import check_files, read_evidence
from wsolbench.analysis.spelling import COMMAND_LINE, Spelling
from wsolbench.analysis.stored import (
    AnalyzedNetwork,
    AnalyzedRecord,
    StoredAnalysis,
    is_analysis,
    told_images,
    write_findings,
)
from wsolbench.analysis.study import CompositeStudy, Evidence, Findings, Measured, NetworkStudy, RecordStudy
from wsolbench.analysis.subject import Subject
from wsolbench.analysis.wanted import WantedNetwork, list_wanted, load_wanted, said_size
from wsolbench.config import AnalyzeConfig
from wsolbench.contract import Split
from wsolbench.contract.inputs import InputChanges
from wsolbench.contract.options import build_with_options
from wsolbench.data.opened import OpenDataset, OpenSplit, open_dataset
from wsolbench.engine.assembly import open_splits
from wsolbench.engine.provenance import describe_backbone, describe_dataset, describe_environment
from wsolbench.errors import DataError, OutputError, UsageError, WeightsError, WsolbenchError
from wsolbench.files import atomic_folder
from wsolbench.host.registry import Registry
from wsolbench.networks.devices import choose_device, within_memory
from wsolbench.networks.load import report_weights
from wsolbench.progress import NamedReporter, Reporter
from wsolbench.records import BackboneInfo, ResultRecord
from wsolbench.records.labels import label_apart
from wsolbench.records.plain import plain
from wsolbench.records.store import ids_sha256

__all__ = ["analyze"]

AnyStudy: TypeAlias = NetworkStudy[Any] | RecordStudy | CompositeStudy


def analyze(
    config: AnalyzeConfig,
    registry: Registry,
    reporter: Reporter,
    *,
    command: str,
    given: Sequence[Path | ResultRecord] | None = None,
    spelling: Spelling = COMMAND_LINE,
) -> Findings:
    """Carry an analysis out, and write its files where the configuration names a folder.

    Args:
        config: What to analyze.
        registry: What the plugins offer.
        reporter: Shows the progress.
        command: How the analysis was asked for, for its JSON file.
        given: The files of records that the configuration names and records in memory, in the order in which the user
            names them; None where there are files alone.
        spelling: How the user types what messages advise.

    Raises:
        WsolbenchError: Whatever the user can mend.
    """
    check_files(config.analysis, config.records, registry, spelling)
    with nullcontext(None) if config.out is None else atomic_folder(config.out) as draft:
        named = config.records if given is None else given
        return _Job(config, registry, reporter, command, spelling, named).carry_out(draft)


@dataclass(frozen=True)
class _Job:
    """What an analysis is carried out with, alone or as a part of a composite."""

    config: AnalyzeConfig
    registry: Registry
    reporter: Reporter
    command: str
    spelling: Spelling
    given: Sequence[Path | ResultRecord]
    refuse: Refuse | None = None
    """Called with a network that cannot be measured, and the reason; None where this is an error."""
    evidence: Evidence | None = None
    """What the composite has read already; None where this is no part of one."""

    @property
    def read(self) -> Evidence:
        """What the analysis is given, read."""
        return self.evidence or read_evidence(self.given)

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
        findings.table.attrs = {"shows": findings.shows, "cannot_say": study.cannot_say, "terms": dict(study.terms)}
        if "dataset" in read:
            findings.table.attrs["data"] = told_images(read["dataset"])
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
    evidence = job.read
    if not (evidence.records or config.backbones):
        raise UsageError(
            f"the analysis '{config.analysis}' needs networks or records: {job.spelling.backbone('NAME')}, or files"
        )

    def carry_out(part: AnalyzeConfig, known: Evidence, refuse: Refuse) -> None:
        replace(job, config=part, refuse=refuse, evidence=known).carry_out(draft / part.analysis)

    records = tuple(path for path in config.records if not is_analysis(path))
    parts = carry_out_parts(study, config.model_copy(update={"records": records}), evidence, draft, carry_out)
    return study.conclude(parts, job.command)


# ------------------------------------------------------------------------------------------------------------- records


def _analyze_records(study: RecordStudy, job: _Job) -> tuple[Findings, dict[str, Any]]:
    evidence = job.read
    if not evidence.records:
        names = job.config.backbones
        instead = job.spelling.records_of(names[0] if len(names) == 1 else None)
        raise UsageError(f"the analysis '{job.config.analysis}' reads records: {instead}")
    if job.evidence is None and evidence.analyses and not study.reads_analyses:
        raise DataError(
            f"an analysis '{evidence.analyses[0].analysis}' is among the records; the analysis '{job.config.analysis}' "
            "reads records alone, so leave it out"
        )
    read = [
        AnalyzedRecord(label=label, file=file.name if file else "in memory", outcomes_sha256=record.outcomes_sha256)
        for label, file, record in zip(evidence.labels, evidence.files, evidence.records, strict=True)
    ]
    return study.conclude(evidence), {"records": read}


# ------------------------------------------------------------------------------------------------------------ networks


def _analyze_networks(study: NetworkStudy[Any], job: _Job) -> tuple[Findings, dict[str, Any]]:
    config, registry = job.config, job.registry
    evidence = job.read
    if job.evidence is None and evidence.analyses:
        raise DataError(
            f"an analysis '{evidence.analyses[0].analysis}' is among the records; the analysis '{config.analysis}' "
            "measures networks, so name records or --backbone NAME"
        )
    twins = study.beside_random if config.random is None else config.random
    wanted = list_wanted(evidence, config, registry, with_twins=twins, spelling=job.spelling)
    dataset = open_dataset(registry.datasets.get(config.dataset), config.roots, job.reporter)
    split = Split.labelled(config.split) if config.split else study.split
    recorded = _limit_of_records(evidence.records, dataset.name, split) if study.beside_records else None
    limit = config.images or recorded or study.images
    parts = open_splits(dataset, split, limit).parts if study.scores_maps else [dataset.open(split, limit)]
    part = parts[0]
    part.images.load(0)
    measured = list(_Measuring(study, job, dataset, part, limit).measure(wanted))
    if not measured:
        raise UsageError("no network could be measured")
    labels = label_apart([each.label for each in measured], [_facts_of_network(each.backbone) for each in measured])
    measured = [replace(each, label=label) for each, label in zip(measured, labels, strict=True)]
    return study.conclude(measured), {
        "dataset": describe_dataset(dataset, parts, limit),
        "image_ids_sha256": ids_sha256(part.images.ids),
        "seed": config.seed,
        "networks": [AnalyzedNetwork(label=each.label, backbone=each.backbone) for each in measured],
    }


def _limit_of_records(records: Sequence[ResultRecord], dataset: str, split: Split) -> int | None:
    """Return the limit on images of the first record of a split; None where there is none, or it has all images."""
    limits = (
        each.dataset.limit for each in records if (each.dataset.name, each.protocol.split) == (dataset, split.label)
    )
    return next(limits, None)


@dataclass(frozen=True, eq=False)
class _Measuring:
    """What all networks of an analysis are measured with."""

    study: NetworkStudy[Any]
    job: _Job
    dataset: OpenDataset
    part: OpenSplit
    limit: int | None

    def measure(self, wanted: Sequence[WantedNetwork]) -> Iterator[Measured[Any]]:
        """Yield what is measured of each network; one is in memory at a time.

        A network that a record and a name stand for is measured once, and so is a twin of two of them.
        """
        seen: set[str] = set()
        for each in wanted:
            try:
                measured = self._measure(each, seen)
            except WsolbenchError as error:
                if self.job.refuse is None or isinstance(error, WeightsError):
                    raise
                self.job.refuse(each.label, error)
                continue
            if measured is not None:
                yield measured

    def _measure(self, wanted: WantedNetwork, seen: set[str]) -> Measured[Any] | None:
        """Return what is measured of a network, or None where it was measured before."""
        config, registry, reporter = self.job.config, self.job.registry, self.job.reporter
        fewer = (
            []
            if self.study.input_size is not None
            else [f"fewer images in a pass ({self.job.spelling.setting('batch_size')})"]
        )
        with within_memory(wanted.name, choose_device(config.device), *fewer, f"a smaller {self._size_option}"):
            network = load_wanted(wanted, config, registry, self.dataset, self._changes(wanted))
            backbone = describe_backbone(network)
            what = backbone.model_dump_json(exclude={"requested"})
            if what in seen:
                return None
            seen.add(what)
            if not wanted.as_twin:
                report_weights(network.weights, network.warnings, reporter)
            label = backbone.label + (" (random)" if network.weights.source == "random" else "")
            subject = Subject(
                label=label,
                network=network,
                dataset=self.dataset,
                part=self.part,
                limit=self.limit,
                size_option=self._size_option,
                spelling=self.job.spelling,
                registry=registry,
                batch_size=config.batch_size,
                workers=config.workers,
                seed=config.seed,
                reporter=NamedReporter(label, reporter),
            )
            return Measured(label, backbone, self.study.measure(subject), wanted.records)

    def _changes(self, wanted: WantedNetwork) -> InputChanges:
        """Return what is different in the input of a network; what is said of it counts more than the analysis.

        Raises:
            UsageError: The user says the size of the input with the wrong option, or two sizes.
        """
        job, own = self.job, self.study.input_size
        changes = job.config.input_changes
        if own is None:
            return changes
        if changes.size is not None:
            raise UsageError(
                f"{job.spelling.setting('input_size')}: the analysis '{job.config.analysis}' has an input size of its "
                f"own: {job.spelling.option('size', changes.size)}"
            )
        said = said_size(wanted, job.registry)
        if not job.says("size"):
            return replace(changes, size=said or own, size_option=self._size_option)
        if said not in (None, own):
            asked = job.spelling.option("size", own)
            raise UsageError(f"{asked}: the input of '{wanted.name}' is given as {said} px; omit one of them")
        return replace(changes, size=own, size_option=self._size_option)

    @property
    def _size_option(self) -> str:
        spelling = self.job.spelling
        return spelling.setting("input_size") if self.study.input_size is None else spelling.option("size")


def _facts_of_network(backbone: BackboneInfo) -> dict[str, str]:
    weights, training = backbone.weights, backbone.weights.training
    trained = {"epoch": str(training.epoch or "last"), "seed": str(training.seed)} if training else {}
    return {**trained, "key": str(weights.key), "weights": str(weights.sha256)}
