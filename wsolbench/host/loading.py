"""Loads plugins and contains their failures.

A plugin is a module whose functions are decorated with ``hookimpl``. An entry point of the group ``wsolbench`` names
it, or the user names its file. A plugin that fails at import or in a hook, or that offers an object of the wrong type,
is dropped as a whole and the reason is kept; all others work. pluggy checks the hooks. Its loader is not used: it stops
at the first bad plugin and drops duplicates silently.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from types import FunctionType, MethodType, ModuleType
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
from wsolbench.host.output import noting_stdout, plugin_output
from wsolbench.host.provider import of_the_user
from wsolbench.host.registry import Offer, Offered, PluginFailure, Registry
from wsolbench.host.settings import Snapshot
from wsolbench.host.sources import PluginFile, Source, installed_sources, sources_of_files
from wsolbench.host.tracebacks import their_part

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
    ("known_failures", Mapping, "a mapping of checks to reasons"),
)
SLOW = 15.0
"""Seconds after which a plugin that is still being loaded is named; `check` does not let it pass."""


class _Manager(pluggy.PluginManager):
    """Looks for hooks among the functions of a module alone, not among all that it imports, which takes long."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Return how a name of a plugin implements a hook; None where it does not."""
        if isinstance(plugin, ModuleType):
            value = vars(plugin).get(name)
            if not (isinstance(value, FunctionType | MethodType) and hasattr(value, f"{self.project_name}_impl")):
                return None
        return super().parse_hookimpl_opts(plugin, name)


