"""The conformance suite over everything that is registered: to be installed is to be tested."""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from wsolbench import testing
from wsolbench.api import BackboneSpec, DataError, DatasetRoots, DatasetSpec, UsageError
from wsolbench.host.loading import load_plugins

REGISTRY = load_plugins()
LARGEST_INPUT_FOR_QUICK_CHECKS = 128
"""Networks with larger inputs are built without memory here; their values are checked by the slow tests."""
QUICK = {"check_input_config", "check_backbone_on_meta", "check_backbone_checkpoints", "check_backbone_layers"}


def test_our_own_plugins_load():
    assert [str(failure) for failure in REGISTRY.failures if is_ours(failure)] == []


def is_heavy(spec):
    return isinstance(spec, BackboneSpec) and spec.input.size > LARGEST_INPUT_FOR_QUICK_CHECKS


def built_from_nothing():
    """Return the data sets that need no folder, by name."""
    built = {}
    for offer in REGISTRY.datasets:
        with contextlib.suppress(UsageError, DataError):
            built[offer.name] = offer.spec.build(DatasetRoots())
    return built


def is_ours(offer):
    return offer.provider.distribution == "wsolbench"


DATASET_CHECKS = [name for name, _ in testing.conformance_checks(DatasetSpec("any", lambda _: None, ""))]
ON_DISK = sorted({offer.name for offer in REGISTRY.datasets if is_ours(offer)} - built_from_nothing().keys())
"""Our data sets that need a folder: the tests write one for each."""


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
                marks = [pytest.mark.skip(reason=f"'{offer.name}' needs a folder that only its author has")]
            if not (isinstance(spec, DatasetSpec) and offer.name in ON_DISK):
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


@pytest.mark.parametrize("name", DATASET_CHECKS)
@pytest.mark.parametrize("dataset", ON_DISK)
def test_data_sets_on_disk_conform(disk_roots, dataset, name):
    spec = REGISTRY.datasets.get(dataset).spec
    dict(testing.conformance_checks(spec, roots=disk_roots(dataset)))[name]()


@pytest.mark.parametrize("dataset", ["folder", "openimages"])
def test_images_and_masks_in_a_zip_file_can_be_sent_to_another_process(disk_roots, tmp_path, dataset):
    roots = disk_roots(dataset)
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", roots.images)
    built = REGISTRY.datasets.get(dataset).spec.build(replace(roots, images=Path(archive)))
    testing.check_dataset_pickles(built)
