import pytest
from wsolbench_plugins.datasets import folder

from wsolbench.api import DataError, DatasetRoots, Split, UsageError
from wsolbench.data import ReferenceDataset


def test_offers_one_data_set():
    (spec,) = folder.wsolbench_datasets()
    assert spec.name == "folder"
    assert spec.source


def test_builds_from_the_given_roots(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "image_ids.txt").write_text("a.jpg\n")
    (tmp_path / "test" / "class_labels.txt").write_text("a.jpg,2\n")
    (spec,) = folder.wsolbench_datasets()
    dataset = spec.build(DatasetRoots(metadata=tmp_path))
    assert isinstance(dataset, ReferenceDataset)
    assert (dataset.name, dataset.splits, len(dataset.class_names)) == ("folder", {Split.TEST}, 3)


def test_missing_roots_say_what_to_pass(tmp_path):
    (spec,) = folder.wsolbench_datasets()
    with pytest.raises(UsageError, match="--metadata-root DIR"):
        spec.build(DatasetRoots())
    with pytest.raises(DataError, match="holds no split"):
        spec.build(DatasetRoots(metadata=tmp_path))
