"""The result record: every number of one evaluation with where it comes from, as a summary that people can read.

Percent everywhere unless a field says otherwise. A value that is not available is null, and `missing` says why. What
happened to every image is not in the summary: it travels with the record as arrays, and is a file of its own on disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator
from pydantic_core import to_json

from wsolbench.contract.choices import (
    DATASET_NAME,
    FINEST_THRESHOLD_STEP,
    LARGEST_SEED,
    ChoiceMetric,
    IouKey,
    Precision,
    SplitName,
    Target,
    TrainingPrecision,
    iou_key,
)
from wsolbench.contract.inputs import InputSetting, shown_input
from wsolbench.contract.methods import NOT_DEFINED
from wsolbench.errors import DataError, UsageError
from wsolbench.protocol import (
    FRAME,
    IOU_THRESHOLDS,
    LARGEST_FRAME,
    SMALLEST_FRAME,
    SizeKey,
    check_iou_thresholds,
)
from wsolbench.protocol.rules import OTSU, PSEUDO_BOXES, fixed_threshold
from wsolbench.protocol.uncertainty import IntervalKind
from wsolbench.records.plain import LONGEST_TEXT, plain, sealed
from wsolbench.texts import LONGEST, printable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from wsolbench.records.compare import Comparison
    from wsolbench.records.outcomes import SplitOutcomes

__all__ = ["LATER_METRICS", "SCHEMA_VERSION", "Records", "ResultRecord", "record_schema", "v2_over"]

SCHEMA_VERSION: Literal[3] = 3

LARGEST_COUNT = 2**53
"""Whole numbers up to it are exact in every reader of JSON."""
_MOST_LISTED = 4
"""IoU thresholds that the name of their mean lists; of more it has the first and the last."""
_BY_IOU = ("_by_iou", "cam_threshold")
"""How names end of what there is for each δ."""
OF_METHOD = "method"
"""Among the phases of a record: the method alone, without the network whose features it reads."""


def _made_printable(longest: int = LONGEST) -> BeforeValidator:
    return BeforeValidator(lambda value: printable(value, longest) if isinstance(value, str) else value)


def _as_file(value: Any) -> Any:
    """Make a file name printable; a backslash separates folders on some systems."""
    return printable(value.replace("\\", "\N{REPLACEMENT CHARACTER}")) if isinstance(value, str) else value


def _possible(iou_thresholds: tuple[float, ...]) -> tuple[float, ...]:
    try:
        return check_iou_thresholds(iou_thresholds)
    except UsageError as error:
        raise ValueError(str(error)) from None


def _is_rule(name: str) -> str:
    if name not in (PSEUDO_BOXES, OTSU) and fixed_threshold(name) is None:
        raise ValueError(f"expected {PSEUDO_BOXES}, {OTSU} or fixed- with a τ from 0 to below 1")
    return name


# What a run describes is made printable; what is read must be so already (see `wsolbench.records.plain`).
Text = Annotated[str, _made_printable()]
Command = Annotated[str, _made_printable(LONGEST_TEXT)]
FileName = Annotated[str, BeforeValidator(_as_file)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+:-]*$", max_length=200)]
"""Of a network, a method or a recipe, with prefixes as in ``timm:resnet18``; it becomes part of file names."""
DatasetName = Annotated[str, Field(pattern=DATASET_NAME)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Percent = Annotated[float, Field(ge=0, le=100 + 1e-9)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PartName: TypeAlias = SplitName | Literal["pseudo-boxes"]
"""Of outcomes: those of a split, or of images with pseudo boxes, on which τ is chosen."""
RuleName = Annotated[str, AfterValidator(_is_rule)]
Plain = Annotated[dict[str, Any], BeforeValidator(plain)]
"""Settings of any kind, as JSON has them."""
_FOR_EACH_IOU = Field(min_length=1, json_schema_extra={"additionalProperties": False})
PercentByIou = Annotated[dict[IouKey, Percent], _FOR_EACH_IOU]
FractionByIou = Annotated[dict[IouKey, Fraction], _FOR_EACH_IOU]
PercentBySize = Annotated[dict[SizeKey, Percent], Field(min_length=1)]
"""Of the sizes that images have; see `wsolbench.protocol.OBJECT_SIZES`."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Metrics(_Part):
    """The scores. `single` takes the largest contour (MaxBoxAcc), `multi` every contour (MaxBoxAccV2)."""

    max_box_acc: Percent | None = Field(description="BoxAcc(τ, 0.5), single-contour, at the oracle τ")
    fullsup_box_acc: Percent | None = Field(description="the same at the τ chosen on train-fullsup")
    max_box_acc_v2: Percent | None = Field(
        description="mean over δ of BoxAcc(τ, δ), multi-contour, each at its oracle τ"
    )
    fullsup_box_acc_v2: Percent | None = Field(description="the same at each δ's τ chosen on train-fullsup")
    max_box_acc_by_iou: PercentByIou | None = Field(description="the terms of max_box_acc_v2")
    fullsup_box_acc_by_iou: PercentByIou | None = Field(description="the terms of fullsup_box_acc_v2")
    fullsup_cam_threshold: FractionByIou | None = Field(description="τ for each δ, multi-contour; fractions")
    fullsup_cam_threshold_single: Fraction | None = Field(description="τ for δ 0.5, single-contour; a fraction")
    gt_known_loc: Percent | None = Field(description="fullsup_box_acc where the map is made for the true class")
    top1_loc: Percent | None = Field(description="box right (single, δ 0.5, fullsup τ) and class predicted")
    top5_loc: Percent | None = Field(description="box right and class among the five best")
    top1_acc: Percent | None
    top5_acc: Percent | None
    pxap: Percent | None = Field(description="area under the pixel precision-recall curve")
    mean_iou: Percent | None = Field(
        default=None, description="mean best IoU of the largest contour's box, at the oracle τ of max_box_acc"
    )
    fullsup_mean_iou: Percent | None = Field(default=None, description="the same at fullsup_cam_threshold_single")
    box_acc_area: Percent | None = Field(
        default=None, description="area under BoxAcc(τ, 0.5), single-contour: its mean over the grid of τ"
    )
    box_acc_area_v2: Percent | None = Field(
        default=None, description="mean over δ of the area under BoxAcc(τ, δ), multi-contour"
    )
    max_box_acc_by_size: PercentBySize | None = Field(
        default=None,
        description="BoxAcc(τ, 0.5), single-contour, at the oracle τ of max_box_acc, among the images whose largest "
        "true box covers such a share of the frame; a lower edge belongs to its size; a size without images is omitted",
    )
    fullsup_box_acc_by_size: PercentBySize | None = Field(
        default=None, description="the same at fullsup_cam_threshold_single"
    )
    pointing_game: Percent | None = Field(
        default=None,
        description="maps whose maximum lies at most 15 pixels of the frame from a true box or, without boxes, mask",
    )
    pointing_game_exact: Percent | None = Field(default=None, description="the same with a tolerance of 0 pixels")
    energy_pointing_game: Percent | None = Field(
        default=None,
        description="mean share of a scoremap's sum that lies inside the true boxes or, without boxes, the mask",
    )


