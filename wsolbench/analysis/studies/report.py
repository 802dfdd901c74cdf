"""All analyses of some networks, and of their records, as one page.

Every analysis of the catalogue is a section, in the order of their names: its figures, its numbers, what it shows, what
it cannot say, and how it was made. Beside the page is a folder for every analysis, with what that analysis writes; the
page shows the pictures in it, and fetches nothing from elsewhere. Slow analyses have settings for a first look, which
the page names.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pandas as pd
from pydantic import Field

from wsolbench.analysis.page import render_page
from wsolbench.analysis.study import CompositeStudy, Findings, Part
from wsolbench.errors import UnknownNameError, UsageError


@dataclass(frozen=True)
class Study(CompositeStudy):
    """A page with a section for every analysis.

    Args:
        only: The analyses that are carried out; all where it is empty.
        full: Whether slow analyses have their own settings.
    """

    cannot_say: ClassVar[str] = (
        "Analyses of a few networks suggest why one localizes better than another; only networks that differ in one "
        "thing, trained alike, can show it."
    )

    only: Annotated[tuple[str, ...], Field(description="Analyses of the report, where it does not have all.")] = ()
    full: Annotated[bool, Field(description="Slow analyses have their own settings, not those for a first look.")] = (
        False
    )

    def choose(self, names: Sequence[str]) -> Sequence[str]:
        """Return the analyses of the report."""
        for name in self.only:
            if "," in name:
                repeated = " ".join(f"--only {each.strip()}" for each in name.split(",") if each.strip())
                raise UsageError(f"--only {name}: repeat the option: {repeated}")
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f" Did you mean '{close[0]}'?" if close else ""
                raise UnknownNameError(f"--only: there is no analysis '{name}'.{hint} There are {', '.join(names)}")
        return [name for name in names if name in self.only] if self.only else names

    def conclude(self, parts: Sequence[Part], command: str) -> Findings:
        """Return the page, and a table that says which analyses could be carried out."""
        table = pd.DataFrame(
            {
                "analysis": part.name,
                "networks": len(part.stored.networks) if part.stored else 0,
                "records": len(part.stored.records) if part.stored else 0,
                "not possible": "; ".join(part.refusals),
            }
            for part in parts
        )
        done = [part.name for part in parts if part.stored]
        shows = f"{len(done)} of {len(parts)} analyses could be carried out: {', '.join(done)}."
        return Findings(table, {}, shows, pages={"": render_page(parts, command, self.cannot_say)})
