"""Claims of *CAM Back Again* (Yasuki & Taki, CVPR 2024), tried on the records of a leaderboard.

A claim says of pairs of records that the second localizes better than the first. The pairs of a table have the same
images, so that differences have paired intervals. Nothing here knows what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, product
from statistics import fmean
from typing import Literal, TypeAlias

import numpy as np
from tabulate import tabulate

from wsolbench.escaping import markdown_text
from wsolbench.leaderboard.entries import Entry, Table
from wsolbench.protocol.uncertainty import interval
from wsolbench.records.compare import Difference, Scores, scores_of
from wsolbench.records.identity import identity_of

__all__ = ["CLAIMS", "Claim", "Result", "claims_as_markdown", "mean_difference", "try_claims", "verdict_of"]

FULLSUP, ORACLE = "fullsup_box_acc_v2", "max_box_acc_v2"
"""The score that is compared, and the one that takes its place where a record has no train-fullsup."""

LARGE = 9
"""The side of a large kernel: no kernel of a classic network's first convolution has it."""
_SAME = ("precision", "preprocessing", "tap", "class rows")
"""What two networks have in common that differ in nothing but their kernel, beside their training."""

Pair: TypeAlias = tuple[Entry, Entry]
Verdict: TypeAlias = Literal["holds", "open", "fails"]
VERDICTS: tuple[Verdict, ...] = ("holds", "open", "fails")


@dataclass(frozen=True)
class Claim:
    """What is claimed, and the pairs of a table's entries that try it: the second is claimed to be the better one.

    Attributes:
        text: The claim.
        pairs: The entries that have scores -> the pairs.
        why_not: All entries of networks that no pair is of -> why there is none, where a reader would miss it.
    """

    text: str
    pairs: Callable[[Sequence[Entry]], list[Pair]]
    why_not: Callable[[Sequence[Entry]], str | None] = lambda _: None


@dataclass(frozen=True)
class Result:
    """A claim on the networks of one kind in one table.

    Attributes:
        claim: The claim.
        table: The table.
        pretrained: Whether the networks are pretrained, or trained with wsolbench from random weights.
        metric: What is compared.
        pairs: The pairs, and the difference of each.
        mean: The mean of the differences.
    """

    claim: Claim
    table: Table
    pretrained: bool
    metric: str
    pairs: tuple[tuple[Pair, Difference], ...]
    mean: Difference

    def count(self, verdict: Verdict) -> int:
        """Return on how many pairs the verdict falls so."""
        return sum(verdict_of(difference) == verdict for _, difference in self.pairs)


def try_claims(tables: Sequence[Table]) -> list[Result]:
    """Return every claim on the networks of every table that has pairs for it, claim by claim.

    Raises:
        DataError: The outcomes of a record contradict themselves.
    """
    known: dict[str, Scores] = {}
    return [
        _result(claim, table, pretrained, pairs, known)
        for claim, table, pretrained in product(CLAIMS, tables, (True, False))
        if (pairs := claim.pairs(list(filter(_is_scored, _of_kind(table, pretrained=pretrained)))))
    ]


def verdict_of(difference: Difference) -> Verdict:
    """Return whether the interval of a difference is above 0, below it, or has it inside."""
    assert difference.low is not None
    assert difference.high is not None
    return "holds" if difference.low > 0 else "fails" if difference.high < 0 else "open"


def _of_kind(table: Table, *, pretrained: bool) -> list[Entry]:
    """Return the entries of trained networks of a kind, with the options of methods at their defaults."""
    return [
        entry
        for entry in sorted(table.entries, key=lambda entry: entry.name)
        if entry.is_trained and entry.is_pretrained == pretrained and not entry.record.method.changed_options
    ]


def _has_maps(entry: Entry) -> bool:
    """Return whether any map holds scores; records of earlier versions have metrics of maps that hold none."""
    evaluated = entry.record.splits[0]
    return entry.record.undefined is None and evaluated.constant_maps < evaluated.images


def _is_scored(entry: Entry) -> bool:
    return _has_maps(entry) and entry.record.metrics.max_box_acc_v2 is not None


