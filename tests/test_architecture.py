"""Who may import what, read off the source; every test lists all offenders at once."""

import ast
import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import wsolbench_plugins

import wsolbench
from wsolbench.host import hookspecs
from wsolbench.host.loading import load_plugins

CORE = Path(wsolbench.__file__).parent
PLUGINS = Path(wsolbench_plugins.__file__).parent
FOLDERS = {
    "backbones": "backbones",
    "methods": "methods",
    "datasets": "datasets",
    "recipes": "recipes",
    "systems": "localizers",
}
"""Kind of plugin -> the folder of ours."""
FLOORS = (
    "errors locks",
    "drafts",
    "files threads progress escaping texts",
    "contract protocol console processes templates validation",
    "host figures",
    "data records cache",
    "networks config api",
    "engine",
    "training analysis leaderboard testing scaffold",
    "sweeps",
    "functions",
    "wsolbench",
    "cli",
    "__main__",
)
"""The rooms of the core, lowest first: a module may import its own room and the floors below it."""
VIEWS = {"wsolbench.records.record", "wsolbench.records.compare"}
"""What they hold shows itself: their methods load what draws, tabulates and compares it when they are called."""
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}


def sources(root):
    """Return module name -> path of every module below a package."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = (root.name, *path.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


CORE_MODULES = sources(CORE)
PLUGIN_MODULES = sources(PLUGINS)
MODULES = CORE_MODULES | PLUGIN_MODULES


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node, *, functions=True, types=True):
    """Yield the nodes below one, without those in functions or those that only type checkers read if so asked."""
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if (is_function and not functions) or (is_type_checking(child) and not types):
            continue
        yield child
        yield from walk(child, functions=functions, types=types)


@cache
def imports(module, **which):
    """Return the dotted names that a module imports; ``from a import b`` counts as ``a.b``."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in walk(tree(path), **which):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                stem = package.rsplit(".", node.level - 1)[0]
                base = f"{stem}.{base}".rstrip(".")
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(found)


def imported_modules(module, **which):
    """Return the core modules that a module imports; the version, a constant, is no module's work."""
    found = set()
    for name in imports(module, **which) - {"wsolbench.__version__"}:
        while name and name not in CORE_MODULES:
            name = name.rpartition(".")[0]
        found |= {name} - {"", module}
    return found


def packages(module, **which):
    """Return the top-level packages that a module imports."""
    return {name.partition(".")[0] for name in imports(module, **which)}


def room(module):
    """Return the room of a core module: ``engine`` of ``wsolbench.engine.run``; the package itself is a room too."""
    return module.split(".")[1] if "." in module else module


def within(name, package):
    return name == package or name.startswith(f"{package}.")


def modules_in(package):
    return [module for module in MODULES if within(module, package)]


def reachable(graph):
    """Return node -> every node that some path leads to."""
    found = {}
    for start in graph:
        seen, open_nodes = set(), [start]
        while open_nodes:
            new = graph[open_nodes.pop()] - seen
            seen |= new
            open_nodes += new
        found[start] = seen
    return found


def test_the_walk_sees_the_code():
    assert {"wsolbench.host.loading", "wsolbench.protocol.sweep", "wsolbench.cli.app"} <= CORE_MODULES.keys()
    assert "wsolbench_plugins.methods.pc1" in PLUGIN_MODULES
    assert "torch" in packages("wsolbench.networks.network")
    assert "wsolbench.contract" in imported_modules("wsolbench.networks.network")
    assert "tabulate" in packages("wsolbench.cli.listing") - packages("wsolbench.cli.listing", functions=False)


def test_every_room_has_a_floor():
    assert sorted({room(module) for module in CORE_MODULES} - FLOOR_OF.keys()) == []


def test_arrows_point_down():
    """Imports in functions and those that only type checkers read are arrows too."""
    offenders = [
        f"{module} imports {target}"
        for module in CORE_MODULES
        for target in sorted(imported_modules(module))
        if room(target) != room(module) and FLOOR_OF[room(target)] >= FLOOR_OF[room(module)]
    ]
    assert offenders == []


def test_no_modules_import_one_another():
    """Neither at import nor in functions; what only type checkers read may."""
    paths = reachable(
        {module: imported_modules(module, functions=module not in VIEWS, types=False) for module in CORE_MODULES}
    )
    circles = {
        " <-> ".join(sorted(other for other in reached if module in paths[other]))
        for module, reached in paths.items()
        if module in reached
    }
    assert sorted(circles) == []


def test_the_core_imports_no_plugin():
    offenders = [module for module in CORE_MODULES if "wsolbench_plugins" in packages(module)]
    assert offenders == []