LATER_METRICS = tuple(name for name, field in Metrics.model_fields.items() if not field.is_required())
"""Metrics that older records do not have."""


class Intervals(_Part):
    """How sure the metrics are: bootstrap intervals over images, with τ chosen anew inside every resample.

    An oracle τ is the best of the resample, a fullsup τ that of a resample of train-fullsup.
    """

    kind: IntervalKind
    level: float = Field(gt=0, lt=1, description="how often such an interval should contain the truth; a fraction")
    resamples: int = Field(ge=1, le=100_000)
    seed: Seed
    metrics: dict[str, tuple[float, float]] = Field(
        description="metric -> lower and upper end; a term of a mean as max_box_acc_by_iou.0.3; PxAP has none"
    )


class ThresholdScores(_Part):
    """The scores at the τ of one rule; `single` and `multi` as in the metrics. Null where the method has no maps."""

    box_acc: Percent | None = Field(description="BoxAcc(τ, 0.5), single-contour")
    box_acc_v2: Percent | None = Field(description="mean over δ of BoxAcc(τ, δ), multi-contour")
    box_acc_by_iou: PercentByIou | None = Field(description="the terms of box_acc_v2")
    top1_loc: Percent | None = Field(description="box right (single, δ 0.5) and class predicted")
    top5_loc: Percent | None = Field(description="box right and class among the five best")
    cam_threshold: FractionByIou | None = Field(description="τ for each δ, multi-contour; null for Otsu's method")
    cam_threshold_single: Fraction | None = Field(
        description="τ, single-contour; of Otsu's method the mean over images"
    )


