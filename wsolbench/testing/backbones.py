"""The checks of a backbone: shapes, batches, modes, optional traits and shipped weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn

from wsolbench.contract import (
    Attentive,
    BackboneSpec,
    Boxes,
    Features,
    Fusable,
    Layered,
    Localizing,
    Maps,
    Reparameterizable,
    SpatialHead,
    StochasticDepth,
    Tapped,
    Trainable,
)
from wsolbench.contract.backbones import class_weights, maps_and_rest, with_rest
from wsolbench.contract.choices import Interpolation
from wsolbench.errors import UsageError
from wsolbench.networks.class_weights import class_weights_fault, has_gradients
from wsolbench.networks.shapes import build_shapes
from wsolbench.networks.weights import check_values, count_classes, load_state, read_state
from wsolbench.testing.expectations import expect, expect_boxes, expect_close, expect_finite, seeded, skip
from wsolbench.testing.process import expect_process_kept
from wsolbench.testing.toys import CLASSES, layers_in_train_mode

__all__ = [
    "BACKBONE_CHECKS",
    "check_backbone_attention",
    "check_backbone_batch_invariance",
    "check_backbone_checkpoints",
    "check_backbone_class_weights",
    "check_backbone_classifier_key",
    "check_backbone_converts_itself",
    "check_backbone_deterministic",
    "check_backbone_drop_path",
    "check_backbone_effective_weights",
    "check_backbone_eval_mode",
    "check_backbone_fuse",
    "check_backbone_head",
    "check_backbone_layers",
    "check_backbone_localizes",
    "check_backbone_on_meta",
    "check_backbone_process",
    "check_backbone_reparameterize",
    "check_backbone_shapes",
    "check_backbone_taps",
    "check_backbone_training_outputs",
    "check_backbone_without_classifier",
    "check_input_config",
]

_TOLERANCE = 1e-4
"""The largest difference that rounding may make, as a share of the largest value."""


def check_input_config(spec: BackboneSpec) -> None:
    """The input has a positive size, means of [0, 1], positive deviations and a known interpolation."""
    config = spec.input
    assert isinstance(config.size, int), f"input size: expected a whole number, got {config.size!r}"
    assert config.size > 0, f"input size: expected a positive number, got {config.size}"
    for what, values in (("mean", config.mean), ("std", config.std)):
        expect(f"channels of the input's {what}", 3, len(values))
        assert all(0 <= value <= 1 for value in values), f"input {what}: expected fractions of [0, 1], got {values}"
    assert all(value > 0 for value in config.std), f"input std: expected positive values, got {config.std}"
    known = get_args(Interpolation)
    assert config.interpolation in known, f"interpolation: expected one of {known}, got {config.interpolation!r}"


def check_backbone_on_meta(spec: BackboneSpec) -> None:
    """The network can be built without memory; its shapes fit, also with its branches merged."""
    with torch.device("meta"):
        network: Any = spec.build(CLASSES)
        images = torch.zeros(2, 3, spec.input.size, spec.input.size)
    network.eval()
    _check_shapes(network, images, CLASSES)
    _check_classifier_key(spec, network, CLASSES)
    if isinstance(network, Reparameterizable):
        with torch.no_grad():
            network.reparameterize()
        _check_shapes(network, images, CLASSES)


def check_backbone_without_classifier(spec: BackboneSpec) -> None:
    """Built for 0 classes, if it can be, the network has features as before and logits (B, 0)."""
    try:
        network = build_shapes(spec, 0).eval()
    except Exception:  # not every network can be built without a classifier
        skip("the network cannot be built for 0 classes")
    _check_shapes(network, torch.zeros(2, 3, spec.input.size, spec.input.size, device="meta"), 0)


def check_backbone_shapes(spec: BackboneSpec) -> None:
    """``forward_features`` is (B, K, h, w), ``forward_head`` (B, C), class weights, if any, (C, K); all are finite.

    `Features` have such maps, and a rest of tensors (B, ...).
    """
    network, images = _network(spec)
    for what, values in _check_shapes(network, images, CLASSES).items():
        expect_finite(what, values)
    weights = class_weights(network)
    if weights is not None:
        expect_finite("classifier_weight", weights)


def check_backbone_classifier_key(spec: BackboneSpec) -> None:
    """``classifier_key`` names an entry of the state dict whose first dimension is the number of classes."""
    network, _ = _network(spec)
    _check_classifier_key(spec, network, CLASSES)


def check_backbone_converts_itself(spec: BackboneSpec) -> None:
    """``convert_weights``, if there is one, gives the network's own state dict back as it is, merged or not."""
    if spec.convert_weights is None:
        skip("the specification has no convert_weights")
    network, _ = _network(spec)
    _check_converts_itself(spec, network)
    if isinstance(network, Reparameterizable):
        network.reparameterize()
        _check_converts_itself(spec, network)


