"""Names to offers, without any plugin installed: the registry itself."""

import time

import pytest

from wsolbench.contract import BackboneSpec, BackboneZoo, Checkpoint, InputConfig, MethodSpec, MethodZoo
from wsolbench.errors import PluginError, UnknownNameError, UsageError
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer, PluginFailure, Registry

ACME, BOLT = Provider("acme", "1.0", "nets"), Provider("bolt", "2.0", "more")


def method(name, provider=ACME):
    return Offer(MethodSpec(name, dict, "s"), provider)


def network(name, provider=ACME, family=None, ships=()):
    checkpoints = tuple(Checkpoint(dataset, None) for dataset in ships)
    spec = BackboneSpec(name, dict, InputConfig(8), "s", family=family, checkpoints=checkpoints)
    return Offer(spec, provider)


def test_get_by_short_and_by_qualified_name():
    methods = Registry([method("cam"), method("pc1", BOLT)]).methods
    assert methods.get("cam").provider == ACME
    assert methods.get("bolt:pc1") == methods.get("pc1")
    assert len(methods) == 2


def test_kinds_are_apart():
    registry = Registry([method("cam"), network("cam")])
    assert isinstance(registry.methods.get("cam").spec, MethodSpec)
    assert isinstance(registry.backbones.get("cam").spec, BackboneSpec)
    assert registry.recipes.find("cam") == []


def test_find_gives_none_one_or_rivals():
    methods = Registry([method("cam", BOLT), method("cam"), method("pc1")]).methods
    assert methods.find("nothing") == []
    assert [offer.qualified_name for offer in methods.find("pc1")] == ["acme:pc1"]
    assert [offer.qualified_name for offer in methods.find("cam")] == ["acme:cam", "bolt:cam"]
    assert [offer.qualified_name for offer in methods.find("bolt:cam")] == ["bolt:cam"]
    assert methods.find("bolt:pc1") == []


def test_shown_name_is_what_can_be_typed():
    methods = Registry([method("cam", BOLT), method("cam"), method("pc1")]).methods
    shown = [methods.shown_name(offer) for offer in methods]
    assert shown == ["acme:cam", "bolt:cam", "pc1"]
    assert [methods.get(name) for name in shown] == list(methods)


def test_an_ambiguous_name_lists_its_rivals():
    with pytest.raises(UnknownNameError) as caught:
        Registry([method("cam", BOLT), method("cam")]).methods.get("cam")
    assert str(caught.value) == "more than one plugin offers the method 'cam'. Type one of\n  acme:cam\n  bolt:cam"


def test_an_unknown_name_suggests_and_tells_what_failed():
    failure = PluginFailure(BOLT, "import", "No module named 'acme_ops'")
    with pytest.raises(UnknownNameError) as caught:
        Registry([method("cam"), method("cam-pos")], failures=(failure,)).methods.get("cam_pos")
    assert str(caught.value) == (
        "unknown method 'cam_pos'. Did you mean 'cam-pos' or 'cam'?\n"
        "  'wsolbench list methods' shows all 2. Not loaded:\n"
        "  bolt 2.0 'more' (import): No module named 'acme_ops'"
    )


def test_names_that_are_equally_near_are_suggested_in_their_order():
    registry = Registry([method(f"pc{number}") for number in (10, 4, 3, 2, 1)])
    with pytest.raises(UnknownNameError, match=r"Did you mean 'pc1' or 'pc2' or 'pc3'\?"):
        registry.methods.get("pc")


def test_an_unknown_name_suggests_nothing_ambiguous():
    registry = Registry([method("power", BOLT), method("power")])
    with pytest.raises(UnknownNameError, match=r"unknown method 'powr'\. Did you mean '(acme|bolt):power'") as caught:
        registry.methods.get("powr")
    assert "'power'" not in str(caught.value)


def test_an_empty_registry():
    with pytest.raises(UnknownNameError, match=r"^unknown method 'cam'\.\n  'wsolbench list methods' shows all 0\.$"):
        Registry([]).methods.get("cam")


# Networks and methods behind a prefix.


def zoo(prefix, *names, provider=ACME):
    def find(name):
        if name == "broken":
            raise ImportError("no such\nlibrary")
        return BackboneSpec(name, dict, InputConfig(8), "s")

    return Offer(BackboneZoo(prefix, lambda: names, find, "a library"), provider)


def method_zoo(prefix, *names, provider=ACME):
    return Offer(MethodZoo(prefix, lambda: names, lambda name: MethodSpec(name, dict, "s"), "a library"), provider)


