from contextlib import nullcontext

import numpy as np
import pytest
import torch

from wsolbench.contract import Annotations, ImageSplit, Split
from wsolbench.engine.run import check_first_images
from wsolbench.errors import DataError, PluginError, ScoremapError, UsageError, WeightsError
from wsolbench.records import read_record
from wsolbench.records.identity import difference, identity_of

PROVIDER = "acme 1.0 'toys'"
pytestmark = pytest.mark.usefixtures("no_gallery")


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def by_split(record):
    return {part.split: part for part in record.outcomes}


# ------------------------------------------------------------------------------------------------------------ bad maps


def test_maps_of_nan_and_of_one_value_count_as_zero_maps_and_stay_in_the_denominator(toys):
    (good,) = toys.run(out=toys.folder / "good")
    assert toys.notes.warned == []
    (bad,) = toys.run(toys.method(nan=[1, 3], constant=[2]))
    test, fullsup = by_split(bad)["test"], by_split(bad)["train-fullsup"]
    assert (test.nan_maps, test.constant_maps) == (2, 1)
    assert (fullsup.nan_maps, fullsup.constant_maps) == (2, 1)
    assert len(test.image_ids) == 6
    for mode in ("single", "multi"):
        assert sorted(set(test.correct[mode][0.5].image.tolist())) == [0, 4, 5]
    assert good.metrics.max_box_acc == 100
    assert bad.metrics.max_box_acc == 50
    assert bad.metrics.pxap < good.metrics.pxap


def test_bad_maps_are_warned_of_once_a_method_kind_and_split(toys):
    methods = [toys.method("first", nan=[1, 3], constant=[2]), toys.method("second", nan=[0])]
    toys.run(*methods)
    assert len(toys.notes.warned) == 6
    assert "2 of 4 maps of 'first' on train-fullsup hold NaN or infinity and count as zero maps" in toys.notes.warned[0]
    assert "the first is that of 'val/1'" in toys.notes.warned[0]
    assert "1 of 6 maps of 'first' on test hold one value only" in " ".join(toys.notes.warned)
    assert "1 of 6 maps of 'second' on test hold NaN" in " ".join(toys.notes.warned)


@pytest.mark.parametrize(("spoilt", "words"), [("nan", "NaN or infinity"), ("constant", "one value only")])
def test_strict_makes_a_bad_map_an_error_without_a_record(toys, spoilt, words):
    with pytest.raises(ScoremapError, match=f"1 of 4 maps of 'green' on train-fullsup hold {words}; the first is that"):
        toys.run(toys.method(**{spoilt: [3]}), strict=True)
    assert left(toys.folder) == []


def test_an_all_nan_method_scores_zero_and_is_recorded(toys):
    (record,) = toys.run(toys.method(nan=range(10)))
    assert record.metrics.max_box_acc == 0
    assert by_split(record)["test"].nan_maps == 6
    assert read_record(toys.folder / "out" / "record-green.json") == record


# ----------------------------------------------------------------------------------------------------------- who broke


def test_a_method_that_fails_is_named_with_version_and_image(toys):
    words = f"plugin {PROVIDER} failed in the method 'green' on the image 'val/2': ValueError: no map for 2"
    with pytest.raises(PluginError) as caught:
        toys.run(toys.method(fail=[2]))
    assert str(caught.value) == words
    assert left(toys.folder) == []


@pytest.mark.parametrize(
    "maps", [torch.zeros(4, 1, 8, 8), torch.zeros(3, 8, 8), torch.zeros(4, 0, 8), np.zeros((4, 8, 8)), None]
)
def test_maps_of_a_wrong_shape_are_told_with_what_was_expected(toys, maps):
    method = toys.method(method=lambda *_: maps)
    with pytest.raises(
        PluginError, match=r"'green' returned .* for the images from 'val/0' on; expected raw maps \(4,"
    ):
        toys.run(method)


def test_a_network_that_fails_is_named_with_the_images(toys):
    network = toys.network()
    network.module.forward_head = lambda _: torch.zeros(2, 3) @ torch.zeros(2, 3)
    words = f"plugin {PROVIDER} failed in 'toynet' on the images from 'val/0' on: RuntimeError"
    with pytest.raises(PluginError) as caught:
        toys.run(network=network)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [OSError("disk\ngone"), KeyError("x"), SystemExit(3)])
def test_a_data_set_that_fails_is_named_with_the_image(toys, error):
    dataset = toys.dataset()
    plain = dataset.images

    def images(split):
        part = plain(split)

        def load(index):
            if split is Split.TEST and index == 4:
                raise error
            return part.load(index)

        return ImageSplit(part.ids, part.labels, load)

    dataset.images = images
    with pytest.raises(
        PluginError, match=f"plugin {PROVIDER} failed loading the image 'test/4': {type(error).__name__}"
    ):
        toys.run(dataset=dataset)
    assert left(toys.folder) == []


