"""Templates of what wsolbench writes: how the texts that are filled in are escaped, one rule for each format.

A template never says how to escape. Whatever an expression holds is escaped for the format of the template, so that a
name of a record or of a file is a text and nothing else. Code that has made a part of the output itself, such as a
table, marks it with `markupsafe.Markup`: that alone is filled in as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from wsolbench.escaping import latex_text, markdown_text, visible
from wsolbench.texts import counted

__all__ = ["html_template", "latex_template", "markdown_template"]


@cache
def html_template(package: str, name: str) -> Template:
    """Return a template of HTML, of elements and attributes: tags are texts, and no character is hidden.

    Args:
        package: The package whose folder ``templates`` has it.
        name: Its file.
    """
    return _environment(package, visible, autoescape=True).get_template(name)


@cache
def markdown_template(package: str, name: str) -> Template:
    """Return a template of Markdown; see `html_template`."""
    return _environment(package, markdown_text).get_template(name)


@cache
def latex_template(package: str, name: str) -> Template:
    r"""Return a template of LaTeX, whose expressions are ``\VAR{…}`` and blocks ``\BLOCK{…}``; see `html_template`."""
    marks = {
        f"{kind}_{end}_string": text
        for kind, start in (("block", r"\BLOCK{"), ("variable", r"\VAR{"))
        for end, text in (("start", start), ("end", "}"))
    }
    return _environment(package, latex_text, **marks).get_template(name)


def _environment(package: str, escape: Callable[[str], str], **options: Any) -> Environment:
    """Return what templates of a format have in common; numbers are written as Python writes them."""
    environment = Environment(
        loader=PackageLoader(package, "templates"),
        finalize=lambda value: value if isinstance(value, Markup) else escape(str(value)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters["counted"] = counted
    return environment
