"""Entries in append-only files: what is damaged is noticed, and never returned."""

import errno
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsolbench.cache import in_use, list_shelves, load_shelf, open_shelf, prune, verify

FACTS = {"network": "a", "method": "b"}
PLACES = [bytes([number]) * 32 for number in range(4)]
CONTENT = b"c" * 32


def fill(cache, facts=FACTS, payloads=(b"first", b"", b"third" * 100)):
    """Put entries on a shelf; return its only shard."""
    with open_shelf(cache, facts) as shelf:
        for place, payload in zip(PLACES, payloads, strict=False):
            shelf.put(place, CONTENT, payload)
    (shard,) = shelf.folder.glob("*.shard")
    return shard


def test_what_was_put_there_is_found_by_place_and_content(tmp_path):
    fill(tmp_path)
    with open_shelf(tmp_path, FACTS) as shelf:
        assert [shelf.get(place, CONTENT) for place in PLACES] == [b"first", b"", b"third" * 100, None]
        assert shelf.get(PLACES[0], b"d" * 32) is None
        assert (shelf.has(PLACES[0]), shelf.has(PLACES[3])) == (True, False)
        assert shelf.faults == []
    with open_shelf(tmp_path, {**FACTS, "method": "c"}) as other:
        assert not other.has(PLACES[0])
    assert len(list_shelves(tmp_path)) == 2


