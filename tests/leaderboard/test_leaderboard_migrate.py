"""Older records become those of today once, in place, with nothing lost; what is wrong is left as it is and named."""

import copy
import json
from importlib import import_module

import pytest
from toy_networks import trained_record
from toy_records import as_version1, as_version2, make_record

from wsolbench.errors import DataError
from wsolbench.leaderboard import add, migrate
from wsolbench.records import SCHEMA_VERSION, write_record
from wsolbench.records.missing import OLDER_RECORD
from wsolbench.records.record import LATER_METRICS
from wsolbench.records.verify import read_verified


@pytest.fixture
def records(tmp_path):
    """A folder with two version 1 records."""
    folder = tmp_path / "board" / "records" / "birds"
    folder.mkdir(parents=True)
    for name, shift in (("a", 0), ("b", 2)):
        (folder / f"{name}.json").write_text(
            json.dumps(as_version1(make_record(shift, seconds={"test": 2.5})), indent=2)
        )
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_number_is_what_it_was(records):
    before = {path: json.loads(path.read_text()) for path in sorted(records.glob("*.json"))}
    done = migrate(records)
    assert done.rewritten == tuple(before)
    assert done.kept == 0
    assert done.after == sum(map(len, contents(records).values())) < done.before
    for path, old in before.items():
        new = json.loads(path.read_text())
        assert new["schema_version"] == SCHEMA_VERSION
        assert new["migrated_from"] == 1
        for name in ("intervals", "method", "environment", "seconds"):
            assert new[name] == old[name]
        assert new["metrics"] == {**dict.fromkeys(LATER_METRICS), **old["metrics"]}
        assert new["missing"] == {**dict.fromkeys(LATER_METRICS, OLDER_RECORD), **old["missing"]}
        assert old["dataset"].items() <= new["dataset"].items()
        assert as_version1(read_verified(path)) == old
    assert sorted(contents(records)) == [
        *("a.json", "a.outcomes.json.gz", "b.json", "b.outcomes.json.gz"),
        *sorted(path.name for path in records.glob("images-*.txt.gz")),
    ]


def test_a_record_of_version_2_gets_its_hash_and_says_for_ever_that_it_had_none(tmp_path):
    record = make_record(seconds={"test": 2.5}, migrated_from=2)
    path = write_record(record, tmp_path, "a")
    today = contents(tmp_path)
    path.write_text(json.dumps(as_version2(record)))
    assert read_verified(path) == record
    assert migrate(tmp_path).rewritten == (path,)
    assert contents(tmp_path) == today
    (added,) = add(tmp_path / "board", [path])
    assert read_verified(added).migrated_from == 2


def test_a_newer_record_does_not_pass_as_an_older_one_without_a_hash(tmp_path):
    """It has fields that its version did not have, whichever of them somebody left out."""
    path = write_record(trained_record(), tmp_path, "a")
    newer = json.loads(path.read_text()) | {"schema_version": 2}
    for name in ("class_rows", "options"):
        without = copy.deepcopy(newer)
        del without["summary_sha256"], without["migrated_from"], without["backbone"][name]
        for content in (newer, without, {**without, "schema_version": 1}):
            path.write_text(json.dumps(content))
            for command in (lambda: migrate(tmp_path), lambda: add(tmp_path / "board", [path])):
                with pytest.raises(DataError, match=r"version [12] of the schema has no such field; put back the sch"):
                    command()


def test_a_second_time_changes_nothing(records):
    migrate(records)
    before = contents(records)
    done = migrate(records)
    assert (done.rewritten, done.kept) == ((), 2)
    assert contents(records) == before


def test_what_was_interrupted_is_continued(records, monkeypatch):
    """The second summary cannot be replaced: the first record is of today, the second whole of version 1."""
    from wsolbench.records import store

    write = store.atomic_write

    def fail(path, content):
        if path == records / "b.json":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(store, "atomic_write", fail)
    with pytest.raises(KeyboardInterrupt):
        migrate(records)
    versions = {path.name: json.loads(path.read_text())["schema_version"] for path in sorted(records.glob("*.json"))}
    assert versions == {"a.json": SCHEMA_VERSION, "b.json": 1}
    assert all(read_verified(path) for path in records.glob("*.json"))
    monkeypatch.setattr(store, "atomic_write", write)
    assert migrate(records).rewritten == (records / "b.json",)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content["metrics"].update(max_box_acc=99.0),
        lambda content: content["intervals"]["metrics"].update(top1_acc=[0.0, 1.0]),
        lambda content: content["outcomes"][0]["box_acc"]["multi"]["0.7"].__setitem__(3, 1.0),
        lambda content: content["dataset"]["split_sizes"].update(test=1000),
    ],
)
def test_a_record_that_contradicts_itself_is_left_and_named(records, spoil):
    path = records / "a.json"
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    before = contents(records)
    with pytest.raises(DataError, match=r"a\.json: "):
        migrate(records)
    assert contents(records) == before


def test_what_would_be_lost_is_refused(records, monkeypatch):
    def forgetful(record, folder, stem):
        return write_record(record.model_copy(update={"seconds": {"test": 1.0}}), folder, stem)

    monkeypatch.setattr(import_module("wsolbench.leaderboard.migrate"), "write_record", forgetful)
    before = contents(records)
    with pytest.raises(DataError, match=r"a\.json: version 3 would not hold what is there: "):
        migrate(records)
    assert contents(records) == before


def test_the_command_says_how_many_and_how_large(records, cli):
    done = cli("leaderboard", "migrate", "--folder", records.parents[1])
    assert done.code == 0
    assert done.out.startswith(f"{records.parent}: 2 of 2 records were older and are of version 3 now; ")
    assert cli("leaderboard", "migrate", "--folder", records.parents[2]).refused("holds no records")
