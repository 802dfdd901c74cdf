"""torchvision's SqueezeNet, split at its last fire module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torchvision.models import squeezenet

from wsolbench.api import WeightsError, visit_layers

WEIGHTS = {
    "1_0": squeezenet.SqueezeNet1_0_Weights.IMAGENET1K_V1,
    "1_1": squeezenet.SqueezeNet1_1_Weights.IMAGENET1K_V1,
}


class SqueezeNet(squeezenet.SqueezeNet):  # type: ignore[misc]
    """The network; its state dict is torchvision's.

    The classifier is a 1×1 convolution, a ReLU and a mean. The ReLU cuts off negative scores of single pixels, so a
    class score is not the mean of a weighted sum of the features, and the network offers no effective weights. The CAM
    of its class weights is the map of the class before that ReLU, less a constant.
    """

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the maps (B, 512, h, w) of the last fire module."""
        features: Tensor = self.features(images)
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C)."""
        scores: Tensor = self.classifier(features)
        return scores.flatten(1)

    @property
    def classifier_weight(self) -> Tensor:
        """The kernels (C, 512) of the classifier."""
        weight: Tensor = self.get_parameter("classifier.1.weight")
        return weight.flatten(1)

    @property
    def taps(self) -> tuple[str, ...]:
        """The fire modules."""
        return tuple(
            f"features.{place}" for place, module in enumerate(self.features) if isinstance(module, squeezenet.Fire)
        )

    def forward_tapped(self, images: Tensor, visit: Mapping[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the logits (B, C), and show the maps (B, K, h, w) of fire modules to functions on the way."""
        return visit_layers(self, images, visit)


def fetch(version: str) -> dict[str, Tensor]:
    """Return torchvision's weights of a version, from the cache of torch's hub or by download.

    Raises:
        WeightsError: The weights are not available.
    """
    weights = WEIGHTS[version]
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # any error of the connection, the disk, or of a file that is not the published one
        reason = " ".join(str(error).split()).partition(". ")[0][:120]
        raise WeightsError(
            f"torchvision's weights of 'squeezenet{version}' are not available: neither in the cache of torch's hub "
            f"nor by download ({type(error).__name__}: {reason}); without a connection, download "
            f"{weights.url} elsewhere and pass the file: --weights FILE"
        ) from error
    return state
