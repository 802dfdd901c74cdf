"""Drafts of processes that were killed are removed by the next command, and no others."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from wsolbench import drafts, locks
from wsolbench.drafts import draft_folder
from wsolbench.files import atomic_folder

WORK = """
import sys, time
from pathlib import Path
from wsolbench.files import atomic_folder
with atomic_folder(Path(sys.argv[1])) as draft:
    (draft / "map.npy").touch()
    print(draft.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def working(tmp_path):
    """A process that writes to a folder, and the name of its draft."""
    with subprocess.Popen([sys.executable, "-c", WORK, tmp_path / "out"], stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def begin(folder):
    """Begin another result beside the drafts of a folder."""
    with atomic_folder(folder / "other"):
        pass


def test_the_draft_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(tmp_path, working):
    process, draft = working
    begin(tmp_path)
    assert names(tmp_path) == [draft, f"{draft}.lock", "other"]
    process.kill()
    process.wait()
    assert (tmp_path / draft / "map.npy").exists()
    (tmp_path / "other").rmdir()
    begin(tmp_path)
    assert names(tmp_path) == ["other"]


def test_a_stopped_process_keeps_its_draft(tmp_path, working):
    process, draft = working
    process.send_signal(signal.SIGSTOP)
    begin(tmp_path)
    assert (tmp_path / draft / "map.npy").exists()


def test_what_only_looks_like_a_draft_is_left_alone(tmp_path, monkeypatch):
    mark = drafts._mark()
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    contents = {"11111111": b"", "22222222": b"mine", "33333333": drafts._mark()}
    monkeypatch.undo()
    for token, content in contents.items():
        (tmp_path / f".o-draft-{token}").mkdir()
        (tmp_path / f".o-draft-{token}.lock").write_bytes(content)
    (tmp_path / ".o-draft-44444444").mkdir()
    (tmp_path / ".o-draft-55555555.lock").mkdir()
    (tmp_path / ".o-draft-66666666.lock").symlink_to(tmp_path / "target")
    (tmp_path / "target").write_bytes(mark)
    os.mkfifo(tmp_path / ".o-draft-77777777.lock")
    before = names(tmp_path)
    begin(tmp_path)
    assert names(tmp_path) == sorted([*before, "other"])


KILLED_AT_ANY_LINE = """
import os, shutil, sys
from pathlib import Path
from wsolbench import drafts
from wsolbench.files import atomic_folder

place, files = Path(sys.argv[1]), (drafts.__file__, shutil.__file__, atomic_folder.__wrapped__.__code__.co_filename)

def work(moment):
    def trace(frame, event, argument):
        nonlocal moment
        if event == "line" and frame.f_code.co_filename in files:
            moment -= 1
            if not moment:
                os._exit(9)
        return trace
    sys.settrace(trace)
    with atomic_folder(place / "out") as draft:
        (draft / "map.npy").touch()
    os._exit(0)

moment, code = 0, 9
while code == 9:
    moment += 1
    child = os.fork()
    if not child:
        work(moment)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    drafts.remove_abandoned(place)
    left = [path.name for path in place.iterdir()]
    assert left in ([], ["out"]), (moment, left)
    shutil.rmtree(place / "out", ignore_errors=True)
assert code == 0
print(moment)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_whatever_a_process_leaves_that_is_killed_at_any_moment_is_removed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_ANY_LINE, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60


def test_drafts_need_no_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with draft_folder(tmp_path / "out") as draft:
        draft.mkdir()
        with draft_folder(tmp_path / "other"):
            pass
        assert draft.exists()
    assert names(tmp_path) == []


def interrupted_at(moment, work):
    """Do some work, and raise KeyboardInterrupt at a line of it, ours or shutil's; say whether the line was reached."""
    left = moment

    def trace(frame, event, argument):  # noqa: ARG001
        nonlocal left
        if event == "line" and frame.f_code.co_filename in (drafts.__file__, shutil.__file__):
            left -= 1
            if not left:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except (KeyboardInterrupt, OSError):  # shutil closes a folder twice if it is interrupted right after the first time
        pass
    finally:
        sys.settrace(before)
    return left <= 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # folders that shutil had open
def test_a_signal_at_any_moment_leaves_nothing(tmp_path):
    def work():
        with draft_folder(tmp_path / "new" / "deep" / "out") as draft:
            draft.mkdir()
            (draft / "map.npy").touch()

    moment = 1
    while interrupted_at(moment, work):
        assert names(tmp_path) == [], moment
        moment += 1
    assert moment > 40
