"""Two passes of one batch, of which the second computes the last blocks only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn


def two_passes(network: Any, images: Tensor, place: str, change: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return the features (B, K, h, w) of two passes; the second one reads a changed output of a layer.

    Nothing up to this layer is computed twice: the second pass gets what the first one computed, so that norms and
    random numbers up to there are the same.

    Args:
        network: The network.
        images: Normalised images (B, 3, H, W).
        place: The layer, as in ``named_modules()``, which one pass uses once; its output is maps.
        change: Maps (B, K', h', w') of the layer -> what the second pass reads in their place.
    """
    with _recorded(network, network.get_submodule(place)) as calls:
        first = network.forward_features(images)
    layer, maps = calls.pop()
    with _answered([*calls, (layer, change(maps))]):
        return first, network.forward_features(images)


@contextmanager
def _recorded(network: nn.Module, last: nn.Module) -> Iterator[list[tuple[nn.Module, Any]]]:
    """A context that records the modules that a pass completes up to one, with their outputs.

    Yields:
        The modules in their order, without those that another one of them calls; the last one at the end.
    """
    calls: list[tuple[nn.Module, Any]] = []
    begun: list[int] = []  # of each module that runs, how many calls were there before it

    def begin(_module: nn.Module, _inputs: Any) -> None:
        begun.append(len(calls))

    def end(module: nn.Module, _inputs: Any, output: Any) -> None:
        before = begun.pop()
        if calls and calls[-1][0] is last:
            return
        del calls[before:]
        calls.append((module, output.clone() if module is last else output))  # the next layer may work in place

    with ExitStack() as hooks:
        for module in network.modules():
            hooks.enter_context(module.register_forward_pre_hook(begin))
            hooks.enter_context(module.register_forward_hook(end))
        yield calls


@contextmanager
def _answered(calls: Iterable[tuple[nn.Module, Any]]) -> Iterator[None]:
    """A context in which modules return given outputs, in their order, in place of computing; then they compute."""
    waiting = deque(calls)

    def answer(module: nn.Module, compute: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
        if waiting and waiting[0][0] is module:
            return waiting.popleft()[1]
        return compute(*inputs, **options)

    with ExitStack() as changed:
        for module in dict.fromkeys(module for module, _ in waiting):
            changed.callback(module.__dict__.pop, "forward")
            module.forward = partial(answer, module, module.forward)
        yield
