"""What an analysis is given: files of records and of earlier analyses, and records in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsolbench.analysis.catalogue import load_study
from wsolbench.analysis.spelling import COMMAND_LINE, Spelling
from wsolbench.analysis.stored import StoredAnalysis, is_analysis, read_analysis
from wsolbench.analysis.study import Evidence, RecordStudy
from wsolbench.errors import UnknownNameError, UsageError
from wsolbench.host.registry import Registry
from wsolbench.records import ResultRecord
from wsolbench.records.labels import label_apart, recorded_facts
from wsolbench.records.store import read_summary
from wsolbench.records.verify import read_verified, verified

__all__ = ["check_files", "dataset_of", "read_evidence"]


def check_files(analysis: str, files: Sequence[Path], registry: Registry, spelling: Spelling = COMMAND_LINE) -> None:
    """Refuse the name of a network where a file is expected.

    Args:
        analysis: The name of the analysis.
        files: What is given as files.
        registry: What the plugins offer.
        spelling: How the user types what to do instead.

    Raises:
        UsageError: A file is not there, and there is a network of its name.
    """
    for path in files:
        if not path.exists() and _is_network(str(path), registry):
            reads_records = issubclass(load_study(analysis), RecordStudy)
            raise UsageError(
                f"'{path}' is a network and no file; {_instead(analysis, str(path), reads_records, spelling)}"
            )


def _instead(analysis: str, network: str, reads_records: bool, spelling: Spelling) -> str:
    if reads_records:
        return f"the analysis '{analysis}' reads records: {spelling.records_of(network)}"
    return f"name it with {spelling.backbone(network)}"


def _is_network(name: str, registry: Registry) -> bool:
    try:
        return bool(registry.networks(name))
    except UnknownNameError:
        return False


def dataset_of(
    analysis: str,
    given: Sequence[Path | ResultRecord],
    registry: Registry,
    spelling: Spelling = COMMAND_LINE,
) -> str:
    """Return the data set that networks are measured on where nobody names one: that of the first record, or critters.

    Raises:
        DataError: The record cannot be read.
        UsageError: A network is named where a file is expected.
    """
    check_files(analysis, [each for each in given if isinstance(each, Path)], registry, spelling)
    for each in given:
        if isinstance(each, ResultRecord):
            return each.dataset.name
        if not is_analysis(each):
            return read_summary(each).dataset.name
    return "critters"


def read_evidence(given: Sequence[Path | ResultRecord]) -> Evidence:
    """Read files of records and of analyses, whichever each is; a record that is given twice counts once.

    Raises:
        DataError: A file cannot be read, or the numbers of a record do not follow from its outcomes.
    """
    records: list[ResultRecord] = []
    files: list[Path | None] = []
    analyses: list[StoredAnalysis] = []
    for each in given:
        if isinstance(each, Path) and is_analysis(each):
            analyses.append(read_analysis(each))
            continue
        record = read_verified(each) if isinstance(each, Path) else verified(each)
        if record not in records:
            records.append(record)
            files.append(each if isinstance(each, Path) else None)
    return Evidence(records, analyses, label_apart(_labels(records), list(map(recorded_facts, records))), files)


def _labels(records: Sequence[ResultRecord]) -> list[str]:
    """Return network and method of each record, and the data set where there are several."""
    several = len({record.dataset.name for record in records}) > 1
    return [
        f"{record.backbone.label if record.backbone else record.protocol.scored}, {record.method.name}"
        + (f" on {record.dataset.name}" if several else "")
        for record in records
    ]
