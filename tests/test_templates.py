"""What is filled into a template is escaped for its format; what is marked as made for it is not."""

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from wsolbench.templates import html_template, latex_template, markdown_template

TEXT = "<b>*50 %* & \u202ex_"
LATEX = "\\ensuremath{<}b\\ensuremath{>}*50 \\%* \\& \\textbackslash{}u202ex\\_\n"
CASES = {
    "html": (html_template, "{{ text }}\n", "&lt;b&gt;*50 %* &amp; \\u202ex_\n"),
    "markdown": (markdown_template, "{{ text }}\n", "&#60;b&#62;&#42;50 %&#42; &#38; &#92;u202ex&#95;\n"),
    "latex": (latex_template, "\\VAR{text}\n", LATEX),
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that makes a package with one template."""
    name = tmp_path.name
    (tmp_path / name / "templates").mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def write(text):
        (tmp_path / name / "templates" / "toy").write_text(text)
        return name

    return write


@pytest.mark.parametrize("form", CASES)
def test_a_text_is_a_text_and_what_is_made_for_the_format_stays(package, form):
    make, template, expected = CASES[form]
    made = make(package(template), "toy")
    assert made.render(text=TEXT) == expected
    assert made.render(text=Markup(TEXT)) == f"{TEXT}\n"


@pytest.mark.parametrize("form", CASES)
def test_numbers_are_written_as_they_are_and_nothing_is_forgotten(package, form):
    make, template, _ = CASES[form]
    made = make(package(template), "toy")
    assert made.render(text=12) == "12\n"
    with pytest.raises(UndefinedError):
        made.render()
