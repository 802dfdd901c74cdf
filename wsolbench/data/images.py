"""Image files decoded to pixels, strictly and always as RGB, and images warped to a network's input."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsolbench.contract.backbones import Interpolation
from wsolbench.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["decode_grey", "decode_rgb", "probe", "warp"]

# Pillow also opens formats that start other programs (EPS runs Ghostscript); photos and masks need only these.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
_warning_filters = threading.Lock()


def decode_rgb(content: bytes, place: str, expected_size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Return the pixels of an image as RGB, uint8 (H, W, 3).

    Greyscale, palette and CMYK images are converted, alpha is dropped (not composited), and 16-bit greyscale keeps its
    upper 8 bits.

    Pixels are taken as stored and EXIF orientation is ignored, as the reference evaluator does. One exception: where
    the orientation turns the image sideways (5 to 8) and ``expected_size`` is the turned size and not the stored one,
    the boxes were drawn on the upright image, so that it is turned upright here too. Any other difference between the
    two sizes is legal: photos are also kept as squashed copies, their boxes in original pixels.

    Args:
        content: The content of the image file.
        place: The place of the file, for messages.
        expected_size: (width, height) as the metadata has it.

    Raises:
        DataError: The file is empty, damaged, too large or not an image.
    """
    image = _decode(content, place)
    if expected_size is not None and image.size != expected_size == image.size[::-1]:
        image = _upright(image)
    if _is_deep(image):
        return np.repeat(_upper_bits(image, place)[:, :, None], 3, axis=2)
    return np.array(_convert(image, "RGB", place), dtype=np.uint8)


def decode_grey(content: bytes, place: str) -> NDArray[np.uint8]:
    """Return the pixels of an image, such as a mask, as greyscale, uint8 (H, W); EXIF orientation is ignored.

    Raises:
        DataError: The file is empty, damaged, too large or not an image.
    """
    image = _decode(content, place)
    if _is_deep(image):
        return _upper_bits(image, place)
    return np.array(_convert(image, "L", place), dtype=np.uint8)


def probe(content: bytes, place: str) -> tuple[tuple[int, int], int]:
    """Return an image's (width, height) as stored and its EXIF orientation (1: upright) without decoding its pixels.

    Raises:
        DataError: The file is empty, damaged, too large or not an image.
    """
    image = _open(content, place)
    return image.size, _orientation(image)


def warp(image: NDArray[np.uint8], size: int, interpolation: Interpolation) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) resized to (size, size, 3), aspect ratio not kept; itself if it has that size."""
    from PIL import Image

    if image.shape[:2] == (size, size):
        return image
    resized = Image.fromarray(image).resize((size, size), Image.Resampling[interpolation.upper()])
    return np.array(resized, dtype=np.uint8)


def _decode(content: bytes, place: str) -> Image:
    image = _open(content, place)
    try:
        image.load()
    except Exception as error:  # each decoder has errors of its own: OSError, SyntaxError, struct.error, ...
        raise DataError(f"{place} is cut short or damaged and cannot be decoded; fetch it again") from error
    return image


def _open(content: bytes, place: str) -> Image:
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise DataError(f"image file {place} is empty (0 bytes); fetch it again")
    try:
        with _pillow_kept_quiet():
            return Image.open(io.BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(f"{place} is not an image that can be read ({', '.join(_FORMATS)}); fetch it again") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise DataError(
            f"{place} has more than {limit:,} pixels; shrink it, boxes may stay in original pixels"
        ) from error
    except Exception as error:
        raise DataError(f"{place} is cut short or damaged and cannot be decoded; fetch it again") from error


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


def _upright(image: Image) -> Image:
    from PIL import Image

    orientation = _orientation(image)
    return image.transpose(Image.Transpose[_UPRIGHT[orientation]]) if orientation in _UPRIGHT else image


def _orientation(image: Image) -> int:
    try:
        with _pillow_kept_quiet():
            return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF data says nothing about the pixels
        return 1


def _is_deep(image: Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def _upper_bits(image: Image, place: str) -> NDArray[np.uint8]:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 0xFFFF:  # Pillow's mode I is also 32 bits deep
        raise DataError(f"{place} has pixel values outside 0 to 65535; save it with 8 or 16 bits a pixel")
    return (values >> 8).astype(np.uint8)


def _convert(image: Image, mode: str, place: str) -> Image:
    if image.mode == "F":
        raise DataError(f"{place} holds floating-point pixels; save it with 8 or 16 bits a pixel")
    image.info.pop("transparency", None)  # else Pillow warns that alpha is lost, which is meant
    try:
        return image.convert(mode)
    except ValueError as error:
        raise DataError(f"{place} has colours of kind {image.mode}, which cannot become {mode}; save as RGB") from error
