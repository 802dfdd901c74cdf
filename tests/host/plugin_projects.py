"""Small plugin distributions, built by the real build backend and installed by pip into folders of their own."""

import contextlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import hatchling.build
import wsolbench_plugins

import wsolbench

TESTED = [str(Path(package.__file__).parents[1]) for package in (wsolbench, wsolbench_plugins)]
"""The folders of the copy under test, which need not be the installed one."""

MANY = """
import contextlib, io, json, sys
from wsolbench.cli.app import main
results = []
for call in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main(call)
        except SystemExit as done:
            code = done.code
    results.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(results))
"""

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"

[project.entry-points.wsolbench]
{entry_points}

[tool.hatch.build.targets.wheel]
packages = ["{module}.py"]
"""


@dataclass(frozen=True)
class Project:
    """A distribution of one module; every entry point is named like its plugin."""

    name: str
    source: str
    entry_points: dict[str, str] | None = None
    version: str = "0.3"
    module: str = ""

    def __post_init__(self):
        object.__setattr__(self, "module", self.module or self.name.replace("-", "_"))

    def write(self, folder):
        """Write the project; return its folder."""
        root = folder / self.name
        root.mkdir(parents=True)
        entry_points = self.entry_points or {self.name.removeprefix("acme-"): self.module}
        lines = "\n".join(f'{key} = "{value}"' for key, value in entry_points.items())
        text = PYPROJECT.format(name=self.name, version=self.version, module=self.module, entry_points=lines)
        (root / "pyproject.toml").write_text(text)
        (root / f"{self.module}.py").write_text(self.source)
        return root


def pip_install(site, *targets):
    """Install into a folder of its own, with nothing from an index."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    command += ["--no-deps", "--no-build-isolation", "--no-compile", "--root-user-action", "ignore"]
    subprocess.run([*command, "--target", str(site), *map(str, targets)], check=True)
    return site


def install(folder, *projects):
    """Build a wheel of every project with the backend's own hook, and unpack them all into one folder.

    That is what pip does with wheels of modules alone, in a tenth of the time; `pip_install` has pip do it.
    """
    wheels, site = folder / "wheels", folder / "site"
    wheels.mkdir(parents=True)
    for project in projects:
        with contextlib.chdir(project.write(folder / "projects")):
            wheel = hatchling.build.build_wheel(str(wheels))
        with zipfile.ZipFile(wheels / wheel) as archive:
            archive.extractall(site)
    return site


def hide_other_plugins(folder):
    """Return a folder that, put first on the path, hides whatever plugins other people installed here.

    Of two distributions of one name the first on the path counts, and those in this folder have no entry points.
    """
    folder.mkdir(parents=True)
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name and name != "wsolbench" and distribution.entry_points.select(group="wsolbench"):
            info = folder / f"{name.replace('-', '_')}-0.dist-info"
            info.mkdir(exist_ok=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
    return folder


@dataclass(frozen=True)
class Result:
    """What a call of the command line came to."""

    code: int
    out: str
    err: str

    @property
    def rows(self):
        """The cells of the tab-separated lines on stdout."""
        return [line.split("\t") for line in self.out.splitlines()]

    @property
    def names(self):
        """The first cells."""
        return [row[0] for row in self.rows]


class CommandLine:
    """``python -m wsolbench`` in a process of its own, with folders of plugins on its path."""

    def __init__(self, *sites, cwd):
        self._sites = sites
        self._cwd = cwd

    def __call__(self, *arguments, code=0):
        """Run a subcommand and check its exit code."""
        result = self.python("-m", "wsolbench", *arguments)
        assert result.code == code, (arguments, result)
        return result

    def many(self, *calls):
        """Run several calls in one process, which imports torch once; return their results."""
        done = self.python("-c", MANY, json.dumps([[str(argument) for argument in call] for call in calls]))
        assert done.code == 0, done
        return [Result(code, out, without_progress(err)) for code, out, err in json.loads(done.out)]

    def python(self, *arguments):
        """Run Python itself with the same path."""
        path = os.pathsep.join([*map(str, self._sites), *TESTED])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=environment,
            cwd=self._cwd,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Result(done.returncode, done.stdout, without_progress(done.stderr))


def without_progress(text):
    """Return what a command says on stderr without the lines of progress, which begin with a bracket."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("["))


def leftovers(folder):
    """Return what lies in a folder, hidden drafts included."""
    return sorted(path.name for path in Path(folder).iterdir())
