"""``wsolbench train``: a classifier from image labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsolbench.cli.arguments import DataRoot, DatasetName, Device, MetadataRoot, Workers, parse_options, roots
from wsolbench.cli.session import session_of


def train(
    context: typer.Context,
    backbone: Annotated[str, typer.Option(help="Network to train; see 'wsolbench list backbones'.")],
    dataset: DatasetName = "critters",
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    recipe: Annotated[str, typer.Option(help="How to train; see 'wsolbench list recipes'.")] = "onecycle",
    recipe_opt: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the recipe; repeatable.")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Repeatable: trains once for each; the first one's weights are kept.")
    ] = None,
    device: Device = None,
    workers: Workers = 2,
    out: Annotated[Path | None, typer.Option(help="New folder for weights, card and log.")] = None,
) -> None:
    """Train a classifier from image labels only; write its weights, a card and a log."""
    session = session_of(context)
    registry = session.load_plugins()
    from wsolbench.engine.devices import choose_device
    from wsolbench.engine.files import fresh_folder, whole_folder
    from wsolbench.engine.train import TrainingPlan
    from wsolbench.engine.train import train as run_training
    from wsolbench.options import build_with_options

    recipe_spec = registry.recipes.get(recipe).spec
    built, options = build_with_options(
        f"the recipe '{recipe}'", recipe_spec.build, parse_options(recipe_opt or [], "--recipe-opt")
    )
    plan = TrainingPlan(
        spec=registry.backbones.get(backbone).spec,
        dataset=registry.datasets.get(dataset).spec.build(roots(data_root, metadata_root)),
        recipe_name=recipe,
        recipe=built,
        recipe_options=options,
        seeds=tuple(seed or [0]),
        device=choose_device(device),
        workers=workers,
        command=session.command,
    )
    folder = out or fresh_folder(f"train-{plan.spec.name}")
    reporter = session.reporter()
    with whole_folder(folder) as draft:
        card = run_training(plan, draft, reporter)
    for result in card.results:
        accuracy = "not measured (no test split)" if result.test_top1 is None else f"{result.test_top1:.1f} %"
        typer.echo(f"seed {result.seed}: top-1 on test {accuracy}")
    typer.echo(f"weights, card and log: {folder}")
