"""The functions that scores are computed with: noted before plugin code runs, so that a replaced one is noticed.

They are the functions and classes of wsolbench itself, and those of other packages that it computes with.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any

__all__ = ["Originals"]

_LIBRARIES: dict[str, tuple[str, ...]] = {
    "builtins": (),
    "numpy": (),
    "cv2": ("resize", "findContours", "contourArea", "boundingRect"),
    "torch.nn.functional": (),
}
"""Libraries whose functions count, all or some: plugins' own libraries replace others, such as ``cv2.imread``."""
_CLASSES = {"torch": ("Tensor",), "torch.nn": ("Module", "Conv2d", "Linear", "BatchNorm2d", "LayerNorm", "GELU")}
_METHODS = (FunctionType, property, classmethod, staticmethod, cached_property)


@dataclass(frozen=True)
class Place:
    """A module or class, and what its names stand for."""

    owner: Any
    names: dict[str, Any]

    def replaced(self) -> list[str]:
        """Return the names that stand for something else now, except what torch's compiler wraps at its first use."""
        now = vars(self.owner)
        changed = [name for name, value in self.names.items() if now.get(name) is not value]
        return [name for name in changed if not _module(now.get(name)).startswith("torch._dynamo")]


@dataclass
class Originals:
    """What the names of all places stand for, as noted: module -> name of the place -> the place."""

    modules: dict[str, dict[str, Place]]

    @classmethod
    def take(cls) -> Originals:
        """Note the functions and classes of all modules that are loaded."""
        return cls({name: _places(name) for name in _watched()})

    def restore(self) -> list[str]:
        """Put back what was replaced since, and return its names."""
        found = []
        for places in self.modules.values():
            for label, place in places.items():
                for name in place.replaced():
                    setattr(place.owner, name, place.names[name])
                    found.append(f"{label}.{name}")
        return found

    def note_new(self, package: str) -> list[str]:
        """Note the modules that were loaded since, and return what a package has replaced in them.

        Args:
            package: The name of its top-level module.
        """
        new = {name: _places(name) for name in _watched() if name not in self.modules}
        self.modules.update(new)
        return [
            f"{label}.{name}"
            for places in new.values()
            for label, place in places.items()
            for name, value in place.names.items()
            if _module(value).partition(".")[0] == package
        ]


def _watched() -> list[str]:
    known = {**_LIBRARIES, **_CLASSES}
    return [name for name in list(sys.modules) if name in known or name == "wsolbench" or name.startswith("wsolbench.")]


def _places(module_name: str) -> dict[str, Place]:
    """Return the places of a module by their names: the module, and its classes."""
    module = sys.modules[module_name]
    if module_name in _CLASSES:
        classes = [getattr(module, name) for name in _CLASSES[module_name] if hasattr(module, name)]
        return {f"{module_name}.{each.__name__}": _members(each) for each in classes}
    if module_name in _LIBRARIES:
        functions = {name: value for name, value in vars(module).items() if callable(value)}
        wanted = _LIBRARIES[module_name] or functions
        return {module_name: Place(module, {name: functions[name] for name in wanted})}
    names = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    classes = [value for value in names.values() if isinstance(value, type) and value.__module__ == module_name]
    return {module_name: Place(module, names)} | {f"{module_name}.{each.__name__}": _members(each) for each in classes}


def _members(owner: type) -> Place:
    return Place(owner, {name: value for name, value in vars(owner).items() if isinstance(value, _METHODS)})


def _module(value: Any) -> str:
    """Return the module that defines a function, a method or a property."""
    function = getattr(value, "fget", None) or getattr(value, "__func__", None) or getattr(value, "func", value)
    return str(getattr(function, "__module__", ""))
