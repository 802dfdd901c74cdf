"""What a weights file states about its network: found wherever it stands, compared with the network that is scored."""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import each
from safetensors.torch import save_file

from wsolbench.contract import BackboneSpec, InputConfig
from wsolbench.networks.claims import Built, contradictions, stated_size, unused
from wsolbench.networks.network_names import named_by_file, size_in_name
from wsolbench.networks.plain_data import Statement, find_statements
from wsolbench.networks.weights_file import WeightsFile, read_weights_file

STATE = {"conv1.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.zeros(5, 4)}


def claims(options, registry, tmp_path, name="wsolbench:resnet_nano"):
    torch.save({"state_dict": STATE, **options}, tmp_path / "w.pth")
    said = find_statements(read_weights_file(tmp_path / "w.pth"))
    return contradictions(said, Built(registry.backbones.get(name).spec, 10), registry.backbones)


@each(
    ("options", "said"),
    [
        ({"args": argparse.Namespace(img_size=384)}, "384 pixels"),
        ({"args": {"input_size": [3, 128, 128]}}, "128 pixels"),
        ({"hyper_parameters": {"mean": (0.485, 0.456, 0.406)}}, "mean 0.485, 0.456, 0.406"),
        ({"args": argparse.Namespace(std=[0.5])}, "std 0.5"),
        ({"args": argparse.Namespace(interpolation="bicubic")}, "bicubic"),
        ({"arch": "resnet101"}, "the network is 'resnet101'"),
        ({"args": argparse.Namespace(model="vgg16", num_classes=200)}, "the network is 'vgg16', 200 classes"),
    ],
)
def test_options_that_contradict_the_network_are_reported(registry, tmp_path, options, said):
    (line,) = claims(options, registry, tmp_path)
    assert line.startswith(f"the weights file says {said}; 'resnet_nano' runs at 96×96 (bilinear) with mean 0.5")


@each(
    "options",
    [
        {"arch": "resnet_nano", "epoch": 3},
        {
            "args": argparse.Namespace(
                img_size=96, mean=[0.5, 0.5, 0.5], std=(0.25, 0.25, 0.25), interpolation="bilinear"
            )
        },
        {"args": argparse.Namespace(model="ResNet-Nano", num_classes=10, img_size=None, interpolation="")},
        {"args": argparse.Namespace(num_classes=None, mean=None, lr=1e-3, model=None)},
        {"config": {"size": "large"}, "mean": "batch"},
    ],
)
def test_options_that_agree_or_say_nothing_are_not(registry, tmp_path, options):
    assert claims(options, registry, tmp_path) == []


# ------------------------------------------------------------------------------------------------- wherever it stands

MM_TEXT = """
model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=50), head=dict(num_classes=10))
img_norm_cfg = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
test_pipeline = [dict(type='CenterCrop', crop_size=224), dict(type='Normalize', **img_norm_cfg)]
"""
IMAGENET = "mean 0.485, 0.456, 0.406"
PLACES = {
    "three levels down": (
        {"hyper_parameters": {"cfg": {"model": {"name": "vgg16", "image_size": 448}}}},
        "vgg16', 448",
    ),
    "a text of settings": ({"meta": {"config": MM_TEXT}}, "224 pixels, mean 123.675, 116.28, 103.53, std 58.395"),
    "a printed pipeline": (
        {"transform": "Compose([Resize(256), CenterCrop(size=(320, 320)), Normalize(mean=[0.485, 0.456, 0.406])])"},
        f"320 pixels, {IMAGENET}",
    ),
    "a text of JSON": ({"cfg": json.dumps({"data": {"img_size": 320, "note": "x" * 60}})}, "320 pixels"),
    "steps in a list": (
        {"val_pipeline": [{"type": "Resize"}, {"type": "Crop", "crop_size": (320, 320)}]},
        "320 pixels",
    ),
    "flattened names": (
        {"config": {"model.arch": "vgg16", "data/img_size": 320}},
        "the network is 'vgg16', 320 pixels",
    ),
    "a tracker's values": ({"config": {"img_size": {"desc": None, "value": 320}}}, "320 pixels"),
    "numpy": (
        {"args": {"mean": np.array([0.485, 0.456, 0.406]), "img_size": np.int64(320)}},
        f"320 pixels, {IMAGENET}",
    ),
    "tensors": ({"norm": {"mean": torch.tensor([[[0.485]], [[0.456]], [[0.406]]])}}, IMAGENET),
    "numbers": ({"args": {"mean": 0.0, "std": 1.0}}, "mean 0, std 1"),
    "texts": ({"args": {"mean": "0.485, 0.456, 0.406", "img_size": "320x320"}}, f"320 pixels, {IMAGENET}"),
    "size of evaluation": ({"args": {"img_size": 96, "val_crop_size": 320, "train_crop_size": 176}}, "320 pixels"),
    "stages": ({"data": {"train": {"crop_size": 176}, "val": {"crop_size": 320}}}, "says 320 pixels"),
    "oblong": ({"image_size": (96, 128)}, "96×128 pixels"),
    "with channels": ({"input_size": (3, 320, 320)}, "320 pixels"),
    "imgsz": ({"imgsz": 640}, "640 pixels"),
    "img_dim": ({"hyper_parameters": {"img_dim": 299}}, "299 pixels"),
    "resolution": ({"config": {"resolution": 384.0}}, "384 pixels"),
    "Pillow's number": ({"preprocess": {"resample": 3}}, "bicubic"),
    "an enumeration's text": ({"args": {"interpolation": "InterpolationMode.BICUBIC"}}, "bicubic"),
    "channels": ({"data_preprocessor": {"to_rgb": False}}, "channels in the order B, G, R"),
    "a list of networks": ({"architectures": ["ResNetForImageClassification", "VGG16"]}, "the network is 'VGG16'"),
    "a part of the name": ({"arch": "resnet_nano_wide"}, "the network is 'resnet_nano_wide'"),
    "a name around": ({"arch": "wide_resnet_nano"}, "the network is 'wide_resnet_nano'"),
}


@each("place", list(PLACES))
def test_statements_are_found_in_any_form_and_place(registry, tmp_path, place):
    options, said = PLACES[place]
    (line,) = claims(options, registry, tmp_path)
    assert f"{said}" in line.partition(";")[0]


@each(
    "options",
    [
        {"args": {"mean": [127.5, 127.5, 127.5], "std": [63.75, 63.75, 63.75], "to_rgb": True}},
        {"metrics": {"mean": 0.3, "std": 0.1}, "results": {"img_size": 3}, "optimizer": {"model": "sgd"}},
        {
            "arch": "ResNet",
            "model": {"type": "resnet"},
            "hyper_parameters": {"model": "LitModule", "arch": "resnet_nano"},
        },
        {"args": {"image_size": -1, "resolution": "high", "num_classes": True, "mean": [1, 2], "img_size": [1] * 5000}},
        {"args": {"model": "/runs/best.pth", "backbone": {"_target_": "timm.create_model"}}},
        {"args": {"model": "dict"}},
        {"hparams": {"data": {"size": 1000, "train_size": 0.8}, "model": {"size": "nano"}}, "img_size": 96},
        {"args": {"test_size": 0.2, "val_size": 0.1, "valid_size": 0.1}, "model": {"mu": 0, "sigma": 1}},
    ],
)
def test_statements_that_agree_or_are_of_something_else_are_not_reported(registry, tmp_path, options):
    built = Built(registry.backbones.get("wsolbench:resnet_nano").spec, 10)
    assert claims(options, registry, tmp_path) == []
    said = " ".join(unused(find_statements(read_weights_file(tmp_path / "w.pth")), built))
    assert "size" not in said
    assert "dict" not in said


def test_what_stands_beside_the_entries_and_the_file_counts(registry, tmp_path):
    built = Built(registry.backbones.get("wsolbench:resnet_nano").spec, 10)
    metadata = {"arch": "vgg16", "mean": "[0.485, 0.456, 0.406]", "input_size": "[3, 224, 224]", "format": "pt"}
    for name, content in {
        "config.json": {"pretrained_cfg": {"input_size": [3, 288, 288]}},
        "card.json": metadata,
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0], "size": {"height": 64, "width": 64}}')
    save_file(STATE, tmp_path / "model.safetensors", metadata)
    said = find_statements(read_weights_file(tmp_path / "model.safetensors"))
    lines = [line.partition("; 'resnet_nano'")[0] for line in contradictions(said, built, registry.backbones)]
    assert lines == [
        f"the weights file says the network is 'vgg16', 224 pixels, {IMAGENET}",
        "config.json beside the weights file says 288 pixels",
        "preprocessor_config.json beside the weights file says 64 pixels, mean 0",
    ]
    for broken in ("", "[1]", "{" * 5000, '{"a":' * 5000):
        (tmp_path / "config.json").write_text(broken)
        assert find_statements(WeightsFile(tmp_path / "model.safetensors", "", STATE))


