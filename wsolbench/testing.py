"""Conformance checks that the author of any plugin can run: one function a rule, named ``check_*``.

With pytest, in the plugin's own tests::

    @pytest.mark.parametrize(("name", "check"), conformance_checks(my_spec))
    def test_conforms(name, check):
        check()

Every check raises ``AssertionError``, saying what was expected and what came instead. Networks are built on the CPU
with initial weights, so nothing is downloaded and nothing but shipped checkpoints is read.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from wsolbench.contract import (
    Annotations,
    Augmenting,
    Averaging,
    BackboneSpec,
    Dataset,
    DatasetRoots,
    FittedMethod,
    Fusable,
    ImageSplit,
    InputConfig,
    Layered,
    Maps,
    MethodContext,
    MethodSpec,
    RecipeSpec,
    Reparameterizable,
    SpatialHead,
    Spec,
    Split,
    StochasticDepth,
)
from wsolbench.contract.backbones import Interpolation
from wsolbench.contract.options import build_with_options, list_options
from wsolbench.errors import UsageError
from wsolbench.networks.weights import count_classes, load_state, read_state_dict

Check = Callable[[], None]

_CLASSES = 5
_NETWORK_TOLERANCE = 1e-4
_METHOD_TOLERANCE = 1e-6
_SAMPLED = 5


def conformance_checks(
    spec: Spec, *, roots: DatasetRoots | None = None, class_counts: Mapping[str, int] | None = None
) -> list[tuple[str, Check]]:
    """Return the checks of a spec, with names. Nothing is built before a check is called.

    Args:
        spec: What a plugin offers.
        roots: Of a data set: where it lies.
        class_counts: Of a backbone: how many classes the data sets have that its checkpoints name.
    """
    if isinstance(spec, BackboneSpec):
        checkpoints: Check = partial(check_backbone_checkpoints, spec, class_counts or {})
        return [*_named(_BACKBONE_CHECKS, lambda: spec), ("check_backbone_checkpoints", checkpoints)]
    if isinstance(spec, MethodSpec):
        return _named(_METHOD_CHECKS, lambda: spec)
    if isinstance(spec, RecipeSpec):
        return _named(_RECIPE_CHECKS, lambda: spec)
    build = cache(lambda: spec.build(roots or DatasetRoots()))
    return _named(_DATASET_CHECKS, build)


def _named(checks: tuple[Callable[[Any], None], ...], subject: Callable[[], Any]) -> list[tuple[str, Check]]:
    def bound(check: Callable[[Any], None]) -> Check:
        return lambda: check(subject())

    return [(check.__name__, bound(check)) for check in checks]


def _expect(what: str, expected: object, actual: object) -> None:
    assert expected == actual, f"{what}: expected {expected}, got {actual}"


def _expect_close(what: str, expected: Tensor, actual: Tensor, tolerance: float) -> None:
    """Compare within a share of the largest expected value."""
    _expect(f"shape of {what}", tuple(expected.shape), tuple(actual.shape))
    difference = float((expected.double() - actual.double()).abs().max())
    allowed = tolerance * max(float(expected.double().abs().max()), 1e-30)
    assert difference <= allowed, f"{what}: expected a difference of at most {allowed:.3g}, got {difference:.3g}"


def _expect_finite(what: str, values: Tensor) -> None:
    broken = int((~values.isfinite()).sum())
    assert broken == 0, f"{what}: expected finite values, got {broken} of {values.numel()} that are not"


@contextmanager
def _seeded(seed: int = 0) -> Iterator[None]:
    """Make random draws repeatable, and leave the caller's generator where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


# ---------------------------------------------------------------------------------------------------------- backbones


def check_input_config(spec: BackboneSpec) -> None:
    """The input has a positive size, means of [0, 1], positive deviations and a known interpolation."""
    config = spec.input
    assert isinstance(config.size, int), f"input size: expected a whole number, got {config.size!r}"
    assert config.size > 0, f"input size: expected a positive number, got {config.size}"
    for what, values in (("mean", config.mean), ("std", config.std)):
        _expect(f"channels of the input's {what}", 3, len(values))
        assert all(0 <= value <= 1 for value in values), f"input {what}: expected fractions of [0, 1], got {values}"
    assert all(value > 0 for value in config.std), f"input std: expected positive values, got {config.std}"
    known = get_args(Interpolation)
    assert config.interpolation in known, f"interpolation: expected one of {known}, got {config.interpolation!r}"


