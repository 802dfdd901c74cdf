"""The gradient family against its equations in loops, against the package that people use, and against CAM."""

import gc
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from cases import each
from torch import nn
from wsolbench_plugins.backbones.timm_networks.networks import as_backbone
from wsolbench_plugins.methods.cam import CAM, PositiveCAM
from wsolbench_plugins.methods.gradients import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM

from wsolbench.api import MethodContext, after_batch_norm

METHODS = {
    "GradCAM": GradCAM(),
    "GradCAMPlusPlus": GradCAMPlusPlus(),
    "LayerCAM": LayerCAM(),
    "HiResCAM": HiResCAM(),
    "XGradCAM": XGradCAM(),
}
every_method = each("name", METHODS)


def seen(backbone, features, classes=None):
    """Return the context of a batch; without classes the best of each image, so that no map is cut off whole."""
    with torch.no_grad():
        logits = backbone.forward_head(features)
    indices = logits.argmax(dim=1) if classes is None else torch.tensor(classes)
    return MethodContext(backbone, torch.empty(0), indices, logits)


def min_max(maps):
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    assert (high > low).all()
    return (maps - low) / (high - low)


# ---------------------------------------------------------------------------------------------- the equations, in loops


class Quadratic:
    """A head whose gradient is known by hand: ``S_c = Σ W_c A² / 2``, so ``G = W_c A``."""

    def __init__(self, weight):
        self.weight = weight

    def forward_head(self, features):
        return (self.weight[None] * features[:, None] ** 2 / 2).sum(dim=(2, 3, 4))


def channel_weights(name, a, g, epsilon):
    """Return the weights (h, w) of one channel from its features and gradient (h, w), pixel by pixel."""
    height, width = a.shape
    pixels = [(i, j) for i in range(height) for j in range(width)]
    constant = np.ones_like(a)
    if name == "GradCAM":
        return constant * sum(g[p] for p in pixels) / len(pixels)
    if name == "GradCAMPlusPlus":
        total, weight = sum(a[p] for p in pixels), 0.0
        for p in pixels:
            if g[p] > 0:
                weight += g[p] ** 2 / (2 * g[p] ** 2 + total * g[p] ** 3 + epsilon) * g[p]
        return constant * weight
    if name == "XGradCAM":
        divisor = sum(a[p] for p in pixels) + epsilon
        return constant * (sum(g[p] * a[p] for p in pixels) / divisor if divisor else 0)
    return np.array([[max(g[i, j], 0) if name == "LayerCAM" else g[i, j] for j in range(width)] for i in range(height)])


@every_method
def test_follows_its_equation(name):
    for epsilon, scale in product([1e-6, 0.0], [1.0, 1e-3]):
        assert_follows_its_equation(name, epsilon, scale)


def assert_follows_its_equation(name, epsilon, scale):
    torch.manual_seed(0)
    features = torch.rand(2, 4, 3, 5, dtype=torch.float64)
    features[0, 1] = 0  # a dead channel
    features[1, 2, :2] = 0  # pixels without a gradient
    features[1, 1] = torch.tensor([[1.0, -1, 0, 2, -2]])  # a channel that sums to 0
    head = Quadratic(scale * torch.randn(3, 4, 3, 5, dtype=torch.float64))
    method = type(METHODS[name])(epsilon) if hasattr(METHODS[name], "epsilon") else METHODS[name]
    maps = method(features, seen(head, features, [2, 0]))
    for image, target in enumerate([2, 0]):
        a, g = features[image].numpy(), (head.weight[target] * features[image]).numpy()
        expected = sum(channel_weights(name, a[k], g[k], epsilon) * a[k] for k in range(4))
        case = f"{epsilon=}, {scale=}, {image=}"
        np.testing.assert_allclose(maps[image].numpy(), np.maximum(expected, 0), rtol=1e-12, atol=0, err_msg=case)


@each(("name", "epsilon"), list(product(["grad-cam++", "xgrad-cam"], ["nan", "inf", "-1.0"])))
def test_an_impossible_epsilon_is_refused(cli, name, epsilon):
    ended = cli("run", "--backbone", "resnet_nano", "--method", name, "--method-opt", f"{name}.epsilon={epsilon}")
    assert ended.refused(f"the method '{name}': option 'epsilon' takes a number of at least 0, not '{epsilon}'")


def test_the_equations_differ():
    torch.manual_seed(0)
    features = torch.rand(1, 4, 3, 5)
    context = seen(Quadratic(torch.randn(3, 4, 3, 5)), features, [1])
    maps = [min_max(method(features, context)) for method in METHODS.values()]
    differences = [float((one - other).abs().max()) for one in maps for other in maps if one is not other]
    assert min(differences) > 0.01


