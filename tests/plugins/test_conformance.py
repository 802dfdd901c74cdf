"""The conformance suite over everything that is registered: to be installed is to be tested.

A case is one registered thing, and its failure lists every check that failed. By default large networks are built
without memory, one variant a family; the slow tests hold the other variants, and compute with all but the largest.
"""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from unittest import SkipTest

import pytest
import torch

from wsolbench import testing
from wsolbench.api import BackboneSpec, DataError, DatasetRoots, DatasetSpec, UsageError
from wsolbench.host.loading import load_plugins

REGISTRY = load_plugins()
LARGEST_INPUT_FOR_QUICK_CHECKS = 128
WITHOUT_MEMORY = {"check_input_config", "check_backbone_on_meta", "check_backbone_checkpoints", "check_backbone_layers"}
SLOW_TO_BUILD = ("overlock_b",)
"""Networks of thousands of layers, which cost seconds even without memory."""
LARGEST = ("convnextv2_huge", "replknet_31l", "replknet_xl", "unireplknet_l", "unireplknet_xl")
"""Networks of 170 to 660 million parameters: they are wider than relatives that compute, and take a minute each."""
SMALLER_INPUT = 96
"""For large networks: all of them are convolutional, so a smaller input shows the same."""


def test_our_own_plugins_load():
    assert [str(failure) for failure in REGISTRY.failures if is_ours(failure)] == []


def is_ours(offer):
    return offer.provider.distribution == "wsolbench"


def is_large(spec):
    return isinstance(spec, BackboneSpec) and spec.input.size > LARGEST_INPUT_FOR_QUICK_CHECKS


def is_default(offer):
    """Tell whether a network is the first of its family and size class; its relatives differ in width and depth."""
    spec = offer.spec
    if offer.name in SLOW_TO_BUILD:
        return False
    return not isinstance(spec, BackboneSpec) or spec.family is None or offer is FIRST[spec.family, is_large(spec)]


FIRST = {(offer.spec.family, is_large(offer.spec)): offer for offer in reversed(list(REGISTRY.backbones))}


def built_from_nothing():
    """Return the data sets that need no folder, by name."""
    built = {}
    for offer in REGISTRY.datasets:
        with contextlib.suppress(UsageError, DataError):
            built[offer.name] = offer.spec.build(DatasetRoots())
    return built


FROM_NOTHING = built_from_nothing()
CLASS_COUNTS = {name: len(dataset.class_names) for name, dataset in FROM_NOTHING.items()}
ON_DISK = sorted({offer.name for offer in REGISTRY.datasets if is_ours(offer)} - FROM_NOTHING.keys())
"""Our data sets that need a folder: the tests write one for each."""
SMALL_INPUT = 48
BASES = {"ts-cam": "vit_nano", "scm": "vit_nano"}
"""Systems that refuse the convolutional network of the checks -> a network that they train."""


def cases():
    """Yield every offer with the checks of one case: all of them, or of large networks those of one kind."""
    for offer in (offer for catalogue in REGISTRY.catalogues for offer in catalogue):
        spec, name = offer.spec, offer.qualified_name
        slow = [] if is_default(offer) else [pytest.mark.slow]
        if isinstance(spec, DatasetSpec) and offer.name in ON_DISK:
            continue
        if isinstance(spec, DatasetSpec) and offer.name not in FROM_NOTHING:
            reason = f"'{offer.name}' needs a folder that only its author has"
            yield pytest.param([], id=name, marks=pytest.mark.skip(reason=reason))
            continue
        base = REGISTRY.backbones.get(BASES[offer.name]).spec.at_size(SMALL_INPUT) if offer.name in BASES else None
        checks = testing.conformance_checks(spec, class_counts=CLASS_COUNTS, base=base)
        if is_large(spec):
            small = replace(spec, input=replace(spec.input, size=SMALLER_INPUT))
            computing = testing.conformance_checks(small, class_counts=CLASS_COUNTS)
            computing = [check for check in computing if check[0] not in WITHOUT_MEMORY]
            if offer.name not in LARGEST:
                yield pytest.param(computing, id=f"{name}-computing", marks=pytest.mark.slow)
            checks = [check for check in checks if check[0] in WITHOUT_MEMORY]
        yield pytest.param(checks, id=name, marks=slow)


def run_all(checks):
    """Run every check, and raise together what failed, each under the name of its check."""
    failed = {}
    for name, check in checks:
        try:
            with contextlib.suppress(SkipTest):
                check()
        except Exception as error:
            error.add_note(f"in {name}")
            failed[name] = error
    if failed:
        raise ExceptionGroup(f"{', '.join(failed)} failed", list(failed.values()))


@pytest.mark.parametrize("checks", list(cases()))
def test_conforms(checks):
    run_all(checks)


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ON_DISK)
def test_data_sets_on_disk_conform(disk_roots, name):
    run_all(testing.conformance_checks(REGISTRY.datasets.get(name).spec, roots=disk_roots(name)))


@pytest.mark.parametrize("name", ["folder", "openimages"])
def test_images_and_masks_in_a_zip_file_can_be_sent_to_another_process(disk_roots, tmp_path, name):
    roots = disk_roots(name)
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", roots.images)
    built = REGISTRY.datasets.get(name).spec.build(replace(roots, images=Path(archive)))
    testing.check_dataset_pickles(built)
