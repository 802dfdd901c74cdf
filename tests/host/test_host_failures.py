"""Every way for a plugin to be broken: it is dropped with one line, and everything else works."""

import re

import pytest
from plugin_projects import Project, install

METHODS = "from wsolbench.api import MethodSpec, BackboneSpec, InputConfig, hookimpl\n"
HOOK = METHODS + "@hookimpl\ndef wsolbench_methods():\n    "
BACKBONES = METHODS + "@hookimpl\ndef wsolbench_backbones():\n    "
NO_HOOK = "the hooks are wsolbench_backbones, wsolbench_methods, wsolbench_datasets, wsolbench_recipes"

# plugin -> (its source, the stage and reason that are reported)
BROKEN = {
    "missing-module": ("import acme_ops", "(import): No module named 'acme_ops'"),
    "missing-in-wsolbench": (
        "from wsolbench.api import Nonsense",
        "(import): cannot import name 'Nonsense' from 'wsolbench.api'",
    ),
    "exits": ("import sys; sys.exit('no GPU here')", "(import): SystemExit: no GPU here"),
    "exits-zero": ("import sys; sys.exit(0)", "(import): SystemExit: 0"),
    "key-error": ("{}['home']", "(import): KeyError: 'home'"),
    "no-syntax": ("def broken(:", "(import): SyntaxError: invalid syntax"),
    "many-lines": ("raise RuntimeError('one\\n\\ttwo\\r\\n three')", "(import): RuntimeError: one two three"),
    "silent": ("assert False", "(import): AssertionError"),
    "no-exception": (
        "class Odd(BaseException): pass\nraise Odd('not an\\nException')",
        "(import): Odd: not an Exception",
    ),
    "generator-exit": ("raise GeneratorExit('enough')", "(import): GeneratorExit: enough"),
    "end-of-file": ("raise EOFError('at the end')", "(import): EOFError: at the end"),
    "interrupts": ("raise KeyboardInterrupt", "(import): KeyboardInterrupt"),
    "hook-interrupts": (HOOK + "raise KeyboardInterrupt", "(wsolbench_methods): KeyboardInterrupt"),
    "moves": (
        "import os; os.chdir('/')\n" + HOOK + "return []",
        "(import): it changes the working directory (from ",
    ),
    "hook-moves": (
        HOOK + "import os; os.chdir('/'); return []",
        "(import): it changes the working directory (from ",
    ),
    "patches-opencv": (
        "import cv2; cv2.resize = lambda image, *_, **__: image\n" + HOOK + "return []",
        "(import): it replaces cv2.resize, on which scores may depend",
    ),
    "patches-numpy": (
        "import numpy; numpy.trapezoid = sum\n" + HOOK + "return []",
        "(import): it replaces numpy.trapezoid, on which scores may depend",
    ),
    "patches-evaluator": (
        "from wsolbench.protocol import BoxResult\nBoxResult.max_box_acc_v2 = 100.0\n" + HOOK + "return []",
        "(import): it replaces wsolbench.protocol.evaluators.BoxResult.max_box_acc_v2, on which scores may depend",
    ),
    "hook-raises": (HOOK + "raise ValueError('bad day')", "(wsolbench_methods): ValueError: bad day"),
    "hook-exits": (HOOK + "raise SystemExit(3)", "(wsolbench_methods): SystemExit: 3"),
    "returns-none": (HOOK + "pass", "(wsolbench_methods): expected a list of MethodSpec, got NoneType"),
    "returns-dict": (HOOK + "return {}", "(wsolbench_methods): expected a list of MethodSpec, got dict"),
    "returns-one": (
        HOOK + "return MethodSpec('acme', dict, 's')",
        "(wsolbench_methods): expected a list of MethodSpec, got MethodSpec",
    ),
    "generator": (
        HOOK + "yield MethodSpec('acme', dict, 's')",
        "(wsolbench_methods): expected a list of MethodSpec, got generator",
    ),
    "wrong-kind": (
        HOOK + "return [BackboneSpec('acme', dict, InputConfig(8), 's')]",
        "(wsolbench_methods): expected a list of MethodSpec, got one with a BackboneSpec",
    ),
    "class-in-list": (
        HOOK + "return [MethodSpec]",
        "(wsolbench_methods): expected a list of MethodSpec, got one with a type",
    ),
    "upper-case": (
        HOOK + "return [MethodSpec('Acme', dict, 's')]",
        "(wsolbench_methods): the name 'Acme' must consist of lowercase letters, digits, '_', '.', '+' and '-'",
    ),
    "spaces": (
        HOOK + "return [MethodSpec('a b', dict, 's')]",
        "(wsolbench_methods): the name 'a b' must consist of lowercase letters, digits, '_', '.', '+' and '-'",
    ),
    "colon": (
        HOOK + "return [MethodSpec('wsolbench:pc', dict, 's')]",
        "(wsolbench_methods): the name 'wsolbench:pc' must consist of lowercase letters, digits, '_', '.', '+' and '-'",
    ),
    "newline": (
        HOOK + "return [MethodSpec('a\\n', dict, 's')]",
        "(wsolbench_methods): the name 'a\\n' must consist of lowercase letters, digits, '_', '.', '+' and '-'",
    ),
    "no-text": (
        HOOK + "return [MethodSpec(7, dict, 's')]",
        "(wsolbench_methods): the name 7 must consist of lowercase letters, digits, '_', '.', '+' and '-'",
    ),
    "not-callable": (
        HOOK + "return [MethodSpec('acme', 'dict', 's')]",
        "(wsolbench_methods): 'build' of 'acme' is not callable",
    ),
    "no-source": (
        HOOK + "return [MethodSpec('acme', dict, None)]",
        "(wsolbench_methods): 'source' of 'acme' must be a str, got NoneType",
    ),
    "no-input": (
        BACKBONES + "return [BackboneSpec('acme', dict, 224, 's')]",
        "(wsolbench_backbones): 'input' of 'acme' must be an InputConfig, got int",
    ),
    "family-number": (
        BACKBONES + "return [BackboneSpec('acme', dict, InputConfig(8), 's', family=1)]",
        "(wsolbench_backbones): 'family' of 'acme' must be a str or None, got int",
    ),
    "family-upper": (
        BACKBONES + "return [BackboneSpec('acme', dict, InputConfig(8), 's', family='Acme')]",
        "(wsolbench_backbones): the family 'Acme' must consist of lowercase letters, digits, '_', '.', '+' and '-'",
    ),
    "checkpoint-path": (
        BACKBONES + "return [BackboneSpec('acme', dict, InputConfig(8), 's', checkpoints=('a.safetensors',))]",
        "(wsolbench_backbones): 'checkpoints' of 'acme' must be a tuple of Checkpoint, got one with a str",
    ),
    "misspelt": (
        METHODS + "@hookimpl\ndef wsolbench_method():\n    return []",
        f"(registration): unknown hook 'wsolbench_method'; {NO_HOOK}",
    ),
    "undecorated": (
        METHODS + "def wsolbench_methods():\n    return []",
        f"(registration): no function is decorated with @hookimpl; {NO_HOOK}",
    ),
    "signature": (
        METHODS + "@hookimpl\ndef wsolbench_methods(config):\n    return []",
        "(registration): the hook 'wsolbench_methods' takes no argument, and here it takes (config)",
    ),
    "half-good": (
        METHODS
        + "@hookimpl\ndef wsolbench_methods():\n    return [MethodSpec('acme-half', dict, 's')]\n"
        + "@hookimpl\ndef wsolbench_backbones():\n    return None",
        "(wsolbench_backbones): expected a list of BackboneSpec, got NoneType",
    ),
}
ENTRY_POINTS = {
    "no-such-module": ("acme_nowhere", "(import): No module named 'acme_nowhere'"),
    "no-such-attribute": (
        "acme_entry_points:plugin",
        "(import): AttributeError: module 'acme_entry_points' has no attribute 'plugin'",
    ),
    "malformed": (
        "not a module!",
        "(import): the entry point 'not a module!' must be written MODULE or MODULE:OBJECT",
    ),
}
EXPECTED = {name: f"acme-{name} 0.3 '{name}' {reason}" for name, (_, reason) in BROKEN.items()}
EXPECTED |= {name: f"acme-entry-points 0.3 '{name}' {reason}" for name, (_, reason) in ENTRY_POINTS.items()}


