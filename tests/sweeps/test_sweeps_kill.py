"""Sweeps and jobs that are killed at any moment: the same command again gives what one that was left alone gives."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from same_records import same_records

pytestmark = pytest.mark.slow

GRID = {
    "backbones": [{"name": "resnet_nano", "batch_size": 8}, "replknet_nano"],
    "methods": ["cam", "pc1"],
    "seeds": [0, 1],
    "settings": {"limit": 60, "threshold_step": 0.01, "gallery": False},
}
NAMES = [f"{network}__critters__seed{seed}" for network in ("resnet_nano", "replknet_nano") for seed in (0, 1)]


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """The folders of runs of a sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("alone")
    with started(folder, jobs=2) as sweep:
        out, err = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, err
    assert out.startswith("4 jobs: 4 done\n")
    return folder / "sweeps" / "grid" / "jobs"


def started(folder, *options, jobs=1, **changes):
    """Start a sweep in a folder, with a cache of its own."""
    (folder / "grid.yaml").write_text(yaml.safe_dump({**GRID, **changes}))
    return subprocess.Popen(
        [sys.executable, "-m", "wsolbench", "sweep", "grid.yaml", "--jobs", str(jobs), *options],
        cwd=folder,
        env={**os.environ, "WSOLBENCH_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def children(process):
    with suppress(OSError):
        return [int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    return []


def is_there(pid):
    """Whether a process is there that does something; one that waits for its parent to ask is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=300):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def running(folder, phase):
    """Whether a job says that it is in a phase."""
    return any(f'"phase":"{phase}"' in read(path) for path in (folder / "sweeps/grid/state").glob("*.json"))


def read(path):
    with suppress(OSError):
        return path.read_text()
    return ""


def check_whole(folder, left_alone):
    """Check that the same command gives everything, once and whole."""
    with started(folder, jobs=2) as sweep:
        out, err = sweep.communicate(timeout=300)
    assert (sweep.returncode, out.splitlines()[0]) == (0, "4 jobs: 4 done"), err
    runs = folder / "sweeps" / "grid" / "jobs"
    assert sorted(path.name for path in runs.iterdir()) == sorted(NAMES)
    for name in NAMES:
        same_records(runs / name, left_alone / name)
    assert (folder / "sweeps/grid/leaderboard/index.html").is_file()


@pytest.mark.parametrize("phase", ["annotations", "test"])
def test_a_killed_job_is_told_and_done_by_the_same_command(tmp_path, left_alone, phase):
    with started(tmp_path) as sweep:
        wait_for(lambda: running(tmp_path, phase))
        os.kill(children(sweep)[0], signal.SIGKILL)
        out, err = sweep.communicate(timeout=300)
    assert (sweep.returncode, out) == (2, "")
    (line,) = (line for line in err.splitlines() if line.startswith("  "))
    assert line.endswith(": ended by SIGKILL; perhaps the memory did not suffice")
    check_whole(tmp_path, left_alone)


def test_a_killed_job_is_tried_again_where_the_sweep_says_so(tmp_path, left_alone):
    with started(tmp_path, retries=1) as sweep:
        wait_for(lambda: running(tmp_path, "test"))
        os.kill(children(sweep)[0], signal.SIGKILL)
        out, err = sweep.communicate(timeout=300)
    assert (sweep.returncode, out.splitlines()[0]) == (0, "4 jobs: 4 done"), err
    assert "failed, to be tried again: ended by SIGKILL" in err
    check_whole(tmp_path, left_alone)


@pytest.mark.parametrize("attempt", range(2))
def test_a_killed_sweep_takes_its_jobs_along_and_continues(tmp_path, left_alone, attempt):
    moments = random.Random(attempt)
    with started(tmp_path, jobs=2) as sweep:
        wait_for(lambda: children(sweep))
        time.sleep(moments.random() * 15)
        jobs = children(sweep)
        sweep.kill()
        sweep.communicate()
    if attempt % 2:  # else the same command comes while they still stop
        wait_for(lambda: not any(map(is_there, jobs)), seconds=25)
    check_whole(tmp_path, left_alone)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_jobs_cleanly(tmp_path, left_alone, number):
    with started(tmp_path, jobs=2) as sweep:
        wait_for(lambda: running(tmp_path, "test"))
        jobs = children(sweep)
        sweep.send_signal(number)
        out, err = sweep.communicate(timeout=60)
    assert (sweep.returncode, out) == (128 + number, ""), err
    assert err.splitlines()[-1].endswith(" of 4 jobs are done; the same command continues")
    assert not any(map(is_there, jobs))
    names = {path.name for path in (tmp_path / "sweeps/grid/jobs").iterdir()}
    assert names <= set(NAMES)
    check_whole(tmp_path, left_alone)


def test_a_second_sweep_is_refused_while_one_is_at_work(tmp_path):
    with started(tmp_path) as sweep:
        wait_for(lambda: children(sweep))
        with started(tmp_path) as second:
            out, err = second.communicate(timeout=120)
        sweep.terminate()
        sweep.communicate(timeout=60)
    assert (second.returncode, out) == (2, "")
    assert err == (
        "error: sweeps/grid: another sweep is at work in this folder; wait for it, or name another one with --out\n"
    )
