"""Damaged forms of a valid file, drawn by hypothesis: cut, flipped, spliced bytes, and changed values of JSON."""

import contextlib
import copy
import io
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from wsolbench.errors import WsolbenchError

FEW, MANY = 20, 1200
"""Examples of one parser in the default tests, and in the slow ones."""

both_sizes = pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])

TOKENS = [
    *(
        b"",
        b"\n",
        b"\r\n",
        b"\0",
        b",",
        b";",
        b"\t",
        b'"',
        b"'",
        b"<",
        b"&",
        b"]]>",
        b"-",
        b".",
        b"/",
        b"\\",
        b"..",
        b"~",
    ),
    *(b"0", b"-1", b"1", b"256", b"65536", b"2147483648", b"9223372036854775808", b"1e400", b"1e-400", b"nan", b"inf"),
    *(b"NaN", b"Infinity", b"null", b"true", b"[]", b"{}", b"[" * 300, b"{" * 300, b"../../escaped", b"/tmp/escaped"),
    *(b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc0\xaf", "é".encode(), b"e\xcc\x81", "\u202e".encode(), b"\x1b[31m"),
    *(b"<!DOCTYPE a [<!ENTITY b 'c'>]>&b;", b"9" * 5000, b" " * 100),
]
VALUES = [
    *(None, True, False, 0, 1, -1, 0.5, -0.5, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "0", "a"),
    *("../../escaped", "/tmp/escaped", "a\nb", "a\0b", "\u202e", "x" * 5000, [], {}, [[]], [None], {"": None}, ["a"]),
]


def photo(width, height, kind="JPEG"):
    """Return the bytes of an image file of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind)
    return stream.getvalue()


@st.composite
def damaged(draw, content):
    """Draw bytes made of valid ones by one to four edits."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(["insert", "replace", "flip", "cut", "repeat", "remove"]))
        length = draw(st.sampled_from([1, 2, 4, 8, 64, 1000]))
        piece = content[start : start + length]
        if kind == "flip" and piece:
            piece = bytes([piece[0] ^ (1 << draw(st.integers(0, 7)))]) + piece[1:]
        elif kind in ("insert", "replace"):
            piece = draw(st.sampled_from(TOKENS)) + (piece if kind == "insert" else b"")
        elif kind == "repeat":
            piece *= draw(st.integers(2, 5))
        elif kind == "remove":
            piece = b""
        content = content[:start] + piece + (b"" if kind == "cut" else content[start + length :])
    return content


def places(value, path=()):
    """Yield the path of every value in a JSON value."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(entries)[:200]:
        yield from places(inner, (*path, key))


@st.composite
def changed(draw, value):
    """Draw a JSON value made of a valid one: one to three values replaced, removed, added or repeated."""
    value = {"root": copy.deepcopy(value)}
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in places(value) if path]))
        *outer, last = path
        holder = value
        for key in outer:
            holder = holder[key]
        kind = draw(st.sampled_from(["replace", "remove", "add", "repeat", "swap"]))
        if kind == "remove" and path != ("root",):
            del holder[last]
        elif kind == "repeat" and isinstance(holder, list):
            holder.insert(last, copy.deepcopy(holder[last]))
        elif kind == "add" and isinstance(holder[last], dict):
            holder[last][draw(st.sampled_from(["", "x", "a/b", "\n"]))] = draw(st.sampled_from(VALUES))
        elif kind == "add" and isinstance(holder[last], list):
            holder[last].append(copy.deepcopy(draw(st.sampled_from(VALUES))))
        elif kind == "swap" and isinstance(holder[last], str | int | float):
            holder[last] = draw(st.one_of(st.integers(), st.floats(), st.text(max_size=20)))
        else:
            holder[last] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    return value["root"]


def as_json(strategy):
    """Draw the bytes of JSON values."""
    return strategy.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def refused_in_one_line(act, *arguments):
    """Carry out what may read a damaged file: it succeeds, or is refused by one of our errors, whose text can be shown.

    Returns:
        What it returned, or None.
    """
    try:
        return act(*arguments)
    except WsolbenchError as error:
        text = str(error)
        assert text.strip()
        assert all(line.startswith("  ") for line in text.split("\n")[1:]), text
        return None


@contextlib.contextmanager
def own_folder():
    """Yield an empty folder; afterwards nothing may lie beside it, or where the hostile paths lead."""
    outer = Path(tempfile.mkdtemp(prefix="wsolbench-fuzz-"))
    inner = outer / "a" / "b" / "c"
    inner.mkdir(parents=True)
    try:
        yield inner
        found = [Path(folder, name) for folder, _, names in os.walk(outer) for name in names]
        strangers = [path for path in found if not path.is_relative_to(inner)]
        assert not strangers
        assert not Path("/tmp/escaped").exists()
    finally:
        shutil.rmtree(outer)


def fuzz(strategy, check, examples):
    """Check so many drawn inputs, each within ten seconds; the same ones in every run."""
    options = settings(
        max_examples=examples,
        deadline=10_000,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    @options
    @given(strategy)
    def drawn(content):
        check(content)

    drawn()