def test_small_gradients_make_epsilon_decide_grad_cam_plus_plus():
    """With the package's ε a score of another scale is another map; the paper's equation only half weighs the sums."""
    torch.manual_seed(0)
    features = torch.rand(1, 6, 4, 4) / 100
    head, small = (Quadratic(scale * torch.randn(2, 6, 4, 4)) for scale in (1.0, 1e-3))
    small.weight = head.weight / 1000

    def change(method):
        maps = [min_max(method(features, seen(each, features, [0]))) for each in (head, small)]
        return float((maps[0] - maps[1]).abs().max())

    assert change(GradCAMPlusPlus(0.0)) < 0.01 < 0.05 < change(GradCAMPlusPlus())


# ------------------------------------------------------------------------------------------------- against the package


def network(name, num_classes=7):
    """Return timm's network with random weights, its norms perturbed so that they do something."""
    torch.manual_seed(0)
    built = timm.create_model(name, num_classes=num_classes)
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
    return built.eval()


class TappedEarlier:
    """timm's ResNet cut before its last stage, so that the gradient is another at every pixel."""

    def __init__(self, resnet):
        self.resnet = resnet

    def forward_features(self, images):
        early = nn.Sequential(self.resnet.conv1, self.resnet.bn1, self.resnet.act1, self.resnet.maxpool)
        return self.resnet.layer3(self.resnet.layer2(self.resnet.layer1(early(images))))

    def forward_head(self, features):
        return self.resnet.forward_head(self.resnet.layer4(features))


TAPS = {
    "resnet18": ("resnet18", lambda net: net.layer4, as_backbone, torch.float32),
    "resnet18 before its last stage": ("resnet18", lambda net: net.layer3, TappedEarlier, torch.float32),
    "convnext_atto, with a layer norm": ("convnext_atto", lambda net: net.stages[-1], as_backbone, torch.float64),
}


@pytest.fixture(scope="module", params=TAPS)
def tapped(request):
    """timm's network, the layer whose output is tapped, and the backbone that is tapped there."""
    name, layer, cut, precision = TAPS[request.param]
    built = network(name).to(precision)
    target = layer(built)
    return built, target, cut(built)


@pytest.mark.slow
@every_method
def test_equals_the_package(tapped, name):
    """In single precision; in double behind the layer norm, where sums near 0 amplify the package's rounding."""
    built, layer, backbone = tapped
    images = torch.randn(3, 3, 96, 96).to(next(built.parameters()))
    assert_equals_the_package(name, built, layer, backbone, images)


def test_equals_the_package_where_a_channels_sum_is_as_small_as_epsilon():
    """In double, SiLU and norms as timm initialises them: without ε the maps differ."""
    torch.manual_seed(0)
    built = timm.create_model("efficientnet_b0", num_classes=7).double().eval()
    layer, backbone = built.bn2, as_backbone(built)
    images = torch.randn(2, 3, 64, 64).double()
    assert backbone.forward_features(images).sum(dim=(2, 3)).abs().min() < XGradCAM().epsilon
    assert_equals_the_package("XGradCAM", built, layer, backbone, images)
    with pytest.raises(AssertionError):
        assert_equals_the_package("XGradCAM", built, layer, backbone, images, XGradCAM(epsilon=0))


def assert_equals_the_package(name, built, layer, backbone, images, method=None):
    """Compare the maps of a method with those of the package's class on the whole network."""
    package = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with torch.no_grad():
        features = backbone.forward_features(images)
        context = seen(backbone, features)
        maps = (method or METHODS[name])(features, context)
    with getattr(package, name)(model=built, target_layers=[layer]) as cam:
        expected = cam(images, [ClassifierOutputTarget(index) for index in context.class_indices.tolist()])
    assert maps.shape == features[:, 0].shape
    assert expected.std(axis=(1, 2)).min() > 0.01
    ours = scale_cam_image(scale_cam_image(maps.numpy(), images.shape[:1:-1]))
    np.testing.assert_allclose(ours, expected, atol=1e-5)


# ------------------------------------------------------------------------------------------------------- against CAM


@cache
def scene(name, batch=3):
    """Return features of random images in timm's network, and their context."""
    backbone = as_backbone(network(name))
    with torch.no_grad():
        features = backbone.forward_features(torch.randn(batch, 3, 96, 96))
    return features, seen(backbone, features)


