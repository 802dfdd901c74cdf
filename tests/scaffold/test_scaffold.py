"""New distributions: their names, what is refused, and whether their code is clean."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from wsolbench.cli.app import main
from wsolbench.errors import UsageError
from wsolbench.host.loading import load_plugins
from wsolbench.scaffold import Kind, Names, project_files, write_project

ROOT = Path(__file__).parents[2]
KINDS = get_args(Kind)


def tool(name, folder, *arguments):
    """Run a tool for developers in a folder; where it is not installed, skip the test."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    command = [sys.executable, "-m", name, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "distribution", "package"),
    [
        ("mynet", "mynet", "mynet"),
        ("my-net", "my-net", "my_net"),
        ("my_net.v2+", "my-net-v2", "my_net_v2_"),
        ("3net", "3net", "wsol_3net"),
    ],
)
def test_distribution_and_package_are_derived_from_the_name(name, distribution, package):
    assert Names.of(name) == Names(name, distribution, package)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "MyNet",
            "'MyNet': a name consists of lowercase letters, digits, '_', '.', '+' and '-', a letter or digit first; "
            "type 'mynet' instead",
        ),
        ("my net", "type 'my-net' instead"),
        ("_net", "type 'net' instead"),
        ("a/b", "type 'a-b' instead"),
        ("naïve", "type 'naive' instead"),
        ("", "'': a name consists of"),
        ("class", "'class' is taken, as 'class' is a word of Python; choose another name, such as 'my-class'"),
        ("json", "'json' is taken, as 'json' is a module of Python's own library; choose another name"),
    ],
)
def test_names_that_no_plugin_may_have(name, message):
    with pytest.raises(UsageError) as refusal:
        Names.of(name)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("torch", "a Python module called 'torch' is installed"),
        ("wsolbench", "a Python module called 'wsolbench' is installed"),
        ("opencv-python", "the distribution opencv-python "),
        ("pc1", "it is the method of wsolbench "),
        ("resnet_nano", "it is the backbone of wsolbench "),
        ("critters", "it is the data set of wsolbench "),
        ("gradcam", "it is the method of wsolbench "),
        ("slak", "it is a family of backbones of wsolbench "),
    ],
)
def test_names_that_are_taken(name, why):
    with pytest.raises(UsageError) as refusal:
        Names.of(name).check_free(load_plugins())
    assert f"'{name}' is taken, as {why}" in str(refusal.value)


@pytest.fixture
def new(tmp_path, monkeypatch, capsys):
    """Return a function that calls the command in an empty folder -> exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        with pytest.raises(SystemExit) as done:
            main(["new", *map(str, arguments)])
        out, err = capsys.readouterr()
        return done.value.code, out, err

    return call


@pytest.mark.parametrize("kind", KINDS)
def test_it_writes_a_folder_called_as_the_plugin_and_says_what_to_type(new, tmp_path, kind):
    code, out, err = new(kind, "my-one")
    assert (code, err) == (0, "")
    assert out.splitlines()[-3:-1] == [
        "install it:  pip install -e ./my-one",
        "check it:    wsolbench check my-one",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["my-one"]
    files = {str(path.relative_to(tmp_path / "my-one")) for path in tmp_path.rglob("*.*") if path.is_file()}
    assert files >= {
        *("pyproject.toml", "README.md", ".gitignore", "src/my_one/__init__.py", "src/my_one/py.typed"),
        "tests/test_my_one.py",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("backbone", "MyNet"), "type 'mynet' instead"),
        (("method", "pc1"), "is taken"),
        (("network", "mynet"), "'network' is not one of 'backbone', 'method', 'dataset', 'recipe', 'system'"),
        (("backbone", "mynet", "--out", "full"), "--out full: the folder is not empty; name a new one"),
        (("backbone", "mynet", "--out", "full/file"), "--out full/file: this is a file; name a new folder"),
        (("backbone", "mynet", "--out", "full/file/x"), "full/file is a file; name a place in a folder"),
        (("backbone", "mynet", "--out", "/proc/mynet"), "--out /proc/mynet: cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(new, tmp_path, arguments, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    code, out, err = new(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert message in err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full"]


@pytest.mark.parametrize("kind", KINDS)
def test_its_code_is_clean_by_the_rules_of_the_house(tmp_path, kind):
    write_project(project_files(kind, Names.of("my-one")), tmp_path / "my-one")
    config = ("--config", str(ROOT / "pyproject.toml"), "--no-cache")
    assert tool("ruff", tmp_path / "my-one", "check", *config, "--quiet") == ""
    assert tool("ruff", tmp_path / "my-one", "format", "--check", *config, "--quiet") == ""


@pytest.mark.slow
def test_its_types_are_strict(tmp_path):
    every = []
    for kind in KINDS:
        write_project(project_files(kind, Names.of(f"my-{kind}")), tmp_path / kind)
        every += [f"{kind}/src/my_{kind}", f"{kind}/tests/test_my_{kind}.py"]
    path = ":".join(f"$MYPY_CONFIG_FILE_DIR/{kind}/src" for kind in KINDS)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = true\nmypy_path = {path}\n")
    found = tool("mypy", tmp_path, "--config-file", "mypy.ini", *every)
    assert found == f"Success: no issues found in {2 * len(KINDS) + 1} source files\n"


def test_boxes_of_the_sample_are_those_of_its_objects():
    files = project_files("dataset", Names.of("my-one"))
    sample = {path.removeprefix("src/my_one/sample/"): content for path, content in files.items() if "/sample/" in path}
    rows = sample.pop("boxes.csv").decode().splitlines()
    assert (len(sample), len(rows)) == (70, 31)
    for row in rows[1:]:
        path, *corners = row.split(",")
        pixels = cv2.imdecode(np.frombuffer(sample[path], np.uint8), cv2.IMREAD_COLOR)
        y, x = np.nonzero((pixels >= 160).all(axis=2))  # objects are brighter than any background
        assert [x.min(), y.min(), x.max(), y.max()] == list(map(int, corners)), path


def test_the_sample_is_the_same_every_time():
    first, second = (project_files("dataset", Names.of("my-one")) for _ in range(2))
    assert first == second
    assert first["src/my_one/sample/test/disc/00.png"].startswith(b"\x89PNG")
