"""The form of names: those that users type, and those of files."""

from __future__ import annotations

import re

__all__ = ["NAME_CHARACTERS", "NAME_PATTERN", "SOURCE"]

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.+-]*")
NAME_CHARACTERS = "lowercase letters, digits, '_', '.', '+' and '-'"
SOURCE = "source-"
"""How the version of a function given from Python or of a plugin in a file begins; a hash of the source follows."""
