"""Words that settings, records and the command line share, each written once."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field

__all__ = [
    "CHOICE_METRICS",
    "DATASET_NAME",
    "DEFAULT_THRESHOLD_STEP",
    "FINEST_THRESHOLD_STEP",
    "LARGEST_INPUT",
    "LARGEST_SEED",
    "STORED_BOXES",
    "STORED_MAPS",
    "BoxConvention",
    "CheckpointRule",
    "ChoiceMetric",
    "Interpolation",
    "IouKey",
    "Precision",
    "PreprocessingName",
    "SplitName",
    "Target",
    "TauRule",
    "TrainingPrecision",
    "Unannotated",
    "iou_key",
]

SplitName: TypeAlias = Literal["test", "train-fullsup"]
"""A split that can be evaluated."""


def _in_lowercase(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value


TauRule: TypeAlias = (
    Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
    | Annotated[Literal["otsu"], BeforeValidator(_in_lowercase)]
)
"""At which τ maps are scored beside the oracle's and train-fullsup's: one of all images, or each map's by Otsu."""

Target: TypeAlias = Literal["gt", "predicted"]
"""Whose map is made: the true class's, or the predicted one's."""

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
"""What a network computes its features in."""

CheckpointRule: TypeAlias = Literal["last", "best-on-train-fullsup"]
"""Which weights of a training are kept: those at the end, or of the epoch that localizes best on train-fullsup."""
ChoiceMetric: TypeAlias = Literal["max_box_acc_v2", "max_box_acc", "pxap"]
"""The score on train-fullsup by which a training is chosen among several."""
CHOICE_METRICS: dict[ChoiceMetric, str] = {
    "max_box_acc_v2": "MaxBoxAccV2",
    "max_box_acc": "MaxBoxAcc",
    "pxap": "PxAP",
}
"""What people call them."""

TrainingPrecision: TypeAlias = Literal["fp32", "bf16"]
"""What a step of training is computed in."""

PreprocessingName: TypeAlias = Literal["timm", "imagenet", "half"]
"""Mean and std of a network's input by name: those that timm has for the network, ImageNet's, or 0.5 for all."""

Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]
"""A filter of the warp, as Pillow implements it."""

BoxConvention: TypeAlias = Literal["inclusive", "half-open", "clip"]
"""What the second corner of a listed box is: its last pixel (``inclusive``) or the pixel after it (``half-open``);
``clip`` means inclusive corners of which some are outside the image and are moved to its border."""

Unannotated: TypeAlias = Literal["error", "omit"]
"""What happens to images that have no box and no mask where others have."""

IouKey: TypeAlias = Annotated[str, Field(pattern=r"^0\.[0-9]{1,2}$")]
"""A δ as files have it."""

DATASET_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$"
"""What the name of a data set, or of stored maps, is of; the name becomes that of a folder or file."""

STORED_MAPS: Final = "precomputed"
"""What records call the method of maps that were read, unless they have a name."""

STORED_BOXES: Final = "predicted-boxes"
"""What records call the method of boxes that were read, unless they have a name."""

DEFAULT_THRESHOLD_STEP: Final = 0.001
"""Step of the grid of τ; the protocol's own, here without its imports."""

FINEST_THRESHOLD_STEP: Final = 1e-5
"""A finer grid of τ would only fill the memory."""


LARGEST_INPUT: Final = 4096
"""Side in pixels; a larger input would only fill the memory."""

LARGEST_SEED: Final = 2**63 - 1
"""What torch's generators take."""


def iou_key(iou_threshold: float) -> IouKey:
    """Return a δ as files have it."""
    return str(iou_threshold)
