"""What can go wrong, and whose doing it is.

    WsolbenchError            anything a user can mend; printed as one line, exit code 2
    ├── UsageError            the command asks for something that cannot be: an unknown name, a contradiction
    │   └── UnknownNameError  no plugin offers that name, or more than one does
    ├── PluginError           a plugin broke: at import, in a hook, or when it was put to work
    ├── DataError             a data set on disk is missing, damaged or contradicts itself
    │   └── MissingFileError  a file that a data set lists is not there
    ├── WeightsError          a checkpoint is missing, damaged or belongs to another network
    ├── ScoremapError         a scoremap is missing, damaged or out of range
    └── OutputError           the place for the results cannot be written

A message is one sentence that says what was wrong, where, and what to type instead. Further lines, where there
are any, are indented by two spaces.
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
    """Base of every error that a user can mend."""


class UsageError(WsolbenchError):
    """The request itself cannot be carried out."""


class UnknownNameError(UsageError):
    """A name that no plugin offers, or that several do."""


class PluginError(WsolbenchError):
    """A plugin failed to load or broke its contract while it worked."""


class DataError(WsolbenchError):
    """A data set is missing, damaged or contradicts itself."""


class MissingFileError(DataError):
    """A file that a data set lists is not there."""


class WeightsError(WsolbenchError):
    """A checkpoint is missing, damaged or belongs to another network."""


class ScoremapError(WsolbenchError):
    """A scoremap is missing, damaged, or not what the protocol scores."""


class OutputError(WsolbenchError):
    """Results cannot be written where they were asked for."""
