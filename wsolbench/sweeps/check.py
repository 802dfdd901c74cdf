"""Names and options of a sweep, looked up before its first job is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wsolbench.contract.options import Option, list_options, read_options
from wsolbench.errors import UsageError
from wsolbench.host.provider import blaming
from wsolbench.host.registry import Registry
from wsolbench.networks.configure import backbone_options
from wsolbench.sweeps.config import OptionGrid, SweepConfig

__all__ = ["check_offers"]


def check_offers(config: SweepConfig, registry: Registry, where: str) -> None:
    """Check that plugins offer all networks, methods and data sets, and their options.

    Raises:
        UsageError: One is unknown, or an option takes no such value; the message has the place in the file.
        PluginError: A plugin fails.
    """
    for number, network in enumerate(config.backbones):
        with _at(f"{where}: backbones[{number}]"):
            offers = registry.networks(network.name)
            if len(offers) == 1:  # which of a family it is depends on weights and data set
                _check(f"the network '{network.name}'", backbone_options(offers[0]), network.options)
    for number, method in enumerate(config.methods):
        with _at(f"{where}: methods[{number}]"):
            offer = registry.methods.get(method.name)
            with blaming(offer.provider, f"listing the options of '{offer.name}'"):
                options = list_options(offer.spec.build)
            _check(f"the method '{method.name}'", options, method.options)
    for number, dataset in enumerate(config.datasets):
        with _at(f"{where}: datasets[{number}]"):
            registry.datasets.get(dataset.name)


def _check(what: str, options: Sequence[Option], given: OptionGrid) -> None:
    for name, texts in given.items():
        for text in texts:
            read_options(what, [each for each in options if not each.required or each.name == name], {name: text})


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Put the place in the file before what is wrong there."""
    try:
        yield
    except UsageError as error:
        raise type(error)(f"{place}: {error}") from error
