"""No two rows have one label: what differs is named, in pages and in CSV."""

import csv

from leaderboards import rows_in
from toy_networks import METHOD, trained_record

from wsolbench.leaderboard import add
from wsolbench.leaderboard.data import as_csv
from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.markdown import as_markdown
from wsolbench.leaderboard.shown import FIELDS
from wsolbench.records import read_record, write_record
from wsolbench.records.labels import tell_apart, told_as_text


def weighted(**changes):
    """Return a record of other weights."""
    record = trained_record()
    weights = record.backbone.weights.model_copy(update=changes)
    return record.model_copy(update={"backbone": record.backbone.model_copy(update={"weights": weights})})


def with_options(**options):
    """Return a record of a method with options, all at their defaults."""
    return trained_record().model_copy(update={"method": METHOD.model_copy(update={"options": options})})


def shown(*records):
    """Return the labels of the rows of records, as a page and as CSV have them."""
    (table,) = group_tables(Entry(f"r{number}.json", "0" * 64, record) for number, record in enumerate(records))
    fields = [FIELDS[name] for name in ("network", "weights", "method")]
    lines = as_markdown(rows_in([table]), fields).splitlines()[2 : 2 + len(records)]
    page = sorted(" ".join(cell.strip() for cell in line.strip("|").split("|")) for line in lines)
    return page, sorted(csv.DictReader(as_csv(rows_in([table])).splitlines()), key=lambda row: row["record"])


def test_the_state_dicts_of_a_file_are_named():
    page, rows = shown(weighted(key="model"), weighted(key="model_ema"))
    assert page == ["toy toy.pth (model) cam", "toy toy.pth (model_ema) cam"]
    assert [row["weights"] for row in rows] == ["toy.pth (model)", "toy.pth (model_ema)"]


def test_files_of_one_name_are_told_apart_by_their_hashes():
    page, rows = shown(weighted(sha256="a" * 64), weighted(sha256="b" * 64), weighted(file="other.pth"))
    assert page == [
        *("toy other.pth cam", "toy toy.pth (weights hash aaaaaaaa) cam", "toy toy.pth (weights hash bbbbbbbb) cam"),
    ]
    assert [row["weights"].partition(" ")[2] for row in rows] == [
        *("(weights hash aaaaaaaa)", "(weights hash bbbbbbbb)", ""),
    ]


def test_a_default_that_changed_is_another_measurement(tmp_path):
    """Neither of the options was set, so both records call the method by its name alone."""
    records = with_options(value=0.04), with_options(value=0.04, measure="positive")
    assert shown(*records)[0] == ["toy toy.pth (measure not recorded) cam", "toy toy.pth (measure positive) cam"]
    places = [add(tmp_path / "board", [write_record(record, tmp_path, "r")]) for record in records]
    assert len({path for (path,) in places}) == 2
    assert [read_record(path).method.options for (path,) in places] == [record.method.options for record in records]
    assert add(tmp_path / "board", [write_record(records[0], tmp_path, "r")]) == places[0]


def test_copies_of_a_record_are_told_apart_by_their_files():
    assert shown(trained_record(), trained_record())[0] == [
        "toy toy.pth (record r0.json) cam",
        "toy toy.pth (record r1.json) cam",
    ]


def test_as_few_facts_as_possible_are_named():
    facts = [{"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "c": "2"}, {"a": "1", "b": "2", "c": "3"}]
    told = tell_apart(["x", "x", "x"], facts.__getitem__)
    assert list(map(told_as_text, told)) == ["b 1, c 1", "b 2, c 2", "b 2, c 3"]
    assert tell_apart(["x", "y", "z"], facts.__getitem__) == [(), (), ()]
    long = [{"x/long": "q" * 81}, {"x/long": "a" * 64}]
    assert [value for ((name, value),) in tell_apart("xx", long.__getitem__) if name == "long"][1] == "aaaaaaaa"


def test_files_of_data_sets_differ_in_more_than_the_case_of_letters():
    records = (trained_record(dataset=name) for name in ("birds", "Birds", "BIRDS"))
    tables = group_tables(Entry(f"r{number}.json", "0" * 64, record) for number, record in enumerate(records))
    assert sorted(table.slug.lower() for table in tables) == ["birds", "birds-other", "birds-other-other"]
    assert {table.first.dataset.name for table in tables} == {"birds", "Birds", "BIRDS"}


def test_the_title_of_a_table_of_one_image_says_so():
    record = trained_record()
    dataset = record.dataset.model_copy(update={"split_sizes": {"test": 1, "train-fullsup": 3}})
    (table,) = group_tables([Entry("r.json", "0" * 64, record.model_copy(update={"dataset": dataset}))])
    assert table.title.startswith("birds, test (1 image, τ from 3 of train-fullsup; ")
