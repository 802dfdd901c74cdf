"""``wsolbench describe``: facts about a backbone, method, data set, recipe or system."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsolbench.cli.arguments import (
    BackboneOptions,
    InputSize,
    Mean,
    PreprocessingOfName,
    Std,
    WarpFilter,
    parse_options,
    read_input,
)
from wsolbench.cli.completion import offers
from wsolbench.cli.session import session_of
from wsolbench.contract import BackboneSpec, DatasetSpec, RecipeSpec, Spec, SystemSpec
from wsolbench.contract.docstrings import first_paragraph
from wsolbench.contract.inputs import NO_CHANGES, InputChanges
from wsolbench.errors import UsageError
from wsolbench.escaping import finite_json, visible
from wsolbench.host.registry import Offer, Registry, kind_of

if TYPE_CHECKING:
    from wsolbench.contract.options import Option


def describe(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(help="A backbone, a family, a method, a data set, a recipe or a system.", autocompletion=offers),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    state_dict: Annotated[
        bool, typer.Option("--state-dict", help="Of a backbone: print {entry: shape} as JSON.")
    ] = False,
    classes: Annotated[int, typer.Option(metavar="N", min=0, help="Of a backbone: classes of its head.")] = 1000,
    backbone_opt: BackboneOptions = None,
    input_size: InputSize = None,
    preprocessing: PreprocessingOfName = None,
    mean: Mean = None,
    std: Std = None,
    interpolation: WarpFilter = None,
    merged: Annotated[bool, typer.Option("--merged", help="Of a backbone: after its branches are merged.")] = False,
) -> None:
    """Describe a backbone (source, size, kernels, features, input), a method, data set, recipe or system."""
    session = session_of(context)
    from wsolbench.config import InputSettings

    registry = session.load_plugins()
    plain, size = registry.sized(name)
    found = registry.find(plain)
    if not found:
        raise registry.unknown(plain)
    offers = _configured(found, parse_options(backbone_opt or [], "--backbone-opt"))
    given = read_input(input_size, preprocessing, mean, std, interpolation)
    offers = _with_input(offers, InputSettings.of(**given).input_changes.sized(size, name))
    if state_dict:
        if len(offers) != 1 or not isinstance(offers[0].spec, BackboneSpec):
            kinds = " and ".join(f"the {kind_of(offer.spec)} '{offer.name}'" for offer in offers)
            raise UsageError(f"--state-dict needs the name of one backbone, and '{name}' is {kinds}")
        from wsolbench.networks.describe import state_dict_shapes

        with session.clean_stdout():
            shapes = state_dict_shapes(offers[0].spec, offers[0].provider, classes, merged=merged)
        typer.echo(finite_json(shapes))
        return
    with session.clean_stdout():
        described = [_describe(registry, offer, classes, merged=merged) for offer in offers]
    if json:
        one_or_all = described[0] if len(described) == 1 else described
        typer.echo(finite_json(one_or_all))
        return
    typer.echo("\n\n".join(_as_text(one) for one in described))


def _configured(offers: list[Offer[Spec]], given: dict[str, str]) -> list[Offer[Spec]]:
    """Return offers, of which the backbones are built with options.

    Raises:
        UsageError: Options are given and there is no backbone, or it has no such option.
    """
    if not given:
        return offers
    from wsolbench.networks.configure import configure

    configured: list[Offer[Spec]] = []
    for offer in offers:
        if not isinstance(offer.spec, BackboneSpec):
            raise UsageError(f"--backbone-opt: '{offer.name}' is no backbone")
        configured.append(configure(Offer(offer.spec, offer.provider), given)[0])
    return configured


def _with_input(offers: list[Offer[Spec]], changes: InputChanges) -> list[Offer[Spec]]:
    """Return offers, of which the backbones have the input that is asked for.

    Raises:
        UsageError: An input is given and there is no backbone, or it cannot have it.
    """
    if changes == NO_CHANGES:
        return offers
    from wsolbench.networks.inputs import decide_input

    changed: list[Offer[Spec]] = []
    for offer in offers:
        if not isinstance(offer.spec, BackboneSpec):
            raise UsageError(f"'{offer.name}' is no backbone; omit the options of its input")
        changed.append(decide_input(Offer(offer.spec, offer.provider), changes).offer)
    return changed


def _describe(registry: Registry, offer: Offer[Spec], classes: int, *, merged: bool) -> dict[str, Any]:
    spec = offer.spec
    about: dict[str, Any] = {"name": spec.name, "kind": kind_of(spec), "provider": str(offer.provider)}
    about["source"] = spec.source
    if isinstance(spec, BackboneSpec):
        return about | _about_backbone(registry, Offer(spec, offer.provider), classes, merged=merged)
    description = spec.description if isinstance(spec, DatasetSpec) else first_paragraph(spec.build)
    if description:
        about["about"] = description
    if isinstance(spec, DatasetSpec):
        backbones = [each.name for each in registry.backbones for c in each.spec.checkpoints if c.dataset == spec.name]
        places = " --data-root DIR" if spec.name != "critters" else ""
        about |= {"backbones with shipped weights": backbones, "example": f"wsolbench data check {spec.name}{places}"}
        return about
    network = "vit_nano" if "attention" in getattr(spec, "needs", ()) else "resnet_nano"
    if isinstance(spec, SystemSpec):
        about |= {"train": f"{spec.name}:BACKBONE", "method": spec.method, "needs": sorted(spec.needs)}
        about["example"] = f"wsolbench train --backbone {spec.name}:{network} --out trained"
    elif isinstance(spec, RecipeSpec):
        about["example"] = f"wsolbench train --backbone {network} --recipe {spec.name} --out trained"
    else:
        weights = "" if network == "resnet_nano" else " --weights random"
        about["needs"] = sorted(spec.needs)
        about["example"] = f"wsolbench run --backbone {network}{weights} --method {spec.name}"
    return {**about, "options": _options(offer)}


def _about_backbone(registry: Registry, offer: Offer[BackboneSpec], classes: int, *, merged: bool) -> dict[str, Any]:
    from wsolbench.networks.configure import backbone_options
    from wsolbench.networks.describe import describe_backbone, usual_method

    system = registry.backbones.system_of(offer.spec.name)
    facts = describe_backbone(offer.spec, offer.provider, classes, merged=merged)
    method = usual_method(registry, offer.spec.name, has_class_weights=facts["class_weights"])
    own = {} if system is None else {"system": f"{system.name}: {system.spec.source}", "method": method}
    weights = "" if facts["shipped_weights"] else " --weights random"
    example = f"wsolbench run --backbone {offer.name}{weights} --method {method}"
    options = {option.name: _option(option) for option in backbone_options(offer)}
    return {**own, **facts, "example": example, "options": options}


def _options(offer: Offer[Spec]) -> dict[str, dict[str, Any]]:
    from wsolbench.contract.options import list_options
    from wsolbench.host.provider import blaming

    with blaming(offer.provider, f"listing the options of '{offer.name}'"):
        options = list_options(offer.spec.build)
    return {option.name: _option(option) for option in options}


def _option(option: Option) -> dict[str, Any]:
    described: dict[str, Any] = {"type": option.type}
    if option.description:
        described["about"] = option.description
    if option.range:
        described["range"] = option.range
    if option.search:
        described["search"] = str(option.search)
    return described if option.required else {**described, "default": option.default}


def _as_text(about: dict[str, Any]) -> str:
    """Return a description as aligned lines of name and value, with one line for each option."""
    options = about.get("options")
    if not options:
        return _aligned({key.replace("_", " "): _value(value) for key, value in about.items()})
    others = {key: value for key, value in about.items() if key != "options"}
    lines = _aligned({name: _option_text(option) for name, option in options.items()})
    return "\n".join([_as_text(others), "options", textwrap.indent(lines, "  ")])


def _aligned(lines: dict[str, str]) -> str:
    width = max(map(len, lines))
    return "\n".join(_wrapped(f"{key:{width}}  ", text) for key, text in lines.items())


def _wrapped(key: str, text: str) -> str:
    """Return a line; on a terminal several, where one is too long for it."""
    if not sys.stdout.isatty():
        return visible(key + text)
    room = max(shutil.get_terminal_size().columns - len(key) - 2, 30)
    lines = textwrap.wrap(visible(text), room, break_long_words=False, break_on_hyphens=False) or [""]
    return key + f"\n{'':{len(key)}}".join(lines)


def _option_text(option: dict[str, Any]) -> str:
    parts = [option["type"], option.get("range")]
    if "default" in option:
        parts.append(f"default {option['default']}")
    if "search" in option:
        parts.append(f"drawn by --choose: {option['search']}")
    return ", ".join(filter(None, parts)) + (f". {option['about']}" if "about" in option else "")


def _value(value: object) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, list) and len(value) in (2, 3) and all(isinstance(side, int) for side in value):
        return "×".join(map(str, value))
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