class SplitInfo(_Part):
    """A split that took part: which images and annotations, and how many maps held no score."""

    split: PartName
    images: PositiveCount
    image_ids_sha256: Sha256 = Field(description="of the ids, one a line")
    annotations_sha256: Sha256 = Field(description="of ids, labels, sizes, boxes and masks")
    images_sha256: Sha256 | None = Field(description="of the pixels of every image; null where none was read")
    nan_maps: Count = Field(description="maps that held NaN or infinity and were scored as zero maps")
    constant_maps: Count = Field(
        description="maps of one value: zero maps, or scored as they are where they had the frame's size"
    )
    statistics: list[Text] = Field(description="what the method reports of every map, such as variance_share")


class DatasetInfo(_Part):
    """What was evaluated on."""

    name: DatasetName
    title: Text | None = Field(
        default=None, description="the name of the folder of images, where `name` is that of a layout"
    )
    version: Text
    content_sha256: Sha256 = Field(description="of the annotations of the evaluated split and of train-fullsup")
    num_classes: Count
    split_sizes: dict[Text, PositiveCount] = Field(description="images that were used")
    omitted: dict[Text, Count] = Field(
        default_factory=dict, description="split -> images without box and mask that were left out, as asked for"
    )
    limit: PositiveCount | None
    remarks: dict[Text, dict[Text, Count]] = Field(
        default_factory=dict,
        description="split -> what was decided about image files, and done to listed boxes -> images",
    )

    @property
    def shown(self) -> str:
        """What people call it."""
        return self.title or self.name


class Preprocessing(_Part):
    """How an image became the network's input."""

    size: PositiveCount
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Text


class DrawInfo(_Part):
    """One of several trainings with options drawn at random."""

    options: Plain = Field(description="what was drawn, as recipe.learning_rate, system.…, backbone.… and method.…")
    score: Percent | None = Field(description="on train-fullsup, at its oracle τ; null where it failed")
    failed: Text | None = Field(default=None, description="why there is no score")
    train_fullsup_top1: Percent | None = Field(default=None, description="for information; no choice depends on it")
    final_loss: float | None = Field(default=None, description="mean over the last epoch")


