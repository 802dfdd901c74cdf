"""Help, short options, several networks in one run, quiet and verbose, completion, and the settings file."""

import json
import os
import shlex
import subprocess
import sys

import pytest
from test_documentation import problem

from wsolbench.cli.commands import command
from wsolbench.cli.help_pages import EVERYWHERE, SECTIONS

QUICK = ["-w", "random", "--limit", 4, "--interval", 0.1, "--no-gallery"]
NANO = "wsolbench:replknet_nano"


def subcommands(group=command, *names):
    """Yield the names of every subcommand, and the command."""
    for name in group.list_commands(None):
        each = group.get_command(None, name)
        if hasattr(each, "list_commands"):
            yield from subcommands(each, *names, name)
        else:
            yield (*names, name), each


# ----------------------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("names", [(), ("analyze",), ("leaderboard",), *(names for names, _ in subcommands())])
def test_every_help_names_the_options_of_every_command(cli, names):
    done = cli(*names, "-h")
    assert done.code == 0
    assert all(options in done.out for options, _ in EVERYWHERE)
    assert done.out == cli(*names, "--help").out


def test_a_command_knows_both_help_options_alone_and_in_its_group(cli):
    for _, each in subcommands():
        assert {"-h", "--help"} == set(each.get_help_option(each.context_class(each)).opts)
    assert cli("train", "-h").code == 0


def test_options_stand_in_sections(cli):
    lines = cli("run", "-h").out.splitlines()
    headings = [line.removesuffix(":") for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options", *SECTIONS, "Every command", "Example"]
    assert (
        lines.index("Data:")
        < next(n for n, line in enumerate(lines) if "--data-root" in line)
        < lines.index("Network:")
    )


def test_the_top_help_tells_what_each_command_does_in_whole_sentences(cli):
    assert "..." not in cli("-h").out.replace("COMMAND [ARGS]...", "")


def test_examples_are_accepted():
    examples = [each.epilog for _, each in subcommands() if each.epilog]
    assert len(examples) > 10
    assert [(text, problem(shlex.split(text)[1:])) for text in examples if problem(shlex.split(text)[1:])] == []


# --------------------------------------------------------------------------------------------------- several networks


def test_several_networks_are_run_one_after_another(cli, tmp_path):
    out = tmp_path / "out"
    done = cli("run", "-b", NANO, "-b", "wsolbench:resnet_nano", "-m", "cam", *QUICK, "-o", out)
    assert done.code == 0
    assert sorted(each.name for each in out.iterdir()) == ["wsolbench-replknet_nano", "wsolbench-resnet_nano"]
    first, second = (line for line in done.out.splitlines() if line.startswith("records: "))
    assert (first, second) == (f"records: {out}/wsolbench-replknet_nano", f"records: {out}/wsolbench-resnet_nano")
    names = [
        json.loads((folder / "record-cam.json").read_text())["backbone"]["name"] for folder in sorted(out.iterdir())
    ]
    assert names == ["replknet_nano", "resnet_nano"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["-b", NANO, "-b", NANO], "names a network twice"),
        (["-b", f"{NANO},resnet_nano"], "repeat the option"),
        (
            ["-b", NANO, "-b", "resnet_nano", "-b", "vit_nano", "-w", "random", "-w", "random"],
            "2 weights for 3 networks",
        ),
        (["-b", NANO, "-b", "rezznet_nano"], "unknown backbone 'rezznet_nano'"),
    ],
)
def test_wrong_networks_are_refused_before_the_first_run(cli, tmp_path, given, words):
    assert cli("run", *given, "-m", "cam", "--out", tmp_path / "out").refused(words)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------------------------------- quiet and verbose


def test_quiet_shows_results_alone(cli, tmp_path):
    usual = cli("run", "-b", NANO, "-m", "cam", *QUICK, "-o", tmp_path / "usual")
    quiet = cli("run", "-b", NANO, "-m", "cam", *QUICK, "-o", tmp_path / "quiet", "-q")
    assert (quiet.code, quiet.progress) == (0, "")
    assert quiet.out.splitlines()[:-1] == usual.out.splitlines()[:-1]
    assert [line for line in quiet.err.splitlines() if not line.startswith("warning: ")] == []


