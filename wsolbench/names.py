"""Names that people type: how they are written, and what becomes of them in the names of files."""

from __future__ import annotations

import re

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.+-]*")
NAME_CHARACTERS = "lowercase letters, digits, '_', '.', '+' and '-'"


def file_name(text: str) -> str:
    """Return a text as a part of a file name that every file system takes: ``timm:resnet18`` as ``timm-resnet18``."""
    return re.sub(r"[^A-Za-z0-9_.+=-]", "-", text)
