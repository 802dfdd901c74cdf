"""One name offered twice, unknown names, and what listings look like."""

import json
import re

import pytest
from plugin_projects import Project, install

METHOD = """
from wsolbench.api import MethodSpec, hookimpl


def build(*, power: float = 2.0):
    return lambda features, context: features.mean(dim=1) ** power


@hookimpl
def wsolbench_methods():
    return [MethodSpec(name, build, SOURCE) for name in NAMES]
"""


def offering(*names, source="a paper"):
    return f"NAMES = {names!r}\nSOURCE = {source!r}\n{METHOD}"


LONG = "x" * 3000 + " end"


@pytest.fixture(scope="module")
def rivals(command_line, tmp_path_factory):
    """Two strangers with one name, one of which also offers our 'pc1'."""
    first = Project("acme-first", offering("twin", "pc1"))
    second = Project("acme-second", offering("twin", "only"))
    return command_line(install(tmp_path_factory.mktemp("rivals"), first, second))


@pytest.fixture(scope="module")
def described(rivals):
    """What 'describe' says of names among the rivals, and 'run' of a method that both offer, in one process."""
    names = ["twin", "pc1", "acme-first:twin", "acme-second:twin", "wsolbench:pc1", "acme-first:twins"]
    run = ["run", "--backbone", "replknet_nano", "--weights", "random", "--method", "twin", "--out", "o"]
    return dict(zip([*names, "run"], rivals.many(*(["describe", name] for name in names), run), strict=True))


@pytest.mark.parametrize("call", ["twin", "run"])
def test_an_ambiguous_name_is_an_error_that_lists_the_rivals(described, call):
    error = "error: more than one plugin offers the method 'twin'. Type one of\n  acme-first:twin\n  acme-second:twin\n"
    result = described[call]
    assert (result.code, result.out, result.err) == (2, "", error)


def test_our_own_offer_has_no_priority(described):
    result = described["pc1"]
    assert result.code == 2
    assert result.err.splitlines() == [
        "error: more than one plugin offers the method 'pc1'. Type one of",
        "  acme-first:pc1",
        "  wsolbench:pc1",
    ]


@pytest.mark.parametrize("provider", ["acme-first", "acme-second"])
def test_qualified_names_work(described, provider):
    out = described[f"{provider}:twin"].out
    assert f"provider  {provider} 0.3 '{provider.removeprefix('acme-')}'" in out.splitlines()


def test_ours_works_by_its_qualified_name(described, ours):
    assert described["wsolbench:pc1"].out == ours("describe", "pc1").out


def test_listings_show_what_to_type(rivals, our_names):
    shown = set(our_names) - {"pc1"} | {
        "wsolbench:pc1",
        "acme-first:pc1",
        "acme-first:twin",
        "acme-second:twin",
        "only",
    }
    listed, plugins = rivals.many(["list"], ["plugins"])
    assert set(listed.names) == shown
    assert listed.err == ""
    offers = {row[0]: row[3] for row in plugins.rows if row[0].startswith("acme")}
    assert offers == {
        "acme-first": "methods acme-first:pc1, acme-first:twin",
        "acme-second": "methods only, acme-second:twin",
    }


def test_a_distribution_has_one_spelling(command_line, tmp_path):
    dotted = Project("Acme.Wsol_Kit", offering("kit"), {"kit": "Acme_Wsol_Kit"}, module="Acme_Wsol_Kit")
    plugins, described = command_line(install(tmp_path, dotted)).many(["plugins"], ["describe", "acme-wsol-kit:kit"])
    assert ["acme-wsol-kit", "0.3", "kit", "methods kit"] in plugins.rows
    assert described.code == 0


ODD_OPTIONS = """
from wsolbench.api import MethodSpec, hookimpl

def unreadable(*, power: "Nowhere" = 1): ...
def required(depth: int, *, where=object): ...

@hookimpl
def wsolbench_methods():
    return [MethodSpec("unreadable", unreadable, "s"), MethodSpec("required", required, "s")]
"""


def test_options_that_cannot_be_described(command_line, tmp_path):
    with_it = command_line(install(tmp_path, Project("acme-odd", ODD_OPTIONS)))
    result, described = with_it.many(["describe", "unreadable"], ["describe", "required", "--json"])
    assert result.code == 2
    who = "plugin acme-odd 0.3 'odd'"
    assert result.err.startswith(f"error: {who} failed listing the options of 'unreadable': NameError: ")
    assert result.err.count("\n") == 1
    options = json.loads(described.out)["options"]
    assert options["depth"] == {"type": "int"}


