"""What reaches stdout and stderr: no hidden characters, no forged lines, and one line where stdout fails."""

import errno
import gc
import io
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import HOSTILE

from wsolbench.cli.app import main
from wsolbench.cli.output import message_stream, result_stream, tell
from wsolbench.console import ConsoleReporter
from wsolbench.errors import OutputError
from wsolbench.host.output import plugin_output
from wsolbench.records.verify import read_verified


class Full(io.StringIO):
    """A stream on a disk without space."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, _text):
        raise OSError(self.number, "No space left on device")


COMMANDS = (["list"], ["plugins"], ["schema"], ["--help"], ["--version"], ["describe", "cam"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(("stream", "why"), [(Full(errno.ENOSPC), "No space left"), (None, "stdout is closed")])
def test_a_stdout_that_cannot_be_written_is_one_line(command, stream, why, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout", stream)
    with pytest.raises(SystemExit) as ended:
        main(command)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: stdout ")
    assert why in said
    assert said.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("stdout", [">&-", "> /dev/full"])
def test_a_process_without_stdout_ends_with_one_line(stdout):
    line = f"{sys.executable} -m wsolbench list {stdout}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: stdout ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_reader_that_leaves_ends_a_command_silently():
    line = f"{sys.executable} -m wsolbench list | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def leaving_reader(arguments, monkeypatch, capsys):
    """Carry a command out whose results nobody reads; return its exit code and what it says."""
    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", Full(errno.EPIPE))
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize("command", ["list", "cache list", "leaderboard table cub --folder leaderboard"])
def test_a_reader_that_leaves_is_told_from_errors_by_the_exit_code_of_sigpipe(command, monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert leaving_reader(command.split(), monkeypatch, capsys) == (141, "")


@pytest.mark.usefixtures("compiled_sweep")
def test_a_run_whose_results_nobody_reads_is_complete(monkeypatch, capsys, tmp_path, folder_set):
    network = ["--backbone", "wsolbench:replknet_nano", "--weights", "random", "--method", "cam", "--no-gallery"]
    run = ["run", *network, *folder_set(val=2, test=2).options, "--interval", "0.5", "--out", tmp_path / "out"]
    code, said = leaving_reader(run, monkeypatch, capsys)
    assert code == 141
    assert all(line.startswith("[") for line in said.splitlines())
    assert read_verified(tmp_path / "out" / "record-cam.json")


def test_a_library_that_kept_a_stream_may_ask_what_it_is_when_the_stream_below_is_closed(tmp_path):
    """Libraries that colour texts do so at the end of the process, in which a runner of tests has closed its own."""
    below = (tmp_path / "stream").open("w", encoding="utf-8")
    with message_stream(below), result_stream(below):
        kept = [sys.stdout, sys.stderr]
        with plugin_output():
            kept += [sys.stdout, sys.stderr]
    assert [stream.closed for stream in kept] == [False] * 4
    below.close()
    assert [stream.closed for stream in kept] == [True] * 4
    assert [stream.isatty() for stream in kept] == [False] * 4


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
def test_a_stderr_that_cannot_be_written_changes_no_exit_code_and_ends_no_work(number, monkeypatch):
    monkeypatch.setattr("sys.stderr", Full(number))
    with pytest.raises(SystemExit) as ended:
        main(["describe", "nothing-like-it"])
    assert ended.value.code == 2
    with message_stream(Full(number)):
        reporter = ConsoleReporter()
        reporter.warn("lost")
        with reporter.phase("test", 10, "maps") as advance:
            advance(1)
        print("of a plugin", file=sys.stderr)
    assert "test" in reporter.seconds


@pytest.mark.slow
def test_a_run_whose_messages_nobody_reads_is_complete(tmp_path):
    run = f"{sys.executable} -m wsolbench run --backbone resnet_nano --method cam --limit 2 --out {tmp_path}/run"
    line = f"({run}; echo $? > {tmp_path}/code) 2>&1 | head -1"
    subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    assert (tmp_path / "run" / "record-cam.json").is_file()
    assert (tmp_path / "code").read_text() == "141\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_messages_show_every_character_and_forge_no_line(text, capsys):
    tell(f"error: {text}")
    reporter = ConsoleReporter()
    reporter.warn(text)
    reporter.say(f"said {text}")
    lines = [line for line in capsys.readouterr().err.split("\n") if not line.startswith("  ")]
    assert [line.split(" ")[0] for line in lines] == ["error:", "warning:", "said", ""]
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("text", HOSTILE)
def test_results_show_every_character(text):
    stream = io.StringIO()
    with result_stream(stream):
        print(text)
    assert all(line.isprintable() for line in stream.getvalue().replace("\t", "").split("\n"))


def test_results_that_cannot_be_written_are_an_error_at_once():
    with pytest.raises(OutputError, match="stdout cannot be written"), result_stream(Full(errno.EIO)):
        print("x")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["weights {0}", "run --backbone resnet_nano --method cam --weights {0}"])
def test_a_damaged_weights_file_is_told_without_the_library_that_computes(tmp_path, command):
    (tmp_path / "w.pth").write_bytes(b"PK damaged")
    arguments = command.format(tmp_path / "w.pth").split()
    code = f"import sys; from wsolbench.cli.app import _run; print(_run({arguments!r}), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert "is damaged" in done.stderr


def test_what_a_caller_left_out_of_the_garbage_collection_stays_out(cli):
    gc.freeze()
    assert cli("list", "methods").code == 0
    assert gc.get_freeze_count() > 0
