"""``--classifier``: Top-k Loc with the classes of another network, from its record or from a file."""

import numpy as np
import pytest
from torch import nn
from toys import ToyNet

from wsolbench.errors import DataError
from wsolbench.leaderboard.entries import read_entry
from wsolbench.records import identity_of, read_record
from wsolbench.records.tables import results_table
from wsolbench.records.verify import contradiction, read_verified, verified

pytestmark = pytest.mark.usefixtures("no_gallery")


class Mistaken(ToyNet):
    """Takes images 1 and 4 for the other class."""

    def forward_head(self, features):
        number = (features[:, 0].mean(dim=(1, 2)) * 255).round().long()
        wrong = ((number == 1) | (number == 4)).long()
        return nn.functional.one_hot((number + wrong) % 2, 2).float()


HITS = [True, False, True, True, False, True]


@pytest.fixture
def other(toys):
    """Return the file of the record of a network that mistakes two of the six test images."""
    toys.run(network=toys.network(Mistaken()), out=toys.folder / "other")
    return toys.folder / "other" / "record-green.json"


def run_with(toys, classifier, name="mine", **settings):
    (record,) = toys.run(classifier=classifier, out=toys.folder / name, **settings)
    return record


def test_the_classes_of_a_record_are_those_of_top_k_loc(toys, other):
    record, own = run_with(toys, other, tau=0.25), run_with(toys, None, "own", tau=0.25)
    assert record.evaluated.hits[1].tolist() == HITS
    assert own.evaluated.hits[1].all()
    right = own.evaluated.correct["single"][0.5].at(round(own.metrics.fullsup_cam_threshold_single / 0.05))
    assert record.metrics.top1_loc == pytest.approx(100 * np.mean(right & np.array(HITS)))
    assert own.metrics.top1_loc == pytest.approx(100 * np.mean(right))
    assert record.metrics.top1_acc == pytest.approx(400 / 6)
    assert record.thresholds["fixed-0.25"].top1_loc < own.thresholds["fixed-0.25"].top1_loc
    assert record.metrics.max_box_acc == own.metrics.max_box_acc
    assert (record.classifier.file, record.classifier.network) == ("record-green.json", "toynet")
    assert record.classifier.sha256 == read_record(other).outcomes_sha256
    assert own.classifier is None
    assert contradiction(read_verified(toys.folder / "mine" / "record-green.json")) is None


def test_tables_and_the_identity_say_whose_classes_they_are(toys, other):
    record, own = run_with(toys, other), run_with(toys, None, "own")
    assert "predicted classes of toynet, record-green.json: top-1 66.7, top-5 100.0" in results_table([record])
    assert "parameters; top-1" not in results_table([record])
    assert "predicted classes" not in results_table([own])
    assert identity_of(record).sha256 != identity_of(own).sha256
    assert "classes of toynet, record-green.json" in str(own.compare(record))
    path = toys.folder / "mine" / "record-green.json"
    assert read_entry(path, "mine").method == "green (classes of toynet)"
    assert record.to_frame()["classes_of"].tolist() == ["toynet, record-green.json"]


def test_a_record_that_was_made_with_the_classes_of_another_names_that_network(toys, other):
    first = run_with(toys, other)
    second = run_with(toys, toys.folder / "mine" / "record-green.json", "second")
    assert second.classifier.network == first.classifier.network
    assert second.evaluated.hits[1].tolist() == HITS


@pytest.mark.parametrize("form", ["csv", "json"])
def test_classes_may_be_in_a_file(toys, form):
    labels = {f"test/{number}": (number + (not hit)) % 2 for number, hit in enumerate(HITS)}
    file = toys.folder / f"classes.{form}"
    lines = ["image,label", *(f"{name},{label}" for name, label in labels.items())]
    file.write_text("\n".join(lines) if form == "csv" else str(labels).replace("'", '"'))
    record = run_with(toys, file)
    assert record.evaluated.hits[1].tolist() == HITS
    assert (record.classifier.file, record.classifier.network) == (file.name, None)
    assert record.missing["top5_loc"] == "fewer than five classes an image were predicted"
    assert contradiction(verified(record)) is None


def test_a_record_of_more_images_serves_some_of_them(toys, other):
    record = run_with(toys, other, limit=3)
    kept = [HITS[int(image_id.rpartition("/")[2])] for image_id in record.evaluated.image_ids]
    assert len(kept) == 3
    assert record.evaluated.hits[1].tolist() == kept


def test_what_does_not_fit_is_one_line(toys, other):
    def refused(error, words, path=other, **settings):
        with pytest.raises(error, match=words):
            run_with(toys, path, "never", **settings)
        assert not (toys.folder / "never").exists()

    refused(
        DataError,
        "the record is of 6 images of toys, test, and 2 of 8 images of test are not",
        dataset=toys.dataset(test=8),
    )
    turned = toys.dataset()
    plain = turned.images
    turned.images = lambda split: type(plain(split))(plain(split).ids, 1 - plain(split).labels, plain(split).load)
    refused(DataError, "in the record 'test/0' is of another class than in test", dataset=turned)
    refused(DataError, "--classifier .*/absent.csv: there is no such file", toys.folder / "absent.csv")
    (toys.folder / "text.json").write_text('{"test/0": 0}')
    refused(DataError, "5 of 6 images of test have no predicted class", toys.folder / "text.json")
    damaged = toys.folder / "damaged.json"
    damaged.write_bytes(other.read_bytes())
    refused(DataError, "damaged.outcomes.json.gz", damaged)


def test_classes_of_another_network_do_not_choose_the_maps(toys, other, cli, folder_set):
    made = folder_set()
    typed = ["--backbone", "resnet_nano", "--weights", "random", "--method", "cam", "--target", "predicted"]
    words = "--classifier: with --target predicted, maps are of the classes that the network itself predicts"
    assert cli("run", *typed, *made.options, "--classifier", other, "--out", toys.folder / "never").refused(words)
    assert not (toys.folder / "never").exists()


def test_evaluate_takes_records_too(toys, cli, folder_set):
    made = folder_set(val=2, test=5)
    boxes, classes = toys.folder / "boxes.csv", toys.folder / "classes.csv"
    names = [f"test/{number:02d}.png" for number in range(5)]
    boxes.write_text("\n".join(["image,x0,y0,x1,y1", *(f"{name},2,2,9,9" for name in names)]))
    classes.write_text("\n".join(f"{name},{number % 3 % 2}" for number, name in enumerate(names)))
    evaluate = ["evaluate", "--metadata-root", made.metadata, "--predicted-boxes", boxes]
    assert cli(*evaluate, "--predictions", classes, "--out", toys.folder / "first").code == 0
    first = read_record(toys.folder / "first" / "record-predicted-boxes.json")
    assert (first.classifier.file, first.classifier.network) == ("classes.csv", None)
    file = toys.folder / "first" / "record-predicted-boxes.json"
    (second,) = cli(*evaluate, "--classifier", file, "--json").records
    assert second["classifier"]["sha256"] == first.outcomes_sha256
    assert second["metrics"]["top1_acc"] == first.metrics.top1_acc
    assert 0 < first.metrics.top1_acc < 100
