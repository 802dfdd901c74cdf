import argparse
import os
import pickle
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import torch
from cases import each
from safetensors.torch import save_file

from wsolbench.contract import BackboneSpec, InputConfig, Pretrained
from wsolbench.errors import PluginError, UsageError, WeightsError
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer, Registry
from wsolbench.networks.load import load_network
from wsolbench.networks.plain_data import find_statements
from wsolbench.networks.resolve import resolve_backbone
from wsolbench.networks.weights import StateDict, check_fit, count_classes, difference, read_state, state_sha256
from wsolbench.networks.weights_file import read_weights_file

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def spec(registry):
    return registry.backbones.get("wsolbench:replknet_nano").spec


@pytest.fixture(scope="module")
def trained(spec):
    """A network with twelve classes whose batch norms have seen something."""
    torch.manual_seed(7)
    network = spec.build(12)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture
def state(trained):
    return {key: value.clone() for key, value in trained.state_dict().items()}


@pytest.fixture(scope="session")
def small_networks(registry):
    """The small networks: a file that does not fit is compared with every network, which takes long of large ones."""
    return Registry([offer for offer in registry.backbones if offer.spec.input.size <= 96])


@pytest.fixture
def load(small_networks):
    def load(weights, name="wsolbench:replknet_nano", num_classes=12, seed=0):
        return load_network(
            small_networks, name, dataset="critters", num_classes=num_classes, weights=weights, device=CPU, seed=seed
        )

    return load


def logits_of(network):
    images = torch.linspace(-1, 1, 3 * 96 * 96).reshape(1, 3, 96, 96)
    with torch.no_grad():
        return network.forward_head(network.forward_features(images))


def one_line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


# ------------------------------------------------------------------------------------------------------- what is read


BESIDE = {
    "epoch": 3,
    "max_accuracy": np.float64(81.5),
    "history": np.arange(4.0),
    "best": {"top1": np.float32(3), "arch": "ours"},
    "args": argparse.Namespace(lr=1e-3, output="runs", betas=(0.9, 0.999), rate=np.int64(3)),
}
FORMS = ["safetensors", "plain", "model", "state_dict", "nested", "module.", "merged"]


@pytest.mark.slow
@each("form", [*FORMS, "state_dict_ema", "model_ema", "training", "numbers"])
def test_every_usual_form_of_a_checkpoint_loads_to_the_same_network(load, trained, state, spec, tmp_path, form):
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    elif form in ("model", "state_dict", "state_dict_ema", "model_ema"):
        torch.save({form: state, "epoch": 3, "optimizer": {"lr": 0.1}}, path)
    elif form == "training":
        torch.save({"model": state, "model_ema": {key: value + 1 for key, value in state.items()}, **BESIDE}, path)
    elif form == "numbers":
        torch.save({**state, "epoch": 3, "arch": "ours", "score": np.float64(0.5), "lr": None}, path)
    elif form == "nested":
        torch.save({"model": {"state_dict": state}}, path)
    elif form == "module.":
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
    elif form == "merged":
        merged = spec.build(12).eval()
        merged.load_state_dict(state)
        merged.reparameterize()
        torch.save(merged.state_dict(), path)
    else:
        torch.save(state, path)
    network = load(path)
    torch.testing.assert_close(logits_of(network.module), logits_of(trained), rtol=1e-4, atol=1e-5)
    assert network.weights.source == "file"
    assert network.weights.file == path.name
    assert len(network.weights.sha256) == 64
    assert network.reparameterized
    assert network.num_classes == 12


def test_a_counter_that_only_training_uses_may_be_absent(load, state, tmp_path):
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(kept) < len(state)
    torch.save(kept, tmp_path / "w.pth")
    assert load(tmp_path / "w.pth").num_classes == 12


def test_a_file_brings_its_own_number_of_classes(load, spec, tmp_path):
    torch.save(spec.build(5).state_dict(), tmp_path / "w.pth")
    assert load(tmp_path / "w.pth", num_classes=12).num_classes == 5


