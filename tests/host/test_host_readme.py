"""The README's plugin, taken from the README, installed and used."""

import re
from pathlib import Path

import pytest
from plugin_projects import Project, install

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def with_readme_plugin(command_line, tmp_path_factory):
    source = re.search(r"```python\n# wsol_spread.py\n(.*?)```", README, re.DOTALL)[1]
    entry_points = dict(re.findall(r'^(\w+) = "(wsol_spread)"$', README, re.MULTILINE))
    assert len(source.strip().splitlines()) <= 17  # 15 lines and the two that style asks for between them
    project = Project("wsol-spread", source, entry_points)
    return command_line(install(tmp_path_factory.mktemp("readme"), project))


def test_the_plugin_of_the_readme_is_offered_with_its_option(with_readme_plugin):
    listed, described = with_readme_plugin.many(("list", "methods"), ("describe", "spread"))
    assert "spread" in listed.names
    assert "power  float, default 2.0" in described.out


def test_the_readme_has_exactly_the_two_commands_that_set_everything_up():
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert [command.split(" && ")[-1] for command in commands] == [
        ".venv/bin/wsolbench run --backbone replknet --method pc1",
        ".venv/bin/python -m pytest -n 2 --dist loadfile",
    ]
