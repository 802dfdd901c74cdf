"""Which state dict of a weights file is taken, under which names: any wrapper's prefix, any container, averages."""

import re

import pytest
import torch
from cases import each

from wsolbench.errors import WeightsError
from wsolbench.networks.entries import choose_entries
from wsolbench.networks.weights_file import read_weights_file

CLASSIFIER = "fc.weight"


def network(value=0.0):
    """Return the state dict of a small network."""
    shapes = {"conv1.weight": (4, 3, 3, 3), "bn1.weight": (4,), "layer1.0.conv.weight": (4, 4, 3, 3)}
    shapes |= {"layer1.0.bn.weight": (4,), "layer1.1.conv.weight": (4, 4, 3, 3), "fc.weight": (5, 4), "fc.bias": (5,)}
    return {name: torch.full(shape, value) for name, shape in shapes.items()}


def prefixed(prefix, value=0.0):
    return {prefix + name: entry for name, entry in network(value).items()}


def chosen(content, tmp_path, key=None, classifier_key=CLASSIFIER):
    torch.save(content, tmp_path / "w.pth")
    return choose_entries(read_weights_file(tmp_path / "w.pth"), key, classifier_key)


PREFIXES = [
    "module.",
    "_orig_mod.",
    "model.",
    "backbone.",
    "net.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "a.b.c.d.",
]


@each("prefix", PREFIXES)
def test_any_prefix_that_all_names_share_is_taken_off_and_reported(tmp_path, prefix):
    for classifier_key in (CLASSIFIER, None):
        found = chosen({"state_dict": prefixed(prefix)}, tmp_path, classifier_key=classifier_key)
        assert found.tensors.keys() == network().keys()
        assert found.notes == (f"the prefix '{prefix}' is removed from the names",)


@each("beside", ["criterion.weight", "ema.conv1.weight", "loss_fn.margin", "train_acc.count", "n_averaged"])
def test_entries_beside_the_network_are_named_and_skipped(tmp_path, beside):
    for classifier_key in (CLASSIFIER, None):
        found = chosen({**prefixed("model."), beside: torch.zeros(2)}, tmp_path, classifier_key=classifier_key)
        assert found.tensors.keys() == network().keys()
        assert found.notes[1] == f"1 entries without this prefix are skipped: {beside}"


def test_names_of_the_network_are_no_prefix(tmp_path):
    assert chosen({"fc.weight": torch.zeros(5, 4), "fc.bias": torch.zeros(5)}, tmp_path).tensors.keys() == {
        "fc.weight",
        "fc.bias",
    }
    parts = {f"module.{name}": entry for name, entry in network().items()}
    assert chosen(parts, tmp_path, classifier_key="module.fc.weight").tensors.keys() == parts.keys()
    head_apart = {**{f"body.{name}": entry for name, entry in network().items() if name[:2] != "fc"}}
    head_apart |= {"head.fc.weight": torch.zeros(5, 4), "head.fc.bias": torch.zeros(5)}
    assert chosen(head_apart, tmp_path, classifier_key="head.fc.weight").tensors.keys() == head_apart.keys()


def tree(flat):
    """Return a state dict as a tree of modules."""
    root = {}
    for name, entry in flat.items():
        *parts, last = name.split(".")
        place = root
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = entry
    return root


def renamed(*changes):
    entries = network()
    for old, new in changes:
        entries = {re.sub(old, new, name): entry for name, entry in entries.items()}
    return entries


SHAPED = {
    "compiled parts": (renamed(("^layer1.", "layer1._orig_mod.")), "inside names are removed: _orig_mod"),
    "sharded parts": (
        {
            "state_dict": {
                f"module.{name}": entry for name, entry in renamed((".0.", "._fsdp_wrapped_module.0.")).items()
            }
        },
        "inside names are removed: _fsdp_wrapped_module",
    ),
    "recomputed parts": (renamed((r"0\.conv", "0._checkpoint_wrapped_module.conv")), "_checkpoint_wrapped_module"),
    "a parallel part": (renamed(("^layer1.", "layer1.module.")), "inside names are removed: module"),
    "some parallel": (renamed(("^(bn|fc)", r"module.\1")), "inside names are removed: module"),
    "body and head": (
        {("head." if name[:2] == "fc" else "backbone.") + name: entry for name, entry in network().items()},
        "the prefixes 'backbone.' and 'head.' are removed from the names",
    ),
    "a tree": (tree(network()), None),
    "a tree in a container": ({"params": tree(prefixed("net.")), "epoch": 3}, "the prefix 'net.' is removed"),
    "a list of one": ([network(), {"epoch": 3}], None),
    "pairs": (list(network().items()), None),
}


@each("shape", list(SHAPED))
def test_names_inside_names_and_containers_of_any_shape(tmp_path, shape):
    content, note = SHAPED[shape]
    found = chosen(content, tmp_path)
    assert found.tensors.keys() == network().keys()
    assert not found.notes if note is None else any(note in each_note for each_note in found.notes)


def test_averages_of_a_hook_in_one_mapping_are_a_state_dict_of_their_own(tmp_path):
    averages = {f"ema_{name.replace('.', '_')}": entry for name, entry in network(2).items()}
    found = chosen({"state_dict": network(1) | averages}, tmp_path)
    assert set(found.tensors["conv1.weight"].unique().tolist()) == {1}
    assert "2 state dicts, under 'state_dict', 'state_dict.ema'" in found.notes[0]
    assert chosen({"state_dict": network(1) | averages}, tmp_path, key="ema").tensors.keys() == network().keys()


