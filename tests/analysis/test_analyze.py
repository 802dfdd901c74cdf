"""``wsolbench analyze``: networks by name and from records, files that can be read again, and one line for faults."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import wsolbench
from wsolbench.analysis.catalogue import list_studies, load_study
from wsolbench.analysis.stored import read_analysis
from wsolbench.analysis.study import CompositeStudy, NetworkStudy, RecordStudy
from wsolbench.contract import InputConfig
from wsolbench.errors import DataError, UsageError
from wsolbench.testing.toys import ToyNetwork

QUICK = ["--images", "6", "--workers", "1"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory, compiled_sweep):  # noqa: ARG001
    """An analysis of a trained network beside its random twin."""
    folder = tmp_path_factory.mktemp("analysis") / "noise"
    wsolbench.analyze("noise", "resnet_nano", images=6, out=folder)
    return folder


@pytest.mark.parametrize("name", list_studies())
def test_every_analysis_says_what_it_is(name):
    study = load_study(name)
    assert issubclass(study, NetworkStudy | RecordStudy | CompositeStudy)
    assert study.cannot_say.endswith(".")
    assert list_studies()[name].endswith(".")


def test_files_say_what_was_done(stored):
    names = {path.name for path in stored.iterdir()}
    assert names == {
        *("noise.json", "noise.csv", "noise.png", "noise.svg"),
        *("noise-images.csv", "noise-maps.png", "noise-maps.svg"),
    }
    analysis = read_analysis(stored / "noise.json")
    assert [each.label for each in analysis.networks] == ["resnet_nano", "resnet_nano (random)"]
    assert analysis.networks[0].backbone.weights.sha256 is not None
    assert analysis.dataset.split_sizes == {"test": 6}
    assert analysis.environment.command.startswith("wsolbench.analyze(analysis='noise'")
    table = pd.read_csv(stored / "noise.csv")
    assert table["network"].tolist() == ["resnet_nano", "resnet_nano (random)"]
    np.testing.assert_allclose(
        [row["entropy as area (median)"] for row in analysis.table], table["entropy as area (median)"], rtol=1e-5
    )
    with Image.open(stored / "noise.png") as picture:
        assert picture.size[0] > 600


def test_the_same_call_gives_the_same_files(stored, tmp_path):
    wsolbench.analyze("noise", "resnet_nano", images=6, out=tmp_path / "again")
    for name in ("noise.csv", "noise-images.csv", "noise.png", "noise.svg"):
        assert (tmp_path / "again" / name).read_bytes() == (stored / name).read_bytes()


def test_networks_of_records_and_by_name(cli, tmp_path, without_galleries):
    with without_galleries():
        done = cli("run", "--backbone", "resnet_nano", "--method", "cam", "--limit", 6, "--out", tmp_path / "run")
    assert done.code == 0
    record = tmp_path / "run" / "record-cam.json"
    done = cli("analyze", "noise", record, "--backbone", "replknet", "--weights", "random", "--json", *QUICK)
    assert done.code == 0
    rows = json.loads(done.out)
    assert [row["network"] for row in rows] == ["resnet_nano", "resnet_nano (random)", "replknet_nano (random)"]
    by_name = wsolbench.analyze("noise", "resnet_nano", images=6, random=False)
    assert by_name["entropy as area (median)"][0] == rows[0]["entropy as area (median)"]


def test_a_network_that_is_named_twice_is_measured_once():
    table = wsolbench.analyze("noise", ["resnet_nano", "resnet_nano"], weights="random", images=2)
    assert table["network"].tolist() == ["resnet_nano (random)"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("noise",), ("measures networks", "--backbone NAME")),
        (("noize", "--backbone", "resnet_nano"), ("no analysis 'noize'", "Did you mean 'noise'?")),
        (("noise", "--backbone", "resnet_nan"), ("unknown backbone 'resnet_nan'",)),
        (
            ("noise", "--backbone", "resnet_nano", "--weights", "random", "--weights", "random"),
            ("2 weights for 1 networks",),
        ),
        (("noise", "--backbone", "resnet_nano", "--dataset", "criters"), ("criters",)),
        (("noise", "--backbone", "resnet_nano", "--input-size", "8"), ("feature maps would be of one cell",)),
        (("noise", "nowhere.json"), ("nowhere.json",)),
    ],
)
def test_what_is_wrong_is_said_in_one_line(cli, tmp_path, arguments, words):
    done = cli("analyze", *arguments, "--out", tmp_path / "out")
    assert done.refused(*words)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_analysis(stored, tmp_path):
    content = json.loads((stored / "noise.json").read_text())
    for change in ({"analysis": 3}, {"unknown": 1}):
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(content | change))
        with pytest.raises(DataError, match="this is no analysis"):
            read_analysis(path)
    path.write_text("[")
    with pytest.raises(DataError, match="this is no analysis"):
        read_analysis(path)


class Net(ToyNetwork):
    """A module of the tests."""


def test_modules_of_one_class_are_networks_of_their_own(monkeypatch):
    monkeypatch.setattr(Net, "__module__", "__main__")  # as of a script or a notebook
    one, other = Net(), Net()
    with torch.no_grad():
        other.conv.weight.mul_(0).add_(1)
    table = wsolbench.analyze("noise", [one, other, one], input=InputConfig(32), images=2)
    assert table["network"].tolist() == ["net", "net-2"]
    alone = wsolbench.analyze("noise", other, input=InputConfig(32), images=2)
    quantity = next(name for name in table if "variation" in name)
    assert alone[quantity][0] == table[quantity][1] != table[quantity][0]
    with pytest.raises(UsageError, match="a module with its own weights"):
        wsolbench.analyze("noise", one, input=InputConfig(32), images=2, random=True)
