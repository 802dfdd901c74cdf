"""``wsolbench analyze``: what feature maps and records say besides localization; a subcommand for every analysis."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from tabulate import tabulate
from typer.core import TyperCommand

from wsolbench.analysis.catalogue import list_studies, load_study
from wsolbench.cli.arguments import (
    BackboneOptions,
    Boxes,
    ClassMap,
    DataRoot,
    Device,
    FirstPixel,
    InputSize,
    MaskRoot,
    Mean,
    MetadataRoot,
    PreprocessingOfName,
    Std,
    UnannotatedImages,
    WarpFilter,
    WeightsKey,
    Workers,
    check_names,
    check_weights,
    parse_options,
    read_input,
    refuse_commas,
)
from wsolbench.cli.command import Command, Group
from wsolbench.cli.completion import backbones
from wsolbench.cli.session import Session, session_of
from wsolbench.contract.choices import LARGEST_SEED, SplitName
from wsolbench.contract.options import Option, list_options
from wsolbench.errors import UsageError
from wsolbench.escaping import finite_json, visible
from wsolbench.files import fresh_folder

if TYPE_CHECKING:
    import pandas as pd
    from typer._click import Context, HelpFormatter

    from wsolbench.analysis.catalogue import StudyKind
    from wsolbench.config import AnalyzeConfig
    from wsolbench.host.registry import Registry

Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="DIR", help="New folder; default runs/<time>-<analysis>.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the table as JSON, and nothing else.")]
Seed = Annotated[
    int, typer.Option(metavar="N", min=0, max=LARGEST_SEED, help="Of every random draw, such as random weights.")
]


class _Analyses(Group):
    """The group whose subcommands are the modules of analyses; one is imported when it is called."""

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002
        return list(list_studies())

    def get_command(self, ctx: Context, cmd_name: str) -> TyperCommand:  # noqa: ARG002
        return _command_of(cmd_name)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Analyses"):
            formatter.write_dl(list(list_studies().items()))


class _Analysis(Command):
    """A subcommand whose help says what the words of its tables and figures mean."""

    terms: Mapping[str, str] = {}
    instead: Mapping[str, str] = {}
    """Options that other analyses have -> what to type instead."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            option = str(getattr(error, "option_name", None))
            if option in self.instead:
                raise UsageError(f"{option}: {self.instead[option]}") from error
            raise

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        if self.terms:
            with formatter.section("Words of the table and the figures"):
                for term, meaning in self.terms.items():
                    formatter.write_text(f"{term}: {meaning}")
        super().format_options(ctx, formatter)


analyze = typer.Typer(
    help="Measure what feature maps or records say besides localization; figures, tables and provenance.",
    epilog="wsolbench analyze erf --backbone replknet",
    no_args_is_help=True,
    cls=_Analyses,
)


@analyze.callback()
def _root() -> None:
    pass


def _command_of(name: str) -> TyperCommand:
    """Return the subcommand of an analysis: the options of its kind, and its own."""
    from wsolbench.analysis.study import RecordStudy

    study = load_study(name)
    own = list_options(study)
    common = _of_records if issubclass(study, RecordStudy) else _of_networks

    def command(context: typer.Context, **given: Any) -> None:
        options = {option.name: given.pop(option.name) for option in own}
        common(context, name, {key: text for key, text in options.items() if text is not None}, **given)

    parameters = inspect.signature(common, eval_str=True).parameters
    shared = [each for each in parameters.values() if each.name not in ("context", "analysis", "options")]
    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    usual = _usual_settings(study)
    every = [*map(_own_parameter, own), *shared]
    stated = [_with_default(each, usual[each.name]) if each.name in usual else each for each in every]
    signature = inspect.Signature([first, *stated])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=_Analysis, help=list_studies()[name])(command)
    built = typer.main.get_command(app)
    assert isinstance(built, _Analysis)
    built.terms = study.terms
    if common is _of_records:
        instead = (
            f"'{name}' reads records, no network: name files that wsolbench run --backbone NAME --method cam writes"
        )
        built.instead = dict.fromkeys(map(_as_option, inspect.signature(_of_networks).parameters), instead)
    return built


def _usual_settings(study: StudyKind) -> dict[str, str]:
    """Return settings that analyses have defaults of their own for, or read differently: name -> what its help adds."""
    from wsolbench.analysis.composite import told_quick_settings
    from wsolbench.analysis.study import CompositeStudy, NetworkStudy, RecordStudy

    if issubclass(study, RecordStudy):
        return {"records": " And files of earlier analyses." if study.reads_analyses else ""}
    if issubclass(study, NetworkStudy):
        return {
            "split": f" Default: {study.split.label}.",
            "images": f" Default: {'those of the first record, or ' * study.beside_records}{study.images or 'all'}.",
            "random": f" Default: {'--random' if study.beside_random else '--no-random'}.",
        }
    assert issubclass(study, CompositeStudy)
    quick = told_quick_settings()
    own = dict.fromkeys(("split", "random"), " Default: that of each analysis.")
    return own | {"images": " Default: that of each analysis, or of a first look.", "full": f" A first look: {quick}."}


def _with_default(parameter: inspect.Parameter, told: str) -> inspect.Parameter:
    """Return a parameter whose help says its default."""
    plain, option = get_args(parameter.annotation)
    stated = copy(option)
    stated.help = f"{option.help}{told}"
    return parameter.replace(annotation=Annotated[plain, stated])


