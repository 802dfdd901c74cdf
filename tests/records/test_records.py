import json
from importlib.resources import files

import jsonschema
import pytest

from wsolbench.errors import DataError
from wsolbench.records import ResultRecord, read_record, record_schema, write_record
from wsolbench.records.outcomes import claimed_scores
from wsolbench.records.verify import contradiction

pytestmark = pytest.mark.usefixtures("no_gallery")


@pytest.fixture
def record(toys):
    (record,) = toys.run(toys.method(nan=[1]))
    return record


def test_the_checked_in_schema_is_up_to_date():
    stored = files("wsolbench.records").joinpath("record.schema.json").read_text(encoding="utf-8")
    assert stored == record_schema(), "refresh it: wsolbench schema > wsolbench/records/record.schema.json"


def test_a_record_is_valid_by_the_schema_in_either_form(record):
    jsonschema.Draft202012Validator.check_schema(json.loads(record_schema()))
    for text in (record.to_json(), record.to_line()):
        jsonschema.validate(json.loads(text), json.loads(record_schema()))


def test_both_forms_hold_the_same_and_come_back_equal(record, tmp_path):
    summary, line = json.loads(record.to_json()), json.loads(record.to_line())
    assert line.pop("outcomes")["test"]["image_ids"] == list(record.outcomes[0].image_ids)
    assert summary == line
    assert "\n" not in record.to_line()
    (tmp_path / "line.json").write_text(record.to_line(), encoding="utf-8")
    for path in (tmp_path / "line.json", write_record(record, tmp_path / "folder", "r")):
        read = read_record(path)
        assert read == record
        assert (read.to_json(), read.to_line()) == (record.to_json(), record.to_line())


def test_a_summary_is_small_and_laid_out_for_readers_of_differences(record):
    lines = record.to_json().splitlines()
    assert any(line.strip().startswith('"max_box_acc": ') for line in lines)
    assert len(record.to_json()) < 10_000


def changed(record, change):
    content = json.loads(record.to_json())
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda content: content["dataset"].update(limit=0), "dataset.limit"),
        (lambda content: content.pop("metrics"), "metrics"),
        (lambda content: content["metrics"].pop("pxap"), "metrics.pxap"),
        (lambda content: content["metrics"].update(pxap="high"), "metrics.pxap"),
        (lambda content: content["metrics"].update(surplus=1), "metrics.surplus"),
        (lambda content: content["protocol"].update(split="train"), "protocol.split"),
        (lambda content: content.pop("intervals"), "intervals"),
        (lambda content: content["intervals"].update(kind="guess"), "intervals.kind"),
        (lambda content: content["intervals"].update(level=1), "intervals.level"),
        (lambda content: content["intervals"].update(resamples=0), "intervals.resamples"),
        (lambda content: content["intervals"]["metrics"].update(top1_acc=[1]), "intervals.metrics.top1_acc.1"),
    ],
)
def test_what_is_no_record_is_refused_with_the_place(record, tmp_path, change, where):
    (tmp_path / "r.json").write_text(changed(record, change))
    with pytest.raises(DataError, match=rf"r\.json: not a result record of schema version 3 \({where}: ") as caught:
        read_record(tmp_path / "r.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"text"])
def test_what_is_no_json_object_is_refused(tmp_path, content):
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(DataError, match=r"r\.json: not a result record") as caught:
        read_record(tmp_path / "r.json")
    assert "\n" not in str(caught.value)


def test_half_a_record_is_refused(record, tmp_path):
    text = record.to_json()
    (tmp_path / "r.json").write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match="not a result record"):
        read_record(tmp_path / "r.json")


def test_a_file_that_is_not_there_or_a_folder_is_named(tmp_path):
    for path in (tmp_path / "no.json", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_record(path)


def test_every_metric_but_pxap_has_an_interval(record):
    assert set(record.intervals.metrics) == set(claimed_scores(record.metrics))
    assert {"max_box_acc", "fullsup_box_acc_by_iou.0.7", "gt_known_loc", "top1_loc", "top5_acc"} <= set(
        record.intervals.metrics
    )
    assert all(low <= high for low, high in record.intervals.metrics.values())
    assert record.metrics.pxap is not None
    assert contradiction(record) is None


def test_what_is_null_has_no_interval(toys):
    bare = {"fullsup": 0, "boxes": False, "masks": True}
    for kinds, expected in (({"fullsup": 0}, "max_box_acc"), (bare, "top1_acc")):
        (record,) = toys.run(dataset=toys.dataset(**kinds), out=toys.folder / expected)
        assert set(record.intervals.metrics) == set(claimed_scores(record.metrics))
        assert expected in record.intervals.metrics
        assert "fullsup_box_acc" not in record.intervals.metrics


def test_provenance_is_complete(record):
    environment = record.environment
    assert environment.plugins == {"acme": "1.0"}
    assert {"python", "torch", "numpy", "opencv-python", "pillow"} <= set(environment.packages)
    assert environment.created.endswith("+00:00")
    assert record.dataset.split_sizes == {"test": 6, "train-fullsup": 4}
    assert {"annotations", "train-fullsup", "test"} <= set(record.seconds)
    assert isinstance(record, ResultRecord)
    assert all(len(part.images_sha256) == len(part.annotations_sha256) == 64 for part in record.outcomes)
