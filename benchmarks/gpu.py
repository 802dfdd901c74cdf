"""What a GPU is used for: a whole run against the bare forward pass, the parts beside it, and steps of training.

    python benchmarks/gpu.py [--device cuda] [--minutes 8] [--tiny]

Photos are JPEG files of 500×375, made here; networks have random weights. Rows are images a second:

- forward: the bare forward pass of the network that a run makes, over one batch that is on the device already;
- run: `wsolbench run --method pc1`, from files to boxes, over the test split, with an empty cache;
- share: run against forward, 90 % wanted;
- loading, pc1, sweep: what a run does beside the forward pass, each alone; loading with as many threads as the run has,
  the sweep of thresholds with one.

The second table is about steps of training: forward pass, gradients and AdamW, over one batch that is on the device.

What does not fit into the minutes is left out, and said. `--tiny` tries the script with small networks on any machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
import torch
from conditions import conditions
from image_folder import write_lists
from loading import write_photos
from tabulate import tabulate
from torch import Tensor
from wsolbench_plugins.methods.pc1 import PrincipalComponent

from wsolbench.api import MethodContext
from wsolbench.config import RunConfig
from wsolbench.contract.choices import Precision
from wsolbench.data.image_files import ImageFiles
from wsolbench.data.storage import open_storage
from wsolbench.engine.run import run
from wsolbench.engine.stream import stream_batches
from wsolbench.host.loading import load_plugins
from wsolbench.networks.load import load_network
from wsolbench.networks.network import Execution, LoadedNetwork
from wsolbench.progress import Reporter
from wsolbench.protocol import best_iou_curves, cam_threshold_grid, to_scoremap
from wsolbench.protocol.compilation import load_sweep
from wsolbench.training.loop import forward_context

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
PHOTO = (500, 375)


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Args:
        networks: Of the runs.
        batches: Images in a forward pass.
        trained: Of the steps of training.
        step: Images in a step.
        photos: Different photos.
        seconds: So long a run is to take, by the speed of the bare forward pass.
        most: Images of a run at most.
    """

    networks: tuple[str, ...]
    batches: tuple[int, ...]
    trained: tuple[str, ...]
    step: int
    photos: int
    seconds: float
    most: int


FULL = Sizes(
    ("replknet_31b@384", "convnext_base", "resnet50"),
    (32, 128),
    ("resnet50", "convnext_tiny", "replknet_31b", "slak_tiny"),
    step=64,
    photos=512,
    seconds=6,
    most=8192,
)
TINY = Sizes(
    ("replknet_nano", "resnet_nano"),
    (4,),
    ("resnet_nano", "convnext_nano", "replknet_nano", "slak_nano"),
    step=4,
    photos=4,
    seconds=0.1,
    most=12,
)


def rate(compute: Callable[[], object], images: int, device: torch.device, rounds: int = 5) -> float:
    """Return how many images a second a call takes: the median of some rounds after a first one that does not count."""
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        compute()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return images / float(np.median(seconds[1:]))


def network_of(name: str, precision: Precision, device: torch.device) -> LoadedNetwork:
    """Return a network with random weights, as a run makes it."""
    return load_network(
        load_plugins(),
        name,
        dataset="",
        num_classes=1000,
        weights="random",
        device=device,
        seed=0,
        execution=Execution(precision),
    )


def draw_images(network: LoadedNetwork, batch: int) -> Tensor:
    """Return a batch (B, 3, H, W) as a run gives it to a network."""
    images = torch.randn(batch, 3, network.spec.input.size, network.spec.input.size, device=network.device)
    return images.contiguous(memory_format=torch.channels_last)


def of_forward(network: LoadedNetwork, batch: int) -> float:
    """Return the images a second of the bare forward pass, the head included."""
    dtype = torch.bfloat16 if network.execution.precision == "bf16" else torch.float32
    body, images = network.module.to(dtype), draw_images(network, batch).to(dtype)

    @torch.inference_mode()
    def forward() -> None:
        body.forward_head(body.forward_features(images))

    return rate(forward, batch, network.device)


def of_pc1(network: LoadedNetwork, batch: int) -> float:
    """Return the images a second of PC1, with its maps brought back."""
    features, logits = network.forward(draw_images(network, batch))
    assert isinstance(features, Tensor)
    context = MethodContext(network.module, torch.empty(0), torch.arange(batch, device=network.device), logits)
    method = PrincipalComponent()
    return rate(lambda: cast("Tensor", method(features, context).maps).cpu(), batch, network.device)


def of_sweep(network: LoadedNetwork) -> float:
    """Return the images a second of resizing and sweeping maps like those of a network, in one thread."""
    _, height, width = network.feature_shape
    raw, boxes = np.random.default_rng(0).random((height, width)), np.array([[60, 50, 160, 170]])
    thresholds = cam_threshold_grid()
    return rate(lambda: best_iou_curves(to_scoremap(raw), boxes, thresholds), 1, torch.device("cpu"), 50)


