"""``wsolbench analyze``: networks by name and from records, files that can be read again, and one line for faults."""

import json
import re
import weakref
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from toy_records import make_record

import wsolbench
from wsolbench.analysis.catalogue import list_studies, load_study
from wsolbench.analysis.job import _limit_of_records
from wsolbench.analysis.stored import read_analysis
from wsolbench.analysis.study import CompositeStudy, NetworkStudy, RecordStudy
from wsolbench.contract import BackboneSpec, DatasetRoots, InputConfig, Split
from wsolbench.data.opened import open_dataset
from wsolbench.errors import DataError, UsageError, WeightsError
from wsolbench.records import write_record
from wsolbench.testing.toys import ToyNetwork

QUICK = ["--images", "6", "--workers", "1"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory, compiled_sweep):  # noqa: ARG001
    """An analysis of a trained network beside its random twin."""
    folder = tmp_path_factory.mktemp("analysis") / "noise"
    wsolbench.analyze("noise", "resnet_nano", images=6, out=folder)
    return folder


@pytest.mark.parametrize("name", list_studies())
def test_every_analysis_says_what_it_is(name):
    study = load_study(name)
    assert issubclass(study, NetworkStudy | RecordStudy | CompositeStudy)
    assert study.cannot_say.endswith(".")
    assert list_studies()[name].endswith(".")


@pytest.mark.parametrize("name", list_studies())
def test_the_help_defines_the_words_of_tables_and_figures(cli, name):
    study = load_study(name)
    assert study.terms or issubclass(study, CompositeStudy)
    said = " ".join(cli("analyze", name, "--help").out.split())
    assert [term for term, meaning in study.terms.items() if f"{term}: {meaning}" not in said] == []
    assert [term for term, meaning in study.terms.items() if not meaning.endswith(".")] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("erf", ("The images. Default: test.", "another N draws anew. Default: 100.", "or not. Default: --random.")),
        ("components", ("The images. Default: train-fullsup.", "draws anew. Default: 1000.")),
        ("signs", ("draws anew. Default: all.",)),
        ("noise", ("Default: those of the first record, or 300.",)),
        ("report", ("A first look: erf with size 256, images 20.", "Default: that of each analysis.")),
    ],
)
def test_the_help_states_the_defaults_of_the_analysis(cli, name, said):
    told = " ".join(cli("analyze", name, "--help").out.split())
    assert [words for words in said if words not in told] == []


