"""``wsolbench sweep``: from a file to a leaderboard; what is listed, printed and refused."""

import json
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

import wsolbench
from wsolbench.errors import UsageError, WsolbenchError
from wsolbench.host.loading import load_plugins
from wsolbench.progress import Reporter
from wsolbench.sweeps.attempt import carry_out
from wsolbench.sweeps.engines import Ended, Engine
from wsolbench.sweeps.folder import SweepFolder

EXAMPLE = Path(__file__).parents[2] / "examples" / "sweep.yaml"
NAMES = [f"wsolbench-replknet_nano__folder__seed{seed}" for seed in (0, 1)]


class Here(Engine):
    """Carries jobs out in this process; those of `failing` fail."""

    def __init__(self, failing=()):
        self.failing, self.waiting, self.started = failing, [], []

    @property
    def has_room(self):
        return not self.waiting

    def start(self, name, how):
        self.started.append(name)
        self.waiting.append(name)
        request = how.request
        if name in self.failing:
            request = request.model_copy(update={"config": request.config.model_copy(update={"dataset": "birds"})})
        with pytest.raises(WsolbenchError) if name in self.failing else nullcontext():
            carry_out(request, load_plugins)

    def ended(self):
        ended, self.waiting = [Ended(name, "exit code 2" * (name in self.failing)) for name in self.waiting], []
        return ended

    def stop(self):
        pass


@pytest.fixture
def here(monkeypatch):
    """Let jobs run in this process."""
    engine = Here()
    monkeypatch.setattr("wsolbench.sweeps.sweep.Local", lambda *_: engine)
    return engine


@pytest.fixture
def write(tmp_path, folder_set):
    """Write a SWEEP.yaml of two jobs on a small data set."""
    data = folder_set(val=3, test=4)

    def write(**changes):
        grid = {
            "backbones": {"name": "wsolbench:replknet_nano", "weights": "random"},
            "methods": ["cam", {"name": "pc1", "options": {"weighting": "magnitude"}}],
            "datasets": {"name": "folder", "data_root": str(data.images), "metadata_root": str(data.metadata)},
            "seeds": [0, 1],
            "settings": {"threshold_step": 0.1, "gallery": False, "batch_size": 4},
        }
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump({**grid, **changes}))
        return path

    return write


def test_a_sweep_makes_records_and_a_leaderboard(cli, write, here, tmp_path):
    out = tmp_path / "out"
    done = cli("sweep", write(), "--out", out)
    page = out / "leaderboard" / "index.html"
    assert (done.code, done.out) == (0, f"2 jobs: 2 done\nrecords: {out}/jobs\nleaderboard: {page}\n"), done.err
    assert page.is_file()
    assert sorted(path.name for path in (out / "jobs").iterdir()) == NAMES
    record = json.loads((out / "jobs" / NAMES[1] / "record-pc1.json").read_text())
    assert record["config"]["seed"] == 1
    assert record["method"]["options"]["weighting"] == "magnitude"
    assert shlex.split(record["environment"]["command"])[:4] == [
        "wsolbench",
        "run",
        "--backbone",
        "wsolbench:replknet_nano",
    ]
    assert f"[{NAMES[0]}] done" in done.progress
    assert f"warning: 1 job warned: {NAMES[1]}; read the files in {out}/logs" in done.err
    assert here.started == NAMES


def test_the_same_command_again_and_resume_do_nothing_twice(cli, write, here, tmp_path):
    out, path = tmp_path / "out", write()
    first = cli("sweep", path, "--out", out)
    assert cli("sweep", "run", path, "--out", out).out == first.out
    assert cli("sweep", "resume", out).out == first.out
    assert here.started == NAMES
    extended = cli("sweep", write(seeds=[0, 1, 2]), "--out", out)
    assert extended.out.startswith("3 jobs: 3 done\n")
    assert f"{path} has changed: 1 job more, 0 fewer" in extended.err
    assert len(here.started) == 3


def test_failed_jobs_are_told_with_a_line_each_and_the_others_are_there(cli, write, here, tmp_path):
    here.failing = [NAMES[0]]
    out, path = tmp_path / "out", write(retries=1)
    done = cli("sweep", path, "--out", out)
    assert (done.code, done.out) == (2, "")
    assert (
        f"error: 1 of 2 jobs failed; the same command tries them again:\n  {NAMES[0]}: unknown data set 'birds'"
        in done.err
    )
    assert here.started.count(NAMES[0]) == 2
    assert (out / "leaderboard" / "index.html").is_file()
    status = cli("sweep", "status", out)
    assert status.out.splitlines()[0].startswith(f"{NAMES[0]}  failed   unknown data set 'birds'")
    assert (status.code, status.out.splitlines()[-1]) == (0, "2 jobs: 1 done, 1 failed")
    here.failing = []
    assert cli("sweep", "resume", out).out.startswith("2 jobs: 2 done\n")


