"""Everything the loaded plugins offer, found by name; unknown and ambiguous names get a helpful error."""

from __future__ import annotations

import difflib
import inspect
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeAlias, TypeVar

from wsolbench.contract import (
    BackboneSpec,
    BackboneZoo,
    DatasetSpec,
    MethodSpec,
    MethodZoo,
    RecipeSpec,
    Spec,
    SystemSpec,
    Zoo,
)
from wsolbench.contract.names import NAME_PATTERN
from wsolbench.contract.systems import NotServedError, served
from wsolbench.errors import UnknownNameError, UsageError, WsolbenchError
from wsolbench.host.provider import Provider, blaming
from wsolbench.texts import natural_key

_EXAMPLE_SECONDS = 2.0
"""Time for an example in an error message; networks with a small input come first, and are built in no time."""
_SLIP = 0.85
"""Ratio of letters in common from which a listed name is meant: zoos, whose libraries are slow, are not asked then."""

Offered: TypeAlias = Spec | Zoo[Spec]
O_co = TypeVar("O_co", bound=Offered, covariant=True)
S_co = TypeVar("S_co", bound=Spec, covariant=True)


def kind_of(spec: Offered) -> str:
    """Return the word for the kind of what a plugin offers, as on the command line."""
    kinds: dict[str, tuple[type[Offered], ...]] = {
        "backbone": (BackboneSpec, BackboneZoo),
        "method": (MethodSpec, MethodZoo),
        "dataset": (DatasetSpec,),
        "recipe": (RecipeSpec,),
        "system": (SystemSpec,),
    }
    return next(word for word, types in kinds.items() if isinstance(spec, types))


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that was dropped: at which stage, why, and by which exception of its code, if by any."""

    provider: Provider
    stage: str
    reason: str
    error: BaseException | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.provider} ({self.stage}): {self.reason}"


@dataclass(frozen=True)
class Offer(Generic[O_co]):
    """A spec and its provider."""

    spec: O_co
    provider: Provider

    @property
    def name(self) -> str:
        """The short name."""
        return self.spec.name

    @property
    def qualified_name(self) -> str:
        """``distribution:name``, which is never ambiguous."""
        return f"{self.provider.distribution}:{self.spec.name}"


@dataclass(frozen=True)
class Fitting:
    """What in zoos has the entries of a weights file: the names, of how many, and whether time sufficed for all."""

    names: tuple[str, ...]
    compared: int
    whole: bool


class Catalogue(Generic[S_co]):
    """All offers of one kind: the listed ones, and those that a zoo finds by a name behind its prefix."""

    def __init__(
        self,
        kind: str,
        offers: Iterable[Offer[S_co]],
        failures: tuple[PluginFailure, ...] = (),
        zoos: Iterable[Offer[Zoo[S_co]]] = (),
    ) -> None:
        self.kind = kind
        self.zoos = tuple(zoos)
        self.others: tuple[Catalogue[Any], ...] = ()
        self._offers = sorted(offers, key=lambda offer: (offer.name, offer.provider.distribution))
        self._failures = failures

    @property
    def noun(self) -> str:
        """The kind in a message; `kind` is its word on the command line."""
        return "data set" if self.kind == "dataset" else self.kind

    def __iter__(self) -> Iterator[Offer[S_co]]:
        return iter(self._offers)

    def __len__(self) -> int:
        return len(self._offers)

    def find(self, name: str) -> list[Offer[S_co]]:
        """Return all offers with a short or a qualified name; more than one means that the name is ambiguous.

        Raises:
            UsageError: A zoo knows the name but cannot offer it.
            PluginError: A zoo's code fails.
        """
        if ":" not in name:
            return [offer for offer in self._offers if offer.name == name]
        listed = [offer for offer in self._offers if offer.qualified_name == name]
        return listed or [_find_in(zoo, rest) for zoo, rest in self._prefixed(name) if rest in _names_in(zoo)]

    def knows(self, name: str, *, zoos: bool = True) -> bool:
        """Return whether an offer has a short name; in zoos, behind their prefix. Raises ``PluginError``."""
        listed = any(offer.name == name for offer in self._offers)
        return listed or (zoos and any(name in _names_in(zoo) for zoo in self.zoos))

    def named(self, name: str) -> str | None:
        """Return the name of the offer that a name without prefix belongs to; None where there is none.

        Raises:
            UsageError: A zoo knows the name but cannot offer it.
            PluginError: A zoo's code fails.
        """
        if any(offer.name == name for offer in self._offers):
            return name
        return next((_find_in(zoo, name).name for zoo in self.zoos if name in _names_in(zoo)), None)

    def fitting(self, shapes: Mapping[str, tuple[int, ...]], like: str, seconds: float, others: float) -> Fitting:
        """Look in zoos for what has the entries of a weights file.

        Args:
            shapes: Entry -> shape.
            like: Similar names come first.
            seconds: No further one is looked at after this time of computing.
            others: The time for others once the first is found.

        Raises:
            PluginError: A zoo's code fails.
        """
        names: list[str] = []
        ends, compared = time.process_time() + seconds, 0  # other processes do not shorten the search
        for zoo in self.zoos:
            with blaming(zoo.provider, f"looking in '{zoo.name}' for the network of a file"):
                for found in zoo.spec.fitting(shapes, like) if zoo.spec.fitting else ():
                    compared += 1
                    if found:
                        ends = ends if names else min(ends, time.process_time() + others)
                        names.append(f"{zoo.name}:{found}")
                    if time.process_time() > ends:
                        return Fitting(tuple(names), compared, whole=False)
        return Fitting(tuple(names), compared, whole=True)

    def shown_name(self, offer: Offer[Spec]) -> str:
        """Return the name to type for an offer: the short name, or the qualified one if the short name is ambiguous."""
        return offer.name if len(self.find(offer.name)) == 1 else offer.qualified_name

    def get(self, name: str) -> Offer[S_co]:
        """Return the one offer with a short or a qualified name.

        Raises:
            UnknownNameError: No plugin offers the name, or several do.
            UsageError: A zoo knows the name but cannot offer it.
            PluginError: A zoo's code fails.
        """
        found = self.find(name)
        if len(found) == 1:
            return found[0]
        raise self.ambiguous(name, found) if found else self.unknown(name)

    def ambiguous(self, name: str, rivals: Iterable[Offer[Spec]]) -> UnknownNameError:
        """Return the error for a name with several offers, with the qualified names to type instead."""
        lines = "".join(f"\n  {rival.qualified_name}" for rival in rivals)
        return UnknownNameError(f"more than one plugin offers the {self.noun} '{name}'. Type one of{lines}")

    def unknown(self, name: str, also: Iterable[str] = ()) -> UnknownNameError:
        """Return the error for a name without an offer, with close matches and the plugins that failed to load."""
        known = self.names_like(name) | set(also)
        listing = _shown_by(f"list {self.kind}s", len(self._offers), self.zoos)
        networks = self.zoos if self.kind == "backbone" else ()
        return _unknown(self.noun, name, known, listing, networks, self._failures, self.misplaced(name))

    def misplaced(self, name: str) -> str:
        """Say what a name is that is typed in the place of this kind: one of another kind; empty where it is none."""
        kind = next((other.kind for other in self.others if other.knows(name, zoos=False)), "")
        if kind == "system":
            return f"It is a system, which stands before a network: --backbone {name}:NAME"
        return f"It is a {kind}: --{kind} {name}" if kind else ""

    def names_like(self, name: str) -> set[str]:
        """Return the names to search for close matches; behind the prefix of a zoo, the zoo's names."""
        if ":" not in name:
            return {self.shown_name(offer) for offer in self._offers} | {f"{zoo.name}:NAME" for zoo in self.zoos}
        behind = {name.removesuffix(rest) + known for zoo, rest in self._prefixed(name) for known in _names_in(zoo)}
        return behind | {offer.qualified_name for offer in self._offers}

    def _prefixed(self, name: str) -> list[tuple[Offer[Zoo[S_co]], str]]:
        """Return the zoos whose short or qualified prefix a name starts with, each with the rest of the name."""
        return [
            (zoo, name.removeprefix(f"{prefix}:"))
            for zoo in self.zoos
            for prefix in (zoo.name, zoo.qualified_name)
            if name.startswith(f"{prefix}:")
        ]


