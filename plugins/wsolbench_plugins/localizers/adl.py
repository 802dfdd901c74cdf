"""``adl``: attention-based dropout layers, which hide the most active cells of feature maps while a network trains."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic.dataclasses import dataclass

from wsolbench.api import (
    Attentive,
    BackboneSpec,
    Probability,
    Stage,
    SystemSpec,
    Uniform,
    UsageError,
    hookimpl,
    rebuilt,
)

if TYPE_CHECKING:
    from torch import Tensor

PLACES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("resnet50", "resnet50_wsol", "resnet50_wsol14"), ("layer3.0", "layer4.0", "layer4.2")),
    "vgg16_wsol": ("features.16", "features.22", "features.28"),
    "vgg16_gap": ("features.16", "features.22", "features.29"),
    "inception_v3_wsol": ("Mixed_5d", "Mixed_6e", "SPG_A3_2b"),
}
"""Network -> the layers behind which the reference has its dropout layers: of VGG-16 pool 3, conv 4-3 and conv 5-3."""


@dataclass(frozen=True, config={"extra": "forbid", "strict": True, "defer_build": True})
class ADL:
    """Attention-based dropout layers (Choe & Shim, CVPR 2019); nothing changes but the forward pass in training.

    Each layer draws one coin for every batch. The maps are multiplied either by a mask that hides the cells whose mean
    over the channels is largest, or by the sigmoid of that mean.

    Args:
        drop_rate: Probability of the mask.
        threshold: Cells of at least this share of an image's largest mean are hidden.
        places: Taps behind which there is a layer; None for those of the reference, where it has the network, and for
            the last two stages or blocks of any other network; of tokens, the two before the last.

    Source:
        Equations and places as in clovaai/wsolevaluation, ``wsol/method/adl.py``, whose defaults these are.
    """

    drop_rate: Annotated[Probability, Uniform(0, 1)] = 0.75
    threshold: Annotated[Probability, Uniform(0, 1)] = 0.9
    places: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.places is not None and len(set(self.places)) < len(self.places):
            raise ValueError("places: a tap is named more than once; name each once")

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the one stage."""
        return [Stage("training", epochs, forward=self.forward)]

    def forward(self, network: Any, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return the logits (B, C) of images (B, 3, H, W), with layers in the network.

        Raises:
            UsageError: The network has no tap of a name.
        """
        return {"logits": network.forward_tapped(images, dict.fromkeys(self._places(network), self.drop))}

    def drop(self, maps: Tensor) -> Tensor:
        """Return maps (B, K, h, w) with their most active cells hidden, or with importance given to them."""
        import torch

        attention = maps.mean(dim=1, keepdim=True)
        if torch.rand(()) + self.drop_rate < 1:
            return maps * attention.sigmoid()
        return maps * self.mask(attention)

    def mask(self, attention: Tensor) -> Tensor:
        """Return 0 for the cells of attention (B, 1, h, w) that reach the threshold and 1 for others, no gradient."""
        return (attention < self.threshold * attention.amax(dim=(2, 3), keepdim=True)).to(attention.dtype)

    def _places(self, network: Any) -> tuple[str, ...]:
        own: tuple[str, ...] = getattr(network, "adl_places", None) or _last_blocks(network)
        for name in self.places or ():
            if name not in {*network.taps, *own}:
                taps = ", ".join(network.taps)
                raise UsageError(f"places: {type(network).__name__} has no tap {name!r}; its taps: {taps}")
        return self.places or own


def _last_blocks(network: Any) -> tuple[str, ...]:
    """Return the last two taps that are no norms; of a network of tokens, those before its last block.

    Behind the last block nothing that a class token is made of reads the patches.
    """
    blocks = [name for name in network.taps if "norm" not in name.rpartition(".")[2]]
    if isinstance(network, Attentive) and len(blocks) > 1:
        del blocks[-1]
    return tuple(blocks[-2:])


def network_of(base: BackboneSpec) -> BackboneSpec:
    """Return the network itself, which also reads weights of the reference with layers in its numbering."""
    places = PLACES.get(base.name)
    if places is None:
        return rebuilt(base)
    return rebuilt(base, partial(_with_places, places), convert_weights=partial(_renumbered, places))


def _with_places(places: tuple[str, ...], network: Any) -> Any:
    """Return a network that knows its places, without the dropout that the reference's Inception-v3 has for CAM."""
    network.adl_places = places
    if hasattr(network, "dropout"):
        network.dropout = 0.0
    return network


def _renumbered(places: tuple[str, ...], state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return weights under the network's own names: layers of the reference count in the numbers of those after them.

    Args:
        places: Where they are in the network's own numbers.
        state: Weights in either numbering.
    """
    numbers: dict[str, list[int]] = {}
    for place in places:
        parent, dot, number = place.rpartition(".")
        if dot:
            inserted = numbers.setdefault(parent, [])
            inserted.append(int(number) + 1 + len(inserted))
    taken = {f"{parent}.{inserted[0]}." for parent, inserted in numbers.items()}
    if any(name.startswith(tuple(taken)) for name in state):
        return state  # these are the network's own: a dropout layer has no weights

    def own(name: str) -> str:
        found = re.match(r"(\w+)\.(\d+)\.", name)
        if found is None or found[1] not in numbers:
            return name
        number = int(found[2])
        before = sum(each < number for each in numbers[found[1]])
        return f"{found[1]}.{number - before}.{name[found.end() :]}"

    return {own(name): value for name, value in state.items()}


@hookimpl
def wsolbench_systems() -> list[SystemSpec]:
    """Offer the system."""
    source = "Choe & Shim, Attention-Based Dropout Layer for Weakly Supervised Object Localization, CVPR 2019"
    return [SystemSpec("adl", ADL, network_of, source, needs=frozenset({"taps"}))]
