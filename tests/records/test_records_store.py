"""Records on disk: what is written comes back; what is missing, altered, damaged or endless is named in one line."""

import gzip
import json
import zlib
from hashlib import sha256
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from cases import each
from toy_records import make_outcomes, make_record, write_sealed

from wsolbench.errors import DataError, OutputError
from wsolbench.records import read_record, store, write_record
from wsolbench.records.store import files_beside, outcomes_path
from wsolbench.records.verify import contradiction, read_verified


def written(tmp_path):
    return write_record(make_record(), tmp_path, "record-cam")


@pytest.fixture
def path(tmp_path):
    return written(tmp_path)


def rewrite(path, change, *, honest):
    """Change the content of an outcomes file; with `honest` its summary has the hash of the new one."""
    place = outcomes_path(path)
    content = json.loads(gzip.decompress(place.read_bytes()))
    change(content)
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n"
    place.write_bytes(gzip.compress(text.encode()))
    if honest:
        summary = json.loads(path.read_text())
        summary["outcomes_sha256"] = sha256(text.encode()).hexdigest()
        write_sealed(path, summary)


def refused(path, *words):
    """Check that a record is refused in one line with words, by reading or by verifying; return the line."""
    with pytest.raises(DataError) as caught:
        read_verified(path)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
    return message


# ------------------------------------------------------------------------------------------------------ what is written


def test_a_record_is_a_summary_its_outcomes_and_the_ids_of_its_images(path):
    kinds = [name.partition("-")[0] for name in sorted(file.name for file in path.parent.iterdir())]
    assert kinds == ["images", "images", "record", "record"]
    assert sorted(files_beside(path, read_record(path))) == sorted(set(path.parent.iterdir()) - {path})
    summary = json.loads(path.read_text())
    assert "outcomes" not in summary
    assert [(part["split"], part["images"], part["statistics"]) for part in summary["splits"]] == [
        ("test", 8, ["share"]),
        ("train-fullsup", 5, ["share"]),
    ]
    assert len(path.read_bytes()) < 8000


def test_what_was_written_comes_back_whole(path):
    record, read = make_record(), read_verified(path)
    assert read == record
    assert read.to_json() == path.read_text()
    for part, expected in zip(read.outcomes, record.outcomes, strict=True):
        assert part.image_ids == expected.image_ids
        np.testing.assert_array_equal(part.hits[1], expected.hits[1])
        np.testing.assert_array_equal(part.statistics["share"], expected.statistics["share"])
        assert (part.nan_maps, part.constant_maps) == (1, 2)
        for mode, by_iou in expected.correct.items():
            for iou, runs in by_iou.items():
                for name in ("image", "start", "stop"):
                    np.testing.assert_array_equal(
                        getattr(part.correct[mode][iou], name), getattr(runs, name), strict=True
                    )


def test_the_same_record_gives_the_same_bytes_anywhere(path, tmp_path):
    again = write_record(read_record(path), tmp_path / "elsewhere", path.stem)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == {
        file.name: file.read_bytes() for file in again.parent.iterdir()
    }
    header = outcomes_path(path).read_bytes()[:10]
    assert header[3] == 0, "no file name"
    assert header[4:8] == bytes(4), "no time"


def test_another_compressor_makes_no_difference(path):
    for file in files_beside(path, read_record(path)):
        file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), compresslevel=1))
    assert read_verified(path) == make_record()


def test_records_of_the_same_images_share_their_ids(path):
    write_record(make_record(2), path.parent, "record-pc1")
    assert len(list(path.parent.glob("images-*"))) == 2
    other = make_outcomes(image_ids=tuple(f"other/{index}" for index in range(8)))
    write_record(make_record(test=other), path.parent, "record-other")
    assert len(list(path.parent.glob("images-*"))) == 3


def test_ids_in_any_script_come_back(tmp_path):
    ids = ("鳥/1.png", "a b.png", "Vögel\u00a0x.png", "אבג.png", " ", "-", "ß", "🐦")
    path = write_record(make_record(test=make_outcomes(image_ids=ids)), tmp_path, "r")
    assert read_verified(path).outcomes[0].image_ids == ids


