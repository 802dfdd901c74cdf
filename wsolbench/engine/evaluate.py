"""Scoring scoremaps or boxes that somebody else computed: the same flow as a run, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from wsolbench.config import EvaluateConfig, ScoringConfig
from wsolbench.contract import Split
from wsolbench.contract.choices import DEFAULT_THRESHOLD_STEP, Target
from wsolbench.data.opened import OpenDataset, open_dataset
from wsolbench.data.pseudo_boxes import open_pseudo_boxes
from wsolbench.engine.assembly import (
    OpenSplits,
    Scored,
    assemble_record,
    check_masks,
    describe_protocol,
    open_splits,
    score_splits,
)
from wsolbench.engine.predictions import PredictedFiles, StoredBoxes, unscored
from wsolbench.engine.provenance import describe_dataset, describe_environment
from wsolbench.engine.rules import check_rules
from wsolbench.engine.scoremap_files import ScoremapFolder
from wsolbench.engine.scoring import score_maps
from wsolbench.engine.sources import MapSource, StoredMaps
from wsolbench.errors import DataError, UsageError
from wsolbench.files import atomic_folder, file_name
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Registry
from wsolbench.progress import Reporter
from wsolbench.records import BackboneInfo, ClassifierInfo, Environment, MethodInfo, ResultRecord
from wsolbench.records.missing import NO_FULLSUP_MAPS
from wsolbench.records.store import put_record, read_summary

__all__ = ["evaluate", "score_source"]


def evaluate(config: EvaluateConfig, registry: Registry, reporter: Reporter, *, command: str) -> ResultRecord:
    """Score the stored scoremaps of a split, at the oracle τ and, where train-fullsup maps are given, at theirs.

    Where a file of boxes is given, these are scored in place of maps.

    Args:
        config: What to score.
        registry: What the plugins offer.
        reporter: Shows the progress.
        command: How the evaluation was asked for, for the record.

    Raises:
        UsageError: The data set has no such split, train-fullsup maps are given for an evaluation of train-fullsup, or
            neither maps nor boxes are given, or both; or the record of what made them is of something else.
        DataError: The annotations are damaged, or predictions do not fit them.
        ScoremapError: A map is missing or damaged, or belongs to no image.
        OutputError: The record cannot be written.
    """
    _check_what_is_given(config)
    dataset = open_dataset(registry.datasets.get(config.dataset), config.roots, reporter)
    whose = _whose(config)
    with nullcontext() if config.out is None else atomic_folder(config.out) as draft:
        carry_out = _evaluate_maps if config.boxes_file is None else _evaluate_boxes
        record = carry_out(config, dataset, whose, reporter, command=command, providers=registry.providers)
        if draft is not None:
            put_record(record, draft, f"record-{file_name(whose.method.name)}")
    return record


@dataclass(frozen=True)
class Whose:
    """What made stored maps or boxes.

    Attributes:
        backbone: The network; None where nobody knows.
        method: The method, or what the maps are called.
        target: The class that they are of; None where nobody knows.
        seed: Of what the run drew.
        batch_size: Of the run.
    """

    backbone: BackboneInfo | None
    method: MethodInfo
    target: Target | None
    seed: int | None = None
    batch_size: int | None = None


def _whose(config: EvaluateConfig) -> Whose:
    """Return what made the maps or boxes, as the record of its run says.

    Raises:
        UsageError: The record is of another data set or of maps that were read too, or the maps have a name of their
            own.
        DataError: The record cannot be read.
    """
    if config.origin is None:
        return Whose(None, _describe_stored(config.method), None)
    if config.name is not None:
        raise UsageError("--from and --name: the record names the method; omit one of the two")
    record = read_summary(config.origin)
    if record.backbone is None:
        raise UsageError(f"--from {config.origin}: this record names no network; name the record of a run")
    if record.dataset.name != config.dataset:
        raise UsageError(
            f"--from {config.origin}: this record is of the data set '{record.dataset.name}', and maps of "
            f"'{config.dataset}' are evaluated"
        )
    environment = record.environment
    return Whose(record.backbone, record.method, record.protocol.target, environment.seed, environment.batch_size)


def _check_what_is_given(config: EvaluateConfig) -> None:
    """Refuse settings that contradict each other.

    Raises:
        UsageError: They do.
    """
    if config.predictions is not None and config.classifier is not None and not config.predictions_are_boxes:
        raise UsageError("--predictions and --classifier: both name predicted classes; omit one")
    if config.scoremaps is None and config.boxes_file is None:
        raise UsageError("say what is evaluated: --scoremaps DIR, or --predictions FILE of boxes")
    if config.boxes_file is None:
        return
    of_maps = {
        "--scoremaps": config.scoremaps,
        "--fullsup-scoremaps": config.fullsup_scoremaps,
        "--tau": config.tau,
        "--tau-from": config.tau_from,
    }
    given = next((option for option, value in of_maps.items() if value), None)
    if given is not None:
        why = "boxes are scored in place of maps" if given == "--scoremaps" else "boxes have no τ"
        raise UsageError(f"{given}: {why}; omit it, or omit {_boxes_option(config)}")


def _boxes_option(config: EvaluateConfig) -> str:
    """Return the option that names the file of boxes, for messages."""
    return "--predictions" if config.predictions_are_boxes else "--predicted-boxes"


def _classes_option(config: EvaluateConfig) -> str:
    """Return the option that names the predicted classes, for messages."""
    return "--predictions" if config.classifier is None else "--classifier"


def _evaluate_maps(
    config: EvaluateConfig,
    dataset: OpenDataset,
    whose: Whose,
    reporter: Reporter,
    *,
    command: str,
    providers: Sequence[Provider],
) -> ResultRecord:
    roots = _roots(config)
    needed = [split for split in roots if split in dataset.splits or config.tau_from is None]
    wholes = {split: dataset.images(split) for split in needed}
    opened = [dataset.annotate(split, whole, config.limit) for split, whole in wholes.items()]
    splits = OpenSplits(opened[0], opened[1] if len(opened) > 1 else None, NO_FULLSUP_MAPS)
    if config.tau_from is not None:
        pseudo = open_pseudo_boxes(config.tau_from, dataset, opened[0], config.limit, maps_are_stored=True)
        splits = replace(splits, pseudo=pseudo)
    ids = {split: whole.ids for split, whole in wholes.items()}
    if splits.pseudo is not None and splits.pseudo.split not in ids:
        of_any = splits.pseudo.split not in dataset.splits
        ids[splits.pseudo.split] = (splits.pseudo.images if of_any else dataset.images(splits.pseudo.split)).ids
    folders = _open_folders(dataset, roots, splits, ids, reporter)
    evaluated = splits.evaluated
    classes = PredictedFiles(dataset, evaluated, ids[evaluated.split]).classes(
        config.classes_file, _classes_option(config)
    )
    hits = {} if classes is None else {evaluated.split: classes.hits}
    source = StoredMaps(folders, (whose.method.name,), whose.target, hits=hits)
    classifier = None if classes is None else classes.info
    return score_source(
        source,
        dataset,
        splits,
        config,
        reporter,
        command=command,
        providers=providers,
        classifier=classifier,
        whose=whose,
    )


def _evaluate_boxes(
    config: EvaluateConfig,
    dataset: OpenDataset,
    whose: Whose,
    reporter: Reporter,
    *,
    command: str,
    providers: Sequence[Provider],
) -> ResultRecord:
    """Score predicted boxes. Of train-fullsup the annotations take part: so records of maps and of boxes compare."""
    if config.threshold_step != DEFAULT_THRESHOLD_STEP:
        reporter.say("--threshold-step (--interval) has no effect: boxes have no τ")
        config = config.model_copy(update={"threshold_step": DEFAULT_THRESHOLD_STEP})
    assert config.boxes_file is not None
    splits = open_splits(dataset, Split.labelled(config.split), config.limit)
    part = splits.evaluated
    files = PredictedFiles(dataset, part, dataset.images(part.split).ids)
    boxes = files.boxes(config.boxes_file, reporter, _boxes_option(config))
    classes = files.classes(config.classes_file, _classes_option(config))
    source = StoredBoxes(boxes, (whose.method.name,), {} if classes is None else classes.hits)
    (score,) = score_maps(source, part, scoring=config.scoring, workers=config.workers, reporter=reporter).values()
    fullsup = None if splits.fullsup is None else unscored(splits.fullsup, config.scoring.frame)
    scored = Scored.of_boxes(score.result(), fullsup)
    return assemble_record(
        scored,
        dataset=describe_dataset(dataset, splits.parts, config.limit),
        backbone=whose.backbone,
        method=whose.method,
        classifier=None if classes is None else classes.info,
        protocol=describe_protocol(config, whose.target, "boxes"),
        environment=_describe_environment(dataset, providers, command, whose),
        config=config,
        seconds=reporter.seconds,
    )


def score_source(
    source: MapSource,
    dataset: OpenDataset,
    splits: OpenSplits,
    config: ScoringConfig,
    reporter: Reporter,
    *,
    command: str,
    providers: Sequence[Provider] = (),
    classifier: ClassifierInfo | None = None,
    whose: Whose | None = None,
) -> ResultRecord:
    """Return the record of maps that no network of ours made, or made in another run.

    Args:
        source: Where the maps come from.
        dataset: What they are scored against.
        splits: The splits of it.
        config: How they are scored.
        reporter: Shows the progress.
        command: How the evaluation was asked for, for the record.
        providers: All plugins that were loaded, for the record.
        classifier: Whose predicted classes the source has, if it has any.
        whose: What made the maps; None where nobody knows.

    Raises:
        DataError: There is nothing to score against, or a mask cannot be read.
        ScoremapError: A map is damaged; or it is bad, and the configuration is strict.
    """
    check_rules(config)
    described = describe_dataset(dataset, splits.parts, config.limit)
    check_masks(splits, reporter)
    (name,) = source.methods
    whose = whose or Whose(None, _describe_stored(name), source.target)
    scored = score_splits(source, splits, config, reporter)
    return assemble_record(
        scored[name],
        dataset=described,
        backbone=whose.backbone,
        method=whose.method,
        classifier=classifier,
        protocol=describe_protocol(config, whose.target),
        environment=_describe_environment(dataset, providers, command, whose),
        config=config,
        seconds=reporter.seconds,
    )


def _describe_stored(name: str) -> MethodInfo:
    return MethodInfo(name=name, provider=None, options={}, changed_options={}, reads_network=True)


def _describe_environment(
    dataset: OpenDataset, providers: Sequence[Provider], command: str, whose: Whose
) -> Environment:
    """Describe what scored the maps, with the seed and the batches that they were made with, where these are known."""
    return describe_environment(
        [*providers, dataset.provider],
        command=command,
        device="cpu",
        seed=whose.seed,
        batch_size=whose.batch_size,
    )


def _roots(config: EvaluateConfig) -> dict[Split, Path]:
    """Return the splits that are scored with the folders of their maps, the evaluated split first."""
    assert config.scoremaps is not None
    evaluated = Split.labelled(config.split)
    roots = {evaluated: config.scoremaps}
    if config.tau_from is not None and config.fullsup_scoremaps is None:
        raise UsageError(f"--tau-from {config.tau_from} needs the maps of its images; add --fullsup-scoremaps DIR")
    if config.fullsup_scoremaps is not None:
        if evaluated is Split.TRAIN_FULLSUP:
            raise UsageError(
                "--fullsup-scoremaps: a threshold chosen on train-fullsup cannot be judged on train-fullsup"
            )
        roots[Split.TRAIN_FULLSUP] = config.fullsup_scoremaps
    return roots


def _open_folders(
    dataset: OpenDataset,
    roots: Mapping[Split, Path],
    splits: OpenSplits,
    ids: Mapping[Split, Sequence[str]],
    reporter: Reporter,
) -> dict[Split, ScoremapFolder]:
    """Open the folder of each split; short names are compared with all images whose maps a folder may hold.

    Args:
        dataset: The data set.
        roots: Split -> the folder of its maps.
        splits: The splits, limited.
        ids: Split -> the ids of the whole split.
        reporter: Warned where it is unknown whether a map is of no image.
    """
    # Pseudo boxes may be of images of train-weaksup: their maps are in the folder of those of train-fullsup.
    places = {Split.TRAIN_WEAKSUP: roots[Split.TRAIN_FULLSUP], **roots} if splits.pseudo else dict(roots)
    wanted: dict[Split, dict[str, None]] = {}
    for part in splits.scored:
        wanted.setdefault(part.split, {}).update(dict.fromkeys(part.images.ids))
    folders = {}
    for split, of_split in wanted.items():
        root = places[split]
        sharing = [each for each in ids if places[each].resolve() == root.resolve()]
        names = (name for each in sharing for name in ids[each])
        folders[split] = ScoremapFolder(root, of_split, names)
    _refuse_unlisted(dataset, list(folders.values()), ids, reporter)
    return folders


def _refuse_unlisted(
    dataset: OpenDataset, folders: Sequence[ScoremapFolder], ids: Mapping[Split, Sequence[str]], reporter: Reporter
) -> None:
    """Refuse maps of no image; they may be of a split that is not scored, which is opened only where there are any."""
    known = [image_id for of_split in ids.values() for image_id in of_split]
    suspects = [folder for folder in folders if folder.find_unlisted(known)]
    for split in (Split.TRAIN_FULLSUP, Split.TEST):
        if suspects and split in dataset.splits and split not in ids:
            try:
                known.extend(dataset.images(split).ids)
            except DataError as error:
                reporter.warn(f"maps that are not scored may be of {split.label} or of no image: {error}")
                return
    for folder in suspects:
        folder.refuse_unlisted(known)
