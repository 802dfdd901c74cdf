"""What differs between two leaderboards: rows, scores and ranks, in every form in which it is shown."""

import json
import shutil
import subprocess

import pytest
from boards import board_of, without_pictures
from markdown_it import MarkdownIt
from toy_networks import trained_record

from wsolbench.errors import DataError
from wsolbench.leaderboard import build
from wsolbench.leaderboard.difference import Change, Standing, as_lines, as_markdown, as_table, compare, read
from wsolbench.leaderboard.output import mark_of
from wsolbench.records import write_record
from wsolbench.records.plain import sealed

pytestmark = pytest.mark.usefixtures("no_pictures")
no_pictures = pytest.fixture(scope="module")(without_pictures)


def standing(name, score=None, rank=None, **others):
    metrics = {"fullsup_box_acc_v2": score}
    return Standing(id=name, table="birds", network=name, method="cam", metrics=metrics, rank=rank, **others)


OLD = [standing("same", 50, (1, 1)), standing("worse", 40, (2, 3)), standing("passed", 30, (3, 4)), standing("left", 5)]
NEW = [
    *(standing("same", 50 + 1e-12, (1, 1)), standing("worse", 35.5, (2, 4)), standing("passed", 30, (3, 3))),
    standing("joined", 45, (1, 2)),
]
CELLS = [
    ["new", "birds", "joined", "–", "cam", "V2 @fullsup 45.0", "1–2"],
    ["gone", "birds", "left", "–", "cam", "V2 @fullsup 5.0", "–"],
    ["score", "birds", "worse", "–", "cam", "V2 @fullsup 40.0 → 35.5", "2–3 → 2–4"],
    ["rank", "birds", "passed", "–", "cam", "", "3–4 → 3"],
]


@pytest.fixture(scope="module")
def difference():
    return compare(OLD, NEW, ("old", "new"))


def test_what_changed_is_a_row_each(difference):
    assert [change.cells() for change in difference.changes] == CELLS
    assert difference.counts() == {"new": 1, "gone": 1, "score": 1, "rank": 2}
    assert compare(OLD, OLD, ("a", "b")).changes == []


def test_a_rank_that_was_not_known_before_did_not_change():
    assert compare([standing("a", 1)], [standing("a", 1, (1, 2))], ("a", "b")).changes == []


def test_a_score_that_comes_or_goes_changed():
    (change,) = compare([standing("a", 1)], [standing("a", None)], ("a", "b")).changes
    assert change.cells()[-2:] == ["V2 @fullsup 1.0 → –", "–"]


def test_the_table_and_the_lines_show_all(difference):
    table, lines = as_table(difference), as_lines(difference, 3)
    assert table.startswith("new against old: 1 new row, 1 gone, 1 with other scores, 2 with other ranks\n\n")
    assert [[cell for cell in row if cell] for row in CELLS] == [
        line.split("  ") and _cells(line) for line in table.splitlines()[4:]
    ]
    assert lines[1] == "  new: birds, joined, –, cam: V2 @fullsup 45.0; rank 1–2"
    assert lines[4:] == ["  and 1 more"]
    assert as_table(compare(OLD, OLD, ("a", "b"))) == "b against a: no row differs"


def _cells(line):
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_markdown_has_a_table_of_rows_and_a_folded_one_of_ranks(difference):
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(as_markdown(difference))
    assert [token.type for token in tokens].count("table_open") == 2
    assert [token.type for token in tokens].count("tr_open") == 2 + 4
    assert next(token.content for token in tokens if token.type == "html_block").startswith("<details>")


def test_json_has_the_values(difference):
    changes = {change["id"]: change for change in difference.summary()["changes"]}
    assert changes["worse"]["scores"] == {"fullsup_box_acc_v2": {"before": 40, "after": 35.5}}
    assert changes["worse"]["rank"] == {"before": (2, 3), "after": (2, 4)}
    assert changes["joined"]["scores"] == {"fullsup_box_acc_v2": {"before": None, "after": 45}}
    assert changes["left"]["rank"] == {"before": None, "after": None}


