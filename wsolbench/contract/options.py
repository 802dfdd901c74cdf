"""The options of a method or recipe: the annotated parameters of what builds it, typed, listed and recorded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from wsolbench.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """One option: its name, its type, and what it is when nobody sets it."""

    name: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has to be set."""
        return self.default is inspect.Parameter.empty

    @property
    def accepts(self) -> str:
        """The values that the option takes, in words for a person."""
        if get_origin(self.annotation) is Literal:
            return "|".join(str(choice) for choice in get_args(self.annotation))
        return getattr(self.annotation, "__name__", str(self.annotation))


def list_options(build: Callable[..., object]) -> list[Option]:
    """Return the options that a builder takes, in its own order."""
    if is_dataclass(build):
        # A field that is inherited names its type in the words of the module that the field comes from.
        types = get_type_hints(build)
        signature = inspect.signature(build)
        parameters = [each.replace(annotation=types[name]) for name, each in signature.parameters.items()]
    else:
        parameters = list(inspect.signature(build, eval_str=True).parameters.values())
    return [
        Option(parameter.name, _annotation(parameter), parameter.default)
        for parameter in parameters
        if parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]


def _annotation(parameter: inspect.Parameter) -> Any:
    """Return a parameter's type; that of its default, or text, where the builder names none."""
    if parameter.annotation is not inspect.Parameter.empty:
        return parameter.annotation
    default = parameter.default
    return str if default is inspect.Parameter.empty or default is None else type(default)


def build_with_options(what: str, build: Callable[..., T], given: Mapping[str, str]) -> tuple[T, dict[str, Any]]:
    """Build something from options given as text; return it and all its options with their values.

    Raises:
        UsageError: An unknown option, a value that is not of its type, or a required option without one.
    """
    options = {option.name: option for option in list_options(build)}
    values = {name: option.default for name, option in options.items()}
    for name, text in given.items():
        if name not in options:
            raise UsageError(f"{what} has no option '{name}'; it has {', '.join(options) or 'none'}")
        try:
            values[name] = _from_text(options[name].annotation, text)
        except ValidationError:
            accepts = options[name].accepts
            raise UsageError(f"{what}: option '{name}' takes {accepts}, not '{text}'") from None
    lacking = [name for name, option in options.items() if option.required and name not in given]
    if lacking:
        raise UsageError(f"{what} needs a value for its option '{lacking[0]}'")
    return build(**values), values


def _from_text(annotation: Any, text: str) -> Any:
    """Return the value that a text stands for; ``none`` is None where the type has it."""
    if get_origin(annotation) is Literal:
        choices = {str(choice): choice for choice in get_args(annotation)}
        text = choices.get(text, text)
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    try:
        return adapter.validate_python(text)
    except ValidationError:
        if text.lower() != "none":
            raise
        return adapter.validate_python(None)
