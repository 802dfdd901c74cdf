"""Records that are read by several processes are those that one reads."""

import pickle

import pytest
from generated_board import write_board

from wsolbench.leaderboard import entries
from wsolbench.progress import Reporter


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Sixty records, one of them changed and one that is none."""
    folder = write_board(tmp_path_factory.mktemp("read"), 60) / "records"
    changed, *_, none = sorted(folder.rglob("*.json"))
    changed.write_text(changed.read_text().replace('"max_box_acc": ', '"max_box_acc": 1'))
    none.write_text("{")
    return folder


def read(records, monkeypatch, helpers):
    monkeypatch.setattr(entries, "_WORTHWHILE", 1)
    monkeypatch.setattr(entries, "spare_processors", lambda: helpers)
    return entries.read_all(records, Reporter())


@pytest.mark.slow
def test_two_processes_read_what_one_reads(records, monkeypatch):
    (alone, refused), (beside, also_refused) = (read(records, monkeypatch, helpers) for helpers in (0, 1))
    assert len(alone) == 58
    assert len(refused) == 2
    assert also_refused == refused
    for one, other in zip(alone, beside, strict=True):
        assert (one.name, one.sha256, one.record) == (other.name, other.sha256, other.record)
        assert pickle.dumps(one.record.outcomes[0].correct) == pickle.dumps(other.record.outcomes[0].correct)
        assert {name: value for name, (value, _) in one.resampled.items()} == {
            name: value for name, (value, _) in other.resampled.items()
        }
        assert one.measured == other.measured
        assert all((one.resampled[name][1] == other.resampled[name][1]).all() for name in one.resampled)


def test_records_of_the_same_images_share_their_ids(records, monkeypatch):
    found, _ = read(records, monkeypatch, 1)
    ids = [part.image_ids for entry in found for part in entry.record.outcomes]
    assert len({id(each) for each in ids}) == len(set(ids))