@pytest.mark.slow
def test_everything_listed_can_be_described(rivals):
    names = [name for name in rivals("list", "methods").names if not name.endswith(":NAME")]
    assert [result.code for result in rivals.many(*(["describe", name] for name in names))] == [0] * len(names)


def test_a_wrong_qualified_name_suggests_qualified_names(described):
    result = described["acme-first:twins"]
    assert result.code == 2
    assert result.err.startswith("error: unknown name 'acme-first:twins'. Did you mean 'acme-first:twin'")


def test_one_distribution_cannot_offer_a_name_twice(command_line, our_names, tmp_path):
    project = Project("acme-double", offering("echo"), {"one": "acme_double", "two": "acme_double"})
    listed, described = command_line(install(tmp_path, project)).many(["list"], ["describe", "echo"])
    assert sorted(listed.names) == sorted([*our_names, "echo"])
    assert described.code == 0
    reason = "(registration): 'echo' is offered twice by acme-double; the plugin is not loaded"
    assert listed.err == f"warning: plugin acme-double 0.3 'two' {reason}\n"


def test_unknown_name_with_a_close_match(cli):
    result = cli("run", "--backbone", "replknt", "--method", "pc1", "--out", "o", "--weights", "random")
    assert result.refused("error: unknown backbone 'replknt'. Did you mean 'replknet'")
    assert re.fullmatch(
        r"  'wsolbench list backbones' shows all \d+, and there is any timm:NAME\.( Not loaded:)?",
        result.err.splitlines()[1],
    )


def test_unknown_name_with_nothing_close(bare, our_names):
    result = bare("describe", "zzzz/zzzz", code=2)
    zoos = ", and there is any timm:NAME or gradcam:NAME"
    assert result.err == (
        f"error: unknown name 'zzzz/zzzz'.\n  'wsolbench list' shows all {len(our_names) - 2}{zoos}.\n"
    )


def test_a_name_in_capitals_is_met_with_the_right_one(cli):
    assert cli("describe", "PC1").refused("Did you mean 'pc1'")


def test_a_long_or_odd_source_neither_is_cut_nor_breaks_the_lines(command_line, our_names, tmp_path):
    long, odd = Project("acme-long", offering("long", source=LONG)), "two\nlines\tand\ta tab"
    listed = command_line(install(tmp_path, long, Project("acme-odd", offering("odd", source=odd))))("list")
    assert sorted(listed.names) == sorted([*our_names, "long", "odd"])
    sources = {row[0]: row[4] for row in listed.rows}
    assert sources["long"] == LONG
    assert sources["odd"] == "two lines and a tab"
    assert {len(row) for row in listed.rows} == {5}


@pytest.mark.parametrize("kind", ["backbones", "methods", "datasets", "recipes"])
def test_list_filters_by_kind(cli, kind):
    kinds = {line.split("\t")[1] for line in cli("list", kind).out.splitlines()}
    assert kinds == {kind.removesuffix("s")}


def test_list_of_an_unknown_kind(cli):
    assert cli("list", "networks").refused()


WHAT_IS_IMPORTED = """
import json, sys
from wsolbench.cli.app import main
for command in json.loads(sys.argv[1]):
    try:
        main(command.split())
    except SystemExit as done:
        assert not done.code, (command, done.code)
    print(json.dumps([command, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


LIGHT = ("--help", "--version", "list", "plugins", "run --help", "describe pc1", "leaderboard --help")


def test_light_commands_import_nothing_heavy(bare):
    """One after the other in one process: what one imports stays, and the first that has imported it is named."""
    commands = [*LIGHT, "leaderboard check --help"]
    result = bare.python("-c", WHAT_IS_IMPORTED, json.dumps(commands))
    assert result.code == 0, result
    imported = dict(json.loads(line) for line in result.out.splitlines() if line.startswith('["'))
    assert list(imported) == commands
    heavy = {"torch", "torchvision", "timm", "cv2", "numba", "pandas", "matplotlib", "sklearn", "safetensors"}
    for command, modules in imported.items():
        assert "wsolbench" in modules
        assert not {*modules} & heavy, command
