"""DDT against NumPy over all descriptors at once."""

import numpy as np
import pytest
import torch
from wsolbench_plugins.methods.ddt import DDT


def descriptors_of(features: torch.Tensor) -> np.ndarray:
    return features.double().permute(0, 2, 3, 1).reshape(-1, features.shape[1]).numpy()


def plain_ddt(seen: torch.Tensor, features: torch.Tensor) -> np.ndarray:
    """All descriptors in one array, their covariance, the sign by a loop over the border."""
    everything = descriptors_of(seen)
    mean = everything.mean(axis=0)
    axis = np.linalg.eigh(np.cov(everything.T))[1][:, -1]
    height, width = seen.shape[2:]
    on_border = [
        axis @ (seen[image, :, y, x].double().numpy() - mean)
        for image in range(len(seen))
        for y in range(height)
        for x in range(width)
        if y in (0, height - 1) or x in (0, width - 1)
    ]
    if np.mean(on_border) > 0:
        axis = -axis
    projected = (descriptors_of(features) - mean) @ axis
    return np.maximum(projected, 0).reshape(len(features), *features.shape[2:])


def scenes(count, shape=(9, 6, 7), seed=0):
    """Objects in the middle that move along one direction of the descriptors, on a background that is not zero."""
    random = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    direction = torch.randn(channels, generator=torch.Generator().manual_seed(99))
    features = 5 + torch.randn(count, *shape, generator=random)
    features[:, :, 2 : height - 2, 2 : width - 2] += 6 * direction[:, None, None]
    return features


def fitted(features, batch=7, **options):
    method = DDT(**options)
    for part in features.split(batch):
        method.partial_fit(part)
    return method


@pytest.mark.parametrize("shape", [(9, 6, 7), (3, 8, 5), (40, 3, 3)])
@pytest.mark.parametrize("batch", [1, 7, 100])
def test_equals_numpy_over_all_descriptors(shape, batch):
    seen, features = scenes(25, shape), scenes(4, shape, seed=1)
    maps = fitted(seen, batch)(features, None)
    np.testing.assert_allclose(maps.numpy(), plain_ddt(seen, features), atol=1e-9)


def test_objects_are_bright_whatever_sign_the_eigenvector_has(monkeypatch):
    eigh = torch.linalg.eigh
    seen, features = scenes(25), scenes(4, seed=1)
    maps = fitted(seen)(features, None)
    assert (maps[:, 2:4, 2:5].mean(dim=(1, 2)) > 10 * maps[:, 0].mean(dim=1)).all()

    class Negated:
        def __init__(self, matrix):
            self.eigenvectors = -eigh(matrix).eigenvectors

    monkeypatch.setattr(torch.linalg, "eigh", Negated)
    assert torch.equal(fitted(seen)(features, None), maps)


def test_without_a_difference_at_the_border_the_largest_entry_is_positive():
    """One pixel wide, the border is everything, and its mean is the mean."""
    seen = scenes(25, (5, 1, 8))
    method = fitted(seen)
    method(seen, None)
    assert method._axis[method._axis.abs().argmax()] > 0


def test_an_offset_far_larger_than_the_spread_is_harmless():
    """Raw second moments would have lost everything: 1e16 against a spread of about 1."""
    seen, features = scenes(25).double(), scenes(4, seed=1).double()
    near, far = fitted(seen)(features, None), fitted(seen + 1e8)(features + 1e8, None)
    torch.testing.assert_close(far, near, atol=1e-5, rtol=0)


def test_an_image_without_a_positive_value_is_a_zero_map():
    seen = scenes(25)
    method = fitted(seen)
    background = method._seen.border_mean[None, :, None, None].expand(1, -1, 6, 7)
    assert not method(background, None).any()


def test_batch_equals_singles():
    method, features = fitted(scenes(40, (50, 12, 12))), scenes(32, (50, 12, 12), seed=1)
    alone = torch.cat([method(features[i : i + 1], None) for i in range(32)])
    torch.testing.assert_close(method(features, None), alone, atol=1e-6, rtol=0)


def test_images_that_are_not_finite_are_left_out_of_the_fit():
    seen, features = scenes(25), scenes(4, seed=1)
    spoilt = torch.cat([seen[:10], torch.full_like(seen[:1], float("nan")), seen[10:]])
    torch.testing.assert_close(fitted(spoilt)(features, None), fitted(seen)(features, None))
    assert fitted(seen)(spoilt[10:11], None).isnan().all()


def test_more_images_may_follow_a_first_map():
    seen, features = scenes(25), scenes(4, seed=1)
    method = fitted(seen[:5])
    method(features, None)
    for part in seen[5:].split(7):
        method.partial_fit(part)
    np.testing.assert_allclose(method(features, None).numpy(), plain_ddt(seen, features), atol=1e-9)


def test_without_a_fit_it_says_so():
    with pytest.raises(RuntimeError, match="fitted on no image"):
        DDT()(scenes(1), None)
    with pytest.raises(RuntimeError, match="fitted on no image"):
        fitted(torch.full((2, 3, 4, 4), float("inf")))(scenes(1), None)
