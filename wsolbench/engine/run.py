"""A benchmark run: a backbone and methods on a data set; a record and, where it writes, a gallery for each method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from wsolbench.config import RunConfig
from wsolbench.contract import Split
from wsolbench.contract.choices import Target
from wsolbench.data.opened import OpenDataset, OpenSplit, open_dataset
from wsolbench.drafts import remove_abandoned
from wsolbench.engine.assembly import (
    Dealt,
    OpenSplits,
    Scored,
    assemble_record,
    check_masks,
    describe_protocol,
    open_splits,
    score_splits,
)
from wsolbench.engine.cache_identity import cache_identities
from wsolbench.engine.cached import cached_maps, report_cache
from wsolbench.engine.finished import check_output, read_earlier
from wsolbench.engine.fit import Fit, check_fit_classes, fit_methods, open_fit_images, save_state
from wsolbench.engine.localize import NetworkMaps
from wsolbench.engine.methods import BuiltMethod, build_methods, check_needs
from wsolbench.engine.predictions import PredictedClasses, read_classes
from wsolbench.engine.provenance import describe_backbone, describe_dataset, describe_environment, describe_method
from wsolbench.engine.ranks import ALONE, Ranks
from wsolbench.engine.rules import check_rules
from wsolbench.engine.sources import MapSource, SavedMaps
from wsolbench.engine.unchanged import check_unchanged
from wsolbench.errors import OutputError, UsageError
from wsolbench.files import atomic_folder, check_writable, file_name
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Registry
from wsolbench.networks.class_rows import choose_rows
from wsolbench.networks.devices import choose_device, within_memory
from wsolbench.networks.load import load_network, report_weights
from wsolbench.networks.network import Execution, LoadedNetwork
from wsolbench.progress import Reporter
from wsolbench.records import OF_METHOD, DatasetInfo, ResultRecord
from wsolbench.records.store import put_record

__all__ = ["RunPlan", "carry_out", "plan_run", "run"]


@dataclass(frozen=True)
class RunPlan:
    """A configuration whose names are resolved: the objects that a run works with, and the plugins that were loaded."""

    config: RunConfig
    dataset: OpenDataset
    network: LoadedNetwork
    methods: tuple[BuiltMethod, ...]
    providers: tuple[Provider, ...] = ()

    @property
    def split(self) -> Split:
        """The split that is evaluated."""
        return Split.labelled(self.config.split)


def run(
    config: RunConfig, registry: Registry, reporter: Reporter, *, command: str, ranks: Ranks = ALONE
) -> list[ResultRecord]:
    """Carry a run out.

    Args:
        config: What to run.
        registry: What the plugins offer.
        reporter: Shows the progress.
        command: How the run was asked for, for the records.
        ranks: The processes that share the work; only the first one writes, and has records.

    Returns:
        A record for every method, in their order.

    Raises:
        WsolbenchError: Whatever the user can mend.
    """
    less = ("fewer images in a pass (--batch-size)", "a smaller --input-size")
    with within_memory(config.backbone, choose_device(config.device, ranks.place), *less):
        plan = ranks.together(lambda: plan_run(config, registry, reporter, ranks))
        return carry_out(plan, reporter, command=command, ranks=ranks)


def plan_run(config: RunConfig, registry: Registry, reporter: Reporter, ranks: Ranks = ALONE) -> RunPlan:
    """Resolve the names of a configuration, and refuse whatever would fail later, before the work begins.

    Raises:
        WsolbenchError: Whatever the user can mend.
    """
    if ranks.is_first:
        check_output(config)
    if ranks.count > 1 and config.save_scoremaps is not None:
        raise UsageError("--save-scoremaps: several processes cannot write the maps of one run; run it in one process")
    check_rules(config)
    if config.target == "predicted" and config.classifier is not None:
        raise UsageError(
            "--classifier: with --target predicted, maps are of the classes that the network itself predicts; omit "
            "one of the two"
        )
    methods = build_methods(registry, config.methods)
    if config.save_scoremaps is not None:
        _check_scoremap_folders(config.save_scoremaps, config.out, [built.name for built in methods])
    dataset = open_dataset(registry.datasets.get(config.dataset), config.roots, reporter)
    check_first_images(dataset, Split.labelled(config.split), methods)
    network = load_network(
        registry,
        config.backbone,
        dataset=dataset.name,
        num_classes=len(dataset.class_names),
        weights=_weights(config.weights),
        device=choose_device(config.device, ranks.place),
        seed=config.seed,
        execution=Execution(config.precision, config.compile),
        weights_key=config.weights_key,
        options=config.backbone_options,
        tap=config.tap,
        changes=config.input_changes,
    )
    report_weights(network.weights, network.warnings, reporter)
    _check_target(config.target, network)
    check_needs(methods, network, registry)
    if config.precision != "fp32":
        reporter.say(f"features are computed in {config.precision}: scores will differ from those of fp32")
    if config.backbone not in (network.offer.name, network.offer.qualified_name):
        sized = f" at {network.spec.input.size} px" if "size" in network.changed_input else ""
        reporter.say(f"{config.backbone}: the variant {network.spec.name}{sized}")
    return RunPlan(config, dataset, network, methods, registry.providers)


def _check_target(target: Target, network: LoadedNetwork) -> None:
    """Refuse maps of the predicted class where none is predicted."""
    if target == "predicted" and network.num_classes == 0:
        raise UsageError(
            f"--target predicted: '{network.spec.name}' has no classifier with these weights, and predicts no class; "
            "omit the option"
        )


def _weights(text: str | None) -> Path | Literal["random"] | None:
    if text is None:
        return None
    return "random" if text == "random" else Path(text)


def check_first_images(dataset: OpenDataset, evaluated: Split, methods: Sequence[BuiltMethod] = ()) -> None:
    """Load one image of every split that a run reads, so that a wrong image root is reported before the work begins.

    Raises:
        UsageError: The data set has no such split, or none that a method can be fitted on, or no image root is given.
        DataError: An image is missing or damaged.
    """
    fit_images = open_fit_images(methods, dataset)
    if fit_images is not None:
        fit_images.load(0)
    for split in dataset.splits & {evaluated, Split.TRAIN_FULLSUP} or {evaluated}:
        dataset.images(split).load(0)


def carry_out(plan: RunPlan, reporter: Reporter, *, command: str, ranks: Ranks = ALONE) -> list[ResultRecord]:
    """Score the methods of a plan; the folder of the run, if it has one, appears whole, when everything succeeded.

    Raises:
        WsolbenchError: Whatever the user can mend.
    """
    config = plan.config
    earlier = ranks.from_first(lambda: read_earlier(config))
    with ExitStack() as stack:
        writes = ranks.is_first and config.out is not None and not earlier
        draft = stack.enter_context(atomic_folder(config.out)) if writes and config.out is not None else None
        opened = ranks.together(lambda: _open(plan, reporter))
        if earlier:
            records = ranks.from_first(lambda: _finished(plan, opened, earlier, reporter))
            return records if ranks.is_first else []
        fitted = _fit(plan, opened, reporter, ranks)
        maps = opened.maps if ranks.count == 1 else _with_fits(opened.maps, fitted)
        identities = cache_identities(maps, plan.dataset, fitted) if config.cache else {}
        cached = stack.enter_context(cached_maps(maps, identities, reporter))
        source: MapSource = cached
        if config.save_scoremaps is not None:
            source = SavedMaps(source, _scoremap_folders(plan, config.save_scoremaps, draft, stack))
        scored = score_splits(source, opened.splits, config, reporter, Dealt(ranks, config.batch_size))
        report_cache(ranks.gathered(lambda: cached.summary), reporter)
        spent = ranks.gathered(lambda: maps.seconds)  # galleries call methods again
        if not ranks.is_first:
            return []
        if opened.classes is not None:
            scored = {name: of_method.with_hits(opened.classes.hits) for name, of_method in scored.items()}
        if draft is not None and config.gallery:
            from wsolbench.engine.redraw import draw_galleries  # brings the drawing library, which errors do not need

            draw_galleries(draft, maps, opened.splits.evaluated, scored, reporter)
        seconds = {
            name: {**reporter.seconds, OF_METHOD: round(sum(part.get(name, 0.0) for part in spent), 3)}
            for name in maps.methods
        }
        records = _records(plan, opened, scored, fitted, seconds, command)
        if draft is not None:
            for name, fit in fitted.items():
                save_state(fit, draft, name)
            for record in records:
                put_record(record, draft, f"record-{file_name(record.method.name)}")
    return records


@dataclass(frozen=True)
class _Opened:
    """What a run reads before the first map is made.

    Attributes:
        splits: What is scored.
        rows: Rows of the head that are the classes; None where every label is the row of its number.
        dataset: The description of the data set.
        classes: The classes of another network, where they are scored.
        maps: The network and its methods, put to work.
    """

    splits: OpenSplits
    rows: tuple[int, ...] | None
    dataset: DatasetInfo
    classes: PredictedClasses | None
    maps: NetworkMaps


def _open(plan: RunPlan, reporter: Reporter) -> _Opened:
    """Open the splits of a run."""
    config = plan.config
    with reporter.phase("annotations"):
        splits = open_splits(plan.dataset, plan.split, config.limit, config.tau_from)
        rows = _choose_rows(plan, splits.scored, reporter)
        dataset = describe_dataset(plan.dataset, splits.parts, config.limit)  # hashes annotations, reads masks
        check_masks(splits, reporter)
    maps = NetworkMaps(plan.network, plan.methods, config.target, config.batch_size, config.workers, config.seed, rows)
    return _Opened(splits, rows, dataset, read_classes(plan.dataset, splits.evaluated, config.classifier), maps)


def _finished(
    plan: RunPlan, opened: _Opened, earlier: Sequence[ResultRecord], reporter: Reporter
) -> list[ResultRecord]:
    """Return the records that an earlier run has left, if it would give the same once more."""
    config, splits = plan.config, opened.splits
    assert config.out is not None
    remove_abandoned(config.out.resolve().parent)  # it may have been killed as soon as its folder had its name
    with reporter.phase("comparison"):
        records = check_unchanged(config, earlier, opened.maps, plan.dataset, opened.dataset, splits.scored)
    reporter.say(f"nothing is left to do: {config.out} is finished, and what it was made from has not changed")
    return records


def _with_fits(maps: NetworkMaps, fitted: Mapping[str, Fit]) -> NetworkMaps:
    """Return the source whose fitted methods are those that the parts of all processes were merged into."""
    built = [replace(each, method=fitted[each.name].method) if each.name in fitted else each for each in maps.built]
    return replace(maps, built=tuple(built))


def _records(
    plan: RunPlan,
    opened: _Opened,
    scored: Mapping[str, Scored],
    fitted: Mapping[str, Fit],
    seconds: Mapping[str, Mapping[str, float]],
    command: str,
) -> list[ResultRecord]:
    """Return a record for every method.

    Args:
        plan: What was run.
        opened: What was read.
        scored: Method -> its scores.
        fitted: Method -> its fit, for those that are fitted.
        seconds: Method -> phase -> how long it took.
        command: How the run was asked for.
    """
    providers = [*plan.providers, plan.dataset.provider, plan.network.offer.provider]
    return [
        assemble_record(
            scored[built.name],
            dataset=opened.dataset,
            backbone=describe_backbone(plan.network, opened.rows),
            method=describe_method(built, fitted.get(built.name)),
            classifier=None if opened.classes is None else opened.classes.info,
            protocol=describe_protocol(
                plan.config, plan.config.target, "maps" if scored[built.name].evaluated.of_maps else "boxes"
            ),
            environment=describe_environment(
                [*providers, built.offer.provider],
                command=command,
                device=str(plan.network.device),
                seed=plan.config.seed,
                batch_size=plan.config.batch_size,
            ),
            config=plan.config,
            seconds=seconds[built.name],
        )
        for built in plan.methods
    ]


def _fit(plan: RunPlan, opened: _Opened, reporter: Reporter, ranks: Ranks) -> dict[str, Fit]:
    """Fit the methods that are to be fitted, for the splits that are scored and the rows that are their classes."""
    images = open_fit_images(plan.methods, plan.dataset, plan.config.limit)
    if images is None:
        return {}
    check_fit_classes(plan.methods, plan.dataset, images, opened.splits.parts, plan.config.seed, plan.config.limit)
    return fit_methods(
        plan.methods,
        plan.network,
        images,
        class_rows=opened.rows,
        seed=plan.config.seed,
        batch_size=plan.config.batch_size,
        workers=plan.config.workers,
        reporter=reporter,
        ranks=ranks,
    )


def _choose_rows(plan: RunPlan, parts: Sequence[OpenSplit], reporter: Reporter) -> tuple[int, ...] | None:
    """Return the rows of the head that are the classes, None where labels are rows; refuse labels without a row."""
    chosen = choose_rows(plan.network, plan.dataset, [part.images for part in parts])
    if chosen.remark:
        (reporter.say if chosen.certain else reporter.warn)(chosen.remark)
    known = plan.network.num_classes if chosen.rows is None else len(chosen.rows)
    for part in parts if plan.network.num_classes else ():
        highest = int(part.images.labels.max())
        if highest >= known:
            raise UsageError(
                f"the weights of '{plan.network.spec.name}' know {known} classes, but labels in {part.label} of "
                f"'{plan.dataset.name}' go up to {highest}; pass weights trained on this data set"
            )
    return chosen.rows


# ------------------------------------------------------------------------------------------- where scoremaps are saved


def _check_scoremap_folders(scoremaps: Path, out: Path | None, methods: Iterable[str]) -> None:
    """Refuse places for scoremaps that are taken, or cannot be written, before the work begins.

    Raises:
        OutputError: One of them is; or the records are to go where the maps of a method go.
    """
    for method in methods:
        folder = scoremaps / file_name(method)
        if out is not None and out.resolve().is_relative_to(folder.resolve()):
            raise OutputError(f"--out {out}: the maps of '{method}' go there (--save-scoremaps); name another folder")
        if out is None or not scoremaps.resolve().is_relative_to(out.resolve()):
            check_writable(folder, "--save-scoremaps")


def _scoremap_folders(plan: RunPlan, scoremaps: Path, draft: Path | None, stack: ExitStack) -> dict[str, Path]:
    """Return where maps go: into folders of their own, or, where these are below the run's folder, into its draft."""
    names = [built.name for built in plan.methods]
    place, out = scoremaps.resolve(), plan.config.out
    if draft is not None and out is not None and place.is_relative_to(out.resolve()):
        inside = draft / place.relative_to(out.resolve())
        return {name: inside / file_name(name) for name in names}
    return {name: stack.enter_context(atomic_folder(scoremaps / file_name(name), "--save-scoremaps")) for name in names}
