"""Whether a finished run would give the same once more: the same command again then has nothing left to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

from wsolbench.cache import Shelf, cache_folder, list_shelves, load_shelf
from wsolbench.config import RunConfig
from wsolbench.data.opened import OpenDataset, OpenSplit
from wsolbench.engine.cache_identity import cache_identities, recorded_facts, without_fit
from wsolbench.engine.cached import batches_of, contents_of, place_of
from wsolbench.engine.localize import NetworkMaps
from wsolbench.errors import OutputError
from wsolbench.files import file_name
from wsolbench.records import DatasetInfo, ResultRecord, read_record

__all__ = ["check_unchanged"]


def check_unchanged(
    config: RunConfig,
    earlier: Sequence[ResultRecord],
    maps: NetworkMaps,
    dataset: OpenDataset,
    described: DatasetInfo,
    parts: Sequence[OpenSplit],
) -> list[ResultRecord]:
    """Return the records of an earlier run in the order of its methods, if it would give the same once more.

    Args:
        config: The settings, which are the same.
        earlier: The records.
        maps: The network and its methods as they are now.
        dataset: The data set as it is now.
        described: What records say of it now.
        parts: The splits that are scored.

    Raises:
        OutputError: Something else has changed since then; or the cache does not tell whether the images have.
        DataError: The outcomes beside a record are damaged.
    """
    taken = f"--out {config.out}: the folder holds the records of an earlier run with these settings"
    by_method = {record.method.name: record for record in earlier}
    identities = cache_identities(maps, dataset, {})
    kept = list_shelves(cache_folder())
    shelves = {}
    for method in maps.methods:
        record, identity = by_method.get(method), identities.get(method)
        if record is None or identity is None:
            raise OutputError(f"{taken}, and nothing tells whether '{method}' is still the same; name a new folder")
        if record.dataset.content_sha256 != described.content_sha256:
            raise OutputError(f"{taken} and of other annotations; name a new folder")
        now, then = without_fit(identity), without_fit({**identity, "recorded": recorded_facts(record)})
        if now != then:
            changed = next(name for name, value in now["recorded"].items() if then["recorded"].get(name) != value)
            raise OutputError(f"{taken} and another {changed}; name a new folder")
        same = [shelf.folder for shelf in kept if shelf.facts is not None and without_fit(shelf.facts) == now]
        if not same:
            raise OutputError(
                f"{taken}, and the cache has no maps of '{method}' with this code and these weights; name a new folder"
            )
        shelves[method] = [load_shelf(folder) for folder in same]
    for part in parts:
        _check_images(taken, part, maps, shelves)
    assert config.out is not None
    return [read_record(config.out / f"record-{file_name(method)}.json") for method in maps.methods]


def _check_images(taken: str, part: OpenSplit, maps: NetworkMaps, shelves: Mapping[str, Sequence[Shelf]]) -> None:
    """Refuse images of which the cache has no maps: their files have changed, or their maps were removed."""
    batches = batches_of(range(len(part.images.ids)), maps.batch_size)
    with closing(contents_of(part.images, batches, maps.workers)) as contents:
        for batch, content in zip(batches, contents, strict=True):
            place = place_of(part, batch)
            for method, of_method in shelves.items():
                if not any(shelf.holds(place, content) for shelf in of_method):
                    raise OutputError(
                        f"{taken}, and the cache has no maps of '{method}' for the images from "
                        f"'{part.images.ids[batch[0]]}' on as they are now; name a new folder"
                    )
