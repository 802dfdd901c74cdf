"""Small leaderboards on disk, built from records of networks that exist on paper only."""

import pytest
from toy_networks import trained_record

from wsolbench.leaderboard import add, build
from wsolbench.leaderboard.figures import figures_of
from wsolbench.records import write_record


def board_of(folder, *names):
    """Build a leaderboard of some networks in a new folder, and return the folder."""
    files = [write_record(trained_record(name, shift=shift), folder / "runs", name) for shift, name in enumerate(names)]
    add(folder / "board", files)
    build(folder / "board")
    return folder / "board"


def without_pictures():
    """Leave of every figure its fingerprint: drawing takes longest, and is tested elsewhere; the body of a fixture."""

    def draw(tables, _names):
        for drawn, fingerprint in tables:
            names = (f"{drawn.table.slug}-{name}.{ending}" for name in figures_of(drawn) for ending in ("png", "svg"))
            yield dict.fromkeys(names, f"records:{fingerprint}".encode())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsolbench.leaderboard.drawing.draw_board", draw)
        yield
