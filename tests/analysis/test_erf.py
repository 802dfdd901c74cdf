"""Effective receptive fields: known answers, the published procedure told literally, and one line for faults."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import nn
from toy_records import make_backbone

import wsolbench
from wsolbench.analysis.stored import read_analysis
from wsolbench.analysis.studies.erf import SHARES, Gradients, Study, contribution, find_squares
from wsolbench.analysis.study import Measured
from wsolbench.analysis.subject import Subject
from wsolbench.contract import Split
from wsolbench.contract.inputs import InputChanges
from wsolbench.data.opened import OpenDataset
from wsolbench.errors import DataError, PluginError, UsageError
from wsolbench.figures.heat_maps import HeatMap, draw_heat_maps
from wsolbench.networks.devices import within_memory
from wsolbench.networks.load import load_network
from wsolbench.networks.shapes import build_network
from wsolbench.texts import in_pixels, percentage

SIDE = 32  # of the images of toys

PROCEDURE = Path(__file__).parents[2] / "benchmarks" / "erf_procedure.py"


@pytest.fixture(scope="module")
def procedure():
    """The published procedure in our words, which the benchmark compares with too."""
    spec = importlib.util.spec_from_file_location("erf_procedure", PROCEDURE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Known(nn.Module):
    """A network whose features are a given function of the image."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward_features(self, images):
        return self.features(images)

    def forward_head(self, features):
        return features.mean(dim=(2, 3))[:, :2]


@pytest.fixture
def subject(toys, registry):
    """Make a subject of the function that a network's features are; its images are those of toys."""

    def make(features, images=6):
        network = toys.network(Known(features).eval().requires_grad_(False))
        dataset = OpenDataset(toys.dataset(), network.offer.provider)
        part = dataset.open(Split.TEST, images)
        return Subject("toynet", network, dataset, part, 2, 1, 0, toys.notes, registry)

    return make


