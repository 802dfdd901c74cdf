"""Choice on train-fullsup: trainings with options drawn at random, of which the one that localizes best is kept.

This is how Choe et al. choose hyperparameters: 30 random draws, the best on train-fullsup, then test once. Everything
that a continuation needs is in a folder beside that of the results: what was asked for, and the score of every draw.

Source: Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020, section 4.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wsolbench.config import TrainConfig
from wsolbench.contract.choices import CHOICE_METRICS, ChoiceMetric
from wsolbench.contract.options import list_options
from wsolbench.contract.search import Search
from wsolbench.data.opened import OpenSplit
from wsolbench.engine.run import carry_out
from wsolbench.errors import PluginError, UsageError
from wsolbench.files import atomic_folder, atomic_write, check_writable, read_regular
from wsolbench.host.registry import Registry
from wsolbench.networks.card import CARD, Card
from wsolbench.networks.configure import backbone_options
from wsolbench.progress import Advance, Reporter
from wsolbench.records import ChoiceInfo, DrawInfo
from wsolbench.records.identity import difference
from wsolbench.training.fullsup import open_fullsup, plan_scoring
from wsolbench.training.job import TrainedClassifier, one_network, plan_training, system_of, train
from wsolbench.training.plan import TrainingPlan
from wsolbench.training.state import refuse_changes, state_path_of
from wsolbench.training.train import WEIGHTS, continued_facts

__all__ = ["choose", "train_or_choose"]

DRAWS = "choice.csv"
_LARGEST = 2**20
_ASKED = "asked.json"
_PIXELS = "pixels.json"
RECIPE, SYSTEM, NETWORK, METHOD = "recipe", "system", "backbone", "method"


def train_or_choose(config: TrainConfig, registry: Registry, reporter: Reporter, *, command: str) -> TrainedClassifier:
    """Carry a configuration out: one training, or several of which one is kept; see `train` and `choose`."""
    carry = train if config.choose is None else choose
    return carry(config, registry, reporter, command=command)


def choose(config: TrainConfig, registry: Registry, reporter: Reporter, *, command: str) -> TrainedClassifier:
    """Train with options that are drawn at random, and keep what scores best on train-fullsup.

    Args:
        config: What to train; `TrainConfig.choose` is the number of draws.
        registry: The installed plugins.
        reporter: Shows the progress.
        command: The command or call, for the card.

    Raises:
        UsageError: The data set has no train-fullsup with annotations, nothing can be drawn, or no draw has a score.
        WsolbenchError: Another error that the user can fix.
    """
    assert config.choose is not None
    check_writable(config.out, "--out")
    space = draw_space(config, registry)
    if len(config.seeds) > 1:
        raise UsageError("--choose trains with one seed; then train with the others and the options that it chose")
    part, metric = open_fullsup(config, registry, "--choose")
    told = {name: str(search) for name, search in space.items()}
    plan = plan_training(config, registry, reporter, command=command)
    work = _open_work(config, {"space": told, "metric": metric, **_asked(config, registry, plan, part)})
    search = _RandomSearch(config, registry, _Once(reporter), command, space, metric, work)
    with _saying_how_to_resume(work, config.out, reporter):
        draws = search.run(config.choose)
        best = _best(draws)
        if best is None:
            raise UsageError(f"--choose: none of {len(draws)} draws has a score; the first: {draws[0].failed}")
        chosen = ChoiceInfo(
            images=len(part.images.ids),
            annotations_sha256=part.annotations_sha256,
            metric=metric,
            method=config.method,
            method_options={**config.method_options, **_of_kind(METHOD, draws[best].options)},
            space=told,
            seed=config.seeds[0],
            draw=best,
            draws=draws,
        )
        card = _publish(config, chosen, search.folder(best))
    shutil.rmtree(work, ignore_errors=True)
    return TrainedClassifier(config.out, card)


def draw_space(config: TrainConfig, registry: Registry) -> dict[str, Search]:
    """Return what is drawn, as ``recipe.learning_rate``: the options of recipe, network and method that nobody has set.

    Raises:
        UsageError: There are none.
    """
    network, _ = registry.sized(config.backbone)
    offered = {
        RECIPE: (list_options(registry.recipes.get(config.recipe).spec.build), config.recipe_options),
        NETWORK: (backbone_options(one_network(registry, network)), config.backbone_options),
        METHOD: (list_options(registry.methods.get(config.method).spec.build), config.method_options),
    }
    system = system_of(config, registry)
    if system is not None:
        offered[SYSTEM] = (list_options(system.spec.build), config.system_options)
    space = {
        f"{kind}.{option.name}": option.search
        for kind, (options, given) in offered.items()
        for option in options
        if option.search is not None and option.name not in given
    }
    if not space:
        raise UsageError(
            f"--choose: nothing can be drawn: the recipe '{config.recipe}', the network '{config.backbone}' and the "
            f"method '{config.method}' declare no range for an option that is not given"
        )
    return space


@dataclass(frozen=True)
class _RandomSearch:
    """Draws, trains and scores; what was done by an earlier command is read from its folder.

    Args:
        config: What to train.
        registry: The installed plugins.
        reporter: Shows the progress.
        command: The command or call, for the cards.
        space: What is drawn.
        metric: The score on train-fullsup.
        work: The folder in which the search grows.
    """

    config: TrainConfig
    registry: Registry
    reporter: Reporter
    command: str
    space: Mapping[str, Search]
    metric: ChoiceMetric
    work: Path

    def run(self, count: int) -> list[DrawInfo]:
        """Return all draws; of the trainings, that of the best one is still there.

        Raises:
            UsageError: More are done already, or images have changed since the first.
        """
        done = len(list(self.work.glob("draw-*.json")))
        if done > count:
            raise UsageError(
                f"--choose {count}: {done} draws are done in {self.work}; --choose {done} ends with these, a larger "
                "number adds others"
            )
        draws: list[DrawInfo] = []
        for number in range(count):
            result = self.work / f"draw-{number:02}.json"
            if result.exists():
                draws.append(DrawInfo.model_validate_json(read_regular(result, _LARGEST)))
            else:
                draws.append(self._train_and_score(number, f"draw {number + 1} of {count}"))
                atomic_write(result, draws[-1].model_dump_json().encode())
            for place in range(len(draws)):
                if place != _best(draws):
                    shutil.rmtree(self.folder(place), ignore_errors=True)
        return draws

    def folder(self, number: int) -> Path:
        """Return the folder of the training of a draw."""
        return self.work / f"draw-{number:02}"

    def _draw(self, number: int) -> dict[str, Any]:
        """Return the options of a draw; they depend on the seed and its number only, not on how many there are."""
        random = np.random.default_rng([self.config.seeds[0], number])
        return {name: search.draw(random) for name, search in self.space.items()}

    def _train_and_score(self, number: int, label: str) -> DrawInfo:
        drawn, folder = self._draw(number), self.folder(number)
        self.reporter.say(f"{label}: {', '.join(f'{name}={value}' for name, value in drawn.items())}")
        changes = {
            "recipe_options": {**self.config.recipe_options, **_of_kind(RECIPE, drawn)},
            "system_options": {**self.config.system_options, **_of_kind(SYSTEM, drawn)},
            "backbone_options": {**self.config.backbone_options, **_of_kind(NETWORK, drawn)},
            "out": folder,
            "resume": True,
        }
        try:
            if not folder.exists():
                training = self.config.model_copy(update=changes)
                train(training, self.registry, self.reporter, command=self.command, of_a_choice=True)
        except PluginError as error:
            if not isinstance(error.__cause__, FloatingPointError):
                raise
            self.reporter.say(f"{label}: {error.__cause__}")
            state_path_of(folder).unlink(missing_ok=True)
            return DrawInfo(options=drawn, score=None, failed=str(error.__cause__))
        plan = plan_scoring(
            self.config,
            self.registry,
            folder / WEIGHTS,
            method_options=_of_kind(METHOD, drawn),
            backbone_options=_of_kind(NETWORK, drawn),
        )
        try:
            (record,) = carry_out(plan, self.reporter, command=self.command)
        except UsageError as error:  # an option was drawn that the method cannot have on this network
            self.reporter.say(f"{label}: {error}")
            return DrawInfo(options=drawn, score=None, failed=str(error))
        score = getattr(record.metrics, self.metric)
        name = CHOICE_METRICS[self.metric]
        self.reporter.say(f"{label}: {name} {'none' if score is None else f'{score:.2f}'} on train-fullsup")
        card = _read_card(folder)
        self._check_pixels(
            folder,
            {
                "train-weaksup": card.train_sha256,
                **{part.split: part.images_sha256 for part in record.splits if part.split == record.protocol.split},
            },
        )
        result = card.results[0]
        return DrawInfo(
            options=drawn,
            score=score,
            failed=record.missing.get(self.metric),
            train_fullsup_top1=result.train_fullsup_top1,
            final_loss=result.final_loss,
        )

    def _check_pixels(self, folder: Path, hashes: Mapping[str, str | None]) -> None:
        """Hold a draw to the images of the first one.

        Args:
            folder: The training of the draw, which is deleted where they differ.
            hashes: Split -> the hash of its images.

        Raises:
            UsageError: They differ.
        """
        file = self.work / _PIXELS
        if not file.exists():
            atomic_write(file, json.dumps(hashes).encode())
        for split, then, now in difference(json.loads(read_regular(file, _LARGEST)), hashes):
            shutil.rmtree(folder, ignore_errors=True)
            raise UsageError(
                f"images of {split} have changed since the first draw of {self.work} (hash {then:.8}, now {now:.8}); "
                "restore them, or delete the folder to start again"
            )


class _Once(Reporter):
    """Shows what holds for all draws once: warnings and remarks on the data."""

    def __init__(self, inner: Reporter) -> None:
        super().__init__()
        self._inner = inner
        self._told: set[str] = set()

    def show(self, name: str, total: int | None, unit: str, beside: str) -> AbstractContextManager[Advance]:
        return self._inner.show(name, total, unit, beside)

    def say(self, message: str) -> None:
        self._inner.say(message)

    def remark(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._inner.remark(message)

    def warn(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._inner.warn(message)


def _best(draws: list[DrawInfo]) -> int | None:
    """Return the place of the best draw, the first of several; None where none has a score."""
    scores = [-1.0 if draw.score is None else draw.score for draw in draws]
    best = int(np.argmax(scores))
    return None if draws[best].score is None else best


def _publish(config: TrainConfig, chosen: ChoiceInfo, draw: Path) -> Card:
    """Put the results of the chosen draw in place, with the card that says how it was chosen and the table of draws."""
    card = _read_card(draw).model_copy(update={"chosen": chosen})
    cards = {path.name: Card.model_validate_json(read_regular(path, _LARGEST)) for path in draw.glob("*.json")}
    rows = [
        {
            "draw": number,
            **each.options,
            chosen.metric: each.score,
            "train_fullsup_top1": each.train_fullsup_top1,
            "final_loss": each.final_loss,
            "failed": each.failed,
            "chosen": number == chosen.draw + 1,
        }
        for number, each in enumerate(chosen.draws, start=1)
    ]
    with atomic_folder(config.out) as folder:
        shutil.copytree(draw, folder, dirs_exist_ok=True)
        for name, each in cards.items():
            content = each.model_copy(update={"chosen": chosen}).model_dump_json(indent=2)
            (folder / name).write_text(content + "\n", encoding="utf-8")
        pd.DataFrame(rows).to_csv(folder / DRAWS, index=False)
    return card


def _read_card(folder: Path) -> Card:
    return Card.model_validate_json(read_regular(folder / CARD, _LARGEST))


# ----------------------------------------------------------------------------------------------- what a command leaves


def _asked(config: TrainConfig, registry: Registry, plan: TrainingPlan, fullsup: OpenSplit) -> dict[str, Any]:
    """Return what must be the same when a choice is continued; the number of draws may grow.

    Args:
        config: What to train.
        registry: The installed plugins.
        plan: The training without a draw, which holds what the continuation of any training is held to.
        fullsup: Train-fullsup, on which draws are scored.
    """
    free = {"choose", "choose_by", "out", "resume", "workers", "watch", "keep_every"}
    in_training = {"backbone", "recipe", "device", "precision"}
    return {
        **config.model_dump(mode="json", exclude=free | in_training),
        "method_options": {f"{config.method}.{name}": value for name, value in config.method_options.items()},
        **{name: value for name, value in continued_facts(plan).items() if name != "seeds"},
        "the hash of train-fullsup": fullsup.annotations_sha256[:16],
        "the method's provider": str(registry.methods.get(config.method).provider),
    }


def _open_work(config: TrainConfig, asked: Mapping[str, Any]) -> Path:
    """Return the folder beside that of the results in which a choice grows.

    Raises:
        UsageError: An interrupted choice is there and is not to be continued, or is another one.
    """
    place = config.out.resolve()
    work = place.with_name(f"{place.name}.choice")
    known = json.loads(json.dumps(asked, default=str))
    if not (work / _ASKED).exists():
        work.mkdir(parents=True, exist_ok=True)
        atomic_write(work / _ASKED, json.dumps(known).encode())
        return work
    if not config.resume:
        raise UsageError(f"{work} holds a choice that was interrupted; add --resume, or delete it")
    try:
        before = json.loads(read_regular(work / _ASKED, _LARGEST))
    except ValueError:
        raise UsageError(f"--resume: {work / _ASKED} is damaged; delete {work} to start again") from None
    refuse_changes(f"{work} is of a choice", "the folder", asked=known, before=before)
    return work


@contextmanager
def _saying_how_to_resume(work: Path, out: Path, reporter: Reporter) -> Iterator[None]:
    try:
        yield
    except BaseException:
        reporter.warn(f"{work} holds the draws so far; --resume --out {out} continues them")
        raise


def _of_kind(kind: str, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a draw that are of the recipe, the network or the method, by their own names."""
    return {name.removeprefix(f"{kind}."): value for name, value in drawn.items() if name.startswith(f"{kind}.")}