def test_verbose_tells_how_long_phases_took(cli, tmp_path):
    done = cli("run", "-b", NANO, "-m", "cam", *QUICK, "-o", tmp_path / "out", "--verbose")
    took = [line for line in (done.err + done.progress).splitlines() if " took " in line]
    assert [line.partition("]")[0] for line in took] == ["[annotations", "[compilation", "[train-fullsup", "[test"]


# ----------------------------------------------------------------------------------------------------------- completion


@pytest.mark.slow
def test_a_shell_completes_names_and_options():
    def complete(line):
        words = line.split(" ")
        asked = {"_WSOLBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        program = [sys.executable, "-m", "wsolbench"]
        return subprocess.run(
            program, env=os.environ | asked, capture_output=True, text=True, check=False
        ).stdout.split()

    assert "replknet_nano" in complete("wsolbench run -b replk")
    assert complete("wsolbench run --backbone x -m pc1-p") == ["pc1-patches"]
    assert complete("wsolbench leaderboard bu") == ["build"]


# -------------------------------------------------------------------------------------------------------- settings file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    return tmp_path


def test_settings_are_told_recorded_and_overridden_by_options(cli, folder):
    (folder / "wsolbench.toml").write_text('workers = 3\nbatch-size = 2\ndevice = "cpu"\n')
    done = cli("run", "-b", NANO, "-m", "cam", *QUICK, "--batch-size", 4, "--out", "out")
    origin = "--workers 3 --device cpu: from ../wsolbench.toml"
    assert origin in (done.err + done.progress).splitlines()
    record = json.loads((folder / "below/out/record-cam.json").read_text())
    assert record["environment"]["command"].endswith(f"--out out --workers 3 --device cpu  # {origin}")
    assert (record["config"]["workers"], record["config"]["batch_size"], record["config"]["device"]) == (3, 4, "cpu")


def test_roots_are_of_one_data_set_and_relative_to_the_file(cli, folder):
    (folder / "pyproject.toml").write_text('[tool.wsolbench.roots.folder]\ndata-root = "photos"\n')
    done = cli("data", "check", "folder")
    told, *_ = done.err.splitlines()
    assert (done.code, told) == (2, "--data-root ../photos: from ../pyproject.toml")
    assert "from ../pyproject.toml" not in cli("data", "check", "folder", "--data-root", "there").err
    assert "from ../pyproject.toml" not in cli("data", "check", "tiny-imagenet").err


def test_roots_of_a_misspelt_data_set_are_told(cli, folder):
    (folder / "wsolbench.toml").write_text('[roots.crittrs]\ndata-root = "x"\n\n[roots.another-plugins-set]\n')
    (told,) = cli("describe", "critters").err.splitlines()
    assert told == "warning: ../wsolbench.toml: roots.crittrs: there is no data set 'crittrs'. Did you mean 'critters'?"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "wsolbench.toml",
            "worker = 3",
            "wsolbench.toml: 'worker' is no setting; they are device, batch-size, workers, seed",
        ),
        ("wsolbench.toml", "workers = ", "wsolbench.toml: no TOML"),
        ("wsolbench.toml", "workers = 1.5", "workers: expected a text or a whole number, not 1.5"),
        ("wsolbench.toml", "roots = 1", "expected a table for each data set"),
        ("wsolbench.toml", '[roots.cub]\nroot = "x"', "roots.cub: 'root' is no setting; they are data-root"),
        ("pyproject.toml", "[tool]\nwsolbench = 1", "[tool.wsolbench]: expected a table"),
    ],
)
def test_a_wrong_settings_file_is_refused(cli, folder, name, text, words):
    (folder / "below" / name).write_text(text)
    assert cli("run", "-b", NANO, "-m", "cam").refused(words)


def test_the_nearest_file_counts(cli, folder):
    (folder / "wsolbench.toml").write_text("wrong")
    (folder / "below/pyproject.toml").write_text('[tool.other]\nname = "x"\n')
    assert cli("describe", "cam").refused("../wsolbench.toml: no TOML")
    (folder / "below/wsolbench.toml").write_text("")
    assert cli("describe", "cam").code == 0