def check_backbone_on_meta(spec: BackboneSpec) -> None:
    """The network can be built without memory; its shapes fit, also with its branches merged."""
    with torch.device("meta"):
        network: Any = spec.build(_CLASSES)
        images = torch.zeros(2, 3, spec.input.size, spec.input.size)
    network.eval()
    _check_shapes(network, images, _CLASSES)
    _check_classifier_key(spec, network, _CLASSES)
    if isinstance(network, Reparameterizable):
        with torch.no_grad():
            network.reparameterize()
        _check_shapes(network, images, _CLASSES)


def check_backbone_shapes(spec: BackboneSpec) -> None:
    """``forward_features`` is (B, K, h, w), ``forward_head`` (B, C), ``classifier_weight`` (C, K); all are finite."""
    network, images = _network(spec)
    for what, values in zip(("features", "logits"), _check_shapes(network, images, _CLASSES), strict=True):
        _expect_finite(what, values)
    _expect_finite("classifier_weight", network.classifier_weight)


def check_backbone_classifier_key(spec: BackboneSpec) -> None:
    """``classifier_key`` names an entry of the state dict whose first dimension is the number of classes."""
    network, _ = _network(spec)
    _check_classifier_key(spec, network, _CLASSES)


def check_backbone_converts_itself(spec: BackboneSpec) -> None:
    """``convert_weights``, if there is one, gives the network's own state dict back as it is, merged or not."""
    if spec.convert_weights is None:
        return
    network, _ = _network(spec)
    _check_converts_itself(spec, network)
    if isinstance(network, Reparameterizable):
        network.reparameterize()
        _check_converts_itself(spec, network)


def check_backbone_deterministic(spec: BackboneSpec) -> None:
    """Two forward passes in eval mode give the same bits."""
    network, images = _network(spec)
    for what, first, second in zip(
        ("features", "logits"), _forward(network, images), _forward(network, images), strict=True
    ):
        assert torch.equal(first, second), f"{what}: expected the same values twice, got others the second time"


def check_backbone_batch_invariance(spec: BackboneSpec) -> None:
    """An image's features and logits do not depend on what else is in its batch."""
    network, images = _network(spec)
    together = _forward(network, images)
    alone = [_forward(network, image[None]) for image in images]
    for position, what in enumerate(("features", "logits")):
        _expect_close(
            f"{what} of a batch and of single images",
            together[position],
            torch.cat([one[position] for one in alone]),
            _NETWORK_TOLERANCE,
        )


def check_backbone_eval_mode(spec: BackboneSpec) -> None:
    """A forward pass in eval mode changes no parameter or buffer, and eval mode is restored after train mode."""
    network, images = _network(spec)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    expected = _forward(network, images)
    changed = [key for key, value in network.state_dict().items() if not torch.equal(value, before[key])]
    assert not changed, f"state after a forward pass in eval mode: expected no change, got {', '.join(changed)} changed"
    network.train()
    network.eval()
    for what, one, other in zip(("features", "logits"), expected, _forward(network, images), strict=True):
        assert torch.equal(one, other), f"{what} after train() and eval(): expected the same values, got others"


def check_backbone_reparameterize(spec: BackboneSpec) -> None:
    """Merging the branches, if the network has any, changes features and logits by rounding only; twice is once."""
    network, images = _network(spec)
    if isinstance(network, Reparameterizable):
        _check_nothing_changes(network, images, "reparameterize")


def check_backbone_fold(spec: BackboneSpec) -> None:
    """Folding the norms, if the network offers it, changes features and logits by rounding only; twice is once."""
    network, images = _network(spec)
    if isinstance(network, Fusable):
        _check_nothing_changes(network, images, "fuse")


def _check_nothing_changes(network: Any, images: Tensor, method: str) -> None:
    before = _forward(network, images)
    for times in ("once", "twice"):
        with torch.no_grad():
            getattr(network, method)()
        for what, expected, actual in zip(("features", "logits"), before, _forward(network, images), strict=True):
            _expect_close(f"{what} after {method}() {times}", expected, actual, _NETWORK_TOLERANCE)


