"""Networks built for their shapes alone: the names, shapes and types of those with values, and no values."""

import pytest
import torch
from torch import nn

from wsolbench.networks.shapes import build_shapes

NETWORKS = ["resnet_nano", "convnext_nano", "slak_nano", "replknet_nano"]


@pytest.mark.parametrize("name", NETWORKS)
def test_names_shapes_and_types_are_those_of_the_network(registry, name):
    spec = registry.backbones.get(f"wsolbench:{name}").spec
    shapes, real = build_shapes(spec, 7).state_dict(), spec.build(7).state_dict()
    assert {key: (value.shape, value.dtype) for key, value in shapes.items()} == {
        key: (value.shape, value.dtype) for key, value in real.items()
    }
    assert all(value.is_meta for value in shapes.values())


def test_what_has_memory_is_filled_as_ever():
    class Spec:
        def build(self, num_classes):
            layer = nn.Linear(2, num_classes)
            layer.kept = torch.empty(3, device="cpu").fill_(2.0)
            nn.init.constant_(layer.kept[:1], 5.0)
            return layer

    layer = build_shapes(Spec(), 4)
    assert layer.kept.tolist() == [5.0, 2.0, 2.0]
    assert layer.weight.is_meta
    assert torch.empty(2).fill_(1.0).tolist() == [1.0, 1.0]