def test_a_data_set_that_forgets_a_box_is_told(toys):
    dataset = toys.dataset()
    everything = dataset.annotations(Split.TEST)
    del everything.boxes["test/3"]
    dataset.annotations = lambda _: everything
    with pytest.raises(DataError, match="1 image of test has no box; the first is 'test/3'"):
        toys.plan(dataset=dataset).dataset.open(Split.TEST)


def test_an_empty_split_and_one_without_annotations_are_told(toys):
    dataset = toys.dataset()
    dataset.sizes[Split.TEST] = 0
    with pytest.raises(DataError, match="test of the data set 'toys' has no images"):
        toys.run(dataset=dataset)
    dataset = toys.dataset()
    dataset.annotations = lambda _: Annotations()
    with pytest.raises(DataError, match="neither boxes nor masks"):
        toys.run(dataset=dataset)
    assert left(toys.folder) == []


def test_a_split_that_is_not_there_is_told_with_those_that_are(toys):
    with pytest.raises(UsageError, match="the data set 'toys' has no split test; it has train-fullsup"):
        toys.run(dataset=toys.dataset(test=0))


def test_one_image_of_every_split_is_tried_first(toys):
    dataset = toys.dataset()
    tried = []
    plain = dataset.images

    def images(split):
        part = plain(split)
        return ImageSplit(part.ids, part.labels, lambda index: tried.append(part.ids[index]) or part.load(index))

    dataset.images = images
    opened = toys.plan(dataset=dataset).dataset
    check_first_images(opened, Split.TEST)
    assert sorted(tried) == ["test/0", "val/0"]
    tried.clear()
    check_first_images(opened, Split.TRAIN_FULLSUP)
    assert tried == ["val/0"]


# ------------------------------------------------------------------------------------------------- labels and weights


def test_labels_that_the_weights_do_not_know_are_refused(toys):
    dataset = toys.dataset()
    plain = dataset.images
    dataset.images = lambda split: ImageSplit(plain(split).ids, plain(split).labels + 1, plain(split).load)
    with pytest.raises(
        UsageError, match="the weights of 'toynet' know 2 classes, but labels in test of 'toys' go up to"
    ):
        toys.run(dataset=dataset)


def test_weights_that_know_more_classes_than_the_data_set_need_their_rows(toys):
    from dataclasses import replace

    network = replace(toys.network(), num_classes=1000)
    expected = "know 1,000 classes and 'toys' has 2; the rows of 'even', 'odd' are not known; say with --class-map FILE"
    with pytest.raises(UsageError, match=expected):
        toys.run(network=network)
    dataset = toys.dataset()
    dataset.class_names = ("0", "1")  # as of lists that state labels
    toys.run(dataset=dataset, network=network)
    expected = "the weights know 1000 classes and the data set 2; its labels are taken for the first 2 of them"
    assert toys.notes.warned == [expected]


def test_rows_of_the_head_that_a_class_map_names_are_scored_and_recorded(toys, tmp_path):
    class_map = tmp_path / "map.csv"
    class_map.write_text("folder,row\neven,1\nodd,0\n")
    (plain,) = toys.run(dataset=toys.dataset(test=8))
    (mapped,) = toys.run(dataset=toys.dataset(test=8), class_map=class_map, out=tmp_path / "mapped")
    assert plain.backbone.class_rows is None
    assert mapped.backbone.class_rows == (1, 0)
    assert mapped.metrics.top1_acc == 100 - plain.metrics.top1_acc != plain.metrics.top1_acc
    assert mapped.dataset == plain.dataset
    assert difference(identity_of(plain).network, identity_of(mapped).network) == [("class rows", None, "[1, 0]")]


def test_images_without_a_box_are_left_out_and_recorded(toys, tmp_path):
    def dataset():
        made = toys.dataset(test=8)
        everything = made.annotations

        def annotations(split):
            truth = everything(split)
            boxes = {name: box for name, box in truth.boxes.items() if name != "test/3"}
            return Annotations(boxes, truth.image_sizes)

        made.annotations = annotations
        return made

    with pytest.raises(DataError, match=r"1 image of test has no box; .*; --unannotated omit leaves such images out"):
        toys.run(dataset=dataset())
    (record,) = toys.run(dataset=dataset(), unannotated="omit", out=tmp_path / "omitted")
    assert record.dataset.omitted == {"test": 1}
    assert record.dataset.split_sizes["test"] == len(record.evaluated.image_ids) == 7
    assert "test/3" not in record.evaluated.image_ids


def test_class_scores_that_are_not_finite_are_an_error_that_names_the_image(toys):
    network = toys.network()
    head = network.module.forward_head

    def overflowing(features):
        logits = head(features)
        logits[1:2] = float("nan")
        return logits

    network.module.forward_head = overflowing
    with pytest.raises(WeightsError, match="'toynet' with its random weights are not finite for the image 'val/1'"):
        toys.run(network=network)