def test_random_weights_hang_on_the_seed(load):
    first, again, other = (logits_of(load("random", seed=seed).module) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_network_is_ready_to_run(load):
    network = load("random")
    assert not network.module.training
    assert not any(parameter.requires_grad for parameter in network.module.parameters())
    assert network.largest_kernel == network.stage_kernel == 13
    assert network.weights.source == "random"
    assert network.weights.sha256 is None


# ------------------------------------------------------------------------------------------------- what cannot be read


def test_a_missing_file_and_a_folder_are_told_apart(spec, tmp_path):
    with pytest.raises(WeightsError, match=r"no\.pth does not exist"):
        read_state(tmp_path / "no.pth", spec)
    with pytest.raises(WeightsError, match="is a folder"):
        read_state(tmp_path, spec)


@each(("name", "damage"), list(product(["w.safetensors", "w.pth"], ["empty", "half", "most", "text", "header"])))
def test_a_damaged_file_is_named(spec, state, tmp_path, name, damage):
    path = tmp_path / name
    if name == "w.safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    whole = path.read_bytes()
    content = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "most": whole[:-7],
        "text": b"404: not found\n",
        "header": b"\xff" * 16 + whole[16:],
    }
    path.write_bytes(content[damage])
    with pytest.raises(WeightsError, match=name) as caught:
        read_state(path, spec)
    assert "damaged" in one_line(caught) or "pickled" in one_line(caught)


@each("form", ["safetensors", "torch", "old torch"])
def test_the_first_bytes_tell_the_format_and_not_the_name(spec, state, tmp_path, form):
    path = tmp_path / ("w.pth" if form == "safetensors" else "w.safetensors")
    if form == "safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save({"model": state}, path, _use_new_zipfile_serialization=form == "torch")
    read = read_state(path, spec).entries
    assert all(torch.equal(value, read[key]) for key, value in state.items())


@each(
    ("form", "words"),
    [
        ("empty", "it is empty"),
        ("cut torch", "it looks like a truncated ZIP file, as torch.save writes"),
        ("cut old torch", "it looks like a truncated or damaged pickle, as old versions of torch.save write"),
        ("cut safetensors", "it looks like a truncated or damaged safetensors file"),
        ("zip", "it looks like a ZIP file without a checkpoint; it holds a.txt"),
        ("script", "it looks like a TorchScript file; save the state dict of the network"),
        ("page", "it looks like a web page, perhaps from a failed download"),
        ("text", "it is a pointer of Git LFS, not the file itself; 'git lfs pull' in its repository fetches the file"),
        ("noise", "it looks like neither a torch.save nor a safetensors file"),
    ],
)
def test_what_is_no_weights_file_is_told_by_its_looks(spec, state, tmp_path, form, words):
    path = tmp_path / "w.pth"
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "hello")
    elif form == "script":
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("data.pkl", "constants.pkl", "version"):
                archive.writestr(f"w/{name}", "3")
    elif form == "cut safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    elif form.startswith("cut"):
        torch.save(state, path, _use_new_zipfile_serialization=form == "cut torch")
    else:
        path.write_bytes(
            {
                "empty": b"",
                "page": b"\n<!DOCTYPE html>\n<html><body>404</body></html>",
                "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
                "noise": bytes(range(255, 0, -1)),
            }[form]
        )
    if form.startswith("cut"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError) as caught:
        read_state(path, spec)
    assert one_line(caught) == f"weights file {path} is damaged or not a weights file: {words}"


def test_one_flipped_bit_of_a_weight_is_damage(load, state, tmp_path):
    path = save(state, tmp_path)
    with zipfile.ZipFile(path) as archive:
        place = max(archive.infolist(), key=lambda part: part.file_size).header_offset + 200
    whole = bytearray(path.read_bytes())
    whole[place] ^= 1
    path.write_bytes(whole)
    with pytest.raises(WeightsError, match=r"w\.pth is damaged: entry .*data/\d+ does not have its check sum; fetch"):
        load(path)


def test_a_file_without_check_sums_is_read(load, state, tmp_path):
    before = torch.serialization.get_crc32_options()
    try:
        torch.serialization.set_crc32_options(False)
        path = save(state, tmp_path)
    finally:
        torch.serialization.set_crc32_options(before)
    assert load(path).num_classes == 12


