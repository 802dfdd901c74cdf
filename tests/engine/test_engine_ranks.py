"""One run in several processes: every outcome is that of one process, and one line tells why all have ended."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsolbench.engine.ranks import Ranks
from wsolbench.errors import EndedTogetherError

NETWORK = ["-b", "wsolbench:replknet_nano", "-w", "random", "--batch-size", "4", "--interval", "0.1", "--no-gallery"]

KILLED = """
import os, signal
from wsolbench.api import MethodSpec, hookimpl

class Killed:
    def __call__(self, features, context):
        if os.environ.get("RANK") == "{rank}":
            os.kill(os.getpid(), signal.SIGKILL)
        return features.mean(dim=1)

@hookimpl
def wsolbench_methods():
    return [MethodSpec(name="killed", build=Killed, source="a test")]
"""

BUGGY = """
import sys
from wsolbench.cli.app import main
from wsolbench.engine import run

class Result:
    def __reduce__(self):
        raise RuntimeError("a bug of this process")  # while results are exchanged

def fail():
    raise ValueError("a bug of this process")

def with_a_bug(config, registry, reporter, *, command, ranks):
    place, rank = sys.argv[-1].removeprefix("bug=").split(",")
    work = {"work": fail, "exchange": Result}[place]
    return ranks.gathered_everywhere(work if ranks.number == int(rank) else list)

run.run = with_a_bug
main(sys.argv[1:-1])
"""


@given(images=st.integers(0, 60), batch_size=st.integers(1, 9), count=st.integers(1, 5))
def test_whole_batches_are_dealt_each_image_once(images, batch_size, count):
    shares = [Ranks(number, count).share(images, batch_size) for number in range(count)]
    assert sorted(index for share in shares for index in share) == list(range(images))
    for share in shares:
        batches = [share[start : start + batch_size] for start in range(0, len(share), batch_size)]
        assert all(batch[0] % batch_size == 0 and batch[-1] - batch[0] == len(batch) - 1 for batch in batches)


def test_one_process_does_everything_itself():
    alone = Ranks()
    assert alone.together(lambda: 1) == 1
    assert alone.gathered(lambda: 2) == alone.gathered_everywhere(lambda: 2) == [2]
    assert alone.from_first(lambda: []) == []


def test_another_process_that_has_ended_is_told_apart_from_a_bug_of_this_one():
    for message in ("Connection closed by peer [127.0.0.1]:1", "Read error: Connection reset by peer", "Broken pipe"):
        with pytest.raises(EndedTogetherError), Ranks(1, 2).noticing_deaths():
            raise RuntimeError(f"[gloo/transport/tcp/pair.cc:545] {message}")
    with pytest.raises(RuntimeError, match="of size 3") as bug, Ranks(1, 2).noticing_deaths():
        raise RuntimeError("shape '[2]' is invalid for input of size 3")
    assert not isinstance(bug.value, EndedTogetherError)


@pytest.mark.parametrize("devices", ["0", "two", "-1", "²", "1.5"])
def test_numbers_of_processes_are_checked(cli, devices):
    options = ["-m", "cam", f"--devices={devices}", "--limit", 4]
    assert cli("run", *NETWORK, *options).refused("--devices", "from 1 on, or auto")


def run(*arguments, launcher=(), check=True):
    command = [*(launcher or [sys.executable, "-m"]), "wsolbench", "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=600)


def torchrun(count):
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m"]


def outcomes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.outcomes.json.gz"))}


def bare(folder):
    summaries = {}
    for path in sorted(folder.glob("record-*.json")):
        summary = json.loads(path.read_text())
        del summary["seconds"], summary["summary_sha256"], summary["config"]["out"]
        del summary["environment"]["command"], summary["environment"]["created"]
        summaries[path.name] = summary
    return summaries


@pytest.mark.slow
@pytest.mark.parametrize("data", ["critters", "tiny-imagenet-40"])
def test_one_two_and_four_processes_have_equal_outcomes(tmp_path, data, request):
    """A fitted method, one of gradients, one with statistics; the numbers of images are no multiple of anything."""
    place = [] if data == "critters" else ["--data-root", request.getfixturevalue("shared_data") / data]
    methods = [part for name in ("cam", "ddt", "grad-cam", "pc1") for part in ("-m", name)]
    options = [*NETWORK, "-d", data, *place, *methods, "--limit", 45, "--no-cache"]
    run(*options, "--out", tmp_path / "alone")
    assert len(outcomes(tmp_path / "alone")) == 4
    for count in (1, 2, 4):
        run(*options, "--out", tmp_path / f"of-{count}", launcher=torchrun(count))
        assert outcomes(tmp_path / f"of-{count}") == outcomes(tmp_path / "alone")
        assert bare(tmp_path / f"of-{count}") == bare(tmp_path / "alone")


@pytest.mark.slow
def test_our_own_launcher_prints_the_table_once_and_continues_from_the_cache(tmp_path):
    options = [*NETWORK, "-m", "cam", "--limit", 45]
    alone = run(*options, "--out", tmp_path / "alone", "--no-cache")
    two = run(*options, "--out", tmp_path / "two", "--devices", 2)
    assert two.stdout.replace(str(tmp_path / "two"), str(tmp_path / "alone")) == alone.stdout
    assert outcomes(tmp_path / "two") == outcomes(tmp_path / "alone")
    again = run(*options, "--out", tmp_path / "again")
    assert "90 maps from the cache" in again.stderr


@pytest.mark.slow
def test_an_error_of_any_process_is_one_line(folder_set, tmp_path):
    data = folder_set(val=5, test=12)
    (data.images / data.ids()[5]).write_bytes(b"no image")  # in the second batch, which is the second process's
    done = run(*NETWORK, *data.options, "-m", "cam", "--devices", 2, "--out", tmp_path / "out", check=False)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert (done.returncode, done.stdout) == (2, "")
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert data.ids()[5] in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("place", "rank"), [("work", 1), ("exchange", 1), ("exchange", 0)])
def test_a_bug_of_any_process_shows_its_traceback_once_and_ends_all(tmp_path, place, rank):
    (tmp_path / "buggy.py").write_text(BUGGY)
    command = [*torchrun(2)[:-1], tmp_path / "buggy.py", "run", *NETWORK, "-m", "cam", "--out", tmp_path / "out"]
    done = subprocess.run(
        [*map(str, command), f"bug={place},{rank}"], capture_output=True, text=True, check=False, timeout=120
    )
    told = [line for line in done.stderr.splitlines() if line.startswith(("[rank", "error", "ValueError", "Runtime"))]
    kind = {"work": "ValueError", "exchange": "RuntimeError"}[place]
    assert (done.returncode, done.stdout) == (1, "")
    assert told[0] == f"[rank{rank}]: Traceback (most recent call last):"
    assert told[-1] == f"[rank{rank}]: {kind}: a bug of this process"
    assert sum("Traceback" in line for line in told) == 1
    assert all(line.startswith(f"[rank{rank}]") for line in told)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all_with_one_line(tmp_path, rank):
    plugin = tmp_path / "killed.py"
    plugin.write_text(KILLED.format(rank=rank))
    options = [*NETWORK, "--limit", 20, "-m", "killed", "--plugin", plugin, "--out", tmp_path / "out"]
    done = run(*options, "--devices", 2, check=False)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert (done.returncode, done.stdout) == (2, "")
    assert lines == [f"error: process {rank} of 2 was ended by SIGKILL, and the run with it; the same command goes on"]
    assert not (tmp_path / "out").exists()
    run(*options)  # in one process, which nobody kills
    assert list((tmp_path / "out").glob("record-*"))
