"""The stage before anything is localized: what fitted methods are given, how much of it, and what is recorded."""

from contextlib import contextmanager

import pytest
import torch

from wsolbench.contract import ImageSplit, Split
from wsolbench.engine.fit import fit_methods, open_fit_images
from wsolbench.engine.run import carry_out, check_first_images
from wsolbench.errors import DataError, PluginError, UsageError
from wsolbench.records import read_record

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
    assert fitted == {"green": 7}
    assert phases == {"fit": [7, 7]}
