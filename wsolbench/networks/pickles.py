"""Pickles of ``torch.save``, walked without carrying any instruction out: what they call, and the sizes they declare.

torch's own restricted reader follows afterwards. It executes nothing from outside its list, but its list has functions
that take any amount of memory, and it believes the sizes that a pickle declares.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from wsolbench.escaping import visible

MOST_INSTRUCTIONS = 1_000_000
"""More than any training file has: some 25 for each tensor."""

LEFT_OUT = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
)
"""What pickled options, paths and numpy numbers refer to; none of it is called, an inert object replaces each."""

_CALLED = {
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
    "torch.nn.parameter.Parameter",
    *(f"torch._utils._rebuild_{kind}" for kind in ("tensor", "tensor_v2", "tensor_v3")),
    *(f"torch._utils._rebuild_{kind}" for kind in ("parameter", "parameter_with_state")),
}
_UNUSUAL = {
    "torch._utils._rebuild_qtensor": "quantised",
    "torch._utils._rebuild_sparse_tensor": "sparse",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor of the meta device, without data",
    "torch._utils._rebuild_nested_tensor": "nested",
}
_STORAGE_BYTES = {
    **dict.fromkeys(["Byte", "Char", "Bool", "QUInt8", "QInt8", "QUInt4x2", "QUInt2x4", "Untyped"], 1),
    **dict.fromkeys(["Half", "BFloat16", "Short"], 2),
    **dict.fromkeys(["Float", "Int", "QInt32"], 4),
    **dict.fromkeys(["Double", "Long", "ComplexFloat"], 8),
    "ComplexDouble": 16,
}


def shown(text: str, most: int = 80) -> str:
    """Return a text of a file for a message: one line in which every character can be seen, not too long."""
    return visible(text if len(text) <= most else f"{text[: most - 1]}…")


class RefusedPickleError(Exception):
    """A pickle calls what is never called; the message names it, or the entry and what is unusual about it."""

    def __init__(self, text: str, *, entry: bool = False) -> None:
        super().__init__(text)
        self.entry = entry


@dataclass(frozen=True)
class _Global:
    """A class or function that a pickle refers to."""

    name: str


_OTHER, _TENSOR = object(), object()
"""Stand for tensors, and for all other values that do not matter."""


@dataclass
class _Walk:
    """The stack of a pickle's machine, with constants, tuples and references to globals; all else is `_OTHER`."""

    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)
    memo: dict[Any, Any] = field(default_factory=dict)
    storages: dict[str, int] = field(default_factory=dict)

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def unmark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def marked_tuple(self) -> None:
        items = tuple(self.unmark())
        self.stack.append(items)

    def last_tuple(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def build(self) -> None:
        self.stack.pop()
        if self.stack[-1] is not _OTHER:
            raise ValueError("a state for what takes none")

    def call(self) -> None:
        """Check a call: the function under its arguments; its result takes their place."""
        arguments, function = self.stack.pop(), self.stack.pop()
        name = function.name if isinstance(function, _Global) else "something that is computed"
        if name in _UNUSUAL:
            entry = next((item for item in reversed(self.stack) if isinstance(item, str)), "?")
            raise RefusedPickleError(f"'{entry}' is {_UNUSUAL[name]}", entry=True)
        # Other encodings of Python take quadratic time.
        bytes_of_text = name == "_codecs.encode" and isinstance(arguments, tuple) and arguments[1:] == ("latin1",)
        if not (name in _CALLED or name in LEFT_OUT or bytes_of_text):
            raise RefusedPickleError(name)
        self.stack.append(_TENSOR if name.startswith("torch._utils.") or name.endswith("Parameter") else _OTHER)

    def create(self) -> None:
        self.stack.pop()
        kind = self.stack.pop()
        if not (isinstance(kind, _Global) and kind.name in LEFT_OUT):
            raise RefusedPickleError(kind.name if isinstance(kind, _Global) else "something that is computed")
        self.stack.append(_OTHER)

    def storage(self) -> None:
        """Note the size that the pickle declares for a storage: ('storage', type, key, device, count, ...)."""
        reference = self.stack.pop()
        if not (isinstance(reference, tuple) and len(reference) in (5, 6) and reference[0] == "storage"):
            raise ValueError("no reference to a storage")
        _, kind, key, _, count, *_ = reference
        name = kind.name.rpartition(".")[2].removesuffix("Storage") if isinstance(kind, _Global) else ""
        if name not in _STORAGE_BYTES or not isinstance(key, str) or not isinstance(count, int) or count < 0:
            raise ValueError("no reference to a storage")
        self.storages[key] = max(self.storages.get(key, 0), count * _STORAGE_BYTES[name])
        self.stack.append(_OTHER)


_STEPS: dict[str, Callable[[_Walk, Any], object]] = {
    "MARK": lambda walk, _: walk.mark(),
    "TUPLE": lambda walk, _: walk.marked_tuple(),
    "TUPLE1": lambda walk, _: walk.last_tuple(1),
    "TUPLE2": lambda walk, _: walk.last_tuple(2),
    "TUPLE3": lambda walk, _: walk.last_tuple(3),
    "APPEND": lambda walk, _: walk.stack.pop(),
    "APPENDS": lambda walk, _: walk.unmark(),
    "SETITEM": lambda walk, _: (walk.stack.pop(), walk.stack.pop()),
    "SETITEMS": lambda walk, _: walk.unmark(),
    "BUILD": lambda walk, _: walk.build(),
    "REDUCE": lambda walk, _: walk.call(),
    "NEWOBJ": lambda walk, _: walk.create(),
    "BINPERSID": lambda walk, _: walk.storage(),
    "GLOBAL": lambda walk, name: walk.stack.append(_Global(_current_name(name))),
    **dict.fromkeys(["BINPUT", "LONG_BINPUT"], lambda walk, key: walk.memo.__setitem__(key, walk.stack[-1])),
    **dict.fromkeys(["BINGET", "LONG_BINGET"], lambda walk, key: walk.stack.append(walk.memo[key])),
    "MEMOIZE": lambda walk, _: walk.memo.__setitem__(len(walk.memo), walk.stack[-1]),
    **dict.fromkeys(["PROTO", "FRAME", "STOP"], lambda _walk, _: None),
    **dict.fromkeys(["NEWTRUE", "NEWFALSE", "EMPTY_SET"], lambda walk, _: walk.stack.append(_OTHER)),
    **dict.fromkeys(["NONE", "EMPTY_LIST", "EMPTY_DICT"], lambda walk, _: walk.stack.append(_OTHER)),
    "EMPTY_TUPLE": lambda walk, _: walk.stack.append(()),
}


def _current_name(text: str) -> str:
    """Return the name of a global, given as ``module name``, as torch reads it: Python 2 had other names."""
    name = text.replace(" ", ".")
    return name.replace("__builtin__.", "builtins.").replace("copy_reg.", "copyreg.")


def walk_pickle(file: IO[bytes]) -> dict[str, int]:
    """Walk one pickle up to its end.

    Args:
        file: Positioned at the pickle, and behind it afterwards.

    Returns:
        Key -> size in bytes of every storage that it declares.

    Raises:
        RefusedPickleError: It calls what is never called.
        ValueError: It is damaged, or no pickle that ``torch.save`` writes; so do `IndexError` and `KeyError`.
    """
    walk = _Walk()
    for count, (step, argument, _) in enumerate(pickletools.genops(file)):
        if count >= MOST_INSTRUCTIONS:
            raise RefusedPickleError(f"more than {MOST_INSTRUCTIONS:,} instructions")
        if step.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX"):  # of other protocols than torch.save's
            raise RefusedPickleError(f"a class or function, by the instruction {step.name}")
        known = _STEPS.get(step.name)
        if known is not None:
            known(walk, argument)
        elif argument is not None:
            walk.stack.append(argument)
        else:
            raise ValueError(f"the instruction {step.name}")
    return walk.storages
