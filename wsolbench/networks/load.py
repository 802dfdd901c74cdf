"""From what the user typed to a network ready to run: variant, weights, device, inference form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from wsolbench.contract import BackboneSpec, Checkpoint, Fusable, Pretrained, Reparameterizable
from wsolbench.errors import UsageError, WeightsError
from wsolbench.files import sha256
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Offer, Registry
from wsolbench.networks.adapt import ModuleSpec
from wsolbench.networks.card import read_training
from wsolbench.networks.diagnosis import compare, looks_like
from wsolbench.networks.network import USUAL, Execution, LoadedNetwork, largest_kernel
from wsolbench.networks.shapes import build_shapes
from wsolbench.networks.weights import (
    count_classes,
    difference,
    load_state,
    read_entries,
    read_state_dict,
    state_sha256,
)
from wsolbench.records import WeightsInfo

Weights: TypeAlias = Path | Literal["random"] | None
"""What the user asked for: a file, or the source of pretrained weights, which look the same until the network is known;
random ones; or None for those that ship."""


def resolve_backbone(registry: Registry, name: str, dataset: str, weights: Weights) -> Offer[BackboneSpec]:
    """Return the network that a name stands for; a family stands for its one variant with fitting weights.

    Args:
        registry: What the plugins offer.
        name: A variant, a qualified variant, or a family.
        dataset: Whose classes the weights must know where they ship with the plugin.
        weights: What the user asked for.

    Raises:
        UnknownNameError: Nobody offers the name, or several do.
        UsageError: No variant of the family fits, or several do.
        WeightsError: The weights file cannot be read.
    """
    found = registry.backbones.find(name)
    variants = registry.family(name)
    if len(found) == 1:
        return found[0]
    if found:
        raise registry.backbones.ambiguous(name, found)
    if not variants:
        families = {offer.spec.family for offer in registry.backbones if offer.spec.family}
        raise registry.backbones.unknown(name, also=families)
    fitting = [variant for variant in variants if _pretrained(variant.spec, weights)]
    if fitting:
        why = f"pretrained weights from '{weights}' are there for"
    elif isinstance(weights, Path):
        fitting = [variant for variant in variants if _fits(variant, weights)]
        why = f"the file {weights} fits"
    else:
        fitting = [variant for variant in variants if shipped_checkpoint(variant.spec, dataset) is not None]
        why = f"weights for the data set '{dataset}' ship with"
    if len(fitting) == 1:
        return fitting[0]
    shown = ", ".join(registry.backbones.shown_name(variant) for variant in fitting or variants)
    count = "more than one variant" if fitting else "no variant"
    raise UsageError(f"'{name}' is a family of networks, and {why} {count} of it; name one: {shown}")


def _fits(variant: Offer[BackboneSpec], path: Path) -> bool:
    """Tell whether a weights file has the entries of a variant."""
    if variant.spec.read_weights is None:
        fit = compare(path, read_entries(path), variant)
        return fit is not None and not fit.difference
    with blaming(variant.provider, f"building '{variant.spec.name}'"):
        state = read_state_dict(path, variant.spec)
        network = build_shapes(variant.spec, count_classes(path, variant.spec, state))
    return not difference(network, state)


def shipped_checkpoint(spec: BackboneSpec, dataset: str) -> Checkpoint | None:
    """Return the checkpoint that ships for a data set, or None."""
    return next((checkpoint for checkpoint in spec.checkpoints if checkpoint.dataset == dataset), None)


def load_network(
    registry: Registry,
    name: str,
    *,
    dataset: str,
    num_classes: int,
    weights: Weights,
    device: torch.device,
    seed: int,
    execution: Execution = USUAL,
) -> LoadedNetwork:
    """Build a network, load its weights, merge and fuse what can be, and put it on its device in eval mode.

    Args:
        registry: What the plugins offer.
        name: A variant or a family.
        dataset: Whose shipped weights are meant where `weights` is None.
        num_classes: Of the data set, for random weights; a file brings its own.
        weights: A file, a source of pretrained weights, ``"random"``, or None for those that ship.
        device: Where it runs.
        seed: Of random weights.
        execution: How its features are computed.

    Raises:
        UsageError: The name cannot be resolved or no weights ship.
        WeightsError: The weights cannot be read or do not fit.
        PluginError: The plugin's own code fails.
    """
    offer = resolve_backbone(registry, name, dataset, weights)
    spec, provider = offer.spec, offer.provider
    if isinstance(spec, ModuleSpec):
        return _load_object(name, offer, device, execution)
    known = read_weights(offer, dataset, weights)
    if known is not None:
        with _telling_what_it_is(known.path, spec, registry):
            num_classes = count_classes(known.path, spec, known.state)
    torch.manual_seed(seed)
    with blaming(provider, f"building '{spec.name}'"):
        module: Any = spec.build(num_classes)
        _check_backbone(module)
    if known is not None:
        with _telling_what_it_is(known.path, spec, registry):
            load_state(known.path, spec, module, known.state)
    info = known.info if known else WeightsInfo(source="random", file=None, sha256=None)
    return _prepare(name, offer, module, num_classes, info, device, execution)


def _load_object(name: str, offer: Offer[BackboneSpec], device: torch.device, execution: Execution) -> LoadedNetwork:
    """Return a network that comes with its weights, as an object."""
    with blaming(offer.provider, f"copying '{offer.name}'"):
        module: Any = offer.spec.build(0)
        classes = len(module.classifier_weight)
    info = WeightsInfo(source="object", file=None, sha256=state_sha256(module.state_dict()))
    return _prepare(name, offer, module, classes, info, device, execution)


def _prepare(
    name: str,
    offer: Offer[BackboneSpec],
    module: Any,
    num_classes: int,
    weights: WeightsInfo,
    device: torch.device,
    execution: Execution,
) -> LoadedNetwork:
    """Merge and fold what can be, and put a network on its device in eval mode."""
    with blaming(offer.provider, f"preparing '{offer.name}'"):
        parameters = sum(parameter.numel() for parameter in module.parameters())
        reparameterized = isinstance(module, Reparameterizable)
        if reparameterized:
            module.eval().reparameterize()
        if isinstance(module, Fusable):
            module.fuse()
        module = module.eval().requires_grad_(False).to(device=device, memory_format=torch.channels_last)
    return LoadedNetwork(
        requested=name,
        offer=offer,
        module=module,
        num_classes=num_classes,
        parameters=parameters,
        largest_kernel=largest_kernel(module),
        reparameterized=reparameterized,
        weights=weights,
        device=device,
        execution=execution,
    )


@contextmanager
def _telling_what_it_is(path: Path, spec: BackboneSpec, registry: Registry) -> Iterator[None]:
    """Add to the error about a file of another network what the file looks like."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{error}{looks_like(path, registry.backbones, spec)}") from error


