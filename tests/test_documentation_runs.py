"""Every block of README and docs that does not say why not is run, page by page, as a reader would type it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks

pytestmark = pytest.mark.slow

RUN = [page for page in PAGES if any(block.reason is None for block in blocks(page, "sh", "python"))]


@pytest.fixture(scope="module")
def environment():
    """The commands of this environment come first, and figures need no screen."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "MPLBACKEND": "agg", "COLUMNS": "100"}


@pytest.fixture(scope="module")
def earlier_runs(tmp_path_factory, environment):
    """What a reader has done before: two runs below runs/."""
    folder = tmp_path_factory.mktemp("earlier")
    for network in "resnet_nano", "replknet_nano":
        command = ["wsolbench", "run", "--backbone", network, "--method", "cam", "--limit", "40"]
        subprocess.run([*command, "--out", f"runs/{network}"], cwd=folder, env=environment, check=True)
    return folder / "runs"


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in RUN])
def test_blocks_run(page, tmp_path, environment, earlier_runs):
    shutil.copytree(earlier_runs, tmp_path / "runs")
    (tmp_path / "leaderboard").mkdir()
    (tmp_path / "leaderboard/records").symlink_to(ROOT / "leaderboard/records", target_is_directory=True)
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    done = subprocess.run(
        [sys.executable, ROOT / "tests/run_page.py", page],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-4000:]
