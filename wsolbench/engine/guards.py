"""What a method finds and what it leaves: tensors of its own, and a network and a process that stay as they are.

The next method is measured with whatever one method changes. What is cheap to compare is compared after every batch.
The values of all weights are compared after a method's first batch and after the last one: NumPy and ``.data`` write to
them without a trace.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from wsolbench.contract import MethodContext
from wsolbench.errors import PluginError
from wsolbench.host.originals import Originals
from wsolbench.host.settings import guarding

if TYPE_CHECKING:
    from wsolbench.engine.methods import BuiltMethod

__all__ = ["MethodGuard", "PrivateContext", "refusing_writes"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class PrivateContext(MethodContext):
    """A context whose tensors are one method's own, so that writing to them reaches no other method."""

    def __init__(self, shared: MethodContext) -> None:
        vars(self).update(
            backbone=shared.backbone,
            class_indices=shared.class_indices.clone(),
            logits=shared.logits.clone(),
            rest=None if shared.rest is None else tuple(part.clone() for part in shared.rest),
            _images=shared.images,
        )

    @cached_property
    def images(self) -> Tensor:
        """Normalised images (B, 3, H, W), copied when they are asked for: few methods do."""
        images: Tensor = vars(self)["_images"]
        return images.clone()

    @property
    def copies(self) -> dict[str, Tensor]:
        """The tensors that are the method's own, by name, except the images."""
        rest = {f"rest[{index}]": part for index, part in enumerate(self.rest or ())}
        return {"logits": self.logits, "class indices": self.class_indices, **rest}


@contextmanager
def refusing_writes(built: BuiltMethod, own: Mapping[str, Tensor]) -> Iterator[None]:
    """Refuse a method that openly writes to its inputs inside the block.

    Args:
        built: The method.
        own: What it was given, by name: tensors of its own.

    Raises:
        PluginError: A tensor was written to.
    """
    versions = {what: tensor._version for what, tensor in own.items()}
    yield
    for what, tensor in own.items():
        if tensor._version != versions[what]:
            raise PluginError(
                f"plugin {built.offer.provider}: the method '{built.name}' changed the {what} in place; it has "
                "to work on a copy, such as features.clone()"
            )


class MethodGuard:
    """Refuses methods that change the network, the process or the functions that scores are computed with.

    Args:
        module: The network that methods are given.
        seed: Of what methods draw from the global generators.
    """

    def __init__(self, module: nn.Module, seed: int) -> None:
        self._module = module
        self._seed = seed
        self._values = _Values.of(module)
        self._originals = Originals.take()
        self._known: set[str] = set()

    @property
    def weights_sha256(self) -> str:
        """A hash of the names and values of all parameters and buffers, as they were at the beginning."""
        named = sorted((name, digest) for name, (_, digest) in self._values.tensors.items())
        return hashlib.sha256(repr(named).encode(errors="surrogateescape")).hexdigest()

    @contextmanager
    def watch(self, built: BuiltMethod, doing: str, first: str) -> Iterator[None]:
        """Run a method on a batch inside the block.

        What it draws depends on the seed and the batch only, not on other methods; the generators are put back.

        Args:
            built: The method.
            doing: What it does, for messages.
            first: The id of the first image.

        Raises:
            PluginError: It fails, or changes something.
        """
        before = _State.of(self._module)
        with guarding(built.offer.provider, doing, draws=True):
            _seed_draws(f"{self._seed} {first}")
            yield
        _refuse([built], before.changes(_State.of(self._module)))
        if built.name not in self._known:
            self._known.add(built.name)
            self.check_values([built])

    def check_values(self, built: Iterable[BuiltMethod]) -> None:
        """Refuse changes that leave no trace but the values.

        Args:
            built: The methods that have run since the last check.

        Raises:
            PluginError: There are such changes.
        """
        changes = self._values.changes(_Values.of(self._module))
        replaced = self._originals.restore()
        _refuse(built, {**changes, **({"the functions": replaced} if replaced else {})})


def _refuse(built: Iterable[BuiltMethod], changes: Mapping[str, list[str]]) -> None:
    if not changes:
        return
    suspects = list(built)
    who = " or ".join(f"plugin {each.offer.provider}: the method '{each.name}'" for each in suspects)
    what = ", ".join(f"{kind} {_some(names)}" for kind, names in changes.items())
    raise PluginError(f"{who} changed {what}; a method has to leave the network and the process as they are")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0] or 'the whole network'}{more}"


