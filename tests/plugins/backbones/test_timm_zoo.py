"""Any network of timm's by its name: those that are backbones conform, and why the others are none is said."""

from dataclasses import replace

import pytest
import timm
import torch
from wsolbench_plugins.backbones.timm_networks import wsolbench_backbones

from wsolbench import testing
from wsolbench.api import BackboneZoo, UsageError

(ZOO,) = [spec for spec in wsolbench_backbones() if isinstance(spec, BackboneZoo)]
FORMS = {
    "resnet10t": "fc.weight",
    "mobilenetv2_035": "classifier.weight",
    "convnext_atto": "head.fc.weight",  # pool → layer norm → linear
    "resnetv2_18": "head.fc.weight",  # its classifier is a 1×1 convolution
}


@pytest.mark.parametrize("name", FORMS)
def test_a_pooled_classifier_is_a_backbone(name):
    spec = ZOO.find(name)
    assert spec.classifier_key == FORMS[name]
    small = replace(spec, input=replace(spec.input, size=64))
    checks = dict(testing.conformance_checks(small))
    for rule in ("shapes", "classifier_key", "effective_weights"):
        checks[f"check_backbone_{rule}"]()


def test_entries_are_timms():
    spec = ZOO.find("resnet10t")
    with torch.device("meta"):
        assert spec.build(7).state_dict().keys() == timm.create_model("resnet10t").state_dict().keys()


def test_images_are_prepared_as_the_weights_of_a_tag_expect():
    spec = ZOO.find("inception_v3.tf_in1k")
    config = timm.get_pretrained_cfg("inception_v3.tf_in1k")
    assert (spec.input.size, spec.input.mean) == (config.input_size[-1], config.mean)
    assert (spec.input.std, spec.input.interpolation) == (config.std, config.interpolation)
    assert str(spec.pretrained) == "timm:inception_v3.tf_in1k"


def test_a_name_without_a_tag_means_timms_default_weights():
    assert str(ZOO.find("resnet10t").pretrained) == f"timm:resnet10t.{timm.get_pretrained_cfg('resnet10t').tag}"


@pytest.mark.parametrize("name", ["seresnet18", "nfnet_f0"])
def test_a_network_without_published_weights_has_none_to_fetch(name):
    assert ZOO.find(name).pretrained is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vit_tiny_patch16_224", r"its features \(1, 197, 192\) are not maps \(B, 192, h, w\)"),
        ("mobilenetv3_small_050", r"its features .* are not maps \(B, 1024, h, w\)"),
        ("maxvit_tiny_tf_224", "more than a global average pool and a layer norm"),
        ("deit_tiny_distilled_patch16_224", "its classifier is not one linear layer"),
    ],
)
def test_why_another_network_is_none(name, reason):
    with pytest.raises(UsageError, match=f"'timm:{name}' has no class activation map: .*{reason}") as caught:
        ZOO.find(name)
    assert "\n" not in str(caught.value)


def test_names_with_and_without_tags_are_known():
    assert {"resnet50", "resnet50.a1_in1k"} <= set(ZOO.names())


@pytest.mark.usefixtures("no_gallery")
def test_a_run_describes_and_records_the_name_that_was_typed(cli, folder_set, tmp_path):
    arguments = ("--backbone", "timm:resnet10t", "--method", "cam", "--weights", "random", "--json")
    ended = cli("run", *arguments, "--out", tmp_path / "out", *folder_set(val=1, test=1).options)
    assert ended.code == 0, ended.err
    backbone = ended.records[0]["backbone"]
    assert (backbone["requested"], backbone["name"], backbone["family"]) == ("timm:resnet10t", "timm:resnet10t", None)
    described = cli("describe", "wsolbench:timm:resnet10t", "--json")
    assert '"name": "timm:resnet10t"' in described.out


@pytest.mark.slow
@pytest.mark.usefixtures("no_gallery")
def test_a_network_trains_and_its_weights_run(cli, folder_set, tmp_path):
    made, name = folder_set(train=16, val=2, test=4), "timm:resnet10t"
    epoch = ("--recipe-opt", "epochs=1", "--recipe-opt", "batch_size=8")
    trained = cli("train", "--backbone", name, *made.options, *epoch, "--out", tmp_path / "trained")
    assert trained.code == 0, trained.err
    weights = ("--weights", tmp_path / "trained" / "weights.safetensors")
    ended = cli(
        "run", "--backbone", name, *weights, "--method", "cam", "--json", *made.options, "--out", tmp_path / "run"
    )
    assert ended.code == 0, ended.err
    assert ended.records[0]["backbone"]["weights"]["source"] == "file"


@pytest.mark.parametrize("command", [("describe",), ("run", "--method", "cam", "--backbone")])
def test_an_unknown_name_suggests_timms(cli, command):
    ended = cli(*command, "timm:resnet50d_")
    assert ended.refused("'timm:resnet50d_'. Did you mean", "'timm:resnet50d'")


def test_a_network_that_is_no_backbone_is_refused_in_one_line(cli):
    ended = cli("run", "--method", "cam", "--backbone", "timm:vit_tiny_patch16_224")
    assert ended.refused("'timm:vit_tiny_patch16_224' has no class activation map")
    assert len(ended.err.splitlines()) == 1


def test_the_prefix_alone_tells_how_it_is_used(cli):
    assert cli("run", "--method", "cam", "--backbone", "timm").refused("Did you mean 'timm:NAME'?")
