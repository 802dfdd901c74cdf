"""A clean environment beside that of the tests: wheels of wsolbench and of plugins are installed into it."""

import contextlib
import os
import shlex
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import hatchling.build

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """A virtual environment that finds in its own folder what is installed there, and the rest where the tests do."""

    folder: Path

    def __call__(self, command, cwd, code=0):
        """Run a command of a shell, check its exit code, and return what it prints on stdout."""
        hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        variables = {name: value for name, value in os.environ.items() if name not in hidden}
        path = f"{self.folder / 'bin'}{os.pathsep}{variables['PATH']}"
        settings = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_ROOT_USER_ACTION": "ignore"}
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=cwd,
            env={**variables, **settings, "PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=1500,
        )
        assert done.returncode == code, (command, done.stdout, done.stderr)
        return done.stdout


def make_environment(folder):
    """Make an environment in a new folder, with the wheel of wsolbench."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "beside.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pip --python {shlex.quote(str(python))} "$@"\n'
    (folder / "bin" / "pip").write_text(pip)
    (folder / "bin" / "pip").chmod(0o755)
    (folder / "bin" / "pytest").write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} -m pytest "$@"\n')
    (folder / "bin" / "pytest").chmod(0o755)
    environment = Environment(folder)
    install(environment, build_wheel(ROOT, folder / "wheels"))
    return environment


def build_wheel(project, folder):
    """Build the wheel of a project; return its path."""
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(project):
        return folder / hatchling.build.build_wheel(str(folder))


def install(environment, *wheels):
    """Install wheels, with nothing from an index; what the environment finds elsewhere is no hindrance."""
    files = shlex.join(map(str, wheels))
    environment(f"pip install --quiet --no-deps --ignore-installed {files}", cwd=environment.folder)
