"""The runs that a grid has, what is left out of it, and their names."""

import pytest

from wsolbench.config import RunConfig
from wsolbench.errors import UsageError
from wsolbench.sweeps.config import SweepConfig
from wsolbench.sweeps.jobs import plan_jobs
from wsolbench.sweeps.yaml_file import parse_yaml


def jobs_of(text, **defaults):
    config = SweepConfig.of(parse_yaml(text.encode(), "S.yaml"), "S.yaml")
    return plan_jobs(config, "S.yaml", lambda dataset: defaults.get(dataset, {}))


def names(text):
    return [job.name for job in jobs_of(text)]


def test_a_grid_has_a_run_for_each_network_data_set_and_seed_with_all_methods():
    jobs = jobs_of("backbones: [a, 'timm:b']\nmethods: [cam, pc1]\ndatasets: [critters, cub]\nseeds: [0, 1]")
    assert [job.name for job in jobs] == [
        "a__critters__seed0",
        "a__critters__seed1",
        "a__cub__seed0",
        "a__cub__seed1",
        "timm-b__critters__seed0",
        "timm-b__critters__seed1",
        "timm-b__cub__seed0",
        "timm-b__cub__seed1",
    ]
    assert jobs[5].config == RunConfig(backbone="timm:b", methods={"cam": {}, "pc1": {}}, dataset="critters", seed=1)


def test_settings_make_runs_of_their_own_and_stand_in_names_where_they_differ():
    text = "backbones: [a, {name: b, limit: 6}]\nmethods: cam\nsettings: {limit: [4, 8], gallery: false}"
    assert names(text) == ["a__critters__limit-4__seed0", "a__critters__limit-8__seed0", "b__critters__seed0"]
    assert [job.config.limit for job in jobs_of(text)] == [4, 8, 6]


def test_entries_have_settings_of_their_own():
    text = (
        "backbones: {name: a, weights: [null, w/b.pth], options: {stride: [8, 16]}}\nmethods: cam\n"
        "datasets: {name: cub, data_root: /d}"
    )
    jobs = jobs_of(text)
    assert [job.name for job in jobs] == [
        "a__cub__stride=8__weights-None__seed0",
        "a__cub__stride=16__weights-None__seed0",
        "a__cub__stride=8__weights-b.pth__seed0",
        "a__cub__stride=16__weights-b.pth__seed0",
    ]
    assert (str(jobs[0].config.data_root), jobs[0].config.backbone_options) == ("/d", {"stride": "8"})


def test_a_method_with_several_options_is_in_several_runs():
    text = "backbones: a\nmethods: [cam, {name: pc1, options: {rule: [x, y]}}, {name: pc1}]"
    assert [dict(job.config.methods) for job in jobs_of(text)] == [
        {"cam": {}, "pc1": {"rule": "x"}},
        {"pc1": {"rule": "y"}},
        {"pc1": {}},
    ]
    assert names(text) == [
        "a__critters__cam+pc1-rule=x__seed0",
        "a__critters__pc1-rule=y__seed0",
        "a__critters__pc1__seed0",
    ]


GRID = (
    "backbones: [a, b]\nmethods: [cam, pc1]\ndatasets: [c, d]\nseeds: [0, 1]\nsettings: {limit: [4, null]}\nexclude: "
)


@pytest.mark.parametrize(
    ("exclude", "runs", "of_methods"),
    [
        ("{backbone: a}", 8, 16),
        ("{backbone: a, dataset: d}", 12, 24),
        ("{backbone: a, dataset: d, seed: 1}", 14, 28),
        ("{method: cam}", 16, 16),
        ("{method: cam, backbone: [a, b], seed: 0}", 16, 24),
        ("{limit: null}", 8, 16),
        ("[{limit: 4, method: cam}, {limit: 4, method: pc1}]", 8, 16),
        ("[]", 16, 32),
    ],
)
def test_exclusions_are_partial_matches(exclude, runs, of_methods):
    jobs = jobs_of(GRID + exclude)
    assert (len(jobs), sum(len(job.config.methods) for job in jobs)) == (runs, of_methods)


@pytest.mark.parametrize(
    ("exclude", "said"),
    [
        ("{backbone: [a, c]}", "S.yaml: exclude[0].backbone: the sweep has no 'c'; there are a, b"),
        ("[{}, {method: can}]", "S.yaml: exclude[1].method: the sweep has no 'can'; did you mean cam?"),
        ("{seed: 5}", "S.yaml: exclude[0].seed: the sweep has no 5; there are 0, 1"),
        ("{seed: [0, 1]}", "S.yaml: exclude: it leaves no run"),
    ],
)
def test_exclusions_of_nothing_or_all_are_slips(exclude, said):
    with pytest.raises(UsageError) as refused:
        jobs_of(GRID + exclude)
    assert str(refused.value) == said


def test_a_run_stands_in_a_sweep_once():
    assert names("backbones: [a, a]\nmethods: cam\nseeds: [0, 0]") == ["a__critters__seed0"]


def test_names_differ_on_file_systems_that_know_no_case():
    first, second = names("backbones: [{name: a, tap: X}, {name: a, tap: x}]\nmethods: cam")
    assert first.startswith("a__critters__tap-X__seed0__")
    assert second.startswith("a__critters__tap-x__seed0__")
    assert first.casefold() != second.casefold()


def test_long_names_are_cut_and_stay_different():
    found = names(f"backbones: [{'a' * 300}x, {'a' * 300}y]\nmethods: cam")
    assert len(set(found)) == 2
    assert max(map(len, found)) <= 120


def test_a_grid_that_nobody_means_is_refused_before_it_is_made():
    seeds, limits = (", ".join(map(str, range(1, count + 1))) for count in (200, 8000))
    with pytest.raises(UsageError, match=r"S\.yaml: 1,600,000 runs; a sweep has at most 100,000"):
        jobs_of(f"backbones: a\nmethods: cam\nseeds: [{seeds}]\nsettings: {{limit: [{limits}]}}")


def test_settings_of_the_machine_hold_where_the_sweep_says_nothing():
    machine = {"cub": {"device": "cuda", "batch_size": "64", "data_root": "/data", "seed": "7"}}
    (job,) = jobs_of("backbones: {name: a, batch_size: 8}\nmethods: cam\ndatasets: cub", **machine)
    assert (job.config.device, job.config.batch_size, str(job.config.data_root), job.config.seed) == (
        "cuda",
        8,
        "/data",
        0,
    )


def test_maps_are_saved_in_the_folder_of_their_run(tmp_path):
    (job,) = jobs_of("backbones: a\nmethods: cam\nsettings: {save_scoremaps: maps}")
    assert job.into(tmp_path).save_scoremaps == tmp_path / "maps"
    for outside in "/maps", "../maps":
        with pytest.raises(UsageError, match="expected a folder inside that of each run"):
            jobs_of(f"backbones: a\nmethods: cam\nsettings: {{save_scoremaps: {outside}}}")
