"""The notebook of the examples: it runs as it stands, and stays short."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "from_python.ipynb"


def cells(kind):
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_at_most_25_lines_of_code_and_holds_no_output():
    lines = [line for cell in cells("code") for line in cell.splitlines() if line.strip()]
    assert len(lines) <= 25
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert not [cell for cell in content["cells"] if cell.get("outputs")]


@pytest.mark.slow
def test_the_notebook_runs():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    tables = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert len(tables) == 4
    assert "energy" in tables[0]
    assert "95 % interval" in tables[-1]
    (picture,) = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert picture
