"""The folder of a run that holds its records already."""

from __future__ import annotations

from contextlib import suppress

from wsolbench.config import RunConfig
from wsolbench.errors import WsolbenchError
from wsolbench.files import check_writable
from wsolbench.records import ResultRecord
from wsolbench.records.store import read_summary

__all__ = ["check_output", "read_earlier"]


def read_earlier(config: RunConfig) -> list[ResultRecord]:
    """Return the summaries of the records in the folder of a run, if they are of the very settings; else none."""
    if config.out is None:
        return []
    asked, found = config.model_dump(mode="json"), []
    for path in sorted(config.out.glob("record-*.json")):
        with suppress(WsolbenchError):
            found.append(read_summary(path))
    is_whole = len(found) == len(config.methods) and all(record.config == asked for record in found)
    return found if is_whole else []


def check_output(config: RunConfig) -> None:
    """Check that the folder of a run can be written, or holds the records of an earlier one with the very settings.

    Raises:
        OutputError: Neither is so.
    """
    if config.out is not None and not read_earlier(config):
        check_writable(config.out, "--out")