@pytest.fixture(scope="module")
def broken(command_line, tmp_path_factory):
    """The command line with every broken plugin installed."""
    projects = [Project(f"acme-{name}", source) for name, (source, _) in BROKEN.items()]
    entry_points = {name: value for name, (value, _) in ENTRY_POINTS.items()}
    projects.append(Project("acme-entry-points", "", entry_points))
    return command_line(install(tmp_path_factory.mktemp("broken"), *projects))


@pytest.fixture(scope="module")
def listed(broken):
    return broken("list")


@pytest.fixture(scope="module")
def plugins(broken):
    return broken("plugins")


def test_a_broken_plugin_is_reported_in_one_line(listed):
    for name, expected in EXPECTED.items():
        (line,) = [line for line in listed.err.splitlines() if f" '{name}' " in line]
        assert line.startswith(f"warning: plugin {expected}")


def test_plugins_shows_the_reason(plugins):
    for name, expected in EXPECTED.items():
        (row,) = [row for row in plugins.rows if row[2] == name]
        distribution, version, entry_point, said = row
        stage_and_reason = expected.split(f" '{name}' ", 1)[1]
        assert (distribution, version, entry_point) == (expected.split()[0], "0.3", name)
        assert said.startswith(f"FAILED {stage_and_reason}")


