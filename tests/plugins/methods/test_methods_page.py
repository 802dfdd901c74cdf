"""The page that lists all methods."""

import re
from pathlib import Path

from wsolbench.host.loading import load_plugins

PAGE = Path(__file__).parents[3] / "docs" / "methods.md"


def test_every_method_of_ours_is_a_row():
    ours = {offer.name: offer.spec for offer in load_plugins().methods if offer.provider.distribution == "wsolbench"}
    rows = re.findall(r"^\| (\*?)`([^`:]+)`\1 \|", PAGE.read_text(), flags=re.MULTILINE)
    assert sorted(name for _, name in rows) == sorted(ours)
    assert {name for italics, name in rows if italics} == {name for name in ours if not ours[name].reads_network}
