"""The noise of feature maps, against loops over maps and positions."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from wsolbench.analysis.studies.noise import first_share, map_entropy, map_variation


def of_loops(maps):
    """Return variation, entropy and first share of the maps (K, h, w) of one image."""
    variations, entropies = [], []
    for each in maps:
        steps = [abs(a - b) for row in each for a, b in pairwise(row)]
        steps += [abs(a - b) for column in each.T for a, b in pairwise(column)]
        if each.max() > each.min():
            variations.append(sum(steps) / len(steps) / (each.max() - each.min()))
        energy = each.ravel() ** 2
        if energy.sum() > 0:
            shares = energy / energy.sum()
            entropies.append(-sum(p * math.log(p) for p in shares if p > 0) / math.log(len(shares)))
    points = maps.reshape(len(maps), -1)
    variances = np.linalg.eigvalsh(np.cov(points))
    share = variances[-1] / variances.sum() if variances.sum() > 0 else 0
    return [np.mean(variations) if variations else 0, np.mean(entropies) if entropies else 0, share]


@pytest.mark.parametrize("shape", [(3, 5, 4), (6, 1, 7), (2, 2, 2)])
def test_quantities(shape):
    maps = np.random.default_rng(0).normal(size=(4, *shape))
    maps[0, 0] = 0
    maps[1] = 2.5
    features = torch.tensor(maps)
    found = torch.stack([map_variation(features), map_entropy(features), first_share(features)], dim=1)
    np.testing.assert_allclose(found, [of_loops(each) for each in maps], atol=1e-9)


def test_known_answers():
    board = torch.zeros(1, 1, 4, 4)
    board[0, 0, ::2, ::2] = board[0, 0, 1::2, 1::2] = 1
    assert map_variation(board) == 1  # a chess board: every step is the whole range
    assert map_entropy(torch.ones(1, 2, 4, 4)) == pytest.approx(1)
    assert map_variation(torch.ones(1, 2, 4, 4)) == 0
    one = torch.zeros(1, 1, 4, 4)
    one[0, 0, 2, 2] = 3
    assert map_entropy(one) == 0
    assert first_share(torch.cat([board, 2 * board], dim=1)) == pytest.approx(1)
