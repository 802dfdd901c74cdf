"""``ts-cam`` and ``scm``: vision transformers whose patches are classified; maps couple class maps with the attention.

Any network of tokens with a class token can be trained, ``timm:deit_tiny_patch16_224`` and
``timm:deit_small_patch16_224`` as published, ``vit_nano`` and ``vit_micro`` here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic.dataclasses import dataclass

from wsolbench.api import BackboneSpec, Count, Stage, SystemSpec, hookimpl, rebuilt

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class TSCAM:
    """Token semantic coupled attention map (Gao et al., ICCV 2021).

    The patch tokens behind the last norm are classified in place of the class token: a 3×3 convolution makes a semantic
    map of each class, whose mean is the score. The map at test time (``native``) is the semantic map of the class times
    the attention that the class token pays to the patches, summed over all blocks. Negative values stay.

    Source:
        Equations as in vasgaowei/TS-CAM, ``lib/models/deit.py``.
    """

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the one stage, with the recipe's loss."""
        return [Stage("training", epochs)]


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class SCM:
    """Spatial calibration (Bai et al., ECCV 2022): TS-CAM with four layers before the scores, in training only.

    In each layer the attention of the class token spreads on the grid of the patches, more between those whose semantic
    values are alike. What it reaches above a threshold is added to it, and strengthens the semantic maps there. How
    much semantic values count, and the threshold, are learned. Scores in training are those of the calibrated maps; at
    test time the layers are left out, and scores and map are those of TS-CAM.

    Args:
        steps: Newton-Schulz steps to the inverse by which attention spreads. The more, the farther.

    Source:
        The paper. Scale, start values and the start of the inverse are ours.
    """

    steps: Count = 5

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the one stage, with the recipe's loss of the calibrated scores."""
        return [Stage("training", epochs, forward=self.forward)]

    def forward(self, network: Any, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """Return what the network gives in training, with the number of steps of this system."""
        outputs: Mapping[str, Tensor] = network.training_outputs(images, labels, self.steps)
        return outputs


def network_of(base: BackboneSpec, *, calibrated: bool = False) -> BackboneSpec:
    """Return a network with a classifier of patches; its build refuses one without attention or class token.

    Args:
        base: The network.
        calibrated: Whether it has the layers of SCM.
    """
    return rebuilt(
        base,
        partial(_changed, base, calibrated),
        classifier_key="semantic.weight",
        convert_weights=partial(_converted, base, calibrated),
    )


def _changed(base: BackboneSpec, calibrated: bool, network: Any) -> Any:
    from wsolbench_plugins.localizers.ts_cam.calibration import with_calibration
    from wsolbench_plugins.localizers.ts_cam.network import with_semantic_head

    change = with_calibration if calibrated else with_semantic_head
    return change(network, size=base.input.size, key=base.classifier_key)


def _converted(base: BackboneSpec, calibrated: bool, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return weights in our names, without layers of SCM where the network has none.

    Of the authors' files, the convolution has the name of the base's classifier.
    """
    classifier = state.get(base.classifier_key)
    if classifier is not None and classifier.ndim == 4 and classifier.shape[2:] == (3, 3):
        theirs = base.classifier_key.rpartition(".")[0] + "."
        state = {
            f"semantic.{name.removeprefix(theirs)}" if name.startswith(theirs) else name: value
            for name, value in state.items()
        }
    if not calibrated:
        state = {name: value for name, value in state.items() if not name.startswith("calibration.")}
    return state if base.convert_weights is None else base.convert_weights(state)


@hookimpl
def wsolbench_systems() -> list[SystemSpec]:
    """Offer both."""
    spec = partial(SystemSpec, method="native", needs=frozenset({"attention"}))
    ts_cam = "Gao et al., TS-CAM: Token Semantic Coupled Attention Map for WSOL, ICCV 2021"
    scm = "Bai et al., WSOL via Transformer with Implicit Spatial Calibration, ECCV 2022"
    return [
        spec("ts-cam", TSCAM, network_of, ts_cam),
        spec("scm", SCM, partial(network_of, calibrated=True), scm),
    ]
