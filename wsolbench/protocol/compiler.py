"""Compiles a function with numba, or loads what an earlier process has compiled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba import njit

__all__ = ["compiled"]


def compiled(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function and everything it calls, or loads what an earlier process compiled.

    Numba trusts the files of its cache: if one is damaged, cut off or of another version, it raises whatever reading
    raises. Their index is then written anew, and the function compiled again. If that fails, or numba finds no folder
    that it can write to, every process compiles for itself.
    """

    def compile_one(function: Callable[..., Any]) -> Any:
        compile_cached = njit(signature, nogil=True, cache=True)
        with suppress(Exception):
            return compile_cached(function)
        with suppress(Exception):
            uncompiled: Any = njit(nogil=True, cache=True)(function)
            uncompiled._cache.flush()
            return compile_cached(function)
        return njit(signature, nogil=True)(function)

    return compile_one
