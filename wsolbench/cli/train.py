"""``wsolbench train``: a classifier from image labels."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsolbench.cli.arguments import (
    LARGEST_SEED,
    DataRoot,
    DatasetName,
    Device,
    MetadataRoot,
    SplitChoice,
    TrainRoot,
    Workers,
    parse_options,
    roots,
)
from wsolbench.cli.session import session_of
from wsolbench.contract import BackboneSpec
from wsolbench.errors import UsageError
from wsolbench.host.registry import Offer, Registry

if TYPE_CHECKING:
    from wsolbench.progress import Reporter


class TrainingPrecisionChoice(enum.StrEnum):
    """What a step of training is computed in."""

    FP32 = "fp32"
    BF16 = "bf16"


def train(
    context: typer.Context,
    backbone: Annotated[str, typer.Option(help="Network to train; see 'wsolbench list backbones'.")],
    dataset: DatasetName = "critters",
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    train_root: TrainRoot = None,
    recipe: Annotated[str, typer.Option(help="How to train; see 'wsolbench list recipes'.")] = "onecycle",
    recipe_opt: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the recipe; repeatable.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|SOURCE",
            help="Start from these in place of random weights; a classifier of other classes is left out.",
        ),
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            min=0, max=LARGEST_SEED, help="Repeatable: trains once for each; the first one's weights are kept."
        ),
    ] = None,
    device: Device = None,
    precision: Annotated[
        TrainingPrecisionChoice,
        typer.Option(help="bf16: torch's autocast, faster where the processor knows it; weights are fp32 in any case."),
    ] = TrainingPrecisionChoice.FP32,
    workers: Workers = 2,
    watch: Annotated[
        list[SplitChoice] | None,
        typer.Option(help="Log the accuracy on this split after every epoch; repeatable. Nothing is chosen by it."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the training of this command and --out that was cut short.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="New folder for weights, card, log and curve.")] = None,
) -> None:
    """Train a classifier from image labels only; write its weights, a card, a log and a curve."""
    session = session_of(context)
    registry = session.load_plugins()
    from wsolbench.data.opened import open_dataset
    from wsolbench.files import check_writable, fresh_folder, whole_folder
    from wsolbench.networks.devices import choose_device
    from wsolbench.training.initial_weights import read_initial_weights
    from wsolbench.training.loop import TrainingPlan, build_recipe
    from wsolbench.training.state import state_path_of
    from wsolbench.training.train import train as run_training

    if out is not None:
        check_writable(out, "--out")
    elif resume:
        raise UsageError("--resume needs the --out of the training to continue")
    _check_seeds(seed or [])
    with session.clean_stdout():
        backbone_offer = _one_network(registry, backbone)
        plan = TrainingPlan(
            backbone=backbone_offer,
            dataset=open_dataset(registry.datasets.get(dataset), roots(data_root, metadata_root, train=train_root)),
            built_recipe=build_recipe(registry.recipes.get(recipe), parse_options(recipe_opt or [], "--recipe-opt")),
            seeds=tuple(seed or [0]),
            device=choose_device(device),
            precision=precision.value,
            workers=workers,
            command=session.command_without("--resume"),
            initial=None if weights is None else read_initial_weights(backbone_offer, Path(weights)),
            watch=tuple(dict.fromkeys(choice.part for choice in watch or [])),
        )
        folder = out or fresh_folder(f"train-{plan.backbone.name}")
        state_path = state_path_of(folder)
        if state_path.exists() and not resume:
            raise UsageError(f"{state_path} holds a training that was cut short; add --resume, or delete it")
        reporter = session.reporter()
        with whole_folder(folder) as draft, _telling_how_to_resume(state_path, folder, reporter):
            card = run_training(plan, draft, reporter, state_path=state_path, resume=resume)
        state_path.unlink(missing_ok=True)
    for result in card.results:
        accuracy = "not measured (no test split)" if result.test_top1 is None else f"{result.test_top1:.1f} %"
        typer.echo(f"seed {result.seed}: top-1 on test {accuracy}")
    typer.echo(f"weights, card, log and curve: {folder}")


def _check_seeds(seeds: list[int]) -> None:
    """Refuse a seed that is given again: its training would be the same, and count twice.

    Raises:
        UsageError: One is.
    """
    for index, seed in enumerate(seeds):
        if seed in seeds[:index]:
            raise UsageError(f"--seed {seed} is given more than once; give every seed once")


@contextmanager
def _telling_how_to_resume(state_path: Path, folder: Path, reporter: Reporter) -> Iterator[None]:
    """Tell of the state that a training leaves behind if it fails or is interrupted."""
    before = _modified(state_path)
    try:
        yield
    except BaseException:
        if _modified(state_path) != before:
            reporter.warn(f"{state_path} holds the training so far; --resume --out {folder} continues it")
        raise


def _modified(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _one_network(registry: Registry, name: str) -> Offer[BackboneSpec]:
    """Return the network of a name; a family is no network, as nothing says which variant to train.

    Raises:
        UnknownNameError: Nobody offers the name, or several do.
        UsageError: It is a family's.
    """
    variants = registry.family(name)
    if variants and not registry.backbones.find(name):
        shown = ", ".join(registry.backbones.shown_name(variant) for variant in variants)
        raise UsageError(f"'{name}' is a family of networks; name the one to train: {shown}")
    return registry.backbones.get(name)
