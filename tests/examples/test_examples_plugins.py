"""The plugins of the examples: one of each kind, sound, and run as their first lines say."""

import ast
import re
import shlex
import shutil
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[2] / "examples" / "plugins").glob("*.py"))
HOOKS = ["backbones", "datasets", "methods", "recipes", "systems"]


def commands_of(path):
    """Return the commands in the docstring of a file, each as words."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return [shlex.split(line) for line in re.findall(r"^    (wsolbench .*)$", text.replace("\\\n", ""), re.MULTILINE)]


def test_there_is_one_of_each_kind_and_each_is_short():
    texts = [path.read_text(encoding="utf-8") for path in FILES]
    assert sorted(hook for text in texts for hook in re.findall(r"^def wsolbench_(\w+)", text, re.MULTILINE)) == HOOKS
    assert all(len(text.splitlines()) <= 80 for text in texts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_keeps_all_rules(cli, path):
    done = cli("check", path)
    assert done.code == 0, done.out
    assert " broken" not in done.out


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_runs_as_its_first_lines_say(cli, path, tmp_path, monkeypatch):
    for each in FILES:
        shutil.copy(each, tmp_path)
    monkeypatch.chdir(tmp_path)
    commands = commands_of(path)
    assert commands[0] == ["wsolbench", "check", path.name]
    assert commands[-1][1] == "run"
    trains = any(words[1] == "train" for words in commands)
    for _, *words in commands:
        small = trains and words[0] in ("train", "run") and "shapes" not in words  # 900 images serve as well as 8,000
        done = cli(*words, *(["--plugin", "shapes.py", "--dataset", "shapes"] if small else []))
        assert done.code == 0, (words, done.err)
    assert list(tmp_path.glob("runs/*/record-*.json"))
