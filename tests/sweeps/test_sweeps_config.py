"""What a SWEEP.yaml may say, and how what is wrong in it is told."""

import pytest

from wsolbench.errors import UsageError
from wsolbench.sweeps.config import SweepConfig, read_sweep
from wsolbench.sweeps.yaml_file import parse_yaml

BASE = "backbones: [a]\nmethods: cam\n"


def read(text):
    return SweepConfig.of(parse_yaml(text.encode(), "S.yaml"), "S.yaml")


def told(text):
    with pytest.raises(UsageError) as refused:
        read(text)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def given(text):
    return read(BASE + text).model_dump(exclude_unset=True)


def test_one_value_stands_for_a_list_of_one():
    listed = "backbones: [a]\nmethods: [cam]\ndatasets: [critters]\nseeds: [0]\nsettings: {limit: [4]}\nexclude: []\n"
    single = "backbones: a\nmethods: cam\ndatasets: critters\nseeds: 0\nsettings: {limit: 4}\nexclude: []\n"
    assert read(single) == read(listed)


def test_what_is_not_said_is_as_the_command_line_has_it():
    config = read(BASE)
    assert [each.name for each in config.datasets] == ["critters"]
    assert (config.seeds, config.retries, config.cpus, config.gpus) == ((0,), 0, None, 0)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("tau: 0.2", ((0.2,),)),
        ("tau: [0.2, otsu]", ((0.2, "otsu"),)),
        ("tau: [[0.2], [otsu]]", ((0.2,), ("otsu",))),
        ("mean: [0.5, 0.5, 0.5]", ((0.5, 0.5, 0.5),)),
        ("threshold_step: 1e-3", (0.001,)),
        ("threshold_step: [1, .5]", (1.0, 0.5)),
        ("limit: [null, 8]", (None, 8)),
        ("gallery: [true, false]", (True, False)),
        ("device: no", ("no",)),
        ("weights: 2026-01-01", ("2026-01-01",)),
        ("batch_size: 010", (10,)),
    ],
)
def test_settings_are_lists_of_values(text, values):
    (found,) = given(f"settings: {{{text}}}")["settings"].values()
    assert found == values


def test_options_become_the_texts_that_the_command_line_takes():
    text = (
        "backbones: {name: a, options: {stride: [8, 16], off: true, none: null, pair: [[1, 2]], text: x}}\nmethods: cam"
    )
    (network,) = read(text).backbones
    assert network.options == {
        "stride": ("8", "16"),
        "off": ("true",),
        "none": ("none",),
        "pair": ("1,2",),
        "text": ("x",),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "backbones: [a, b, {name: c, wieghts: x}]\nmethods: cam",
            "S.yaml: backbones[2].wieghts: there is no such field; did you mean weights?",
        ),
        (f"{BASE}settings: {{limt: 4}}", "S.yaml: settings.limt: there is no such field; did you mean limit?"),
        (f"{BASE}limit: 4", "S.yaml: limit: there is no such field here; write it below settings"),
        (f"{BASE}settings: {{seed: 3}}", "S.yaml: settings.seed: there is no such setting; write seeds at the top"),
        (
            f"{BASE}settings: {{out: x}}",
            "S.yaml: settings.out: there is no such setting; --out names the folder of all runs",
        ),
        (
            f"{BASE}settings: {{limit: [4, yes]}}",
            "S.yaml: settings.limit[1]: this takes a whole number of at least 1, or none, not 'yes'",
        ),
        (
            f"{BASE}settings: {{limit: true}}",
            "S.yaml: settings.limit: this takes a whole number of at least 1, or none, not True",
        ),
        (
            f"{BASE}settings: {{precision: [fp32, fp8]}}",
            "S.yaml: settings.precision[1]: this takes fp32|bf16|fp16, not 'fp8'",
        ),
        (f"{BASE}settings: {{mean: [0.5]}}", "S.yaml: settings.mean[0]: this takes 3 values"),
        (f"{BASE}seeds: []", "S.yaml: seeds: this takes whole numbers from 0, not an empty list"),
        (f"{BASE}seeds: [0, -1]", "S.yaml: seeds[1]: this takes whole numbers from 0, not -1"),
        (f"{BASE}seeds: 0\nseeds: 1", "S.yaml: line 4: 'seeds' is given twice"),
        ("backbones: [{name: a, name: b}]\nmethods: cam", "S.yaml: line 1: 'name' is given twice"),
        ("methods: cam", "S.yaml: backbones: this field is missing; it takes names of networks"),
        (
            "backbones: [{weights: x}]\nmethods: cam",
            "S.yaml: backbones[0].name: this field is missing; it takes a name",
        ),
        ("backbones: [4]\nmethods: cam", "S.yaml: backbones[0]: this takes names of networks"),
        ("backbones: {name: a, options: {b: {c: 1}}}\nmethods: cam", "S.yaml: backbones.options.b: this takes a value"),
        (f"{BASE}exclude: {{backbon: a}}", "S.yaml: exclude.backbon: there is no such field; did you mean backbone?"),
        (
            f"{BASE}datasets: [{{name: cub, data_root: 5}}]",
            "S.yaml: datasets[0].data_root: this takes a path, or none, not 5",
        ),
        (
            "backbones: a\nmethods: [{name: pc1, rule: x}]",
            "S.yaml: methods[0].rule: there is no such field; write the options of a method below options",
        ),
        (f"{BASE}retries: 1.5", "S.yaml: retries: this takes a whole number from 0 to 100, not 1.5"),
        ("backbones: [a", "S.yaml: line 1: expected ',' or ']'"),
        ("[a]", "S.yaml: expected backbones: [...], methods: [...] and so on, got ['a']"),
        ("", "S.yaml: expected backbones: [...], methods: [...] and so on, got nothing"),
        (f"{BASE}seeds: !!python/object:os.system x", "S.yaml: line 3: could not determine a constructor"),
        (f"{BASE}settings: {{data_root: !!binary YQ==}}", "S.yaml: no YAML of a sweep (a bytes is no value here)"),
        (f"{BASE}1: 2", "S.yaml: no YAML of a sweep (the key 1 is no text"),
        ("a: &a [1, *a]", "S.yaml: no YAML of a sweep (more than 100,000 values)"),
        ("[" * 5000, "S.yaml: lists and mappings are nested too deeply"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_its_place(text, said):
    assert told(text).startswith(said)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read \(No such file or directory\)"):
        read_sweep(tmp_path / "none.yaml")
