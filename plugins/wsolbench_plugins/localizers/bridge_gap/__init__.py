"""``bridge-gap``: a loss that turns the features of an object towards the weights of its class.

The network does not change, and its map at test time is CAM. Any network whose head reads its feature maps alone, and
that has class weights and two taps, can be trained where the last tap but one has maps (B, K, h, w).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic.dataclasses import dataclass

from wsolbench.api import (
    BackboneSpec,
    BelowOne,
    Choice,
    NonNegative,
    Probability,
    Stage,
    SystemSpec,
    Tapped,
    TrainingStep,
    Uniform,
    UsageError,
    channels_of,
    hookimpl,
    rebuilt,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class BridgeGap:
    """Bridging the gap between classification and localization (Kim et al., CVPR 2022).

    Three terms stand beside the classification. ``drop``: the features F should be those, F', of a second pass through
    the last blocks, in which some of the most active cells are zero. ``similarity``: the cosine between the features of
    a cell and the weights of the image's class should be large where the norm of the features is large, and small where
    it is small. ``norm``: the norm should be large where this cosine is positive, and small where it is negative. Both
    passes and both sides of every term carry gradients; the masks that choose cells carry none. Norms are scaled to
    [0, 1] in each image. Means are over the chosen cells of an image, and then over images; an image without such a
    cell adds 0. Class weights are those that ``cam`` reads.

    The second pass starts behind the last tap but one: it is the last stage of a ResNet, the last stage of a
    large-kernel network with the layers that reduce its input, and the last convolution of VGG-GAP. Norms compute their
    batch statistics in each pass anew.

    The paper's terms are as above. What the sources at hand leave open is chosen here: which blocks are the last ones,
    means in place of sums, the gradients of F and of the scaled norm, and that dropped maps are not rescaled. Defaults
    are the authors' for ResNet-50 on CUB; for VGG-16 they have drop_rate 0.5, foreground 0.6, background 0.1,
    drop_weight 3, norm_weight 0.15.

    Args:
        drop_threshold: Cells whose mean over the channels is above this share of an image's largest mean may be
            dropped.
        drop_rate: Probability that such a cell is dropped; each cell is drawn for itself.
        drop_weight: Factor of the mean absolute difference of F and F'.
        similarity_weight: Factor of the similarity of cells of small norm less that of cells of large norm.
        foreground: Cells of a norm above it have a large norm.
        background: Cells of a norm below it have a small norm.
        norm_weight: Factor of the norm where the cosine is negative less that where it is positive.
        norm_class: Whose cosine decides that: that of the image's class (``label``), as the authors do on ILSVRC, or
            the largest of all classes (``any``), as they do on CUB.
        warm_up: Share of the epochs, from the first on, without similarity and norm; the authors' 20 of 70 on CUB.
        place: The tap behind which cells are dropped and the second pass starts; ``auto`` for the last but one.

    Source:
        Terms and hyperparameters as in the paper and ejkim47/bridging-gap-wsol.
    """

    drop_threshold: Annotated[Probability, Uniform(0.5, 0.95)] = 0.8
    drop_rate: Annotated[Probability, Uniform(0, 1)] = 0.25
    drop_weight: NonNegative = 2.0
    similarity_weight: NonNegative = 0.5
    foreground: Annotated[Probability, Uniform(0.3, 0.8)] = 0.4
    background: Annotated[Probability, Uniform(0.05, 0.3)] = 0.2
    norm_weight: NonNegative = 0.05
    norm_class: Annotated[Literal["any", "label"], Choice("any", "label")] = "any"
    warm_up: BelowOne = 0.2857
    place: str = "auto"

    def __post_init__(self) -> None:
        """Refuse norms that would be large and small. Raises ``UsageError``."""
        if self.background > self.foreground:
            raise UsageError(
                f"background {self.background:g} is above foreground {self.foreground:g}, so that norms between them "
                "would be large and small; choose a smaller background"
            )

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the one stage: one schedule for the warm-up and what follows."""
        return [Stage("training", epochs, loss=self.loss, forward=self.forward, mixed=False)]

    def forward(self, network: Any, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return the logits (B, C) of images (B, 3, H, W), and the features (B, K, h, w) of both passes.

        Raises:
            UsageError: The network has no tap of a name.
        """
        from wsolbench_plugins.localizers.bridge_gap.terms import drop_cells
        from wsolbench_plugins.localizers.bridge_gap.two_passes import two_passes

        def drop(maps: Tensor) -> Tensor:
            return drop_cells(maps, self.drop_threshold, self.drop_rate)

        features, dropped = two_passes(network, images, self._place(network), drop)
        return {"features": features, "features_dropped": dropped, "logits": network.forward_head(features)}

    def loss(self, step: TrainingStep) -> Mapping[str, Tensor]:
        """Return the terms; those of the alignment are not there in the epochs of the warm-up."""
        from wsolbench_plugins.localizers.bridge_gap import terms

        features, dropped = step.outputs["features"], step.outputs["features_dropped"]
        found = {
            "classification": step.classification(step.outputs["logits"]),
            "drop": self.drop_weight * (features - dropped).abs().mean(),
        }
        if step.epoch <= self.warm_up_epochs(step.epochs):
            return found
        weights = step.network.classifier_weight
        own = terms.own_cosines(features, weights[step.labels])
        deciding = own if self.norm_class == "label" else terms.largest_cosines(features, weights)
        difference = terms.similarity(own, features, foreground=self.foreground, background=self.background)
        return {
            **found,
            "similarity": self.similarity_weight * difference,
            "norm": self.norm_weight * terms.norm(features, deciding),
        }

    def warm_up_epochs(self, epochs: int) -> int:
        """Return how many of the epochs of a training are warm-up: never all of them."""
        return min(round(self.warm_up * epochs), epochs - 1)

    def _place(self, network: Any) -> str:
        earlier = tuple(network.taps[:-1])
        if self.place == "auto":
            return str(earlier[-1])
        if self.place not in earlier:
            raise UsageError(
                f"place: {type(network).__name__} has no tap '{self.place}' before its last one; it has "
                f"{', '.join(earlier)}"
            )
        return self.place


def network_of(base: BackboneSpec) -> BackboneSpec:
    """Return the network itself; its build refuses one that has too few taps or another head."""
    return rebuilt(base, partial(_checked, base))


def _checked(base: BackboneSpec, network: Any) -> Any:
    """Return the network itself.

    Raises:
        UsageError: It has fewer than two taps or no class weights, or its head reads more than its feature maps.
    """
    taps = network.taps if isinstance(network, Tapped) else ()
    if len(taps) < 2:
        raise UsageError(
            f"needs two taps, one to drop cells at and one behind it, and the network has {', '.join(taps) or 'none'}"
        )
    if getattr(network, "classifier_weight", None) is None:
        raise UsageError("needs class weights, and the network has none")
    channels_of(network, base.input.size, taps[-2:-1])
    return network


@hookimpl
def wsolbench_systems() -> list[SystemSpec]:
    """Offer the system."""
    source = (
        "Kim et al., Bridging the Gap between Classification and Localization for Weakly Supervised Object "
        "Localization, CVPR 2022"
    )
    return [SystemSpec("bridge-gap", BridgeGap, network_of, source, needs=frozenset({"class weights", "taps"}))]
