"""The tutorials, command by command in a clean environment: each prints what stands below it."""

import fnmatch
import re
import shutil
from pathlib import Path
from textwrap import dedent

import pytest
from environments import ROOT, make_environment
from photo_folders import write_photos

pytestmark = pytest.mark.slow

TUTORIALS = ROOT / "docs" / "tutorials"


def steps(page):
    """Return the commands of a tutorial, each with the blocks of text below it."""
    found = []
    for language, block in re.findall(r"^ *```(sh|text)\n(.*?)^ *```$", page, re.DOTALL | re.MULTILINE):
        if language == "sh":
            found.append((dedent(block), []))
        elif found:
            found[-1][1].append(dedent(block))
    return found


def plain(text):
    """Return lines without what differs between machines: digits, and widths of columns."""
    lines = (re.sub(r"[\d,.–]*\d", "#", line) for line in text.splitlines())
    return [" ".join(re.sub(r"-{2,}:?|\*\*", " ", line).split()).replace("[", "(").replace("]", ")") for line in lines]


def shows(expected, printed):
    """Return whether a text was printed; a line of it that is … stands for any number of lines."""
    pattern = "\n".join("*" if line == "…" else line for line in plain(expected))
    return fnmatch.fnmatchcase("\n".join(plain(printed)), pattern)


def test_what_counts_as_printed():
    assert shows("a 1.25 [2]\n…\nz\n", "a  10 [3]\nb\nc\nz\n")
    assert not shows("a\nz\n", "a\nb\nz\n")
    assert not shows("a\n…\nz\n", "a\nb\n")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return make_environment(tmp_path_factory.mktemp("tutorials") / "venv")


def follow(environment, page, folder):
    """Carry out the commands of a tutorial, and compare what they print, and the table of the leaderboard."""
    commands = steps((TUTORIALS / page).read_text(encoding="utf-8"))
    for command, printed in commands:
        out = environment(command, cwd=folder)
        assert printed or not out
        if printed:
            assert shows(printed[0], out), (command, out)
    *_, (_, (_, table)) = commands
    rows = plain((folder / "board" / "README.md").read_text(encoding="utf-8"))
    assert set(plain(table)) <= set(rows), rows
    return len(commands)


def test_your_network_on_the_leaderboard(environment, tmp_path):
    assert follow(environment, "network.md", tmp_path) == 5


def test_your_photos(environment, shared_data, tmp_path):
    write_photos(shared_data / "imagenette", tmp_path / "photos")
    weights = Path(shared_data) / "weights" / "tf_efficientnet_lite0.fp16.safetensors"
    shutil.copy(weights, tmp_path / "tf_efficientnet_lite0.safetensors")
    assert follow(environment, "photos.md", tmp_path) == 4
