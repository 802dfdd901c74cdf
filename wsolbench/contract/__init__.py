"""The contract between the core and its plugins: what each kind of plugin offers and what it receives.

Letters in shapes: B images, C classes, K feature channels, H×W network input, h×w feature map. Images are RGB.
Fractions are fractions, never percents.

No module here imports torch at run time, so that a listing of plugins is fast.
"""

from wsolbench.contract.backbones import (
    Attention,
    Attentive,
    Backbone,
    BackboneSpec,
    Checkpoint,
    Features,
    Fusable,
    InputConfig,
    Layered,
    LinearHead,
    Localizing,
    Pretrained,
    Reparameterizable,
    SpatialHead,
    StochasticDepth,
    Tapped,
    Trainable,
)
from wsolbench.contract.convnext import ConvNeXtLike
from wsolbench.contract.datasets import (
    Annotations,
    Conventions,
    Dataset,
    DatasetRoots,
    DatasetSpec,
    Download,
    Finding,
    ImageSplit,
    Inspectable,
    KnownSplit,
    MaskPair,
    Preparation,
    Severity,
    Split,
)
from wsolbench.contract.methods import (
    FittedMethod,
    Maps,
    Method,
    MethodContext,
    MethodSpec,
)
from wsolbench.contract.recipes import (
    Augmenting,
    Averaging,
    Recipe,
    RecipeSpec,
)
from wsolbench.contract.systems import (
    Stage,
    System,
    SystemSpec,
    TargetImages,
    TrainingStep,
)
from wsolbench.contract.zoos import (
    BackboneZoo,
    MethodZoo,
    Spec,
    Zoo,
)

__all__ = [
    "Annotations",
    "Attention",
    "Attentive",
    "Augmenting",
    "Averaging",
    "Backbone",
    "BackboneSpec",
    "BackboneZoo",
    "Checkpoint",
    "ConvNeXtLike",
    "Conventions",
    "Dataset",
    "DatasetRoots",
    "DatasetSpec",
    "Download",
    "Features",
    "Finding",
    "FittedMethod",
    "Fusable",
    "ImageSplit",
    "InputConfig",
    "Inspectable",
    "KnownSplit",
    "Layered",
    "LinearHead",
    "Localizing",
    "Maps",
    "MaskPair",
    "Method",
    "MethodContext",
    "MethodSpec",
    "MethodZoo",
    "Preparation",
    "Pretrained",
    "Recipe",
    "RecipeSpec",
    "Reparameterizable",
    "Severity",
    "SpatialHead",
    "Spec",
    "Split",
    "Stage",
    "StochasticDepth",
    "System",
    "SystemSpec",
    "Tapped",
    "TargetImages",
    "Trainable",
    "TrainingStep",
    "Zoo",
]
