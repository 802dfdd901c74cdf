"""Two records beside each other on the command line: what is printed, and which files are refused."""

import json

import pytest
from toy_records import write_sealed

from wsolbench.records import read_record
from wsolbench.records.tables import LABELS


@pytest.fixture(scope="module")
def records(tmp_path_factory, without_galleries):
    """The records of two methods on twelve images of critters."""
    from wsolbench.cli.app import main

    folder = tmp_path_factory.mktemp("runs") / "run"
    methods = ["--method", "cam", "--method", "pc1"]
    quick = ["--limit", "12", "--interval", "0.05", "--workers", "1"]
    with pytest.raises(SystemExit) as ended, without_galleries():
        main(["run", "--backbone", "wsolbench:resnet_nano", *methods, *quick, "--out", str(folder)])
    assert ended.value.code == 0
    return [folder / f"record-{method}.json" for method in ("cam", "pc1")]


@pytest.fixture
def changed(records, tmp_path):
    """Write the second record with a change."""

    def write(change):
        content = json.loads(read_record(records[1]).to_line())
        change(content)
        path = tmp_path / "changed.json"
        return write_sealed(path, content)

    return write


def test_every_metric_is_compared_with_an_interval(cli, records):
    done = cli("compare", *records)
    assert done.code == 0
    assert done.out.startswith("critters, test: 12 images; τ chosen on 12 images of train-fullsup\n")
    assert "\nfirst   resnet_nano, shipped weights, cam\nsecond  resnet_nano, shipped weights, pc1\n" in done.out
    first, second = (read_record(path).metrics for path in records)
    lines = {
        label: line for label in LABELS.values() for line in done.out.splitlines() if line.startswith(f"{label}  ")
    }
    assert set(lines) == set(LABELS.values())
    cells = lines["MaxBoxAccV2, fullsup τ"].removeprefix("MaxBoxAccV2, fullsup τ").split()
    one, other = first.fullsup_box_acc_v2, second.fullsup_box_acc_v2
    assert cells[:3] == [f"{one:.2f}", f"{other:.2f}", f"{other - one:+.2f}"]
    assert cells[4] == "to"
    assert max(len(line) for line in done.out.splitlines()) <= 100


def test_discordant_images_make_the_difference(cli, records):
    (found,) = cli("compare", *records, "--json").records
    images, metric = found["images"], found["metrics"]["fullsup_box_acc"]
    assert images["selection"] == "fullsup"
    assert images["cam_thresholds"] == [read_record(path).metrics.fullsup_cam_threshold_single for path in records]
    only_first, only_second = images["only_first"], images["only_second"]
    assert (len(only_second) - len(only_first)) / 12 * 100 == pytest.approx(metric["difference"])
    counts = f"images that only first localizes: {len(only_first)}; only second: {len(only_second)}"
    assert counts in cli("compare", *records).out
    (mirrored,) = cli("compare", *reversed(records), "--json").records
    assert (mirrored["images"]["only_second"], mirrored["images"]["only_first"]) == (only_first, only_second)
    assert mirrored["metrics"]["fullsup_box_acc"]["difference"] == -metric["difference"]


def test_records_of_different_data_are_refused_in_one_line(cli, records, changed):
    done = cli("compare", records[0], changed(lambda content: content["dataset"].update(name="birds")))
    assert done.refused("the records cannot be compared; they differ in data set (critters and birds)")
    assert len(done.err.splitlines()) == 1


def runs_of(content, mode, iou):
    return content["outcomes"]["test"]["correct"][mode][iou]


DAMAGED = {
    "no record": (lambda c: c.clear(), "not a result record (schema_version: "),
    "another schema": (lambda c: c.update(schema_version=9), "not a result record (schema_version: "),
    "no protocol": (lambda c: c.pop("protocol"), "not a result record of schema version 3 (protocol: "),
    "an image without outcome": (lambda c: runs_of(c, "single", "0.5")["counts"].append(0), "outcomes of test: "),
    "runs off the grid": (lambda c: runs_of(c, "multi", "0.3")["edges"].__setitem__(-1, 99), "from 0 to 20"),
    "an edge less": (lambda c: runs_of(c, "multi", "0.3")["edges"].pop(), "do not add up to"),
    "a δ less": (lambda c: c["outcomes"]["test"]["correct"]["multi"].pop("0.3"), "outcomes have another form"),
    "a hit less": (lambda c: c["outcomes"]["test"]["hits"]["1"].pop(), "outcomes of test: "),
    "no image": (lambda c: c["outcomes"]["test"]["image_ids"].clear(), "outcomes of test: "),
    "no outcomes": (lambda c: c["outcomes"].pop("test"), "where the record has other splits"),
    "another outcome": (lambda c: c["outcomes"]["test"]["hits"]["1"].__setitem__(0, 0), "their hash is another one"),
    "another score": (lambda c: c["metrics"].update(top1_loc=99.0), "top1_loc is 99.0, but its outcomes give"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_record_is_refused_by_its_name(cli, records, changed, kind):
    change, reason = DAMAGED[kind]
    done = cli("compare", records[0], changed(change))
    assert done.refused("changed.json: ", reason)
    assert len(done.err.splitlines()) == 1


def test_files_that_are_not_there_are_named(cli, records):
    assert cli("compare", records[0], "no.json").refused("no.json: cannot be read")
    assert cli("compare", records[0]).refused("RECORD")


def test_more_than_two_records_need_a_reference(cli, records):
    done = cli("compare", *records, records[0])
    assert done.refused("expected two records, got 3; name what to compare all with: --against NAME")
    assert cli("compare", *records, "--markdown").refused("--metric and --markdown need --against NAME")


def test_records_are_compared_with_a_method(cli, records):
    (summary,) = cli("compare", *records, "--against", "cam", "--json").records
    (pair,) = cli("compare", *records, "--json").records
    shown = {cell["method"]: cell["metrics"]["fullsup_box_acc_v2"] for cell in summary["cells"]}
    assert shown["pc1"]["interval"] == pair["metrics"]["fullsup_box_acc_v2"]["interval"]
    done = cli("compare", *records, "--against", "cam", "--metric", "max_box_acc")
    assert "MaxBoxAcc, oracle τ" in done.out
    assert "| network " in cli("compare", *records, "--against", "resnet_nano", "--markdown").out
    assert cli("compare", *records, "--against", "grad-cam").refused("--against: none of the records is of a network")
