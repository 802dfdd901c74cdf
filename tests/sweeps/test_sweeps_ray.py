"""A sweep on a cluster of Ray with two machines, of which one is lost midway: the same records as on one machine."""

import os
import subprocess
import sys
import time

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
    """Whether two jobs are done, and both machines have just begun the next ones."""
    done = {path.name for path in jobs.iterdir() if path.name in NAMES} if jobs.is_dir() else set()
    states = [path for path in jobs.parent.glob("state/*.json") if path.stem not in done]
    return len(done) >= 2 and sum('"stage":"running"' in path.read_text() for path in states) == 2


def test_a_lost_machine_changes_no_record(tmp_path, cluster):
    local, remote = tmp_path / "local", tmp_path / "ray"
    local.mkdir()
    remote.mkdir()
    made, second = cluster
    with sweep(remote, "--on", "ray", "--address", made.address) as running:
        jobs = remote / "sweeps" / "grid" / "jobs"
        ends = time.monotonic() + 900
        while not is_midway(jobs):
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < ends
            time.sleep(0.1)
        made.remove_node(second, allow_graceful=False)
        out, err = running.communicate(timeout=500)
    assert (running.returncode, out.splitlines()[0]) == (0, "8 jobs: 8 done"), err
    assert "tried again: the machine or its worker was lost" in err
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
