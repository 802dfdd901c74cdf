"""Seconds of processor that a leaderboard takes: `check` of the committed one, and a build of generated records.

    python benchmarks/leaderboard.py [REVISION]

With a revision, `check` runs by turns with the code of a checkout of it and with this one, on the board of that
revision. Every run is a process of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORDS, TURNS = 2000, 2

CHECK = """
import resource, sys, time
from pathlib import Path
from wsolbench.leaderboard.build import check
started = time.perf_counter()
differences = check(Path(sys.argv[1]))
used = resource.getrusage(resource.RUSAGE_SELF)
print(f"{used.ru_utime + used.ru_stime:.1f} {time.perf_counter() - started:.1f} {len(differences)}")
"""
TEXTS = """
import resource, sys, time
from pathlib import Path
from wsolbench.leaderboard.build import _parts, _tables, _texts
from wsolbench.progress import Reporter
started, folder = time.perf_counter(), Path(sys.argv[1])
tables, refused = _tables(folder, Reporter())
texts = _texts(_parts(tables, folder), tables)
used = resource.getrusage(resource.RUSAGE_SELF)
details = sum(len(text) for name, text in texts.items() if name.startswith("details/"))
page = len(texts["index.html"])
print(f"{used.ru_utime + used.ru_stime:.1f} {time.perf_counter() - started:.1f} {page / 1e6:.2f} {details / 1e6:.1f}")
"""
BUILD = """
import resource, sys, time
from pathlib import Path
from wsolbench.leaderboard import build
started = time.perf_counter()
build(Path(sys.argv[1]))
used = resource.getrusage(resource.RUSAGE_SELF)
print(f"{used.ru_utime + used.ru_stime:.1f} {time.perf_counter() - started:.1f}")
"""


def run(code: str, folder: Path, root: Path = ROOT) -> list[float]:
    """Return the numbers that a program prints, run with the code below a folder."""
    paths = os.pathsep.join([str(root), str(root / "plugins"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=folder)
    return [float(number) for number in done.stdout.split()]


def compare(revision: str, scratch: Path) -> None:
    """Print the time of `check` with the code of a revision and with this one."""
    old = scratch / "old"
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(old), revision], cwd=ROOT, check=True)
    try:
        for turn in range(TURNS):
            before, now = run(CHECK, old / "leaderboard", old), run(CHECK, old / "leaderboard")
            ratio = before[0] / now[0]
            told = f"{before[0]:.1f} s ({before[1]:.0f} s passed), now {now[0]:.1f} s ({now[1]:.0f} s passed)"
            print(f"check, turn {turn + 1}: {told}: {ratio:.1f} times as fast", flush=True)
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(old)], cwd=ROOT, check=True)


def generated(scratch: Path) -> None:
    """Print how long a build of generated records takes."""
    folder = scratch / "board"
    script = str(ROOT / "tests" / "generated_board.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    subprocess.run([sys.executable, script, str(folder), str(RECORDS)], check=True, env=environment)
    cpu, passed, page, details = run(TEXTS, folder)
    print(f"{RECORDS:,} records, texts and page: {cpu:.1f} s ({passed:.0f} s passed)")
    print(f"page {page:.2f} MB, details {details:.1f} MB", flush=True)
    cpu, passed = run(BUILD, folder)
    print(f"{RECORDS:,} records, with figures: {cpu:.1f} s ({passed:.0f} s passed)")


def main() -> None:
    """Print all of it."""
    print(f"processor seconds; load {os.getloadavg()[0]:.1f}", flush=True)
    scratch = Path(tempfile.mkdtemp())
    try:
        generated(scratch)
        if len(sys.argv) > 1:
            compare(sys.argv[1], scratch)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
