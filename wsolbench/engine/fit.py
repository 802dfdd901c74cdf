"""The stage before anything is localized: fitted methods are given features of images of train-weaksup."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from wsolbench.contract import FittedMethod, ImageSplit, Split
from wsolbench.data.opened import OpenDataset
from wsolbench.engine.features import stream_features
from wsolbench.engine.guards import MethodGuard, refusing_writes
from wsolbench.engine.methods import BuiltMethod
from wsolbench.errors import UsageError
from wsolbench.networks.network import Network
from wsolbench.progress import Reporter


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


def fit_methods(
    methods: Sequence[BuiltMethod],
    network: Network,
    images: ImageSplit,
    *,
    seed: int,
    batch_size: int,
    workers: int,
    reporter: Reporter,
) -> dict[str, int]:
    """Fit every method that is to be fitted, all in one pass; each is given features and nothing else.

    The images are those of one random order, the first as many as a method wants: the choice depends on
    the seed only.

    Args:
        methods: The methods of a run; those that are not fitted are left alone.
        network: Whose features they are fitted on.
        images: All that may be drawn from, see `open_fit_images`.
        seed: Of the order.
        batch_size: Images in a forward pass.
        workers: Threads that load images.
        reporter: Told how far the work is.

    Returns:
        Method name -> how many images it was fitted on.

    Raises:
        DataError: An image cannot be read.
        PluginError: The network or a method fails, or a method changes something.
    """
    count = len(images.ids)
    fitted = [(built, built.method) for built in methods if isinstance(built.method, FittedMethod)]
    wanted = {built.name: min(method.fit_images or count, count) for built, method in fitted}
    order = np.random.default_rng(seed).permutation(count)[: max(wanted.values())]
    stream = stream_features(network, images, batch_size=batch_size, workers=workers, order=order)
    guard = MethodGuard(network.module, seed)
    seen = 0
    with reporter.phase("fit", len(order)) as advance, closing(stream) as batches:
        for batch in batches:
            first = images.ids[batch.indices[0]]
            for built, method in fitted:
                if seen < wanted[built.name]:
                    _fit_on(built, method, batch.features[: wanted[built.name] - seen], first, guard)
            seen += len(batch.indices)
            advance(len(batch.indices))
    guard.check_values(built for built, _ in fitted)
    return wanted


@torch.no_grad()
def _fit_on(built: BuiltMethod, method: FittedMethod, features: Tensor, first: str, guard: MethodGuard) -> None:
    own = features.clone()
    doing = f"fitting the method '{built.name}' on the images from '{first}' on"
    with refusing_writes(built, {"features": own}), guard.watch(built, doing, first):
        method.partial_fit(own)
