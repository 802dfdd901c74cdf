import subprocess
import sys

import cv2
import numpy as np
import pytest
from scoremap_zoo import in_other_forms

import wsolbench.protocol as protocol
from wsolbench.errors import ScoremapError, UsageError, WsolbenchError
from wsolbench.protocol import cam_threshold_grid, check_scoremap, classify_raw_map, to_scoremap


@pytest.mark.parametrize("interval", [0.001, 0.01, 0.1, 0.3, 1 / 49, 1.0])
def test_grid_is_arange_and_stays_below_one(interval):
    grid = cam_threshold_grid(interval)
    assert grid.dtype == np.float64
    assert grid.tolist() == np.arange(0, 1, interval).tolist()
    assert grid[-1] < 1


@pytest.mark.parametrize("interval", [0, -0.1, 1.5, float("nan"), float("inf")])
def test_impossible_interval_is_an_error(interval):
    with pytest.raises(UsageError, match="interval"):
        cam_threshold_grid(interval)


def test_scoremap_is_resized_and_stretched_in_float64_then_rounded():
    raw = np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32)
    resized = cv2.resize(raw.astype(np.float64), (224, 224), interpolation=cv2.INTER_CUBIC)
    expected = ((resized - resized.min()) / (resized.max() - resized.min())).astype(np.float32)
    scoremap = to_scoremap(raw)
    assert scoremap.dtype == np.float32
    assert scoremap.shape == (224, 224)
    assert (scoremap.min(), scoremap.max()) == (0, 1)
    assert np.array_equal(scoremap, expected)
    assert classify_raw_map(raw) == "ok"


@pytest.mark.parametrize("dtype", ["u1", "i8", "f2", "f4", "f8"])
def test_the_form_of_a_raw_map_does_not_matter(dtype, tmp_path):
    raw = (np.random.default_rng(8).random((7, 9)) * 100).astype(dtype)
    expected = to_scoremap(raw)
    for name, same in in_other_forms(raw, tmp_path):
        assert to_scoremap(same).tobytes() == expected.tobytes(), name


def test_frame_is_width_then_height():
    assert to_scoremap(np.arange(6.0).reshape(2, 3), frame=(30, 20)).shape == (20, 30)


def test_map_of_the_frame_size_is_only_stretched():
    assert to_scoremap(np.array([[1, 2], [3, 5]]), frame=(2, 2)).tolist() == [[0, 0.25], [0.5, 1]]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (np.array([[0, np.nan], [1, 2]]), "nan"),
        (np.array([[0, np.inf], [1, 2]]), "nan"),
        (np.array([[0, -np.inf], [1, 2]]), "nan"),
        (np.array([[-1.7e308, 1.7e308], [0, 0]]), "nan"),
        (np.full((7, 7), np.nan), "nan"),
        (np.zeros((7, 7)), "constant"),
        (np.full((7, 7), 0.1), "constant"),
        (np.full((1, 1), 3), "constant"),
    ],
)
def test_map_without_a_score_becomes_zeros_and_says_why(raw, kind):
    assert classify_raw_map(raw) == kind
    scoremap = to_scoremap(raw)
    assert scoremap.shape == (224, 224)
    assert not scoremap.any()


def test_map_that_resizing_makes_constant_is_constant():
    raw = np.array([[1.0, 2.0]])
    assert classify_raw_map(raw, frame=(1, 1)) == "constant"
    assert to_scoremap(raw, frame=(1, 1)).tolist() == [[0]]


@pytest.mark.parametrize("raw", [np.zeros(3), np.zeros((0, 3)), np.zeros((1, 2, 3)), np.array([["a"]]), [[1j]]])
def test_raw_map_of_the_wrong_form_is_an_error(raw):
    with pytest.raises(ScoremapError, match="2-D"):
        to_scoremap(raw)


def test_empty_frame_is_an_error():
    with pytest.raises(UsageError, match="0×5"):
        to_scoremap(np.eye(2), frame=(0, 5))


def test_made_scoremaps_pass_the_check():
    scoremap = to_scoremap(np.eye(3))
    assert check_scoremap(scoremap, "a") is scoremap


@pytest.mark.parametrize(
    ("scoremap", "reason"),
    [
        (np.zeros((2, 2), dtype=np.uint8), "uint8"),
        (np.zeros((2, 2), dtype=bool), "bool"),
        (np.zeros((1, 2, 2)), r"\(1, 2, 2\)"),
        (np.zeros((0, 2)), r"\(0, 2\)"),
        (np.array([[0, np.nan]]), "1 of 2 not finite"),
        (np.array([[np.inf, -np.inf]]), "2 of 2 not finite"),
        (np.array([[0, 1.5]]), "0.0 to 1.5"),
        (np.array([[-0.25, 1]], dtype=np.float32), "-0.25 to 1.0"),
    ],
)
def test_unfit_scoremap_is_refused_by_name(scoremap, reason):
    with pytest.raises(ScoremapError, match=reason) as caught:
        check_scoremap(scoremap, "birds/1.jpg")
    assert "birds/1.jpg" in str(caught.value)
    assert isinstance(caught.value, WsolbenchError)


def test_protocol_is_quick_to_import():
    code = "import wsolbench.protocol, sys; assert not {'torch', 'pandas', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_exist():
    assert protocol.__all__ == sorted(protocol.__all__, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(protocol, name) for name in protocol.__all__)
