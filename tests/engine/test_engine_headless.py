"""Networks whose head reads a token beside the feature maps, and networks without a classifier: weights to record."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from toy_tokens import MeanTokens, ToyTokens
from toys import SIDE

import wsolbench
from wsolbench.contract import BackboneSpec, Checkpoint, InputConfig, MethodSpec
from wsolbench.errors import PluginError, UsageError, WeightsError
from wsolbench.records.verify import read_verified

INPUT = InputConfig(SIDE, (0.0,) * 3, (1.0,) * 3)
NO_CLASSIFIER = "the weights have no classifier"


def spec(build=ToyTokens, **settings):
    return BackboneSpec("tokens", build, INPUT, "us", **settings)


def run(dataset, network=None, methods="mean-feature", **settings):
    settings = {"weights": "random", "workers": 1, "threshold_step": 0.05, **settings}
    return wsolbench.run(network or spec(), methods, dataset, **settings)


def train(toys, folder, **settings):
    dataset = toys.dataset(weaksup=8, fullsup=0)
    options = {"recipe": "onecycle", "recipe_options": {"epochs": 1}, "workers": 1}
    return wsolbench.train(spec(), dataset, out=folder / "out", **options, **settings)


@pytest.fixture
def body(tmp_path):
    """Make a file of the weights of a network, without those whose names begin so."""

    def body(build=ToyTokens, left_out="head.", classes=5):
        torch.manual_seed(1)
        state = build(classes).state_dict()
        path = tmp_path / "body.safetensors"
        save_file({name: value for name, value in state.items() if not name.startswith(left_out)}, path)
        return path

    return body


def collect(seen):
    """Return a method that keeps what it is given."""

    def build():
        def method(features, context):
            seen.append((features.clone(), context.rest, context.logits, context.class_scores(features)))
            return features.mean(dim=1)

        return method

    return MethodSpec("seen", build, "us")


# ------------------------------------------------------------------------------------------------ a token beside maps


@pytest.mark.parametrize("build", [ToyTokens, MeanTokens])
def test_methods_get_the_maps_and_score_them_with_the_rest(toys, build):
    seen = []
    run(toys.dataset(fullsup=0, test=3), spec(build), [collect(seen)], batch_size=2)
    assert [tuple(features.shape) for features, *_ in seen] == [(2, 12, 4, 4), (1, 12, 4, 4)] * (len(seen) // 2)
    for features, rest, logits, scores in seen:
        assert [tuple(part.shape) for part in rest] == [(len(features), 1, 12)]
        torch.testing.assert_close(scores, logits)


@pytest.mark.parametrize("build", [ToyTokens, MeanTokens])
def test_grad_cam_takes_gradients_by_the_patches_with_the_token_constant(toys, build):
    kept = {}
    network = build(2).eval()

    def grad_cam():
        from wsolbench_plugins.methods.gradients import GradCAM

        method = GradCAM()

        def keep(features, context):
            kept["maps"], kept["images"] = method(features, context), context.images.clone()
            kept["classes"] = context.class_indices
            return features.mean(dim=1)

        return keep

    method = MethodSpec("kept", grad_cam, "us", needs=frozenset({"gradients"}))
    wsolbench.run(network, [method], toys.dataset(fullsup=0), input=INPUT, workers=1, batch_size=6)
    with torch.enable_grad():
        maps = network.patches(kept["images"]).detach().requires_grad_()
        tokens = torch.cat([network.token.expand(6, 1, -1), maps.flatten(2).mT], dim=1)
        queries, keys, values = network.qkv(network.norm(tokens)).chunk(3, dim=2)
        mixed = tokens + (queries @ keys.mT / 12**0.5).softmax(dim=2) @ values
        pooled = mixed[:, 0] if build is ToyTokens else mixed[:, 1:].mean(dim=1)
        scores = network.head(pooled)[torch.arange(6), kept["classes"]]
        (gradients,) = torch.autograd.grad(scores.sum(), maps)
    expected = (gradients.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).clamp(min=0)
    torch.testing.assert_close(kept["maps"], expected)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_rest_can_take_part_in_gradients_and_is_in_single_precision(toys, precision):
    seen = []
    run(toys.dataset(fullsup=0), None, [collect(seen), "grad-cam"], precision=precision)
    assert {part.dtype for _, rest, *_ in seen for part in rest} == {torch.float32}


def test_a_method_that_writes_to_the_rest_is_refused(toys):
    def writes(features, context):
        context.rest[0].zero_()
        return features.mean(dim=1)

    with pytest.raises(PluginError, match=r"the method 'writes' changed the rest\[0\] in place"):
        run(toys.dataset(), None, [MethodSpec("writes", lambda: writes, "us")])


def test_a_method_that_fails_is_run_again_on_single_images_with_their_rest(toys):
    def fails(features, context):
        if len(features) == len(context.rest[0]) == 1 and context.images.sum() == context.images[0].sum() > 0:
            raise ValueError("this one")
        return features.mean(dim=1) if len(features) == 1 else 1 / 0

    with pytest.raises(PluginError, match="in the method 'fails' on the image 'val/0': ValueError: this one"):
        run(toys.dataset(), None, [MethodSpec("fails", lambda: fails, "us")])


class Shared(ToyTokens):
    def forward_features(self, images):
        features = super().forward_features(images)
        return type(features)(features.maps, (self.token[0, 0],))


def test_a_rest_that_is_not_of_the_images_is_refused(toys):
    with pytest.raises(PluginError, match=r"forward_features returned \(12,\) in the rest, expected \(\d, \.\.\.\)"):
        run(toys.dataset(), spec(Shared))


# ----------------------------------------------------------------------------------------------- without a classifier


def test_a_file_without_a_classifier_gives_a_network_without(toys, body):
    (record,) = run(toys.dataset(), methods="pc1-unsigned", weights=body())
    assert record.backbone.classes == 0
    assert [note for note in record.backbone.weights.notes if "have no classifier" in note]
    assert record.metrics.max_box_acc_v2 is not None
    for name in ("top1_acc", "top5_acc", "top1_loc", "top5_loc"):
        assert getattr(record.metrics, name) is None
        assert record.missing[name] == NO_CLASSIFIER
    assert record.evaluated.hits == {}


def test_class_agnostic_maps_are_those_of_the_network_with_its_classifier(toys, body, tmp_path):
    whole, part = tmp_path / "whole.pth", body()
    torch.save({**load_file(part), "head.weight": torch.zeros(2, 12), "head.bias": torch.zeros(2)}, whole)
    with_head, without = (
        run(toys.dataset(weaksup=4), methods=["pc1-unsigned", "ddt", "noise"], weights=path) for path in (whole, part)
    )
    assert [each.metrics.max_box_acc_v2 for each in with_head] == [each.metrics.max_box_acc_v2 for each in without]
    assert [each.metrics.top1_acc is None for each in (*with_head, *without)] == [False] * 3 + [True] * 3


@pytest.mark.parametrize(
    ("method", "need"),
    [
        ("cam", "class weights"),
        ("pc1", "class weights"),
        ("grad-cam", "gradients"),
        ("gradcam:ScoreCAM", "class scores"),
    ],
)
def test_methods_that_need_a_classifier_are_refused(toys, body, method, need):
    if method.startswith("gradcam"):
        pytest.importorskip("pytorch_grad_cam")
    words = f"the method '{method}' needs {need}, which 'tokens' does not have: its weights have no classifier; methods"
    with pytest.raises(UsageError, match=words) as caught:
        run(toys.dataset(), methods=method, weights=body())
    working = str(caught.value).partition("methods that work with it: ")[2].split(", ")
    assert {"pc1-unsigned", "ddt", "centred-box", "mean-feature"} <= set(working)
    assert not {"cam", "pc1", "pc2", "grad-cam", "layer-cam"} & set(working)


def test_the_predicted_class_is_refused(toys, body):
    with pytest.raises(UsageError, match="--target predicted: 'tokens' has no classifier with these weights"):
        run(toys.dataset(), weights=body(), target="predicted")


@pytest.mark.parametrize("left_out", [("head.", "norm."), ("head.", "qkv.bias")])
def test_a_file_that_lacks_more_is_refused(toys, body, left_out):
    with pytest.raises(WeightsError, match=r"is not for 'tokens': it has no 'head\.weight'"):
        run(toys.dataset(), weights=body(left_out=left_out))


class LinearTokens(ToyTokens):
    """Its classifier has entries without numbers if there are no classes."""

    def __init__(self, num_classes=5):
        super().__init__(num_classes)
        self.head = nn.Linear(12, num_classes)


@pytest.mark.parametrize("classes", [0, 5])
def test_a_classifier_without_rows_is_none(toys, body, classes, recwarn):
    left_out = "head." if classes else "nothing"
    (record,) = run(toys.dataset(), spec(LinearTokens), weights=body(LinearTokens, left_out, classes))
    assert record.backbone.classes == 0
    assert not [each for each in recwarn if classes and "zero-element" in str(each.message)]


def test_pretrained_and_shipped_weights_may_have_none(toys, body):
    from wsolbench.contract import Pretrained

    path = body()
    pretrained = Pretrained("hub", "tokens.self", lambda: load_file(path))
    (fetched,) = run(toys.dataset(), spec(pretrained=pretrained), weights="hub")
    (shipped,) = run(toys.dataset(), spec(checkpoints=(Checkpoint("toys", path),)), weights=None)
    assert (fetched.backbone.classes, shipped.backbone.classes) == (0, 0)
    assert fetched.metrics == shipped.metrics


class Pooled(ToyTokens):
    """Without classes its head returns the pooled features, as those of some libraries do."""

    def forward_head(self, features):
        return super().forward_head(features) if self.head else features.maps.mean(dim=(2, 3))


def test_pooled_features_are_no_class_scores(toys, body):
    with pytest.raises(PluginError, match=r"forward_head returned \(1, 12\), expected \(1, 0\)"):
        run(toys.dataset(), spec(Pooled), weights=body())


def test_an_object_without_classifier_works_too(toys, tmp_path):
    network = ToyTokens(0)
    (record,) = wsolbench.run(
        network, "pc1-unsigned", toys.dataset(), input=INPUT, workers=1, out=tmp_path / "out", threshold_step=0.05
    )
    assert record.backbone.classes == 0
    assert read_verified(tmp_path / "out" / "record-pc1-unsigned.json").missing["top1_acc"] == NO_CLASSIFIER
    assert (tmp_path / "out" / "gallery-pc1-unsigned.png").exists()


def test_classes_are_not_looked_for(toys, body):
    """Labels may be higher than any row, and a class map has nothing to map."""
    dataset = toys.dataset()
    (record,) = run(dataset, weights=body())
    assert record.backbone.class_rows is None


def test_features_that_are_not_finite_are_refused(toys, body, tmp_path):
    path = tmp_path / "large.safetensors"
    save_file({**load_file(body()), "patches.weight": torch.full((12, 3, 8, 8), 3e38)}, path)
    with pytest.raises(WeightsError, match=r"the features of 'tokens' with large\.safetensors are not finite"):
        run(toys.dataset(), weights=path)


def test_a_training_that_starts_from_it_gets_a_classifier(toys, body, tmp_path):
    trained = train(toys, tmp_path, weights=body())
    assert load_file(trained.weights)["head.weight"].shape == (2, 12)
