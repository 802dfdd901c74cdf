"""Seconds and memory of the resamples that a record's intervals are made of, at the sizes of critters and ILSVRC.

    python benchmarks/bootstrap.py

The outcomes are those of a committed record, its images drawn with replacement.
"""

from __future__ import annotations

import resource
import time

import numpy as np
from interval_coverage import POPULATIONS, Population, runs_of

from wsolbench.protocol.uncertainty import RESAMPLES, ImageOutcomes, bootstrap


def main() -> None:
    """Print a line for each size."""
    population, random = Population.read(POPULATIONS[0]), np.random.default_rng(0)
    thresholds = runs_of(population.outcomes, ("single", 0.5)).num_thresholds
    for sizes in ((1000, 300), (50_000, 10_000)):
        test, fullsup = (population.draw(random, size) for size in sizes)
        hits = {k: random.random(sizes[0]) < 0.8 for k in (1, 5)}
        started = time.perf_counter()
        bootstrap(ImageOutcomes(test.num_images, test.correct, hits), fullsup)
        seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        told = f"{sizes[0]:,} + {sizes[1]:,} images, {thresholds:,} thresholds, {RESAMPLES:,} resamples"
        print(f"{told}: {seconds:.2f} s, the whole process {peak} MB")


if __name__ == "__main__":
    main()