# --------------------------------------------------------------------------------------------------- metrics by hand


def test_the_metrics_follow_from_the_outcomes(toys):
    (record,) = toys.run(toys.method(nan=[1]), dataset=toys.dataset(fullsup=3, test=8))
    metrics, test, fullsup = record.metrics, by_split(record)["test"], by_split(record)["train-fullsup"]
    grid = np.arange(0, 1, record.protocol.threshold_step)
    for part in (test, fullsup):
        for mode, by_iou in part.correct.items():
            for iou, runs in by_iou.items():
                counts = np.zeros(len(grid))
                for start, stop in zip(runs.start, runs.stop, strict=True):
                    counts[start:stop] += 1
                assert part.box_acc(mode, iou) == pytest.approx(100 * counts / len(part.image_ids))
    single = fullsup.box_acc("single", 0.5).argmax()
    assert metrics.fullsup_cam_threshold_single == pytest.approx(grid[single])
    assert metrics.fullsup_box_acc == metrics.gt_known_loc == test.box_acc("single", 0.5)[single]
    assert metrics.max_box_acc == max(test.box_acc("single", 0.5))
    by_iou = {str(iou): max(test.box_acc("multi", iou)) for iou in (0.3, 0.5, 0.7)}
    assert metrics.max_box_acc_by_iou == by_iou
    assert metrics.max_box_acc_v2 == pytest.approx(sum(by_iou.values()) / 3)
    right, localized = test.correct["single"][0.5], np.zeros(8, dtype=bool)
    localized[right.image[(right.start <= single) & (single < right.stop)]] = True
    assert metrics.top1_loc == pytest.approx(100 * np.mean(localized & test.hits[1]))
    assert metrics.top1_acc == 100 * np.mean(test.hits[1])


def test_methods_share_one_forward_pass(toys):
    network = toys.network()
    calls = []
    plain = network.module.forward_features
    network.module.forward_features = lambda images: calls.append(len(images)) or plain(images)
    toys.run(toys.method("a"), toys.method("b"), network=network)
    assert calls == [4, 4, 2, 1]  # train-fullsup, test, test, and a blank image


def test_predicted_maps_are_asked_for_the_predicted_class_on_both_splits(toys):
    asked = []

    def method(features, context):
        asked.extend(context.class_indices.tolist())
        return features[:, 1]

    dataset = toys.dataset(fullsup=2, test=3)
    plain = dataset.images
    dataset.images = lambda split: ImageSplit(plain(split).ids, 1 - plain(split).labels, plain(split).load)
    (record,) = toys.run(toys.method(method=method), dataset=dataset, target="predicted")
    assert asked == [0, 1, 0, 1, 0]
    assert record.metrics.gt_known_loc is None
    assert record.missing["gt_known_loc"] == "maps of the predicted class"
    assert record.metrics.fullsup_box_acc == 100
    assert record.metrics.top1_loc == 0


@pytest.mark.parametrize(
    ("kinds", "absent", "reason"),
    [
        ({"masks": False}, {"pxap"}, "the data set has no masks"),
        ({"boxes": False}, None, "the data set has no boxes"),
        ({"fullsup": 0}, None, "the data set has no train-fullsup split"),
    ],
)
def test_what_cannot_be_had_is_null_with_a_reason(toys, kinds, absent, reason):
    (record,) = toys.run(dataset=toys.dataset(**kinds))
    nulls = {name for name, value in record.metrics if value is None}
    assert nulls == set(record.missing)
    assert nulls
    assert set(record.missing.values()) == {reason}
    if absent is not None:
        assert nulls == absent


def test_masks_in_train_fullsup_alone_choose_no_threshold(toys):
    dataset = toys.dataset()
    plain = dataset.annotations
    dataset.annotations = lambda split: (
        Annotations(load_mask=plain(split).load_mask) if split is Split.TRAIN_FULLSUP else plain(split)
    )
    (record,) = toys.run(dataset=dataset)
    assert record.metrics.max_box_acc == 100
    assert record.metrics.fullsup_box_acc is None
    assert set(record.missing.values()) == {"train-fullsup has no boxes"}


# --------------------------------------------------------------------------------------------------------- compilation


@pytest.mark.parametrize("boxes", [True, False])
def test_compilation_is_told_before_the_first_phase_where_boxes_are_scored(toys, monkeypatch, boxes):
    told = []
    monkeypatch.setattr("wsolbench.engine.assembly.load_sweep", lambda tell: tell("compiling"))
    monkeypatch.setattr(toys.notes, "say", told.append)
    monkeypatch.setattr(toys.notes, "show", lambda name, *_: told.append(name) or nullcontext(lambda _done: None))
    (record,) = toys.run(dataset=toys.dataset(boxes=boxes))
    compilation = ["compilation", "compiling"] * boxes
    assert told == ["annotations", *compilation, "train-fullsup", "test"]
    assert ("compilation" in record.seconds) == boxes