def test_what_is_not_compared_is_said_once(registry, tmp_path):
    built = Built(registry.backbones.get("wsolbench:resnet_nano").spec, 10)
    options = {
        "crop_pct": 0.875,
        "val_resize_size": 256,
        "mean": "imagenet",
        "img_size": 96,
        "model_ema": True,
        "lr": 0.1,
    }
    options |= {"model_kwargs": {"kernel_sizes": [31, 29, 27, 13], "drop_rate": 0.1, "num_classes": 3}, "resize": None}
    said = find_statements(WeightsFile(tmp_path / "w.pth", "", {"state_dict": STATE, "args": options}))
    assert contradictions(said, built, registry.backbones) == []
    assert unused(said, built) == [
        "the weights file also says crop_pct 0.875, val_resize_size 256, mean imagenet, model_ema True, "
        "kernel_sizes 31, 29, 27, 13, which is not used: the network is built as it is named, and whole images are "
        "warped"
    ]


def test_options_of_the_network_are_compared_with_those_it_is_built_with(registry, tmp_path):
    spec = registry.backbones.get("wsolbench:resnet_nano").spec
    options = {"output_stride": 32, "act_layer": "relu", "kernel_sizes": (31, 29)}
    content = {"args": {"model_kwargs": {"output_stride": 8, "kernel_sizes": [51, 49]}, "act_layer": "ReLU"}}
    (line,) = contradictions(find_statements(WeightsFile(tmp_path / "w.pth", "", content)), Built(spec, 10, options))
    assert "says output_stride 8 (here 32), kernel_sizes 51, 49 (here 31, 29); 'resnet_nano'" in line
    assert line.endswith("--backbone-opt output_stride=8 builds it so; --backbone-opt kernel_sizes=51,49 builds it so")


