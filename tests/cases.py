"""Many inputs of one rule in one test, which checks all of them and names each that breaks the rule."""

import inspect
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import pytest


def each(names: str | tuple[str, ...], inputs: Collection[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on every input, as ``pytest.mark.parametrize`` does, but as one case.

    Every input has a `tmp_path` of its own; all other fixtures are shared.

    Args:
        names: The argument that takes an input, or the arguments that take its parts.
        inputs: The inputs, or a mapping whose keys they are.

    Raises:
        BaseExceptionGroup: Inputs break the rule. It names all of them and holds their errors.
    """
    arguments = (names,) if isinstance(names, str) else names

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def on_every_input(**fixtures: Any) -> None:
            offenders, errors = [], []
            for number, value in enumerate(inputs):
                parts = (value,) if isinstance(names, str) else value
                own = {"tmp_path": _subfolder(fixtures["tmp_path"], number)} if "tmp_path" in fixtures else {}
                try:
                    test(**fixtures | own, **dict(zip(arguments, parts, strict=True)))
                except (Exception, pytest.fail.Exception) as error:
                    offenders.append(f"{value!r:.100}")
                    errors.append(error)
            if errors:
                message = f"{len(errors)} of {len(inputs)} inputs break the rule: {', '.join(offenders)}"
                raise BaseExceptionGroup(message, errors)

        signature = inspect.signature(test)
        fixtures = [parameter for name, parameter in signature.parameters.items() if name not in arguments]
        on_every_input.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return on_every_input

    return decorate


def _subfolder(folder: Path, number: int) -> Path:
    """Make a folder for one input."""
    made = folder / f"input{number}"
    made.mkdir()
    return made


def replacing(command: Sequence[object], options: Sequence[object], *but: str) -> list[object]:
    """Return a command with options in place of those of the same names, each of which has one value.

    Args:
        command: The command.
        options: The options.
        but: Names of those that are added instead.
    """
    names = {each for each in options if isinstance(each, str) and each.startswith("--")} - {*but}
    places = [place for place, each in enumerate(command) if each in names]
    kept = [each for place, each in enumerate(command) if not {place, place - 1} & {*places}]
    return [*kept, *options]
