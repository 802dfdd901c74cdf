"""``wsolbench run``: a backbone and methods on a data set."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from wsolbench.cli.arguments import (
    LARGEST_SEED,
    DataRoot,
    DatasetName,
    Device,
    EvaluatedSplit,
    Interval,
    Limit,
    MaskRoot,
    MetadataRoot,
    SplitChoice,
    Workers,
    parse_options,
    roots,
)
from wsolbench.cli.session import session_of
from wsolbench.errors import UsageError


class TargetChoice(enum.StrEnum):
    """Whose map is made."""

    GT = "gt"
    PREDICTED = "predicted"


class PrecisionChoice(enum.StrEnum):
    """What a network computes its features in."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


def run(
    context: typer.Context,
    backbone: Annotated[str, typer.Option(help="Network, family or timm:NAME; see 'wsolbench list backbones'.")],
    method: Annotated[list[str], typer.Option(help="Repeatable: one forward pass serves all.")],
    dataset: DatasetName = "critters",
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    masks: MaskRoot = None,
    method_opt: Annotated[
        list[str] | None, typer.Option(metavar="METHOD.NAME=VALUE", help="An option of a method; repeatable.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|SOURCE|random",
            help="Default: those that ship for the data set. A SOURCE such as 'timm' fetches the network's own.",
        ),
    ] = None,
    split: EvaluatedSplit = SplitChoice.TEST,
    limit: Limit = None,
    target: Annotated[TargetChoice, typer.Option(help="The class to localize: the true or the predicted.")] = (
        TargetChoice.GT
    ),
    interval: Interval = 0.001,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in a forward pass.")] = 32,
    device: Device = None,
    precision: Annotated[
        PrecisionChoice, typer.Option(help="Of the network up to its features; less than fp32 moves scores.")
    ] = PrecisionChoice.FP32,
    compile: Annotated[
        bool, typer.Option("--compile", help="Let torch compile the network; pays off in long runs only.")
    ] = False,
    workers: Workers = 2,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Of every random draw, such as random weights.")
    ] = 0,
    save_scoremaps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the maps as DIR/METHOD/(val|test)/IMAGE.npy.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON record a line, and nothing else.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="New folder; default runs/<time>-<backbone>.")] = None,
) -> None:
    """Score localization methods on a trained classifier; write a record and a gallery for each."""
    session = session_of(context)
    registry = session.load_plugins()
    from wsolbench.cli.tables import results_table
    from wsolbench.data.opened import open_dataset
    from wsolbench.engine.methods import build_methods
    from wsolbench.engine.run import RunPlan, check_first_images, check_scoremap_folders
    from wsolbench.engine.run import run as carry_out
    from wsolbench.files import check_writable, fresh_folder
    from wsolbench.networks.devices import choose_device
    from wsolbench.networks.load import load_network
    from wsolbench.networks.network import Execution

    if out is not None:
        check_writable(out, "--out")
    reporter = session.reporter()
    with session.clean_stdout():
        methods = build_methods(registry, read_method_options(method, method_opt or []))
        if save_scoremaps is not None:
            check_scoremap_folders(save_scoremaps, out, [built.name for built in methods])
        data = open_dataset(registry.datasets.get(dataset), roots(data_root, metadata_root, masks))
        check_first_images(data, split.part, methods)
        network = load_network(
            registry,
            backbone,
            dataset=data.name,
            num_classes=len(data.class_names),
            weights=_weights(weights),
            device=choose_device(device),
            seed=seed,
            execution=Execution(precision.value, compile),
        )
        if precision is not PrecisionChoice.FP32:
            reporter.say(f"features are computed in {precision.value}: scores will differ from those of fp32")
        if backbone not in (network.offer.name, network.offer.qualified_name):
            reporter.say(f"{backbone}: the variant {network.spec.name}")
        plan = RunPlan(
            dataset=data,
            network=network,
            methods=methods,
            split=split.part,
            target="gt" if target is TargetChoice.GT else "predicted",
            interval=interval,
            limit=limit,
            batch_size=batch_size,
            workers=workers,
            seed=seed,
            strict=session.strict,
            command=session.command,
            out=out or fresh_folder(network.spec.name),
            scoremaps=save_scoremaps,
        )
        records = carry_out(plan, reporter)
    if json:
        for record in records:
            typer.echo(record.to_line())
        return
    typer.echo(results_table(records))
    typer.echo(f"\nrecords and galleries: {plan.out}")


def _weights(text: str | None) -> Path | Literal["random"] | None:
    if text is None:
        return None
    return "random" if text == "random" else Path(text)


def read_method_options(names: Sequence[str], option_texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the options of every method asked for, read from texts of the form ``METHOD.NAME=VALUE``.

    Raises:
        UsageError: A method is named twice, or an option is for none of them.
    """
    texts: dict[str, dict[str, str]] = {name: {} for name in names}
    if len(texts) < len(names):
        raise UsageError(f"--method: {', '.join(names)} names a method twice")
    for key, value in parse_options(option_texts, "--method-opt").items():
        name, dot, option = key.rpartition(".")
        if not dot or name not in texts:
            raise UsageError(f"--method-opt {key}={value}: expected METHOD.NAME=VALUE with a METHOD of this run")
        texts[name][option] = value
    return texts
