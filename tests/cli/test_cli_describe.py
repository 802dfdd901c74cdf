"""``wsolbench describe``: type, range and default of every option of a method or recipe."""

import json
import shlex

import pytest
from test_documentation import problem

from wsolbench.contract.docstrings import arguments_of, first_paragraph
from wsolbench.contract.options import list_options
from wsolbench.host.loading import load_plugins

REGISTRY = load_plugins(strict=True, warn=print)
OFFERS = [
    (catalogue.kind, offer)
    for catalogue in REGISTRY.catalogues
    if catalogue.kind != "backbone"
    for offer in catalogue
    if offer.provider.distribution == "wsolbench"
]


@pytest.mark.parametrize(("kind", "offer"), OFFERS, ids=lambda each: getattr(each, "name", each))
def test_everything_says_what_it_is_what_its_options_are_and_how_it_is_called(cli, kind, offer):
    about = json.loads(cli("describe", offer.qualified_name, "--json").out)
    assert (about["kind"], bool(about["about"]), bool(about["source"])) == (kind, True, True)
    assert problem(shlex.split(about["example"])[1:]) is None
    assert [name for name, option in about.get("options", {}).items() if not option.get("about")] == []


def test_docstrings_of_builders_are_read():
    class Base:
        """Return something.

        More of it.

        Args:
            first: The first
                option.
            second: Replaced below.

        Raises:
            ValueError: Never.
        """

    class Derived(Base):
        """Return more.

        Args:
            second: The second option.
        """

    assert first_paragraph(Base) == "Return something."
    assert arguments_of(Derived) == {"first": "The first option.", "second": "The second option."}
    assert arguments_of(lambda: None) == {}
    assert [option.description for option in list_options(lambda *, name=1: name)] == [""]


def test_options_are_described_one_a_line(cli):
    lines = cli("describe", "cam-tap").out.splitlines()
    relu, weights, threshold = lines[lines.index("options") + 1 :]
    assert relu.startswith("  relu       bool, default True. Whether negative values become 0.")
    assert weights.startswith(
        "  weights    raw|effective, default raw, drawn by --choose: one of raw, effective. ``raw``"
    )
    assert threshold.startswith("  threshold  float, from 0 to below 1, default 0.1. θ, a fraction of each channel's")


def test_options_are_described_as_json(cli):
    described = json.loads(cli("describe", "modern", "--json").out)["options"]
    options = {name: {key: each[key] for key in each if key != "about"} for name, each in described.items()}
    assert options["epochs"] == {"type": "int", "range": "at least 1", "default": 100}
    assert options["ema"] == {"type": "float | None", "range": "above 0 and below 1", "default": None}
    assert options["rand_augment"] == {"type": "int | None", "range": "from 0 to 10", "default": 9}


def test_a_method_without_options(cli):
    assert cli("describe", "full-image").out.splitlines()[-1] == "options   none"


@pytest.mark.slow
def test_a_network_is_described_at_another_size(cli):
    for arguments in (("replknet_nano_64",), ("replknet_nano", "--input-size", 64)):
        about = json.loads(cli("describe", *arguments, "--preprocessing", "half", "--json").out)
        assert (about["name"], about["feature_size"], about["feature_stride"]) == ("replknet_nano", [8, 8], 8)
        assert about["input"] == {"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"}
    assert cli("describe", "replknet_nano_64", "--input-size", 96).refused("the name 'replknet_nano_64' says 64")
    assert cli("describe", "cam", "--input-size", 224).refused("'cam' is no backbone")