def test_a_tree_of_modules_that_is_none_ends(tmp_path):
    content = {"fc": {"weight": torch.zeros(2, 2)}}
    for _ in range(60):
        content = {"a": content, "b": content, "c": content}
    with pytest.raises(WeightsError, match="holds no state dict"):
        chosen(content, tmp_path)


KEYS = {
    "state_dict.ema_model.module": 2,
    "ema_model.module": 2,
    "ema_model": 2,
    "state_dict.ema_model": 2,
    "model": 1,
    "state_dict.model": 1,
}


@each("key", list(KEYS))
def test_a_key_may_be_any_part_of_a_whole_key(tmp_path, key):
    content = {"state_dict": {**prefixed("model.", 1), **prefixed("ema_model.module.", 2)}}
    for classifier_key in (CLASSIFIER, None):  # of `run`, which knows the network, and of `weights`, which does not
        found = chosen(content, tmp_path, key, classifier_key)
        assert set(found.tensors["conv1.weight"].unique().tolist()) == {KEYS[key]}
        assert "under 'state_dict.model', 'state_dict.ema_model.module'" in found.notes[0]


@each(
    ("key", "message"),
    [
        ("state_dict", "2 state dicts of this key: 'state_dict.model', 'state_dict.ema_model.module'; write one of"),
        ("epoch", "it holds 'state_dict.model', 'state_dict.ema_model.module'; 'epoch' is a number"),
        ("shadow.params", "'shadow.params' is a list of 2 tensors without names"),
        ("args", "'args' is a mapping of 'lr'"),
    ],
)
def test_a_key_of_something_else_says_what_it_is_and_names_the_candidates(tmp_path, key, message):
    content = {"state_dict": {**prefixed("model.", 1), **prefixed("ema_model.module.", 2)}, "epoch": 3}
    content |= {"shadow": {"params": [torch.zeros(2), torch.zeros(3)]}, "args": {"lr": 0.1}}
    with pytest.raises(WeightsError, match=re.escape(message)):
        chosen(content, tmp_path, key=key)


@each(
    ("content", "held"),
    [
        ({"optimizer": {"state": {}}, "epoch": 1}, "a mapping of 'optimizer', 'epoch'"),
        ([torch.zeros(2)] * 3, "a list of 3 tensors without names"),
        ({}, "nothing"),
        (3, "a number"),
    ],
)
def test_a_file_without_a_state_dict_says_what_it_holds(tmp_path, content, held):
    with pytest.raises(WeightsError, match=f"holds no state dict .*; it holds {re.escape(held)}; save the state dict"):
        chosen(content, tmp_path)


@each(
    "keys",
    [
        "model_state_dict",
        "net",
        "ema_state_dict",
        "params",
        "weights",
        "generator",
        "state_dict.model",
        "a.b.c",
        "module",
    ],
)
def test_a_state_dict_is_found_wherever_it_is_alone(tmp_path, keys):
    content = network()
    for key in reversed(keys.split(".")):
        content = {key: content, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(5, 4)}}}}
    found = chosen(content, tmp_path)
    assert found.tensors.keys() == network().keys()
    assert found.key is None
    assert not found.notes


BOTH = {
    "timm": ({"state_dict": network(1), "state_dict_ema": network(2)}, "state_dict", "state_dict_ema"),
    "ema first": ({"ema": network(2), "params": network(1)}, "params", "ema"),
    "nested": ({"model": network(1), "model_ema": {"module": network(2)}}, "model", "model_ema.module"),
    "basicsr": ({"params": network(1), "params_ema": network(2)}, "params", "params_ema"),
    "one mapping": (
        {"state_dict": {**prefixed("model.", 1), **prefixed("ema_model.", 2)}},
        "state_dict.model",
        "ema_model",
    ),
    "another network": ({"net": network(1), "discriminator": {"x.weight": torch.zeros(3, 3)}}, "net", None),
}


@each("name", list(BOTH))
def test_of_several_state_dicts_the_raw_weights_are_taken_said_and_another_one_can_be_chosen(tmp_path, name):
    content, usual, other = BOTH[name]
    found = chosen(content, tmp_path)
    assert set(found.tensors["conv1.weight"].unique().tolist()) == {1}
    assert found.key == usual
    assert "the file holds 2 state dicts" in found.notes[0]
    assert f"'{usual}' is used" in found.notes[0]
    assert "--weights-key" in found.notes[0]
    if other is not None:
        averaged = chosen(content, tmp_path, key=other)
        assert set(averaged.tensors["conv1.weight"].unique().tolist()) == {2}
        assert averaged.key.endswith(other)
    with pytest.raises(WeightsError, match=r"key nothing: .* holds no one state dict of this key; it holds '"):
        chosen(content, tmp_path, key="nothing")


def test_a_key_of_the_only_state_dict_is_accepted_and_another_is_not(tmp_path):
    assert chosen({"model": network()}, tmp_path, key="model").tensors.keys() == network().keys()
    with pytest.raises(
        WeightsError, match=r"--weights-key ema: .* holds one state dict, under 'model'; omit the option"
    ):
        chosen({"model": network()}, tmp_path, key="ema")


def test_mappings_that_refer_to_each_other_end(tmp_path):
    content = {"model": network()}
    content["again"] = {"more": content}
    inner = {f"x{number}": content for number in range(1000)}
    content |= {"wide": {f"x{number}": inner for number in range(1000)}}
    assert chosen(content, tmp_path, classifier_key=None).tensors.keys() == network().keys()