def test_nothing_else_is_said(listed, plugins, our_names):
    for result in (listed, plugins):
        lines = result.err.splitlines()
        assert len(lines) == len(EXPECTED)
        assert all(line.startswith("warning: plugin acme-") for line in lines)
    assert listed.names == our_names


@pytest.mark.slow
def test_everything_else_works(broken, bare):
    calls = ["describe", "pc1"], ["describe", "cam", "--json"], ["list", "methods"]
    for result, expected in zip(broken.many(*calls), bare.many(*calls), strict=True):
        assert (result.code, result.out) == (0, expected.out)
        assert result.out


def test_unknown_name_lists_what_was_not_loaded(broken):
    result = broken("run", "--backbone", "replknet_nan", "--method", "pc1", "--out", "out", code=2)
    lines = [line for line in result.err.splitlines() if not line.startswith("warning: ")]
    assert lines[0].startswith("error: unknown backbone 'replknet_nan'. Did you mean 'replknet_nano'")
    assert re.fullmatch(
        r"  'wsolbench list backbones' shows all \d+, and there is any timm:NAME\. Not loaded:", lines[1]
    )
    assert "  acme-missing-module 0.3 'missing-module' (import): No module named 'acme_ops'" in lines[2:]
    assert len(lines) == 2 + len(EXPECTED)
    assert result.out == ""


def test_strict_stops_at_the_first_with_one_line(broken):
    result = broken("list", "--strict", code=2)
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith("error: plugin acme-checkpoint-path 0.3 'checkpoint-path' (wsolbench_backbones): ")


def test_debug_shows_the_traceback_of_the_plugin(command_line, tmp_path):
    site = install(tmp_path, Project("acme-key-error", BROKEN["key-error"][0]))
    result = command_line(site).python("-m", "wsolbench", "list", "--strict", "--debug")
    assert result.code != 0
    assert "Traceback (most recent call last)" in result.err
    assert "acme_key_error.py" in result.err
    assert result.err.splitlines()[-1].endswith("plugin acme-key-error 0.3 'key-error' (import): KeyError: 'home'")


def test_what_a_plugin_prints_stays_out_of_stdout(command_line, tmp_path, ours):
    printing = "print('welcome to acme')\n" + HOOK + "print('thank you'); return []"
    with_it = command_line(install(tmp_path, Project("acme-prints", printing)))
    result = with_it("describe", "pc1", "--json")
    assert result.out == ours("describe", "pc1", "--json").out
    assert result.err == "welcome to acme\nthank you\n"


def damaged(folder, name, **files):
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    for file, content in files.items():
        (info / file.replace("_txt", ".txt")).write_bytes(content)


def test_damaged_installations_of_others_are_passed_over(command_line, ours, tmp_path):
    metadata = b"Metadata-Version: 2.1\nName: x\nVersion: 1\n"
    damaged(
        tmp_path, "garbage", METADATA=metadata.replace(b"x", b"garbage"), entry_points_txt=b"[console_scripts\n=a=b"
    )
    damaged(tmp_path, "binary", METADATA=metadata.replace(b"x", b"binary"), entry_points_txt=b"\xff\xfe\x00[x]\n\x80")
    damaged(tmp_path, "nameless", METADATA=b"Metadata-Version: 2.1\n", entry_points_txt=b"[wsolbench]\nx = x\n")
    damaged(tmp_path, "no_metadata", entry_points_txt=b"[console_scripts]\nx = x:y\n")
    damaged(tmp_path, "empty")
    (tmp_path / "file-1.0.dist-info").write_text("not a folder")
    result = command_line(tmp_path)("list")
    assert (result.out, result.err) == (ours("list").out, "")
