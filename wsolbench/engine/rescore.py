"""A record's maps scored once more, with other settings of the evaluation, from the cache and without a network."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsolbench import __version__
from wsolbench.cache import Shelf, cache_folder, in_use, list_shelves, load_shelf
from wsolbench.config import RescoreConfig
from wsolbench.contract import Split
from wsolbench.contract.choices import Target
from wsolbench.data.opened import OpenSplit, open_dataset
from wsolbench.engine.assembly import assemble_record, check_masks, describe_protocol, open_splits, score_splits
from wsolbench.engine.cache_identity import recorded_facts
from wsolbench.engine.cached import batches_of, contents_of, place_of, stored_batch
from wsolbench.engine.predictions import read_classes
from wsolbench.engine.provenance import describe_dataset, git_revision
from wsolbench.engine.rules import check_rules
from wsolbench.engine.sources import MapBatch
from wsolbench.errors import DataError, UsageError
from wsolbench.files import atomic_folder, file_name
from wsolbench.host.registry import Registry
from wsolbench.progress import Reporter
from wsolbench.records import OF_METHOD, ResultRecord
from wsolbench.records.store import put_record

__all__ = ["rescore"]

_THEN = " && "
"""Between the command that made maps and the one that scored them again, in a record."""


def rescore(
    record: ResultRecord,
    where: str,
    changes: Mapping[str, Any],
    out: Path | None,
    registry: Registry,
    reporter: Reporter,
    *,
    command: str,
) -> ResultRecord:
    """Score the maps of a record again.

    Args:
        record: The record.
        where: Its file, for messages.
        changes: Settings of the evaluation that are other than those of the record; see `RescoreConfig`.
        out: The new folder of the new record; None writes none.
        registry: What the plugins offer.
        reporter: Shows the progress.
        command: How it was asked for, for the new record.

    Returns:
        The new record, of the same network and method.

    Raises:
        UsageError: The record is of maps that were read, or holds no settings; or a setting is wrong.
        DataError: It cannot be read; or the cache has not all of its maps, of the images as they are now.
        OutputError: The new record cannot be written.
    """
    config = _settings(where, record, changes, out)
    check_rules(config)
    dataset = open_dataset(registry.datasets.get(config.dataset), config.roots, reporter)
    with nullcontext() if out is None else atomic_folder(out) as draft:
        with reporter.phase("annotations"):
            splits = open_splits(dataset, Split.labelled(config.split), config.limit, config.tau_from)
            described = describe_dataset(dataset, splits.parts, config.limit)
            check_masks(splits, reporter)
        maps = _KeptMaps(_shelf(where, record, splits.scored), record, config.workers)
        with in_use(maps.shelf):
            scored = score_splits(maps, splits, config, reporter)[record.method.name]
        classes = read_classes(dataset, splits.evaluated, config.classifier)
        scored = scored if classes is None else scored.with_hits(classes.hits)
        again = assemble_record(
            scored,
            dataset=described,
            backbone=record.backbone,
            method=record.method,
            classifier=None if classes is None else classes.info,
            protocol=describe_protocol(config, maps.target, record.protocol.scored),
            environment=record.environment.model_copy(
                update={
                    "wsolbench": __version__,
                    "git_revision": git_revision(),
                    "command": f"{record.environment.command}{_THEN}{command}",
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                }
            ),
            config=config,
            seconds={**reporter.seconds, OF_METHOD: maps.seconds},
            rescored_from=record.outcomes_sha256,
        )
        if draft is not None:
            put_record(again, draft, f"record-{file_name(again.method.name)}")
    return again


def _settings(where: str, record: ResultRecord, changes: Mapping[str, Any], out: Path | None) -> RescoreConfig:
    """Return the settings of a record with some changed.

    Raises:
        UsageError: It has none, or a setting is wrong.
    """
    if record.backbone is None or "scoremaps" in (record.config or {}):
        raise UsageError(
            f"{where}: its {record.protocol.scored} were read from files and are not in the cache; "
            "score them with 'wsolbench evaluate'"
        )
    if record.config is None:
        raise UsageError(f"{where}: the record holds no settings of its run; run it again")
    return RescoreConfig.of(**{**record.config, **changes, "out": out, "save_scoremaps": None})


def _shelf(where: str, record: ResultRecord, parts: Sequence[OpenSplit]) -> Shelf:
    """Return the shelf of a record's maps; of several, as of several versions of the code, the one used last.

    Raises:
        DataError: The cache has none that holds maps of all images.
    """
    wanted = recorded_facts(record)
    size = record.environment.batch_size or 1
    for kept in list_shelves(cache_folder()):
        if kept.facts is None or kept.facts["recorded"] != wanted:
            continue
        shelf = load_shelf(kept.folder)
        batches = [(part, batch) for part in parts for batch in batches_of(range(len(part.images.ids)), size)]
        if all(shelf.has(place_of(part, batch)) for part, batch in batches):
            return shelf
    labels = " and ".join(part.label for part in parts)
    raise DataError(
        f"{where}: the cache ({cache_folder()}) does not hold its maps of {labels}; make them again: "
        f"{_command_of_maps(record)}"
    )


def _command_of_maps(record: ResultRecord) -> str:
    """Return the command that made the maps of a record, which may have been scored again since then."""
    command = record.environment.command
    return command if record.rescored_from is None else command.partition(_THEN)[0]


@dataclass
class _KeptMaps:
    """The maps of a record, as the cache has them.

    Args:
        shelf: Where they are.
        record: Whose they are.
        workers: Threads that read the files of images.
        seconds: How long the method took when they were made, of those that were read.
    """

    shelf: Shelf
    record: ResultRecord
    workers: int
    seconds: float = 0.0
    fate_of_constants: str = "count as zero maps"

    @property
    def methods(self) -> tuple[str, ...]:
        """The name of the method."""
        return (self.record.method.name,)

    @property
    def target(self) -> Target | None:
        """Whose maps they are."""
        return self.record.protocol.target

    @property
    def _batch_size(self) -> int:
        return self.record.environment.batch_size or 1

    @property
    def ahead(self) -> int:
        """How many maps may be in work at a time."""
        return 2 * self._batch_size

    def locate(self, split: OpenSplit, index: int) -> str:
        """Return the image's id."""
        return f"that of '{split.images.ids[index]}'"

    def stream(self, split: OpenSplit, positions: Sequence[int]) -> Generator[MapBatch, None, None]:
        """Yield the maps or boxes of the images at some positions.

        Raises:
            DataError: An image cannot be read, or has changed; or an entry of the cache is damaged.
        """
        batches = batches_of(positions, self._batch_size)
        with closing(contents_of(split.images, batches, self.workers)) as contents:
            for batch, content in zip(batches, contents, strict=True):
                made = stored_batch(self.shelf, place_of(split, batch), content, self.record.method.name, batch)
                if made is None:
                    fault = f" ({self.shelf.faults[-1]})" if self.shelf.faults else ": their files have changed"
                    raise DataError(
                        f"the cache has no maps of the images of {split.label} from '{split.images.ids[batch[0]]}' on"
                        f"{fault}; make them again: {_command_of_maps(self.record)}"
                    )
                self.seconds += made.seconds[self.record.method.name]
                yield made.to_score()
