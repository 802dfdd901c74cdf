"""Options that several subcommands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from wsolbench.cli.completion import datasets
from wsolbench.contract.choices import (
    FINEST_THRESHOLD_STEP,
    LARGEST_INPUT,
    BoxConvention,
    Interpolation,
    PreprocessingName,
    SplitName,
    Unannotated,
)
from wsolbench.errors import UsageError
from wsolbench.host.registry import Registry

DatasetName = Annotated[
    str,
    typer.Option(
        "--dataset", "-d", metavar="NAME", help="Data set; see 'wsolbench list datasets'.", autocompletion=datasets
    ),
]
DataRoot = Annotated[
    Path | None, typer.Option(metavar="DIR|ZIP", help="Folder of the data set, or that image ids are relative to.")
]
MetadataRoot = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR|FILE", help="Folder of the split folders train, val and test, or a data set's file of boxes."
    ),
]
MaskRoot = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder that mask paths are relative to; default --data-root.")
]
TrainRoot = Annotated[
    Path | None,
    typer.Option(metavar="DIR|ZIP", help="Folder or ZIP file of the train-weaksup images, if not below --data-root."),
]
Boxes = Annotated[
    BoxConvention, typer.Option(help="Second corners in the lists: the last pixel, the one after it, or clipped.")
]
FirstPixel = Annotated[
    int | None,
    typer.Option(
        metavar="0|1",
        min=0,
        max=1,
        help="Number of the first pixel in lists of corners; default: 0; VOC: concluded from the boxes.",
    ),
]
UnannotatedImages = Annotated[
    Unannotated, typer.Option("--unannotated", help="Images without box and mask where others have one.")
]
ClassMap = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="CSV of class folders, categories of boxes and rows of the head."),
]
Device = Annotated[str | None, typer.Option(metavar="cpu|cuda|cuda:1|mps", help="Default: a GPU where there is one.")]
BackboneOptions = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="An option of the network, as 'describe' lists them; repeatable."),
]
WeightsKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Which state dict of a weights file that holds several, as state_dict_ema."),
]
InputSize = Annotated[
    int | None,
    typer.Option(metavar="N", help="Side of the network's input in pixels; default: as its weights say, or its own."),
]
PreprocessingOfName = Annotated[
    PreprocessingName | None, typer.Option("--preprocessing", help="Mean and std: timm's, ImageNet's or 0.5.")
]
Mean = Annotated[str | None, typer.Option(metavar="R,G,B", help="Mean of the input's channels, of [0, 1].")]
Std = Annotated[str | None, typer.Option(metavar="R,G,B", help="Standard deviation of the input's channels.")]
WarpFilter = Annotated[
    Interpolation | None, typer.Option("--interpolation", help="Filter by which images are warped to the input's size.")
]
Workers = Annotated[int, typer.Option(metavar="N", min=1, help="Threads that load images and score maps.")]
ThresholdStep = Annotated[
    float,
    typer.Option(
        "--threshold-step",
        "--interval",
        metavar="STEP",
        min=FINEST_THRESHOLD_STEP,
        max=1,
        help="Step of the grid of CAM thresholds τ from 0 to 1.",
    ),
]
Frame = Annotated[
    int | None,
    typer.Option(metavar="PIXELS", help="Side of the square in which maps and boxes are compared; usually 224."),
]
IouThresholds = Annotated[
    list[float] | None,
    typer.Option(
        "--iou",
        metavar="IOU",
        help="IoU thresholds δ in place of 0.3, 0.5 and 0.7, of which V2 is the mean; repeatable, 0.5 among them.",
    ),
]
Tau = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NUMBER|otsu", help="Score at this τ too, as 0.2, or each map at that of Otsu's method; repeatable."
    ),
]
TauFrom = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Score at τ chosen on these lists of pseudo boxes too (reference layout)."),
]
FurtherMetrics = Annotated[
    bool,
    typer.Option(
        "--all-metrics", help="Also show mean IoU, object sizes, pointing games and a method's time, as records have."
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="At most so many images of each split; the same N gives the same images, another N draws anew.",
    ),
]
EvaluatedSplit = Annotated[SplitName, typer.Option(help="The split that is scored.")]


def check_names(
    registry: Registry,
    *,
    dataset: str,
    backbone: str | None = None,
    methods: Iterable[str] = (),
    recipe: str | None = None,
) -> None:
    """Check that plugins offer what was named, before the libraries are imported that the work needs.

    Raises:
        UnknownNameError: No plugin offers a name, or several do.
    """
    for method in methods:
        registry.methods.get(method)
    registry.datasets.get(dataset)
    if backbone is not None:
        registry.networks(backbone)
    if recipe is not None:
        registry.recipes.get(recipe)


def check_weights(registry: Registry, backbone: str, weights: str | None) -> None:
    """Read a weights file before the libraries are imported that compute: what is wrong with it is said at once.

    It is read once more when the network is loaded. A plugin's own format is left to the plugin.

    Raises:
        WeightsError: The file is damaged, is no weights file, or holds more than it may.
    """
    from wsolbench.networks.weights_file import read_weights_file

    specs = [offer.spec for offer in registry.networks(backbone)]
    own = any(spec.read_weights or (spec.pretrained and spec.pretrained.source == weights) for spec in specs)
    if weights is not None and not own and Path(weights).exists():
        read_weights_file(Path(weights))


def read_input(
    size: int | None,
    preprocessing: PreprocessingName | None,
    mean: str | None,
    std: str | None,
    interpolation: Interpolation | None,
) -> dict[str, Any]:
    """Return the settings of an input, by their names in configurations.

    Raises:
        UsageError: A text is not three numbers, or a number is out of range.
    """
    if size is not None and not 1 <= size <= LARGEST_INPUT:
        raise UsageError(f"--input-size {size}: expected a whole number of pixels from 1 to {LARGEST_INPUT}")
    return {
        "input_size": size,
        "preprocessing": preprocessing,
        "mean": None if mean is None else _channels(mean, "--mean", "from 0 to 1"),
        "std": None if std is None else _channels(std, "--std", "above 0 and at most 1"),
        "interpolation": interpolation,
    }


def _channels(text: str, option: str, range: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    sound = len(numbers) == 3 and all(0 <= each <= 1 for each in numbers)
    if not sound or (option == "--std" and min(numbers) == 0):
        scale = "; pixels are scaled to [0, 1]: divide by 255" if numbers and max(numbers) > 1 else ""
        raise UsageError(f"{option} {text}: expected three numbers R,G,B, each {range}{scale}")
    return numbers


def refuse_commas(names: Iterable[str], option: str) -> None:
    """Refuse names in one text with commas between them.

    Raises:
        UsageError: There is such a text.
    """
    for text in names:
        if "," in text:
            repeated = " ".join(f"{option} {name}" for name in text.replace(" ", "").split(",") if name)
            raise UsageError(f"{option} {text}: repeat the option: {repeated}")


def parse_options(texts: Sequence[str], option: str) -> dict[str, str]:
    """Read texts of the form ``name=value``.

    Raises:
        UsageError: A text has another form.
    """
    parsed: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} {text}: expected NAME=VALUE")
        if name in parsed:
            raise UsageError(f"{option} {text}: {name} is given twice")
        parsed[name] = value
    return parsed


def read_method_options(names: Sequence[str], option_texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the options of every method asked for, read from texts of the form ``METHOD.NAME=VALUE``.

    Raises:
        UsageError: A method is named twice or with others in one text, or an option is for none of them.
    """
    refuse_commas(names, "--method")
    texts: dict[str, dict[str, str]] = {name: {} for name in names}
    if len(texts) < len(names):
        raise UsageError(f"--method: {', '.join(names)} names a method twice")
    for key, value in parse_options(option_texts, "--method-opt").items():
        name, dot, option = key.rpartition(".")
        if not dot or name not in texts:
            instead = f"the methods are {', '.join(names)}" if dot else f"type --method-opt {names[0]}.{key}={value}"
            raise UsageError(
                f"--method-opt {key}={value}: expected METHOD.NAME=VALUE with a METHOD of this run; {instead}"
            )
        texts[name][option] = value
    return texts


def read_tau(texts: Sequence[str]) -> tuple[float | str, ...]:
    """Read texts of which each is a number from 0 to below 1, or ``otsu``.

    Raises:
        UsageError: A text is something else.
    """
    refuse_commas(texts, "--tau")
    found: list[float | str] = []
    for text in texts:
        try:
            found.append("otsu" if text.casefold() == "otsu" else float(text))
        except ValueError:
            found.append(-1.0)
        if isinstance(found[-1], float) and not 0 <= found[-1] < 1:
            raise UsageError(f"--tau {text}: expected a number from 0 to below 1, such as 0.2, or otsu")
    return tuple(found)
