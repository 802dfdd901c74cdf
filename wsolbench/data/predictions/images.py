"""Which images of a split the entries of a file of predictions are of; every image has one, and no entry is of none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wsolbench.data.lines import quote
from wsolbench.data.names import NameIndex
from wsolbench.errors import DataError

__all__ = ["PredictedImages"]


@dataclass(frozen=True)
class PredictedImages:
    """The images that predictions are of.

    Attributes:
        label: The name of the split.
        ids: The images that are evaluated.
        whole: All images of the split; more than `ids` where only some are evaluated.
        others: Returns the images of the other splits: their predictions may be in the file, and do not count.
    """

    label: str
    ids: Sequence[str]
    whole: Sequence[str]
    others: Callable[[], Sequence[str]]

    def find(self, names: Sequence[str], places: Sequence[str], what: str) -> list[str | None]:
        """Return the image that each name means; None of one that is not evaluated.

        A name is an image id, the end of one, or either without its ending; a number is that of a name of digits.

        Args:
            names: What a file calls images.
            places: File and line of each name, for messages.
            what: What the file holds of each image, for messages.

        Raises:
            DataError: Names are of no image, or one may be of several.
        """
        found = {name: self._index.find(name) or self._by_number(name) for name in dict.fromkeys(names)}
        unknown = [name for name, images in found.items() if not images]
        if unknown:
            elsewhere = NameIndex(tuple(self.others()), ends=True)
            unknown = [name for name in unknown if not elsewhere.find(name)]
        if unknown:
            first, nearest = unknown[0], self._index.nearest(unknown[0])
            advice = f"did you mean '{nearest}'?" if nearest else f"images of {self.label} are called '{self.ids[0]}'"
            whose = "1 image" if len(unknown) == 1 else f"{len(unknown):,} images"
            problem = f"{what} of {whose} that the data set does not have, first {quote(first)}"
            raise DataError(f"{places[names.index(first)]}: {problem}; {advice}")
        several = next((name for name, images in found.items() if len(images) > 1), None)
        if several is not None:
            meanings = " or ".join(map(quote, found[several][:3]))
            raise DataError(f"{places[names.index(several)]}: {quote(several)} may be {meanings}; write which")
        evaluated = set(self.ids)
        ids = {name: images[0] if images and images[0] in evaluated else None for name, images in found.items()}
        return [ids[name] for name in names]

    def check_complete(self, found: Collection[str], path: Path, what: str, advice: str) -> None:
        """Refuse predictions that lack an image.

        Args:
            found: The images that have one.
            path: The file.
            what: What it holds of an image.
            advice: What to do.

        Raises:
            DataError: Images have none.
        """
        missing = [image_id for image_id in self.ids if image_id not in found]
        if missing:
            have = "has" if len(missing) == 1 else "have"
            of_all = f"{len(missing):,} of {len(self.ids):,} images of {self.label}"
            raise DataError(f"{path}: {of_all} {have} no {what}; the first is '{missing[0]}'; {advice}")

    @cached_property
    def _index(self) -> NameIndex:
        return NameIndex(tuple(self.whole), ends=True)

    @cached_property
    def _numbers(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for image_id in self.whole:
            stem = Path(image_id).stem
            if stem.isascii() and stem.isdigit():
                found.setdefault(int(stem), []).append(image_id)
        return found

    def _by_number(self, name: str) -> tuple[str, ...]:
        """Return the images whose names are a number, perhaps with zeros in front, as in COCO."""
        is_number = name.isascii() and name.isdigit() and len(name) < 19
        return tuple(self._numbers.get(int(name), ())) if is_number else ()
