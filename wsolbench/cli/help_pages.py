"""The help of commands: options in sections, those of every command, and an example, all as plain text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter
    from typer._click.core import Command as AnyCommand
    from typer.core import TyperGroup

__all__ = ["write_commands", "write_example", "write_options"]

SECTIONS = {
    "Data": (
        *("dataset", "data_root", "metadata_root", "masks", "train_root", "boxes", "first_pixel", "unannotated"),
        *("class_map", "split", "limit"),
    ),
    "Network": (
        *("backbone_opt", "weights", "weights_key", "tap", "input_size", "preprocessing", "mean", "std"),
        *("interpolation", "precision", "compile"),
    ),
    "Scores": ("target", "threshold_step", "frame", "iou", "tau", "tau_from", "classifier", "all_metrics"),
    "Machine": ("device", "devices", "batch_size", "workers", "seed"),
    "Output": ("save_scoremaps", "gallery", "cache", "json", "out"),
}
"""Section -> options that stand in it wherever a command has options of several sections."""

FEW = 8
"""Fewer options need no sections."""

EVERYWHERE = (
    ("--plugin FILE.py", "Load a plugin that is not installed; repeatable. WSOLBENCH_PLUGINS names such files too."),
    ("-q, --quiet", "Show no progress and no notes; warnings and errors remain."),
    ("-v, --verbose", "Also say how long every phase took."),
    ("--strict", "A plugin that fails to load, or a map of NaN or of one value, is an error, not a warning."),
    ("--debug", "Show the traceback of an error."),
    ("-h, --help", "Show this message and exit."),
)
"""The options that are accepted at any position of every command."""


def write_options(command: AnyCommand, ctx: Context, formatter: HelpFormatter) -> None:
    """Write arguments and options, in sections where there are many."""
    arguments: list[tuple[str, str]] = []
    own: dict[str, list[tuple[str, str]]] = {"Options": [], **{section: [] for section in SECTIONS}}
    for part in command.get_params(ctx):
        record = part.get_help_record(ctx)
        if record is None or part.name == "help":
            continue
        if part.param_type_name == "argument":
            arguments.append(record)
        else:
            own[_section_of(part.name or "")].append(record)
    if sum(map(len, own.values())) < FEW:
        own = {"Options": [each for section in own.values() for each in section]}
    for section, records in {"Arguments": arguments, **own, "Every command": list(EVERYWHERE)}.items():
        _write(section, records, formatter)


def write_commands(group: TyperGroup, ctx: Context, formatter: HelpFormatter) -> None:
    """Write the subcommands of a group, each with the first sentence of its help."""
    names = group.list_commands(ctx)
    found = [(name, group.get_command(ctx, name)) for name in names]
    shown = [(name, each) for name, each in found if each is not None and not each.hidden]
    _write("Commands", [(name, each.get_short_help_str(1000)) for name, each in shown], formatter)


def write_example(text: str | None, formatter: HelpFormatter) -> None:
    """Write an example, a line a command, however long it is."""
    if text:
        with formatter.section("Example"):
            for line in text.splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


def _section_of(name: str) -> str:
    return next((section for section, names in SECTIONS.items() if name in names), "Options")


def _write(section: str, records: Iterable[tuple[str, str]], formatter: HelpFormatter) -> None:
    records = list(records)
    if records:
        with formatter.section(section):
            formatter.write_dl(records)
