"""The runs of a sweep: one for each network, data set, seed and choice of settings, with all methods at once."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from wsolbench.config import RunConfig
from wsolbench.errors import UsageError
from wsolbench.files import file_name
from wsolbench.sweeps.config import SETTINGS, MethodEntry, SweepConfig
from wsolbench.texts import counted

__all__ = ["Defaults", "Job", "plan_jobs"]

Defaults = Callable[[str], Mapping[str, Any]]
"""Data set -> settings of this machine, which hold where the sweep says nothing."""

MOST_JOBS = 100_000
LONGEST_NAME = 120
"""Characters of a job's name: drafts and logs add theirs, and file systems allow 255."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Args:
        name: Names its folder.
        config: The run, without its folder.
    """

    name: str
    config: RunConfig

    def into(self, folder: Path) -> RunConfig:
        """Return the run that writes to a folder, maps below it where they are saved."""
        maps = self.config.save_scoremaps
        return self.config.model_copy(
            update={"out": folder, "save_scoremaps": None if maps is None else folder / maps},
        )


def plan_jobs(config: SweepConfig, where: str, defaults: Defaults = lambda _dataset: {}) -> tuple[Job, ...]:
    """Return the runs of a sweep, in the order of the file.

    Args:
        config: The sweep.
        where: What messages call it.
        defaults: Settings of this machine.

    Raises:
        UsageError: It has none or too many, or an exclusion names what the sweep does not have.
    """
    _check_exclusions(config, where)
    networks = [(each.name, own) for each in config.backbones for own in _settings_of(each, each.options)]
    datasets = [(each.name, own) for each in config.datasets for own in _settings_of(each, {})]
    groups = _method_groups(config.methods)
    most = len(networks) * len(datasets) * len(config.seeds) * len(groups) * _size(config.settings)
    if most > MOST_JOBS:
        raise UsageError(f"{where}: {counted(most, 'runs')}; a sweep has at most {MOST_JOBS:,}")
    configs = dict.fromkeys(_configs(config, networks, datasets, groups, defaults))
    jobs = _named([RunConfig.model_validate_json(text) for text in configs])
    if not jobs:
        raise UsageError(f"{where}: exclude: it leaves no run")
    outside = next((job.config.save_scoremaps for job in jobs if _leads_out(job.config.save_scoremaps)), None)
    if outside is not None:
        raise UsageError(f"{where}: save_scoremaps: expected a folder inside that of each run, as maps, not {outside}")
    return jobs


def _configs(
    config: SweepConfig,
    networks: Sequence[tuple[str, Mapping[str, Any]]],
    datasets: Sequence[tuple[str, Mapping[str, Any]]],
    groups: Sequence[Mapping[str, Mapping[str, str]]],
    defaults: Defaults,
) -> Iterator[str]:
    """Yield the runs as JSON."""
    of_settings = config.settings.model_dump()["backbone_options"]
    for (network, of_network), (dataset, of_dataset) in itertools.product(networks, datasets):
        own = {**of_dataset, **of_network}
        usual = {name: value for name, value in defaults(dataset).items() if name in SETTINGS}
        for common in _settings_of(config.settings, of_settings, own):
            for seed, group in itertools.product(config.seeds, groups):
                values = {**usual, **common, **own, "backbone": network, "dataset": dataset, "seed": seed}
                values["backbone_options"] = {**common.get("backbone_options", {}), **own.get("backbone_options", {})}
                methods = {name: options for name, options in group.items() if not _excluded(config, values, name)}
                if methods:
                    yield RunConfig.of(**values, methods=methods).to_json()


# ---------------------------------------------------------------------------------------------------------- the axes


def _settings_of(
    entry: BaseModel, options: Mapping[str, Sequence[str]], own: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield every choice of the settings that an entry gives, without those of which somebody else has their own."""
    given = [
        name for name in SETTINGS if name in entry.model_fields_set and name not in {"backbone_options", *(own or {})}
    ]
    for chosen in itertools.product(*(getattr(entry, name) for name in given)):
        for picked in _choices(options):
            picked_options = {"backbone_options": picked} if picked else {}
            yield {**dict(zip(given, chosen, strict=True)), **picked_options}


