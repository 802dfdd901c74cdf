"""What is said about files whose entries do not fit, and of files that are none."""

import gzip
import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from cases import each

from wsolbench.contract import BackboneSpec, InputConfig
from wsolbench.errors import UsageError, WeightsError
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer, Registry
from wsolbench.networks.load import load_network
from wsolbench.networks.resolve import resolve_backbone


class Net(torch.nn.Module):
    """A network of one convolution, one norm and a head."""

    def __init__(self, classes, width=4):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 3)
        self.bn = torch.nn.BatchNorm2d(width)
        self.fc = torch.nn.Linear(width, classes)

    def forward_features(self, images):
        return self.bn(self.conv(images))

    def forward_head(self, features):
        return self.fc(features.mean(dim=(2, 3)))


def wide(classes: int, *, width: int = 4) -> Net:
    return Net(classes, width)


def narrow(classes: int, *, width: int = 2) -> Net:
    return Net(classes, width)


def plain(classes: int) -> Net:
    return Net(classes, 8)


def offer(name, build):
    spec = BackboneSpec(name, build, InputConfig(8), "nowhere", family="net", classifier_key="fc.weight")
    return Offer(spec, Provider("acme", "1", "net"))


REGISTRY = Registry([offer("net_wide", wide), offer("net_narrow", narrow), offer("net_plain", plain)])


@dataclass
class Saved:
    path: Path

    def load(self, name="net_wide", **options):
        return load_network(
            REGISTRY, name, dataset="x", num_classes=5, weights=self.path, device=torch.device("cpu"), seed=0, **options
        )


@pytest.fixture
def saved(tmp_path):
    def saved(entries, name="w.pth"):
        torch.save(entries, tmp_path / name)
        return Saved(tmp_path / name)

    return saved


STATE = Net(5).state_dict()


def renamed(old, new):
    return {name.replace(old, new): value for name, value in STATE.items()}


UNFIT = {
    "pruned": (renamed("conv.weight", "conv.weight_orig") | {"conv.weight_mask": STATE["conv.weight"]}, "prune.remove"),
    "parametrized": (renamed("conv.weight", "conv.parametrizations.weight.original0"), "remove_parametrizations"),
    "normalised": (renamed("conv.weight", "conv.weight_v"), "remove_weight_norm"),
    "adapters": (STATE | {"conv.lora_A.weight": torch.zeros(2, 2)}, "merge them"),
    "quantised": (STATE | {"quant.zero_point": torch.zeros(1)}, "quantised weights"),
    "a norm in front": (STATE | {"mean": torch.zeros(1, 3, 1, 1), "std": torch.ones(1, 3, 1, 1)}, "normalises its own"),
    "parameters": ({name: value for name, value in STATE.items() if "running" not in name}, "without the statistics"),
    "another head": (renamed("fc.", "last."), r"no 'fc.weight'.*its last matrix is 'last.weight' \(5, 4\)"),
    "no head and no norm": ({name: STATE[name] for name in ("conv.weight", "conv.bias")}, "no matrix that could be"),
    "a head of two layers": (
        renamed("fc.", "fc.3.") | {"fc.0.weight": torch.zeros(4, 4)},
        "its head 'fc' has 2 layers with weights, and class activation maps need a single linear one",
    ),
    "a scalar head": (STATE | {"fc.weight": torch.tensor(1.0)}, r"'fc.weight' has the shape \(\), not one of class"),
    "variances": (STATE | {"bn.running_var": torch.tensor([1.0, -1, 1, 1])}, "'bn.running_var' holds variances below"),
    "shapes": (STATE | {"conv.weight": torch.zeros(1)}, r"1 of another shape: conv.weight \(file \(1,\), network"),
}


@each("case", list(UNFIT))
def test_what_is_wrong_with_a_file_is_said_of_the_file(saved, case):
    entries, said = UNFIT[case]
    with pytest.raises(WeightsError, match=rf"weights file .*{said}"):
        saved(entries).load()


LAST = "the only layer of the head with weights, is taken for the head"
SEQUENCES = {
    "dropout": (renamed("fc.", "fc.1."), f"'fc.1', {LAST}"),
    "a name": (renamed("fc.", "fc.classifier."), f"'fc.classifier', {LAST}"),
    "a prefix": (
        {f"module.{name}": value for name, value in renamed("fc.", "fc.1.").items()},
        f"'module.fc.1', {LAST}",
    ),
    "no bias": (
        {name: value for name, value in STATE.items() if name != "fc.bias"},
        "the file has no 'fc.bias', which is taken for zeros",
    ),
}


@each("case", list(SEQUENCES))
def test_heads_that_give_the_same_scores_are_read(saved, case):
    entries, note = SEQUENCES[case]
    loaded = saved(entries).load()
    assert loaded.weights.notes[-1] == note
    bias = torch.zeros(5) if case == "no bias" else STATE["fc.bias"]
    assert torch.equal(loaded.module.state_dict()["fc.weight"], STATE["fc.weight"])
    assert torch.equal(loaded.module.state_dict()["fc.bias"], bias)


