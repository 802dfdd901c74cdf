"""The training loop of one seed, which can stop after any step and continue from its state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.utils import ModelEmaV3
from torch import Tensor

from wsolbench.contract import (
    Augmenting,
    ImageSplit,
    Split,
    Stage,
    TrainingStep,
)
from wsolbench.contract.choices import TrainingPrecision
from wsolbench.engine.features import stream_features
from wsolbench.engine.stream import Batch, stream_batches
from wsolbench.errors import UsageError
from wsolbench.host.provider import blaming
from wsolbench.networks.network import Network
from wsolbench.progress import Advance, Reporter
from wsolbench.records import BestEpochInfo
from wsolbench.training.depthwise import FastDepthwiseGradients
from wsolbench.training.images import TrainingImages
from wsolbench.training.initial_weights import start_from
from wsolbench.training.plan import TrainingPlan
from wsolbench.training.shared_steps import SharedSteps
from wsolbench.training.stages import (
    Given,
    Timetable,
    TrainedParts,
    group_order,
    outputs_of,
    summed,
)
from wsolbench.training.targets import StageTargets, WarpedImages, make_targets, mirrored, read_targets


@dataclass(frozen=True)
class EpochLog:
    """One line of the log.

    Args:
        epoch: Number of the epoch, from 1.
        learning_rate: Learning rate of the first step.
        loss: Mean over the steps.
        train_top1: Accuracy on the augmented images of train-weaksup in train mode, in percent; for a mixture of two
            images, how often the class of the first is predicted. None where a stage gives no logits.
        train_fullsup_top1: Accuracy on train-fullsup, in percent; None if it is not watched.
        test_top1: Accuracy on test, in percent; None if it is not watched.
        seconds: Time spent in training steps.
        stage: The stage of the system; None without one.
        terms: The terms of a system's loss, means over the steps; empty without one.
        score: Localization on train-fullsup, in percent, where the best epoch is kept.
    """

    epoch: int
    learning_rate: float
    loss: float
    train_top1: float | None
    train_fullsup_top1: float | None
    test_top1: float | None
    seconds: float
    stage: str | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None


_COLUMNS = frozenset(column.name for column in fields(EpochLog))
_OF_SPLIT = "train_fullsup_"
"""What the column of a score begins with."""


@dataclass
class _Epoch:
    """The progress of an epoch; `order` is the generator's state before it drew the order of the images."""

    order: Tensor
    learning_rate: float
    step: int = 0
    losses: float = 0.0
    hits: int | None = 0
    seconds: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)

    def add(self, terms: Mapping[str, float], loss: float, hits: int | None) -> None:
        """Add what one step gave.

        Raises:
            ValueError: The terms are not those of the first step, or one is called as a column of the log is.
        """
        for name in terms:
            if name in _COLUMNS or name.startswith(_OF_SPLIT):
                raise ValueError(f"the loss has a term '{name}', as a column of the log is called; name it otherwise")
        if self.terms and terms.keys() != self.terms.keys():  # an older state has none
            raise ValueError(
                f"the loss of step {self.step + 1} of the epoch has the terms {', '.join(sorted(terms))}, that of the "
                f"first step {', '.join(sorted(self.terms))}: expected the same in all steps of an epoch"
            )
        self.step, self.losses = self.step + 1, self.losses + loss
        self.hits = None if self.hits is None or hits is None else self.hits + hits
        for name, value in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + value


