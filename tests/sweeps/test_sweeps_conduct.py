"""Jobs, retries and what is finished: with an engine that writes records by hand, and fails as it is told."""

from pathlib import Path

import pytest
from toy_records import PRECOMPUTED, make_record

from wsolbench.console import ConsoleReporter
from wsolbench.errors import OutputError, UsageError, WsolbenchError
from wsolbench.progress import Reporter
from wsolbench.records import write_record
from wsolbench.sweeps.conduct import conduct, refuse_failures, states_of
from wsolbench.sweeps.config import SweepConfig
from wsolbench.sweeps.engines import Ended, Engine
from wsolbench.sweeps.folder import Plan, SweepFolder
from wsolbench.sweeps.jobs import plan_jobs
from wsolbench.sweeps.state import JobState, write_state
from wsolbench.sweeps.table import as_text, following

GRID = {"backbones": ["a", "b"], "methods": ["cam", "pc1"], "seeds": [0, 1]}
NAMES = ["a__critters__seed0", "a__critters__seed1", "b__critters__seed0", "b__critters__seed1"]


def planned(**changes):
    config = SweepConfig.of({**GRID, **changes}, "S.yaml")
    return Plan.of(config, plan_jobs(config, "S.yaml"), "S.yaml", b"", ())


@pytest.fixture
def folder(tmp_path):
    place = SweepFolder(tmp_path / "sweep")
    place.make()
    return place


def finish(config):
    """Write the records that a run writes."""
    for method in config.methods:
        info = PRECOMPUTED.model_copy(update={"name": method})
        record = make_record(method=info, config=config.model_dump(mode="json"))
        write_record(record, config.out, f"record-{method}")


class Fake(Engine):
    """Carries jobs out at once; the first attempts of some fail, or are lost.

    Args:
        failing: Job -> how many of its attempts fail.
        lost: Job -> how many of its attempts lose their machine first.
        room: How many jobs run at once.
    """

    def __init__(self, failing=(), lost=(), room=1):
        self.failing, self.lost, self.room = dict(failing), dict(lost), room
        self.started, self.waiting, self.stopped = [], [], False

    @property
    def has_room(self):
        return len(self.waiting) < self.room

    def start(self, name, how):
        assert self.has_room
        self.started.append(name)
        self.waiting.append((name, how.request))

    def ended(self):
        ended, self.waiting = [self.end(*each) for each in self.waiting], []
        return ended

    def end(self, name, request):
        for kind, is_lost in (self.lost, True), (self.failing, False):
            if kind.get(name, 0):
                kind[name] -= 1
                return Ended(name, "lost" if is_lost else "exit code 2", is_lost)
        finish(request.config)
        return Ended(name)

    def stop(self):
        self.stopped = True


def run(folder, plan, engine, show=lambda _: None):
    return {name: state.stage for name, state in conduct(folder, plan, engine, show).items()}


def test_every_job_is_done_once_and_nothing_is_left_to_do_then(folder):
    engine = Fake(room=2)
    assert run(folder, planned(), engine) == dict.fromkeys(NAMES, "done")
    assert engine.started == NAMES
    again = Fake()
    assert run(folder, planned(), again) == dict.fromkeys(NAMES, "done")
    assert again.started == []


def test_what_is_finished_counts_whatever_states_say(folder):
    plan = planned()
    for job in plan.jobs[:2]:
        finish(job.into(folder.run(job)))
        write_state(folder.state_file(job), JobState(stage="failed", line="no"))
    write_state(folder.state_file(plan.jobs[2]), JobState(stage="done"))
    assert [state.stage for state in states_of(folder, plan.jobs).values()] == ["done", "done", "waiting", "waiting"]
    engine = Fake()
    run(folder, plan, engine)
    assert engine.started == NAMES[2:]


@pytest.mark.parametrize("harm", ["record", "outcomes", "half"])
def test_what_is_not_whole_is_done_again(folder, harm):
    plan = planned()
    run(folder, plan, Fake())
    place = folder.run(plan.jobs[1])
    if harm == "half":
        (place / "record-cam.json").write_bytes((place / "record-cam.json").read_bytes()[:100])
    else:
        (place / {"record": "record-pc1.json", "outcomes": "record-cam.outcomes.json.gz"}[harm]).unlink()
    engine = Fake()
    assert run(folder, plan, engine)[NAMES[1]] == "done"
    assert engine.started == [NAMES[1]]


def test_failed_jobs_are_tried_again_as_often_as_said(folder):
    engine = Fake(failing={NAMES[0]: 2, NAMES[2]: 3})
    states = run(folder, planned(retries=2), engine)
    assert states == {**dict.fromkeys(NAMES, "done"), NAMES[2]: "failed"}
    assert [engine.started.count(name) for name in NAMES] == [3, 1, 3, 1]
    with pytest.raises(WsolbenchError, match=rf"1 of 4 jobs failed; .*\n  {NAMES[2]}: exit code 2$"):
        refuse_failures(states_of(folder, planned().jobs))


def test_a_later_sweep_tries_failed_jobs_anew(folder):
    run(folder, planned(), Fake(failing={NAMES[0]: 1}))
    engine = Fake()
    assert run(folder, planned(), engine)[NAMES[0]] == "done"
    assert engine.started == [NAMES[0]]
    refuse_failures(states_of(folder, planned().jobs))


