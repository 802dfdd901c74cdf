"""Toy networks of tokens, whose classifier reads a class token or the mean of the patches, or which have none."""

import torch
from torch import nn

from wsolbench.api import Features

WIDTH = 12


class ToyTokens(nn.Module):
    """Patches of 8 pixels, a class token and one block of attention, in front of which the features are.

    Args:
        num_classes: 0 for a network without classifier, which has no entry of one.
        pooling: What the classifier reads: the class token, or the mean of the patches.
    """

    def __init__(self, num_classes=5, *, pooling="token"):
        super().__init__()
        self.pooling = pooling
        self.patches = nn.Conv2d(3, WIDTH, 8, stride=8)
        self.token = nn.Parameter(torch.linspace(-1, 1, WIDTH).reshape(1, 1, WIDTH))
        self.qkv, self.norm = nn.Linear(WIDTH, 3 * WIDTH), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, num_classes) if num_classes else None

    def forward_features(self, images):
        maps = self.patches(images)
        return Features(maps, (self.token.expand(len(images), -1, -1),))

    def forward_head(self, features):
        tokens = torch.cat([features.rest[0], features.maps.flatten(2).transpose(1, 2)], dim=1)
        queries, keys, values = self.qkv(self.norm(tokens)).chunk(3, dim=2)
        weights = (queries @ keys.transpose(1, 2) / WIDTH**0.5).softmax(dim=2)
        tokens = tokens + weights @ values
        pooled = tokens[:, 0] if self.pooling == "token" else tokens[:, 1:].mean(dim=1)
        return tokens.new_zeros(len(tokens), 0) if self.head is None else self.head(pooled)


class MeanTokens(ToyTokens):
    """Its classifier reads the mean of the patches."""

    def __init__(self, num_classes=5):
        super().__init__(num_classes, pooling="mean")
