"""The benchmark for machines with a GPU, end to end on the processor."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def measured(*options):
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--tiny", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_benchmark_of_gpus_measures_runs_and_steps():
    lines = measured()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| re")]
    runs, steps = [row for row in rows if len(row) == 9], [row for row in rows if len(row) == 4]
    assert [row[:3] for row in runs] == [
        [network, precision, "4"] for network in ("replknet_nano", "resnet_nano") for precision in ("fp32", "bf16")
    ]
    for row in runs:
        forward, whole, *beside = (float(cell.replace(",", "")) for cell in (*row[3:5], *row[6:]))
        assert min(forward, whole, *beside) > 0
        assert float(row[5].removesuffix(" %")) == pytest.approx(100 * whole / forward, abs=2)  # of rounded rates
    assert len(steps) == 2
    assert not any("left out" in line for line in lines)


def test_what_does_not_fit_into_the_minutes_is_said():
    left_out = [
        line for line in measured("--minutes", "0") if line.startswith("left out, as the 0 minutes were over: ")
    ]
    assert len(left_out) == 8
    assert left_out[0].endswith(": steps of resnet_nano")
