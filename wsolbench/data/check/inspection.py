"""One pass over every file of a split: whether it exists and can be read, its size, orientation and content."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from wsolbench.contract import Annotations, ImageSplit, MaskPair, Split
from wsolbench.data.fingerprint import image_digest
from wsolbench.data.masks import MaskFacts, look_at_masks
from wsolbench.data.remarks import remarks_on
from wsolbench.errors import DataError, MissingFileError, UsageError
from wsolbench.progress import Reporter
from wsolbench.threads import ordered_map


@dataclass(frozen=True)
class ImageFacts:
    """Facts about one image of a split.

    Args:
        missing: Whether its file does not exist.
        problem: Why it cannot be read, if it exists.
        digest: Hash of its pixels.
        size: (width, height) in pixels, as loaded.
        remarks: What was decided about its size and orientation.
    """

    missing: bool = False
    problem: str | None = None
    digest: str = ""
    size: tuple[int, int] = (0, 0)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class InspectedMasks:
    """The masks of one image.

    Args:
        missing: Whether a file of them does not exist.
        problem: Why they cannot be read, if they exist.
        facts: What is noted about them; None where they cannot be read.
    """

    missing: bool = False
    problem: str | None = None
    facts: MaskFacts | None = None


@dataclass(frozen=True)
class InspectedSplit:
    """A split whose lists have been read and whose files have been inspected.

    Args:
        split: Which split it is.
        images: Its images and labels; the label -1 stands for none.
        annotations: Its boxes or masks; empty for train-weaksup.
        facts: One entry an image; empty if the folder of the images is unknown.
        masks: One entry an image; empty if the split has no masks, or their folder is unknown.
        omitted: Ids of images that are left out, because they have neither a box nor a mask.
    """

    split: Split
    images: ImageSplit
    annotations: Annotations
    facts: tuple[ImageFacts, ...] = ()
    masks: tuple[InspectedMasks, ...] = field(default=())
    omitted: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Ids of the images whose file does not exist."""
        return [image_id for image_id, fact in zip(self.images.ids, self.facts, strict=False) if fact.missing]

    @property
    def damaged(self) -> list[tuple[str, str]]:
        """(id, reason) of the images that exist and cannot be read."""
        pairs = zip(self.images.ids, self.facts, strict=False)
        return [(image_id, fact.problem) for image_id, fact in pairs if fact.problem is not None]

    @property
    def readable(self) -> list[tuple[int, str, ImageFacts]]:
        """(index, id, facts) of the images that can be read."""
        pairs = enumerate(zip(self.images.ids, self.facts, strict=False))
        return [(index, name, fact) for index, (name, fact) in pairs if not fact.missing and fact.problem is None]

    @property
    def is_available(self) -> bool:
        """Whether the file of any of its images exists."""
        return any(not fact.missing for fact in self.facts)


def inspect_split(
    split: Split, images: ImageSplit, annotations: Annotations, *, workers: int, reporter: Reporter
) -> InspectedSplit:
    """Read every image and mask of a split; no image if the folder of the images is unknown.

    Args:
        split: Which split it is.
        images: Its images and labels.
        annotations: Its boxes or masks.
        workers: Number of threads.
        reporter: Shows the progress.

    Raises:
        PluginError: The data set's code fails.
    """
    facts: list[ImageFacts] = []
    masks: list[InspectedMasks] = []
    load_mask = annotations.load_mask

    def look(index: int) -> tuple[ImageFacts | None, InspectedMasks | None]:
        mask = None if load_mask is None else _look_at_masks(load_mask, images.ids[index])
        return _look_at_image(images, index, None if mask is None else mask.facts), mask

    with (
        reporter.phase(split.label, len(images.ids)) as advance,
        closing(ordered_map(look, range(len(images.ids)), workers=workers, ahead=64)) as looked,
    ):
        for fact, mask in looked:
            facts += [] if fact is None else [fact]
            masks += [] if mask is None else [mask]
            advance(1)
    return InspectedSplit(split, images, annotations, tuple(facts), tuple(masks))


def _look_at_image(images: ImageSplit, index: int, mask: MaskFacts | None) -> ImageFacts | None:
    try:
        pixels = images.load(index)
        height, width = pixels.shape[:2]
        remarks = remarks_on(images, index, (width, height), None if mask is None else mask.size)
    except UsageError:  # --data-root was not given
        return None
    except MissingFileError:
        return ImageFacts(missing=True)
    except DataError as error:
        return ImageFacts(problem=str(error))
    return ImageFacts(digest=image_digest(pixels), size=(width, height), remarks=remarks)


def _look_at_masks(load_mask: Callable[[str], MaskPair], image_id: str) -> InspectedMasks | None:
    try:
        masks = load_mask(image_id)
    except UsageError:  # --masks was not given
        return None
    except MissingFileError as error:
        return InspectedMasks(missing=True, problem=str(error))
    except DataError as error:
        return InspectedMasks(problem=str(error))
    return InspectedMasks(facts=look_at_masks(masks))
