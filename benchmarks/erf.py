"""Compare `wsolbench analyze erf` with the published script's procedure, on the same images in one run; on Linux.

    python benchmarks/erf.py [--backbone NAME] [--size N] [--images N]

Both have the same random weights and the same images of critters, and each runs in a process of its own, in one thread.
"A forward pass" is what a run does with an image of this size: features and logits, without gradients. Times are
seconds of the processor for an image; memory is the peak resident set of the process, libraries included.

Rounding opens a ReLU in one form of the network that is closed in another. To show that nothing else sets the maps
apart, both forms are compared with double precision at a quarter of the size: as they are, and with its ReLUs.
"""

from __future__ import annotations

import argparse
import copy
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from conditions import conditions
from erf_procedure import find_square, mean_gradient, scaled
from numpy.typing import NDArray
from tabulate import tabulate
from torch import Tensor
from torch.overrides import TorchFunctionMode

from wsolbench.analysis.studies.erf import SHARES, Study, contribution, find_squares, held_shares
from wsolbench.analysis.subject import Subject
from wsolbench.contract import DatasetRoots, Split
from wsolbench.contract.inputs import InputChanges
from wsolbench.data.opened import open_dataset
from wsolbench.engine.stream import stream_batches
from wsolbench.host.loading import load_plugins
from wsolbench.networks.load import load_network
from wsolbench.networks.shapes import build_network
from wsolbench.progress import Reporter
from wsolbench.texts import counted

SEED = 0
CLASSES = 12
SAME = 1e-4
"""The largest difference of two maps that count as the same."""
QUARTER = 4
"""By how much the input is smaller where both are compared with double precision."""
RELUS = (torch.nn.functional.relu, torch.relu, torch.relu_)


@dataclass(frozen=True)
class Task:
    """What is measured."""

    backbone: str
    size: int
    images: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """Seconds of an image, GiB, and what was computed."""

    seconds: float
    memory: float
    result: NDArray[Any]


def subject_of(task: Task) -> Subject:
    """Return the network as a run prepares it, and the images."""
    torch.set_num_threads(1)
    registry = load_plugins()
    network = load_network(
        registry,
        task.backbone,
        dataset="critters",
        num_classes=CLASSES,
        weights="random",
        device=torch.device("cpu"),
        seed=SEED,
        changes=InputChanges(size=task.size),
    )
    dataset = open_dataset(registry.datasets.get("critters"), DatasetRoots(), Reporter())
    part = dataset.open(Split.TEST, task.images)
    return Subject(task.backbone, network, dataset, part, 1, 1, SEED, Reporter(), registry)


def of_forward_pass(task: Task) -> Outcome:
    """Measure a forward pass without gradients."""
    subject = subject_of(task)
    return timed(task, lambda: np.array([len(batch.features) for batch in subject.stream("forward", batch_size=1)]))


def of_wsolbench(task: Task) -> Outcome:
    """Measure the analysis."""
    subject = subject_of(task)
    return timed(task, lambda: Study(size=task.size).measure(subject).mean)


def of_procedure(task: Task) -> Outcome:
    """Measure the published procedure, with the same weights on the same images."""
    subject = subject_of(task)
    spec = subject.network.spec
    torch.manual_seed(SEED)
    network: Any = build_network(spec, CLASSES).eval()

    def images() -> Iterator[Tensor]:
        for batch in stream_batches(
            subject.part.images, spec.input, batch_size=1, workers=1, device=subject.network.device
        ):
            yield batch.images.contiguous()

    del subject.network.__dict__["module"]
    return timed(task, lambda: mean_gradient(network.forward_features, images()))


def timed(task: Task, compute: Callable[[], NDArray[Any]]) -> Outcome:
    """Return what a computation takes."""
    started = time.process_time()
    result = compute()
    seconds = (time.process_time() - started) / task.images
    return Outcome(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, result)


