"""What counts as the kernel of a network: not its stem, and not the cutting of a map into patches."""

import pytest
from torch import nn

from wsolbench.networks.network import largest_kernel, stage_kernel


@pytest.mark.parametrize(
    ("layers", "largest", "stage"),
    [
        ((nn.Conv2d(3, 8, 16, stride=16), nn.Linear(8, 8)), 16, 0),  # tokens
        ((nn.Conv2d(3, 8, 7, stride=2), nn.Conv2d(8, 8, 3, stride=2), nn.Conv2d(8, 8, 1)), 7, 3),  # as SqueezeNet
        ((nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 8, 31, groups=8)), 31, 31),  # as RepLKNet
        ((nn.Conv2d(8, 8, (5, 51), groups=8), nn.Conv2d(8, 8, 2, stride=2)), 51, 51),  # as SLaK
        ((nn.Conv2d(8, 8, (1, 11), stride=(1, 1)), nn.Conv2d(8, 8, 13, stride=13)), 13, 11),
        ((nn.Linear(8, 8),), 0, 0),
    ],
)
def test_the_kernel_of_the_stages_overlaps_and_does_not_read_the_image(layers, largest, stage):
    module = nn.ModuleList(layers)
    assert (largest_kernel(module), stage_kernel(module)) == (largest, stage)
