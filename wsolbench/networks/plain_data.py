"""The plain data of a weights file, and of the descriptions beside it: texts, numbers, and mappings of them.

Training files keep their settings in many forms: options of a command line, nested configurations, the text of a
configuration file, arrays of numpy. All of them become paths and values here; `claims` knows what they mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from wsolbench.files import read_regular
from wsolbench.networks.entry_names import normalises_input
from wsolbench.networks.pickles import Foreign
from wsolbench.networks.stored import StoredTensor
from wsolbench.networks.tensors import tensor_of
from wsolbench.networks.weights_file import LeftOut, WeightsFile

__all__ = ["Statement", "beside_weights", "find_statements", "folded_name", "numbers_of", "stated_by_entries"]

DESCRIPTIONS = ("config.json", "preprocessor_config.json")
"""Files beside weights in which model hubs describe a network and its input."""
_BESIDE = re.compile(r"(^|[^a-z])(optim|sched|scaler|rng|callback|loss|criterion|amp$|history|metric|result|score|log)")
"""In keys of mappings that hold numbers of the training, not settings of its network."""
_CONTENT = ("_content", "_val", "_fields", "_cfg_dict")
"""Where objects of settings, such as those of omegaconf and ml_collections, hold them."""
_DEEPEST = 8
_MOST_ITEMS = 20_000
_MOST_NUMBERS = 16
_MOST_SETTINGS = 500
_LONGEST, _MOST_TEXT = 200, 2**18
_MOST_BYTES = 2**20
_SETTING = re.compile(
    r"""(?<![\w.])['"]?([A-Za-z_]\w{0,60})['"]?[ ]?[=:(][ ]?"""
    r"""(\[[^\[\]]{0,200}\]|\([^()]{0,200}\)|'[^'\n]{0,100}'|"[^"\n]{0,100}"|[-+.\w]{1,40}(?![ ]?[=(\w]))"""
)
"""One setting in a text of settings, in Python, JSON or YAML: a name and a short value."""


@dataclass(frozen=True)
class Statement:
    """One value that a weights file, or a description beside it, states.

    Args:
        source: What states it, for messages.
        path: The names under which it stands, the outermost first.
        value: A plain value; the numbers of small tensors and arrays are lists.
    """

    source: str
    path: tuple[str, ...]
    value: Any

    @property
    def name(self) -> str:
        """The innermost name."""
        return self.path[-1]


def find_statements(file: WeightsFile) -> list[Statement]:
    """Return all plain values that a weights file and the descriptions beside it state, within bounds."""
    found = [Statement("the weights file", path, value) for path, value in _walk(file, [file.metadata, file.content])]
    for name, content in beside_weights(file.path).items():
        found += [Statement(f"{name} beside the weights file", path, value) for path, value in _walk(file, [content])]
    return found


def stated_by_entries(entries: Mapping[str, Tensor]) -> list[Statement]:
    """Return what small entries of a state dict state, such as the mean by which a network normalises its input."""
    return [Statement("the weights file", _path_of_entry(name), value.tolist()) for name, value in entries.items()]


def _path_of_entry(name: str) -> tuple[str, ...]:
    """Return the names under which an entry stands; one such as ``rgb_input_mean`` is a mean."""
    *above, last = _parts(name)
    kind = re.search("(mean|std)$", last.lower()) if normalises_input(name) else None
    return (*above, kind[1] if kind else last)