def test_a_network_behind_a_prefix_is_found_and_keeps_the_prefix():
    backbones = Registry([network("net"), zoo("lib", "net", "v1.5")]).backbones
    offer = backbones.get("lib:v1.5")
    assert (offer.name, offer.provider) == ("lib:v1.5", ACME)
    assert backbones.get("acme:lib:net").name == "lib:net"
    assert backbones.get(backbones.get("lib:net").qualified_name).name == "lib:net"
    assert backbones.get("net").name == "net"


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("lib:vit_tiny", "'lib:vit_tiny_patch16' or 'lib:vit_tiny_patch16.v2' or 'lib:davit_tiny'"),
        ("lib:dinov2_vits14", "'lib:vit_small_dinov2'"),
        ("lib:davit_tinny", "'lib:davit_tiny'"),
        ("dinov2", "'lib:vit_small_dinov2'"),
    ],
)
def test_names_that_start_with_what_was_typed_come_first_and_then_those_with_its_words(typed, suggested):
    names = ("davit_tiny", "vit_tiny_patch16.v2", "vit_tiny_patch16", "vit_small_dinov2")
    with pytest.raises(UnknownNameError) as caught:
        Registry([network("net"), zoo("lib", *names)]).backbones.get(typed)
    assert str(caught.value) == (
        f"unknown backbone '{typed}'. Did you mean {suggested}?\n"
        "  'wsolbench list backbones' shows all 1, and there is any lib:NAME."
    )


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("vit_tiny", "'lib:vit_tiny_patch16' or 'lib:vit_tiny_patch16.v2' or 'net_tiny'"),
        ("net", "'net_tiny' or 'lib:net_tny_2'"),
        ("VIT_tiny_patch16.v2", "'lib:vit_tiny_patch16.v2'"),
        ("lib/vit_tiny_patch16.v2", "'lib:vit_tiny_patch16.v2'"),
        ("net_tny", "'net_tiny'"),  # a slip: the zoo, which has net_tny_2, is not asked
    ],
)
@pytest.mark.parametrize("of", [lambda registry: registry.backbones, lambda registry: registry])
def test_names_in_a_zoo_are_suggested_for_one_without_its_prefix(typed, suggested, of):
    registry = Registry(
        [network("net_tiny"), zoo("lib", "net_tny_2", "vit_tiny_patch16.v2", "vit_tiny_patch16", "vgg")]
    )
    assert f"'{typed}'. Did you mean {suggested}" in str(of(registry).unknown(typed))


def test_a_name_that_nothing_begins_with_has_no_suggestion():
    def fails():
        raise ImportError

    for found in (zoo("lib", "vgg"), Offer(BackboneZoo("lib", fails, fails, "a library"), ACME)):
        text = str(Registry([network("net"), found]).backbones.unknown("zzzz"))
        assert text.startswith("unknown backbone 'zzzz'.\n")


def test_a_method_behind_a_prefix_is_found_and_keeps_the_prefix():
    methods = Registry([method("CAM"), method_zoo("lib", "CAM", "ScoreCAM")]).methods
    assert (methods.get("lib:ScoreCAM").name, methods.get("acme:lib:CAM").name) == ("lib:ScoreCAM", "lib:CAM")
    assert isinstance(methods.get("lib:CAM").spec, MethodSpec)
    assert [offer.name for offer in methods] == ["CAM"]


def test_zoos_of_two_kinds_do_not_mix():
    registry = Registry([zoo("lib", "net"), method_zoo("lib", "map"), method_zoo("kit", "map")])
    assert registry.backbones.find("lib:map") == registry.methods.find("lib:net") == []
    assert (registry.backbones.get("lib:net").name, registry.methods.get("lib:map").name) == ("lib:net", "lib:map")
    assert [[offer.name for offer in catalogue.zoos] for catalogue in registry.catalogues] == [
        ["lib"],
        ["lib", "kit"],
        [],
        [],
        [],
    ]


def test_suggestions_look_past_capitals_and_begin_with_the_prefix():
    registry = Registry([method("grad-cam"), method_zoo("gradcam", "ScoreCAM", "EigenCAM")])
    for unknown in (registry.methods.unknown, registry.unknown):
        assert "Did you mean 'gradcam:ScoreCAM'" in str(unknown("gradcam:scorecam"))
        assert "Did you mean 'gradcam:NAME' or 'grad-cam'?" in str(unknown("gradcam"))


def test_networks_behind_a_prefix_are_not_listed():
    registry = Registry([network("net"), zoo("lib", "a", "b")])
    assert [offer.name for offer in registry.backbones] == ["net"]
    assert [offer.name for offer in registry.backbones.zoos] == ["lib"]


