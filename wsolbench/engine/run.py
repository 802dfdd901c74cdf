"""A benchmark run: thresholds from train-fullsup, scores on the evaluated split, a record and a gallery a method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Split
from wsolbench.contract.options import list_options
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.engine.fit import fit_methods, open_fit_images
from wsolbench.engine.localize import Localizer, ScoremapSink, ScoreObserver, localize
from wsolbench.engine.methods import BuiltMethod
from wsolbench.engine.provenance import describe_dataset, describe_environment
from wsolbench.engine.scoremap_files import save_scoremap
from wsolbench.engine.scoring import (
    Score,
    ScoredSplit,
    Selection,
    Target,
    compute_metrics,
    select_thresholds,
    split_outcomes,
)
from wsolbench.errors import OutputError, UsageError
from wsolbench.figures.gallery import draw_gallery
from wsolbench.files import check_writable, file_name, whole_folder
from wsolbench.networks.network import Network
from wsolbench.progress import Reporter
from wsolbench.protocol import FRAME, IOU_THRESHOLDS
from wsolbench.protocol.compilation import load_sweep
from wsolbench.records import BackboneInfo, MethodInfo, Preprocessing, ProtocolInfo, ResultRecord
from wsolbench.records.outcomes import compute_intervals


@dataclass(frozen=True)
class RunPlan:
    """Everything that a run is made of; see the options of ``wsolbench run``."""

    dataset: OpenDataset
    network: Network
    methods: tuple[BuiltMethod, ...]
    split: Split
    target: Target
    interval: float
    limit: int | None
    batch_size: int
    workers: int
    seed: int
    strict: bool
    command: str
    out: Path
    scoremaps: Path | None


def check_first_images(dataset: OpenDataset, evaluated: Split, methods: Sequence[BuiltMethod] = ()) -> None:
    """Load one image of every split that a run reads, so that a wrong image root is told before the work begins.

    Raises:
        UsageError: The data set has no such split, or none that a method can be fitted on, or no image root is given.
        DataError: An image is missing or damaged.
    """
    fit_images = open_fit_images(methods, dataset)
    if fit_images is not None:
        fit_images.load(0)
    for split in dataset.splits & {evaluated, Split.TRAIN_FULLSUP} or {evaluated}:
        dataset.images(split).load(0)


def open_fullsup(plan: RunPlan) -> tuple[OpenSplit | None, str]:
    """Return train-fullsup, or None and the reason why no threshold can come from it."""
    if plan.split is Split.TRAIN_FULLSUP:
        return None, "train-fullsup itself is evaluated, and a threshold chosen on it would be its oracle"
    if Split.TRAIN_FULLSUP not in plan.dataset.splits:
        return None, "the data set has no train-fullsup split"
    return plan.dataset.open(Split.TRAIN_FULLSUP, plan.limit), ""


def run(plan: RunPlan, reporter: Reporter) -> list[ResultRecord]:
    """Carry a run out; its folder appears whole, when everything succeeded.

    Returns:
        A record for every method, in their order.

    Raises:
        WsolbenchError: Whatever the user can mend.
    """
    with ExitStack() as stack:
        draft = stack.enter_context(whole_folder(plan.out))
        save = _scoremap_sinks(plan, draft, stack)
        with reporter.phase("annotations"):
            part = plan.dataset.open(plan.split, plan.limit)
            fullsup_part, why_none = open_fullsup(plan)
            parts = [part, fullsup_part] if fullsup_part else [part]
            _check_labels(plan, parts, reporter)
            for opened in parts:
                opened.annotations_sha256  # noqa: B018 - here, where it is timed: masks are read for it
        if part.has_boxes:
            with reporter.phase("compilation"):
                load_sweep(reporter.say)
        fitted = _fit(plan, reporter)
        localizer = Localizer(plan.network, plan.methods, plan.target, plan.batch_size, plan.workers)
        fullsup = _localize(plan, localizer, fullsup_part, reporter, save) if fullsup_part else {}
        selections = {built.name: select_thresholds(fullsup.get(built.name), why_none) for built in plan.methods}
        ranking = _Ranking(selections, len(part.images.ids))
        scored = _localize(plan, localizer, part, reporter, save, ranking.note)
        with reporter.phase("galleries"):
            for name, split in scored.items():
                quality, threshold = ranking.quality(name), ranking.threshold(name, split)
                draw_gallery(draft / f"gallery-{file_name(name)}.png", localizer, name, part, quality, threshold)
        records = [
            _record(
                plan,
                built,
                fitted,
                reporter.seconds,
                scored[built.name],
                fullsup.get(built.name),
                selections[built.name],
            )
            for built in plan.methods
        ]
        for record in records:
            (draft / f"record-{file_name(record.method.name)}.json").write_text(record.to_json(), encoding="utf-8")
    return records


def _fit(plan: RunPlan, reporter: Reporter) -> dict[str, int]:
    """Fit the methods that are to be fitted; return how many images each was fitted on."""
    images = open_fit_images(plan.methods, plan.dataset, plan.limit)
    if images is None:
        return {}
    return fit_methods(
        plan.methods,
        plan.network,
        images,
        seed=plan.seed,
        batch_size=plan.batch_size,
        workers=plan.workers,
        reporter=reporter,
    )


def _localize(
    plan: RunPlan,
    localizer: Localizer,
    part: OpenSplit,
    reporter: Reporter,
    save: ScoremapSinks | None,
    observe: ScoreObserver | None = None,
) -> dict[str, ScoredSplit]:
    return localize(
        localizer,
        part,
        interval=plan.interval,
        strict=plan.strict,
        reporter=reporter,
        save=save(part.split) if save else None,
        observe=observe,
    )


def check_scoremap_folders(scoremaps: Path, out: Path | None, methods: Iterable[str]) -> None:
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


def _scoremap_sinks(plan: RunPlan, draft: Path, stack: ExitStack) -> ScoremapSinks | None:
    """Return where maps go: into folders of their own, or, where these are below the run's folder, into its draft."""
    if plan.scoremaps is None:
        return None
    place, out = plan.scoremaps.resolve(), plan.out.resolve()
    if place.is_relative_to(out):
        inside = draft / place.relative_to(out)
        return ScoremapSinks({built.name: inside / file_name(built.name) for built in plan.methods})
    drafts = {
        built.name: stack.enter_context(whole_folder(plan.scoremaps / file_name(built.name), "--save-scoremaps"))
        for built in plan.methods
    }
    return ScoremapSinks(drafts)


