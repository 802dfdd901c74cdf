from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsolbench.data.boxes import BoxRule, SizedBoxes, xywh_to_xyxy
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
    with pytest.raises(DataError, match=r"boxes\.csv: the box .* of 'a\.jpg' is not inside its 10x8 image"):
        boxes["a.jpg"]