# ---------------------------------------------------------------------------------------------------- names of networks


@each(
    ("ours", "pretrained", "theirs", "verdict"),
    [
        ("timm:efficientnet_b0", "efficientnet_b0.ra_in1k", "tf_efficientnet_b0", "--backbone timm:tf_efficientnet_b0"),
        ("timm:tf_efficientnet_b0", "tf_efficientnet_b0.ns_jft_in1k", "efficientnet_b0", "timm:efficientnet_b0"),
        ("timm:efficientnet_b0", "efficientnet_b0.ra_in1k", "timm/efficientnet_b0.ra_in1k", None),
        ("timm:efficientnet_b0", "efficientnet_b0.ra_in1k", "efficientnet_b0.ra4_e3600_r224_in1k", "ra4_e3600"),
        ("timm:efficientnet_b0", "efficientnet_b0.ra_in1k", "EfficientNet", None),
        ("timm:resnet50", "resnet50.a1_in1k", "torchvision.models.resnet50", None),
        ("timm:resnet50", "resnet50.a1_in1k", "ResNet", None),
        ("timm:resnet50", "resnet50.a1_in1k", "resnet50d", "resnet50d"),
        ("timm:resnet50", "resnet50.a1_in1k", "wide_resnet50_2", "wide_resnet50_2"),
        ("timm:resnet50", "resnet50.a1_in1k", "resnet5", "resnet5"),
        ("resnet50_wsol", "resnet50.tv_in1k", "resnet50", None),
        ("resnet50_wsol", "resnet50.tv_in1k", "resnet50_wsol14", "--backbone resnet50_wsol14"),
    ],
)
def test_names_are_compared_whole(registry, ours, pretrained, theirs, verdict):
    from wsolbench.contract import Pretrained

    spec = replace(registry.backbones.get("wsolbench:resnet_nano").spec, name=ours, family=None)
    spec = replace(spec, pretrained=Pretrained("timm", pretrained, dict), input=InputConfig(224))
    said = find_statements(WeightsFile(Path("w.pth"), "", {"arch": theirs}))
    lines = contradictions(said, Built(spec, 10), registry.backbones)
    assert lines == [] if verdict is None else verdict in lines[0]