def test_a_weight_that_is_not_finite_is_named_and_a_counter_may_be_a_fraction(load, state, tmp_path):
    state = {name: value.float() for name, value in state.items()}
    assert load(save(state, tmp_path)).num_classes == 12
    for name, place in (("norm.weight", 3), ("norm.num_batches_tracked", ...)):
        faulty = {**state, name: state[name].clone()}
        faulty[name][place] = float("nan")
        with pytest.raises(WeightsError, match=rf"the entry '{name}' holds 1 numbers that are not finite$"):
            load(save(faulty, tmp_path))


def test_counters_of_other_tools_are_skipped_and_said(load, state, tmp_path):
    counters = {"total_ops": torch.zeros(1), "stem.total_params": torch.zeros(1)}
    notes = load(save({**state, **counters}, tmp_path)).weights.notes
    assert notes == ["2 counters that the network does not have are skipped: total_ops, stem.total_params"]


def test_the_key_of_a_state_dict_is_recorded(small_networks, state, tmp_path):
    path = save({"model": state, "model_ema": {name: value + 1 for name, value in state.items()}}, tmp_path)
    for key, taken in ((None, "model"), ("model_ema", "model_ema")):
        loaded = load_network(
            small_networks,
            "wsolbench:replknet_nano",
            dataset="critters",
            num_classes=12,
            weights=path,
            device=CPU,
            seed=0,
            weights_key=key,
        )
        assert loaded.weights.key == taken
        assert f"'{taken}' is used" in loaded.weights.notes[0]


def test_a_key_without_a_file_is_refused(small_networks):
    with pytest.raises(UsageError, match="--weights-key ema: this is for a weights file; add --weights FILE"):
        load_network(
            small_networks,
            "wsolbench:replknet_nano",
            dataset="critters",
            num_classes=12,
            weights="random",
            device=CPU,
            seed=0,
            weights_key="ema",
        )


def test_a_file_that_fits_several_variants_is_ambiguous(tmp_path):
    path = save(Plain(3, channels=8).state_dict(), tmp_path)
    loaded = load_plain("plain_l", path)
    (warning,) = loaded.warnings
    assert warning.startswith("the weights fit other variants of 'plain' just as well: 'plain_again' (4×4 maps at 32")
    assert loaded.weights.notes == [warning]
    published = path.rename(tmp_path / "plain_l-0123abcd.pth")
    assert load_plain("plain_l", published).warnings == ()


class Mine:
    """Stands for an object that somebody pickled with their weights."""


