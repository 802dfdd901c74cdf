"""``twins``, a network with two heads, and ``agree``, a system that trains it to localize, as wsolbench plugins.

The heads are linear over the same feature maps. In the first stage both learn the classes, and what they say has to
agree. In the second, a layer learns where both class maps are high: its map is what ``native`` shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench.api import (
    BackboneSpec,
    InputConfig,
    NonNegative,
    Stage,
    SystemSpec,
    TargetImages,
    TrainingStep,
    UsageError,
    change_network,
    channels_of,
    hookimpl,
    rebuilt,
)


class Twins(nn.Module):
    """Three convolutions, and two linear heads behind their average.

    Args:
        num_classes: Number of classes.
        width: Number of feature maps.
    """

    def __init__(self, num_classes: int, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, width // 2, 2), (width // 2, width, 2), (width, width, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.first = nn.Linear(width, num_classes)
        self.second = nn.Linear(width, num_classes)

    @property
    def classifier_weight(self) -> Tensor:
        """The weights (C, K) of the first head, for `cam`."""
        return self.first.weight

    def forward_features(self, images: Tensor) -> Tensor:
        """Return feature maps (B, K, H / 4, W / 4)."""
        maps: Tensor = self.body(images)
        return maps

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C) of the first head."""
        logits: Tensor = self.first(features.mean(dim=(2, 3)))
        return logits

    def training_outputs(self, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return what losses read: the logits of both heads, and the features."""
        features = self.forward_features(images)
        twin = self.second(features.mean(dim=(2, 3)))
        return {"logits": self.forward_head(features), "logits_of_twin": twin, "features": features}


class Localizer(nn.Module):
    """A mixin: a map of the object beside the classifier."""

    where: nn.Conv2d
    first: nn.Linear
    second: nn.Linear

    def localize(self, features: Tensor, images: Tensor, class_indices: Tensor) -> Tensor:  # noqa: ARG002
        """Return the maps (B, h, w), which are of no class; see `wsolbench.api.Localizing`."""
        maps: Tensor = self.where(features)[:, 0]
        return maps.sigmoid()

    def class_maps(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the mean of both class maps (B, h, w)."""
        weights = (self.first.weight[labels] + self.second.weight[labels]) / 2
        return torch.einsum("bkhw,bk->bhw", features, weights)


@dataclass(frozen=True)
class Agree:
    """Two heads that agree, and a map of where both see the class.

    Args:
        weight: Weight of their disagreement.
    """

    weight: NonNegative = 1.0

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the stage of the heads, and that of the map."""
        return [
            Stage("heads", epochs, loss=self.loss_of_heads),
            Stage("map", 1, loss=self.loss_of_map, trains=("where",), targets=self.objects, after="heads"),
        ]

    def loss_of_heads(self, step: TrainingStep) -> Mapping[str, Tensor]:
        """Return the recipe's loss of both heads, and the squared difference of what they say."""
        ours, theirs = step.outputs["logits"], step.outputs["logits_of_twin"]
        disagreement = (ours.softmax(dim=1) - theirs.softmax(dim=1)).square().sum(dim=1).mean()
        return {
            "first": step.classification(ours),
            "twin": step.classification(theirs),
            "disagreement": self.weight * disagreement,
        }

    def objects(self, images: TargetImages) -> Iterable[Mapping[str, Tensor]]:
        """Yield for each image where its class map is above the mean, (B, h, w) of 0 and 1."""
        return self._objects(images)

    def _objects(self, images: TargetImages) -> Iterator[Mapping[str, Tensor]]:
        for batch, labels in images:
            maps = images.network.class_maps(images.network.forward_features(batch), labels)
            yield {"objects": (maps > maps.mean(dim=(1, 2), keepdim=True)).float()}

    def loss_of_map(self, step: TrainingStep) -> Mapping[str, Tensor]:
        """Return the cross-entropy of the map with the objects."""
        found = step.network.where(step.outputs["features"])[:, 0]
        return {"map": F.binary_cross_entropy_with_logits(found, step.prepared["objects"])}


def network_of(base: BackboneSpec) -> BackboneSpec:
    """Return the network with a layer that makes the map; a network of one head is refused."""

    def changed(network: Any) -> Any:
        if not hasattr(network, "second"):
            raise UsageError("needs a network with two heads, such as 'twins'")
        (channels,) = channels_of(network, base.input.size)
        network.where = nn.Conv2d(channels, 1, 1)
        return change_network(network, Localizer)

    return rebuilt(base, changed)


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec]:
    """Offer the network."""
    return [
        BackboneSpec(
            "twins", Twins, InputConfig(32), source="this example", family="cnn", classifier_key="first.weight"
        )
    ]


@hookimpl
def wsolbench_systems() -> list[SystemSpec]:
    """Offer the system."""
    return [SystemSpec("agree", Agree, network_of, source="this example", method="native")]
