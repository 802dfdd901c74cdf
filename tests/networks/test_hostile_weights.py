"""Hostile and damaged weights files: none accepted, none executed, one line each, within 1 GiB and 10 s."""

import argparse
import collections
import datetime
import io
import subprocess
import sys
import time
from pathlib import Path

import hostile_weights as hostile
import numpy as np
import pytest
import torch
from cases import each

from wsolbench.errors import WeightsError
from wsolbench.networks.load import load_network
from wsolbench.networks.plain_data import find_statements
from wsolbench.networks.tensors import with_tensors
from wsolbench.networks.weights_file import read_weights_file

HERE = Path(__file__).parent
READER = r"""
import resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
import hostile_weights as hostile
from wsolbench.errors import WeightsError
from wsolbench.host.loading import load_plugins
from wsolbench.networks.load import load_network

folder = Path(sys.argv[2])
marker = folder / "executed"
registry = load_plugins()
own = registry.backbones.get("wsolbench:replknet_nano").spec.build(3).state_dict()
files = {**hostile.executing(marker), **hostile.bombs(), **hostile.damaged(), **hostile.unfit(own)}
files |= {**hostile.repeating(), **hostile.ambiguous(hostile.saved(own))}
paths = []
for number, (name, data) in enumerate(files.items()):
    paths.append((name, folder / f"{number}.pth"))
    paths[-1][1].write_bytes(data)
paths += [(path.stem, path) for path in hostile.special_places(folder)]
torch.save(own, folder / "sound.pth")
del files


def load(path):
    load_network(registry, "wsolbench:replknet_nano", dataset="x", num_classes=3, weights=path,
                 device=torch.device("cpu"), seed=0)


load(folder / "sound.pth")  # what is imported and compiled once does not count
pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 2**30, resource.RLIM_INFINITY))
for name, path in paths:
    began = time.process_time()
    try:
        load(path)
        print(f"{name}: ACCEPTED")
    except WeightsError as error:
        if "\n" in str(error) or "\x1b" in str(error) or str(folder) not in str(error):
            print(f"{name}: NO CLEAN LINE: {error!r}")
    except BaseException as error:
        print(f"{name}: {type(error).__name__}: {error}")
    seconds = time.process_time() - began
    if seconds > 10:
        print(f"{name}: {seconds:.0f} SECONDS")
load(folder / "sound.pth")  # within the same limit
if marker.exists():
    print("EXECUTED")
print(f"{len(paths)} files", file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_no_hostile_file_is_accepted_executed_or_takes_much(tmp_path):
    arguments = [sys.executable, "-W", "ignore", "-c", READER, str(HERE), str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert int(done.stderr.split()[-2]) > 160


def test_what_multiplies_repeats_or_can_be_read_in_two_ways_is_refused_at_once(registry, tmp_path):
    sound = hostile.saved(registry.backbones.get("wsolbench:resnet_nano").spec.build(3).state_dict())
    for name, data in {**hostile.repeating(), **hostile.ambiguous(sound)}.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(data)
        began = time.process_time()
        with pytest.raises(WeightsError, match="weights file") as caught:
            load_network(
                registry,
                "wsolbench:resnet_nano",
                dataset="x",
                num_classes=3,
                weights=path,
                device=torch.device("cpu"),
                seed=0,
            )
        assert "\n" not in str(caught.value)
        assert time.process_time() - began < 3, name


TENSORS = {
    "weight": torch.arange(12.0).reshape(3, 4),
    "transposed": torch.rand(4, 5).T,
    "half": torch.rand(3).to(torch.bfloat16),
    "flag": torch.tensor(True),
    "empty": torch.empty(0),
    "pairs": torch.rand(2, dtype=torch.complex64),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "late type": torch.arange(4).to(torch.uint16),
}
TENSORS["shared"] = TENSORS["weight"][1:, ::2]
OPTIONS = argparse.Namespace(
    mean=np.float64(0.5),
    std=np.array([0.25, 0.5, 0.75]),
    size=torch.Size([1, 2]),
    skipped={"a"},
    kind=torch.float32,
    device=torch.device("cpu"),
    folder=Path("runs"),
    began=datetime.datetime(2020, 1, 1),
)
BESIDE = {
    "milestones": collections.Counter([3, 6]),
    "history": collections.defaultdict(list, {"loss": [1.5]}),
    "last": collections.deque([1, 2], maxlen=3),
    "optimizer": {"state": {0: {"moment": torch.ones(2)}}, "param_groups": [{"params": [0], "lr": 0.1}]},
    "seed": 2**100,
    "torch": torch.__version__,
    "args": OPTIONS,
}


@each("zipped", [True, False])
@each("protocol", [2, 3, 4, 5])
def test_training_files_are_read_as_torch_reads_them(tmp_path, zipped, protocol):
    content = io.BytesIO()
    saved = {"model": collections.OrderedDict(TENSORS), **BESIDE}
    torch.save(saved, content, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    (tmp_path / "w.pth").write_bytes(content.getvalue())
    file = read_weights_file(tmp_path / "w.pth")
    read = with_tensors(file)
    for name, value in TENSORS.items():
        found = read["model"][name]
        assert (found.dtype, found.shape, found.stride()) == (value.dtype, value.shape, value.stride())
        assert torch.equal(found, value)
    assert read["model"]["shared"].untyped_storage().data_ptr() == read["model"]["weight"].data_ptr()
    assert read["milestones"] == {3: 1, 6: 1}
    assert read["history"] == {"loss": [1.5]}
    assert read["last"] == [1, 2]
    assert read["optimizer"]["state"][0]["moment"].tolist() == [1, 1]
    assert (read["seed"], read["torch"]) == (2**100, str(torch.__version__))
    values = {each.name: each.value for each in find_statements(file)}
    assert (values["mean"], values["std"], values["size"]) == (0.5, [0.25, 0.5, 0.75], [1, 2])
