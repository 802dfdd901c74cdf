"""Records into tables: what is compared, what is refused, and when a leaderboard is stale."""

import csv
import gzip
import html
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from boards import without_pictures
from toy_records import remade, write_sealed

from wsolbench.errors import DataError
from wsolbench.leaderboard import add, build, check
from wsolbench.leaderboard.entries import group_tables, read_all, read_entry
from wsolbench.leaderboard.rows import rows_of as rows_of_table
from wsolbench.leaderboard.seeds import group_seeds, uncounted
from wsolbench.leaderboard.shown import FIELDS
from wsolbench.progress import Reporter
from wsolbench.records import compute_intervals, read_record, write_record
from wsolbench.records.store import outcomes_path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, without_galleries):
    """A run of two backbones, with a baseline, on a few images."""
    from wsolbench.cli.app import main

    folder = tmp_path_factory.mktemp("runs")
    quick = ["--weights", "random", "--limit", "6", "--interval", "0.05", "--workers", "1"]
    for backbone, methods in (("resnet_nano", ["cam", "centred-box"]), ("replknet_nano", ["cam", "pc1"])):
        chosen = [part for method in methods for part in ("--method", method)]
        with pytest.raises(SystemExit) as ended, without_galleries():
            main(["run", "--backbone", backbone, *chosen, *quick, "--out", str(folder / backbone)])
        assert ended.value.code == 0
    return folder


@pytest.fixture(scope="module")
def built(run_folder, tmp_path_factory):
    """A leaderboard built from that run, its random weights passed off as trained so that figures are drawn."""
    tmp_path = tmp_path_factory.mktemp("built")
    records = sorted(run_folder.rglob("record-*.json"))
    copies = []
    for number, path in enumerate(records):
        text = read_record(path).to_line().replace('"source": "random"', '"source": "shipped"')
        copies.append(tmp_path / f"{number}.json")
        write_sealed(copies[-1], json.loads(text))
    folder = tmp_path / "leaderboard"
    add(folder, copies)
    build(folder)
    return folder


@pytest.fixture
def _figures_without_pictures():
    yield from without_pictures()


@pytest.fixture
def board(built, tmp_path):
    """A copy of it to spoil."""
    return shutil.copytree(built, tmp_path / "leaderboard")


def read_entries(records):
    entries, refused = read_all(records, Reporter())
    assert refused == []
    return entries


def record_files(board):
    return sorted((board / "records").rglob("*.json"))


def content_of(path):
    """Return a record with its outcomes as one JSON object, to be changed and added again."""
    return json.loads(read_record(path).to_line())


def test_records_are_kept_under_telling_names(board):
    assert [path.name for path in record_files(board)] == [
        "replknet_nano__cam__shipped.json",
        "replknet_nano__pc1__shipped.json",
        "resnet_nano__cam__shipped.json",
        "resnet_nano__centred-box__shipped.json",
    ]


def test_what_was_built_is_fresh_and_building_again_changes_nothing(board):
    assert check(board) == []
    before = {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}
    build(board)
    assert {path: path.read_bytes() for path in board.rglob("*") if path.is_file()} == before


def test_every_format_has_every_row(board):
    page = (board / "index.html").read_text()
    rows = list(csv.DictReader((board / "leaderboard.csv").read_text().splitlines()))
    tables = json.loads((board / "leaderboard.json").read_text())["tables"]
    latex = (board / "critters.tex").read_text()
    assert len(rows) == len(tables[0]["rows"]) == 4
    for row in rows:
        assert f'data-id="{row["id"]}"' in page
        assert row["method"] in latex
    assert float(rows[0]["max_box_acc"]) == tables[0]["rows"][0]["metrics"]["max_box_acc"]


