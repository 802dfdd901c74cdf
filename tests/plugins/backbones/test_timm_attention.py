"""The attention of timm's networks of tokens: against published numbers, and which token their heads read."""

import numpy as np
import pytest
import torch
from reference_fill import agrees, fill
from wsolbench_plugins.backbones.timm_networks import zoo
from wsolbench_plugins.methods.attention import ClassAttention

from wsolbench.api import MethodContext


@pytest.mark.slow
def test_deits_attention_is_that_of_ts_cams_own_code(shared_data):
    """Their network has the weights of `reference_fill` by name, and one image of sines."""
    with torch.device("meta"):
        network = zoo.find("deit_tiny_patch16_224").build(10).eval()
    network.to_empty(device="cpu")
    fill(network)
    index = np.arange(3 * 224 * 224, dtype=np.float64)
    image = np.sin(0.05 * index) + np.sin(0.0007 * index) + np.cos(0.31 * index)
    images = torch.from_numpy(image.astype(np.float32).reshape(1, 3, 224, 224))
    published = np.load(shared_data / "systems" / "deit_tiny_tscam.npz")
    with torch.no_grad():
        shown = network.forward_attention(images)
        found = ClassAttention(blocks="mean")(
            images, MethodContext(network, images, torch.zeros(1), torch.zeros(1, 10))
        )
    assert agrees(12 * found[0], published["fused_attention"].reshape(14, 14), 1e-4)
    for weights, row in zip(shown.weights, published["attention_rows"], strict=True):
        assert agrees(weights.mean(dim=1)[0, 0], row, 1e-4)


@pytest.mark.parametrize(
    ("name", "reads_class"), [("vit_tiny_patch16_224", True), ("vit_relpos_small_patch16_224", False)]
)
def test_what_the_head_of_a_network_of_timm_reads_is_known(name, reads_class):
    with torch.device("meta"), torch.no_grad():
        network = zoo.find(name).build(7, depth=1).eval()
        shown = network.forward_attention(torch.zeros(1, 3, 224, 224))
    assert (shown.class_token, shown.grid) == (reads_class, (14, 14))