class ChoiceInfo(_Part):
    """How weights were chosen among trainings that differ in options drawn at random: the best on train-fullsup."""

    split: Literal["train-fullsup"] = "train-fullsup"
    images: PositiveCount = Field(description="of train-fullsup")
    annotations_sha256: Sha256 = Field(description="of train-fullsup")
    metric: ChoiceMetric
    method: Name = Field(description="whose maps were scored")
    method_options: Plain = Field(description="those that were given, and those of the chosen draw")
    space: dict[Text, Text] = Field(description="option -> what it was drawn from")
    seed: Seed
    draw: Count = Field(description="which draw was chosen, from 0; of equal scores the first")
    draws: list[DrawInfo] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_the_best(self) -> Self:
        """Refuse a choice that is not the first of the best scores."""
        scores = [-1.0 if each.score is None else each.score for each in self.draws]
        if self.draw >= len(scores) or scores[self.draw] < 0 or scores.index(max(scores)) != self.draw:
            raise ValueError(f"draw {self.draw} is not the first with the best score on train-fullsup")
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for, without what came of it: another machine may choose another draw."""
        return {
            **self.model_dump(include={"split", "annotations_sha256", "metric", "method", "space", "seed"}),
            "draws": len(self.draws),
        }


class BestEpochInfo(_Part):
    """Which epoch's weights were kept: those that localize best on train-fullsup, with its boxes or masks."""

    split: Literal["train-fullsup"] = "train-fullsup"
    images: PositiveCount = Field(description="of train-fullsup")
    annotations_sha256: Sha256 = Field(description="of train-fullsup")
    metric: ChoiceMetric
    method: Name = Field(description="whose maps were scored")
    method_options: Plain
    first: PositiveCount = Field(description="the first epoch that was scored: the first of the last stage")
    scores: list[Percent | None] = Field(min_length=1, description="after each epoch from then on, at its oracle τ")
    epoch: PositiveCount = Field(description="the epoch whose weights were kept; of equal scores the first")

    @model_validator(mode="after")
    def _is_the_best(self) -> Self:
        """Refuse an epoch that is not the first of the best scores."""
        scores = [-1.0 if each is None else each for each in self.scores]
        if max(scores) < 0 or self.first + scores.index(max(scores)) != self.epoch:
            raise ValueError(f"epoch {self.epoch} is not the first with the best score on train-fullsup")
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for, without what came of it: another machine may keep another epoch."""
        return self.model_dump(exclude={"images", "first", "scores", "epoch"})


class StageInfo(_Part):
    """A part of a training by a system."""

    name: Text
    epochs: PositiveCount
    trains: list[Text] = Field(
        description="parts of the network, as in its names of parameters; an empty name is all of it"
    )
    pairs: PositiveCount = Field(default=1, description="images of one class that follow one another in a batch")
    targets_sha256: Sha256 | None = Field(default=None, description="of its per-image targets; null where it has none")


class SystemInfo(_Part):
    """The system that trained a network so that it localizes."""

    name: Name
    options: Plain
    stages: list[StageInfo] = Field(min_length=1)

    @property
    def without_targets(self) -> SystemInfo:
        """The same without what came of it: another machine or seed may make other targets."""
        stages = [stage.model_copy(update={"targets_sha256": None}) for stage in self.stages]
        return self.model_copy(update={"stages": stages})


class TrainingTime(_Part):
    """How long a training took, and on what."""

    seconds: Annotated[float, Field(ge=0)] = Field(description="wall clock of its command, all stages and seeds")
    device: Text
    threads: PositiveCount = Field(description="of the main process on the CPU")


class TrainingInfo(_Part):
    """How weights were trained, as the card beside their file says."""

    dataset: DatasetName
    recipe: Name
    recipe_options: Plain
    system: SystemInfo | None = Field(default=None, description="null where the recipe alone trained the network")
    precision: TrainingPrecision = Field(default="fp32", description="bf16: torch's autocast; weights are float32")
    preprocessing: Preprocessing | None = Field(
        default=None, description="how images became the network's input; null where as the network itself has it"
    )
    seed: Seed
    initial_weights: WeightsInfo = Field(description="what it started from, with the training of that, where known")
    command: Command
    chosen: ChoiceInfo | None = Field(default=None, description="null where this is no choice among several trainings")
    best_epoch: BestEpochInfo | None = Field(
        default=None, description="null where no boxes or masks decided which epoch's weights were kept"
    )
    epoch: PositiveCount | None = Field(
        default=None, description="the epoch of the recipe after which the weights were kept; null at the end"
    )
    processes: PositiveCount | None = Field(
        default=None, description="how many processes trained together, each with a part of every batch; null for one"
    )
    time: TrainingTime | None = Field(default=None, description="null in older records; no part of an identity")

    @property
    def history(self) -> list[TrainingInfo]:
        """This training and those that it went on from, the earliest first."""
        earlier = self.initial_weights.training
        return [*(earlier.history if earlier else []), self]

    def without_seed(self) -> TrainingInfo:
        """Return what trainings have in common that differ in their seeds alone.

        Where a training went on from another one of its own seed, the seed of both is left out. What went on from one
        of another seed has its very weights in common with others: a part of the result is the same for all of them.
        """
        start = self.initial_weights
        if start.training is not None and start.training.seed == self.seed:
            start = start.model_copy(update={"file": None, "sha256": None, "training": start.training.without_seed()})
        changes: dict[str, Any] = {"seed": 0, "command": "", "initial_weights": start, "time": None}
        if self.system is not None:
            changes["system"] = self.system.without_targets
        if self.best_epoch is not None:
            changes["best_epoch"] = self.best_epoch.model_copy(update={"scores": [], "first": 1, "epoch": 1})
        return self.model_copy(update=changes)


class WeightsInfo(_Part):
    """Where a network's weights come from."""

    source: Literal["shipped", "file", "pretrained", "random", "object"]
    file: FileName | None = Field(description="file name without its folder; of pretrained weights, source:name")
    sha256: Sha256 | None = Field(description="of the file; of pretrained weights, of their entries")
    training: TrainingInfo | None = Field(default=None, description="null where no card is beside the file")
    key: Text | None = Field(default=None, description="which state dict of the file, where it holds several")
    notes: list[Text] = Field(
        default=[], description="what was decided while the file was read, and what contradicts it"
    )

    @model_validator(mode="after")
    def _file_is_no_path(self) -> Self:
        """Refuse a name that leads out of the folder in which a gallery looks for it."""
        name = self.file if self.source in ("file", "shipped") else None
        if name is not None and ("/" in name or not name.strip(". ")):
            raise ValueError("file: expected a file name without its folder")
        return self


