"""The table of docs/backbones.md: every family of timm, with the features of its smallest network."""

import re
from pathlib import Path

import pytest
import timm
import torch
from timm.models._registry import _model_to_module
from torch import nn
from wsolbench_plugins.backbones.timm_networks import wsolbench_backbones

from wsolbench.api import Attentive, BackboneZoo, Features, LinearHead, UsageError

(ZOO,) = [spec for spec in wsolbench_backbones() if isinstance(spec, BackboneZoo)]
DOCS = Path(__file__).parents[3] / "docs" / "backbones.md"
ROW = re.compile(r"^\| `(?P<family>\w+)` \| `(?P<name>\w+)` \| (?P<features>[^|]+) \| (?P<methods>[^|]+) \|$", re.M)
FAMILIES = {row["family"]: row for row in ROW.finditer(DOCS.read_text())}
LARGE = 12e6
"""Networks of more parameters, or with images of more than 300 pixels, are compared by their shapes only."""


def test_the_table_has_every_family_and_its_networks():
    assert FAMILIES.keys() == set(_model_to_module.values())
    assert {family: _model_to_module[row["name"]] for family, row in FAMILIES.items()} == {
        family: family for family in FAMILIES
    }
    served = [family for family, row in FAMILIES.items() if row["methods"] != "none: it has no classifier"]
    assert (len(served), len(FAMILIES)) == (97, 98)


def methods_of(network):
    """Return which methods fit, as the table words it."""
    fitting = ["class weights"] if isinstance(network, LinearHead) else []
    return ", ".join([*fitting, "gradients", *(["attention"] if isinstance(network, Attentive) else [])])


def features_of(network):
    """Return where the features are, as the table words it."""
    forms = {"BCHW": "maps", "BHWC": "maps, channels last", "BNC": "patch tokens"}
    return f"`{network.anatomy.tap}`" if network.anatomy.tap else forms[network.anatomy.final.form]


def split(features):
    return (features.maps, features.rest) if isinstance(features, Features) else (features, None)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_what_the_table_says(family):
    row = FAMILIES[family]
    if row["methods"].startswith("none"):
        with pytest.raises(UsageError, match="has no classifier"):
            ZOO.find(row["name"])
        return
    spec = ZOO.find(row["name"])
    with torch.device("meta"):
        network = spec.build(5).eval()
    size = spec.input.size
    large = sum(parameter.numel() for parameter in network.parameters()) > LARGE or size > 300
    if not large:
        network = randomised(spec.build(5).eval())
    assert (features_of(network), methods_of(network)) == (row["features"], row["methods"])
    images = torch.rand(1, 3, size, size, device="meta" if large else "cpu")
    maps, rest = split(network.forward_features(images))
    assert maps.ndim == 4
    assert maps.shape[2] == maps.shape[3] > 1
    leaf = maps.detach().requires_grad_()
    logits = network.forward_head(leaf if rest is None else Features(leaf, rest))
    assert logits.shape == (1, 5)
    (gradients,) = torch.autograd.grad(logits[:, 0].sum(), leaf)
    assert gradients.shape == maps.shape
    if not large:
        assert gradients.any()
        own = timm_class(network)
        with torch.no_grad():
            expected = own.forward_head(network, own.forward_features(network, images))
            assert torch.equal(network(images), expected)
            shown = network.forward_tapped(images, {tap: lambda maps: maps for tap in network.taps})
        assert torch.equal(shown, expected)
        torch.testing.assert_close(logits, expected)


def timm_class(network):
    """Return the class that timm defines."""
    return next(own for own in type(network).__mro__ if own.__module__.startswith("timm."))


@torch.no_grad()
def randomised(network):
    """Return a network none of whose weights are zero, as some of its classifier are in the beginning."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.02)
    return network


# ------------------------------------------------------------------------------------- networks that everybody uses

USED = {
    "vit_tiny_patch16_224": ("blocks.11.norm1", 1),
    "deit_tiny_patch16_224": ("blocks.11.norm1", 1),
    "swin_tiny_patch4_window7_224": ("norm", "channels last"),
    "vit_small_patch14_dinov2": ("blocks.11.norm1", 1),
    "resnet50_clip": ("stages.3", None),
    "vit_base_patch16_clip_224": ("blocks.11.norm1", 1),
}


@pytest.mark.slow
@pytest.mark.usefixtures("no_gallery")
@pytest.mark.parametrize("name", USED)
def test_networks_that_everybody_uses_equal_a_literal_reference_and_run(name, cli, folder_set, tmp_path):
    layer, prefix = USED[name]
    spec = ZOO.find(name)
    torch.manual_seed(0)
    backbone = spec.build(5).eval()
    plain = timm.create_model(name, num_classes=5).eval()
    plain.load_state_dict(backbone.state_dict())
    images = torch.randn(1, 3, spec.input.size, spec.input.size, generator=torch.Generator().manual_seed(1))
    kept = []

    def keep(_module, _inputs, output):
        output.retain_grad()
        kept.append(output)

    with plain.get_submodule(layer).register_forward_hook(keep):
        expected = plain(images)
    expected[:, 2].sum().backward()
    maps, rest = split(backbone.forward_features(images))
    assert torch.equal(maps, as_maps(kept[0].detach(), prefix))
    leaf = maps.detach().requires_grad_()
    logits = backbone.forward_head(leaf if rest is None else Features(leaf, rest))
    assert torch.equal(logits, expected)
    (gradients,) = torch.autograd.grad(logits[:, 2].sum(), leaf)
    torch.testing.assert_close(gradients, as_maps(kept[0].grad, prefix), rtol=1e-4, atol=1e-9)
    assert gradients.any()
    options = ("--weights", "random", "--method", "grad-cam", "--limit", "2", "--out", tmp_path / "out", "--json")
    ended = cli("run", "--backbone", f"timm:{name}", *options, *folder_set(val=2, test=2).options)
    assert ended.code == 0, ended.err
    assert ended.records[0]["backbone"]["name"] == f"timm:{name}"


def as_maps(output, prefix):
    if prefix is None:
        return output
    if prefix == "channels last":
        return output.permute(0, 3, 1, 2)
    patches = output[:, prefix:]
    side = round(patches.shape[1] ** 0.5)
    return patches.reshape(len(patches), side, side, -1).permute(0, 3, 1, 2)