class Attack:
    """Runs a command when it is unpickled, unless unpickling is refused."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@each(("suffix", "wrapped"), list(product([".pth", ".pt", ".pkl", ".bin"], [False, True])))
def test_a_pickle_that_tries_to_execute_is_refused_and_does_not_run(spec, state, tmp_path, suffix, wrapped):
    path, marker = tmp_path / f"w{suffix}", tmp_path / "executed"
    if wrapped:
        torch.save({**state, "extra": Attack(marker)}, path)
    else:
        path.write_bytes(pickle.dumps(Attack(marker)))
    with pytest.raises(WeightsError, match="holds pickled objects or code, which are never loaded"):
        read_state(path, spec)
    assert not marker.exists()


@each("place", ["whole", "network", "among the entries", "state dict"])
def test_an_object_of_somebodys_class_is_refused_in_the_place_of_weights(spec, state, tmp_path, place):
    contents = {"whole": Mine(), "network": {"model": Mine()}, "among the entries": {"m": {**state, "x": Mine()}}}
    contents["state dict"] = {"state_dict": Settings(state)}
    torch.save(contents[place], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"never loaded \(test_weights\.\w+\)"):
        read_state(tmp_path / "w.pth", spec)


class Settings(dict):
    """A mapping of a class of its own, as those of Lightning, yacs and addict."""


class Remade(Settings):
    """A mapping that is made again of a mapping, as that of mmengine."""

    def __reduce__(self):
        return (Remade, (dict(self),))


class Level(Enum):
    """A member of an enumeration."""

    HIGH = "high"


class Attribute:
    """Is stored as an attribute of something, as Python 3.11.0 to 3.11.3 store members of enumerations."""

    def __init__(self, of, name):
        self.of, self.name = of, name

    def __reduce__(self):
        return getattr, (self.of, self.name)


OBJECTS = {
    "own": Mine(),
    "settings": Settings(size=Settings(width=224)),
    "remade": Remade(crop=Remade(height=160)),
    "any": Any,
    "types": [Settings, str, int, list, type(None), range(3), ...],
    "partial": partial(torch.nn.ReLU, inplace=True),
    "optimizer": torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.1),
    "generator": np.random.default_rng(0),
    "decimal": Decimal("0.5"),
    "id": UUID(int=3),
    "loss": torch.nn.CrossEntropyLoss(),
    "class": torch.nn.ReLU,
    "function": torch.nn.functional.relu,
    "level": Level.HIGH,
    "level of old": Attribute(Level, "HIGH"),
}


@each("protocol", [2, 4])
def test_objects_beside_the_weights_are_left_out_and_named(spec, state, tmp_path, protocol):
    for name, value in OBJECTS.items():
        torch.save({"model": state, "args": {"x": [value]}, "y": value}, tmp_path / "w.pth", pickle_protocol=protocol)
        (note,) = read_state(tmp_path / "w.pth", spec).notes
        assert re.match(r"objects of \d classes beside the weights are not loaded: '[\w.]+'", note), name
    torch.save({"model": state, **OBJECTS}, tmp_path / "w.pth", pickle_protocol=protocol)
    said = {".".join(each.path): each.value for each in find_statements(read_weights_file(tmp_path / "w.pth"))}
    assert said["settings.size.width"] == 224
    assert said["remade.crop.height"] == 160
    assert said["level"] == "high"


class Through:
    """Asks for a function or class, and for what is to be done with it, through what may stand beside weights."""

    def __init__(self, what, *arguments):
        self.what, self.arguments = what, arguments

    def __reduce__(self):
        return (self.what, self.arguments)


@each("code", ["os.system", "eval", "a process", "a path", "a module", "numpy's loader"])
def test_options_beside_weights_run_nothing(spec, state, tmp_path, code):
    marker = tmp_path / "executed"
    asked = {
        "os.system": Through(os.system, f"touch {marker}"),
        "eval": Through(eval, f"open({str(marker)!r}, 'w')"),
        "a process": Through(subprocess.Popen, "true"),
        "a path": Through(shutil.rmtree, str(tmp_path)),
        "a module": Through(import_module, "antigravity"),
        "numpy's loader": Through(np.load, str(marker)),
    }
    torch.save({"model": state, "args": argparse.Namespace(lr=asked[code])}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds pickled objects or code, which are never loaded"):
        read_state(tmp_path / "w.pth", spec)
    assert not marker.exists()


class ForeignEndian:
    """Asks for numpy's own type of numbers, the one of the whole process, and to swap its bytes."""

    def __reduce__(self):
        return (np.dtype, ("f8", False, False), (3, ">", None, None, None, -1, -1, 0))


def test_numpys_types_are_not_touched_by_a_file(spec, state, tmp_path):
    torch.save({"model": state, "type": ForeignEndian()}, tmp_path / "w.pth")
    assert read_state(tmp_path / "w.pth", spec).entries.keys() == state.keys()
    assert np.dtype("f8").byteorder == "="


def test_counters_may_be_rows_of_one_number(load, state, tmp_path):
    rows = {name: value[None] if name.endswith("num_batches_tracked") else value for name, value in state.items()}
    counters = [name for name in rows if name.endswith("num_batches_tracked")]
    assert counters
    torch.save(rows, tmp_path / "w.pth")
    assert load(tmp_path / "w.pth").num_classes == 12


@each(("shape", "said"), [((2_000_000, 0), "has the shape"), ((), "has the shape"), ((7, 5), "of another shape")])
def test_a_classifier_that_can_be_none_is_refused_before_the_network_is_built(registry, tmp_path, shape, said):
    without_memory = []
    offer = registry.backbones.get("wsolbench:resnet_nano")

    def build(classes):
        without_memory.append(torch.empty(1).is_meta)
        return offer.spec.build(classes)

    spec = replace(offer.spec, build=build)
    state = {**offer.spec.build(3).state_dict(), "fc.weight": torch.zeros(shape)}
    path = tmp_path / "w.pth"
    with pytest.raises(WeightsError, match=said):
        check_fit(StateDict(path, state), spec, count_classes(path, spec, state))
    assert all(without_memory)