@dataclass(frozen=True)
class ScoremapSinks:
    """Where the scoremaps of each method go."""

    folders: dict[str, Path]

    def __call__(self, split: Split) -> ScoremapSink:
        """Return the function that saves the maps of a split."""

        def save(method: str, image_id: str, scoremap: NDArray[np.float32]) -> None:
            save_scoremap(self.folders[method] / split.value, image_id, scoremap)

        return save


def _check_labels(plan: RunPlan, parts: list[OpenSplit], reporter: Reporter) -> None:
    """Refuse labels that the weights do not know; warn of weights that know more classes than there are."""
    known, named = plan.network.num_classes, len(plan.dataset.class_names)
    if known > named:
        reporter.warn(
            f"the weights know {known} classes and the data set {named}; "
            f"its labels are taken for the first {named} of them"
        )
    for part in parts:
        highest = int(part.images.labels.max())
        if highest >= known:
            raise UsageError(
                f"the weights of '{plan.network.spec.name}' know {known} classes, but labels in {part.split.label} of "
                f"'{plan.dataset.name}' go up to {highest}; pass weights trained on this data set"
            )


class _Ranking:
    """How well each image was localized, for choosing what the gallery shows: by IoU, largest contour."""

    def __init__(self, selections: dict[str, Selection], count: int) -> None:
        self._selections = selections
        self._quality = {name: np.zeros(count) for name in selections}

    def note(self, method: str, index: int, score: Score) -> None:
        """Note the IoU at the fullsup τ; where there is none, the best over all τ."""
        if score.curves is None:
            return
        fullsup = self._selections[method].fullsup
        curve = score.curves.single
        self._quality[method][index] = curve.max() if fullsup is None else curve[fullsup.single_index]

    def quality(self, method: str) -> NDArray[np.float64]:
        """Return the IoU of every image."""
        return self._quality[method]

    def threshold(self, method: str, scored: ScoredSplit) -> tuple[float, Literal["fullsup", "oracle"]] | None:
        """Return the τ at which boxes are drawn; None without boxes."""
        fullsup = self._selections[method].fullsup
        if scored.boxes is None:
            return None
        if fullsup is not None:
            return fullsup.single_threshold, "fullsup"
        return float(scored.boxes.thresholds[scored.boxes.box_acc("single", 0.5).argmax()]), "oracle"


def _record(
    plan: RunPlan,
    built: BuiltMethod,
    fitted: dict[str, int],
    seconds: dict[str, float],
    scored: ScoredSplit,
    fullsup: ScoredSplit | None,
    selection: Selection,
) -> ResultRecord:
    metrics, missing = compute_metrics(scored, selection, target=plan.target)
    outcomes = [split_outcomes(part) for part in (scored, fullsup) if part is not None]
    protocol = ProtocolInfo(
        split=outcomes[0].split,
        target=plan.target,
        interval=plan.interval,
        frame=FRAME,
        iou_thresholds=IOU_THRESHOLDS,
    )
    return ResultRecord(
        metrics=metrics,
        missing=missing,
        intervals=compute_intervals(outcomes, protocol),
        dataset=describe_dataset(plan.dataset, outcomes, plan.limit),
        backbone=_backbone_info(plan.network),
        method=_method_info(built, fitted.get(built.name)),
        protocol=protocol,
        environment=describe_environment(
            [plan.dataset.provider, plan.network.offer.provider, built.offer.provider],
            command=plan.command,
            device=str(plan.network.device),
            seed=plan.seed,
            batch_size=plan.batch_size,
        ),
        seconds=dict(seconds),
        outcomes=outcomes,
    )


def _method_info(built: BuiltMethod, fitted_images: int | None) -> MethodInfo:
    defaults = {option.name: option.default for option in list_options(built.offer.spec.build)}
    return MethodInfo(
        name=built.name,
        provider=str(built.offer.provider),
        options=built.options,
        changed_options={name: value for name, value in built.options.items() if value != defaults[name]},
        reads_network=built.offer.spec.reads_network,
        fitted_images=fitted_images,
    )


def _backbone_info(network: Network) -> BackboneInfo:
    config = network.spec.input
    return BackboneInfo(
        requested=network.requested,
        name=network.spec.name,
        family=network.spec.family,
        provider=str(network.offer.provider),
        parameters=network.parameters,
        largest_kernel=network.largest_kernel,
        reparameterized=network.reparameterized,
        precision=network.execution.precision,
        compiled=network.execution.compiled,
        feature_shape=network.feature_shape,
        weights=network.weights,
        preprocessing=Preprocessing(
            size=config.size, mean=config.mean, std=config.std, interpolation=config.interpolation
        ),
    )
