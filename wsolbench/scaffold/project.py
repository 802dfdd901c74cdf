"""The files of a new distribution, made of the templates in ``templates/``.

A template is the file itself, with ``$name`` and the like where the plugin's names belong.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Literal, TypeAlias

from wsolbench.files import atomic_folder
from wsolbench.scaffold.names import Names

__all__ = ["Kind", "project_files", "write_project"]

Kind: TypeAlias = Literal["backbone", "method", "dataset", "recipe", "system"]

_SUMMARIES: Mapping[Kind, str] = {
    "backbone": "A convolutional network as a plugin of wsolbench",
    "method": "A localization method as a plugin of wsolbench",
    "dataset": "A data set of class folders and boxes as a plugin of wsolbench",
    "recipe": "A training recipe as a plugin of wsolbench",
    "system": "A system that trains networks to localize, as a plugin of wsolbench",
}
_MODULES: Mapping[Kind, tuple[str, ...]] = {
    "backbone": ("__init__.py", "network.py"),
    "method": ("__init__.py",),
    "dataset": ("__init__.py",),
    "recipe": ("__init__.py",),
    "system": ("__init__.py",),
}


def project_files(kind: Kind, names: Names) -> dict[str, bytes]:
    """Return path -> content of every file of a distribution.

    Args:
        kind: What its plugin is.
        names: Its names.
    """
    words = {
        "name": names.name,
        "distribution": names.distribution,
        "package": names.package,
        "summary": _SUMMARIES[kind],
    }
    parts = {part: _filled(kind, f"{part}.md", words).strip() for part in ("use", "edit")}
    package = f"src/{names.package}"
    texts = {
        "pyproject.toml": _filled("common", "pyproject.toml", words),
        "README.md": _filled("common", "README.md", words | parts),
        ".gitignore": _filled("common", "gitignore", words),
        **{f"{package}/{module}": _filled(kind, module, words) for module in _MODULES[kind]},
        f"{package}/py.typed": "",
        f"tests/test_{names.package}.py": _filled(kind, "test.py", words),
    }
    files = {path: text.encode() for path, text in texts.items()}
    if kind == "dataset":
        from wsolbench.scaffold.sample import sample_files

        files |= {f"{package}/sample/{path}": content for path, content in sample_files().items()}
    return files


def write_project(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files of a distribution into a folder that does not exist, or is empty; all of them, or none.

    Raises:
        OutputError: The folder is not empty, or cannot be written.
    """
    with atomic_folder(folder) as draft:
        for path, content in files.items():
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).write_bytes(content)


def _filled(folder: str, name: str, words: Mapping[str, str]) -> str:
    template = resources.files("wsolbench.scaffold") / "templates" / folder / f"{name}.template"
    return Template(template.read_text(encoding="utf-8")).substitute(words)
