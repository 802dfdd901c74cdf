"""What a weights file and its card claim about their network, compared with the network that they are loaded into."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from wsolbench.contract import BackboneSpec, InputConfig
from wsolbench.networks.pickles import shown

__all__ = ["contradictions", "plain_name"]

_SIZES = ("img_size", "image_size", "input_size", "crop_size")
_NETWORKS = ("arch", "architecture", "model", "model_name", "backbone")
_CLASSES = ("num_classes", "nb_classes", "n_classes")


def contradictions(options: Mapping[str, Any], spec: BackboneSpec, num_classes: int) -> list[str]:
    """Return a line if the options in a weights file contradict the network's name, input or classes.

    Args:
        options: Name -> plain value, as training files hold them.
        spec: The network.
        num_classes: Number of classes of the file's classifier.
    """
    checks: Mapping[tuple[str, ...], Callable[[Any], str | None]] = {
        _NETWORKS: lambda value: _network(value, spec.name),
        _SIZES: lambda value: _size(value, spec.input),
        ("mean",): lambda value: _numbers("mean", value, spec.input.mean),
        ("std",): lambda value: _numbers("std", value, spec.input.std),
        ("interpolation",): lambda value: _interpolation(value, spec.input),
        _CLASSES: lambda value: _classes(value, num_classes),
    }
    claims = [claim for names, check in checks.items() for value in _values(options, names) if (claim := check(value))]
    if not claims:
        return []
    config = spec.input
    return [
        f"the weights file says {', '.join(dict.fromkeys(claims))}; '{spec.name}' runs at {config.size}×{config.size} "
        f"({config.interpolation}) with mean {_shown(config.mean)} and std {_shown(config.std)}, {num_classes} classes"
    ]


def _values(options: Mapping[str, Any], names: Sequence[str]) -> Iterator[Any]:
    return (options[name] for name in names if name in options)


def _network(value: Any, name: str) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    theirs, ours = (re.sub("[^a-z0-9]", "", text.lower()) for text in (value.partition(".")[0], plain_name(name)))
    return None if theirs in ours or ours in theirs else f"the network is '{shown(value, 80)}'"


def plain_name(name: str) -> str:
    """Return the name of a network without the prefix of its zoo and the tag of its weights."""
    return name.rpartition(":")[2].partition(".")[0]


def _size(value: Any, config: InputConfig) -> str | None:
    sides = [side for side in (value if isinstance(value, list | tuple) else [value]) if not isinstance(side, bool)]
    if not sides or not isinstance(sides[-1], int) or sides[-1] < 8 or sides[-1] == config.size:
        return None
    return f"{sides[-1]} pixels"


def _numbers(what: str, value: Any, ours: Sequence[float]) -> str | None:
    numbers = list(value) * 3 if isinstance(value, list | tuple) and len(value) == 1 else value
    if not isinstance(numbers, list | tuple) or len(numbers) < 3:
        return None
    same = all(abs(one - other) < 2e-3 for one, other in zip(numbers, ours, strict=False))
    return None if same else f"{what} {_shown(numbers[:3])}"


def _interpolation(value: Any, config: InputConfig) -> str | None:
    known = ("nearest", "bilinear", "bicubic", "lanczos")
    return value if value in known and value != config.interpolation else None


def _classes(value: Any, num_classes: int) -> str | None:
    return f"{value} classes" if type(value) is int and value > 0 and value != num_classes else None


def _shown(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else ", ".join(f"{value:g}" for value in values)
