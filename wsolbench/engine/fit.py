"""The stage before anything is localized: fitted methods are given features of images of train-weaksup.

Methods that say so are given image labels too. No box and no mask reaches them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from wsolbench.contract import FittedMethod, ImageSplit, LabelFittedMethod, Split
from wsolbench.data.fingerprint import combine_digests, image_digest
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.engine.features import FeatureBatch, stream_features
from wsolbench.engine.guards import MethodGuard, refusing_writes
from wsolbench.engine.methods import BuiltMethod
from wsolbench.engine.ranks import ALONE, Ranks
from wsolbench.errors import PluginError, UsageError
from wsolbench.files import file_name
from wsolbench.networks.class_rows import NO_ROW, rows_of
from wsolbench.networks.network import Network
from wsolbench.progress import Reporter
from wsolbench.texts import counted, text_problem

__all__ = ["Fit", "check_fit_classes", "fit_methods", "open_fit_images", "save_state"]


@dataclass(frozen=True)
class Fit:
    """What became of a method's fit.

    Attributes:
        images: How many images it was fitted on.
        rounds: In how many passes; None of a method that is fitted without labels.
        state: What it found, by name; empty of a method that is fitted without labels.
        images_sha256: Of the pixels of these images, in their order.
        method: The method, as it is then.
    """

    images: int
    images_sha256: str
    method: FittedMethod | LabelFittedMethod = field(repr=False, compare=False)
    rounds: int | None = None
    state: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def state_sha256(self) -> str | None:
        """The hash of the state: of names, types, shapes and values; None without one."""
        if not self.state:
            return None
        whole = hashlib.sha256()
        for name, values in sorted(self.state.items()):
            whole.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
            whole.update(values.reshape(-1).view(torch.uint8).numpy().data)
        return whole.hexdigest()


def save_state(fit: Fit, folder: Path, method: str) -> None:
    """Write the state of a fit, where it has one, as ``fit-<method>.safetensors``."""
    if fit.state:
        (folder / f"fit-{file_name(method)}.safetensors").write_bytes(save(dict(fit.state)))


def open_fit_images(
    methods: Sequence[BuiltMethod], dataset: OpenDataset, limit: int | None = None
) -> ImageSplit | None:
    """Return the images that methods are fitted on, limited, or None where no method is to be fitted.

    Raises:
        UsageError: The data set has no train-weaksup, or a method asks for less than one image.
        DataError: train-weaksup is damaged, or empty.
        PluginError: The data set's own code fails, now or when an image is loaded.
    """
    fitted = [(built.name, built.method) for built in methods if isinstance(built.method, FittedMethod)]
    if not fitted:
        return None
    for name, method in fitted:
        if hasattr(method, "fit_rounds") and not isinstance(method, LabelFittedMethod):
            raise UsageError(
                f"the method '{name}' has fit_rounds, as those have that are fitted with labels, and lacks one of "
                "partial_fit, merge, end_round and fit_state"
            )
        if method.fit_images is not None and method.fit_images < 1:
            raise UsageError(
                f"the method '{name}' cannot be fitted on {method.fit_images} images; say 1 or more, or none for all"
            )
    if Split.TRAIN_WEAKSUP not in dataset.splits:
        raise UsageError(
            f"the method '{fitted[0][0]}' is fitted on images of train-weaksup, and the data set '{dataset.name}' "
            "has none"
        )
    return dataset.images(Split.TRAIN_WEAKSUP, limit)


def check_fit_classes(
    methods: Sequence[BuiltMethod],
    dataset: OpenDataset,
    images: ImageSplit,
    parts: Sequence[OpenSplit],
    seed: int,
    limit: int | None,
) -> None:
    """Refuse a fit with labels that is given no image of a class that is localized.

    Args:
        methods: The methods of a run.
        dataset: The data set.
        images: All that may be drawn from, see `open_fit_images`.
        parts: The splits that are localized.
        seed: Of the order.
        limit: At most so many images of each split.

    Raises:
        UsageError: There is such a class.
    """
    localized = {label for part in parts for label in np.unique(part.images.labels).tolist()}
    order = _order(len(images.ids), seed)
    for built in methods:
        if not isinstance(built.method, LabelFittedMethod):
            continue
        given = images.labels[order[: built.method.fit_images]]
        absent = sorted(localized - set(given.tolist()))
        if absent:
            names, of_fit = dataset.class_names, counted(len(given), "images")
            first = f"'{names[absent[0]]}'" if absent[0] < len(names) else str(absent[0])
            is_part = limit is not None or len(given) < len(images.ids)
            advice = f"raise its option fit_images or --limit above {len(given)}" if is_part else "use another one"
            raise UsageError(
                f"the method '{built.name}' is fitted on {of_fit} of train-weaksup, none of them of "
                f"{first}{_and_more(len(absent) - 1)}, and localizes by what it has seen of each class; {advice}"
            )


def _and_more(count: int) -> str:
    return "" if count == 0 else f" and {count} more {'class' if count == 1 else 'classes'}"


def _order(count: int, seed: int) -> NDArray[np.int64]:
    """Return the one random order of the images; methods are given the first of them."""
    return np.random.default_rng(seed).permutation(count)


def fit_methods(
    methods: Sequence[BuiltMethod],
    network: Network,
    images: ImageSplit,
    *,
    class_rows: tuple[int, ...] | None = None,
    seed: int,
    batch_size: int,
    workers: int,
    reporter: Reporter,
    ranks: Ranks = ALONE,
) -> dict[str, Fit]:
    """Fit every method that is to be fitted, all in one pass, and those with several rounds in more.

    Each is given features and, if it asks for them, classes, and nothing else. The images are those of one random
    order, the first as many as a method wants: the choice depends on the seed only, and every round has the same ones.

    Args:
        methods: The methods of a run; those that are not fitted are left alone.
        network: Whose features they are fitted on.
        images: All that may be drawn from, see `open_fit_images`.
        class_rows: Label -> row of the head, as classes to localize are numbered; None where labels are rows.
        seed: Of the order.
        batch_size: Images in a forward pass.
        workers: Threads that load images.
        reporter: Told how far the work is.
        ranks: The processes, each of which is given its part of the images where methods can be merged, and all of
            them where one cannot.

    Returns:
        Method name -> its fit.

    Raises:
        UsageError: A method wants no round.
        DataError: An image cannot be read.
        PluginError: The network or a method fails, or a method changes something.
    """
    count, guard = len(images.ids), MethodGuard(network.module, seed)
    fitters = [
        _Fitter(built, built.method, min(built.method.fit_images or count, count), class_rows, guard)
        for built in methods
        if isinstance(built.method, FittedMethod | LabelFittedMethod)
    ]
    rounds = [
        [fitter for fitter in fitters if fitter.rounds > number]
        for number in range(max(fitter.rounds for fitter in fitters))
    ]
    order, digests = _order(count, seed), dict[int, str]()

    def look(index: int, image: NDArray[np.uint8]) -> None:
        digests[index] = image_digest(image)

    parts = [_Part.of(of_round, ranks, batch_size) for of_round in rounds]
    with reporter.phase("fit", sum(len(part.places) for part in parts)) as advance:
        for part in parts:
            stream = stream_features(
                network, images, batch_size=batch_size, workers=workers, order=order[part.places], observe=look
            )
            with closing(stream) as batches:
                ranks.together(partial(part.give, batches, images.ids, advance))
            for fitter in part.fitters:
                fitter.end_round(images.ids[order[0]], ranks if part.is_dealt else ALONE)
        for others in ranks.gathered_everywhere(lambda: dict(digests)):
            digests.update(others)
        guard.check_values(fitter.built for fitter in fitters)
        return {
            fitter.built.name: fitter.result(
                images.ids[order[0]], combine_digests(digests[index] for index in order[: fitter.wanted].tolist())
            )
            for fitter in fitters
        }


@dataclass(frozen=True)
class _Part:
    """What this process gives methods in one round.

    Args:
        fitters: The methods that have this round.
        places: Of the images, in the random order of all.
        is_dealt: Whether other processes give them the other images.
    """

    fitters: Sequence[_Fitter]
    places: NDArray[np.int64]
    is_dealt: bool

    @classmethod
    def of(cls, fitters: Sequence[_Fitter], ranks: Ranks, batch_size: int) -> _Part:
        """Deal the images of a round, in batches, where all methods can be merged."""
        length = max(fitter.wanted for fitter in fitters)
        is_dealt = ranks.count > 1 and all(hasattr(fitter.method, "merge") for fitter in fitters)
        places = ranks.share(length, batch_size) if is_dealt else list(range(length))
        return cls(fitters, np.array(places, dtype=np.int64), is_dealt)

    def give(self, batches: Iterable[FeatureBatch], ids: Sequence[str], advance: Callable[[int], None]) -> None:
        """Give the methods the features of their images."""
        seen = 0
        for batch in batches:
            before = int(self.places[seen])
            for fitter in self.fitters:
                fitter.add(batch, before, ids[batch.indices[0]])
            seen += len(batch.indices)
            advance(len(batch.indices))


@dataclass
class _Fitter:
    """Gives a method what it is fitted on.

    Args:
        built: The method.
        method: The same.
        wanted: How many images it wants.
        class_rows: Label -> row of the head; None where labels are rows.
        guard: Refuses a method that changes something.
    """

    built: BuiltMethod
    method: FittedMethod | LabelFittedMethod
    wanted: int
    class_rows: tuple[int, ...] | None
    guard: MethodGuard

    @property
    def rounds(self) -> int:
        """The number of passes over the images."""
        if not isinstance(self.method, LabelFittedMethod):
            return 1
        rounds = self.method.fit_rounds
        if not isinstance(rounds, int) or rounds < 1:
            raise UsageError(f"the method '{self.built.name}' cannot be fitted in {rounds} rounds; say 1 or more")
        return rounds

    @torch.no_grad()
    def add(self, batch: FeatureBatch, seen: int, first: str) -> None:
        """Give the method the images of a batch that it wants, of which so many were given before in the round."""
        if seen >= self.wanted:
            return
        features, method = batch.features[: self.wanted - seen].clone(), self.method
        doing = f"fitting the method '{self.built.name}' on the images from '{first}' on"
        if not isinstance(method, LabelFittedMethod):
            self._watched(lambda: method.partial_fit(features), doing, first, features=features)
            return
        rows = rows_of(batch.labels[: len(features)], self.class_rows)
        known = rows != NO_ROW  # the others are of classes of which no image is localized
        if known.any():
            given = {"features": features[known], "labels": rows[known]}
            self._watched(lambda: method.partial_fit(**given), doing, first, **given)

    @torch.no_grad()
    def end_round(self, first: str, ranks: Ranks) -> None:
        """Let the method take over what others were given in other processes, and conclude a round."""
        if ranks.count > 1:
            self.method, *others = ranks.gathered_everywhere(lambda: self.method)
            for other in others:
                doing = f"merging parts of the fit of the method '{self.built.name}'"
                self._watched(partial(self.method.merge, other), doing, first)  # type: ignore[union-attr, arg-type]
        if isinstance(self.method, LabelFittedMethod):
            self._watched(self.method.end_round, f"ending a round of the fit of the method '{self.built.name}'", first)

    @torch.no_grad()
    def result(self, first: str, images_sha256: str) -> Fit:
        """Return what became of the fit on the images of a hash, with the state on the CPU."""
        method, found = self.method, list[object]()
        if not isinstance(method, LabelFittedMethod):
            return Fit(self.wanted, images_sha256, method)
        doing = f"in what the fit of the method '{self.built.name}' found"
        self._watched(lambda: found.append(method.fit_state()), doing, first)
        return Fit(self.wanted, images_sha256, method, self.rounds, _checked_state(self.built, found[0]))

    def _watched(self, step: Callable[[], None], doing: str, first: str, **given: Tensor) -> None:
        with refusing_writes(self.built, given), self.guard.watch(self.built, doing, first):
            step()


def _checked_state(built: BuiltMethod, state: object) -> dict[str, Tensor]:
    """Return a state as tensors of its own on the CPU, or refuse one that cannot be saved."""
    whose = f"plugin {built.offer.provider}: the method '{built.name}' returned"
    if not isinstance(state, Mapping) or not state:
        raise PluginError(f"{whose} {type(state).__name__} as the state of its fit; expected a mapping: name -> tensor")
    for name, values in state.items():
        if not isinstance(name, str) or not name or text_problem(name):
            raise PluginError(f"{whose} {name!r:.100} as a name in the state of its fit; expected text")
        if not isinstance(values, Tensor) or values.layout is not torch.strided or values.is_complex():
            raise PluginError(f"{whose} {type(values).__name__} as '{name}' of its fit; expected a real tensor")
    return {name: values.detach().to("cpu", copy=True).contiguous() for name, values in state.items()}
