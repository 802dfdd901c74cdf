"""Finds plugins, loads them and contains their failures.

A plugin is a module that an entry point of the group ``wsolbench`` names and whose functions are decorated with
``hookimpl``. A plugin that fails at import or in a hook, or that offers an object of the wrong type, is dropped as a
whole and the reason is kept; all others work. pluggy checks the hooks. Its loader is not used: it stops at the first
bad plugin and drops duplicates silently.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import metadata
from threading import Timer
from typing import Any, get_args

import pluggy

from wsolbench.contract import (
    BackboneSpec,
    BackboneZoo,
    Checkpoint,
    DatasetSpec,
    InputConfig,
    MethodSpec,
    MethodZoo,
    Pretrained,
    RecipeSpec,
    SystemSpec,
    Zoo,
)
from wsolbench.contract.methods import Need
from wsolbench.contract.names import NAME_CHARACTERS, NAME_PATTERN
from wsolbench.errors import PluginError
from wsolbench.host import hookspecs
from wsolbench.host.originals import Originals
from wsolbench.host.output import plugin_output
from wsolbench.host.provider import Provider, of_the_user
from wsolbench.host.registry import Offer, Offered, PluginFailure, Registry
from wsolbench.host.settings import Snapshot

_KINDS: dict[str, tuple[type[Offered], ...]] = {
    "wsolbench_backbones": (BackboneSpec, BackboneZoo),
    "wsolbench_methods": (MethodSpec, MethodZoo),
    "wsolbench_datasets": (DatasetSpec,),
    "wsolbench_recipes": (RecipeSpec,),
    "wsolbench_systems": (SystemSpec,),
}
_FIELDS: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
    ("source", str, "a str"),
    ("input", InputConfig, "an InputConfig"),
    ("family", (str, type(None)), "a str or None"),
    ("classifier_key", str, "a str"),
    ("checkpoints", (tuple, list), "a tuple of Checkpoint"),
    ("needs", (frozenset, set), "a set of texts"),
    ("method", str, "a str"),
    ("pretrained", (Pretrained, type(None)), "a Pretrained or None"),
)
SLOW = 15.0
"""Seconds after which a plugin that is still being loaded is named."""
_OBJECT_REFERENCE = re.compile(r"[\w.]+\s*(:\s*[\w.]+\s*)?(\[.*\]\s*)?")


class _Dropped(Exception):  # noqa: N818 - control flow inside this module, never seen outside
    """A plugin is dropped: at which stage, and why."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


def load_plugins(*, strict: bool = False, warn: Callable[[str], None] | None = None) -> Registry:
    """Load every installed plugin into a fresh registry.

    Args:
        strict: Raise at the first plugin that fails instead of dropping it.
        warn: Called with one line for every dropped plugin.

    Raises:
        PluginError: A plugin failed, and `strict` is set.
    """
    providers: list[Provider] = []
    offers: list[Offer[Offered]] = []
    failures: list[PluginFailure] = []
    found_plugins = _entry_points()
    load: Callable[[Provider, metadata.EntryPoint], list[Offer[Offered]]] = _load
    if any(provider.distribution != hookspecs.PROJECT for provider, _ in found_plugins):
        import wsolbench.protocol  # noqa: F401 - its functions are noted before a plugin can replace them

        # Comparing takes longer than loading our own plugins, which change nothing: tests hold them to it.
        load = partial(_load_unchanging, originals=Originals.take())
    for provider, entry_point in found_plugins:
        try:
            with plugin_output(), _announcing_slow(provider):
                found = load(provider, entry_point)
            _check_own_duplicates(found, offers)
        except _Dropped as dropped:
            failures.append(PluginFailure(provider, dropped.stage, dropped.reason))
            if strict:
                raise PluginError(f"plugin {failures[-1]}") from dropped.__cause__
            if warn:
                warn(f"plugin {failures[-1]}; the plugin is not loaded")
            continue
        providers.append(provider)
        offers.extend(found)
    return Registry(offers, tuple(providers), tuple(failures))


def _entry_points() -> list[tuple[Provider, metadata.EntryPoint]]:
    """Return the entry points of all installed distributions; the first of a name counts, as in importlib.metadata."""
    names: set[str] = set()
    for distribution in metadata.distributions():
        with suppress(Exception):  # a damaged installation of another package is not ours to report
            if _of_plugins(distribution):  # the metadata of all packages would take longer than most commands
                names.add(re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower())
    found: list[tuple[Provider, metadata.EntryPoint]] = []
    for name in sorted(names):
        with suppress(Exception):
            first = metadata.distribution(name)
            version = first.version  # parses the metadata
            found += [(Provider(name, version, entry_point.name), entry_point) for entry_point in _of_plugins(first)]
    return sorted(found, key=lambda pair: (pair[0].distribution, pair[0].entry_point))


def _of_plugins(distribution: metadata.Distribution) -> metadata.EntryPoints:
    return distribution.entry_points.select(group=hookspecs.PROJECT)