def test_what_is_printed_names_data_and_further_tables(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("wsolbench.analysis.stored._pictures", lambda _: {})  # which take the time
    done = cli("analyze", "noise", "--backbone", "resnet_nano", "--no-random", *QUICK, "--out", tmp_path / "out")
    assert "\ndata: critters, 6 images of test\n" in done.out
    assert "further tables there: noise-images.csv\n" in done.out


def test_files_say_what_was_done(stored):
    names = {path.name for path in stored.iterdir()}
    assert names == {
        *("noise.json", "noise.csv", "noise.png", "noise.svg"),
        *("noise-images.csv", "noise-maps.png", "noise-maps.svg"),
    }
    analysis = read_analysis(stored / "noise.json")
    assert [each.label for each in analysis.networks] == ["resnet_nano", "resnet_nano (random)"]
    assert analysis.networks[0].backbone.weights.sha256 is not None
    assert analysis.dataset.split_sizes == {"test": 6}
    assert "total variation" in analysis.terms
    assert analysis.environment.command.startswith("wsolbench.analyze(analysis='noise'")
    table = pd.read_csv(stored / "noise.csv")
    assert table["network"].tolist() == ["resnet_nano", "resnet_nano (random)"]
    np.testing.assert_allclose(
        [row["entropy as area (median)"] for row in analysis.table], table["entropy as area (median)"], rtol=1e-5
    )
    with Image.open(stored / "noise.png") as picture:
        assert picture.size[0] > 600


@pytest.mark.slow
def test_the_same_call_gives_the_same_files(stored, tmp_path):
    wsolbench.analyze("noise", "resnet_nano", images=6, out=tmp_path / "again")
    for name in ("noise.csv", "noise-images.csv", "noise.png", "noise.svg"):
        assert (tmp_path / "again" / name).read_bytes() == (stored / name).read_bytes()


@pytest.mark.slow
def test_networks_of_records_and_by_name(cli, tmp_path, without_galleries):
    with without_galleries():
        done = cli("run", "--backbone", "resnet_nano", "--method", "cam", "--limit", 6, "--out", tmp_path / "run")
    assert done.code == 0
    record = tmp_path / "run" / "record-cam.json"
    done = cli("analyze", "noise", record, "--backbone", "replknet", "--weights", "random", "--json", *QUICK)
    assert done.code == 0
    rows = json.loads(done.out)
    assert [row["network"] for row in rows] == ["resnet_nano", "resnet_nano (random)", "replknet_nano (random)"]
    by_name = wsolbench.analyze("noise", "resnet_nano", images=6, random=False)
    assert by_name["entropy as area (median)"][0] == rows[0]["entropy as area (median)"]


def test_a_network_that_is_named_twice_is_measured_once():
    table = wsolbench.analyze("noise", ["resnet_nano", "resnet_nano"], weights="random", images=2)
    assert table["network"].tolist() == ["resnet_nano (random)"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("noise",), ("measures networks", "--backbone NAME")),
        (("noize", "--backbone", "resnet_nano"), ("no analysis 'noize'", "Did you mean 'noise'?")),
        (("noise", "--backbone", "resnet_nan"), ("unknown backbone 'resnet_nan'",)),
        (
            ("noise", "--backbone", "resnet_nano", "--weights", "random", "--weights", "random"),
            ("2 weights for 1 network:",),
        ),
        (("noise", "--backbone", "resnet_nano", "--dataset", "criters"), ("criters",)),
        (("noise", "--backbone", "resnet_nano", "--input-size", "8"), ("feature maps would be of one cell",)),
        (("noise", "nowhere.json"), ("nowhere.json",)),
        (("noise", "resnet_nano"), ("'resnet_nano' is a network and no file; name it with --backbone resnet_nano",)),
        (("noise", "replknet", "--dataset", "critters"), ("name it with --backbone replknet",)),
        (("breakdown", "resnet_nano"), ("'breakdown' reads records", "run --backbone resnet_nano --method cam")),
        (("breakdown", "--backbone", "resnet_nano"), ("--backbone: 'breakdown' reads records, no network: name",)),
        (("scatter", "--input-size=64", "a.json"), ("--input-size: 'scatter' reads records",)),
        (("noise", "--backbone", "a,b"), ("--backbone a,b: repeat the option: --backbone a --backbone b",)),
        (("report", "--backbone", "replknet", "--only", "noise, erf"), ("the option: --only noise --only erf",)),
        (("erf", "--backbone", "replknet", "--size", "abc"), ("a whole number of at least 4, or none, not 'abc'",)),
        (
            ("components", "--backbone", "resnet_nano", "--images", "4", "--image", "val/0001.png,b.png"),
            (
                "--image val/0001.png,b.png: train-fullsup has no such image among its 300",
                "several are --image val/0001.png --image b.png",
            ),
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(cli, tmp_path, arguments, words):
    done = cli("analyze", *arguments, "--out", tmp_path / "out")
    assert done.refused(*words)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_analysis(stored, tmp_path):
    content = json.loads((stored / "noise.json").read_text())
    for change in ({"analysis": 3}, {"unknown": 1}):
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(content | change))
        with pytest.raises(DataError, match="this is no analysis"):
            read_analysis(path)
    path.write_text("[")
    with pytest.raises(DataError, match="this is no analysis"):
        read_analysis(path)


class Net(ToyNetwork):
    """A module of the tests."""


def test_modules_of_one_class_are_networks_of_their_own(monkeypatch):
    monkeypatch.setattr(Net, "__module__", "__main__")  # as of a script or a notebook
    one, other = Net(), Net()
    with torch.no_grad():
        other.conv.weight.mul_(0).add_(1)
    table = wsolbench.analyze("noise", [one, other, one], input=InputConfig(32), images=2)
    assert table["network"].tolist() == ["net", "net-2"]
    alone = wsolbench.analyze("noise", other, input=InputConfig(32), images=2)
    quantity = next(name for name in table if "variation" in name)
    assert alone[quantity][0] == table[quantity][1] != table[quantity][0]
    with pytest.raises(UsageError, match="a module with its own weights"):
        wsolbench.analyze("noise", one, input=InputConfig(32), images=2, random=True)


class Classifier(torch.nn.Module):
    """A module with a linear head on the mean of its maps.

    Args:
        scale: What its maps are multiplied by.
    """

    def __init__(self, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.scale = torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.Linear(4, 12), scale

    def forward(self, images):
        return self.head(self.body(images * self.scale).mean((2, 3)))


HALF = {"layer": "body", "input": InputConfig(24), "images": 1}


@pytest.mark.parametrize(
    ("given", "size"), [({}, 24), ({"options": {"size": 24}}, 24), ({"input": None, "options": {"size": 32}}, 32)]
)
def test_the_input_of_a_module_counts_more_than_the_default(given, size):
    assert wsolbench.analyze("erf", [Classifier()], **HALF | given)["input"].tolist() == [size]


def test_two_sizes_of_a_module_are_refused():
    with pytest.raises(UsageError) as caught:
        wsolbench.analyze("erf", Classifier(), **HALF, options={"size": 32})
    given = "the input of 'test_analyze:classifier' is given as 24 px; omit one of them"
    assert str(caught.value) == f'options={{"size": 32}}: {given}'


@pytest.mark.parametrize("name", [name for name in list_studies() if issubclass(load_study(name), NetworkStudy)])
def test_a_module_of_nan_is_refused_with_the_image(name):
    said = r"the (features of the image|class scores of 'classifier' .* for the image) '(test|val)/\d+.png'"
    with pytest.raises((DataError, WeightsError), match=said):
        wsolbench.analyze(name, Classifier(scale=float("nan")), **HALF, split="test")


def test_a_record_of_a_module_asks_for_the_module():
    module, said = Classifier(), {"layer": "body", "input": InputConfig(24)}
    (record,) = wsolbench.run(module, "cam", limit=3, threshold_step=0.1, **said)
    with pytest.raises(UsageError, match=r"record of 'classifier' is of a torch module.*: pass the module too"):
        wsolbench.analyze("noise", records=record, images=3)
    table = wsolbench.analyze("noise", module, records=record, images=3, **said)
    assert table["network"].tolist() == ["classifier"]
    assert table["correlation of total variation with IoU of cam, images"].tolist() == [3]
    changed = Classifier()
    torch.nn.init.ones_(changed.head.bias)
    with pytest.raises(WeightsError, match="the module is not the one that 'classifier' was measured with"):
        wsolbench.analyze("noise", changed, records=record, **said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"analysis": "erf", "size": 128}, "size is an option of the analysis 'erf': write options={\"size\": 128}"),
        ({"analysis": "noise", "imags": 3}, "analyze has no argument 'imags'.* Did you mean 'images'"),
        ({"analysis": "erf", "sise": 3}, "Did you mean 'size'"),
        ({"analysis": "breakdown", "backbones": "resnet_nano"}, "backbones: the analysis 'breakdown' reads records"),
        ({"analysis": "breakdown", "records": "r.json", "weights": "random"}, "weights: the analysis 'breakdown'"),
        ({"analysis": "breakdown", "records": "r.json", "dataset": "critters"}, "dataset: the analysis"),
        ({"analysis": "scatter", "records": "r.json", "images": 3}, "images: the analysis 'scatter' reads records"),
        ({"analysis": "scatter", "records": "r.json", "random": False}, "random: .* as records="),
        ({"analysis": "scatter", "records": "r.json", "seed": 1}, "seed: "),
        ({"analysis": "noise", "records": "resnet_nano"}, 'no file; name it with backbones="resnet_nano"'),
        ({"analysis": "breakdown", "records": "resnet_nano"}, r'records=wsolbench.run\(network, "cam"\)'),
        ({"analysis": "scatter"}, r'reads records: pass them: records=wsolbench.run\(network, "cam"\)'),
        ({"analysis": "noise"}, 'measures networks; name them: backbones="NAME", or records'),
        (
            {"analysis": "erf", "backbones": "resnet_nano", "input_size": 48},
            "input_size: the analysis 'erf' has an input size of its own: options={\"size\": 48}",
        ),
        ({"analysis": "breakdown", "records": 3}, "expected a record or the path of its file, got int"),
    ],
)
def test_what_is_wrong_in_python_is_said_in_one_line(arguments, words):
    with pytest.raises(UsageError, match=words):
        wsolbench.analyze(**arguments)


