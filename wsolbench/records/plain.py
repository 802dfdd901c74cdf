"""JSON of records: read strictly and within bounds, made of any settings, and put under a hash of its own."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any

from wsolbench.texts import printable, text_problem

__all__ = ["LONGEST_TEXT", "SEAL", "differences", "parse", "plain", "problem_of", "sealed", "summary_sha256"]

LONGEST_TEXT = 20_000
"""Characters of the longest text of a record, a command."""

DEEPEST = 64
"""Levels of a record; more than twenty trainings, one after the other, fit."""

LARGEST = 2**63
"""Whole numbers of records are below it."""

MOST_CONTAINERS = 2**20
"""Lists and objects of a file; only version 1 has some for every image. Many more would take minutes to build."""

SEAL = "summary_sha256"

_LEAVES = frozenset({str, int, float, bool, type(None)})
"""What JSON has beside lists and objects; most parts of a summary are such, so that they are looked at first."""


def parse(content: bytes) -> Any:
    """Return what JSON says.

    Raises:
        ValueError: It is no JSON, a name stands twice in one object, a number is NaN or infinite, or it has far more
            lists or objects than a record has.
    """
    if content.count(b"[") + content.count(b"{") > MOST_CONTAINERS:
        raise ValueError("it has more lists than any record")
    try:
        return json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def problem_of(value: Any, depth: int = 0) -> str | None:
    """Say which text or number of a summary no record has, or return None where all are as they should be.

    Args:
        value: The summary, without outcomes, or a part of it.
        depth: The level at which the part stands.
    """
    if depth > DEEPEST:
        return f"nested more than {DEEPEST} levels deep"
    if isinstance(value, dict):
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return _problem_of_leaf(value)
    for name, item in items:
        problem = _problem_of_leaf(name)
        if problem is None:
            is_leaf = type(item) in _LEAVES and depth < DEEPEST
            problem = _problem_of_leaf(item) if is_leaf else problem_of(item, depth + 1)
        if problem is not None:
            return f"{printable(str(name), 100)}, {problem}"
    return None


def plain(value: Any) -> Any:
    """Return settings as a record keeps them: JSON's own types, finite numbers, texts that are one line."""
    if isinstance(value, Mapping):
        return {printable(str(name)): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bool | None):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    return printable(str(value), LONGEST_TEXT)


def summary_sha256(content: Mapping[str, Any]) -> str:
    """Return the hash of a summary: of all but its outcomes and the hash itself, whatever their order and layout."""
    covered = {name: value for name, value in content.items() if name not in ("outcomes", SEAL)}
    text = json.dumps(covered, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a summary under its own hash."""
    return {**content, SEAL: summary_sha256(content)}


def differences(before: Any, after: Any, where: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield where two values of JSON differ, in value or type: the place, and both; `after` may have more names.

    Args:
        before: The one.
        after: The other.
        where: The place of both, in names with dots between them.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            other = after.get(name)
            if type(value) is not type(other) or type(value) not in _LEAVES or value != other:
                yield from differences(value, other, f"{where}.{name}".lstrip("."))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (value, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(value, other, f"{where}.{place}")
    elif type(before) is not type(after) or before != after:
        yield where, _short(before), _short(after)


def _short(value: Any) -> str:
    return printable(json.dumps(value, ensure_ascii=False), 60)


def _problem_of_leaf(value: Any) -> str | None:
    if isinstance(value, str):
        return text_problem(value, LONGEST_TEXT)
    if isinstance(value, float) and not math.isfinite(value):
        return "expected a finite number"
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"expected a number up to {LARGEST}"
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name '{printable(name, 100)}' stands twice in one object")
        found[name] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
