"""Plugins that change the process when they are loaded: put back, and named where scores may depend on it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from plugin_projects import TESTED, Project, install

HOOK = """
from wsolbench.api import MethodSpec, hookimpl
@hookimpl
def wsolbench_methods():
    return [MethodSpec(__name__.replace("_", "-"), dict, "s")]
"""
CHANGES = {
    "dtype": ("torch.set_default_dtype(torch.float64)", "torch's default dtype (from float32 to float64)"),
    "device": ("torch.set_default_device('meta')", "torch's default device (from cpu to meta)"),
    "autocast": ("torch.set_autocast_enabled('cpu', True)", "autocast of torch on cpu (from False to True)"),
    "onednn": ("torch.backends.mkldnn.enabled = False", "torch.backends.mkldnn.enabled (from True to False)"),
    "precision": ("torch.set_float32_matmul_precision('medium')", "the precision of torch's matrix products (from "),
    "inference": ("mode = torch.inference_mode(); mode.__enter__()", "inference mode of torch (from False to True)"),
    "gradients": ("torch.set_grad_enabled(False)", "gradient mode of torch (from True to False)"),
}
STATE = """
import json, torch
from wsolbench.host.loading import load_plugins
registry = load_plugins()
print(json.dumps([
    str(torch.get_default_dtype()), str(torch.get_default_device()), torch.is_autocast_enabled("cpu"),
    torch.backends.mkldnn.enabled, torch.get_float32_matmul_precision(), torch.is_inference_mode_enabled(),
    torch.is_grad_enabled(), [failure.reason for failure in registry.failures],
]))
"""
HARMLESS = """
import os, random, sys, warnings
import numpy as np
random.seed(1); np.random.seed(1); np.seterr(all="raise"); warnings.simplefilter("error")
os.environ["HOME"] = "/nowhere"; sys.setrecursionlimit(77777)
os.write(1, b"written to the descriptor\\n"); print("printed"); sys.stdout.close(); sys.stderr.close()
"""


OURS = """
import json
import wsolbench.protocol
from wsolbench.host.loading import load_plugins
from wsolbench.host.originals import Originals
from wsolbench.host.settings import Snapshot
settings, originals = Snapshot.take(draws=True), Originals.take()
registry = load_plugins()
changed = [each.name for each, value in settings.values.items() if each.value() != value]
print(json.dumps([len(registry.providers), originals.restore(), settings.restore(), changed]))
"""


def test_our_own_plugins_change_nothing_and_are_not_compared(bare):
    count, *changes = json.loads(bare.python("-c", OURS).out)
    assert count > 10
    assert changes == [[], [], []]


@pytest.mark.slow
def test_changes_of_torch_are_put_back_and_drop_the_plugin(command_line, tmp_path):
    projects = [Project(f"acme-{name}", f"import torch\n{code}\n{HOOK}") for name, (code, _) in CHANGES.items()]
    done = command_line(install(tmp_path, *projects)).python("-c", STATE)
    assert done.code == 0, done
    *state, reasons = json.loads(done.out)
    assert state == ["torch.float32", "cpu", False, True, "highest", False, True]
    assert len(reasons) == len(CHANGES)
    for _, words in CHANGES.values():
        assert any(reason.startswith("it changes ") and words in reason for reason in reasons), (words, reasons)


@pytest.mark.slow
def test_harmless_changes_are_undone_and_the_plugin_stays(command_line, tmp_path, ours):
    changed = command_line(install(tmp_path, Project("acme-harmless", HARMLESS + HOOK)))
    listed = changed("list", "methods")
    assert "acme-harmless" in listed.names
    assert "written" not in listed.out
    assert listed.err.splitlines() == ["written to the descriptor", "printed"]
    assert changed("describe", "pc1", "--json").out == ours("describe", "pc1", "--json").out
    code = "import os, sys, wsolbench.host.loading as loading; loading.load_plugins(); "
    home = changed.python("-c", code + "print(os.environ['HOME'], sys.getrecursionlimit())")
    assert home.out.splitlines()[-1].split() == [os.environ["HOME"], str(sys.getrecursionlimit())]


@pytest.fixture
def slow_site(tmp_path):
    return install(tmp_path, Project("acme-slow", "import time; time.sleep(60)\n" + HOOK))


def test_a_plugin_that_does_not_end_is_named_and_ctrl_c_stops_it(slow_site):
    start = "from wsolbench.cli.app import main; import wsolbench.host.loading as loading; loading.SLOW = 0.1; "
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(slow_site), *TESTED])}
    command = [sys.executable, "-c", start + "main(['list'])"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == (
        "still loading the plugin acme-slow 0.3 'slow'; if it never ends, press Ctrl-C and uninstall it (pip uninstall "
        "acme-slow)\n"
    )
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1].splitlines()[-1] == "interrupted: nothing was recorded"
    assert process.returncode == 130


def test_the_working_directory_is_no_place_for_plugins(tmp_path):
    """``python -m`` puts it on the path: neither plugins nor modules that lie there are loaded."""
    (tmp_path / "acme_near.py").write_text("raise RuntimeError('loaded')\n")
    (tmp_path / "numpy.py").write_text("raise RuntimeError('loaded')\n")
    info = tmp_path / "acme_near.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: acme-near\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[wsolbench]\nnear = acme_near\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(TESTED)}
    command = [sys.executable, "-m", "wsolbench", "list", "backbones"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "acme" in done.stdout + done.stderr) == (0, False)
    assert "replknet" in done.stdout