def test_a_zoo_is_asked_for_nothing_before_its_prefix_is_typed():
    def fails(*_):
        raise AssertionError

    registry = Registry([network("net"), Offer(BackboneZoo("lib", fails, fails, "a library"), ACME)])
    registry.backbones.get("net")
    with pytest.raises(UnknownNameError, match=r"unknown backbone 'lib'\. Did you mean 'lib:NAME'\?"):
        registry.backbones.get("lib")


@pytest.mark.parametrize("prefix", ["lib", "acme:lib"])
def test_an_unknown_name_behind_a_prefix_suggests_those_behind_it(prefix):
    registry = Registry([network("resnet"), zoo("lib", "resnet18", "vgg16")])
    for unknown in (registry.backbones.unknown, registry.unknown):
        assert f"Did you mean '{prefix}:resnet18'" in str(unknown(f"{prefix}:resnt18"))


def test_two_zoos_of_one_prefix_are_rivals():
    backbones = Registry([zoo("lib", "net"), zoo("lib", "net", "other", provider=BOLT)]).backbones
    with pytest.raises(UnknownNameError, match=r"Type one of\n  acme:lib:net\n  bolt:lib:net$"):
        backbones.get("lib:net")
    assert backbones.get("bolt:lib:net").provider == BOLT
    assert backbones.get("lib:other").provider == BOLT


def test_a_zoo_that_fails_is_named():
    with pytest.raises(
        PluginError, match=r"acme 1\.0 'nets' failed looking up 'broken' in 'lib': ImportError: no such"
    ):
        Registry([zoo("lib", "broken")]).backbones.get("lib:broken")


@pytest.mark.parametrize(
    ("seconds", "others", "names", "compared"),
    [(9, 9, ("lib:a", "lib:b"), 4), (9, 0, ("lib:a",), 2), (9, 0.05, ("lib:a",), 3), (0, 9, (), 1)],
)
def test_a_search_for_a_network_ends_after_the_time_for_it_and_for_others(seconds, others, names, compared):
    def fitting(_shapes, _like):
        yield None
        yield "a"
        began = time.process_time()
        while time.process_time() - began < 0.06:
            pass
        yield None
        yield "b"

    nets = Offer(BackboneZoo("lib", tuple, dict, "a library", fitting), ACME)
    found = Registry([nets]).backbones.fitting({}, "x", seconds, others)
    assert (found.names, found.compared, found.whole) == (names, compared, compared == 4)


# The family resolution of a run.


def resolve(registry, name, *, dataset="critters", weights=None):
    from wsolbench.networks.resolve import resolve_backbone

    return resolve_backbone(registry, name, dataset, weights).qualified_name


VARIANTS = [network("net_s", family="net", ships=["critters"]), network("net_l", family="net", ships=["cub"])]


def test_a_variant_is_itself_whatever_ships():
    assert resolve(Registry(VARIANTS), "net_l") == "acme:net_l"
    assert resolve(Registry(VARIANTS), "acme:net_s", dataset="cub") == "acme:net_s"


@pytest.mark.parametrize(("dataset", "variant"), [("critters", "acme:net_s"), ("cub", "acme:net_l")])
def test_a_family_is_its_one_variant_with_weights(dataset, variant):
    assert resolve(Registry(VARIANTS), "net", dataset=dataset) == variant


def test_a_family_without_weights_lists_its_variants():
    with pytest.raises(UsageError, match=r"'net' is a family of networks.*no variant.*net_l, net_s$"):
        resolve(Registry(VARIANTS), "net", dataset="ilsvrc")


def test_a_family_with_several_fitting_variants_lists_those():
    more = [*VARIANTS, network("net_m", family="net", ships=["critters"])]
    with pytest.raises(UsageError, match=r"more than one variant.*net_m, net_s$"):
        resolve(Registry(more), "net")


def test_a_stranger_may_extend_a_family():
    more = [*VARIANTS, network("net_s", BOLT, family="net", ships=["critters"])]
    with pytest.raises(UsageError, match=r"more than one variant.*acme:net_s, bolt:net_s$"):
        resolve(Registry(more), "net")
    assert resolve(Registry(more), "bolt:net_s") == "bolt:net_s"


def test_a_variant_goes_before_a_family_of_its_name():
    assert resolve(Registry([*VARIANTS, network("net")]), "net") == "acme:net"


def test_an_unknown_backbone_suggests_families_too():
    with pytest.raises(UnknownNameError, match=r"unknown backbone 'nett'\. Did you mean 'net'"):
        resolve(Registry(VARIANTS), "nett")


def test_random_weights_do_not_choose_among_variants():
    with pytest.raises(UsageError, match="name one"):
        resolve(Registry(VARIANTS), "net", dataset="ilsvrc", weights="random")
