"""Reported numbers: those of the paper against a second copy that was typed on its own; files that are wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

from wsolbench.errors import DataError
from wsolbench.leaderboard.reported import read_reported, reported_rows
from wsolbench.leaderboard.rows import Row

BOARD = Path(__file__).parents[2] / "leaderboard"

PAPER = """
1 | ResNet | CAM | CUB-200-2011 | 73.2 | 63
1 | ResNet | HaS | CUB-200-2011 | 78.1 | 64.7
1 | ResNet | ACoL | CUB-200-2011 | 72.7 | 66.4
1 | VGG16 | DDT | CUB-200-2011 | 84.55* | -
1 | ResNet | F-CAM (+CAM) | CUB-200-2011 | 90.3 | 79.4
1 | ResNet | F-CAM (+LayerCAM) | CUB-200-2011 | 92.4 | 82.7
1 | VGG | F-CAM (+LayerCAM) | CUB-200-2011 | 91 | 84.3
1 | InceptionV3 | CREAM | CUB-200-2011 | 90.43* | 64.9*
1 | VGG | BridgeGAP | CUB-200-2011 | 93.17* | 80.1*
1 | RepLKNet | CAM | CUB-200-2011 | 90.99 | 76.72
2 | ConvNeXt | CAM, positive | ImageNet-1K | 61 | -
2 | ConvNeXt | CAM, negative | ImageNet-1K | 61.2 | -
2 | RepLKNet | CAM, positive | ImageNet-1K | 60.1 | -
2 | RepLKNet | CAM, negative | ImageNet-1K | 7.4 | -
2 | SLaK | CAM, positive | ImageNet-1K | 55.5 | -
2 | SLaK | CAM, negative | ImageNet-1K | 54.5 | -
2 | ConvNeXt | CAM, positive | CUB-200-2011 | 67.3 | -
2 | ConvNeXt | CAM, negative | CUB-200-2011 | 66.6 | -
2 | RepLKNet | CAM, positive | CUB-200-2011 | 79 | -
2 | RepLKNet | CAM, negative | CUB-200-2011 | 30.9 | -
2 | SLaK | CAM, positive | CUB-200-2011 | 66.6 | -
2 | SLaK | CAM, negative | CUB-200-2011 | 65.7 | -
3 | ConvNeXt | PC1 | CUB-200-2011 | 83.3 | 76.5 | IoU threshold 82
3 | RepLKNet | PC1 | CUB-200-2011 | 93.6* | 80.4 | IoU threshold 34
3 | SLaK | PC1 | CUB-200-2011 | 30.5 | 38.2 | IoU threshold 17
4 | RepLKNet 31B1K, 224 pixels | CAM | CUB-200-2011 | 77.68 | - | without
4 | RepLKNet 31B1K, 224 pixels | CAM | CUB-200-2011 | 74.39 | - | with −3.30
4 | RepLKNet 31B1K, 384 pixels | CAM | CUB-200-2011 | 85.30 | - | without
4 | RepLKNet 31B1K, 384 pixels | CAM | CUB-200-2011 | 87.47 | - | with +2.17
4 | RepLKNet 31B22K, 224 pixels | CAM | CUB-200-2011 | 64.07 | - | without
4 | RepLKNet 31B22K, 224 pixels | CAM | CUB-200-2011 | 60.86 | - | with −3.21
4 | RepLKNet 31B22K, 384 pixels | CAM | CUB-200-2011 | 67.73 | - | without
4 | RepLKNet 31B22K, 384 pixels | CAM | CUB-200-2011 | 68.31 | - | with +0.59
4 | RepLKNet 31L22K, 384 pixels | CAM | CUB-200-2011 | 55.59 | - | without
4 | RepLKNet 31L22K, 384 pixels | CAM | CUB-200-2011 | 59.58 | - | with +3.99
4 | RepLKNet XL MegData, 320 pixels | CAM | CUB-200-2011 | 73.35 | - | without
4 | RepLKNet XL MegData, 320 pixels | CAM | CUB-200-2011 | 67.59 | - | with −5.76
"""


def as_typed(stem, table, row):
    """Return a row of a file in the form of the copy above."""

    def figure(heading):
        return next((value for key, value in row.figures.items() if table.printed[key] == heading), "-")

    cells = [stem[-1], row.backbone, row.method, row.measured_on or table.measured_on]
    cells += [figure("MaxBoxAcc"), figure("V2")]
    if "threshold" in row.also:
        cells.append(f"{table.printed['threshold']} {row.also['threshold']}")
    if stem[-1] == "4":
        cells.append(f"{row.note.split()[1]} {row.also.get('difference', '')}".strip())
    return " | ".join(cells)


def test_reported_figures_are_those_of_the_paper():
    tables = read_reported(BOARD)
    assert [table.table for table in tables.values()] == [f"Table {number}" for number in range(1, 5)]
    found = [as_typed(stem, table, row) for stem, table in tables.items() for row in table.rows]
    assert found == PAPER.strip().splitlines()


def test_notes_of_the_paper_are_kept():
    tables = read_reported(BOARD)
    first = tables["cam-back-again-table-1"]
    venues = [
        "CVPR 2016",
        "ICCV 2017",
        "CVPR 2018",
        "printed as CVPR 2021; its reference is Pattern Recognition 88, 2019",
    ]
    venues += ["WACV 2022"] * 3 + ["CVPR 2022"] * 2
    assert [row.note for row in first.rows][:-1] == venues
    assert first.footnotes["*"] == "The box threshold was not chosen on train-fullsup."


def test_a_marked_figure_does_not_stand_where_the_threshold_is_that_of_train_fullsup():
    figures = [each for table in read_reported(BOARD).values() for row in table.rows for each in row.figures.items()]
    assert [key for key, figure in figures if key.startswith("fullsup") == ("*" in figure)] == []


def test_reported_rows_are_unranked_and_name_their_source():
    rows = reported_rows(read_reported(BOARD), [], {})
    assert len(rows) == 37
    assert {row.kind for row in rows} == {"reported"}
    assert {row.rank for row in rows} == {None}
    assert len({row.id for row in rows}) == 37
    bridge = next(row for row in rows if row.method == "BridgeGAP")
    assert (bridge.metrics["max_box_acc"], bridge.printed["max_box_acc"], bridge.marks) == (93.17, "93.17*", ("*",))
    assert "Table 1" in bridge.source
    assert "not chosen on train-fullsup" in bridge.source
    assert {row.table for row in rows} == {"cub", "ilsvrc"}
    assert {row.family for row in rows} == {"ResNet", "VGG", "Inception", "RepLKNet", "ConvNeXt", "SLaK"}


def measured(**changes):
    row = reported_rows(read_reported(BOARD), [], {})[0]
    scores = {**row.metrics, "fullsup_box_acc": 88.0, "fullsup_box_acc_v2": 70.0}
    ours = {"id": "cub/one", "kind": "measured", "network": "replknet_31b", "method": "cam", "metrics": scores}
    return replace(row, **{**ours, "table": "cub-here", "printed": {}, "marks": (), **changes})


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"images": 100}, False),
        ({"network": "replknet_31l"}, False),
        ({"method": "pc1"}, False),
        ({"table": "other"}, False),
        ({"incomplete": "no map has a score"}, False),
        ({"group": "cub//mean"}, False),
    ],
)
def test_a_difference_stands_where_the_same_was_measured(changes, same):
    names = {"cub-here": "cub", "other": "critters"}
    rows: list[Row] = reported_rows(read_reported(BOARD), [measured(**changes)], names)
    deltas = {row.id: row.delta for row in rows if row.delta}
    own = rows[9]
    expected = {"fullsup_box_acc": pytest.approx(2.99), "fullsup_box_acc_v2": pytest.approx(6.72)}
    assert deltas == ({own.id: expected} if same else {})


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"73.2"', "73.2", "rows.0.figures.fullsup_box_acc"),
        ('"73.2"', '"73,2"', "rows.0.figures.fullsup_box_acc"),
        ('"84.55*"', '"84.55†"', "no footnote of the mark †"),
        ('max_box_acc = "84.55*"', 'best = "84.55*"', "rows.3.figures"),
        ('table = "Table 1"\n', "", "table: it is missing"),
        ("[printed]", "[printed", "no TOML"),
        ('dataset = "cub"', 'dataset = "../cub"', "dataset"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_place(tmp_path, old, new, told):
    folder = tmp_path / "reported"
    folder.mkdir()
    text = (BOARD / "reported" / "cam-back-again-table-1.toml").read_text()
    assert old in text
    (folder / "mine.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read_reported(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(folder / "mine.toml"))
    assert told in message
    assert "\n" not in message


def test_a_leaderboard_without_the_folder_reports_nothing(tmp_path):
    assert read_reported(tmp_path) == {}