class BackboneInfo(_Part):
    """The network."""

    requested: Name = Field(description="the name that was asked for, perhaps a family")
    name: Name
    family: Name | None
    system: Name | None = Field(
        default=None, description="that stands before its name; null without one, and in older records"
    )
    options: Plain = Field(default={}, description="of the network, those that were given")
    tap: Text | None = Field(default=None, description="layer whose maps are the features; null for the network's own")
    provider: Text
    parameters: Count = Field(description="before branches were merged")
    largest_kernel: Count = Field(description="longest side of the kernels of all layers, in cells")
    stage_kernel: Count | None = Field(
        default=None,
        description="longest side of the kernels that look around a position of a map: without patch embeddings and "
        "without layers that read the image; 0 for a network of tokens; null in records that did not say it",
    )
    reparameterized: bool
    precision: Precision = Field(default="fp32", description="of weights and activations on the way to the features")
    compiled: bool = Field(default=False, description="whether torch compiled that way")
    feature_shape: tuple[PositiveCount, PositiveCount, PositiveCount] = Field(
        description="channels, height and width of the tapped features"
    )
    weights: WeightsInfo
    classes: Count | None = Field(
        default=None, description="of its classifier, 0 for a network without; null in records that did not say it"
    )
    class_rows: tuple[int, ...] | None = Field(
        default=None,
        description="label -> row of the head, -1 for a class without images; null where every label is its row",
    )
    preprocessing: Preprocessing
    changed_input: list[InputSetting] = Field(
        default=[], description="settings of the preprocessing that are not the network's own"
    )

    @property
    def label(self) -> str:
        """The name with the options and the tap, the input where it is not its own, and weights of another system."""
        options = self.options if self.tap is None else {**self.options, "tap": self.tap}
        return network_label(self.name, options, ", ".join(filter(None, (self.changed_settings, self.other_system))))

    @property
    def other_system(self) -> str:
        """Whose the weights are, where another system than that of the name trained them, or none; else empty."""
        training = self.weights.training
        if training is None:
            return ""
        trained = None if training.system is None else training.system.name
        named = trained if trained is not None and self.name.startswith(f"{trained}:") else self.system
        return "" if trained == named else f"weights of {trained}" if trained else "weights of no system"

    @property
    def changed_settings(self) -> str:
        """The settings of its input that are not its own, for people; empty if all are."""
        return shown_input({name: getattr(self.preprocessing, name) for name in self.changed_input})


def network_label(name: str, options: Mapping[str, Any], input: str = "") -> str:
    """Return a network's name as tables show it: ``timm:mobilenetv2_100 (pad_type=same, 320 px)``."""
    parts = [*(f"{key}={value}" for key, value in options.items()), *([input] if input else [])]
    return f"{name} ({', '.join(parts)})" if parts else name


class MethodInfo(_Part):
    """What made the maps."""

    name: Name
    provider: Text | None = Field(description="null for maps that were read from files")
    options: Plain
    changed_options: Plain = Field(description="those that differ from their default")
    reads_network: bool = Field(description="false for a baseline whose maps do not depend on the network")
    fitted_images: PositiveCount | None = Field(
        default=None, description="images of train-weaksup that it was fitted on; null for a method without a fit"
    )
    fit_rounds: PositiveCount | None = Field(
        default=None, description="passes over them; null for a method that is not fitted with their labels"
    )
    fit_state_sha256: Sha256 | None = Field(
        default=None, description="of what a fit with labels found; null for a method without one"
    )


