"""What names of networks mean: those that weights files state, and those of the files themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wsolbench.contract import BackboneSpec
from wsolbench.errors import WsolbenchError
from wsolbench.host.registry import Catalogue
from wsolbench.networks.plain_data import Statement, folded_name

__all__ = [
    "NameMatch",
    "match_name",
    "may_be_a_name",
    "named_by_file",
    "plain_name",
    "size_in_name",
    "texts_of",
    "without_place",
]

_NO_NAME = re.compile(
    r"[\s()\[\]{}=]|\.(pth|pt|bin|py|yaml|yml|ckpt|tar)$|^[./]|(^|[._])(create|build)_\w+$|^(none|true|false|dict|list|tuple)$",
    re.I,
)
_HASHED = re.compile("(.+)-[0-9a-f]{8,64}")
"""Names of published files, of torch's hub and of timm."""
_FORMS = re.compile("([._-](fp16|fp32|bf16|float16|half|ema|raw|best|last|final|weights|state_dict|checkpoint|model))+")
"""What names of files say after the network: in which form its weights are kept."""
_SIZES = "192|224|240|256|288|299|320|336|384|448|480|512|518"
"""Sides of inputs that files are named after; other numbers in names count epochs, classes or channels."""
_SIZE = re.compile(
    rf"(?:^|[_.\- x]|(?<=k)|to|img|res|size|[_-]r)(?P<side>{_SIZES})(?:px|p)?(?=$|[_.\- x]|to)"
    r"|(?<![a-z0-9])(?P<pixels>\d{2,4})px"
)
_COUNTED = re.compile(
    r"(?<![a-z])(epochs?|ep|e|checkpoint|ckpt|steps?|iters?|seed|bs|batch(size)?|dim|width|model|best|last)[_.\- ]?$"
)
"""What a number after it counts, which is no size."""


def plain_name(name: str) -> str:
    """Return the name of a network without the prefix of its zoo and the tag of its weights."""
    return name.rpartition(":")[2].partition(".")[0]


def named_by_file(path: Path, networks: Catalogue[BackboneSpec], *, zoos: bool = True) -> list[Statement]:
    """Return what the name of a weights file says: the network that a published file is named after.

    Args:
        path: The file.
        networks: The networks on offer.
        zoos: Whether names in zoos count for every file; otherwise only for a published one, whose name has a hash.
    """
    hashed = _HASHED.fullmatch(path.stem)
    name = (hashed[1] if hashed else path.stem).lower()
    form = next((found for found in _FORMS.finditer(name) if found.end() == len(name)), None)
    name = name[: form.start()] if form else name
    for _ in range(4 if hashed else 1):  # the network's name, before those of the training
        if networks.knows(name, zoos=zoos or hashed is not None):
            return [Statement("the name of the weights file", ("model_name",), name)]
        name = name.rpartition("_")[0]
    return []


def size_in_name(path: Path, spec: BackboneSpec) -> list[Statement]:
    """Return what the name of a weights file says of the side of the input, as in ``…_384`` and ``…_224to384``.

    Args:
        path: The file.
        spec: The network, whose own name is no part of what is said, as the 384 of ``levit_384``.
    """
    hashed = _HASHED.fullmatch(path.stem)
    name = (hashed[1] if hashed else path.stem).lower()
    name = name.replace(plain_name(spec.name), "")
    found = [each for each in _SIZE.finditer(name) if not _COUNTED.search(name[: each.start()])]
    if not found:
        return []
    return [Statement("the name of the weights file", ("input_size",), int(found[-1]["side"] or found[-1]["pixels"]))]


@dataclass(frozen=True)
class NameMatch:
    """Whether a name is that of the network: right, vague (that of its kind), other or unknown; what is offered."""

    verdict: Literal["right", "vague", "other", "unknown"]
    offered: str | None = None


def match_name(text: str, spec: BackboneSpec, networks: Catalogue[BackboneSpec] | None) -> NameMatch:
    """Compare a stated name with a network's.

    Args:
        text: The name, perhaps with where the network comes from.
        spec: The network.
        networks: The networks on offer, among which other names are looked up; None where none is looked up.
    """
    name = without_place(text)
    base, _, tag = name.partition(".")
    pretrained = "" if spec.pretrained is None else spec.pretrained.name
    own = {folded_name(each) for each in (plain_name(spec.name), plain_name(pretrained)) if each}
    tags = [each for each in (spec.name.rpartition(":")[2].partition(".")[2], pretrained.partition(".")[2]) if each]
    if folded_name(name) in own or (folded_name(base) in own and (not tags or tag in ("", tags[0]))):
        return NameMatch("right")
    if spec.family is not None and folded_name(base) == folded_name(spec.family):
        return NameMatch("vague")
    try:
        offered = None if networks is None else networks.named(name) or networks.named(name.lower())
    except WsolbenchError:  # known, and not on offer
        return NameMatch("other")
    if offered is not None:
        same = offered.rpartition(":")[2] == spec.name.rpartition(":")[2]
        return NameMatch("right") if same else NameMatch("other", offered)
    # A class such as `ResNet` names a kind of network: what follows in our name is a size.
    return NameMatch("vague" if _is_kind(base, plain_name(spec.name)) else "unknown")


def texts_of(value: object) -> list[str]:
    """Return the texts that a value is or holds (``architectures``)."""
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def may_be_a_name(text: str) -> bool:
    """Return whether a text may name a network: it is no file, function, setting or sentence."""
    plain = text.strip()
    return 0 < len(plain) <= 100 and not _NO_NAME.search(plain)


def without_place(text: str) -> str:
    """Return a name without what says where the network comes from: a module, an organisation, a hub."""
    last = re.split("[/:]", text.strip())[-1]
    last = re.sub(r"For[A-Z]\w+$", "", last)
    parts = last.split(".")
    return parts[-1] if parts[0] in ("torchvision", "timm", "models", "torch") or len(parts) > 2 else last


def _is_kind(theirs: str, ours: str) -> bool:
    """Return whether a name without numbers is a part of ours that a size follows: `ResNet` of `resnet50`."""
    letters = r"[\W_]*".join(map(re.escape, folded_name(theirs)))
    return theirs.isalpha() and re.search(rf"(^|[\W_]){letters}[\W_\d]", ours.lower()) is not None
