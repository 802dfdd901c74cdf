"""Pickles of ``torch.save``, read without carrying any instruction out: plain values, and tensors that are declared.

No class is looked up and no function is called. Mappings, lists, texts and numbers become what they are; a tensor
becomes a `StoredTensor`; the other objects that training files hold become `LeftOut`. Of classes that are not known,
objects become `Foreign`, which a file may hold beside its weights. What shows an attack is refused, although nothing is
executed: calls of functions, and all of Python's own library but what holds data.
A value that a pickle refers to repeatedly is one object, so no instruction multiplies what a file holds.
"""

from __future__ import annotations

import pickletools
import re
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from wsolbench.escaping import visible
from wsolbench.networks.bounds import MOST_STEPS, DamageError, check_count, check_name
from wsolbench.networks.stored import WIDTHS, StoredTensor

__all__ = ["Foreign", "LeftOut", "Pickle", "RefusedPickleError", "read_pickle", "shown"]

_STORAGES = {
    **{"Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Bool": "bool"},
    **{"Byte": "uint8", "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64", "Untyped": "uint8"},
    **{"ComplexFloat": "complex64", "ComplexDouble": "complex128"},
    **{"QUInt8": "uint8", "QInt8": "int8", "QInt32": "int32", "QUInt4x2": "uint8", "QUInt2x4": "uint8"},
}
"""Kind of a storage -> type of its numbers; those of quantised tensors are refused when they are used."""
_UNUSUAL = {
    "torch._utils._rebuild_qtensor": "quantised",
    "torch._utils._rebuild_sparse_tensor": "sparse",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor of the meta device, without data",
    "torch._utils._rebuild_nested_tensor": "nested",
}
_NUMBERS = {
    **{"f8": "d", "f4": "f", "f2": "e", "b1": "?"},
    **{"i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q", "u4": "I", "u2": "H", "u1": "B"},
}
"""numpy's types of numbers, as `struct` writes them."""
_LONGEST_ARRAY = 128
"""Bytes of an array of numbers of numpy that is kept: a mean or a size, not a history."""
_LONGEST_TEXTS = 2**20
"""Bytes of an array of texts that is kept: names of classes."""
_TEXTS = re.compile("([US])([0-9]{1,4})|O8?")
"""numpy's types of texts of so many characters, and of any objects."""
_BYTES_A_STEP = 64
"""So many bytes count as an instruction where a pickle has them converted."""
_DATA_OF_PYTHON = (
    *("collections.", "datetime.", "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "uuid.SafeUUID", "enum."),
    *("random.Random", "functools.partial", "ipaddress.IPv", "zoneinfo.ZoneInfo", "array.array", "string.Template"),
    *(
        "pathlib.",
        "argparse.",
        "types.SimpleNamespace",
        "types.MappingProxyType",
        "dataclasses.",
        "typing.",
        "numbers.",
    ),
)
"""What names in Python's own library start with that hold data alone."""
_SYSTEM = frozenset(
    [
        *("os", "sys", "subprocess", "commands", "posix", "nt", "builtins", "importlib"),
        *("system", "popen", "Popen", "eval", "exec", "compile", "getattr"),
    ]
)
"""Parts of names that show an attack wherever they stand."""
_MAKES_OBJECTS = re.compile(r"numpy\.random\.(\w+\.)*_*\w+_ctor$|.*\.__pyx_unpickle_\w+$|functools\.partial$")
"""Names of functions that make objects: numpy's generators of random numbers, and what Cython compiles."""
_MOST_BITS = 128
"""Of an integer; states of random generators have as many."""


def shown(text: str, most: int = 80) -> str:
    """Return a text of a file for a message: one line in which every character can be seen, not too long."""
    return visible(text if len(text) <= most else f"{text[: most - 1]}…")


class RefusedPickleError(Exception):
    """A pickle refers to what is never loaded; the message names it, or the entry and what is unusual about it."""

    def __init__(self, text: str, *, entry: bool = False) -> None:
        super().__init__(text)
        self.entry = entry


class LeftOut:
    """Placeholder for an object that a file holds beside its weights.

    Attributes:
        values: The plain values of options, or the numbers or texts of a small array of numpy.
    """

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any] | list[Any] | None = None) -> None:
        self.values: Mapping[str, Any] | list[Any] = values or {}


class Foreign(LeftOut):
    """Placeholder for an object of a class that is not known; a mapping keeps its items, others their state.

    Attributes:
        name: The class.
    """

    __slots__ = ("name",)

    def __init__(self, name: str, values: Mapping[str, Any] | None = None) -> None:
        super().__init__(values)
        self.name = name