@dataclass(frozen=True)
class KnownWeights:
    """Weights that are not random, and the file that messages about them name."""

    path: Path
    state: dict[str, Tensor]
    info: WeightsInfo


def read_weights(offer: Offer[BackboneSpec], dataset: str, weights: Weights) -> KnownWeights | None:
    """Read the weights asked for; None stands for random ones."""
    spec = offer.spec
    if weights == "random":
        return None
    pretrained = _pretrained(spec, weights)
    if pretrained is not None:
        with blaming(offer.provider, f"fetching weights for '{spec.name}'"):
            state = dict(pretrained.fetch())
        info = WeightsInfo(source="pretrained", file=str(pretrained), sha256=state_sha256(state))
        return KnownWeights(Path(str(pretrained)), state, info)
    path = weights or _shipped_file(spec, dataset)
    with blaming(offer.provider, f"reading weights for '{spec.name}'"):
        state = read_state_dict(path, spec)
    source: Literal["file", "shipped"] = "file" if weights else "shipped"
    digest = sha256(path)
    info = WeightsInfo(source=source, file=path.name, sha256=digest, training=read_training(path, digest))
    return KnownWeights(path, state, info)


def _pretrained(spec: BackboneSpec, weights: Weights) -> Pretrained | None:
    """Return a network's pretrained weights if the user asked for them by their source."""
    return spec.pretrained if spec.pretrained is not None and weights == Path(spec.pretrained.source) else None


def _shipped_file(spec: BackboneSpec, dataset: str) -> Path:
    checkpoint = shipped_checkpoint(spec, dataset)
    if checkpoint is None:
        fetched = f", --weights {spec.pretrained.source}" if spec.pretrained else ""
        raise UsageError(
            f"'{spec.name}' ships no weights for the data set '{dataset}'; "
            f"pass --weights FILE{fetched} or --weights random"
        )
    return checkpoint.path


def _check_backbone(module: object) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"expected a torch.nn.Module, got {type(module).__name__}")
    missing = [name for name in ("forward_features", "forward_head", "classifier_weight") if not hasattr(module, name)]
    if missing:
        raise TypeError(f"{type(module).__name__} has no {' and no '.join(missing)}")
