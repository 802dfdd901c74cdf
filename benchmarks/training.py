"""What training costs on one core, as two Markdown tables: torch's own way, faster gradients, and bfloat16.

    python benchmarks/training.py

The first is about steps of the networks of the leaderboard of photos, on batches of 32 random images. "torch" is a step
in float32 as torch computes it; "gradients" has the gradients of large depthwise kernels as matrix products, as
`wsolbench train` computes on a CPU; "bf16" is that with `--precision bf16`. The second is about the gradient of one
depthwise kernel, with maps in the memory format of training, channels last. Times are of the processor, medians of
rounds in which the ways take turns; a ratio above 1 says how many times faster than "torch".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from statistics import median

import torch
from conditions import conditions
from tabulate import tabulate
from torch import Tensor

from wsolbench.contract import BackboneSpec
from wsolbench.host.loading import load_plugins
from wsolbench.training.depthwise import kernel_gradient
from wsolbench.training.loop import forward_context

NETWORKS = ("resnet_micro", "convnext_micro", "replknet_micro", "slak_micro")
CLASSES, BATCH, ROUNDS = 40, 32, 7
CPU = torch.device("cpu")
KERNELS = [  # batch, channels, side of the map, kernel
    *((32, 96, 8, kernel) for kernel in ((5, 5), (7, 7), (13, 13), (21, 5), (5, 21))),
    *((32, 96, 16, kernel) for kernel in ((5, 5), (7, 7), (13, 13))),
    *((32, 96, 32, kernel) for kernel in ((7, 7), (13, 13))),
    (4, 384, 14, (7, 7)),
    (4, 768, 7, (7, 7)),
    (4, 512, 28, (29, 29)),
]


WAYS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "torch": nullcontext,
    "gradients": lambda: forward_context(CPU, "fp32"),
    "bf16": lambda: forward_context(CPU, "bf16"),
}


def stepper(spec: BackboneSpec) -> Callable[[str], float]:
    """Return what takes a step in one of the ways, and returns the seconds of the processor."""
    torch.manual_seed(0)
    network = spec.build(CLASSES).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    side = spec.input.size
    images = torch.randn(BATCH, 3, side, side).to(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (BATCH,))

    def step(way: str) -> float:
        started = time.process_time()
        with WAYS[way]():
            logits = network.forward_head(network.forward_features(images))
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return time.process_time() - started

    return step


def of_kernels(batch: int, channels: int, side: int, kernel: tuple[int, int]) -> tuple[float, float]:
    """Return seconds of the gradient of depthwise kernels as torch computes it, and how many times faster ours is."""
    images, gradient = (torch.randn(batch, channels, side, side) for _ in range(2))
    images, gradient = (maps.to(memory_format=torch.channels_last) for maps in (images, gradient))
    weight = torch.randn(channels, 1, *kernel)
    margins = (kernel[0] // 2, kernel[1] // 2)

    def by_torch() -> Tensor:
        geometry = ((1, 1), margins, (1, 1), False, (0, 0), channels)
        result: Tensor = torch.ops.aten.convolution_backward(
            gradient, images, weight, None, *geometry, (False, True, False)
        )[1]
        return result

    def ours() -> Tensor:
        return kernel_gradient(images, gradient, weight)

    torch.testing.assert_close(ours(), by_torch(), rtol=1e-3, atol=1e-2)
    rounds = [(_seconds(by_torch), _seconds(ours)) for _ in range(ROUNDS)]
    return median(torchs for torchs, _ in rounds), median(torchs / own for torchs, own in rounds)


def _seconds(compute: Callable[[], Tensor]) -> float:
    started = time.process_time()
    compute()
    return time.process_time() - started


def of_steps() -> list[list[str]]:
    """Return the rows of the table of steps."""
    backbones = load_plugins().backbones
    rows = []
    for name in NETWORKS:
        step = stepper(backbones.get(name).spec)
        rounds = [{way: step(way) for way in WAYS} for _ in range(ROUNDS + 2)][2:]
        ratios = [median(each["torch"] / each[way] for each in rounds) for way in WAYS]
        seconds = median(each["torch"] for each in rounds)
        rows.append([name, f"{1000 * seconds:.0f} ms", *(f"{ratio:.2f}" for ratio in ratios[1:])])
    return rows


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kernels = []
    for batch, channels, side, kernel in KERNELS:
        seconds, ratio = of_kernels(batch, channels, side, kernel)
        shape = f"{batch}×{channels}×{side}×{side}, {kernel[0]}×{kernel[1]}"
        kernels.append([shape, f"{1000 * seconds:.1f} ms", f"{ratio:.1f}"])
    style = {"tablefmt": "pipe", "disable_numparse": True}
    headings = ["network", "a step in torch", "gradients", "bf16"]
    print(tabulate(of_steps(), headings, colalign=["left", *["right"] * 3], **style))
    print()
    print(tabulate(kernels, ["maps, kernel", "torch", "products"], colalign=["left", "right", "right"], **style))
    print(f"\n{conditions('torch', 'timm')}")


if __name__ == "__main__":
    main()
