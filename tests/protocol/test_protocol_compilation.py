"""A damaged cache of compiled code never stops a run: it is compiled again, and the cache replaced."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from wsolbench.protocol.compiler import compiled

SIGNATURE = "Tuple((float64[:, ::1], int32[:, ::1]))(uint8[:, ::1], int64[:, ::1])"
SOURCE = """
import numpy as np
def doubled(values, boxes):
    made = np.empty(values.shape, np.float64)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            made[row, column] = 2.0 * values[row, column] + boxes[0, 0]
    return made, made.astype(np.int32)
"""
DAMAGE = {
    "empty": lambda _: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "one byte": lambda content: content[:1],
    "other bytes": lambda content: bytes(255 - byte for byte in content),
    "text": lambda _: b"no cache at all\n" * 20,
    "older": lambda content: content.replace(b"0.", b"9.", 1),
}


@pytest.fixture
def function(tmp_path):
    path = tmp_path / "fresh.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("fresh", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.doubled


def result_of(compiled):
    return compiled(np.array([[1, 2]], np.uint8), np.array([[5]], np.int64))[0].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(spoil, id=name, marks=() if name in ("empty", "other bytes") else pytest.mark.slow)
        for name, spoil in DAMAGE.items()
    ],
)
def test_a_damaged_cache_is_replaced(function, damage, ending):
    first = compiled(SIGNATURE)(function)
    (damaged,) = Path(first.stats.cache_path).glob(f"fresh.doubled*.{ending}")
    damaged.write_bytes(damage(damaged.read_bytes()))
    assert result_of(compiled(SIGNATURE)(function)) == [[7.0, 9.0]]
    again = compiled(SIGNATURE)(function)
    assert result_of(again) == [[7.0, 9.0]]
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_cache_that_cannot_be_replaced_is_passed_over(function):
    first = compiled(SIGNATURE)(function)
    (damaged,) = Path(first.stats.cache_path).glob("fresh.doubled*.nbi")
    damaged.unlink()
    damaged.mkdir()
    assert result_of(compiled(SIGNATURE)(function)) == [[7.0, 9.0]]
