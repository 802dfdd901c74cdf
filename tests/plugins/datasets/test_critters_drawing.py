import colorsys
from collections import Counter

import cv2
import numpy as np
import pytest
from wsolbench_plugins.datasets.critters.drawing import CLASS_NAMES, IMAGE_SIZE, Drawing, draw, traits_of
from wsolbench_plugins.datasets.critters.palette import MARKS
from wsolbench_plugins.datasets.critters.strokes import Stroke, inked, outlines, paint, point_on
from wsolbench_plugins.datasets.critters.traits import COLOURS, HEADS, PATTERNS

# The box, and the mean grey levels of blocks of 24×24 pixels, row by row.
# fmt: off
PINNED = {
    3: ((11, 42, 50, 76), [
        142.2, 134.6, 155.9, 170.7, 145.9, 157.7, 157.5, 157.6,
        136.2, 141.4, 173.1, 145.1, 165.5, 172.9, 165.3, 150.6,
    ]),
    31: ((34, 3, 76, 30), [
        118.3, 134.2, 121.0, 126.0, 105.3, 125.9, 116.3, 119.7,
        109.7, 131.5, 124.2, 111.7, 123.2, 141.8, 130.8, 119.1,
    ]),
    80: ((41, 50, 94, 85), [
        80.7, 85.6, 89.7, 95.8, 90.6, 94.5, 100.9, 105.7,
        93.3, 97.7, 107.1, 111.7, 92.8, 116.3, 116.6, 119.4,
    ]),
}
# fmt: on


@pytest.fixture(scope="module")
def drawings() -> list[Drawing]:
    return [draw(index, split=2) for index in range(360)]


def grey_blocks(image):
    return image.reshape(4, 24, 4, 24, 3).mean(axis=(1, 3, 4)).ravel()


def mark_pixels(drawing, colour):
    """How many pixels of the critter have the hue and the saturation of a mark colour."""
    pixels = [colorsys.rgb_to_hsv(*(pixel / 255.0)) for pixel in drawing.image[drawing.mask]]
    near = [
        abs((hue - MARKS[colour][0] + 0.5) % 1.0 - 0.5) < 0.05 and saturation > 0.65 for hue, saturation, _ in pixels
    ]
    return sum(near)


def test_twelve_classes_are_named_in_label_order():
    assert CLASS_NAMES[:4] == ("red-ears", "yellow-ears", "blue-ears", "red-horns")
    assert CLASS_NAMES[-1] == "blue-crest"
    assert len(set(CLASS_NAMES)) == 12


def test_a_drawing_has_the_promised_shapes_and_types():
    drawing = draw(7, split=0)
    assert drawing.image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert drawing.image.dtype == np.uint8
    assert drawing.image.flags.c_contiguous
    assert drawing.mask.shape == (IMAGE_SIZE, IMAGE_SIZE)
    assert drawing.mask.dtype == np.bool_


@pytest.mark.slow
def test_a_drawing_does_not_depend_on_what_was_drawn_before(drawings):
    for index in (300, 5, 41):
        again = draw(index, split=2)
        np.testing.assert_array_equal(again.image, drawings[index].image)
        np.testing.assert_array_equal(again.mask, drawings[index].mask)
        assert again.label == drawings[index].label


def test_drawing_leaves_the_global_generator_alone():
    np.random.seed(3)  # noqa: NPY002 - the global generator is what is tested
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    draw(0, split=0)
    assert np.random.random() == expected  # noqa: NPY002


@pytest.mark.parametrize(
    "other", [{"index": 16, "split": 1}, {"index": 4, "split": 0}, {"index": 4, "split": 1, "seed": 1}], ids=str
)
def test_index_split_and_seed_each_give_another_picture(other):
    first, second = draw(4, split=1), draw(**other)
    assert first.label == second.label
    assert (first.image != second.image).mean() > 0.5


def test_the_box_is_the_tight_box_of_the_mask(drawings):
    for drawing in drawings[:60]:
        x0, y0, x1, y1 = drawing.box
        inside = drawing.mask[y0 : y1 + 1, x0 : x1 + 1]
        assert inside.sum() == drawing.mask.sum()
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


