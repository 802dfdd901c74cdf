"""Records as rows: read from disk, verified, grouped into tables of what may be compared."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import Final, TypeAlias

from wsolbench.errors import DataError, WsolbenchError
from wsolbench.files import file_name, open_regular
from wsolbench.leaderboard.measured import measured_json
from wsolbench.processes import ordered_map_beside, spare_processors
from wsolbench.progress import Reporter
from wsolbench.protocol import FRAME, IOU_THRESHOLDS
from wsolbench.records import BackboneInfo, ResultRecord, TrainingInfo
from wsolbench.records.compare import Scores, is_in_order, scores_of
from wsolbench.records.identity import Facts, Identity, identity_of
from wsolbench.records.labels import facts_of, flat, tell_apart, told_as_text
from wsolbench.records.store import read_file, with_outcomes
from wsolbench.records.verify import Recomputed, parse_recomputed
from wsolbench.texts import counted

RECORDS = "records"
SUBMITTED = "submitted"
"""The folder among the records that has those of others."""

RANKED = ("fullsup_box_acc_v2", "max_box_acc_v2")
"""The score by which entries of a table are ranked, and the one in its place where one has no train-fullsup."""

COMPARED = (*RANKED, "fullsup_box_acc", "max_box_acc", "top1_loc")
"""The scores by which two entries of a table are compared."""

_BATCH = 25
"""Records that a process reads at a time."""

_MOST_HELPERS = 7
_WORTHWHILE = 200
"""Records for each process that reads some: fewer are read in less time than it takes to start one."""

_DELTAS = "IoU thresholds"
"""The fact that titles and file names of tables have in words of their own; see `wsolbench.records.identity`."""

LONGEST_STEM = 160
"""Characters of the name of a record's file without its ending."""