@contextmanager
def _announcing_slow(provider: Provider) -> Iterator[None]:
    """Say on stderr which plugin is being loaded, if that takes long: it may never end."""
    stderr = sys.stderr

    def announce() -> None:
        with suppress(ValueError, OSError):  # stderr may have been closed
            print(f"still loading the plugin {provider}; Ctrl-C stops it", file=stderr, flush=True)

    timer = Timer(SLOW, announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _load_unchanging(
    provider: Provider, entry_point: metadata.EntryPoint, originals: Originals
) -> list[Offer[Offered]]:
    """Load one plugin; drop it if it changes what the scores of others depend on, and put that back.

    Raises:
        PluginError: It replaces functions that cannot be put back.
    """
    settings = Snapshot.take(draws=True)
    try:
        offers = _load(provider, entry_point)
    finally:
        changed = settings.restore()
        replaced = originals.restore()
        lost = originals.note_new(entry_point.value.partition(":")[0].partition(".")[0])
    if lost:
        raise PluginError(f"plugin {provider} replaces {', '.join(lost)}, which cannot be put back: uninstall it")
    if changed:
        raise _Dropped("import", f"it changes {', '.join(changed)}, on which scores may depend")
    if replaced:
        raise _Dropped("import", f"it replaces {', '.join(replaced)}, on which scores may depend")
    return offers


def _load(provider: Provider, entry_point: metadata.EntryPoint) -> list[Offer[Offered]]:
    """Import one plugin, check its hooks and call them."""
    if not _OBJECT_REFERENCE.fullmatch(entry_point.value):
        raise _Dropped("import", f"the entry point '{entry_point.value}' must be written MODULE or MODULE:OBJECT")
    try:
        plugin = entry_point.load()
    except BaseException as error:
        if of_the_user(error):
            raise
        raise _Dropped("import", _one_line(error)) from error
    offers: list[Offer[Offered]] = []
    for hook, function in _hook_implementations(plugin):
        try:
            specs = function()
        except BaseException as error:
            if of_the_user(error):
                raise
            raise _Dropped(hook, _one_line(error)) from error
        offers += [Offer(spec, provider) for spec in _checked_specs(hook, specs)]
    return offers


def _hook_implementations(plugin: object) -> list[tuple[str, Callable[[], Any]]]:
    """Return the plugin's hook functions as (hook, function), checked against the hook specifications."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin)
        callers = manager.get_hookcallers(plugin) or []
    except Exception as error:
        raise _Dropped("registration", _one_line(error)) from error
    if not callers:
        raise _Dropped("registration", f"no function is decorated with @hookimpl; the hooks are {', '.join(_KINDS)}")
    for caller in callers:
        if not caller.has_spec():
            raise _Dropped("registration", f"unknown hook '{caller.name}'; the hooks are {', '.join(_KINDS)}")
    return [(caller.name, implementation.function) for caller in callers for implementation in caller.get_hookimpls()]


def _checked_specs(hook: str, specs: object) -> Iterable[Offered]:
    """Check that a hook returned a list of well-named specs of its kind."""
    kinds = _KINDS[hook]
    if not isinstance(specs, list | tuple):
        raise _Dropped(hook, f"expected a list of {kinds[0].__name__}, got {type(specs).__name__}")
    for spec in specs:
        if not isinstance(spec, kinds):
            raise _Dropped(hook, f"expected a list of {kinds[0].__name__}, got one with a {type(spec).__name__}")
        if not isinstance(spec.name, str) or not NAME_PATTERN.fullmatch(spec.name):
            raise _Dropped(hook, f"the name {spec.name!r} must consist of {NAME_CHARACTERS}")
        for function in _functions_of(spec):
            if not callable(getattr(spec, function)):
                raise _Dropped(hook, f"'{function}' of '{spec.name}' is not callable")
        _check_fields(hook, spec)
    return specs


def _functions_of(spec: Offered) -> tuple[str, ...]:
    """Return the fields of a spec that are functions."""
    if isinstance(spec, Zoo):
        return ("names", "find")
    return ("build", "network") if isinstance(spec, SystemSpec) else ("build",)


def _check_fields(hook: str, spec: Offered) -> None:
    """Check the types of the fields that listings and name resolution read: they must not fail for other plugins."""
    for field, kind, expected in _FIELDS:
        if hasattr(spec, field) and not isinstance(getattr(spec, field), kind):
            got = type(getattr(spec, field)).__name__
            raise _Dropped(hook, f"'{field}' of '{spec.name}' must be {expected}, got {got}")
    if isinstance(spec, MethodSpec | SystemSpec) and not spec.needs <= set(get_args(Need)):
        known = " and ".join(f"'{need}'" for need in get_args(Need))
        raise _Dropped(hook, f"'needs' of '{spec.name}' may hold {known}, got {', '.join(map(str, spec.needs))}")
    if isinstance(spec, BackboneSpec):
        if spec.family is not None and not NAME_PATTERN.fullmatch(spec.family):
            raise _Dropped(hook, f"the family {spec.family!r} must consist of {NAME_CHARACTERS}")
        for checkpoint in spec.checkpoints:
            if not isinstance(checkpoint, Checkpoint):
                got = type(checkpoint).__name__
                raise _Dropped(
                    hook, f"'checkpoints' of '{spec.name}' must be a tuple of Checkpoint, got one with a {got}"
                )


def _check_own_duplicates(found: list[Offer[Offered]], before: list[Offer[Offered]]) -> None:
    """Check that a distribution offers a name once: otherwise not even the qualified names would differ."""
    taken = {(_kind(offer.spec), offer.qualified_name) for offer in before}
    for offer in found:
        key = (_kind(offer.spec), offer.qualified_name)
        if key in taken:
            raise _Dropped("registration", f"'{offer.name}' is offered twice by {offer.provider.distribution}")
        taken.add(key)


def _kind(spec: Offered) -> type[Offered]:
    """Return the spec type of an offer, also when the plugin uses a subclass of it."""
    return next(kind for kinds in _KINDS.values() for kind in kinds if isinstance(spec, kind))


def _one_line(error: BaseException) -> str:
    """Return an exception as one line: its type and text, or the text alone where that says enough."""
    text = " ".join(str(error).split())
    if isinstance(error, ImportError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