def test_sizes_fill_the_promised_range_and_nothing_beyond(drawings):
    sides = [max(x1 - x0, y1 - y0) + 1 for x0, y0, x1, y1 in (drawing.box for drawing in drawings)]
    assert min(sides) >= 0.40 * IMAGE_SIZE
    assert max(sides) <= 0.90 * IMAGE_SIZE
    assert min(sides) < 0.45 * IMAGE_SIZE
    assert max(sides) > 0.85 * IMAGE_SIZE


@pytest.mark.slow
@pytest.mark.parametrize("side", [0.0, 1.0], ids=["smallest", "largest"])
def test_no_orientation_leaves_the_promised_range_or_the_canvas(side, monkeypatch):
    from wsolbench_plugins.datasets.critters import drawing as module

    extreme = (module._SMALLEST, module._LARGEST)[int(side)]
    monkeypatch.setattr(module, "_SMALLEST", extreme)
    monkeypatch.setattr(module, "_LARGEST", extreme)
    for index in range(120):
        x0, y0, x1, y1 = draw(index, split=5).box
        assert 0.40 <= (max(x1 - x0, y1 - y0) + 1) / IMAGE_SIZE <= 0.90


def test_outlines_of_a_critter_stay_inside_the_canvas(monkeypatch):
    from wsolbench_plugins.datasets.critters import drawing as module

    posed = []
    pose = module._posed
    monkeypatch.setattr(module, "_posed", lambda *args: posed.append(pose(*args)) or posed[-1])
    for index in range(60):
        draw(index, split=0)
    assert min(polygons.min() for polygons in posed) >= 0.999
    assert max(polygons.max() for polygons in posed) <= 2 * IMAGE_SIZE - 1.999


