"""What a job is, as plain values: what the command line parses into, what Python calls fill, what a record keeps.

A configuration goes to JSON and back without loss. It names backbones, methods, data sets and recipes; objects that are
not registered are registered for the call first (see `wsolbench.functions`).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from wsolbench.contract import Conventions, DatasetRoots
from wsolbench.contract.choices import (
    DATASET_NAME,
    DEFAULT_THRESHOLD_STEP,
    FINEST_THRESHOLD_STEP,
    LARGEST_INPUT,
    LARGEST_SEED,
    STORED_BOXES,
    STORED_MAPS,
    BoxConvention,
    CheckpointRule,
    ChoiceMetric,
    Interpolation,
    Precision,
    PreprocessingName,
    SplitName,
    Target,
    TauRule,
    TrainingPrecision,
    Unannotated,
)
from wsolbench.contract.inputs import InputChanges
from wsolbench.contract.options import list_options
from wsolbench.errors import UsageError
from wsolbench.texts import counted, printable
from wsolbench.validation import refusal

if TYPE_CHECKING:
    from wsolbench.protocol import Scoring

__all__ = ["AnalyzeConfig", "EvaluateConfig", "RescoreConfig", "RunConfig", "TrainConfig", "weights_of_each"]

Count = Annotated[int, Field(ge=1)]
AnyFloat = Annotated[float, Field(allow_inf_nan=True)]
MapsName = Annotated[str, Field(pattern=DATASET_NAME)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
FirstPixel = Annotated[int, Field(ge=0, le=1)]
InputSize = Annotated[int, Field(ge=1, le=LARGEST_INPUT)]
ChannelMean = Annotated[float, Field(ge=0, le=1)]
ChannelStd = Annotated[float, Field(gt=0, le=1)]
ThresholdStep = Annotated[float, Field(ge=FINEST_THRESHOLD_STEP, le=1)]


def _finite(value: Any) -> Any:
    """Return the value of an option as it is; raise ValueError where it holds a number that JSON does not have."""
    if isinstance(value, Real) and not isinstance(value, Integral) and not math.isfinite(value):
        raise ValueError("no finite number")
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        for item in value.values() if isinstance(value, Mapping) else value:
            _finite(item)
    return value


OptionValues = Mapping[str, Annotated[Any, AfterValidator(_finite)]]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Build a configuration from values.

        Raises:
            UsageError: A value is of a wrong type or out of range, or a name is no setting.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise UsageError(_in_one_line(error, cls)) from None

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a configuration from JSON.

        Raises:
            UsageError: It is no JSON of this kind of configuration.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise UsageError(_in_one_line(error, cls)) from None

    def to_json(self) -> str:
        """Return the configuration as JSON."""
        return self.model_dump_json(indent=2) + "\n"


class DataConfig(_Config):
    """Which data set, where it is on disk, and how its lists are read; see `DatasetRoots` and `Conventions`."""

    dataset: str = "critters"
    data_root: Path | None = None
    metadata_root: Path | None = None
    masks: Path | None = None
    train_root: Path | None = None
    boxes: BoxConvention = "inclusive"
    first_pixel: FirstPixel | None = None
    unannotated: Unannotated = "error"
    class_map: Path | None = None

    @property
    def roots(self) -> DatasetRoots:
        """The places of the data set, and how its lists are read."""
        conventions = Conventions(self.boxes, self.first_pixel, self.unannotated, self.class_map)
        return DatasetRoots(self.data_root, self.metadata_root, self.masks, self.train_root, conventions)


def _several(value: object) -> object:
    """Return one τ as several, so that ``tau=0.2`` is understood."""
    return (value,) if isinstance(value, str | float) else value


class ScoringConfig(DataConfig):
    """How maps are scored.

    Args:
        split: The split that is scored.
        limit: At most so many images of each split.
        threshold_step: Step of the grid of τ.
        tau: At which τ maps are scored beside the oracle's and train-fullsup's: numbers, or ``otsu``.
        tau_from: Lists of pseudo boxes on which one more τ is chosen.
        workers: Threads that load images and score maps.
        strict: Whether a map without a score is an error.
    """

    split: SplitName = "test"
    limit: Count | None = None
    threshold_step: ThresholdStep = DEFAULT_THRESHOLD_STEP
    tau: Annotated[tuple[TauRule, ...], BeforeValidator(_several)] = ()
    tau_from: Path | None = None
    workers: Count = 2
    strict: bool = False

    @property
    def scoring(self) -> Scoring:
        """The grid of τ, the frame and the δ."""
        from wsolbench.protocol import Scoring  # not at the top: it imports OpenCV

        return Scoring(self.threshold_step)


class KeptMapsConfig(ScoringConfig):
    """How maps are scored that are there already.

    Args:
        frame: Side of the evaluation frame in pixels; None for that of the protocol.
        iou_thresholds: The δ of which V2 is the mean, ascending, 0.5 among them; None for those of the protocol.
    """

    frame: int | None = None
    iou_thresholds: Annotated[tuple[AnyFloat, ...] | None, BeforeValidator(_several)] = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        """Check the frame and the δ that were given. Raises ``UsageError``."""
        if self._others:
            _ = self.scoring
        return self

    @property
    def scoring(self) -> Scoring:
        """The grid of τ, the frame and the δ."""
        return replace(super().scoring, **self._others)

    @property
    def _others(self) -> dict[str, Any]:
        """The settings that were given."""
        given = {"frame": self.frame, "iou_thresholds": self.iou_thresholds}
        return {name: value for name, value in given.items() if value is not None}


class InputSettings(_Config):
    """How images become the input of a network, where not as its weights and the network itself say.

    Args:
        input_size: Side of the square input in pixels.
        preprocessing: Which mean and std.
        mean: Of the channels R, G, B of [0, 1].
        std: Of the channels.
        interpolation: Filter of the warp.
    """

    input_size: InputSize | None = None
    preprocessing: PreprocessingName | None = None
    mean: tuple[ChannelMean, ChannelMean, ChannelMean] | None = None
    std: tuple[ChannelStd, ChannelStd, ChannelStd] | None = None
    interpolation: Interpolation | None = None

    @property
    def input_changes(self) -> InputChanges:
        """The settings that were given."""
        return InputChanges(self.input_size, self.preprocessing, self.mean, self.std, self.interpolation)


class RunConfig(ScoringConfig, InputSettings):
    """A benchmark run: a backbone and methods on a data set.

    Args:
        backbone: A network, a family or ``timm:NAME``.
        methods: Method -> its options, as values or as the texts that stand for them.
        backbone_options: Option of the network -> value, or the text that stands for it.
        weights: A file, a source of pretrained weights, ``random``, or None for those that ship.
        weights_key: Which state dict of a weights file that holds several; None for the usual one.
        tap: The layer of the network whose maps are the features; None for those before its head.
        target: Whether the true or the predicted class is localized.
        batch_size: Images in a forward pass.
        device: None for a GPU where there is one.
        precision: Of the network up to its features.
        compile: Whether torch compiles the network.
        seed: Of every random draw.
        classifier: The record of another network, or a file of predicted classes, whose classes are scored.
        save_scoremaps: Where the maps are written, if anywhere.
        gallery: Whether the folder gets a gallery of every method.
        cache: Whether maps that were made before are taken from the cache, and new ones kept there.
        out: The new folder of records and galleries; None writes none.
    """

    backbone: str
    methods: Mapping[str, OptionValues]
    backbone_options: OptionValues = {}
    weights: str | None = None
    weights_key: str | None = None
    tap: str | None = None
    target: Target = "gt"
    batch_size: Count = 32
    device: str | None = None
    precision: Precision = "fp32"
    compile: bool = False
    seed: Seed = 0
    classifier: Path | None = None
    save_scoremaps: Path | None = None
    gallery: bool = True
    cache: bool = True
    out: Path | None = None


class RescoreConfig(RunConfig, KeptMapsConfig):
    """A run whose maps are scored again; see `RunConfig` and `KeptMapsConfig`."""


class EvaluateConfig(KeptMapsConfig):
    """An evaluation of stored scoremaps, or of predicted boxes.

    Args:
        scoremaps: The folder of the evaluated split's maps.
        fullsup_scoremaps: The same for train-fullsup, for choosing τ.
        predicted_boxes: A file of boxes of the evaluated split, in place of maps.
        predictions: Where maps or boxes are given, as `classifier`; where they are not, as `predicted_boxes`.
        classifier: A file of predicted classes of the evaluated split, or the record of a network that predicts them.
        name: What the maps or boxes are called in the record, in place of a method; None for ``precomputed`` and
            ``predicted-boxes``.
        origin: The record of the run that made the maps or boxes, whose network and method the new record then names.
        out: The new folder of the record; None writes none.
    """

    scoremaps: Path | None = None
    fullsup_scoremaps: Path | None = None
    predicted_boxes: Path | None = None
    predictions: Path | None = None
    classifier: Path | None = None
    name: MapsName | None = None
    origin: Path | None = None
    out: Path | None = None

    @property
    def predictions_are_boxes(self) -> bool:
        """Whether the file of predictions is what is evaluated, as nothing else is."""
        return self.predictions is not None and self.scoremaps is None and self.predicted_boxes is None

    @property
    def boxes_file(self) -> Path | None:
        """The file of boxes in place of maps."""
        return self.predictions if self.predictions_are_boxes else self.predicted_boxes

    @property
    def classes_file(self) -> Path | None:
        """The file of predicted classes, or the record of a network."""
        return self.classifier if self.predictions_are_boxes else self.classifier or self.predictions

    @property
    def method(self) -> str:
        """What the record calls the maps or boxes."""
        return self.name or (STORED_MAPS if self.boxes_file is None else STORED_BOXES)


class TrainConfig(DataConfig, InputSettings):
    """A training of a classifier from image labels.

    Args:
        backbone: The network; behind the name of a system, as in ``adl:resnet_nano``, that system trains it.
        recipe: How it is trained.
        recipe_options: Option -> value, or the text that stands for it.
        system_options: Option of the system before the network -> value, or the text that stands for it.
        backbone_options: Option of the network -> value, or the text that stands for it.
        weights: A file or a source of pretrained weights to start from; None for random ones.
        weights_key: Which state dict of a weights file that holds several; None for the usual one.
        seeds: The training runs once for each; the first one's weights are kept.
        device: None for a GPU where there is one.
        precision: Of a training step.
        workers: Threads that load images.
        watch: Splits whose accuracy is logged after every epoch.
        keep_every: The weights of the first seed are kept after every so many epochs; None for the end only.
        choose: How many trainings with options drawn at random there are, of which the best on train-fullsup is kept;
            None for one training without a choice.
        checkpoint: Whether the last weights are kept, or those of the epoch that localizes best on train-fullsup.
        choose_by: The score of such a choice; by default MaxBoxAccV2, and PxAP where there are masks only.
        method: The method whose maps are scored for a choice.
        method_options: Option of this method -> value, or the text that stands for it.
        resume: Whether to continue a training of the same settings that was interrupted.
        out: The new folder of weights, card, log and curve.
    """

    backbone: str
    recipe: str = "onecycle"
    recipe_options: OptionValues = {}
    system_options: OptionValues = {}
    backbone_options: OptionValues = {}
    weights: str | None = None
    weights_key: str | None = None
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    device: str | None = None
    precision: TrainingPrecision = "fp32"
    workers: Count = 2
    watch: tuple[SplitName, ...] = ()
    keep_every: Count | None = None
    choose: Count | None = None
    checkpoint: CheckpointRule = "last"
    choose_by: ChoiceMetric | None = None
    method: str = "cam"
    method_options: OptionValues = {}
    resume: bool = False
    out: Path


class AnalyzeConfig(DataConfig, InputSettings):
    """An analysis of networks, of records, or of both.

    Args:
        analysis: Its name.
        options: Option of the analysis -> value, or the text that stands for it.
        records: Files of records, whose networks are measured or which are read, and of earlier analyses.
        backbones: Further networks.
        weights: Of these networks: none for those that ship, one for all of them, or one for each.
        weights_root: The folder below which weights files that records name are found.
        weights_key: Which state dict of weights files that hold several; None for the usual one.
        backbone_options: Option of these networks -> value, or the text that stands for it.
        tap: The layer whose maps are their features; None for those before their heads.
        random: Whether every trained network is measured with random weights too; None as the analysis usually does.
        split: The images that are used; None for those that the analysis usually uses.
        images: How many of them: the same number gives the same images, another one draws anew; None for as many as the
            analysis usually uses or, where it compares records, those of the first.
        batch_size: Images in a forward pass.
        device: None for a GPU where there is one.
        workers: Threads that load images.
        seed: Of every random draw, such as random weights.
        out: The new folder of figures and tables; None writes none.
    """

    analysis: str
    options: Mapping[str, Any] = {}
    records: tuple[Path, ...] = ()
    backbones: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    weights_root: Path | None = None
    weights_key: str | None = None
    backbone_options: Mapping[str, Any] = {}
    tap: str | None = None
    random: bool | None = None
    split: SplitName | None = None
    images: Count | None = None
    batch_size: Count = 32
    device: str | None = None
    workers: Count = 2
    seed: Seed = 0
    out: Path | None = None

    @property
    def weights_of_backbones(self) -> tuple[str | None, ...]:
        """The weights of every network in `backbones`.

        Raises:
            UsageError: They are neither none, one for all, nor one for each.
        """
        return weights_of_each(self.weights, len(self.backbones))


def weights_of_each(weights: Sequence[str], networks: int) -> tuple[str | None, ...]:
    """Return the weights of each of some networks; None where they are those that ship.

    Raises:
        UsageError: They are neither none, one for all, nor one for each.
    """
    if len(weights) not in (0, 1, networks):
        raise UsageError(
            f"{len(weights)} weights for {counted(networks, 'networks')}: give none, one for all, or one for each, in "
            "their order"
        )
    return tuple(weights) if len(weights) == networks else (tuple(weights) or (None,)) * networks


def _in_one_line(error: ValidationError, cls: type[_Config]) -> str:
    """Say in one line what is wrong with a configuration, and what belongs there, in the words of options."""
    first = error.errors()[0]
    if not first["loc"]:
        return f"no configuration of this kind: {refusal(error)}"
    name = str(first["loc"][0])
    settings = {option.name: option for option in list_options(cls)}
    if name not in settings:
        close = difflib.get_close_matches(name, settings, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        return f"there is no setting {name!r}.{hint} The settings are {', '.join(settings)}"
    if first["type"] == "value_error":
        place = printable(".".join(map(str, first["loc"])))  # names of options come from files
        return f"{place} takes finite numbers, not {first['input']!r}"
    accepts = settings[name].accepts
    if first["type"] == "missing":
        return f"the setting '{name}' is missing; it takes {accepts}"
    return f"{name} takes {accepts}, not {first['input']!r}"