def _as_option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _own_parameter(option: Option) -> inspect.Parameter:
    """Return an option of an analysis as one of the command line; its text is read with the others of the analysis."""
    if option.type == "bool":
        flag = Annotated[bool | None, typer.Option(help=f"{option.description} Default: {option.default}.")]
        return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=flag)
    several = option.type == "tuple[str, ...]"
    default = "" if several else f" Default: {option.default}."
    metavar = "TEXT" if several else option.type.upper()
    declared = typer.Option(metavar=metavar, help=f"{option.description or 'Of the analysis.'}{default}")
    annotation = Annotated[list[str] | None, declared] if several else Annotated[str | None, declared]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _of_networks(
    context: typer.Context,
    analysis: str,
    options: dict[str, str | bool],
    *,
    records: Annotated[
        list[Path] | None, typer.Argument(metavar="[RECORD]...", help="Files of records whose networks are measured.")
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone",
            "-b",
            metavar="[SYSTEM:]NAME",
            help="Network, family or timm:NAME; repeatable.",
            autocompletion=backbones,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|SOURCE|random",
            help="Of --backbone: once for all, or once for each, in their order. Default: those that ship.",
        ),
    ] = None,
    weights_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Below which the weights files that records name lie.")
    ] = None,
    weights_key: WeightsKey = None,
    backbone_opt: BackboneOptions = None,
    tap: Annotated[str | None, typer.Option(metavar="LAYER", help="Features are those of this layer.")] = None,
    input_size: InputSize = None,
    preprocessing: PreprocessingOfName = None,
    mean: Mean = None,
    std: Std = None,
    interpolation: WarpFilter = None,
    random: Annotated[
        bool | None,
        typer.Option("--random/--no-random", help="Measure every network with random weights too, or not."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Default: that of the first record, or critters.")
    ] = None,
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    masks: MaskRoot = None,
    boxes: Boxes = "inclusive",
    first_pixel: FirstPixel = None,
    unannotated: UnannotatedImages = "error",
    class_map: ClassMap = None,
    split: Annotated[SplitName | None, typer.Option(help="The images.")] = None,
    images: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="How many; the same N gives the same images, those of run --limit N; another N draws anew.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Images in a forward pass.")] = 32,
    device: Device = None,
    workers: Workers = 2,
    seed: Seed = 0,
    json: Json = False,
    out: Out = None,
) -> None:
    """Carry out an analysis of networks."""
    session = session_of(context)
    from wsolbench.analysis.given import dataset_of
    from wsolbench.config import AnalyzeConfig

    refuse_commas(backbone or [], "--backbone")
    registry = session.load_plugins()
    config = AnalyzeConfig.of(
        analysis=analysis,
        options=options,
        records=tuple(records or ()),
        backbones=tuple(backbone or ()),
        weights=tuple(weights or ()),
        weights_root=weights_root,
        weights_key=weights_key,
        backbone_options=parse_options(backbone_opt or [], "--backbone-opt"),
        tap=tap,
        **read_input(input_size, preprocessing, mean, std, interpolation),
        random=random,
        dataset=dataset or dataset_of(analysis, records or [], registry),
        data_root=data_root,
        metadata_root=metadata_root,
        masks=masks,
        boxes=boxes,
        first_pixel=first_pixel,
        unannotated=unannotated,
        class_map=class_map,
        split=split,
        images=images,
        batch_size=batch_size,
        device=device,
        workers=workers,
        seed=seed,
        out=out or fresh_folder(analysis),
    )
    for each, source in zip(config.backbones, config.weights_of_backbones, strict=True):
        check_names(registry, dataset=config.dataset, backbone=each)
        check_weights(registry, each, source)
    _carry_out(config, session, registry, as_json=json)


def _of_records(
    context: typer.Context,
    analysis: str,
    options: dict[str, str | bool],
    *,
    records: Annotated[list[Path], typer.Argument(metavar="RECORD...", help="Files of records.")],
    json: Json = False,
    out: Out = None,
) -> None:
    """Carry out an analysis of records."""
    session = session_of(context)
    from wsolbench.config import AnalyzeConfig

    config = AnalyzeConfig.of(
        analysis=analysis, options=options, records=tuple(records), out=out or fresh_folder(analysis)
    )
    _carry_out(config, session, session.load_plugins(), as_json=json)


def _carry_out(config: AnalyzeConfig, session: Session, registry: Registry, *, as_json: bool) -> None:
    from wsolbench.analysis.job import analyze as carry_out

    with session.clean_stdout():
        findings = carry_out(config, registry, session.reporter(), command=session.command)
    with session.recorded_in(config.out):
        if as_json:
            typer.echo(finite_json(findings.rows))
            return
        typer.echo(_as_text(findings.table))
        if "data" in findings.table.attrs:
            typer.echo(f"\ndata: {visible(findings.table.attrs['data'])}")
        typer.echo(f"\n{visible(findings.shows)}\n{findings.table.attrs['cannot_say']}")
        typer.echo(f"\nfigures and tables: {config.out}")
        if findings.details:
            further = ", ".join(f"{config.analysis}-{name}.csv" for name in findings.details)
            typer.echo(f"further tables there: {further}")


def _as_text(table: pd.DataFrame) -> str:
    import pandas as pd

    rows: Sequence[Sequence[Any]] = [
        [visible(value) if isinstance(value, str) else None if pd.isna(value) else value for value in row]
        for row in table.itertuples(index=False, name=None)
    ]
    headers = ["\n".join(textwrap.wrap(visible(name), 12)) for name in table.columns]
    return tabulate(rows, headers=headers, floatfmt=".4g", missingval="")