@dataclass(frozen=True)
class Entry:
    """A record and the file it was read from."""

    name: str
    sha256: str
    record: ResultRecord
    varied: frozenset[tuple[int, str]] = frozenset()
    """Options of its trainings, by place in their history and name, that tell it apart from others in its table."""
    apart: str = ""
    """What else tells it apart from a row with the same label."""
    kept: Scores | None = field(default=None, compare=False, repr=False)
    """What `resampled` is, where it was computed already."""
    kept_measured: str | None = field(default=None, compare=False, repr=False)
    """What `measured` is, where it was made already."""

    @cached_property
    def resampled(self) -> Scores:
        """Those of the scores `COMPARED` that it has; entries of a table have the same images in each resample."""
        if self.kept is not None:
            return self.kept
        scores = scores_of(self.record, ())
        return {name: scores[name] for name in COMPARED if name in scores}

    @property
    def measured(self) -> str:
        """What its details hold that the record alone decides, as JSON; see `measured_json`."""
        return measured_json(self.record, self.resampled) if self.kept_measured is None else self.kept_measured

    @cached_property
    def identity(self) -> Identity:
        """What was measured."""
        return identity_of(self.record)

    @cached_property
    def trained(self) -> str | None:
        """How the weights were trained, but for the seed, as text; None where no training is known."""
        return None if self.training is None else self.training.without_seed().model_dump_json()

    @property
    def is_submitted(self) -> bool:
        """Whether others contributed it."""
        return self.name.startswith(f"{SUBMITTED}/")

    @property
    def is_baseline(self) -> bool:
        """Whether the method looks at nothing that the network computed."""
        return not self.record.method.reads_network

    @cached_property
    def network(self) -> BackboneInfo | None:
        """The network that had a part in the maps; None of stored maps and of baselines."""
        return None if self.is_baseline else self.record.backbone

    @property
    def is_trained(self) -> bool:
        """Whether a trained network made the maps."""
        return self.network is not None and self.network.weights.source != "random"

    @property
    def has_maps(self) -> bool:
        """Whether any map holds scores."""
        return self.record.has_maps

    @property
    def makes_boxes(self) -> bool:
        """Whether boxes were predicted, not maps: they have no τ, so that every score is the same at every τ."""
        return self.record.protocol.scored == "boxes"

    @cached_property
    def is_pretrained(self) -> bool:
        """Whether weights come from elsewhere: their first training, as far as it is known, was not wsolbench's.

        They were downloaded, or are in a file without a card, or a training went on from such weights.
        """
        if self.network is None or self.network.weights.source not in ("file", "pretrained"):
            return False
        training = self.network.weights.training
        return training is None or training.history[0].initial_weights.source != "random"

    @property
    def backbone(self) -> str:
        """The network's name, with its precision unless it is the usual; a dash where none had a part in the maps."""
        if self.network is None:
            return "–"
        name, precision = self.network.label, self.network.precision
        return name if precision == "fp32" else f"{name} ({precision})"

    @property
    def kernel(self) -> int:
        """The largest kernel of the network's stages; of older records that of all layers, perhaps the stem's."""
        if self.network is None:
            return 0
        kernel = self.network.stage_kernel
        return self.network.largest_kernel if kernel is None else kernel

    @cached_property
    def training(self) -> TrainingInfo | None:
        """How the weights were trained, where they came with a card and not with a plugin."""
        weights = self.network.weights if self.network else None
        return weights.training if weights and weights.source == "file" else None

    @property
    def seed(self) -> int | None:
        """The seed of the training, where one is known."""
        return self.training.seed if self.training else None

    @property
    def weights_sha256(self) -> str | None:
        """The hash of the network's weights."""
        return self.network.weights.sha256 if self.network else None

    @property
    def weights(self) -> str:
        """The recipes of the training and its seed, or else what identifies the weights, or a dash.

        What tells them apart from those of other rows stands behind it: the state dict of the file, and `apart`.
        """
        if self.network is None:
            named, key = "–", None
        else:
            weights, key = self.network.weights, self.network.weights.key
            file = weights.file if weights.source in ("file", "pretrained") else None
            named = file or ("trained" if self.is_trained else "random")
            named = f"{self.recipes}, seed {self.seed}" if self.training else named
        behind = ", ".join(filter(None, [key, self.apart]))
        return f"{named} ({behind})" if behind else named

    @property
    def recipes(self) -> str:
        """The recipes of the trainings for people, as in ``plain + 2× plain-bf16``; a dash where none is known."""
        names = []
        for place, each in enumerate(self.history):
            options = [f"{name}={value}" for name, value in each.recipe_options.items() if (place, name) in self.varied]
            names.append(_recipe(each) + (f" ({', '.join(options)})" if options else ""))
        runs = [(name, len(list(same))) for name, same in groupby(names)]
        return " + ".join(name if times == 1 else f"{times}× {name}" for name, times in runs) or "–"

    @property
    def recipe(self) -> str | None:
        """The recipes of the trainings, joined by ``+``, or None where none is known."""
        return "+".join(map(_recipe, self.history)) or None

    @property
    def history(self) -> list[TrainingInfo]:
        """The trainings that made the weights, the earliest first; none where none is known."""
        return self.training.history if self.training else []

    @property
    def method(self) -> str:
        """The method's name with the options that are not their defaults, and whose classes its Top-k Loc is of."""
        classifier = self.record.classifier
        changed = self.record.method.changed_options
        options = ", ".join(f"{name}={value}" for name, value in changed.items())
        if classifier is not None:
            options = "; ".join(filter(None, [options, f"classes of {classifier.network or classifier.file}"]))
        return f"{self.record.method.name} ({options})" if options else self.record.method.name


@dataclass(frozen=True)
class Table:
    """Entries that may be compared: same data and pixels, same split, same protocol settings, same target."""

    slug: str
    title: str
    entries: tuple[Entry, ...]

    @cached_property
    def first(self) -> ResultRecord:
        """The best record of maps or, where none is of maps, of boxes; what all share is read off it."""
        return _first(self.entries)


