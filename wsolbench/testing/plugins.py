"""The checks of a plugin as a whole: that it loads, what it leaves in the process, and its names."""

from __future__ import annotations

from wsolbench.contract import MethodSpec, SystemSpec
from wsolbench.host.loading import Loaded
from wsolbench.host.registry import Registry, kind_of
from wsolbench.testing.expectations import BrokenRuleError, skip
from wsolbench.testing.fixes import FIXES, LOADING
from wsolbench.testing.suite import Check

__all__ = ["check_plugin_loads", "check_plugin_names", "check_plugin_process", "plugin_checks"]


def check_plugin_loads(loaded: Loaded) -> None:
    """The plugin can be imported without a network, and its hooks return specifications."""
    if loaded.failure is not None:
        stage, reason = loaded.failure.stage, loaded.failure.reason
        fix = LOADING.get(stage, FIXES["check_plugin_loads"])
        raise BrokenRuleError(f"{stage}: expected no failure, got {reason}", fix) from loaded.failure.error
    assert loaded.offers, "hooks: expected at least one specification, got none"


def check_plugin_process(loaded: Loaded) -> None:
    """Import and hooks take seconds, leave no connection, process, thread or seed, and print nothing to stdout."""
    if loaded.faults is None:
        skip("plugins of wsolbench are not examined again; its own tests do that")
    assert not loaded.faults, f"import and hooks: expected no trace of them, got: {'; '.join(loaded.faults)}"


def check_plugin_names(loaded: Loaded, registry: Registry) -> None:
    """No other plugin offers a name of the plugin, which users would type with its distribution; methods are known."""
    own = loaded.source.provider
    methods = {offer.name for offer in loaded.offers if isinstance(offer.spec, MethodSpec)}
    for offer in loaded.offers:
        catalogue = next(each for each in registry.catalogues if each.kind == kind_of(offer.spec))
        others = [other for other in (*catalogue, *catalogue.zoos) if other.name == offer.name]
        rivals = [str(other.provider) for other in others if other.provider != own]
        assert not rivals, (
            f"the name '{offer.name}': expected one that is free, got that of a {kind_of(offer.spec)} of "
            f"{' and '.join(rivals)}"
        )
        if isinstance(offer.spec, SystemSpec) and offer.spec.method not in methods:
            _check_method(offer.spec, registry)


def _check_method(system: SystemSpec, registry: Registry) -> None:
    if not registry.methods.find(system.method):
        raise BrokenRuleError(
            f"the method of '{system.name}': expected one that is offered, got '{system.method}'",
            "name one of 'wsolbench list methods', or 'native' where the network has a localize",
        )


def plugin_checks(loaded: Loaded, registry: Registry) -> list[tuple[str, Check]]:
    """Return the checks of a plugin, with names.

    Args:
        loaded: The plugin, loaded and examined.
        registry: What all plugins offer, this one among them or not.
    """
    return [
        ("check_plugin_loads", lambda: check_plugin_loads(loaded)),
        ("check_plugin_process", lambda: check_plugin_process(loaded)),
        ("check_plugin_names", lambda: check_plugin_names(loaded, registry)),
    ]
