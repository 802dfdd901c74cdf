"""What the columns of a CSV file of boxes are: decided by their titles, and where those do not tell, by values."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from wsolbench.data import Line, plain_name, quote
from wsolbench_plugins.datasets.imagefolder.named_boxes import Known

Row: TypeAlias = Mapping[str, str]
"""Plain title of a column -> its field."""

VIA = "regionshapeattributes"
VIA3 = "spatialcoordinates"
_PREFIXES = ("bbox", "boundingbox", "bndbox", "box", "bb", "rect", "roi", "")
"""What titles of a box begin with; a column that has it is of the box rather than one that has not."""
_CORNERS = (
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("minx", "miny", "maxx", "maxy"),
    ("xtl", "ytl", "xbr", "ybr"),
    ("left", "top", "right", "bottom"),
    ("startx", "starty", "endx", "endy"),
    ("xstart", "ystart", "xend", "yend"),
    ("leftx", "topy", "rightx", "bottomy"),
    ("xleft", "ytop", "xright", "ybottom"),
    ("topleftx", "toplefty", "bottomrightx", "bottomrighty"),
    ("xtopleft", "ytopleft", "xbottomright", "ybottomright"),
    ("ulx", "uly", "lrx", "lry"),
    ("tlx", "tly", "brx", "bry"),
    ("left", "upper", "right", "lower"),
)
_CENTRES = (("xcenter", "ycenter"), ("centerx", "centery"), ("cx", "cy"), ("xc", "yc"), ("xmid", "ymid"))
_ORIGINS = (("x", "y"), *(form[:2] for form in _CORNERS))
_EXTENTS = (("w", "h"), ("width", "height"))
_SINGLE = ("bbox", "boundingbox", "bndbox", "box")
_OPEN_IMAGES = frozenset({"imageid", "labelname"})

_IMAGES = (
    *("image", "filename", "filepath", "path", "file", "fname"),
    *("imagepath", "imagename", "imagefile", "imagefilename", "imageid", "img", "imgpath", "imgname", "imgid"),
    "filelist",
)
_CATEGORIES = ("class", "label", "category", "classname", "labelname", "categoryname", "classlabel")
_CATEGORY_LIKE = re.compile(
    r"(gt|true|object|obj|box|bbox|target)?"
    r"(class|categor[yi]|label|species|cls|cat(?=id|name)|klasse|kategorie|classe|clase|categor[ií]a|categorie|etiqueta)"
    r"(e?s)?(name|label|id|idx|index|no|num|number|text)?"
)
"""Titles of categories, whatever their values."""
_PERHAPS_CATEGORY = re.compile(r"(object|obj|item)?(name|tag|type|kind|breed|taxon|object|item|thing|group)s?(id|no)?")
"""Titles of columns whose numbers may be categories."""
_PLACES = frozenset({"folder", "dir", "directory", "parent", "split", "set", "subset", "fold", "usage", "path"})
"""Titles of columns that may hold the names of class folders, and say nothing of a box."""
_UNIT = re.compile(r"(?<=.)(px|pixels?|norm(ali[sz]ed)?)$")
_BOX = 4
"""So many numbers have a line of a box."""
_FEW, _MANY = 20, 2_000
"""So many rows show what the values of a column are."""
_IMAGE_PREFIXES = ("image", "img", "original", "orig", "photo", "pic", "picture", "frame", "file", "")

ACCEPTED = (
    "image,x0,y0,x1,y1",
    "image,x,y,width,height",
    "filename,width,height,class,xmin,ymin,xmax,ymax",
    "image_id,width,height,bbox",
    "image_path,x_min,y_min,x_max,y_max,label",
    "ImageID,LabelName,XMin,XMax,YMin,YMax",
    "image,x_center,y_center,width,height",
    "filename,region_shape_attributes",
)


@dataclass(frozen=True)
class Layout:
    """Which columns hold the four numbers of a box, and what they are.

    Args:
        columns: Their plain titles: four with one number each, one with four numbers, or VIA's.
        extents: They are x, y, width and height.
        centred: x and y are the centre.
        fractional: Tools that write this form write fractions of the image's width and height.
    """

    columns: tuple[str, ...]
    extents: bool = False
    centred: bool = False
    fractional: bool = False


@dataclass(frozen=True)
class Columns:
    """What the columns of a file are, by plain title; None where there is no such column.

    Attributes:
        layout: The columns of the box.
        image: The column of the name of the image.
        category: That of the category of the box.
        size: Those of the width and height of the image.
        unread: Those that are none of these.
        doubtful: Of these, those that may be the category, where none is: their values are repeated.
    """

    layout: Layout
    image: str
    category: str | None
    size: tuple[str, str] | None
    unread: tuple[str, ...]
    doubtful: tuple[str, ...] = ()


def plain_title(title: str) -> str:
    """Return a title of a column without case, spaces and signs: ``x_min`` and ``XMin`` are one."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", title).casefold().replace("centre", "center"))