class ClassifierInfo(_Part):
    """Whose predicted classes Top-k Loc and the accuracies are of, where it is not the network that made the maps."""

    file: FileName = Field(description="the file of predicted classes, or the record, without its folder")
    network: Text | None = Field(description="of a record; null where a file does not say whose classes they are")
    sha256: Sha256 = Field(description="of the file; of a record, its outcomes_sha256")

    @property
    def label(self) -> str:
        """Whose classes they are, for people."""
        return self.file if self.network is None else f"{self.network}, {self.file}"


def v2_over(iou_thresholds: Sequence[float]) -> str:
    """Return what V2 over other δ than those of the protocol is called: ``V2 over δ 0.3, 0.5``; of many, the ends."""
    if len(iou_thresholds) > _MOST_LISTED:
        return f"V2 over {len(iou_thresholds)} δ, {iou_thresholds[0]:g} to {iou_thresholds[-1]:g}"
    return f"V2 over δ {', '.join(f'{each:g}' for each in iou_thresholds)}"


class ProtocolInfo(_Part):
    """The settings that make two records comparable."""

    version: int = Field(default=1, ge=1, le=1)
    split: SplitName
    scored: Literal["maps", "boxes"] = Field(
        default="maps", description="boxes are right at every τ or at none, so that train-fullsup chooses nothing"
    )
    target: Target | None = Field(description="null where the maps came from files")
    threshold_step: float = Field(ge=FINEST_THRESHOLD_STEP, le=1, description="of the grid of τ from 0 to 1")
    frame: int = Field(
        ge=SMALLEST_FRAME, le=LARGEST_FRAME, description=f"side of the evaluation frame in pixels; usually {FRAME}"
    )
    iou_thresholds: Annotated[tuple[float, ...], AfterValidator(_possible)] = Field(
        description=f"the δ of which V2 is the mean, ascending, 0.5 among them; usually {list(IOU_THRESHOLDS)}"
    )

    @property
    def is_usual(self) -> bool:
        """Whether frame and δ are those of the protocol: others give scores that stand apart."""
        return self.frame == FRAME and self.iou_thresholds == IOU_THRESHOLDS

    @property
    def v2(self) -> str:
        """What V2 is called: over other δ than those of the protocol, what it is."""
        return "MaxBoxAccV2" if self.iou_thresholds == IOU_THRESHOLDS else v2_over(self.iou_thresholds)

    @property
    def unusual(self) -> list[str]:
        """What of frame and δ is not that of the protocol, for people."""
        frame = [] if self.frame == FRAME else [f"frame {self.frame}×{self.frame}"]
        return [*frame, *([] if self.iou_thresholds == IOU_THRESHOLDS else [self.v2])]


class Environment(_Part):
    """What computed it."""

    wsolbench: Text
    git_revision: Text | None
    plugins: dict[Text, Text] = Field(description="distribution -> version of all that were loaded")
    packages: dict[Text, Text]
    platform: Text
    device: Text
    seed: Seed | None
    batch_size: PositiveCount | None
    command: Command
    created: Text = Field(description="UTC, ISO 8601")


