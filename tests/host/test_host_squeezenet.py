"""The example plugin on real photos: a pretrained network must score what the published evaluator gives its maps."""

import json
from pathlib import Path

import pytest
from plugin_projects import pip_install

EXAMPLE = Path(__file__).parents[1] / "example_plugin"


@pytest.fixture(scope="module")
def squeezenet(command_line, tmp_path_factory):
    return command_line(pip_install(tmp_path_factory.mktemp("squeezenet"), EXAMPLE))


@pytest.mark.slow
def test_it_is_listed_and_described(squeezenet):
    listed, described = squeezenet.many(("list", "backbones"), ("describe", "squeezenet", "--classes", "10"))
    assert "squeezenet" in listed.names
    assert "wsolbench-squeezenet 1.0.0" in described.out


@pytest.mark.slow
def test_scores_are_the_published_evaluators(squeezenet, shared_data, tmp_path):
    result = squeezenet(
        *("run", "--dataset", "folder", "--data-root", shared_data / "imagenette" / "images"),
        *("--metadata-root", shared_data / "imagenette" / "metadata" / "imagenette"),
        *("--backbone", "squeezenet", "--method", "cam", "--json", "--out", tmp_path / "out"),
        *("--weights", shared_data / "squeezenet" / "squeezenet10_imagenet_caffe_bgr.npz"),
    )
    metrics = json.loads(result.out)["metrics"]
    assert metrics["max_box_acc"] == pytest.approx(54.5, abs=0.5)
    assert metrics["max_box_acc_v2"] == pytest.approx(56.17, abs=0.5)
    assert metrics["max_box_acc_by_iou"] == pytest.approx({"0.3": 82.0, "0.5": 55.0, "0.7": 31.5}, abs=0.5)
    assert metrics["fullsup_box_acc"] == pytest.approx(51.0, abs=0.5)
    assert metrics["fullsup_box_acc_v2"] == pytest.approx(54.33, abs=0.5)
    assert metrics["top1_acc"] == pytest.approx(95.5, abs=0.5)
    assert metrics["pxap"] is None
