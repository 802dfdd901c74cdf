"""YAML files as plain data: no key twice, numbers and words as YAML 1.2 has them, nothing executed, within bounds."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from wsolbench.errors import UsageError
from wsolbench.files import read_regular
from wsolbench.texts import one_line

__all__ = ["parse_yaml", "read_yaml"]

LARGEST = 1 << 20
"""Bytes of a file that people write."""
MOST_VALUES = 100_000
"""Values after every alias is replaced by what it stands for."""


class _Loader(yaml.SafeLoader):
    """The safe loader without dates, octal numbers and ``no`` for false, and with ``1e-3`` for a number."""

    yaml_implicit_resolvers = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping; raise MarkedYAMLError where a key stands in it twice."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key in seen:
                raise yaml.MarkedYAMLError(problem=f"'{key}' is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


def _construct_int(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(node.value)


def _construct_float(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(node.value)


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def read_yaml(path: Path) -> tuple[Any, bytes]:
    """Return what a YAML file holds, and its bytes.

    Raises:
        UsageError: It cannot be read, or is no YAML of this kind.
    """
    try:
        content = read_regular(path, LARGEST)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_yaml(content, str(path)), content


def parse_yaml(content: bytes, where: str) -> Any:
    """Return what a YAML text holds: mappings with texts as keys, lists, texts, numbers, true, false and null.

    Args:
        content: The text, in UTF-8.
        where: What messages call it.

    Raises:
        UsageError: It is no YAML, a key stands twice in a mapping or is no text, or aliases stand for too much.
    """
    try:
        value = yaml.load(content, Loader=_Loader)
        _check(value)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" line {mark.line + 1}:"
        raise UsageError(f"{where}:{place} {error.problem or error.context or 'no YAML'}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{where}: no YAML of a sweep ({one_line(error)})") from None
    except RecursionError:
        raise UsageError(f"{where}: lists and mappings are nested too deeply") from None
    return value


def _check(value: Any) -> None:
    """Raise ValueError where there are too many values, or one that JSON does not have."""
    waiting, seen = [value], 0
    while waiting:
        each = waiting.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values")
        if isinstance(each, dict):
            wrong = [key for key in each if not isinstance(key, str)]
            if wrong:
                raise ValueError(f"the key {wrong[0]!r} is no text; write it in quotes")
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif not isinstance(each, str | int | float | None):
            raise ValueError(f"a {type(each).__name__} is no value here")