class ResultRecord(_Part):
    """One backbone, one method, one data set: numbers and provenance.

    Equal records have equal summaries; `outcomes_sha256` stands for the outcomes.
    """

    schema_version: Literal[3] = SCHEMA_VERSION
    metrics: Metrics
    missing: dict[Text, Text] = Field(description="metric -> why it is null")
    intervals: Intervals | None = Field(description="null where no metric but PxAP is known")
    dataset: DatasetInfo
    backbone: BackboneInfo | None = Field(description="null for maps that were read from files")
    method: MethodInfo
    classifier: ClassifierInfo | None = Field(
        default=None, description="null where classes are those of the backbone, unknown, or the record is older"
    )
    protocol: ProtocolInfo
    environment: Environment
    config: Plain | None = Field(default=None, description="the settings of the job; null in older records")
    migrated_from: Literal[1, 2] | None = Field(
        default=None,
        description="schema version that it was measured in, whose summary had no hash; null for those that have one",
    )
    seconds: dict[Text, Annotated[float, Field(ge=0)]] = Field(
        description="phase -> wall-clock time; 'method' is the method alone, for all images that it was run on"
    )
    thresholds: dict[RuleName, ThresholdScores] = Field(
        default={},
        description="rule for τ beside oracle and train-fullsup -> scores: pseudo-boxes (chosen on images with pseudo "
        "boxes), fixed-0.2 and the like, otsu; intervals have them as otsu.box_acc",
    )
    boxes_per_image: float | None = Field(
        default=None,
        ge=0,
        description="mean number of predicted boxes of an image, any of which may be right for MaxBoxAccV2; null for "
        "maps, and in older records",
    )
    rescored_from: Sha256 | None = Field(
        default=None,
        description="outcomes_sha256 of the record whose maps were scored again from the cache, whose network and "
        "environment these are; null where a network made the maps, and in older records",
    )
    splits: list[SplitInfo] = Field(
        min_length=1, max_length=3, description="the evaluated split first; images with pseudo boxes last"
    )
    outcomes_sha256: Sha256 = Field(description="of the content of the outcomes file")
    maps_sha256: Sha256 | None = Field(
        default=None, description="outcomes_sha256 without what thresholds add; null where they add nothing"
    )

    @model_validator(mode="after")
    def _splits_are_those_of_the_protocol(self) -> Self:
        """Refuse splits that are not the evaluated one and train-fullsup, and numbers of images that disagree."""
        parts = self.splits[:-1] if self.splits[-1].split == PSEUDO_BOXES else self.splits
        names, evaluated = [part.split for part in parts], self.protocol.split
        if names not in ([evaluated], ["test", "train-fullsup"]) or names[0] != evaluated:
            raise ValueError(f"splits are {', '.join(names)}, where {evaluated} is evaluated")
        sizes = {part.split: part.images for part in parts}
        if self.dataset.split_sizes != sizes:
            raise ValueError(f"split_sizes are {self.dataset.split_sizes}, but its splits have {sizes}")
        return self

    @model_validator(mode="after")
    def _older_ones_are_of_the_protocol(self) -> Self:
        """Refuse an older record of another frame or of other δ: there was one of each."""
        if self.migrated_from is not None and not self.protocol.is_usual:
            raise ValueError(f"an older record is of frame {FRAME} and δ {', '.join(map(str, IOU_THRESHOLDS))}")
        return self

    @model_validator(mode="after")
    def _terms_are_of_the_iou_thresholds(self) -> Self:
        """Refuse scores and τ that are not there for each δ, and for no other."""
        expected = [iou_key(iou) for iou in self.protocol.iou_thresholds]
        parts: dict[str, Metrics | ThresholdScores] = {"metrics": self.metrics}
        parts |= {f"thresholds.{rule}": scores for rule, scores in self.thresholds.items()}
        for place, part in parts.items():
            for name, terms in part:
                if isinstance(terms, dict) and name.endswith(_BY_IOU) and sorted(terms) != expected:
                    told = f"protocol.iou_thresholds is {', '.join(expected)}"
                    raise ValueError(f"{told}, but {place}.{name} is of {', '.join(terms)}")
        return self

    _outcomes: tuple[SplitOutcomes, ...] | None = PrivateAttr(default=None)
    _why_no_outcomes: str = PrivateAttr(default="it was read without them")

    @property
    def outcomes(self) -> tuple[SplitOutcomes, ...]:
        """What happened to every image, a part a split, the evaluated split first.

        Raises:
            DataError: The record was read without its outcomes; the message names what is missing.
        """
        if self._outcomes is None:
            raise DataError(f"the record has no outcomes: {self._why_no_outcomes}")
        return self._outcomes

    @property
    def evaluated(self) -> SplitOutcomes:
        """What happened to every image of the evaluated split.

        Raises:
            DataError: The record was read without outcomes.
        """
        return next(part for part in self.outcomes if part.split == self.protocol.split)

    @property
    def is_classified(self) -> bool:
        """Whether the network has a classifier, which needs the classes of the data set; older ones all had."""
        return self.backbone is not None and self.backbone.classes != 0

    @property
    def has_outcomes(self) -> bool:
        """Whether the outcomes of every image are there, so that the metrics can be verified."""
        return self._outcomes is not None

    @property
    def undefined(self) -> str | None:
        """Why the method has no maps and thus no scores, or None where it has some."""
        reason = self.missing.get("max_box_acc", "")
        return reason if reason.startswith(NOT_DEFINED) else None

    @property
    def has_maps(self) -> bool:
        """Whether any map of the evaluated split is no constant; metrics may be numbers where none is."""
        evaluated = self.splits[0]
        return self.undefined is None and evaluated.constant_maps < evaluated.images

    @property
    def best_epoch(self) -> int | None:
        """The epoch that boxes or masks of train-fullsup chose, in the last training behind the weights; else None."""
        training = None if self.backbone is None else self.backbone.weights.training
        chosen = [each.best_epoch for each in (training.history if training else []) if each.best_epoch is not None]
        return chosen[-1].epoch if chosen else None

    @property
    def pxap_is_claimed(self) -> bool:
        """Whether PxAP cannot be verified, because the outcomes do not say how many pixels have which score."""
        verifiable = self.has_outcomes and self.evaluated.histograms is not None
        return self.metrics.pxap is not None and not verifiable

    def __eq__(self, other: object) -> bool:
        """Compare summaries."""
        return isinstance(other, ResultRecord) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]

    def to_json(self) -> str:
        """Return the summary as JSON for a file, under its own hash."""
        return to_json(sealed(self._plain()), indent=2).decode() + "\n"

    def to_line(self) -> str:
        """Return the record with its outcomes as one line of JSON, which `read_record` reads too."""
        from wsolbench.records.store import embedded_outcomes

        return json.dumps({**sealed(self._plain()), "outcomes": embedded_outcomes(self)}, ensure_ascii=False)

    def _plain(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.model_dump_json())
        return content

    def to_frame(self) -> pd.DataFrame:
        """Return the metrics as a data frame of one row; see `Records.to_frame`."""
        return Records([self]).to_frame()

    def curves(self) -> pd.DataFrame:
        """Return BoxAcc(τ, δ) in percent: a row for every τ, a column for every (mode, δ).

        Raises:
            DataError: The data set has no boxes, or the record was read without outcomes.
        """
        from wsolbench.records.tables import curves_frame

        return curves_frame(self)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw BoxAcc(τ) of the largest contour and of all contours at δ 0.5, with the chosen τ marked.

        Args:
            axes: Where to draw; a new figure by default.

        Raises:
            DataError: The data set has no boxes, or the record was read without outcomes.
        """
        from wsolbench.records.tables import plot_curves

        return plot_curves(self, axes)

    def compare(self, other: ResultRecord | str | PathLike[str]) -> Comparison:
        """Compare this record with another one, or its file, that may be better; see `wsolbench.compare`."""
        from wsolbench.records.compare import compare
        from wsolbench.records.verify import verified

        return compare(verified(self), verified(other if isinstance(other, ResultRecord) else Path(other)))

    def __str__(self) -> str:
        """Return the table of results."""
        return str(Records([self]))

    def __repr__(self) -> str:
        """Return what was measured, in one line."""
        network = f"{self.backbone.label}, " if self.backbone else ""
        return f"<ResultRecord: {network}{self.method.name} on {self.dataset.name}>"

    def _repr_html_(self) -> str:
        return Records([self])._repr_html_()


class Records(list[ResultRecord]):
    """Several records of one run; in a notebook they are a table."""

    def to_frame(self) -> pd.DataFrame:
        """Return a row for every record: what was measured, every metric, and the ends of its interval."""
        from wsolbench.records.tables import records_frame

        return records_frame(self)

    def __str__(self) -> str:
        """Return the table of results."""
        from wsolbench.records.tables import results_table

        return results_table(self) if self else "no records"

    def _repr_html_(self) -> str:
        from wsolbench.records.tables import results_html

        return results_html(self)


def record_schema() -> str:
    """Return the JSON Schema of records: of the summary, and of a record that stands in one line with its outcomes."""
    schema = ResultRecord.model_json_schema()
    schema["properties"]["summary_sha256"] = {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "of everything else but outcomes, as JSON with sorted names and without spaces",
    }
    schema["required"].append("summary_sha256")
    schema["properties"]["outcomes"] = {
        "type": "object",
        "description": "only in a record of one line: by split, the content of the outcomes file and image_ids",
        "additionalProperties": {"type": "object"},
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
