"""Loading a plugin in this process: what a zoo and pretrained weights have to be."""

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from wsolbench.api import BackboneSpec, BackboneZoo, InputConfig, MethodSpec, MethodZoo, Pretrained, hookimpl
from wsolbench.host.loading import load_plugins
from wsolbench.host.provider import Provider
from wsolbench.host.sources import source_of_entry_point


@pytest.fixture
def load(monkeypatch):
    """Return a function that loads one plugin, which offers the given things by one hook."""

    def load(*offered, hook="wsolbench_backbones"):
        plugin = SimpleNamespace(**{hook: hookimpl(lambda: list(offered), specname=hook)})
        monkeypatch.setattr(EntryPoint, "load", lambda _: plugin)
        entry_point = EntryPoint("nets", "acme_nets", "wsolbench")
        found = [source_of_entry_point(Provider("acme", "1.0", "nets"), entry_point)]
        monkeypatch.setattr("wsolbench.host.loading.installed_sources", lambda: found)
        return load_plugins()

    return load


def net(name="net", **about):
    return BackboneSpec(name, dict, InputConfig(8), "us", **about)


def test_networks_and_zoos_come_from_one_hook(load):
    registry = load(net(pretrained=Pretrained("acme", "v1", dict)), BackboneZoo("lib", list, net, "a library"))
    assert [str(failure) for failure in registry.failures] == []
    assert [offer.name for offer in registry.backbones] == ["net"]
    assert [offer.name for offer in registry.backbones.zoos] == ["lib"]


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        (BackboneZoo("Lib", list, net, "a library"), "the name 'Lib' must consist of lowercase letters"),
        (BackboneZoo("lib", ["net"], net, "a library"), "'names' of 'lib' is not callable"),
        (BackboneZoo("lib", list, {}, "a library"), "'find' of 'lib' is not callable"),
        (BackboneZoo("lib", list, net, None), "'source' of 'lib' must be a str, got NoneType"),
        (net(pretrained="acme"), "'pretrained' of 'net' must be a Pretrained or None, got str"),
    ],
)
def test_a_wrong_field_drops_the_plugin(load, offered, reason):
    (failure,) = load(offered).failures
    assert reason in str(failure)


def test_methods_and_zoos_come_from_one_hook(load):
    registry = load(MethodSpec("a++", dict, "us"), MethodZoo("lib", list, dict, "a library"), hook="wsolbench_methods")
    assert [str(failure) for failure in registry.failures] == []
    assert [offer.name for offer in registry.methods] == ["a++"]
    assert [offer.name for offer in registry.methods.zoos] == ["lib"]


@pytest.mark.parametrize(
    ("zoo", "hook"), [(MethodZoo, "wsolbench_backbones"), (BackboneZoo, "wsolbench_methods")], ids=["methods", "nets"]
)
def test_a_zoo_of_another_kind_is_refused(load, zoo, hook):
    (failure,) = load(zoo("lib", list, net, "a library"), hook=hook).failures
    assert f"got one with a {zoo.__name__}" in str(failure)


def test_two_zoos_of_one_name_are_refused(load):
    zoo = BackboneZoo("lib", list, net, "a library")
    (failure,) = load(zoo, zoo).failures
    assert "'lib' is offered twice by acme" in str(failure)