def plain_titles(titles: Iterable[str]) -> list[str]:
    """Return plain titles, without their units where that leaves each once: ``xmin (px)`` is ``xmin``."""
    plain = [plain_title(title) for title in titles]
    bare = [_UNIT.sub("", title) for title in plain]
    counts = Counter(bare)
    return [one if counts[one] == 1 else whole for one, whole in zip(bare, plain, strict=True)]


def find_layout(titles: Collection[str]) -> Layout | None:
    """Return the columns of the box: corners, else extents from a centre or a corner; None where there are none.

    Of several widths and heights, those of the box are the most specific: ``box_w`` before ``w`` before ``width``,
    which may be that of the image.
    """
    corners = _first(titles, _CORNERS)
    if corners:
        return Layout(corners, fractional=_OPEN_IMAGES.issubset(titles))
    extents, centre, origin = (_first(titles, pairs) for pairs in (_EXTENTS, _CENTRES, _ORIGINS))
    if extents and (centre or origin):
        return Layout((*(centre or origin), *extents), extents=True, centred=bool(centre), fractional=bool(centre))
    single = next((title for title in (*_SINGLE, VIA, VIA3) if title in titles), None)
    return None if single is None else Layout((single,), extents=True)


def find_columns(header: Line, titles: Sequence[str], rows: Sequence[Row], known: Known) -> Columns:
    """Return what the columns are.

    Args:
        header: The header, for messages.
        titles: The plain titles of all columns.
        rows: The rows below it.
        known: What the data set knows, which shows what values are.

    Raises:
        DataError: There are no columns of a box or of an image, one is there twice, or two name categories that differ.
    """
    layout = find_layout(titles)
    image = (
        None if layout is None else _find_image([title for title in titles if title not in layout.columns], rows, known)
    )
    if layout is None or image is None:
        lacks = "; no column names the image" if layout else _other_header(header, titles)
        raise header.error(f"expected the header {' or '.join(ACCEPTED)}{lacks}")
    used = {image, *layout.columns}
    twice = next((title for title in titles if title in used and titles.count(title) > 1), None)
    if twice:
        raise header.error(f"expected each column once, {twice!r} is there twice")
    size = _find_size(titles, used)
    others = [title for title in titles if title and title not in {*used, *(size or ())}]
    category = _find_category(header, others, rows, known)
    unread = tuple(title for title in others if title != category)
    doubtful = () if category else tuple(title for title in unread if _is_repeated(title, rows))
    return Columns(layout, image, category, size, unread, doubtful)


def _other_header(header: Line, titles: Sequence[str]) -> str:
    """Return what a first line is that is no header, or the header of another table; empty if that is not known."""
    if "predictionstring" in titles:
        return "; this is a table of Kaggle, LOC_val_solution.csv or like it: 'ilsvrc' reads the XML files beside it"
    numbers = [text for text in re.split(r"[,;\t| ]", header.text) if _is_number(text)]
    return "; this line is a box: put a header above it" if len(numbers) >= _BOX else ""