@each(
    ("file", "named"),
    [
        ("tf_efficientnet_b0_aa-827b6e33.pth", ["tf_efficientnet_b0"]),
        ("tf_efficientnet_b0.pth", ["tf_efficientnet_b0"]),
        ("resnet50-0676ba61.pth", ["resnet50"]),
        ("model_best.pth.tar", []),
        ("checkpoint-0000ffff.pth", []),
        ("my_resnet50.pth", []),
        ("tf_efficientnet_lite0.fp16.safetensors", ["tf_efficientnet_lite0"]),
        ("resnet50_ema_best.pth", ["resnet50"]),
    ],
)
def test_a_published_file_is_named_after_its_network(registry, file, named):
    assert [said.value for said in named_by_file(Path(file), registry.backbones)] == named


@pytest.mark.slow
def test_a_file_that_states_more_than_any_training_takes_no_longer(registry, tmp_path):
    names = registry.backbones.names_like("timm:resnet")
    text = "img_size = 320\n" * 20_000
    many = {str(number): {"mean": [number] * 3, "classes": ["a"] * 9_999, "cfg": text} for number in range(3_000)}
    content = {"many": many, "arch": {name: {"arch": name.partition(":")[2]} for name in sorted(names)}}
    built = Built(registry.backbones.get("wsolbench:resnet_nano").spec, 10)
    began = time.monotonic()
    (line,) = contradictions(find_statements(WeightsFile(tmp_path / "w.pth", "", content)), built, registry.backbones)
    assert time.monotonic() - began < 20
    assert len(line) < 2_000


@pytest.mark.parametrize(
    ("name", "network", "size"),
    [
        ("RepLKNet-31B_ImageNet-1K_224.pth", "replknet_31b", 224),
        ("RepLKNet-31B_ImageNet-22K-to-1K_384.pth", "replknet_31b", 384),
        ("31B1K384_CUB.pth", "replknet_31b", 384),
        ("convnext_base_22k_1k_384.pth", "convnext_base", 384),
        ("net_224to384.pth", "net", 384),
        ("net_img384_e300.pth", "net", 384),
        ("net-128px.pth", "net", 128),
        ("levit_384-abcdef12.pth", "timm:levit_384", None),
        ("RepLKNet-XL_MegData73M_ImageNet1K.pth", "replknet_xl", None),
        ("checkpoint-224.pth", "net", None),
        ("epoch_256.pth", "net", None),
        ("net_300_bs256.pth", "net", None),
    ],
)
def test_the_name_of_a_file_may_say_a_size(name, network, size):
    spec = BackboneSpec(network, list, InputConfig(64), "us")
    assert [each.value for each in size_in_name(Path("/weights") / name, spec)] == ([] if size is None else [size])


def test_the_size_that_counts_is_the_first_sources_of_evaluation():
    def said(source, *path, value):
        return Statement(source, path, value)

    file = [said("the weights file", "args", "input_size", value=224), said("its name", "input_size", value=384)]
    assert stated_size(file) == (224, "the weights file")
    stages = [said("f", "train_crop_size", value=176), said("f", "val_crop_size", value=224)]
    assert stated_size(stages) == (224, "f")
    assert stated_size([said("f", "image_size", value=256), said("f", "crop_size", value=224)]) is None
    assert stated_size([said("f", "input_size", value=[3, 288, 288]), said("f", "epochs", value=300)]) == (288, "f")