def _names_in(zoo: Offer[Zoo[S_co]]) -> set[str]:
    with blaming(zoo.provider, f"listing '{zoo.name}'"):
        return set(zoo.spec.names())


def _find_in(zoo: Offer[Zoo[S_co]], name: str) -> Offer[S_co]:
    with blaming(zoo.provider, f"looking up '{name}' in '{zoo.name}'"):
        spec = zoo.spec.find(name)
        return Offer(replace(spec, name=f"{zoo.name}:{spec.name}"), zoo.provider)


class Networks(Catalogue[BackboneSpec]):
    """All networks: as plugins offer them, and behind the name of a system as that system builds them."""

    def __init__(
        self,
        offers: Iterable[Offer[BackboneSpec]],
        failures: tuple[PluginFailure, ...],
        zoos: Iterable[Offer[Zoo[BackboneSpec]]],
        systems: Iterable[Offer[SystemSpec]],
    ) -> None:
        super().__init__("backbone", offers, failures, zoos)
        self._systems = tuple(systems)

    def find(self, name: str) -> list[Offer[BackboneSpec]]:
        """Return all offers with a name, as `Catalogue.find` does; behind the name of a system, what it trains.

        Raises:
            UsageError: A zoo cannot offer the network, or a system cannot serve it.
            UnknownNameError: Several plugins offer the network that stands behind the name of a system.
            PluginError: A plugin's code fails.
        """
        found = super().find(name)
        if found:
            return found
        for system, rest in self.split(name):
            bases = super().find(rest)
            if len(bases) > 1:
                raise self.ambiguous(rest, bases)
            found += [self._served(system, base) for base in bases]
        return found

    def split(self, name: str) -> list[tuple[Offer[SystemSpec], str]]:
        """Return the systems that a name may begin with, by their short or qualified names, each with the rest."""
        return [
            (system, name.removeprefix(f"{prefix}:"))
            for system in self._systems
            for prefix in (system.name, system.qualified_name)
            if name.startswith(f"{prefix}:")
        ]

    def misplaced(self, name: str) -> str:
        """Say what is wrong with the system before a network; else as `Catalogue.misplaced`, but for systems alone."""
        prefix, colon, rest = name.partition(":")
        if not colon:
            if any(system.name == name for system in self._systems):
                return ""
            return self._written_otherwise(name) or super().misplaced(name)
        if not prefix:
            return f"No system stands before the colon: type SYSTEM:{rest or 'NAME'}, or {rest or 'NAME'} alone"
        if not rest and any(system.name == prefix for system in self._systems):
            return f"No network stands behind the colon: type {prefix}:NAME"
        stacked = [(one, two, base) for one, behind in self.split(name) for two, base in self.split(behind)]
        if stacked:
            one, two, base = stacked[0]
            return f"Systems do not stack; type '{one.name}:{base}' or '{two.name}:{base}'"
        kinds: tuple[Catalogue[Any], ...] = (self, *self.others)
        leading: list[Offer[Any]] = [*self._systems, *(zoo for kind in kinds for zoo in kind.zoos)]
        offers = [*leading, *(offer for kind in kinds for offer in kind)]
        named = list(dict.fromkeys(each.name for each in leading))
        if prefix in (*named, *(offer.provider.distribution for offer in offers)):
            return ""
        close = difflib.get_close_matches(prefix.lower(), named, cutoff=0.5)
        meant = f"Did you mean {' or '.join(repr(f'{each}:{rest}') for each in close)}? "
        said = f"No system is called '{prefix}'; 'wsolbench list systems' shows all {len(self._systems)}"
        return (meant if close else "") + said

    def _written_otherwise(self, name: str) -> str:
        """Return what to type for a system and a network with another sign between them; empty where they are none."""
        for system in self._systems:
            rest = name.removeprefix(system.name)
            if rest[:1] in ("/", "-", "_", ".", "+", " ") and super().find(rest[1:]):
                return f"Did you mean '{system.name}:{rest[1:]}'? A colon stands behind the name of a system"
        return ""

    def system_of(self, name: str) -> Offer[SystemSpec] | None:
        """Return the system that trains the network of a name, which is one; None for a network alone."""
        if super().find(name):
            return None
        return next((system for system, rest in self.split(name) if super(Networks, self).find(rest)), None)

    def family(self, name: str) -> list[Offer[BackboneSpec]]:
        """Return the variants of a family; empty if there is no such family.

        Behind the name of a system, those that it can serve.

        Raises:
            UsageError: A system can serve none of them.
        """
        found = [offer for offer in self if offer.spec.family == name]
        for system, rest in [] if found else self.split(name):
            refused: UsageError | None = None
            for base in self.family(rest) if ":" not in rest else []:
                try:
                    found.append(self._served(system, base))
                except UsageError as error:
                    refused = refused or error
            if refused is not None and not found:
                raise refused
        return found

    def names_like(self, name: str) -> set[str]:
        """Return the names to search for close matches, as `Catalogue.names_like` does, also behind systems."""
        prefix, colon, rest = name.partition(":")
        if not colon:
            return super().names_like(name) | {f"{system.name}:NAME" for system in self._systems}
        found: set[str] = set()
        for system in self._systems:
            if system.name == prefix:
                found |= {f"{prefix}:{like}" for like in super().names_like(rest)}
            with suppress(WsolbenchError):
                found |= {f"{system.name}:{rest}"} if super().find(rest) or self.family(rest) else set()
        return found or super().names_like(name)

    def _served(self, system: Offer[SystemSpec], base: Offer[BackboneSpec]) -> Offer[BackboneSpec]:
        """Return the network that a system trains in place of another one.

        Raises:
            UsageError: It cannot serve the network: the specification shows it, or the network when it is built.
            PluginError: The system's code fails.
        """

        def refusal(reason: str) -> UsageError:
            example = self.trained_by(system)
            instead = f"; it trains, for example, '{system.name}:{self.shown_name(example)}'" if example else ""
            return UsageError(f"the system '{system.name}' cannot train '{base.name}': {reason}{instead}")

        with blaming(system.provider, f"preparing '{base.name}' for the system '{system.name}'"):
            try:
                spec = served(system.spec, base.spec)
            except UsageError as error:
                raise refusal(str(error)) from error
            family = None if spec.family is None else f"{system.name}:{spec.family}"
            made = replace(spec, name=f"{system.name}:{base.name}", family=family, system=system.name)
            return Offer(made if spec.build is base.spec.build else _refusing(made, refusal), system.provider)

    def trained_by(self, system: Offer[SystemSpec]) -> Offer[BackboneSpec] | None:
        """Return a network that a system can train, with a small input; None where none is found in a short time."""
        began = time.monotonic()
        for offer in sorted(self, key=lambda offer: offer.spec.input.size):
            if time.monotonic() - began < _EXAMPLE_SECONDS and _can_be_built(system, offer):
                return offer
        return None


