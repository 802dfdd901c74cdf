"""DRN: parameters, entries and logits of the published implementation (fyu/drn at d75db2e), which was run once."""

import numpy as np
import pytest
import torch
from reference_fill import IMAGE, agrees, fill

PUBLISHED = {  # parameters with 1,000 classes, entries
    "drn_c_26": (21_126_584, 182),
    "drn_c_42": (31_234_744, 278),
    "drn_c_58": (41_591_608, 380),
    "drn_d_22": (16_393_752, 152),
    "drn_d_38": (26_501_912, 248),
    "drn_d_54": (35_809_176, 344),
    "drn_d_105": (54_801_304, 650),
}
LOGITS = {  # the first four of ten, of the reference image and weights
    "drn_c_26": [-0.23764563, 0.77226925, -0.62250280, -0.04781800],
    "drn_c_58": [-0.03932155, 0.96082079, -0.85251796, -0.01113798],
    "drn_d_22": [0.10141221, 0.59667003, -0.52428710, -0.09132119],
    "drn_d_54": [-0.88936561, 0.35822272, -1.14050758, -0.39225599],
}
QUICK = ("drn_c_26", "drn_d_22")


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[] if each in QUICK else pytest.mark.slow) for each in PUBLISHED]
)
def test_parameters_and_entries_are_the_published_ones(registry, name):
    with torch.device("meta"):
        network = registry.backbones.get(f"wsolbench:{name}").spec.build(1000)
        features = network.eval().forward_features(torch.zeros(1, 3, 224, 224))
    assert (sum(each.numel() for each in network.parameters()), len(network.state_dict())) == PUBLISHED[name]
    assert tuple(features.shape) == (1, 512, 28, 28)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_the_published_ones(registry, name):
    network = registry.backbones.get(f"wsolbench:{name}").spec.build(10).eval()
    fill(network)
    with torch.no_grad():
        logits = network.forward_head(network.forward_features(IMAGE))[0, :4]
    assert agrees(logits, np.array(LOGITS[name]), 1e-4)
