"""Distributions that stand in the documentation: each installs as it stands, and offers what it says."""

import re
from pathlib import Path

import pytest
from plugin_projects import pip_install

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]


def snippets():
    """Yield page, ``pyproject.toml``, and the name and the source of its module, which stand on the same page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        sources = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL))
        for project in re.findall(r"```toml\n# pyproject\.toml\n(.*?)```", text, re.DOTALL):
            for module in re.findall(r'^[\w-]+ = "(\w+)"$', project.partition("entry-points")[2], re.MULTILINE):
                yield pytest.param(project, f"{module}.py", sources[f"{module}.py"], id=f"{page.name}-{module}")


@pytest.mark.slow
@pytest.mark.parametrize(("project", "module", "source"), list(snippets()))
def test_it_installs_as_it_stands_also_after_a_run_in_its_folder(project, module, source, command_line, tmp_path):
    folder = tmp_path / "project"
    (folder / "runs" / "one").mkdir(parents=True)
    (folder / "runs" / "one" / "record.json").write_text("{}")
    (folder / "pyproject.toml").write_text(project)
    (folder / module).write_text(source)
    site = pip_install(tmp_path / "site", folder)
    assert not (site / "runs").exists()
    (name,) = re.findall(r'Spec\("([\w-]+)"', source)
    assert name in command_line(site)("list", "--strict").names
