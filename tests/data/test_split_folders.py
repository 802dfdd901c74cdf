"""Folders that seem to be splits and are not."""

import pytest

from wsolbench.contract import DatasetRoots, Severity, Split
from wsolbench.data.split_folders import find_split_folders
from wsolbench.data.storage import FolderStorage
from wsolbench.errors import DataError


def find(root, *names):
    findings, faults = [], []
    for name in names:
        (root / name / "cat").mkdir(parents=True)
    roots = DatasetRoots(on_finding=findings.append, on_fault=faults.append)
    found = find_split_folders(FolderStorage(root), roots, lambda folder: (root / folder / "cat").is_dir())
    return set(found), [finding.text for finding in findings], [str(fault) for fault in faults]


@pytest.mark.parametrize("name", ["valid", "Validation", "dev", "VAL", "train-fullsup"])
def test_a_split_of_another_name_is_a_fault(tmp_path, name):
    found, findings, faults = find(tmp_path, "test", name)
    assert found == {Split.TEST}
    assert findings == []
    assert faults == [
        f"{tmp_path / name} is the folder of no split and would be left out; rename it to 'val', which is "
        "train-fullsup, or move it away"
    ]


def test_other_folders_beside_splits_are_left_out_aloud(tmp_path):
    (tmp_path / "Annotations").mkdir()
    found, findings, faults = find(tmp_path, "test", "val", "valid", "extra", ".git")
    assert found == {Split.TEST, Split.TRAIN_FULLSUP}
    assert findings == [f"{tmp_path}: left out, as only train, val and test are splits: extra, valid"]
    assert faults == []


def test_class_folders_alone_are_no_splits(tmp_path):
    for name in ("dev", "cat"):
        (tmp_path / name).mkdir()
    assert find(tmp_path) == (set(), [], [])


def test_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match="none cannot be read: No such file"):
        find(tmp_path / "none")


def test_severity(tmp_path):
    findings = []
    for name in ("test", "other"):
        (tmp_path / name).mkdir()
    find_split_folders(FolderStorage(tmp_path), DatasetRoots(on_finding=findings.append), lambda _: True)
    assert [finding.severity for finding in findings] == [Severity.WARNING]
