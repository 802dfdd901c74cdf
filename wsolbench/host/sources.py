"""Where plugins are: in modules that installed distributions name, or in files that the user names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from wsolbench.contract.names import SOURCE
from wsolbench.errors import UsageError
from wsolbench.files import read_regular
from wsolbench.host.hookspecs import PROJECT
from wsolbench.host.provider import UNRELEASED, Provider

__all__ = ["PluginFile", "Source", "installed_sources", "source_of_file", "source_of_module", "sources_of_files"]

_OBJECT_REFERENCE = re.compile(r"[\w.]+\s*(:\s*[\w.]+\s*)?(\[.*\]\s*)?")
_LARGEST_FILE = 16 * 1024**2


@dataclass(frozen=True)
class PluginFile:
    """A plugin's file as the user names it.

    Args:
        path: The file.
        named_by: Where it is named, as in ``--plugin``; empty for an argument.
    """

    path: Path
    named_by: str

    def __str__(self) -> str:
        return f"{self.named_by} {self.path}".strip()


@dataclass(frozen=True)
class Source:
    """A plugin that is not loaded yet.

    Args:
        provider: Who offers it.
        module: The name of its module.
        load: Imports it and returns the object with its hooks.
        named: How the user named it; None for an installed plugin, which nobody has to name.
    """

    provider: Provider
    module: str
    load: Callable[[], object]
    named: str | None = None

    @property
    def package(self) -> str:
        """The name of its top-level module."""
        return self.module.partition(".")[0]


def installed_sources() -> list[Source]:
    """Return the plugins of all installed distributions; the first of a name counts, as in importlib.metadata."""
    names: set[str] = set()
    for distribution in metadata.distributions():
        with suppress(Exception):  # a damaged installation of another package is not ours to report
            if _of_plugins(distribution):  # the metadata of all packages would take longer than most commands
                names.add(re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower())
    found: list[Source] = []
    for name in sorted(names):
        with suppress(Exception):
            first = metadata.distribution(name)
            version = first.version  # parses the metadata
            found += [
                source_of_entry_point(Provider(name, version, entry_point.name), entry_point)
                for entry_point in _of_plugins(first)
            ]
    return sorted(found, key=lambda source: (source.provider.distribution, source.provider.entry_point))


def source_of_entry_point(provider: Provider, entry_point: metadata.EntryPoint) -> Source:
    """Return the plugin that an entry point names."""

    def load() -> object:
        if not _OBJECT_REFERENCE.fullmatch(entry_point.value):
            raise ImportError(f"the entry point '{entry_point.value}' must be written MODULE or MODULE:OBJECT")
        return entry_point.load()

    return Source(provider, entry_point.value.partition(":")[0].strip(), load)


def source_of_module(name: str, installed: Iterable[Source]) -> Source | None:
    """Return the plugin of a module that can be imported: an installed plugin where one is of it; None for no module.

    The packages around the module are imported, the module is not.
    """
    for source in installed:
        if source.module == name:
            return source
    try:
        there = importlib.util.find_spec(name) is not None
    except Exception:  # a name that no module can have, or a package around it that fails
        there = False
    if not there:
        return None
    package = name.partition(".")[0]
    return Source(Provider(package, UNRELEASED, name), name, partial(importlib.import_module, name))


def sources_of_files(files: Iterable[PluginFile]) -> list[Source]:
    """Return the plugins of files, each file once.

    Raises:
        UsageError: There is no such file, it is no Python file, or two have one name.
    """
    places: dict[Path, PluginFile] = {}
    for file in files:
        places.setdefault(file.path.resolve(), file)
    sources: dict[str, tuple[PluginFile, Source]] = {}
    for file in places.values():
        source = source_of_file(file)
        if source.module in sources:
            other = sources[source.module][0]
            raise UsageError(f"{file}: it has the name of {other.path}; rename one of them")
        sources[source.module] = file, source
    return [source for _, source in sources.values()]


def source_of_file(file: PluginFile) -> Source:
    """Return the plugin of a file, which is read at once and executed when it is loaded.

    Raises:
        UsageError: There is no such file, or it is no Python file.
    """
    path = file.path
    if not path.name:
        raise UsageError(f"{file.named_by}: it names a folder or nothing; name a plugin's file, such as my_plugin.py")
    if path.suffix != ".py":
        what = "is a folder" if path.is_dir() else "is no Python file"
        raise UsageError(f"{file}: it {what}; name a plugin's file, such as my_plugin.py")
    try:
        content = read_regular(path, _LARGEST_FILE)
    except OSError as error:
        raise UsageError(f"{file}: the file cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(content).hexdigest()
    stem = re.sub(r"[^a-z0-9_.+-]+", "-", path.stem.lower()).strip("-.+_") or "plugin"
    provider = Provider(f"{stem}.py", f"{SOURCE}{digest[:16]}", stem, digest)
    module = f"wsolbench_file_{re.sub(r'[^a-z0-9]', '_', stem)}"
    return Source(provider, module, partial(_execute, path.resolve(), content, module), str(file))


def _execute(path: Path, content: bytes, name: str) -> object:
    """Return the module that a file's content makes; its folder is no place for further modules."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look there for the module of a class
    try:
        exec(compile(content, str(path), "exec", dont_inherit=True), vars(module))
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _of_plugins(distribution: metadata.Distribution) -> metadata.EntryPoints:
    return distribution.entry_points.select(group=PROJECT)