class Normed(nn.Module):
    """Batch norm → pool → linear."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.head = nn.BatchNorm2d(6), nn.Linear(6, 3)
        nn.init.normal_(self.norm.weight)
        self.norm.running_var.uniform_(0.1, 3)

    def forward_head(self, features):
        return self.head(self.norm(features).mean(dim=(2, 3)))

    def effective_weights(self, _, classes):
        return after_batch_norm(self.norm, self.head, classes)


SAME_BEHIND_A_POOL = ["GradCAM", "HiResCAM", "XGradCAM"]


@each("name", SAME_BEHIND_A_POOL)
def test_is_cam_where_a_linear_layer_follows_the_pool(name):
    features, context = scene("resnet18")
    maps, cam = METHODS[name](features, context), CAM()(features, context)
    torch.testing.assert_close(min_max(maps), min_max(cam), rtol=0, atol=1e-5)


def test_layer_cam_is_the_positive_half_of_cam_there():
    features, context = scene("resnet18")
    cam = PositiveCAM()(features, context)
    torch.testing.assert_close(min_max(LayerCAM()(features, context)), min_max(cam), rtol=0, atol=1e-5)


@each("name", SAME_BEHIND_A_POOL)
def test_is_effective_cam_where_a_batch_norm_comes_before_the_pool(name):
    features = torch.rand(2, 6, 4, 5, generator=torch.Generator().manual_seed(0))
    context = seen(Normed().eval(), features)
    cam = CAM(weights="effective")(features, context)
    torch.testing.assert_close(min_max(METHODS[name](features, context)), min_max(cam), rtol=0, atol=1e-5)


def test_is_another_map_than_cam_behind_a_layer_norm():
    features, context = scene("convnext_atto")
    features, context = features.double(), replace(context, backbone=deepcopy(context.backbone).double())
    same = [min_max(method(features, context)) for method in (GradCAM(), HiResCAM(), XGradCAM(epsilon=0))]
    torch.testing.assert_close(same[1:], same[:1] * 2, rtol=0, atol=1e-5)
    for cam in (CAM(), CAM(weights="effective")):
        assert (same[0] - min_max(cam(features, context))).abs().amax() > 0.05


# ------------------------------------------------------------------------------------------------------- good manners


@every_method
def test_a_batch_equals_single_images(name):
    features, context = scene("resnet10t", batch=32)
    together = METHODS[name](features, context)
    alone = [
        METHODS[name](features[one], replace(context, class_indices=context.class_indices[one]))
        for one in (slice(index, index + 1) for index in range(32))
    ]
    torch.testing.assert_close(min_max(together), min_max(torch.cat(alone)), rtol=0, atol=1e-6)


@every_method
def test_nothing_of_the_gradient_stays_behind(name):
    features, context = scene("convnext_atto")
    assert all(parameter.requires_grad for parameter in context.backbone.parameters())
    before = features.clone()
    with torch.no_grad():
        maps = METHODS[name](features, context)
    assert (features._version, features.requires_grad, features.grad) == (0, False, None)
    assert torch.equal(features, before)
    assert not maps.requires_grad
    assert all(parameter.grad is None for parameter in context.backbone.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in context.backbone.modules())


@pytest.mark.slow
@every_method
def test_tensors_do_not_pile_up(name):
    features, context = scene("resnet10t")

    def living():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    METHODS[name](features, context)
    before = living()
    for _ in range(20):
        METHODS[name](features, context)
    assert living() == before


class Pooled(nn.Module):
    """Pool → linear, of any precision."""

    def __init__(self, precision):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(6, 3).to(precision)

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))


@every_method
def test_precision_of_the_features(name):
    """Maps of half precision are computed in single; squares of small gradients do not vanish."""
    features = torch.rand(2, 6, 14, 14, generator=torch.Generator().manual_seed(0))
    exact = METHODS[name](features, seen(Pooled(torch.float32), features, [0, 2]))
    for precision in (torch.bfloat16, torch.float16, torch.float64):
        rounded = features.to(precision)
        maps = METHODS[name](rounded, seen(Pooled(precision), rounded, [0, 2]))
        assert maps.dtype == torch.promote_types(precision, torch.float32)
        np.testing.assert_allclose(min_max(maps), min_max(exact), rtol=0, atol=0.05, err_msg=str(precision))


@every_method
def test_features_that_are_not_finite_are_not_hidden(name):
    features = torch.full((1, 6, 3, 3), float("nan"))
    assert METHODS[name](features, seen(Pooled(torch.float32), features, [0])).isnan().all()


def test_works_where_the_engine_keeps_inference_tensors():
    """The class indices and the logits may come from inference mode; only the features have to be normal tensors."""
    backbone, features = Pooled(torch.float32), torch.rand(2, 6, 3, 3)
    with torch.inference_mode():
        logits = backbone.forward_head(features)
        context = MethodContext(backbone, features, logits.argmax(dim=1), logits)
    expected = CAM()(features, SimpleNamespace(class_weights=backbone.head.weight.detach()[context.class_indices]))
    with torch.no_grad():
        maps = GradCAM()(features, context)
    torch.testing.assert_close(min_max(maps), min_max(expected), rtol=0, atol=1e-6)
