"""Two records on the same images: pairing, what differs, and what may not be compared."""

import numpy as np
import pytest
from toy_records import make_outcomes, make_record, make_runs

from wsolbench.contract.choices import iou_key
from wsolbench.errors import DataError, UsageError
from wsolbench.protocol import IOU_THRESHOLDS, MODES
from wsolbench.protocol.uncertainty import RESAMPLES
from wsolbench.records import Metrics
from wsolbench.records.compare import compare
from wsolbench.records.store import upgraded
from wsolbench.records.tables import NO_WIDTH, comparison_table, results_table

TEST, FULLSUP, GRID = 8, 5, 20


def outcomes(split, count, shift):
    """Image i is correct at four of twenty thresholds, from i + shift on; every second one is classified."""
    runs = [[index + shift, index + shift + 4] for index in range(count)]
    return {
        "split": split,
        "image_ids": [f"{split}/{index}" for index in range(count)],
        "correct": {mode: {iou_key(iou): list(runs) for iou in IOU_THRESHOLDS} for mode in MODES},
        "box_acc": None,
        "top1_hits": [index % 2 == 0 for index in range(count)],
        "top5_hits": None,
        **dict.fromkeys(("nan_maps", "constant_maps"), 0),
        "annotations_sha256": "c" * 64,
        "images_sha256": None,
    }


def content(shift):
    """Return a record as JSON has it; its metrics are null, since comparing reads the outcomes."""
    return {
        "schema_version": 1,
        "metrics": dict.fromkeys(Metrics.model_fields),
        "missing": {},
        "intervals": None,
        "dataset": {
            **{"name": "birds", "version": "1", "content_sha256": "a" * 64, "num_classes": 2, "limit": None},
            "split_sizes": {"test": TEST, "train-fullsup": FULLSUP},
        },
        "backbone": None,
        "method": {
            **{"name": "precomputed", "provider": None, "options": {}, "changed_options": {}, "reads_network": True}
        },
        "protocol": {
            **{"split": "test", "target": None, "interval": 1 / GRID, "frame": 224, "iou_thresholds": [0.3, 0.5, 0.7]}
        },
        "environment": {
            **{"wsolbench": "0", "git_revision": None, "plugins": {}, "packages": {}, "platform": "", "device": "cpu"},
            **{"seed": None, "batch_size": None, "command": "wsolbench evaluate", "created": ""},
        },
        "seconds": {},
        "outcomes": [outcomes("test", TEST, shift), outcomes("train-fullsup", FULLSUP, 0)],
    }


def record(shift=0, change=lambda _: None):
    """Return a record, which is written as version 1 has it."""
    made = content(shift)
    change(made)
    for part in made["outcomes"]:
        part["box_acc"] = curves_of(part, round(1 / made["protocol"]["interval"]))
    made["dataset"]["split_sizes"] = {part["split"]: len(part["image_ids"]) for part in made["outcomes"]}
    return upgraded(made, "made")


def curves_of(part, grid):
    """Return the curves that version 1 keeps beside the outcomes."""
    if part["correct"] is None:
        return None

    def curve(runs):
        right = [sum(start <= place < stop for start, stop in runs) for place in range(grid)]
        return [100 * count / len(runs) for count in right]

    return {mode: {key: curve(runs) for key, runs in by_iou.items()} for mode, by_iou in part["correct"].items()}


def reverse(made):
    for part in made["outcomes"]:
        part["image_ids"].reverse()
        part["top1_hits"].reverse()
        for by_iou in part["correct"].values():
            for runs in by_iou.values():
                runs.reverse()


def test_scores_and_images_by_hand():
    """τ 3 is the first that four of the five images of train-fullsup are correct at; of test it is images 0 to 3."""
    found = compare(record(), record(shift=2))
    difference = found.differences["fullsup_box_acc"]
    assert (difference.first, difference.second, difference.difference) == (50, 25, -25)
    assert difference.low <= -25 <= difference.high
    assert found.differences["max_box_acc"].difference == 0
    assert (found.differences["top1_loc"].first, found.differences["top1_loc"].second) == (25, 12.5)
    images = found.discordant
    assert images.first.selection == images.second.selection == "fullsup"
    assert (images.first.threshold, images.second.threshold) == pytest.approx((0.15, 0.15))
    assert (images.only_first, images.only_second) == (("test/2", "test/3"), ())


def test_a_record_does_not_differ_from_itself():
    found = compare(record(), record())
    assert set(found.differences) >= {"max_box_acc_v2", "fullsup_box_acc_by_iou.0.7", "top1_acc", "top1_loc"}
    assert all((of.difference, of.low, of.high) == (0, 0, 0) for of in found.differences.values())
    assert found.discordant.only_first == found.discordant.only_second == ()


def test_images_are_paired_by_id_whatever_their_order():
    found, expected = compare(record(), record(2, reverse)), compare(record(), record(2))
    assert found.differences == expected.differences
    assert found.discordant.only_first == expected.discordant.only_first
    for other in (compare(record(change=reverse), record(2)), compare(record(change=reverse), record(2, reverse))):
        assert other.differences == expected.differences
        assert other.discordant.only_second == expected.discordant.only_second
    assert compare(record(change=reverse), record()).differences["max_box_acc"].high == 0


def test_the_records_of_a_comparison_are_those_that_were_given():
    first, second = record(), record(2, reverse)
    found = compare(first, second)
    assert found.first is first
    assert found.second is second


def test_records_of_other_pixels_are_refused_and_unknown_ones_are_not():
    def seen(digest):
        return record(change=lambda made: [part.update(images_sha256=digest) for part in made["outcomes"]])

    assert compare(seen("e" * 64), seen("e" * 64)).differences
    assert compare(seen("e" * 64), record()).differences
    told = r"they differ in pixels of test \(eeeeeeeeeeee and ffffffffffff\), pixels of train-fullsup "
    with pytest.raises(UsageError, match=told):
        compare(seen("e" * 64), seen("f" * 64))