def beside_weights(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the descriptions beside a weights file: name -> content; what is no such description is left out."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in DESCRIPTIONS:
        try:
            content = json.loads(read_regular(path.with_name(name), _MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            found[name] = content
    return found


def folded_name(name: str) -> str:
    """Return a name without letter case and signs: ``img_size`` and ``imgSize`` are one."""
    return re.sub("[^a-z0-9]", "", name.lower())


def numbers_of(value: object) -> list[float] | None:
    """Return the numbers that a value is, holds or spells (``'224x224'``); None for anything else."""
    if isinstance(value, str):
        if len(value) > _LONGEST:
            return None
        parts = [part for part in re.split(r"[\s,;x×*()\[\]]+", value) if part]
        try:
            value = [float(part) for part in parts[: _MOST_NUMBERS + 1]]
        except ValueError:
            return None
    if isinstance(value, Mapping):  # as image processors write sizes
        value = [value[side] for side in ("height", "width") if side in value]
    flat = list(islice(_flat(value, 4), _MOST_NUMBERS + 1))
    sound = all(type(each) in (int, float) and abs(each) < 2**53 for each in flat)
    return [float(each) for each in flat] if sound and 0 < len(flat) <= _MOST_NUMBERS else None


def _flat(value: Any, deepest: int) -> Iterator[Any]:
    if deepest and isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each, deepest - 1)
    else:
        yield value


def _walk(file: WeightsFile, roots: list[object]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the plain values below some values, with their paths: breadth first, each mapping once."""
    queue: list[tuple[tuple[str, ...], object]] = [((), root) for root in roots]
    seen: set[int] = set()
    known: dict[int, object] = {}  # one part of a file can be referred to from many places
    text_left = _MOST_TEXT
    for count, (path, raw) in enumerate(queue):  # which grows
        if count > _MOST_ITEMS:
            return
        if id(raw) not in known:
            known[id(raw)] = _plain(file, raw)
        value = known[id(raw)]
        if path:
            yield path, value
        if isinstance(value, dict | list) and len(path) < _DEEPEST and id(raw) not in seen:
            seen.add(id(raw))
            queue += _below(path, value, _MOST_ITEMS - len(queue))
        elif isinstance(value, str) and _is_text_of_settings(value) and len(path) < _DEEPEST:
            queue += [((*path, *inner), item) for inner, item in _settings(value[:text_left])]
            text_left -= min(len(value), text_left)


def _below(path: tuple[str, ...], value: Mapping[Any, Any] | list[Any], most: int) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(value, list):  # of steps that prepare images, for example
        return [(path, item) for item in value[:_MOST_NUMBERS] if isinstance(item, dict | LeftOut)]
    items: list[tuple[Any, Any]] = list(value.items())[: max(most, 0)]
    if len(items) > _MOST_SETTINGS and not any(isinstance(item, dict | LeftOut) for _, item in items):
        return []  # a table, such as one of classes
    if sum(isinstance(item, StoredTensor) for _, item in items) > _MOST_NUMBERS:  # a state dict
        items = [(name, item) for name, item in items if not isinstance(item, StoredTensor)]
    named = [(name, item) for name, item in items if isinstance(name, str) and not _BESIDE.search(name.lower())]
    return [((*path, *_parts(name)), item) for name, item in named]


def _parts(name: str) -> list[str]:
    """Return the names that a flattened name joins, as in ``model.img_size``."""
    return [part for part in re.split(r"[./]", name[:200]) if part][-_DEEPEST:] or [name[:200]]


def _is_text_of_settings(text: str) -> bool:
    return len(text) > 60 or text[:20].lstrip()[:1] in ("{", "[")


def _settings(text: str) -> list[tuple[tuple[str, ...], Any]]:
    """Return the settings in a text: JSON, or lines of Python or YAML; nothing in it is evaluated."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return [((), json.loads(text))]
        except (ValueError, RecursionError):
            pass
    return [((name,), value.strip("'\"")) for name, value in _SETTING.findall(text)]


def _plain(file: WeightsFile, value: object) -> object:
    """Return a value without the forms that files wrap it in."""
    value = _unwrapped(value)
    if isinstance(value, list | tuple):
        return [_unwrapped(each) for each in value] if any(isinstance(each, Foreign) for each in value) else list(value)
    if isinstance(value, StoredTensor):
        short = len(value.shape) < 5 and max(value.shape, default=0) <= _MOST_NUMBERS
        small = short and value.count <= _MOST_NUMBERS and not value.dtype.startswith("complex")
        return tensor_of(file, value).tolist() if small else None
    if isinstance(value, dict) and 0 < len(value) <= _MOST_ITEMS and all(map(_is_scalar, value.values())):
        return {name: tensor_of(file, item).item() for name, item in value.items()}  # a number of each class
    return value


def _unwrapped(value: object) -> object:
    """Return what an object that is left out holds: its numbers, or its state; of a node of settings, its content."""
    for _ in range(_DEEPEST):
        if not isinstance(value, LeftOut):
            break
        held = value.values
        content = [name for name in _CONTENT if name in held] if isinstance(value, Foreign) else []
        value = held[content[0]] if content and isinstance(held, Mapping) else held
    return value


def _is_scalar(value: object) -> bool:
    return isinstance(value, StoredTensor) and value.count == 1 and not value.dtype.startswith("complex")