def test_v2_at_the_fullsup_threshold_stands_with_its_interval(board):
    latex = (board / "critters.tex").read_text()
    rows = list(csv.DictReader((board / "leaderboard.csv").read_text().splitlines()))
    for row, listed in zip(
        rows, json.loads((board / "leaderboard.json").read_text())["tables"][0]["rows"], strict=True
    ):
        value, low, high = (float(row[f"fullsup_box_acc_v2{end}"]) for end in ("", "_low", "_high"))
        assert f" [{low:.1f}, {high:.1f}]" in latex
        assert f"{value:.1f}" in latex
        assert listed["intervals"]["fullsup_box_acc_v2"] == [low, high]


def test_the_leaderboard_and_comparisons_need_no_torch():
    modules = "wsolbench.leaderboard, wsolbench.records.compare, wsolbench.records.verify"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_are_sorted_by_v2_at_the_fullsup_threshold(board):
    rows = list(csv.DictReader((board / "leaderboard.csv").read_text().splitlines()))
    scores = [float(row["fullsup_box_acc_v2"]) for row in rows]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.usefixtures("_figures_without_pictures")
def test_less_precision_is_a_row_of_its_own(board, tmp_path):
    text = read_record(board / "records" / "critters" / "resnet_nano__cam__shipped.json").to_line()
    write_sealed(tmp_path / "low.json", json.loads(text.replace('"precision": "fp32"', '"precision": "bf16"')))
    add(board, [tmp_path / "low.json"])
    build(board)
    assert (board / "records" / "critters" / "resnet_nano-bf16__cam__shipped.json").exists()
    assert "| resnet_nano (bf16) " in (board / "README.md").read_text()
    assert [row["record"] for row in listed(board) if row["precision"] == "bf16"] == [
        "critters/resnet_nano-bf16__cam__shipped.json"
    ]


def listed(board):
    """Return the rows of the CSV file."""
    return list(csv.DictReader((board / "leaderboard.csv").read_text().splitlines()))


def trained(path, seed, **training):
    """Return a record as of weights that were trained from a seed, which localize other images at other τ."""
    measured = read_record(path)
    outcomes = [
        replace(part.select(np.roll(np.arange(len(part.image_ids)), seed)), image_ids=part.image_ids)
        for part in measured.outcomes
    ]
    intervals = compute_intervals(outcomes, measured.protocol)
    record = json.loads(remade(measured, outcomes, intervals=intervals).to_line())
    start = {"source": "random", "file": None, "sha256": None}
    told = {"dataset": "critters", "recipe": "plain", "recipe_options": {"epochs": 2}, "initial_weights": start}
    told |= {"seed": seed, "command": f"wsolbench train --seed {seed}", **training}
    record["backbone"]["weights"] |= {"source": "file", "sha256": f"{seed}" * 64, "training": told}
    return record


@pytest.mark.usefixtures("_figures_without_pictures")
def test_seeds_are_rows_of_their_own_and_a_table_of_means(board, tmp_path):
    first = board / "records" / "critters" / "resnet_nano__cam__shipped.json"
    files = [tmp_path / f"{seed}.json" for seed in range(3)]
    for seed, file in enumerate(files):
        write_sealed(file, trained(first, seed))
    lone = tmp_path / "lone.json"
    write_sealed(lone, trained(first, 7, recipe="modern"))
    add(board, [*files, lone])
    build(board)
    assert check(board) == []
    names = {path.name for path in record_files(board)}
    assert {f"resnet_nano__cam__plain-seed{seed}.json" for seed in range(3)} < names
    assert "resnet_nano__cam__modern-seed7.json" in names
    rows = [row for row in listed(board) if row["recipe"] == "plain"]
    assert [row["seeds"] for row in rows] == ["0 1 2", "0", "1", "2"]
    mean, *singles = rows
    assert {row["group"] for row in singles} == {mean["id"]}
    score = json.loads(first.read_text())["metrics"]["fullsup_box_acc_v2"]
    assert float(mean["fullsup_box_acc_v2"]) == pytest.approx(score)
    assert float(mean["fullsup_box_acc_v2_sd"]) == pytest.approx(0)
    assert mean["weights"] == "plain"
    assert f"{score:.1f} ± 0.0" in (board / "README.md").read_text()
    latex = (board / "critters.tex").read_text()
    assert f"{score:.1f} ± 0.0" in latex
    assert "plain, seed" not in latex
    assert latex.count("modern, seed 7") == 1


