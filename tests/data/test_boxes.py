from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsolbench.data.boxes import (
    CLIPPED,
    CUT,
    TRUNCATED,
    BoxRule,
    SizedBoxes,
    findings_of_changes,
    is_inside,
    xywh_to_xyxy,
)
from wsolbench.errors import DataError

TENTHS = st.integers(0, 5000)


@given(TENTHS, TENTHS, TENTHS, TENTHS, st.integers(1, 600), st.integers(1, 600))
def test_extents_become_corners_as_exact_decimals_do(x, y, width, height, image_width, image_height):
    """The oracle adds decimal texts exactly, so that no rounding of binary fractions can hide."""
    x0, y0, w, h = (Decimal(value).scaleb(-1) for value in (x, y, width, height))
    expected = (x0, y0, min(x0 + w, Decimal(image_width - 1)), min(y0 + h, Decimal(image_height - 1)))
    cut = tuple(int(value.to_integral_value(ROUND_DOWN)) for value in expected)
    assert xywh_to_xyxy((x / 10, y / 10, width / 10, height / 10), (image_width, image_height)) == cut


@pytest.mark.parametrize(
    ("quad", "corners"),
    [((60.0, 27.0, 325.0, 304.0), (60, 27, 385, 331)), ((1.9, 2.5, 600.0, 1.4), (1, 2, 499, 3))],
)
def test_corners_by_hand(quad, corners):
    assert xywh_to_xyxy(quad, (500, 335)) == corners


def test_boxes_are_worked_out_when_asked_for():
    quads = {"a": [(1.5, 2.0, 3.0, 4.0), (0.0, 0.0, 99.0, 99.0)], "b": [(0.0, 0.0, 1.0, 1.0)]}
    boxes = SizedBoxes(quads, {"a": (10, 8)}, "boxes.txt")
    assert list(boxes) == ["a", "b"]
    assert "b" in boxes
    assert boxes["a"].tolist() == [[1, 2, 4, 6], [0, 0, 9, 7]]


@pytest.mark.parametrize("quad", [(10, 0, 12, 5), (0, -1, 3, 3), (5, 5, 4, 6), (0, 0, 10, 7), (0, 0, 9, 8)])
def test_a_box_that_is_not_inside_its_image(quad):
    boxes = SizedBoxes({"a.jpg": [quad]}, {"a.jpg": (10, 8)}, "boxes.csv", BoxRule())
    problem = "ends before it begins: expected x0 <= x1" if quad == (5, 5, 4, 6) else "is not inside its 10x8 image"
    with pytest.raises(DataError, match=rf"boxes\.csv: the box .* of 'a\.jpg' {problem}"):
        boxes["a.jpg"]


PIXELS = st.integers(-5, 700)
SIZES = st.tuples(st.integers(1, 600), st.integers(1, 600))


@given(PIXELS, PIXELS, PIXELS, PIXELS, SIZES)
def test_conventions_of_one_box_agree(x0, y0, x1, y1, size):
    corners = BoxRule()((x0, y0, x1, y1), size)
    assert corners == (x0, y0, x1, y1)
    assert BoxRule("half-open")((x0, y0, x1 + 1, y1 + 1), size) == corners
    assert BoxRule(first_pixel=1)((x0 + 1, y0 + 1, x1 + 1, y1 + 1), size) == corners
    assert BoxRule("half-open", extents=True)((x0, y0, x1 - x0 + 1, y1 - y0 + 1), size) == corners


@given(PIXELS, PIXELS, PIXELS, PIXELS, SIZES)
def test_clipping_is_the_box_of_the_pixels_inside(x0, y0, x1, y1, size):
    clipped = BoxRule("clip")((x0, y0, x1, y1), size)
    columns = sorted(set(range(x0, x1 + 1)) & set(range(size[0])))
    rows = sorted(set(range(y0, y1 + 1)) & set(range(size[1])))
    if columns and rows:
        assert clipped == (columns[0], rows[0], columns[-1], rows[-1])
    else:
        assert not is_inside(clipped, size)


@given(*[st.integers(0, 639)] * 4, st.tuples(st.integers(1, 640), st.integers(1, 640)))
def test_six_digits_of_a_fraction_give_its_pixel(x0, y0, x1, y1, size):
    """Fractions are listed with six digits: 213/639 is 0.333333, which is pixel 213, not 212."""
    width, height = size
    quad = (x0 % width / width, y0 % height / height, x1 % width / width, y1 % height / height)
    rounded = tuple(round(value, 6) for value in quad)
    assert BoxRule(normalised=True)(rounded, size) == (x0 % width, y0 % height, x1 % width, y1 % height)


def test_what_is_done_to_boxes_is_listed():
    quads = {"a": [(1.5, 0, 3, 3), (0, 0, 3, 3)], "b": [(0, 0, 12, 3)], "c": [(0, 0, 10, 8)]}
    sizes = dict.fromkeys("abc", (10, 8))
    for rule, done in ((BoxRule(extents=True), CUT), (BoxRule("clip", extents=True), CLIPPED)):
        boxes = SizedBoxes(quads, sizes, "file", rule)
        assert dict(boxes.changes) == {"a": [TRUNCATED], "b": [done], "c": []}
    notes = list(findings_of_changes("test", {"a": [TRUNCATED, TRUNCATED], "b": [CUT]}))
    assert [(note.severity.value, note.text) for note in notes] == [
        ("warning", "test: 1 box more than a pixel beyond the image, cut at its border"),
        ("note", "test: 2 boxes with fractions, truncated to whole pixels"),
    ]
