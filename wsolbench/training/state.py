"""The state file from which an interrupted training continues: written atomically, only tensors and plain values."""

from __future__ import annotations

import io
import json
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from wsolbench.config import TrainConfig
from wsolbench.errors import OutputError, UsageError
from wsolbench.files import atomic_write
from wsolbench.networks.tensors import with_tensors
from wsolbench.networks.weights_file import read_weights_file
from wsolbench.records.identity import difference

FORMAT = 1
SECONDS_BETWEEN_SAVES = 300.0
"""Time between two saves within an epoch; every end of an epoch is saved anyway."""


def state_path_of(folder: Path) -> Path:
    """Return the path of a training's state file, which lies beside the folder for its results."""
    place = folder.resolve()
    return place.with_name(f"{place.name}.state")


@dataclass
class TrainingState:
    """The progress of a training with one or more seeds.

    Args:
        results: The results of the finished seeds.
        kept: Weights and log of the first seed, once it is finished.
        current: The state of the seed in training.
        digests: (N, 16) uint8, hashes of the images.
        seconds: Wall-clock time so far.
        epochs: Of the weights that were kept after an epoch of the first seed: the epoch, the hash of the file, the
            wall-clock time and speed until then, and results.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, Any] | None = None
    current: dict[str, Any] | None = None
    digests: torch.Tensor | None = None
    seconds: float = 0.0
    epochs: list[dict[str, Any]] = field(default_factory=list)


class StateFile:
    """The state file of one training.

    Args:
        path: The file.
        identity: Name -> value of everything that must not change between the parts of the training.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self._identity = json.loads(json.dumps(identity, default=str))  # the form that comes back from the file
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether `SECONDS_BETWEEN_SAVES` have passed since the last save."""
        return time.monotonic() - self._saved >= SECONDS_BETWEEN_SAVES

    def write(self, state: TrainingState) -> None:
        """Replace the file by a new state.

        Raises:
            OutputError: The file cannot be written.
        """
        content = io.BytesIO()
        torch.save({"format": FORMAT, "identity": json.dumps(self._identity), **vars(state)}, content)
        try:
            atomic_write(self.path, content.getvalue())
        except OSError as error:
            raise OutputError(f"the training's state {self.path} cannot be written ({error.strerror})") from error
        self._saved = time.monotonic()

    def read(self) -> TrainingState:
        """Read the state.

        Raises:
            UsageError: The file is damaged, or belongs to another training.
        """
        try:
            content: Any = with_tensors(read_weights_file(self.path))
            known = content.pop("format") == FORMAT
            identity = json.loads(content.pop("identity"))
            state = TrainingState(**content)
        except Exception as error:  # a damaged file can raise any exception in torch
            raise UsageError(f"--resume: {self.path} is not a training state; delete it to start again") from error
        if not known:
            raise UsageError(f"--resume: {self.path} was written by another version; delete it to start again")
        refuse_changes(f"{self.path} belongs to a training", "the file", asked=self._identity, before=identity)
        return state


def refuse_changes(what: str, to_delete: str, *, asked: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Refuse to continue something that was asked for otherwise.

    Args:
        what: What is there, as ``out.state belongs to a training``.
        to_delete: What is deleted to start again.
        asked: Name -> value of what is asked for now; a name may be an option.
        before: The same of what was asked for before.

    Raises:
        UsageError: They differ; the message names the first difference and what to type.
    """
    for name, now, then in difference(asked, before):
        option = _option_of(name)
        if option is None or (name in _NAMED and _name_in(now) == _name_in(then)):  # it is another provider's
            had, has = f"with {name} {then}" if then is not None else f"without {name}", now
            same = "use the same"
        else:
            typed, has = _typed(option, then), _typed(option, now)
            had = f"with {typed}" if typed else f"without {option}"
            same = f"type {typed}" if typed else f"omit {option}"
        raise UsageError(
            f"--resume: {what} {had}, and this one has {'none' if has in (None, '') else has}; {same}, or delete "
            f"{to_delete} to start again"
        )


_NAMED = ("backbone", "recipe")
"""Facts that are a name and, behind "of", its provider."""
_OPTIONS = {
    "options of the backbone": "--backbone-opt",
    "state dict of the initial weights": "--weights-key",
    "seeds": "--seed",
    "watched splits": "--watch",
}
"""Facts that are options under other names than the settings of a training."""


def _option_of(name: str) -> str | None:
    """Return the option that sets a fact, such as ``--recipe-opt epochs=``; None where none does."""
    of_its_own = re.fullmatch("the (recipe|system)'s (.*)", name)
    if of_its_own:
        return f"--{of_its_own[1]}-opt {of_its_own[2]}="
    if name in TrainConfig.model_fields and name not in _OPTIONS:
        return f"--{name.removesuffix('ions').replace('_', '-')}"  # --recipe-opt sets recipe_options
    return _OPTIONS.get(name, name if name.startswith("--") else None)


def _typed(option: str, value: Any) -> str:
    """Return an option and its value as they are typed; empty where there is nothing to type."""
    if option.endswith("="):
        return f"{option}{_text(value)}"
    if isinstance(value, dict):
        return " ".join(f"{option} {name}={_text(each)}" for name, each in value.items())
    if option in ("--seed", "--watch"):
        several = value if isinstance(value, list) else str(value).split(", ")
        return " ".join(f"{option} {each}" for each in several if each != "none")
    if option in ("--backbone", "--recipe"):
        value = _name_in(value)
    return "" if value is None else f"{option} {_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return shlex.quote("none" if value is None else str(value).lower() if isinstance(value, bool) else str(value))


def _name_in(fact: Any) -> str:
    return str(fact).partition(" of ")[0]
