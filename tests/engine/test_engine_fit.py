"""The stage before anything is localized: what fitted methods are given, how much of it, and what is recorded."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from wsolbench.contract import ImageSplit, Split
from wsolbench.engine.fit import Fit, fit_methods, open_fit_images
from wsolbench.engine.run import carry_out, check_first_images
from wsolbench.errors import DataError, PluginError, UsageError
from wsolbench.records import identity_of, read_record

pytestmark = pytest.mark.usefixtures("no_gallery")


class Watcher:
    """A fitted method that keeps what it was given; its maps are the green channel."""

    def __init__(self, fit_images=None, fail=False):
        self.fit_images, self.fail, self.given, self.localized = fit_images, fail, [], 0

    def partial_fit(self, *arguments, **named):
        assert self.localized == 0
        if self.fail:
            raise ValueError("too much")
        self.given.append((arguments, named))

    def __call__(self, features, _context):
        self.localized += 1
        return features[:, 1]

    @property
    def numbers(self):
        """The numbers of the images whose features were given, in their order."""
        seen = torch.cat([features for (features,), _ in self.given])
        return (seen[:, 0].mean(dim=(1, 2)) * 255).round().int().tolist()


class Told:
    """A data set that notes which annotations it was asked for."""

    def __init__(self, dataset):
        self.dataset, self.asked = dataset, []

    def __getattr__(self, name):
        return getattr(self.dataset, name)

    def annotations(self, split):
        self.asked.append(split)
        return self.dataset.annotations(split)


def test_a_fit_sees_the_features_of_train_weaksup_and_nothing_else(toys):
    watcher, network = Watcher(), toys.network()
    dataset = Told(toys.dataset(weaksup=10))
    (record,) = toys.run(toys.method(method=watcher), dataset=dataset, network=network)
    assert [len(features) for (features,), _ in watcher.given] == [4, 4, 2]
    assert all(named == {} for _, named in watcher.given)
    assert sorted(watcher.numbers) == list(range(10))
    assert Split.TRAIN_WEAKSUP not in dataset.asked
    images = dataset.images(Split.TRAIN_WEAKSUP)
    for position, number in enumerate(watcher.numbers):
        pixels = torch.from_numpy(images.load(number)).permute(2, 0, 1)[None].float() / 255
        given = watcher.given[position // 4][0][0][position % 4 : position % 4 + 1]
        torch.testing.assert_close(given, network.module.forward_features(pixels))
    assert record.method.fitted_images == 10
    assert "fit" in record.seconds
    assert watcher.localized > 0


def test_labels_of_train_weaksup_change_nothing(toys):
    given = []
    for name, label in (("a", 0), ("b", 1)):
        watcher, dataset = Watcher(), toys.dataset(weaksup=10)
        plain = dataset.images

        def images(split, plain=plain, label=label):
            part = plain(split)
            return ImageSplit(part.ids, part.labels * 0 + label, part.load)

        dataset.images = images
        toys.run(toys.method(method=watcher), dataset=dataset, out=toys.folder / name)
        given.append([features for (features,), _ in watcher.given])
    for one, other in zip(*given, strict=True):
        assert torch.equal(one, other)


def test_methods_share_one_pass_and_are_given_as_many_images_as_they_want(toys):
    network, calls = toys.network(), []
    plain = network.module.forward_features
    network.module.forward_features = lambda images: calls.append(len(images)) or plain(images)
    watchers = {"few": Watcher(3), "some": Watcher(6), "more": Watcher(100)}
    methods = [toys.method(name, method) for name, method in watchers.items()]
    records = toys.run(*methods, toys.method(), network=network, dataset=toys.dataset(weaksup=9))
    assert calls[:3] == [4, 4, 1]
    assert [record.method.fitted_images for record in records] == [3, 6, 9, None]
    everything = watchers["more"].numbers
    assert (watchers["few"].numbers, watchers["some"].numbers) == (everything[:3], everything[:6])
    assert sorted(everything) == list(range(9))


def drawn(toys, name, **settings):
    watcher = Watcher(5)
    (record,) = toys.run(
        toys.method(method=watcher), dataset=toys.dataset(weaksup=12), out=toys.folder / name, **settings
    )
    assert record.method.fitted_images == len(watcher.numbers)
    return watcher.numbers


def test_the_images_hang_on_the_seed_and_on_nothing_else(toys):
    first = drawn(toys, "a", seed=1)
    assert len(set(first)) == 5
    assert drawn(toys, "b", seed=1, batch_size=3, workers=1) == first
    assert drawn(toys, "c", seed=2) != first


def test_a_limit_limits_the_fit_too(toys):
    numbers = drawn(toys, "a", limit=3)
    assert len(set(numbers)) == 3
    assert sorted(drawn(toys, "b", limit=3, seed=7)) == sorted(numbers)  # always the same ones, as in every split


def test_without_a_fitted_method_train_weaksup_is_not_opened(toys):
    dataset = toys.dataset(weaksup=4)
    plain = dataset.images
    dataset.images = lambda split: pytest.fail("opened") if split is Split.TRAIN_WEAKSUP else plain(split)
    (record,) = toys.run(dataset=dataset)
    assert record.method.fitted_images is None
    assert "fit" not in record.seconds
    assert read_record(toys.folder / "out" / "record-green.json") == record


def test_a_data_set_without_train_weaksup_is_refused_before_any_work(toys):
    words = "the method 'green' is fitted on images of train-weaksup, and the data set 'toys' has none"
    methods, dataset = [toys.method(method=Watcher())], toys.plan().dataset
    with pytest.raises(UsageError, match=words):
        check_first_images(dataset, Split.TEST, methods)
    check_first_images(dataset, Split.TEST, [toys.method()])
    with pytest.raises(UsageError, match=words):
        toys.run(*methods)
    assert list(toys.folder.iterdir()) == []


def test_an_empty_train_weaksup_is_refused(toys):
    dataset = toys.dataset(weaksup=1)
    dataset.sizes[Split.TRAIN_WEAKSUP] = 0
    with pytest.raises(DataError, match="train-weaksup of the data set 'toys' has no images"):
        toys.run(toys.method(method=Watcher()), dataset=dataset)


@pytest.mark.parametrize("wish", [0, -3])
def test_a_wish_for_no_images_is_refused(toys, wish):
    plan = toys.plan(toys.method(method=Watcher(wish)), dataset=toys.dataset(weaksup=4))
    with pytest.raises(UsageError, match=f"'green' cannot be fitted on {wish} images; say 1 or more"):
        carry_out(plan, toys.notes, command="wsolbench run")


def test_a_fit_that_fails_is_named(toys):
    plan = toys.plan(toys.method(method=Watcher(fail=True)), dataset=toys.dataset(weaksup=4), seed=0)
    with pytest.raises(
        PluginError, match=r"'toys' failed fitting the method 'green' on the images from 'train/\d' on: ValueError: too"
    ):
        carry_out(plan, toys.notes, command="wsolbench run")
    assert list(toys.folder.iterdir()) == []


def test_a_fit_that_changes_the_features_is_told(toys):
    class Careless(Watcher):
        def partial_fit(self, features):
            features.mul_(2)

    plan = toys.plan(toys.method(method=Careless()), dataset=toys.dataset(weaksup=4))
    with pytest.raises(PluginError, match="the method 'green' changed the features in place"):
        carry_out(plan, toys.notes, command="wsolbench run")


def test_the_fit_is_a_phase_of_its_own_with_every_image_counted(toys):
    phases = {}

    @contextmanager
    def phase(name, total, _unit="images"):
        phases[name] = [total, 0]

        def advance(done):
            phases[name][1] += done

        yield advance

    toys.notes.phase = phase
    methods = [toys.method(method=Watcher(7))]
    images = open_fit_images(methods, toys.plan(dataset=toys.dataset(weaksup=9)).dataset)
    fitted = fit_methods(methods, toys.network(), images, seed=0, batch_size=4, workers=2, reporter=toys.notes)
    assert fitted == {"green": Fit(7, fitted["green"].images_sha256, fitted["green"].method)}
    assert phases == {"fit": [7, 7]}


class Counter:
    """A method fitted with labels in rounds: how many images each class has, and the sum of their numbers."""

    def __init__(self, fit_rounds=2, fit_images=None):
        self.fit_rounds, self.fit_images = fit_rounds, fit_images
        self.given, self.ended = [], []

    def partial_fit(self, *given, **named):
        assert not given
        assert sorted(named) == ["features", "labels"]
        self.given.append((len(self.ended), named["features"].clone(), named["labels"].clone()))

    def merge(self, other):
        self.given += other.given

    def end_round(self):
        self.ended.append(len(self.given))

    def fit_state(self):
        labels = torch.cat([labels for _, _, labels in self.given])
        return {"images": labels.bincount(minlength=2), "means": torch.stack([f.mean() for _, f, _ in self.given])}

    def __call__(self, features, _context):
        return features[:, 1]


def test_a_fit_with_labels_sees_features_and_labels_of_every_round_and_nothing_else(toys):
    counter, plain, watched = Counter(fit_rounds=3), Watcher(), toys.network()
    dataset = Told(toys.dataset(weaksup=6))
    methods = [toys.method("counter", counter), toys.method("plain", plain)]
    records = toys.run(*methods, dataset=dataset, network=watched)
    assert Split.TRAIN_WEAKSUP not in dataset.asked
    assert [(number, len(labels)) for number, _, labels in counter.given] == [
        (n, size) for n in range(3) for size in (4, 2)
    ]
    assert counter.ended == [2, 4, 6]
    for position, (_, features, labels) in enumerate(counter.given):
        assert torch.equal(features, counter.given[position % 2][1])
        assert labels.tolist() == ((features[:, 0].mean(dim=(1, 2)) * 255).round().long() % 2).tolist()
    assert [len(features) for (features,), _ in plain.given] == [4, 2]
    info = records[0].method
    assert (info.fitted_images, info.fit_rounds, len(info.fit_state_sha256)) == (6, 3, 64)
    assert (records[1].method.fit_rounds, records[1].method.fit_state_sha256) == (None, None)
    saved = load_file(toys.folder / "out" / "fit-counter.safetensors")
    assert saved["images"].tolist() == [9, 9]
    assert not (toys.folder / "out" / "fit-plain.safetensors").exists()


def state_of(toys, name, **settings):
    (record,) = toys.run(toys.method(method=Counter()), out=toys.folder / name, **settings)
    return record.method.fit_state_sha256, identity_of(record).sha256


def test_the_state_hangs_on_images_and_seed_alone_and_no_annotation_reaches_it(toys):
    first = state_of(toys, "a", dataset=toys.dataset(weaksup=12))
    assert state_of(toys, "b", dataset=toys.dataset(weaksup=12)) == first
    assert state_of(toys, "c", dataset=toys.dataset(weaksup=12, masks=False))[0] == first[0]
    other = toys.dataset(weaksup=12)
    annotations = other.annotations

    def moved(split):
        assert split is not Split.TRAIN_WEAKSUP
        found = annotations(split)
        boxes = {name: box // 2 for name, box in found.boxes.items()}
        return replace(found, boxes=boxes)

    other.annotations = moved
    assert state_of(toys, "d", dataset=other)[0] == first[0]
    assert state_of(toys, "e", dataset=toys.dataset(weaksup=12), seed=5)[0] != first[0]


def test_a_class_without_an_image_in_the_fit_is_one_line(toys):
    def refused(words, **settings):
        with pytest.raises(UsageError, match=words):
            toys.run(toys.method("counter", Counter(**settings.pop("counter", {}))), **settings)
        assert list(toys.folder.iterdir()) == []

    words = "the method 'counter' is fitted on 1 image of train-weaksup, none of them of '(even|odd)', and localizes"
    refused(f"{words} .*; raise its option fit_images", dataset=toys.dataset(weaksup=8), counter={"fit_images": 1})
    refused(words, dataset=toys.dataset(weaksup=1))
    dataset = toys.dataset(weaksup=8)
    plain = dataset.images
    dataset.images = lambda split: replace(
        plain(split), labels=plain(split).labels * (split is not Split.TRAIN_WEAKSUP)
    )
    refused(
        "is fitted on 8 images of train-weaksup, none of them of 'odd', and localizes .*; use another one",
        dataset=dataset,
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "returned dict as the state of its fit; expected a mapping: name -> tensor"),
        ({"a": 1}, "returned int as 'a' of its fit; expected a real tensor"),
        ({3: torch.zeros(1)}, "returned 3 as a name in the state of its fit; expected text"),
    ],
)
def test_a_state_that_cannot_be_saved_is_one_line(toys, state, words):
    counter = Counter()
    counter.fit_state = lambda: state
    with pytest.raises(PluginError, match=words):
        toys.run(toys.method(method=counter), dataset=toys.dataset(weaksup=4))


def test_rounds_and_parts_of_the_contract_that_are_missing_are_one_line(toys):
    with pytest.raises(UsageError, match="the method 'green' cannot be fitted in 0 rounds; say 1 or more"):
        toys.run(toys.method(method=Counter(fit_rounds=0)), dataset=toys.dataset(weaksup=4))
    half = Watcher()
    half.fit_rounds = 2
    with pytest.raises(UsageError, match=r"'green' has fit_rounds, .* and lacks one of partial_fit, merge, end_round"):
        toys.run(toys.method(method=half), dataset=toys.dataset(weaksup=4))
