"""The file that a training cut short is continued from; it is whole or not there, and tensors and numbers alone."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from wsolbench.errors import OutputError, UsageError
from wsolbench.files import atomic_write
from wsolbench.records.identity import difference

FORMAT = 1
SECONDS_BETWEEN_SAVES = 300.0
"""Within an epoch; the end of every epoch is saved in any case."""


def state_path_of(folder: Path) -> Path:
    """Return where the state of a training lies whose results go to a folder: beside it."""
    place = folder.resolve()
    return place.with_name(f"{place.name}.state")


@dataclass
class TrainingState:
    """How far a training of one or more seeds is.

    Args:
        results: What the finished seeds came to.
        kept: Weights and log of the first seed, once it is finished.
        current: The state of the seed that is being trained.
        digests: Of the images, uint8 (N, 16).
        seconds: How long it has taken.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, Any] | None = None
    current: dict[str, Any] | None = None
    digests: torch.Tensor | None = None
    seconds: float = 0.0


class StateFile:
    """Where the state of a training lies.

    Args:
        path: The file.
        identity: What must be the same for the rest of the training to be the rest of this one.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self._identity = json.loads(json.dumps(identity, default=str))  # what it will be after it was written
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last save was long ago."""
        return time.monotonic() - self._saved >= SECONDS_BETWEEN_SAVES

    def write(self, state: TrainingState) -> None:
        """Write the state in place of the one before.

        Raises:
            OutputError: It cannot be written.
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
            UsageError: It is damaged, or of another training.
        """
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            known = content.pop("format") == FORMAT
            identity = json.loads(content.pop("identity"))
            state = TrainingState(**content)
        except Exception as error:  # torch reads damaged files with whatever goes wrong in them
            raise UsageError(f"--resume: {self.path} holds no training; delete it to start anew") from error
        if not known:
            raise UsageError(f"--resume: {self.path} was written by another version; delete it to start anew")
        self._compare(identity)
        return state

    def _compare(self, identity: Mapping[str, Any]) -> None:
        for name, now, then in difference(self._identity, identity):
            raise UsageError(
                f"--resume: {self.path} is of a training with {name} {then}, and this one has {now}; "
                "make it the same, or delete the file to start anew"
            )
