import hashlib

import numpy as np
import pytest

from wsolbench.data.fetch.download import NotFetchedError, fetch, matches_checksum
from wsolbench.errors import DataError, OutputError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "file.zip"


@pytest.fixture
def file(web):
    web.files["file.zip"] = CONTENT
    return web.url("file.zip")


def only_file(target):
    return [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("checksum", [MD5, SHA256, None])
def test_a_file_is_fetched_and_verified(file, target, checksum):
    told = []
    fetch(file, target, checksum=checksum, advance=told.append)
    assert target.read_bytes() == CONTENT
    assert sum(told) == len(CONTENT)
    assert only_file(target)


def test_a_lost_connection_goes_on_from_there(web, file, target):
    web.cuts = [1_000_000, 500_000, 0]
    told = []
    fetch(file, target, checksum=MD5, advance=told.append, pauses=(0, 0))
    assert target.read_bytes() == CONTENT
    assert [asked for _, asked in web.requests] == [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500000-"]
    assert sum(told) == len(CONTENT)
    assert only_file(target)


def test_a_connection_that_is_lost_for_good(web, file, target):
    """What came stays, never under the file's own name, and the next call asks for the rest alone."""
    web.cuts = [1_000_000, 0, 0]
    with pytest.raises(
        DataError, match=r"cannot be downloaded \(the connection ended 2,000,000 bytes early\); run the comm"
    ):
        fetch(file, target, checksum=MD5, pauses=(0, 0))
    assert not target.exists()
    web.requests.clear()
    fetch(file, target, checksum=MD5)
    assert target.read_bytes() == CONTENT
    assert web.requests == [("/file.zip", "bytes=1000000-")]


def test_no_server(web, file, target):
    url = file.replace(web.address, "http://127.0.0.1:9")  # the discard port: nobody listens
    with pytest.raises(
        DataError, match=r"cannot be downloaded \(.*refused.*\); run .* or download it yourself and save it as .*zip"
    ):
        fetch(url, target, checksum=None, pauses=(0,))
    assert not list(target.parent.iterdir())


def test_no_such_file(web, target):
    with pytest.raises(DataError, match=r"cannot be downloaded \(404 Not Found\)"):
        fetch(web.url("gone.zip"), target, checksum=None, pauses=(0, 0))
    assert len(web.requests) == 1


def test_a_server_without_ranges_begins_anew(web, file, target):
    web.ranges = False
    web.cuts = [1_000_000]
    fetch(file, target, checksum=MD5, pauses=(0,))
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("checksum", [None, MD5])
def test_a_file_that_changed_meanwhile_begins_anew(web, file, target, checksum):
    web.files["file.zip"] = CONTENT[::-1]
    web.cuts = [1_000_000, 0]
    with pytest.raises(DataError):
        fetch(file, target, checksum=checksum, pauses=(0,))
    web.files["file.zip"] = CONTENT
    fetch(file, target, checksum=checksum)
    assert target.read_bytes() == CONTENT


def test_an_answer_that_is_shorter_than_what_is_missing_is_gone_on_from(web, file, target):
    """Without a pause: nothing was lost."""
    web.cuts, web.most = [1_000_000], 800_000
    fetch(file, target, checksum=None, pauses=(0,))
    assert target.read_bytes() == CONTENT
    assert [asked for _, asked in web.requests] == [None, *(f"bytes={1_000_000 + 800_000 * n}-" for n in range(3))]


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize(("tags", "dates"), [(True, False), (False, True), (False, False)])
def test_halves_of_two_files_are_never_one(web, file, target, tags, dates, heeds):
    web.tags, web.dates, web.heeds = tags, dates, heeds
    web.files["file.zip"] = CONTENT[::-1]
    web.cuts = [1_000_000]
    with pytest.raises(DataError):
        fetch(file, target, checksum=None, pauses=())
    web.files["file.zip"] = CONTENT
    fetch(file, target, checksum=None, pauses=(0,))
    assert target.read_bytes() == CONTENT
    assert only_file(target)


def test_a_date_tells_which_file_a_part_is_of(web, file, target):
    web.tags, web.dates = False, True
    web.cuts = [1_000_000]
    fetch(file, target, checksum=None, pauses=(0,))
    assert target.read_bytes() == CONTENT
    assert [asked for _, asked in web.requests] == [None, "bytes=1000000-"]


def test_a_server_that_always_ends_early_is_given_up(web, file, target):
    web.tags = False
    web.cuts = [1_000_000] * 9
    with pytest.raises(NotFetchedError, match="2,000,000 bytes early"):
        fetch(file, target, checksum=None, pauses=(0, 0))
    assert [asked for _, asked in web.requests] == [None] * 3


def had_come(web, target, part):
    """Leave a part of the file that the server has now."""
    web.cuts = [0]
    with pytest.raises(NotFetchedError):
        fetch(web.url("file.zip"), target, checksum=None, pauses=())
    target.with_name("file.zip.part").write_bytes(part)


def test_everything_had_come(web, file, target):
    had_come(web, target, CONTENT)
    fetch(file, target, checksum=MD5)
    assert target.read_bytes() == CONTENT


def test_more_had_come_than_there_is(web, file, target):
    had_come(web, target, CONTENT + b"more")
    fetch(file, target, checksum=MD5, pauses=(0,))
    assert target.read_bytes() == CONTENT


def test_another_file_than_was_published_is_removed(web, file, target):
    web.files["file.zip"] = CONTENT[:-1] + b"x"
    with pytest.raises(DataError, match=rf"is not the published file: its checksum is not {MD5}; it was deleted"):
        fetch(file, target, checksum=MD5)
    assert not target.exists()
    assert not target.with_name("file.zip.part").exists()


def test_a_part_that_nobody_knows_the_file_of_is_not_gone_on_from(web, file, target):
    target.with_name("file.zip.part").write_bytes(bytes(1000))
    fetch(file, target, checksum=MD5)
    assert target.read_bytes() == CONTENT
    assert web.requests == [("/file.zip", None)]


def test_a_full_disk(file, target):
    target.with_name("file.zip.part").symlink_to("/dev/full")
    with pytest.raises(
        OutputError, match=r"the disk is full: .*file\.zip\.part is incomplete; free some space and run the comm"
    ):
        fetch(file, target, checksum=MD5)
    assert not target.exists()


def test_a_folder_that_cannot_be_written(file, tmp_path):
    (tmp_path / "file.zip.part").mkdir()
    with pytest.raises(OutputError, match=r"file\.zip\.part cannot be written: Is a directory"):
        fetch(file, tmp_path / "file.zip", checksum=MD5)


def test_checksums(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    assert matches_checksum(tmp_path / "a", MD5)
    assert not matches_checksum(tmp_path / "a", "md5:0")
    with pytest.raises(DataError, match="gone cannot be read"):
        matches_checksum(tmp_path / "gone", MD5)
