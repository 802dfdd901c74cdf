"""Options of methods and recipes: their types and ranges, read from annotations; their values, parsed and checked.

An option is a parameter of a function or a field of a dataclass. Its annotation is its type, with a range if it has
one: ``threshold: Annotated[float, Field(ge=0, lt=1)] = 0.1``, where ``Field`` is pydantic's, or ``BelowOne`` for short.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from wsolbench.contract.docstrings import arguments_of
from wsolbench.contract.search import Search
from wsolbench.errors import UsageError

T = TypeVar("T")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
BelowOne = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]

_FINITE = ConfigDict(allow_inf_nan=False)  # unless an option's own type allows more
_NOUNS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    NoneType: "none",
}


@dataclass(frozen=True)
class Option:
    """One option: its name, its annotation, its value when nobody sets it, and what the builder's docstring says."""

    name: str
    annotation: Any
    default: Any
    documented: str = field(default="", compare=False)

    @property
    def required(self) -> bool:
        """Whether it has to be set."""
        return self.default is inspect.Parameter.empty

    @property
    def type(self) -> str:
        """Its type without its range, as Python writes it: ``int | None``; choices are written ``one|two``."""
        return _type(self.annotation)

    @property
    def range(self) -> str:
        """Its range in words, such as ``above 0 and at most 1``; empty if there is none."""
        return _range(self.annotation)

    @property
    def description(self) -> str:
        """What its annotation says of it, ``Field(description=...)``, or else the docstring; empty if nothing."""
        entries = self.annotation.__metadata__ if get_origin(self.annotation) is Annotated else ()
        stated = (entry.description for entry in entries if isinstance(entry, FieldInfo) and entry.description)
        return next(stated, self.documented)

    @property
    def search(self) -> Search | None:
        """From which values ``train --choose`` draws it; None where it does not."""
        entries = self.annotation.__metadata__ if get_origin(self.annotation) is Annotated else ()
        return next((entry for entry in entries if isinstance(entry, Search)), None)

    @property
    def accepts(self) -> str:
        """The values that it takes, in words that follow "takes", such as ``a number above 0 and at most 1``."""
        return _accepts(self.annotation)

    def read(self, value: Any) -> Any:
        """Return a value of the option's type.

        Args:
            value: A text is parsed: ``none`` is None where the type has it, commas separate the items of a tuple.
                Anything else has to be of the type already; a list may stand for a tuple, as it does in JSON.

        Raises:
            ValueError: It is not of the type, or lies outside its range.
        """
        adapter: TypeAdapter[Any] = TypeAdapter(self.annotation, config=_FINITE)
        if not isinstance(value, str):
            return adapter.validate_json(to_json(value), strict=True)
        for reading in _readings(self.annotation, value):
            try:
                return adapter.validate_python(reading)
            except ValidationError:
                continue
        raise ValueError(f"expected {self.accepts}, got {value!r}")


def list_options(build: Callable[..., object]) -> list[Option]:
    """Return the options that a builder takes, in its own order."""
    documented = arguments_of(build)
    return [replace(option, documented=documented.get(option.name, "")) for option in _options(build)]


def _options(build: Callable[..., object]) -> list[Option]:
    if isinstance(build, type) and is_dataclass(build):
        # Only get_type_hints resolves the annotation of an inherited field in the module that the field comes from.
        types = get_type_hints(build, include_extras=True)
        return [_option(field.name, types[field.name], _field_default(field)) for field in fields(build) if field.init]
    return [
        _option(parameter.name, parameter.annotation, parameter.default)
        for parameter in inspect.signature(build, eval_str=True).parameters.values()
        if parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]


def _field_default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is MISSING else field.default


def _option(name: str, annotation: Any, default: Any) -> Option:
    """Return an option; if it has no annotation, its type is that of its default, or text."""
    empty = inspect.Parameter.empty
    if annotation is empty:
        annotation = str if default is empty else str | None if default is None else type(default)
    if isinstance(default, FieldInfo):  # pydantic allows ``rate: float = Field(0.5, gt=0)`` too
        annotation = Annotated[annotation, default]
        default = empty if default.is_required() else default.get_default(call_default_factory=True)
    return Option(name, annotation, default)


def build_with_options(what: str, build: Callable[..., T], given: Mapping[str, Any]) -> tuple[T, dict[str, Any]]:
    """Build something from its options; return it and all its options with their values.

    Args:
        what: What is built, for messages: ``the method 'cam'``.
        build: Takes the options by keyword.
        given: Option name -> value, or the text that stands for it.

    Raises:
        UsageError: An option is unknown, its value is not of its type or in its range, or a required one is missing.
    """
    values = read_options(what, list_options(build), given)
    try:
        return build(**values), values
    except ValidationError as error:
        refusal = _refusal(error, given)
        if not refusal:
            raise
        raise UsageError(f"{what}: {refusal}") from error


