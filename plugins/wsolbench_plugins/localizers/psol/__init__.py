"""``psol``: a regressor beside the classifier, which learns the boxes that a projection of features finds.

Any network whose head reads its feature maps alone can be trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from wsolbench.api import (
    BOXES,
    BackboneSpec,
    LogUniform,
    Positive,
    Stage,
    SystemSpec,
    TargetImages,
    TrainingStep,
    hookimpl,
    rebuilt,
)

if TYPE_CHECKING:
    from torch import Tensor

Epochs = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class PSOL:
    """Pseudo supervised object localization (Zhang, Cao & Wu, CVPR 2020): boxes are learned from boxes without labels.

    The first stage trains the classifier. Then its features give a box of each image: the descriptors of all images of
    a class, one a cell, are projected onto their first principal axis, and the box is that of the largest region of
    positive cells (DDT, class by class). In the second stage a regressor, which is a copy of the classifier's body with
    two layers behind it, learns these boxes; labels are not read again. At test time it gives the box, the same for
    every class (``native``), and the classifier the class, so there is no map and no threshold.

    A box that is not there, because the features of an image are not finite, teaches nothing.

    Args:
        classifier_epochs: Epochs of the first stage, None for those of the recipe. With 0 the training starts from
            a trained classifier, ``--weights FILE``.
        regressor_epochs: Epochs of the second stage, None for those of the recipe. The authors have 6.
        ddt_size: Side in pixels of the images that the boxes are found in, None for that of the network's input. The
            authors have 448, and 224 for the regressor.
        box_weight: Factor of the mean squared error.

    Source:
        Stages and loss as in the paper and tzzcl/PSOL.
    """

    classifier_epochs: Epochs | None = None
    regressor_epochs: Epochs | None = None
    ddt_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    box_weight: Annotated[Positive, LogUniform(1, 100)] = 50.0

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the stage of the classifier, and that of the regressor."""
        first = epochs if self.classifier_epochs is None else self.classifier_epochs
        second = epochs if self.regressor_epochs is None else self.regressor_epochs
        return [
            Stage("classifier", first),
            Stage(
                "regressor",
                second,
                loss=self.loss,
                forward=self.forward,
                trains=("regressor",),
                targets=self.targets,
                after="classifier",
                begin=self.begin,
            ),
        ]

    def begin(self, network: Any) -> None:
        """Start the regressor from the classifier's body."""
        network.copy_body()

    def targets(self, images: TargetImages) -> Iterable[Mapping[str, Tensor]]:
        """Yield the boxes (B, 4) of the images."""
        from wsolbench_plugins.localizers.psol.object_boxes import object_boxes

        for boxes in object_boxes(images if self.ddt_size is None else images.at_size(self.ddt_size)):
            yield {BOXES: boxes}

    def forward(self, network: Any, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return the regressor's boxes (B, 4): x, y, width and height in fractions. The classifier does not run."""
        return {"boxes_xywh": network.regressor(images)}

    def loss(self, step: TrainingStep) -> Mapping[str, Tensor]:
        """Return the squared error of x, y, width and height, a mean over them and over the images with a box."""
        from wsolbench_plugins.localizers.psol.object_boxes import mean_squared_error

        return {"boxes": self.box_weight * mean_squared_error(step.outputs["boxes_xywh"], step.prepared[BOXES])}


def network_of(base: BackboneSpec) -> BackboneSpec:
    """Return a network with a regressor beside it; its build refuses one whose head reads more than feature maps."""
    return rebuilt(base, partial(_changed, base))


def _changed(base: BackboneSpec, network: Any) -> Any:
    from wsolbench_plugins.localizers.psol.network import with_regressor

    return with_regressor(network, base.input.size)


@hookimpl
def wsolbench_systems() -> list[SystemSpec]:
    """Offer the system."""
    source = "Zhang, Cao & Wu, Rethinking the Route Towards Weakly Supervised Object Localization, CVPR 2020"
    return [SystemSpec("psol", PSOL, network_of, source, method="native")]