# ------------------------------------------------------------------------------------------------- leaderboards on disk


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two built leaderboards: the second has one network more."""
    folder = tmp_path_factory.mktemp("built")
    board_of(folder / "old", "alpha", "beta")
    board_of(folder / "new", "alpha", "beta", "gamma")
    return folder


@pytest.fixture
def boards(built, tmp_path):
    """Copies of them to spoil."""
    copy = shutil.copytree(built, tmp_path / "boards")
    return copy / "old" / "board", copy / "new" / "board"


def test_another_folder_its_json_and_a_revision_of_this_one_are_read(boards, cli):
    old, new = boards
    for state in (old, old / "leaderboard.json"):
        done = cli("leaderboard", "diff", state, "--folder", new, "--json")
        assert done.code == 0, done.err
        changes = {change["network"]: change for change in json.loads(done.out)["changes"]}
        assert {name: change["change"] for name, change in changes.items()} == EXPECTED
        assert changes["beta"]["rank"] == {"before": [1, 2], "after": [1, 3]}
    git(new, "init", "--quiet")
    (new / "leaderboard.json").write_bytes((old / "leaderboard.json").read_bytes())
    git(new, "add", "leaderboard.json")
    git(new, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "old")
    (new / "leaderboard.json").unlink()
    build(new)
    done = cli("leaderboard", "diff", "HEAD", "--folder", new)
    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines()[4:]] == [*EXPECTED.values()]
    assert cli("leaderboard", "diff", "HEAD", "--folder", new, "--markdown").out.count("| new") == 1
    for name in ("nowhere", "--output=x", "a\nb", "HEAD:x"):
        assert cli("leaderboard", "diff", "--folder", new, "--", name).refused("nor a git revision")
    assert not (new / "x").exists()


EXPECTED = {"gamma": "new", "alpha": "rank", "beta": "rank"}


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)


def test_what_is_no_leaderboard_or_not_the_one_of_its_records_is_one_line(boards, cli, tmp_path):
    old, new = boards
    text = (old / "leaderboard.json").read_text()
    for content, why in (
        ("{}", "not a leaderboard.json"),
        (text.replace("toy.pth", "joy.pth").replace('"cam"', '"pam"'), "changed since it was built"),
        (json.dumps(sealed({"tables": [{"slug": "a", "rows": [{"id": 3}]}]})), "(tables.0.rows.0."),
    ):
        (tmp_path / "other.json").write_text(content)
        assert cli("leaderboard", "diff", tmp_path / "other.json", "--folder", new).refused("other.json", why)
    assert cli("leaderboard", "diff", tmp_path, "--folder", new).refused("leaderboard.json: no such file")
    assert cli("leaderboard", "diff", old, "--folder", new, "--json", "--markdown").refused("choose one")
    write_record(trained_record("four"), new / "records" / "birds", "four")
    assert cli("leaderboard", "diff", old, "--folder", new).refused("birds/four.json", "leaderboard build", "first")


def test_check_says_which_rows_changed_where_the_board_is_stale(boards, cli):
    _, new = boards
    for path in (new / "records").rglob("gamma*"):
        path.unlink()
    done = cli("leaderboard", "check", "--folder", new)
    assert done.refused("is stale", "gone: birds, gamma", "1 gone")


def test_hostile_texts_of_a_board_are_plain_wherever_a_difference_shows_them(tmp_path):
    text = "<b>|\x1b[31m\u202e\n=1"
    row = {"id": text, "kind": text, "network": text, "method": text, "metrics": {}, "rank": [1, 2]}
    content = json.dumps(sealed({"tables": [{"slug": text, "rows": [row]}]})).encode()
    (tmp_path / "leaderboard.json").write_bytes(content)
    assert mark_of(content)
    difference = compare(read(str(tmp_path), tmp_path), [], ("old", "new"))
    assert isinstance(difference.changes[0], Change)
    table = as_table(difference).splitlines()
    assert len(table) == 5
    assert all(line.isprintable() for line in table)
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(as_markdown(difference))
    kinds = [token.type for each in tokens for token in (each, *(each.children or ()))]
    assert kinds.count("tr_open") == 2
    assert not [kind for kind in kinds if "html" in kind]


def test_a_folder_without_git_has_no_revisions(tmp_path):
    with pytest.raises(DataError, match="nor a git revision"):
        read("HEAD", tmp_path)