def check_backbone_deterministic(spec: BackboneSpec) -> None:
    """Two forward passes in eval mode give the same bits."""
    network, images = _network(spec)
    first, second = _forward(network, images), _forward(network, images)
    for what, values in first.items():
        assert torch.equal(values, second[what]), f"{what}: expected the same values twice, got others the second time"


def check_backbone_batch_invariance(spec: BackboneSpec) -> None:
    """An image's features and logits do not depend on what else is in its batch."""
    network, images = _network(spec)
    alone = [_forward(network, image[None]) for image in images]
    for what, values in _forward(network, images).items():
        single = torch.cat([one[what] for one in alone])
        expect_close(f"{what} of a batch and of single images", values, single, _TOLERANCE)


def check_backbone_head(spec: BackboneSpec) -> None:
    """The head treats images apart, leaves its input as it is, and gives finite gradients if it gives any."""
    network, images = _network(spec)
    with torch.no_grad():
        features = network.forward_features(images)
        before = {what: values.clone() for what, values in _named(features).items()}
        logits = network.forward_head(features)
        one = network.forward_head(features[1:2])
    changed = [what for what, values in _named(features).items() if not torch.equal(values, before[what])]
    assert not changed, f"input of forward_head: expected no change, got {', '.join(changed)} changed"
    expect_close("logits of features of a batch and of one image of it", logits[1:2], one, _TOLERANCE)
    if has_gradients(network, features):
        expect_finite("gradients of the logits with respect to the features", _gradients(network, features))


def _gradients(network: Any, features: Tensor | Features) -> Tensor:
    """Return the gradients of the sum of the logits with respect to feature maps (B, K, h, w); the rest is constant."""
    maps, rest = maps_and_rest(features)
    tapped = maps.clone().requires_grad_()
    (gradients,) = torch.autograd.grad(network.forward_head(with_rest(tapped, rest)).sum(), tapped, allow_unused=True)
    return torch.zeros_like(maps) if gradients is None else gradients


def check_backbone_eval_mode(spec: BackboneSpec) -> None:
    """A forward pass in eval mode changes no parameter, buffer or mode, and eval mode is restored after train mode."""
    network, images = _network(spec)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    expected = _forward(network, images)
    expect("layers in train mode after a forward pass in eval mode", 0, layers_in_train_mode(network))
    changed = [key for key, value in network.state_dict().items() if not torch.equal(value, before[key])]
    assert not changed, f"state after a forward pass in eval mode: expected no change, got {', '.join(changed)} changed"
    network.train()
    network.eval()
    for what, values in _forward(network, images).items():
        same = torch.equal(expected[what], values)
        assert same, f"{what} after train() and eval(): expected the same values, got others"


def check_backbone_reparameterize(spec: BackboneSpec) -> None:
    """Merging the branches, if the network has any, changes features and logits by rounding only; twice is once."""
    network, images = _network(spec)
    if not isinstance(network, Reparameterizable):
        skip("the network has no reparameterize")
    _check_nothing_changes(network, images, "reparameterize")


def check_backbone_fuse(spec: BackboneSpec) -> None:
    """Fusing the norms, if the network offers it, changes features and logits by rounding only; twice is once."""
    network, images = _network(spec)
    if not isinstance(network, Fusable):
        skip("the network has no fuse")
    _check_nothing_changes(network, images, "fuse")


def _check_nothing_changes(network: Any, images: Tensor, method: str) -> None:
    before = _forward(network, images)
    for times in ("once", "twice"):
        with torch.no_grad():
            getattr(network, method)()
        for what, values in _forward(network, images).items():
            expect_close(f"{what} after {method}() {times}", before[what], values, _TOLERANCE)


