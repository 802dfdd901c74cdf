"""Seconds that a leaderboard takes: a build of generated records, its page in Chromium, `check` of the committed one.

    python benchmarks/leaderboard.py [REVISION]

With a revision, the texts of generated records and `check` run by turns with the code of a checkout of it and with this
one; `check` is of the board of that revision. Every run is a process of its own. Seconds of processor are those of all
processes that take part; where each has a processor of its own, as much time passes as the first one takes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from revisions import ROOT, checkout, python_path

RECORDS, TURNS = 2000, 2

CHECK = """
import resource, sys, time
from pathlib import Path
from wsolbench.leaderboard.build import check
started = time.perf_counter()
differences = check(Path(sys.argv[1]))
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
seconds = [each.ru_utime + each.ru_stime for each in used]
print(f"{sum(seconds):.1f} {seconds[0]:.1f} {time.perf_counter() - started:.1f} {len(differences)}")
"""
TEXTS = """
import resource, sys, time
from pathlib import Path
from wsolbench.leaderboard.build import _parts, _tables, _texts
from wsolbench.progress import Reporter
started, folder = time.perf_counter(), Path(sys.argv[1])
tables, refused = _tables(folder, Reporter())
texts = _texts(_parts(tables, folder), tables)
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
seconds = [each.ru_utime + each.ru_stime for each in used]
details = sum(len(text) for name, text in texts.items() if name.startswith("details/"))
page = len(texts["index.html"])
print(f"{sum(seconds):.1f} {seconds[0]:.1f} {time.perf_counter() - started:.1f} {page / 1e6:.2f} {details / 1e6:.1f}")
"""
BUILD = """
import resource, sys, time
from pathlib import Path
from wsolbench.leaderboard import build
started = time.perf_counter()
build(Path(sys.argv[1]))
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
seconds = [each.ru_utime + each.ru_stime for each in used]
print(f"{sum(seconds):.1f} {seconds[0]:.1f} {time.perf_counter() - started:.1f}")
"""


FIRST_TABLE = """
const look = () => {
  const row = document.querySelector("table.networks tbody tr");
  const next = row && row.getBoundingClientRect().height ? () => { window.shown = performance.now(); } : look;
  requestAnimationFrame(next);
};
requestAnimationFrame(look);
"""
"""Notes when a frame with rows of the first data set was drawn; the summary stands above them."""


def run(code: str, folder: Path, root: Path = ROOT) -> list[float]:
    """Return the numbers that a program prints, run with the code below a folder."""
    paths = os.pathsep.join([python_path(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder)
    return [float(number) for number in done.stdout.split()]


def compare(revision: str, board: Path, scratch: Path) -> None:
    """Print the time of texts of generated records, and of `check`, with the code of a revision and with this one."""
    with checkout(revision, scratch / "old") as old:
        for name, code, folder in (("texts and page", TEXTS, board), ("check", CHECK, old / "leaderboard")):
            for turn in range(TURNS):
                before, now = run(code, folder, old), run(code, folder)
                print(f"{name}, turn {turn + 1}: {_told(before)}; now {_told(now)}", flush=True)


def _told(seconds: list[float]) -> str:
    whole, own, passed, *_ = seconds
    return f"{whole:.1f} s, {own:.1f} s of them in the first process ({passed:.1f} s passed)"


def generated(folder: Path) -> None:
    """Print how long a build of generated records takes."""
    script = str(ROOT / "tests" / "generated_board.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    subprocess.run([sys.executable, script, str(folder), str(RECORDS)], check=True, env=environment)
    *seconds, page, details = run(TEXTS, folder)
    print(f"{RECORDS:,} records, texts and page: {_told(seconds)}")
    print(f"page {page:.2f} MB, details {details:.1f} MB", flush=True)
    print(f"{RECORDS:,} records, with figures: {_told(run(BUILD, folder))}", flush=True)


def shown(page: Path) -> None:
    """Print when Chromium shows the first table of a page, and when its scripts have run."""
    program = shutil.which("chromium")
    if program is None:
        print("no Chromium, so the page is not measured")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        times = []
        for _ in range(TURNS + 1):  # the first one loads Chromium too
            tab = browser.new_page(viewport={"width": 1280, "height": 800})
            tab.add_init_script(FIRST_TABLE)
            tab.goto(page.as_uri(), wait_until="load")
            tab.wait_for_function("window.shown")
            ready = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
            times.append(tab.evaluate(f"[window.shown, {ready}]"))
            tab.close()
        browser.close()
    for drawn, ready in times[1:]:
        print(f"first table shown after {drawn / 1000:.2f} s, scripts done after {ready / 1000:.2f} s", flush=True)


def main() -> None:
    """Print all of it."""
    print(f"processor seconds; load {os.getloadavg()[0]:.1f}", flush=True)
    scratch = Path(tempfile.mkdtemp())
    try:
        generated(scratch / "board")
        shown(scratch / "board" / "index.html")
        if len(sys.argv) > 1:
            compare(sys.argv[1], scratch / "board", scratch)
    finally:
        shutil.rmtree(scratch)
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
