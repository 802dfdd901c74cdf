"""The functions that ``import wsolbench`` offers: what the command line does, for names, specifications and objects."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Never, TypeAlias

import numpy as np

from wsolbench.config import AnalyzeConfig, EvaluateConfig, RescoreConfig, RunConfig, ScoringConfig, TrainConfig
from wsolbench.contract import BackboneSpec, Dataset, DatasetSpec, InputConfig, MethodSpec, RecipeSpec, Split
from wsolbench.contract.choices import (
    DEFAULT_THRESHOLD_STEP,
    BoxConvention,
    CheckpointRule,
    ChoiceMetric,
    Interpolation,
    Precision,
    PreprocessingName,
    SplitName,
    Target,
    TrainingPrecision,
    Unannotated,
)
from wsolbench.contract.names import NAME_CHARACTERS, NAME_PATTERN, SOURCE
from wsolbench.contract.options import list_options
from wsolbench.contract.zoos import Spec
from wsolbench.data.memory import Keyed, MemoryDataset, MemorySplit, keyed
from wsolbench.data.opened import OpenDataset
from wsolbench.errors import ScoremapError, UsageError
from wsolbench.escaping import message_text
from wsolbench.host.loading import load_plugins
from wsolbench.host.provider import UNRELEASED, Provider
from wsolbench.host.registry import Offer, Registry
from wsolbench.progress import Reporter
from wsolbench.records import Records, ResultRecord, read_record
from wsolbench.records.compare import Comparison
from wsolbench.records.compare import compare as compare_records
from wsolbench.records.missing import NO_FULLSUP_MAPS_GIVEN
from wsolbench.records.store import read_summary
from wsolbench.records.verify import verified

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from wsolbench.training.job import TrainedClassifier

__all__ = ["analyze", "compare", "evaluate", "load_record", "rescore", "run", "score", "sweep", "train"]

FilePath: TypeAlias = str | PathLike[str]
MethodLike: TypeAlias = "str | MethodSpec | Callable[..., Any]"
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def run(
    backbone: str | BackboneSpec | nn.Module,
    method: MethodLike | Sequence[MethodLike],
    dataset: str | DatasetSpec | Dataset = "critters",
    *,
    method_options: Mapping[str, Mapping[str, Any]] | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    weights: FilePath | None = None,
    weights_key: str | None = None,
    tap: str | None = None,
    input_size: int | None = None,
    preprocessing: PreprocessingName | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: Interpolation | None = None,
    layer: str | None = None,
    input: InputConfig | None = None,
    data_root: FilePath | None = None,
    metadata_root: FilePath | None = None,
    masks: FilePath | None = None,
    train_root: FilePath | None = None,
    boxes: BoxConvention = "inclusive",
    first_pixel: int | None = None,
    unannotated: Unannotated = "error",
    class_map: FilePath | None = None,
    split: SplitName = "test",
    limit: int | None = None,
    target: Target = "gt",
    threshold_step: float = DEFAULT_THRESHOLD_STEP,
    tau: float | Literal["otsu"] | Sequence[float | Literal["otsu"]] = (),
    tau_from: FilePath | None = None,
    batch_size: int = 32,
    device: str | None = None,
    precision: Precision = "fp32",
    compile: bool = False,
    workers: int = 2,
    seed: int = 0,
    strict: bool = False,
    classifier: FilePath | None = None,
    save_scoremaps: FilePath | None = None,
    gallery: bool = True,
    out: FilePath | None = None,
    progress: bool = False,
) -> Records:
    """Score localization methods on a trained classifier.

    Args:
        backbone: A registered name, a specification, or a torch module: a `Backbone`, or any classifier whose
            feature maps `layer` gives. A module is copied; it stays as it is.
        method: One method or several: registered names, specifications, or functions ``(features, context) -> maps``
            of features (B, K, h, w) that return raw maps (B, h', w'). Further parameters of a function are options.
        dataset: A registered name, a specification, or an object with the interface of `Dataset`.
        method_options: Method -> option -> value.
        backbone_options: Option of the network -> value, such as ``{"output_stride": 16}``.
        weights: A file, a source of pretrained weights, ``"random"``, or None for those that ship.
        weights_key: Which state dict of a weights file that holds several, such as ``"state_dict_ema"``.
        tap: The layer of the network whose maps are the features, as ``"stages.1"``; None for those before its head.
        input_size: Side of the network's input in pixels; by default as its weights say, or its own.
        preprocessing: Mean and std of the input by name: ``"timm"``, ``"imagenet"`` or ``"half"``.
        mean: Mean of the channels R, G, B of [0, 1].
        std: Standard deviation of the channels.
        interpolation: Filter by which images are warped to the size.
        layer: Of a module: the name of the layer whose output are the feature maps.
        input: Of a module: how images are prepared for it; 224×224 with ImageNet's mean and deviation by default.
        data_root: Where the data set is, as ``--data-root`` says.
        metadata_root: Where its lists are.
        masks: Where its masks are.
        train_root: Where its train-weaksup images are.
        boxes: What the second corner of a listed box is; see `wsolbench.api.Conventions`.
        first_pixel: The number of the first pixel in lists of corners.
        unannotated: What happens to images without box and mask where others have one.
        class_map: A file that puts class folders, categories and rows of the network's head together.
        split: The split that is scored.
        limit: At most so many images of each split; the same number gives the same images, another one draws anew.
        target: Whether the true or the predicted class is localized.
        threshold_step: Step of the grid of τ.
        tau: At which τ maps are scored beside the oracle's and train-fullsup's: 0.2 or ``"otsu"``, or several.
        tau_from: A folder of lists in the reference layout, of pseudo boxes on which one more τ is chosen.
        batch_size: Images in a forward pass.
        device: ``"cpu"``, ``"cuda"`` ...; None for a GPU where there is one.
        precision: Of the network up to its features.
        compile: Whether torch compiles the network.
        workers: Threads that load images and score maps.
        seed: Of every random draw.
        strict: Whether a map of NaN or of one value is an error.
        classifier: The record of another network, or a file of predicted classes, whose classes count for Top-k Loc.
        save_scoremaps: A folder for the maps; None writes none.
        gallery: Whether the folder gets a gallery of every method; drawing takes seconds.
        out: A new folder for records and galleries; None writes none.
        progress: Whether the progress is shown on standard error.

    Returns:
        A record for every method, in their order.

    Raises:
        WsolbenchError: Whatever the caller can mend.

    Example:
        ``wsolbench.run("replknet", ["cam", "pc1"], limit=200).to_frame()``
    """
    call = _Call(dict(locals()), progress)
    methods = list(method) if isinstance(method, Sequence) and not isinstance(method, str) else [method]
    if not methods:
        raise UsageError("method: name at least one")
    names = [call.register(each, _method_spec) for each in methods]
    if len(set(names)) < len(names):
        raise UsageError(f"method: {', '.join(names)} names a method twice; give each function a name of its own")
    known = dict(zip(names, names, strict=True)) | {name.rpartition(":")[2]: name for name in names}
    options: dict[str, Mapping[str, Any]] = {name: {} for name in names}
    if not isinstance(method_options or {}, Mapping):
        raise UsageError(f"method_options: expected method -> option -> value, got {type(method_options).__name__}")
    for name, given in (method_options or {}).items():
        if name not in known:
            raise UsageError(f"method_options: '{name}' is no method of this run; they are {', '.join(known)}")
        options[known[name]] = given
    if weights is not None and not isinstance(backbone, str | BackboneSpec):
        raise UsageError("weights: a module comes with its own; load them into it first")
    if isinstance(backbone, str | BackboneSpec) and (layer is not None or input is not None):
        raise UsageError("layer and input describe a module; a registered network has its own")
    config = RunConfig.of(
        backbone=call.register(backbone, lambda module: _backbone_spec(module, layer, input)),
        methods=options,
        dataset=call.register(dataset, _dataset_spec),
        backbone_options=dict(backbone_options or {}),
        weights=None if weights is None else str(weights),
        **call.settings(RunConfig, "backbone", "backbone_options", "methods", "dataset", "weights"),
    )
    from wsolbench.engine.run import run as carry_out

    return Records(carry_out(config, call.registry, call.reporter, command=call.command("run")))


def evaluate(
    scoremaps: FilePath | None = None,
    dataset: str | DatasetSpec | Dataset = "folder",
    *,
    fullsup_scoremaps: FilePath | None = None,
    predicted_boxes: FilePath | None = None,
    predictions: FilePath | None = None,
    classifier: FilePath | None = None,
    name: str | None = None,
    data_root: FilePath | None = None,
    metadata_root: FilePath | None = None,
    masks: FilePath | None = None,
    boxes: BoxConvention = "inclusive",
    first_pixel: int | None = None,
    unannotated: Unannotated = "error",
    class_map: FilePath | None = None,
    split: SplitName = "test",
    limit: int | None = None,
    threshold_step: float = DEFAULT_THRESHOLD_STEP,
    frame: int | None = None,
    iou_thresholds: Sequence[float] | None = None,
    tau: float | Literal["otsu"] | Sequence[float | Literal["otsu"]] = (),
    tau_from: FilePath | None = None,
    workers: int = 2,
    strict: bool = False,
    out: FilePath | None = None,
    progress: bool = False,
) -> ResultRecord:
    """Score scoremaps that are stored in a folder, or boxes that are stored in a file, without a network.

    Args:
        scoremaps: Holds ``<image id>.npy`` for every image of the split; None with `predicted_boxes`.
        dataset: What the maps were made for; ``"folder"`` stands for lists in the reference layout.
        fullsup_scoremaps: The same for train-fullsup, for choosing τ.
        predicted_boxes: A file of boxes of every image in place of maps, CSV or JSON; see docs/data.md.
        predictions: What a system predicts: without maps and `predicted_boxes` its boxes, beside them the classes.
        classifier: A file of the predicted class of every image, or of the five best, CSV or JSON; or a record.
        name: What the maps or boxes are called in the record, in place of a method.
        data_root: Where the data set is; see `run` for this and the other arguments.
        metadata_root: Where its lists are.
        masks: Where its masks are.
        boxes: What the second corner of a listed box is; see `wsolbench.api.Conventions`.
        first_pixel: The number of the first pixel in lists of corners.
        unannotated: What happens to images without box and mask where others have one.
        class_map: A file that puts class folders, categories and rows of the network's head together.
        split: The split that is scored.
        limit: At most so many images of each split.
        threshold_step: Step of the grid of τ.
        frame: Side in pixels of the square in which maps and boxes are compared; None for 224, as in the protocol.
        iou_thresholds: The δ of which V2 is the mean, ascending, 0.5 among them; None for 0.3, 0.5 and 0.7.
        tau: At which τ maps are scored besides; see `run`.
        tau_from: Lists of pseudo boxes on which one more τ is chosen; the maps of their images are those of
            ``fullsup_scoremaps``.
        workers: Threads that read and score maps.
        strict: Whether a map of one value is an error.
        out: A new folder for the record; None writes none.
        progress: Whether the progress is shown on standard error.

    Raises:
        WsolbenchError: Whatever the caller can mend.
    """
    call = _Call(dict(locals()), progress)
    config = EvaluateConfig.of(
        dataset=call.register(dataset, _dataset_spec), **call.settings(EvaluateConfig, "dataset")
    )
    from wsolbench.engine.evaluate import evaluate as carry_out

    return carry_out(config, call.registry, call.reporter, command=call.command("evaluate"))


def rescore(
    record: ResultRecord | FilePath,
    *,
    threshold_step: float | None = None,
    frame: int | None = None,
    iou_thresholds: Sequence[float] | None = None,
    tau: float | Literal["otsu"] | Sequence[float | Literal["otsu"]] | None = None,
    tau_from: FilePath | None = None,
    split: SplitName | None = None,
    classifier: FilePath | None = None,
    data_root: FilePath | None = None,
    metadata_root: FilePath | None = None,
    masks: FilePath | None = None,
    train_root: FilePath | None = None,
    class_map: FilePath | None = None,
    workers: int | None = None,
    strict: bool | None = None,
    out: FilePath | None = None,
    progress: bool = False,
) -> ResultRecord:
    """Score the maps of a record again with other settings, from the cache and without a network.

    Args:
        record: A record of a run, or its file. What is None below is as in the record.
        threshold_step: Step of the grid of τ.
        frame: Side in pixels of the square in which maps and boxes are compared; 224 in the protocol.
        iou_thresholds: The δ of which V2 is the mean, ascending, 0.5 among them; 0.3, 0.5 and 0.7 in the protocol.
        tau: At which τ maps are scored besides; see `run`.
        tau_from: Lists of pseudo boxes on which one more τ is chosen.
        split: The split that is scored.
        classifier: Whose classes count for Top-k Loc: the record of a network, or a file of classes.
        data_root: Where the data set is.
        metadata_root: Where its lists are.
        masks: Where its masks are.
        train_root: Where its images for training are.
        class_map: A file that puts class folders, categories and rows of the network's head together.
        workers: Threads that read images and score maps.
        strict: Whether a map of NaN or of one value is an error.
        out: A new folder for the record; None writes none.
        progress: Whether the progress is shown on standard error.

    Raises:
        WsolbenchError: Whatever the caller can mend; also where the cache does not have the maps.

    Example:
        ``wsolbench.rescore("run/record-cam.json", iou_thresholds=[0.5, 0.75]).metrics.max_box_acc_v2``
    """
    call = _Call(dict(locals()), progress)
    changes = {name: value for name, value in call.settings(RescoreConfig, "out").items() if value is not None}
    given = record if isinstance(record, ResultRecord) else read_summary(_path(record))
    where = repr(record) if given is record else str(record)
    from wsolbench.engine.rescore import rescore as carry_out

    folder = None if out is None else Path(out)
    return carry_out(given, where, changes, folder, call.registry, call.reporter, command=call.command("rescore"))


def score(
    scoremaps: Keyed,
    boxes: Keyed | None = None,
    image_sizes: Keyed | None = None,
    *,
    masks: Keyed | None = None,
    fullsup: Mapping[str, Keyed] | None = None,
    name: str = "memory",
    threshold_step: float = DEFAULT_THRESHOLD_STEP,
    tau: float | Literal["otsu"] | Sequence[float | Literal["otsu"]] = (),
    workers: int = 2,
    strict: bool = False,
    progress: bool = False,
) -> ResultRecord:
    """Score maps in memory against boxes, masks or both.

    Args:
        scoremaps: One map an image, by image id or in order. Maps of 224×224 are scored as they are and have to be in
            [0, 1]; all others are raw maps of any size and range, which are resized and normalised as a run does it.
        boxes: One box (4,) or several (n, 4) an image: whole pixels of the original, ``x0, y0, x1, y1``, corners
            inclusive.
        image_sizes: (width, height) of the originals; needed with boxes.
        masks: A bool array (h, w) of any size, or a `MaskPair`, an image.
        fullsup: ``scoremaps``, ``boxes``, ``image_sizes`` and ``masks`` of other images, on which τ is chosen.
        name: What the record calls the data set.
        threshold_step: Step of the grid of τ.
        tau: At which τ maps are scored besides; see `run`.
        workers: Threads that score maps.
        strict: Whether a map of NaN or of one value is an error.
        progress: Whether the progress is shown on standard error.

    Returns:
        A record as `evaluate` returns it, with curves, intervals, `plot` and `compare`.

    Raises:
        ScoremapError: A map is none, or of the frame's size and not in [0, 1].
        DataError: An image has no annotation, or one of a wrong form.
        UsageError: There are neither boxes nor masks, or a name or setting is wrong.

    Example:
        ``wsolbench.score(maps, boxes, sizes).metrics.max_box_acc_v2``
    """
    call = _Call({}, progress)
    if boxes is None and masks is None:
        raise UsageError("say what the maps are scored against: boxes with image_sizes, or masks")
    given: dict[Split, dict[str, Any]] = {
        Split.TEST: {"scoremaps": scoremaps, "boxes": boxes, "image_sizes": image_sizes, "masks": masks}
    }
    if fullsup is not None:
        names = set(fullsup) if isinstance(fullsup, Mapping) else set()
        if names - set(given[Split.TEST]) or "scoremaps" not in names:
            got = ", ".join(map(str, fullsup)) if isinstance(fullsup, Mapping) else type(fullsup).__name__
            raise UsageError(
                f'fullsup: expected {{"scoremaps": ..., "boxes": ..., "image_sizes": ...}}, perhaps "masks", got {got}'
            )
        given[Split.TRAIN_FULLSUP] = {**dict.fromkeys(given[Split.TEST]), **fullsup}
    ordered = {split: not isinstance(entries["scoremaps"], Mapping) for split, entries in given.items()}
    maps = {split: keyed(_maps(entries.pop("scoremaps")), "scoremaps") for split, entries in given.items()}
    parts = {
        split: MemorySplit.of(list(maps[split]), **entries, ordered=ordered[split]) for split, entries in given.items()
    }
    config = ScoringConfig.of(
        dataset=_name(name), threshold_step=threshold_step, tau=tau, workers=workers, strict=strict
    )
    from wsolbench.engine.assembly import OpenSplits
    from wsolbench.engine.evaluate import score_source
    from wsolbench.engine.sources import MemoryMaps

    dataset = OpenDataset(MemoryDataset(config.dataset, parts), _provider(score))
    fullsup_part = dataset.open(Split.TRAIN_FULLSUP) if fullsup is not None else None
    splits = OpenSplits(dataset.open(Split.TEST), fullsup_part, NO_FULLSUP_MAPS_GIVEN)
    command = f"wsolbench.score({len(maps[Split.TEST])} maps)"
    return score_source(MemoryMaps(maps), dataset, splits, config, call.reporter, command=command)


def train(
    backbone: str | BackboneSpec,
    dataset: str | DatasetSpec | Dataset = "critters",
    *,
    out: FilePath,
    recipe: str | RecipeSpec = "onecycle",
    recipe_options: Mapping[str, Any] | None = None,
    system_options: Mapping[str, Any] | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    weights: FilePath | None = None,
    weights_key: str | None = None,
    input_size: int | None = None,
    preprocessing: PreprocessingName | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: Interpolation | None = None,
    seeds: Sequence[int] = (0,),
    data_root: FilePath | None = None,
    metadata_root: FilePath | None = None,
    train_root: FilePath | None = None,
    boxes: BoxConvention = "inclusive",
    first_pixel: int | None = None,
    unannotated: Unannotated = "error",
    class_map: FilePath | None = None,
    device: str | None = None,
    precision: TrainingPrecision = "fp32",
    workers: int = 2,
    watch: Sequence[SplitName] = (),
    keep_every: int | None = None,
    choose: int | None = None,
    checkpoint: CheckpointRule = "last",
    choose_by: ChoiceMetric | None = None,
    method: str | MethodSpec | None = None,
    method_options: Mapping[str, Any] | None = None,
    resume: bool = False,
    progress: bool = False,
) -> TrainedClassifier:
    """Train a classifier from image labels only.

    Args:
        backbone: A registered name, also behind that of a system (``adl:resnet_nano``), or a specification.
        dataset: A registered name, a specification, or an object with the interface of `Dataset`.
        out: A new folder for weights, card, log and curve.
        recipe: A registered name or a specification.
        recipe_options: Option -> value.
        system_options: Option of the system -> value.
        backbone_options: Option of the network -> value.
        weights: A file or a source of pretrained weights to start from; None for random ones.
        weights_key: Which state dict of a weights file that holds several.
        input_size: Side of the network's input in pixels; see `run` for this and the next four.
        preprocessing: Mean and std of the input by name.
        mean: Mean of the channels R, G, B of [0, 1].
        std: Standard deviation of the channels.
        interpolation: Filter by which images are warped to the size.
        seeds: The training runs once for each; the first one's weights are kept.
        data_root: Where the data set is.
        metadata_root: Where its lists are.
        train_root: Where its train-weaksup images are.
        boxes: What the second corner of a listed box is; see `wsolbench.api.Conventions`.
        first_pixel: The number of the first pixel in lists of corners.
        unannotated: What happens to images without box and mask where others have one.
        class_map: A file that puts class folders, categories and rows of the network's head together.
        device: None for a GPU where there is one.
        precision: Of a training step.
        workers: Threads that load images.
        watch: Splits whose accuracy is logged after every epoch; nothing is chosen by it.
        keep_every: The weights of the first seed are kept after every so many epochs; None for the end only.
        choose: Train so many times with options drawn at random, and keep the best on train-fullsup; None trains once.
        checkpoint: ``last`` weights, or ``best-on-train-fullsup``: those of the epoch that localizes best on
            train-fullsup, whose boxes or masks are used for it.
        choose_by: The score of a choice; by default MaxBoxAccV2, and PxAP where there are masks only.
        method: Of a choice: the method whose maps are scored; None for that of the system, or ``cam``.
        method_options: Of a choice: option of the method -> value.
        resume: Whether to continue a training of the same settings and `out` that was interrupted.
        progress: Whether the progress is shown on standard error.

    Returns:
        The weights file, for ``run(weights=...)``, and the card that says how it came about.

    Raises:
        WsolbenchError: Whatever the caller can mend.
    """
    call = _Call(dict(locals()), progress)
    from wsolbench.networks.describe import usual_method

    network = call.register(backbone, None)
    config = TrainConfig.of(
        backbone=network,
        dataset=call.register(dataset, _dataset_spec),
        recipe=call.register(recipe, None),
        recipe_options=dict(recipe_options or {}),
        system_options=dict(system_options or {}),
        backbone_options=dict(backbone_options or {}),
        weights=None if weights is None else str(weights),
        seeds=seeds,
        watch=watch,
        method=usual_method(call.registry, network) if method is None else call.register(method, None),
        method_options=dict(method_options or {}),
        **call.settings(
            TrainConfig,
            "backbone",
            "dataset",
            "recipe",
            "recipe_options",
            "system_options",
            "backbone_options",
            "weights",
            "seeds",
            "watch",
            "method",
            "method_options",
        ),
    )
    from wsolbench.training.choose import train_or_choose as carry_out

    return carry_out(config, call.registry, call.reporter, command=call.command("train"))


def analyze(
    analysis: str,
    backbones: str | BackboneSpec | nn.Module | Sequence[str | BackboneSpec | nn.Module] = (),
    dataset: str | DatasetSpec | Dataset | None = None,
    *,
    records: FilePath | ResultRecord | Sequence[FilePath | ResultRecord] = (),
    options: Mapping[str, Any] | None = None,
    weights: FilePath | Sequence[FilePath] | None = None,
    weights_root: FilePath | None = None,
    weights_key: str | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    tap: str | None = None,
    input_size: int | None = None,
    preprocessing: PreprocessingName | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: Interpolation | None = None,
    layer: str | None = None,
    input: InputConfig | None = None,
    random: bool | None = None,
    data_root: FilePath | None = None,
    metadata_root: FilePath | None = None,
    masks: FilePath | None = None,
    boxes: BoxConvention = "inclusive",
    first_pixel: int | None = None,
    unannotated: Unannotated = "error",
    class_map: FilePath | None = None,
    split: SplitName | None = None,
    images: int | None = None,
    batch_size: int = 32,
    device: str | None = None,
    workers: int = 2,
    seed: int = 0,
    out: FilePath | None = None,
    progress: bool = False,
    **unknown: Never,
) -> pd.DataFrame:
    """Measure what feature maps or records say besides localization.

    Args:
        analysis: Its name, as ``"erf"``; ``wsolbench analyze --help`` lists them.
        backbones: Networks, as `run` takes them.
        dataset: Whose images are used; None for that of the first record, or critters.
        records: Records or their files, whose networks are measured or which are read, and files of earlier analyses.
        options: Option of the analysis -> value, as ``{"size": 512}``.
        weights: Of `backbones`: None for those that ship, one for all, or one for each.
        weights_root: The folder below which the weights files that records name lie.
        weights_key: Which state dict of a weights file that holds several.
        backbone_options: Option of the networks -> value.
        tap: The layer of the networks whose maps are the features.
        input_size: Side of the square input in pixels; see `run` for this and the other settings of the input.
        preprocessing: Mean and std.
        mean: Of the channels R, G, B of [0, 1].
        std: Of the channels.
        interpolation: Filter of the warp.
        layer: Of modules: the name of the layer whose output are the feature maps.
        input: Of modules: how images become their input.
        random: Whether every trained network is measured with random weights too; None as the analysis usually does.
        data_root: Where the data set is; see `run` for this and the other settings of data.
        metadata_root: Where its lists are.
        masks: Where its masks are.
        boxes: What the second corner of a listed box is.
        first_pixel: The number of the first pixel in lists of corners.
        unannotated: What happens to images without box and mask where others have one.
        class_map: A file that puts class folders, categories and rows of the networks' heads together.
        split: The images that are used; None for those that the analysis usually uses.
        images: How many of them: the same number gives the same images, those of `run` with this limit, and another one
            draws anew. None for as many as the analysis usually uses or, where it compares records, those of the first.
        batch_size: Images in a forward pass.
        device: ``"cpu"``, ``"cuda"`` ...; None for a GPU where there is one.
        workers: Threads that load images.
        seed: Of every random draw.
        out: A new folder for figures and tables; None writes none.
        progress: Whether the progress is shown on standard error.
        unknown: None; an option of the analysis that is given as an argument is refused with what to write.

    Returns:
        The table of the analysis. Its ``attrs`` hold what it shows, what it cannot say, its terms, and its images.

    Raises:
        WsolbenchError: Whatever the caller can mend.

    Example:
        ``wsolbench.analyze("noise", ["replknet", "timm:resnet18"], weights="random", images=20)``
    """
    arguments = dict(locals())
    _refuse_unknown(analysis, arguments.pop("unknown"), arguments)
    _refuse_unread(analysis, arguments)
    call = _Call(arguments, progress)
    given = [backbones] if isinstance(backbones, str) or not isinstance(backbones, Sequence) else list(backbones)
    from wsolbench.analysis.given import dataset_of
    from wsolbench.analysis.job import analyze as carry_out
    from wsolbench.analysis.spelling import PYTHON

    seen: Counter[str] = Counter()

    def specify(module: Any) -> BackboneSpec:  # modules of one class are networks of their own
        spec = _backbone_spec(module, layer, input)
        seen[spec.name] += 1
        return spec if seen[spec.name] == 1 else replace(spec, name=f"{spec.name}-{seen[spec.name]}")

    read = [each if isinstance(each, ResultRecord) else _path(each) for each in _several(records)]
    if dataset is None:
        chosen = dataset_of(analysis, read, call.registry, PYTHON)
    else:
        chosen = call.register(dataset, _dataset_spec)
    config = AnalyzeConfig.of(
        backbones=[call.register(each, specify) for each in {id(each): each for each in given}.values()],
        dataset=chosen,
        records=[each for each in read if isinstance(each, Path)],
        options=dict(options or {}),
        weights=[str(each) for each in _several(weights)],
        backbone_options=dict(backbone_options or {}),
        **call.settings(AnalyzeConfig, "backbones", "dataset", "records", "options", "weights", "backbone_options"),
    )
    command = call.command("analyze")
    how: dict[str, Any] = {"command": command, "given": read, "spelling": PYTHON}
    return carry_out(config, call.registry, call.reporter, **how).table


def _refuse_unknown(analysis: str, unknown: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse arguments that `analyze` does not have.

    Raises:
        UsageError: There is one; it may be an option of the analysis, or a slip.
    """
    from wsolbench.analysis.catalogue import load_study
    from wsolbench.analysis.spelling import PYTHON

    for name, value in unknown.items():
        options = [option.name for option in list_options(load_study(analysis))]
        if name in options:
            raise UsageError(f"{name} is an option of the analysis '{analysis}': write {PYTHON.option(name, value)}")
        close = difflib.get_close_matches(name, [*known, *options], n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UsageError(f"analyze has no argument '{name}', and the analysis '{analysis}' has no such option.{hint}")


def _refuse_unread(analysis: str, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of `analyze` that an analysis of records does not read, unless they are as if nobody gave them.

    Raises:
        UsageError: There is one.
    """
    from wsolbench.analysis.catalogue import load_study
    from wsolbench.analysis.study import RecordStudy

    if not issubclass(load_study(analysis), RecordStudy):
        return
    defaults = {each.name: each.default for each in inspect.signature(analyze).parameters.values()}
    for name, value in arguments.items():
        default = defaults[name]
        is_default = value is default or (type(value) is type(default) and value == default)
        is_empty = isinstance(value, Sequence | Mapping) and not value
        if name not in _READ_WITH_RECORDS and not is_default and not is_empty:
            raise UsageError(
                f"{name}: the analysis '{analysis}' reads records, no network and no image: give it records, which "
                "wsolbench.run returns, or their files, as records=..."
            )


_READ_WITH_RECORDS = ("analysis", "records", "options", "out", "progress")
"""The arguments of `analyze` that an analysis of records reads."""


def _several(given: Any) -> list[Any]:
    """Return one or several as a list, none of nothing."""
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def sweep(
    sweep: FilePath | Mapping[str, Any],
    *,
    out: FilePath | None = None,
    on: Literal["local", "ray"] = "local",
    address: str | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> Records:
    """Run a grid of networks, methods, data sets, seeds and settings; the same call again continues.

    Args:
        sweep: A SWEEP.yaml, or what such a file says: ``{"backbones": [...], "methods": [...], ...}``.
        out: The folder of the sweep; by default ``sweeps/<name of the file>``.
        on: Where jobs run: on this machine, or on a cluster of Ray.
        address: Of the cluster; None for the one of this machine, or a new one.
        jobs: How many run at once on this machine; 0 for none, which returns what is finished.
        progress: Whether the states of jobs are shown on standard error.

    Returns:
        The records of all jobs that are finished, in the order of the sweep.

    Raises:
        WsolbenchError: Whatever the caller can mend; also where a job fails, with a line for each.

    Example:
        ``wsolbench.sweep("examples/sweep.yaml", jobs=2).to_frame()``
    """
    call = _Call({}, progress)
    from wsolbench.sweeps.check import check_offers
    from wsolbench.sweeps.config import SweepConfig, read_sweep
    from wsolbench.sweeps.folder import Plan
    from wsolbench.sweeps.jobs import plan_jobs
    from wsolbench.sweeps.sweep import Machines, default_folder
    from wsolbench.sweeps.sweep import sweep as carry_out
    from wsolbench.sweeps.table import following

    if isinstance(sweep, Mapping):
        if out is None:
            raise UsageError("out: name the folder of the sweep")
        name, config, content = "sweep", SweepConfig.of(sweep, "sweep"), repr(sweep).encode()
    else:
        name, (config, content) = str(_path(sweep)), read_sweep(_path(sweep))
    planned = plan_jobs(config, name)
    check_offers(config, call.registry, name)
    done = carry_out(
        default_folder(Path(name)) if out is None else Path(out),
        Plan.of(config, planned, name, content, ()),
        Machines(on, jobs, address),
        call.reporter,
        partial(following, call.reporter, quiet=not progress),
    )
    return Records(read_record(path) for job in planned for path in done.folder.records(job))


def compare(first: ResultRecord | FilePath, second: ResultRecord | FilePath) -> Comparison:
    """Compare two records of the same images, with intervals from resamples that hold the same images for both.

    Args:
        first: A record or its file.
        second: The record that may be better, or its file.

    Raises:
        UsageError: They are not of the same images, annotations and protocol settings.
        DataError: A file is no record, or a record's numbers do not follow from its outcomes.
    """
    given = (each if isinstance(each, ResultRecord) else _path(each) for each in (first, second))
    return compare_records(*map(verified, given))


def load_record(path: FilePath) -> ResultRecord:
    """Read a record from its file, with the outcomes of every image where they are beside it.

    Raises:
        DataError: The file cannot be read or is no record.
    """
    return read_record(_path(path))


def _path(path: Any) -> Path:
    if not isinstance(path, str | PathLike):
        raise UsageError(f"expected a record or the path of its file, got {type(path).__name__}")
    return Path(path)


# -------------------------------------------------------------------------------- from the arguments of a call to a job


class _Call:
    """One call of a function: its arguments, the plugins with the objects that it was given, and what it reports."""

    def __init__(self, arguments: dict[str, Any], progress: bool) -> None:
        self._arguments = arguments
        self.reporter: Reporter = _Warnings()
        if progress:
            from wsolbench.console import ConsoleReporter

            self.reporter = ConsoleReporter()
        self.registry: Registry = load_plugins(warn=self.reporter.warn)

    def register(self, given: Any, specify: Callable[[Any], Spec] | None) -> str:
        """Return the name of what was given; a specification or an object is registered for this call first.

        Args:
            given: A name, a specification or an object.
            specify: Object -> its specification; None where only names and specifications are accepted.
        """
        if isinstance(given, str):
            return given
        if isinstance(given, BackboneSpec | MethodSpec | DatasetSpec | RecipeSpec):
            spec: Spec = given
        elif specify is not None:
            spec = specify(given)
        else:
            raise UsageError(f"expected a name or a specification, got {type(given).__name__}")
        offer = Offer(spec, _provider(given))
        self.registry = self.registry.including(offer)
        return offer.qualified_name

    def settings(self, config: type[AnalyzeConfig | ScoringConfig | TrainConfig], *but: str) -> dict[str, Any]:
        """Return the arguments that are settings of a kind of configuration as they are."""
        names = [name for name in config.model_fields if name in self._arguments and name not in but]
        return {name: self._arguments[name] for name in names}

    def command(self, function: str) -> str:
        """Return the call as Python, for records: its arguments without those that are not set."""
        given = {name: value for name, value in self._arguments.items() if _is_set(value)}
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in given.items() if name != "progress")
        return f"wsolbench.{function}({shown})"


class _Warnings(Reporter):
    """Turns what the caller may have to act on into Python's warnings."""

    def warn(self, message: str) -> None:
        """Warn."""
        warnings.warn(message_text(message), stacklevel=2)


def _is_set(value: object) -> bool:
    """Return whether an argument says anything; arrays are not compared with ``()``, which has no one answer."""
    return not (value is None or value is False or (isinstance(value, tuple) and not value))


def _shown(value: object) -> str:
    if isinstance(value, str | int | float | Mapping):
        return repr(value)
    if isinstance(value, PathLike):
        return repr(str(value))
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_shown, value))}]"
    return str(getattr(value, "__name__", None) or getattr(value, "name", None) or type(value).__name__)


