"""``acol``: two classifiers on one body, the second of which looks beyond what the first finds.

The networks of the WSOL evaluation (Choe et al., CVPR 2020) have the reference's heads, pools and names of entries:
``resnet50_wsol``, ``vgg16_wsol``, ``inception_v3_wsol``. Any other network whose head reads its feature maps alone gets
two classifiers on these maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from wsolbench.api import BackboneSpec, Positive, Stage, SystemSpec, TrainingStep, Uniform, hookimpl, rebuilt

if TYPE_CHECKING:
    from torch import Tensor

_RENAMED = {"vgg16_wsol": {"features.23": "features.24", "features.25": "features.26", "features.27": "features.28"}}
"""Network -> its layers behind a pool that only ACoL's has, and their names there."""

_THRESHOLD = "classifier_B.threshold"


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class ACoL:
    """Adversarial complementary learning (Zhang et al., CVPR 2018).

    Both classifiers learn the image's class. The second sees feature maps without the region that the first relies on,
    and so it learns other parts of the object. The map at test time is the larger of both (``native``); that of the
    first alone is CAM (``cam``).

    Args:
        threshold: Cells at or above it, of the first classifier's map of the class scaled to [0, 1], are hidden from
            the second. It is saved with the weights, because the map at test time depends on it. The authors' script
            for CUB has 0.6.

    Source:
        Equations and networks as in clovaai/wsolevaluation, ``wsol/method/acol.py``, whose default this is.
    """

    threshold: Annotated[Positive, Field(le=1), Uniform(0.5, 0.95)] = 0.7

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the one stage."""
        return [Stage("training", epochs, loss=self.loss, forward=self.forward)]

    def forward(self, network: Any, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """Return what the network gives in training, with the threshold of this system."""
        network.threshold.fill_(self.threshold)
        outputs: Mapping[str, Tensor] = network.training_outputs(images, labels)
        return outputs

    def loss(self, step: TrainingStep) -> Mapping[str, Tensor]:
        """Return the loss of both classifiers."""
        return {
            "classification": step.classification(step.outputs["logits"]),
            "classification_b": step.classification(step.outputs["logits_b"]),
        }


def network_of(base: BackboneSpec) -> BackboneSpec:
    """Return a network with two classifiers in place of its own; its build refuses one whose head reads more."""
    return rebuilt(
        base,
        partial(_changed, base),
        classifier_key="classifier_A.4.weight",
        convert_weights=partial(_converted, base),
        renamed=_RENAMED.get(base.name),
    )


def _changed(base: BackboneSpec, network: Any) -> Any:
    from wsolbench_plugins.localizers.acol.network import with_two_classifiers

    return with_two_classifiers(network, size=base.input.size, name=base.name, key=base.classifier_key)


def _converted(base: BackboneSpec, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if "classifier_B.4.weight" in state:
        return with_threshold(state)
    return state if base.convert_weights is None else base.convert_weights(state)


def with_threshold(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return weights with the threshold that those of the WSOL evaluation were trained with by default, if any is."""
    import torch

    return state if _THRESHOLD in state else {**state, _THRESHOLD: torch.tensor(0.7)}


@hookimpl
def wsolbench_systems() -> list[SystemSpec]:
    """Offer the system."""
    source = "Zhang et al., Adversarial Complementary Learning for Weakly Supervised Object Localization, CVPR 2018"
    return [SystemSpec("acol", ACoL, network_of, source, method="native")]
