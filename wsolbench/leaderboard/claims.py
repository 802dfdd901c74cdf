"""Claims of *CAM Back Again* (Yasuki & Taki, CVPR 2024), tried on the records of a leaderboard.

A claim says of pairs of records that the second localizes better than the first. The pairs of a table have the same
images, so that differences have paired intervals. Nothing here knows what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, product
from operator import attrgetter
from typing import Literal, TypeAlias

from tabulate import tabulate

from wsolbench.escaping import markdown_text
from wsolbench.leaderboard.entries import RANKED, Entry, Table, whole_of
from wsolbench.records.compare import Difference, Scores, difference_of, mean_scores
from wsolbench.texts import counted

__all__ = [
    "CLAIMS",
    "Claim",
    "Pair",
    "Result",
    "Trial",
    "claims_as_markdown",
    "means_of",
    "shared_metric",
    "shown_difference",
    "try_claims",
    "verdict_of",
]

LARGE = 9
"""The side of a large kernel: no kernel in a stage of a classic network has it."""
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
        source: Where the paper makes it, and with which figures.
        pairs: The entries that have scores -> the pairs.
        why_not: All entries of networks that no pair is of -> why there is none, where a reader would miss it.
        needs_large: Whether the paper claims it for networks with large kernels, whatever kernels the pairs have.
    """

    text: str
    source: str
    pairs: Callable[[Sequence[Entry]], list[Pair]]
    why_not: Callable[[Sequence[Entry]], str | None] = lambda _: None
    needs_large: bool = False


@dataclass(frozen=True)
class Trial:
    """A claim on one network, or on one network beside another: a difference of means over its trainings.

    Attributes:
        pairs: A pair for every training that was measured: the seeds, and the stages of a training.
        difference: Between the means of the pairs.
    """

    pairs: tuple[Pair, ...]
    difference: Difference

    @property
    def networks(self) -> Pair:
        """An entry of either side."""
        return self.pairs[0]


@dataclass(frozen=True)
class Result:
    """A claim on the networks of one kind in one table.

    Attributes:
        claim: The claim.
        table: The table.
        pretrained: Whether the networks are pretrained, or trained with wsolbench from random weights.
        metric: What is compared.
        trials: One a network.
        mean: The difference of the means over networks, each of which counts the same.
    """

    claim: Claim
    table: Table
    pretrained: bool
    metric: str
    trials: tuple[Trial, ...]
    mean: Difference

    @property
    def compared(self) -> str:
        """The methods, or the one method of both networks."""
        first, second = (entry.record.method.name for entry in self.trials[0].networks)
        return first if first == second else f"{second} − {first}"

    def count(self, verdict: Verdict) -> int:
        """Return on how many networks the verdict falls so."""
        return sum(verdict_of(trial.difference) == verdict for trial in self.trials)

    @property
    def verdict(self) -> Verdict | Literal["mixed"]:
        """The verdict of the mean, where more than half of the networks have it and none has the opposite one.

        Where all networks have one verdict, it is that; otherwise they are mixed, and a mean would hide it.
        """
        found = {verdict: self.count(verdict) for verdict in VERDICTS}
        if len(self.trials) in found.values():
            return next(verdict for verdict in VERDICTS if found[verdict])
        mean = verdict_of(self.mean)
        disagree = found["holds"] > 0 and found["fails"] > 0
        return "mixed" if disagree or 2 * found[mean] <= len(self.trials) else mean


