"""``wsolbench.train`` and what follows: weights for a run, a record read again, two records compared."""

import json

import pytest

import wsolbench
from wsolbench.api import UsageError
from wsolbench.config import EvaluateConfig, RunConfig, TrainConfig

pytestmark = pytest.mark.usefixtures("no_gallery", "no_curve")


@pytest.fixture
def made(folder_set):
    return folder_set(train=6, val=3, test=4)


def test_a_network_is_trained_run_and_compared_with_random_weights(made, tmp_path):
    places = {"data_root": made.images, "metadata_root": made.metadata}
    options = {"epochs": 1, "batch_size": 3}
    trained = wsolbench.train("resnet_nano", "folder", out=tmp_path / "new", recipe_options=options, **places)
    assert trained.card.results[0].test_top1 is not None
    assert trained.weights.is_file()
    runs = [
        wsolbench.run("resnet_nano", "pc1", "folder", weights=weights, threshold_step=0.05, out=out, **places)[0]
        for weights, out in ((trained.weights, tmp_path / "trained"), ("random", None))
    ]
    training = runs[0].backbone.weights.training
    assert (training.recipe, training.recipe_options["epochs"]) == ("onecycle", 1)
    assert training.command.startswith("wsolbench.train(backbone='resnet_nano', dataset='folder'")
    stored = tmp_path / "trained" / "record-pc1.json"
    assert wsolbench.load_record(stored) == runs[0]
    found = wsolbench.compare(str(stored), runs[1])
    assert found.differences["max_box_acc"].first == runs[0].metrics.max_box_acc


def test_stored_maps_are_evaluated_as_the_run_that_stored_them(made, tmp_path):
    places = {"data_root": made.images, "metadata_root": made.metadata, "threshold_step": 0.05}
    (record,) = wsolbench.run(
        "resnet_nano", "pc1", "folder", weights="random", save_scoremaps=tmp_path / "maps", **places
    )
    maps = tmp_path / "maps" / "pc1"
    again = wsolbench.evaluate(maps / "test", fullsup_scoremaps=maps / "val", **places)
    assert again.metrics.max_box_acc_v2 == record.metrics.max_box_acc_v2
    assert again.metrics.fullsup_box_acc == record.metrics.fullsup_box_acc


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seeds": ()}, "seeds takes"),
        ({"seeds": "10"}, "seeds takes"),
        ({"seeds": 0}, "seeds takes"),
        ({"seeds": (1, 1)}, "--seed 1 is given more than once"),
        ({"watch": ["train"]}, "watch takes values separated by commas, each test|train-fullsup, not 'train'"),
        ({"recipe": "adam"}, "unknown recipe 'adam'"),
        ({"recipe_options": {"epochs": 0}}, "option 'epochs' takes"),
        ({"backbone": 3}, "expected a name or a specification, got int"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(made, tmp_path, settings, words):
    call = {"backbone": "resnet_nano", "dataset": "folder", "out": tmp_path / "new", **settings}
    with pytest.raises(UsageError) as refused:
        wsolbench.train(data_root=made.images, metadata_root=made.metadata, **call)
    assert words in str(refused.value)
    assert not (tmp_path / "new").exists()


def test_configurations_come_back_from_json_and_name_what_is_wrong():
    for config in (
        RunConfig.of(backbone="a", methods={"cam": {"relu": False}}, out="x/y", limit=3),
        TrainConfig.of(backbone="a", out="x", seeds=(3, 4), recipe_options={"epochs": 2}),
        EvaluateConfig.of(scoremaps="maps", threshold_step=0.01),
    ):
        assert type(config).from_json(config.to_json()) == config
    with pytest.raises(UsageError, match=r"there is no setting 'limt'\. Did you mean 'limit'"):
        RunConfig.of(backbone="a", methods={}, limt=1)
    with pytest.raises(UsageError, match="the setting 'backbone' is missing"):
        RunConfig.of(methods={})
    with pytest.raises(UsageError, match="limit takes"):
        RunConfig.from_json('{"backbone": "a", "methods": {}, "limit": 0}')


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "[1, NaN]", '{"x": [-Infinity]}'])
@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ('"methods": {"cam": {"relu": NUMBER}}', "methods.cam.relu"),
        ('"methods": {}, "backbone_options": {"width": NUMBER}', "backbone_options.width"),
        (r'"methods": {"cam": {"\n": NUMBER}}', "methods.cam.\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_number_that_json_does_not_have_is_no_setting(number, settings, place):
    text = f'{{"backbone": "a", {settings.replace("NUMBER", number)}}}'
    with pytest.raises(UsageError, match=rf"^{place} takes finite numbers, not .*(nan|inf)") as from_json:
        RunConfig.from_json(text)
    with pytest.raises(UsageError) as from_python:
        RunConfig.of(**json.loads(text))
    assert str(from_python.value) == str(from_json.value)


def test_large_numbers_of_options_come_back_from_json():
    config = RunConfig.of(backbone="a", methods={"cam": {"x": 10**400, "y": [1e308, None, True, "nan"]}})
    assert RunConfig.from_json(config.to_json()) == config


def test_the_default_step_of_the_grid_is_the_protocols():
    from wsolbench.contract.choices import DEFAULT_THRESHOLD_STEP
    from wsolbench.protocol import DEFAULT_INTERVAL

    assert DEFAULT_THRESHOLD_STEP == DEFAULT_INTERVAL