def test_an_image_beyond_those_that_are_used_is_named_with_what_to_type(registry):
    critters = open_dataset(registry.datasets.get("critters"), DatasetRoots())
    ids = critters.images(Split.TRAIN_FULLSUP).ids
    used = critters.images(Split.TRAIN_FULLSUP, 2).ids
    beyond = next(each for each in ids if each not in used)
    words = (
        f'options={{"image": "{beyond}"}}: it is not among the 2 images of train-fullsup that are used; '
        f"images={len(ids)} uses all"
    )
    with pytest.raises(UsageError, match=re.escape(words)):
        wsolbench.analyze("components", "resnet_nano", images=2, random=False, options={"image": (beyond,)})


@pytest.fixture(scope="module")
def records():
    """Two records of one run that nobody wrote to a file."""
    return wsolbench.run("resnet_nano", ["cam", "pc1"], limit=6, threshold_step=0.1)


@pytest.mark.slow
def test_records_in_memory_are_analyzed_as_those_in_files(records, tmp_path, monkeypatch):
    monkeypatch.setattr("wsolbench.analysis.stored._pictures", lambda _: {})  # which take the time
    path = write_record(records[0], tmp_path, "cam")
    found = wsolbench.analyze("breakdown", records=[path, records[1]], out=tmp_path / "out")
    pd.testing.assert_frame_equal(found, wsolbench.analyze("breakdown", records=records))
    read = read_analysis(tmp_path / "out" / "breakdown.json").records
    assert [each.file for each in read] == ["cam.json", "in memory"]
    assert [each.outcomes_sha256 for each in read] == [record.outcomes_sha256 for record in records]
    around = wsolbench.analyze("breakdown", records=[records[1], path])  # files have no precedence
    assert around["record"].tolist() == found["record"].tolist()[::-1]
    changed = records[0].model_copy(update={"metrics": records[1].metrics})
    with pytest.raises(DataError, match="resnet_nano, cam on critters"):
        wsolbench.analyze("breakdown", records=changed)