def test_a_dry_run_lists_the_jobs_and_writes_nothing(cli, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    path = write()
    assert cli("sweep", path, "--dry-run").out == "".join(f"{name}  cam pc1\n" for name in NAMES)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])


def test_printed_commands_are_the_jobs(cli, write, here, tmp_path):
    out, path = tmp_path / "out", write()
    printed = cli("sweep", path, "--out", out, "--print-commands")
    lines = printed.out.splitlines()
    assert [shlex.split(line)[-1] for line in lines] == [f"{out}/jobs/{name}" for name in NAMES]
    assert cli("sweep", "status", out).out.endswith("2 jobs: 2 waiting\n")
    assert cli("sweep", "resume", out, "--jobs", 0).out == f"2 jobs: 2 waiting\nrecords: {out}/jobs\n"
    for line in lines:
        assert cli(*shlex.split(line)[1:]).code == 0
    done = cli("sweep", "resume", out, "--jobs", 0)
    assert done.out.startswith("2 jobs: 2 done\n"), done.err
    assert here.started == []
    assert cli("sweep", path, "--out", out, "--print-commands").out == ""


def test_the_settings_file_gives_what_the_sweep_leaves_open(cli, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("wsolbench.toml").write_text('device = "cpu"\nbatch-size = 7\n[roots.folder]\ntrain-root = "t"\n')
    line = cli("sweep", write(), "--print-commands").out.splitlines()[0]
    assert "--device cpu" in line
    assert "--train-root t" in line
    assert "--batch-size 4" in line
    assert Path("sweeps/grid/sweep.json").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbones": ["resnet_nano", "replknt_nano"]}, "backbones[1]: unknown backbone 'replknt_nano'"),
        ({"methods": ["cam", "pc9"]}, "methods[1]: unknown method 'pc9'"),
        ({"methods": {"name": "pc1", "options": {"weight": 1}}}, "methods[0]: the method 'pc1' has no option 'weight'"),
        (
            {"methods": {"name": "pc1", "options": {"rule": ["authors", "mine"]}}},
            "option 'rule' takes authors|corrected, not 'mine'",
        ),
        ({"datasets": "crittrs"}, "datasets[0]: unknown data set 'crittrs'"),
        (
            {"backbones": {"name": "resnet_nano", "wieghts": "x"}},
            "backbones.wieghts: there is no such field; did you mean weights?",
        ),
    ],
)
def test_slips_are_refused_before_anything_is_written(cli, write, tmp_path, changes, said):
    path = write(**changes)
    assert cli("sweep", path, "--out", tmp_path / "out").refused(f"error: {path}: ", said)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_another_sweep_uses_is_refused(cli, write, tmp_path):
    out, path = tmp_path / "out", write()
    cli("sweep", path, "--out", out, "--print-commands")
    with SweepFolder(out).locked(Reporter()):
        assert cli("sweep", path, "--out", out).refused("another sweep is at work in this folder")
        assert cli("sweep", "resume", out).refused("another sweep is at work in this folder")
        assert cli("sweep", "status", out).code == 0


def test_a_folder_of_other_records_is_refused(cli, write, here, tmp_path):
    out = tmp_path / "out"
    cli("sweep", write(), "--out", out)
    assert cli("sweep", write(settings={"threshold_step": 0.2}), "--out", out).refused("holds records of a run that")
    assert here.started == NAMES


@pytest.mark.parametrize("command", ["status", "resume"])
def test_what_is_no_folder_of_a_sweep_is_refused(cli, tmp_path, command):
    assert cli("sweep", command, tmp_path).refused("no folder of a sweep", "wsolbench sweep SWEEP.yaml --out DIR")


def test_an_address_needs_a_cluster(cli, write):
    assert cli("sweep", write(), "--address", "auto").refused("--address auto: it is that of a cluster; add --on ray")