@settings(max_examples=60, deadline=None)
@given(where=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_no_flipped_bit_is_trusted(tmp_path_factory, where, bit):
    shard = fill(tmp_path_factory.mktemp("cache"))
    content = bytearray(shard.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    shard.write_bytes(content)
    shelf = load_shelf(shard.parent)
    found = [shelf.get(place, CONTENT) for place in PLACES[:3]]
    assert all(payload in (None, right) for payload, right in zip(found, [b"first", b"", b"third" * 100], strict=True))
    assert None in found
    assert len(shelf.faults) == 1
    assert verify(shard.parent)[1]


def test_a_shard_that_is_cut_short_keeps_what_is_whole(tmp_path):
    shard = fill(tmp_path)
    whole = shard.read_bytes()
    for length in range(len(whole)):
        shard.write_bytes(whole[:length])
        shelf = load_shelf(shard.parent)
        found = [shelf.get(place, CONTENT) for place in PLACES[:3]]
        assert found == [*found[: 3 - found.count(None)], *[None] * found.count(None)]
        assert found.count(None) >= 1
    assert "cut short" in shelf.faults[0]


def test_a_shard_of_another_identity_is_left_aside(tmp_path):
    shard, other = fill(tmp_path), fill(tmp_path, {"network": "other"}, [b"x"])
    other.rename(shard.with_name(other.name))
    with open_shelf(tmp_path, FACTS) as shelf:
        assert shelf.get(PLACES[0], CONTENT) == b"first"
    (fault,) = shelf.faults
    assert other.name in fault
    assert "another identity" in fault


def test_what_is_damaged_is_made_again_beside_it(tmp_path):
    shard = fill(tmp_path)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with open_shelf(tmp_path, FACTS) as shelf:
        assert shelf.get(PLACES[2], CONTENT) is None
        shelf.put(PLACES[2], CONTENT, b"again")
        assert shelf.get(PLACES[2], CONTENT) == b"again"
    assert load_shelf(shard.parent).get(PLACES[2], CONTENT) == b"again"


def test_two_writers_at_once_do_not_disturb_each_other(tmp_path):
    with open_shelf(tmp_path, FACTS) as one, open_shelf(tmp_path, FACTS) as other:
        for number in range(50):
            one.put(number.to_bytes(32, "big"), CONTENT, b"one")
            other.put(number.to_bytes(32, "big"), b"d" * 32, b"other")
    shelf = load_shelf(one.folder)
    for number in range(50):
        assert shelf.get(number.to_bytes(32, "big"), CONTENT) == b"one"
        assert shelf.get(number.to_bytes(32, "big"), b"d" * 32) == b"other"


def test_a_full_disk_ends_the_keeping_and_leaves_whole_entries(tmp_path, monkeypatch):
    write = os.write

    def full(file, content):
        if len(content) > 400:
            write(file, content[:300])  # as far as there was room
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, content)

    monkeypatch.setattr(os, "write", full)
    with open_shelf(tmp_path, FACTS) as shelf:
        for place, payload in zip(PLACES, [b"small", b"large" * 100, b"small"], strict=False):
            shelf.put(place, CONTENT, payload)
    assert shelf.refusal == "No space left on device"
    again = load_shelf(shelf.folder)
    assert [again.get(place, CONTENT) for place in PLACES[:3]] == [b"small", None, None]
    assert again.faults == []


@pytest.mark.skipif(os.name != "posix", reason="a file cannot be a folder there either, but says so otherwise")
def test_a_place_where_nothing_can_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with open_shelf(tmp_path / "file" / "cache", FACTS) as shelf:
        assert shelf.refusal == "Not a directory"
        assert not shelf.put(PLACES[0], CONTENT, b"lost")
        assert shelf.get(PLACES[0], CONTENT) is None


def test_pruning_spares_what_is_in_use_and_what_was_used_lately(tmp_path):
    fill(tmp_path)
    with open_shelf(tmp_path, {"in": "use"}) as used:
        removed, busy = prune(list_shelves(tmp_path), unused=timedelta(days=1))
        assert (removed, busy) == ([], [])
        removed, busy = prune(list_shelves(tmp_path), unused=timedelta(0))
        assert [shelf.folder for shelf in busy] == [used.folder]
        assert len(removed) == 1
    assert [shelf.folder for shelf in list_shelves(tmp_path)] == [used.folder]


def test_a_shelf_that_is_read_is_not_pruned(tmp_path):
    with open_shelf(tmp_path, FACTS) as made:
        os.utime(made.folder / "shelf.json", (0, 0))
    with in_use(load_shelf(made.folder)):
        assert prune(list_shelves(tmp_path), unused=timedelta(days=1)) == ([], [])
        assert prune(list_shelves(tmp_path), unused=timedelta(0)) == ([], list_shelves(tmp_path))
    assert [shelf.folder for shelf in prune(list_shelves(tmp_path), unused=timedelta(0))[0]] == [made.folder]


def test_a_clock_that_jumped_ahead_only_keeps_a_shelf_longer(tmp_path):
    shard = fill(tmp_path)
    os.utime(shard.parent / "shelf.json", (2**33, 2**33))
    assert prune(list_shelves(tmp_path), unused=timedelta(days=1)) == ([], [])
    with open_shelf(tmp_path, FACTS) as shelf:
        assert shelf.get(PLACES[0], CONTENT) == b"first"
    assert len(prune(list_shelves(tmp_path), unused=timedelta(0))[0]) == 1


def test_a_killed_writer_leaves_its_entries(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from wsolbench.cache import open_shelf\n"
        "with open_shelf(Path(sys.argv[1]), {'network': 'a', 'method': 'b'}) as shelf:\n"
        "    for number in range(4):\n"
        "        shelf.put(bytes([number]) * 32, b'c' * 32, b'kept')\n"
        "    os.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode != 0
    with open_shelf(tmp_path, FACTS) as shelf:
        assert [shelf.get(place, CONTENT) for place in PLACES] == [b"kept"] * 4
        assert prune(list_shelves(tmp_path), unused=timedelta(0)) == ([], list_shelves(tmp_path))


def test_where_the_cache_is(monkeypatch):
    from wsolbench.cache import cache_folder

    monkeypatch.setenv("WSOLBENCH_CACHE", "here")
    assert cache_folder() == Path("here").absolute()
    monkeypatch.delenv("WSOLBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/wsolbench")
