import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import reference_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scoremap_zoo import KINDS, draw_boxes, draw_map, in_other_forms, paint, realistic_map, spiral

import wsolbench
from wsolbench.protocol import best_iou_curves, box_iou, boxes_at, cam_threshold_grid
from wsolbench.protocol.boxes import unpack_boxes


def assert_like_oracle(scoremap, boxes, thresholds):
    curves = best_iou_curves(scoremap, boxes, thresholds)
    assert curves.single.tolist() == oracle.best_ious(scoremap, boxes, thresholds, multi=False)
    assert curves.multi.tolist() == oracle.best_ious(scoremap, boxes, thresholds, multi=True)


@pytest.mark.parametrize("kind", KINDS)
def test_curves_equal_the_oracle_on_small_maps(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(15):
        scoremap = draw_map(rng, kind)
        boxes = draw_boxes(rng, scoremap.shape[::-1])
        assert_like_oracle(scoremap, boxes, cam_threshold_grid(0.01))


@pytest.mark.parametrize("kind", KINDS)
def test_curves_equal_the_oracle_on_the_fine_grid(kind):
    rng = np.random.default_rng(100 + KINDS.index(kind))
    for _ in range(4):
        scoremap = draw_map(rng, kind)
        boxes = draw_boxes(rng, scoremap.shape[::-1])
        assert_like_oracle(scoremap, boxes, cam_threshold_grid(0.001))


@pytest.mark.parametrize("side", [7, 12, 28])
def test_curves_equal_the_oracle_on_full_frames(side):
    rng = np.random.default_rng(side)
    for dtype in (np.float32, np.float64):
        scoremap = realistic_map(side, side).astype(dtype)
        assert_like_oracle(scoremap, draw_boxes(rng, (224, 224)), cam_threshold_grid(0.01))
    assert_like_oracle(realistic_map(side + 1, side), draw_boxes(rng, (224, 224), 1), cam_threshold_grid(0.001))


LEVELS = st.sampled_from([0.0, 1 / 255, 0.2, 0.5, 254 / 255, 1.0])
THRESHOLDS = np.array([0.0, 0.003, 0.1, 0.2, 0.49, 0.5, 0.7, 0.997, 1.0])


def shapes(most):
    return npst.array_shapes(min_dims=2, max_dims=2, max_side=most)


@st.composite
def grids(draw):
    """Maps of a few levels: plateaus, ties and holes wherever there is room for them."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return draw(npst.arrays(np.float64, draw(shapes(9)), elements=LEVELS)).astype(dtype)


@st.composite
def paintings(draw):
    """Maps of rectangles and outlines over one another: rings, nested rings, and what touches the border."""
    side = st.integers(0, 14)
    stroke = st.tuples(side, side, st.integers(1, 12), st.integers(1, 12), st.booleans(), LEVELS)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return paint(draw(shapes(16)), draw(st.lists(stroke, min_size=1, max_size=8)), dtype)


@settings(max_examples=250, deadline=None)
@given(scoremap=st.one_of(grids(), paintings()), seed=st.integers(0, 2**32 - 1))
def test_curves_equal_the_oracle_on_whatever_is_drawn(scoremap, seed):
    boxes = draw_boxes(np.random.default_rng(seed), scoremap.shape[::-1])
    assert_like_oracle(scoremap, boxes, THRESHOLDS)


@settings(max_examples=150, deadline=None)
@given(scoremap=st.one_of(grids(), paintings()), tau=st.floats(0, 1, exclude_max=True))
def test_predicted_boxes_equal_the_oracle(scoremap, tau):
    single, multi = boxes_at(scoremap, tau)
    assert [tuple(single.tolist())] == oracle.predicted_boxes(scoremap, tau, multi=False)
    assert [tuple(box) for box in multi.tolist()] == oracle.predicted_boxes(scoremap, tau, multi=True)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_that_are_drawn_are_those_that_are_scored(kind):
    rng = np.random.default_rng(200 + KINDS.index(kind))
    for _ in range(20):
        scoremap = draw_map(rng, kind)
        boxes, thresholds = draw_boxes(rng, scoremap.shape[::-1]), rng.random(5)
        curves = best_iou_curves(scoremap, boxes, thresholds)
        for index, tau in enumerate(thresholds):
            single, multi = boxes_at(scoremap, tau)
            assert curves.single[index] == box_iou(single[None], boxes).max()
            assert unpack_boxes(curves.boxes)[index].tolist() == single.tolist()
            assert curves.multi[index] == box_iou(multi, boxes).max()


@pytest.mark.slow
def test_every_binary_image_of_four_by_four():
    """Rectangles, areas, order and ties: any box that is missed, or one too many, shows with one of these truths."""
    taus = np.array([0.0])
    for bits in range(1 << 16):
        image = np.array([bits >> place & 1 for place in range(16)], dtype=np.float64).reshape(4, 4)
        single, multi = (oracle.predicted_boxes(image, 0.0, multi=multi) for multi in (False, True))
        for truth in {*multi, (bits % 3, bits % 2, 3, 2)}:
            curves = best_iou_curves(image, np.array([truth]), taus)
            assert curves.single[0] == oracle.plain_iou(single[0], truth)
            assert curves.multi[0] == max(oracle.plain_iou(box, truth) for box in multi)


CROWDED = ("noise", "plateaus", "ties", "sparse", "ring", "nested", "spiral", "comb")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_mismatch_on_thousands_of_maps(kind):
    """530 maps of each of fourteen kinds, most of them small, 30 of 41 to 224 pixels a side, on both grids."""
    rng = np.random.default_rng(300 + KINDS.index(kind))
    coarse, fine = cam_threshold_grid(0.01), cam_threshold_grid(0.001)
    frames, every = (2, 15) if kind in CROWDED else (25, 5)  # the oracle is slow where there are many contours
    for number in range(530):
        shape = (224, 224) if number < frames else tuple(rng.integers(41, 120, 2)) if number < 30 else None
        scoremap = draw_map(rng, kind, shape)
        thresholds = fine if number % every == every - 1 else coarse
        assert_like_oracle(scoremap, draw_boxes(rng, scoremap.shape[::-1]), thresholds)


@pytest.mark.slow
@pytest.mark.parametrize("side", [7, 12, 14, 28])
def test_no_mismatch_on_realistic_maps(side):
    rng = np.random.default_rng(side)
    for number in range(40):
        thresholds = cam_threshold_grid(0.001 if number % 4 == 0 else 0.01)
        assert_like_oracle(realistic_map((side, number), side), draw_boxes(rng, (224, 224)), thresholds)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_mismatch_on_a_thousand_small_maps(kind):
    """A thousand of each of fourteen kinds, most of them a few pixels wide, at nine τ: what is rare shows in one."""
    rng = np.random.default_rng(400 + KINDS.index(kind))
    for number in range(1000):
        shape = tuple(rng.integers(1, 12, 2)) if number % 4 else None
        scoremap = draw_map(rng, kind, shape)
        assert_like_oracle(scoremap, draw_boxes(rng, scoremap.shape[::-1]), THRESHOLDS)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [3, 9, 40, 256])
def test_no_mismatch_on_noise_of_middle_size(levels):
    """Holes in islands in holes: what is enclosed, by what, and what first appears inside."""
    rng = np.random.default_rng(levels)
    for _ in range(300):
        scoremap = rng.integers(0, levels, tuple(rng.integers(12, 45, 2))) / (levels - 1)
        assert_like_oracle(scoremap, draw_boxes(rng, scoremap.shape[::-1]), THRESHOLDS)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["convnext_nano", "replknet_nano", "resnet_nano", "slak_nano"])
def test_no_mismatch_on_maps_of_networks(backbone, cli, tmp_path):
    """Smooth maps of a few hills, plateaus of equal values, and shallow holes."""
    options = ("--limit", 40, "--no-gallery", "--save-scoremaps", tmp_path / "maps", "--out", tmp_path / "run")
    assert cli("run", "--backbone", backbone, "--method", "cam", "--method", "pc1", *options).code == 0
    files = sorted((tmp_path / "maps").rglob("*.npy"))
    rng = np.random.default_rng(5)
    for number, file in enumerate(files):
        thresholds = cam_threshold_grid(0.001 if number % 8 == 0 else 0.01)
        assert_like_oracle(np.load(file), draw_boxes(rng, (224, 224)), thresholds)
    assert len(files) == 160


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_an_island_in_a_hole_never_wins(turns, flip):
    """A ring whose own polygon is small around an island that is higher and once was the larger of two components."""
    scoremap = paint(
        (30, 40),
        [(2, 3, 20, 22, False, 0.4), (6, 8, 11, 12, True, 0.9), (8, 10, 5, 5, True, 0.2), (24, 30, 5, 8, True, 0.7)],
    )
    scoremap = np.rot90(scoremap[:, ::-1] if flip else scoremap, turns).copy()
    height, width = scoremap.shape
    assert_like_oracle(scoremap, draw_boxes(np.random.default_rng(turns), (width, height), 5), cam_threshold_grid(0.01))


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 7, 100])
def test_areas_that_are_summed_in_parts_are_the_same(step, monkeypatch):
    """Maps of many components are done some levels at a time; small ones would need none of that."""
    from wsolbench.protocol import areas

    rng = np.random.default_rng(step)
    monkeypatch.setattr(areas, "_MOST", step)
    in_parts = areas.find_largest.py_func
    for kind in KINDS:
        scoremap = draw_map(rng, kind, (9, 11))
        expected = best_iou_curves(scoremap, np.array([[2, 2, 8, 7]]), THRESHOLDS)
        monkeypatch.setattr("wsolbench.protocol.level_ious.find_largest", in_parts)
        assert (
            best_iou_curves(scoremap, np.array([[2, 2, 8, 7]]), THRESHOLDS).single.tolist() == expected.single.tolist()
        )
        monkeypatch.undo()
        monkeypatch.setattr(areas, "_MOST", step)


def test_four_threads_at_once_equal_one():
    rng = np.random.default_rng(4)
    scoremaps = [realistic_map((4, number), 14) for number in range(12)] + [rng.random((90, 120)) for _ in range(12)]
    boxes, grid = draw_boxes(rng, (90, 90), 3), cam_threshold_grid()
    expected = [best_iou_curves(scoremap, boxes, grid) for scoremap in scoremaps]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda scoremap: best_iou_curves(scoremap, boxes, grid), scoremaps * 4)
    for one, other in zip(found, expected * 4, strict=True):
        assert np.array_equal(one.single, other.single)
        assert np.array_equal(one.multi, other.multi)


def test_unimodal_map_by_hand():
    scoremap = np.array(
        [
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.4, 0.8, 0.4, 0.0],
            [0.0, 0.4, 1.0, 0.4, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
        ]
    )
    assert boxes_at(scoremap, 0.0)[0].tolist() == [1, 1, 4, 3]
    assert boxes_at(scoremap, 0.5)[0].tolist() == [2, 1, 3, 3]
    assert boxes_at(scoremap, 0.9)[0].tolist() == [2, 2, 3, 3]
    curves = best_iou_curves(scoremap, np.array([[1, 1, 3, 2]]), np.array([0.0, 0.5, 0.9]))
    assert curves.single.tolist() == [6 / 12, 4 / 8, 2 / 8]
    assert curves.multi.tolist() == curves.single.tolist()


def test_degenerate_true_boxes_by_hand():
    scoremap = np.zeros((5, 4))
    scoremap[2, 1] = 1
    pixel, row, nowhere = ([[1, 2, 1, 2]], [[0, 2, 3, 2]], [[3, 0, 3, 0]])
    assert boxes_at(scoremap, 0.5)[0].tolist() == [1, 2, 2, 3]
    for boxes, expected in ((pixel, 1 / 4), (row, 2 / 6), (nowhere, 0.0), (nowhere + pixel, 1 / 4)):
        curves = best_iou_curves(scoremap, np.array(boxes), np.array([0.5]))
        assert curves.single.tolist() == curves.multi.tolist() == [expected]


def test_multimodal_map_by_hand():
    scoremap = np.array(
        [
            [1.0, 1.0, 0.0, 0.0, 0.0],
            [1.0, 1.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.5, 0.0],
        ]
    )
    single, multi = boxes_at(scoremap, 0.1)
    assert single.tolist() == [0, 0, 2, 2]
    assert sorted(multi.tolist()) == [[0, 0, 2, 2], [3, 3, 4, 3]]
    curves = best_iou_curves(scoremap, np.array([[3, 3, 4, 3]]), np.array([0.1, 0.6]))
    assert curves.single.tolist() == [0.0, 0.0]
    assert curves.multi.tolist() == [1.0, 0.0]


def test_box_ends_one_pixel_past_the_contour_but_inside_the_map():
    scoremap = np.zeros((4, 6))
    scoremap[1:3, 2:4] = 1
    assert boxes_at(scoremap, 0.0)[0].tolist() == [2, 1, 4, 3]
    assert boxes_at(np.ones((4, 6)), 0.5)[0].tolist() == [0, 0, 5, 3]


def test_hole_contour_predicts_a_box_in_multi_mode_only():
    scoremap = np.ones((7, 7))
    scoremap[3, 3] = 0
    single, multi = boxes_at(scoremap, 0.5)
    assert single.tolist() == [0, 0, 6, 6]
    assert sorted(multi.tolist()) == [[0, 0, 6, 6], [2, 2, 5, 5]]


def test_equal_areas_go_to_the_last_component_in_raster_order():
    scoremap = np.zeros((3, 9))
    scoremap[1, [1, 4, 7]] = 1
    assert boxes_at(scoremap, 0.5)[0].tolist() == [7, 1, 8, 2]


@pytest.mark.parametrize("tau", [0.0, 0.5])
def test_all_zero_map_predicts_the_corner_pixel(tau):
    single, multi = boxes_at(np.zeros((5, 4)), tau)
    assert single.tolist() == [0, 0, 0, 0]
    assert multi.tolist() == [[0, 0, 0, 0]]
    curves = best_iou_curves(np.zeros((5, 4)), np.array([[0, 0, 1, 0]]), cam_threshold_grid(0.1))
    assert curves.single.tolist() == curves.multi.tolist() == [0.5] * 10


def test_threshold_of_one_leaves_no_foreground():
    assert boxes_at(np.ones((5, 4)), 1.0)[1].tolist() == [[0, 0, 0, 0]]
    curves = best_iou_curves(np.ones((5, 4)), np.array([[0, 0, 3, 4]]), np.array([0.0, 1.0, 2.0]))
    assert curves.multi.tolist() == [1.0, 1 / 20, 1 / 20]


def test_narrow_floats_are_quantised_in_float64():
    halves = np.arange(0x3C01, dtype=np.uint16).view(np.float16)
    rounded_up = halves[
        (halves * np.float16(255)).astype(np.uint8) > (halves.astype(np.float64) * 255).astype(np.uint8)
    ]
    assert len(rounded_up)
    for value in rounded_up[:: len(rounded_up) // 20]:
        scoremap = np.array([[value, 0], [0, 1]], dtype=np.float16)
        tau = int(np.float64(value) * 255) / 255  # foreground must lie above the level that the value truncates to
        assert boxes_at(scoremap, tau)[1].tolist() == boxes_at(scoremap.astype(np.float64), tau)[1].tolist()
        assert boxes_at(scoremap, tau)[1].tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_form_of_an_array_does_not_matter(dtype, tmp_path):
    rng = np.random.default_rng(3)
    scoremap, grid = draw_map(rng, "smooth", (30, 20)).astype(dtype), cam_threshold_grid(0.01)
    boxes = draw_boxes(rng, (20, 30), 3)
    expected, tau = best_iou_curves(scoremap, boxes, grid), 0.3
    for name, same in in_other_forms(scoremap, tmp_path):
        found = best_iou_curves(same, boxes, grid)
        assert found.single.tolist() == expected.single.tolist(), name
        assert found.multi.tolist() == expected.multi.tolist(), name
        assert boxes_at(same, tau)[1].tolist() == boxes_at(scoremap, tau)[1].tolist(), name
    for name, same in in_other_forms(boxes, tmp_path):
        assert best_iou_curves(scoremap, same, grid).multi.tolist() == expected.multi.tolist(), name


@pytest.mark.parametrize("step", [1 / 3, 0.3, 0.07, 1 / 49, 1 / 255, 0.0123, 1 / 1023, 0.9999, 1.0])
def test_curves_equal_the_oracle_on_odd_grids(step):
    rng = np.random.default_rng(6)
    for kind in KINDS:
        scoremap = draw_map(rng, kind, (17, 23))
        assert_like_oracle(scoremap, draw_boxes(rng, (23, 17)), cam_threshold_grid(step))


@pytest.mark.parametrize("turns", range(4))
def test_a_spiral_is_one_contour_and_its_box_is_the_frame(turns):
    """A path of a pixel that fills the frame: the longest contour there is, and no hole in it."""
    scoremap = np.rot90(spiral(224, 224), turns)
    assert_like_oracle(scoremap, np.array([[0, 0, 223, 223], [50, 60, 90, 99]]), np.array([0.0, 0.5, 0.999]))
    assert boxes_at(scoremap, 0.5)[1].tolist() == [[0, 0, 223, 223]]


def test_arguments_are_left_as_they_are():
    scoremap, boxes, grid = np.eye(5), np.array([[0, 0, 1, 1]], dtype=np.uint8), cam_threshold_grid(0.1)
    for array in (scoremap, boxes, grid):
        array.flags.writeable = False
    assert best_iou_curves(scoremap, boxes, grid).single[0] == 4 / 25


SCORE = """
import numpy as np
from wsolbench.protocol import best_iou_curves
from wsolbench.protocol.compilation import load_sweep
load_sweep(print)
print(best_iou_curves(np.eye(5), np.array([[0, 0, 1, 1]]), np.array([0.5])).single)
"""
COMPILES = "compiling the threshold sweep, once per installation (about 10 s)"


def start_scoring(package_root, **environment):
    """Start a process that loads the sweep, says what it is told, and scores a map."""
    environment = {**os.environ, "PYTHONPATH": str(package_root), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-W", "error", "-c", SCORE]
    return subprocess.Popen(command, cwd=package_root, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_processes_that_compile_at_once_do_no_harm_and_the_next_is_silent(tmp_path):
    root = Path(wsolbench.__file__).parents[1]
    together = [start_scoring(root, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    for process in together:
        assert process.communicate()[0].splitlines() == [COMPILES, "[0.16]"]
    later = start_scoring(root, NUMBA_CACHE_DIR=str(tmp_path))
    assert later.communicate()[0].splitlines() == ["[0.16]"]


@pytest.mark.slow
def test_where_nothing_can_be_written_it_compiles_and_says_so(tmp_path):
    package = Path(wsolbench.__file__).parent
    shutil.copytree(package, tmp_path / "wsolbench", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "wsolbench" / "protocol" / "__pycache__").touch()  # a file, so that no folder can be made of it
    nowhere = str(tmp_path / "wsolbench" / "protocol" / "__pycache__" / "nowhere")
    process = start_scoring(tmp_path, NUMBA_CACHE_DIR=nowhere, XDG_CACHE_HOME=nowhere, HOME=nowhere)
    first, second, scored = process.communicate()[0].splitlines()
    assert (first, scored) == (COMPILES, "[0.16]")
    assert "NUMBA_CACHE_DIR" in second


@pytest.mark.slow
def test_compilation_is_told_once_and_only_where_it_is_necessary(tmp_path):
    """In a fresh environment by whichever of two threads comes first; then by none."""
    code = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from wsolbench.protocol import BoxEvaluator
ids = "ab"
evaluator = BoxEvaluator({i: np.array([[1, 1, 5, 5]]) for i in ids}, dict.fromkeys(ids, (9, 9)), frame=None)
with ThreadPoolExecutor(2) as pool:
    list(pool.map(lambda i: evaluator.score(np.eye(9), i), ids))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    told = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
        ).stderr.splitlines()
        for _ in range(2)
    ]
    assert told == [[COMPILES], []]