def check_backbone_drop_path(spec: BackboneSpec) -> None:
    """Stochastic depth, if the network offers it, leaves blocks out in train mode and changes nothing in eval mode."""
    network, images = _network(spec)
    offered = isinstance(network, StochasticDepth)
    if not offered:
        return
    features, _ = _forward(network, images)
    try:
        network.set_drop_path(0.5)
    except UsageError:  # of a family whose other networks have blocks
        return

    def drawn(seed: int) -> Tensor:
        with _seeded(seed):
            return _forward(network, images)[0]

    # A few draws: one may leave nothing out.
    for seed in range(4):
        assert torch.equal(features, drawn(seed)), "features in eval mode: expected no change, got others"
    network.train()
    first = drawn(0)
    differ = any(not torch.equal(first, drawn(seed)) for seed in range(1, 16))
    assert differ, "features in train mode: expected others from other seeds, got the same"


def check_backbone_layers(spec: BackboneSpec) -> None:
    """Layers, if the network numbers them, have whole numbers from 0, one for every parameter; the last classifies."""
    with torch.device("meta"):
        network: Any = spec.build(_CLASSES)
    offered = isinstance(network, Layered)
    if not offered:
        return
    numbers = network.layer_ids()
    _expect("parameters with a layer", sorted(name for name, _ in network.named_parameters()), sorted(numbers))
    _expect("number of the first layer", 0, min(numbers.values()))
    _expect(f"number of the layer of {spec.classifier_key}", max(numbers.values()), numbers[spec.classifier_key])


def check_backbone_effective_weights(spec: BackboneSpec) -> None:
    """Effective weights, if the network offers any, give maps whose mean plus the constant is the class score."""
    network, images = _network(spec)
    if not isinstance(network, SpatialHead):
        return
    features, logits = _forward(network, images)
    classes = torch.arange(len(images)) % _CLASSES
    with torch.no_grad():
        weights, constants = network.effective_weights(features, classes)
    _expect("shape of effective weights", tuple(features.shape[:2]), tuple(weights.shape))
    maps = (weights[:, :, None, None] * features).sum(dim=1)
    expected = logits.gather(1, classes[:, None])[:, 0]
    _expect_close("logits and effective maps", expected, maps.mean(dim=(1, 2)) + constants, _NETWORK_TOLERANCE)


def check_backbone_checkpoints(spec: BackboneSpec, class_counts: Mapping[str, int]) -> None:
    """Shipped checkpoints exist, fit the network strictly, hold finite numbers and know their data set's classes."""
    for checkpoint in spec.checkpoints:
        path = checkpoint.path
        assert path.is_file(), f"checkpoint for '{checkpoint.dataset}': expected a file {path}, got none"
        state = read_state_dict(path, spec)
        classes = count_classes(path, spec, state)
        if checkpoint.dataset in class_counts:
            _expect(f"classes of {path.name}", class_counts[checkpoint.dataset], classes)
        for key, value in state.items():
            _expect_finite(f"{key} of {path.name}", value)
        load_state(path, spec, _build(spec, classes), state)


_BACKBONE_CHECKS = (
    check_input_config,
    check_backbone_on_meta,
    check_backbone_shapes,
    check_backbone_classifier_key,
    check_backbone_converts_itself,
    check_backbone_deterministic,
    check_backbone_batch_invariance,
    check_backbone_eval_mode,
    check_backbone_reparameterize,
    check_backbone_fold,
    check_backbone_effective_weights,
    check_backbone_drop_path,
    check_backbone_layers,
)


def _build(spec: BackboneSpec, classes: int) -> Any:
    with torch.device("cpu"):
        network = spec.build(classes)
    assert isinstance(network, nn.Module), f"build: expected a torch.nn.Module, got {type(network).__name__}"
    for part in ("forward_features", "forward_head", "classifier_weight"):
        assert hasattr(network, part), f"build: expected a Backbone, got {type(network).__name__}, which lacks {part}"
    return network


def _network(spec: BackboneSpec) -> tuple[Any, Tensor]:
    """Return a network in eval mode and three images. Its norms are shaken: initial ones hide what they do."""
    with _seeded():
        network = _build(spec, _CLASSES)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm):
                _shake(module)
        images = torch.randn(3, 3, spec.input.size, spec.input.size)
    return network.eval().requires_grad_(False), images


def _shake(norm: nn.modules.batchnorm._NormBase | nn.LayerNorm) -> None:
    mean, variance = getattr(norm, "running_mean", None), getattr(norm, "running_var", None)
    with torch.no_grad():
        if mean is not None and variance is not None:
            mean.normal_(0, 0.2)
            variance.uniform_(0.5, 2)
        if norm.weight is not None:
            norm.weight.uniform_(0.5, 1.5)
        if norm.bias is not None:
            norm.bias.normal_(0, 0.2)