class _Dropped(Exception):  # noqa: N818 - control flow inside this module, never seen outside
    """A plugin is dropped: at which stage, and why."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


@dataclass(frozen=True)
class Loaded:
    """A plugin after it was loaded.

    Args:
        source: Where it is.
        offers: What it offers; nothing if it is dropped.
        failure: Why it is dropped; None if it is not.
        faults: What is put back or let pass, and what a plugin is not to do all the same; None of one that was not
            examined.
    """

    source: Source
    offers: tuple[Offer[Offered], ...]
    failure: PluginFailure | None
    faults: tuple[str, ...] | None


def load_plugins(
    *, strict: bool = False, warn: Callable[[str], None] | None = None, files: Sequence[PluginFile] = ()
) -> Registry:
    """Load every installed plugin, and those of files, into a fresh registry.

    Args:
        strict: Raise at the first plugin that fails instead of dropping it.
        warn: Called with one line for every dropped plugin.
        files: Further plugins, which the user named; one that fails is an error.

    Raises:
        UsageError: A file cannot be read or is no Python file.
        PluginError: A plugin of a file failed, or another one, and `strict` is set.
    """
    loaded = []
    for each in load_each([*installed_sources(), *sources_of_files(files)]):
        loaded.append(each)
        failure = each.failure
        if failure is None:
            continue
        if each.source.named is not None:
            raise error_of_named(each.source.named, failure) from failure.error
        if strict:
            raise PluginError(f"plugin {failure}") from failure.error
        if warn:
            warn(f"plugin {failure}; the plugin is not loaded")
    return registry_of(loaded)


def error_of_named(named: str, failure: PluginFailure) -> PluginError:
    """Return the error for a file that fails; the traceback behind it begins in the file."""
    message = f"{named} ({failure.stage}): {failure.reason}"
    if failure.error is None:
        return PluginError(message)
    failure.error.__traceback__ = their_part(failure.error)
    return PluginError(f"{message}; --debug shows the traceback")


def registry_of(loaded: Iterable[Loaded]) -> Registry:
    """Return a registry of plugins that were loaded."""
    loaded = list(loaded)
    return Registry(
        [offer for each in loaded for offer in each.offers],
        tuple(each.source.provider for each in loaded if each.failure is None),
        tuple(each.failure for each in loaded if each.failure is not None),
    )


def load_each(sources: Sequence[Source], *, examined: bool = False) -> Iterator[Loaded]:
    """Load one plugin after the other.

    Args:
        sources: The plugins.
        examined: Whether those of others are loaded without a network, and faults are noted that are let pass
            otherwise.

    Raises:
        PluginError: A plugin replaces functions that cannot be put back.
    """
    originals: Originals | None = None
    names: set[tuple[type[Offered], str]] = set()
    manager = _Manager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for source in sources:
        # Comparing takes longer than loading our own plugins, which change nothing: tests hold them to it.
        is_trusted = source.provider.distribution == hookspecs.PROJECT
        if originals is None and not is_trusted:
            import wsolbench.protocol  # noqa: F401 - its functions are noted before a plugin can replace them

            originals = Originals.take()
        watched = None if is_trusted else originals
        loaded = _loaded(source, manager, names, watched, examined=examined and not is_trusted)
        names |= {(_kind(offer.spec), offer.qualified_name) for offer in loaded.offers}
        yield loaded


def _loaded(
    source: Source,
    manager: pluggy.PluginManager,
    names: set[tuple[type[Offered], str]],
    originals: Originals | None,
    *,
    examined: bool,
) -> Loaded:
    """Load one plugin.

    Args:
        source: The plugin.
        manager: Knows the hooks.
        names: Kinds and qualified names of what others offer.
        originals: The functions that it must not replace; None for one that is trusted.
        examined: See `load_each`.
    """
    faults = Faults()
    offers: list[Offer[Offered]] = []
    failure: PluginFailure | None = None
    announcing = nullcontext() if originals is None else _announcing_slow(source)  # a thread for each of ours is slow
    try:
        with plugin_output(), announcing, faults.noted() if examined else nullcontext():
            found = (
                _load(source, manager) if originals is None else _load_unchanging(source, manager, originals, faults)
            )
        _check_own_duplicates(found, names)
        offers = found
    except _Dropped as dropped:
        failure = PluginFailure(source.provider, dropped.stage, dropped.reason, dropped.__cause__)
    return Loaded(source, tuple(offers), failure, faults.in_words() if examined else None)


@dataclass
class Faults:
    """What a plugin does that is put back or let pass.

    Args:
        connections: What it connects to.
        printed: What it prints to stdout.
        settings: Settings that it changes: random generators, threads, where modules are looked for.
        forks: A text for every process that it forks.
        started: The names of threads that it starts and leaves behind.
        seconds: How long it takes to load.
    """

    connections: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    forks: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note inside the block what is printed, started and how long it takes; refuse connections and forks."""
        from wsolbench.host.offline import offline, unforked  # loads what other commands can do without

        threads, began = set(threading.enumerate()), time.perf_counter()
        try:
            with offline(self.connections), unforked(self.forks), noting_stdout(self.printed):
                yield
        finally:
            self.seconds = time.perf_counter() - began
            self.started += [thread.name for thread in threading.enumerate() if thread not in threads]

    def in_words(self) -> tuple[str, ...]:
        """Return the faults as sentences without a full stop."""
        first = next((line.strip() for line in "".join(self.printed).splitlines() if line.strip()), None)
        return (
            *(f"it opens a connection to {each}" for each in dict.fromkeys(self.connections)),
            *dict.fromkeys(self.forks),
            *(f"it starts a thread that goes on, '{each}'" for each in self.started),
            *([f"it takes {self.seconds:.1f} s, for which every command waits"] if self.seconds > SLOW else []),
            *(f"it changes {each}" for each in self.settings),
            *([] if first is None else [f"it prints '{first}' to stdout"]),
        )


