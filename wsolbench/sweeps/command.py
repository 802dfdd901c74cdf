"""A run as the command that carries it out, complete and quoted for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from wsolbench.config import RunConfig

__all__ = ["run_arguments", "run_command"]

_ALWAYS: Final = ("batch_size", "workers", "seed")
"""Settings that a settings file may set: the command names them, so that they are those of the run."""
_FLAGS: Final = {"compile": "--compile", "strict": "--strict"}
_DENIED: Final = {"gallery": "--no-gallery", "cache": "--no-cache"}


def run_command(config: RunConfig, plugins: Sequence[str] = (), *, always: Collection[str] = _ALWAYS) -> str:
    """Return the command line of a run, quoted for a shell.

    Args:
        config: The run.
        plugins: The files of its plugins.
        always: Settings that it names even where they have their usual values.
    """
    options = [part for path in plugins for part in ("--plugin", path)]
    return shlex.join(["wsolbench", "run", *run_arguments(config, always=always), *options])


def run_arguments(config: RunConfig, *, always: Collection[str] = _ALWAYS) -> list[str]:
    """Return the arguments of ``wsolbench run`` that stand for a run; options are texts, or written as such."""
    arguments = ["--backbone", config.backbone]
    for method, options in config.methods.items():
        arguments += ["--method", method]
        arguments += [part for pair in options.items() for part in ("--method-opt", f"{method}.{pair[0]}={pair[1]}")]
    return [*arguments, *_settings(config, always)]


def _settings(config: RunConfig, always: Collection[str]) -> Iterator[str]:
    usual = type(config).model_fields
    for name in usual:
        value = getattr(config, name)
        is_usual = not usual[name].is_required() and value == usual[name].get_default()
        if name in ("backbone", "methods") or (is_usual and name not in always):
            continue
        yield from _option(name, value)


def _option(name: str, value: Any) -> Iterator[str]:
    if name in _FLAGS or name in _DENIED:
        yield _FLAGS.get(name) or _DENIED[name]
    elif name == "backbone_options":
        for option, text in value.items():
            yield from ("--backbone-opt", f"{option}={text}")
    elif name == "tau":
        for each in value:
            yield from ("--tau", str(each))
    else:
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield from (f"--{name.replace('_', '-')}", text)