@torch.no_grad()
def _forward(network: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    features = network.forward_features(images)
    return features, network.forward_head(features)


@torch.no_grad()
def _check_shapes(network: Any, images: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    features = network.forward_features(images)
    _expect("dimensions of forward_features", 4, features.ndim)
    batch, channels, height, width = features.shape
    _expect("images in forward_features", len(images), batch)
    assert min(channels, height, width) > 0, f"forward_features: expected (B, K, h, w), got {tuple(features.shape)}"
    logits = network.forward_head(features)
    _expect("shape of forward_head", (len(images), classes), tuple(logits.shape))
    _expect("shape of classifier_weight", (classes, channels), tuple(network.classifier_weight.shape))
    return features, logits


def _check_classifier_key(spec: BackboneSpec, network: Any, classes: int) -> None:
    state = network.state_dict()
    assert spec.classifier_key in state, (
        f"classifier_key: expected an entry of the state dict, got {spec.classifier_key!r}"
    )
    shape = tuple(state[spec.classifier_key].shape)
    _expect(f"first dimension of '{spec.classifier_key}' {shape}", classes, shape[0] if shape else None)


def _check_converts_itself(spec: BackboneSpec, network: Any) -> None:
    assert spec.convert_weights is not None
    own = network.state_dict()
    converted = spec.convert_weights(dict(own))
    _expect("entries after convert_weights of the network's own", sorted(own), sorted(converted))
    changed = [key for key, value in own.items() if not torch.equal(value, converted[key])]
    assert not changed, f"convert_weights of the network's own: expected no change, got {', '.join(changed)} changed"


# ------------------------------------------------------------------------------------------------------------ methods


class _ToyNetwork(nn.Module):
    """A backbone of one convolution with stride 8, for methods and recipes."""

    def __init__(self, channels: int = 6, classes: int = _CLASSES) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 8, stride=8)
        self.head = nn.Linear(channels, classes)

    def forward_features(self, images: Tensor) -> Tensor:
        features: Tensor = self.conv(images)
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))

    @property
    def classifier_weight(self) -> Tensor:
        return self.head.weight


def _scene(channels: int = 6, height: int = 7, width: int = 7) -> tuple[Tensor, MethodContext]:
    """Return features of four random images, and the context in which a method meets them."""
    with _seeded():
        network = _ToyNetwork(channels).eval().requires_grad_(False)
        images = torch.randn(4, 3, 8 * height, 8 * width)
        features, logits = _forward(network, images)
    return features, MethodContext(network, images, torch.tensor([0, 3, 1, 3]), logits)


def _made(spec: MethodSpec, features: Tensor, context: MethodContext, *, batches: int = 1) -> Maps:
    """Run a method as the core does, without gradients around it and with a seed; fit it first, if it is to be fitted.

    Args:
        spec: The method.
        features: What it is given.
        context: What it may look at.
        batches: How many batches it is fitted on; they hold the same images, however many they are.
    """
    method, _ = build_with_options(f"the method '{spec.name}'", spec.build, {})
    with _seeded(), torch.no_grad():
        if isinstance(method, FittedMethod):
            for part in _fit_features(context).chunk(batches):
                method.partial_fit(part)
        made = method(features, context)
    made = made if isinstance(made, Maps) else Maps(made, {})
    assert isinstance(made.maps, Tensor), f"raw maps: expected a tensor, got {type(made.maps).__name__}"
    return made


def _maps(spec: MethodSpec, features: Tensor, context: MethodContext) -> Tensor:
    return _made(spec, features, context).maps


def _fit_features(context: MethodContext) -> Tensor:
    """Return the features of eight random images, of the size of a scene."""
    with _seeded(1):
        images = torch.randn(8, *context.images.shape[1:])
    features: Tensor = context.backbone.forward_features(images)
    return features


def _check_maps(spec: MethodSpec, features: Tensor, context: MethodContext) -> None:
    maps = _maps(spec, features, context)
    _expect("dimensions of the raw maps", 3, maps.ndim)
    _expect("raw maps", len(features), len(maps))
    assert maps.numel() > 0, f"raw maps: expected (B, h', w'), got {tuple(maps.shape)}"
    assert maps.is_floating_point(), f"raw maps: expected a floating type, got {maps.dtype}"
    _expect_finite("raw maps", maps)


def check_method_maps(spec: MethodSpec) -> None:
    """Raw maps are (B, h', w'), floating and finite."""
    _check_maps(spec, *_scene())