def test_nothing_stays_allowed_after_a_file_was_read(spec, state, tmp_path):
    torch.save({"model": state, **BESIDE}, tmp_path / "w.pth")
    before = set(torch.serialization.get_safe_globals())
    read_state(tmp_path / "w.pth", spec)
    assert set(torch.serialization.get_safe_globals()) == before


NO_STATE_DICTS = [[1, 2], {}, {"epoch": 3}, {"model": {}}, {"optimizer": {"state": {0: {"w": torch.zeros(3, 3)}}}}]


@each("content", [*NO_STATE_DICTS, torch.zeros(3)])
def test_a_file_without_a_state_dict_is_refused(spec, tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_state(tmp_path / "w.pth", spec)


def test_whatever_a_plugins_reader_raises_becomes_an_error_about_the_file(spec, tmp_path):
    def read(path):
        raise ValueError(f"bad magic\nin {path.name}")

    (tmp_path / "w.npz").touch()
    with pytest.raises(WeightsError, match=r"cannot be read as 'replknet_nano' weights: bad magic in w\.npz"):
        read_state(tmp_path / "w.npz", replace(spec, read_weights=read))


@each("form", ["safetensors", "module."])
def test_a_plugin_converts_what_the_core_has_read(spec, state, tmp_path, form):
    def convert(theirs):
        return {key.removeprefix("their."): value for key, value in theirs.items()}

    theirs = {f"their.{key}": value.contiguous() for key, value in state.items()}
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(theirs, path)
    else:
        torch.save({"model": {f"module.{key}": value for key, value in theirs.items()}}, path)
    ours = read_state(path, replace(spec, convert_weights=convert)).entries
    assert ours.keys() == state.keys()
    assert all(torch.equal(value, ours[key]) for key, value in state.items())


def test_why_a_plugin_cannot_convert_becomes_an_error_about_the_file(spec, state, tmp_path):
    def convert(theirs):
        raise ValueError(f"it is from\na later version with {len(theirs)} entries")

    path = save(state, tmp_path)
    with pytest.raises(WeightsError, match=r"w\.pth cannot be read as .* it is from a later version") as caught:
        read_state(path, replace(spec, convert_weights=convert))
    one_line(caught)


# ---------------------------------------------------------------------------------------------------- what does not fit


def save(state, tmp_path):
    torch.save(state, tmp_path / "w.pth")
    return tmp_path / "w.pth"


def test_an_entry_of_another_shape_is_named_with_both_shapes(load, state, tmp_path):
    state["stem.0.conv.weight"] = torch.zeros(24, 3, 5, 5)
    with pytest.raises(WeightsError) as caught:
        load(save(state, tmp_path))
    message = one_line(caught)
    assert "1 of another shape: stem.0.conv.weight (file (24, 3, 5, 5), network (24, 3, 3, 3))" in message


def test_missing_and_unexpected_entries_are_named(load, state, tmp_path):
    del state["norm.weight"]
    state["surplus"] = torch.zeros(1)
    with pytest.raises(WeightsError, match=r"1 missing: norm\.weight; 1 unexpected: surplus") as caught:
        load(save(state, tmp_path))
    one_line(caught)


def test_many_entries_are_counted_and_a_few_named(load, state, tmp_path):
    kept = {key: value for key, value in state.items() if key.startswith(("head", "norm"))}
    with pytest.raises(WeightsError, match=r"\d+ missing: \S+, \S+, \S+, \.\.\."):
        load(save(kept, tmp_path))


def test_weights_of_another_network_are_recognised_by_their_classifier(load, tmp_path):
    with pytest.raises(WeightsError, match=r"is not for 'replknet_nano': it has no 'head.weight'; it holds 1 entries"):
        load(save({"fc.weight": torch.zeros(3, 3)}, tmp_path))


def test_a_family_and_a_file_give_the_variant_whose_shapes_fit(registry, state, tmp_path):
    path = save(state, tmp_path)
    assert resolve_backbone(registry, "replknet", "anything", path).name == "replknet_nano"
    state["norm.weight"] = torch.zeros(73)
    with pytest.raises(UsageError, match=r"is a family of networks, and the file .* fits no variant of it"):
        resolve_backbone(registry, "replknet", "anything", save(state, tmp_path))


def test_a_family_and_merged_weights_give_the_variant_too(registry, spec, tmp_path):
    merged = spec.build(12).eval()
    merged.reparameterize()
    path = save(merged.state_dict(), tmp_path)
    assert resolve_backbone(registry, "replknet", "anything", path).name == "replknet_nano"


def test_a_family_without_weights_for_the_data_set_lists_its_variants(registry):
    with pytest.raises(UsageError, match=r"ship with no variant of it; name one: .*replknet_31b.*replknet_nano"):
        resolve_backbone(registry, "replknet", "birds", None)


def test_a_variant_without_weights_for_the_data_set_says_what_to_pass(registry):
    with pytest.raises(UsageError, match=r"ships no weights for the data set 'birds'; pass --weights FILE or"):
        load_network(
            registry,
            "wsolbench:replknet_nano",
            dataset="birds",
            num_classes=2,
            weights=None,
            device=CPU,
            seed=0,
        )


class Plain(torch.nn.Module):
    """A classifier of so many channels."""

    def __init__(self, num_classes, channels):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, channels, 8, stride=8)
        self.head = torch.nn.Linear(channels, num_classes)

    def forward_features(self, images):
        return self.stem(images)

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    @property
    def classifier_weight(self):
        return self.head.weight