def read_options(what: str, options: Iterable[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options with their values.

    Args:
        what: What takes them, for messages: ``the method 'cam'``.
        options: The options.
        given: Option name -> value, or the text that stands for it.

    Raises:
        UsageError: An option is unknown, its value is not of its type or in its range, or a required one is missing.
    """
    known = {option.name: option for option in options}
    values = {name: option.default for name, option in known.items()}
    for name, value in given.items():
        if name not in known:
            raise _unknown(what, name, known)
        try:
            values[name] = known[name].read(value)
        except ValueError:
            raise UsageError(f"{what}: option '{name}' takes {known[name].accepts}, not {value!r}") from None
    lacking = [option for option in known.values() if option.required and option.name not in given]
    if lacking:
        raise UsageError(f"{what} needs a value for its option '{lacking[0].name}', {lacking[0].accepts}")
    return values


def _unknown(what: str, name: str, options: Mapping[str, Option]) -> UsageError:
    if not options:
        return UsageError(f"{what} has no option '{name}'; it has none")
    close = difflib.get_close_matches(name, options, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    known = ", ".join(f"{option.name} ({option.accepts})" for option in options.values())
    return UsageError(f"{what} has no option '{name}'.{hint} Its options: {known}")


def _refusal(error: ValidationError, given: Mapping[str, Any]) -> str:
    """Return why validators of the builder refuse what its annotations allow; empty if the fault is its own."""
    first = error.errors()[0]
    reason = str(first.get("ctx", {}).get("error", ""))
    refused = [f"option '{name}' cannot be {given[name]!r}" for name in given if name in first["loc"]]
    return ": ".join(filter(None, [*refused, reason]))


def _readings(annotation: Any, text: str) -> Iterator[Any]:
    """Yield the values that a text may stand for, the likeliest first."""
    if get_origin(annotation) is Literal:
        yield {str(choice): choice for choice in get_args(annotation)}.get(text, text)
    yield text
    if text.lower() == "none":
        yield None
    yield tuple(item.strip() for item in text.strip("()[] ").split(",") if item.strip())


def _type(annotation: Any) -> str:
    """Return the type that an annotation names, as Python writes it, without ranges."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return "|".join(map(str, parts))
    if origin in (Union, UnionType):
        return " | ".join(map(_type, parts))
    if origin in (tuple, list):
        return f"{origin.__name__}[{', '.join('...' if part is ... else _type(part) for part in parts)}]"
    return "None" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))


def _accepts(annotation: Any) -> str:
    """Return the values that an annotation allows, in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _within(parts[0], _range(annotation))
    if origin in (Union, UnionType):
        return ", or ".join(map(_accepts, parts))
    if origin in (tuple, list):
        items = [part for part in parts if part is not ...]
        count = f"{len(items)} " if origin is tuple and ... not in parts else ""
        return f"{count}values separated by commas, each {' or '.join(dict.fromkeys(map(_accepts, items)))}"
    return _NOUNS.get(annotation) or _type(annotation)


def _within(annotation: Any, range: str) -> str:
    """Return the values of a type in a range, in words; the range is of numbers, not of ``none`` beside them."""
    if get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation):
        numbers = [part for part in get_args(annotation) if part is not NoneType]
        return ", or ".join([*(_within(part, range) for part in numbers), _NOUNS[NoneType]])
    joint = " of " if range.startswith("at ") else " "
    return f"{_accepts(annotation)}{joint}{range}".rstrip()


def _range(annotation: Any) -> str:
    """Return the bounds in an annotation, in words; empty if there are none."""
    if get_origin(annotation) is not Annotated:
        return " or ".join(filter(None, map(_range, get_args(annotation))))
    bounds: dict[str, Any] = {}
    for entry in annotation.__metadata__:
        for bound in getattr(entry, "metadata", [entry]):  # a Field holds several
            bounds |= {key: getattr(bound, key) for key in ("gt", "ge", "lt", "le") if hasattr(bound, key)}
    bounds = {key: value for key, value in bounds.items() if value is not None}
    if "ge" in bounds and ("le" in bounds or "lt" in bounds):
        return f"from {bounds['ge']} to " + (f"below {bounds['lt']}" if "lt" in bounds else str(bounds["le"]))
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    return " and ".join(f"{words[key]} {bounds[key]}" for key in words if key in bounds)