def _refusing(spec: BackboneSpec, refusal: Callable[[str], UsageError]) -> BackboneSpec:
    """Return the specification of a changed network that is refused in other words where it cannot be changed."""
    build, at_size = spec.build, spec.at_size

    def built(*given: Any, **options: Any) -> Any:
        try:
            return build(*given, **options)
        except NotServedError as error:
            raise refusal(error.reason) from error

    built.__signature__ = inspect.signature(build, eval_str=True)  # type: ignore[attr-defined]
    sized = None if at_size is None else lambda size: _refusing(at_size(size), refusal)
    return replace(spec, build=built, at_size=sized)


def _can_be_built(system: Offer[SystemSpec], base: Offer[BackboneSpec]) -> bool:
    """Return whether a system can serve a network, which is built without memory."""
    import torch

    try:
        with blaming(system.provider, f"preparing '{base.name}'"), torch.device("meta"):
            served(system.spec, base.spec).build(2)
    except WsolbenchError:
        return False
    return True


class Registry:
    """Everything the installed plugins offer, and the plugins that failed to load."""

    def __init__(
        self,
        offers: Iterable[Offer[Offered]],
        providers: tuple[Provider, ...] = (),
        failures: tuple[PluginFailure, ...] = (),
    ) -> None:
        self.providers = providers
        self.failures = failures
        self._offers = tuple(offers)
        systems = self._of(SystemSpec)
        self.backbones = Networks(self._of(BackboneSpec), failures, self._of(BackboneZoo), systems)
        self.methods = Catalogue("method", self._of(MethodSpec), failures, self._of(MethodZoo))
        self.datasets: Catalogue[DatasetSpec] = Catalogue("dataset", self._of(DatasetSpec), failures)
        self.recipes: Catalogue[RecipeSpec] = Catalogue("recipe", self._of(RecipeSpec), failures)
        self.systems: Catalogue[SystemSpec] = Catalogue("system", systems, failures)
        for catalogue in self.catalogues:
            catalogue.others = tuple(each for each in self.catalogues if each is not catalogue)

    def including(self, offer: Offer[Offered]) -> Registry:
        """Return a registry that has one more offer, in place of an earlier one of its provider and name."""
        kept = [each for each in self._offers if not _replaces(offer, each)]
        return Registry([*kept, offer], self.providers, self.failures)

    def _of(self, kind: type[O_co]) -> list[Offer[O_co]]:
        return [Offer(offer.spec, offer.provider) for offer in self._offers if isinstance(offer.spec, kind)]

    @property
    def catalogues(self) -> tuple[Catalogue[Spec], ...]:
        """All catalogues, in the order of the listings."""
        return (self.backbones, self.methods, self.datasets, self.recipes, self.systems)

    def find(self, name: str) -> list[Offer[Spec]]:
        """Return all offers with a name, of any kind; for a family of networks, all its variants; none of no offer.

        Raises:
            UnknownNameError: Several plugins offer it as the same kind.
            UsageError: A zoo knows the name but cannot offer it.
            PluginError: A zoo's code fails.
        """
        found: list[Offer[Spec]] = []
        for catalogue in self.catalogues:
            offers = catalogue.find(name)
            if len(offers) > 1:
                raise catalogue.ambiguous(name, offers)
            found += offers
        return found or list(self.family(name))

    def unknown(self, name: str) -> UnknownNameError:
        """Return the error for a name that no plugin offers as anything."""
        known = {offer.spec.family for offer in self.backbones if offer.spec.family}
        known |= {like for catalogue in self.catalogues for like in catalogue.names_like(name)}
        zoos = [zoo for catalogue in self.catalogues for zoo in catalogue.zoos]
        listing = _shown_by("list", sum(map(len, self.catalogues)), zoos)
        wrong = self.backbones.misplaced(name) if ":" in name else ""
        return _unknown("name", name, known, listing, self.backbones.zoos, self.failures, wrong)

    def sized(self, name: str) -> tuple[str, int | None]:
        """Return the name of a network or family, and the size of its input where that is typed behind the name.

        ``replknet_31b_224`` is ``replknet_31b`` at 224 pixels, and ``hornet_large_gf_384`` is a network of this name.
        """
        behind = re.fullmatch(r"(.+)_(\d{2,4})", name)
        if behind is None or self._has_networks(name) or not self._has_networks(behind[1]):
            return name, None
        return behind[1], int(behind[2])

    def usual_method(self, name: str) -> str:
        """Return the method that the system of a network states for its maps, or CAM."""
        system = self.backbones.system_of(self.sized(name)[0])
        return "cam" if system is None else system.spec.method

    def _has_networks(self, name: str) -> bool:
        return bool(self.backbones.find(name) or self.family(name))

    def networks(self, name: str) -> list[Offer[BackboneSpec]]:
        """Return the network of a name alone or, if it is the name of a family, its variants.

        Args:
            name: The name, perhaps with a size behind it.

        Raises:
            UnknownNameError: No plugin offers the name, or several do.
        """
        name, _ = self.sized(name)
        found = self.backbones.find(name)
        if len(found) > 1:
            raise self.backbones.ambiguous(name, found)
        variants = found or self.family(name)
        if not variants:
            families = {offer.spec.family for offer in self.backbones if offer.spec.family}
            raise self.backbones.unknown(name, also=families)
        return variants

    def family(self, name: str) -> list[Offer[BackboneSpec]]:
        """Return the variants of a family of networks; empty if there is no such family. See `Networks.family`."""
        return self.backbones.family(name)