def check_method_not_square(spec: MethodSpec) -> None:
    """Feature maps need not be square, in either direction."""
    for height, width in ((3, 8), (8, 3), (1, 5)):
        _check_maps(spec, *_scene(height=height, width=width))


def check_method_one_channel(spec: MethodSpec) -> None:
    """One feature channel is enough."""
    _check_maps(spec, *_scene(channels=1))


def check_method_deterministic(spec: MethodSpec) -> None:
    """The same features give the same bits twice."""
    features, context = _scene()
    same = torch.equal(_maps(spec, features, context), _maps(spec, features, context))
    assert same, "raw maps: expected the same values twice, got others the second time"


def _one_by_one(spec: MethodSpec, features: Tensor, context: MethodContext) -> list[Maps]:
    return [
        _made(spec, features[one], MethodContext(context.backbone, context.images[one], classes, context.logits[one]))
        for one, classes in ((slice(i, i + 1), context.class_indices[i : i + 1]) for i in range(len(features)))
    ]


def check_method_batch_invariance(spec: MethodSpec) -> None:
    """An image's map does not depend on what else is in its batch."""
    features, context = _scene()
    alone = torch.cat([made.maps for made in _one_by_one(spec, features, context)])
    _expect_close("raw maps of a batch and of single images", _maps(spec, features, context), alone, _METHOD_TOLERANCE)


def check_method_statistics(spec: MethodSpec) -> None:
    """Statistics, if there are any, have names and are one number a map, whatever else is in the batch."""
    features, context = _scene()
    together, alone = _made(spec, features, context), _one_by_one(spec, features, context)
    for name, values in together.statistics.items():
        assert isinstance(name, str), f"name of a statistic: expected text, got {name!r}"
        assert name, "name of a statistic: expected text, got none"
        assert isinstance(values, Tensor), f"statistic '{name}': expected a tensor, got {type(values).__name__}"
        _expect(f"shape of the statistic '{name}'", (len(features),), tuple(values.shape))
        assert values.is_floating_point(), f"statistic '{name}': expected a floating type, got {values.dtype}"
    for made in alone:
        _expect("statistics of one image and of a batch", sorted(together.statistics), sorted(made.statistics))
    for name, values in together.statistics.items():
        apart = torch.cat([made.statistics[name] for made in alone])
        what = f"the statistic '{name}' of a batch and of single images"
        _expect(f"which are finite of {what}", apart.isfinite().tolist(), values.isfinite().tolist())
        _expect_close(what, values.nan_to_num(), apart.nan_to_num(), _METHOD_TOLERANCE)


def check_method_fit(spec: MethodSpec) -> None:
    """A fit, if there is one, wants some images or all, leaves features alone and does not depend on the batches."""
    method, _ = build_with_options(f"the method '{spec.name}'", spec.build, {})
    if not isinstance(method, FittedMethod):
        return
    wish = method.fit_images
    assert wish is None or isinstance(wish, int), f"fit_images: expected a whole number or None, got {wish!r}"
    assert wish is None or wish > 0, f"fit_images: expected a positive number, got {wish}"
    features, context = _scene()
    seen = _fit_features(context)
    before = seen.clone()
    with torch.no_grad():
        method.partial_fit(seen)
    assert torch.equal(seen, before), "features given to partial_fit: expected no change, got others"
    once, in_parts = (_made(spec, features, context, batches=count).maps for count in (1, 3))
    _expect_close("raw maps after a fit on one batch and on three", once, in_parts, _METHOD_TOLERANCE)


def check_method_leaves_its_input(spec: MethodSpec) -> None:
    """Features, images, classes, logits and the network stay as they were."""
    features, context = _scene()
    network: Any = context.backbone
    given = {
        "features": features,
        "images": context.images,
        "class_indices": context.class_indices,
        "logits": context.logits,
        **network.state_dict(),
    }
    before = {what: value.clone() for what, value in given.items()}
    _maps(spec, features, context)
    changed = [what for what, value in given.items() if not torch.equal(value, before[what])]
    assert not changed, f"what a method is given: expected no change, got {', '.join(changed)} changed"
    assert not network.training, "mode of the network: expected eval mode, got train mode"
    hooks = sum(len(module._forward_hooks) + len(module._backward_hooks) for module in network.modules())
    _expect("hooks left in the network", 0, hooks)


