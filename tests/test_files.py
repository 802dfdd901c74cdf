import hashlib
import os
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from wsolbench import files
from wsolbench.drafts import ElsewhereError
from wsolbench.errors import OutputError
from wsolbench.files import (
    atomic_folder,
    atomic_write,
    check_empty,
    check_parents,
    check_writable,
    fresh_folder,
    read_regular,
    sha256,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_when_the_work_has_succeeded(tmp_path):
    with atomic_folder(tmp_path / "a" / "out") as draft:
        (draft / "file").write_text("x")
        assert not (tmp_path / "a" / "out").exists()
        assert draft.parent == tmp_path / "a"
        assert draft.name.startswith(".out-draft-")
    assert (tmp_path / "a" / "out" / "file").read_text() == "x"
    assert names(tmp_path / "a") == ["out"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out") as draft:
        (draft / "file").touch()
    assert names(tmp_path / "out") == ["file"]


def test_other_users_may_read_the_folder(tmp_path):
    with atomic_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_a_failure(tmp_path, error):
    def work():
        with atomic_folder(tmp_path / "new" / "deep" / "out") as draft:
            (draft / "sub").mkdir()
            (draft / "sub" / "file").touch()
            raise error

    with pytest.raises(error):
        work()
    assert names(tmp_path) == []


def test_a_failure_leaves_what_was_there_before(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "earlier").touch()
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "runs" / "new" / "out"):
        raise RuntimeError
    assert names(tmp_path / "runs") == ["earlier"]


def test_an_existing_empty_folder_survives_a_failure(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "out"):
        raise RuntimeError
    assert names(tmp_path) == ["out"]


def test_a_link_to_an_empty_folder_is_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    with atomic_folder(tmp_path / "out") as draft:
        (draft / "file").touch()
    assert (tmp_path / "out").is_symlink()
    assert names(tmp_path / "disk") == ["file"]


@pytest.mark.parametrize("taken", ["full folder", "file", "dangling link"])
def test_results_get_a_free_name_where_theirs_was_taken_meanwhile(tmp_path, taken):
    out = tmp_path / "out"
    (tmp_path / "out-2").mkdir()

    def work():
        with atomic_folder(out) as draft:
            (draft / "mine").touch()
            if taken == "full folder":
                out.mkdir()
                (out / "theirs").touch()
            elif taken == "file":
                out.write_text("theirs")
            else:
                out.symlink_to(tmp_path / "none")

    with pytest.raises(ElsewhereError, match=r"--out .*/out: it was taken meanwhile; the results are in .*/out-3$"):
        work()
    assert names(tmp_path / "out-3") == ["mine"]
    assert names(tmp_path) == ["out", "out-2", "out-3"]
    if taken == "full folder":
        assert names(out) == ["theirs"]


def test_results_in_two_folders_are_both_kept(tmp_path):
    def work():
        with atomic_folder(tmp_path / "out") as draft, atomic_folder(tmp_path / "maps", "--maps") as maps:
            for folder, name in ((draft, "out"), (maps, "maps")):
                (folder / "mine").touch()
                (tmp_path / name).write_text("theirs")

    with pytest.raises(ElsewhereError, match=r"(?s)--out .*in .*/out-2\n  --maps .*in .*/maps-2$"):
        work()
    assert names(tmp_path) == ["maps", "maps-2", "out", "out-2"]


def test_results_that_cannot_be_renamed_keep_their_hidden_name(tmp_path, monkeypatch):
    def work():
        with atomic_folder(tmp_path / "out") as draft:
            (draft / "mine").touch()
            monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "denied")))

    with pytest.raises(ElsewhereError, match=r"the results are in .*/\.out-draft-[0-9a-f]{8}$"):
        work()
    (kept,) = tmp_path.glob(".out-draft-????????")
    assert names(kept) == ["mine"]
    check_writable(tmp_path / "other", "--out")
    assert names(kept) == ["mine"]


def test_results_that_are_gone_are_an_error(tmp_path):
    def work():
        with atomic_folder(tmp_path / "runs" / "out"):
            shutil.rmtree(tmp_path / "runs")

    with pytest.raises(OutputError, match="cannot be written"):
        work()


