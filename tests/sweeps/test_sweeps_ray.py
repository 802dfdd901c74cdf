"""A sweep on a cluster of Ray that loses a worker and a machine midway: the same records as on one machine."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from same_records import same_records

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

NETWORKS = ["resnet_nano", "replknet_nano", "slak_nano", "resnet_micro"]
GRID = {
    "backbones": [*NETWORKS[:3], {"name": NETWORKS[3], "weights": "random"}],
    "methods": ["cam", "pc1", "layer-cam", "noise"],
    "seeds": [0, 1],
    "settings": {"limit": 40, "threshold_step": 0.01, "gallery": False},
    "cpus": 1,
}
NAMES = [f"{network}__critters__seed{seed}" for network in NETWORKS for seed in (0, 1)]


def sweep(folder, *options):
    """Start a sweep; each folder has a cache of its own, so that none takes maps from another."""
    (folder / "grid.yaml").write_text(yaml.safe_dump(GRID))
    return subprocess.Popen(
        [sys.executable, "-m", "wsolbench", "sweep", "grid.yaml", *options],
        cwd=folder,
        env={**os.environ, "WSOLBENCH_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster of two machines, which share this file system; a job takes the one processor of each."""
    pytest.importorskip("ray", reason="Ray is installed with wsolbench[ray]")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("WSOLBENCH_CACHE", str(tmp_path / "cache"))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made, second
    made.shutdown()


def is_midway(jobs):
    """Whether two jobs are done, and both machines are at the next ones."""
    done = {path.name for path in jobs.iterdir() if path.name in NAMES} if jobs.is_dir() else set()
    states = [path for path in jobs.parent.glob("state/*.json") if path.stem not in done]
    return len(done) >= 2 and sum('"stage":"running"' in path.read_text() for path in states) == 2


def processes_of(machine):
    """Return the processes of a machine of the cluster, each after its parent."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [each.process.pid for each in machine.all_processes["raylet"]]
    for parent in found:
        found += [pid for pid, its in parents.items() if its == parent]
    return found


def is_worker(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::_carry_out")
    return False


def send(number, pids):
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def halt_midway(running, jobs, machine):
    """Halt all processes of a machine while it is at a job, and return them."""
    ends = time.monotonic() + 900
    while time.monotonic() < ends:
        assert running.poll() is None, running.communicate()
        pids = processes_of(machine) if is_midway(jobs) else []
        send(signal.SIGSTOP, pids)
        if any(map(is_worker, pids)) and is_midway(jobs):  # its job did not end meanwhile
            return pids
        send(signal.SIGCONT, pids)
        time.sleep(0.1)
    raise AssertionError("no job of the machine was seen")


def test_a_lost_worker_and_a_lost_machine_change_no_record(tmp_path, cluster):
    local, remote = tmp_path / "local", tmp_path / "ray"
    local.mkdir()
    remote.mkdir()
    made, second = cluster
    jobs = remote / "sweeps" / "grid" / "jobs"
    with sweep(remote, "--on", "ray", "--address", made.address) as running:
        pids = halt_midway(running, jobs, made.head_node)
        send(signal.SIGKILL, filter(is_worker, pids))
        send(signal.SIGCONT, pids)
        send(signal.SIGKILL, halt_midway(running, jobs, second))
        made.remove_node(second, allow_graceful=False)
        out, err = running.communicate(timeout=500)
    assert (running.returncode, out.splitlines()[0]) == (0, "8 jobs: 8 done"), err
    assert err.count("tried again: the machine or its worker was lost") == 2, err
    assert sorted(path.name for path in jobs.iterdir()) == sorted(NAMES)

    with sweep(local) as running:
        out, err = running.communicate(timeout=500)
    assert running.returncode == 0, err
    for name in NAMES:
        same_records(jobs / name, local / "sweeps" / "grid" / "jobs" / name)
        assert len(list((jobs / name).glob("record-*.json"))) == len(GRID["methods"])


def test_a_cluster_without_room_for_a_job_is_told(tmp_path, cluster):
    made, _ = cluster
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({**GRID, "gpus": 8}))
    command = [sys.executable, "-m", "wsolbench", "sweep", "grid.yaml", "--on", "ray", "--address", made.address]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    said = "no machine of the cluster has the 1 CPUs and 8 GPUs that a job takes"
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: --on ray: {said}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "no cluster of Ray answers there ([Errno 111] Connection refused)"),
        ("ray://127.0.0.1:1", "no cluster of Ray answers there"),
        ("here", "expected HOST:PORT, as 'ray start --head' shows it, or auto"),
        ("auto", "no cluster of Ray (Could not find any running Ray instance."),
    ],
)
def test_a_cluster_that_is_not_there_is_told(tmp_path, address, said):
    pytest.importorskip("ray", reason="Ray is installed with wsolbench[ray]")
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(GRID))
    command = [sys.executable, "-m", "wsolbench", "sweep", "grid.yaml", "--on", "ray", "--address", address]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: --address {address}: {said}")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["grid.yaml"]
