"""Broken plugins beside a sound one: no digit of its scores changes, and the command that checks them finds them."""

import json
from pathlib import Path

import pytest
from plugin_projects import Project, install

BROKEN = sorted((Path(__file__).parents[1] / "broken_plugins").glob("*.py"))
RUN = ["run", "--backbone", "replknet", "--method", "pc1", "--limit", "4", "--json", "--device", "cpu", "--no-gallery"]


@pytest.fixture(scope="module")
def beside(command_line, tmp_path_factory):
    """The command line with every broken plugin installed."""
    projects = [Project(f"acme-{path.stem.replace('_', '-')}", path.read_text()) for path in BROKEN]
    return command_line(install(tmp_path_factory.mktemp("broken"), *projects))


@pytest.mark.slow
def test_no_digit_changes_beside_broken_plugins(beside, bare, tmp_path, compiled_sweep):  # noqa: ARG001
    assert len(BROKEN) == 12
    (with_them,), (without,) = (
        beside.many([*RUN, "--out", tmp_path / "a"]),
        bare.many([*RUN, "--out", tmp_path / "b"]),
    )
    assert with_them.code == without.code == 0, with_them
    one, other = (json.loads(each.out) for each in (with_them, without))
    assert len(one["environment"]["plugins"]) == 1 + 9
    for part in ("metrics", "intervals", "outcomes_sha256", "backbone", "method", "dataset"):
        assert one[part] == other[part]


@pytest.mark.slow
def test_an_installed_plugin_is_checked_by_its_name_or_its_module(beside):
    named, module = beside.many(["check", "prints"], ["check", "acme_crashes"])
    assert (named.code, module.code) == (1, 1)
    assert "it prints 'welcome' to stdout" in named.out
    assert "line 5, in read_settings" in module.out
