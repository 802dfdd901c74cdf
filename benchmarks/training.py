"""What a step of training costs on one core, as a Markdown table: torch's own way, faster gradients, and bfloat16.

    python benchmarks/training.py

The networks are those of the leaderboard of photos, on batches of 32 random images. "torch" is a step in float32 as
torch computes it; "gradients" has the gradients of large depthwise kernels as matrix products, as `wsolbench train`
computes on a CPU; "bf16" is that with `--precision bf16`. Times are of the processor, medians of rounds in which the
ways take turns; a ratio above 1 says how many times faster than "torch".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from statistics import median

import torch
from conditions import conditions
from tabulate import tabulate

from wsolbench.engine.training import forward_context
from wsolbench.interfaces import BackboneSpec
from wsolbench.plugins import load_plugins

NETWORKS = ("resnet_micro", "convnext_micro", "replknet_micro", "slak_micro")
CLASSES, BATCH, ROUNDS = 40, 32, 7
CPU = torch.device("cpu")


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


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    backbones = load_plugins().backbones
    rows = []
    for name in NETWORKS:
        step = stepper(backbones.get(name).spec)
        rounds = [{way: step(way) for way in WAYS} for _ in range(ROUNDS + 2)][2:]
        ratios = [median(each["torch"] / each[way] for each in rounds) for way in WAYS]
        seconds = median(each["torch"] for each in rounds)
        rows.append([name, f"{1000 * seconds:.0f} ms", *(f"{ratio:.2f}" for ratio in ratios[1:])])
    headings = ["network", "a step in torch", "gradients", "bf16"]
    print(tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=["left", *["right"] * 3]))
    print(f"\n{conditions('torch', 'timm')}")


if __name__ == "__main__":
    main()
