import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from wsolbench.data.image_files import ImageFiles
from wsolbench.data.images import decode_grey, warp
from wsolbench.data.storage import FolderStorage
from wsolbench.errors import DataError

ORIENTATION = 0x0112


def load_rgb(path, listed=None, **options):
    sizes = {} if listed is None else {"it": listed}
    return ImageFiles(FolderStorage(path.parent), ("it",), (path.name,), sizes, **options).load(0)


def load_grey(path):
    return decode_grey(FolderStorage(path.parent).read(path.name), str(path))


def gradient(height, width):
    """An RGB image that no flip or turn maps to itself."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 // height, columns * 255 // width, np.full_like(rows, 40)], axis=2).astype(np.uint8)


def save_turned(path, image, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(image).save(path, exif=exif, quality=95)
    return path


def encoded(image, **options):
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def grey16(values):
    return Image.fromarray(np.array(values, dtype=np.uint16))


def with_alpha(mode):
    image = Image.new(mode, (4, 3), 0)
    image.putalpha(0)
    return image


def transparent_palette():
    image = Image.new("P", (4, 3), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return image


# mode, what is saved, its options, the RGB that every pixel must have
CONVERSIONS = {
    "rgb": (Image.new("RGB", (4, 3), (10, 20, 30)), {"format": "PNG"}, (10, 20, 30)),
    "grey": (Image.new("L", (4, 3), 77), {"format": "PNG"}, (77, 77, 77)),
    "grey_jpeg": (Image.new("L", (4, 3), 128), {"format": "JPEG"}, (128, 128, 128)),
    "one_bit": (Image.new("1", (4, 3), 1), {"format": "PNG"}, (255, 255, 255)),
    "alpha_dropped": (Image.new("RGBA", (4, 3), (10, 20, 30, 0)), {"format": "PNG"}, (10, 20, 30)),
    "grey_alpha": (Image.new("LA", (4, 3), (77, 0)), {"format": "PNG"}, (77, 77, 77)),
    "palette": (transparent_palette(), {"format": "PNG"}, (10, 20, 30)),
    "palette_transparent": (transparent_palette(), {"format": "PNG", "transparency": b"\x00\x80"}, (10, 20, 30)),
    "palette_transparent_index": (transparent_palette(), {"format": "PNG", "transparency": 1}, (10, 20, 30)),
    "grey_transparent": (Image.new("L", (4, 3), 77), {"format": "PNG", "transparency": 77}, (77, 77, 77)),
    "cmyk_jpeg": (Image.new("CMYK", (4, 3), (0, 0, 0, 0)), {"format": "JPEG"}, (255, 255, 255)),
    "cmyk_black_jpeg": (Image.new("CMYK", (4, 3), (0, 0, 0, 255)), {"format": "JPEG"}, (0, 0, 0)),
    "grey16": (grey16([[0x80FF] * 4] * 3), {"format": "PNG"}, (128, 128, 128)),
    "grey16_tiff": (grey16([[0x80FF] * 4] * 3), {"format": "TIFF"}, (128, 128, 128)),
    "webp": (Image.new("RGB", (4, 3), (10, 20, 30)), {"format": "WEBP", "lossless": True}, (10, 20, 30)),
}


def test_every_kind_of_image_becomes_rgb(tmp_path):
    for name, (image, options, expected) in CONVERSIONS.items():
        path = tmp_path / name
        image.save(path, **options)
        loaded = load_rgb(path)
        assert loaded.dtype == np.uint8, name
        assert loaded.flags.writeable, name
        np.testing.assert_array_equal(loaded, np.broadcast_to(np.uint8(expected), (3, 4, 3)), err_msg=name)


def test_16_bit_values_are_scaled_not_clipped(tmp_path):
    grey16([[0, 255, 256, 0x7FFF, 0xFFFF]]).save(tmp_path / "deep.png")
    assert load_rgb(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 0, 1, 127, 255]


def test_one_pixel_image(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "one.png")
    assert load_rgb(tmp_path / "one.png").tolist() == [[[1, 2, 3]]]


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 3), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_rgb(tmp_path / "a.gif")[0, 0].tolist() == [250, 0, 0]


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("listed", ["nowhere", "stored", "turned", "half as stored", "half turned", "twice as turned"])
def test_a_photo_is_turned_where_its_listed_size_is_that_of_the_upright_photo(tmp_path, listed, kind):
    size = {"nowhere": None, "stored": (24, 16), "turned": (16, 24), "half as stored": (12, 8)}.get(listed, (8, 12))
    size = (32, 48) if listed == "twice as turned" else size
    for orientation in range(1, 9):
        if orientation < 5 and size is not None and size[0] < size[1]:
            continue  # swapped: see below
        path = save_turned(tmp_path / f"turned.{kind}", gradient(16, 24), orientation)
        plain = save_turned(tmp_path / f"plain.{kind}", gradient(16, 24), 1)
        with Image.open(plain) as stored:
            stored.load()
            stored.getexif()[ORIENTATION] = orientation
            upright = orientation >= 5 and size is not None and size[0] < size[1]
            expected = np.array(ImageOps.exif_transpose(stored) if upright else stored)
        np.testing.assert_array_equal(load_rgb(path, size), expected, err_msg=f"{orientation=}")


@pytest.mark.parametrize("kind", ["jpg", "tiff"])
@pytest.mark.parametrize("size", [(16, 16), (24, 16)])
def test_a_convention_decides_where_the_size_does_not_tell(tmp_path, kind, size):
    width, height = size
    for orientation in range(1, 5) if width > height else range(1, 9):
        path = save_turned(tmp_path / f"a.{kind}", gradient(height, width), orientation)
        plain = save_turned(tmp_path / f"b.{kind}", gradient(height, width), 1)
        with Image.open(plain) as stored:
            stored.load()
            np.testing.assert_array_equal(load_rgb(path, size), np.array(stored))
            stored.getexif()[ORIENTATION] = orientation
            expected = np.array(ImageOps.exif_transpose(stored))
        np.testing.assert_array_equal(load_rgb(path, size, upright=True), expected, err_msg=f"{orientation=}")


@pytest.mark.parametrize("listed", [(16, 24), (32, 48)])
def test_swapped_sizes_without_orientation_are_an_error(tmp_path, listed):
    for orientation in (1, 2, 3, 4):
        save_turned(tmp_path / "a.jpg", gradient(16, 24), orientation)
        with pytest.raises(DataError, match=r"a\.jpg is 24x16, but the lists say .*: width and height are swapped"):
            load_rgb(tmp_path / "a.jpg", listed)


def test_damaged_exif_neither_warns_nor_fails(tmp_path):
    image = save_turned(tmp_path / "a.jpg", gradient(16, 24), 6).read_bytes()
    start = image.index(b"Exif\0\0")
    damaged = image[: start + 14] + b"\xff\x0f\x12\x01\x03\x00\xff\xff\xff\x7f" + image[start + 24 :]
    (tmp_path / "b.jpg").write_bytes(damaged)
    assert load_rgb(tmp_path / "b.jpg", (24, 16)).shape == (16, 24, 3)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
JPEG = encoded(NOISE, format="JPEG")
PNG = encoded(NOISE, format="PNG")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"

DAMAGED = {
    "zero_bytes": (b"", "is empty (0 bytes)"),
    "text": (b"this is no picture", "is not an image that can be read"),
    "html": (b"<!DOCTYPE html><html>404</html>", "is not an image that can be read"),
    "postscript": (EPS, "is not an image that can be read"),
    "jpeg_half": (JPEG[: len(JPEG) // 2], "is cut short or damaged"),
    "jpeg_head": (JPEG[:20], "is not an image that can be read"),
    "png_half": (PNG[: len(PNG) // 2], "is cut short or damaged"),
    "png_head": (PNG[:40], "is not an image that can be read"),
    "png_flipped": (PNG[:200] + bytes(100) + PNG[300:], "is cut short or damaged"),
    "float": (encoded(Image.new("F", (4, 3), 0.5), format="TIFF"), "holds floating-point pixels"),
    "deep32": (encoded(Image.new("I", (4, 3), 70_000), format="TIFF"), "outside 0 to 65535"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_file_is_named_in_one_line(tmp_path, name):
    content, problem = DAMAGED[name]
    path = tmp_path / f"{name}.jpg"
    path.write_bytes(content)
    for load in (load_rgb, load_grey):
        with pytest.raises(DataError) as caught:
            load(path)
        message = str(caught.value)
        assert str(path) in message
        assert problem in message
        assert "\n" not in message
        assert "BytesIO" not in message


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg does not exist; check"):
        load_rgb(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match="is a directory, where an image file was expected"):
        load_rgb(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/a\.jpg cannot be read: Not a directory"):
        load_rgb(tmp_path / "file" / "a.jpg")
    with pytest.raises(DataError, match="cannot be read: no file can have this name"):
        load_rgb(tmp_path / "a\0.jpg")


@pytest.mark.parametrize("limit", [1000, 3000])  # Pillow fails beyond twice the limit, and only warns beyond the limit
def test_decompression_bomb(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    NOISE.save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=rf"bomb\.png has more than {limit:,} pixels"):
        load_rgb(tmp_path / "bomb.png")


def test_many_threads_load_the_same_and_leave_warnings_alone(tmp_path):
    paths = [save_turned(tmp_path / f"{k}.jpg", gradient(16, 24 + k), 6) for k in range(8)]
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda path: load_rgb(path, None), paths * 20))
    assert list(warnings.filters) == before
    for image, path in zip(loaded, paths * 20, strict=True):
        np.testing.assert_array_equal(image, load_rgb(path))


def test_grey_is_what_opencv_reads(tmp_path):
    for name in (name for name in CONVERSIONS if "cmyk" not in name and "webp" not in name):
        image, options, _ = CONVERSIONS[name]
        path = tmp_path / f"{name}.{options['format'].lower()}"
        image.save(path, **options)
        expected = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0.5
        np.testing.assert_array_equal(load_grey(path) > 0.5, expected, err_msg=name)


def test_warp_stretches_as_pillow_does():
    image = gradient(10, 30)
    warped = warp(image, 20, "bicubic")
    expected = Image.fromarray(image).resize((20, 20), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(warped, np.array(expected))
    assert warped.flags.writeable


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_warp_knows_every_interpolation(interpolation):
    assert warp(gradient(5, 9), 7, interpolation).shape == (7, 7, 3)


def test_warp_leaves_an_image_of_that_size():
    image = gradient(8, 8)
    assert warp(image, 8, "bilinear") is image


def test_warp_takes_a_view_that_is_not_contiguous():
    image = gradient(8, 16)
    np.testing.assert_array_equal(warp(image[:, ::2], 5, "nearest"), warp(image[:, ::2].copy(), 5, "nearest"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x18ftypheic", "it is HEIC; save it as JPEG or PNG"),
        (b"%PDF-1.7", "it is a PDF document; save"),
        (b"\n <!DOCTYPE HTML><html>", "it is an HTML page; put the photo in its place"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "a pointer of Git LFS in place of the photo; run",
        ),
        (b"\xff\x0a\0", "it is JPEG XL; save"),
        (b"PK\x03\x04", "it is a ZIP file; unpack it"),
        (b"\xff\xd8\xff\xe0", "it begins as JPEG and is cut off or damaged; fetch it again"),
        (bytes(2000), "zero bytes alone, as an unfinished download does; fetch it again"),
        (b"\x01\x02\x03", "its first bytes are of no known kind of image"),
    ],
)
def test_a_file_that_is_no_image_is_told_what_it_is(tmp_path, content, words):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_rgb(tmp_path / "a.jpg")
    assert words in str(caught.value)
    assert ("fetch" in str(caught.value)) == ("fetch" in words)


def test_avif_and_jpeg_2000_are_read_whatever_their_ending(tmp_path):
    for kind in ("AVIF", "JPEG2000"):
        Image.new("RGB", (16, 16), (200, 100, 50)).save(tmp_path / "a.jpg", format=kind)
        assert abs(load_rgb(tmp_path / "a.jpg").astype(int) - (200, 100, 50)).max() <= 3


def test_colours_that_each_program_reads_differently_are_refused(tmp_path):
    Image.new("LAB", (4, 3), (128, 40, 200)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif has colours of kind LAB, which have no one conversion; save"):
        load_rgb(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK"])
def test_large_images_are_converted_in_strips_to_the_same_pixels(tmp_path, monkeypatch, mode):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 41, 3), dtype=np.uint8)).convert(mode)
    image.save(tmp_path / "it.tif", compression=None)
    whole, grey = load_rgb(tmp_path / "it.tif"), load_grey(tmp_path / "it.tif")
    monkeypatch.setattr("wsolbench.data.images._LARGE", 200)
    np.testing.assert_array_equal(load_rgb(tmp_path / "it.tif"), whole)
    np.testing.assert_array_equal(load_grey(tmp_path / "it.tif"), grey)


def test_a_small_file_of_very_many_pixels_is_not_decoded(tmp_path):
    Image.new("RGB", (4100, 4100)).save(tmp_path / "it.png")
    with pytest.raises(
        DataError, match=r"it\.png declares 4100x4100 pixels in [0-9,]+ bytes, which no photo does; shrink"
    ):
        load_rgb(tmp_path / "it.png")
    assert load_grey(tmp_path / "it.png").max() == 0  # masks of one colour are small too
