"""What pydantic refuses, in words of ours: where a value stands, what belongs there, and what stands there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from wsolbench.texts import printable

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["refusal", "what_is_wrong"]

_LONGEST_PLACE, _LONGEST_VALUE, _LONGEST = 200, 60, 300
_EXPECTED: Mapping[str, str] = {
    **dict.fromkeys(("string_type", "string_sub_type"), "a text"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "names with values"),
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), "a date, as in 2026-01-31"),
    **dict.fromkeys(("datetime_type", "datetime_parsing"), "a time, as in 2026-01-31T12:00:00Z"),
    "finite_number": "a finite number",
    "path_type": "a path",
    "none_required": "nothing",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "string_pattern_mismatch": "the form {pattern}",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of {max_length} or fewer",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
}
"""Type of pydantic's error -> what belongs there, with parts of its context."""


def refusal(error: ValidationError) -> str:
    """Say in one line where the first value that is refused stands, and what is wrong with it."""
    place = printable(".".join(map(str, error.errors()[0]["loc"])), _LONGEST_PLACE)
    return ": ".join(filter(None, [place, what_is_wrong(error)]))


def what_is_wrong(error: ValidationError) -> str:
    """Say in one line what is wrong with the first value that is refused."""
    first: Any = error.errors()[0]
    return printable(_said(first["type"], first["input"], first.get("ctx", {})), _LONGEST)


def _said(kind: str, value: object, context: Mapping[str, Any]) -> str:
    """Say what is wrong with a value.

    Args:
        kind: The type of pydantic's error.
        value: What stands there.
        context: What the error has beside it.
    """
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind].format(**context)}, got {_shown(value)}"
    special = _SPECIAL.get(kind)
    return f"{_shown(value)} cannot stand here" if special is None else special(context)


_SPECIAL: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda context: "it is missing",  # noqa: ARG005
    "extra_forbidden": lambda context: "there is no such name",  # noqa: ARG005
    "json_invalid": lambda context: f"no JSON ({context['error']})",
    "value_error": lambda context: str(context["error"]),
    "assertion_error": lambda context: str(context["error"]),
}
"""Type of pydantic's error -> what is said where the value itself says nothing."""


def _shown(value: object) -> str:
    return printable("null" if value is None else repr(value), _LONGEST_VALUE)
