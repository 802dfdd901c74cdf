"""Records of schema version 1 are read as those of today, or refused by name."""

import json

import numpy as np
import pytest
from toy_records import FULLSUP, as_version1, make_outcomes, make_record

from wsolbench.errors import DataError
from wsolbench.records import SCHEMA_VERSION, read_record
from wsolbench.records.verify import read_verified


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "record",
    [
        make_record(),
        make_record(2, fullsup=None),
        make_record(
            test=make_outcomes(correct=None, statistics={}),
            fullsup=make_outcomes("train-fullsup", FULLSUP, correct=None),
        ),
        make_record(test=make_outcomes(hits={}), fullsup=None),
    ],
    ids=["whole", "no fullsup", "no boxes", "no classifier"],
)
def test_version_1_gives_the_same_record(tmp_path, record):
    read = read_verified(write(tmp_path / "r.json", as_version1(record)))
    assert read.schema_version == SCHEMA_VERSION
    assert read == record.model_copy(update={"migrated_from": 1})
    assert [part.image_ids for part in read.outcomes] == [part.image_ids for part in record.outcomes]
    for part, expected in zip(read.outcomes, record.outcomes, strict=True):
        for name, values in expected.statistics.items():
            np.testing.assert_array_equal(part.statistics[name], values)


def test_a_refusal_is_one_line_whatever_library_words_it(tmp_path):
    content = as_version1(make_record())
    content["outcomes"][0]["annotations_sha256"] = None
    with pytest.raises(DataError, match=r"not a result record of schema version 1 \(ValidationError: ") as caught:
        read_record(write(tmp_path / "r.json", content))
    assert "\n" not in str(caught.value)


def test_fields_that_came_later_have_their_defaults(tmp_path):
    content = as_version1(make_record())
    del content["method"]["fitted_images"]
    for part in content["outcomes"]:
        del part["statistics"]
    read = read_verified(write(tmp_path / "old.json", content))
    assert read.method.fitted_images is None
    assert read.config is None
    assert all(part.statistics == {} for part in read.outcomes)


CHANGES = {
    "no outcomes": lambda content: content.pop("outcomes"),
    "no protocol": lambda content: content.pop("protocol"),
    "no grid": lambda content: content["protocol"].pop("interval"),
    "no metrics": lambda content: content.pop("metrics"),
    "a field too many": lambda content: content.update(surplus=1),
    "another metric": lambda content: content["metrics"].update(max_box_acc="high"),
    "runs off the grid": lambda content: content["outcomes"][0]["correct"]["multi"]["0.3"].__setitem__(0, [0, 99]),
    "a hit less": lambda content: content["outcomes"][0]["top1_hits"].pop(),
    "a δ less": lambda content: content["outcomes"][0]["correct"]["multi"].pop("0.3"),
    "another curve": lambda content: content["outcomes"][0]["box_acc"]["single"]["0.3"].__setitem__(2, 99.0),
    "a short curve": lambda content: content["outcomes"][0]["box_acc"]["single"]["0.3"].pop(),
    "no curves": lambda content: content["outcomes"][0].update(box_acc=None),
    "outcomes of another kind": lambda content: content.update(outcomes=[1]),
    "a step of zero": lambda content: content["protocol"].update(interval=0),
    "a step that would fill the memory": lambda content: content["protocol"].update(interval=1e-13),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_is_no_version_1_record_is_refused_by_name(tmp_path, kind):
    content = as_version1(make_record())
    CHANGES[kind](content)
    with pytest.raises(DataError) as caught:
        read_verified(write(tmp_path / "r.json", content))
    assert str(caught.value).startswith(f"{tmp_path / 'r.json'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [0, 4, "3", None, True, 3.0])
def test_other_versions_are_refused(tmp_path, version):
    content = json.loads(make_record().to_line()) | {"schema_version": version}
    with pytest.raises(DataError, match=r"not a result record \(schema_version: expected a version from 1 to 3"):
        read_record(write(tmp_path / "r.json", content))