def behind_norm(norm, mean, std):
    """Return a network with ImageNet's preprocessing inside, under the names that it has in such a file."""
    inner = "head" if norm == "data_preprocessor.mean" else "net"
    entries = {f"{inner if name[:2] == 'fc' else 'net'}.{name}": value for name, value in STATE.items()}
    names = norm, norm.replace("mean", "std").replace("mu", "sigma")
    return entries | {
        name: torch.tensor(each).reshape(1, 3, 1, 1) for name, each in zip(names, (mean, std), strict=True)
    }


@each(
    "norm", ["normalize.mean", "mean", "0.new_mean", "data_preprocessor.mean", "normalizer.mu", "module.our_own_mean"]
)
def test_a_norm_that_is_skipped_is_compared_with_the_preprocessing(saved, norm):
    (warning,) = saved(behind_norm(norm, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])).load().warnings
    assert warning.startswith("the weights file says mean 0.1, 0.2, 0.3, std 0.4, 0.5, 0.6; 'net_wide' runs at 8×8")
    own = InputConfig(8)
    assert saved(behind_norm(norm, own.mean, own.std)).load().warnings == ()
    assert (
        saved(behind_norm(norm, [255 * each for each in own.mean], [255 * each for each in own.std])).load().warnings
        == ()
    )


def test_a_layer_for_the_colours_that_is_skipped_is_said(saved):
    inner = {f"1.{name}": value for name, value in STATE.items()}
    norm = {f"0.{name}": value for name, value in torch.nn.BatchNorm2d(3).state_dict().items()}
    (warning,) = saved(inner | norm).load().warnings
    assert warning.startswith("the skipped layer '0' has a number for each colour channel, as one that prepares the in")
    assert saved(inner | {"0.weight": torch.ones(3, 9), "0.bias": torch.ones(3)}).load().warnings == ()


def test_a_shard_is_said_to_be_one(saved):
    part = {name: value for name, value in STATE.items() if name[:2] == "fc"}
    with pytest.raises(WeightsError, match="by its name it is part 1 of 2 of a network; save all of it in one file"):
        saved(part, "model-00001-of-00002.pth").load()


def test_a_hint_names_the_key(saved):
    file = saved({"model": Net(5, 7).state_dict(), "ema": {"x.weight": torch.zeros(2, 2)}})
    with pytest.raises(WeightsError, match=r"'wsolbench weights \S+ --weights-key ema' compares it"):
        file.load(weights_key="ema")
    file = saved({"model": Net(5, 7).state_dict(), "student": {f"net.{name}": value for name, value in STATE.items()}})
    with pytest.raises(WeightsError, match=r"does not fit.*; its state dict 'student' fits: --weights-key student"):
        file.load()
    assert file.load(weights_key="student").weights.key == "student"


def _archived(content, kind, name="run/best.pth"):
    if kind == "gzip":
        return gzip.compress(content)
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("best.pth"), io.BytesIO())
    return file.getvalue()


@each(
    ("content", "said"),
    [
        (_archived(b"x", "gzip"), "it looks like a gzip archive; unpack it"),
        (_archived(b"x", "tar"), "it looks like a tar archive; unpack it"),
        (_archived(b"x", "zip"), "holds run/best.pth; unpack it and pass 'run/best.pth'"),
        (_archived(b"x", "zip", "fc.weight.npy"), "a file of numpy's savez; save the state dict"),
        (_archived(b"x", "zip", "model/archive_format"), "a program of torch.export; save the state dict"),
        (_archived(b"x", "zip", "model.weights.h5"), "a file of Keras; save the state dict"),
        (b"\x1c\0\0\0TFL3" + bytes(600), "a TFLite file; save the state dict"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + bytes(600), "an ONNX file; save the state dict"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "it looks like an HDF5 file"),
        (
            b'{"metadata": {}, "weight_map": {"fc.weight": "model-00002-of-00002.safetensors"}}',
            "it is the index of a net",
        ),
    ],
)
def test_files_that_hold_no_network_themselves_say_what_to_pass(tmp_path, content, said):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        Saved(tmp_path / "w.pth").load()


def test_options_decide_with_the_file_which_variant_of_a_family_is_meant(saved):
    file = saved(Net(5, 2).state_dict(), "two.pth")
    assert resolve_backbone(REGISTRY, "net", "x", file.path).name == "net_narrow"
    loaded = saved(Net(5, 6).state_dict()).load("net_wide", options={"width": "6"})
    assert loaded.options == {"width": 6}
    with pytest.raises(UsageError, match="more than one variant of it; name one: net_narrow, net_wide"):
        file.load("net", options={"width": "2"})
    with pytest.raises(
        UsageError, match=r"'net' is a family of networks, and no variant of it takes the options: .*depth"
    ):
        file.load("net", options={"depth": "2"})
    other = Registry([offer("net_wide", wide), offer("net_plain", plain)])
    assert resolve_backbone(other, "net", "x", saved(Net(5, 6).state_dict()).path, {"width": "6"}).name == "net_wide"