def try_claims(tables: Sequence[Table]) -> list[Result]:
    """Return every claim on the networks of every table that has pairs for it, claim by claim.

    Raises:
        DataError: The outcomes of a record contradict themselves.
    """
    return [
        _result(claim, table, pretrained, pairs)
        for claim, table, pretrained in product(CLAIMS, tables, (True, False))
        for pairs in _by_methods(claim.pairs(list(filter(_is_scored, _of_kind(table, pretrained=pretrained)))))
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


def _is_scored(entry: Entry) -> bool:
    return entry.has_maps and entry.record.metrics.max_box_acc_v2 is not None


def _by_methods(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """Divide pairs by their methods: two networks under two methods are no two pairs of networks."""
    return _grouped(pairs, lambda entry: entry.record.method.name)


def _by_networks(pairs: Iterable[Pair]) -> list[list[Pair]]:
    return _grouped(pairs, _network_of)


def _grouped(pairs: Iterable[Pair], key: Callable[[Entry], Hashable]) -> list[list[Pair]]:
    groups: dict[Hashable, list[Pair]] = {}
    for first, second in pairs:
        groups.setdefault((key(first), key(second)), []).append((first, second))
    return list(groups.values())


def _network_of(entry: Entry) -> Hashable:
    """Return what is one network: the seeds and stages of one training are, other weights without a card are not."""
    if entry.training is None:
        key = entry.network.weights.key if entry.network else None
        return entry.backbone, entry.weights_sha256, key
    return entry.backbone, entry.history[0].without_seed().model_dump_json()


def _result(claim: Claim, table: Table, pretrained: bool, pairs: Sequence[Pair]) -> Result:
    metric = shared_metric(pairs)
    groups = _by_networks(pairs)
    means = [means_of(each, metric) for each in groups]
    trials = [
        Trial(tuple(each), difference_of(first, second, metric))
        for each, (first, second) in zip(groups, means, strict=True)
    ]
    first, second = (mean_scores(side) for side in zip(*means, strict=True))
    return Result(claim, table, pretrained, metric, tuple(trials), difference_of(first, second, metric))


def shared_metric(pairs: Iterable[Pair]) -> str:
    """Return the first metric that rows are ranked by which all entries of pairs have."""
    entries = list(chain.from_iterable(pairs))
    return next(name for name in RANKED if all(name in entry.resampled for entry in entries))


def means_of(pairs: Iterable[Pair], metric: str) -> list[Scores]:
    """Return the mean score of either side of pairs by a metric that all have, in every resample too."""
    return [mean_scores([{metric: entry.resampled[metric]} for entry in side]) for side in zip(*pairs, strict=True)]


# ---------------------------------------------------------------------------------------------------------------- pairs


def _of_methods(text: str, source: str, worse: str, better: str) -> Claim:
    """Return a claim about two methods on the same network with the same weights, which has large kernels."""

    def pairs(entries: Sequence[Entry]) -> list[Pair]:
        first, second = (
            {entry.identity.network: entry for entry in entries if entry.record.method.name == name}
            for name in (worse, better)
        )
        return [(first[network], second[network]) for network in first if network in second]

    def why_not(entries: Sequence[Entry]) -> str | None:
        for entry in entries:
            if entry.record.method.name in (worse, better) and not entry.has_maps:
                return f"{entry.record.method.name} is {entry.record.undefined or 'the same everywhere'}"
        return None

    return Claim(text, source, pairs, why_not, needs_large=True)


def _only_the_kernel(entries: Sequence[Entry]) -> list[Pair]:
    """Pair trainings of one network that differ in one option, which sets the kernel: the smallest, and each larger."""
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in _of_kernel_methods(entries):
        if entry.network is not None and entry.training is not None:
            alike = tuple(fact for fact in entry.identity.network if fact[0] in _SAME)
            key = (entry.network.name, alike, _trained(entry), entry.record.method.name)
            groups.setdefault(key, []).append(entry)
    return [
        (smallest, entry)
        for group in groups.values()
        for smallest in [min(group, key=attrgetter("kernel"))]
        for entry in sorted(group, key=attrgetter("kernel"))
        if entry.kernel > smallest.kernel and _differs_in_one_option(smallest, entry)
    ]


def _largest_and_smallest(entries: Sequence[Entry]) -> list[Pair]:
    """Pair the networks with the smallest kernel and those with the largest, trained alike, where that is large."""
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in _of_kernel_methods(entries):
        if (trained := _trained(entry)) is not None:
            groups.setdefault((trained, entry.record.method.name), []).append(entry)
    return [
        (smaller, larger)
        for group in groups.values()
        for low, high in [(min(map(attrgetter("kernel"), group)), max(map(attrgetter("kernel"), group)))]
        if low < high >= LARGE
        for smaller, larger in product(group, group)
        if (smaller.kernel, larger.kernel) == (low, high) and _name(smaller) != _name(larger)
    ]


def _none_is_large(entries: Sequence[Entry]) -> str | None:
    if not entries:
        return None
    if (largest := max(map(attrgetter("kernel"), entries))) < LARGE:
        return f"no kernel is larger than {largest}×{largest}"
    if any(_trained(entry) is None for entry in entries):
        return "trainings differ, or are not known"
    return None


def _of_kernel_methods(entries: Iterable[Entry]) -> Iterable[Entry]:
    """Return the entries of CAM and PC1, by which kernels are compared, whose kernels are known."""
    return (entry for entry in entries if entry.record.method.name in ("cam", "pc1") and _is_kernel_known(entry))


def _trained(entry: Entry) -> Hashable | None:
    """Return how a network was trained, with its seed; None where it is not known.

    Weights that one distribution ships for one data set were trained alike.
    """
    if entry.training is not None:
        return entry.trained, entry.training.seed
    network = entry.network
    return network.provider.partition(" ")[0] if network and network.weights.source == "shipped" else None


def _is_kernel_known(entry: Entry) -> bool:
    """Return whether the kernel of the stages is: in older records the largest may be a patch embedding's instead.

    Networks of a family, which wsolbench builds itself, have none that is as large as `LARGE`.
    """
    network = entry.network
    return network is not None and (
        network.stage_kernel is not None or network.family is not None or network.largest_kernel < LARGE
    )


def _is_stage_recorded(entry: Entry) -> bool:
    return entry.network is not None and entry.network.stage_kernel is not None


def _name(entry: Entry) -> str:
    return entry.network.name if entry.network else ""


def _differs_in_one_option(one: Entry, other: Entry) -> bool:
    ours, theirs = (entry.network.options if entry.network else {} for entry in (one, other))
    return len([name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]) == 1


CLAIMS = (
    _of_methods(
        "PC1 localizes better than CAM",
        "Tables 1 and 3, on CUB: RepLKNet has a V2 of 80.4 with PC1, and of 76.72 with CAM",
        "cam",
        "pc1",
    ),
    _of_methods(
        "Positive weights localize better than negative ones",
        "Table 2, MaxBoxAcc with positive and with negative weights: RepLKNet 60.1 and 7.4 on ImageNet, 79 and 30.9 on "
        "CUB; SLaK 55.5 and 54.5, 66.6 and 65.7; ConvNeXt 61 and 61.2, 67.3 and 66.6",
        "cam-neg",
        "cam-pos",
    ),
    Claim(
        "A larger kernel localizes better; all else is equal",
        "the question behind Table 1. The paper has no table for it: its networks differ in more than their kernels",
        _only_the_kernel,
    ),
    Claim(
        "The largest kernels localize better than the smallest; more than the kernel differs",
        "Table 1, CAM on CUB: RepLKNet has a MaxBoxAcc of 90.99 and a V2 of 76.72, a ResNet of 73.2 and 63",
        _largest_and_smallest,
        _none_is_large,
    ),
)

# ----------------------------------------------------------------------------------------------------------------- page


def claims_as_markdown(tables: Sequence[Table]) -> str | None:
    """Return the page: a row for every claim, table and kind of network, and one for every network.

    There is none where no two records try a claim.

    Raises:
        DataError: The outcomes of a record contradict themselves.
    """
    results = try_claims(tables)
    if not results:
        return None
    parts = ["# What the board says\n", _EXPLAINED, ""]
    for claim in CLAIMS:
        found = [result for result in results if result.claim is claim]
        parts += [f"## {claim.text}\n", f"Source: {claim.source}.\n"]
        parts += [f"{_summary(found)}\n", *_conditions(found, tables), _details(found)] if found else [_NO_PAIR]
        parts += [f"{line}\n" for line in _not_tried(claim, tables, found)]
    return "\n".join(parts)


_NO_PAIR = "No two records of this page try it.\n"


def _summary(results: Sequence[Result]) -> str:
    headings = ["Data set", "Weights", "Compared", "Networks", "Mean difference [95 %]", "Verdict", *VERDICTS]
    rows = [
        [
            markdown_text(_images(result.table)),
            _kind(result.pretrained),
            markdown_text(result.compared),
            str(len(result.trials)),
            shown_difference(result.mean, result.metric),
            f"**{result.verdict}**",
            *(str(result.count(verdict)) for verdict in VERDICTS),
        ]
        for result in results
    ]
    return _table(headings, rows, ["left", "left", "left", "right", "right", "left", "right", "right", "right"])


def _conditions(results: Sequence[Result], tables: Sequence[Table]) -> list[str]:
    """Return what has to be known to read the rows of a claim: the kernels it is claimed for, images counted twice."""
    lines = []
    if results[0].claim.needs_large:
        lines.append("The paper claims this for networks with large kernels.")
        lines += [line for pretrained in (True, False) if (line := _kernels_here(results, pretrained))]
    parts = {
        f"The {counted(_size(result.table), 'images')} of {markdown_text(_dataset(result.table))} "
        f"{'is' if _size(result.table) == 1 else 'are'} a part of the {whole:,}."
        for result in results
        if (whole := whole_of(result.table, tables)) is not None
    }
    return [f"{' '.join([*lines, *sorted(parts)])}\n"] if lines or parts else []


def _kernels_here(results: Sequence[Result], pretrained: bool) -> str | None:
    """Say which networks of a kind have large kernels, or how large the largest one is."""
    tried = [trial.networks[0] for each in results if each.pretrained == pretrained for trial in each.trials]
    kernels = {entry.backbone: entry.kernel for entry in tried if _is_kernel_known(entry)}
    if not kernels:
        return None
    ours = "pretrained ones" if pretrained else "ones trained with wsolbench"
    large = sorted(name for name, kernel in kernels.items() if kernel >= LARGE)
    if not large:
        side = max(kernels.values())
        old = any(entry.kernel == side and not _is_stage_recorded(entry) for entry in tried)
        stem = ", first layers and patch embeddings included" if old else ""
        return f"The {ours} here have kernels of at most {side}×{side}{stem}."
    return f"Of the {ours}, these have kernels of at least {LARGE}×{LARGE}: {markdown_text(', '.join(large))}."


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
    headings = ["Data set", "Network", "Trainings", "Compared", "V2", "V2", "Difference [95 %]", "Verdict"]
    rows = [
        [
            *map(markdown_text, (_images(result.table), _networks(trial), _trainings(trial), result.compared)),
            f"{trial.difference.first:.1f}",
            f"{trial.difference.second:.1f}",
            shown_difference(trial.difference, result.metric),
            verdict_of(trial.difference),
        ]
        for result in results
        for trial in result.trials
    ]
    table = _table(headings, rows, ["left", "left", "left", "left", "right", "right", "right", "left"])
    return f"<details><summary>Every network</summary>\n\n{table}\n\n</details>\n"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str]) -> str:
    return tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=align)