def check_options(spec: MethodSpec | RecipeSpec) -> None:
    """Every option has a default, which comes back when it is given as text."""
    options = list_options(spec.build)
    required = [option.name for option in options if option.required]
    assert not required, f"options: expected a default for each, got none for {', '.join(required)}"
    texts = {option.name: str(option.default) for option in options}
    _, values = build_with_options(f"'{spec.name}'", spec.build, texts)
    _expect("options from their defaults as text", {option.name: option.default for option in options}, values)


_METHOD_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_method_maps,
    check_method_not_square,
    check_method_one_channel,
    check_method_deterministic,
    check_method_batch_invariance,
    check_method_statistics,
    check_method_fit,
    check_method_leaves_its_input,
    check_options,
)


# ---------------------------------------------------------------------------------------------------------- data sets


def check_dataset_identity(dataset: Dataset) -> None:
    """A data set has a name, a version (possibly empty), distinct classes and at least one split."""
    assert isinstance(dataset.name, str), f"name: expected text, got {dataset.name!r}"
    assert dataset.name, "name: expected text, got none"
    assert isinstance(dataset.version, str), f"version: expected text, got {dataset.version!r}"
    _expect("distinct class names", len(dataset.class_names), len(set(dataset.class_names)))
    assert len(dataset.class_names) > 0, "class names: expected at least one, got none"
    assert dataset.splits, "splits: expected at least one, got none"
    strange = [split for split in dataset.splits if not isinstance(split, Split)]
    assert not strange, f"splits: expected members of Split, got {strange}"


def check_dataset_ids(dataset: Dataset) -> None:
    """Every split has images, and their ids are unique texts, across splits too."""
    seen: dict[str, Split] = {}
    for split, images in _splits(dataset):
        assert images.ids, f"images of {split.label}: expected at least one, got none"
        _expect(f"unique ids of {split.label}", len(images.ids), len(set(images.ids)))
        strange = [image_id for image_id in images.ids if not isinstance(image_id, str) or not image_id]
        assert not strange, f"ids of {split.label}: expected text, got {strange[0]!r}"
        shared = [image_id for image_id in images.ids if image_id in seen]
        assert not shared, f"ids of {split.label}: expected none of another split, got {shared[0]!r}"
        seen.update(dict.fromkeys(images.ids, split))


def check_dataset_labels(dataset: Dataset) -> None:
    """Labels are int64, one an image, and name classes."""
    for split, images in _splits(dataset):
        _expect(f"type of the labels of {split.label}", np.dtype(np.int64), images.labels.dtype)
        _expect(f"shape of the labels of {split.label}", (len(images.ids),), images.labels.shape)
        low, high, classes = int(images.labels.min()), int(images.labels.max()), len(dataset.class_names)
        assert low >= 0, f"labels of {split.label}: expected 0 to {classes - 1}, got {low}"
        assert high < classes, f"labels of {split.label}: expected 0 to {classes - 1}, got {high}"


def check_dataset_images(dataset: Dataset) -> None:
    """Images load as RGB, uint8 (H, W, 3), the same twice, and their files, if any, as bytes. Some are loaded."""
    for split, images in _splits(dataset):
        for index in _sampled(len(images.ids)):
            image, what = images.load(index), f"image '{images.ids[index]}' of {split.label}"
            _expect(f"type of {what}", np.dtype(np.uint8), image.dtype)
            assert image.ndim == 3, f"{what}: expected (H, W, 3), got {image.shape}"
            _expect(f"channels of {what}", 3, image.shape[2])
            again = np.array_equal(image, images.load(index))
            assert again, f"{what}: expected the same pixels twice, got others the second time"
            if images.read is not None:
                _expect(f"type of the file of {what}", bytes, type(images.read(index)))


def check_dataset_boxes(dataset: Dataset) -> None:
    """Where an evaluated split has boxes, every image has one, with x0 <= x1 and y0 <= y1 inside its size."""
    for split, images, truth in _annotated(dataset):
        if not truth.boxes:
            continue
        for image_id in images.ids:
            assert image_id in truth.boxes, f"boxes of {split.label}: expected some of '{image_id}', got none"
            assert image_id in truth.image_sizes, f"sizes of {split.label}: expected '{image_id}', got none"
            boxes = np.asarray(truth.boxes[image_id])
            what = f"boxes of '{image_id}'"
            assert boxes.ndim == 2, f"{what}: expected (n, 4), got {boxes.shape}"
            assert boxes.shape[0] > 0, f"{what}: expected at least one, got none"
            _expect(f"numbers in a box of '{image_id}'", 4, boxes.shape[1])
            assert np.issubdtype(boxes.dtype, np.integer), f"{what}: expected whole numbers, got {boxes.dtype}"
            width, height = truth.image_sizes[image_id]
            inside = (boxes[:, :2] >= 0).all() and (boxes[:, 2:] < (width, height)).all()
            assert inside, f"{what}: expected corners inside {width}×{height}, got {boxes.tolist()}"
            assert (boxes[:, :2] <= boxes[:, 2:]).all(), f"{what}: expected x0 <= x1 and y0 <= y1, got {boxes.tolist()}"
        for index in _sampled(len(images.ids)):
            height, width = images.load(index).shape[:2]
            _expect(f"size of '{images.ids[index]}'", truth.image_sizes[images.ids[index]], (width, height))