def in_a_process(measure: Callable[[Task], Outcome], task: Task) -> Outcome:
    """Return what a function returns in a process of its own, which starts afresh."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (task,))


def compared(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> str:
    """Return in words how far the results of both are apart."""
    here, there = contribution(ours), scaled(theirs)
    squares = find_squares(here)
    published = [find_square(there, share) for share in SHARES]
    ratios = np.array([1.0 if found is None else found[1] for found in published])
    off = np.abs(here - there)
    return (
        f"Largest differences: {np.abs(squares.ratios - ratios).max():.1e} of the area ratios, "
        f"{abs(squares.size - float(np.trapezoid(ratios, SHARES))):.1e} of the ERF size, "
        f"{np.abs(held_shares(here) - held_shares(there)).max():.1e} of the share that a square of any size holds, "
        f"{off.max():.1e} of D at a pixel; {np.sum(off > SAME)} of {off.size} pixels differ by more than {SAME:g}."
    )


class Relus(TorchFunctionMode):
    """Keeps where ReLUs are open and, given where those of another pass were, opens them there.

    Args:
        given: Where each is open, in the order of their calls; None where inputs decide it, as usual.
    """

    def __init__(self, given: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        self.given, self.seen = given, list[Tensor]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in RELUS:
            return func(*args, **(kwargs or {}))
        self.seen.append(args[0].detach() > 0)
        return args[0] * (self.seen[-1] if self.given is None else self.given[len(self.seen) - 1])

    def differ(self, other: Relus) -> int:
        """Return how many are not open in both or closed in both."""
        return sum(int((mine != yours).sum()) for mine, yours in zip(self.seen, other.seen, strict=True))


def without_rounding(task: Task) -> str:
    """Return in words how far each form of the network is from double precision, and why."""
    subject = subject_of(replace(task, images=1))
    (image,) = [batch.images.detach() for batch in subject.stream("images")]
    torch.manual_seed(SEED)
    plain: Any = build_network(subject.network.spec, CLASSES).eval().requires_grad_(False)
    merged, exact, also = copy.deepcopy(plain), copy.deepcopy(plain).double(), copy.deepcopy(plain).double()
    merged.fuse()
    also.fuse()
    relus = Relus()

    def map_of(network: Any, mode: Relus) -> NDArray[np.float64]:
        with mode:
            return contribution(mean_gradient(network.forward_features, [image.to(network.norm.weight.dtype)]))

    truth = map_of(exact, relus)
    told = [f"At {task.size} px, in double precision both agree within {off(map_of(also, Relus()), truth)}."]
    for name, network in (("the published procedure", plain), ("wsolbench's form", merged)):
        own = Relus()
        alone, same = map_of(network, own), map_of(network, Relus(relus.seen))
        count = sum(each.numel() for each in own.seen)
        told.append(
            f"In single precision, {name} differs from that by {off(alone, truth)}: {own.differ(relus)} of {count:,} "
            "ReLUs, those of the script included, are open in one alone. With those of double precision, it differs "
            f"by {off(same, truth)}."
        )
    return "\n".join(told)


def off(one: NDArray[np.float64], other: NDArray[np.float64]) -> str:
    """Return in words by how much two maps differ."""
    differences = np.abs(one - other)
    return f"{differences.max():.1e} ({counted(int(np.sum(differences > SAME)), 'pixels')} by more than {SAME:g})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="replknet_31b")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--images", type=int, default=1)
    task = Task(**vars(parser.parse_args()))
    names = {"a forward pass": of_forward_pass, "wsolbench": of_wsolbench, "published procedure": of_procedure}
    found = {}
    for name, measure in names.items():
        found[name] = in_a_process(measure, task)
        print(f"{name}: {found[name].seconds:.1f} s, {found[name].memory:.1f} GiB", file=sys.stderr, flush=True)
    forward = found["a forward pass"].seconds
    rows = [
        [name, f"{each.seconds:.1f}", f"{each.seconds / forward:.1f}", f"{each.memory:.1f}"]
        for name, each in found.items()
    ]
    headings = [f"{task.backbone}, {task.size} px", "s an image", "forward passes", "peak memory, GiB"]
    print(tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=["left", *["right"] * 3]))
    difference = compared(found["wsolbench"].result, found["published procedure"].result)
    print(f"\n{difference}")
    print(without_rounding(replace(task, size=task.size // QUARTER)))
    print(f"\n{conditions('torch', 'numpy')}")


if __name__ == "__main__":
    main()
