"""What code of plugins has to leave as it is in the process: seeds, threads, settings; and that it prints nothing."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch

from wsolbench.host.output import noting_stdout
from wsolbench.host.settings import Snapshot

__all__ = ["expect_process_kept"]


def expect_process_kept(act: Callable[[], object]) -> None:
    """Require that code leaves the process as it is.

    The code runs twice, with other seeds: random generators that are then in the same state were seeded by it. Draws
    are allowed, as a run puts the generators back.

    Args:
        act: Runs the code.
    """
    before, printed = Snapshot.take(draws=True), list[str]()
    try:
        with noting_stdout(printed):
            changed, first = _settings_changed(act, 1)
            _, second = _settings_changed(act, 2)
    finally:
        before.restore()
    seeded = [name for name, state in first.items() if state == second.get(name)]
    text = "".join(printed).strip()
    faults = [f"another value of {each}" for each in changed]
    faults += [f"a seed for {name}" for name in seeded]
    faults += [f"'{text.splitlines()[0]}' on stdout, which is for results"] if text else []
    assert not faults, f"the process: expected to be left as it is, got {', '.join(faults)}"


def _settings_changed(act: Callable[[], object], seed: int) -> tuple[list[str], dict[str, object]]:
    """Run code with seeds; return the settings that it changes, and the states of the random generators after it."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    start = Snapshot.take(draws=False)
    act()
    draws = Snapshot.take(draws=True).draws()
    return start.watched_changes() + start.restore(), draws
