"""The files around the code: one version, release notes, a citation, workflows and templates that can be read."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from wsolbench import __version__

ROOT = Path(__file__).parents[1]


def test_the_version_has_one_home():
    """The changelog, the history of versions, is the only other place that names it."""
    written = ["pyproject.toml", "CITATION.cff", "mkdocs.yml", "README.md", "Makefile", ".ci/run", ".ci/floors"]
    assert [name for name in written if __version__ in (ROOT / name).read_text(encoding="utf-8")] == []
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] in (__version__, "Unreleased")
    assert __version__ in headings


@pytest.fixture
def released(tmp_path):
    """A copy of what release notes are made of, with a dated section."""
    for name in ".ci/release_notes", "wsolbench/__init__.py":
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, tmp_path / name)
    new = "- New: [a page](docs/a.md), [a site](https://a.org)."
    text = f"# Changelog\n\n## {__version__} (2026-12-01)\n\n{new}\n\n## 0.0.9 (2026-01-01)\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(text, encoding="utf-8")
    return tmp_path


def notes(folder, version):
    return subprocess.run([sys.executable, folder / ".ci/release_notes", version], capture_output=True, text=True)


def test_release_notes_are_the_section_of_the_version(released):
    done = notes(released, __version__)
    page = f"https://github.com/wsolbench/wsolbench/blob/v{__version__}/docs/a.md"
    assert done.stdout == f"- New: [a page]({page}), [a site](https://a.org).\n", done.stderr


def test_release_notes_are_refused_for_another_version_and_before_the_release(released):
    assert "says" in notes(released, "9.9.9").stderr
    changelog = released / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("2026-12-01", "not released yet"))
    done = notes(released, __version__)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no section" in done.stderr


def test_the_citation_names_the_sources():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["cff-version"], citation["license"]) == ("1.2.0", "MIT")
    assert citation["authors"] == [{"name": "The wsolbench authors"}]
    cited = {(each["authors"][0]["family-names"], each["year"]) for each in citation["references"]}
    assert cited == {("Choe", 2020), ("Yasuki", 2024)}


def test_addresses_of_the_project_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert project["urls"]["Repository"] == citation["repository-code"]
    assert project["urls"]["Documentation"] == citation["url"]
    assert f"repo_url: {project['urls']['Repository']}\n" in site
    assert f"site_url: {project['urls']['Documentation']}\n" in site


def test_workflows_have_jobs_and_ask_for_no_more_than_they_need():
    workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
    assert {path.stem for path in workflows} >= {"checks", "pages", "release", "submissions"}
    for path in workflows:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["jobs"], path.name
        assert workflow["permissions"] == {"contents": "read"}, path.name


def test_templates_of_issues_are_forms():
    for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert "contact_links" in form or {"name", "description", "body"} <= set(form), path.name


def test_make_lists_its_targets():
    shown = re.findall(r"^(\w+):  ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert shown == ["help", "install", "test", "slow", "lint", "docs"]
