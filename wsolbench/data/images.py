"""Image files decoded to pixels, strictly and always as RGB, and images warped to a network's input."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract.choices import Interpolation
from wsolbench.data.file_kinds import identify
from wsolbench.data.sizes import UPRIGHT, Header
from wsolbench.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Picture", "decode_grey", "open_picture", "warp"]

# Pillow also opens formats that start other programs (EPS runs Ghostscript); photos and masks need only these.
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000")
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_BACK = {**_UPRIGHT, 6: "ROTATE_90", 8: "ROTATE_270"}
_LARGE = 1 << 24
"""More pixels than these are converted in strips, so that an image is never in memory three times."""
_MOST_A_BYTE = 100
"""The most pixels that a large photo has for every byte of its file: usual are up to 50, bombs have more."""
_warning_filters = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """An image file whose pixels are decoded when they are asked for.

    Attributes:
        place: The place of the file, for messages.
        header: Its size as stored and its EXIF orientation.
    """

    place: str
    header: Header
    _image: Image
    _bytes: int

    def rgb(self, *, upright: bool = False) -> NDArray[np.uint8]:
        """Return the pixels as RGB, uint8 (H, W, 3).

        Greyscale, palette and CMYK images are converted, alpha is dropped (not composited), and 16-bit greyscale keeps
        its upper 8 bits.

        Args:
            upright: Whether the image is turned by its EXIF orientation; else its pixels are as stored.

        Raises:
            DataError: The file is damaged, or a bomb: so small that its many pixels are no photo.
        """
        width, height = self.header.size
        if width * height > max(_LARGE, _MOST_A_BYTE * self._bytes):
            problem = f"declares {width}x{height} pixels in {self._bytes:,} bytes, which no photo does"
            raise DataError(f"{self.place} {problem}; shrink it, boxes may stay in original pixels")
        image = self._decode(upright=upright)
        if _is_deep(image):
            return np.repeat(_upper_bits(image, self.place)[:, :, None], 3, axis=2)
        return _pixels(image, "RGB", self.place)

    @property
    def format(self) -> str:
        """The format of the file, such as ``PNG``."""
        return self._image.format or ""

    def other_readings(self) -> dict[str, NDArray[np.bool_]]:
        """Return what beside its grey values may say which pixels are not 0, bool (H, W), of a mask.

        It is asked for before the pixels are converted. An alpha channel of one value says nothing.

        Raises:
            DataError: The file is damaged.
        """
        image = self._decode(upright=False)
        if _is_deep(image):
            return {"its 16-bit values, also those below 256,": np.asarray(image) != 0}
        found = {}
        if image.mode == "P":
            found["the colour numbers of its palette"] = np.asarray(image) != 0
        if image.has_transparency_data:
            alpha = (image if "A" in image.getbands() else image.convert("RGBA")).getchannel("A")
            lowest, highest = alpha.getextrema()
            if lowest != highest:
                found["its alpha channel"] = np.asarray(alpha) != 0
        return found

    def grey(self) -> NDArray[np.uint8]:
        """Return the pixels as stored as greyscale, uint8 (H, W). Raises ``DataError``."""
        image = self._decode(upright=False)
        if _is_deep(image):
            return _upper_bits(image, self.place)
        return _pixels(image, "L", self.place)

    def _decode(self, *, upright: bool) -> Image:
        from PIL import Image

        image, orientation = self._image, self.header.orientation
        try:
            image.load()
        except Exception as error:  # each decoder has errors of its own: OSError, SyntaxError, struct.error, ...
            raise DataError(f"{self.place} is cut short or damaged and cannot be decoded; fetch it again") from error
        if orientation == UPRIGHT:
            return image
        is_turned = _orientation(image) == UPRIGHT  # Pillow turns TIFF itself
        if is_turned == upright:
            return image
        return image.transpose(Image.Transpose[(_UPRIGHT if upright else _BACK)[orientation]])


def open_picture(content: bytes, place: str) -> Picture:
    """Return an image file, of which no more than the header is read.

    Args:
        content: The content of the file; its first bytes suffice for the header.
        place: The place of the file, for messages.

    Raises:
        DataError: The file is empty, damaged, too large or not an image.
    """
    image = _open(content, place)
    size = image.size
    if image.format == "TIFF":  # whose size Pillow turns with its orientation
        tags = image.tag_v2  # type: ignore[attr-defined]
        size = (int(tags[256]), int(tags[257]))
    return Picture(place, Header(size, _orientation(image)), image, len(content))


def decode_grey(content: bytes, place: str) -> NDArray[np.uint8]:
    """Return the pixels of an image, such as a mask, as greyscale, uint8 (H, W); EXIF orientation is ignored.

    Raises:
        DataError: The file is empty, damaged, too large or not an image.
    """
    return open_picture(content, place).grey()


def warp(image: NDArray[np.uint8], size: int, interpolation: Interpolation) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) resized to (size, size, 3), aspect ratio not kept; itself if it has that size."""
    from PIL import Image

    if image.shape[:2] == (size, size):
        return image
    resized = Image.fromarray(image).resize((size, size), Image.Resampling[interpolation.upper()])
    return np.array(resized, dtype=np.uint8)


