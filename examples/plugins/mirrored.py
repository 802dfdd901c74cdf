"""A system: the class activation map of a mirrored image has to be the mirrored map (after Wang et al., CVPR 2020).

In the folder of this file, check it, train a network with it, score that:

    wsolbench check mirrored.py
    wsolbench train --plugin mirrored.py --backbone mirrored:resnet_nano --recipe-opt epochs=3 --out net
    wsolbench run --plugin mirrored.py --backbone mirrored:resnet_nano --weights net/weights.safetensors --method cam

A system may also change the network, train in several stages, and make maps of its own: docs/systems.md.
"""

from dataclasses import dataclass

import torch

from wsolbench.api import NonNegative, Stage, SystemSpec, hookimpl, rebuilt


@dataclass(frozen=True)
class Mirrored:
    """One stage with two terms of the loss: the recipe's, and how far the maps of both images are apart.

    Args:
        weight: Weight of the second term; an option: ``--system-opt weight=2``.
    """

    weight: NonNegative = 1.0

    def stages(self, epochs):  # as many epochs as the recipe has
        return [Stage("mirrored", epochs, self.loss)]

    def loss(self, step):  # the terms by name; their sum is minimised, and each has a column in log.csv
        maps = class_maps(step.network, step.outputs["features"], step.labels)
        mirrored = class_maps(step.network, step.network.forward_features(step.images.flip(3)), step.labels)
        return {
            "classification": step.classification(step.outputs["logits"]),
            "mirrored": self.weight * (maps - mirrored.flip(2)).abs().mean(),
        }


def class_maps(network, features, labels):
    """Return class activation maps (B, h, w) in [0, 1]."""
    maps = torch.einsum("bkhw,bk->bhw", features, network.classifier_weight[labels])
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)


@hookimpl
def wsolbench_systems():
    needs = frozenset({"class weights"})  # other networks are refused in one line
    source = "an example, after Wang et al., CVPR 2020"
    return [SystemSpec("mirrored", Mirrored, rebuilt, source, method="cam", needs=needs)]
