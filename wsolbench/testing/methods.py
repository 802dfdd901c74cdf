"""The checks of a method: its maps or boxes, its statistics, its fit, and what it leaves untouched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from wsolbench.contract import Boxes, FittedMethod, LabelFittedMethod, Maps, MethodContext, MethodSpec
from wsolbench.contract.options import build_with_options
from wsolbench.testing.expectations import expect, expect_boxes, expect_close, expect_finite, seeded, skip
from wsolbench.testing.options import check_options
from wsolbench.testing.process import expect_process_kept
from wsolbench.testing.toys import CLASSES, layers_in_train_mode, scene

__all__ = [
    "METHOD_CHECKS",
    "check_method_batch_invariance",
    "check_method_deterministic",
    "check_method_fit",
    "check_method_fit_with_labels",
    "check_method_leaves_its_input",
    "check_method_maps",
    "check_method_not_square",
    "check_method_one_channel",
    "check_method_process",
    "check_method_statistics",
]

_TOLERANCE = 1e-6
"""The largest difference that rounding may make, as a share of the largest value."""


def check_method_maps(spec: MethodSpec) -> None:
    """Raw maps are (B, h', w'), floating and finite; boxes are corners in fractions of the image."""
    _check_maps(spec, *scene())


def check_method_not_square(spec: MethodSpec) -> None:
    """Feature maps need not be square, in either direction."""
    for height, width in ((3, 8), (8, 3), (1, 5)):
        _check_maps(spec, *scene(height=height, width=width))


def check_method_one_channel(spec: MethodSpec) -> None:
    """One feature channel is enough."""
    _check_maps(spec, *scene(channels=1))


def check_method_deterministic(spec: MethodSpec) -> None:
    """The same features give the same bits twice."""
    features, context = scene()
    once, again = (_values(_made(spec, features, context)).nan_to_num() for _ in range(2))
    assert torch.equal(once, again), "raw maps or boxes: expected the same values twice, got others the second time"


def check_method_batch_invariance(spec: MethodSpec) -> None:
    """An image's map does not depend on what else is in its batch."""
    features, context = scene()
    alone = torch.cat([_values(made) for made in _run_on_single_images(spec, features, context)])
    together = _values(_made(spec, features, context))
    what = "raw maps or boxes of a batch and of single images"
    expect_close(what, together.nan_to_num(), alone.nan_to_num(), _TOLERANCE)


def check_method_statistics(spec: MethodSpec) -> None:
    """Statistics, if there are any, have names and are one number a map, whatever else is in the batch."""
    features, context = scene()
    together, alone = _made(spec, features, context), _run_on_single_images(spec, features, context)
    if not together.statistics and not any(made.statistics for made in alone):
        skip("the method returns no statistics")
    for name, values in together.statistics.items():
        assert isinstance(name, str), f"name of a statistic: expected text, got {name!r}"
        assert name, "name of a statistic: expected text, got none"
        assert isinstance(values, Tensor), f"statistic '{name}': expected a tensor, got {type(values).__name__}"
        expect(f"shape of the statistic '{name}'", (len(features),), tuple(values.shape))
        assert values.is_floating_point(), f"statistic '{name}': expected a floating type, got {values.dtype}"
    for made in alone:
        expect("statistics of one image and of a batch", sorted(together.statistics), sorted(made.statistics))
    for name, values in together.statistics.items():
        apart = torch.cat([made.statistics[name] for made in alone])
        what = f"the statistic '{name}' of a batch and of single images"
        expect(f"which are finite of {what}", apart.isfinite().tolist(), values.isfinite().tolist())
        expect_close(what, values.nan_to_num(), apart.nan_to_num(), _TOLERANCE)


def check_method_fit(spec: MethodSpec) -> None:
    """A fit, if there is one, wants some images or all, leaves features alone and does not depend on the batches."""
    method = _unfitted(spec)
    if not isinstance(method, FittedMethod):
        skip("the method is not fitted")
    wish = method.fit_images
    assert wish is None or isinstance(wish, int), f"fit_images: expected a whole number or None, got {wish!r}"
    assert wish is None or wish > 0, f"fit_images: expected a positive number, got {wish}"
    features, context = scene()
    given = _fit_input(method, context)
    before = [each.clone() for each in given]
    with torch.no_grad():
        method.partial_fit(*given)
    for what, now, then in zip(("features", "labels"), given, before, strict=False):
        assert torch.equal(now, then), f"{what} given to partial_fit: expected no change, got others"
    once, in_parts = (_values(_made(spec, features, context, batches=count)).nan_to_num() for count in (1, 3))
    expect_close("raw maps or boxes after a fit on one batch and on three", once, in_parts, _TOLERANCE)


