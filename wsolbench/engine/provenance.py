"""Where a number comes from: versions, machine-independent command line, source revision."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from wsolbench import __version__
from wsolbench.contract import InputConfig
from wsolbench.contract.options import list_options
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.host.provider import Provider
from wsolbench.records import BackboneInfo, DatasetInfo, Environment, MethodInfo, Preprocessing, content_sha256

if TYPE_CHECKING:  # a description of stored maps needs no torch
    from wsolbench.engine.fit import Fit
    from wsolbench.engine.methods import BuiltMethod
    from wsolbench.networks.network import LoadedNetwork

PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python", "pillow", "grad-cam")


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of the packages that a score may depend on, and Python's."""
    versions = {"python": platform.python_version()}
    installed = {name: _version(name) for name in names}
    return versions | {name: version for name, version in installed.items() if version is not None}


@cache
def _version(package: str) -> str | None:
    """Return the version of an installed package; its metadata is read once in a process."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_revision() -> str | None:
    """Return the commit of the checkout that this code runs from, ``-dirty`` with changes; None if installed."""
    here = Path(__file__).resolve()
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    revision = _git(here.parent, "rev-parse", "HEAD")
    if revision is None:
        return None
    changes = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return f"{revision}-dirty" if changes else revision


def describe_dataset(dataset: OpenDataset, parts: Sequence[OpenSplit], limit: int | None) -> DatasetInfo:
    """Describe what is evaluated on; the content hash covers the annotations of every split that takes part."""
    return DatasetInfo(
        name=dataset.name,
        title=dataset.title,
        version=dataset.version,
        content_sha256=content_sha256((part.split.label, part.annotations_sha256) for part in parts),
        num_classes=len(dataset.class_names),
        split_sizes={part.split.label: len(part.images.ids) for part in parts},
        omitted={part.split.label: part.omitted for part in parts if part.omitted},
        limit=limit,
    )


def describe_backbone(network: LoadedNetwork, class_rows: tuple[int, ...] | None = None) -> BackboneInfo:
    """Describe a network, its weights and its input, and which rows of its head are the classes (None: labels)."""
    return BackboneInfo(
        requested=network.requested,
        name=network.spec.name,
        family=network.spec.family,
        system=network.spec.system,
        options=dict(network.options),
        tap=network.tap,
        provider=str(network.offer.provider),
        parameters=network.parameters,
        largest_kernel=network.largest_kernel,
        stage_kernel=network.stage_kernel,
        reparameterized=network.reparameterized,
        precision=network.execution.precision,
        compiled=network.execution.compiled,
        feature_shape=network.feature_shape,
        weights=network.weights,
        classes=network.num_classes,
        class_rows=class_rows,
        preprocessing=describe_input(network.spec.input),
        changed_input=list(network.changed_input),
    )


def describe_input(config: InputConfig) -> Preprocessing:
    """Describe how images become a network's input."""
    return Preprocessing(size=config.size, mean=config.mean, std=config.std, interpolation=config.interpolation)


def describe_method(built: BuiltMethod, fit: Fit | None) -> MethodInfo:
    """Describe a method, its options, and its fit where it has one."""
    defaults = {option.name: option.default for option in list_options(built.offer.spec.build)}
    return MethodInfo(
        name=built.name,
        provider=str(built.offer.provider),
        options=built.options,
        changed_options={name: value for name, value in built.options.items() if value != defaults[name]},
        reads_network=built.offer.spec.reads_network,
        fitted_images=None if fit is None else fit.images,
        fit_rounds=None if fit is None else fit.rounds,
        fit_state_sha256=None if fit is None else fit.state_sha256,
    )


def describe_environment(
    providers: Sequence[Provider], *, command: str, device: str, seed: int | None, batch_size: int | None
) -> Environment:
    """Describe what computed a record; `providers` are all plugins in the process, since any of them may matter."""
    return Environment(
        wsolbench=__version__,
        git_revision=git_revision(),
        plugins={provider.distribution: provider.recorded_version for provider in providers},
        packages=package_versions(),
        platform=platform.platform(),
        device=device,
        seed=seed,
        batch_size=batch_size,
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