def check_backbone_drop_path(spec: BackboneSpec) -> None:
    """Stochastic depth, if the network offers it, leaves blocks out in train mode and changes nothing in eval mode."""
    network, images = _network(spec)
    offered = isinstance(network, StochasticDepth)
    if not offered:
        skip("the network has no set_drop_path")
    features = _forward(network, images)["features"]
    try:
        network.set_drop_path(0.5)
    except UsageError as error:  # of a family whose other networks have blocks
        skip(str(error))

    def drawn(seed: int) -> Tensor:
        with seeded(seed):
            return _forward(network, images)["features"]

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
        network: Any = spec.build(CLASSES)
    offered = isinstance(network, Layered)
    if not offered:
        skip("the network has no layer_ids")
    numbers = network.layer_ids()
    expect("parameters with a layer", sorted(name for name, _ in network.named_parameters()), sorted(numbers))
    expect("number of the first layer", 0, min(numbers.values()))
    expect(f"number of the layer of {spec.classifier_key}", max(numbers.values()), numbers[spec.classifier_key])


def check_backbone_class_weights(spec: BackboneSpec) -> None:
    """Class weights, if the network has any, belong to its class scores: raising a channel raises a score with it."""
    network, images = _network(spec)
    if class_weights(network) is None:
        skip("the network has no classifier_weight")
    with torch.no_grad():
        features = network.forward_features(images)
        logits = network.forward_head(features)
    fault = class_weights_fault(network, features, logits)
    assert fault is None, f"class weights: expected those of the class scores, or None; got: {fault}"


def check_backbone_effective_weights(spec: BackboneSpec) -> None:
    """Effective weights, if the network offers any, give maps whose mean plus the constant is the class score."""
    network, images = _network(spec)
    if not isinstance(network, SpatialHead):
        skip("the network has no effective_weights")
    found = _forward(network, images)
    features, logits = found["features"], found["logits"]
    classes = torch.arange(len(images)) % CLASSES
    with torch.no_grad():
        weights, constants = network.effective_weights(features, classes)
    expect("shape of effective weights", tuple(features.shape[:2]), tuple(weights.shape))
    maps = (weights[:, :, None, None] * features).sum(dim=1)
    expected = logits.gather(1, classes[:, None])[:, 0]
    expect_close("logits and effective maps", expected, maps.mean(dim=(1, 2)) + constants, _TOLERANCE)


def check_backbone_taps(spec: BackboneSpec) -> None:
    """Taps, if there are any, have finite maps (B, K, h, w), each shown once; what is returned replaces the maps."""
    network, images = _network(spec)
    if not isinstance(network, Tapped):
        skip("the network has no taps")
    names, logits = network.taps, _forward(network, images)["logits"]
    assert names, "taps: expected at least one name, got none"
    expect("names of taps that differ", len(names), len(set(names)))
    for name in names:
        shown, after = _pass_by(network, images, name)
        expect(f"calls of the function for the tap '{name}'", 1, len(shown))
        expect(f"dimensions of the tap '{name}'", 4, shown[0].ndim)
        expect(f"images of the tap '{name}'", len(images), len(shown[0]))
        expect_finite(f"maps of the tap '{name}'", shown[0])
        expect_close(f"logits after the tap '{name}' was shown", logits, after, _TOLERANCE)
    with torch.no_grad():
        changed = network.forward_tapped(images, {names[0]: lambda maps: maps.flip(1, 2)})
    differ = logits.numel() == 0 or not torch.allclose(changed, logits)
    assert differ, f"logits with other maps at the tap '{names[0]}': expected others, got those of the images"


@torch.no_grad()
def _pass_by(network: Tapped, images: Tensor, name: str) -> tuple[list[Tensor], Tensor]:
    """Return all maps that a tap shows, and the logits."""
    shown = []

    def look(maps: Tensor) -> Tensor:
        shown.append(maps.clone())
        return maps

    logits = network.forward_tapped(images, {name: look})
    return shown, logits