def _dataset(table: Table) -> str:
    return table.first.dataset.name


def _size(table: Table) -> int:
    record = table.first
    return record.dataset.split_sizes[record.protocol.split]


def _images(table: Table) -> str:
    return f"{_dataset(table)}, {counted(_size(table), 'images')}"


def _networks(trial: Trial) -> str:
    """Return the network of a trial, or the smaller and the larger kernel."""
    return " → ".join(dict.fromkeys(map(_label, trial.networks)))


def _label(entry: Entry) -> str:
    apart = f" ({entry.apart})" if entry.apart and entry.training is None else ""
    return f"{entry.backbone}{apart}, {'kernel' if _is_stage_recorded(entry) else 'largest kernel'} {entry.kernel}"


def _trainings(trial: Trial) -> str:
    """Return the recipes of a trial's trainings, each with its seeds, or a dash where none is known."""
    seeds: dict[str, list[str]] = {}
    for first, _ in trial.pairs:
        if first.training is not None:
            seeds.setdefault(first.recipes, []).append(str(first.seed))
    named = (f"{recipes}, {_seeds(sorted(set(each), key=int))}" for recipes, each in seeds.items())
    return "; ".join(named) or "–"


def _seeds(seeds: Sequence[str]) -> str:
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(seeds)}"