def _choices(options: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Yield every choice of the values of options."""
    for chosen in itertools.product(*options.values()):
        yield dict(zip(options, chosen, strict=True))


def _size(entry: BaseModel) -> int:
    """Return how many choices of settings an entry gives."""
    values = entry.model_dump(exclude_unset=True)
    options = values.pop("backbone_options", {})
    return math.prod(map(len, (*values.values(), *options.values())))


def _method_groups(entries: Sequence[MethodEntry]) -> list[dict[str, dict[str, str]]]:
    """Return the methods of runs: a method that has several choices of options is in several groups."""
    variants: dict[str, list[dict[str, str]]] = defaultdict(list)
    for entry in entries:
        for options in _choices(entry.options):
            if options not in variants[entry.name]:
                variants[entry.name].append(options)
    return [
        {name: choices[number] for name, choices in variants.items() if number < len(choices)}
        for number in range(max(map(len, variants.values())))
    ]


# --------------------------------------------------------------------------------------------------------- exclusions


def _excluded(config: SweepConfig, values: Mapping[str, Any], method: str) -> bool:
    """Return whether a method of a run is left out."""
    usual = RunConfig.model_fields
    of_run = {name: values.get(name, usual[name].get_default(call_default_factory=True)) for name in SETTINGS}
    of_run |= {"backbone": values["backbone"], "dataset": values["dataset"], "seed": values["seed"], "method": method}
    return any(
        all(of_run[name] in getattr(exclusion, name) for name in exclusion.model_fields_set)
        for exclusion in config.exclude
        if exclusion.model_fields_set
    )


def _check_exclusions(config: SweepConfig, where: str) -> None:
    """Refuse names and seeds that the sweep does not have: they are slips."""
    known: dict[str, Sequence[Any]] = {
        "backbone": [each.name for each in config.backbones],
        "method": [each.name for each in config.methods],
        "dataset": [each.name for each in config.datasets],
        "seed": config.seeds,
    }
    for number, exclusion in enumerate(config.exclude):
        for axis, values in known.items():
            for value in getattr(exclusion, axis):
                if value not in values:
                    close = difflib.get_close_matches(str(value), list(map(str, values)), n=1)
                    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(map(str, values))}"
                    raise UsageError(f"{where}: exclude[{number}].{axis}: the sweep has no {value!r}; {hint}")


def _leads_out(folder: Path | None) -> bool:
    return folder is not None and (folder.is_absolute() or ".." in folder.parts)


# -------------------------------------------------------------------------------------------------------------- names


def _named(configs: Sequence[RunConfig]) -> tuple[Job, ...]:
    """Return jobs with names that are readable, and different on every file system."""
    groups: dict[tuple[str, str], list[RunConfig]] = defaultdict(list)
    for config in configs:
        groups[config.backbone, config.dataset].append(config)
    varied = {key: _varied(group) for key, group in groups.items()}
    jobs = [Job(_name(each, varied[each.backbone, each.dataset]), each) for each in configs]
    often = Counter(job.name.casefold() for job in jobs)
    return tuple(
        job if often[job.name.casefold()] == 1 else replace(job, name=f"{job.name}__{_digest(job.config)}")
        for job in jobs
    )


def _varied(configs: Iterable[RunConfig]) -> list[str]:
    """Return the settings in which runs of one network on one data set differ; seeds always stand in names."""
    values: dict[str, set[str]] = defaultdict(set)
    for config in configs:
        for name, value in config.model_dump(mode="json").items():
            values[name].add(repr(value))
    return [name for name in RunConfig.model_fields if name != "seed" and len(values[name]) > 1]


def _name(config: RunConfig, varied: Iterable[str]) -> str:
    parts = [config.backbone, config.dataset, *(_part(name, getattr(config, name)) for name in varied)]
    name = file_name("__".join([*parts, f"seed{config.seed}"])).lstrip(".")
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 10]}__{_digest(config)}"


def _part(name: str, value: Any) -> str:
    """Return what a name says of a setting."""
    if name == "methods":
        return "+".join(f"{method}{_pairs(options)}" for method, options in value.items())
    if name == "backbone_options":
        return _pairs(value).lstrip("-") or "usual"
    if isinstance(value, tuple):
        return f"{name}-{'-'.join(map(str, value))}"
    is_path = isinstance(value, Path) or (name == "weights" and value is not None)
    return f"{name}-{Path(value).name if is_path else value}"


def _pairs(options: Mapping[str, str]) -> str:
    return "".join(f"-{name}={value}" for name, value in options.items())


def _digest(config: RunConfig) -> str:
    return hashlib.sha256(config.to_json().encode()).hexdigest()[:8]