def test_a_record_in_one_line_needs_no_other_file(tmp_path):
    record = make_record()
    assert "\n" not in record.to_line()
    (tmp_path / "r.json").write_text(record.to_line() + "\n", encoding="utf-8")
    read = read_verified(tmp_path / "r.json")
    assert read == record
    assert read.to_line() == record.to_line()
    assert read.outcomes[0].image_ids == record.outcomes[0].image_ids


def test_a_place_that_cannot_be_written_is_named(path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_record(make_record(), path, "record")


# ------------------------------------------------------------------------------------------------ missing and altered


@each("which", range(3))
def test_a_missing_file_is_named_and_the_summary_is_still_read(tmp_path, which):
    path = written(tmp_path)
    gone = files_beside(path, read_record(path))[which]
    gone.unlink()
    record = read_record(path)
    assert record.metrics == make_record().metrics
    assert not record.has_outcomes
    with pytest.raises(DataError, match=f"no outcomes: .*{gone.name} is missing"):
        record.outcomes  # noqa: B018
    assert contradiction(record) is not None
    refused(path, f"{gone} is missing")


def test_outcomes_of_another_record_are_refused(path):
    other = write_record(make_record(2), path.parent, "other")
    outcomes_path(path).write_bytes(outcomes_path(other).read_bytes())
    refused(path, str(outcomes_path(path)), "its hash is another one")


@each("which", [1, 2])
def test_ids_of_other_images_are_refused(tmp_path, which):
    path = written(tmp_path)
    place = files_beside(path, read_record(path))[which]
    place.write_bytes(gzip.compress(b"a\nb\n"))
    refused(path, str(place), "does not hold the images of the record")


def test_one_altered_outcome_is_refused(path):
    rewrite(path, lambda content: content["test"]["hits"]["1"].__setitem__(1, 1), honest=False)
    refused(path, str(outcomes_path(path)), "its hash is another one")


def test_an_altered_outcome_under_its_own_hash_contradicts_the_scores(path):
    rewrite(path, lambda content: content["test"]["hits"]["1"].__setitem__(1, 1), honest=True)
    refused(path, str(path), "top1_acc is 50.0, but its outcomes give 62.5")


def test_an_altered_line_is_refused(tmp_path):
    content = json.loads(make_record().to_line())
    content["outcomes"]["test"]["hits"]["1"][1] = 1
    (tmp_path / "r.json").write_text(json.dumps(content))
    refused(tmp_path / "r.json", "its outcomes are not those that it was written with")


SUMMARY = {
    "images": (lambda s: s["splits"][0].update(images=9), "split_sizes are {'test': 8, 'train-fullsup': 5}, but its"),
    "split sizes": (lambda s: s["dataset"]["split_sizes"].update(test=9), "split_sizes are "),
    "both": (
        lambda s: (s["splits"][0].update(images=1000), s["dataset"]["split_sizes"].update(test=1000)),
        "splits and outcomes of test disagree",
    ),
    "statistics": (lambda s: s["splits"][0].update(statistics=[]), "splits and outcomes of test disagree"),
    "a split less": (lambda s: (s["splits"].pop(), s["dataset"]["split_sizes"].pop("train-fullsup")), "other splits"),
    "a split twice": (lambda s: s["splits"].append(s["splits"][0]), "splits are test, train-fullsup, test, where test"),
    "the first split twice": (
        lambda s: s["splits"].__setitem__(1, s["splits"][0]),
        "splits are test, test, where test",
    ),
    "content": (lambda s: s["dataset"].update(content_sha256="0" * 64), "dataset.content_sha256 is not the hash"),
    "limit": (lambda s: s["dataset"].update(limit=7), "limit is 7, but split_sizes are"),
    "options": (lambda s: s["method"].update(changed_options={"a": 1}), "method.changed_options.a is 1, but its opt"),
    "config": (lambda s: s.update(config={"split": "train-fullsup"}), "config.split is 'train-fullsup', but the rec"),
    "reason": (lambda s: s["missing"].update(pxap="no time"), "missing.pxap is 'no time', but its outcomes give "),
    "no reason": (lambda s: s["missing"].pop("pxap"), "missing.pxap is None, but its outcomes give "),
    "a reason too many": (lambda s: s["missing"].update(top1_acc="no classifier ran"), "missing.top1_acc is "),
    "frame": (lambda s: s["protocol"].update(frame=448), "protocol.frame"),
    "IoU thresholds": (lambda s: s["protocol"].update(iou_thresholds=[0.3, 0.5]), "protocol.iou_thresholds"),
    "protocol": (lambda s: s["protocol"].update(version=99), "protocol.version"),
    "level": (lambda s: s["intervals"].update(level=0.01), "intervals.level is 0.01, expected 0.95"),
    "resamples": (lambda s: s["intervals"].update(resamples=2), "intervals.resamples is 2, expected 1000"),
    "kind": (lambda s: s["intervals"].update(kind="basic"), "intervals.kind is basic, expected bias-corrected"),
    "a τ less": (lambda s: s["metrics"].update(fullsup_cam_threshold=None), "fullsup_cam_threshold.0.3 is None"),
    "τ of one δ": (lambda s: s["metrics"]["fullsup_cam_threshold"].update({"0.7": 0.2}), "is 0.2, but its outcomes"),
    "an accuracy less": (lambda s: s["metrics"]["max_box_acc_by_iou"].pop("0.5"), "metrics.max_box_acc_by_iou"),
    "hash": (lambda s: s.update(outcomes_sha256="0" * 64), "its hash is another one"),
    "ids": (lambda s: s["splits"][0].update(image_ids_sha256="0" * 64), "is missing"),
    "step": (lambda s: s["protocol"].update(threshold_step=0.1), "indices from 0 to 10"),
    "finer step": (lambda s: s["protocol"].update(threshold_step=0.04), "but its outcomes give 0.12"),
    "no step": (lambda s: s["protocol"].update(threshold_step=0), "protocol.threshold_step"),
    "a step that would fill the memory": (lambda s: s["protocol"].update(threshold_step=1e-13), "threshold_step"),
    "τ": (lambda s: s["metrics"].update(fullsup_cam_threshold_single=0.2), "is 0.2, but its outcomes give 0.15"),
}


@each("kind", SUMMARY)
def test_a_summary_that_does_not_follow_from_the_outcomes_is_refused(tmp_path, kind):
    path = write_record(make_record(), tmp_path, "r")
    read_verified(path)
    change, words = SUMMARY[kind]
    summary = json.loads(path.read_text())
    change(summary)
    write_sealed(path, summary)
    refused(path, words)


# ------------------------------------------------------------------------------------------------- damage and bombs


DAMAGE = {
    "empty": lambda _: b"",
    "no gzip": lambda _: b"text",
    "cut": lambda content: content[: len(content) // 2],
    "cut in the header": lambda content: content[:5],
    "checksum": lambda content: content[:-8] + bytes(4) + content[-4:],
    "a flipped byte": lambda content: content[:40] + bytes([content[40] ^ 255]) + content[41:],
    "garbage behind": lambda content: content + b"garbage",
}


@each(("kind", "which"), list(product(DAMAGE, range(3))))
def test_a_damaged_file_is_named_in_one_line(tmp_path, kind, which):
    path = written(tmp_path)
    place = files_beside(path, read_record(path))[which]
    place.write_bytes(DAMAGE[kind](place.read_bytes()))
    refused(path, str(place))


@each("which", range(3))
def test_a_file_that_unpacks_without_end_is_left(tmp_path, which, monkeypatch):
    path = written(tmp_path)
    monkeypatch.setattr(store, "LARGEST", 2**20)
    place = files_beside(path, read_record(path))[which]
    place.write_bytes(gzip.compress(bytes(2**24)))
    refused(path, str(place), "unpacks to more than 1 MiB")


@pytest.mark.slow
def test_of_a_bomb_no_more_than_the_limit_is_unpacked(path):
    """16 GiB of zeros, packed to 16 MiB by repeating one compressed block."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    outcomes_path(path).write_bytes(start + block * 2**14)
    refused(path, "unpacks to more than 32 MiB")


FORMS = {
    "no object": lambda content: content.update(test=[]),
    "no splits": lambda content: content.clear(),
    "a mode less": lambda content: content["test"]["correct"].pop("multi"),
    "a δ less": lambda content: content["test"]["correct"]["multi"].pop("0.3"),
    "no counts": lambda content: content["test"]["correct"]["single"]["0.5"].pop("counts"),
    "a count less": lambda content: content["test"]["correct"]["single"]["0.5"]["counts"].pop(),
    "an edge less": lambda content: content["test"]["correct"]["single"]["0.5"]["edges"].pop(),
    "counts that would fill the memory": lambda content: content["test"]["correct"]["single"]["0.5"].update(
        counts=[2**60, -(2**60) + 8]
    ),
    "a count beyond integers": lambda content: content["test"]["correct"]["single"]["0.5"].update(counts=[2**70]),
    "nested lists": lambda content: content["test"]["correct"]["single"]["0.5"].update(edges=[[0, 1]] * 16),
    "descending edges": lambda content: content["test"]["correct"]["single"]["0.5"]["edges"].reverse(),
    "edges off the grid": lambda content: content["test"]["correct"]["single"]["0.5"]["edges"].__setitem__(-1, 21),
    "a negative edge": lambda content: content["test"]["correct"]["single"]["0.5"]["edges"].__setitem__(0, -1),
    "text for numbers": lambda content: content["test"]["correct"]["single"]["0.5"].update(edges="0123"),
    "a hit less": lambda content: content["test"]["hits"]["1"].pop(),
    "hits at no number": lambda content: content["test"]["hits"].update(best=[1] * 8),
    "a statistic less": lambda content: content["test"]["statistics"]["share"].pop(),
    "text for a statistic": lambda content: content["test"]["statistics"].update(share=["a"] * 8),
    "a fraction of an edge": lambda content: content["test"]["correct"]["single"]["0.5"]["edges"].__setitem__(0, 0.5),
}


def test_files_beside_a_record_are_refused_with_its_name(path):
    refused(path.with_name("record-cam.outcomes.json.gz"), "the outcomes of the one beside it: name record-cam.json")
    for ids in path.parent.glob("images-*"):
        refused(ids, "the ids of its images: name the .json file beside it")


@each("kind", FORMS)
def test_outcomes_of_another_form_are_refused_under_their_own_hash(tmp_path, kind):
    path = written(tmp_path)
    rewrite(path, FORMS[kind], honest=True)
    refused(path, path.name.removesuffix(".json"))


@each("kind", FORMS)
def test_they_are_refused_in_a_line_too(tmp_path, kind):
    content = json.loads(make_record().to_line())
    FORMS[kind](content["outcomes"])
    (tmp_path / "r.json").write_text(json.dumps(content))
    refused(tmp_path / "r.json", "r.json: ")


@each("content", [b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_an_outcomes_file_that_is_no_json_object_is_refused(tmp_path, content):
    path = written(tmp_path)
    outcomes_path(path).write_bytes(gzip.compress(content))
    summary = json.loads(path.read_text()) | {"outcomes_sha256": sha256(content).hexdigest()}
    write_sealed(path, summary)
    refused(path, str(outcomes_path(path)))


COMMITTED = sorted((Path(__file__).parents[2] / "leaderboard" / "records").iterdir())


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_records_of_earlier_commits_keep_their_hashes(folder):
    paths = sorted(folder.glob("*.json"))
    for path in (paths[0], paths[len(paths) // 2], paths[-1]):
        assert read_verified(path).outcomes_sha256 == json.loads(path.read_text())["outcomes_sha256"]
