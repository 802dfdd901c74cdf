"""``cream``: what foreground and background of each class look like, from which the cells of an image are parted.

The classifier and its training do not change. Any network with class weights can be trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from wsolbench.api import (
    BackboneSpec,
    BelowOne,
    LogUniform,
    Positive,
    Stage,
    SystemSpec,
    TrainingStep,
    Uniform,
    classification,
    hookimpl,
    rebuilt,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class CREAM:
    """Class re-activation mapping (Xu et al., CVPR 2022), in the form without a regressor.

    While the classifier trains, two embeddings of each class follow its images: the mean of the foreground cells and
    that of the background cells, which the class map parts. They have no gradient and do not change the training. At
    test time they are where a mixture of two Gaussians starts, which expectation maximization fits to the cells of one
    image. The component in which the class map is higher on average is the foreground, and the map (``native``) is its
    probability in each cell. A class that the training has not seen has no embeddings, and its map is the class map.

    The paper's ideas are as above. The sources at hand leave open, and it is chosen here: all defaults; class maps are
    those of ``cam`` without the ReLU, scaled to [0, 1]; the cells of an image are divided by their largest norm; the
    first image of a class sets its embeddings; images of one batch follow one another; both components have one fixed
    variance, and shares that start at one half and are estimated too.

    Args:
        momentum: The part of the embeddings of a class that stays when an image of it is seen.
        threshold: Cells at or above it, of the class map scaled to [0, 1], are foreground; those below, background.
        steps: Steps of expectation maximization at test time. It and the next are saved with the weights, because the
            map depends on them.
        temperature: Variance of both components: the larger, the softer is the map.

    Source:
        The paper's abstract and introduction; the authors have published no code of it.
    """

    momentum: BelowOne = 0.9
    threshold: Annotated[Positive, Field(le=1), Uniform(0.1, 0.6)] = 0.2
    steps: Annotated[int, Field(ge=0)] = 2
    temperature: Annotated[Positive, LogUniform(0.05, 1)] = 0.2

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the one stage; a class map says little of an image that is mixed of two classes."""
        return [Stage("training", epochs, loss=self.loss, mixed=False)]

    def loss(self, step: TrainingStep) -> Mapping[str, Tensor]:
        """Return the recipe's loss, and let the embeddings follow the images of the step."""
        network = step.network
        network.cream_steps.fill_(self.steps)
        network.cream_temperature.fill_(self.temperature)
        network.remember(step.outputs["features"], step.labels, momentum=self.momentum, threshold=self.threshold)
        return classification(step)


def network_of(base: BackboneSpec) -> BackboneSpec:
    """Return a network with embeddings of its classes; its build refuses one without class weights."""
    return rebuilt(base, _changed)


def _changed(network: Any) -> Any:
    from wsolbench_plugins.localizers.cream.network import with_embeddings

    return with_embeddings(network)


@hookimpl
def wsolbench_systems() -> list[SystemSpec]:
    """Offer the system."""
    source = "Xu et al., CREAM: Weakly Supervised Object Localization via Class RE-Activation Mapping, CVPR 2022"
    return [SystemSpec("cream", CREAM, network_of, source, method="native", needs=frozenset({"class weights"}))]
