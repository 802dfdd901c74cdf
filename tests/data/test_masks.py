"""Mask files: what is foreground, what is refused, what is noted, and how their shapes decide."""

import io

import numpy as np
import pytest
from PIL import Image

from wsolbench.contract import MaskPair, Severity
from wsolbench.data.image_files import ImageFiles
from wsolbench.data.masks import MaskFiles, MaskPaths, findings_of_masks, look_at_masks
from wsolbench.data.sizes import Remark
from wsolbench.errors import DataError

SIZE = (40, 30)
BOX = (slice(5, 20), slice(10, 30))
OBJECT = np.zeros(SIZE[::-1], dtype=bool)
OBJECT[BOX] = True


class Memory:
    """A storage of files in memory."""

    def __init__(self, **files):
        self.files = files

    def read(self, path):
        return self.files[path]

    def read_head(self, path, size):
        return self.files[path][:size]

    def place(self, path):
        return f"root/{path}"


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grey(value=255, rest=0, dtype=np.uint8):
    return Image.fromarray(np.where(OBJECT, value, rest).astype(dtype))


def trimap(inside, border, outside):
    pixels = np.array(grey(border, outside))
    pixels[BOX][2:-2, 2:-2] = inside
    return Image.fromarray(pixels)


def palette(*colours):
    image = grey(1).convert("P")
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def with_alpha(colours, alpha):
    return Image.merge("RGBA", [*colours.convert("RGB").split(), alpha])


def load(content):
    return MaskFiles(Memory(m=content), {"x": MaskPaths("", ["m"])}, "test", "localization.txt").load("x")


@pytest.mark.parametrize(
    ("image", "values"),
    [
        (grey(), ()),
        (grey(1), ()),
        (grey().convert("1"), ()),
        (grey().convert("RGB"), ()),
        (grey().convert("RGBA"), ()),
        (with_alpha(grey(), grey()), ()),
        (with_alpha(grey(), Image.new("L", SIZE, 0)), ()),  # an alpha channel of one value says nothing
        (palette((0, 0, 0), (128, 0, 0)), ()),
        (grey(65535, dtype=np.uint16), ()),
        (trimap(8, 255, 0), (8, 255)),  # a class, and the void around it
    ],
)
def test_every_grey_value_but_0_is_foreground(image, values):
    masks = load(encode(image))
    np.testing.assert_array_equal(masks.foreground, OBJECT)
    assert masks.values == values


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (encode(trimap(1, 3, 2)), r"root/m has no pixel of value 0: its grey values 1, 2, 3 would all count .*PNG"),
        (encode(with_alpha(Image.new("L", SIZE, 255), grey())), "its alpha channel and its grey values disagree"),
        (encode(Image.new("P", SIZE), transparency=0), None),
        (encode(palette((255, 255, 255), (0, 0, 0))), "the colour numbers of its palette and its grey values disagree"),
        (encode(palette((0, 0, 0), (0, 0, 0))), "the colour numbers of its palette and its grey values disagree"),
        (encode(grey(9, dtype=np.uint16)), "its 16-bit values, also those below 256, and its grey values disagree"),
        (encode(grey(), "JPEG", quality=60), "is a JPEG file, whose compression changes grey values: .*as PNG with 0"),
        (encode(Image.new("L", SIZE), "JPEG"), None),
    ],
)
def test_masks_that_would_be_misread_are_refused(content, problem):
    if problem is None:
        assert not load(content).foreground.any()
        return
    with pytest.raises(DataError, match=problem):
        load(content)


FULL, EMPTY = np.ones_like(OBJECT), np.zeros_like(OBJECT)


