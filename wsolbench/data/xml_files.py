"""XML files of annotations, read without carrying out what they declare."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from wsolbench.data.lines import read_file
from wsolbench.errors import DataError

__all__ = ["read_xml"]

_LARGEST = 2**23
"""Bytes: many times what the boxes of one image take, and little enough for a tree in memory."""


def read_xml(path: Path) -> ElementTree.Element:
    """Return the root of an XML file, its tags without namespaces.

    The encoding is the declared one, else UTF-8 or, with a byte order mark, UTF-16.

    Raises:
        MissingFileError: There is no such file.
        DataError: It cannot be read, is larger than 8 MiB, is damaged, or declares a document type: entities can expand
            without end, and no annotations need them.
    """
    content = read_file(path, _LARGEST)
    if b"<!DOCTYPE" in content.replace(b"\0", b"").upper():
        raise DataError(f"{path} has a document type declaration, which is not read; remove it")
    try:
        top = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        reason: object = error
        if b"encoding" not in content[:100] and not _is_utf8(content):
            reason = "its text is not UTF-8 and declares no other encoding; save it as UTF-8"
        raise DataError(f"{path} is damaged: {reason}") from error
    for element in top.iter():
        element.tag = element.tag.rpartition("}")[2]
    return top


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
