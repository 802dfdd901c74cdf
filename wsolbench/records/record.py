"""The result record: every number of one evaluation with where it comes from, as JSON and back.

Percent everywhere unless a field says otherwise. A value that cannot be had is null, and `missing` says why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wsolbench.errors import DataError

__all__ = ["IOU_KEYS", "SCHEMA_VERSION", "ResultRecord", "read_record", "record_schema"]

SCHEMA_VERSION: Literal[1] = 1

Mode = Literal["single", "multi"]
IouKey = Literal["0.3", "0.5", "0.7"]
IntervalKind = Literal["percentile", "basic", "bias-corrected"]
Precision = Literal["fp32", "bf16", "fp16"]
TrainingPrecision = Literal["fp32", "bf16"]
Runs = list[list[int]]

IOU_KEYS: tuple[IouKey, ...] = get_args(IouKey)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Metrics(_Part):
    """The scores. `single` takes the largest contour (MaxBoxAcc), `multi` every contour (MaxBoxAccV2)."""

    max_box_acc: float | None = Field(description="BoxAcc(τ, 0.5), single-contour, at the oracle τ")
    fullsup_box_acc: float | None = Field(description="the same at the τ chosen on train-fullsup")
    max_box_acc_v2: float | None = Field(description="mean over δ of BoxAcc(τ, δ), multi-contour, each at its oracle τ")
    fullsup_box_acc_v2: float | None = Field(description="the same at each δ's τ chosen on train-fullsup")
    max_box_acc_by_iou: dict[IouKey, float] | None = Field(description="the terms of max_box_acc_v2")
    fullsup_box_acc_by_iou: dict[IouKey, float] | None = Field(description="the terms of fullsup_box_acc_v2")
    fullsup_cam_threshold: dict[IouKey, float] | None = Field(description="τ for each δ, multi-contour; fractions")
    fullsup_cam_threshold_single: float | None = Field(description="τ for δ 0.5, single-contour; a fraction")
    gt_known_loc: float | None = Field(description="fullsup_box_acc where the map is made for the true class")
    top1_loc: float | None = Field(description="box right (single, δ 0.5, fullsup τ) and class predicted")
    top5_loc: float | None = Field(description="box right and class among the five best")
    top1_acc: float | None
    top5_acc: float | None
    pxap: float | None = Field(description="area under the pixel precision-recall curve")


class Intervals(_Part):
    """How sure the metrics are: bootstrap intervals over images, with τ chosen anew inside every resample.

    An oracle τ is the best of the resample, a fullsup τ that of a resample of train-fullsup.
    """

    kind: IntervalKind
    level: float = Field(gt=0, lt=1, description="how often such an interval should contain the truth; a fraction")
    resamples: int = Field(ge=1, le=100_000)
    seed: int = Field(ge=0)
    metrics: dict[str, tuple[float, float]] = Field(
        description="metric -> lower and upper end; a term of a mean as max_box_acc_by_iou.0.3; PxAP has none"
    )


class SplitOutcomes(_Part):
    """What happened to every image of a split.

    `correct[mode][δ][i]` holds, for image i, the runs of threshold indices at which its box is right, flat:
    start, stop, start, stop ... with stop excluded.
    """

    split: Literal["train-fullsup", "test"]
    image_ids: list[str]
    correct: dict[Mode, dict[IouKey, Runs]] | None
    box_acc: dict[Mode, dict[IouKey, list[float]]] | None = Field(description="BoxAcc(τ, δ) at every τ of the grid")
    top1_hits: list[bool] | None
    top5_hits: list[bool] | None
    nan_maps: int = Field(description="maps that held NaN or infinity and were scored as zero maps")
    constant_maps: int = Field(description="maps of one value, scored as zero maps")
    annotations_sha256: str = Field(description="of ids, labels, sizes, boxes and masks")
    images_sha256: str | None = Field(description="of the pixels of every image; null where none was read")
    statistics: dict[str, list[float | None]] | None = Field(
        default=None, description="what the method reports of every map, such as variance_share; null where it cannot"
    )


class DatasetInfo(_Part):
    """What was evaluated on."""

    name: str
    version: str
    content_sha256: str = Field(description="of the annotations of the evaluated split and of train-fullsup")
    num_classes: int
    split_sizes: dict[str, int] = Field(description="images that were used")
    limit: int | None


class TrainingInfo(_Part):
    """How weights were trained, as the card beside their file says."""

    dataset: str
    recipe: str
    recipe_options: dict[str, Any]
    precision: TrainingPrecision = Field(default="fp32", description="bf16: torch's autocast; weights are float32")
    seed: int
    initial_weights: WeightsInfo = Field(description="what it started from, with the training of that, where known")
    command: str

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
        return self.model_copy(update={"seed": 0, "command": "", "initial_weights": start})


class WeightsInfo(_Part):
    """Where a network's weights come from."""

    source: Literal["shipped", "file", "pretrained", "random"]
    file: str | None = Field(description="file name without its folder; of pretrained weights, source:name")
    sha256: str | None = Field(description="of the file; of pretrained weights, of their entries")
    training: TrainingInfo | None = Field(default=None, description="null where no card lies beside the file")


