"""Any timm network by its name, if one of its layers has feature maps."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher
from functools import partial, reduce
from operator import or_
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from unittest.mock import patch

import timm
import torch
from timm.models import get_deprecated_models
from torch import Tensor, nn

from wsolbench.api import BackboneSpec, InputConfig, Pretrained, UsageError
from wsolbench_plugins.backbones.timm_networks.anatomy import Anatomy, dissect
from wsolbench_plugins.backbones.timm_networks.networks import create, fetch, from_timm

_COUNTER = "num_batches_tracked"
_ALIKE = 0.5
"""Ratio of letters in common below which two names are not alike."""
_PLAIN = (bool, int, float, str, type(None))
_OWN = {"self", "num_classes", "in_chans", "global_pool", "device", "dtype", "img_size", "fork_feat"}
"""Parameters of timm's classes that the benchmark decides: input, classes, the pool before the classifier."""


def names() -> list[str]:
    """Return the names of all timm networks, plain and with the tag of pretrained weights, and timm's earlier names."""
    earlier = [name for name, current in get_deprecated_models().items() if current]
    return [*timm.list_models(), *timm.list_pretrained(), *earlier]


def find(name: str) -> BackboneSpec:
    """Return a timm network by name, with the input configuration of its pretrained weights.

    An earlier name of timm's gives the network of the current one, whose name the spec has.

    Raises:
        UsageError: It has no feature maps, or no classifier.
    """
    return _spec(get_deprecated_models().get(name) or name, None)


def _spec(name: str, size: int | None) -> BackboneSpec:
    """Return a network of timm's, built for images of a size; None for that of its pretrained weights."""
    sized = {} if size is None else {"img_size": size}
    with torch.device("meta"):
        network = create(name, 2, **sized).eval()
    config = network.pretrained_cfg
    side = size or config["input_size"][-1]
    _check_patches(network, side)
    key = _classifier_key(name, network)
    anatomy = _anatomy(network, side, f"'timm:{name}'")
    tagged = ".".join(part for part in (name.partition(".")[0], config.get("tag")) if part)
    return BackboneSpec(
        name=name,
        build=_Build(type(network), name, side, anatomy, sized),
        input=InputConfig(side, tuple(config["mean"]), tuple(config["std"]), config["interpolation"]),
        source=f"timm {timm.__version__}",
        classifier_key=key,
        pretrained=Pretrained("timm", tagged, partial(fetch, tagged)) if tagged in timm.list_pretrained() else None,
        convert_weights=partial(resize, name, side) if sized else None,
        at_size=partial(_spec, name) if "img_size" in _parameters(type(network)) else None,
    )


def resize(name: str, size: int, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Resize the entries that depend on the size of images, such as position embeddings, as timm does.

    Raises:
        ValueError: timm does not resize those of this network.
    """
    network, convert = _conversion(name, size)
    entries = dict(state) if convert is None else convert(dict(state), network)
    for key, own in network.state_dict().items():
        if key in entries and entries[key].shape[1:] != own.shape[1:]:
            raise ValueError(
                f"its entry {key} is {tuple(entries[key].shape)}, for images of another size than {size}, and timm "
                "does not resize it"
            )
    return entries


def _conversion(name: str, size: int) -> tuple[nn.Module, Callable[..., dict[str, Tensor]] | None]:
    """Return a network for images of a size, without memory, and the function by which timm makes weights fit it.

    Which function that is, with which interpolation, timm decides for every name where it builds a network, and passes
    it to the function that loads pretrained weights. So that one is replaced for a moment, by one that loads none.
    """
    seen: list[tuple[nn.Module, Callable[..., dict[str, Tensor]] | None]] = []

    def keep(network: nn.Module, *_: Any, filter_fn: Any = None, **__: Any) -> None:
        seen.append((network, filter_fn))

    with torch.device("meta"), patch("timm.models._builder.load_pretrained", keep):
        timm.create_model(name, pretrained=True, num_classes=2, img_size=size)
    return seen[0]


def fitting(shapes: Mapping[str, tuple[int, ...]], like: str) -> Iterator[str | None]:
    """Yield the networks that have the entries of a file, and None after each that does not.

    Only networks of which timm says that the file has their first convolution and classifier are built. A file that has
    no network's classifier is compared with all that have its first convolution, built without a classifier: those
    that are published without one come first.

    Args:
        shapes: Entry -> shape.
        like: Networks of similar names come first; without a name, those of short names, which are the usual ones.
    """
    own = {key: shape for key, shape in shapes.items() if not key.endswith(_COUNTER)}
    begun = {name: _ends(name)[1] for name in timm.list_models() if _has_layer(shapes, _ends(name)[0])}
    left = _ordered([name for name, end in begun.items() if _has_layer(shapes, end)] or list(begun), like)
    while left:
        name = left.pop(0)
        with torch.device("meta"):
            classes = shapes.get(f"{_ends(name)[1]}.weight", (0,))[0]
            entries = timm.create_model(name, num_classes=classes).state_dict()
        fits = own == {key: tuple(value.shape) for key, value in entries.items() if not key.endswith(_COUNTER)}
        if fits:
            left = _ordered(left, name)  # its twins follow
        yield name if fits else None


def _ordered(names: list[str], like: str) -> list[str]:
    """Return names with those first that are like a name, and then the usual ones."""
    return sorted(names, key=lambda name: (*_unlikeness(name, like), _is_published_whole(name), len(name)))


def _has_layer(shapes: Mapping[str, tuple[int, ...]], layer: str) -> bool:
    """Return whether a file has the weights of a convolution or of a linear layer."""
    return bool(layer) and len(shapes.get(f"{layer}.weight", ())) >= 2


def _is_published_whole(name: str) -> bool:
    """Return whether a network is published with its classifier."""
    config = timm.get_pretrained_cfg(name)
    return config is None or config.num_classes != 0


def _ends(name: str) -> tuple[str, str]:
    """Return the names of a network's first convolution and classifier."""
    config = timm.get_pretrained_cfg(name)
    ends = (None, None) if config is None else (config.first_conv, config.classifier)
    first, classifier = (end[0] if isinstance(end, tuple | list) and end else end for end in ends)
    return first or "", classifier or ""


def _unlikeness(name: str, like: str) -> tuple[bool, int, float]:
    """Return how little a name is like another one, or like that of a file, such as ``dinov2_vits14_pretrain``."""
    shared = set(name.split("_")) & set(re.split(r"[^a-z0-9]+", like.lower()))
    alike = SequenceMatcher(None, name, like).ratio()
    return not (like and (like in name or name in like)), -len(shared), -alike if alike >= _ALIKE else 0.0


class _Build:
    """Builds a network; the signature shows the options of timm's class, with the values that this network has.

    Args:
        network: timm's class.
        name: The network.
        size: Side of its square input in pixels.
        anatomy: Where its features are.
        sized: The option of its size, where it is built for one.
    """

    def __init__(
        self, network: type[nn.Module], name: str, size: int, anatomy: Anatomy, sized: Mapping[str, int]
    ) -> None:
        self.network = network
        self.name = name
        self.size = size
        self.anatomy = anatomy
        self.sized = sized

    def __call__(self, num_classes: int, **options: Any) -> Any:
        """Return the network."""
        return _build(self.name, self.size, self.anatomy, self.sized, num_classes, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        classes = inspect.Parameter("num_classes", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=int)
        return inspect.Signature([classes, *_options(self.network, _arguments(self.network, self.name))])


def _arguments(network: Any, name: str) -> dict[str, Any]:
    """Return the arguments that timm builds a network of a class with."""
    found: dict[str, Any] = {}
    build = network.__init__

    def note(self: Any, *arguments: Any, **options: Any) -> None:
        found.update(options)
        build(self, *arguments, **options)

    with torch.device("meta"), patch.object(network, "__init__", note):
        create(name, 2)
    return found


def _options(network: type, arguments: Mapping[str, Any]) -> list[inspect.Parameter]:
    """Return the parameters of a class that take plain values and have defaults, as options.

    Args:
        network: The class.
        arguments: Values that take the place of defaults.
    """
    options = []
    for parameter in _parameters(network).values():
        annotation = _plain_type(parameter.annotation)
        if parameter.name in _OWN or parameter.default is parameter.empty or annotation is None:
            continue
        value = arguments.get(parameter.name, parameter.default)
        default = getattr(value, "__name__", value)
        options.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=annotation, default=default))
    return options


