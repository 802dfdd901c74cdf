"""``wsolbench check``: what it says of sound and of broken plugins, and how it ends."""

import json
import re
import sys
from pathlib import Path

import pytest

BROKEN = Path(__file__).parents[1] / "broken_plugins"
SOUND = """
from wsolbench.api import Maps, MethodSpec, hookimpl


def spread(*, power: float = 1.0):
    return lambda features, context: Maps(features.mean(dim=1) * power, {"peak": features.amax(dim=(1, 2, 3))})


@hookimpl
def wsolbench_methods():
    return [MethodSpec("spread", spread, "mine")]
"""
FAULTS = [
    ("wrong_shape", "check_method_maps", "dimensions of the raw maps: expected 3, got 4"),
    ("not_a_number", "check_method_maps", "raw maps: expected finite values, got 196 of 196 that are not"),
    ("changes_its_input", "check_method_leaves_its_input", "expected no change, got features changed"),
    (
        "leaves_train_mode",
        "check_backbone_eval_mode",
        "layers in train mode after a forward pass in eval mode: expected 0",
    ),
    (
        "leaves_train_mode",
        "check_method_leaves_its_input",
        "layers of the network that are left in train mode: expected 0",
    ),
    (
        "depends_on_its_batch",
        "check_method_batch_invariance",
        "of a batch and of single images: expected a difference of",
    ),
    ("needs_a_network", "check_plugin_process", "it opens a connection to 127.0.0.1:9"),
    ("crashes", "check_plugin_loads", "import: expected no failure, got KeyError: 'home'"),
    ("exits", "check_plugin_loads", "import: expected no failure, got SystemExit: no GPU here"),
    ("misspelt_hook", "check_plugin_loads", "unknown hook 'wsolbench_method'; the hooks are wsolbench_backbones"),
    (
        "duplicate_name",
        "check_plugin_names",
        "the name 'cam': expected one that is free, got that of a method of wsolbench",
    ),
    ("prints", "check_plugin_process", "it prints 'welcome' to stdout"),
    ("prints", "check_method_process", "got 'a map is made' on stdout, which is for results"),
    ("sets_seeds", "check_plugin_process", "the random generator of random"),
    ("sets_seeds", "check_plugin_process", "torch's threads (from "),
    ("sets_seeds", "check_method_process", "a seed for the random generator of torch"),
]


@pytest.fixture(scope="module")
def checked():
    """Return a function: the name of a broken plugin -> the exit code of its check, and its broken rules by name."""
    known = {}

    def check(cli, name):
        if name not in known:
            done = cli("check", BROKEN / f"{name}.py", "--json")
            parts = json.loads(done.out)["checked"]
            rules = {each["check"]: each for part in parts for each in part["checks"] if each["status"] == "broken"}
            known[name] = done.code, rules
        return known[name]

    return check


def test_every_broken_plugin_is_tried():
    assert {name for name, *_ in FAULTS} == {path.stem for path in BROKEN.glob("*.py")}


@pytest.mark.parametrize(("name", "rule", "words"), FAULTS)
def test_a_broken_plugin_is_caught(cli, checked, name, rule, words):
    code, broken = checked(cli, name)
    assert code == 1
    assert words in broken[rule]["message"]
    assert broken[rule]["fix"]
    assert broken.keys() <= {each for other, each, _ in FAULTS if other == name} | {
        "check_method_not_square",  # of a map that is of no shape or of no numbers everywhere
        "check_method_one_channel",
    }