def plain(name, channels, **about):
    spec = BackboneSpec(name, partial(Plain, channels=channels), InputConfig(32), "us", family="plain", **about)
    return Offer(spec, Provider("acme", "1.0", "nets"))


def load_plain(name, weights, *offers):
    registry = Registry(offers or [plain("plain_s", 4), plain("plain_l", 8), plain("plain_again", 8)])
    return load_network(registry, name, dataset="birds", num_classes=3, weights=weights, device=CPU, seed=0)


def test_a_file_that_fits_another_variant_of_the_family_says_so(tmp_path):
    path = save(Plain(3, channels=8).state_dict(), tmp_path)
    with pytest.raises(
        WeightsError, match=r"does not fit 'plain_s': .*; it fits 'plain_again' and 'plain_l'$"
    ) as caught:
        load_plain("plain_s", path)
    one_line(caught)
    with pytest.raises(WeightsError, match=r"network \(3, 4\)\); 'wsolbench weights .* with every network$"):
        load_plain("plain_s", path, plain("plain_s", 4))


# ------------------------------------------------------------------------------------------------------ what is fetched


def fetched(channels=4, classes=7):
    torch.manual_seed(1)
    return Plain(classes, channels).state_dict()


def test_pretrained_weights_are_asked_for_by_their_source():
    network = load_plain("plain_s", Path("acme"), plain("plain_s", 4, pretrained=Pretrained("acme", "s.v1", fetched)))
    assert torch.equal(network.module.head.weight, fetched()["head.weight"])
    assert network.num_classes == 7
    assert (network.weights.source, network.weights.file) == ("pretrained", "acme:s.v1")
    assert network.weights.sha256 == state_sha256(fetched())
    assert network.weights.sha256 != state_sha256({**fetched(), "head.bias": torch.zeros(7)})


def test_a_family_and_a_source_give_the_variant_that_has_its_weights():
    offers = plain("plain_s", 4, pretrained=Pretrained("acme", "s.v1", fetched)), plain("plain_l", 8)
    assert load_plain("plain", Path("acme"), *offers).spec.name == "plain_s"
    with pytest.raises(WeightsError, match="weights file bolt does not exist"):
        load_plain("plain", Path("bolt"), *offers)


def test_what_to_pass_names_the_source_of_pretrained_weights():
    with pytest.raises(UsageError, match=r"pass --weights FILE, --weights acme or --weights random$"):
        load_plain("plain_s", None, plain("plain_s", 4, pretrained=Pretrained("acme", "s.v1", fetched)))


def test_weights_that_cannot_be_fetched_are_blamed_on_the_plugin():
    def fetch():
        raise OSError("no route\nto host")

    with pytest.raises(
        PluginError, match=r"acme 1\.0 'nets' failed fetching weights for 'plain_s': OSError: no route to"
    ):
        load_plain("plain_s", Path("acme"), plain("plain_s", 4, pretrained=Pretrained("acme", "s.v1", fetch)))


def test_a_network_fits_itself(trained, state):
    assert not difference(trained, state)
