"""The page of how each committed table was made: the commands that its records hold."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_DATA = {
    "critters": "Nothing is downloaded: the images are drawn.",
    "ilsvrc-photos": "[The photos](../data.md#imagenet-photos-in-minutes) are a part of ImageNet's validation set.",
    "imagenette": "200 test photos of the download `imagenette2`, with ILSVRC's published boxes.",
    "nettewoof": "[Photos](../data.md#imagenet-photos-in-minutes) of Imagenette and Imagewoof.",
    "tiny-imagenet-40": "`wsolbench data prepare tiny-imagenet-40` [makes it](../data.md#a-benchmark-of-minutes).",
}
"""Data set -> where its images come from."""


def page(records: Path) -> str:
    """Return the page, of the records below a folder."""
    by_dataset: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for path in sorted(records.rglob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "environment" in record:
            by_dataset[record["dataset"]["name"]].append(record)
    sections = [_section(name, by_dataset[name]) for name in sorted(by_dataset)]
    return "\n".join(
        [
            "# How each table was made",
            "",
            "Every record holds the command that made it, the versions, and the hashes of weights and images. Below",
            "are the commands behind the records of each data set, made from them. `wsolbench leaderboard build` makes",
            "the tables, and `wsolbench leaderboard check` recomputes every score.",
            "",
            *sections,
        ]
    )


def _section(name: str, records: Sequence[Mapping[str, Any]]) -> str:
    environments = [record["environment"] for record in records]
    runs = _distinct(environment["command"] for environment in environments)
    trainings = _distinct(
        training["command"] for record in records if (training := _training(record)) and training.get("command")
    )
    dates = sorted(environment["created"][:10] for environment in environments)
    versions = ", ".join(_distinct(environment["wsolbench"] for environment in environments))
    facts = f"{len(records)} records, measured between {dates[0]} and {dates[-1]} with version {versions}."
    blocks = [*_block("trainings", trainings), *_block("runs", runs)]
    return "\n".join([f"## {name}", "", f"{facts} {_DATA.get(name, '')}", "", *blocks])


def _training(record: Mapping[str, Any]) -> Mapping[str, Any]:
    backbone = record["backbone"] or {}
    return (backbone.get("weights") or {}).get("training") or {}


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _block(what: str, commands: Sequence[str]) -> list[str]:
    """Return a folded block of commands; nothing where there are none."""
    if not commands:
        return []
    return [
        f'??? note "{len(commands)} {what}"',
        "",
        "    ```text",
        *(f"    {line}" for line in commands),
        "    ```",
        "",
    ]