class SeedTraining:
    """A network in training, with everything that its next step depends on.

    Args:
        plan: What to train.
        seed: Seed of all random draws.
        images: The images of train-weaksup.
        targets: The folder in which per-image targets are kept.
        shared: What the processes that train together exchange; one alone by default.

    Raises:
        PluginError: The recipe or the network fails, or the loss or a weight is not finite.
        UsageError: The recipe needs something that the network does not offer, or the system cannot serve it.
        WeightsError: The initial weights do not fit.
    """

    def __init__(
        self, plan: TrainingPlan, seed: int, images: TrainingImages, targets: Path, shared: SharedSteps | None = None
    ) -> None:
        self._plan, self._seed, self._images, self._folder = plan, seed, images, targets
        self._shared = shared or SharedSteps()
        torch.manual_seed(seed)
        self._generator = torch.Generator().manual_seed(seed)
        classes = len(plan.dataset.class_names)
        with blaming(plan.backbone.provider, f"building '{plan.backbone.name}'"):
            network: Any = plan.backbone.spec.build(classes)
        if plan.initial is not None:
            start_from(plan.initial, plan.backbone.spec, network, classes)
        self._network = network.to(device=plan.device, memory_format=torch.channels_last)
        self._parts = TrainedParts(network)
        self._timetable = Timetable(plan.stages, images.split.labels, plan.recipe.batch_size)
        self._epoch: _Epoch | None = None
        self.log: list[EpochLog] = []
        self.targets_sha256: dict[str, str] = {}
        self._best: dict[str, Tensor] | None = None
        self._begin(0)

    def _begin(self, number: int) -> None:
        """Begin a stage: freeze what it does not train, and make its optimizer and average.

        Args:
            number: Which of the stages.
        """
        plan, stage = self._plan, self._timetable.stages[number]
        self._number = number
        self._targets: StageTargets | None = None
        if stage.begin is not None:
            with self._blaming(), torch.no_grad():
                stage.begin(self._network)
        self._parts.choose(stage, plan.trainer.name)
        with plan.built_recipe.blaming():
            total_steps = self._timetable.steps(stage) * stage.epochs
            self._optimizer, self._schedule = plan.recipe.optimizer(self._network, total_steps)
        # The decay rises from 0 with the steps, so that the average of a short training forgets the initial weights.
        self._average = None if plan.ema is None else ModelEmaV3(self._network, decay=plan.ema, use_warmup=True)

    @property
    def _stage(self) -> Stage:
        return self._timetable.stages[self._number]

    @property
    def _before(self) -> int:
        """Number of epochs of the stages before this one."""
        return self._timetable.before(self._number)

    @property
    def images_per_second(self) -> float:
        """Speed of the epochs so far."""
        seconds = sum(line.seconds for line in self.log)
        return round(self._timetable.images_seen(len(self.log)) / max(seconds, 0.01), 1)

    @property
    def kept(self) -> Any:
        """The network whose weights are kept: as it is after the last step, or the average over the steps."""
        return self._network if self._average is None else self._average.module

    def weights(self) -> dict[str, Tensor]:
        """Return the weights that are kept, as they are written to files."""
        return {key: value.detach().cpu().contiguous() for key, value in self.kept.state_dict().items()}

    def run(self, reporter: Reporter, save: Callable[[], None], due: Callable[[], bool]) -> None:
        """Train to the end.

        Args:
            reporter: Shows the progress, with a line an epoch.
            save: Saves the state; called after every epoch, and after a step if `due` returns True.
            due: Whether the state should be saved now.
        """
        timetable = self._timetable
        with reporter.phase(f"seed {self._seed}", timetable.images_seen()) as advance:
            advance(timetable.images_seen(len(self.log)))
            while len(self.log) < timetable.epochs:
                number = timetable.stage_of(len(self.log) + 1)
                if number != self._number:
                    self._network.load_state_dict(self.kept.state_dict())
                    self._begin(number)
                self._announce(reporter)
                self._prepare_targets(reporter)
                self._train_epoch(advance, save, due)
                self._check_weights()
                self._shared.check_equal(self._network.state_dict(), len(self.log) + 1)
                self._images.share(self._shared.ranks)
                self._close_epoch()
                reporter.say(self._log_line())
                save()
        if self._best is not None:
            self.kept.load_state_dict(self._best)

    def _announce(self, reporter: Reporter) -> None:
        """Say that a stage begins, where a system has several."""
        stage, stages = self._stage, self._timetable.stages
        if len(stages) > 1 and len(self.log) == self._before:
            trains = "the whole network" if "" in stage.trains else ", ".join(stage.trains)
            numbers = f"{self._before + 1} to {self._before + stage.epochs}" if stage.epochs > 1 else self._before + 1
            reporter.say(
                f"seed {self._seed}: stage '{stage.name}' ({self._number + 1} of {len(stages)}), "
                f"epoch{'s' if stage.epochs > 1 else ''} {numbers}, trains {trains}"
            )

    def best_epoch(self) -> BestEpochInfo | None:
        """Return what is to be said of the epoch whose weights are kept; None where they are the last ones.

        Raises:
            UsageError: No epoch has a score.
        """
        if self._plan.scorer is None:
            return None
        best = self._best_line()
        if best is None:
            raise UsageError(
                f"--checkpoint best-on-train-fullsup: no epoch has a score by '{self._plan.scorer.config.method}'; "
                "omit the option, or name another --method"
            )
        return self._plan.scorer.info(self._before + 1, [line.score for line in self.log[self._before :]], best.epoch)

    def _best_line(self) -> EpochLog | None:
        """Return the line of the epoch with the best score, the first of several; None where none has a score."""
        scored = [line for line in self.log[self._before :] if line.score is not None]
        return max(scored, key=lambda line: line.score or 0.0, default=None)

    def _prepare_targets(self, reporter: Reporter) -> None:
        """Make the per-image targets of the stage, or read those from before an interruption."""
        stage = self._stage
        if stage.targets is None or self._targets is not None:
            return
        if stage.name in self.targets_sha256:
            self._targets = read_targets(stage, self._folder, self.targets_sha256[stage.name])
            return
        reporter.say(f"seed {self._seed}: targets of the stage '{stage.name}' for {len(self._images.split.ids)} images")
        self.targets_sha256[stage.name] = self._shared.ranks.from_first(self._make_targets)
        if self._targets is None:  # the first process has made them, and all read its files
            self._targets = read_targets(stage, self._folder, self.targets_sha256[stage.name])

    def _make_targets(self) -> str:
        """Make the per-image targets of the stage, and return their hash."""
        plan, stage = self._plan, self._stage
        images = WarpedImages(
            self._network,
            self._images.split,
            plan.backbone.spec.input,
            batch_size=plan.recipe.batch_size,
            workers=plan.workers,
            device=plan.device,
            observe=self._images.observe,
        )
        with self._blaming():
            self._targets = make_targets(stage, images, self._folder)
        return self._targets.sha256

    def _train_epoch(self, advance: Advance, save: Callable[[], None], due: Callable[[], bool]) -> None:
        plan, size = self._plan, self._plan.recipe.batch_size
        if self._epoch is None:
            self._epoch = _Epoch(self._generator.get_state(), self._schedule.get_last_lr()[0])
        epoch = self._epoch
        order = self._order(epoch)
        advance(min(epoch.step * size, len(order)))
        self._parts.train()
        left = order[epoch.step * size :]
        stream = stream_batches(
            self._images.split,
            plan.backbone.spec.input,
            batch_size=size // self._shared.ranks.count,
            workers=plan.workers,
            device=plan.device,
            order=self._shared.own(left, size),
            observe=self._images.observe,
            transform=self._augmentation(len(self.log)) if self._targets is None else None,
        )
        with closing(stream) as batches:
            started = time.monotonic()
            for batch in self._whole_batches(batches, left):
                taken = self._step(batch, epoch.step)
                with self._blaming():
                    epoch.add(*taken)
                if self._average is not None:
                    done = (len(self.log) - self._before) * self._timetable.steps(self._stage)
                    self._average.update(self._network, done + epoch.step)
                advance(len(batch.indices))
                epoch.seconds += time.monotonic() - started
                started = time.monotonic()
                if due():
                    save()

    def _whole_batches(self, batches: Iterator[Batch], order: NDArray[np.int64]) -> Iterator[Batch]:
        """Yield whole batches, of which each process loads its part: recipes mix any two images of a batch.

        Args:
            batches: Those of this process.
            order: The images of all, in their order.
        """
        shared, size = self._shared, self._plan.recipe.batch_size
        if not shared.are_shared:
            yield from batches
            return
        labels = torch.from_numpy(self._images.split.labels)
        for start in range(0, len(order), size):
            indices = order[start : start + size]
            part = shared.ranks.together(lambda: next(batches))
            images = shared.whole(part.images, len(indices)).contiguous(memory_format=torch.channels_last)
            yield Batch(indices, images, labels[indices].to(part.labels))

    def _order(self, epoch: _Epoch) -> NDArray[np.int64]:
        """Return the order of the images in an epoch: (n,) indices.

        An epoch that continues after an interruption draws the same order again, from the same state of the generator;
        only the first of these draws advances the generator.
        """
        draws = torch.Generator()
        draws.set_state(epoch.order)
        order = group_order(self._images.split.labels, self._stage.pairs, draws)
        if epoch.step == 0:
            self._generator.set_state(draws.get_state())
        return order[: self._timetable.images_per_epoch(self._stage)]

    def _augmentation(self, epoch: int) -> Callable[[int, NDArray[np.uint8]], NDArray[np.uint8]] | None:
        """Return the recipe's augmentation of the images in an epoch, or None if images are only warped."""
        recipe, config = self._plan.recipe, self._plan.backbone.spec.input
        if not isinstance(recipe, Augmenting):
            return None
        expected = (config.size, config.size, 3)

        def augment(index: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
            with self._plan.built_recipe.blaming():
                made = recipe.augment(image, config, np.random.default_rng((self._seed, epoch, index)))
                if made.shape != expected or made.dtype != np.uint8:
                    raise TypeError(f"augment returned {made.dtype} {made.shape}, expected uint8 {expected}")
                return made

        return augment

    def _step(self, batch: Batch, number: int) -> tuple[dict[str, float], float, int | None]:
        """Take one step of the optimizer.

        Args:
            batch: The whole batch; in each process the same.
            number: Of the step in its epoch.

        Returns:
            The terms of the loss, their sum, and the number of correct predictions, None without logits.
        """
        plan, stage, shared = self._plan, self._stage, self._shared
        images, targets, prepared = self._prepare(batch)
        draws = (self._seed, len(self.log), number)
        shared.seed(*draws, of_all=False)
        parts = shared.ranks.together(lambda: self._forward(images, batch.labels))
        outputs = shared.outputs(parts, len(images))
        step = self._training_step(images, batch.labels, targets, outputs, prepared)
        shared.seed(*draws, of_all=True)
        with self._blaming():
            terms = stage.loss(step)
            loss = summed(terms)
        with plan.built_recipe.blaming():
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        shared.average(self._network)
        with plan.built_recipe.blaming():
            self._optimizer.step()
            self._schedule.step()
        with self._blaming_forward():
            hits = _hits(outputs.get("logits"), batch.labels)
        return {name: term.item() for name, term in terms.items()}, loss.item(), hits

    def _forward(self, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """Return what the network gives for the images of this process, by name.

        Args:
            images: Those of the whole batch (B, 3, H, W).
            labels: Their classes, int64 (B,).
        """
        plan, rows = self._plan, self._shared.rows(len(images))
        with self._blaming_forward():
            with forward_context(plan.device, plan.precision):
                parts = outputs_of(
                    self._stage, self._network, images[rows], labels[rows], len(plan.dataset.class_names)
                )
            self._shared.check_outputs(parts, len(images))
        return parts

    def _prepare(self, batch: Batch) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """Return the images of a step, the recipe's targets, and the stage's own."""
        if self._targets is not None:
            prepared = self._targets.of(batch.indices, self._plan.device)
            images, prepared = mirrored(batch.images, prepared, self._generator)
            return images, batch.labels, prepared
        with self._plan.built_recipe.blaming():
            images, targets = self._plan.recipe.prepare(batch.images, batch.labels, self._generator)
        if not self._stage.mixed and not (isinstance(targets, Tensor) and torch.equal(targets, batch.labels)):
            raise UsageError(
                f"the stage '{self._stage.name}' of '{self._plan.trainer.name}' needs one class an image, and the "
                f"recipe '{self._plan.built_recipe.name}' mixes images; use a recipe that does not mix"
            )
        return images, targets, {}

    def _blaming(self) -> AbstractContextManager[None]:
        """Attribute errors to the system and its stage, or to the recipe where there is no system."""
        return self._plan.trainer.blaming(None if self._plan.system is None else self._stage.name)

    def _blaming_forward(self) -> AbstractContextManager[None]:
        """Attribute errors of the forward pass to the network, or to the system where it has a pass of its own."""
        if self._stage.forward is not None:
            return self._blaming()
        system = self._plan.system
        of = "" if system is None else f" by {system.told(self._stage.name)}"
        return blaming(self._plan.backbone.provider, f"in '{self._plan.backbone.name}' while it is trained{of}")

    def _training_step(
        self, images: Tensor, labels: Tensor, targets: Any, outputs: Mapping[str, Tensor], prepared: dict[str, Tensor]
    ) -> TrainingStep:
        reader = f"the loss of '{self._plan.trainer.name}'"
        stage, recipe = self._stage, self._plan.built_recipe

        def recipe_loss(logits: Tensor, targets: Any) -> Tensor:
            with recipe.blaming():
                return recipe.made.loss(logits, targets)

        return TrainingStep(
            network=self._network,
            images=images,
            labels=labels,
            targets=targets,
            outputs=Given(outputs, reader, f"'{self._plan.backbone.name}'"),
            prepared=Given(prepared, reader, f"the stage '{stage.name}'"),
            epoch=len(self.log) - self._before + 1,
            epochs=stage.epochs,
            generator=self._generator,
            recipe_loss=recipe_loss,
        )

    def _check_weights(self) -> None:
        """Check that the weights are finite after the last step, whose effect no loss has shown yet."""
        infinite = [key for key, value in self.kept.state_dict().items() if not value.isfinite().all()]
        if infinite:
            with self._plan.built_recipe.blaming():
                raise FloatingPointError(
                    f"weights such as {infinite[0]} are not finite after epoch {len(self.log) + 1}; "
                    "a lower learning rate may help"
                )

    def _close_epoch(self) -> None:
        epoch, stage = self._epoch, self._stage
        assert epoch is not None
        steps, images = self._timetable.steps(stage), self._timetable.images_per_epoch(stage)
        first = self._shared.ranks.from_first  # the others wait, and have its numbers
        watched = {split: first(partial(self.top1, split)) for split in self._plan.watch}
        self.log.append(
            EpochLog(
                epoch=len(self.log) + 1,
                learning_rate=epoch.learning_rate,
                loss=epoch.losses / steps,
                train_top1=None if epoch.hits is None else 100 * epoch.hits / images,
                train_fullsup_top1=watched.get(Split.TRAIN_FULLSUP),
                test_top1=watched.get(Split.TEST),
                seconds=round(epoch.seconds, 2),
                stage=None if self._plan.system is None else stage.name,
                terms={} if self._plan.system is None else {name: total / steps for name, total in epoch.terms.items()},
                score=first(self._score),
            )
        )
        self._epoch = None
        if self.log[-1].score is not None and self._best_line() is self.log[-1]:
            self._best = {key: value.clone() for key, value in self.weights().items()}

    def _score(self) -> float | None:
        """Return how well the kept weights localize on train-fullsup, if the best epoch of the last stage is kept."""
        scorer = self._plan.scorer if self._number == len(self._timetable.stages) - 1 else None
        return None if scorer is None else scorer.score(self.weights())

    def top1(self, split: Split) -> float | None:
        """Return the accuracy of the kept network on a split in percent, or None if the data set lacks the split."""
        plan = self._plan
        if split not in plan.dataset.splits:
            return None
        network = Network(plan.backbone, self.kept, plan.device)
        return top1_accuracy(network, plan.dataset.images(split), workers=plan.workers)

    def state_dict(self) -> dict[str, Any]:
        """Return the state to continue from; save it before the next step, which changes its tensors in place."""
        with self._plan.built_recipe.blaming():
            recipe_state = {"optimizer": self._optimizer.state_dict(), "schedule": self._schedule.state_dict()}
        return {
            "stage": self._number,
            "targets": self.targets_sha256,
            "best": self._best,
            "network": self._network.state_dict(),
            "average": None if self._average is None else self._average.module.state_dict(),
            **recipe_state,
            "order": self._generator.get_state(),
            "random": torch.get_rng_state(),
            "random_on_device": torch.cuda.get_rng_state(self._plan.device) if self._on_cuda else None,
            "log": [asdict(line) for line in self.log],
            "epoch": None if self._epoch is None else asdict(self._epoch),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state, to continue from it."""
        number = state.get("stage", 0)  # older states have neither this nor the next
        if number != self._number:
            self._begin(number)
        self.targets_sha256 = dict(state.get("targets", {}))
        self._best = state.get("best")
        self._network.load_state_dict(state["network"])
        if self._average is not None:
            self._average.module.load_state_dict(state["average"])
        with self._plan.built_recipe.blaming():
            self._optimizer.load_state_dict(state["optimizer"])
            self._schedule.load_state_dict(state["schedule"])
        self._generator.set_state(state["order"])
        torch.set_rng_state(state["random"])
        if self._on_cuda:
            torch.cuda.set_rng_state(state["random_on_device"], self._plan.device)
        self.log = [EpochLog(**line) for line in state["log"]]
        self._epoch = None if state["epoch"] is None else _Epoch(**state["epoch"])

    @property
    def _on_cuda(self) -> bool:
        return self._plan.device.type == "cuda"

    def _log_line(self) -> str:
        line, epochs = self.log[-1], self._timetable.epochs
        images = self._timetable.images_per_epoch(self._stage)
        terms = line.terms if len(line.terms) > 1 else {}
        alone = "".join(f" ({name})" for name in line.terms if not terms)
        parts = [f"loss {line.loss:.3f}{alone}", *(f"{name} {value:.3f}" for name, value in terms.items())]
        parts += [] if line.train_top1 is None else [f"top-1 on train-weaksup {line.train_top1:.1f}"]
        for split, top1 in ((Split.TRAIN_FULLSUP, line.train_fullsup_top1), (Split.TEST, line.test_top1)):
            parts += [] if top1 is None else [f"on {split.label} {top1:.1f}"]
        parts += [] if line.score is None else [f"localization on train-fullsup {line.score:.1f}"]
        parts.append(f"{images / max(line.seconds, 0.1):.0f} images/s")
        left = (epochs - line.epoch) * line.seconds
        parts += [f"{left / 60:.0f} min left"] if left >= 60 else []
        stage = f" of '{line.stage}'" if len(self._timetable.stages) > 1 else ""
        return f"seed {self._seed} epoch {line.epoch}/{epochs}{stage}: {', '.join(parts)}"


@contextmanager
def forward_context(device: torch.device, precision: TrainingPrecision) -> Iterator[None]:
    """A context for the forward pass of a training step: autocast for bf16, faster depthwise gradients on a CPU."""
    narrow = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
    with narrow, FastDepthwiseGradients() if device.type == "cpu" else nullcontext():
        yield


def _hits(logits: Tensor | None, labels: Tensor) -> int | None:
    """Return the number of correct predictions of a step; None without logits.

    Raises:
        FloatingPointError: Logits are not finite, and the loss has not read them.
    """
    if logits is None:
        return None
    if not logits.isfinite().all():
        raise FloatingPointError("'logits' are not finite, while the loss is: expected finite numbers")
    return int((logits.argmax(dim=1) == labels).sum())


def top1_accuracy(network: Network, images: ImageSplit, *, workers: int) -> float:
    """Return the top-1 accuracy of a network in percent, and leave the network in eval mode."""
    network.module.eval()
    hits = 0
    with closing(stream_features(network, images, batch_size=64, workers=workers)) as batches:
        for batch in batches:
            hits += int((batch.logits.argmax(dim=1) == batch.labels).sum())
    return 100 * hits / len(images.ids)
