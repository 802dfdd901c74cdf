"""Records as rows: read from disk, checked against their own outcomes, grouped into tables of what may be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsolbench.errors import DataError
from wsolbench.records import IOU_KEYS, IouKey, Mode, ResultRecord, Runs, SplitOutcomes, read_record

_ROUNDING = 1e-9  # percent


@dataclass(frozen=True)
class Entry:
    """A record and the file it was read from."""

    name: str
    sha256: str
    record: ResultRecord

    @property
    def is_baseline(self) -> bool:
        """Whether the method looks at nothing that the network computed."""
        return not self.record.method.reads_network

    @property
    def is_trained(self) -> bool:
        """Whether a trained network made the maps."""
        backbone = self.record.backbone
        return backbone is not None and backbone.weights.source != "random" and not self.is_baseline

    @property
    def backbone(self) -> str:
        """The network's name, or a dash where none had a part in the maps."""
        backbone = self.record.backbone
        return "–" if backbone is None or self.is_baseline else backbone.name

    @property
    def weights(self) -> str:
        """``trained``, ``random``, or a dash."""
        if self.backbone == "–":
            return "–"
        return "trained" if self.is_trained else "random"

    @property
    def method(self) -> str:
        """The method's name with the options that were set to something else than their default."""
        changed = self.record.method.changed_options
        told = ", ".join(f"{name}={value}" for name, value in changed.items())
        return f"{self.record.method.name} ({told})" if told else self.record.method.name


@dataclass(frozen=True)
class Table:
    """Entries that may be compared: same data, same split, same protocol settings, same target."""

    slug: str
    title: str
    entries: tuple[Entry, ...]


def read_entries(folder: Path) -> list[Entry]:
    """Read every record below a folder, in the order of their names.

    Raises:
        DataError: A file is no record, or contradicts itself.
    """
    return [read_entry(path, path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*.json"))]


def read_entry(path: Path, name: str) -> Entry:
    """Read one record and check it against its own outcomes.

    Raises:
        DataError: The file is no record, or contradicts itself.
    """
    record = read_record(path)
    problem = contradiction(record)
    if problem is not None:
        raise DataError(f"{path}: {problem}")
    return Entry(name, hashlib.sha256(path.read_bytes()).hexdigest(), record)


def file_stem(entry: Entry) -> str:
    """Return ``<backbone>__<method>__<weights>``, the name under which a record is kept."""
    network, method = entry.record.backbone, entry.record.method
    options = "".join(f"-{name}-{value}" for name, value in method.changed_options.items())
    if network is None:
        return f"precomputed__{method.name}{options}"
    return f"{network.name}__{method.name}{options}__{network.weights.source}"


def group_tables(entries: Iterable[Entry]) -> list[Table]:
    """Group entries by what makes them comparable, the largest group first; within a table, the best first."""
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_comparable(entry.record), []).append(entry)
    ordered = sorted(groups.values(), key=lambda group: (-len(group), _title(group[0].record)))
    tables, taken = [], set()
    for group in ordered:
        slug = group[0].record.dataset.name
        while slug in taken:
            slug += "-other"
        taken.add(slug)
        tables.append(Table(slug, _title(group[0].record), tuple(sorted(group, key=_rank))))
    return tables


def _comparable(record: ResultRecord) -> tuple[object, ...]:
    dataset, protocol = record.dataset, record.protocol
    return (dataset.name, dataset.content_sha256, protocol.model_dump_json())


def _title(record: ResultRecord) -> str:
    sizes, protocol = record.dataset.split_sizes, record.protocol
    told = f"{record.dataset.name}, {protocol.split} ({sizes[protocol.split]:,} images"
    if "train-fullsup" in sizes and protocol.split == "test":
        told += f", τ from {sizes['train-fullsup']:,} of train-fullsup"
    target = {"gt": "true class", "predicted": "predicted class", None: "stored maps"}[protocol.target]
    return f"{told}; {target}, τ grid {protocol.interval:g})"


def _rank(entry: Entry) -> tuple[float, str]:
    metrics = entry.record.metrics
    score = metrics.fullsup_box_acc_v2 if metrics.fullsup_box_acc_v2 is not None else metrics.max_box_acc_v2
    return (-(score if score is not None else metrics.pxap or 0.0), entry.name)


def contradiction(record: ResultRecord) -> str | None:
    """Say where a record's numbers do not follow from its own per-image outcomes, or None where all do."""
    by_split = {part.split: part for part in record.outcomes}
    scored = by_split.get(record.protocol.split)
    if scored is None:
        return f"it has no outcomes of {record.protocol.split}"
    for part in by_split.values():
        for mode, key in _uneven_curves(part, record):
            return f"outcomes and box_acc of {part.split} disagree ({mode}, {key})"
    found = _metrics_of(scored, by_split.get("train-fullsup") if scored.split == "test" else None, record)
    for name, value in found.items():
        claimed = getattr(record.metrics, name)
        if (claimed is None) != (value is None):
            return f"{name} and its outcomes disagree"
        if claimed is not None and value is not None and abs(claimed - value) > _ROUNDING:
            return f"{name} is {claimed}, but its outcomes give {value}"
    return None


def _uneven_curves(part: SplitOutcomes, record: ResultRecord) -> Iterator[tuple[Mode, IouKey]]:
    """Yield the modes and δ whose curve does not follow from the outcomes."""
    for mode, by_iou in (part.box_acc or {}).items():
        for key, claimed in by_iou.items():
            curve = _curve(part, mode, key, record)
            if len(claimed) != len(curve) or np.abs(np.array(claimed) - curve).max() > _ROUNDING:
                yield mode, key


def _metrics_of(scored: SplitOutcomes, fullsup: SplitOutcomes | None, record: ResultRecord) -> dict[str, float | None]:
    """Return the scores that follow from the outcomes of the evaluated split and of train-fullsup."""
    found: dict[str, float | None] = {
        "top1_acc": 100 * float(np.mean(scored.top1_hits)) if scored.top1_hits else None,
        "top5_acc": 100 * float(np.mean(scored.top5_hits)) if scored.top5_hits else None,
    }
    if scored.correct is None:
        return found
    single = _curve(scored, "single", "0.5", record)
    multi = [_curve(scored, "multi", key, record) for key in IOU_KEYS]
    found["max_box_acc"] = float(single.max())
    found["max_box_acc_v2"] = float(np.mean([curve.max() for curve in multi]))
    if fullsup is not None and fullsup.correct is not None:
        chosen = [_curve(fullsup, "multi", key, record).argmax() for key in IOU_KEYS]
        found["fullsup_box_acc"] = float(single[_curve(fullsup, "single", "0.5", record).argmax()])
        found["fullsup_box_acc_v2"] = float(np.mean([curve[i] for curve, i in zip(multi, chosen, strict=True)]))
    return found


def _curve(part: SplitOutcomes, mode: Mode, key: IouKey, record: ResultRecord) -> np.ndarray:
    """Return BoxAcc(τ) in percent from the runs of correct thresholds."""
    assert part.correct is not None
    runs: Runs = part.correct[mode][key]
    count = len(np.arange(0, 1, record.protocol.interval))
    steps = np.zeros(count + 1, dtype=np.int64)
    for flat in runs:
        np.add.at(steps, flat[0::2], 1)
        np.add.at(steps, flat[1::2], -1)
    curve: np.ndarray = steps.cumsum()[:count] * 100.0 / len(part.image_ids)
    return curve