def check_dataset_masks(dataset: Dataset) -> None:
    """Where an evaluated split has masks, they are bool and two-dimensional, with some foreground."""
    for split, images, truth in _annotated(dataset):
        if truth.load_mask is None:
            continue
        for index in _sampled(len(images.ids)):
            masks, what = truth.load_mask(images.ids[index]), f"mask of '{images.ids[index]}' of {split.label}"
            _expect(f"type of the {what}", np.dtype(np.bool_), masks.foreground.dtype)
            _expect(f"dimensions of the {what}", 2, masks.foreground.ndim)
            assert masks.foreground.any(), f"{what}: expected some foreground, got none"
            if masks.ignore is not None:
                _expect(f"type of the ignore {what}", np.dtype(np.bool_), masks.ignore.dtype)
                _expect(f"dimensions of the ignore {what}", 2, masks.ignore.ndim)


def check_dataset_can_be_scored(dataset: Dataset) -> None:
    """Every evaluated split has boxes or masks."""
    for split, _, truth in _annotated(dataset):
        there = bool(truth.boxes) or truth.load_mask is not None
        assert there, f"annotations of {split.label}: expected boxes or masks, got neither"


_DATASET_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_dataset_identity,
    check_dataset_ids,
    check_dataset_labels,
    check_dataset_images,
    check_dataset_boxes,
    check_dataset_masks,
    check_dataset_can_be_scored,
)


def _splits(dataset: Dataset) -> list[tuple[Split, ImageSplit]]:
    return [(split, dataset.images(split)) for split in Split if split in dataset.splits]


def _annotated(dataset: Dataset) -> list[tuple[Split, ImageSplit, Annotations]]:
    """Return the splits that are evaluated."""
    evaluated = [(split, images) for split, images in _splits(dataset) if split is not Split.TRAIN_WEAKSUP]
    return [(split, images, dataset.annotations(split)) for split, images in evaluated]


def _sampled(count: int) -> list[int]:
    """Return a few positions of so many, the first and the last among them."""
    return sorted({round(position) for position in np.linspace(0, count - 1, min(count, _SAMPLED))})


# ------------------------------------------------------------------------------------------------------------ recipes


def check_recipe_numbers(spec: RecipeSpec) -> None:
    """Epochs and batch size are positive whole numbers."""
    recipe = spec.build()
    for what in ("epochs", "batch_size"):
        value = getattr(recipe, what)
        assert isinstance(value, int), f"{what}: expected a whole number, got {value!r}"
        assert value > 0, f"{what}: expected a positive number, got {value}"


def check_recipe_prepare(spec: RecipeSpec) -> None:
    """Prepared images keep shape and type, and are finite; targets that are a tensor have one entry an image."""
    images, labels = _batch()
    prepared, targets = _prepared(spec)
    _expect("shape of prepared images", tuple(images.shape), tuple(prepared.shape))
    _expect("type of prepared images", images.dtype, prepared.dtype)
    _expect_finite("prepared images", prepared)
    if isinstance(targets, Tensor):
        _expect("targets", len(labels), len(targets))


def check_recipe_deterministic(spec: RecipeSpec) -> None:
    """Every random draw comes from the generator that is given: the global one changes nothing."""
    logits = _logits()
    with _seeded(1):
        first, first_targets = _prepared(spec)
        first_loss = spec.build().loss(logits, first_targets)
    with _seeded(2):
        second, second_targets = _prepared(spec)
        second_loss = spec.build().loss(logits, second_targets)
    assert torch.equal(first, second), "prepared images: expected the same from an equal generator, got others"
    assert torch.equal(first_loss, second_loss), "loss: expected the same from an equal generator, got another"