def read_all(folder: Path, reporter: Reporter) -> tuple[list[Entry], list[str]]:
    """Read every record below a folder, in the order of their names.

    Returns:
        The records, and a line for every file that is none or contradicts itself.

    Raises:
        DataError: A file or folder cannot be read: its records must not be missing unnoticed.
    """
    entries: list[Entry] = []
    refused: list[str] = []
    paths = record_paths(folder)
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    batches = [paths[first : first + _BATCH] for first in range(0, len(paths), _BATCH)]
    helpers = min(spare_processors(), _MOST_HELPERS, len(paths) // _WORTHWHILE)
    results = ordered_map_beside(partial(_read_batch, folder), batches, helpers=helpers)
    with reporter.phase("checking records", len(paths), "records") as advance, closing(results):
        for batch in results:
            for found in batch:
                if isinstance(found, Entry):
                    entries.append(_with_known_ids(found, known))
                else:
                    refused.append(found)
            advance(len(batch))
    return entries, refused


def _read_batch(folder: Path, paths: Sequence[Path]) -> list[Entry | str]:
    """Return the records of some files, and of a file that is none what is wrong with it."""
    found: list[Entry | str] = []
    for path in paths:
        try:
            entry = read_entry(path, path.relative_to(folder).as_posix())
            found.append(replace(entry, kept_measured=entry.measured))
        except WsolbenchError as error:
            found.append(str(error))
    return found


def _with_known_ids(entry: Entry, known: dict[tuple[str, ...], tuple[str, ...]]) -> Entry:
    """Return an entry that shares the ids of its images with others of the same images, also those of other processes.

    Args:
        entry: The entry.
        known: The ids that there are; new ones become known.
    """
    outcomes = entry.record.outcomes
    ids = [known.setdefault(part.image_ids, part.image_ids) for part in outcomes]
    if all(part.image_ids is of_part for part, of_part in zip(outcomes, ids, strict=True)):
        return entry
    shared = [replace(part, image_ids=of_part) for part, of_part in zip(outcomes, ids, strict=True)]
    return replace(entry, record=with_outcomes(entry.record, shared))


def record_paths(folder: Path) -> list[Path]:
    """Return every file of a record below a folder, in the order of their names; what is hidden is none.

    Raises:
        DataError: A file or folder cannot be read, or is a link to what is no file.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error

    paths: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for link in (Path(place, name) for name in [*folders, *names] if Path(place, name).is_symlink()):
            if not link.is_file():
                raise DataError(
                    f"{link}: cannot be read (it is a link, but to no file); put the records themselves here"
                )
        paths += [Path(place, name) for name in names if name.endswith(".json") and not name.startswith(".")]
    for path in paths:
        check_readable(path)
    return sorted(paths)


def check_readable(path: Path) -> None:
    """Check that a file can be opened: a pipe or device is none.

    Raises:
        DataError: It cannot.
    """
    try:
        open_regular(path).close()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def read_entry(path: Path, name: str) -> Entry:
    """Read one record and check it against its own outcomes.

    Raises:
        DataError: The file is no record, or contradicts itself.
    """
    content = read_file(path)
    record, recomputed = parse_recomputed(content, path)
    return Entry(name, hashlib.sha256(content).hexdigest(), record, kept=_compared(record, recomputed))


def _compared(record: ResultRecord, recomputed: Recomputed) -> Scores | None:
    """Return the scores that a record was verified with, where their resamples are of images in the order of ids."""
    if not is_in_order(record):
        return None
    known = [name for name in COMPARED if name in recomputed.scores]
    return {name: (recomputed.scores[name], recomputed.resampled[name]) for name in known}


def file_stem(entry: Entry) -> str:
    """Return ``<backbone>__<method>__<weights>``, the name under which a record is kept.

    Weights are named by their source; those of trainings with cards by their recipes and the seed of the last.
    """
    network, method = entry.record.backbone, entry.record.method
    options = "".join(f"-{name}-{value}" for name, value in method.changed_options.items())
    if network is None:
        return _shortened(file_name(f"precomputed__{method.name}{options}"))
    precision = "" if network.precision == "fp32" else f"-{network.precision}"
    weights = f"{entry.recipe}-seed{entry.training.seed}" if entry.training else network.weights.source
    built = "".join(f"-{name}-{value}" for name, value in network.options.items())
    built += f"-{network.changed_settings}" if network.changed_settings else ""
    tapped = "" if network.tap is None else f"-tap-{network.tap}"
    return _shortened(file_name(f"{network.name}{built}{tapped}{precision}__{method.name}{options}__{weights}"))


def _shortened(stem: str) -> str:
    """Return a stem or, of one that is too long for a file system, its start and its hash."""
    if len(stem) <= LONGEST_STEM:
        return stem
    return f"{stem[: LONGEST_STEM - 9]}-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"


def _recipe(training: TrainingInfo) -> str:
    """Return the name of a training's recipe, with a precision that is not the usual and an epoch before the end."""
    precision = "" if training.precision == "fp32" else f"-{training.precision}"
    return training.recipe + precision + ("" if training.epoch is None else f"-epoch-{training.epoch}")


def group_tables(entries: Iterable[Entry]) -> list[Table]:
    """Group entries by what makes them comparable; within a table, the best first.

    Tables of photos come before those of drawn images, and those of the data set with the most classes first. Of one
    data set the table of the smallest selection is the first, but those of a limited number of images are the last,
    and behind them those of another frame or other δ than the protocol's.
    """
    titled = [(title, part) for group in _by_settings(entries) for title, part in _by_pixels(group)]
    titled.sort(key=lambda each: (not _first(each[1]).protocol.is_usual, -len(each[1]), each[0]))
    parts = [tuple(sorted(_tell_apart(_mark_varied(part)), key=rank)) for _, part in titled]
    facts = [_facts_of_table(_first(part)) for part in parts]
    same_title = tell_apart([title for title, _ in titled], facts.__getitem__)
    titles = [
        "; ".join(filter(None, [title, told_as_text(told)]))
        for (title, _), told in zip(titled, same_title, strict=True)
    ]
    return sorted((Table(*each) for each in zip(_slugs(parts, facts), titles, parts, strict=True)), key=_place)


def _by_settings(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Group entries by data and protocol settings; predicted boxes stand among the maps that they compare with."""
    groups: dict[_Settings, list[Entry]] = {}
    boxes = []
    for entry in entries:
        if entry.makes_boxes:
            boxes.append(entry)
        else:
            groups.setdefault(entry.identity.comparable, []).append(entry)
    places = [(_place_of_boxes(entry, groups), entry) for entry in boxes]
    for place, entry in places:
        groups.setdefault(place, []).append(entry)
    return list(groups.values())


_Settings: TypeAlias = tuple[Facts, Facts]


def _place_of_boxes(entry: Entry, maps: Mapping[_Settings, Sequence[Entry]]) -> _Settings:
    """Return the settings of the maps among which boxes stand, or their own without a τ step.

    Of maps that differ in their grid of τ alone, those of the same pixels come first, and then the finest grid. Boxes
    without a target are of no class: they stand among stored maps, for whose classes nobody knows, or else among maps
    of the true class, or else of the predicted one.
    """
    data, protocol = entry.identity.comparable
    step, target = (next(fact for fact in protocol if fact[0] == name) for name in ("τ step", "target"))
    own = tuple(fact for fact in protocol if fact != step)
    targets = [target] if target[1] is not None else [("target", name) for name in (None, "gt", "predicted")]
    wanted = [tuple(each if fact == target else fact for fact in own) for each in targets]

    def order(place: _Settings) -> tuple[int, bool, float]:
        settings = dict(place[1])
        pixels = {each.identity.pixels for each in maps[place]}
        is_of_pixels = bool(pixels & {(), entry.identity.pixels})
        return wanted.index(_without_step(place[1])), not is_of_pixels, settings["τ step"]

    fitting = [place for place in maps if place[0] == data and _without_step(place[1]) in wanted]
    return min(fitting, key=order, default=(data, own))


def _without_step(protocol: Facts) -> Facts:
    return tuple(fact for fact in protocol if fact[0] != "τ step")


def _first(entries: Sequence[Entry]) -> ResultRecord:
    return min(entries, key=lambda entry: entry.makes_boxes).record


def _place(table: Table) -> tuple[bool, int, str, bool, bool, int, int, str]:
    """Return by what tables are sorted."""
    dataset = table.first.dataset
    images = dataset.split_sizes[table.first.protocol.split]
    limited, rows = dataset.limit is not None, len(table.entries)
    unusual = not table.first.protocol.is_usual
    return _is_drawn(table), -dataset.num_classes, dataset.name, unusual, limited, images, -rows, table.title


def _is_drawn(table: Table) -> bool:
    """Return whether no image was a file, as far as records say where their images were."""
    configs = [entry.record.config or {} for entry in table.entries]
    roots = [config["data_root"] for config in configs if "data_root" in config]
    return bool(roots) and not any(roots)


def _listed(iou_thresholds: Iterable[float]) -> str:
    return ", ".join(f"{iou:g}" for iou in iou_thresholds)


_USUAL: Final = {"frame": f"{FRAME}", _DELTAS: _listed(IOU_THRESHOLDS)}
"""Facts of tables that names of their files omit."""


def _facts_of_table(record: ResultRecord) -> dict[str, str]:
    """Return what tells a table apart from others of data sets with the same name."""
    measured, protocol = identity_of(record), record.protocol
    facts = flat(fact for fact in (*measured.protocol, *measured.data, *measured.pixels) if fact[0] != "images")
    return {
        "scored": protocol.scored,
        **facts,
        _DELTAS: _listed(protocol.iou_thresholds),
        "target": protocol.target or "stored-maps",
    }


def _slugs(parts: Sequence[Sequence[Entry]], facts: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names of the files of tables: that of the data set, in all but the largest with what is different.

    Of a frame or δ, these are others than those of the protocol.

    No two differ in the case of letters alone, as there are disks on which these are one file.
    """
    names = [_first(part).dataset.name for part in parts]
    slugs: list[str] = []
    taken: set[str] = set()
    for name, told in zip(names, tell_apart(names, facts.__getitem__), strict=True):
        different = [_in_slug(fact) for fact in told if fact not in _USUAL.items()]
        slug = name if name.lower() not in taken else file_name("-".join([name, *different]))
        while {slug.lower(), f"{slug}-seeds".lower()} & taken:  # the table of means over seeds has a file of its own
            slug += "-other"
        taken |= {slug.lower(), f"{slug}-seeds".lower()}
        slugs.append(slug)
    return slugs


def _in_slug(fact: tuple[str, str]) -> str:
    """Return what a slug has of a fact: its value, and before a mere number of pixels or thresholds what they are."""
    name, value = fact
    return {"frame": "frame-", _DELTAS: "iou-"}.get(name, "") + value.replace(", ", "-")


def _tell_apart(entries: Sequence[Entry]) -> list[Entry]:
    """Return entries of which no two have one label."""
    labels = [(entry.backbone, entry.weights, entry.method) for entry in entries]
    told = tell_apart(labels, lambda place: {**facts_of(entries[place].record), "record": entries[place].name})
    return [
        replace(entry, apart=told_as_text(facts)) if facts else entry
        for entry, facts in zip(entries, told, strict=True)
    ]


def _by_pixels(group: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """Divide entries of the same annotations where the pixels of their images differ; a title names the pixels then.

    Where no image was read, pixels are not known. Such entries stand with the others if all of these saw the same ones.
    """
    parts: dict[Facts, list[Entry]] = {}
    for entry in group:
        parts.setdefault(entry.identity.pixels, []).append(entry)
    if len(parts.keys() - {()}) < 2:
        return [(_title(_first(group)), list(group))]
    return [
        (f"{_title(_first(part))}; pixels {' and '.join(digest[:8] for _, digest in pixels) or 'not known'}", part)
        for pixels, part in parts.items()
    ]


def _mark_varied(entries: Iterable[Entry]) -> list[Entry]:
    """Mark in each entry the options in which trainings by the same recipes differ."""
    groups: dict[str | None, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.recipe, []).append(entry)
    marked: list[Entry] = []
    for group in groups.values():
        varied = _varied(group)
        marked += [replace(entry, varied=varied) for entry in group] if varied else group
    return marked


def _varied(entries: Iterable[Entry]) -> frozenset[tuple[int, str]]:
    values: dict[tuple[int, str], set[str]] = {}
    for entry in entries:
        for place, each in enumerate(entry.history):
            for name, value in each.recipe_options.items():
                values.setdefault((place, name), set()).add(repr(value))
    return frozenset(option for option, different in values.items() if len(different) > 1)


def _title(record: ResultRecord) -> str:
    sizes, protocol = record.dataset.split_sizes, record.protocol
    title = f"{record.dataset.shown}, {protocol.split} ({counted(sizes[protocol.split], 'images')}"
    unusual = "".join(f", {told}" for told in protocol.unusual)
    if protocol.scored == "boxes":
        return f"{title}; predicted boxes, no τ{unusual})"
    if "train-fullsup" in sizes and protocol.split == "test":
        title += f", τ from {sizes['train-fullsup']:,} of train-fullsup"
    target = {"gt": "true class", "predicted": "predicted class", None: "stored maps"}[protocol.target]
    return f"{title}; {target}, τ grid {protocol.threshold_step:g}{unusual})"


def whole_of(table: Table, tables: Iterable[Table]) -> int | None:
    """Return how many images the largest table has of whose images these are a part; None where there is none."""
    ids, name = set(table.first.evaluated.image_ids), table.first.dataset.name
    others = (other.first for other in tables)
    theirs = [set(other.evaluated.image_ids) for other in others if other.dataset.name == name]
    return max((len(other) for other in theirs if ids < other), default=None)


def rank(entry: Entry) -> tuple[float, str]:
    """Return by what entries are sorted: the best V2 at the fullsup τ or, without one, the best other score, first."""
    metrics = entry.record.metrics
    score = metrics.fullsup_box_acc_v2 if metrics.fullsup_box_acc_v2 is not None else metrics.max_box_acc_v2
    return (-(score if score is not None else metrics.pxap or 0.0), entry.name)