@contextmanager
def _announcing_slow(source: Source) -> Iterator[None]:
    """Say on stderr which plugin is being loaded, if that takes long: it may never end."""
    stderr = sys.stderr

    def announce() -> None:
        with suppress(ValueError, OSError):  # stderr may have been closed
            print(
                f"still loading the plugin {source.provider}; if it never ends, press Ctrl-C and {_remedy(source)}",
                file=stderr,
                flush=True,
            )

    timer = threading.Timer(SLOW, announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _load_unchanging(
    source: Source, manager: pluggy.PluginManager, originals: Originals, faults: Faults
) -> list[Offer[Offered]]:
    """Load one plugin; drop it if it changes what the scores of others depend on, and put that back.

    Raises:
        PluginError: It replaces functions that cannot be put back.
    """
    originals.note_new(source.package)  # what our own plugins have loaded in between
    settings = Snapshot.take(draws=True)
    try:
        offers = _load(source, manager)
    finally:
        faults.settings += settings.watched_changes()
        changed = settings.restore()
        replaced = originals.restore()
        lost = originals.note_new(source.package)
    if lost:
        raise PluginError(
            f"plugin {source.provider} replaces {', '.join(lost)}, which cannot be put back: {_remedy(source)}"
        )
    if changed:
        raise _Dropped("import", f"it changes {', '.join(changed)}, on which scores may depend")
    if replaced:
        raise _Dropped("import", f"it replaces {', '.join(replaced)}, on which scores may depend")
    return offers


def _remedy(source: Source) -> str:
    if source.named is None:
        return f"uninstall it (pip uninstall {source.provider.distribution})"
    return f"omit {source.named}"


def _load(source: Source, manager: pluggy.PluginManager) -> list[Offer[Offered]]:
    """Import one plugin, check its hooks and call them."""
    with _dropping("import"):
        plugin = source.load()
    offers: list[Offer[Offered]] = []
    for hook, function in _hook_implementations(plugin, manager):
        with _dropping(hook):
            specs = function()
        offers += [Offer(spec, source.provider) for spec in _checked_specs(hook, specs)]
    return offers


@contextmanager
def _dropping(stage: str) -> Iterator[None]:
    """Drop the plugin whose code fails or exits inside the block."""
    try:
        yield
    except BaseException as error:
        if of_the_user(error):
            raise
        raise _Dropped(stage, _one_line(error)) from error


def _hook_implementations(plugin: object, manager: pluggy.PluginManager) -> list[tuple[str, Callable[[], Any]]]:
    """Return the plugin's hook functions as (hook, function), checked against the hook specifications."""
    for hook in _KINDS:
        if takes := _parameters(getattr(plugin, hook, None)):
            raise _Dropped("registration", f"the hook '{hook}' takes no argument, and here it takes {takes}")
    try:
        manager.register(plugin)
        callers = manager.get_hookcallers(plugin) or []
        found = [
            (caller, each.function) for caller in callers for each in caller.get_hookimpls() if each.plugin is plugin
        ]
    except Exception as error:
        raise _Dropped("registration", _one_line(error)) from error
    finally:
        if manager.is_registered(plugin):
            manager.unregister(plugin)
    if not callers:
        raise _Dropped("registration", f"no function is decorated with @hookimpl; the hooks are {', '.join(_KINDS)}")
    for caller in callers:
        if not caller.has_spec():
            raise _Dropped("registration", f"unknown hook '{caller.name}'; the hooks are {', '.join(_KINDS)}")
    return [(caller.name, function) for caller, function in found]


def _parameters(hook: object) -> str:
    """Return the parameters of a hook, as in ``(registry, config)``; empty where it has none, or is no function."""
    if not inspect.isfunction(hook):
        return ""
    names = inspect.signature(hook).parameters
    return f"({', '.join(names)})" if names else ""


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
                raise _Dropped(
                    hook,
                    f"'{function}' of '{spec.name}' is not callable; give the class or function, and do not call it",
                )
        _check_fields(hook, spec)
    return specs


def _functions_of(spec: Offered) -> tuple[str, ...]:
    """Return the fields of a spec that are functions."""
    if isinstance(spec, Zoo):
        return ("names", "find")
    return ("build", "network") if isinstance(spec, SystemSpec) else ("build",)


def _check_fields(hook: str, spec: Offered) -> None:
    """Check the types of the fields that listings and name resolution read: they must not fail for other plugins."""
    for name, kind, expected in _FIELDS:
        if hasattr(spec, name) and not isinstance(getattr(spec, name), kind):
            got = type(getattr(spec, name)).__name__
            raise _Dropped(hook, f"'{name}' of '{spec.name}' must be {expected}, got {got}")
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


def _check_own_duplicates(found: list[Offer[Offered]], names: set[tuple[type[Offered], str]]) -> None:
    """Check that a distribution offers a name once: otherwise not even the qualified names would differ.

    Args:
        found: What a plugin offers.
        names: Kinds and qualified names of what the plugins before it offer.
    """
    taken = set(names)
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