def check_method_fit_with_labels(spec: MethodSpec) -> None:
    """A fit with labels, if there is one, has rounds, and a state of finite tensors; merged parts are the whole."""
    whole, halves = _unfitted(spec), (_unfitted(spec), _unfitted(spec))
    if not isinstance(whole, LabelFittedMethod):
        lacking = [name for name in ("merge", "end_round", "fit_state") if not hasattr(whole, name)]
        assert not hasattr(whole, "fit_rounds"), f"a fit with labels: expected all of it, got none of {lacking}"
        skip("the method is not fitted with labels")
    rounds = whole.fit_rounds
    assert isinstance(rounds, int), f"fit_rounds: expected a whole number, got {rounds!r}"
    assert rounds > 0, f"fit_rounds: expected a positive number, got {rounds}"
    _, context = scene()
    given = _fit_input(whole, context)
    with seeded(), torch.no_grad():
        _fit(whole, context, batches=2)
        for _ in range(rounds):
            for half, *part in zip(halves, *(each.chunk(2) for each in given), strict=True):
                half.partial_fit(*part)
            copy = deepcopy(halves[0])
            halves[0].merge(halves[1])
            halves[1].merge(copy)
            for half in halves:
                half.end_round()
    state, merged = whole.fit_state(), halves[0].fit_state()
    assert isinstance(state, Mapping), f"fit_state: expected a mapping, got {type(state).__name__}"
    assert state, "fit_state: expected a tensor at least, got none"
    expect("names in the states of a fit on all images and of merged fits on parts", sorted(state), sorted(merged))
    for name, values in state.items():
        assert isinstance(values, Tensor), f"'{name}' of fit_state: expected a tensor, got {type(values).__name__}"
        expect_finite(f"'{name}' of fit_state", values)
        expect_close(f"'{name}' of fits on all images and of merged fits on parts", values, merged[name], _TOLERANCE)


def check_method_leaves_its_input(spec: MethodSpec) -> None:
    """Features, images, classes, logits and the network stay as they were."""
    features, context = scene()
    network: Any = context.backbone
    given = {
        "features": features,
        "images": context.images,
        "class_indices": context.class_indices,
        "logits": context.logits,
        **network.state_dict(),
    }
    before = {what: value.clone() for what, value in given.items()}
    _made(spec, features, context)
    changed = [what for what, value in given.items() if not torch.equal(value, before[what])]
    assert not changed, f"what a method is given: expected no change, got {', '.join(changed)} changed"
    expect("layers of the network that are left in train mode", 0, layers_in_train_mode(network))
    hooks = sum(len(module._forward_hooks) + len(module._backward_hooks) for module in network.modules())
    expect("hooks left in the network", 0, hooks)


def check_method_process(spec: MethodSpec) -> None:
    """A method leaves seeds, threads and settings of the process as they are, and prints nothing to stdout."""
    features, context = scene()

    def act() -> None:
        method = _unfitted(spec)
        with torch.no_grad():
            _fit(method, context, batches=1)
            method(features.clone(), context)

    expect_process_kept(act)


METHOD_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_method_maps,
    check_method_not_square,
    check_method_one_channel,
    check_method_deterministic,
    check_method_batch_invariance,
    check_method_statistics,
    check_method_fit,
    check_method_fit_with_labels,
    check_method_leaves_its_input,
    check_method_process,
    check_options,
)


def _made(spec: MethodSpec, features: Tensor, context: MethodContext, *, batches: int = 1) -> Maps | Boxes:
    """Run a method as the core does, without gradients around it and with a seed; a fitted method is fitted first.

    Args:
        spec: The method.
        features: Features (B, K, h, w).
        context: The context of these features.
        batches: Number of batches that the same images are divided into for the fit.
    """
    method = _unfitted(spec)
    with seeded(), torch.no_grad():
        _fit(method, context, batches=batches)
        made = method(features, context)
    made = made if isinstance(made, Maps | Boxes) else Maps(made, {})
    assert isinstance(_values(made), Tensor), (
        f"raw maps or boxes: expected a tensor, got {type(_values(made)).__name__}"
    )
    return made


def _unfitted(spec: MethodSpec) -> Any:
    method, _ = build_with_options(f"the method '{spec.name}'", spec.build, {})
    return method


def _fit(method: Any, context: MethodContext, *, batches: int) -> None:
    """Fit a method on eight images, if it is to be fitted."""
    if not isinstance(method, FittedMethod):
        return
    parts = list(zip(*(each.chunk(batches) for each in _fit_input(method, context)), strict=True))
    for _ in range(method.fit_rounds if isinstance(method, LabelFittedMethod) else 1):
        for part in parts:
            method.partial_fit(*part)
        if isinstance(method, LabelFittedMethod):
            method.end_round()


def _fit_input(method: Any, context: MethodContext) -> tuple[Tensor, ...]:
    """Return features (8, K, h, w), and labels of all classes (8,) for a method that is fitted with them."""
    features = _fit_features(context)
    return (features, torch.arange(len(features)) % CLASSES) if isinstance(method, LabelFittedMethod) else (features,)


def _values(made: Maps | Boxes) -> Tensor:
    """Return raw maps (B, h', w'), or boxes (B, 4) or (B, n, 4)."""
    return made.boxes if isinstance(made, Boxes) else made.maps


def _fit_features(context: MethodContext) -> Tensor:
    """Return the features (8, K, h, w) of eight random images, which have the size of the scene's."""
    with seeded(1):
        images = torch.randn(8, *context.images.shape[1:])
        features = context.backbone.forward_features(images)
    assert isinstance(features, Tensor)  # the toy's
    return features


def _check_maps(spec: MethodSpec, features: Tensor, context: MethodContext) -> None:
    made = _made(spec, features, context)
    if isinstance(made, Boxes):
        expect_boxes(made, len(features))
        return
    maps = made.maps
    expect("dimensions of the raw maps", 3, maps.ndim)
    expect("raw maps", len(features), len(maps))
    assert maps.numel() > 0, f"raw maps: expected (B, h', w'), got {tuple(maps.shape)}"
    assert maps.is_floating_point(), f"raw maps: expected a floating type, got {maps.dtype}"
    expect_finite("raw maps", maps)


def _run_on_single_images(spec: MethodSpec, features: Tensor, context: MethodContext) -> list[Maps | Boxes]:
    return [_made(spec, features[one], context[one]) for one in (slice(i, i + 1) for i in range(len(features)))]
