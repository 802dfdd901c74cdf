"""An option of one value that is given twice is refused by every command; the last one does not silently count."""

import pytest

from wsolbench.cli.command import Command
from wsolbench.cli.commands import command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("run", "--backbone", "a", "--method", "cam", "--dataset", "a", "--dataset", "b"),
            "--dataset is given twice, and 'wsolbench run'",
        ),
        (
            ("run", "--backbone", "a", "--method", "cam", *["--seed", 1] * 3),
            "--seed is given 3 times, and 'wsolbench run'",
        ),
        (
            ("run", "--backbone", "a", "--method", "cam", "--interval", 0.1, "--threshold-step=0.1"),
            "--threshold-step is given twice",
        ),
        (("train", "--backbone", "a", "--dataset", "b", "--dataset", "c"), "or call 'wsolbench train' once for each"),
        (("evaluate", "--scoremaps", "a", "--scoremaps", "b"), "--scoremaps is given twice"),
        (("analyze", "erf", "--backbone", "a", "--backbone", "b", "--size", 8, "--size", 9), "--size is given twice"),
        (("analyze", "noise", "--backbone", "a", "--random", "--no-random"), "--random is given twice"),
        (("data", "check", "folder", "--data-root", "a", "--data-root", "b"), "--data-root is given twice"),
        (("leaderboard", "build", "--folder", "b", "--folder", "c"), "--folder is given twice"),
    ],
)
def test_what_is_given_twice_is_refused(cli, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert cli(*arguments).refused(words)
    assert not list(tmp_path.iterdir())


def test_help_is_shown_and_switches_may_be_repeated(cli):
    assert cli("run", "--seed", "1", "--seed", "2", "--help").code == 0
    assert cli("leaderboard", "check", "--help", "--help").code == 0


def test_every_subcommand_refuses():
    def walk(group):
        for name in group.list_commands(None):
            each = group.get_command(None, name)
            yield from walk(each) if hasattr(each, "list_commands") else [each]

    assert {type(each) for each in walk(command) if not isinstance(each, Command)} == set()