def depthwise(kernel, dilation=1):
    """Return a convolution of every colour with one kernel, and a constant so large that every feature is positive."""
    side = len(kernel)
    convolution = nn.Conv2d(3, 3, side, padding=dilation * (side // 2), dilation=dilation, groups=3)
    nn.init.constant_(convolution.bias, 100)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor(kernel).expand_as(convolution.weight))
    return convolution.requires_grad_(False)


def smallest_sides(held, side=SIDE):
    """Return the side of the smallest square that holds more than each share, where one of side s holds ``held(s)``."""
    return [next((s for s in range(3, side, 2) if held(s) > share), side) for share in SHARES]


def area_under(ratios):
    """Return the area under straight lines between points."""
    steps = zip(SHARES, SHARES[1:], ratios, ratios[1:], strict=False)
    return sum((after - before) * (low + high) / 2 for before, after, low, high in steps)


DELTA = np.zeros((5, 5))
DELTA[2, 2] = 3.0


def comb(side, dilation):
    """Return the share that a square holds of a kernel of 7×7 points with gaps."""
    return (2 * min(side // 2 // dilation, 3) + 1) ** 2 / 49


@pytest.mark.parametrize(
    ("features", "held"),
    [
        (depthwise(np.full((7, 7), 0.25)), lambda side: min(side, 7) ** 2 / 49),
        (depthwise(np.full((21, 21), 1e-3)), lambda side: min(side, 21) ** 2 / 441),
        (depthwise(DELTA), lambda _: 1),
        (depthwise(np.full((7, 7), 0.5), dilation=3), lambda side: comb(side, 3)),
        (lambda images: images.abs() + 1, lambda _: 1),
        (lambda images: (images.mean(dim=(2, 3), keepdim=True) + 1).expand_as(images), lambda side: (side / SIDE) ** 2),
    ],
    ids=["uniform 7", "uniform 21", "delta", "dilated", "identity", "global pooling"],
)
def test_known_answers(subject, features, held):
    found = find_squares(contribution(Study().measure(subject(features)).mean))
    expected = smallest_sides(held)
    assert found.sides.tolist() == expected
    ratios = [side**2 / SIDE**2 for side in expected]
    assert found.ratios.tolist() == ratios
    assert found.reached.tolist() == [side < SIDE for side in expected]
    assert found.size == pytest.approx(area_under(ratios))


def test_a_kernel_that_differs_from_tap_to_tap(subject):
    kernel = np.random.default_rng(0).random((9, 9))
    found = Study().measure(subject(depthwise(kernel))).mean
    middle = slice(SIDE // 2 - 4, SIDE // 2 + 5)
    np.testing.assert_allclose(found[middle, middle], 3 * kernel, rtol=1e-6)  # three colours
    assert found.sum() == pytest.approx(3 * kernel.sum())


def test_negative_gradients_and_features_do_not_count(subject):
    """The sum of both is the whole image: where a feature is negative, and where a gradient is, there is nothing."""
    signs = torch.where(torch.arange(SIDE) < SIDE // 2, 1.0, -1.0)

    def features(images):
        left = (images * signs).mean(dim=(2, 3), keepdim=True) + 1
        return torch.cat([left, -left], dim=1).expand(-1, -1, 4, 4)

    found = Study().measure(subject(features)).mean
    np.testing.assert_allclose(found[:, : SIDE // 2], 3 / SIDE**2, rtol=1e-6)
    assert (found[:, SIDE // 2 :] == 0).all()


@pytest.mark.parametrize("side", [64, 65, 257])
def test_a_uniform_map_has_the_shares_as_ratios(side):
    found = find_squares(np.ones((side, side)))
    np.testing.assert_allclose(found.ratios, SHARES, atol=4 / side)
    assert found.size == pytest.approx((0.99**2 - 0.1**2) / 2, abs=4 / side)


maps = st.builds(
    lambda seed, side, power: np.random.default_rng(seed).random((side, side)) ** power,
    st.integers(0, 2**32),
    st.integers(4, 40),
    st.sampled_from([0.5, 2, 40]),
)


@settings(max_examples=60, deadline=None)
@given(maps)
def test_squares_grow_with_the_share_whatever_the_map_and_its_scale(values):
    found = find_squares(values)
    assert (np.diff(found.sides) >= 0).all()
    assert ((found.ratios > 0) & (found.ratios <= 1)).all()
    assert (found.ratios[~found.reached] == 1).all()
    assert find_squares(values * 2.0**20).sides.tolist() == found.sides.tolist()
    assert found.ratios[0] * (SHARES[-1] - SHARES[0]) <= found.size <= SHARES[-1] - SHARES[0]


@settings(max_examples=40, deadline=None)
@given(maps)
def test_squares_are_those_of_the_published_procedure(procedure, values):
    found = find_squares(values)
    for place, share in enumerate(SHARES):
        published = procedure.find_square(values, share)
        if published is None:
            assert not found.reached[place]
        else:
            assert published == (found.sides[place], found.ratios[place])


@pytest.mark.parametrize(
    "name", ["replknet_nano", *(pytest.param(name, marks=pytest.mark.slow) for name in ("slak_nano", "resnet_nano"))]
)
def test_the_whole_analysis_is_the_published_procedure(registry, toys, procedure, name):
    """Merged branches, fused norms and frozen parameters change nothing: same maps and squares."""
    device = torch.device("cpu")
    network = load_network(
        registry, name, dataset="toys", num_classes=2, weights="random", device=device, seed=3,
        changes=InputChanges(size=SIDE * 2),
    )  # fmt: skip
    dataset = OpenDataset(toys.dataset(), network.offer.provider)
    part = dataset.open(Split.TEST, 2)
    subject = Subject(name, network, dataset, part, 1, 1, 0, toys.notes, registry)
    ours = contribution(Study().measure(subject).mean)
    torch.manual_seed(3)
    plain = build_network(network.spec, 2).eval()
    images = [batch.images.detach().contiguous() for batch in subject.stream("images", batch_size=1)]
    theirs = procedure.scaled(procedure.mean_gradient(plain.forward_features, images))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    published = [procedure.find_square(theirs, share) for share in SHARES]
    found = find_squares(ours)
    assert [None if each is None else each[0] for each in published] == [
        int(side) if reached else None for side, reached in zip(found.sides, found.reached, strict=True)
    ]


# ------------------------------------------------------------------------------------------------------------ faults


def test_an_image_without_gradient_counts_and_is_counted(subject):
    """The number of an image of toys is its red channel: the centre of the first one, and only its, is not positive."""
    found = Study().measure(subject(lambda images: images[:, :1] - images[:, :1].amax(dim=(2, 3), keepdim=True) / 2))
    assert (found.images, found.without) == (6, 1)


@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        (lambda images: images.mean(dim=(2, 3), keepdim=True), UsageError, "have one position"),
        (lambda images: -images.abs() - 1, UsageError, "depends on no pixel of the 6 images"),
        (lambda images: images.detach() + 1, UsageError, "have no gradients with respect to the image"),
        (lambda images: images / 0, DataError, "the features of the image 'test/.' hold NaN"),
        (lambda images: images.abs().sqrt() + 1, DataError, "the gradient .* of the image 'test/.' holds NaN"),
    ],
)
def test_what_has_no_effective_receptive_field(subject, features, error, words):
    with pytest.raises(error, match=words) as caught:
        Study().measure(subject(features))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4294967296 bytes"
        ),
        MemoryError(),
    ],
)
def test_too_little_memory_is_one_line_wherever_it_is_noticed(error):
    of_plugin = PluginError("plugin x failed")
    of_plugin.__cause__ = error
    for raised in (error, of_plugin):
        words = r"^'net' needs more memory than cuda has; use a smaller --size or --device cpu$"
        with pytest.raises(UsageError, match=words), within_memory("net", torch.device("cuda"), "a smaller --size"):
            raise raised


def test_other_errors_stay_what_they_are():
    broken = PluginError("broken")
    broken.__cause__ = ValueError("other")
    with pytest.raises(PluginError, match="broken"), within_memory("net", torch.device("cpu"), "less"):
        raise broken


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--size", "3"), ("size", "at least 4")),
        (("--size", "many"), ("size", "whole number", "none")),
        (("--size", "64", "--input-size", "64"), ("--input-size", "--size")),
        (("--size", "8"), ("--size 8: 'resnet_nano' does not take such images", "one cell")),
    ],
)
def test_sizes_that_are_refused(cli, tmp_path, arguments, words):
    done = cli("analyze", "erf", "--backbone", "resnet_nano", "--images", 1, *arguments, "--out", tmp_path / "out")
    assert done.refused(*words)
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------------- tables and figures


@pytest.mark.slow
def test_one_image_of_a_network_beside_its_random_twin(tmp_path):
    table = wsolbench.analyze("erf", "resnet_nano", images=1, options={"size": 64}, out=tmp_path / "erf")
    assert table["network"].tolist() == ["resnet_nano (64 px)", "resnet_nano (64 px) (random)"]
    assert table["images"].tolist() == [1, 1]
    stored = read_analysis(tmp_path / "erf" / "erf.json")
    assert stored.files == [
        "erf-curve.csv", "erf-curve.png", "erf-curve.svg", "erf-gradients.npz", "erf.csv", "erf.png", "erf.svg",
    ]  # fmt: skip
    curve = pd.read_csv(tmp_path / "erf" / "erf-curve.csv")
    first = curve[curve["network"] == "resnet_nano (64 px)"]
    assert first["t"].tolist() == SHARES.tolist()
    assert area_under(first["ratio"].tolist()) == pytest.approx(table["ERF size"][0], rel=1e-5)
    with np.load(tmp_path / "erf" / "erf-gradients.npz") as arrays:
        again = find_squares(contribution(arrays["resnet_nano (64 px)"].astype(float)))
    assert again.sides.tolist() == first["side"].tolist()


def test_the_input_size_is_1024_unless_the_networks_own_is_asked_for():
    assert Study().input_size == 1024
    assert Study(size=None).input_size is None


@pytest.mark.parametrize("count", [1, 8])
def test_heat_maps_have_a_panel_each_and_none_is_empty(count):
    def picture(number):
        return HeatMap(f"a network of a long name <b>{number}</b>, kernel_size 13", np.eye(16), 5, "half")

    columns = [[picture(number), None if number else picture(number), picture(number)] for number in range(count)]
    figure = draw_heat_maps(columns, "a title", "scale")
    assert isinstance(figure, Figure)
    assert sum(bool(panel.images) for panel in figure.axes) == 2 * count + 1  # only the first column is full
    assert not any(panel.axison for panel in figure.axes[:-1])  # all but the scale


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", [(), pytest.param(("--size", "none"), marks=pytest.mark.slow)], ids=["default", "none"]
)
def test_a_size_behind_a_name_counts_more_than_the_default(cli, tmp_path, size):
    names = ("--backbone", "resnet_nano_96", "--images", 1)
    done = cli("analyze", "erf", *names, *size, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert [row["input"] for row in json.loads(done.out)] == [96, 96]  # and of its random twin


def test_another_size_than_that_behind_a_name_is_refused(cli, tmp_path):
    done = cli("analyze", "erf", "--backbone", "resnet_nano_96", "--size", "64", "--out", tmp_path / "out")
    assert done.refused("--size 64", "the input of 'resnet_nano_96' is given as 96 px", "omit one of them")


@pytest.mark.slow
def test_a_size_behind_a_name_counts_more_than_that_of_a_first_look(cli, tmp_path):
    folder = tmp_path / "out"
    done = cli("analyze", "report", "--backbone", "resnet_nano_96", "--only", "erf", "--images", 1, "--out", folder)
    assert done.code == 0, done.err
    assert [row["input"] for row in read_analysis(folder / "erf" / "erf.json").table] == [96, 96]


def test_small_shares_are_no_zeros_and_sizes_are_listed_once():
    assert [percentage(share) for share in (0, 8.6e-6, 0.0042, 0.0999, 0.1, 0.999, 1)] == [
        "0 %", "<0.1 %", "0.4 %", "10 %", "10 %", "100 %", "100 %",
    ]  # fmt: skip
    assert [in_pixels(sizes) for sizes in ([1024], [64, 96, 64], [384, 64, 224])] == [
        "1,024 px", "64 and 96 px", "64, 224 and 384 px",
    ]  # fmt: skip


def test_networks_of_different_inputs_are_not_mixed_silently():
    measured = [
        Measured(f"net {side}", make_backbone(size=side), Gradients(np.ones((side, side)), 1, 0)) for side in (32, 64)
    ]
    found = Study().conclude(measured)
    assert "with inputs of 32 and 64 px" in found.shows
    assert "Inputs differ in size" in found.shows
    assert "Inputs differ" not in Study().conclude(measured[:1]).shows
    titles = found.figures[""].get_suptitle(), found.figures["curve"].legends[0].get_title().get_text()
    assert all("input 32 and 64 px" in " ".join(title.split()) for title in titles)
