"""A training job: resolves a configuration, trains into a folder, and continues after an interruption."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from wsolbench.config import TrainConfig
from wsolbench.contract import BackboneSpec, Split, SystemSpec
from wsolbench.contract.inputs import changed_input
from wsolbench.data.opened import open_dataset
from wsolbench.drafts import ElsewhereError
from wsolbench.engine.ranks import ALONE, Ranks
from wsolbench.errors import EndedTogetherError, UsageError
from wsolbench.files import atomic_folder, check_writable
from wsolbench.host.registry import Offer, Registry
from wsolbench.networks.card import Card
from wsolbench.networks.configure import configure
from wsolbench.networks.devices import choose_device
from wsolbench.networks.load import report_weights
from wsolbench.progress import Reporter
from wsolbench.training.built import build
from wsolbench.training.fullsup import fullsup_scorer
from wsolbench.training.initial_weights import read_start, start_for
from wsolbench.training.kept_epochs import KeptEpochs
from wsolbench.training.plan import TrainingPlan
from wsolbench.training.state import state_path_of
from wsolbench.training.targets import check_place, targets_folder
from wsolbench.training.train import WEIGHTS, carry_out
from wsolbench.training.train import help_train as carry_out_beside

__all__ = ["TrainedClassifier", "help_train", "one_network", "plan_training", "system_of", "train"]


@dataclass(frozen=True)
class TrainedClassifier:
    """The result of a training: the folder with weights, card, log and curve, and the card."""

    folder: Path
    card: Card

    @property
    def weights(self) -> Path:
        """The weights file of the first seed."""
        return self.folder / WEIGHTS


def train(
    config: TrainConfig,
    registry: Registry,
    reporter: Reporter,
    *,
    command: str,
    of_a_choice: bool = False,
    ranks: Ranks = ALONE,
) -> TrainedClassifier:
    """Train a classifier; its folder appears when the whole training has succeeded.

    Args:
        config: What to train.
        registry: The installed plugins.
        reporter: Shows the progress.
        command: The command or call that started the training, for the card.
        of_a_choice: Whether it is one of several, whose caller says how all of them are continued.
        ranks: The processes that train together, of which this is the first one; the others call `help_train`.

    Raises:
        WsolbenchError: An error that the user can fix.
    """
    state_path = state_path_of(config.out)
    ranks.together(lambda: _check_output(config, state_path))
    plan = ranks.together(lambda: plan_training(config, registry, reporter, command=command, ranks=ranks))
    with (
        _removed_when_complete(state_path, KeptEpochs(state_path, config.keep_every)),
        atomic_folder(config.out) as draft,
        nullcontext() if of_a_choice else _saying_how_to_resume(state_path, config.out, reporter, ranks),
    ):
        card = carry_out(plan, draft, reporter, state_path=state_path, resume=config.resume)
    return TrainedClassifier(config.out, card)


def help_train(config: TrainConfig, registry: Registry, *, ranks: Ranks) -> None:
    """Train beside the first process of several, which writes. Arguments and errors are those of `train`."""
    state_path = ranks.together(lambda: state_path_of(config.out))
    plan = ranks.together(lambda: plan_training(config, registry, Reporter(), command="", ranks=ranks))
    carry_out_beside(plan, state_path=state_path, resume=config.resume)


def _check_output(config: TrainConfig, state_path: Path) -> None:
    """Refuse places that cannot be written, or hold something else."""
    check_writable(config.out, "--out")
    if state_path.exists() and not config.resume:
        raise UsageError(f"{state_path} holds a training that was interrupted; add --resume, or delete it")
    check_place(state_path)


def plan_training(
    config: TrainConfig, registry: Registry, reporter: Reporter, *, command: str, ranks: Ranks = ALONE
) -> TrainingPlan:
    """Resolve the names of a configuration.

    Args:
        config: What to train.
        registry: The installed plugins.
        reporter: Shows what the data set reports.
        command: The command or call that started the training, for the card.
        ranks: The processes that train together.

    Raises:
        WsolbenchError: An error that the user can fix.
    """
    if ranks.count > 1 and config.device is not None and ":" in config.device:
        kind = config.device.partition(":")[0]
        raise UsageError(
            f"--device {config.device} is one device for {ranks.count} processes; --device {kind} gives each its own"
        )
    for index, seed in enumerate(config.seeds):
        if seed in config.seeds[:index]:  # the same training would run again and count twice
            raise UsageError(f"--seed {seed} is given more than once; give every seed once")
    name, size = registry.sized(config.backbone)
    backbone, options = configure(one_network(registry, name), config.backbone_options)
    weights = None if config.weights is None else Path(config.weights)
    start, initial = read_start(
        registry, backbone, weights, config.weights_key, config.input_changes.sized(size, config.backbone)
    )
    dataset = open_dataset(registry.datasets.get(config.dataset), config.roots, reporter)
    system = system_of(config, registry)
    if initial is None:
        for warning in start.warnings:
            reporter.warn(warning)
    else:
        initial = start_for(initial, start.offer.spec, len(dataset.class_names))
        report_weights(initial.info, initial.warnings, reporter)
    return TrainingPlan(
        backbone=start.offer,
        backbone_options=options,
        dataset=dataset,
        built_recipe=build(registry.recipes.get(config.recipe), config.recipe_options),
        scorer=None if config.checkpoint == "last" else fullsup_scorer(config, registry),
        system=None if system is None else build(system, config.system_options),
        seeds=config.seeds,
        device=choose_device(config.device, ranks.place),
        precision=config.precision,
        workers=config.workers,
        command=command,
        initial=initial,
        changed_input=tuple(changed_input(start.offer.spec.input, backbone.spec.input)),
        keep_every=config.keep_every,
        watch=tuple(dict.fromkeys(Split.labelled(split) for split in config.watch)),
        ranks=ranks,
    )


def system_of(config: TrainConfig, registry: Registry) -> Offer[SystemSpec] | None:
    """Return the system that stands before the network of a configuration; None where there is none.

    Raises:
        UsageError: Options of a system are given, and there is none.
    """
    name, _ = registry.sized(config.backbone)
    system = registry.backbones.system_of(name)
    if system is None and config.system_options:
        option = next(iter(config.system_options))
        raise UsageError(
            f"--system-opt {option}: '{config.backbone}' is a network without a system; name one before it, as in "
            f"--backbone SYSTEM:{config.backbone} ('wsolbench list systems')"
        )
    return system


def one_network(registry: Registry, name: str) -> Offer[BackboneSpec]:
    """Return the network of a name; a family is refused, because any of its variants could be trained.

    Raises:
        UnknownNameError: No plugin offers the name, or several do.
        UsageError: The name is that of a family.
    """
    variants = registry.family(name)
    if variants and not registry.backbones.find(name):
        shown = ", ".join(registry.backbones.shown_name(variant) for variant in variants)
        raise UsageError(f"'{name}' is a family of networks; name the one to train: {shown}")
    return registry.backbones.get(name)


@contextmanager
def _removed_when_complete(state_path: Path, epochs: KeptEpochs) -> Iterator[None]:
    """Remove the state of a training that is complete, under whatever name, its targets and copies of kept weights.

    Of one that failed before its first state, targets and copies are removed too: nothing could continue from them.
    """

    def remove() -> None:
        state_path.unlink(missing_ok=True)
        epochs.remove()
        shutil.rmtree(targets_folder(state_path), ignore_errors=True)

    try:
        yield
    except BaseException as error:
        if isinstance(error, ElsewhereError) or not state_path.exists():
            remove()
        raise
    remove()


@contextmanager
def _saying_how_to_resume(state_path: Path, folder: Path, reporter: Reporter, ranks: Ranks) -> Iterator[None]:
    """Report the state file that a training leaves if it fails or is interrupted."""
    before = _modified(state_path)
    try:
        yield
    except BaseException as error:
        is_told = ranks.count > 1 and isinstance(error, EndedTogetherError | KeyboardInterrupt)  # by who started all
        if _modified(state_path) != before and not is_told:
            reporter.warn(f"{state_path} holds the training so far; --resume --out {folder} continues it")
        raise


def _modified(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None
