"""Who may import what, read off the source."""

import ast
import importlib
from pathlib import Path

import pytest
import wsolbench_plugins

import wsolbench
from wsolbench.host import hookspecs
from wsolbench.host.loading import load_plugins

CORE = Path(wsolbench.__file__).parent
PLUGINS = Path(wsolbench_plugins.__file__).parent
KINDS = ("backbones", "methods", "datasets", "recipes")


def sources(root):
    """Return module name -> path of every module below a package."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = (root.name, *path.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node, *, only_at_import=False):
    """Yield the nodes below one; with `only_at_import` leave out functions and what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if only_at_import and (isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or is_type_checking(child)):
            continue
        yield child
        yield from walk(child, only_at_import=only_at_import)


def imports(module, path, *, only_at_import=False):
    """Return the dotted names that a module imports; ``from a import b`` counts as ``a`` and as ``a.b``."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in walk(ast.parse(path.read_text()), only_at_import=only_at_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                stem = package.rsplit(".", node.level - 1)[0]
                base = f"{stem}.{base}".rstrip(".")
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def roots_of(module):
    """Return the packages that a module imports."""
    return {name.partition(".")[0] for name in imports(module, (CORE_MODULES | PLUGIN_MODULES)[module])}


def within(name, package):
    return name == package or name.startswith(f"{package}.")


CORE_MODULES = sources(CORE)
PLUGIN_MODULES = sources(PLUGINS)


def test_the_walk_sees_the_code():
    assert {"wsolbench.host.loading", "wsolbench.protocol.sweep", "wsolbench.cli.app"} <= CORE_MODULES.keys()
    assert "wsolbench_plugins.methods.pc1" in PLUGIN_MODULES
    assert "torch" in imports("wsolbench.networks.network", CORE_MODULES["wsolbench.networks.network"])


@pytest.mark.parametrize("module", CORE_MODULES)
def test_the_core_imports_no_plugin(module):
    assert not {name for name in imports(module, CORE_MODULES[module]) if within(name, "wsolbench_plugins")}


def own_package(module):
    """Return a plugin's own package: ``wsolbench_plugins.backbones.replknet`` of any module in it."""
    return ".".join(module.split(".")[:3])


@pytest.mark.parametrize("module", PLUGIN_MODULES)
def test_a_plugin_imports_its_face_and_itself_alone(module):
    faces = ["wsolbench.api"] + ["wsolbench.data"] * within(module, "wsolbench_plugins.datasets")
    exported = {f"{face}.{name}" for face in faces for name in importlib.import_module(face).__all__}
    for name in imports(module, PLUGIN_MODULES[module]):
        if within(name, "wsolbench"):
            assert name in {*faces, *exported}, f"{module} imports {name}"
        if within(name, "wsolbench_plugins"):
            assert module.count(".") >= 2, f"{module} imports {name}"
            assert within(name, own_package(module)), f"{module} imports {name} of a sibling"


@pytest.mark.parametrize("module", [name for name in CORE_MODULES if within(name, "wsolbench.protocol")])
def test_the_protocol_knows_numbers_only(module):
    for name in imports(module, CORE_MODULES[module]):
        assert name.partition(".")[0] not in {"torch", "torchvision", "timm", "pathlib", "os", "io", "shutil"}, name
        if within(name, "wsolbench"):
            allowed = within(name, "wsolbench.protocol") or within(name, "wsolbench.errors")
            assert allowed, f"{module} imports {name}"


LIGHT = ["host.hookspecs", "contract", "api", "data", "host.loading", "host.registry", "errors", "contract.options"]


@pytest.mark.parametrize("module", [f"wsolbench.{name}" for name in LIGHT])
def test_the_contract_needs_no_torch(module):
    names = imports(module, CORE_MODULES[module], only_at_import=True)
    assert not {name for name in names if name.partition(".")[0] in {"torch", "timm", "torchvision", "cv2", "numba"}}


def test_compiled_code_is_in_the_protocol_alone():
    users = {name for name in CORE_MODULES | PLUGIN_MODULES if "numba" in roots_of(name)}
    assert users == {"wsolbench.protocol.component_tree", "wsolbench.protocol.compilation"}


@pytest.mark.parametrize("module", CORE_MODULES | PLUGIN_MODULES)
def test_no_module_is_a_drawer_of_odds_and_ends(module):
    assert not {"utils", "util", "helpers", "misc", "common"} & set(module.split("."))


def test_every_hook_is_exercised_by_a_plugin_of_ours():
    hooks = {name for name, value in vars(hookspecs).items() if hasattr(value, "wsolbench_spec")}
    assert hooks == {f"wsolbench_{kind}" for kind in KINDS}
    registry = load_plugins()
    for catalogue in registry.catalogues:
        ours = [offer.name for offer in catalogue if offer.provider.distribution == "wsolbench"]
        assert ours, f"no plugin of ours offers a {catalogue.kind}"


def test_every_plugin_module_is_registered():
    """A file that no entry point names would be dead code."""
    entry_points = {
        provider.entry_point for provider in load_plugins().providers if provider.distribution == "wsolbench"
    }
    files = {
        path.stem
        for kind in KINDS
        for path in (PLUGINS / kind).iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert files == entry_points
