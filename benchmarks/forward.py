"""Prints how many times faster than the plain network a run computes features, on the CPU with one thread.

The plain network is RepLKNet-31B as it is trained, two branches and all norms, in PyTorch's usual memory layout. Ours
is what `wsolbench run` makes of the same weights. Both take turns on the same image, and their features are compared
first. Weights are the reference fill of the tests, with batch norms calibrated on noise, so that activations stay of
one size.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn
from wsolbench_plugins.backbones.replknet import wsolbench_backbones

from wsolbench.host.loading import load_plugins
from wsolbench.networks.load import load_network
from wsolbench.networks.network import Execution

sys.path.append(str(Path(__file__).parent.parent / "tests" / "plugins" / "backbones"))
from reference_fill import fill

NAME = "replknet_31b"
ROUNDS = 5
EXECUTIONS = (Execution(), Execution("bf16"), Execution("fp16"), Execution(compiled=True))


def plain_network() -> nn.Module:
    """Return the network as it is trained, its norms calibrated."""
    spec = next(spec for spec in wsolbench_backbones() if spec.name == NAME)
    network = spec.build(1000)
    assert isinstance(network, nn.Module)
    fill(network)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the statistics of the one batch that follows
        norm.reset_running_stats()
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    return network.eval().requires_grad_(False)


def seconds(compute: Callable[[], object]) -> float:
    """Return the wall-clock time of a call."""
    started = time.perf_counter()
    compute()
    return time.perf_counter() - started


def compare(plain: nn.Module, weights: Path, execution: Execution, side: int) -> str:
    """Return a row of the table."""
    network = load_network(
        load_plugins(),
        NAME,
        dataset="",
        num_classes=1000,
        weights=weights,
        device=torch.device("cpu"),
        seed=0,
        execution=execution,
    )
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    nhwc = image.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def theirs() -> Tensor:
        features: Tensor = plain.forward_features(image)  # type: ignore[operator]
        plain.forward_head(features)  # type: ignore[operator]
        return features

    expected, found = theirs(), network.forward(nhwc)[0]
    off = float((found - expected).abs().max() / expected.abs().max())
    times = np.array([[seconds(theirs), seconds(lambda: network.forward(nhwc))] for _ in range(ROUNDS)])
    before, after = 1000 * np.median(times, axis=0)
    ratio = np.median(times[:, 0] / times[:, 1])
    return f"| {side} | {execution} | {before:.0f} | {after:.0f} | {ratio:.1f} | {off:.1e} |"


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    plain = plain_network()
    print("| input | options | plain, ms | wsolbench, ms | times faster | largest difference of features |")
    print("|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"
        torch.save(plain.state_dict(), weights)
        for side in (224, 384):
            for execution in EXECUTIONS:
                print(compare(plain, weights, execution, side), flush=True)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    amx = "with AMX" if torch.cpu._is_amx_tile_supported() else "without AMX"
    print(
        f"\ntorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()} {amx}, Python "
        f"{platform.python_version()}, load average {load}"
    )


if __name__ == "__main__":
    main()