def test_lost_machines_are_no_failures_but_have_an_end(folder):
    engine = Fake(lost={NAMES[0]: 5, NAMES[1]: 100})
    assert run(folder, planned(), engine) == {**dict.fromkeys(NAMES, "done"), NAMES[1]: "failed"}
    assert [engine.started.count(name) for name in NAMES[:2]] == [6, 11]


def test_each_failure_is_said_however_soon_it_comes(folder, capsys):
    class Later(Fake):
        asked = 0

        def ended(self):
            self.asked += 1
            return [] if self.asked % 2 else super().ended()

    with following(ConsoleReporter(), quiet=False) as show:
        conduct(folder, planned(retries=1), Later(failing={NAMES[0]: 1}, lost={NAMES[1]: 2}, room=4), show)
    said = [line for line in capsys.readouterr().err.splitlines() if "failed" in line]
    assert said == [
        f"[{NAMES[0]}] failed, to be tried again: exit code 2",
        f"[{NAMES[1]}] failed, to be tried again: lost",
        f"[{NAMES[1]}] failed, to be tried again: lost",
    ]


def test_a_job_says_itself_why_it_failed(folder):
    plan = planned()

    class Telling(Fake):
        def end(self, name, request):
            write_state(request.state, JobState(stage="failed", attempt=request.attempt, line="no weights"))
            return Ended(name, "exit code 2")

    assert {state.line for state in conduct(folder, plan, Telling(), lambda _: None).values()} == {"no weights"}


def test_a_job_whose_process_cannot_be_started_failed(folder):
    class Full(Fake):
        def start(self, *_):
            raise OSError(12, "Cannot allocate memory")

    states = conduct(folder, planned(), Full(), lambda _: None)
    assert {state.line for state in states.values()} == {"its process cannot be started (Cannot allocate memory)"}


def test_an_interrupt_stops_all_jobs_and_leaves_them_waiting(folder):
    class Slow(Fake):
        def ended(self):
            return []

    moments = iter([False, True])  # the second time, jobs were started

    def show(_states):
        if next(moments, False):
            raise KeyboardInterrupt

    engine = Slow(room=2)
    with pytest.raises(KeyboardInterrupt):
        conduct(folder, planned(), engine, show)
    assert engine.stopped
    assert {state.stage for state in states_of(folder, planned().jobs, busy=True).values()} == {"waiting"}


def test_states_of_a_sweep_that_was_killed_are_not_running(folder):
    plan = planned()
    running = JobState(stage="running", attempt=1, phase="test", done=5, total=10, rate=2.5, host="here")
    write_state(folder.state_file(plan.jobs[0]), running)
    folder.state_file(plan.jobs[1]).write_text("{half")
    first = as_text(states_of(folder, plan.jobs, busy=True)).splitlines()
    assert first[0] == "a__critters__seed0  running  test 5 of 10, 2.5 images/s, on here"
    assert first[-1] == "4 jobs: 1 running, 3 waiting; 2.5 images/s"
    assert as_text(states_of(folder, plan.jobs)).splitlines()[-1] == "4 jobs: 4 waiting"


# ----------------------------------------------------------------------------------------------------------- the folder


def test_a_plan_is_the_same_after_it_was_stored(folder):
    plan = planned(retries=3, cpus=2, gpus=0.5, settings={"limit": [4, 8], "tau": [0.2, "otsu"]})
    folder.write_plan(plan)
    assert folder.read_plan() == plan


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version": 1}', b"\xff"])
def test_a_damaged_plan_is_told(folder, content):
    folder.plan_file.write_bytes(content)
    with pytest.raises(WsolbenchError, match=r"sweep\.json: damaged, or of another version"):
        folder.read_plan()


def test_names_in_a_plan_lead_nowhere_else(folder):
    folder.write_plan(planned())
    folder.plan_file.write_text(folder.plan_file.read_text().replace(NAMES[0], "../../elsewhere"))
    with pytest.raises(WsolbenchError, match="no name of a file"):
        folder.read_plan()


def test_records_of_other_runs_are_left_alone(folder):
    run(folder, planned(), Fake())
    folder.check_strangers(planned(seeds=[0, 1, 2]))
    for other in {"seeds": [0]}, {"settings": {"limit": 4}}:
        with pytest.raises(OutputError, match=r"holds records of a run that S\.yaml does not have as it is now"):
            folder.check_strangers(planned(**other))


def test_one_sweep_at_a_time_uses_a_folder(folder):
    assert not folder.is_busy()
    with folder.locked(Reporter()):
        assert folder.is_busy()
        with pytest.raises(UsageError, match="another sweep is at work in this folder"), folder.locked(Reporter()):
            pass
    assert not folder.is_busy()


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photo.png").touch()
    with pytest.raises(OutputError, match="the folder is not empty, and not that of a sweep"):
        SweepFolder(tmp_path).make()
    with pytest.raises(OutputError, match="this is a file"):
        SweepFolder(tmp_path / "photo.png").make()
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        SweepFolder(tmp_path / "file" / "sweep").make()
    assert Path(tmp_path / "file").is_file()
