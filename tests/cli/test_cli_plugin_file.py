"""``--plugin FILE.py`` and ``WSOLBENCH_PLUGINS``: plugins in files, which need not be installed."""

import hashlib
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from wsolbench.cli.session import Session
from wsolbench.contract import DatasetRoots
from wsolbench.contract.datasets import Split
from wsolbench.host.loading import load_plugins
from wsolbench.host.sources import PluginFile

pytestmark = pytest.mark.usefixtures("no_curve", "no_gallery")

METHOD = """
from wsolbench.api import MethodSpec, hookimpl


def spread(*, power: float = 1.0):
    return lambda features, context: features.std(dim=1, correction=0) ** power


@hookimpl
def wsolbench_methods():
    return [MethodSpec("spread", spread, "mine")]
"""
NETWORK = """
from torch import nn
from wsolbench.api import BackboneSpec, InputConfig, hookimpl


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 8, stride=8)
        self.head = nn.Linear(8, num_classes)

    def forward_features(self, images):
        return self.conv(images).relu()

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    @property
    def classifier_weight(self):
        return self.head.weight


@hookimpl
def wsolbench_backbones():
    return [BackboneSpec("own-net", Net, InputConfig(size=32), "mine")]
"""
DATASET = """
import numpy as np
from wsolbench.api import Annotations, DatasetSpec, ImageSplit, Split, hookimpl


def load(index):
    return np.full((8, 8, 3), index, dtype=np.uint8)


class Grey:
    name, version, class_names, splits = "grey", "1", ("a",), frozenset({Split.TEST})

    def images(self, split):
        return ImageSplit(("0", "1"), np.zeros(2, dtype=np.int64), load)

    def annotations(self, split):
        return Annotations({each: np.array([[0, 0, 3, 3]]) for each in "01"}, dict.fromkeys("01", (8, 8)))


@hookimpl
def wsolbench_datasets():
    return [DatasetSpec("grey", lambda roots: Grey(), "mine")]
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test has files of its own, and types their names alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WSOLBENCH_PLUGINS", raising=False)
    for name, text in (("spread.py", METHOD), ("net.py", NETWORK), ("grey.py", DATASET)):
        (tmp_path / name).write_text(text)


def version_of(text, digits=64):
    return f"source-{hashlib.sha256(text.encode()).hexdigest()[:digits]}"


def test_is_listed_and_described_for_one_command(cli):
    provider = f"spread.py {version_of(METHOD, 16)} 'spread'"
    assert f"spread\tmethod\t\t{provider}\tmine" in cli("list", "methods", "--plugin", "spread.py").out.splitlines()
    assert f"spread.py\t{version_of(METHOD, 16)}\tspread\tmethods spread" in cli("--plugin=spread.py", "plugins").out
    described = json.loads(cli("describe", "--plugin", "spread.py", "spread.py:spread", "--json").out)
    assert (described["provider"], described["options"]["power"]["default"]) == (provider, 1.0)
    assert "spread" not in cli("list", "methods").out
    assert cli("describe", "spread").refused("unknown name 'spread'")


def test_several_files_and_one_file_twice(cli, tmp_path):
    given = ["--plugin", "spread.py", "--plugin", "net.py", "--plugin", tmp_path / "spread.py"]
    listed = cli("list", *given).out
    assert listed.count("\nspread\tmethod\t") == 1
    assert listed.count("\nown-net\tbackbone\t") == 1


def test_a_run_records_the_file_and_a_command_that_names_it(cli, folder_set, monkeypatch, tmp_path):
    made = folder_set()
    run = ["run", "--backbone", "own-net", "--weights", "random", *made.options, "--interval", "0.1", "--json"]
    monkeypatch.setenv("WSOLBENCH_PLUGINS", f"net.py{os.pathsep}")
    one = cli(*run, "--method", "spread", "--method", "cam", "--plugin", "spread.py", "--out", tmp_path / "one")
    assert one.code == 0, one.err
    spread, cam = one.records
    plugins = spread["environment"]["plugins"]
    assert {name: version for name, version in plugins.items() if name.endswith(".py")} == {
        "spread.py": version_of(METHOD),
        "net.py": version_of(NETWORK),
    }
    assert spread["method"]["provider"] == f"spread.py {version_of(METHOD, 16)} 'spread'"
    assert spread["backbone"]["provider"] == f"net.py {version_of(NETWORK, 16)} 'net'"
    command = spread["environment"]["command"]
    assert "--plugin spread.py" in command
    assert command.endswith("--plugin net.py")

    monkeypatch.delenv("WSOLBENCH_PLUGINS")
    typed = command.split()[1:]
    typed[typed.index("--out") + 1] = tmp_path / "again"
    assert [record["metrics"] for record in cli(*typed).records] == [spread["metrics"], cam["metrics"]]


def test_a_network_of_a_file_is_trained_and_run(cli, folder_set, tmp_path):
    made = folder_set(train=8, val=2, test=2)
    out, options = tmp_path / "trained", ["--recipe-opt", "epochs=1", "--recipe-opt", "batch_size=4"]
    train = ["train", "--plugin", "net.py", "--backbone", "own-net", *made.options, *options, "--out", out]
    assert cli(*train).code == 0
    card = json.loads((out / "card.json").read_text())
    assert card["plugins"]["net.py"] == version_of(NETWORK)
    assert card["command"].startswith("wsolbench train --plugin net.py --backbone own-net")
    run = ["run", "--plugin", "net.py", "--backbone", "own-net", "--weights", out / "weights.safetensors"]
    (record,) = cli(*run, "--method", "cam", *made.options, "--interval", "0.1", "--json", "--out", "run").records
    assert record["backbone"]["weights"]["training"]["command"] == card["command"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}['home']", "(import): KeyError: 'home'; --debug shows the traceback"),
        ("import sys; sys.exit('no GPU')", "(import): SystemExit: no GPU; --debug"),
        ("def broken(:", "(import): SyntaxError: invalid syntax (broken.py, line 1); --debug"),
        ("import spread", "(import): No module named 'spread'; --debug"),
        ("", "(registration): no function is decorated with @hookimpl; the hooks are "),
        (METHOD.replace("_methods", "_method"), "(registration): unknown hook 'wsolbench_method'"),
        (METHOD.replace('"spread", spread', '"Spread", spread'), "(wsolbench_methods): the name 'Spread' must consist"),
        ("import os; os.chdir('/')\n" + METHOD, "(import): it changes the working directory (from "),
    ],
)
def test_a_file_that_fails_is_an_error_of_one_line(cli, monkeypatch, tmp_path, text, reason):
    (tmp_path / "broken.py").write_text(text)
    assert cli("list", "--plugin", "broken.py").refused(f"error: --plugin broken.py {reason}")
    monkeypatch.setenv("WSOLBENCH_PLUGINS", f"spread.py{os.pathsep}broken.py")
    assert cli("list").refused(f"error: WSOLBENCH_PLUGINS: broken.py {reason}")


def test_debug_shows_the_author_the_lines_of_the_file_first(cli, tmp_path):
    (tmp_path / "broken.py").write_text("def home():\n    return {}['home']\n\n\nhome()\n")
    lines = cli("list", "--plugin", "broken.py", "--debug").err.splitlines()
    assert lines[:2] == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path / "broken.py"}", line 5, in <module>',
    ]
    assert lines[lines.index("KeyError: 'home'") - 3].endswith("line 2, in home")
    assert lines[-1].startswith("error: --plugin broken.py (import): KeyError: 'home'")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["nowhere.py"], "--plugin nowhere.py: the file cannot be read (No such file or directory)"),
        ([], "--plugin: it names a folder or nothing; name a plugin's file, such as my_plugin.py"),
        (["folder"], "--plugin folder: it is a folder; name a plugin's file"),
        (["spread.txt"], "--plugin spread.txt: it is no Python file; name a plugin's file"),
        (["spread.py", "--plugin", "folder/spread.py"], "folder/spread.py: it has the name of spread.py; rename one"),
    ],
)
def test_what_is_no_plugin_file_is_refused(cli, tmp_path, typed, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "spread.py").write_text(METHOD)
    (tmp_path / "spread.txt").write_text(METHOD)
    assert cli("list", "--plugin", *typed).refused(words)


def test_a_name_that_is_installed_too_is_ambiguous(cli, tmp_path):
    (tmp_path / "own.py").write_text(METHOD.replace('"spread", spread', '"cam", spread'))
    assert cli("describe", "cam", "--plugin", "own.py").refused("Type one of", "own.py:cam", "wsolbench:cam")
    assert json.loads(cli("describe", "own.py:cam", "--plugin", "own.py", "--json").out)["source"] == "mine"


def load_first(split):
    return int(split.load(1)[0, 0, 0])


def test_child_processes_can_use_what_a_file_offers():
    registry = load_plugins(files=[PluginFile(Path("grey.py"), "--plugin")])
    split = registry.datasets.get("grey").spec.build(DatasetRoots()).images(Split.TEST)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(load_first, [split]) == [1]


def test_files_are_no_arguments_of_a_subcommand():
    session = Session.from_arguments(["--plugin", "a.py", "list", "--plugin=b.py", "--debug"], f"c.py{os.pathsep}")
    assert session.remaining == ["list"]
    assert [str(file.path) for file in session.files] == ["c.py", "a.py", "b.py"]
    assert session.command == "wsolbench --plugin a.py list --plugin=b.py --debug --plugin c.py"
    assert session.plugin_options == " --plugin c.py --plugin a.py --plugin b.py"