def test_a_machine_with_fewer_gpus_than_a_job_takes_is_refused(cli, write, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    done = cli("sweep", write(gpus=2), "--out", tmp_path / "out")
    assert done.refused("--on local: a job takes 2 GPUs, and there are 1 here; change gpus: of the sweep")
    assert not (tmp_path / "out").exists()


def test_how_many_run_on_a_cluster_is_said_by_the_sweep(cli, write):
    done = cli("sweep", write(), "--on", "ray", "--jobs", 4)
    assert done.refused("--jobs 4: with --on ray, cpus: and gpus: of the sweep say how many run at once")


@pytest.mark.slow
def test_a_sweep_is_resumed_from_another_folder(cli, write, here, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    cli("sweep", write(), "--print-commands")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli("sweep", "resume", "../sweeps/grid").out.startswith("2 jobs: 2 done\n")
    assert sorted(path.name for path in (tmp_path / "sweeps" / "grid" / "jobs").iterdir()) == NAMES
    assert here.started == NAMES
    monkeypatch.chdir(tmp_path)
    assert cli("sweep", "grid.yaml").out.startswith("2 jobs: 2 done\n")
    assert here.started == NAMES


def test_without_ray_a_line_says_what_to_install(cli, write, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "wsolbench.sweeps.on_ray", raising=False)
    out = tmp_path / "out"
    said = "--on ray: Ray is not installed; type: pip install 'wsolbench[ray]'"
    assert cli("sweep", write(), "--on", "ray", "--out", out).refused(said)


def test_the_command_of_a_job_is_for_sweeps_alone(cli, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert cli("sweep", "job").refused("is started by 'wsolbench sweep SWEEP.yaml'")
    assert "\n  job " not in cli("sweep", "-h").out


def test_the_example_is_planned(cli):
    lines = cli("sweep", EXAMPLE, "--dry-run").out.splitlines()
    assert lines == [
        "resnet_nano__critters__seed0  cam pc1",
        "resnet_nano__critters__seed1  cam pc1",
        "replknet_nano__critters__seed0  cam pc1",
        "replknet_nano__critters__seed1  cam pc1",
        "slak_nano__critters__seed0  cam pc1",
    ]


# ---------------------------------------------------------------------------------------------------------- from Python


def test_python_takes_a_file_or_what_it_says(write, here, tmp_path):
    path = write()
    with pytest.warns(UserWarning, match="1 job warned"):
        records = wsolbench.sweep(path, out=tmp_path / "out")
    assert [(each.environment.seed, each.method.name) for each in records] == [
        (0, "cam"),
        (0, "pc1"),
        (1, "cam"),
        (1, "pc1"),
    ]
    with pytest.warns(UserWarning, match="1 job warned"):
        again = wsolbench.sweep(yaml.safe_load(path.read_text()), out=tmp_path / "out")
    assert again == records
    assert here.started == NAMES


def test_an_interrupt_at_the_end_says_how_far_it_came(cli, write, here, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("wsolbench.sweeps.sweep.build_board", interrupt)
    done = cli("sweep", write(), "--out", tmp_path / "out")
    assert (done.code, done.out, len(here.started)) == (130, "", 2)
    assert done.err.splitlines()[-1] == "interrupted: 2 of 2 jobs are done; the same command continues"


@pytest.mark.parametrize(("machines", "said"), [({"jobs": -1}, "jobs: expected"), ({"on": "slurm"}, "on: expected")])
def test_python_refuses_machines_that_there_are_not(write, tmp_path, machines, said):
    with pytest.raises(UsageError, match=said):
        wsolbench.sweep(write(), out=tmp_path / "out", **machines)
    assert not (tmp_path / "out").exists()


def test_python_refuses_what_has_no_folder():
    with pytest.raises(UsageError, match="out: name the folder of the sweep"):
        wsolbench.sweep({"backbones": "resnet_nano", "methods": "cam"})


# -------------------------------------------------------------------------------------------- in processes of their own


@pytest.mark.slow
def test_the_example_runs(cli, tmp_path):
    done = cli("sweep", EXAMPLE, "--jobs", 2, "--out", tmp_path / "out")
    assert done.out.startswith("5 jobs: 5 done\n"), done.err
    assert len(list((tmp_path / "out" / "jobs").glob("*/record-*.json"))) == 10
    log = tmp_path / "out" / "logs" / "resnet_nano__critters__seed0.log"
    assert log.read_text().startswith("# attempt 1: wsolbench run ")


@pytest.mark.slow
def test_a_job_fails_in_its_own_words(cli, write, tmp_path):
    out = tmp_path / "out"
    done = cli("sweep", write(backbones={"name": "resnet_nano", "weights": "none.pth"}), "--out", out)
    assert (done.code, done.out) == (2, "")
    assert "error: 2 of 2 jobs failed" in done.err
    assert "\n  resnet_nano__folder__seed0: weights file none.pth does not exist" in done.err
    assert not list((out / "jobs").iterdir())