def check_backbone_localizes(spec: BackboneSpec) -> None:
    """Maps or boxes that the network makes, if it does, are finite, of each image, the same alone and in a batch."""
    network, images = _network(spec)
    forward = network.forward_features
    if not isinstance(network, Localizing):
        skip("the network has no localize")
    classes = torch.arange(len(images)) % CLASSES
    with torch.no_grad():
        made, alone = (network.localize(forward(batch), batch, classes[: len(batch)]) for batch in (images, images[:1]))
    expect("what the network makes of an image alone", type(made), type(alone))
    if isinstance(made, Boxes):
        expect_boxes(made, len(images))
        own, one = (each.boxes.nan_to_num() for each in (made, alone) if isinstance(each, Boxes))
        expect_close("the network's own boxes of an image alone", own[:1], one, _TOLERANCE)
        return
    maps, first = (each.maps if isinstance(each, Maps) else each for each in (made, alone))
    assert isinstance(maps, Tensor), f"the network's own maps: expected a tensor, got {type(maps).__name__}"
    assert isinstance(first, Tensor), f"the network's own map: expected a tensor, got {type(first).__name__}"
    expect("dimensions of the network's own maps", 3, maps.ndim)
    expect("number of the network's own maps", len(images), len(maps))
    expect_finite("the network's own maps", maps)
    expect_close("the network's own map of an image alone", maps[:1], first, _TOLERANCE)


def check_backbone_training_outputs(spec: BackboneSpec) -> None:
    """What the network gives in training, if it says so, are finite tensors by name, among them logits (B, C)."""
    network, images = _network(spec)
    network.train()
    if not isinstance(network, Trainable):
        skip("the network has no training_outputs")
    with seeded(), torch.no_grad():
        outputs = network.training_outputs(images, torch.arange(len(images)) % CLASSES)
    assert isinstance(outputs, Mapping), f"training_outputs: expected a mapping, got {type(outputs).__name__}"
    for name, values in outputs.items():
        assert isinstance(values, Tensor), f"training output '{name}': expected a tensor, got {type(values).__name__}"
    assert "logits" in outputs, f"training outputs: expected 'logits' among them, got {', '.join(outputs)}"
    expect("shape of the logits in training", (len(images), CLASSES), tuple(outputs["logits"].shape))
    expect_finite("logits in training", outputs["logits"])


def check_backbone_attention(spec: BackboneSpec) -> None:
    """Attention, if the network shows any, is (B, heads, N, N) in every block; rows are shares of prefix and grid."""
    network, images = _network(spec)
    if not isinstance(network, Attentive):
        skip("the network has no forward_attention")
    with torch.no_grad():
        shown = network.forward_attention(images)
    tokens = shown.prefix + shown.grid[0] * shown.grid[1]
    assert shown.weights, "attention: expected the weights of at least one block, got none"
    for block, weights in enumerate(shown.weights):
        what = f"attention of block {block}"
        shape = (*weights.shape[:1], *weights.shape[2:])
        expect(f"shape of the {what} without its heads", (len(images), tokens, tokens), shape)
        expect_close(f"sums of rows of the {what}", torch.ones_like(weights[..., 0]), weights.sum(dim=-1), _TOLERANCE)
        assert weights.min() >= 0, f"{what}: expected shares from 0 on, got {float(weights.min())}"


def check_backbone_process(spec: BackboneSpec) -> None:
    """Building the network and a forward pass leave seeds, threads and settings of the process, and print nothing."""

    def act() -> None:
        with torch.device("cpu"):
            network: Any = spec.build(CLASSES)
        network.eval()
        _forward(network, torch.zeros(1, 3, spec.input.size, spec.input.size))

    expect_process_kept(act)


def check_backbone_checkpoints(spec: BackboneSpec, class_counts: Mapping[str, int]) -> None:
    """Shipped checkpoints exist, fit the network strictly, hold finite numbers and know their data set's classes."""
    if not spec.checkpoints:
        skip("no weights ship with the network")
    for checkpoint in spec.checkpoints:
        path = checkpoint.path
        assert path.is_file(), f"checkpoint for '{checkpoint.dataset}': expected a file {path}, got none"
        state = read_state(path, spec)
        classes = count_classes(path, spec, state.entries)
        if checkpoint.dataset in class_counts:
            expect(f"classes of {path.name}", class_counts[checkpoint.dataset], classes)
        for key, value in state.entries.items():
            expect_finite(f"{key} of {path.name}", value)
        check_values(state)
        load_state(state, spec, _build(spec, classes))


