"""Installed plugins, each set once a session, and the command line that sees them."""

from functools import cache

import pytest
from plugin_projects import CommandLine, hide_other_plugins


@pytest.fixture(scope="session")
def command_line(tmp_path_factory):
    """Return a function: folders of plugins -> the command line that sees them, our own plugins, and no others."""
    hidden = hide_other_plugins(tmp_path_factory.mktemp("host") / "hidden")
    return lambda *sites: CommandLine(*sites, hidden, cwd=tmp_path_factory.mktemp("cwd"))


@pytest.fixture(scope="session")
def bare(command_line):
    """The command line with our own plugins alone."""
    return command_line()


@pytest.fixture(scope="session")
def ours(bare):
    """Return a function: a call -> its result with our own plugins alone, where each call is carried out once."""
    return cache(bare)


@pytest.fixture(scope="session")
def our_names(ours):
    """What 'list' shows with our own plugins alone."""
    return ours("list").names
