"""A system of an outside plugin, the one of docs/plugins.md: its own network, loss and stages."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from plugin_projects import Project, install

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outside(command_line, tmp_path_factory):
    source = re.search(r"```python\n# wsol_twoheads.py\n(.*?)```", PAGE, re.DOTALL)[1]
    project = Project("wsol-twoheads", source, {"two-heads": "wsol_twoheads"})
    return command_line(install(tmp_path_factory.mktemp("systems"), project))


@pytest.mark.slow
def test_it_trains_from_weights_of_its_base_runs_and_has_a_row(outside, folder_set, tmp_path):
    made = folder_set(train=16, val=2, test=4)
    train = ("train", "--recipe-opt", "epochs=4", "--recipe-opt", "batch_size=8", *made.options)
    run = ("run", *made.options, "--interval", "0.1", "--json", "--method")
    system = ("--backbone", "two-heads:resnet_nano")
    base = (*train, "--backbone", "resnet_nano", "--out", tmp_path / "base")
    start = ("--weights", tmp_path / "base" / "weights.safetensors", "--system-opt", "weight=0.5")
    weights = ("--weights", tmp_path / "out" / "weights.safetensors")
    calls = (
        base,
        (*train, *system, *start, "--out", tmp_path / "out"),
        (*run, "native", *system, *weights, "--out", tmp_path / "native"),
        (*run, "cam", *system, *weights, "--out", tmp_path / "cam"),
        ("leaderboard", "add", tmp_path / "native" / "record-native.json", "--folder", tmp_path / "board"),
        ("leaderboard", "build", "--folder", tmp_path / "board"),
    )
    done = outside.many(*calls)
    assert [each.code for each in done] == [0] * 6, [each.err for each in done]
    log = pd.read_csv(tmp_path / "out" / "log.csv")
    assert log["stage"].tolist() == ["heads", "all", "all", "all"]
    assert log["loss"].to_numpy() == pytest.approx((log["first"] + log["second"]).to_numpy(), rel=1e-5)
    training = json.loads(done[2].out)["backbone"]["weights"]["training"]
    assert training["system"]["options"] == {"weight": 0.5}
    assert training["initial_weights"]["notes"][-1].endswith("the new layers second start at random")
    assert "two-heads:resnet_nano" in (tmp_path / "board" / "README.md").read_text()
