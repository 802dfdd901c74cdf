"""``spg``: branches that learn the object from a classifier's maps, and teach each other.

The networks of the WSOL evaluation (Choe et al., CVPR 2020) have the reference's branches: ``resnet50_wsol``,
``vgg16_wsol``, ``inception_v3_wsol``. Any other network with class weights and three taps has its branches at the two
taps before the last. At test time the branches are not used: the map is the class map, CAM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic.dataclasses import dataclass

from wsolbench.api import (
    BackboneSpec,
    Probability,
    Stage,
    SystemSpec,
    TrainingStep,
    Uniform,
    UsageError,
    hookimpl,
    rebuilt,
)

if TYPE_CHECKING:
    from torch import Tensor

_RESNET = {
    r"SPG_A1\.0": "layer3.0",
    **{rf"SPG_A2\.{block}": f"layer3.{block + 1}" for block in range(5)},
    "SPG_A4": "fc",
}
_VGG = {
    **{rf"SPG_A_1\.{place}": f"features.{17 + place}" for place in (0, 2, 4)},
    **{rf"SPG_A_2\.{place}": f"features.{23 + place}" for place in (0, 2, 4)},
    "SPG_A_3": "conv6",
    "SPG_A_4": "fc",
}
_PUBLISHED = {"resnet50_wsol": _RESNET, "resnet50_wsol14": _RESNET, "vgg16_wsol": _VGG}
"""Layers in files of the WSOL evaluation -> ours; those of Inception-v3 have the same names."""


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class SPG:
    """Self-produced guidance (Zhang et al., ECCV 2018).

    Branch B2 learns the surest pixels of the class map in [0, 1], B1 those of what B2 says, and C those of the mean of
    what both say: pixels above `high` are object, those below `low` are background, all others teach nothing. In an
    image where nearly no pixel is above `high`, those above 0.7 of its maximum are object. An image whose class map is
    constant teaches the branch nothing, and a batch of such images adds 0 to the loss.

    Args:
        attention_high: For B2, of the class map.
        attention_low: For B2; the authors' code has 0.05.
        b2_high: For B1, of the probabilities of B2.
        b2_low: For B1.
        fused_high: For C, of the mean of the probabilities of B1 and B2.
        fused_low: For C.

    Source:
        Equations and networks as in clovaai/wsolevaluation, ``wsol/method/spg.py``, whose defaults these are.
    """

    attention_high: Annotated[Probability, Uniform(0.5, 0.95)] = 0.7
    attention_low: Annotated[Probability, Uniform(0, 0.2)] = 0.01
    b2_high: Annotated[Probability, Uniform(0.5, 0.95)] = 0.5
    b2_low: Annotated[Probability, Uniform(0, 0.2)] = 0.05
    fused_high: Annotated[Probability, Uniform(0.5, 0.95)] = 0.7
    fused_low: Annotated[Probability, Uniform(0, 0.2)] = 0.1

    def __post_init__(self) -> None:
        """Refuse thresholds between which a pixel would be object and background. Raises ``UsageError``."""
        for name in ("attention", "b2", "fused"):
            high, low = getattr(self, f"{name}_high"), getattr(self, f"{name}_low")
            if low > high:
                raise UsageError(
                    f"{name}_low {low:g} is above {name}_high {high:g}, so that pixels between them would be object "
                    f"and background; choose a smaller {name}_low"
                )

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the one stage."""
        return [Stage("training", epochs, loss=self.loss)]

    def loss(self, step: TrainingStep) -> Mapping[str, Tensor]:
        """Return the loss of the classifier and of the three branches."""
        from wsolbench_plugins.localizers.spg.guidance import guided, resize, seeds

        outputs, attention = step.outputs, step.outputs["attention"]
        b1, b2, c = (resize(outputs[f"logits_{branch}"], attention.shape[-1]) for branch in ("b1", "b2", "c"))
        return {
            "classification": step.classification(outputs["logits"]),
            "b2": guided(b2, seeds(attention, self.attention_high, self.attention_low)),
            "b1": guided(b1, seeds(b2.detach().sigmoid(), self.b2_high, self.b2_low)),
            "c": guided(c, seeds(outputs["fused_attention"], self.fused_high, self.fused_low)),
        }


def network_of(base: BackboneSpec) -> BackboneSpec:
    """Return a network with the branches of SPG beside its classifier; its build refuses one of too few taps."""
    return rebuilt(base, partial(_changed, base), convert_weights=partial(_converted, base))


def _changed(base: BackboneSpec, network: Any) -> Any:
    from wsolbench_plugins.localizers.spg.network import with_branches

    return with_branches(network, size=base.input.size, name=base.name, key=base.classifier_key)


def _converted(base: BackboneSpec, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if "SPG_C.2.weight" in state:
        return in_own_names(base.name, state)
    return state if base.convert_weights is None else base.convert_weights(state)


def in_own_names(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in our own names, where they have those of the WSOL evaluation.

    Args:
        name: The network.
        state: Weights in either names.
    """
    layers = _PUBLISHED.get(name, {})
    converted = {}
    for theirs, value in state.items():
        found = [(layer, ours) for layer, ours in layers.items() if re.match(rf"{layer}\.", theirs)]
        ours = re.sub(f"^{found[0][0]}", found[0][1], theirs) if found else theirs
        converted[ours] = value.flatten(1) if ours == "fc.weight" else value
    return converted


@hookimpl
def wsolbench_systems() -> list[SystemSpec]:
    """Offer the system."""
    source = "Zhang et al., Self-Produced Guidance for Weakly-Supervised Object Localization, ECCV 2018"
    return [SystemSpec("spg", SPG, network_of, source, needs=frozenset({"class weights", "taps"}))]
