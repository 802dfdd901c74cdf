"""The page that shows all analyses."""

import re
from pathlib import Path

from wsolbench.analysis.catalogue import list_studies

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "analyses.md").read_text(encoding="utf-8")


def test_every_analysis_is_a_section_with_three_sentences():
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
    assert list(sections) == list(list_studies())
    for name, text in sections.items():
        assert f"wsolbench analyze {name} " in text, name
        assert re.findall(r"^(\d)\. ", text, flags=re.MULTILINE) == ["1", "2", "3"], name


def test_pictures_are_small_and_shown():
    shown = re.findall(r"!\[(.+?)\]\((analyses/\S+)\)", PAGE)
    assert {path for _, path in shown} == {f"analyses/{path.name}" for path in (DOCS / "analyses").iterdir()}
    assert {path: size for _, path in shown if (size := (DOCS / path).stat().st_size) > 150_000} == {}
