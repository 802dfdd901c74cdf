"""Weights without a classifier: recognised where nothing else is missing, in every form that a network is saved in."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from wsolbench.errors import WeightsError
from wsolbench.host.registry import Registry
from wsolbench.networks.diagnosis import compare
from wsolbench.networks.load import load_network
from wsolbench.networks.shapes import build_network
from wsolbench.networks.weights import count_classes
from wsolbench.networks.weights_file import read_weights_file


@pytest.fixture(scope="module")
def offer(registry):
    return registry.backbones.get("wsolbench:replknet_nano")


@pytest.fixture(scope="module")
def bodies(offer):
    """The entries of a network without its classifier, by the form it is in."""
    torch.manual_seed(1)
    bodies = {}
    for form in ("training", "fused"):
        network = build_network(offer.spec, 3).eval()
        if form == "fused":
            network.reparameterize()
            network.fuse()
        state = network.state_dict()
        bodies[form] = {name: value for name, value in state.items() if not name.startswith("head.")}
    return bodies


@pytest.mark.slow
@pytest.mark.parametrize("form", ["training", "fused"])
def test_every_form_without_a_classifier_has_0_classes(offer, bodies, tmp_path, form):
    path = tmp_path / "body.safetensors"
    save_file(bodies[form], path)
    assert count_classes(path, offer.spec, bodies[form]) == 0
    fit = compare(read_weights_file(path), offer)
    assert (fit.classes, bool(fit.difference), fit.merged) == (0, False, form != "training")
    network = load_network(
        Registry([offer]), "replknet_nano", dataset="x", num_classes=7, weights=path, device=torch.device("cpu"), seed=0
    )
    assert network.num_classes == 0
    features, logits = network.forward(torch.randn(2, 3, 96, 96))
    assert logits.shape == (2, 0)
    assert features.shape == (2, 72, 12, 12)


def test_a_file_that_lacks_more_or_has_another_classifier_is_not_taken_for_one(offer, bodies, tmp_path):
    body = bodies["training"]
    name = next(name for name in body if name.endswith("weight"))
    lacking = {key: value for key, value in body.items() if key != name}
    other = {**body, "fc.weight": torch.zeros(5, 72)}
    for case, entries in enumerate((lacking, other)):
        with pytest.raises(WeightsError, match=r"it has no 'head\.weight'"):
            count_classes(Path("w"), offer.spec, entries)
        save_file(entries, tmp_path / f"{case}.safetensors")
        fit = compare(read_weights_file(tmp_path / f"{case}.safetensors"), offer)
        assert fit.classes is None
        assert fit.difference
