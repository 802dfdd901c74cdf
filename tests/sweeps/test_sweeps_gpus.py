"""GPUs of this machine: no two jobs see the same one, unless a job takes a part of it."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from wsolbench.errors import UsageError
from wsolbench.sweeps.engines import Local
from wsolbench.sweeps.gpus import Gpus, gpus_of_machine
from wsolbench.sweeps.launch import Start


def test_a_job_has_its_gpus_for_itself():
    gpus = Gpus(["0", "1", "GPU-a"], 1)
    assert [gpus.take(), gpus.take(), gpus.take()] == [["0"], ["1"], ["GPU-a"]]
    assert not gpus.has_room
    gpus.give_back(["1"])
    assert gpus.has_room
    assert gpus.take() == ["1"]


@pytest.mark.parametrize(
    ("of_a_job", "taken"),
    [(2, [["0", "1"], ["2", "3"]]), (3, [["0", "1", "2"]]), (0.5, [[name] for name in "01230123"])],
)
def test_gpus_are_dealt_as_far_as_they_go(of_a_job, taken):
    gpus = Gpus("0123", of_a_job)
    given = []
    while gpus.has_room:
        given.append(gpus.take())
    assert given == taken


def test_fewer_gpus_than_a_job_takes_are_refused():
    with pytest.raises(UsageError, match="a job takes 2 GPUs, and there are 1 here"):
        Gpus(["0"], 2)


def test_the_environment_says_which_gpus_there_are(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert gpus_of_machine() == ["4", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus_of_machine() == []


def test_the_processes_of_jobs_see_their_gpus(monkeypatch):
    seen, codes = {}, {"a": None, "b": None, "c": None}

    @contextmanager
    def started(how):
        seen[how.request] = dict(how.variables)
        yield SimpleNamespace(poll=lambda: codes[how.request], terminate=lambda: None)

    monkeypatch.setattr("wsolbench.sweeps.engines.start", started)
    starts = {name: Start(name, Path(), (), {"OMP_NUM_THREADS": "2"}) for name in codes}
    with Local(3, Gpus(["4", "7"], 1)) as engine:
        for name in ("a", "b"):
            assert engine.has_room
            engine.start(name, starts[name])
        assert not engine.has_room
        codes["b"] = 0
        assert [each.name for each in engine.ended()] == ["b"]
        assert engine.has_room
        engine.start("c", starts["c"])
    assert {name: variables["CUDA_VISIBLE_DEVICES"] for name, variables in seen.items()} == {
        "a": "4",
        "b": "7",
        "c": "7",
    }
    with Local(1) as engine:
        engine.start("a", starts["a"])
    assert seen["a"] == {"OMP_NUM_THREADS": "2"}
