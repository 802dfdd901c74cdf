"""The conformance suite over everything that is registered: to be installed is to be tested."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from wsolbench import testing
from wsolbench.api import BackboneSpec, DataError, DatasetRoots, DatasetSpec, UsageError
from wsolbench.plugins import load_plugins

REGISTRY = load_plugins()
LARGEST_INPUT_FOR_QUICK_CHECKS = 128
"""Networks with larger inputs are built without memory here; their values are checked by the slow tests."""
REFERENCE_LAYOUT = {"folder"}
"""Data sets that any folder in the reference layout makes."""
QUICK = {"check_input_config", "check_backbone_on_meta", "check_backbone_checkpoints", "check_backbone_layers"}


def test_our_own_plugins_load():
    assert [str(failure) for failure in REGISTRY.failures if failure.provider.distribution == "wsolbench"] == []


def is_heavy(spec):
    return isinstance(spec, BackboneSpec) and spec.input.size > LARGEST_INPUT_FOR_QUICK_CHECKS


def built_from_nothing():
    """Return the data sets that need no folder, by name."""
    built = {}
    for offer in REGISTRY.datasets:
        with contextlib.suppress(UsageError, DataError):
            built[offer.name] = offer.spec.build(DatasetRoots())
    return built


def all_checks():
    from_nothing = built_from_nothing()
    class_counts = {name: len(dataset.class_names) for name, dataset in from_nothing.items()}
    for offer in (offer for catalogue in REGISTRY.catalogues for offer in catalogue):
        spec, checks = offer.spec, testing.conformance_checks(offer.spec, class_counts=class_counts)
        if is_heavy(spec):  # all of them are convolutional: a smaller input shows the same
            small = replace(spec, input=replace(spec.input, size=96))
            checks = [check for check in checks if check[0] in QUICK]
            checks += [check for check in testing.conformance_checks(small) if check[0] not in QUICK]
        for name, check in checks:
            marks = []
            if is_heavy(spec) and name not in QUICK:
                marks = [pytest.mark.slow]
            if isinstance(spec, DatasetSpec) and offer.name not in from_nothing:
                marks = [pytest.mark.skip(reason=f"'{offer.name}' needs a folder that is not part of the repository")]
            if offer.name not in REFERENCE_LAYOUT:
                yield pytest.param(check, id=f"{offer.qualified_name}-{name}", marks=marks)


@pytest.mark.parametrize("check", list(all_checks()))
def test_conforms(check):
    check()


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """A data set on disk in the reference layout, with two images a split."""
    root = tmp_path_factory.mktemp("layout")
    noise = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        (root / split).mkdir()
        ids = [f"{split}/{number}.png" for number in range(2)]
        for image_id in ids:
            Image.fromarray(noise.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(root / image_id)
        lines = {
            "image_ids": ids,
            "class_labels": [f"{image_id},{label}" for label, image_id in enumerate(ids)],
            "image_sizes": [f"{image_id},30,20" for image_id in ids],
            "localization": [f"{image_id},3,4,29,19" for image_id in ids],
        }
        for name, content in lines.items():
            (root / split / f"{name}.txt").write_text("\n".join(content) + "\n")
    return DatasetRoots(images=root, metadata=root)


FOLDER_CHECKS = [name for name, _ in testing.conformance_checks(DatasetSpec("folder", lambda _: None, ""))]


@pytest.mark.parametrize("name", FOLDER_CHECKS)
@pytest.mark.parametrize("dataset", sorted(REFERENCE_LAYOUT))
def test_data_sets_on_disk_conform(layout, dataset, name):
    dict(testing.conformance_checks(REGISTRY.datasets.get(dataset).spec, roots=layout))[name]()
