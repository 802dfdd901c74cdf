"""What a weights file states about its network, compared with the network that the weights are loaded into."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from torch import Tensor

from wsolbench.contract import BackboneSpec, InputConfig
from wsolbench.host.registry import Catalogue
from wsolbench.networks.entry_names import normalises_input
from wsolbench.networks.network_names import match_name, may_be_a_name, texts_of, without_place
from wsolbench.networks.pickles import shown
from wsolbench.networks.plain_data import Statement, folded_name, numbers_of
from wsolbench.networks.row_names import names_rows

__all__ = [
    "Built",
    "contradictions",
    "is_named",
    "names_of_networks",
    "skipped_input_layers",
    "stated_size",
    "unused",
]

_STAGE = re.compile("(?P<evaluation>(?i:val|valid|validation|test|eval|evaluation|inference))(?![a-z])|(?i:train)")
"""What names start with: a value of evaluation counts before another one, one of training after it."""
_MOST_CLAIMS, _MOST_NAMED, _MOST_SHOWN = 200, 8, 8
"""A file that states more than any training does is not compared any longer than others."""
_NAMES: Mapping[str, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        "network": "arch architecture architectures archname model modelname modelarch modeltype modelid modelvariant "
        "modelclass backbone backbonename basemodel basearch net netname nettype network networkname encoder "
        "encodername cnn timmmodel timmname",
        "part of a network": "name type variant target id class",
        "size": "imgsize imagesize imgsz imagesz imsize imsz inputsize inputsz cropsize imgdim imagedim inputdim "
        "inputres imgres imageres resolution imgresolution imageresolution inputresolution inputshape imageshape "
        "imgshape cropdim imgheight imageheight inputheight imgwidth imagewidth inputwidth height targetsize "
        "fixedinputsize centercrop",
        "part of a size": "size width crop shape",
        "part of a mean": "mu",
        "part of a std": "sigma",
        "mean": "mean means imagemean imgmean pixelmean inputmean normmean normalizemean normalisemean rgbmean meanrgb "
        "normalizationmean datasetmean datamean channelmean channelmeans imagenetmean newmean",
        "std": "std stds imagestd imgstd pixelstd inputstd normstd normalizestd normalisestd rgbstd stdrgb newstd "
        "normalizationstd datasetstd datastd channelstd channelstds imagenetstd stddev",
        "interpolation": "interpolation interp resample resampling resamplemode interpolationmode resizeinterpolation",
        "classes": "numclasses nbclasses nclasses numclass nclass ncls nc numcls nbclass classnum classcount numlabels "
        "numberofclasses nlabels",
        "channels": "torgb bgrtorgb rgb bgr tobgr isbgr rgbtobgr channelorder colororder channelsorder colormode",
        "crop": "croppct cropratio croppercent croprate cropmode cropmethod resizesize resize resizeshort shortestedge "
        "scalesize testinputsize testcroppct testsize valsize evalsize size sz",
        "average": "ema modelema useema withema swa useswa",
        "options": "modelkwargs modelargs backbonekwargs networkkwargs netkwargs backboneargs networkargs netargs "
        "modelparams",
        "option": "outputstride kernelsizes kernelsize largekernelsizes smallkernel smallkernelsize largekernel "
        "actlayer padtype widthmult widthmultiplier depthmult depthmultiplier channelmultiplier normlayer dilation "
        "dilations stemtype replacestridewithdilation aalayer bneps",
    }.items()
}
_ABOUT_A_NETWORK = re.compile("model|backbone|network|net|arch|architecture|encoder|cnn|timm|classifier")
_ABOUT_IMAGES = re.compile("image|img|input|crop|transform|normali[sz]e|preprocess|augment|data")
_DATA = ("data", "dataset", "datamodule")
"""What has a size that is a number of images."""
_OF_TRAINING = re.compile("drop|pretrained|checkpoint|scriptable|exportable|^(numclasses|inchans|init.*|imgsize)$")
"""Arguments of networks that change no score, or that other rules compare."""
_INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic")
"""In the order of their numbers in Pillow."""
_WORDS = re.compile("[a-z0-9]+")


@dataclass(frozen=True)
class Built:
    """A network as it is scored.

    Args:
        spec: The network.
        num_classes: Number of classes of its head.
        options: Its options: name -> value, those that were not given with their defaults.
    """

    spec: BackboneSpec
    num_classes: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Contradiction:
    """What a claim says, in words, and what to type where that can be followed."""

    text: str
    advice: str = ""


@dataclass(frozen=True)
class _Claim:
    """A statement whose meaning is known; what it says, in words, for messages."""

    kind: str
    statement: Statement

    @property
    def stage(self) -> int:
        """0 for a value of evaluation, 2 for one of training, 1 where no name says either."""
        found = next(filter(None, map(_STAGE.match, reversed(self.statement.path))), None)
        return 1 if found is None else 0 if found["evaluation"] else 2


def contradictions(
    statements: Sequence[Statement], built: Built, networks: Catalogue[BackboneSpec] | None = None
) -> list[str]:
    """Return a line for every source whose statements contradict the network's name, input, classes or options.

    Args:
        statements: What the weights file and the descriptions beside it state.
        built: The network.
        networks: The networks on offer, among which names are looked up.
    """
    claims = _claims(statements)
    checks: Mapping[str, Callable[[list[_Claim]], Iterable[_Contradiction | str | None]]] = {
        "network": lambda some: _networks(some, built.spec, networks),
        "size": lambda some: _sizes(some, built.spec.input),
        "mean": lambda some: _norms(some, "mean", claims, built.spec.input.mean),
        "std": lambda some: _norms(some, "std", claims, built.spec.input.std),
        "interpolation": lambda some: (_interpolation(claim, built.spec.input) for claim in _evaluated(some)),
        "channels": lambda some: (_channels(claim) for claim in some),
        "classes": lambda some: (_classes(claim, built.num_classes) for claim in some),
        "option": lambda some: (_option(claim, built) for claim in some),
    }
    lines = []
    for source in dict.fromkeys(claim.statement.source for claim in claims):
        found: list[_Contradiction | str | None] = []
        for kind, check in checks.items():
            found += check([claim for claim in claims if claim.kind == kind and claim.statement.source == source])
        said = dict.fromkeys(_Contradiction(each) if isinstance(each, str) else each for each in found if each)
        if said:
            lines.append(_line(source, list(said)[:_MOST_SHOWN], built))
    return lines


def _line(source: str, said: list[_Contradiction], built: Built) -> str:
    config = built.spec.input
    advice = "".join(f"; {each.advice}" for each in said if each.advice)
    return (
        f"{source} says {', '.join(each.text for each in said)}; '{built.spec.name}' runs at "
        f"{config.size}×{config.size} ({config.interpolation}) with mean {_listed(config.mean)} and std "
        f"{_listed(config.std)}, {built.num_classes} classes{advice}"
    )


def names_of_networks(statements: Sequence[Statement]) -> list[str]:
    """Return the names of networks that a weights file states, without what says where they come from."""
    values = [claim.statement.value for claim in _claims(statements) if claim.kind == "network"]
    named = [without_place(text) for value in values for text in texts_of(value) if may_be_a_name(text)]
    return list(dict.fromkeys(named))[:_MOST_NAMED]


def skipped_input_layers(beside: Mapping[str, Tensor]) -> list[str]:
    """Return a line for every skipped layer with one number for each colour channel, apart from a mean and std.

    Args:
        beside: The small tensors among the entries that are skipped.
    """
    layers: dict[str, list[str]] = {}
    for name, value in beside.items():
        if value.numel() == 3 and max(value.shape, default=0) == 3:
            layers.setdefault(name.rpartition(".")[0], []).append(name)
    return [
        f"the skipped layer '{shown(layer, 60)}' has a number for each colour channel, as one that prepares the input; "
        "it is not applied"
        for layer, names in layers.items()
        if len(names) > 1 and not any(map(normalises_input, names))
    ]


def stated_size(statements: Sequence[Statement]) -> tuple[int, str] | None:
    """Return the side of the square input that a weights file states, and what states it; None where nothing does.

    The first source that states one size, and no other, counts: the file before descriptions beside it and its name.
    """
    claims = [claim for claim in _claims(statements) if claim.kind == "size" and _sides(claim.statement.value)]
    for source in dict.fromkeys(claim.statement.source for claim in claims):
        evaluated = _evaluated([claim for claim in claims if claim.statement.source == source])
        sides = {side for claim in evaluated for side in _sides(claim.statement.value)}
        if len(sides) == 1:
            return sides.pop(), source
    return None


def is_named(statements: Sequence[Statement], spec: BackboneSpec) -> bool:
    """Return whether a weights file states the very name of a network."""
    return any(match_name(name, spec, None).verdict == "right" for name in names_of_networks(statements))


def unused(statements: Sequence[Statement], built: Built) -> list[str]:
    """Return a line for every source with what it states about its scores that is neither used nor compared."""
    claims = _claims(statements)
    lines = []
    for source in dict.fromkeys(claim.statement.source for claim in claims):
        said = [_unused(claim, built) for claim in claims if claim.statement.source == source]
        texts = list(dict.fromkeys(text for text in said if text))
        if texts:
            more = f" and {len(texts) - _MOST_SHOWN} more" if len(texts) > _MOST_SHOWN else ""
            shown_texts = ", ".join(texts[:_MOST_SHOWN])
            lines.append(
                f"{source} also says {shown_texts}{more}, which is not used: the network is built as it is named, "
                "and whole images are warped"
            )
    return lines


def _claims(statements: Sequence[Statement]) -> list[_Claim]:
    """Return the statements that bear on a score, each with its kind."""
    kinds = ((statement, _kind(statement)) for statement in statements)
    claims = (_Claim(kind, said) for said, kind in kinds if kind is not None and said.value is not None)
    return list(islice(claims, _MOST_CLAIMS))


def _kind(statement: Statement) -> str | None:
    names = [folded_name(name) for name in statement.path if name != "value"]  # as experiment trackers nest values
    if not names or any(map(names_rows, names[:-1])):
        return None
    name, parent = names[-1], names[-2] if len(names) > 1 else ""
    if isinstance(statement.value, dict):
        return "size" if name in _NAMES["size"] else None
    if parent in _NAMES["options"]:
        return None if _OF_TRAINING.search(name) else "option"
    if name in _NAMES["part of a network"] and _ABOUT_A_NETWORK.fullmatch(parent):
        return "network"
    if _bare(name) in ("size", "sz") and not _is_size_of_images(statement.value, parent):
        return None
    if _ABOUT_IMAGES.search(parent):
        part = next((kind for kind in ("size", "mean", "std") if name in _NAMES[f"part of a {kind}"]), None)
        if part is not None:
            return part
    bare = _bare(name)
    for kind in ("crop", "network", "size", "mean", "std", "interpolation", "classes", "channels", "average", "option"):
        if name in _NAMES[kind] or (kind in ("size", "crop", "interpolation") and bare in _NAMES[kind]):
            return kind
    return None


def _bare(name: str) -> str:
    """Return a folded name without the stage that it starts with."""
    return re.sub("^(valid|validation|val|test|eval|train|inference)", "", name)


def _is_size_of_images(value: object, parent: str) -> bool:
    """Return whether a size is one of images, and no share of the data, number of images, or name of a network's size.

    Args:
        value: The size.
        parent: The folded name above it.
    """
    sides = _sides(value)
    return bool(sides) and (parent not in _DATA or all(side <= 1024 and side % 16 == 0 for side in sides))


def _evaluated(claims: list[_Claim]) -> list[_Claim]:
    """Return the claims about evaluation, where there are any; otherwise those of no stage, then those of training."""
    first = min((claim.stage for claim in claims), default=0)
    return [claim for claim in claims if claim.stage == first]


# ------------------------------------------------------------------------------------------------- the network's name


def _networks(
    claims: list[_Claim], spec: BackboneSpec, networks: Catalogue[BackboneSpec] | None
) -> Iterable[_Contradiction]:
    """Return names of other networks; a name that no network has counts only where none is the right one."""
    named = [text for claim in claims for text in texts_of(claim.statement.value) if may_be_a_name(text)]
    answers = {text: match_name(text, spec, networks) for text in list(dict.fromkeys(named))[:_MOST_NAMED]}
    right = any(answer.verdict == "right" for answer in answers.values())
    for text, answer in answers.items():
        if answer.verdict == "other" or (answer.verdict == "unknown" and not right):
            advice = f"--backbone {answer.offered} is that network" if answer.offered else ""
            yield _Contradiction(f"the network is '{shown(text, 80)}'", advice)


# ------------------------------------------------------------------------------------------------------------ its input


def _sizes(claims: list[_Claim], config: InputConfig) -> Iterable[str | None]:
    for claim in _evaluated([claim for claim in claims if _sides(claim.statement.value)]):
        sides = _sides(claim.statement.value)
        if set(sides) != {config.size}:
            yield f"{'×'.join(map(str, dict.fromkeys(sides)))} pixels"


def _sides(value: object) -> list[int]:
    """Return the sides of an image in pixels, without channels and the size of a batch; empty for anything else."""
    numbers = numbers_of(value) or []
    if len(numbers) == 4:
        numbers = numbers[1:]
    if len(numbers) == 3:
        numbers = numbers[:2] if numbers[2] <= 4 else numbers[1:]
    sound = 0 < len(numbers) <= 2 and all(8 <= side <= 20_000 and side.is_integer() for side in numbers)
    return [int(side) for side in numbers] if sound else []


def _norms(some: list[_Claim], kind: str, claims: list[_Claim], ours: Sequence[float]) -> Iterable[str | None]:
    for claim in some:
        numbers = _norm(claim, kind, claims)
        if numbers is not None:
            raw = numbers_of(claim.statement.value) or []
            scale = 255 if max(map(abs, [*raw, *_partner(claim, claims)])) > 2 else 1
            same = all(abs(one / scale - other) < 2e-3 for one, other in zip(numbers, ours, strict=True))
            yield None if same else f"{kind} {_listed(numbers)}"


def _norm(claim: _Claim, kind: str, claims: list[_Claim]) -> list[float] | None:
    """Return the three numbers of a mean or deviation; None for what is none, such as that of a metric."""
    numbers = numbers_of(claim.statement.value)
    if numbers is None or len(numbers) not in (1, 3):
        return None
    listed = isinstance(claim.statement.value, list)
    alone = len(numbers) == 1 and not listed and not _partner(claim, claims)
    return None if alone or (kind == "std" and min(numbers) <= 0) else numbers * (3 // len(numbers))


def _partner(claim: _Claim, claims: list[_Claim]) -> list[float]:
    """Return the deviation beside a mean, or the mean beside a deviation: both are of one scale, 0 to 1 or 0 to 255."""
    other = {"mean": "std", "std": "mean"}[claim.kind]
    beside = [each for each in claims if each.kind == other and each.statement.path[:-1] == claim.statement.path[:-1]]
    return next(filter(None, (numbers_of(each.statement.value) for each in beside)), [])


def _interpolation(claim: _Claim, config: InputConfig) -> str | None:
    named = _filter(claim.statement.value)
    return None if named in (None, config.interpolation) else named


def _filter(value: object) -> str | None:
    """Return the filter that a value names, or that has its number in Pillow."""
    if type(value) is int and 0 <= value < len(_INTERPOLATIONS):
        return _INTERPOLATIONS[value]
    words = _WORDS.findall(value.lower()) if isinstance(value, str) else []
    return next((name for name in _INTERPOLATIONS if name in words), None)


def _channels(claim: _Claim) -> str | None:
    name, value = folded_name(claim.statement.name), claim.statement.value
    reverses = name in ("bgr", "tobgr", "isbgr", "rgbtobgr")
    turned = value.lower() == "bgr" if isinstance(value, str) else type(value) is bool and value is reverses
    return "channels in the order B, G, R" if turned else None


def _classes(claim: _Claim, num_classes: int) -> str | None:
    numbers = numbers_of(claim.statement.value)
    if numbers is None or len(numbers) != 1 or numbers[0] <= 0 or numbers[0] == num_classes:
        return None
    return f"{numbers[0]:g} classes"


def _option(claim: _Claim, built: Built) -> _Contradiction | None:
    """Return an option that the network has, with another value."""
    option, value = _own_option(claim, built), claim.statement.value
    if option is None or isinstance(value, dict) or _same(value, built.options[option]):
        return None
    typed = str(value) if isinstance(value, str | bool) else ",".join(f"{each:g}" for each in numbers_of(value) or [])
    advice = f"--backbone-opt {option}={shown(typed, 40)} builds it so"
    return _Contradiction(f"{option} {_brief(value)} (here {_brief(built.options[option])})", advice)


def _own_option(claim: _Claim, built: Built) -> str | None:
    return next((name for name in built.options if folded_name(name) == folded_name(claim.statement.name)), None)


def _same(one: object, other: object) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return folded_name(str(one)) == folded_name(str(other))
    numbers = numbers_of(one), numbers_of(other)
    return numbers[0] == numbers[1] if numbers[0] is not None else one == other


# ------------------------------------------------------------------------------------------------- what is not compared


def _unused(claim: _Claim, built: Built) -> str | None:
    """Return a claim in words where no comparison understands it, or the benchmark has no use for it."""
    value = claim.statement.value
    understood: Mapping[str, Callable[[], bool]] = {
        "network": lambda: True,
        "size": lambda: bool(_sides(value)) or not isinstance(value, str | list),
        "mean": lambda: numbers_of(value) is not None,
        "std": lambda: numbers_of(value) is not None,
        "interpolation": lambda: _filter(value) is not None or not value,
        "channels": lambda: True,
        "classes": lambda: numbers_of(value) is not None or isinstance(value, bool),
        "option": lambda: _own_option(claim, built) is not None,
        "average": lambda: not value or not isinstance(value, bool | int | float),
        "crop": lambda: value is False,
    }
    if understood[claim.kind]() or not (isinstance(value, str) or numbers_of(value) is not None or value is True):
        return None
    return f"{shown(claim.statement.name, 40)} {_brief(value)}"


def _brief(value: object) -> str:
    numbers = None if isinstance(value, str) else numbers_of(value)
    return shown(str(value), 60) if numbers is None else _listed(numbers)


def _listed(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else ", ".join(f"{value:g}" for value in values)