def continued(path, seed, first):
    """Return a record as of weights that were trained from one seed and then from another one."""
    start = trained(path, first)["backbone"]["weights"] | {"file": f"first{first}.safetensors"}
    told = {"initial_weights": start, "command": f"wsolbench train --seed {seed} --weights first{first}.safetensors"}
    return trained(path, seed, precision="bf16", **told)


@pytest.mark.usefixtures("_figures_without_pictures")
def test_continued_trainings_stand_beside_the_first_ones_with_all_commands_in_order(board, tmp_path):
    shipped = board / "records" / "critters" / "resnet_nano__cam__shipped.json"
    for seed in range(2):
        for name, record in (("first", trained(shipped, seed)), ("second", continued(shipped, seed, seed))):
            write_sealed(tmp_path / f"{name}{seed}.json", record)
    add(board, sorted(tmp_path.glob("first*.json")))
    add(board, sorted(tmp_path.glob("second*.json")))
    build(board)
    names = {path.name for path in record_files(board)}
    for recipes in ("plain", "plain+plain-bf16"):
        assert {f"resnet_nano__cam__{recipes}-seed{seed}.json" for seed in range(2)} < names
    second = next(row for row in listed(board) if row["weights"].startswith("plain + plain-bf16, seed 1"))
    detail = (board / "details" / f"{second['record_sha256'][:16]}.js").read_text()
    assert detail.index('"wsolbench train --seed 1"') < detail.index(
        '"wsolbench train --seed 1 --weights first1.safetensors"'
    )
    assert sorted(row["weights"] for row in listed(board) if " " in row["seeds"]) == ["plain", "plain + plain-bf16"]
    assert groups(board) == [[0, 1], [0, 1]]


def changed(path, target, **weights):
    """Write a record as of other weights, and return where."""
    record = content_of(path)
    record["backbone"]["weights"] |= weights
    write_sealed(target, record)
    return target


@pytest.mark.usefixtures("_figures_without_pictures")
def test_weights_of_two_files_stand_side_by_side_and_are_told_by_their_names(board, tmp_path):
    shipped = board / "records" / "critters" / "resnet_nano__cam__shipped.json"
    for name in ("mine", "yours"):
        told = {"source": "file", "file": f"{name}.pth", "sha256": f"{len(name)}" * 64}
        add(board, [changed(shipped, tmp_path / f"{name}.json", **told)])
    build(board)
    names = [path.name for path in record_files(board) if path.name.startswith("resnet_nano__cam__file")]
    assert len(names) == 2
    assert names[1] == "resnet_nano__cam__file.json"
    latex = (board / "critters.tex").read_text()
    assert latex.count("& mine.pth ") == latex.count("& yours.pth ") == 1


def test_measuring_again_replaces_the_record(board, tmp_path):
    shipped = board / "records" / "critters" / "resnet_nano__cam__shipped.json"
    for second in (1.0, 2.0):
        record = trained(shipped, seed=0, command=f"wsolbench train --seed 0 --device {second}")
        record["backbone"]["weights"]["sha256"] = f"{second:.0f}" * 64
        record["seconds"] = {"maps": second}
        write_sealed(tmp_path / "again.json", record)
        (path,) = add(board, [tmp_path / "again.json"])
    assert path.name == "resnet_nano__cam__plain-seed0.json"
    assert json.loads(path.read_text())["seconds"] == {"maps": 2.0}
    assert not list(path.parent.glob("resnet_nano__cam__plain-seed0-*.json"))


