"""Loading of a network from a name and weights: variant, weights, merged branches, device."""

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
"""The weights that the user asked for: a file or the source of pretrained weights (which of them, the network decides),
``"random"``, or None for the weights that ship with the plugin."""


def resolve_backbone(registry: Registry, name: str, dataset: str, weights: Weights) -> Offer[BackboneSpec]:
    """Return the network of a name; a family resolves to its one variant that has the weights asked for.

    Args:
        registry: The installed plugins.
        name: A variant, a qualified variant, or a family.
        dataset: The data set whose shipped weights count if `weights` is None.
        weights: The weights asked for.

    Raises:
        UnknownNameError: No plugin offers the name, or several do.
        UsageError: No variant of the family has the weights, or several do.
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
        why = f"pretrained weights from '{weights}' exist for"
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
    """Return whether a weights file has the entries of a variant."""
    if variant.spec.read_weights is None:
        fit = compare(path, read_entries(path), variant)
        return fit is not None and not fit.difference
    with blaming(variant.provider, f"building '{variant.spec.name}'"):
        state = read_state_dict(path, variant.spec)
        network = build_shapes(variant.spec, count_classes(path, variant.spec, state))
    return not difference(network, state)


def shipped_checkpoint(spec: BackboneSpec, dataset: str) -> Checkpoint | None:
    """Return the checkpoint for a data set that ships with a network, or None."""
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
    """Build a network, load its weights, merge its branches, fuse its norms, and put it on its device in eval mode.

    Args:
        registry: The installed plugins.
        name: A variant, a qualified variant, or a family.
        dataset: The data set whose shipped weights are loaded if `weights` is None.
        num_classes: Number of classes for random weights; other weights determine it themselves.
        weights: A file, a source of pretrained weights, ``"random"``, or None for shipped weights.
        device: Where the network runs.
        seed: Seed of random weights.
        execution: How the features are computed.

    Raises:
        UsageError: The name cannot be resolved, or no weights ship for the data set.
        WeightsError: The weights cannot be read or do not fit.
        PluginError: The plugin's code fails.
    """
    offer = resolve_backbone(registry, name, dataset, weights)
    spec, provider = offer.spec, offer.provider
    if isinstance(spec, ModuleSpec):
        return _load_object(name, offer, device, execution)
    known = read_weights(offer, dataset, weights)
    if known is not None:
        with _naming_similar_network(known.path, spec, registry):
            num_classes = count_classes(known.path, spec, known.state)
    torch.manual_seed(seed)
    with blaming(provider, f"building '{spec.name}'"):
        module: Any = spec.build(num_classes)
        _check_backbone(module)
    if known is not None:
        with _naming_similar_network(known.path, spec, registry):
            load_state(known.path, spec, module, known.state)
    info = known.info if known else WeightsInfo(source="random", file=None, sha256=None)
    return _prepare(name, offer, module, num_classes, info, device, execution)


def _load_object(name: str, offer: Offer[BackboneSpec], device: torch.device, execution: Execution) -> LoadedNetwork:
    """Return a network that was passed as an object, with its weights."""
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
    """Merge the branches of a network, fuse its norms, and put it on its device in eval mode."""
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
def _naming_similar_network(path: Path, spec: BackboneSpec, registry: Registry) -> Iterator[None]:
    """Add to an error about weights of another network which network they belong to."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{error}{looks_like(path, registry.backbones, spec)}") from error


@dataclass(frozen=True)
class KnownWeights:
    """Weights that are not random.

    Args:
        path: The file, or the name of pretrained weights, for messages.
        state: The state dict.
        info: Their provenance, for the record.
    """

    path: Path
    state: dict[str, Tensor]
    info: WeightsInfo


def read_weights(offer: Offer[BackboneSpec], dataset: str, weights: Weights) -> KnownWeights | None:
    """Read the weights asked for, from a file or from their source; return None for random weights.

    Args:
        offer: The network.
        dataset: The data set whose shipped weights are read if `weights` is None.
        weights: The weights asked for.

    Raises:
        UsageError: No weights ship for the data set.
        WeightsError: The weights cannot be read.
        PluginError: The plugin's code fails.
    """
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
    """Return a network's pretrained weights if `weights` names their source, otherwise None."""
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
