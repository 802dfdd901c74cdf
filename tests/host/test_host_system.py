"""A distribution of others with a network of two heads, a loss of its own and a stage: from labels to a row."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from plugin_projects import pip_install

EXAMPLE = Path(__file__).parents[1] / "example_system"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def twins(command_line, tmp_path_factory):
    return command_line(pip_install(tmp_path_factory.mktemp("twins"), EXAMPLE))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Return folders of images of two classes, a red square or a green one, with the boxes of val and test."""
    root, draw, rows = tmp_path_factory.mktemp("photos"), np.random.default_rng(0), ["image,x0,y0,x1,y1"]
    for split, images in {"train": 24, "val": 8, "test": 8}.items():
        for number in range(images):
            name = f"{split}/{('red', 'green')[number % 2]}/{number}.png"
            image = draw.integers(0, 60, (48, 48, 3), dtype=np.uint8)
            x, y = draw.integers(2, 24, 2).tolist()
            image[y : y + 20, x : x + 20, 2 - number % 2] = 250
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / name), image)
            rows += [] if split == "train" else [f"{name},{x},{y},{x + 20},{y + 20}"]
    (root / "boxes.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def trained(twins, photos, tmp_path_factory):
    """Return the folder of a training by both stages, and the folder of its run."""
    weights, run = (tmp_path_factory.mktemp("agree") / name for name in ("weights", "run"))
    of_system = ("--backbone", "agree:twins", "--dataset", "imagefolder", "--data-root", photos)
    made = ("--weights", weights / "weights.safetensors", "--metadata-root", photos / "boxes.csv")
    done = twins.many(
        ("train", *of_system, "--recipe", "onecycle", "--recipe-opt", "epochs=2", "--out", weights),
        ("run", *of_system, *made, "--method", "cam", "--method", "native", "--out", run),
    )
    assert [result.code for result in done] == [0, 0], done
    return weights, run


def test_a_training_has_both_stages_and_the_terms_of_both_losses(trained):
    header, *lines = (trained[0] / "log.csv").read_text().splitlines()
    assert {"stage", "first", "twin", "disagreement", "map"} <= set(header.split(","))
    assert [line.split(",")[header.split(",").index("stage")] for line in lines] == ["heads", "heads", "map"]


def test_its_records_have_a_row_that_names_system_and_stages(twins, trained, tmp_path):
    records = sorted(trained[1].glob("record-*.json"))
    (added, built) = twins.many(
        ("leaderboard", "add", *records, "--folder", tmp_path), ("leaderboard", "build", "--folder", tmp_path)
    )
    assert (added.code, built.code) == (0, 0), (added, built)
    page = (tmp_path / "README.md").read_text()
    assert "agree:twins" in page
    system = json.loads(records[0].read_text())["backbone"]["weights"]["training"]["system"]
    assert (system["name"], [stage["name"] for stage in system["stages"]]) == ("agree", ["heads", "map"])
    assert [stage["targets_sha256"] is None for stage in system["stages"]] == [True, False]


def test_another_network_and_a_stage_without_its_predecessor_are_refused_in_one_line(twins, photos, tmp_path):
    data = ("--dataset", "imagefolder", "--data-root", photos, "--out", tmp_path / "x")
    (one_head,) = twins.many(("train", "--backbone", "agree:resnet_nano", *data))
    assert (one_head.code, one_head.err.count("\n")) == (2, 1)
    assert "needs a network with two heads, such as 'twins'" in one_head.err


def test_it_passes_the_checks_of_every_plugin(twins):
    checks = """
from contextlib import suppress
from unittest import SkipTest
from wsolbench.testing import conformance_checks
from wsolbench_twins import wsolbench_backbones, wsolbench_systems
(twins,), (agree,) = wsolbench_backbones(), wsolbench_systems()
for name, check in [*conformance_checks(twins), *conformance_checks(agree, base=twins)]:
    with suppress(SkipTest):
        check()
        print(name)
"""
    done = twins.python("-c", checks)
    assert done.code == 0, done
    assert len(done.out.splitlines()) > 5