def test_one_experiment_twice_is_refused(board, tmp_path):
    shipped = board / "records" / "critters" / "resnet_nano__cam__shipped.json"
    files = [changed(shipped, tmp_path / name, file=None) for name in ("a.json", "b.json")]
    before = [path.read_bytes() for path in record_files(board)]
    with pytest.raises(DataError, match=r"b\.json is of the same experiment as .*a\.json; add the one"):
        add(board, files)
    assert [path.read_bytes() for path in record_files(board)] == before


def test_stored_maps_are_told_apart_by_what_they_come_to(board, tmp_path):
    names = ("resnet_nano__cam", "replknet_nano__cam")
    for name in names:
        record = content_of(board / "records" / "critters" / f"{name}__shipped.json")
        record["backbone"] = None
        write_sealed(tmp_path / f"{name}.json", record)
    for _ in range(2):
        added = add(board, [tmp_path / f"{name}.json" for name in names])
    assert len({path.read_bytes() for path in added}) == 2
    assert len(list((board / "records" / "critters").glob("precomputed__cam*.json"))) == 2


@pytest.mark.usefixtures("_figures_without_pictures")
def test_trainings_by_other_options_are_told_apart_by_them(board, tmp_path):
    shipped = board / "records" / "critters" / "resnet_nano__cam__shipped.json"
    for epochs in (2, 30):
        for seed in range(2):
            record = trained(shipped, seed, recipe_options={"epochs": epochs, "momentum": 0.9})
            write_sealed(tmp_path / f"{epochs}-{seed}.json", record)
    add(board, sorted(tmp_path.glob("*-?.json")))
    build(board)
    weights = [row["weights"] for row in listed(board)]
    for epochs in (2, 30):
        assert sum(each.startswith(f"plain (epochs={epochs}), seed ") for each in weights) == 2
        assert weights.count(f"plain (epochs={epochs})") == 1
    assert groups(board) == [[0, 1], [0, 1]]


@pytest.mark.usefixtures("_figures_without_pictures")
def test_a_record_of_other_images_replaces_none(board, tmp_path):
    shipped = board / "records" / "critters" / "resnet_nano__cam__shipped.json"
    record = read_record(shipped)
    fewer = remade(record, [replace(part, annotations_sha256="0" * 64) for part in record.outcomes])
    (path,) = add(board, [write_record(fewer, tmp_path, "fewer")])
    assert path != shipped
    assert shipped.exists()
    build(board)
    name = f"critters-{fewer.dataset.content_sha256[:8]}"
    assert (board / f"{name}.tex").exists()
    page = (board / "README.md").read_text()
    assert f"; data hash {fewer.dataset.content_sha256[:8]}\n" in page


def test_seeds_that_go_on_from_one_training_are_no_seeds_of_independent_ones(board, tmp_path):
    shipped = board / "records" / "critters" / "resnet_nano__cam__shipped.json"
    for seed, first in ((0, 0), (1, 1), (2, 0), (3, 0), (4, 1)):
        write_sealed(tmp_path / f"{seed}.json", continued(shipped, seed, first))
    add(board, sorted(tmp_path.glob("?.json")))
    assert groups(board) == [[0, 1], [2, 3]]


@pytest.mark.usefixtures("_figures_without_pictures")
def test_a_training_is_one_seed_however_often_it_was_measured(board, tmp_path):
    shipped = board / "records" / "critters" / "resnet_nano__cam__shipped.json"
    again = trained(shipped, 0)
    again["environment"]["seed"] = again["config"]["seed"] = 7
    copied = trained(shipped, 3)
    copied["backbone"]["weights"]["sha256"] = "0" * 64
    for name, record in (("a", trained(shipped, 0)), ("b", again), ("c", copied)):
        write_sealed(tmp_path / f"{name}.json", record)
    add(board, sorted(tmp_path.glob("?.json")))
    assert groups(board) == []
    write_sealed(tmp_path / "d.json", trained(shipped, 1))
    add(board, [tmp_path / "d.json"])
    (table, *_) = group_tables(read_entries(board / "records"))
    assert groups(board) == [[0, 1]]
    build(board)
    page = html.unescape((board / "README.md").read_text())
    assert page.count("Not counted as a seed: critters/resnet_nano__cam__plain-seed") == 2
    same = "is of the training of critters/resnet_nano__cam__plain-seed0"
    assert sorted((entry.seed, why[: len(same)]) for entry, why in uncounted(table)) == [(0, same), (3, same)]


