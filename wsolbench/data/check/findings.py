"""Findings about a data set, from its lists and files: errors, warnings and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract import Dataset, DatasetRoots, DatasetSpec, Finding, KnownSplit, Severity, Split
from wsolbench.data.boxes import OutsideError, findings_of_changes
from wsolbench.data.check.inspection import InspectedSplit
from wsolbench.data.file_kinds import is_image_name
from wsolbench.data.masks import findings_of_masks
from wsolbench.data.opened import ADVICE_WITHOUT_FULLSUP, ADVICE_WITHOUT_TEST, find_unused_classes, is_selection
from wsolbench.data.remarks import count_and_name, findings_of_readings, findings_of_remarks
from wsolbench.data.storage import find_deeper, open_storage
from wsolbench.errors import DataError

MAX_FINDINGS = 50
"""The most findings of one kind that are listed."""
FOLDERS_AGREE = 0.8
"""If at least this share of images has the usual label of its folder, folders count as classes."""


# ------------------------------------------------------------------------------------------------------- of one split


def findings_of_split(part: InspectedSplit, spec: DatasetSpec, dataset: Dataset) -> Iterator[Finding]:
    """Yield the findings about one split.

    Args:
        part: The split, inspected.
        spec: The data set's spec, for the published counts.
        dataset: The data set, for its class names.
    """
    known = spec.known.get(part.split)
    if known is not None:
        yield from _counts_as_known(part, known)
    yield from _labels_in_range(part, _class_count(dataset) if spec.classes is None else spec.classes)
    if part.is_available:
        yield from _files(part)
        yield from findings_of_remarks(part.split.label, _named_remarks(part))
    yield from _boxes(part)
    yield from _masks(part)


def _counts_as_known(part: InspectedSplit, known: KnownSplit) -> Iterator[Finding]:
    label, images = part.split.label, len(part.images.ids)
    if images != known.images:
        yield error_finding(
            f"{label} lists {images:,} images, expected {known.images:,}: scores would be those of another split"
        )
    counts = Counter(part.images.labels.tolist())
    odd = [str(index) for index, count in counts.items() if index >= 0 and known.per_class not in (None, count)]
    if odd:
        named = count_and_name(odd, "class", "classes")
        yield error_finding(f"{label}: expected {known.per_class} images a class, which does not hold for {named}")
    boxes = count_boxes(part)
    if part.annotations.boxes and known.boxes not in (None, boxes):
        yield error_finding(f"{label} has {boxes:,} boxes, expected {known.boxes:,}")


def _labels_in_range(part: InspectedSplit, classes: int) -> Iterator[Finding]:
    labels = zip(part.images.ids, part.images.labels.tolist(), strict=True)
    beyond = [f"{image_id} ({label})" for image_id, label in labels if label >= classes > 0]
    if beyond:
        named = count_and_name(beyond, "image", "images")
        yield error_finding(f"{part.split.label}: expected labels from 0 to {classes - 1}, exceeded by {named}")


def _files(part: InspectedSplit) -> Iterator[Finding]:
    label = part.split.label
    if part.missing:
        named = count_and_name(part.missing, "image", "images")
        yield error_finding(
            f"{label}: missing on disk: {named}; download or unpack them again, or take them out of the lists"
        )
    damaged = [f"{label}: image '{image_id}' cannot be read: {problem}" for image_id, problem in part.damaged]
    yield from list_findings(Severity.ERROR, damaged)


def _named_remarks(part: InspectedSplit) -> dict[str, list[str]]:
    """Return remark -> ids of the images."""
    remarked: dict[str, list[str]] = {}
    for _, image_id, fact in part.readable:
        for remark in fact.remarks:
            remarked.setdefault(remark, []).append(image_id)
    return remarked


def _boxes(part: InspectedSplit) -> Iterator[Finding]:
    boxes, missing = part.annotations.boxes, set(part.missing) | {name for name, _ in part.damaged}
    if not boxes:
        return
    outside, twice, thin, counted = [], [], [], False
    for image_id in (image_id for image_id in part.images.ids if image_id in boxes and image_id not in missing):
        try:
            corners = np.asarray(boxes[image_id])
        except DataError as error:
            if not (counted and isinstance(error, OutsideError)):  # the first one counts the others
                outside.append(f"{part.split.label}: {error}")
            counted |= isinstance(error, OutsideError)
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
    yield from list_findings(Severity.ERROR, outside)
    changes = part.annotations.changes
    yield from findings_of_changes(
        part.split.label, {name: changes[name] for name in part.images.ids if name in changes}
    )
    for found, what in ((thin, "boxes one pixel wide or high"), (twice, "the same box more than once")):
        if found:
            yield Finding(Severity.WARNING, f"{part.split.label}: {what}: {count_and_name(found, 'image', 'images')}")


def _inside(corners: NDArray[np.int64], width: int, height: int) -> bool:
    ordered = (corners[:, :2] <= corners[:, 2:]).all()
    return bool(ordered and (corners >= 0).all() and (corners[:, 2:] < (width, height)).all())


def _masks(part: InspectedSplit) -> Iterator[Finding]:
    if not part.masks:
        if part.annotations.load_mask is not None:
            yield Finding(Severity.NOTE, f"{part.split.label}: masks were not inspected; pass --masks DIR")
        return
    label, masks = part.split.label, list(zip(part.images.ids, part.masks, strict=True))
    damaged = [
        f"{label}: the mask of '{image_id}': {mask.problem}"
        for image_id, mask in masks
        if mask.problem is not None and not mask.missing
    ]
    missing = [image_id for image_id, mask in masks if mask.missing]
    if missing:
        named = count_and_name(missing, "image", "images")
        yield error_finding(f"{label}: masks missing on disk: those of {named}; say with --masks DIR where they are")
    yield from list_findings(Severity.ERROR, damaged)
    yield from findings_of_masks(label, {name: mask.facts for name, mask in masks if mask.facts is not None})


# ------------------------------------------------------------------------------------------------------ of all splits


def findings_of_all(
    parts: Sequence[InspectedSplit], dataset: Dataset, roots: DatasetRoots, spec: DatasetSpec
) -> Iterator[Finding]:
    """Yield the findings about the splits of a data set together.

    Args:
        parts: The splits, inspected.
        dataset: The data set, for its class names.
        roots: Where it lies.
        spec: What is published about it.
    """
    yield from _absent_splits(parts, dataset)
    yield from _availability(parts, roots)
    yield from findings_of_readings({part.split.label: _named_remarks(part) for part in parts})
    yield from _same_ids(parts)
    yield from _same_pictures(parts)
    yield from _classes(parts, dataset, spec)
    yield from _labels_and_folders(parts)
    yield from _unlisted_files(parts, roots)


def _absent_splits(parts: Sequence[InspectedSplit], dataset: Dataset) -> Iterator[Finding]:
    has_boxes = any(part.annotations.boxes for part in parts)
    if has_boxes and Split.TEST not in dataset.splits:
        yield error_finding(f"there is no test split, which a run scores{ADVICE_WITHOUT_TEST}")
    elif parts and Split.TEST not in dataset.splits:
        yield Finding(Severity.NOTE, "there is no test split: this is only to train on")
    elif has_boxes and Split.TRAIN_FULLSUP not in dataset.splits:
        text = "there is no train-fullsup split to choose τ on"
        yield Finding(Severity.NOTE, f"{text}{ADVICE_WITHOUT_FULLSUP}")


def _availability(parts: Sequence[InspectedSplit], roots: DatasetRoots) -> Iterator[Finding]:
    looked = [part for part in parts if part.facts]
    if parts and not looked and roots.images is None:
        yield Finding(Severity.NOTE, "images were not inspected; pass --data-root DIR")
    gone = [part for part in looked if not part.is_available]
    if looked and len(gone) == len(looked):
        first = gone[0].images.ids[0]
        problem = f"no image of any split is below {roots.images}; the first one expected is '{first}'"
        yield error_finding(f"{problem}{_meant_root(roots, first)}")
        return
    for part in gone:
        place = roots.train if part.split is Split.TRAIN_WEAKSUP and roots.train else roots.images
        yield Finding(  # a run reads both scored splits; only a training and methods that are fitted read train-weaksup
            Severity.NOTE if part.split is Split.TRAIN_WEAKSUP else Severity.ERROR,
            f"{part.split.label} is not available: none of its {len(part.images.ids):,} images is below {place}; "
            f"the first one expected is '{part.images.ids[0]}'",
        )


def _meant_root(roots: DatasetRoots, image_id: str) -> str:
    """Return the end of a message that says which root is meant, where it is one folder too high."""
    if roots.images is None or not roots.images.is_dir():
        return ""
    root = roots.images
    meant = find_deeper(open_storage(root), "", lambda folder: (root / folder / image_id).exists())
    return f"; did you mean --data-root {root / meant}?" if meant else ""


def _same_ids(parts: Sequence[InspectedSplit]) -> Iterator[Finding]:
    seen: dict[str, Split] = {}
    for part in parts:
        again = [image_id for image_id in part.images.ids if image_id in seen]
        for split in Split:
            both = [image_id for image_id in again if seen[image_id] is split]
            if both:
                named = count_and_name(both, "image id", "image ids")
                yield error_finding(f"{split.label} and {part.split.label} share {named}")
        seen.update(dict.fromkeys(part.images.ids, part.split))


def _same_pictures(parts: Sequence[InspectedSplit]) -> Iterator[Finding]:
    """Find pictures with equal pixels. If train-fullsup and test share one, τ is chosen on a test image."""
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
    for (one, other), equations in pairs.items():
        named = count_and_name(equations, "picture", "pictures")
        if {one, other} == {Split.TRAIN_FULLSUP, Split.TEST}:
            yield error_finding(f"{one.label} and {other.label} share {named}: a threshold would be chosen on test")
        elif one is other:
            yield Finding(Severity.WARNING, f"{one.label} contains twice: {named}")
        else:
            yield Finding(Severity.WARNING, f"{one.label} and {other.label} share {named}")


def _classes(parts: Sequence[InspectedSplit], dataset: Dataset, spec: DatasetSpec) -> Iterator[Finding]:
    of_split = {part.split: set(part.images.labels.tolist()) - {-1} for part in parts}
    everywhere = set().union(*of_split.values())
    trained = of_split.get(Split.TRAIN_WEAKSUP, set())
    severity = Severity.ERROR if trained else Severity.WARNING  # training needs an image of every class
    count = _class_count(dataset)
    unused = find_unused_classes(count, everywhere, severity)
    if unused is not None and not (count and is_selection(dataset, spec.classes, everywhere)):
        yield unused
    for part in parts:
        if part.split is Split.TRAIN_WEAKSUP:
            continue
        pairs = zip(part.images.ids, part.images.labels.tolist(), strict=True)
        strange = [
            f"{image_id} ({label})" for image_id, label in pairs if trained and label >= 0 and label not in trained
        ]
        if strange:
            named = count_and_name(strange, "image", "images")
            yield error_finding(f"{part.split.label}: train-weaksup has no image of the class of {named}")
        absent = sorted(trained - of_split[part.split])
        if absent:
            named = count_and_name([str(label) for label in absent], "class", "classes")
            yield Finding(Severity.WARNING, f"{part.split.label} has no image of {named}, which train-weaksup has")


def _class_count(dataset: Dataset) -> int:
    try:
        return len(dataset.class_names)
    except DataError:  # the lists of a split cannot be read, which another finding reports
        return 0


def _labels_and_folders(parts: Sequence[InspectedSplit]) -> Iterator[Finding]:
    """If every class has its own folder, find labels that differ within a folder or between the splits."""
    counts = {part.split: _count_labels([part]) for part in parts}
    everywhere = _count_labels(parts)
    overall = _usual_labels(everywhere, everywhere)
    usual = {split: _usual_labels(count, everywhere) for split, count in counts.items()}
    differing = []
    for folder in everywhere:
        labels = {split: usual[split][folder] for split in usual if folder in usual[split]}
        if len(set(labels.values())) > 1:
            each = ", ".join(f"{label} in {split.label}" for split, label in labels.items())
            differing.append(f"the class folder '{folder}' has the label {each}: one of these lists mixes up classes")
    yield from list_findings(Severity.ERROR, differing)
    odd = []
    for part in parts:
        expected = usual[part.split] or overall
        for image_id, folder, label in _labelled(part):
            if label != expected.get(folder, label):
                others = f"the others in its folder have {expected[folder]}"
                odd.append(f"{part.split.label}: '{image_id}' has the label {label}, {others}")
    yield from list_findings(Severity.ERROR, odd)


def _labelled(part: InspectedSplit) -> Iterator[tuple[str, str, int]]:
    """Yield id, innermost folder and label of every image that has a label."""
    for image_id, label in zip(part.images.ids, part.images.labels.tolist(), strict=True):
        if label >= 0:
            yield image_id, image_id.rpartition("/")[0].rpartition("/")[2], label


def _count_labels(parts: Sequence[InspectedSplit]) -> dict[str, Counter[int]]:
    """Return folder -> label -> number of images."""
    counts: dict[str, Counter[int]] = {}
    for part in parts:
        for _, folder, label in _labelled(part):
            counts.setdefault(folder, Counter())[label] += 1
    return counts


def _usual_labels(counts: dict[str, Counter[int]], everywhere: dict[str, Counter[int]]) -> dict[str, int]:
    """Return folder -> its most frequent label; empty if folders do not correspond to classes.

    Args:
        counts: Folder -> label -> number of images, in some splits.
        everywhere: The same in all splits, which decides ties.
    """
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
    """Find images below the data root that no split lists, if ids are paths below it."""
    if roots.images is None or any(part.masks for part in parts):
        return
    listed = {image_id for part in parts for image_id in (*part.images.ids, *part.omitted)}
    try:
        found = [path for path in open_storage(roots.images).paths() if is_image_name(path.rpartition("/")[2])]
    except DataError as error:
        yield error_finding(str(error))
        return
    unlisted = [path for path in found if path not in listed]
    if unlisted and len(unlisted) < len(found):
        named = count_and_name(sorted(unlisted), "image", "images")
        yield Finding(Severity.WARNING, f"in no list, but below {roots.images}: {named}; do the lists belong to it?")


# ---------------------------------------------------------------------------------------------------------------- words


def error_finding(text: str) -> Finding:
    """Return a finding with the severity `ERROR`."""
    return Finding(Severity.ERROR, text)


def list_findings(severity: Severity, texts: Sequence[str]) -> Iterator[Finding]:
    """Yield the first `MAX_FINDINGS` texts as findings, and the number of the others as one more."""
    yield from (Finding(severity, text) for text in texts[:MAX_FINDINGS])
    if len(texts) > MAX_FINDINGS:
        yield Finding(severity, f"... and {len(texts) - MAX_FINDINGS:,} more like these")


def count_boxes(part: InspectedSplit) -> int:
    """Return the number of boxes of a split, without those of images whose boxes cannot be read."""
    total = 0
    for image_id in part.annotations.boxes:
        with suppress(DataError):
            total += len(part.annotations.boxes[image_id])
    return total