@pytest.mark.parametrize(
    ("masks", "severity", "text"),
    [
        ([OBJECT, OBJECT], None, ""),
        ([FULL, OBJECT], None, ""),
        ([EMPTY, OBJECT], Severity.NOTE, "test: masks without foreground (one is published): 1 image (0)"),
        ([EMPTY, EMPTY], Severity.ERROR, "test: no mask has any foreground, so PxAP is undefined"),
        (
            [FULL, FULL],
            Severity.ERROR,
            "test: all masks are foreground wherever they are scored, so PxAP",
        ),
        ([FULL, ~OBJECT, OBJECT], Severity.WARNING, "test: most masks have foreground in all four corners; are they"),
    ],
)
def test_what_is_said_of_the_masks_of_a_split(masks, severity, text):
    found = list(findings_of_masks("test", {str(place): look_at_masks(MaskPair(m)) for place, m in enumerate(masks)}))
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])
    assert "".join(finding.text for finding in found).startswith(text)


def test_masks_whose_background_is_ignored_say_nothing_of_a_map():
    facts = {"a": look_at_masks(MaskPair(OBJECT, ~OBJECT)), "b": look_at_masks(MaskPair(OBJECT, FULL))}
    (finding,) = findings_of_masks("test", facts)
    assert finding.severity is Severity.ERROR
    assert list(findings_of_masks("test", {"a": look_at_masks(MaskPair(OBJECT, EMPTY))})) == []


def test_several_grey_values_are_counted_and_named():
    facts = {name: look_at_masks(load(encode(trimap(8, border, 0)))) for name, border in (("a", 255), ("b", 8))}
    (finding,) = findings_of_masks("test", facts)
    assert finding.severity is Severity.WARNING
    assert finding.text.startswith("test: 1 image (a) with a mask of several grey values above 0")
    assert "those of 'a' are 8, 255" in finding.text


def files(mask_sizes, orientation=1, size=SIZE, sizes=None):
    """Return image files of one size with masks of some sizes."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = encode(Image.new("RGB", size), "JPEG", exif=exif)
    names = [f"x{place}" for place in range(len(mask_sizes))]
    stored = {f"m{name}": encode(Image.new("L", mask)) for name, mask in zip(names, mask_sizes, strict=True)}
    masks = MaskFiles(Memory(**stored), {name: MaskPaths("", [f"m{name}"]) for name in names}, "test", "list")
    return ImageFiles(Memory(**dict.fromkeys(names, photo)), tuple(names), sizes=sizes or {}, masks=masks)


@pytest.mark.parametrize(
    ("orientation", "mask", "shape", "remark"),
    [
        (1, (40, 30), (30, 40), None),
        (1, (160, 120), (30, 40), None),  # another resolution
        (1, (41, 30), (30, 40), None),
        (1, (40, 40), (30, 40), Remark.MASKS_RESHAPED),
        (6, (30, 40), (40, 30), Remark.TURNED_FOR_MASKS),
        (6, (90, 120), (40, 30), Remark.TURNED_FOR_MASKS),
        (6, (40, 30), (30, 40), Remark.STORED_FOR_MASKS),
    ],
)
def test_the_shape_of_a_mask_says_how_a_photo_is_read(orientation, mask, shape, remark):
    images = files([mask], orientation)
    assert images.load(0).shape[:2] == shape
    assert images.remarks(0) == (() if remark is None else (remark.value,))


def test_photos_whose_masks_do_not_tell_are_read_like_the_others():
    images = files([(30, 40), (30, 40), (40, 40)], orientation=6)
    images.load(2)
    assert images.remarks(2)[0] == Remark.TURNED_LIKE_OTHERS.value


def test_masks_with_swapped_sides_are_an_error_unless_they_are_rare():
    problem = r"root/x0 is 40x30, but its mask is 30x40: width and height are swapped in the mask; transpose it"
    with pytest.raises(DataError, match=problem):
        files([(30, 40)] * 3 + [(40, 30)] * 20).load(0)
    with pytest.raises(DataError, match="swapped in the mask"):  # the listed size decides, and the mask contradicts it
        files([(40, 30)], orientation=6, sizes={"x0": (30, 40)}).load(0)
    rare = files([(30, 40)] + [(40, 30)] * 99)
    rare.load(0)
    assert rare.remarks(0) == (Remark.MASKS_SWAPPED.value,)
