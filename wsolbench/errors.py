"""Errors that a user can fix, as a tree.

    WsolbenchError            base of all; printed as one line, exit code 2
    ├── UsageError            the command cannot be carried out: an unknown name, a contradiction
    │   └── UnknownNameError  no plugin offers the name, or several do
    ├── PluginError           a plugin failed at import, in a hook, or in use
    ├── DataError             a data set on disk is missing, damaged or contradicts itself
    │   └── MissingFileError  a file that a data set lists does not exist
    ├── WeightsError          a checkpoint is missing, damaged or belongs to another network
    ├── ScoremapError         a scoremap is missing, damaged or out of range
    ├── OutputError           the results cannot be written
    └── EndedTogetherError    another process of the same run tells why both ended

A message is one sentence: what was wrong, where, and what to type instead. Further lines are indented by two spaces.
"""

from __future__ import annotations

__all__ = [
    "DataError",
    "MissingFileError",
    "OutputError",
    "PluginError",
    "ScoremapError",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "WsolbenchError",
]


class WsolbenchError(Exception):
    """Base of every error that a user can fix."""


class UsageError(WsolbenchError):
    """The command cannot be carried out as it was given."""


class UnknownNameError(UsageError):
    """No plugin offers the name, or several do."""


class PluginError(WsolbenchError):
    """A plugin failed to load, failed in use, or broke its contract."""


class DataError(WsolbenchError):
    """A data set is missing, damaged or contradicts itself."""


class MissingFileError(DataError):
    """A file that a data set lists does not exist."""


class WeightsError(WsolbenchError):
    """A checkpoint is missing, damaged or belongs to another network."""


class ScoremapError(WsolbenchError):
    """A scoremap is missing, damaged or out of range."""


class OutputError(WsolbenchError):
    """The results cannot be written."""


class EndedTogetherError(WsolbenchError):
    """Another process of the same run has failed, and says why; this one ends without a word."""
