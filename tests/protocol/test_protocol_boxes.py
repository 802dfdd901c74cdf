import numpy as np
import pytest
import reference_oracle as oracle
from hypothesis import given
from hypothesis import strategies as st
from scoremap_zoo import draw_boxes

from wsolbench.errors import DataError
from wsolbench.protocol import box_iou, check_boxes, scale_boxes


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0), 1.0),
        ((0, 0, 9, 9), (0, 0, 9, 4), 0.5),
        ((0, 0, 9, 9), (9, 9, 18, 18), 1 / 199),
        ((0, 0, 9, 9), (10, 0, 19, 9), 0.0),
        ((0, 0, 9, 9), (50, 60, 70, 80), 0.0),
        ((0, 0, 4, 4), (2, 2, 6, 6), 9 / 41),
        ((0, 0, 9, 0), (0, 0, 2, 0), 0.3),
    ],
)
def test_iou_by_hand(a, b, expected):
    assert box_iou(np.array([a]), np.array([b])).tolist() == [[expected]]
    assert box_iou(np.array([b]), np.array([a])).tolist() == [[expected]]


def test_iou_of_all_pairs_equals_plain_python():
    rng = np.random.default_rng(0)
    a, b = draw_boxes(rng, (30, 20), 40), draw_boxes(rng, (30, 20), 7)
    expected = [[oracle.plain_iou(p, q) for q in b.tolist()] for p in a.tolist()]
    assert box_iou(a, b).tolist() == expected


def test_iou_does_not_overflow_narrow_integers():
    box = np.array([[0, 0, 223, 223]], dtype=np.uint8)
    assert box_iou(box, box).tolist() == [[1.0]]


@given(st.lists(st.tuples(*[st.integers(0, 9000)] * 4), min_size=1), st.tuples(*[st.integers(1, 9000)] * 2))
def test_scaling_equals_python_arithmetic(boxes, size):
    expected = [list(oracle.scaled(box, size, (224, 224))) for box in boxes]
    assert scale_boxes(np.array(boxes), size, (224, 224)).tolist() == expected


def test_scaling_truncates_and_does_not_clip():
    assert scale_boxes(np.array([[1, 1, 499, 600]]), (500, 375), (224, 224)).tolist() == [[0, 0, 223, 358]]
    assert scale_boxes(np.array([[-3, 0, 5, 5]]), (10, 10), (4, 8)).tolist() == [[-1, 0, 2, 4]]


def test_scaling_multiplies_before_it_divides():
    # 45 * (224 / 80) and 61 / 112 * 224 fall just short of whole numbers
    assert int(45 * (224 / 80)) == 125
    assert int(61 / 112 * 224) == 121
    assert scale_boxes(np.array([[45, 61, 45, 61]]), (80, 112), (224, 224)).tolist() == [[126, 122, 126, 122]]


def test_scaling_from_an_empty_image_is_an_error():
    with pytest.raises(DataError, match="0×10"):
        scale_boxes(np.array([[0, 0, 1, 1]]), (0, 10), (224, 224))


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        (np.array([[0.0, 0, 1, 1]]), "integer"),
        (np.array([[True, True, True, True]]), "integer"),
        (np.array([0, 0, 1, 1]), r"\(n, 4\)"),
        (np.zeros((0, 4), dtype=int), "n >= 1"),
        (np.zeros((2, 5), dtype=int), r"\(2, 5\)"),
        (np.array([[0, 0, 3, 3], [5, 0, 4, 3]]), r"\(5, 0, 4, 3\)"),
        (np.array([[0, 5, 3, 4]]), "y0 <= y1"),
    ],
)
def test_malformed_boxes_are_refused_by_name(boxes, reason):
    with pytest.raises(DataError, match=reason) as caught:
        check_boxes(boxes, "a/b.jpg")
    assert "a/b.jpg" in str(caught.value)


def test_checked_boxes_are_an_integer_copy():
    boxes = np.array([[1, 2, 3, 4]], dtype=np.uint16)
    checked = check_boxes(boxes, "a")
    boxes[0, 0] = 3
    assert checked.dtype == np.int64
    assert checked.tolist() == [[1, 2, 3, 4]]
