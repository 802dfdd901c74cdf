"""The check of options, which methods, recipes and systems share."""

from __future__ import annotations

from wsolbench.contract import MethodSpec, RecipeSpec, SystemSpec
from wsolbench.contract.options import build_with_options, list_options
from wsolbench.testing.expectations import expect, skip

__all__ = ["check_options"]


def check_options(spec: MethodSpec | RecipeSpec | SystemSpec) -> None:
    """Every option has a default, and the default given as text is read as the same value."""
    options = list_options(spec.build)
    if not options:
        skip("there are no options")
    required = [option.name for option in options if option.required]
    assert not required, f"options: expected a default for each, got none for {', '.join(required)}"
    texts = {option.name: str(option.default) for option in options}
    _, values = build_with_options(f"'{spec.name}'", spec.build, texts)
    expect("options from their defaults as text", {option.name: option.default for option in options}, values)
