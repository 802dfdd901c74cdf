"""What a leaderboard does to files that are not its own, to records that are wrong, and to other commands."""

import errno
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from boards import without_pictures
from toy_networks import trained_record

from wsolbench import locks
from wsolbench.errors import DataError, OutputError
from wsolbench.leaderboard import add, build, check
from wsolbench.leaderboard import lock as locking
from wsolbench.leaderboard.output import mark_of
from wsolbench.progress import Reporter
from wsolbench.records import read_record, write_record
from wsolbench.records.plain import sealed


def write(folder, stem="record", name="toy", shift=0, **changes):
    """Write a record of a trained network, and return its file."""
    return write_record(trained_record(name, shift=shift, **changes), folder, stem)


@pytest.fixture(scope="module", autouse=True)
def _figures_without_pictures():
    yield from without_pictures()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A leaderboard of two networks."""
    folder = tmp_path_factory.mktemp("built")
    board = folder / "board"
    add(board, [write(folder, name, name, shift) for shift, name in enumerate(("one", "two"))])
    build(board)
    return board


@pytest.fixture
def board(built, tmp_path):
    """A copy of it to spoil."""
    return shutil.copytree(built, tmp_path / "board")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def records_of(board):
    return sorted((board / "records").rglob("*.json"))


# --------------------------------------------------------------------------------------------------- files of the user


def test_files_of_the_user_stay(board):
    mine = ["paper.tex", "figures/diagram.svg", "figures/photo.png", "figures/birds-gallery.txt", "notes.md"]
    for name in mine:
        (board / name).write_text("my only copy")
    assert check(board) == []
    build(board)
    assert all((board / name).read_text() == "my only copy" for name in mine)
    assert check(board) == []


@pytest.mark.parametrize("is_edited", [False, True])
@pytest.mark.parametrize(
    "name", ["README.md", "leaderboard.csv", "leaderboard.json", "birds.tex", "figures/birds-size.svg"]
)
def test_a_file_that_no_build_wrote_or_that_was_changed_since_is_not_replaced(board, cli, name, is_edited):
    built = (board / name).read_text() if is_edited else ""
    (board / name).write_text(f"{built}my only copy\n")
    before = contents(board)
    done = cli("leaderboard", "build", "--folder", board)
    assert done.refused(f"{board / name}", "not written by 'wsolbench leaderboard build', or changed", "; move ")
    assert contents(board) == before


def test_figures_that_no_build_wrote_are_not_replaced(board):
    for name in ("birds-size.png", "birds-curves.svg"):
        (board / "figures" / name).write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"birds-size.png.* were not written by .* move them"):
        build(board)


def test_an_empty_file_is_replaced_and_without_a_list_what_would_be_written_anyway(board):
    before = contents(board)
    (board / "leaderboard.csv").write_text("")
    (board / "leaderboard.json").unlink()
    build(board)
    assert contents(board) == before
    (board / "leaderboard.json").unlink()
    (board / "README.md").write_text((board / "README.md").read_text() + "edited\n")
    with pytest.raises(OutputError, match=r"README\.md was not written by .* or delete it to have it built again"):
        build(board)
    (board / "README.md").unlink()
    build(board)
    assert contents(board) == before


@pytest.mark.parametrize("after", [1, 3])
def test_a_build_that_was_killed_between_two_files_is_repeated(board, tmp_path, monkeypatch, after):
    add(board, [write(tmp_path, name="three", shift=3)])
    replaced, real = [], Path.replace

    def replace(path, target):
        replaced.append(target)
        if len(replaced) > after:
            raise KeyboardInterrupt
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        build(board)
    monkeypatch.undo()
    build(board)
    assert check(board) == []


def test_what_the_records_do_not_give_any_more_is_removed_and_named(board, tmp_path, cli):
    other = write(tmp_path, dataset="fish")
    (path,) = add(board, [other])
    build(board)
    stale = {board / "fish.tex", *(board / "figures").glob("fish-*")}
    assert len(stale) == 5
    shutil.rmtree(path.parent)
    assert {f"{file} belongs to no table" for file in stale} < set(check(board))
    changed = board / "fish.tex"
    changed.write_text(changed.read_text() + "% edited by hand\n")
    done = cli("leaderboard", "build", "--folder", board)
    assert done.code == 0
    gone = {f"removed {file}, which no record produces any more" for file in stale - {changed}}
    kept = f"kept {changed}, which no record produces any more: it was changed since it was built"
    assert set(done.err.splitlines()) == {kept, *gone}
    assert [file for file in stale if file.exists()] == [changed]
    assert check(board) == []


def test_a_forged_list_of_files_removes_none_outside(board, tmp_path):
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("mine")
    content = json.loads((board / "leaderboard.json").read_text())
    for name in ("../thesis.tex", str(thesis), "figures/../../thesis.tex"):
        content["files"][name] = mark_of(b"mine")
    (board / "leaderboard.json").write_text(json.dumps(sealed(content)))
    build(board)
    assert thesis.read_text() == "mine"


@pytest.mark.parametrize("fails_at", ["figures", "disk"])
def test_a_build_that_fails_changes_nothing(board, monkeypatch, fails_at):
    records_of(board)[0].unlink()
    before = contents(board)
    if fails_at == "figures":
        monkeypatch.setattr("wsolbench.leaderboard.drawing.draw_board", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(board)
    else:
        fill_disk(monkeypatch)
        with pytest.raises(OutputError, match="No space left"):
            build(board)
    assert contents(board) == before


def fill_disk(monkeypatch, after=2):
    """Let the disk be full after so many files."""
    written, real = [], Path.write_bytes

    def write_bytes(path, content):
        written.append(path)
        if len(written) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)


# ------------------------------------------------------------------------------------------- records that are not right


def spoil(path, change=lambda record: record["metrics"].update(max_box_acc=99.9)):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_a_wrong_record_is_left_out_and_named_and_the_rest_is_built(board, tmp_path, cli):
    wrong, good = records_of(board)
    spoil(wrong)
    done = cli("leaderboard", "build", "--folder", board)
    *removed, error = done.err.splitlines()
    assert all(line.startswith("removed ") for line in removed)  # figures that one network does not have
    assert (
        done.code,
        error.startswith(f"error: 1 record is left out; all others are in the leaderboard: {wrong}"),
    ) == (2, True)
    page = (board / "README.md").read_text()
    assert "**1 record is left out**" in page
    rows = json.loads((board / "leaderboard.json").read_text())["tables"][0]["rows"]
    assert [row["record"] for row in rows] == [good.relative_to(board / "records").as_posix()]
    again = write(tmp_path, "again", "one")
    with pytest.raises(DataError, match="remove it, then add the new one again"):
        add(board, [again])
    wrong.unlink()
    add(board, [again])
    assert len(records_of(board)) == 2
    build(board)
    assert "left out" not in (board / "README.md").read_text()


def test_all_wrong_records_are_named_at_once(board, cli):
    for path in records_of(board):
        spoil(path)
    for command in ("check", "build"):
        done = cli("leaderboard", command, "--folder", board)
        assert done.refused("2 records are wrong", *map(str, records_of(board)))
        assert len(done.err.splitlines()) == 3


def deny(board, monkeypatch):
    folder, scandir = records_of(board)[0].parent, os.scandir

    def refuse(path):
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    return folder


def make_pipe(board, _):
    path = records_of(board)[0].with_name("pipe.json")
    os.mkfifo(path)
    return path


def link_to(target, name):
    def make(board, _):
        path = board / "records" / name
        path.symlink_to(target)
        return path

    return make


UNREADABLE = {
    "permission": deny,
    "pipe": make_pipe,
    "dangling record": link_to("nowhere", "x.json"),
    "dangling folder": link_to("nowhere", "fish"),
    "folder elsewhere": link_to("..", "fish"),
    "loop": link_to("loop.json", "loop.json"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read_never_makes_the_board_emptier(board, cli, monkeypatch, kind):
    before = contents(board)
    named = UNREADABLE[kind](board, monkeypatch)
    for command in ("build", "check"):
        assert cli("leaderboard", command, "--folder", board).refused(str(named), "cannot be read")
    monkeypatch.undo()
    assert contents(board) == before


# -------------------------------------------------------------------------------------------------------------- adding


@pytest.fixture
def odd(tmp_path):
    """Paths of what is no record, each with what is said."""
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "empty.json").touch()
    (folder / "folder.json").mkdir()
    (folder / "loop.json").symlink_to(folder / "loop.json")
    (folder / "dangling.json").symlink_to(folder / "nowhere")
    (folder / "text.json").write_text("[")
    os.mkfifo(folder / "pipe.json")
    return {
        folder / "missing.json": "cannot be read",
        folder / "*" / "record.json": "no file has a name of this pattern",
        folder: "it is a folder); name its records",
        folder / "folder.json": "it is a folder); name its records",
        folder / "loop.json": "cannot be read",
        folder / "dangling.json": "cannot be read",
        folder / "pipe.json": "cannot be read",
        folder / "empty.json": "not a result record",
        folder / "text.json": "not a result record",
        Path("/dev/zero"): "cannot be read",
    }


def test_what_is_no_record_is_one_line_and_nothing_is_added(tmp_path, cli, odd):
    board, good = tmp_path / "new", write(tmp_path)
    for path, why in odd.items():
        done = cli("leaderboard", "add", good, path, "--folder", board)
        assert done.refused(f"{path}: ", why, "none is added")
        assert done.err.count("\n") == 1
    done = cli("leaderboard", "add", good, *odd, "--folder", board)
    assert done.refused(f"{len(odd)} of {len(odd) + 1} files cannot be added", *map(str, odd))
    assert not board.exists()


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/tmp/x", "a\nb", "nul\0", "x" * 10**6, "=1", "a b"])
def test_the_name_of_a_data_set_is_that_of_a_folder_inside(tmp_path, name):
    path = write(tmp_path)
    spoil(path, lambda record: record["dataset"].update(name=name))
    if name != "=1":  # odd, but a name
        with pytest.raises(DataError, match=r"record\.json"):
            add(tmp_path / "new", [path])
        assert not (tmp_path / "new").exists()


def test_a_full_disk_adds_none_and_leaves_no_draft(board, tmp_path, monkeypatch):
    files = [write(tmp_path, f"record-{name}", name) for name in ("three", "four")]
    before = contents(board)
    fill_disk(monkeypatch, after=3)
    with pytest.raises(OutputError, match="No space left"):
        add(board, files)
    assert contents(board) == before


def test_a_name_longer_than_any_file_name_is_shortened(tmp_path):
    (path,) = add(tmp_path / "board", [write(tmp_path, name="n" * 200)])
    assert read_record(path).backbone.name == "n" * 200


# ---------------------------------------------------------------------------------------------------- several commands


def test_records_that_two_add_at_once_are_both_there(tmp_path):
    """The names of both files are the same, the experiments are not."""
    files = [write(tmp_path, f"r{shift}", shift=shift, weights=shift) for shift in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: add(tmp_path / "board", [path]), files))
    assert len(records_of(tmp_path / "board")) == 4


class Told(Reporter):
    """Keeps what is said."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def say(self, message):
        self.lines.append(message)

    warn = say


