"""``tap``: thresholded average pooling in place of global average pooling, in training and at test time.

Any network whose head pools its feature maps before the classifier can be trained, ``vgg16_wsol`` as published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic.dataclasses import dataclass

from wsolbench.api import BackboneSpec, BelowOne, Stage, SystemSpec, Uniform, hookimpl, rebuilt

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class TAP:
    """Thresholded average pooling (Bae et al., ECCV 2020).

    The pool averages only the active cells of a channel, those above a share of its maximum. So a channel with few
    active cells needs no larger weight for the same score. A channel without an active cell, one that is nowhere
    positive, pools to 0. Layers between pool and classifier stay as they are; a norm before the pool gets the pooled
    values.

    The map at test time is not that of the pool: it is CAM with negative weights set to 0 (NWC) and clipped at a
    percentile of its values (PaS), ``cam-nwc-pas``. For one remedy less there are ``cam-nwc``, ``cam-pas`` and ``cam``.

    Args:
        threshold: Cells above this share of the maximum of their channel are active. It is saved with the weights,
            because scores at test time depend on it.

    Source:
        The paper, and won-bae/rethinkingCAM for the threshold.
    """

    threshold: Annotated[BelowOne, Uniform(0, 0.5)] = 0.1

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the one stage."""
        return [Stage("training", epochs, forward=self.forward)]

    def forward(self, network: Any, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return the logits (B, C) of images (B, 3, H, W), pooled with the threshold of this system."""
        network.tap_threshold.fill_(self.threshold)
        return {"logits": network.forward_head(network.forward_features(images))}


def network_of(base: BackboneSpec) -> BackboneSpec:
    """Return a network with another pool; its build refuses one whose head cannot stand behind it."""
    return rebuilt(base, partial(_changed, base))


def _changed(base: BackboneSpec, network: Any) -> Any:
    from wsolbench_plugins.localizers.tap.network import with_thresholded_pool

    return with_thresholded_pool(network, size=base.input.size)


@hookimpl
def wsolbench_systems() -> list[SystemSpec]:
    """Offer the system."""
    source = "Bae et al., Rethinking Class Activation Mapping for Weakly Supervised Object Localization, ECCV 2020"
    return [
        SystemSpec("tap", TAP, network_of, source, method="cam-nwc-pas", needs=frozenset({"class weights"})),
    ]