def test_places_are_spread_over_the_picture(drawings):
    centres = np.array([((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in (drawing.box for drawing in drawings)])
    assert np.abs(centres.mean(axis=0) - (IMAGE_SIZE - 1) / 2).max() < 3.0
    assert centres.std(axis=0).min() > 9.0


def test_a_critter_is_one_piece(drawings):
    pieces = [cv2.connectedComponents(drawing.mask.astype(np.uint8))[0] - 1 for drawing in drawings]
    assert set(pieces) == {1}


def test_every_prefix_of_whole_dozens_is_balanced(drawings):
    assert set(Counter(drawing.label for drawing in drawings[:120]).values()) == {10}


@pytest.mark.parametrize("cue", [0.0, 0.7, 1.0])
def test_each_body_cue_agrees_with_probability_cue(cue):
    traits = [traits_of(index, split=0, cue=cue) for index in range(2400)]
    for agrees in (
        [t.pattern == t.head for t in traits],
        [t.coat == t.colour for t in traits],
        [t.feet == t.colour for t in traits],
    ):
        assert np.mean(agrees) == pytest.approx(cue, abs=0.04)


def test_cues_that_disagree_are_spread_over_the_other_values():
    traits = [traits_of(index, split=0, cue=0.0) for index in range(2400)]
    patterns = Counter((t.head, t.pattern) for t in traits)
    coats = Counter((t.colour, t.coat) for t in traits)
    assert len(patterns) == len(HEADS) * (len(PATTERNS) - 1)
    assert len(coats) == len(COLOURS) * (len(COLOURS) - 1)
    assert min(patterns.values()) > 150
    assert min(coats.values()) > 320


def test_the_class_gives_head_and_colour_whatever_the_cue():
    for index in range(24):
        traits = traits_of(index, split=1, cue=0.3)
        assert CLASS_NAMES[index % 12] == f"{COLOURS[traits.colour]}-{HEADS[traits.head]}"


def test_a_changed_cue_changes_the_coat_and_not_the_mask():
    for index in range(24):
        agreeing, disagreeing = draw(index, split=0, cue=1.0), draw(index, split=0, cue=0.0)
        np.testing.assert_array_equal(agreeing.mask, disagreeing.mask)
        rim = cv2.dilate(agreeing.mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        np.testing.assert_array_equal(agreeing.image[~rim], disagreeing.image[~rim])
        assert (agreeing.image[agreeing.mask] != disagreeing.image[agreeing.mask]).mean() > 0.3


def test_the_head_keeps_the_mark_colour_when_all_else_disagrees():
    for index in range(60):
        drawing = draw(index, split=3, cue=0.0)
        assert mark_pixels(drawing, COLOURS[drawing.label % 3]) >= 8, f"index {index}"


def test_agreeing_feet_and_tail_add_to_the_mark_colour():
    counts = np.array(
        [[mark_pixels(draw(index, split=3, cue=cue), COLOURS[index % 3]) for cue in (0.0, 1.0)] for index in range(24)]
    )
    assert (counts[:, 1] > 1.2 * counts[:, 0]).all()


@pytest.mark.parametrize("index", PINNED)
def test_pixels_are_those_of_the_generator_version(index):
    box, blocks = PINNED[index]
    drawing = draw(index, split=0)
    np.testing.assert_allclose(drawing.box, box, atol=1)
    np.testing.assert_allclose(grey_blocks(drawing.image), blocks, atol=1.0)


@pytest.mark.parametrize("cue", [-0.1, 1.1, float("nan")])
def test_a_cue_that_is_no_probability_is_refused(cue):
    with pytest.raises(ValueError, match="cue must be a probability"):
        draw(0, split=0, cue=cue)


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="0 or more, got -1, 0 and 0"):
        draw(-1, split=0)


def test_outlines_follow_the_radius_of_a_straight_stroke():
    (polygon,) = outlines([Stroke(1.0, 2.0, 0.0, 0.0, 4.0, 0.5, 0.5, 0.0, (0.0, 0.0, 0.0))])
    np.testing.assert_allclose(polygon.min(axis=0), (0.5, 1.5), atol=1e-9)
    np.testing.assert_allclose(polygon.max(axis=0), (5.5, 2.5), atol=1e-9)


def test_points_on_a_half_circle_are_where_geometry_puts_them():
    stroke = Stroke(0.0, 0.0, 0.0, np.pi, np.pi, 0.1, 0.1, 0.0, (0.0, 0.0, 0.0))
    np.testing.assert_allclose(point_on(stroke, 1.0), (0.0, 2.0, np.pi), atol=1e-9)
    np.testing.assert_allclose(point_on(stroke, 0.5, 1.0), (0.9, 1.0, np.pi / 2), atol=1e-9)


def test_ink_surrounds_a_stroke_by_its_width():
    disc = Stroke(0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, (1.0, 1.0, 1.0))
    ink, kept = inked([disc], (0.0, 0.0, 0.0), 0.25)
    assert (ink.r0, ink.r1, ink.colour) == (1.25, 1.25, (0.0, 0.0, 0.0))
    assert kept is disc


def test_paint_fills_what_an_even_odd_oracle_says_with_the_last_polygon_on_top():
    polygons = np.random.default_rng(0).integers(-64, 384, (5, 7, 2)) / 16.0
    canvas = np.zeros((20, 18), np.uint8)
    paint(canvas, polygons)
    expected = [[top_polygon(polygons, x, y) for x in range(18)] for y in range(20)]
    np.testing.assert_array_equal(canvas, expected)
    assert set(np.unique(canvas)) == {0, 1, 2, 3, 4, 5}


def top_polygon(polygons, x, y):
    top = 0
    for number, corners in enumerate(polygons.tolist(), start=1):
        inside = False
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            if (y0 <= y) != (y1 <= y) and x >= x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                inside = not inside
        top = number if inside else top
    return top


def test_paint_leaves_the_canvas_alone_where_nothing_lies_on_it():
    canvas = np.full((4, 4), 9, np.uint8)
    paint(canvas, np.zeros((0, 3, 2)))
    paint(canvas, np.array([[(-9.0, -9.0), (-5.0, -9.0), (-5.0, -5.0)], [(9.0, 1.0), (12.0, 1.0), (12.0, 3.0)]]))
    assert (canvas == 9).all()


def test_painting_more_polygons_than_there_are_numbers_is_refused():
    with pytest.raises(ValueError, match="numbers for 255 polygons, got 256"):
        paint(np.zeros((8, 8), np.uint8), np.zeros((256, 4, 2)))
