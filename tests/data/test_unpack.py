import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from wsolbench.data.fetch import unpack as module
from wsolbench.data.fetch.unpack import unpack
from wsolbench.errors import DataError, OutputError

FILES = {"top/a.txt": b"a" * 1000, "top/b/c.bin": np.random.default_rng(0).bytes(200_000), "beside.txt": b"b"}


def write_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("top")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path, files=FILES, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("./top/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


ARCHIVES = {
    "zip": write_zip,
    "tgz": write_tar,
    "tar": lambda path: write_tar(path, mode="w"),
    "xz": lambda path: write_tar(path, mode="w:xz"),
}


@pytest.fixture(params=ARCHIVES)
def archive(request, tmp_path):
    return ARCHIVES[request.param](tmp_path / f"archive.{request.param}")


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_unpacked_but_links(archive, tmp_path):
    counted = []
    unpack(archive, tmp_path / "out", advance=counted.append)
    assert contents(tmp_path / "out") == FILES
    assert sum(counted) == 3


def test_a_folder_of_the_archive_is_unpacked(archive, tmp_path):
    unpack(archive, tmp_path / "out", inside="top")
    assert contents(tmp_path / "out") == {"a.txt": FILES["top/a.txt"], "b/c.bin": FILES["top/b/c.bin"]}


def only(tmp_path, archive):
    return [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_an_archive_without_that_folder(archive, tmp_path):
    with pytest.raises(DataError, match="has no file in other; is it another archive"):
        unpack(archive, tmp_path / "out", inside="other")
    assert only(tmp_path, archive)


def test_an_archive_that_was_cut_short(archive, tmp_path):
    archive.write_bytes(archive.read_bytes()[:100_000])
    with pytest.raises(DataError, match="is damaged, truncated or not an archive; delete it and download it again"):
        unpack(archive, tmp_path / "out")
    assert only(tmp_path, archive)


def test_a_flipped_byte(tmp_path):
    archive = write_zip(tmp_path / "archive.zip")
    content = bytearray(archive.read_bytes())
    content[100_000] ^= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="is damaged, truncated or not an archive"):
        unpack(archive, tmp_path / "out")
    assert only(tmp_path, archive)


def test_no_archive(tmp_path):
    path = tmp_path / "archive.zip"
    path.write_text("<html>please log in</html>")
    with pytest.raises(DataError, match="is damaged, truncated or not an archive"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("write", [write_zip, write_tar])
@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt"])
def test_a_file_that_would_leave_the_folder(tmp_path, write, name):
    if write is write_tar and name.startswith("/"):
        name = f"..{name}"
    archive = write(tmp_path / "archive", {name: b"x"})
    with pytest.raises(DataError, match=r"contains the file .*: expected a relative path"):
        unpack(archive, tmp_path / "folder" / "out")
    assert only(tmp_path, archive)


def test_a_full_disk(archive, tmp_path, monkeypatch):
    def copy(*_):
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    monkeypatch.setattr(module.shutil, "copyfileobj", copy)
    with pytest.raises(OutputError, match=r"the disk is full: .* was not unpacked; free some space and try again"):
        unpack(archive, tmp_path / "out")
    monkeypatch.undo()
    assert only(tmp_path, archive)


def test_a_bit_that_stands_for_an_unknown_form(tmp_path):
    path = tmp_path / "patched.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("a.txt", "a")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 0x20  # flag bit 5, compressed patched data
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged, truncated or not an archive"):
        unpack(path, tmp_path / "out")
