"""Systems that train a network to localize, each beside the same network that was trained without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from wsolbench.escaping import fence, markdown_text, visible
from wsolbench.leaderboard.claims import Pair, means_of, shared_metric, shown_difference
from wsolbench.leaderboard.entries import Entry, Table
from wsolbench.records import TrainingInfo, TrainingTime
from wsolbench.records.compare import Difference, difference_of

__all__ = ["PLAIN", "SystemTrial", "systems_as_markdown", "try_systems"]

PLAIN = ("cam", "class-attention")
"""The method beside a system: the first that the network without it has."""


@dataclass(frozen=True)
class SystemTrial:
    """A system on one network, beside the network without it: a difference of means over its trainings.

    Attributes:
        table: Their table.
        pairs: A pair for every training: the network without the system, and with it.
        metric: What is compared.
        difference: Of the means of the pairs, system less network without it.
    """

    table: Table
    pairs: tuple[Pair, ...]
    metric: str
    difference: Difference

    @property
    def system(self) -> str:
        """The system's name, with the options that tell it apart."""
        training = self.pairs[0][1].training
        assert training is not None
        assert training.system is not None
        return training.system.name


def try_systems(tables: Sequence[Table]) -> list[SystemTrial]:
    """Return every system on every network that was also measured without it, data set by data set.

    Networks are the same without a system if they have the same name and options, and either were trained alike with
    the same seed, or are what the system's training started from.

    Raises:
        DataError: The outcomes of a record contradict themselves.
    """
    groups: dict[tuple[str, str], tuple[Table, list[Pair]]] = {}
    for table, plain, entry in _pairs(tables):
        assert entry.training is not None
        key = f"{entry.backbone} {entry.method} {entry.trained}"
        groups.setdefault((table.slug, key), (table, []))[1].append((plain, entry))
    trials = [_trial(table, sorted(pairs, key=_seed)) for table, pairs in groups.values()]
    places = {table.slug: place for place, table in enumerate(tables)}
    return sorted(
        trials, key=lambda each: (places[each.table.slug], each.pairs[0][0].backbone, -each.difference.difference)
    )


def _seed(pair: Pair) -> int:
    return pair[1].seed or 0


def _pairs(tables: Sequence[Table]) -> Iterator[tuple[Table, Entry, Entry]]:
    """Yield each entry of a system with its network without it, and their table."""
    for table in tables:
        trained = [entry for entry in table.entries if entry.training is not None]
        plain = [entry for entry in trained if entry.method in PLAIN and not _is_of_system(entry)]
        for entry in filter(_is_of_system, trained):
            twins = [each for each in plain if _is_without(each, entry)]
            if twins and entry.has_maps:
                yield table, min(twins, key=lambda each: PLAIN.index(each.method)), entry


def _is_of_system(entry: Entry) -> bool:
    return entry.training is not None and entry.training.system is not None


def _is_without(plain: Entry, entry: Entry) -> bool:
    """Tell whether a network is that of a system without it."""
    assert plain.training is not None
    assert entry.training is not None
    assert entry.training.system is not None
    ours, theirs = plain.record.backbone, entry.record.backbone
    if ours is None or theirs is None or theirs.name != f"{entry.training.system.name}:{ours.name}":
        return False
    started = entry.training.initial_weights.sha256
    return ours.options == theirs.options and (
        (started is not None and started == plain.weights_sha256) or _how(plain.training) == _how(entry.training)
    )


def _how(training: TrainingInfo) -> TrainingInfo:
    return training.model_copy(update={"system": None, "command": "", "time": None})


def _trial(table: Table, pairs: Sequence[Pair]) -> SystemTrial:
    metric = shared_metric(pairs)
    first, second = means_of(pairs, metric)
    return SystemTrial(table, tuple(pairs), metric, difference_of(first, second, metric))


# ----------------------------------------------------------------------------------------------------------------- page