def test_other_pixels_go_to_a_table_of_their_own_and_unknown_ones_only_where_there_are_two(board):
    path = record_files(board)[0]
    record = read_record(path)
    more, records = board / "records" / "more", board / "records"
    for name, digest in (("other", "f" * 64), ("unknown", None)):
        write_record(remade(record, [replace(part, images_sha256=digest) for part in record.outcomes]), more, name)
    tables = group_tables(read_entries(records))
    sizes = {table.title.partition("; pixels ")[2]: len(table.entries) for table in tables}
    digest = record.evaluated.images_sha256[:8]
    fullsup = record.outcomes[1].images_sha256[:8]
    assert sizes == {f"{digest} and {fullsup}": 4, "ffffffff and ffffffff": 1, "not known": 1}
    (more / "other.json").unlink()
    (table,) = group_tables(read_entries(records))
    assert len(table.entries) == 5
    assert "pixels" not in table.title


def groups(board):
    """Return the seeds of the last trainings of all that differ in nothing but seeds."""
    (table, *_) = group_tables(read_entries(board / "records"))
    repeated = (group for group in group_seeds(table) if len(group) > 1)
    return sorted([entry.training.seed for entry in group] for group in repeated)


def test_a_baseline_names_no_network_and_no_top_1(board):
    (row,) = [row for row in listed(board) if row["method"] == "centred-box"]
    assert (row["kind"], row["network"], row["weights"], row["rank_best"]) == ("baseline", "", "", "")
    assert (row["top1_loc"], row["top1_acc"]) == ("", "")
    (line,) = [line for line in (board / "critters.tex").read_text().splitlines() if "centred-box" in line]
    cells = [cell.strip() for cell in line.split("&")]
    assert cells[:3] == ["–"] * 3
    assert cells[-2] == "–"


@pytest.mark.parametrize("which", range(4))
def test_one_digit_of_a_record_is_noticed(board, which):
    path = record_files(board)[which]
    text = path.read_text()
    place = text.index('"seconds"') + 25
    digit = next(i for i in range(place, len(text)) if text[i].isdigit())
    path.write_text(text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :])
    with pytest.raises(DataError, match=r"was changed after it was written \(in one of the fields"):
        check(board)


def test_a_score_that_its_outcomes_do_not_give_is_refused(board):
    path = record_files(board)[0]
    record = content_of(path)
    for name in ("max_box_acc", "max_box_acc_v2", "fullsup_box_acc", "fullsup_box_acc_v2", "top1_acc"):
        changed = json.loads(json.dumps(record))
        changed["metrics"][name] += 0.5
        write_sealed(path, changed)
        with pytest.raises(DataError, match=f"{name} is .* but its outcomes give"):
            check(board)
    for name in ("fullsup_box_acc_v2", "max_box_acc_by_iou.0.7", "top1_loc"):
        changed = json.loads(json.dumps(record))
        changed["intervals"]["metrics"][name][0] -= 0.5
        write_sealed(path, changed)
        with pytest.raises(DataError, match=f"the interval of {name} is .* but its outcomes give"):
            check(board)
    for change, told in (
        (lambda record: record.update(intervals=None), "it has no intervals"),
        (lambda record: record["intervals"].update(seed=1), "intervals.seed is 1, expected 0"),
        (lambda record: record["intervals"]["metrics"].pop("top1_acc"), "the interval of top1_acc and its outcomes"),
        (lambda record: record["outcomes"]["test"]["hits"]["5"].pop(), "outcomes of test: expected one of each kind"),
        (lambda record: record["outcomes"]["test"]["hits"]["5"].__setitem__(0, 1), "its outcomes are not those"),
        (lambda record: record["splits"][0].update(nan_maps=1), "splits and outcomes of test disagree"),
        (lambda record: record["dataset"]["split_sizes"].update(test=1000), "split_sizes are"),
    ):
        changed = json.loads(json.dumps(record))
        change(changed)
        write_sealed(path, changed)
        with pytest.raises(DataError, match=told):
            check(board)


