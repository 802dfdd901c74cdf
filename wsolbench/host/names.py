"""The form of the names that users type."""

from __future__ import annotations

import re

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.+-]*")
NAME_CHARACTERS = "lowercase letters, digits, '_', '.', '+' and '-'"