@pytest.fixture
def sound(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spread.py").write_text(SOUND)


@pytest.mark.usefixtures("sound")
def test_a_sound_plugin_has_a_line_a_rule_and_a_summary(cli):
    done = cli("check", "spread.py")
    assert done.code == 0, done.err
    plugin, *lines, summary = done.out.splitlines()
    assert re.fullmatch(r"plugin 'spread' of spread.py source-[0-9a-f]{16} 'spread'", plugin)
    assert lines[3].startswith("method 'spread' of spread.py source-")
    rules = [line for line in lines if line.startswith("  ")]
    assert all(re.match(r"  [✓-] check_[a-z_]+ +[0-9]+[.][0-9]{2} s", rule) for rule in rules)
    assert re.search(r"  - check_method_fit +0[.].. s  skipped: the method is not fitted$", done.out, re.MULTILINE)
    assert re.fullmatch(r"12 kept, 2 skipped, in [0-9.]+ s", summary)
    assert "\x1b" not in done.out


@pytest.mark.usefixtures("sound")
def test_a_name_is_checked_wherever_it_comes_from(cli):
    assert "method 'spread' of spread.py" in cli("check", "spread", "--plugin", "spread.py").out
    named = cli("check", "cam", "--json")
    assert (named.code, [part["name"] for part in json.loads(named.out)["checked"]]) == (0, ["cam", "cam"])
    assert cli("check", "spread").refused("unknown name 'spread'")
    Path("folder-of-mine").mkdir()
    folder = "error: folder-of-mine: it is a folder; install what is in it, pip install -e ./folder-of-mine"
    assert cli("check", "folder-of-mine").err.startswith(folder)
    assert cli("check", "nowhere.py").refused("error: nowhere.py: the file cannot be read (No such file or directory)")
    assert cli("check", "cam", "--base", "resnet_nano").refused("--base resnet_nano: it is the network that a system")
    assert cli("check", "imagefolder").err.startswith("error: nothing that 'imagefolder' offers was checked: no folder")


def test_a_module_is_checked(cli):
    done = cli("check", "wsolbench_plugins.methods.pc1", "--json")
    assert done.code == 0
    assert {"plugin", "method"} == {part["kind"] for part in json.loads(done.out)["checked"]}
    done = cli("check", "json")
    assert done.code == 1
    assert "no function is decorated with @hookimpl" in done.out


def test_the_author_sees_the_last_lines_of_the_plugin_and_none_of_ours(cli, tmp_path):
    text = SOUND.replace("features.mean(dim=1) * power", "helper(features)")
    (tmp_path / "own.py").write_text(text + "\n\ndef helper(features):\n    return features.mean(dim=1).nothing\n")
    done = cli("check", tmp_path / "own.py")
    assert done.code == 1
    lines = [line.strip() for line in done.out.splitlines() if set(line.strip()) - set("~^")]
    at = lines.index("AttributeError: 'Tensor' object has no attribute 'nothing'")
    assert lines[at + 1].startswith("fix: return a floating tensor (B, h', w')")
    assert lines[at + 2 : at + 7] == [
        f'File "{tmp_path / "own.py"}", line 6, in <lambda>',
        'return lambda features, context: Maps(helper(features), {"peak": features.amax(dim=(1, 2, 3))})',
        f'File "{tmp_path / "own.py"}", line 15, in helper',
        "return features.mean(dim=1).nothing",
        "AttributeError: 'Tensor' object has no attribute 'nothing'",
    ]
    assert "wsolbench/testing" not in done.out
    assert "as check_method_maps" in lines


def test_a_known_failure_is_shown_with_its_reason_and_is_no_failure(cli, tmp_path):
    known = 'known_failures={"check_method_batch_invariance": "contrasts the images of a batch"}'
    text = (BROKEN / "depends_on_its_batch.py").read_text().replace('"nobody")', f'"nobody", {known})')
    (tmp_path / "known.py").write_text(text)
    done = cli("check", tmp_path / "known.py")
    assert done.code == 0, done.out
    assert re.search(
        r"  ! check_method_batch_invariance .*  known failure: contrasts the images of a batch\n", done.out
    )
    assert "1 known failure" in done.out


def test_a_system_is_checked_with_a_network_that_it_trains(cli):
    done = cli("check", "ts-cam", "--json")
    assert done.code == 0, done.out
    assert {each["check"] for each in json.loads(done.out)["checked"][1]["checks"]} >= {
        "check_system_trains",
        "check_system_process",
    }
    done = cli("check", "ts-cam", "--base", "resnet_nano")
    assert done.code == 1
    assert "it refuses 'resnet_nano'" in done.out
    assert "name one that it serves: conformance_checks(spec, base=...)" in done.out


def test_a_backbone_and_a_data_set_are_checked(cli, folder_set):
    assert cli("check", "resnet_nano").code == 0
    done = cli("check", "folder", *folder_set().options[2:])
    assert done.code == 0, done.out
    assert "✓ check_dataset_boxes" in done.out
    assert "skipped: the data set has no masks" in done.out


AT_IMPORT = {
    "a thread": (
        "import threading\nthreading.Thread(target=threading.Event().wait, args=(2,), name='ticker').start()",
        "it starts a thread that goes on, 'ticker'",
    ),
    "a fork": (
        "import os\ntry:\n    os.fork() or os._exit(0)\nexcept OSError:\n    pass",
        "it forks the process",
    ),
    "sys.path": ("import sys\nsys.path.insert(0, 'nowhere')", "it changes where modules are looked for"),
    "long": ("import time\ntime.sleep(0.3)", r"it takes 0[.]\d s, for which every command waits"),
}


@pytest.mark.parametrize(("code", "words"), AT_IMPORT.values(), ids=AT_IMPORT)
def test_what_a_plugin_does_at_import_is_named(cli, tmp_path, monkeypatch, code, words):
    monkeypatch.setattr("wsolbench.host.loading.SLOW", 0.2 if "sleep" in code else 15.0)
    path = list(sys.path)
    (tmp_path / "own.py").write_text(code + SOUND)
    done = cli("check", tmp_path / "own.py")
    assert done.code == 1
    assert re.search(f"import and hooks: expected no trace of them, got: {words}", done.out), done.out
    assert "fix: move downloads, seeds, threads, prints and what takes long out of the module" in done.out
    assert sys.path == path


WRITTEN = {
    "a relative import": (lambda text: "from . import helper\n" + text, "attempted relative import", "a file imports"),
    "a file beside it": (lambda text: "import helper_beside\n" + text, "No module named", "a file imports what is"),
    "no Python": (lambda text: text + "def (:\n", "SyntaxError: invalid syntax (own.py, line", "import what may be"),
    "no UTF-8": (
        lambda text: text + "NAME = 'caf\udce9'\n",
        "(unicode error) 'utf-8' codec",
        "import what may be",
    ),
    "an argument of a hook": (
        lambda text: text.replace("_methods()", "_methods(registry, config=None)"),
        "the hook 'wsolbench_methods' takes no argument, and here it takes (registry, config)",
        "decorate with @hookimpl functions without arguments",
    ),
    "a name in capitals": (
        lambda text: text.replace('"spread"', '"Spread"'),
        "the name 'Spread' must consist of lowercase letters",
        "return a list of specifications from the hook, as wsolbench.api has them, with names such as",
    ),
    "a name that starts with a dot": (
        lambda text: text.replace('"spread"', '".spread"'),
        "the name '.spread' must consist of lowercase letters",
        "return a list of specifications from the hook, as wsolbench.api has them, with names such as",
    ),
    "a default of another type": (
        lambda text: text.replace("= 1.0", '= "much"'),
        "'spread': option 'power' takes a number, not 'much'",
        "give every option a default that str() and the type of its annotation bring back",
    ),
    "no default": (
        lambda text: text.replace("float = 1.0", "float"),
        "the method 'spread' needs a value for its option 'power'",
        "give every option a default that str() and the type of its annotation bring back",
    ),
    "a method of one argument": (
        lambda text: text.replace("features, context:", "features:"),
        "takes 1 positional argument but 2 were given",
        "take the arguments that come: build the number of classes and options, a method (features, context)",
    ),
}


@pytest.mark.parametrize(("change", "message", "fix"), WRITTEN.values(), ids=WRITTEN)
def test_the_fix_is_that_of_the_fault(cli, tmp_path, change, message, fix):
    (tmp_path / "own.py").write_bytes(change(SOUND).encode("utf-8", "surrogateescape"))
    done = cli("check", tmp_path / "own.py", "--json")
    assert done.code == 1
    broken = [each for part in json.loads(done.out)["checked"] for each in part["checks"] if each["status"] == "broken"]
    (found, *_) = [each for each in broken if message in each["message"]]
    assert fix in found["fix"]
    assert not [line for line in found["traceback"] if "pluggy" in line]


SYSTEM = """
from wsolbench.api import Stage, SystemSpec, hookimpl, rebuilt


class Plain:
    def stages(self, epochs):
        return [Stage("training", epochs)]


@hookimpl
def wsolbench_systems():
    return [SystemSpec("mine", Plain, rebuilt, source="this file", method="nativ")]
"""


def test_the_method_of_a_system_has_to_be_offered(cli, tmp_path):
    (tmp_path / "own.py").write_text(SYSTEM)
    done = cli("check", tmp_path / "own.py", "--json")
    (broken,) = [
        each for part in json.loads(done.out)["checked"] for each in part["checks"] if each["status"] == "broken"
    ]
    assert broken["message"] == "the method of 'mine': expected one that is offered, got 'nativ'"
    assert "'wsolbench list methods'" in broken["fix"]