def _seed_draws(text: str) -> None:
    number = int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:4], "big")
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - methods may draw from the global generator
    torch.default_generator.manual_seed(number)  # faster than torch.manual_seed, which asks every kind of device
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(number)


@dataclass(frozen=True)
class _State:
    """What can be compared after every batch.

    Attributes:
        modules: Name -> identity, mode and hooks of a module.
        tensors: Name -> identity, version, place, shape and ``requires_grad`` of a parameter or buffer.
    """

    modules: dict[str, tuple[int, bool, tuple[tuple[int, ...], ...]]]
    tensors: dict[str, tuple[int, int, int, tuple[int, ...], bool]]

    @classmethod
    def of(cls, network: nn.Module) -> _State:
        modules = {}
        tensors = {}
        for name, module in network.named_modules():
            inside = vars(module)
            modules[name] = (id(module), module.training, tuple(tuple(inside[hooks]) for hooks in _HOOKS))
            for key, tensor in (*inside["_parameters"].items(), *inside["_buffers"].items()):
                if tensor is not None:
                    tensors[f"{name}.{key}".lstrip(".")] = (
                        id(tensor),
                        _version(tensor),
                        tensor.data_ptr(),
                        tensor.shape,
                        tensor.requires_grad,
                    )
        return cls(modules, tensors)

    def changes(self, after: _State) -> dict[str, list[str]]:
        """Return what differs, by kind: the names of the modules and tensors."""
        if self == after:
            return {}
        both = self.modules.keys() & after.modules.keys()
        pairs = [(name, self.modules[name], after.modules[name]) for name in self.modules if name in both]
        found = {
            "the layers": sorted(self.modules.keys() ^ after.modules.keys())
            + [name for name, before, now in pairs if before[0] != now[0]],
            "the mode (train or eval) of": [name for name, before, now in pairs if before[1] != now[1]],
            "the hooks of": [name for name, before, now in pairs if before[2] != now[2]],
            "the weights": sorted(
                name
                for name in self.tensors.keys() | after.tensors.keys()
                if self.tensors.get(name) != after.tensors.get(name)
            ),
        }
        return {kind: names for kind, names in found.items() if names}


@dataclass(frozen=True)
class _Values:
    """What takes longer to compare.

    Attributes:
        tensors: Name -> version and hash of a parameter or buffer.
        settings: Name -> a setting of a layer of torch, such as its stride, or a function that replaces a method.
    """

    tensors: dict[str, tuple[int, str]]
    settings: dict[str, Any]

    @classmethod
    def of(cls, network: nn.Module) -> _Values:
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        settings = {
            f"{name}.{key}".lstrip("."): value
            for name, module in network.named_modules()
            for key, value in vars(module).items()
            if _is_setting(module, key, value)
        }
        return cls({name: (_version(tensor), _digest(tensor)) for name, tensor in tensors.items()}, settings)

    def changes(self, after: _Values) -> dict[str, list[str]]:
        """Return what differs, by kind; not the tensors that the network itself has changed openly."""
        tensors = [
            name
            for name, (version, digest) in self.tensors.items()
            if after.tensors.get(name, (version, digest)) != (version, digest) and after.tensors[name][0] == version
        ]
        names = self.settings.keys() | after.settings.keys()
        settings = sorted(name for name in names if not _same(self.settings.get(name), after.settings.get(name)))
        found = {"the weights": tensors, "the settings": settings}
        return {kind: changed for kind, changed in found.items() if changed}


def _version(tensor: Tensor) -> int:
    try:
        return tensor._version
    except RuntimeError:  # made in inference mode, where torch counts no versions
        return 0


def _digest(tensor: Tensor) -> str:
    values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(values.numpy().data).hexdigest()


def _is_setting(module: nn.Module, key: str, value: object) -> bool:
    if key.startswith("_") or key == "training" or isinstance(value, nn.Module):
        return False
    of_torch = type(module).__module__.startswith("torch.nn.")
    return callable(value) or (of_torch and isinstance(value, bool | int | float | str | tuple | None))


def _same(before: object, after: object) -> bool:
    return before is after or (not callable(before) and before == after)
