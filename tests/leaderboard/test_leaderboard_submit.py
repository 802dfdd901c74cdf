"""Contributed records: what is refused, where the others go, what a pull request says, and what `check` accepts."""

import json
import shutil

import pytest
import yaml
from boards import board_of, without_pictures
from markdown_it import MarkdownIt
from pages import ROOT
from test_documentation import commands, problem
from toy_networks import METHOD, trained_record
from toy_records import as_version1, as_version2, write_sealed

from wsolbench.leaderboard import build, check, submit
from wsolbench.leaderboard.entries import Entry, group_tables
from wsolbench.leaderboard.output import MANIFEST
from wsolbench.leaderboard.seeds import group_seeds
from wsolbench.records import TrainingInfo, WeightsInfo, read_record, write_record

pytestmark = pytest.mark.usefixtures("no_pictures")
no_pictures = pytest.fixture(scope="module")(without_pictures)

PC1 = METHOD.model_copy(update={"name": "pc1"})


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A leaderboard of two networks."""
    return board_of(tmp_path_factory.mktemp("built"), "alpha", "beta")


@pytest.fixture
def board(built, tmp_path):
    """A copy of it to contribute to."""
    return shutil.copytree(built, tmp_path / "board")


@pytest.fixture
def mine(tmp_path):
    """The record of somebody else."""
    return write_record(trained_record("gamma", shift=2), tmp_path / "mine", "record-cam")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_records_go_where_they_belong_with_the_text_of_a_pull_request(board, mine, tmp_path, cli):
    other = write_record(trained_record("gamma", method=PC1), tmp_path / "mine", "record-pc1")
    before = contents(board)
    done = cli("leaderboard", "submit", mine, other, "--folder", board)
    assert done.code == 0, done.err
    place = board / "records" / "submitted" / "birds"
    files = [place / f"gamma__{method}__file.json" for method in ("cam", "pc1")]
    assert done.out.splitlines()[:2] == [str(file) for file in files]
    assert [read_record(file) for file in files] == [read_record(path) for path in (mine, other)]
    assert before.items() <= contents(board).items()
    title, _, body = done.out.partition("Title of the pull request:\n\n")[2].partition("\n\n")
    assert title == "Leaderboard: cam, pc1 of gamma on birds"
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body.partition(":\n\n")[2])
    cells = [token.content for token in tokens if token.type == "inline"]
    assert "submitted/birds/gamma__pc1__file.json" in " ".join(cells)
    assert "with these records against the leaderboard without them: 2 new rows" in body
    (commands_block,) = [token for token in tokens if token.type == "fence"]
    assert commands_block.content == "wsolbench evaluate\n"


def test_a_submission_is_a_row_that_check_accepts(board, mine):
    submit(board, [mine])
    build(board)
    assert check(board) == []
    (table,) = json.loads((board / MANIFEST).read_text())["tables"]
    assert "submitted/birds/gamma__cam__file.json" in {row["record"] for row in table["rows"]}


def test_what_was_measured_here_is_never_replaced_and_a_copy_of_it_is_refused(board, tmp_path, cli):
    before = contents(board)
    copy = write_record(trained_record("alpha"), tmp_path / "mine", "copy")
    assert cli("leaderboard", "submit", copy, "--folder", board).refused("has it already, as birds/alpha__cam__file")
    assert contents(board) == before
    again = write_record(trained_record("alpha", shift=3), tmp_path / "mine", "again")
    (file,) = submit(board, [again]).files
    assert file == board / "records" / "submitted" / "birds" / "alpha__cam__file.json"
    assert before.items() <= contents(board).items()
    later = write_record(trained_record("alpha", shift=4), tmp_path / "mine", "later")
    assert submit(board, [later]).files == [file]
    assert read_record(file) == read_record(later)
    assert cli("leaderboard", "submit", later, "--folder", board).refused("already, as submitted/birds/alpha")


# ------------------------------------------------------------------------------------------------------- what is wrong


def raised_score(path):
    record = json.loads(path.read_text())
    record["metrics"]["max_box_acc"] = 99.0
    path.write_text(json.dumps(record))
    return "changed after it was written", "max_box_acc is 99.0"


def sealed_score(path):
    record = json.loads(path.read_text())
    record["metrics"]["max_box_acc"] = 99.0
    write_sealed(path, record)
    return "max_box_acc is 99.0, but its outcomes give"


def impossible_score(path):
    record = json.loads(path.read_text())
    record["metrics"]["top1_acc"] = 101.0
    write_sealed(path, record)
    return "metrics.top1_acc", "100"


def other_outcomes(path):
    other = write_record(trained_record("gamma", shift=5), path.parent, "other")
    other.with_name("other.outcomes.json.gz").replace(path.with_name("record-cam.outcomes.json.gz"))
    return "hash"


def no_outcomes(path):
    path.with_name("record-cam.outcomes.json.gz").unlink()
    return ("outcomes",)


def version_2(path):
    path.write_text(json.dumps(as_version2(read_record(path))))
    return "measured with version 2", "measure it again"


def version_1(path):
    path.write_text(json.dumps(as_version1(read_record(path))))
    return "measured with version 1", "measure it again"


def named(text):
    def change(path):
        record = json.loads(path.read_text())
        record["backbone"]["name"] = text
        write_sealed(path, record)
        return ("backbone.name",)

    return change


def commanded(text):
    def change(path):
        record = json.loads(path.read_text())
        record["environment"]["command"] = text
        write_sealed(path, record)
        return ("control character",)

    return change


WRONG = {
    **{each.__name__: each for each in (raised_score, sealed_score, impossible_score, other_outcomes, no_outcomes)},
    **{each.__name__: each for each in (version_1, version_2)},
    "tag in a name": named("<img src=x>"),
    "terminal escape": commanded("wsolbench \x1b[31mrun"),
    "bidi control": commanded("wsolbench \u202erun"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_record_is_refused_by_submit_and_check_and_nothing_is_copied(board, mine, cli, kind):
    words = WRONG[kind](mine)
    words = (words,) if isinstance(words, str) else words
    before = contents(board)
    assert cli("leaderboard", "submit", mine, "--folder", board).refused(str(mine.with_suffix("")), *words)
    assert contents(board) == before
    place = board / "records" / "submitted" / "birds"
    place.mkdir(parents=True)
    for path in mine.parent.iterdir():
        shutil.copy(path, place / path.name.replace("record-cam", "gamma__cam__file"))
    for command in ("check", "build"):
        done = cli("leaderboard", command, "--folder", board)
        assert done.refused("gamma__cam__file.", *words)


def test_a_contributed_file_has_the_name_that_its_record_gives(board, mine, cli):
    (file,) = submit(board, [mine]).files
    for path in list(file.parent.glob("gamma*")):
        path.rename(path.with_name(path.name.replace("gamma", "alpha")))
    done = cli("leaderboard", "check", "--folder", board)
    assert done.refused("alpha__cam__file.json: expected the name submitted/birds/gamma__cam__file.json")


def test_of_several_records_all_or_none_is_copied(board, mine, tmp_path, cli):
    good = write_record(trained_record("delta", shift=1), tmp_path / "good", "record")
    version_2(mine)
    before = contents(board)
    assert cli("leaderboard", "submit", good, mine, "--folder", board).refused(str(mine), "nothing is copied")
    assert contents(board) == before


def test_a_seed_that_others_submit_does_not_change_a_mean():
    def entry(name, seed):
        record = trained_record(shift=seed, weights=seed)
        start = WeightsInfo(source="random", file=None, sha256=None)
        training = TrainingInfo(
            **{"dataset": "birds", "recipe": "plain", "recipe_options": {}, "seed": seed, "initial_weights": start},
            command=f"wsolbench train --seed {seed}",
        )
        weights = record.backbone.weights.model_copy(update={"training": training})
        backbone = record.backbone.model_copy(update={"weights": weights})
        return Entry(name, f"{seed}" * 64, record.model_copy(update={"backbone": backbone}))

    def counted(third):
        entries = [entry("birds/a.json", 1), entry("birds/b.json", 2), entry(third, 3)]
        return [len(group) for table in group_tables(entries) for group in group_seeds(table)]

    assert counted("birds/c.json") == [3]
    assert counted("submitted/birds/c.json") == [2]


# ------------------------------------------------------------------------------------------------------------ workflows


@pytest.mark.parametrize("name", ["pages", "submissions"])
def test_workflows_run_commands_that_there_are_and_may_write_nothing_but_pages(name):
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))
    scripts = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    typed = [arguments for script in scripts for arguments in commands(script)]
    assert len(typed) >= 2
    assert [why for arguments in typed if (why := problem(arguments))] == []
    assert workflow["permissions"] == {"contents": "read"}
    granted = [job.get("permissions", {}) for job in workflow["jobs"].values()]
    assert all(set(each) <= {"pages", "id-token"} for each in granted)
    assert not [script for script in scripts if "${{" in script]  # a name in a pull request is no part of a script
