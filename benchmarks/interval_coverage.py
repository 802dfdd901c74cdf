"""How often bootstrap intervals contain the truth, in trials drawn from a population whose truth is known.

    python benchmarks/interval_coverage.py

The population is the images of a committed record, test and train-fullsup together: at which τ each is correct is
known. A trial draws a test set from it, and a train-fullsup of 0.3 times its size, with replacement; it asks for its
scores and for their intervals. Prints two tables in Markdown: over all populations and metrics, and each.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from wsolbench.protocol import IOU_THRESHOLDS, Mode
from wsolbench.protocol.uncertainty import CorrectRuns, ImageOutcomes, IntervalKind, bootstrap, interval, score
from wsolbench.records import SplitOutcomes, read_record

Curve: TypeAlias = tuple[Mode, float]

RECORDS = Path(__file__).parents[1] / "leaderboard" / "records" / "critters"
POPULATIONS = ("replknet_nano__pc1__shipped", "resnet_nano__cam__shipped")
TEST_SIZES = (200, 500, 1000)
FULLSUP_SHARE = 0.3  # as in critters
CURVES: tuple[Curve, ...] = (("single", 0.5), *(("multi", iou) for iou in IOU_THRESHOLDS))
KINDS: tuple[IntervalKind, ...] = get_args(IntervalKind)
SELECTIONS = {"fixed": "fixed τ", "fullsup": "fullsup τ", "max": "oracle τ"}
METRICS = {"box_acc": "MaxBoxAcc", "box_acc_v2": "MaxBoxAccV2"}
NAMES = [f"{selection}_{metric}" for metric in METRICS for selection in SELECTIONS]


@dataclass(frozen=True)
class Population:
    """Images that trials are drawn from."""

    whole: SplitOutcomes

    @classmethod
    def read(cls, name: str) -> Population:
        """Read a record's test and train-fullsup as one population."""
        parts = read_record(RECORDS / f"{name}.json").outcomes
        correct: dict[Mode, dict[float, CorrectRuns]] = {"single": {}, "multi": {}}
        for mode, iou in CURVES:
            correct[mode][iou] = concatenate([runs_of(part.images, (mode, iou)) for part in parts])
        ids = tuple(image_id for part in parts for image_id in part.image_ids)
        return cls(replace(parts[0], image_ids=ids, correct=correct, hits={}, statistics={}))

    @property
    def outcomes(self) -> ImageOutcomes:
        """What happened to every image."""
        return self.whole.images

    @property
    def size(self) -> int:
        """The number of images."""
        return len(self.whole.image_ids)

    def draw(self, random: np.random.Generator, count: int) -> ImageOutcomes:
        """Draw images with replacement."""
        return self.whole.select(random.integers(self.size, size=count)).images

    def best(self) -> dict[Curve, int]:
        """Return the place of the best τ of every curve."""
        once = np.ones((1, self.size))
        return {curve: int(runs_of(self.outcomes, curve).box_acc(once).argmax()) for curve in CURVES}


def concatenate(parts: Sequence[CorrectRuns]) -> CorrectRuns:
    """Return the runs of the images of several splits, one after the other."""
    first = np.cumsum([0, *(part.num_images for part in parts)])
    image = np.concatenate([part.image + start for part, start in zip(parts, first[:-1], strict=True)])
    start, stop = (np.concatenate([getattr(part, name) for part in parts]) for name in ("start", "stop"))
    return CorrectRuns(image, start, stop, int(first[-1]), parts[0].num_thresholds)


def runs_of(outcomes: ImageOutcomes, curve: Curve) -> CorrectRuns:
    """Return the runs of a mode and δ."""
    assert outcomes.correct is not None
    return outcomes.correct[curve[0]][curve[1]]


def at_fixed(outcomes: ImageOutcomes, places: dict[Curve, int]) -> ImageOutcomes:
    """Return the outcomes on a grid of one τ a curve: nothing is left to choose."""
    correct: dict[Mode, dict[float, CorrectRuns]] = {"single": {}, "multi": {}}
    for mode, iou in CURVES:
        hits = runs_of(outcomes, (mode, iou)).at(places[mode, iou])
        correct[mode][iou] = CorrectRuns.from_flat([[0, 1] if hit else [] for hit in hits], 1)
    return ImageOutcomes(outcomes.num_images, correct, {})


