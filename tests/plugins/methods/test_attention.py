"""Attention methods against token by token loops, and against the code that is commonly used for transformers."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import each
from wsolbench_plugins.methods.attention import AttentionRollout, ClassAttention

from wsolbench.api import Attention, MethodContext, UsageError

GRID = (2, 3)
HEADS = {"mean": np.mean, "max": np.max, "min": np.min}


def attention(prefix=1, blocks=3, images=2, *, class_token=True, seed=0):
    tokens = prefix + GRID[0] * GRID[1]
    draws = torch.randn(blocks, images, 2, tokens, tokens, generator=torch.Generator().manual_seed(seed))
    return Attention(tuple((2 * draws).softmax(dim=-1)), prefix, GRID, class_token)


def maps_of(method, shown):
    backbone = SimpleNamespace(forward_attention=lambda images: shown)  # noqa: ARG005
    context = MethodContext(backbone, torch.empty(0), torch.empty(0), torch.empty(0))
    return method(torch.empty(0), context).numpy()


def fused(weights, heads):
    """Return (N, N) of the attention (heads, N, N) of one image."""
    return HEADS[heads](weights.double().numpy(), axis=0)


def rolled_out(blocks, heads, discard, residual):
    """Follow the attention of one image through its blocks, token by token."""
    count = blocks[0].shape[-1]
    result = np.eye(count)
    for weights in blocks:
        block = fused(weights, heads)
        dropped = sorted((block[i, j], i, j) for i, j in product(range(count), repeat=2))
        for _, i, j in dropped[: int(discard * count**2)]:
            if (i, j) != (0, 0):
                block[i, j] = 0
        step = np.zeros((count, count))
        for i in range(count):
            row = [(1 - residual) * block[i, j] + residual * (i == j) for j in range(count)]
            step[i] = np.array(row) / sum(row)
        result = np.array([[sum(step[i] * result[:, j]) for j in range(count)] for i in range(count)])
    return result


@each(("heads", "discard", "residual"), [("mean", 0.0, 0.5), ("max", 0.0, 0.5), ("min", 0.4, 0.5), ("mean", 0.9, 0.25)])
def test_rollout_follows_attention_token_by_token(heads, discard, residual):
    shown = attention()
    maps = maps_of(AttentionRollout(heads, discard, residual), shown)
    for image in range(2):
        expected = rolled_out([weights[image] for weights in shown.weights], heads, discard, residual)[0, 1:]
        np.testing.assert_allclose(maps[image], expected.reshape(GRID), rtol=1e-5, atol=1e-7)


def test_rollout_at_its_defaults_is_that_of_the_usual_code():
    """Step by step as ``vit-explain`` does it with mean heads and nothing discarded, which is for one image."""
    shown = attention(images=1)
    result = torch.eye(7)
    for weights in shown.weights:
        step = (weights.mean(dim=1) + torch.eye(7)) / 2
        step = step / step.sum(dim=-1)  # divides columns, which is the same where all sums are 1
        result = step @ result
    np.testing.assert_allclose(maps_of(AttentionRollout(), shown)[0], result[0, 0, 1:].reshape(GRID), rtol=1e-5)


@each(("blocks", "heads"), list(product(["last", "mean"], HEADS)))
def test_class_attention_is_the_row_of_the_class_token(blocks, heads):
    shown = attention()
    maps = maps_of(ClassAttention(blocks, heads), shown)
    for image in range(2):
        rows = [fused(weights[image], heads)[0, 1:] for weights in shown.weights]
        expected = rows[-1] if blocks == "last" else sum(rows) / 3
        np.testing.assert_allclose(maps[image], expected.reshape(GRID), rtol=1e-5)


def test_other_prefix_tokens_are_no_patches():
    shown = attention(prefix=3)
    expected = shown.weights[-1].mean(dim=1)[:, 0, 3:].reshape(2, *GRID)
    np.testing.assert_allclose(maps_of(ClassAttention(), shown), expected, rtol=1e-5)


@each("prefix", [0, 2])
def test_where_the_head_pools_the_patches_the_mean_of_what_they_pay_is_taken(prefix):
    shown = attention(prefix, class_token=prefix == 0)  # without prefix tokens there is no class token anyway
    for image, (found, rolled) in enumerate(
        zip(maps_of(ClassAttention(), shown), maps_of(AttentionRollout(), shown), strict=True)
    ):
        block = fused(shown.weights[-1][image], "mean")
        expected = [np.mean([block[i, j] for i in range(prefix, prefix + 6)]) for j in range(prefix, prefix + 6)]
        np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)
        whole = rolled_out([weights[image] for weights in shown.weights], "mean", 0, 0.5)
        np.testing.assert_allclose(rolled.ravel(), whole[prefix:, prefix:].mean(axis=0), rtol=1e-5)


def test_attention_of_half_precision_is_summed_in_single():
    shown = attention()
    half = Attention(tuple(weights.half() for weights in shown.weights), 1, GRID)
    assert maps_of(ClassAttention(), half).dtype == np.float32


def test_ts_cams_attention_is_the_mean_over_blocks_up_to_their_number(shared_data):
    """Their fused attention is a sum over blocks of the class token's row, mean over heads, without its own column."""
    published = np.load(shared_data / "systems" / "deit_tiny_tscam.npz")
    rows = torch.from_numpy(published["attention_rows"]).double()
    blocks = tuple(row.expand(1, 1, 197, 197) for row in rows)
    found = maps_of(ClassAttention(blocks="mean"), Attention(blocks, 1, (14, 14)))
    np.testing.assert_allclose(12 * found[0], published["fused_attention"].reshape(14, 14), rtol=1e-5)


def test_a_network_without_attention_is_refused():
    context = MethodContext(SimpleNamespace(), torch.empty(0), torch.empty(0), torch.empty(0))
    with pytest.raises(UsageError, match="SimpleNamespace does not offer its attention"):
        ClassAttention()(torch.empty(0), context)