def _result(claim: Claim, table: Table, pretrained: bool, pairs: Sequence[Pair], known: dict[str, Scores]) -> Result:
    for entry in chain.from_iterable(pairs):
        if entry.name not in known:
            known[entry.name] = scores_of(entry.record, ())
    both = [(known[first.name], known[second.name]) for first, second in pairs]
    metric = FULLSUP if all(FULLSUP in each for pair in both for each in pair) else ORACLE
    differences = [mean_difference([pair], metric) for pair in both]
    return Result(
        claim, table, pretrained, metric, tuple(zip(pairs, differences, strict=True)), mean_difference(both, metric)
    )


def mean_difference(pairs: Sequence[tuple[Scores, Scores]], metric: str) -> Difference:
    """Return the means of a metric over the first and over the second scores of pairs, all of them on the same images.

    The interval is one over images: networks and methods are taken as they are.
    """
    first, second = (fmean(pair[side][metric][0] for pair in pairs) for side in (0, 1))
    gaps = [other[metric][1] - one[metric][1] for one, other in pairs]
    return Difference(first, second, *interval(second - first, np.mean(gaps, axis=0)))


# ---------------------------------------------------------------------------------------------------------------- pairs


def _of_methods(text: str, worse: str, better: str) -> Claim:
    """Return a claim about two methods on the same network with the same weights."""

    def pairs(entries: Sequence[Entry]) -> list[Pair]:
        first, second = (
            {identity_of(entry.record).network: entry for entry in entries if entry.record.method.name == name}
            for name in (worse, better)
        )
        return [(first[network], second[network]) for network in first if network in second]

    def why_not(entries: Sequence[Entry]) -> str | None:
        for entry in entries:
            if entry.record.method.name in (worse, better) and not _has_maps(entry):
                return f"{entry.record.method.name} is {entry.record.undefined or 'the same everywhere'}"
        return None

    return Claim(text, pairs, why_not)


def _only_the_kernel(entries: Sequence[Entry]) -> list[Pair]:
    """Pair trainings of one network that differ in one option, which sets the kernel: the smallest, and each larger."""
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in _of_kernel_methods(entries):
        if entry.network is not None and entry.training is not None:
            alike = tuple(fact for fact in identity_of(entry.record).network if fact[0] in _SAME)
            groups.setdefault((entry.network.name, alike, *_trained(entry), entry.record.method.name), []).append(entry)
    return [
        (smallest, entry)
        for group in groups.values()
        for smallest in [min(group, key=_kernel)]
        for entry in sorted(group, key=_kernel)
        if _kernel(entry) > _kernel(smallest) and _differs_in_one_option(smallest, entry)
    ]


def _largest_and_smallest(entries: Sequence[Entry]) -> list[Pair]:
    """Pair the networks with the smallest kernel and those with the largest, trained alike, where that is large."""
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in _of_kernel_methods(entries):
        groups.setdefault((*_trained(entry), entry.record.method.name), []).append(entry)
    return [
        (smaller, larger)
        for group in groups.values()
        for low, high in [(min(map(_kernel, group)), max(map(_kernel, group)))]
        if low < high >= LARGE
        for smaller, larger in product(group, group)
        if (_kernel(smaller), _kernel(larger)) == (low, high) and _name(smaller) != _name(larger)
    ]


def _none_is_large(entries: Sequence[Entry]) -> str | None:
    largest = max(map(_kernel, entries), default=LARGE)
    return f"the largest kernel is {largest}×{largest}" if largest < LARGE else None


def _of_kernel_methods(entries: Iterable[Entry]) -> Iterable[Entry]:
    """Return the entries of CAM and PC1, by which kernels are compared."""
    return (entry for entry in entries if entry.record.method.name in ("cam", "pc1"))


def _trained(entry: Entry) -> tuple[object, ...]:
    """Return how a network was trained, with its seed; of weights without a card nothing is known."""
    training = entry.training
    return (None,) if training is None else (training.without_seed().model_dump_json(), training.seed)


def _kernel(entry: Entry) -> int:
    return entry.network.largest_kernel if entry.network else 0


def _name(entry: Entry) -> str:
    return entry.network.name if entry.network else ""


def _differs_in_one_option(one: Entry, other: Entry) -> bool:
    ours, theirs = (entry.network.options if entry.network else {} for entry in (one, other))
    return len([name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]) == 1


CLAIMS = (
    _of_methods("PC1 localizes better than CAM", "cam", "pc1"),
    _of_methods("Positive weights localize better than negative ones", "cam-neg", "cam-pos"),
    Claim("A larger kernel localizes better; all else is equal", _only_the_kernel),
    Claim(
        "The largest kernels localize better than the smallest; more than the kernel differs",
        _largest_and_smallest,
        _none_is_large,
    ),
)