def _open(content: bytes, place: str) -> Image:
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise DataError(f"image file {place} is empty (0 bytes); fetch it again")
    try:
        with _pillow_kept_quiet():
            return Image.open(io.BytesIO(content), formats=_known_formats())
    except UnidentifiedImageError as error:
        readable = ", ".join(_known_formats())
        raise DataError(f"{place} is not an image that can be read ({readable}): {identify(content)}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise DataError(
            f"{place} has more than {limit:,} pixels; shrink it, boxes may stay in original pixels"
        ) from error
    except Exception as error:
        raise DataError(f"{place} is cut short or damaged and cannot be decoded; fetch it again") from error


@cache
def _known_formats() -> tuple[str, ...]:
    """Return the formats that the installed Pillow can read."""
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@contextmanager
def _pillow_kept_quiet() -> Iterator[None]:
    """Silence Pillow's warnings about metadata; an oversized image is an error instead.

    Warning filters belong to the whole process, so threads take turns. Only headers are read meanwhile.
    """
    from PIL import Image

    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _orientation(image: Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none."""
    if image.format != "TIFF" and "exif" not in image.info:
        return UPRIGHT
    try:
        with _pillow_kept_quiet():
            orientation = int(image.getexif().get(_ORIENTATION_TAG, UPRIGHT))
    except Exception:  # damaged EXIF data says nothing about the pixels
        return UPRIGHT
    return orientation if orientation in _UPRIGHT else UPRIGHT


def _is_deep(image: Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def _upper_bits(image: Image, place: str) -> NDArray[np.uint8]:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 0xFFFF:  # Pillow's mode I is also 32 bits deep
        raise DataError(f"{place} has pixel values outside 0 to 65535; save it with 8 or 16 bits a pixel")
    return (values >> 8).astype(np.uint8)


def _pixels(image: Image, mode: Literal["L", "RGB"], place: str) -> NDArray[np.uint8]:
    """Return the pixels of an image, uint8 (H, W) or (H, W, 3), converted in strips where it is large."""
    width, height = image.size
    rows = height if width * height <= _LARGE else max(_LARGE // width, 1)
    if rows == height:
        return np.array(_convert(image, mode, place), dtype=np.uint8)
    pixels = np.empty((height, width) if mode == "L" else (height, width, 3), dtype=np.uint8)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = np.asarray(_convert(strip, mode, place))
    return pixels


def _convert(image: Image, mode: str, place: str) -> Image:
    if image.mode == "F":
        raise DataError(f"{place} holds floating-point pixels; save it with 8 or 16 bits a pixel")
    if image.mode in ("LAB", "HSV"):  # each program makes other colours of them
        raise DataError(f"{place} has colours of kind {image.mode}, which have no one conversion; save it as RGB")
    image.info.pop("transparency", None)  # else Pillow warns that alpha is lost, which is meant
    try:
        return image.convert(mode)
    except ValueError as error:
        raise DataError(f"{place} has colours of kind {image.mode}, which cannot become {mode}; save as RGB") from error
