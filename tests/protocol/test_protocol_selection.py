import numpy as np
import pytest
from box_results import from_curves

from wsolbench.errors import UsageError
from wsolbench.protocol import select_on_fullsup, select_threshold, top_k_loc

ZERO = [0.0] * 4


def test_tie_goes_to_the_smallest_threshold():
    assert select_threshold(np.array([10.0, 40.0, 20.0, 40.0])) == 1
    assert select_threshold(np.zeros(5)) == 0


@pytest.mark.parametrize("box_acc", [np.array([]), np.array([[1.0]]), np.array([1.0, np.nan])])
def test_accuracy_without_an_order_is_an_error(box_acc):
    with pytest.raises(UsageError, match="box_acc"):
        select_threshold(box_acc)


def test_each_delta_and_mode_keeps_its_own_threshold():
    fullsup = from_curves(
        {"a": ([0.1, 0.1, 0.1, 0.5], [0.3, 0.5, 0.7, 0.0]), "b": (ZERO, [0.3, 0.0, 0.0, 0.0])},
    )
    selection = select_on_fullsup(fullsup)
    assert selection.single_index == 3
    assert selection.multi_index == {0.3: 0, 0.5: 1, 0.7: 2}
    assert selection.single_threshold == 0.75
    assert selection.multi_threshold == {0.3: 0.0, 0.5: 0.25, 0.7: 0.5}


def test_test_is_scored_at_the_fullsup_threshold_even_where_another_is_better():
    fullsup = from_curves({"f": ([0.9, 0.0, 0.0, 0.0], [0.0, 0.9, 0.0, 0.0])})
    test = from_curves(
        {
            "a": ([0.0, 0.9, 0.9, 0.9], [0.9, 0.4, 0.9, 0.9]),
            "b": ([0.6, 0.9, 0.9, 0.9], [0.9, 0.6, 0.9, 0.9]),
        }
    )
    selection = select_on_fullsup(fullsup)
    scores = selection.apply(test)
    assert scores.box_acc == 50
    assert scores.box_acc_by_iou == {0.3: 100, 0.5: 50, 0.7: 0}
    assert scores.box_acc_v2 == 50
    assert (test.max_box_acc, test.max_box_acc_v2) == (100, 100)
    assert selection.is_localized(test).tolist() == [False, True]


def test_selection_does_not_change_with_the_test_set():
    fullsup = from_curves({"f": ([0.0, 0.9, 0.9, 0.0], [0.0, 0.9, 0.9, 0.0])})
    selection = select_on_fullsup(fullsup)
    for peak in range(4):
        curve = np.eye(4)[peak]
        scores = selection.apply(from_curves({"t": (curve, curve)}))
        assert selection.single_index == 1
        assert scores.box_acc == scores.box_acc_v2 == (100 if peak == 1 else 0)


def test_another_grid_is_an_error():
    selection = select_on_fullsup(from_curves({"f": (ZERO, ZERO)}))
    other = from_curves({"t": ([0.0] * 2, [0.0] * 2)}, interval=0.5)
    with pytest.raises(UsageError, match="4 and 2 thresholds"):
        selection.apply(other)
    with pytest.raises(UsageError, match="same interval"):
        selection.is_localized(other)


def test_top_k_loc_needs_box_and_class():
    correct = np.array([True, True, False, False])
    hit = np.array([True, False, True, False])
    assert top_k_loc(correct, hit) == 25
    assert top_k_loc(correct, np.ones(4, dtype=bool)) == 50


@pytest.mark.parametrize(
    ("correct", "hit"),
    [
        (np.array([True]), np.array([True, False])),
        (np.array([], dtype=bool), np.array([], dtype=bool)),
        (np.array([1]), np.array([True])),
        (np.array([[True]]), np.array([[True]])),
    ],
)
def test_top_k_loc_refuses_what_does_not_pair(correct, hit):
    with pytest.raises(UsageError, match="Top-k"):
        top_k_loc(correct, hit)
