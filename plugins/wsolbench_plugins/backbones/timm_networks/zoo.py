"""Any timm network by its name, if its scores have class activation maps."""

from __future__ import annotations

from functools import partial
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench.api import BackboneSpec, InputConfig, Pretrained, UsageError
from wsolbench_plugins.backbones.timm_networks.networks import fetch, final_norm, from_timm


def names() -> list[str]:
    """Return the names of all timm networks, plain and with the tag of pretrained weights."""
    return [*timm.list_models(), *timm.list_pretrained()]


def find(name: str) -> BackboneSpec:
    """Return a timm network by name, with the input configuration of its pretrained weights.

    Raises:
        UsageError: Its scores are not a linear layer of its pooled feature maps.
    """
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=2).eval()
    config = network.pretrained_cfg
    size = config["input_size"][-1]
    objection = _objection(network, size)
    if objection is not None:
        raise UsageError(f"'timm:{name}' has no class activation map: {objection}")
    classifier = network.get_classifier()
    key = next(key for key, module in network.named_modules() if module is classifier)
    tagged = ".".join(part for part in (name.partition(".")[0], config.get("tag")) if part)
    return BackboneSpec(
        name=name,
        build=partial(from_timm, name),
        input=InputConfig(size, tuple(config["mean"]), tuple(config["std"]), config["interpolation"]),
        source=f"timm {timm.__version__}",
        classifier_key=f"{key}.weight",
        pretrained=Pretrained("timm", tagged, partial(fetch, tagged)) if tagged in timm.list_pretrained() else None,
    )


def _objection(network: Any, size: int) -> str | None:
    """Return why the head of a network on the meta device is not pool → (layer norm →) linear, or None if it is."""
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear | nn.Conv2d) or classifier.bias is None:
        return "its classifier is not one linear layer"
    with torch.no_grad():
        features = network.forward_features(torch.zeros(1, 3, size, size, device="meta"))
    channels = classifier.weight.shape[1]
    if not isinstance(features, Tensor) or features.ndim != 4 or features.shape[1] != channels:
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        return f"its features {shape} are not maps (B, {channels}, h, w) of the {channels} channels of its classifier"
    if not _pools_and_classifies(network, features.shape):
        return "it has more than a global average pool and a layer norm between its feature maps and its classifier"
    return None


@torch.no_grad()
def _pools_and_classifies(network: Any, shape: torch.Size) -> bool:
    """Return whether a network's head is pool → (layer norm →) linear, tested on random features.

    Only classifier and norm get values. A head with other layers fails, because those have no values.

    Args:
        network: A network on the meta device; its classifier and norm move to the CPU.
        shape: Shape of the features.
    """
    classifier, norm = network.get_classifier(), final_norm(network)
    draws = torch.Generator().manual_seed(0)
    for module in (classifier, norm):
        for parameter in module.to_empty(device="cpu").parameters() if module is not None else ():
            parameter.normal_(generator=draws)
    features = torch.randn(shape, generator=draws)
    try:
        logits = network.forward_head(features)
    except (RuntimeError, NotImplementedError):  # raised by a layer that is still on the meta device
        return False
    pooled = features.mean(dim=(2, 3))
    if norm is not None:
        pooled = F.layer_norm(pooled, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    expected = F.linear(pooled, classifier.weight.flatten(1), classifier.bias)
    return logits.shape == expected.shape and torch.allclose(logits, expected, rtol=1e-3, atol=1e-4)