def _first(titles: Collection[str], forms: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the columns of the first form that is there whole, with the most specific prefix; empty without any."""
    prefixed = (tuple(prefix + name for name in form) for prefix in _PREFIXES for form in forms)
    return next((form for form in prefixed if all(name in titles for name in form)), ())


def _find_image(titles: Sequence[str], rows: Sequence[Row], known: Known) -> str | None:
    """Return the column of the image: one whose values are names of images, else one that is titled so."""
    titled = [title for title in _IMAGES if title in titles]
    probed = rows[:: max(1, len(rows) // _FEW)]
    others = (title for title in titles if title and title not in titled and not _are_mostly(_is_number, probed, title))
    named = (title for title in (*titled, *others) if _are_mostly(known.is_image, probed, title))
    return next(named, None) or next(iter(titled), None)


def _find_size(titles: Sequence[str], used: Collection[str]) -> tuple[str, str] | None:
    pairs = [(f"{prefix}width", f"{prefix}height") for prefix in _IMAGE_PREFIXES]
    pairs += [(f"{prefix}w", f"{prefix}h") for prefix in _IMAGE_PREFIXES]
    return next((pair for pair in pairs if set(pair).issubset(titles) and set(pair).isdisjoint(used)), None)


def _find_category(header: Line, titles: Sequence[str], rows: Sequence[Row], known: Known) -> str | None:
    """Return the column of the category: one whose values are classes, else one that is titled so.

    Raises:
        DataError: Two columns of classes differ in a row.
    """
    titles = [title for title in titles if title not in _PLACES]
    titled = [title for title in _CATEGORIES if title in titles]
    titled += [title for title in titles if _CATEGORY_LIKE.fullmatch(title) and title not in titled]
    probed = rows[:: max(1, len(rows) // _MANY)]
    others = [title for title in titles if title not in titled and _may_be_category(title, probed)]
    named = [title for title in (*titled, *others) if _names_classes(title, probed, known)]
    for title in named[1:]:
        _check_agreement(header, named[0], title, rows)
    filled = [title for title in (*named, *titled) if any(row[title] for row in probed)]
    return next(iter(filled), None)


def _check_agreement(header: Line, one: str, other: str, rows: Sequence[Row]) -> None:
    """Refuse two columns of categories that differ, as nothing says which one is that of the box."""
    for row in rows:
        if row[one] and row[other] and plain_name(row[one]) != plain_name(row[other]):
            values = f"{quote(row[one])} and {quote(row[other])}"
            raise header.error(
                f"the columns {one!r} and {other!r} both name classes and differ, as in a row with {values}; "
                "keep the one that is the category of the box"
            )


def _names_classes(title: str, rows: Sequence[Row], known: Known) -> bool:
    """Whether most values of a column are classes, or most classes are among its values."""
    found = {row[title] for row in rows if row[title]}
    classes = {plain_name(value) for value in found} & known.classes
    return bool(classes) and (2 * len(classes) >= len(known.classes) or _are_mostly(known.is_class, rows, title))


def _are_mostly(test: Callable[[str], bool], rows: Iterable[Row], title: str) -> bool:
    """Whether most values of a column that are not empty pass a test."""
    passed = [test(row[title]) for row in rows if row[title]]
    return 2 * sum(passed) >= len(passed) > 0


def _is_repeated(title: str, rows: Sequence[Row]) -> bool:
    """Whether a column holds a few words or numbers, each in several rows, as one of categories does."""
    counts = Counter(row[title] for row in rows if row[title])
    few = 1 < len(counts) <= counts.total() / 2
    return title not in _PLACES and few and _may_be_category(title, rows)


def _may_be_category(title: str, rows: Sequence[Row]) -> bool:
    """Whether the values of a column that is not titled as a category may be such: numbers under some titles only."""
    return _PERHAPS_CATEGORY.fullmatch(title) is not None or not _are_mostly(_is_number, rows, title)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9.,]+(e[-+]?[0-9]+)?%?", text, re.IGNORECASE) is not None