# ----------------------------------------------------------------------------------------------------------------- page


def claims_as_markdown(tables: Sequence[Table]) -> str | None:
    """Return the section of the page: a row for every claim, table and kind of network, and one for every pair.

    There is none where no two records try a claim.

    Raises:
        DataError: The outcomes of a record contradict themselves.
    """
    results = try_claims(tables)
    if not results:
        return None
    parts = ["## What the board says\n", _EXPLAINED, ""]
    for claim in CLAIMS:
        found = [result for result in results if result.claim is claim]
        parts.append(f"### {claim.text}\n")
        parts.append(f"{_summary(found)}\n" if found else "No two records of this page try it.\n")
        parts += [f"{_details(found)}\n"] if found else []
        parts += [f"{line}\n" for line in _not_tried(claim, tables, found)]
    return "\n".join(parts)


def _summary(results: Sequence[Result]) -> str:
    headings = ["Data set", "Networks", "Pairs", "Mean difference [95 %]", "Verdict", *VERDICTS]
    rows = [
        [
            markdown_text(_images(result.table)),
            _kind(result.pretrained),
            str(len(result.pairs)),
            _shown(result.mean, result.metric),
            f"**{verdict_of(result.mean)}**",
            *(str(result.count(verdict)) for verdict in VERDICTS),
        ]
        for result in results
    ]
    return _table(headings, rows, ["left", "left", "right", "right", "left", "right", "right", "right"])


def _not_tried(claim: Claim, tables: Sequence[Table], results: Sequence[Result]) -> list[str]:
    """Return a line for the networks of each table on which the claim cannot be tried, with the reason."""
    tried = [(result.table, result.pretrained) for result in results]
    return [
        markdown_text(f"{_images(table)}, {_kind(pretrained)}: not tried; {why}.")
        for table, pretrained in product(tables, (True, False))
        if (table, pretrained) not in tried and (why := claim.why_not(_of_kind(table, pretrained=pretrained)))
    ]


def _kind(pretrained: bool) -> str:
    return "pretrained" if pretrained else "trained with wsolbench"


def _details(results: Sequence[Result]) -> str:
    headings = ["Data set", "First", "Second", "First V2", "Second V2", "Difference [95 %]", "Verdict"]
    rows = [
        [
            *map(markdown_text, (_images(result.table), _label(first), _label(second))),
            f"{difference.first:.1f}",
            f"{difference.second:.1f}",
            _shown(difference, result.metric),
            verdict_of(difference),
        ]
        for result in results
        for (first, second), difference in result.pairs
    ]
    table = _table(headings, rows, ["left", "left", "left", "right", "right", "right", "left"])
    return f"<details><summary>Every pair</summary>\n\n{table}\n\n</details>"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str]) -> str:
    return tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=align)


def _images(table: Table) -> str:
    record = table.entries[0].record
    return f"{record.dataset.name}, {record.dataset.split_sizes[record.protocol.split]:,} images"


def _label(entry: Entry) -> str:
    seed = "" if entry.training is None else f", {entry.recipes}, seed {entry.seed}"
    return f"{entry.backbone}, kernel {_kernel(entry)}{seed}: {entry.method}"


def _shown(difference: Difference, metric: str) -> str:
    shown = f"{difference.difference:+.1f} [{difference.low:+.1f}, {difference.high:+.1f}]".replace("-", "−")
    return shown if metric == FULLSUP else f"{shown} (oracle)"


_EXPLAINED = """Claims of *CAM Back Again* (Yasuki & Taki, CVPR 2024), tried on all records of this page, whichever way
they fall.

- A difference is V2 @fullsup of the second record less that of the first, in percentage points. Its 95 % interval is
  from resamples of the same images for both.
- A claim *holds* if the interval is above 0, *fails* if it is below 0, and is *open* if it contains 0. The three last
  columns count the pairs.
- The mean is one over the pairs of a row, with the interval of images: it says nothing about other networks.
- Networks are *pretrained* if their weights, or those that their training went on from, come from elsewhere: a
  download, or a file without a card of `wsolbench train`.
- Pairs of methods have the same network and weights, and options at their defaults. Pairs of kernels are compared by
  CAM and by PC1, after the same training with the same seed.
- Methods without a map, such as `cam-neg` where features are never negative, make no pair. Random weights make none
  either."""
