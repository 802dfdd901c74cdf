"""The names of a new plugin: what users type, its distribution and its import package; names that are taken."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from unicodedata import combining, normalize

from wsolbench.contract.names import NAME_CHARACTERS, NAME_PATTERN
from wsolbench.errors import UsageError
from wsolbench.host.registry import Registry

__all__ = ["Names"]


@dataclass(frozen=True)
class Names:
    """The names of a plugin in a distribution of its own.

    Args:
        name: What users type, such as ``my-net``.
        distribution: What pip calls it, ``my-net``.
        package: What Python imports, ``my_net``.
    """

    name: str
    distribution: str
    package: str

    @classmethod
    def of(cls, name: str) -> Names:
        """Derive distribution and package from the name of a plugin.

        Raises:
            UsageError: It cannot be the name of a plugin, or the package would be a word or a module of Python.
        """
        if not NAME_PATTERN.fullmatch(name):
            letters = "".join(each for each in normalize("NFKD", name) if not combining(each))
            plain = re.sub(r"[^a-z0-9_.+-]+", "-", letters.casefold()).strip("_.+-")
            instead = f"; type '{plain}' instead" if plain else ""
            raise UsageError(f"'{name}': a name consists of {NAME_CHARACTERS}, a letter or digit first{instead}")
        package = re.sub(r"\W+", "_", name)
        package = f"wsol_{package}" if package[0].isdigit() else package
        distribution = re.sub(r"[^a-z0-9]+", "-", name).strip("-")
        if keyword.iskeyword(package):
            raise _taken(name, f"'{package}' is a word of Python")
        if package in sys.stdlib_module_names:
            raise _taken(name, f"'{package}' is a module of Python's own library")
        return cls(name, distribution, package)

    def check_free(self, registry: Registry) -> None:
        """Check that nothing that is installed has one of the names.

        Args:
            registry: The plugins that are installed.

        Raises:
            UsageError: A plugin, a module or a distribution has it.
        """
        for holder in self._offered(registry):
            raise _taken(self.name, f"it is {holder}")
        if _is_importable(self.package):
            raise _taken(self.name, f"a Python module called '{self.package}' is installed")
        with suppress(metadata.PackageNotFoundError):
            installed = metadata.distribution(self.distribution)
            raise _taken(self.name, f"the distribution {self.distribution} {installed.version} is installed")

    def _offered(self, registry: Registry) -> Iterator[str]:
        """Yield what has the name among plugins: of any kind, the prefix of many names, or a family of networks."""
        for catalogue in registry.catalogues:
            for offer in (*catalogue, *catalogue.zoos):
                if offer.name == self.name:
                    yield f"the {catalogue.noun} of {offer.provider}"
        for variant in registry.family(self.name):
            yield f"a family of backbones of {variant.provider}"


def _taken(name: str, why: str) -> UsageError:
    return UsageError(f"'{name}' is taken, as {why}; choose another name, such as 'my-{name}'")


def _is_importable(package: str) -> bool:
    """Return whether Python finds a module; a folder without ``__init__.py`` is none."""
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # a finder of another package, or a module that is half imported
        return True
    return found is not None and found.origin is not None
