"""PC1 against the authors' maps and against scikit-learn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from wsolbench_plugins.methods.pc1 import PC1

from wsolbench.api import MethodContext


def context(weights: torch.Tensor) -> MethodContext:
    """One class an image."""
    backbone = SimpleNamespace(classifier_weight=weights)
    return MethodContext(backbone, torch.empty(0), torch.arange(len(weights)), torch.empty(0))  # type: ignore[arg-type]


def authors_procedure(features: np.ndarray, weights: np.ndarray, *, corrected: bool = False) -> np.ndarray:
    """Map by map as the paper's code goes about it, with an exact full-rank PCA."""
    channels, height, width = features.shape
    rows = []
    for row in (features * weights[:, None, None]).reshape(channels, -1).astype(np.float64):
        if row.max() > row.min():
            rows.append((row - row.min()) / (row.max() - row.min()))
    component = PCA(svd_solver="full").fit(np.array(rows)).components_[0]
    component = component * np.sign(component[np.abs(component).argmax()])
    p = (component / component.max()).reshape(height, width)
    bright = (p > p.mean()).astype(int)
    margin = 1 if corrected else 2
    bright[1 : height - margin, 1 : width - margin] = 0
    return 1 - p if bright.sum() / (2 * (height - 1) + 2 * (width - 1)) > 0.5 else p


@pytest.mark.parametrize("case", range(10))
def test_equals_the_authors_map(shared_data, case):
    features, weights, expected, exact = (
        np.load(shared_data / "maps" / f"vec{case:02d}_{part}.npy")
        for part in ("features", "weights", "pc1", "pc1_exact_svd")
    )
    maps = PC1()(torch.from_numpy(features)[None], context(torch.from_numpy(weights)[None]))
    np.testing.assert_allclose(maps[0].numpy(), expected, atol=1e-4 if case == 0 else 1e-5)
    np.testing.assert_allclose(maps[0].numpy(), exact, atol=1e-6)


@pytest.mark.parametrize("rule", ["authors", "corrected"])
@pytest.mark.parametrize("shape", [(40, 7, 7), (24, 12, 12), (64, 5, 9), (200, 4, 4)])
def test_equals_scikit_learn(rule, shape):
    rng = np.random.default_rng(3)
    bumps = np.exp(-((np.indices(shape[1:]) - 2.5) ** 2).sum(0) / 6)
    features = rng.normal(size=shape) + rng.normal(size=shape[:1])[:, None, None] * 3 * bumps
    features[5] = 2.0  # a dead channel
    weights = rng.normal(size=shape[0])
    maps = PC1(rule=rule)(torch.from_numpy(features)[None], context(torch.from_numpy(weights)[None]))
    expected = authors_procedure(features, weights, corrected=rule == "corrected")
    np.testing.assert_allclose(maps[0].numpy(), expected, atol=1e-9)


def test_rules_differ_where_the_thick_edge_decides(shared_data):
    features, weights = (
        torch.from_numpy(np.load(shared_data / "maps" / f"vec09_{part}.npy")) for part in ("features", "weights")
    )
    authors, corrected = (PC1(rule=rule)(features[None], context(weights[None])) for rule in ("authors", "corrected"))
    torch.testing.assert_close(authors, 1 - corrected)


def test_only_the_sign_of_a_weight_counts_unless_asked():
    torch.manual_seed(1)
    features, weights = torch.randn(1, 30, 6, 6), torch.randn(1, 30)
    one = PC1()(features, context(weights))
    torch.testing.assert_close(one, PC1()(features, context(weights.sign())), atol=1e-5, rtol=0)
    weighted = PC1(weighting="magnitude")
    assert (weighted(features, context(weights)) - weighted(features, context(weights.sign()))).abs().max() > 0.01


def test_magnitude_weights_count_like_repeated_channels():
    torch.manual_seed(2)
    features = torch.randn(1, 10, 5, 5)
    weights = torch.tensor([[3.0, 1, 2, -1, 1, 1, -2, 1, 1, 1]])
    repeated = features.repeat_interleave(weights[0].abs().long(), dim=1)
    signs = weights.sign().repeat_interleave(weights[0].abs().long(), dim=1)
    weighted = PC1(weighting="magnitude")(features, context(weights))
    torch.testing.assert_close(weighted, PC1()(repeated, context(signs)), atol=1e-6, rtol=0)


def test_batch_equals_singles():
    torch.manual_seed(0)
    features, weights = torch.randn(32, 50, 12, 12), torch.randn(32, 50)
    together = PC1()(features, context(weights))
    alone = torch.cat([PC1()(features[i : i + 1], context(weights[i : i + 1])) for i in range(32)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_constant_channels_change_nothing_and_nothing_else_gives_a_zero_map():
    torch.manual_seed(0)
    features, weights = torch.randn(1, 20, 6, 6), torch.randn(1, 20)
    padded = torch.cat([features, torch.ones(1, 3, 6, 6)], dim=1)
    with_dead = PC1()(padded, context(torch.cat([weights, torch.ones(1, 3)], dim=1)))
    torch.testing.assert_close(with_dead, PC1()(features, context(weights)), atol=1e-9, rtol=0)
    assert not PC1()(torch.ones(1, 4, 6, 6), context(torch.ones(1, 4))).any()
    assert not PC1()(torch.randn(1, 4, 6, 6), context(torch.zeros(1, 4))).any()


def test_one_broken_image_spoils_no_other():
    torch.manual_seed(0)
    features, weights = torch.randn(2, 8, 5, 5), torch.randn(2, 8)
    clean = PC1()(features, context(weights))
    features[0, 3, 2, 2] = float("inf")
    maps = PC1()(features, context(weights))
    assert maps[0].isnan().all()
    torch.testing.assert_close(maps[1], clean[1])


def test_leaves_the_features_alone():
    features = torch.randn(2, 8, 5, 5)
    before = features.clone()
    PC1()(features, context(torch.randn(2, 8)))
    assert torch.equal(features, before)