def test_without_train_fullsup_images_are_judged_at_the_oracle_threshold():
    found = compare(record(change=lambda made: made["outcomes"].pop()), record(2, lambda made: made["outcomes"].pop()))
    assert found.discordant.first.selection == "oracle"
    assert (found.discordant.first.threshold, found.discordant.second.threshold) == pytest.approx((0.15, 0.25))
    assert not [name for name in found.differences if "fullsup" in name or name.endswith("_loc")]


def test_without_boxes_only_the_classifier_is_compared():
    def drop(made):
        for part in made["outcomes"]:
            part["correct"] = None

    found = compare(record(change=drop), record(change=drop))
    assert set(found.differences) == {"top1_acc"}
    assert found.discordant is None
    assert found.summary()["images"] is None


def test_pxap_is_compared_without_an_interval():
    def score(pxap):
        def change(made):
            for part in made["outcomes"]:
                part.update(correct=None, top1_hits=None)
            made["metrics"]["pxap"] = pxap

        return change

    found = compare(record(change=score(40.0)), record(change=score(42.5)))
    (line,) = [line for line in comparison_table(found).splitlines() if line.startswith("PxAP")]
    assert line.split() == ["PxAP", "40.00", "†", "42.50", "†", "+2.50"]
    assert found.summary()["metrics"] == {"pxap": {"first": 40, "second": 42.5, "difference": 2.5, "interval": None}}
    without_interval, claimed, unsealed = found.notes
    assert without_interval == "no interval of PxAP: records do not hold its histograms image by image"
    assert claimed.startswith("† PxAP is a claim")
    assert unsealed.startswith("‡ measured with schema version 1 or 2: no hash")
    assert set(found.notes) < set(comparison_table(found).splitlines())


def test_maps_of_an_unknown_class_are_compared_with_those_of_a_known_one():
    found = compare(record(2), record(change=lambda made: made["protocol"].update(target="gt")))
    assert found.differences["max_box_acc"].difference == 0
    assert "gt_known_loc" not in found.differences
    note, _unsealed = found.summary()["notes"]
    assert note == "for which class the stored maps are is not known; those of the other are of the true one"
    assert note in comparison_table(found).splitlines()
    of_today = found.first.model_copy(update={"migrated_from": None})
    assert compare(of_today, of_today).notes == []


def test_maps_of_different_classes_are_refused():
    first, second = (
        record(change=lambda made, target=target: made["protocol"].update(target=target))
        for target in ("gt", "predicted")
    )
    with pytest.raises(UsageError, match=r"they differ in target \(gt and predicted\)"):
        compare(first, second)


def test_the_summary_names_the_settings_of_its_intervals():
    assert compare(record(), record(1)).summary()["interval"] == {
        **{"kind": "bias-corrected", "level": 0.95, "resamples": RESAMPLES, "seed": 0}
    }


def evaluate_fullsup(made):
    made["protocol"]["split"] = "train-fullsup"
    del made["outcomes"][0]


DIFFERENT = {
    "another data set": (lambda r: r["dataset"].update(name="fish"), "data set (birds and fish)"),
    "other boxes": (
        lambda r: r["dataset"].update(content_sha256="b" * 64),
        "data hash (aaaaaaaaaaaa and bbbbbbbbbbbb)",
    ),
    "another grid": (lambda r: r["protocol"].update(interval=0.04), "τ step (0.05 and 0.04)"),
    "another split": (evaluate_fullsup, "split (test and train-fullsup)"),
    "a split less": (
        lambda r: r["outcomes"].pop(),
        "images (8 of test + 5 of train-fullsup and 8 of test)",
    ),
    "another image": (lambda r: r["outcomes"][0]["image_ids"].__setitem__(0, "x"), "the images of test"),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_what_is_not_comparable_is_refused_with_the_reason(kind):
    change, reason = DIFFERENT[kind]
    with pytest.raises(UsageError) as caught:
        compare(record(), record(change=change))
    assert str(caught.value).startswith("the records cannot be compared; they differ in ")
    assert reason in str(caught.value)


def test_an_image_that_is_there_twice_is_refused():
    with pytest.raises(DataError, match="made: outcomes of test: an image is there twice"):
        record(change=lambda made: made["outcomes"][0]["image_ids"].__setitem__(0, "test/1"))


def test_damaged_outcomes_are_refused():
    with pytest.raises(DataError, match=r"made: .* ascending pairs of indices from 0 to 20"):
        compare(record(), record(shift=10))


def test_an_interval_of_no_width_is_explained():
    def record(*runs):
        """Return a record with these runs of thresholds at which each image is correct."""
        correct = {mode: dict.fromkeys(IOU_THRESHOLDS, make_runs(runs)) for mode in MODES}
        return make_record(test=make_outcomes(correct=correct, hits={1: np.ones(TEST, bool)}))

    all_agree, half = record(*[[0, 20]] * TEST), record(*[[0, 20], []] * (TEST // 2))
    assert "100.0–100.0" in results_table([half, all_agree])
    assert results_table([half, all_agree]).endswith(NO_WIDTH)
    assert NO_WIDTH not in results_table([half])
    turned = results_table([half, all_agree], width=60).splitlines()
    rules = sum(line.startswith("---") for line in turned)
    assert sum(line.startswith(half.method.name) for line in turned) == 2 * rules > 0  # one name, a line each
    assert NO_WIDTH in comparison_table(compare(half, half))
    assert NO_WIDTH not in comparison_table(compare(half, all_agree))