def of_loading(root: Path, network: LoadedNetwork, batch: int, workers: int) -> float:
    """Return the images a second of reading, warping and normalising photos."""
    ids = tuple(path.name for path in sorted((root / "photos").iterdir()))
    split = ImageFiles(open_storage(root / "photos"), ids).split(np.zeros(len(ids), np.int64))

    def load() -> None:
        config = network.spec.input
        for _ in stream_batches(split, config, batch_size=batch, workers=workers, device=network.device):
            pass

    return rate(load, len(ids), network.device, 1)


def of_run(root: Path, name: str, precision: Precision, batch: int, images: int, device: torch.device) -> float:
    """Return the images a second of the test split of a run."""
    reporter, folder = Reporter(), tempfile.mkdtemp(dir=root)
    write_data(root, Path(folder), images)
    config = RunConfig.of(
        backbone=name,
        weights="random",
        methods={"pc1": {}},
        dataset="folder",
        data_root=root,
        metadata_root=Path(folder),
        precision=precision,
        batch_size=batch,
        workers=os.cpu_count() or 1,
        device=str(device),
        gallery=False,
    )
    run(config, load_plugins(), reporter, command="benchmarks/gpu.py")
    return images / reporter.seconds["test"]


def write_data(root: Path, metadata: Path, images: int) -> None:
    """Write the lists of a data set: so many photos to test on, each as often as it takes, and 8 to choose τ."""
    photos = sorted((root / "photos").iterdir())
    for split, count in (("val", 8), ("test", images)):
        ids = [f"{split}/{index}.jpg" for index in range(count)]
        for index, image_id in enumerate(ids):
            (root / split).mkdir(exist_ok=True)
            if not (root / image_id).exists():
                os.link(photos[index % len(photos)], root / image_id)
        write_lists(metadata / split, ids, PHOTO, np.tile([100, 80, 300, 290], (count, 1)))


def of_step(name: str, precision: Precision, batch: int, device: torch.device) -> float:
    """Return the images a second of steps of training."""
    spec = load_plugins().backbones.get(name).spec
    network = spec.build(1000).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    side = spec.input.size
    images = torch.randn(batch, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(1000, (batch,), device=device)

    def step() -> None:
        with forward_context(device, precision):
            logits = network.forward_head(network.forward_features(images))
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return rate(step, batch, device)


class Budget:
    """The time that there is; what comes after it is left out."""

    def __init__(self, minutes: float) -> None:
        self._ends = time.monotonic() + 60 * minutes
        self.left_out: list[str] = []

    def allows(self, what: str) -> bool:
        """Whether there is time; where not, say so at the end."""
        if time.monotonic() < self._ends:
            return True
        self.left_out.append(what)
        return False


def rows_of_runs(root: Path, sizes: Sizes, device: torch.device, budget: Budget) -> list[list[str]]:
    """Return the rows of the first table."""
    rows = []
    for name, precision, batch in product(sizes.networks, PRECISIONS, sizes.batches):
        if not budget.allows(f"a run of {name} in {precision} with batches of {batch}"):
            continue
        network = network_of(name, precision, device)
        beside = [of_loading(root, network, batch, os.cpu_count() or 1), of_pc1(network, batch), of_sweep(network)]
        forward = of_forward(network, batch)
        del network
        images = min(max(int(forward * sizes.seconds), 2 * batch), sizes.most)
        whole = of_run(root, name, precision, batch, images, device)
        speeds = [f"{each:,.0f}" for each in (forward, whole)], [f"{each:,.0f}" for each in beside]
        rows.append([name, precision, str(batch), *speeds[0], f"{100 * whole / forward:.0f} %", *speeds[1]])
    return rows


def rows_of_steps(sizes: Sizes, device: torch.device, budget: Budget) -> list[list[str]]:
    """Return the rows of the second table."""
    rows = []
    for name in sizes.trained:
        if budget.allows(f"steps of {name}"):
            rates = [of_step(name, precision, sizes.step, device) for precision in PRECISIONS]
            rows.append([name, *(f"{each:,.0f}" for each in rates), f"{rates[1] / rates[0]:.1f}"])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default="cuda")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    device, sizes, budget = given.device, TINY if given.tiny else FULL, Budget(given.minutes)
    style = {"tablefmt": "pipe", "disable_numparse": True}
    load_sweep(print)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["WSOLBENCH_CACHE"] = str(root / "cache")
        (root / "photos").mkdir()
        write_photos(root / "photos", sizes.photos)
        steps = rows_of_steps(sizes, device, budget)
        runs = rows_of_runs(root, sizes, device, budget)
    headings = ["network", "precision", "batch", "forward", "run", "share", "loading", "pc1", "sweep"]
    print(tabulate(runs, headings, colalign=["left", "left", *["right"] * 7], **style))
    headings = ["network", f"fp32, steps of {sizes.step}", "bf16", "times faster"]
    print("\n" + tabulate(steps, headings, colalign=["left", *["right"] * 3], **style))
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    print(f"\n{named}, {conditions('torch', 'timm', 'numba')}")
    for what in budget.left_out:
        print(f"left out, as the {given.minutes:g} minutes were over: {what}")


if __name__ == "__main__":
    main()