def _provider(given: object) -> Provider:
    """Return who provides an object: the module that it is from; of a method, its source is the version."""
    named = given.func if isinstance(given, partial) else given
    where = named if hasattr(named, "__qualname__") else type(named)
    module = str(getattr(where, "__module__", None) or "python")
    version = _source_version(given.build if isinstance(given, MethodSpec) else given)
    package = module.partition(".")[0].strip("_")  # that of a script or a notebook is "__main__"
    return Provider(package or "python", version, str(getattr(where, "__qualname__", "object")))


def _source_version(function: Any) -> str:
    """Return a version that two functions share only if source, defaults and what they close over are the same.

    Of values that are no plain numbers and texts the type alone counts; without a source, nobody can tell them apart.
    """
    inner = function.func if isinstance(function, partial) else function
    if not inspect.isfunction(inner):
        return UNRELEASED
    try:
        source = textwrap.dedent(inspect.getsource(inner))
    except (OSError, TypeError):
        return UNRELEASED
    closed_over: dict[str, Any] = {}
    for name, cell in zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True):
        with suppress(ValueError):  # nothing was assigned to the name yet
            closed_over[name] = cell.cell_contents
    bound = (function.args, function.keywords) if isinstance(function, partial) else ((), {})
    facts = [source, *map(_fact, (inner.__defaults__, inner.__kwdefaults__, closed_over, *bound))]
    return f"{SOURCE}{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def _fact(value: Any) -> object:
    if isinstance(value, Mapping):
        return [(str(name), _fact(item)) for name, item in value.items()]
    if isinstance(value, list | tuple):
        return [_fact(item) for item in value]
    return value if isinstance(value, str | int | float | None) else type(value).__qualname__


