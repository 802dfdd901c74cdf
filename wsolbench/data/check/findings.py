"""What the lists and files of a data set say about it: faults, and what is worth knowing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Dataset, DatasetRoots, DatasetSpec, Finding, KnownSplit, Severity, Split
from wsolbench.data.check.inspection import UPRIGHT, InspectedSplit
from wsolbench.data.class_folders import is_image_name
from wsolbench.data.storage import open_storage
from wsolbench.errors import DataError

NAMED = 10
"""How many images a finding names at most."""
TOLD = 50
"""How many findings of one kind are told one by one."""
RESIZED = 0.5
"""From this share of images of another size on, a split is taken for resized copies."""
FOLDERS_AGREE = 0.8
"""From this share of images on that have the label of their folder, folders are taken for classes."""
ASPECT = 0.02
"""By how much the aspect ratios of an image and its mask may differ: masks are published at other sizes."""


# ------------------------------------------------------------------------------------------------------- of one split


def findings_of_split(part: InspectedSplit, spec: DatasetSpec, dataset: Dataset) -> Iterator[Finding]:
    """Yield what is to say of one split."""
    known = spec.known.get(part.split)
    if known is not None:
        yield from _counts_as_known(part, known)
    yield from _labels_in_range(part, _class_count(dataset) if spec.classes is None else spec.classes)
    if part.is_available:
        yield from _files(part)
        yield from _sizes(part)
        yield from _orientations(part)
    yield from _boxes(part)
    yield from _masks(part)


def _counts_as_known(part: InspectedSplit, known: KnownSplit) -> Iterator[Finding]:
    label, images = part.split.label, len(part.images.ids)
    if images != known.images:
        yield an_error(f"{label} lists {images:,} images, {known.images:,} are known: scores would be of another split")
    counts = Counter(part.images.labels.tolist())
    odd = [str(index) for index, count in counts.items() if index >= 0 and known.per_class not in (None, count)]
    if odd:
        yield an_error(f"{label}: {_several(odd, 'class', 'classes')} without the known {known.per_class} images")
    boxes = count_boxes(part)
    if part.annotations.boxes and known.boxes not in (None, boxes):
        yield an_error(f"{label} has {boxes:,} boxes, {known.boxes:,} are known")


def _labels_in_range(part: InspectedSplit, classes: int) -> Iterator[Finding]:
    labels = zip(part.images.ids, part.images.labels.tolist(), strict=True)
    beyond = [f"{image_id} ({label})" for image_id, label in labels if label >= classes > 0]
    if beyond:
        told = _several(beyond, "image", "images")
        yield an_error(f"{part.split.label}: labels go from 0 to {classes - 1}, beyond which are {told}")


def _files(part: InspectedSplit) -> Iterator[Finding]:
    label = part.split.label
    if part.missing:
        told = _several(part.missing, "image", "images")
        yield an_error(f"{label}: missing on disk: {told}; fetch or unpack them again")
    damaged = [f"{label}: image '{image_id}' cannot be read: {problem}" for image_id, problem in part.damaged]
    yield from one_by_one(Severity.ERROR, damaged)


def _sizes(part: InspectedSplit) -> Iterator[Finding]:
    """Compare sizes with the lists: an odd one is another picture, many are resized copies, which are legal."""
    label, sizes = part.split.label, part.annotations.image_sizes
    listed = [(name, fact.size, sizes[name]) for _, name, fact in part.readable if name in sizes]
    other = [(name, size, expected) for name, size, expected in listed if size != expected]
    if len(other) > RESIZED * len(listed):
        name, size, expected = other[0]
        yield Finding(
            Severity.NOTE,
            f"{label}: {len(other):,} images are resized copies, such as '{name}', {_by(size)} for {_by(expected)}; "
            "boxes and sizes stay those of the originals",
        )
        usual, _ = Counter(size for _, size, _ in other).most_common(1)[0]
        other = [found for found in other if found[1] != usual and not _alike(*found[1:])]
    told = "the lists say {}: another picture or another version of it"
    told += "" if part.split is Split.TRAIN_WEAKSUP else ", which the boxes do not fit"
    yield from one_by_one(
        Severity.ERROR,
        [f"{label}: '{name}' is {_by(size)}, but " + told.format(_by(expected)) for name, size, expected in other],
    )


def _orientations(part: InspectedSplit) -> Iterator[Finding]:
    label = part.split.label
    turned = {name for _, name, fact in part.readable if fact.stored_size not in (None, fact.size)}
    if turned:
        told = _several(sorted(turned), "image", "images")
        yield Finding(Severity.NOTE, f"{label}: turned upright, as the lists have them: {told} stored sideways")
    ignored = [name for _, name, fact in part.readable if fact.orientation != UPRIGHT and name not in turned]
    if ignored:
        told = _several(ignored, "image", "images")
        yield Finding(
            Severity.WARNING,
            f"{label}: the EXIF orientation of {told} is ignored, as the reference does; "
            "boxes must have been drawn on the pixels as they are stored",
        )


def _boxes(part: InspectedSplit) -> Iterator[Finding]:
    boxes, missing = part.annotations.boxes, set(part.missing) | {name for name, _ in part.damaged}
    if not boxes:
        return
    outside, twice, thin = [], [], []
    for image_id in (image_id for image_id in part.images.ids if image_id in boxes and image_id not in missing):
        try:
            corners = np.asarray(boxes[image_id])
        except DataError as error:
            outside.append(f"{part.split.label}: {error}")
            continue
        width, height = part.annotations.image_sizes[image_id]
        if not _inside(corners, width, height):
            outside.append(
                f"{part.split.label}: '{image_id}', {width}x{height}, has boxes outside it: {corners.tolist()}"
            )
        elif (corners[:, :2] == corners[:, 2:]).any():
            thin.append(image_id)
        if len(np.unique(corners, axis=0)) < len(corners):
            twice.append(image_id)
    yield from one_by_one(Severity.ERROR, outside)
    for found, what in ((thin, "boxes one pixel wide or high"), (twice, "the same box more than once")):
        if found:
            yield Finding(Severity.WARNING, f"{part.split.label}: {what}: {_several(found, 'image', 'images')}")


def _inside(corners: NDArray[np.int64], width: int, height: int) -> bool:
    ordered = (corners[:, :2] <= corners[:, 2:]).all()
    return bool(ordered and (corners >= 0).all() and (corners[:, 2:] < (width, height)).all())


def _masks(part: InspectedSplit) -> Iterator[Finding]:
    if not part.masks:
        return
    label, named = part.split.label, list(zip(part.images.ids, part.masks, strict=True))
    damaged = [
        f"{label}: the mask of '{image_id}': {mask.problem}" for image_id, mask in named if mask.problem is not None
    ]
    yield from one_by_one(Severity.ERROR, damaged)
    whole = [(image_id, mask) for image_id, mask in named if mask.problem is None]
    black = [image_id for image_id, mask in whole if not mask.has_foreground]
    if whole and len(black) == len(whole):
        yield an_error(f"{label}: no mask has any foreground, so that there is no PxAP; are these the instance masks?")
    elif black:
        told = _several(black, "image", "images")
        yield Finding(Severity.NOTE, f"{label}: masks without foreground, as a published one is: {told}")
    sizes = {name: fact.size for _, name, fact in part.readable}
    odd = [image_id for image_id, mask in whole if image_id in sizes and not _alike(mask.size, sizes[image_id])]
    if odd:
        told = _several(odd, "image", "images")
        yield Finding(Severity.WARNING, f"{label}: a mask of another aspect ratio, perhaps another image's: {told}")


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= ASPECT


# ------------------------------------------------------------------------------------------------------ of all splits


def findings_of_all(parts: Sequence[InspectedSplit], dataset: Dataset, roots: DatasetRoots) -> Iterator[Finding]:
    """Yield what is to say of the splits of a data set together."""
    yield from _availability(parts, roots)
    yield from _same_ids(parts)
    yield from _same_pictures(parts)
    yield from _classes(parts, dataset)
    yield from _labels_and_folders(parts)
    yield from _unlisted_files(parts, roots)


def _availability(parts: Sequence[InspectedSplit], roots: DatasetRoots) -> Iterator[Finding]:
    looked = [part for part in parts if part.facts]
    if parts and not looked:
        yield Finding(Severity.NOTE, "no image was looked at; pass --data-root DIR")
    gone = [part for part in looked if not part.is_available]
    if looked and len(gone) == len(looked):
        yield an_error(f"no image of any split is below {roots.images}; the first would be '{gone[0].images.ids[0]}'")
        return
    for part in gone:
        place = roots.train if part.split is Split.TRAIN_WEAKSUP and roots.train else roots.images
        yield Finding(
            Severity.NOTE,
            f"{part.split.label} is not available: none of its {len(part.images.ids):,} images is below {place}, "
            f"such as '{part.images.ids[0]}'",
        )


def _same_ids(parts: Sequence[InspectedSplit]) -> Iterator[Finding]:
    seen: dict[str, Split] = {}
    for part in parts:
        again = [image_id for image_id in part.images.ids if image_id in seen]
        for split in Split:
            both = [image_id for image_id in again if seen[image_id] is split]
            if both:
                yield an_error(f"{split.label} and {part.split.label} share {_several(both, 'image id', 'image ids')}")
        seen.update(dict.fromkeys(part.images.ids, part.split))


def _same_pictures(parts: Sequence[InspectedSplit]) -> Iterator[Finding]:
    """Find pictures of equal pixels; across train-fullsup and test they would let τ be chosen on test."""
    found: dict[str, list[tuple[Split, str]]] = {}
    for part in parts:
        for _, image_id, fact in part.readable:
            found.setdefault(fact.digest, []).append((part.split, image_id))
    pairs: dict[tuple[Split, Split], list[str]] = {}
    for same in found.values():
        first: dict[Split, str] = {}
        for split, image_id in same:
            for other, other_id in first.items():
                if image_id != other_id:
                    pairs.setdefault((other, split), []).append(f"{other_id} = {image_id}")
            first.setdefault(split, image_id)
    for (one, other), named in pairs.items():
        if {one, other} == {Split.TRAIN_FULLSUP, Split.TEST}:
            told = _several(named, "picture", "pictures")
            yield an_error(f"{one.label} and {other.label} share {told}: a threshold would be chosen on test")
        elif one is other:
            yield Finding(Severity.WARNING, f"{one.label} has {_several(named, 'picture', 'pictures')} twice")
        else:
            told = _several(named, "picture", "pictures")
            yield Finding(Severity.WARNING, f"{one.label} and {other.label} share {told}")


def _classes(parts: Sequence[InspectedSplit], dataset: Dataset) -> Iterator[Finding]:
    of_split = {part.split: set(part.images.labels.tolist()) - {-1} for part in parts}
    everywhere = set().union(*of_split.values())
    nowhere = sorted(set(range(_class_count(dataset))) - everywhere)
    trained = of_split.get(Split.TRAIN_WEAKSUP, set())
    if nowhere:
        told = _several([str(label) for label in nowhere], "class", "classes")
        severity = Severity.ERROR if trained else Severity.WARNING  # nothing can be trained with such lists
        yield Finding(severity, f"no image in any split: {told}; is a label out of range?")
    for part in parts:
        if part.split is Split.TRAIN_WEAKSUP:
            continue
        pairs = zip(part.images.ids, part.images.labels.tolist(), strict=True)
        strange = [
            f"{image_id} ({label})" for image_id, label in pairs if trained and label >= 0 and label not in trained
        ]
        if strange:
            told = _several(strange, "image", "images")
            yield an_error(f"{part.split.label}: no image of train-weaksup has the class of {told}")
        absent = sorted(trained - of_split[part.split])
        if absent:
            told = _several([str(label) for label in absent], "class", "classes")
            yield Finding(Severity.WARNING, f"{part.split.label} has no image of {told} of train-weaksup")


def _class_count(dataset: Dataset) -> int:
    try:
        return len(dataset.class_names)
    except DataError:  # of a split whose lists are gone, which is told
        return 0


def _labels_and_folders(parts: Sequence[InspectedSplit]) -> Iterator[Finding]:
    """Where every class has a folder of its own, find labels that differ within a folder or between the splits."""
    counts = {part.split: _count_labels([part]) for part in parts}
    everywhere = _count_labels(parts)
    overall = _usual_labels(everywhere, everywhere)
    usual = {split: _usual_labels(count, everywhere) for split, count in counts.items()}
    differing = []
    for folder in everywhere:
        labels = {split: usual[split][folder] for split in usual if folder in usual[split]}
        if len(set(labels.values())) > 1:
            told = ", ".join(f"{label} in {split.label}" for split, label in labels.items())
            differing.append(f"the class folder '{folder}' has the label {told}: one of these lists mixes classes up")
    yield from one_by_one(Severity.ERROR, differing)
    odd = []
    for part in parts:
        expected = usual[part.split] or overall
        for image_id, folder, label in _labelled(part):
            if label != expected.get(folder, label):
                told = f"has the label {label}, the others in its folder have {expected[folder]}"
                odd.append(f"{part.split.label}: '{image_id}' {told}")
    yield from one_by_one(Severity.ERROR, odd)


def _labelled(part: InspectedSplit) -> Iterator[tuple[str, str, int]]:
    """Yield id, folder and label of the images that have a label."""
    for image_id, label in zip(part.images.ids, part.images.labels.tolist(), strict=True):
        if label >= 0:
            yield image_id, image_id.rpartition("/")[0].rpartition("/")[2], label


def _count_labels(parts: Sequence[InspectedSplit]) -> dict[str, Counter[int]]:
    """Return folder -> label -> how many images."""
    counts: dict[str, Counter[int]] = {}
    for part in parts:
        for _, folder, label in _labelled(part):
            counts.setdefault(folder, Counter())[label] += 1
    return counts


def _usual_labels(counts: dict[str, Counter[int]], everywhere: dict[str, Counter[int]]) -> dict[str, int]:
    """Return folder -> its usual label, that of most images everywhere on a tie; empty where folders are no classes."""
    usual = {
        folder: max(labels, key=lambda label: (labels[label], everywhere[folder][label]))
        for folder, labels in counts.items()
    }
    agreeing = sum(labels[usual[folder]] for folder, labels in counts.items())
    total = sum(labels.total() for labels in counts.values())
    if len(usual) < 2 or len(set(usual.values())) < len(usual) or agreeing < FOLDERS_AGREE * total:
        return {}
    return usual


def _unlisted_files(parts: Sequence[InspectedSplit], roots: DatasetRoots) -> Iterator[Finding]:
    """Count images below the data root that no split lists, where ids are paths below it."""
    if roots.images is None or any(part.masks for part in parts):
        return
    listed = {image_id for part in parts for image_id in part.images.ids}
    found = [path for path in open_storage(roots.images).paths() if is_image_name(path.rpartition("/")[2])]
    unlisted = [path for path in found if path not in listed]
    if unlisted and len(unlisted) < len(found):
        told = _several(sorted(unlisted), "image", "images")
        yield Finding(Severity.WARNING, f"in no list, though below {roots.images}: {told}; are these its lists?")


# ---------------------------------------------------------------------------------------------------------------- words


def an_error(text: str) -> Finding:
    """Return a finding of that severity."""
    return Finding(Severity.ERROR, text)


def one_by_one(severity: Severity, texts: Sequence[str]) -> Iterator[Finding]:
    """Tell findings one by one, and the rest of many as a number."""
    yield from (Finding(severity, text) for text in texts[:TOLD])
    if len(texts) > TOLD:
        yield Finding(severity, f"... and {len(texts) - TOLD:,} more of the kind")


def _several(names: Sequence[str], one: str, many: str) -> str:
    """Return a count and the first names."""
    shown = ", ".join(names[:NAMED])
    more = ", ..." if len(names) > NAMED else ""
    return f"{len(names):,} {one if len(names) == 1 else many} ({shown}{more})"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def count_boxes(part: InspectedSplit) -> int:
    """Return how many boxes of a split are inside their images, or lie where that cannot be told."""
    total = 0
    for image_id in part.annotations.boxes:
        with suppress(DataError):
            total += len(part.annotations.boxes[image_id])
    return total
