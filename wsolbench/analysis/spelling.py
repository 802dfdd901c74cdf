"""How a user spells what an analysis can be told, for messages: on the command line, or from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["COMMAND_LINE", "PYTHON", "Spelling"]


@dataclass(frozen=True)
class Spelling:
    """Names of settings and options as the user types them.

    Args:
        in_python: Whether the user calls `wsolbench.analyze`.
    """

    in_python: bool

    def setting(self, name: str, value: object = None) -> str:
        """Return a setting that all analyses have, as ``--images 4`` or ``images=4``; without a value its name."""
        if self.in_python:
            return name if value is None else f"{name}={_literal(value)}"
        return _on_the_command_line(name, value)

    def option(self, name: str, value: object = None) -> str:
        """Return an option of the analysis itself, as ``--size 64`` or ``options={"size": 64}``."""
        if self.in_python:
            return f'options["{name}"]' if value is None else f'options={{"{name}": {_literal(value)}}}'
        return _on_the_command_line(name, value)

    def options(self, name: str, values: Sequence[str]) -> str:
        """Return an option with several values, as ``--image a --image b`` or ``options={"image": ["a", "b"]}``."""
        if self.in_python:
            return f'options={{"{name}": [{", ".join(map(_literal, values))}]}}'
        return " ".join(_on_the_command_line(name, value) for value in values)

    def backbone(self, name: str) -> str:
        """Return a network by its name, as ``--backbone NAME`` or ``backbones="NAME"``."""
        return f'backbones="{name}"' if self.in_python else f"--backbone {name}"

    def records_of(self, network: str | None) -> str:
        """Return what to do where records are needed and none is given.

        Args:
            network: The name of a network that is to be localized with; None for any.
        """
        if self.in_python:
            return 'pass them: records=wsolbench.run(network, "cam")'
        return f"write one with wsolbench run --backbone {network or 'NAME'} --method cam, and name its file"


COMMAND_LINE = Spelling(in_python=False)
PYTHON = Spelling(in_python=True)


def _on_the_command_line(name: str, value: object) -> str:
    option = f"--{name.replace('_', '-')}"
    return option if value is None else f"{option} {value}"


def _literal(value: Any) -> str:
    """Return a value as Python writes it, texts in double quotes."""
    return f'"{value}"' if isinstance(value, str) else repr(value)