def _parameters(network: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class by name, with those of its bases where it passes on all others, as ``**kwargs``.

    Their annotations are types; those that cannot be resolved stay what they are.
    """
    known: dict[str, inspect.Parameter] = {}
    for each in network.__mro__:
        if "__init__" not in vars(each):
            continue
        function = vars(each)["__init__"]
        try:
            types = get_type_hints(function)
        except (NameError, TypeError):  # an annotation that cannot be resolved
            types = {}
        own = inspect.signature(function).parameters
        for name, parameter in own.items():
            known.setdefault(name, parameter.replace(annotation=types.get(name)))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
            break
    return known


def _plain_type(annotation: Any) -> Any:
    """Return the part of a type whose values are plain, or None if there is none."""
    if annotation in _PLAIN:
        return annotation
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        plain = [part for part in map(_plain_type, parts) if part is not None and part is not type(None)]
        return reduce(or_, [*plain, *([None] if type(None) in parts else [])]) if plain else None
    if origin in (tuple, list) and all(part is ... or part in _PLAIN for part in parts):
        return annotation
    return None


def _build(name: str, size: int, anatomy: Anatomy, sized: Mapping[str, int], num_classes: int, **options: Any) -> Any:
    """Return a network; with options, where its features are is found out again.

    Raises:
        UsageError: There are none, or timm cannot build the network with these options.
    """
    if options:
        given = ", ".join(f"{option}={value}" for option, value in options.items())
        with torch.device("meta"):
            network = create(name, 2, **options, **sized).eval()
            anatomy = _anatomy(network, size, f"'timm:{name}' with {given}")
    return from_timm(name, num_classes, anatomy=anatomy, **options, **sized)


def _check_patches(network: Any, size: int) -> None:
    """Refuse a size of images at which patches would be cut off.

    Raises:
        UsageError: They are not whole patches.
    """
    patches = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if isinstance(patches, tuple) and any(size % side for side in patches):
        raise UsageError(f"they are not whole patches of {'×'.join(map(str, patches))} pixels")


def _anatomy(network: Any, size: int, called: str) -> Anatomy:
    """Return where the features of a network on the meta device are.

    Raises:
        UsageError: It has no feature maps.
    """
    try:
        return dissect(network, size)
    except Exception as error:  # whatever the code of a network raises for an image
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{called} has no feature maps: {reason}") from error


def _classifier_key(name: str, network: Any) -> str:
    """Return the state-dict entry whose first dimension is the number of classes, 2.

    Raises:
        UsageError: There is none.
    """
    classifier = getattr(network, "get_classifier", lambda: None)()
    for key, module in network.named_modules():
        if module is classifier and isinstance(module, nn.Linear | nn.Conv2d):
            return f"{key}.weight"
    with torch.device("meta"):
        other = timm.create_model(name, num_classes=3).state_dict()
    for key, value in network.state_dict().items():
        if value.ndim > 1 and tuple(other[key].shape) == (3, *value.shape[1:]) and len(value) == 2:
            return str(key)
    raise UsageError(f"'timm:{name}' has no classifier")
