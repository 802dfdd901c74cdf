"""The parts of a composite analysis, carried out one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from wsolbench.analysis.catalogue import StudyKind, list_studies, load_study
from wsolbench.analysis.stored import read_analysis
from wsolbench.analysis.study import CompositeStudy, Evidence, NetworkStudy, Part, RecordStudy
from wsolbench.config import AnalyzeConfig
from wsolbench.contract.options import list_options
from wsolbench.errors import UsageError, WeightsError, WsolbenchError

__all__ = ["Refuse", "carry_out_parts", "told_quick_settings"]

Refuse: TypeAlias = Callable[[str, WsolbenchError], None]
"""Is called with a network that cannot be measured, and the reason."""


def carry_out_parts(
    study: CompositeStudy,
    config: AnalyzeConfig,
    evidence: Evidence,
    folder: Path,
    carry_out: Callable[[AnalyzeConfig, Evidence, Refuse], None],
) -> list[Part]:
    """Return the parts of a composite, in the order in which it names them.

    Those of networks are carried out first, since those of records read what they find. A part that is not possible,
    or not for one of the networks, says why.

    Args:
        study: The composite.
        config: Its settings, which are those of the parts too; its records are files of records.
        evidence: The records and earlier analyses.
        folder: Where the folders of the parts are.
        carry_out: Carries an analysis out, given records, and what to do with a network that cannot be measured.

    Raises:
        UsageError: No part could be carried out.
        WeightsError: The weights of a network cannot be read.
    """
    titles = list_studies()
    kinds = {name: load_study(name) for name in titles}
    names = study.choose([name for name, kind in kinds.items() if not issubclass(kind, CompositeStudy)])
    earlier = {each.analysis for each in evidence.analyses}  # what the user names counts more
    parts: dict[str, Part] = {}
    for name in sorted(names, key=lambda name: issubclass(kinds[name], RecordStudy)):
        settings = {} if study.full else _quick_settings(kinds[name], config)
        found = [part.stored for part in parts.values() if part.stored is not None and part.name not in earlier]
        refused: list[tuple[str, str]] = []

        def refuse(network: str, error: WsolbenchError, refused: list[tuple[str, str]] = refused) -> None:
            refused.append((network, str(error)))

        known = replace(evidence, analyses=[*evidence.analyses, *found])
        try:
            carry_out(_config_of(name, kinds[name], config, settings), known, refuse)
            stored = read_analysis(folder / name / f"{name}.json")
        except WeightsError:
            raise  # these are not the networks that the user means
        except WsolbenchError as error:
            stored, refused = None, refused or [("", str(error))]
        parts[name] = Part(name, titles[name], stored, refused, settings)
    if all(part.stored is None for part in parts.values()):
        first = next(iter(parts.values()))
        raise UsageError(f"no analysis could be carried out; {first.name}: {first.refused[0][1]}")
    return [parts[name] for name in names]


def told_quick_settings() -> str:
    """Return the settings of slow analyses for a first look, for people: ``erf with size 256, images 20``."""
    told = []
    for name in list_studies():
        kind = load_study(name)
        quick = dict(kind.quick)
        if issubclass(kind, NetworkStudy) and kind.quick_images is not None:
            quick["images"] = kind.quick_images
        if quick:
            told.append(f"{name} with {', '.join(f'{setting} {value}' for setting, value in quick.items())}")
    return "; ".join(told)


def _quick_settings(kind: StudyKind, config: AnalyzeConfig) -> dict[str, Any]:
    """Return the settings of an analysis for a first look; the user's number of images counts more than its own."""
    if issubclass(kind, NetworkStudy) and kind.quick_images is not None and config.images is None:
        return {**kind.quick, "images": kind.quick_images}
    return dict(kind.quick)


def _config_of(name: str, kind: StudyKind, config: AnalyzeConfig, settings: Mapping[str, Any]) -> AnalyzeConfig:
    """Return the configuration of a part: its name and folder, and no input size where it has one of its own."""
    options = {key: value for key, value in settings.items() if key != "images"}
    changes: dict[str, Any] = {"analysis": name, "options": options}
    if "images" in settings:
        changes["images"] = settings["images"]
    if config.out is not None:
        changes["out"] = config.out / name
    if "size" in {option.name for option in list_options(kind)}:
        changes["input_size"] = None
    return config.model_copy(update=changes)
