"""``wsolbench describe``: type, range and default of every option of a method or recipe."""

import json


def test_options_are_described_one_a_line(cli):
    lines = cli("describe", "cam-tap").out.splitlines()
    assert lines[lines.index("options") + 1 :] == [
        "  relu       bool, default True",
        "  weights    raw|effective, default raw, drawn by --choose: one of raw, effective",
        "  threshold  float, from 0 to below 1, default 0.1",
    ]


def test_options_are_described_as_json(cli):
    options = json.loads(cli("describe", "modern", "--json").out)["options"]
    assert options["epochs"] == {"type": "int", "range": "at least 1", "default": 100}
    assert options["ema"] == {"type": "float | None", "range": "above 0 and below 1", "default": None}
    assert options["rand_augment"] == {"type": "int | None", "range": "from 0 to 10", "default": 9}


def test_a_method_without_options(cli):
    assert cli("describe", "full-image").out.splitlines()[-1] == "options   none"


def test_a_network_is_described_at_another_size(cli):
    for arguments in (("replknet_nano_64",), ("replknet_nano", "--input-size", 64)):
        about = json.loads(cli("describe", *arguments, "--preprocessing", "half", "--json").out)
        assert (about["name"], about["feature_size"], about["feature_stride"]) == ("replknet_nano", [8, 8], 8)
        assert about["input"] == {"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"}
    assert cli("describe", "replknet_nano_64", "--input-size", 96).refused("the name 'replknet_nano_64' says 64")
    assert cli("describe", "cam", "--input-size", 224).refused("'cam' is no backbone")
