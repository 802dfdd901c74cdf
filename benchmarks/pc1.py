"""Prints how many times faster `pc1` is than the authors' procedure, as a Markdown table with versions.

    python benchmarks/pc1.py [--device cuda]

The procedure, in our words: map by map in Python, weight it and stretch it to [0, 1]; scikit-learn's PCA with 30
components over the maps of one image, of which the first is kept; divide it by its maximum; turn it over where the
frame is bright. Features are 1024×12×12, float32, in a batch of 32: noise, and a bump that channels show more or less
of.

Both take turns on the same batch, in one thread, and their maps are compared first. What is measured on the CPU is
processor time: a long call would be interrupted by other processes, and a short one would not. On another device the
procedure stays on the CPU, ours includes bringing its maps back, and wall-clock time is measured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from conditions import conditions
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits
from wsolbench_plugins.methods.pc1 import PrincipalComponent

from wsolbench.api import MethodContext

BATCH, CHANNELS, SIDE = 32, 1024, 12
ROUNDS = 15
TOLERANCE = 1e-5


def draw_batch() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return features (B, K, h, w) and class weights (B, K)."""
    random = np.random.default_rng(0)
    centres = random.uniform(3, SIDE - 4, (BATCH, 1, 2, 1, 1))
    bumps = np.exp(-((np.indices((SIDE, SIDE)) - centres) ** 2).sum(axis=2) / 8)
    shown = 3 * random.normal(size=(BATCH, CHANNELS, 1, 1))
    features = random.normal(size=(BATCH, CHANNELS, SIDE, SIDE)) + shown * bumps
    return features.astype(np.float32), random.normal(size=(BATCH, CHANNELS)).astype(np.float32)


def authors_procedure(features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the map (h, w) of one image."""
    stretched = []
    for channel, weight in zip(features, weights, strict=True):
        weighted = channel * weight
        low, high = weighted.min(), weighted.max()
        stretched.append((weighted - low) / (high - low))
    rows = np.array(stretched).reshape(CHANNELS, -1)
    component = PCA(n_components=30).fit(rows).components_[0].reshape(SIDE, SIDE)
    component = component / component.max()
    frame = component > component.mean()
    frame[1 : SIDE - 2, 1 : SIDE - 2] = False
    return 1 - component if frame.sum() / (4 * (SIDE - 1)) > 0.5 else component


def compare(layout: torch.memory_format, device: torch.device) -> str:
    """Return a row of the table."""
    features, weights = draw_batch()
    on_device = torch.from_numpy(features).to(device).contiguous(memory_format=layout)
    backbone: Any = SimpleNamespace(classifier_weight=torch.from_numpy(weights).to(device))
    context = MethodContext(backbone, torch.empty(0), torch.arange(BATCH, device=device), torch.empty(0))
    method = PrincipalComponent()

    def theirs() -> NDArray[np.float32]:
        return np.array([authors_procedure(*image) for image in zip(features, weights, strict=True)])

    def ours() -> NDArray[np.float64]:
        found: NDArray[np.float64] = method(on_device, context).maps.cpu().numpy()
        return found

    off = float(np.abs(ours() - theirs()).max())
    assert off <= TOLERANCE, f"maps differ by {off}"
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times = np.array([[seconds(theirs, clock), seconds(ours, clock)] for _ in range(ROUNDS)])
    before, after = 1000 * np.median(times, axis=0) / BATCH
    ratio = np.median(times[:, 0] / times[:, 1])
    shown = "NCHW" if layout is torch.contiguous_format else "channels last"
    return f"| {shown} | {device} | {before:.2f} | {after:.2f} | {ratio:.1f} | {off:.1e} |"


def seconds(compute: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the time of a call."""
    started = clock()
    compute()
    return clock() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default="cpu")
    device = parser.parse_args().device
    torch.set_num_threads(1)
    print("| features | device | procedure, ms an image | wsolbench, ms an image | times faster | largest difference |")
    print("|---|---|---|---|---|---|")
    with threadpool_limits(1):
        for layout in (torch.contiguous_format, torch.channels_last):
            print(compare(layout, device), flush=True)
    print("\n" + conditions("torch", "scikit-learn", "numpy"))


if __name__ == "__main__":
    main()
