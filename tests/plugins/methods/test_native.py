"""``native``: what a network makes itself, and nothing where it makes nothing."""

import pytest
import torch
from toys import SIDE, ToyNet

import wsolbench
from wsolbench.api import BackboneSpec, Features, InputConfig, Maps
from wsolbench.errors import UsageError
from wsolbench.testing.toys import scene


class OwnMaps(ToyNet):
    """Its own map is green, plus what its head reads beside the features; its statistic is the class."""

    def forward_features(self, images):
        return Features(super().forward_features(images), (images.amax(dim=(1, 2, 3)),))

    def forward_head(self, features):
        return super().forward_head(features.maps)

    def localize(self, features, images, class_indices):
        (brightest,) = features.rest
        assert torch.equal(brightest, images.amax(dim=(1, 2, 3)))
        return Maps(features.maps[:, 1] + brightest[:, None, None], {"class": class_indices.float()})


def run(network, toys, method):
    spec = BackboneSpec("own", network, InputConfig(SIDE, (0.0,) * 3, (1.0,) * 3), "us")
    (record,) = wsolbench.run(spec, [method], toys.dataset(), weights="random", workers=1)
    return record


def test_the_map_is_the_networks_own(registry):
    features, context = scene()
    weights = context.backbone.head.weight[context.class_indices]
    made = registry.methods.get("native").spec.build()(features, context)
    torch.testing.assert_close(made, (weights[:, :, None, None] * features).sum(dim=1))


def test_a_network_with_more_than_maps_is_given_all_of_it_and_may_add_statistics(toys):
    record = run(OwnMaps, toys, "native")
    assert record.metrics.max_box_acc == pytest.approx(100)
    (test,) = (part for part in record.outcomes if part.split == "test")
    assert test.statistics["class"].tolist() == [0, 1, 0, 1, 0, 1]


def test_a_network_without_one_is_one_line(toys):
    words = r"the method 'native' needs a map that the network itself makes, which 'own' does not have"
    with pytest.raises(UsageError, match=words):
        run(ToyNet, toys, "native")