def _replaces(offer: Offer[Offered], earlier: Offer[Offered]) -> bool:
    return offer.qualified_name == earlier.qualified_name and isinstance(offer.spec, type(earlier.spec))


def _nearest(name: str, known: Collection[str]) -> list[str]:
    """Return the known names that are most like another one, the most alike first, equals in their natural order.

    Behind the prefix of a zoo, names that start with what was typed come first, then those that contain its words.
    """
    prefix, colon, typed = name.rpartition(":")
    behind = {each: each.removeprefix(prefix + colon) for each in known} if colon else {}
    words = set(_words(typed))
    begin = [each for each, rest in behind.items() if rest.startswith(typed)]
    contain = [each for each, rest in behind.items() if words & set(_words(rest))]
    near = {*begin, *contain} or difflib.get_close_matches(name, known, n=max(1, len(known)), cutoff=0.5)

    def rank(each: str) -> tuple[object, ...]:
        shared = len(words & set(_words(behind[each]))) if each in behind else 0
        likeness = difflib.SequenceMatcher(None, each, name).ratio()
        tagged = each in behind and "." in behind[each]  # the name without the tag of its weights says the same
        return each not in begin, -shared, tagged, -likeness, natural_key(each)

    return sorted(near, key=rank)[:3]


def _in_zoos(zoos: Iterable[Offer[Zoo[Spec]]], typed: str) -> list[str]:
    """Return the names in zoos that start with or contain what was typed without their prefix, or with ``/`` behind it.

    A zoo that cannot list its names has none.
    """
    found = []
    for zoo in zoos:
        rest = typed.removeprefix(f"{zoo.name}/")
        if ":" in rest or NAME_PATTERN.fullmatch(rest) is None:
            continue
        with suppress(WsolbenchError):
            names = [f"{zoo.name}:{name}" for name in _names_in(zoo) if rest in name]
            found += _nearest(f"{zoo.name}:{rest}", names) if names else []
    return found


