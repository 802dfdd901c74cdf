"""Hostile and damaged weights files: none accepted, none executed, one line each, within 1 GiB and 10 s."""

import subprocess
import sys
from pathlib import Path

import pytest

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
    assert int(done.stderr.split()[-2]) > 120