def find_truths(population: Population, fullsup_size: int, random: np.random.Generator) -> dict[str, float]:
    """Return for every score the value that its interval should contain.

    For the fixed and the oracle τ it is the population's score at the population's best τ. For the fullsup τ it is the
    population's score at the τ that a train-fullsup of this size chooses, averaged over 20,000 draws of one: what the
    reported number estimates without bias.
    """
    known = score(population.outcomes)
    truths = {f"{prefix}_{metric}": known[f"max_{metric}"] for prefix in ("fixed", "max") for metric in METRICS}
    chosen: dict[Curve, list[NDArray[np.float64]]] = defaultdict(list)
    for _ in range(100):
        drawn = random.multinomial(fullsup_size, np.full(population.size, 1 / population.size), 200).astype(np.float64)
        for curve in CURVES:
            runs = runs_of(population.outcomes, curve)
            box_acc = runs.box_acc(np.ones((1, population.size)))[0]
            chosen[curve].append(box_acc[runs.box_acc(drawn).argmax(axis=1)])
    truths["fullsup_box_acc"] = float(np.mean(chosen["single", 0.5]))
    truths["fullsup_box_acc_v2"] = float(np.mean([np.mean(chosen["multi", iou]) for iou in IOU_THRESHOLDS]))
    return truths


def run_trial(
    population: Population, size: int, seed: int
) -> Iterator[tuple[str, float, dict[IntervalKind, tuple[float, float]]]]:
    """Yield every score of a trial with its intervals."""
    random = np.random.default_rng([size, seed])
    test, fullsup = population.draw(random, size), population.draw(random, round(size * FULLSUP_SHARE))
    fixed = at_fixed(test, population.best())
    scores, resampled = score(test, fullsup), bootstrap(test, fullsup, seed=seed)
    fixed_scores, fixed_resampled = score(fixed), bootstrap(fixed, seed=seed)
    for metric in METRICS:
        scores[f"fixed_{metric}"] = fixed_scores[f"max_{metric}"]
        resampled[f"fixed_{metric}"] = fixed_resampled[f"max_{metric}"]
    for name in NAMES:
        yield name, scores[name], {kind: interval(scores[name], resampled[name], kind) for kind in KINDS}


@dataclass(frozen=True)
class Row:
    """What the trials of one size from one population say of one score."""

    population: str
    size: int
    name: str
    truth: float
    bias: float
    covered: tuple[float, ...]

    @property
    def selection(self) -> str:
        """How τ was chosen."""
        return SELECTIONS[self.name.partition("_")[0]]

    def cells(self) -> list[str]:
        """Return the row of the table."""
        metric = METRICS[self.name.partition("_")[2]]
        numbers = [f"{self.truth:.2f}", f"{self.bias:+.2f}", *(f"{share:.1f}" for share in self.covered)]
        return [self.population, metric, self.selection, str(self.size), *numbers]


def measure(name: str, size: int, trials: int) -> Iterator[Row]:
    """Yield a row for every score."""
    population = Population.read(name)
    truths = find_truths(population, round(size * FULLSUP_SHARE), np.random.default_rng(size))
    scores: dict[str, list[float]] = defaultdict(list)
    covered: dict[str, list[list[bool]]] = defaultdict(list)
    for seed in range(trials):
        for score_name, value, intervals in run_trial(population, size, seed):
            truth = truths[score_name]
            scores[score_name].append(value)
            # Ends included: scores are fractions of whole numbers, and rounding must not decide.
            covered[score_name].append([low - 1e-9 <= truth <= high + 1e-9 for low, high in intervals.values()])
    for score_name in NAMES:
        bias = float(np.mean(scores[score_name])) - truths[score_name]
        shares = tuple(float(share) for share in 100 * np.mean(covered[score_name], axis=0))
        yield Row(name, size, score_name, truths[score_name], bias, shares)


def summary(rows: list[Row]) -> list[list[str]]:
    """Return for every selection and size the mean coverage, and the lowest and highest in brackets."""
    lines = []
    for selection in SELECTIONS.values():
        for size in TEST_SIZES:
            of_both = [row for row in rows if (row.selection, row.size) == (selection, size)]
            covered = np.array([row.covered for row in of_both]).T
            bias = np.mean([row.bias for row in of_both])
            shares = [f"{kind.mean():.1f} ({kind.min():.1f}–{kind.max():.1f})" for kind in covered]
            lines.append([selection, str(size), str(round(size * FULLSUP_SHARE)), f"{bias:+.2f}", *shares])
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    rows = [row for name in POPULATIONS for size in TEST_SIZES for row in measure(name, size, trials)]
    headings = ["τ", "test images", "train-fullsup images", "bias", *KINDS]
    print(tabulate(summary(rows), headings, tablefmt="pipe", disable_numparse=True), end="\n\n")
    headings = ["population", "metric", "τ", "test images", "truth", "bias", *KINDS]
    print(tabulate([row.cells() for row in rows], headings, tablefmt="pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