def test_a_plugin_imports_the_public_faces_and_itself_alone():
    """Those are ``wsolbench.api``, and for data sets ``wsolbench.data``: what they export, no module behind them."""
    offenders = [
        f"{module} imports {name}"
        for module in PLUGIN_MODULES
        for name in sorted(imports(module))
        if (within(name, "wsolbench") and not is_public(name, module))
        or (within(name, "wsolbench_plugins") and not is_own(name, module))
    ]
    assert offenders == []


def is_public(name, module):
    faces = ["wsolbench.api", *["wsolbench.data"] * within(module, "wsolbench_plugins.datasets")]
    face, _, exported = name.rpartition(".")
    return name in faces or (face in faces and exported in importlib.import_module(face).__all__)


def is_own(name, module):
    """Tell whether a name is of the plugin itself: ``wsolbench_plugins.backbones.replknet``, or of a module in it."""
    own = module.split(".")[:3]
    return len(own) == 3 and within(name, ".".join(own))


def test_the_protocol_knows_numbers_only():
    forbidden = {"torch", "torchvision", "timm", "pathlib", "os", "io", "shutil"}
    offenders = [
        f"{module} imports {', '.join(sorted(packages(module) & forbidden))}"
        for module in modules_in("wsolbench.protocol")
        if packages(module) & forbidden
    ]
    assert offenders == []


def test_the_leaderboard_reads_records_only():
    """It measures nothing: what it shows stands in records."""
    rooms = {
        "leaderboard",
        "records",
        "drafts",
        "files",
        "errors",
        "escaping",
        "texts",
        "progress",
        "protocol",
        "figures",
        "templates",
        "validation",
        "threads",
        "processes",
        "locks",
    }
    offenders = [
        f"{module} imports {target}"
        for module in modules_in("wsolbench.leaderboard")
        for target in sorted(imported_modules(module))
        if room(target) not in rooms
    ]
    assert offenders == []


def test_the_contract_and_the_host_need_no_torch():
    heavy = {"torch", "timm", "torchvision", "cv2", "numba"}
    offenders = [
        f"{module} imports {', '.join(sorted(packages(module, functions=False, types=False) & heavy))}"
        for name in ("contract", "host", "api", "errors")
        for module in modules_in(f"wsolbench.{name}")
        if packages(module, functions=False, types=False) & heavy
    ]
    assert offenders == []


def test_stored_maps_and_boxes_are_scored_without_torch():
    reached, waiting = set(), ["wsolbench.engine.evaluate"]
    while waiting:
        module = waiting.pop()
        if module in MODULES and module not in reached:
            reached.add(module)
            waiting += imported_modules(module, functions=False, types=False)
    heavy = {"torch", "safetensors", "matplotlib", "pandas"}
    offenders = [module for module in sorted(reached) if packages(module, functions=False, types=False) & heavy]
    assert "wsolbench.engine.scoring" in reached
    assert offenders == []


def test_compiled_code_is_in_the_protocol_alone():
    users = {module for module in MODULES if "numba" in packages(module)}
    compiled = ("areas", "compilation", "compiler", "growth", "hills", "holes", "level_ious", "score_counts")
    assert users == {f"wsolbench.protocol.{module}" for module in compiled}


def test_compiled_functions_call_those_of_their_own_file_alone():
    """Numba compiles a cached function again only when the file of that function changes."""
    for module in ("areas", "growth", "hills", "holes", "level_ious"):
        parsed = tree(MODULES[f"wsolbench.protocol.{module}"])
        imported = {alias.name for node in ast.walk(parsed) if isinstance(node, ast.ImportFrom) for alias in node.names}
        functions = [node for node in parsed.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
        calls = {ast.unparse(node.func) for each in functions for node in ast.walk(each) if isinstance(node, ast.Call)}
        assert functions
        assert not (calls - {"compiled", "njit"}) & imported


def test_tables_for_a_terminal_need_no_pandas():
    """Importing it takes as long as scoring a hundred maps."""
    assert "pandas" not in packages("wsolbench.records.tables", functions=False, types=False)


def test_no_module_is_a_drawer_of_odds_and_ends():
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert [module for module in MODULES if drawers & set(module.split("."))] == []


def test_every_hook_is_exercised_by_a_plugin_of_ours():
    hooks = {name for name, value in vars(hookspecs).items() if hasattr(value, "wsolbench_spec")}
    assert hooks == {f"wsolbench_{kind}" for kind in FOLDERS}
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
        for folder in FOLDERS.values()
        for path in (PLUGINS / folder).iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert files == entry_points


def test_the_package_itself_imports_nothing_heavy():
    """Commands that need no network: see tests/host."""
    code = "import sys, wsolbench; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "numba", "pandas", "matplotlib"}.isdisjoint(done.stdout.split())
