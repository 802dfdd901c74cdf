"""Weights files, cards and training states, damaged: none is executed, each is read or refused in one line."""

import hashlib
import io
import json
import struct
import zipfile
from argparse import Namespace
from collections import Counter
from importlib.resources import files

import numpy as np
import torch
from hypothesis import strategies as st
from mutations import as_json, both_sizes, changed, damaged, fuzz, own_folder, refused_in_one_line
from safetensors.torch import save

from wsolbench.networks.card import read_card
from wsolbench.networks.entries import choose_entries
from wsolbench.networks.weights_file import read_weights_file
from wsolbench.training.state import StateFile, TrainingState

TENSORS = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.ones(3), "b": torch.zeros(2, 2)}


def as_torch(content, **options):
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def look_at(content, name):
    with own_folder() as folder:
        (folder / name).write_bytes(content)
        found = refused_in_one_line(lambda: choose_entries(read_weights_file(folder / name)))
        for value in found.tensors.values() if found is not None else ():
            assert isinstance(value, torch.Tensor)


@both_sizes
def test_safetensors(examples):
    whole = save(TENSORS, {"format": "pt"})
    length = struct.unpack("<Q", whole[:8])[0]
    header, data = json.loads(whole[8 : 8 + length]), whole[8 + length :]

    def with_header(text):
        return struct.pack("<Q", len(text)) + text + data

    files = st.one_of(damaged(whole), as_json(changed(header)).map(with_header))
    fuzz(files, lambda content: look_at(content, "w.safetensors"), examples)


@both_sizes
def test_torch_files(examples):
    whole = [as_torch(TENSORS), as_torch({"state_dict": TENSORS, "epoch": 3})]
    old = as_torch(TENSORS, _use_new_zipfile_serialization=False)
    beside = {"milestones": Counter([3]), "rate": np.float64(0.5), "args": Namespace(size=torch.Size([2]), kept={1})}
    whole += [as_torch({"model": TENSORS, **beside}, pickle_protocol=protocol) for protocol in (2, 4)]
    files = st.one_of(*(damaged(each) for each in (*whole, old)), *(repacked(each) for each in whole))
    fuzz(files, lambda content: look_at(content, "w.pth"), examples)


@st.composite
def repacked(draw, content):
    """Draw a ZIP file like a given one, with a member changed and its checksum right."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = draw(st.sampled_from(sorted(members)))
    members[name] = draw(damaged(members[name]))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


@both_sizes
def test_cards(examples):
    shipped = files("wsolbench_plugins") / "checkpoints" / "replknet_nano__critters.json"
    whole = json.loads(shipped.read_text())
    whole["weights_sha256"] = hashlib.sha256(b"weights").hexdigest()

    def check(content):
        with own_folder() as folder:
            (folder / "weights.safetensors").write_bytes(b"weights")
            (folder / "card.json").write_bytes(content)
            refused_in_one_line(read_card, folder / "weights.safetensors", whole["weights_sha256"])

    fuzz(st.one_of(as_json(changed(whole)), damaged(json.dumps(whole).encode())), check, examples)


@both_sizes
def test_states_of_a_training(examples):
    with own_folder() as folder:
        StateFile(folder / "state", {"seed": 1}).write(TrainingState(results=[{"a": 1}], kept=dict(TENSORS)))
        whole = (folder / "state").read_bytes()

    def check(content):
        with own_folder() as folder:
            (folder / "state").write_bytes(content)
            refused_in_one_line(StateFile(folder / "state", {"seed": 1}).read)

    fuzz(st.one_of(damaged(whole), repacked(whole)), check, examples)