@dataclass(frozen=True)
class Pickle:
    """What a pickle holds.

    Args:
        content: Plain values, `StoredTensor` and `LeftOut`; keys of mappings are texts and small integers.
        storages: Key -> size in bytes of every storage that it declares.
        foreign: The classes and functions that are not known, one for every object, and are not loaded.
    """

    content: Any
    storages: Mapping[str, int]
    foreign: tuple[str, ...] = ()


class _Global(Foreign):
    """A class or function that a pickle refers to."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    kind: str
    count: int


class _NumberType(LeftOut):
    """numpy's type of a number or text, and the order of its bytes."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        super().__init__()
        self.code, self.order = code, "<"


@dataclass
class _Machine:
    """The machine that a pickle is written for: a stack, marks on it, and a memo."""

    most_steps: int
    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    entries: int = 0
    steps: int = 0

    def spend(self, steps: int) -> None:
        """Count instructions, and what they repeat."""
        self.steps += steps
        if self.steps > self.most_steps:
            raise DamageError(f"its pickle has more than {self.most_steps:,} instructions")

    def push(self, value: Any) -> None:
        large = type(value) is int and value.bit_length() > _MOST_BITS
        self.stack.append(LeftOut() if large else value)

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

    def frozen_set(self) -> None:
        self.unmark()
        self.stack.append(LeftOut())

    def append(self, items: list[Any]) -> None:
        """Append to the list on the stack; the items of other objects do not matter."""
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, LeftOut):
            raise ValueError("items for what takes none")

    def set_items(self, items: list[Any]) -> None:
        """Set items of the mapping on the stack, given as key, value, key, value, ..."""
        target = self.stack[-1]
        if isinstance(target, dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                self.set_item(target, key, value)
        elif isinstance(target, Foreign):
            held = target.values if isinstance(target.values, dict) else {}
            target.values = held
            for key, value in zip(items[::2], items[1::2], strict=True):
                self.set_item(held, key, value)
        elif not isinstance(target, LeftOut):
            raise ValueError("items for what takes none")

    def set_item(self, target: dict[Any, Any], key: Any, value: Any) -> None:
        """Set an item whose key is a text or a small integer; others, which can be slow to look up, are left out."""
        if isinstance(key, str):
            if isinstance(value, StoredTensor | dict):
                check_name(key)
                self.entries += isinstance(value, StoredTensor)
                check_count(self.entries)
            target[key] = value
        elif type(key) is int and key.bit_length() < 32:
            target[key] = value

    def build(self) -> None:
        """Give an object its state: that of options, of an array (version, shape, type, order, bytes) or of a type."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _NumberType):
            target.order = ">" if isinstance(state, tuple) and state[1:2] == (">",) else "<"
        elif isinstance(target, Foreign):
            states = [each for each in (state if isinstance(state, tuple) else [state]) if isinstance(each, dict)]
            self.spend(sum(map(len, states)) + len(target.values))
            target.values = {name: value for each in (*states, target.values) for name, value in dict(each).items()}
        elif isinstance(target, LeftOut):
            array = isinstance(state, tuple) and len(state) == 5
            target.values = _items(self, state[2], state[4]) if array else state if isinstance(state, dict) else {}
        elif not isinstance(target, dict | list | StoredTensor):
            raise ValueError("a state for what takes none")

    def refer(self, name: str) -> None:
        """Push a class or function; what shows an attack is refused at the end, if nothing clearer is found."""
        if name not in _MAKERS and name not in _UNUSUAL and name not in _NAMED and not _storage_kind(name):
            (self.foreign if _holds_data(name) else self.unknown).append(name)
        self.stack.append(_Global(name))

    def refer_to_stacked(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise ValueError("no name of a class")
        self.refer(_current_name(f"{module} {name}"))

    def make(self, *, new: bool = False) -> None:
        """Replace a function or class and its arguments by what they stand for.

        Args:
            new: Whether it is a class for certain.
        """
        arguments, function = self.stack.pop(), self.stack.pop()
        name = function.name if isinstance(function, _Global) else "something that is computed"
        if name in _UNUSUAL:
            entry = next((item for item in reversed(self.stack) if isinstance(item, str)), "?")
            raise RefusedPickleError(f"'{shown(entry)}' is {_UNUSUAL[name]}", entry=True)
        if name not in _MAKERS and not (
            isinstance(function, _Global) and ((new and _holds_data(name)) or _is_class(name))
        ):
            raise RefusedPickleError(name)
        if not isinstance(arguments, tuple):
            raise ValueError("no arguments")
        self.stack.append(_MAKERS[name](self, arguments) if name in _MAKERS else _object(name, arguments))

    def refer_to_storage(self) -> None:
        """Push a storage, given as ('storage', kind, key, device, count) and in old files a view of it."""
        reference = self.stack.pop()
        if not (isinstance(reference, tuple) and reference[:1] == ("storage",) and len(reference) in (5, 6)):
            raise ValueError("no reference to a storage")
        _, kind, key, _, count, *view = reference
        dtype = _storage_kind(kind.name) if isinstance(kind, _Global) else None
        if dtype is None or not isinstance(key, str) or type(count) is not int or count < 0 or any(view):
            raise ValueError("no reference to a storage")
        size = count * WIDTHS[dtype]
        if self.storages.setdefault(key, size) != size:
            raise DamageError(f"it declares two sizes of the storage '{shown(key)}'")
        self.stack.append(_Storage(key, dtype, count))


def _holds_data(name: str) -> bool:
    """Return whether a class or function that is not known may stand in a file: it is refused if it is called."""
    parts = name.split(".")
    pythons = parts[0] in sys.stdlib_module_names and not name.startswith(_DATA_OF_PYTHON)
    tensor = parts[0] == "torch" and name.endswith(("Tensor", "Storage"))
    return not pythons and not tensor and _SYSTEM.isdisjoint(parts)


def _is_class(name: str) -> bool:
    """Return whether a name that is called is by custom one of a class, or is known to make an object that is data."""
    last = name.rpartition(".")[2].lstrip("_")
    return _holds_data(name) and (last[:1].isupper() or _MAKES_OBJECTS.match(name) is not None)


def _object(name: str, arguments: tuple[Any, ...]) -> Foreign:
    """Return what stands for an object; one made of a single mapping, text or number keeps it, as members of enums."""
    alone = arguments[0] if len(arguments) == 1 else None
    if isinstance(alone, dict):
        return Foreign(name, alone)
    return Foreign(name, {"_val": alone} if isinstance(alone, str | int | float) else None)


def _member(_: _Machine, arguments: tuple[Any, ...]) -> Foreign:
    """Return what stands for a member of an enumeration, as Python 3.11.0 to 3.11.3 store it: (class, name)."""
    owner, name = arguments
    if not (isinstance(owner, _Global) and _holds_data(owner.name) and isinstance(name, str)):
        raise RefusedPickleError("builtins.getattr")
    return Foreign(owner.name, None)


def _reconstructed(_: _Machine, arguments: tuple[Any, ...]) -> Foreign:
    """Return what stands for an object that an old pickle makes of (class, base, state of the base)."""
    made, _, state = arguments
    if not isinstance(made, _Global):
        raise RefusedPickleError("something that is computed")
    return Foreign(made.name, state if isinstance(state, dict) else None)


def _storage_kind(name: str) -> str | None:
    """Return the type of the numbers of a class of storages; None for other classes."""
    module, _, kind = name.rpartition(".")
    if module not in ("torch", "torch.cuda", "torch.storage") or not kind.endswith("Storage"):
        return None
    return _STORAGES.get(kind.removesuffix("Storage"))


# ----------------------------------------------------------------------------------------------- what a call stands for


def _mapping(machine: _Machine, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Return a mapping of a mapping, of pairs or of nothing."""
    source = arguments[0] if arguments else []
    if isinstance(source, dict):
        return source
    if not isinstance(source, list | tuple):
        return {}
    machine.spend(len(source))
    content: dict[Any, Any] = {}
    for pair in source:
        key, value = pair
        machine.set_item(content, key, value)
    return content


def _list(_: _Machine, arguments: tuple[Any, ...]) -> list[Any]:
    return arguments[0] if arguments and isinstance(arguments[0], list) else []


def _same(_: _Machine, arguments: tuple[Any, ...]) -> Any:
    return arguments[0]


def _left_out(_machine: _Machine, _arguments: tuple[Any, ...]) -> LeftOut:
    return LeftOut()


def _tensor(_: _Machine, arguments: tuple[Any, ...]) -> StoredTensor:
    """Return a tensor of (storage, offset, shape, stride, ...); its type is that of the storage."""
    storage, offset, shape, stride = arguments[:4]
    return _checked(storage, storage.kind, offset, shape, stride)


def _typed_tensor(_: _Machine, arguments: tuple[Any, ...]) -> StoredTensor:
    """Return a tensor of (storage, offset, shape, stride, gradient, hooks, type, ...)."""
    storage, offset, shape, stride, dtype = *arguments[:4], arguments[6]
    return _checked(storage, dtype.name.removeprefix("torch."), offset, shape, stride)


def _checked(storage: Any, dtype: str, offset: Any, shape: Any, stride: Any) -> StoredTensor:
    if not (isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)):
        raise ValueError("a tensor of something else")
    tensor = StoredTensor(storage.key, dtype, shape, stride, offset)
    tensor.check(storage.count * WIDTHS[storage.kind] // WIDTHS[dtype])
    return tensor


def _parameter(_: _Machine, arguments: tuple[Any, ...]) -> StoredTensor:
    if not isinstance(arguments[0], StoredTensor):
        raise ValueError("a parameter of something else")
    return arguments[0]


def _bytes(machine: _Machine, arguments: tuple[Any, ...]) -> bytes | LeftOut:
    """Return the bytes that old pickles write as text; those of large arrays do not matter."""
    text, encoding = arguments
    if encoding != "latin1" or not isinstance(text, str):
        raise RefusedPickleError("_codecs.encode")
    machine.spend(len(text) // _BYTES_A_STEP)
    return text.encode("latin1") if len(text) <= _LONGEST_TEXTS else LeftOut()


def _number_type(_: _Machine, arguments: tuple[Any, ...]) -> _NumberType | LeftOut:
    code = arguments[0] if arguments else None
    known = isinstance(code, str) and (code in _NUMBERS or _TEXTS.fullmatch(code))
    return _NumberType(code) if known and isinstance(code, str) else LeftOut()


def _number(machine: _Machine, arguments: tuple[Any, ...]) -> Any:
    """Return a number or text of numpy as Python's own."""
    items = _items(machine, *arguments)
    return items[0] if len(items) == 1 else LeftOut()


def _array(machine: _Machine, arguments: tuple[Any, ...]) -> LeftOut:
    """Return an array of (bytes, type, shape, order)."""
    return LeftOut(_items(machine, arguments[1], arguments[0]))


def _items(machine: _Machine, kind: object, data: object) -> list[Any]:
    """Return the numbers or texts of a small array; none of other objects."""
    if not isinstance(kind, _NumberType):
        return []
    if kind.code in _NUMBERS:
        return _numbers(kind, data)
    if kind.code.startswith("O"):
        return data if isinstance(data, list) else []
    if not isinstance(data, bytes | bytearray) or len(data) > _LONGEST_TEXTS:
        return []
    machine.spend(len(data) // _BYTES_A_STEP)
    return _texts(kind, bytes(data))


def _texts(kind: _NumberType, data: bytes) -> list[str]:
    """Return the texts of an array in which all have the same number of characters, filled up with zeros."""
    wide = kind.code[0] == "U"
    size = int(kind.code[1:]) * (4 if wide else 1)
    encoding = ("utf-32-be" if kind.order == ">" else "utf-32-le") if wide else "latin1"
    places = range(0, len(data), size) if size else range(0)
    return [data[place : place + size].decode(encoding).rstrip("\0") for place in places]


def _numbers(kind: _NumberType, data: object) -> list[Any]:
    if not isinstance(data, bytes | bytearray) or len(data) > _LONGEST_ARRAY:
        return []
    return [number for (number,) in struct.iter_unpack(kind.order + _NUMBERS[kind.code], data)]


_Maker = Callable[[_Machine, tuple[Any, ...]], Any]
_MAKERS: Mapping[str, _Maker] = {
    **dict.fromkeys(["collections.OrderedDict", "collections.Counter", "builtins.dict"], _mapping),
    "collections.defaultdict": lambda _machine, _arguments: {},
    **dict.fromkeys(["collections.deque", "builtins.list"], _list),
    **dict.fromkeys(["torch.Size", "torch.torch_version.TorchVersion"], _same),
    **dict.fromkeys(["torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"], _tensor),
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    **dict.fromkeys(["torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"], _parameter),
    "torch.nn.parameter.Parameter": _parameter,
    "builtins.getattr": _member,
    "copyreg._reconstructor": _reconstructed,
    "_codecs.encode": _bytes,
    "numpy.dtype": _number_type,
    **{f"numpy.{core}.multiarray.scalar": _number for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": _left_out for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array for core in ("core", "_core")},
    **{f"builtins.{name}": _left_out for name in ("set", "frozenset", "complex", "slice", "range", "bytearray")},
    **{f"builtins.{name}": _left_out for name in ("xrange", "type")},
    **{f"pathlib.{name}": _left_out for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")},
    **{f"pathlib._local.{name}": _left_out for name in ("PosixPath", "WindowsPath")},
    **{f"datetime.{name}": _left_out for name in ("datetime", "date", "time", "timedelta", "timezone")},
    **dict.fromkeys(["argparse.Namespace", "types.SimpleNamespace", "torch.device"], _left_out),
    "torch.serialization._get_layout": _left_out,
}
"""What a pickle may call -> what stands for its result."""
_NAMED = {
    "numpy.ndarray",
    *(f"builtins.{name}" for name in ("int", "float", "bool", "str", "bytes", "tuple", "object")),
    *(f"builtins.{name}" for name in ("long", "unicode", "Ellipsis", "NotImplemented")),
    *(f"torch.{name}" for name in (*WIDTHS, "quint8", "qint8", "qint32", "quint4x2", "quint2x4")),
    *(f"torch.{name}" for name in ("strided", "sparse_coo", "per_tensor_affine", "per_channel_affine", "Tensor")),
}
"""What a pickle may name and not call."""


_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "MARK": lambda machine, _: machine.mark(),
    "TUPLE": lambda machine, _: machine.marked_tuple(),
    "TUPLE1": lambda machine, _: machine.last_tuple(1),
    "TUPLE2": lambda machine, _: machine.last_tuple(2),
    "TUPLE3": lambda machine, _: machine.last_tuple(3),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.unmark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(), machine.stack.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.unmark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.unmark()),
    "BUILD": lambda machine, _: machine.build(),
    "REDUCE": lambda machine, _: machine.make(),
    "NEWOBJ": lambda machine, _: machine.make(new=True),
    "BINPERSID": lambda machine, _: machine.refer_to_storage(),
    "GLOBAL": lambda machine, name: machine.refer(_current_name(name)),
    "STACK_GLOBAL": lambda machine, _: machine.refer_to_stacked(),
    **dict.fromkeys(["BINPUT", "LONG_BINPUT"], lambda machine, key: machine.memo.__setitem__(key, machine.stack[-1])),
    **dict.fromkeys(["BINGET", "LONG_BINGET"], lambda machine, key: machine.stack.append(machine.memo[key])),
    "MEMOIZE": lambda machine, _: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),
    **dict.fromkeys(["PROTO", "FRAME", "STOP"], lambda _machine, _: None),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "EMPTY_SET": lambda machine, _: machine.stack.append(LeftOut()),
    "FROZENSET": lambda machine, _: machine.frozen_set(),
    **dict.fromkeys(["BININT", "BININT1", "BININT2", "LONG1", "LONG4"], _Machine.push),
    **dict.fromkeys(["BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"], _Machine.push),
    **dict.fromkeys(["BINSTRING", "SHORT_BINSTRING"], _Machine.push),
    **dict.fromkeys(["BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"], _Machine.push),
}
"""The instructions of the protocols 2 to 5 that ``torch.save`` writes."""
_CALLING = {"INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
"""Further instructions that call something."""


def _current_name(text: str) -> str:
    """Return the name of a global, given as ``module name``; Python 2 had other names."""
    name = text.replace(" ", ".")
    return name.replace("__builtin__.", "builtins.").replace("copy_reg.", "copyreg.")


def read_pickle(file: IO[bytes], most_steps: int = MOST_STEPS) -> Pickle:
    """Read one pickle up to its end.

    Args:
        file: Positioned at the pickle, and behind it afterwards.
        most_steps: How many instructions it may have.

    Raises:
        RefusedPickleError: It refers to what is never loaded.
        DamageError: It holds more than a file of weights does.
        ValueError: It is damaged, or no pickle that ``torch.save`` writes; so do many other kinds of exceptions.
    """
    machine = _Machine(most_steps)
    for step, argument, _ in pickletools.genops(file):
        machine.spend(1)
        known = _STEPS.get(step.name)
        if step.name in _CALLING:
            raise RefusedPickleError(f"the instruction {step.name} of a pickle")
        if known is None:
            raise DamageError(f"its pickle has the instruction {step.name}, which torch.save does not write")
        known(machine, argument)
    if machine.unknown:
        raise RefusedPickleError(machine.unknown[0])
    (content,) = machine.stack
    return Pickle(content, machine.storages, tuple(machine.foreign))