BACKBONE_CHECKS = (
    check_input_config,
    check_backbone_on_meta,
    check_backbone_without_classifier,
    check_backbone_shapes,
    check_backbone_classifier_key,
    check_backbone_converts_itself,
    check_backbone_deterministic,
    check_backbone_batch_invariance,
    check_backbone_head,
    check_backbone_eval_mode,
    check_backbone_reparameterize,
    check_backbone_fuse,
    check_backbone_class_weights,
    check_backbone_effective_weights,
    check_backbone_taps,
    check_backbone_attention,
    check_backbone_localizes,
    check_backbone_training_outputs,
    check_backbone_drop_path,
    check_backbone_layers,
    check_backbone_process,
)


def _build(spec: BackboneSpec, classes: int) -> Any:
    with torch.device("cpu"):
        network = spec.build(classes)
    assert isinstance(network, nn.Module), f"build: expected a torch.nn.Module, got {type(network).__name__}"
    for part in ("forward_features", "forward_head"):
        assert hasattr(network, part), f"build: expected a Backbone, got {type(network).__name__}, which lacks {part}"
    return network


def _network(spec: BackboneSpec) -> tuple[Any, Tensor]:
    """Return a network in eval mode with perturbed norms, and three images (3, 3, H, W)."""
    with seeded():
        network = _build(spec, CLASSES)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm):
                _perturb(module)
        images = torch.randn(3, 3, spec.input.size, spec.input.size)
    return network.eval().requires_grad_(False), images


def _perturb(norm: nn.modules.batchnorm._NormBase | nn.LayerNorm) -> None:
    """Give a norm random statistics and weights: initial ones change little and would hide an error."""
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
def _forward(network: Any, images: Tensor) -> dict[str, Tensor]:
    """Return the features, the parts of their rest, and the logits of images, by name."""
    features = network.forward_features(images)
    return {**_named(features), "logits": network.forward_head(features)}


def _named(features: Tensor | Features) -> dict[str, Tensor]:
    maps, rest = maps_and_rest(features)
    return {"features": maps, **{f"rest[{index}]": part for index, part in enumerate(rest or ())}}


@torch.no_grad()
def _check_shapes(network: Any, images: Tensor, classes: int) -> dict[str, Tensor]:
    features = network.forward_features(images)
    found = _named(features)
    for what, values in found.items():
        assert isinstance(values, Tensor), f"forward_features: expected a tensor, got {type(values).__name__} ({what})"
        expect(f"images in forward_features ({what})", len(images), len(values) if values.ndim else None)
    maps = found["features"]
    expect("dimensions of forward_features", 4, maps.ndim)
    _, channels, height, width = maps.shape
    assert min(channels, height, width) > 0, f"forward_features: expected (B, K, h, w), got {tuple(maps.shape)}"
    logits = network.forward_head(features)
    expect("shape of forward_head", (len(images), classes), tuple(logits.shape))
    weights = class_weights(network)
    if weights is not None:
        expect("shape of classifier_weight", (classes, channels), tuple(weights.shape))
    return {**found, "logits": logits}


def _check_classifier_key(spec: BackboneSpec, network: Any, classes: int) -> None:
    state = network.state_dict()
    assert spec.classifier_key in state, (
        f"classifier_key: expected an entry of the state dict, got {spec.classifier_key!r}"
    )
    shape = tuple(state[spec.classifier_key].shape)
    expect(f"first dimension of '{spec.classifier_key}' {shape}", classes, shape[0] if shape else None)


def _check_converts_itself(spec: BackboneSpec, network: Any) -> None:
    assert spec.convert_weights is not None
    own = network.state_dict()
    converted = spec.convert_weights(dict(own))
    expect("entries after convert_weights of the network's own", sorted(own), sorted(converted))
    changed = [key for key, value in own.items() if not torch.equal(value, converted[key])]
    assert not changed, f"convert_weights of the network's own: expected no change, got {', '.join(changed)} changed"
