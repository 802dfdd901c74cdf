"""A plugin that seeds generators and sets threads, when it is imported and at work."""

import random

import torch

from wsolbench.api import MethodSpec, hookimpl

random.seed(0)
torch.manual_seed(0)
torch.set_num_threads(torch.get_num_threads() + 1)


def localize(features, _):
    torch.manual_seed(0)
    torch.set_num_threads(2)
    return features.mean(dim=1)


@hookimpl
def wsolbench_methods():
    return [MethodSpec("sets-seeds", lambda: localize, "nobody")]
