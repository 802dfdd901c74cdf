"""Networks for tests of every system, so that one that is new is tested by being registered."""

from contextlib import suppress
from functools import cache
from unittest import SkipTest

import torch

from wsolbench.errors import UsageError
from wsolbench.host.loading import load_plugins
from wsolbench.testing.backbones import BACKBONE_CHECKS

NETWORKS = ("resnet_nano", "vit_nano")


@cache
def network_for(system):
    """Return a small network behind the name of a system, one that it serves."""
    for network in NETWORKS:
        try:
            with torch.device("meta"):
                load_plugins().backbones.get(f"{system}:{network}").spec.build(2)
        except UsageError:
            continue
        return f"{system}:{network}"
    raise AssertionError(f"'{system}' trains none of {', '.join(NETWORKS)}: name a network that it serves in served.py")


def check_network(spec):
    """Run all checks of a network; what it does not offer is skipped, and the other checks run nevertheless."""
    for check in BACKBONE_CHECKS:
        with suppress(SkipTest):
            check(spec)