class Preprocessing(_Part):
    """How an image became the network's input."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str


class BackboneInfo(_Part):
    """The network."""

    requested: str = Field(description="the name that was asked for, perhaps a family")
    name: str
    family: str | None
    provider: str
    parameters: int = Field(description="before branches were merged")
    largest_kernel: int
    reparameterized: bool
    precision: Precision = Field(default="fp32", description="of weights and activations on the way to the features")
    compiled: bool = Field(default=False, description="whether torch compiled that way")
    feature_shape: tuple[int, int, int] = Field(description="channels, height and width of the tapped features")
    weights: WeightsInfo
    preprocessing: Preprocessing


class MethodInfo(_Part):
    """What made the maps."""

    name: str
    provider: str | None = Field(description="null for maps that were read from files")
    options: dict[str, Any]
    changed_options: dict[str, Any] = Field(description="those that differ from their default")
    reads_network: bool = Field(description="false for a baseline whose maps do not depend on the network")
    fitted_images: int | None = Field(
        default=None, description="images of train-weaksup that it was fitted on; null for a method without a fit"
    )


class ProtocolInfo(_Part):
    """The settings that make two records comparable."""

    version: int = 1
    split: Literal["train-fullsup", "test"]
    target: Literal["gt", "predicted"] | None = Field(description="null where the maps came from files")
    interval: float
    frame: int
    iou_thresholds: tuple[float, ...]


class Environment(_Part):
    """What computed it."""

    wsolbench: str
    git_revision: str | None
    plugins: dict[str, str] = Field(description="distribution -> version of all that took part")
    packages: dict[str, str]
    platform: str
    device: str
    seed: int | None
    batch_size: int | None
    command: str
    created: str = Field(description="UTC, ISO 8601")


class ResultRecord(_Part):
    """One backbone, one method, one data set: numbers and provenance."""

    schema_version: Literal[1] = SCHEMA_VERSION
    metrics: Metrics
    missing: dict[str, str] = Field(description="metric -> why it is null")
    intervals: Intervals | None = Field(description="null where no metric but PxAP is known")
    dataset: DatasetInfo
    backbone: BackboneInfo | None = Field(description="null for maps that were read from files")
    method: MethodInfo
    protocol: ProtocolInfo
    environment: Environment
    seconds: dict[str, float] = Field(description="phase -> wall-clock time")
    outcomes: list[SplitOutcomes]

    def to_line(self) -> str:
        """Return the record as one line of JSON."""
        return self.model_dump_json()

    def to_json(self) -> str:
        """Return the record as JSON for a file: indented, with every list of numbers on one line."""
        return _indented(self.model_dump(mode="json")) + "\n"


def read_record(path: Path) -> ResultRecord:
    """Read a record from a file.

    Raises:
        DataError: The file cannot be read or is no record of this schema version.
    """
    try:
        return ResultRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        what = f"not a result record of schema version {SCHEMA_VERSION}"
        raise DataError(f"{path}: {what} ({where}: {first['msg']})") from None


def record_schema() -> str:
    """Return the JSON Schema of records."""
    return json.dumps(ResultRecord.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def _indented(value: object, depth: int = 0) -> str:
    """Write JSON with objects and lists of objects indented and every other list on one line."""
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and value:
        items = [f"{inner}{json.dumps(key)}: {_indented(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{outer}}}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n" + ",\n".join(f"{inner}{_indented(item, depth + 1)}" for item in value) + f"\n{outer}]"
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
