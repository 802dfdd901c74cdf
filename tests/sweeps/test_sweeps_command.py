"""The command of a run: typed into the command line, it is the run."""

import shlex

import pytest

from wsolbench.config import RunConfig
from wsolbench.sweeps.command import run_arguments, run_command

RUNS = [
    RunConfig(backbone="resnet_nano", methods={"cam": {}}, out="out"),
    RunConfig(
        backbone="wsolbench:replknet_nano",
        methods={"pc1": {"weighting": "magnitude"}, "cam": {}},
        dataset="critters",
        data_root="a folder/with 'quotes'",
        metadata_root="metadata",
        masks="masks",
        train_root="train",
        boxes="half-open",
        first_pixel=1,
        unannotated="omit",
        class_map="map.csv",
        split="train-fullsup",
        limit=7,
        threshold_step=0.05,
        tau=(0.2, "otsu", 0.123456789012345),
        tau_from="pseudo",
        workers=3,
        strict=True,
        input_size=96,
        preprocessing="half",
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 1),
        interpolation="bicubic",
        backbone_options={"output_stride": "16", "text": "a b=c"},
        weights="random",
        weights_key="ema",
        tap="stages.1",
        target="predicted",
        batch_size=5,
        device="cpu",
        precision="bf16",
        compile=True,
        seed=2**63 - 1,
        classifier="classes.csv",
        save_scoremaps="out/maps",
        gallery=False,
        cache=False,
        out="out",
    ),
]


@pytest.mark.parametrize("config", RUNS, ids=["usual", "everything"])
def test_the_command_of_a_run_is_the_run(cli, monkeypatch, config):
    asked = []
    monkeypatch.setattr("wsolbench.engine.run.run", lambda config, *_, **__: asked.append(config) or [])
    monkeypatch.setattr("wsolbench.engine.finished.check_output", lambda _: None)
    monkeypatch.setattr("wsolbench.records.tables.results_table", lambda *_, **__: "")
    done = cli("run", *run_arguments(config))
    assert (done.code, asked) == (0, [config]), done.err


def test_the_second_run_sets_every_field():
    assert set(RunConfig.model_fields) == RUNS[1].model_fields_set


def test_a_command_is_quoted_for_a_shell():
    parts = shlex.split(run_command(RUNS[1], ["my plugin.py"]))
    assert parts[:4] == ["wsolbench", "run", "--backbone", "wsolbench:replknet_nano"]
    assert parts[-2:] == ["--plugin", "my plugin.py"]
    assert parts[parts.index("--data-root") + 1] == "a folder/with 'quotes'"


def test_what_a_settings_file_may_set_is_always_named():
    command = run_command(RUNS[0])
    assert command == (
        "wsolbench run --backbone resnet_nano --method cam --workers 2 --batch-size 32 --seed 0 --out out"
    )
