"""A new plugin of every kind, as wheels in a clean environment: tested, trained with, run, and on a leaderboard."""

from typing import get_args

import pytest
from environments import build_wheel, install, make_environment

from wsolbench.scaffold import Kind

pytestmark = pytest.mark.slow

KINDS = get_args(Kind)


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """Return an environment with a plugin ``my-KIND`` of every kind, and the folder of their sources."""
    folder = tmp_path_factory.mktemp("plugins")
    environment = make_environment(folder / "venv")
    for kind in KINDS:
        environment(f"wsolbench new {kind} my-{kind}", cwd=folder)
    install(environment, *(build_wheel(folder / f"my-{kind}", folder / "wheels") for kind in KINDS))
    return environment, folder


def test_each_offers_its_name_and_nothing_else(plugins):
    environment, folder = plugins
    rows = [line.split("\t") for line in environment("wsolbench plugins --strict", cwd=folder).splitlines()]
    assert [row for row in rows if row[0] != "wsolbench"] == [
        [f"my-{kind}", "0.1.0", f"my_{kind}", f"{kind}s my-{kind}"] for kind in sorted(KINDS)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_tests_pass(plugins, kind):
    environment, folder = plugins
    last = environment("pytest -q -p no:cacheprovider", cwd=folder / f"my-{kind}").splitlines()[-1]
    assert " passed" in last
    assert " failed" not in last


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_the_rules_of_its_contract(plugins, kind):
    environment, folder = plugins
    environment(f"wsolbench check my-{kind}", cwd=folder)


def test_the_name_of_an_installed_plugin_is_taken(plugins):
    environment, folder = plugins
    said = environment("wsolbench new recipe my-backbone --out other 2>&1", cwd=folder, code=2)
    assert said.startswith("error: 'my-backbone' is taken, as it is the backbone of my-backbone 0.1.0 'my_backbone'")
    assert not (folder / "other").exists()


def test_together_they_train_run_and_have_rows(plugins):
    environment, folder = plugins
    data, recipe = "--dataset my-dataset", "--recipe my-recipe --recipe-opt epochs=2"
    environment(f"wsolbench data check {data.split()[1]}", cwd=folder)
    for name, out in (("my-backbone", "alone"), ("my-system:my-backbone", "system")):
        environment(f"wsolbench train {data} {recipe} --backbone {name} --out {out}", cwd=folder)
        weights = f"--weights {out}/weights.safetensors --out runs/{out}"
        environment(f"wsolbench run {data} --backbone {name} {weights} --method cam --method my-method", cwd=folder)
    environment("wsolbench leaderboard add runs/*/record-*.json --folder board --build", cwd=folder)
    page = (folder / "board" / "README.md").read_text()
    for name in ("my-backbone", "my-system:my-backbone", "my-method", "my-dataset"):
        assert name in page
    assert "fresh" in environment("wsolbench leaderboard check --folder board", cwd=folder)