def _name(text: str) -> str:
    """Return a name made of what names may hold.

    Raises:
        UsageError: Nothing of the text is left.
    """
    name = re.sub(r"[^a-z0-9_.+-]+", "-", text.lower()).strip("-.+_")
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(f"'{text}' cannot be a name; names are of {NAME_CHARACTERS}")
    return name


def _maps(scoremaps: Any) -> Any:
    """Return maps, one an image.

    Raises:
        ScoremapError: They are an array of another form.
    """
    if isinstance(scoremaps, np.ndarray) and scoremaps.ndim != 3:
        raise ScoremapError(f"scoremaps: expected one map an image, (N, h, w), got shape {scoremaps.shape}")
    return scoremaps


def _method_spec(method: Any) -> MethodSpec:
    """Return the specification of a function; its parameters after features and context are its options."""
    if not callable(method):
        raise UsageError(
            f"method: expected names, specifications or functions (features, context) -> maps, got {method!r}"
        )
    named = method.func if isinstance(method, partial) else method
    name = _name(str(getattr(named, "__name__", type(named).__name__)))

    def build(**options: Any) -> Any:
        return partial(method, **options) if options else method

    options = list(inspect.signature(method, eval_str=True).parameters.values())[2:]
    keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in options if each.kind not in _VARIADIC]
    build.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    return MethodSpec(name, build, str(getattr(named, "__module__", None) or "python"))


def _backbone_spec(module: Any, layer: str | None, config: InputConfig | None) -> BackboneSpec:
    from torch import nn

    from wsolbench.networks.adapt import module_spec

    if config is not None and not isinstance(config, InputConfig):
        raise UsageError(f"input: expected an InputConfig, such as InputConfig(224), got {config!r}")
    if not isinstance(module, nn.Module):
        raise UsageError(f"backbone: expected a name, a specification or a torch.nn.Module, got {module!r}")
    return module_spec(module, name=_name(type(module).__name__), layer=layer, config=config)


def _dataset_spec(dataset: Any) -> DatasetSpec:
    missing = [name for name in ("name", "splits", "images", "annotations") if not hasattr(dataset, name)]
    if missing:
        raise UsageError(
            f"dataset: expected a name, a specification or an object with the interface of Dataset; "
            f"{type(dataset).__name__} has no {' and no '.join(missing)}"
        )
    return DatasetSpec(_name(dataset.name), lambda _roots: dataset, type(dataset).__qualname__)
