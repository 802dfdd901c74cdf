"""Names of networks behind those of systems, without any plugin installed."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from wsolbench.contract import BackboneSpec, BackboneZoo, Checkpoint, InputConfig, RecipeSpec, SystemSpec
from wsolbench.contract.options import list_options
from wsolbench.contract.systems import rebuilt
from wsolbench.errors import PluginError, UnknownNameError, UsageError
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer, Registry

ACME, BOLT = Provider("acme", "1.0", "nets"), Provider("bolt", "2.0", "more")


def network(name, provider=ACME, family=None):
    spec = BackboneSpec(name, dict, InputConfig(8), "s", family=family, checkpoints=(Checkpoint("critters", None),))
    return Offer(spec, provider)


def system(name, network=rebuilt, provider=ACME, method="cam"):
    return Offer(SystemSpec(name, dict, network, "s", method), provider)


def zoo():
    return Offer(BackboneZoo("lib", lambda: ["net", "tokens"], lambda name: network(name).spec, "s"), ACME)


def no_tokens(base):
    if "tokens" in base.name:
        raise UsageError("needs a network with maps")
    return rebuilt(base)


REGISTRY = Registry(
    [
        network("res_nano", family="res"),
        network("res_tokens", family="res"),
        network("tokens", family="all_tokens"),
        network("res_224"),
        zoo(),
        system("acol", no_tokens, method="native"),
        system("adl"),
    ]
)


def test_a_system_stands_before_networks_families_zoos_and_sizes():
    backbones = REGISTRY.backbones
    expected = replace(network("res_nano").spec, name="acol:res_nano", family="acol:res", checkpoints=(), system="acol")
    for name in ("acol:res_nano", "acme:acol:res_nano", "acol:acme:res_nano"):
        assert replace(backbones.get(name).spec, start_weights=None) == expected
    assert backbones.get("acol:lib:net").name == "acol:lib:net"
    named = ("acol:lib:net", "lib:net", "acol:res_nano", "res_nano")
    assert [backbones.get(name).spec.is_of_a_zoo for name in named] == [True, True, False, False]
    assert [offer.name for offer in REGISTRY.networks("adl:res")] == ["adl:res_nano", "adl:res_tokens"]
    assert [offer.name for offer in REGISTRY.networks("acol:res")] == ["acol:res_nano"]
    assert REGISTRY.sized("acol:res_nano_96") == ("acol:res_nano", 96)
    assert REGISTRY.sized("acol:res_224") == ("acol:res_224", None)
    assert {offer.name for offer in backbones} == {"res_nano", "res_tokens", "tokens", "res_224"}


def test_the_system_of_a_name():
    assert REGISTRY.backbones.system_of("acol:lib:net").name == "acol"
    assert REGISTRY.backbones.system_of("res_nano") is REGISTRY.backbones.system_of("acol:nothing") is None
    assert (REGISTRY.usual_method("acol:res_nano_96"), REGISTRY.usual_method("res_nano")) == ("native", "cam")
    assert REGISTRY.systems.get("acol").spec.method == "native"


@pytest.mark.parametrize("name", ["acol:tokens", "acol:lib:tokens", "acol:all_tokens"])
def test_a_network_that_a_system_cannot_serve_is_one_line(name):
    with pytest.raises(UsageError, match=r"the system 'acol' cannot train '(lib:)?tokens': needs a network with maps"):
        REGISTRY.networks(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("acl:res_nano", r"'acol:res_nano' or 'adl:res_nano'\? No system is called 'acl'; 'wsolbench list systems' "),
        ("lob:net", "'lib:net'"),
        ("acol:res_nan", "'acol:res_nano'"),
        ("adl:lib:nett", "'adl:lib:net'"),
        ("acol", "'acol:NAME'"),
    ],
)
def test_an_unknown_name_behind_or_of_a_system(name, meant):
    with pytest.raises(UnknownNameError, match=rf"unknown backbone '{name}'\. Did you mean {meant}"):
        REGISTRY.networks(name)


@pytest.mark.parametrize("find", [REGISTRY.networks, lambda name: REGISTRY.unknown(name)])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("acol:adl:res_nano", "Systems do not stack; type 'acol:res_nano' or 'adl:res_nano'."),
        ("bogus:res_nano", "No system is called 'bogus'; 'wsolbench list systems' shows all 2."),
        ("bogus:network", "No system is called 'bogus'; 'wsolbench list systems' shows all 2."),
    ],
)
def test_what_is_wrong_with_the_system_before_a_network_is_said_and_nothing_else_is_suggested(find, name, told):
    try:
        message = str(find(name))
    except UnknownNameError as error:
        message = str(error)
    assert re.match(rf"unknown (backbone|name) '{name}'\. {re.escape(told)}\n", message)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("acol/res_nano", "Did you mean 'acol:res_nano'? A colon stands behind the name of a system."),
        ("acol-res_nano", "Did you mean 'acol:res_nano'? A colon stands behind the name of a system."),
        ("acol:", "No network stands behind the colon: type acol:NAME."),
        (":res_nano", "No system stands before the colon: type SYSTEM:res_nano, or res_nano alone."),
    ],
)
def test_a_system_and_a_network_with_another_sign_between_them_or_one_alone(name, told):
    with pytest.raises(UnknownNameError, match=rf"^unknown backbone '{name}'\. {re.escape(told)}\n"):
        REGISTRY.networks(name)


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("recipes", "acol", "It is a system, which stands before a network: --backbone acol:NAME."),
        ("methods", "adl", "It is a system, which stands before a network: --backbone adl:NAME."),
        ("methods", "res_nano", "It is a backbone: --backbone res_nano."),
        ("backbones", "fast", "It is a recipe: --recipe fast."),
    ],
)
def test_a_name_in_the_wrong_place_is_said_to_be_what_it_is(kind, name, told):
    recipe = Offer(RecipeSpec("fast", dict, "s"), ACME)
    registry = Registry([network("res_nano"), system("acol"), system("adl"), recipe])
    with pytest.raises(UnknownNameError, match=rf"unknown {kind[:-1]} '{name}'\. {re.escape(told)}\n"):
        getattr(registry, kind).get(name)


def test_a_network_that_a_system_cannot_change_names_the_system_and_a_network_that_works():
    """What only the network itself shows is found when it is built, at its own size and at another one."""

    def changed(network):
        if network["width"] < 3:
            raise UsageError("needs more channels")
        return network

    def built(width):
        return lambda _num_classes: {"width": width}

    wide, thin = (BackboneSpec(name, built(width), InputConfig(8), "s") for name, width in (("wide", 4), ("thin", 1)))
    thin = replace(thin, at_size=lambda size: replace(thin, input=InputConfig(size)))
    registry = Registry([Offer(wide, ACME), Offer(thin, ACME), system("acol", lambda base: rebuilt(base, changed))])
    spec = registry.backbones.get("acol:thin").spec
    said = "^the system 'acol' cannot train 'thin': needs more channels; it trains, for example, 'acol:wide'$"
    for made in (spec, spec.at_size(16)):
        with pytest.raises(UsageError, match=said):
            made.build(2)
    assert registry.backbones.get("acol:wide").spec.build(2) == {"width": 4}


def test_rival_systems_and_rival_networks_are_told_apart():
    registry = Registry([network("net"), system("acol"), system("acol", provider=BOLT)])
    with pytest.raises(UnknownNameError, match=r"Type one of\n  acme:acol:net\n  bolt:acol:net"):
        registry.backbones.get("acol:net")
    assert registry.backbones.get("bolt:acol:net").provider == BOLT
    registry = Registry([network("net"), network("net", BOLT), system("acol")])
    with pytest.raises(UnknownNameError, match=r"the backbone 'net'\. Type one of\n  acme:net\n  bolt:net"):
        registry.backbones.get("acol:net")
    assert registry.backbones.get("acol:bolt:net").name == "acol:net"


def test_a_system_that_fails_is_blamed():
    registry = Registry([network("net"), system("acol", lambda base: base.nothing)])
    with pytest.raises(PluginError, match=r"plugin acme 1\.0 'nets' failed preparing 'net' for the system 'acol'"):
        registry.networks("acol:net")


def sized(base):
    """Return a network that is built for a size, with the networks for other sizes."""
    return replace(base, at_size=lambda size: sized(replace(base, input=InputConfig(size))))


def test_a_changed_network_has_the_options_and_sizes_of_its_base():
    """At another size it is the base of that size that is changed."""

    def build(num_classes, width: int = 3):
        return [num_classes, width]

    def with_side(base):
        return rebuilt(base, lambda network: [*network, base.input.size], classifier_key="b.weight")

    base = sized(BackboneSpec("net", build, InputConfig(8), "s"))
    made = Registry([Offer(base, ACME), system("acol", with_side)]).backbones.get("acol:net").spec
    assert list_options(made.build) == list_options(build)
    assert made.build(5, width=4) == [5, 4, 8]
    larger = made.at_size(16)
    assert larger.build(5, width=4) == [5, 4, 16]
    assert (larger.input.size, larger.classifier_key) == (16, "b.weight")
    assert larger.at_size(24).build(5) == [5, 3, 24]


@pytest.mark.parametrize(("need", "attribute"), [("class weights", "classifier_weight"), ("taps", "taps")])
def test_a_network_without_what_a_system_needs_is_refused_with_one_that_has_it(need, attribute):
    """Also as an example: the smaller network would be built, but not trained."""

    def build(has):
        given = {attribute: ["one"] if has else None, "forward_tapped": len}
        return lambda _num_classes: SimpleNamespace(**given)

    lacks = sized(BackboneSpec("lacks", build(False), InputConfig(8), "s"))
    has = BackboneSpec("has", build(True), InputConfig(16), "s")
    needy = Offer(SystemSpec("acol", dict, rebuilt, "s", needs=frozenset({need})), ACME)
    backbones = Registry([Offer(lacks, ACME), Offer(has, ACME), needy]).backbones
    spec = backbones.get("acol:lacks").spec
    said = f"^the system 'acol' cannot train 'lacks': needs {need}, and the network has none; it trains, for example, "
    for made in (spec, spec.at_size(32)):
        with pytest.raises(UsageError, match=f"{said}'acol:has'$"):
            made.build(2)
    assert getattr(backbones.get("acol:has").spec.build(2), attribute) == ["one"]
