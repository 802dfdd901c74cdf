"""wsolbench: the benchmark harness for weakly supervised object localization.

The functions below are loaded when they are first asked for: ``import wsolbench`` imports neither torch nor numba.
"""

from __future__ import annotations

TYPE_CHECKING = False  # instead of typing's: the command line heeds Ctrl-C only when its first imports are done
if TYPE_CHECKING:
    from typing import Any

    from wsolbench.functions import analyze, compare, evaluate, load_record, rescore, run, score, sweep, train

__version__ = "0.2.0"
__all__ = ["__version__", "analyze", "compare", "evaluate", "load_record", "rescore", "run", "score", "sweep", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from wsolbench import functions

        return getattr(functions, name)
    raise AttributeError(f"module 'wsolbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