def shown_difference(difference: Difference, metric: str) -> str:
    """Return a difference and its interval for people; one of oracle scores says so."""
    shown = f"{difference.difference:+.1f} [{difference.low:+.1f}, {difference.high:+.1f}]".replace("-", "−")
    return shown if metric == RANKED[0] else f"{shown} (oracle)"


_EXPLAINED = f"""Claims of *CAM Back Again* (Yasuki & Taki, CVPR 2024), tried on all records of this page, whichever way
they fall. Figures of the paper are quoted as the source of a claim; they were not measured here.

- A difference is V2 @fullsup of the second less that of the first, in percentage points. Its 95 % interval is from
  resamples of the same images for both.
- A network counts once: its score is the mean over the seeds and the stages of its training, in every resample too. The
  mean of a row is over networks, each of which counts the same, with the interval of images: it says nothing about
  other networks, or other trainings.
- A claim *holds* on a network if the interval is above 0, *fails* if it is below 0, and is *open* if it contains 0. The
  three last columns count the networks, or the pairs of networks where kernels are compared.
- The verdict of a row is that of its mean, if more than half of the networks have it and none has the opposite one. If
  all networks have one verdict, it is that one. Otherwise it is *mixed*.
- Networks are *pretrained* if their weights, or those that their training went on from, come from elsewhere: a
  download, or a file without a card of `wsolbench train`.
- Pairs of methods have the same network and weights, and options at their defaults. Pairs of kernels are compared by
  CAM and by PC1, each in a row of its own, after the same training with the same seed. Trainings of pretrained networks
  without a card are not known, so that these make no such pair.
- The kernel is the largest in the stages of a network, without patch embeddings and layers that read the image. Older
  records have the *largest kernel* of all layers instead. A kernel is large from {LARGE}×{LARGE} on.
- Methods without a map, such as `cam-neg` where features are never negative, make no pair. Random weights make none
  either."""