def check_recipe_augment(spec: RecipeSpec) -> None:
    """Images that the recipe augments itself have the network's size, and hang on the given generator alone."""
    recipe = spec.build()
    if not isinstance(recipe, Augmenting):
        return
    config = InputConfig(size=32)
    for number, shape in enumerate(((48, 31, 3), (32, 32, 3), (9, 20, 3))):
        image = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
        before = image.copy()
        made = []
        for seed in (1, 2):
            with _seeded(seed), _python_seeded(seed):
                made.append(recipe.augment(image, config, np.random.default_rng((0, number))))
        _expect("shape of an augmented image", (config.size, config.size, 3), made[0].shape)
        _expect("type of an augmented image", np.dtype(np.uint8), made[0].dtype)
        assert np.array_equal(made[0], made[1]), (
            "augmented image: expected the same from an equal generator, got another"
        )
        assert np.array_equal(image, before), "the image itself: expected no change, got another"


def check_recipe_average(spec: RecipeSpec) -> None:
    """The highest decay of an average of the weights, if there is one, lies between 0 and 1."""
    recipe = spec.build()
    if isinstance(recipe, Averaging) and recipe.ema is not None:
        assert 0 < recipe.ema < 1, f"ema: expected a number between 0 and 1, got {recipe.ema}"


def check_recipe_continues(spec: RecipeSpec) -> None:
    """An optimizer and a schedule that are rebuilt from their saved state go on as if nothing had happened."""
    expected, actual = (_parameters_after_training(spec, interrupted=interrupted) for interrupted in (False, True))
    for one, other in zip(expected, actual, strict=True):
        assert torch.equal(one, other), "parameters after a training cut in two: expected those of one, got others"


def check_recipe_step(spec: RecipeSpec) -> None:
    """The loss is one finite number, and steps of the optimizer and its schedule change the network."""
    steps = 4
    with _seeded():
        network = _ToyNetwork().train()
        before = [parameter.detach().clone() for parameter in network.parameters()]
        recipe = spec.build()
        optimizer, schedule = recipe.optimizer(network, steps)
        for _ in range(steps):
            prepared, targets = _prepared(spec)
            loss = recipe.loss(network(prepared), targets)
            _expect("shape of the loss", (), tuple(loss.shape))
            _expect_finite("loss", loss)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    parameters = list(network.parameters())
    for parameter in parameters:
        _expect_finite("parameters after training", parameter)
    changed = any(not torch.equal(one, other) for one, other in zip(before, parameters, strict=True))
    assert changed, "parameters after training: expected a change, got none"


_RECIPE_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_recipe_numbers,
    check_recipe_prepare,
    check_recipe_deterministic,
    check_recipe_augment,
    check_recipe_average,
    check_recipe_step,
    check_recipe_continues,
    check_options,
)


def _batch() -> tuple[Tensor, Tensor]:
    with _seeded():
        return torch.randn(6, 3, 24, 32), torch.arange(6) % _CLASSES


def _prepared(spec: RecipeSpec) -> tuple[Tensor, Tensor]:
    images, labels = _batch()
    return spec.build().prepare(images, labels, torch.Generator().manual_seed(0))


def _logits() -> Tensor:
    with _seeded():
        return torch.randn(6, _CLASSES)


@contextmanager
def _python_seeded(seed: int) -> Iterator[None]:
    """Seed the generators of Python and numpy, and leave the caller's where they were."""
    before, numpy_before = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)  # noqa: NPY002


def _parameters_after_training(spec: RecipeSpec, *, interrupted: bool, steps: int = 4) -> list[Tensor]:
    """Return the parameters after some steps; if interrupted, network, optimizer and schedule are rebuilt half-way."""
    recipe = spec.build()
    with _seeded():
        network = _ToyNetwork().train()
        optimizer, schedule = recipe.optimizer(network, steps)
        for step in range(steps):
            if interrupted and step == steps // 2:
                saved = io.BytesIO()
                torch.save([part.state_dict() for part in (network, optimizer, schedule)], saved)
                saved.seek(0)
                states = torch.load(saved, weights_only=True)
                network = _ToyNetwork().train()
                optimizer, schedule = recipe.optimizer(network, steps)
                for part, state in zip((network, optimizer, schedule), states, strict=True):
                    part.load_state_dict(state)
            prepared, targets = _prepared(spec)
            optimizer.zero_grad()
            recipe.loss(network(prepared), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return [parameter.detach() for parameter in network.parameters()]