def test_a_network_of_records_and_by_name_is_measured_once(records, monkeypatch):
    measured = []
    original = load_study("noise").measure
    monkeypatch.setattr(load_study("noise"), "measure", lambda *of: measured.append(of[1].label) or original(*of))
    table = wsolbench.analyze("noise", "resnet_nano", records=records, images=2, random=False)
    assert table["network"].tolist() == measured == ["resnet_nano"]


def test_as_many_images_as_in_the_first_record_of_them():
    of_test = make_record()
    limited = of_test.model_copy(update={"dataset": of_test.dataset.model_copy(update={"limit": 70})})
    assert _limit_of_records([limited, of_test], "birds", Split.TEST) == 70
    assert _limit_of_records([of_test, limited], "birds", Split.TEST) is None
    assert _limit_of_records([limited], "birds", Split.TRAIN_FULLSUP) is None
    assert _limit_of_records([limited], "fish", Split.TEST) is None


def test_one_network_is_in_memory_at_a_time():
    made, alive = [], []

    class Watched(ToyNetwork):
        def __init__(self, classes):
            super().__init__(classes=classes)
            made.append(weakref.ref(self))

        def forward_features(self, images):
            alive.append(sum(each() is not None for each in made))
            return super().forward_features(images)

    specs = [BackboneSpec(f"net{number}", Watched, InputConfig(32), "tests") for number in range(4)]
    table = wsolbench.analyze("noise", specs, weights="random", images=2)
    assert len(table) == 4
    assert set(alive) == {1}


class _FailingBackward(torch.autograd.Function):
    """Passes maps on, and has no memory for their gradients."""

    error: BaseException

    @staticmethod
    def forward(ctx, maps):  # noqa: ARG004
        return maps.clone()

    @staticmethod
    def backward(ctx, _gradients):  # noqa: ARG004
        raise _FailingBackward.error


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 8 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4294967296 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
@pytest.mark.parametrize("place", ["forward", "backward"])
def test_too_little_memory_is_one_line_that_says_what_to_type(error, place):
    class Full(ToyNetwork):
        def forward_features(self, images):
            if place == "forward" and len(images) and images.abs().sum() > 0:  # not the blank image of the load
                raise error
            return _FailingBackward.apply(super().forward_features(images))

    _FailingBackward.error = error
    with pytest.raises(UsageError) as caught:
        wsolbench.analyze("erf", Full(), input=InputConfig(32), images=1, options={"size": 32})
    assert str(caught.value) == "'test_analyze:full' needs more memory than cpu has; use a smaller options[\"size\"]"
    if place == "forward":
        noise = partial(wsolbench.analyze, "noise", Full(), images=1)
        run = partial(wsolbench.run, Full(classes=12), "cam", limit=1)
        for call, size, batch in ((noise, "input_size", "batch_size"), (run, "--input-size", "--batch-size")):
            with pytest.raises(UsageError) as caught:
                call(input=InputConfig(32))
            assert f"use fewer images in a pass ({batch}) or a smaller {size}" in str(caught.value)
