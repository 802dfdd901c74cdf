"""Pictures as files."""

import re

import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from wsolbench.figures.style import encoded, own_style


@own_style()
def drawn(ending):
    """Return a picture of two panels with a title and a colour bar as a file."""
    figure = Figure(figsize=(3, 2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [3, 4], "o-")
    figure.colorbar(right.imshow([[0, 1], [2, 5]]))
    figure.suptitle("a title")
    return encoded(figure, ending, {"Date": None} if ending == "svg" else {"Software": None})


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_last_digits_of_a_layout_change_no_byte(monkeypatch, ending):
    """The solver of the layout returns other last digits in other processes."""
    expected, execute = drawn(ending), ConstrainedLayoutEngine.execute

    def with_noise(engine, figure):
        found = execute(engine, figure)
        for axes in figure.axes:
            axes._set_position([number + 3e-14 for number in axes.get_position(original=True).bounds])
        return found

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", with_noise)
    assert drawn(ending) == expected


def test_a_picture_is_laid_out_within_its_frame():
    width, height = 216, 144
    panels = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', drawn("svg").decode())
    assert len(panels) >= 2
    assert all(float(x) + float(w) < width and float(y) + float(h) < height for x, y, w, h in panels)