def test_outcomes_that_are_missing_altered_or_left_over_are_named(board, cli):
    path = record_files(board)[0]
    outcomes, (ids, _) = outcomes_path(path), sorted(path.parent.glob("images-*.txt.gz"))
    for file in (outcomes, ids):
        kept = file.read_bytes()
        file.unlink()
        assert cli("leaderboard", "check", "--folder", board).refused(f"{path}: ", f"{file} is missing")
        file.write_bytes(gzip.compress(gzip.decompress(kept).replace(b"0", b"1", 1)))
        assert cli("leaderboard", "check", "--folder", board).refused(str(file), "its hash is another one")
        file.write_bytes(kept[: len(kept) // 2])
        assert cli("leaderboard", "check", "--folder", board).refused(str(file), "is damaged")
        file.write_bytes(kept)
    assert check(board) == []
    path.unlink()
    assert f"{outcomes} belongs to no record" in check(board)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        *((name, "was changed after it was built") for name in ("README.md", "leaderboard.csv", "critters.tex")),
        ("leaderboard.json", "is not what the records give"),
    ],
)
def test_one_changed_cell_makes_it_stale(board, name, problem):
    path = board / name
    text = path.read_text()
    place = text.rindex("0")
    path.write_text(text[:place] + "1" + text[place + 1 :])
    (told,) = check(board)
    assert told.startswith(f"{path} {problem}")


@pytest.mark.usefixtures("_figures_without_pictures")
def test_missing_files_make_it_stale(board):
    (board / "leaderboard.csv").unlink()
    (board / "figures" / "critters-size.svg").unlink()
    assert len(check(board)) == 2
    build(board)
    assert check(board) == []


@pytest.mark.slow
def test_figures_of_many_methods_show_all_of_them(board, tmp_path, monkeypatch):
    monkeypatch.setattr("wsolbench.leaderboard.equal.share_alike", lambda *_: 0)  # the copies stand for other methods
    text = read_record(board / "records" / "critters" / "resnet_nano__cam__shipped.json").to_line()
    files = [tmp_path / f"{number}.json" for number in range(9)]
    for number, file in enumerate(files):
        write_sealed(file, json.loads(text.replace('"name": "cam"', f'"name": "other-{number}"')))
    add(board, files)
    build(board)
    methods = {row["method"] for row in csv.DictReader((board / "leaderboard.csv").read_text().splitlines())}
    for name in ("curves", "methods"):
        drawn = (board / "figures" / f"critters-{name}.svg").read_text()
        assert [method for method in methods - {"centred-box"} if f">{method}</text>" not in drawn] == []
    assert sum(row["method"].startswith("other-") for row in listed(board)) == 9


@pytest.mark.usefixtures("_figures_without_pictures")
def test_a_figure_drawn_from_other_records_is_noticed(board):
    drawn = board / "figures" / "critters-size.png"
    kept = drawn.read_bytes()
    gone = record_files(board)[0]
    gone.unlink()
    outcomes_path(gone).unlink()
    build(board)
    assert check(board) == []
    drawn.write_bytes(kept)
    assert check(board) == [f"{drawn} was drawn from other records"]


def test_a_leaderboard_without_records_is_refused(board):
    shutil.rmtree(board / "records" / "critters")
    with pytest.raises(DataError, match="no records"):
        check(board)


