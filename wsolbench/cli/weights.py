"""``wsolbench weights``: identifies a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsolbench.cli.arguments import InputSize, WeightsKey
from wsolbench.cli.session import session_of
from wsolbench.contract import InputConfig
from wsolbench.contract.inputs import InputChanges
from wsolbench.escaping import visible
from wsolbench.host.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from wsolbench.networks.diagnosis import Fit
    from wsolbench.networks.weights_file import WeightsFile

SHOWN = 8


def weights(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A safetensors or torch.save file; nothing in it is executed.")],
    weights_key: WeightsKey = None,
    input_size: InputSize = None,
) -> None:
    """Show which network a weights file belongs to, which entries are renamed, and which are missing."""
    session = session_of(context)
    registry = session.load_plugins()
    from wsolbench.networks.weights_file import read_weights_file

    content = read_weights_file(file)  # before the libraries are imported that compute: what is wrong is said at once
    from wsolbench.networks.diagnosis import diagnose, diagnose_by_card, look_in_zoos
    from wsolbench.networks.entry_names import is_counter, some

    with session.clean_stdout():
        found = diagnose_by_card(content, registry.backbones, weights_key)
        if found is None:
            found = diagnose(content, registry.backbones, weights_key)
            found = look_in_zoos(content, found, registry.backbones, weights_key)
    lines = [_summary(file, found.entries), *found.notes, *found.said]
    if len(found.fits) > 1:
        lines.append(f"ambiguous: its entries fit {len(found.fits)} networks, which differ in what no entry shows")
    if not found.fits:
        own = [name for name in found.entries if not is_counter(name)]
        lines.append(f"no network that was compared is similar; its entries include {some(own or found.entries)}")
    lines += found.refusals
    with session.clean_stdout():
        for fit in found.fits:
            lines += ["", *_about(fit, registry, content, weights_key, input_size, session.plugin_options)]
    for line in lines:
        typer.echo(visible(line))


def _summary(file: Path, entries: dict[str, Tensor]) -> str:
    numbers = sum(value.numel() for value in entries.values())
    return f"{file}: {len(entries):,} entries, {numbers / 1e6:.2f} M numbers"


def _about(
    fit: Fit, registry: Registry, file: WeightsFile, key: str | None, size: int | None, plugins: str
) -> list[str]:
    from wsolbench.networks.describe import usual_method

    name = registry.backbones.shown_name(fit.offer)
    form = ", branches merged" if fit.merged else ""
    classes = f"{fit.classes:,} classes" if fit.classes else "no classifier"
    lines = [f"fits {name}{form}: {classes}" if not fit.difference else f"most similar to {name}{form}: {classes}"]
    if fit.difference:
        lines += [f"  {fit.matched:,} entries match", *_listed("missing", fit.difference.missing)]
        lines += _listed("unexpected", fit.difference.unexpected)
        lines += _listed("of another shape", fit.difference.reshaped)
    lines += _listed("mapped", [f"{theirs} -> {ours}" for theirs, ours in fit.renamed.items()])
    if not fit.difference:
        lines += _sized(fit, file, size)
        lines += [f"  refused: {fit.problem}"] if fit.problem else []
        which = "" if key is None else f" --weights-key {key}"
        which += "" if size is None else f" --input-size {size}"
        usual = usual_method(registry, name, has_class_weights=fit.class_weights)
        method = usual if fit.classes or fit.offer.spec.system else "pc1-unsigned"
        run = f"wsolbench run{plugins} --backbone {name} --weights {file.path}{which}"
        lines.append(f"  {run} --dataset DATASET --method {method}")
    return lines


def _sized(fit: Fit, file: WeightsFile, size: int | None) -> list[str]:
    """Return how images become the network's input with this file, who says so, and how large the maps are."""
    from wsolbench.networks.diagnosis import map_size
    from wsolbench.networks.known_weights import input_of_file

    decided = input_of_file(file, fit.offer, InputChanges(size=size))
    config, own = decided.offer.spec.input, fit.offer.spec.input
    maps = "×".join(map(str, fit.map_size or () if config.size == own.size else map_size(decided.offer)))
    decision = f"  {config.size} px: {decided.size_by}" + (
        f"; its own are {own.size}" if config.size != own.size else ""
    )
    told = [*decided.against, *decided.warnings]
    return [f"  images are {_input(config)}; its feature maps are {maps}", decision, *(f"  {line}" for line in told)]


def _input(config: InputConfig) -> str:
    """Return how images are prepared; two networks that a file fits may differ only in this."""
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (config.mean, config.std))
    return f"warped to {config.size}×{config.size} ({config.interpolation}), mean {mean}, std {std}"


def _listed(what: str, names: list[str] | tuple[str, ...]) -> list[str]:
    """Return a heading with a count and, below it, the first names."""
    if not names:
        return []
    rest = [f"    ... and {len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
    from wsolbench.networks.pickles import shown

    return [f"  {len(names):,} {what}:", *(f"    {shown(name, 200)}" for name in names[:SHOWN]), *rest]
