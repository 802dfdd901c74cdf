"""How a network is put to work: merged, folded, in less precision, compiled; and what methods are handed."""

import pytest
import torch

from wsolbench.errors import UsageError
from wsolbench.networks.load import load_network
from wsolbench.networks.network import Execution

CPU = torch.device("cpu")


@pytest.fixture
def load(registry):
    def load(name="replknet_nano", weights=None, **execution):
        return load_network(
            registry, name, dataset="critters", num_classes=12, weights=weights, device=CPU, seed=0,
            execution=Execution(**execution),
        )  # fmt: skip

    return load


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 4 - 2


def batch_norms(network):
    return [name for name, module in network.module.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]


@pytest.mark.parametrize(("name", "left"), [("replknet_nano", ["norm"]), ("slak_nano", [])])
def test_every_norm_that_can_be_is_folded_and_nothing_else_changes(load, registry, images, name, left):
    network = load(name)
    assert batch_norms(network) == left
    spec = registry.backbones.get(name).spec
    trained = load_state(spec)
    with torch.no_grad():
        expected = trained.forward_features(images)
        logits = trained.forward_head(expected)
    features, found = network.forward(images)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    torch.testing.assert_close(found, logits, rtol=0, atol=1e-5 * float(logits.abs().max()))


def load_state(spec):
    from safetensors.torch import load_file

    network = spec.build(12)
    network.load_state_dict(load_file(spec.checkpoints[0].path))
    return network.eval()


def test_features_can_take_part_in_gradients(load, images):
    features, _ = load().forward(images)
    with torch.enable_grad():
        wanted = features.requires_grad_()
        (gradient,) = torch.autograd.grad((wanted**2).sum(), wanted)
    torch.testing.assert_close(gradient, 2 * features.detach())


def test_bf16_stops_at_the_features(load, images):
    exact, low = load(), load(precision="bf16")
    features, logits = low.forward(images)
    assert (features.dtype, logits.dtype) == (torch.float32, torch.float32)
    assert low.module.classifier_weight.dtype == torch.float32
    torch.testing.assert_close(logits, low.module.forward_head(features))
    expected, _ = exact.forward(images)
    off = float((features - expected).abs().max() / expected.abs().max())
    assert 1e-5 < off < 0.05


def test_a_network_that_cannot_run_in_that_precision_is_told_in_one_line(load, images):
    network = load(precision="fp16")
    network.__dict__["_forward_features"] = lambda _: torch.zeros(2, 3) @ torch.zeros(2, 3)
    with pytest.raises(UsageError, match=r"--precision fp16 does not work for 'replknet_nano' on cpu \(.*\)") as caught:
        network.forward(images)
    assert "\n" not in str(caught.value)


def test_a_fault_of_the_network_itself_is_not_laid_on_the_precision(load, images):
    network = load()
    network.__dict__["_forward_features"] = lambda _: torch.zeros(2, 3) @ torch.zeros(2, 3)
    with pytest.raises(RuntimeError, match="shapes"):
        network.forward(images)


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_features(load, images):
    expected, _ = load().forward(images)
    features, _ = load(compiled=True).forward(images)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