def systems_as_markdown(tables: Sequence[Table]) -> str | None:
    """Return the page, a table for every data set; None where no system has its network beside it.

    Raises:
        DataError: The outcomes of a record contradict themselves.
    """
    trials = try_systems(tables)
    if not trials:
        return None
    parts = ["# Systems that are trained to localize\n", _EXPLAINED, ""]
    for table in tables:
        own = [trial for trial in trials if trial.table.slug == table.slug]
        if own:
            parts += [f"## {markdown_text(table.title)}\n", f"{_summary(own)}\n", _commands(own)]
    return "\n".join(parts)


def _summary(trials: Iterable[SystemTrial]) -> str:
    headings = ["Network", "Without", "V2", "System", "Map", "V2", "Difference [95 %]", "Seeds", "Epochs", "Minutes"]
    rows = [
        [
            *map(markdown_text, (plain.backbone, plain.method)),
            f"{trial.difference.first:.1f}",
            *map(markdown_text, (trial.system, entry.method)),
            f"{trial.difference.second:.1f}",
            shown_difference(trial.difference, trial.metric),
            ", ".join(str(entry.seed) for _, entry in trial.pairs),
            " + ".join(str(sum(_epochs(each))) for each in entry.history),
            _minutes(trial.pairs),
        ]
        for trial in trials
        for plain, entry in trial.pairs[:1]
    ]
    align = ["left", "left", "right", "left", "left", "right", "right", "left", "right", "right"]
    return tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=align)


def _commands(trials: Iterable[SystemTrial]) -> str:
    """Return the commands that trained the networks, and those that measured them, each once."""
    entries = [entry for trial in trials for pair in trial.pairs for entry in pair]
    commands = [
        *dict.fromkeys(each.command for entry in entries for each in entry.history),
        *dict.fromkeys(entry.record.environment.command for entry in entries),
    ]
    lines = "\n".join(map(visible, commands))
    block = f"{fence(lines)}sh\n{lines}\n{fence(lines)}"
    return f"<details><summary>The commands that trained and measured them</summary>\n\n{block}\n\n</details>\n"


def _epochs(training: TrainingInfo) -> list[int]:
    """Return the epochs of each stage of a training."""
    if training.system is not None:
        return [stage.epochs for stage in training.system.stages]
    return [epochs for epochs in [training.recipe_options.get("epochs")] if isinstance(epochs, int)]


def _minutes(pairs: Sequence[Pair]) -> str:
    """Return the mean time of trainings, with those that they went on from; a dash where no card says it."""
    times = [time for plain, entry in pairs for time in _times(plain, entry)]
    if None in times:
        return "–"
    return f"{sum(time.seconds for time in times if time) / 60 / len(pairs):.1f}"


def _times(plain: Entry, entry: Entry) -> list[TrainingTime | None]:
    """Return how long each training behind an entry took; of the network without the system its own record says it."""
    assert plain.training is not None
    later = [*entry.history[1:], None]
    return [
        each.time or (plain.training.time if after and after.initial_weights.sha256 == plain.weights_sha256 else None)
        for each, after in zip(entry.history, later, strict=True)
    ]


_EXPLAINED = """A system changes the network, the loss or the stages of a training. Beside each stands the same network
that was trained without it: alike and with the same seed, or as what the system's training started from.

- The map without the system is `cam`, or `class-attention` of a network without class weights. That of the system is
  its own. Boxes (`psol`) have no τ, so all their scores are the same at every τ.
- V2 is at the τ chosen on train-fullsup, in percent; the difference is that of the system less that without it, in
  percentage points. Scores are means over the seeds, in every resample too; the 95 % interval is from resamples of the
  same images for both. It says how sure the difference is for these trainings, not for others.
- Epochs are those of the trainings one after another; minutes are their wall clock, the mean over seeds, on the device
  that the records name.
- A system was trained for these epochs, on these images, with its defaults where the command says nothing else. One
  that does not help here may help the networks and trainings that it was published with."""