def test_a_command_waits_for_another_one_and_says_so(tmp_path):
    first, second = Told(), Told()
    with ThreadPoolExecutor(1) as pool:
        with locking.locked(tmp_path, first):
            waiting = pool.submit(lambda: locking.locked(tmp_path, second).__enter__())
            while not second.lines:
                assert not waiting.done()
        waiting.result()
    assert first.lines == []
    assert second.lines == [f"waiting for another 'wsolbench leaderboard' of {tmp_path}"]
    with locking.locked(tmp_path, first, shared=True), locking.locked(tmp_path, first, shared=True):
        assert first.lines == []


def test_where_nothing_can_be_locked_a_warning_says_so(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    told = Told()
    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with locking.locked(tmp_path, told):
        pass
    (line,) = told.lines
    assert "cannot be locked here: let one command at a time change this leaderboard (No locks available)" in line


@contextmanager
def workers(count):
    """Yield a function that carries out one command in each of some processes, at the same time; all must succeed."""
    command = [sys.executable, "-c", WORK]
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
            for _ in range(count)
        ]

        def at_once(*commands):
            for process, words in zip(processes, commands, strict=False):
                process.stdin.write(json.dumps(list(map(str, words))) + "\n")
                process.stdin.flush()
            assert [process.stdout.readline() for process, _ in zip(processes, commands, strict=False)] == [
                "done\n" for _ in commands
            ]

        yield at_once
        assert [process.communicate() for process in processes] == [("", "")] * count


@pytest.mark.slow
def test_forty_pairs_of_processes_lose_no_record(tmp_path):
    """The names of both files are the same, the experiments are not; in the end two build while one adds."""
    files = [write(tmp_path, f"r{shift}", shift=shift, weights=shift) for shift in range(2)]
    with workers(3) as at_once:
        for number in range(40):
            board = tmp_path / f"board{number}"
            at_once(*((board, file) for file in files))
            assert len(records_of(board)) == 2
        at_once([board], [board], [board, files[0]])
    assert check(board) == []


WORK = """
import json, sys
from pathlib import Path
from wsolbench.leaderboard import add, build
for line in sys.stdin:
    board, *files = map(Path, json.loads(line))
    add(board, files) if files else build(board)
    print("done", flush=True)
"""