def test_an_interrupt_after_the_last_rename_says_where_the_results_are(tmp_path, monkeypatch):
    rename = Path.replace

    def then_interrupt(path, target):
        rename(path, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", then_interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"the results are in .*out"), atomic_folder(tmp_path / "out") as draft:
        (draft / "mine").touch()
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("place", ["file/below", "file/deep/below"])
def test_a_file_where_a_folder_is_needed_is_named(tmp_path, place):
    (tmp_path / "file").touch()
    for refuse in (check_writable, check_parents):
        with pytest.raises(OutputError) as caught:
            refuse(tmp_path / place, "--out")
        assert str(caught.value) == f"--out {tmp_path / place}: {tmp_path / 'file'} is a file; name a place in a folder"
    check_parents(tmp_path / "new" / "deep", "--out")


@pytest.mark.parametrize("place", ["full", "file", "file/below", "/proc/wsolbench/out"])
def test_a_place_that_is_taken_or_cannot_be_written_is_refused_at_once(tmp_path, place):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match=r"^--maps .*"), atomic_folder(tmp_path / place, "--maps"):
        pytest.fail("the work began")
    with pytest.raises(OutputError, match=r"^--maps .*"):
        check_writable(tmp_path / place, "--maps")
    assert names(tmp_path) == ["file", "full"]
    assert (tmp_path / "file").read_text() == "kept"


def test_trying_a_place_leaves_no_trace(tmp_path):
    check_writable(tmp_path / "new" / "deep" / "out", "--out")
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", [".", "/proc"])
def test_a_folder_that_cannot_be_renamed_to_is_refused(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(()))
    with pytest.raises(OutputError, match="cannot be replaced"):
        check_empty(Path(place), "--out")


def test_default_names_differ_within_one_second_even_while_the_first_is_at_work(tmp_path, monkeypatch):
    class Frozen(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2030, 1, 2, 3, 4, 5, tzinfo=tz)

    monkeypatch.setattr(files, "datetime", Frozen)
    monkeypatch.chdir(tmp_path)
    first = fresh_folder("net")
    assert first == Path("runs/20300102-030405-net")
    with atomic_folder(first):
        assert fresh_folder("net") == Path("runs/20300102-030405-net-2")
        assert fresh_folder("other") == Path("runs/20300102-030405-other")
    assert fresh_folder("net") == Path("runs/20300102-030405-net-2")


def test_a_file_is_written_whole(tmp_path):
    atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_what_a_killed_process_left_beside_a_file_is_removed_by_the_next_write(tmp_path, monkeypatch):
    left = []

    def kill(_path, _target):
        left.extend((file, file.read_bytes() if file.is_file() else None) for file in sorted(tmp_path.rglob("*")))
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", kill)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / ("n" * 250 + ".json"), b"new")
    monkeypatch.undo()
    assert names(tmp_path) == []
    assert len(left) == 3  # the folder, the content, the lock
    for path, content in left:
        path.mkdir() if content is None else path.write_bytes(content)
    atomic_write(tmp_path / "file", b"new")
    assert names(tmp_path) == ["file"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError))
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):  # noqa: PT011
        atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def test_a_regular_file_is_read_up_to_a_limit(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"12345")
    link.symlink_to(file)
    assert read_regular(file, 5) == read_regular(link, 2**40) == b"12345"
    with pytest.raises(OSError, match="it is larger than 0 MiB"):
        read_regular(file, 4)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the size of a file is always known here")
def test_a_file_that_does_not_know_its_size_is_read_up_to_the_limit():
    assert len(read_regular(Path("/proc/self/cmdline"), 2**20)) > 1
    with pytest.raises(OSError, match="larger"):
        read_regular(Path("/proc/self/cmdline"), 1)


def test_what_may_never_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="it is a pipe, socket or device"):
            read_regular(place, 10)
        with pytest.raises(OSError, match="it is a pipe, socket or device"):
            sha256(place)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 10)
    with pytest.raises(OSError, match="no file can have this name"):
        read_regular(tmp_path / "a\0b", 10)
