"""What any plugin needs: the contract, the decorator of hooks, the errors, and the helpers that several kinds share.

A plugin imports this module; a data set on disk also imports `wsolbench.data`.
"""

import typing

from wsolbench.contract import (
    Annotations,
    Attention,
    Attentive,
    Augmenting,
    Averaging,
    Backbone,
    BackboneSpec,
    BackboneZoo,
    Boxes,
    Checkpoint,
    Conventions,
    ConvNeXtLike,
    Dataset,
    DatasetRoots,
    DatasetSpec,
    Features,
    FittedMethod,
    Fusable,
    ImageSplit,
    InputConfig,
    LabelFittedMethod,
    Layered,
    LinearHead,
    Localizing,
    Maps,
    MaskPair,
    Method,
    MethodContext,
    MethodSpec,
    MethodZoo,
    Pretrained,
    Recipe,
    RecipeSpec,
    Reparameterizable,
    SpatialHead,
    Split,
    Stage,
    StochasticDepth,
    System,
    SystemSpec,
    Tapped,
    TargetImages,
    Trainable,
    TrainingStep,
)
from wsolbench.contract.changed import as_before, change_network, channels_of, min_max, remove_head, without_memory
from wsolbench.contract.descriptors import Descriptors
from wsolbench.contract.heads import after_batch_norm, after_layer_norm, after_pooling
from wsolbench.contract.options import BelowOne, Count, NonNegative, Positive, Probability
from wsolbench.contract.regions import region_boxes
from wsolbench.contract.search import Choice, LogUniform, Uniform
from wsolbench.contract.systems import BOXES, classification, rebuilt
from wsolbench.contract.taps import kept_layers, tap_maps, visit_layers
from wsolbench.data.images import warp
from wsolbench.errors import (
    DataError,
    MissingFileError,
    OutputError,
    PluginError,
    ScoremapError,
    UnknownNameError,
    UsageError,
    WeightsError,
    WsolbenchError,
)
from wsolbench.host.hookspecs import hookimpl

if typing.TYPE_CHECKING:
    from wsolbench.protocol import FRAME
else:

    def __getattr__(name: str) -> int:
        """Return ``FRAME``; the protocol imports OpenCV, which would slow down every listing of plugins."""
        if name != "FRAME":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from wsolbench.protocol import FRAME

        return FRAME


__all__ = [
    "BOXES",
    "FRAME",
    "Annotations",
    "Attention",
    "Attentive",
    "Augmenting",
    "Averaging",
    "Backbone",
    "BackboneSpec",
    "BackboneZoo",
    "BelowOne",
    "Boxes",
    "Checkpoint",
    "Choice",
    "ConvNeXtLike",
    "Conventions",
    "Count",
    "DataError",
    "Dataset",
    "DatasetRoots",
    "DatasetSpec",
    "Descriptors",
    "Features",
    "FittedMethod",
    "Fusable",
    "ImageSplit",
    "InputConfig",
    "LabelFittedMethod",
    "Layered",
    "LinearHead",
    "Localizing",
    "LogUniform",
    "Maps",
    "MaskPair",
    "Method",
    "MethodContext",
    "MethodSpec",
    "MethodZoo",
    "MissingFileError",
    "NonNegative",
    "OutputError",
    "PluginError",
    "Positive",
    "Pretrained",
    "Probability",
    "Recipe",
    "RecipeSpec",
    "Reparameterizable",
    "ScoremapError",
    "SpatialHead",
    "Split",
    "Stage",
    "StochasticDepth",
    "System",
    "SystemSpec",
    "Tapped",
    "TargetImages",
    "Trainable",
    "TrainingStep",
    "Uniform",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "WsolbenchError",
    "after_batch_norm",
    "after_layer_norm",
    "after_pooling",
    "as_before",
    "change_network",
    "channels_of",
    "classification",
    "hookimpl",
    "kept_layers",
    "min_max",
    "rebuilt",
    "region_boxes",
    "remove_head",
    "tap_maps",
    "visit_layers",
    "warp",
    "without_memory",
]