def test_other_settings_go_to_a_table_of_their_own(board):
    path = record_files(board)[0]
    record = content_of(path)
    record["protocol"]["target"] = record["config"]["target"] = "predicted"
    record["metrics"]["gt_known_loc"] = None
    record["missing"]["gt_known_loc"] = "maps of the predicted class"
    del record["intervals"]["metrics"]["gt_known_loc"]
    other = path.with_name("other.json")
    write_sealed(other, record)
    tables = group_tables(read_entries(board / "records"))
    assert [len(table.entries) for table in tables] == [4, 1]
    assert [table.slug for table in tables] == ["critters", "critters-predicted"]
    assert "predicted class" in tables[1].title


def test_what_an_interrupted_replacement_left_is_replaced(board, tmp_path):
    path = record_files(board)[0]
    (tmp_path / "again.json").write_text(read_record(path).to_line())
    outcomes_path(path).write_bytes(outcomes_path(record_files(board)[1]).read_bytes())
    next(path.parent.glob("images-*")).write_bytes(b"damaged")
    assert add(board, [tmp_path / "again.json"]) == [path]
    assert check(board) == []


@pytest.mark.usefixtures("_figures_without_pictures")
def test_add_builds_where_it_is_asked_to(board, tmp_path, cli):
    whole = add(tmp_path / "one", record_files(board)[:1])
    done = cli("leaderboard", "add", record_files(board)[0], "--folder", tmp_path / "new", "--build")
    assert (done.code, done.err) == (0, "")
    added, *built = done.out.splitlines()
    assert added == str(whole[0]).replace("/one/", "/new/")
    assert str(tmp_path / "new" / "README.md") in built
    assert check(tmp_path / "new") == []


def test_names_that_leave_the_folder_and_files_that_are_not_there_are_refused(board, tmp_path, cli):
    for name in ("../../evil", "", "..", "a|b", "/tmp/x"):
        record = content_of(record_files(board)[0])
        record["dataset"]["name"] = name
        write_sealed(tmp_path / "evil.json", record)
        with pytest.raises(DataError, match=r"dataset\.name: expected the form "):
            add(board, [tmp_path / "evil.json"])
    assert cli("leaderboard", "add", tmp_path / "no.json", "--folder", board).refused("no.json: cannot be read")
    assert cli("leaderboard", "add", tmp_path, "--folder", board).refused("cannot be read")


def test_what_is_no_record_is_refused_and_nothing_is_added(board, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    before = record_files(board)
    with pytest.raises(DataError, match="not a result record"):
        add(board, [broken])
    assert record_files(board) == before


@pytest.mark.usefixtures("_figures_without_pictures")
def test_the_command_line_builds_and_checks(board, cli):
    assert cli("leaderboard", "build", "--folder", board).code == 0
    assert cli("leaderboard", "check", "--folder", board).code == 0
    (board / "README.md").write_text("")
    assert cli("leaderboard", "check", "--folder", board).refused("stale", "README.md")
    assert cli("leaderboard", "check", "--folder", board / "nowhere").refused("records")


def rows_of(path):
    """Return the rows of the tables of a page that have scores, as heading -> cell."""
    rows, heading = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            heading = []
        elif not heading:
            heading = cells
        elif "---" not in line and "MaxBoxAcc" in heading:
            rows.append(dict(zip(heading, cells, strict=True)))
    return rows


def test_the_rows_of_the_readme_are_those_of_records():
    root = Path(__file__).parents[2]
    rows = rows_of(root / "README.md")
    assert len(rows) >= 5
    for row in rows:
        pattern = f"{row['Network'] if row['Network'] != '–' else '*'}__{row['Method']}__shipped.json"
        path = min((root / "leaderboard" / "records" / "critters").glob(pattern))
        (table,) = group_tables([read_entry(path, path.name)])
        shown = {field.heading: field.text(rows_of_table(table)[0]) for field in FIELDS.values()}
        assert row.items() <= shown.items()
    assert (root / "leaderboard" / "figures" / "critters-gallery.png").is_file()


@pytest.mark.slow
def test_the_committed_leaderboard_is_fresh():
    assert check(Path(__file__).parents[2] / "leaderboard") == []
