"""The images that the names in files of boxes mean, and what is wrong with those names, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from wsolbench.api import DataError, DatasetRoots, Split
from wsolbench.data import Finding, NameIndex, Severity, common_front, tidy_path
from wsolbench_plugins.datasets.imagefolder.named_boxes import BoxFile, NamedBox, NamedSize

_MOST_NAMED = 5
"""The most images that one message names."""
_LOOKED_FOR = 20
"""So many files that lists name are looked for beside the images."""


@dataclass(frozen=True)
class NamedImages:
    """The images that names mean; what is at fault is reported when `ids` or `sizes` are first asked for.

    Args:
        file: What the files of boxes say.
        images: The ids of the images of every split.
        classes: The class folders.
        root: The name of the folder that holds the class folders, where that is named after no split.
        roots: The places, for messages, and who gets faults and findings.
    """

    file: BoxFile
    images: Mapping[Split, Sequence[str]]
    classes: Sequence[str]
    root: str
    roots: DatasetRoots

    def find(self, name: str) -> tuple[str, ...]:
        """Return the images that a name may mean."""
        return self._index.find(name)

    def meant(self, name: str) -> tuple[str, ...]:
        """Return the images that a name of the file may mean; of several or none, those of its other name."""
        if name not in self.file.other_names:
            return self.find(name)
        names = (name, self.file.other_names[name])
        found, others = ([one for one in self.find(each) if self._is_allowed(one, names)] for each in names)
        both = [image_id for image_id in found if image_id in others]
        return tuple((both or found or others) if len(found) != 1 else found)

    def _is_allowed(self, image_id: str, names: Sequence[str]) -> bool:
        return all(self._index.allows(name, image_id) for name in names)

    @cached_property
    def ids(self) -> dict[str, str | None]:
        """What the file calls an image with boxes -> its id; None where that is at fault."""
        boxes: dict[str, NamedBox] = {}
        for box in self.file.boxes:
            boxes.setdefault(box.image, box)
        found = {name: self.meant(name) for name in boxes}
        self._refuse_ambiguous([boxes[name] for name, images in found.items() if len(images) > 1])
        self._refuse_twice([(boxes[name], images[0]) for name, images in found.items() if len(images) == 1])
        if any(self.images.values()):  # else the folders are at fault, not the names
            self._report_absent([boxes[name] for name, images in found.items() if not images], found)
        ids = {name: images[0] if len(images) == 1 else None for name, images in found.items()}
        self._report_spellings({name: image_id for name, image_id in ids.items() if image_id is not None})
        return ids

    @cached_property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Image id -> its listed size; images that are listed with two are at fault."""
        sizes: dict[str, NamedSize] = {}
        twice: dict[str, NamedSize] = {}
        for listed in self.file.sizes:
            found = self.meant(listed.image)
            if len(found) == 1 and sizes.setdefault(found[0], listed).size != listed.size:
                twice.setdefault(found[0], listed)
        if twice:
            image_id, listed = next(iter(twice.items()))
            one, other = ("{}x{}".format(*size) for size in (sizes[image_id].size, listed.size))
            message = f"expected one size an image, {image_id} is {one} before ({sizes[image_id].place}), got {other}"
            message += f"; so have {len(twice) - 1:,} other images" if len(twice) > 1 else ""
            self.roots.on_fault(DataError(f"{listed.place}: {message}"))
        return {image_id: listed.size for image_id, listed in sizes.items()}

    @cached_property
    def faulty(self) -> frozenset[str]:
        """The images that entries may mean which are at fault, or whose names may mean several."""
        ambiguous = (name for name, image_id in self.ids.items() if image_id is None)
        return frozenset(image_id for name in (*self.file.faulty, *ambiguous) for image_id in self.meant(name))

    def _refuse_ambiguous(self, boxes: Sequence[NamedBox]) -> None:
        """Report names that may mean several images; boxes are the first of each name, here and below."""
        if boxes:
            name, found = boxes[0].image, self.meant(boxes[0].image)
            named = ", ".join(found[:_MOST_NAMED]) + (", ..." if len(found) > _MOST_NAMED else "")
            message = f"{name!r} names more than one image below the data root: {named}; write SPLIT/CLASS/IMAGE"
            if len({image_id.partition("/")[0] for image_id in found}) > 1:
                message += ", or name each file of boxes after its split, such as test.csv"
            self.roots.on_fault(DataError(f"{boxes[0].place}: {message}{_others(boxes, 'so does', 'so do')}"))

    def _refuse_twice(self, boxes: Sequence[tuple[NamedBox, str]]) -> None:
        """Report names of images that other names mean, too; with each box is its image."""
        name_of: dict[str, str] = {}
        for box, image_id in boxes:
            if name_of.setdefault(image_id, box.image) != box.image:
                message = f"{name_of[image_id]!r} and {box.image!r} are names of one image, {image_id}; use one of them"
                self.roots.on_fault(DataError(f"{box.place}: {message}"))

    def _report_absent(self, boxes: Sequence[NamedBox], found: Mapping[str, Sequence[str]]) -> None:
        """Report names of no image: lists may be larger than what is on disk, but some name must be of an image."""
        said = {box.image: self._split_elsewhere(box.image) for box in boxes}
        unknown = [box for box in boxes if said[box.image] is None]
        left_out = next((box.image for box in unknown[:_LOOKED_FOR] if self._is_left_out(box.image)), None)
        if unknown and (left_out or not any(found.values())):
            self._refuse_unknown(unknown, left_out)
        elif unknown:
            self._leave_out(unknown, found)
        elsewhere = Counter(split for box in self.file.boxes if (split := said.get(box.image)) is not None)
        counted = ", ".join(f"{count:,} of {split.label}" for split, count in elsewhere.items())
        if elsewhere and not any(found.values()):
            first = next(name for name, split in said.items() if split is not None)
            message = f"all boxes are of photos that are not below {self.roots.images}: {counted}, such as {first!r}"
            advice = "name the boxes of the photos that are there; if a folder was renamed, rename it in the file too"
            self.roots.on_fault(DataError(f"{self.roots.metadata}: {message}; {advice}"))
        elif elsewhere:
            self._say(Severity.NOTE, f"boxes of photos that are not scored here are left out: {counted}")

    def _refuse_unknown(self, boxes: Sequence[NamedBox], left_out: str | None) -> None:
        """Refuse names of no image, where none is of one, or one is that of a file that is not read."""
        meant = self._index.nearest(boxes[0].image)
        advice = "; expected a path such as CLASS/IMAGE, or a data root that holds these images"
        advice = f"; did you mean {meant!r}?" if meant else advice
        if left_out:
            advice = f"; {left_out!r} is there, but not read: save it as JPEG or PNG, directly in its class folder"
        message = f"{boxes[0].image!r} names no image below the data root, whatever its case and accents"
        message += f"{_others(boxes, 'nor does', 'nor do')}{advice}"
        self.roots.on_fault(DataError(f"{boxes[0].place}: {message}"))

    def _leave_out(self, boxes: Sequence[NamedBox], found: Mapping[str, Sequence[str]]) -> None:
        """Report names of photos that are not there: a warning where these are most, or a photo has no name."""
        names = {box.image for box in boxes}
        count = sum(box.image in names for box in self.file.boxes)
        of = "1 photo that is" if len(names) == 1 else f"{len(names):,} photos that are"
        text = f"{count:,} {'box' if count == 1 else 'boxes'} of {of} not below {self.roots.images}"
        text += f" {'is' if count == 1 else 'are'} left out, first {boxes[0].place}: {boxes[0].image!r}"
        named = {image_id for images in found.values() for image_id in images}
        nameless = tuple(
            image_id
            for split, ids in self.images.items()
            if split is not Split.TRAIN_WEAKSUP
            for image_id in ids
            if image_id not in named
        )
        meant = replace(self._index, paths=nameless).nearest(boxes[0].image)
        text += f"; is it {meant!r}, which has no box?" if meant else ""
        self._say(Severity.WARNING if meant or 2 * len(names) > len(found) else Severity.NOTE, text)

    def _say(self, severity: Severity, text: str) -> None:
        self.roots.on_finding(Finding(severity, f"{self.roots.metadata}: {text}"))

    def _is_left_out(self, name: str) -> bool:
        """Whether a name is that of a file below the data root, which is no image of a class folder."""
        root, parts = self.roots.images, tidy_path(name).split("/")
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        return root is not None and ".." not in parts and any((root / end).is_file() for end in ends)

    def _split_elsewhere(self, name: str) -> Split | None:
        """Return the split that a name says, where photos of it are not here or not scored."""
        said = self._index.said_split(name)
        return None if said in self.images and said is not Split.TRAIN_WEAKSUP else said

    def _report_spellings(self, ids: Mapping[str, str]) -> None:
        """Report folders in front of names that no image has, and endings that images do not have."""
        others = [name for name, found in ids.items() if self._index.have_other_endings(name, found)]
        if others:
            names = "1 name has" if len(others) == 1 else f"{len(others):,} names have"
            text = f"{names} another ending than the image: {others[0]!r} is {ids[others[0]]!r}"
            self._say(Severity.NOTE, text)
        fronts = Counter(self._index.unmatched_front(name, found) for name, found in ids.items())
        if len(fronts) > 1:
            named = ", ".join(f"{front or 'nothing'!r} ({count:,})" for front, count in fronts.most_common(_MOST_NAMED))
            text = f"names of images have different folders in front, which no image has: {named}"
            self._say(Severity.WARNING, f"{text}; are they all of these photos?")
        elif any(fronts) and not (self.roots.images and self.roots.images.resolve().name in fronts):
            ((front, count),) = fronts.items()
            names = "1 name" if count == 1 else f"{count:,} names"
            self._say(Severity.NOTE, f"{front!r} in front of {names}, a folder that no image has, does not count")

    @cached_property
    def _index(self) -> NameIndex:
        """The images by every end of their paths, with and without ending."""
        named = {box.image for box in self.file.boxes} | {size.image for size in self.file.sizes} | self.file.faulty
        ids = tuple(image_id for images in self.images.values() for image_id in images)
        front = common_front(named, self.classes)
        return NameIndex(ids, ends=True, front=front, root=self.root, telling=tuple(self.classes))


def _others(boxes: Sequence[NamedBox], one: str, many: str) -> str:
    """Return how many more names have a fault, as the end of a sentence."""
    if len(boxes) < 3:
        return f"; {one} {boxes[1].image!r}" if len(boxes) == 2 else ""
    return f"; {many} {len(boxes) - 1:,} other names, such as {boxes[1].image!r}"
