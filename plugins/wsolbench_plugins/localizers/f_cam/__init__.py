"""``f-cam``: a decoder on a frozen classifier, whose map has the resolution of the image.

Any network with taps can be trained, ``resnet50_wsol`` and ``vgg16_wsol`` as published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from wsolbench.api import (
    BackboneSpec,
    Choice,
    Count,
    LogUniform,
    NonNegative,
    Positive,
    Stage,
    SystemSpec,
    TargetImages,
    TrainingStep,
    Uniform,
    UsageError,
    classification,
    hookimpl,
    rebuilt,
)

if TYPE_CHECKING:
    from torch import Tensor

Epochs = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class FCAM:
    """F-CAM (Belharbi et al., WACV 2022): a decoder that learns full-resolution maps from those of a classifier.

    The first stage trains the classifier. In the second it is frozen, and a decoder on its taps learns two maps of the
    size of the input, background and foreground. The loss has three terms. ``pixels`` is the cross-entropy at one pixel
    of the foreground and one of the background an image, drawn anew in each step, with the pixels around them.
    ``size`` keeps both regions from vanishing, by an extended log-barrier that sharpens from epoch to epoch. ``crf``,
    which is off by default, asks for one side at pixels that are near each other and of like colour. The map at test
    time is the probability of the foreground (``native``), the same for every class.

    A pixel of the foreground comes from the region above Otsu's threshold, eroded; where nothing is left of it, from
    the region as it is. A pixel of the background has one of the lowest values, ties included, and is not in the
    region. Pixels that are near both are left out, and so are images whose map is constant.

    Args:
        map: The classifier's map: the weighted sum of ``cam``, signed, or ``layer-cam``. Both are of the last features.
        classifier_epochs: Epochs of the first stage, None for those of the recipe. With 0 the training starts from
            a trained classifier, ``--weights FILE``.
        decoder_epochs: Epochs of the second stage, None for those of the recipe.
        lowest: Share of the pixels that may be background.
        erosion: Side of the square by which the region of the foreground is eroded, in pixels.
        dilation: Side of the square of pixels around a drawn one that are learned with it.
        size_weight: Factor of the barrier.
        crf_weight: Factor of the term of pairs; the authors' is 2e-9, for images of 224×224. The term compares all
            pairs of pixels, so its time grows with the fourth power of the side.
        crf_colour: Standard deviation of colours in that term, of 0 to 255.
        crf_distance: That of places, in pixels.

    Source:
        Terms and hyperparameters as in the paper and sbelharbi/fcam-wsol.
    """

    map: Annotated[Literal["cam", "layer-cam"], Choice("cam", "layer-cam")] = "cam"
    classifier_epochs: Epochs | None = None
    decoder_epochs: Epochs | None = None
    lowest: Annotated[Positive, Field(lt=1), Uniform(0.05, 0.5)] = 0.1
    erosion: Count = 11
    dilation: Count = 3
    size_weight: Annotated[NonNegative, LogUniform(0.001, 1)] = 0.1
    crf_weight: NonNegative = 0.0
    crf_colour: Positive = 15.0
    crf_distance: Positive = 100.0

    def __post_init__(self) -> None:
        """Refuse squares without a middle. Raises ``UsageError``."""
        for name, side in (("erosion", self.erosion), ("dilation", self.dilation)):
            if side % 2 == 0:
                raise UsageError(f"{name}={side}: expected an odd number of pixels, such as {side + 1}")

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the stage of the classifier, and that of the decoder."""
        first = epochs if self.classifier_epochs is None else self.classifier_epochs
        second = epochs if self.decoder_epochs is None else self.decoder_epochs
        return [
            Stage("classifier", first, loss=self.classifier_loss),
            Stage(
                "decoder",
                second,
                loss=self.decoder_loss,
                forward=self.forward,
                trains=("decoder",),
                targets=self.targets,
                after="classifier",
            ),
        ]

    def classifier_loss(self, step: TrainingStep) -> Mapping[str, Tensor]:
        """Return the recipe's loss.

        Raises:
            UsageError: The network does not have what the map of the second stage needs.
        """
        self._check(step.network)
        return classification(step)

    def targets(self, images: TargetImages) -> Iterable[Mapping[str, Tensor]]:
        """Yield the classifier's maps (B, h, w) of the class of each image.

        Raises:
            UsageError: The network does not have what they need.
        """
        from wsolbench_plugins.localizers.f_cam.class_maps import class_maps

        self._check(images.network)
        for batch, labels in images:
            yield {"maps": class_maps(images.network, batch, labels, self.map)}

    def forward(self, network: Any, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return the classifier's logits (B, C), and those of background and foreground (B, 2, H, W).

        The classifier is in eval mode, layers of the network without parameters too, such as its dropout.
        """
        network.eval()
        network.decoder.train()
        logits, maps = network.decoded(images)
        return {"logits": logits, "maps": maps}

    def decoder_loss(self, step: TrainingStep) -> Mapping[str, Tensor]:
        """Return the terms; that of pairs is not there where its factor is 0."""
        from wsolbench_plugins.localizers.f_cam import terms
        from wsolbench_plugins.localizers.f_cam.seeds import draw_seeds

        logits = step.outputs["maps"]
        height, width = logits.shape[2:]
        seeds = draw_seeds(
            step.prepared["maps"],
            (height, width),
            step.generator,
            lowest=self.lowest,
            erosion=self.erosion,
            dilation=self.dilation,
        )
        regions = logits.softmax(dim=1)
        found = {
            "pixels": terms.partial_cross_entropy(logits, seeds.to(logits.device)),
            "size": self.size_weight * terms.sizes(regions, terms.sharpness(step.epoch)),
        }
        if self.crf_weight:
            colours = step.images * step.images.new_tensor(step.network.colour_scale)[:, None, None]
            pairs = terms.pairs(regions, colours, colour=self.crf_colour, distance=self.crf_distance)
            found["crf"] = self.crf_weight * pairs
        return found

    def _check(self, network: Any) -> None:
        if self.map == "cam" and getattr(network, "classifier_weight", None) is None:
            raise UsageError(
                "f-cam: map=cam needs class weights, and the network has none; type --system-opt map=layer-cam"
            )


def network_of(base: BackboneSpec) -> BackboneSpec:
    """Return a network with a decoder beside its classifier; its build refuses one without taps."""
    return rebuilt(base, partial(_changed, base))


def _changed(base: BackboneSpec, network: Any) -> Any:
    from wsolbench_plugins.localizers.f_cam.network import with_decoder

    return with_decoder(network, base.input)


@hookimpl
def wsolbench_systems() -> list[SystemSpec]:
    """Offer the system."""
    source = "Belharbi et al., F-CAM: Full Resolution Class Activation Maps via Guided Parametric Upscaling, WACV 2022"
    return [SystemSpec("f-cam", FCAM, network_of, source, method="native", needs=frozenset({"taps"}))]
