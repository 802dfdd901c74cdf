"""What a timm network is: where its feature maps are, which layers can be tapped, and what its classifier reads.

All of it is found out by one pass of a network without memory over blank images, not taken from a list of names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from wsolbench_plugins.backbones.timm_networks.classifiers import is_linear
from wsolbench_plugins.backbones.timm_networks.layouts import CHANNELS_FIRST, Layout, find_layout

Look: TypeAlias = Callable[[Any], Layout | None]
"""Output of a layer -> its layout, or None where it has no maps."""


@dataclass(frozen=True)
class Anatomy:
    """Where the features of a network are.

    Args:
        final: The layout of what timm's ``forward_features`` returns; None where it has no maps.
        tap: The layer whose maps are the features of a classifier that does not read those of `final`: it reads a class
            token after the last attention, or several stages. None where it reads those of `final`.
        linear: Whether a class score is linear in the pooled maps, up to a layer norm behind the pool.
        taps: The layers that can be tapped, from the image to the head; None for the stages that timm lists.
    """

    final: Layout | None = CHANNELS_FIRST
    tap: str | None = None
    linear: bool = True
    taps: tuple[str, ...] | None = None


@dataclass(frozen=True)
class _Call:
    """One use of a layer: what it read, and what it returned."""

    name: str
    module: nn.Module
    inputs: tuple[Any, ...]
    output: Any = None


def dissect(network: Any, size: int) -> Anatomy:
    """Return the anatomy of a network.

    Args:
        network: A timm network on the meta device in eval mode; parts of its head move to the CPU.
        size: Side of its square input in pixels.

    Raises:
        ValueError: No layer of it has maps.
    """
    images = torch.zeros(2, 3, size, size, device="meta")
    output, begun, ended = _trace(network, images)
    look = partial(_layout, network, images)
    final = look(output) if isinstance(output, Tensor) else None
    taps = _taps(network, ended, look)
    tap = None
    if final is None or (final.prefix and getattr(network, "global_pool", None) == "token"):
        tap = _read_by_last_attention(begun, ended, look) or _last_with_maps(ended, look)
    shown = dict.fromkeys(call.name for call in ended if call.name in (*taps, tap))
    linear = final is not None and tap is None and is_linear(network, final, output, images)
    return Anatomy(final, tap, linear, tuple(shown))


def stages(network: Any) -> tuple[str, ...]:
    """Return the layers that timm lists as the stages of a network."""
    listed = getattr(network, "feature_info", None) or []
    entries = listed if isinstance(listed, list) else listed.info
    known = dict(network.named_modules())
    names = (str(entry["module"]).lstrip(".") for entry in entries if entry.get("module"))
    return tuple(dict.fromkeys(name for name in names if name in known))


def _layout(network: Any, images: Tensor, output: Any) -> Layout | None:
    prefix, last = getattr(network, "num_prefix_tokens", None), getattr(network, "output_fmt", None) == "NHWC"
    return find_layout(output, images, prefix, channels_last=last)


@torch.no_grad()
def _trace(network: Any, images: Tensor) -> tuple[Any, list[_Call], list[_Call]]:
    """Return the output of ``forward_features``, and the uses of layers in the orders in which they begin and end."""
    begun: list[_Call] = []
    ended: list[_Call] = []

    def begin(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        begun.append(_Call(name, module, inputs))

    def end(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        ended.append(_Call(name, module, inputs, output))

    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if name:
                hooks.enter_context(module.register_forward_pre_hook(partial(begin, name)))
                hooks.enter_context(module.register_forward_hook(partial(end, name)))
        return network.forward_features(images), begun, ended


def _taps(network: Any, ended: list[_Call], look: Look) -> set[str]:
    """Return the stages; of a network of attention also the norms before it, and the last norm."""
    if hasattr(network, "unroll"):  # its tokens are not in the order of the pixels before the last stage
        return {f"blocks.{len(network.blocks) - 1}"}
    used = Counter(call.name for call in ended)
    known = {call.name for call in ended if used[call.name] == 1 and look(call.output)}
    owners = dict(network.named_modules())
    norms = {
        name
        for name in known
        if name.endswith(".norm1")
        and any(_is_attention(*child) for child in owners[name.removesuffix(".norm1")].named_children())
    }
    return known & {*stages(network), *norms, *(["norm"] if norms else [])}


def _is_attention(name: str, module: nn.Module) -> bool:
    return "att" in type(module).__name__.lower() or name.rpartition(".")[2] in {"attn", "attn_out"}


def _read_by_last_attention(begun: list[_Call], ended: list[_Call], look: Look) -> str | None:
    """Return the layer whose maps the last attention reads: only there do they still change a class token."""
    for call in reversed(begun):
        if _is_attention(call.name, call.module) and call.inputs and look(call.inputs[0]):
            return next((before.name for before in ended if before.output is call.inputs[0]), None)
    return None


def _last_with_maps(ended: list[_Call], look: Look) -> str:
    used = Counter(call.name for call in ended)
    for call in reversed(ended):
        if used[call.name] == 1 and look(call.output):
            return call.name
    raise ValueError("no layer of it has feature maps")