def _words(name: str) -> list[str]:
    """Return the parts of a name that are at least three characters long."""
    return [word for word in re.split(r"[^a-z0-9]+", name) if len(word) >= 3]


def _shown_by(command: str, count: int, zoos: Iterable[Offer[Zoo[Spec]]]) -> str:
    """Say what lists the names, and which further ones a prefix gives."""
    behind = " or ".join(f"{zoo.name}:NAME" for zoo in zoos)
    return f"'wsolbench {command}' shows all {count}" + (f", and there is any {behind}" if behind else "")


def _unknown(
    kind: str,
    name: str,
    known: set[str],
    listing: str,
    networks: Iterable[Offer[Zoo[Spec]]],
    failures: tuple[PluginFailure, ...],
    misplaced: str = "",
) -> UnknownNameError:
    """Return the error for a name without an offer, with what it is elsewhere, or names that are like it."""
    typed = name.lower()
    by_lowercase = {known_name.lower(): known_name for known_name in known}
    behind = sorted(known_name for known_name in by_lowercase if known_name.startswith(f"{typed}:"))
    near = _nearest(typed, by_lowercase)
    slip = near and difflib.SequenceMatcher(None, near[0], typed).ratio() >= _SLIP
    zoos = [] if behind or slip else _in_zoos(networks, typed)
    begin = [match for match in near if match.startswith(typed)]
    close = dict.fromkeys(by_lowercase.get(match, match) for match in [*behind, *begin, *zoos, *near])
    hint = f" Did you mean {' or '.join(map(repr, list(close)[:3]))}?" if close else ""
    message = f"unknown {kind} '{name}'.{f' {misplaced}.' if misplaced else hint}\n  {listing}."
    if failures:
        message += " Not loaded:" + "".join(f"\n  {failure}" for failure in failures)
    return UnknownNameError(message)
