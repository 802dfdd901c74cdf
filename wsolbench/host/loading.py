"""Finding plugins and keeping their failures to themselves.

A plugin is a module named by an entry point of the group ``wsolbench`` whose functions are decorated with
``hookimpl``. One that fails at import, in a hook, or offers something of a wrong kind is dropped as a whole, with the
reason kept; every other one works. pluggy checks the hooks; its own loader is not used, since it stops at the first bad
plugin and drops duplicates without a word.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from importlib import metadata
from typing import Any

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
    Zoo,
)
from wsolbench.errors import PluginError
from wsolbench.host import hookspecs
from wsolbench.host.names import NAME_CHARACTERS, NAME_PATTERN
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer, Offered, PluginFailure, Registry

_KINDS: dict[str, tuple[type[Offered], ...]] = {
    "wsolbench_backbones": (BackboneSpec, BackboneZoo),
    "wsolbench_methods": (MethodSpec, MethodZoo),
    "wsolbench_datasets": (DatasetSpec,),
    "wsolbench_recipes": (RecipeSpec,),
}
_FIELDS: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
    ("source", str, "text"),
    ("input", InputConfig, "an InputConfig"),
    ("family", (str, type(None)), "text or None"),
    ("classifier_key", str, "text"),
    ("checkpoints", (tuple, list), "a tuple of Checkpoint"),
    ("pretrained", (Pretrained, type(None)), "a Pretrained or None"),
)
_OBJECT_REFERENCE = re.compile(r"[\w.]+\s*(:\s*[\w.]+\s*)?(\[.*\]\s*)?")


class _Dropped(Exception):  # noqa: N818 - it steers the loading and never leaves this module
    """Why and where a plugin is dropped."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


def load_plugins(*, strict: bool = False, warn: Callable[[str], None] | None = None) -> Registry:
    """Load every installed plugin into a fresh registry.

    Args:
        strict: Raise at the first plugin that fails instead of dropping it.
        warn: Told one line for every dropped plugin.

    Raises:
        PluginError: A plugin failed, and `strict` is set.
    """
    providers: list[Provider] = []
    offers: list[Offer[Offered]] = []
    failures: list[PluginFailure] = []
    for provider, entry_point in _entry_points():
        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints must not mix with what is asked for
                found = _load(provider, entry_point)
            _check_own_duplicates(found, offers)
        except _Dropped as dropped:
            failures.append(PluginFailure(provider, dropped.stage, dropped.reason))
            if strict:
                raise PluginError(f"plugin {failures[-1]}") from dropped.__cause__
            if warn:
                warn(f"plugin {failures[-1]}")
            continue
        providers.append(provider)
        offers.extend(found)
    return Registry(offers, tuple(providers), tuple(failures))


def _entry_points() -> list[tuple[Provider, metadata.EntryPoint]]:
    """Walk the installed distributions, the first of each name, as ``importlib.metadata`` itself does."""
    found: list[tuple[Provider, metadata.EntryPoint]] = []
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            name, version = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower(), distribution.version
            entry_points = list(distribution.entry_points)
        except Exception:  # a damaged installation of something else is not ours to report
            continue
        if name in seen:
            continue
        seen.add(name)
        found += [
            (Provider(name, version, entry_point.name), entry_point)
            for entry_point in entry_points
            if entry_point.group == hookspecs.PROJECT
        ]
    return sorted(found, key=lambda pair: (pair[0].distribution, pair[0].entry_point))


def _load(provider: Provider, entry_point: metadata.EntryPoint) -> list[Offer[Offered]]:
    """Import one plugin, check its hooks and call them."""
    if not _OBJECT_REFERENCE.fullmatch(entry_point.value):
        raise _Dropped("import", f"the entry point's value '{entry_point.value}' is not MODULE or MODULE:OBJECT")
    try:
        plugin = entry_point.load()
    except (Exception, SystemExit) as error:
        raise _Dropped("import", _one_line(error)) from error
    offers: list[Offer[Offered]] = []
    for hook, function in _hook_implementations(plugin):
        try:
            specs = function()
        except (Exception, SystemExit) as error:
            raise _Dropped(hook, _one_line(error)) from error
        offers += [Offer(spec, provider) for spec in _checked_specs(hook, specs)]
    return offers


def _hook_implementations(plugin: object) -> list[tuple[str, Callable[[], Any]]]:
    """Return the plugin's hook functions by name, checked against the specifications."""
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
            raise _Dropped(hook, f"expected a list of {kinds[0].__name__}, got {type(spec).__name__} in it")
        if not isinstance(spec.name, str) or not NAME_PATTERN.fullmatch(spec.name):
            raise _Dropped(hook, f"the name {spec.name!r} is not of {NAME_CHARACTERS}")
        for function in ("names", "find") if isinstance(spec, Zoo) else ("build",):
            if not callable(getattr(spec, function)):
                raise _Dropped(hook, f"'{function}' of '{spec.name}' cannot be called")
        _check_fields(hook, spec)
    return specs


def _check_fields(hook: str, spec: Offered) -> None:
    """Check the types of what listings and resolution read: one wrong field must not break them for everybody."""
    for field, kind, words in _FIELDS:
        if hasattr(spec, field) and not isinstance(getattr(spec, field), kind):
            got = type(getattr(spec, field)).__name__
            raise _Dropped(hook, f"'{field}' of '{spec.name}' is not {words} but {got}")
    if isinstance(spec, BackboneSpec):
        if spec.family is not None and not NAME_PATTERN.fullmatch(spec.family):
            raise _Dropped(hook, f"the family {spec.family!r} is not of {NAME_CHARACTERS}")
        for checkpoint in spec.checkpoints:
            if not isinstance(checkpoint, Checkpoint):
                raise _Dropped(hook, f"'checkpoints' of '{spec.name}' holds {type(checkpoint).__name__}")


def _check_own_duplicates(found: list[Offer[Offered]], before: list[Offer[Offered]]) -> None:
    """Refuse a plugin that offers a name twice within one distribution: not even qualified names would differ."""
    taken = {(_kind(offer.spec), offer.qualified_name) for offer in before}
    for offer in found:
        key = (_kind(offer.spec), offer.qualified_name)
        if key in taken:
            raise _Dropped("registration", f"'{offer.name}' is offered twice by {offer.provider.distribution}")
        taken.add(key)


def _kind(spec: Offered) -> type[Offered]:
    """Return which kind a spec is, also where a plugin's own subclass refines it."""
    return next(kind for kinds in _KINDS.values() for kind in kinds if isinstance(spec, kind))


def _one_line(error: BaseException) -> str:
    """Say what an exception says, on one line; its kind where it says nothing or little by itself."""
    text = " ".join(str(error).split())
    if isinstance(error, ImportError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
