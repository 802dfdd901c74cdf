"""Kinds of files: endings of images that are read, and what a file that is no such image is, by its first bytes."""

from __future__ import annotations

__all__ = ["COMPANIONS", "IMAGE_SUFFIXES", "identify", "is_image_name"]

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".mpo"),
)
"""Endings of the images that are read, in any case."""
COMPANIONS = (".txt", ".xml", ".json", ".csv", ".tsv", ".md", ".yaml", ".yml", ".ini", ".db", ".log", ".html", ".py")
"""Endings of lists, annotations and notes, which usually lie beside photos and are none."""

_SAVE = "save it as JPEG or PNG"
_BRANDS = {
    **dict.fromkeys(
        (b"avif", b"avis"), f"it is AVIF, and damaged or of a kind that the installed Pillow cannot read; {_SAVE}"
    ),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), f"it is HEIC; {_SAVE}"),
    b"crx ": f"it is a raw photo of a camera (CR3); {_SAVE}",
}
_CUT = "and is cut off or damaged; fetch it again"
_BEGINNINGS = (
    (b"\xff\xd8\xff", f"it begins as JPEG {_CUT}"),
    (b"\x89PNG", f"it begins as PNG {_CUT}"),
    (b"GIF8", f"it begins as GIF {_CUT}"),
    (b"BM", f"it begins as BMP {_CUT}"),
    (b"II*\0", f"it begins as TIFF {_CUT}"),
    (b"MM\0*", f"it begins as TIFF {_CUT}"),
    (b"\0\0\0\x0cjP  ", f"it begins as JPEG 2000 {_CUT}"),
    (b"%PDF", f"it is a PDF document; {_SAVE}"),
    (b"%!PS", f"it is PostScript; {_SAVE}"),
    (b"8BPS", f"it is a Photoshop document; {_SAVE}"),
    (b"\xff\x0a", f"it is JPEG XL; {_SAVE}"),
    (b"\0\0\0\x0cJXL ", f"it is JPEG XL; {_SAVE}"),
    (b"\0\0\x01\0", f"it is an icon (ICO); {_SAVE}"),
    (b"v/1\x01", f"it is OpenEXR; {_SAVE}"),
    (b"qoif", f"it is QOI; {_SAVE}"),
    (b"version https://git-lfs", "it is a pointer of Git LFS in place of the photo; run 'git lfs pull'"),
    (b"PK\x03\x04", "it is a ZIP file; unpack it"),
    (b"\x1f\x8b", "it is compressed with gzip; unpack it"),
    (b"BZh", "it is compressed with bzip2; unpack it"),
    (b"\xfd7zXZ", "it is compressed with xz; unpack it"),
    (b"7z\xbc\xaf", "it is a 7z archive; unpack it"),
    (b"Rar!", "it is a RAR archive; unpack it"),
    (b"\x93NUMPY", f"it is an array of NumPy; {_SAVE}"),
    (b"\x1aE\xdf\xa3", "it is a video (Matroska)"),
)
_MARKUP = ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<svg", "SVG"), (b"<?xml", "XML"))


def identify(content: bytes) -> str:
    """Say what a file is that could not be read as an image, and what to do, from its first bytes."""
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:12], "it is a video (MP4) or an unknown kind of photo")
    if content[:4] == b"RIFF":
        return f"it begins as WebP {_CUT}" if content[8:12] == b"WEBP" else "it is a video or sound (RIFF)"
    if content[257:262] == b"ustar":
        return "it is a TAR archive; unpack it"
    for beginning, meaning in _BEGINNINGS:
        if content.startswith(beginning):
            return meaning
    text = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, meaning in _MARKUP:
        if text.startswith(beginning):
            return f"it is {meaning}; put the photo in its place"
    if not content[:512].strip(b"\0"):
        return "it begins with zero bytes alone, as an unfinished download does; fetch it again"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in content[:512]):
        return "it is text; put the photo in its place"
    return "its first bytes are of no known kind of image"


def is_image_name(name: str) -> bool:
    """Return whether a file is an image by its name, and none that file managers hide beside one."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
