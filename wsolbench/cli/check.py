"""``wsolbench check``: whether a plugin keeps the rules of its contract."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsolbench.cli.arguments import DataRoot, MaskRoot, MetadataRoot, TrainRoot
from wsolbench.cli.output import tell
from wsolbench.cli.session import Session, session_of
from wsolbench.contract import DatasetRoots
from wsolbench.errors import UsageError
from wsolbench.escaping import finite_json, visible

if TYPE_CHECKING:
    from wsolbench.testing.outcomes import Outcome
    from wsolbench.testing.subjects import Subject

_MARKS = {"kept": "✓", "broken": "✗", "skipped": "-", "known failure": "!"}
_PLAIN_MARKS = _MARKS | {"kept": "ok", "broken": "FAILED"}
"""For a terminal or file whose encoding has no others."""
_WIDTH = 34
"""The length of the longest name of a check."""


def check(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE.py|MODULE",
            help="A backbone, method, data set, recipe or system; or all that a plugin's file or module offers.",
        ),
    ],
    base: Annotated[
        str | None,
        typer.Option(metavar="NETWORK", help="Of a system: the network to check it with; default: one that it trains."),
    ] = None,
    data_root: DataRoot = None,
    metadata_root: MetadataRoot = None,
    masks: MaskRoot = None,
    train_root: TrainRoot = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check whether a plugin keeps the rules of its contract: shapes, determinism, independence of the batch and more.

    Each rule has a line: kept, broken (what came instead, what a fix looks like, the last lines of your code), skipped
    (an optional part that is not there), or a failure that the plugin declares (known_failures of its specification).
    The plugin is loaded without a network. The exit code is 1 if a rule is broken.
    """
    session = session_of(context)
    places = (data_root, metadata_root, masks, train_root)
    with session.uncollected(), session.clean_stdout():
        from wsolbench.testing.subjects import find_subjects

        subjects = find_subjects(
            target,
            files=session.files,
            roots=None if places == (None,) * len(places) else DatasetRoots(*places),
            base=base,
            warn=lambda line: tell(f"warning: {line}"),
        )
    began, done = time.perf_counter(), _run_all(session, subjects, None if json else _Page())
    outcomes = [outcome for _, of_subject in done for outcome in of_subject]
    counts = Counter(each.status for each in outcomes)
    seconds = time.perf_counter() - began
    if json:
        described = [_described(*each) for each in done]
        typer.echo(finite_json({"target": target, "checked": described, "counts": counts, "seconds": seconds}))
    else:
        typer.echo(f"{', '.join(f'{count} {status}' for status, count in counts.items())}, in {seconds:.1f} s")
    if counts["broken"]:
        raise typer.Exit(1)
    if all(each.status == "skipped" for each in outcomes if not each.check.startswith("check_plugin_")):
        raise UsageError(f"nothing that '{target}' offers was checked: {outcomes[-1].message}")


def _run_all(session: Session, subjects: list[Subject], page: _Page | None) -> list[tuple[Subject, list[Outcome]]]:
    """Run all checks; a page, if there is one, shows what comes of each at once."""
    from wsolbench.testing.outcomes import run_check

    done: list[tuple[Subject, list[Outcome]]] = []
    for subject in subjects:
        done.append((subject, []))
        if page is not None:
            page.begin(subject)
        for name, rule in subject.checks:
            with session.clean_stdout():
                outcome = run_check(name, rule)
            done[-1][1].append(outcome)
            if page is not None:
                page.show(outcome)
    return done


class _Page:
    """Prints what comes of checks, a line each; what a check repeats of another one is named and not shown again."""

    def __init__(self) -> None:
        self._shown: dict[tuple[str, tuple[str, ...]], str] = {}
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        try:
            "".join(_MARKS.values()).encode(encoding)
            self._marks = _MARKS
        except (UnicodeEncodeError, LookupError):
            self._marks = _PLAIN_MARKS

    def begin(self, subject: Subject) -> None:
        """Print what is checked."""
        typer.echo(visible(f"{subject.kind} '{subject.name}' of {subject.provider}"))

    def show(self, outcome: Outcome) -> None:
        """Print what came of a check."""
        line = f"{self._marks[outcome.status]} {outcome.check:{_WIDTH}} {outcome.seconds:6.2f} s"
        if outcome.status != "broken":
            reason = f"  {outcome.status}: {outcome.message}" if outcome.message else ""
            typer.echo(visible(f"  {line}{reason}"))
            return
        typer.echo(f"  {line}")
        same = self._shown.setdefault((outcome.message, outcome.traceback), outcome.check)
        if same != outcome.check:
            typer.echo(f"      as {same}")
            return
        for text in (outcome.message, f"fix: {outcome.fix}", *outcome.traceback):
            typer.echo(visible(f"      {text}"))


def _described(subject: Subject, outcomes: list[Outcome]) -> dict[str, Any]:
    about = {"kind": subject.kind, "name": subject.name, "provider": str(subject.provider)}
    return {**about, "checks": [asdict(outcome) for outcome in outcomes]}
