"""Numbers that a method reports of its maps: checked, recorded for every image, null where they are not finite."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from wsolbench_plugins.methods.cam import CAM
from wsolbench_plugins.methods.pc1 import PrincipalComponent

from wsolbench.contract import Maps, Split
from wsolbench.engine.run import carry_out
from wsolbench.errors import PluginError
from wsolbench.records import read_record
from wsolbench.records.store import with_outcomes
from wsolbench.records.verify import contradiction, read_verified

pytestmark = pytest.mark.usefixtures("no_gallery")


def numbered(features):
    return (features[:, 0].mean(dim=(1, 2)) * 255).round()


class Counting:
    """Reports each image's number, and of number 2 that it is not finite."""

    def __call__(self, features, _context):
        numbers = numbered(features)
        thirds = (numbers + 1) / 3
        return Maps(features[:, 1], {"thirds": thirds, "odd": numbers.where(numbers != 2, float("inf"))})


def by_split(record):
    return {part.split: part for part in record.outcomes}


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_statistics_of_every_image_of_every_split_are_recorded_in_its_place(toys, batch_size):
    plan = toys.plan(toys.method("counting", Counting()), toys.method("green"), batch_size=batch_size)
    counting, green = carry_out(plan, toys.notes, command="wsolbench run")
    for split, count in (("test", 6), ("train-fullsup", 4)):
        statistics = by_split(counting)[split].statistics
        assert statistics["thirds"].tolist() == [float(f"{(number + 1) / 3:.6g}") for number in range(count)]
        assert statistics["thirds"][0] == 0.333333
        np.testing.assert_array_equal(statistics["odd"], [np.nan if number == 2 else number for number in range(count)])
        assert by_split(green)[split].statistics == {}
    assert counting.metrics == green.metrics
    assert read_verified(toys.folder / "out" / "record-counting.json") == counting


@pytest.mark.parametrize(
    ("value", "got"),
    [(torch.zeros(2), r"\(2,\)"), (torch.zeros(4, 1), r"\(4, 1\)"), (0.5, "float"), (None, "NoneType")],
)
def test_statistics_of_a_wrong_shape_are_told_with_what_was_expected(toys, value, got):
    method = toys.method(method=lambda features, _: Maps(features[:, 1], {"share": value}))
    words = rf"'green' returned {got} as 'share' of the images from 'val/0' on; expected one number a map, \(4,\)"
    with pytest.raises(PluginError, match=words):
        toys.run(method)


def test_a_method_may_report_on_some_batches_only(toys):
    def method(features, _context):
        numbers = numbered(features)
        return Maps(features[:, 1], {"number": numbers}) if numbers[0] >= 4 else features[:, 1]

    (record,) = toys.run(toys.method(method=method))
    np.testing.assert_array_equal(by_split(record)["test"].statistics["number"], [np.nan] * 4 + [4, 5])
    assert by_split(record)["train-fullsup"].statistics == {}
    (read,) = [read_record(toys.folder / "out" / "record-green.json")]
    np.testing.assert_array_equal(by_split(read)["test"].statistics["number"], [np.nan] * 4 + [4, 5])


def test_statistics_of_too_few_images_contradict_the_record(toys):
    (record,) = toys.run(toys.method(method=Counting()))
    assert contradiction(record) is None
    short = replace(record.outcomes[0], statistics={"thirds": np.array([0.5])})
    problem = contradiction(with_outcomes(record, [short, *record.outcomes[1:]]))
    assert "expected one of each kind for each of 6 images" in problem


# ------------------------------------------------------------------------------ methods of ours, with nothing to see


def test_a_cam_that_is_negative_everywhere_is_a_zero_map_and_a_count(toys):
    network = toys.network()
    torch.nn.init.constant_(network.module.head.weight, -0.5)
    (record,) = toys.run(toys.method("cam", CAM()), network=network)
    assert by_split(record)["test"].constant_maps == 6
    assert by_split(record)["test"].nan_maps == 0
    assert "6 of 6 maps of 'cam' on test hold one value only" in " ".join(toys.notes.warned)


def test_features_without_a_difference_are_zero_maps_a_count_and_no_share(toys):
    network = toys.network()
    plain = network.module.forward_features
    network.module.forward_features = lambda images: plain(images) * 0 + 0.3
    (record,) = toys.run(toys.method("pc1", PrincipalComponent()), network=network)
    test = by_split(record)["test"]
    assert (test.constant_maps, test.nan_maps) == (6, 0)
    np.testing.assert_array_equal(test.statistics["variance_share"], [np.nan] * 6)
    assert record.metrics.max_box_acc == 0


def test_variance_shares_are_recorded(toys):
    network, dataset = toys.network(), toys.dataset()
    noise = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = network.module.forward_features
    network.module.forward_features = lambda images: plain(images) + noise
    (record,) = toys.run(toys.method("pc1", PrincipalComponent()), network=network, dataset=dataset)
    shares = by_split(record)["test"].statistics["variance_share"]
    assert len(shares) == len(dataset.images(Split.TEST).ids)
    assert all(0.5 < share < 1 for share in shares)
    assert by_split(record)["test"].constant_maps == 0
