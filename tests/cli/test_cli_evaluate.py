import io

import numpy as np
import pytest

from wsolbench.records.identity import identity_of
from wsolbench.records.verify import read_verified

pytestmark = pytest.mark.usefixtures("no_gallery")

SCORED = ("max_box_acc", "fullsup_box_acc", "cam_threshold", "pxap")
RUN = ["run", "--backbone", "wsolbench:replknet_nano", "--weights", "random", "--method", "pc1", "--interval", "0.05"]


def box_and_mask_metrics(record):
    return {name: value for name, value in record["metrics"].items() if any(part in name for part in SCORED)}


@pytest.fixture
def stored(cli, tmp_path, folder_set):
    """Run on a small data set and keep the scoremaps; return the data set, the record and the folder of maps."""

    def run(*options, annotation="boxes", **counts):
        made = folder_set(annotation=annotation, **counts)
        maps = tmp_path / "maps"
        done = cli(*RUN, *made.options, "--save-scoremaps", maps, "--json", "--out", tmp_path / "out", *options)
        (record,) = done.records
        return made, record, maps / "pc1"

    return run


@pytest.fixture
def evaluate(cli):
    def evaluate(*options):
        return cli("evaluate", "--interval", "0.05", *options)

    return evaluate


def test_stored_maps_of_critters_score_the_same(cli, tmp_path, evaluate):
    maps = tmp_path / "maps"
    run = [*RUN, "--limit", 8, "--save-scoremaps", maps, "--json", "--out", tmp_path / "out"]
    (record,) = cli(*run).records
    places = ["--scoremaps", maps / "pc1" / "test", "--fullsup-scoremaps", maps / "pc1" / "val"]
    (again,) = evaluate("--dataset", "critters", *places, "--limit", 8, "--json").records
    assert box_and_mask_metrics(again) == box_and_mask_metrics(record)
    assert None not in box_and_mask_metrics(record).values()
    assert list(again["outcomes"]) == list(record["outcomes"]) == ["test", "train-fullsup"]
    for split, part in again["outcomes"].items():
        for name in ("image_ids", "correct", "annotations_sha256"):
            assert part[name] == record["outcomes"][split][name]
    assert again["dataset"]["content_sha256"] == record["dataset"]["content_sha256"]
    shared = again["intervals"]["metrics"]
    assert {name: record["intervals"]["metrics"][name] for name in shared} == shared
    assert "max_box_acc" in shared
    assert again["backbone"] is None
    assert again["method"] == {
        **{"name": "precomputed", "provider": None, "options": {}},
        **{"changed_options": {}, "reads_network": True, "fitted_images": None},
        **{"fit_rounds": None, "fit_state_sha256": None},
    }
    for name in ("top1_loc", "top5_loc", "top1_acc", "top5_acc"):
        assert again["metrics"][name] is None
        assert again["missing"][name] == "no classifier ran"


@pytest.mark.parametrize("annotation", ["boxes", "masks"])
def test_stored_maps_of_a_folder_score_the_same(stored, evaluate, annotation):
    made, record, maps = stored(annotation=annotation)
    places = ["--metadata-root", made.metadata, "--scoremaps", maps / "test", "--fullsup-scoremaps", maps / "val"]
    masks = ["--masks", made.images] if annotation == "masks" else []
    (again,) = evaluate(*places, *masks, "--json").records
    assert box_and_mask_metrics(again) == box_and_mask_metrics(record)
    assert any(value is not None for value in box_and_mask_metrics(record).values())


def test_maps_may_have_a_name(stored, evaluate, tmp_path):
    made, _, maps = stored()
    places = ["--metadata-root", made.metadata, "--scoremaps", maps / "test"]
    identities = set()
    for name in ("score-cam", "other"):
        done = evaluate(*places, "--name", name, "--out", tmp_path / name)
        assert name in done.out
        record = read_verified(tmp_path / name / f"record-{name}.json")
        assert record.method.name == name
        identities.add(identity_of(record).sha256)
    assert len(identities) == 2
    for wrong in ("", "a/b", "a|b", ".hidden", "x" * 101):
        assert evaluate(*places, "--name", wrong).refused("name takes")


@pytest.mark.parametrize("annotation", ["boxes", "masks"])
def test_the_order_of_a_list_changes_nothing(cli, tmp_path, stored, evaluate, annotation):
    made, record, maps = stored("--limit", 8, annotation=annotation, val=3, test=12)
    places = ["--metadata-root", made.metadata, "--scoremaps", maps / "test", "--fullsup-scoremaps", maps / "val"]
    places += ["--masks", made.images] if annotation == "masks" else []
    (before,) = evaluate(*places, "--limit", 8, "--json").records
    for path in made.metadata.rglob("*.txt"):
        path.write_text("\n".join(reversed(path.read_text().splitlines())))
    (after,) = evaluate(*places, "--limit", 8, "--json").records
    again = cli(*RUN, *made.options, "--limit", 8, "--json", "--out", tmp_path / "again").records
    for one, other in ((before, after), (record, *again)):
        for name in ("metrics", "intervals", "outcomes", "dataset", "splits"):
            assert one[name] == other[name]


def test_without_train_fullsup_maps_only_the_oracle_is_known(stored, evaluate):
    made, record, maps = stored()
    options = ["--metadata-root", made.metadata, "--scoremaps", maps / "test"]
    (again,) = evaluate(*options, "--json").records
    assert again["metrics"]["max_box_acc"] == record["metrics"]["max_box_acc"]
    assert again["metrics"]["max_box_acc_v2"] == record["metrics"]["max_box_acc_v2"]
    assert again["metrics"]["fullsup_box_acc"] is None
    reason = "no scoremaps of train-fullsup were given (--fullsup-scoremaps)"
    assert again["missing"]["fullsup_box_acc"] == reason
    table = evaluate(*options)
    assert table.code == 0
    assert f"no value at the fullsup τ, GT-known Loc: {reason}" in table.out
    assert "no Top-1 Loc, Top-5 Loc: no classifier ran" in table.out


def test_train_fullsup_itself_can_be_evaluated_but_not_at_its_own_threshold(stored, evaluate):
    made, record, maps = stored("--split", "train-fullsup")
    options = ["--metadata-root", made.metadata, "--scoremaps", maps / "val", "--split", "train-fullsup"]
    (again,) = evaluate(*options, "--json").records
    assert box_and_mask_metrics(again) == box_and_mask_metrics(record)
    refused = evaluate(*options, "--fullsup-scoremaps", maps / "val")
    assert refused.refused("a threshold chosen on train-fullsup cannot be judged on train-fullsup")


def test_short_names_and_other_sizes_are_read(stored, evaluate):
    made, _, maps = stored()
    for path in (maps / "test").rglob("*.png.npy"):
        np.save(path.with_name(path.name.replace(".png.npy", ".npy")), np.load(path)[::8, ::8])
        path.unlink()
    (record,) = evaluate("--metadata-root", made.metadata, "--scoremaps", maps / "test", "--json").records
    assert record["metrics"]["max_box_acc"] is not None


def test_constant_maps_are_warned_of_counted_and_with_strict_refused(stored, evaluate):
    made, _, maps = stored()
    flat = maps / "test" / f"{made.ids()[1]}.npy"
    np.save(flat, np.zeros((224, 224), np.float32))
    options = ["--metadata-root", made.metadata, "--scoremaps", maps / "test"]
    done = evaluate(*options, "--json")
    assert done.records[0]["splits"][0]["constant_maps"] == 1
    message = "1 of 4 maps of 'precomputed' on test hold one value only"
    assert f"warning: {message} and count as zero maps, unless they have the frame's size" in done.err
    assert f"; the first is {flat}\n" in done.err
    assert evaluate(*options, "--strict").refused(f"{message}; the first is {flat}")


def npy(array):
    """Return an array as the content of a file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


BROKEN = {
    "missing": (None, "1 of 4 images; the first is 'test/02.png'"),
    "empty": (b"", "damaged or cut off"),
    "text": (b"hello", "no .npy file"),
    "cut off": (npy(np.zeros((224, 224), np.float32))[:5000], "damaged or cut off"),
    "no pixels": (np.zeros((0, 224), np.float32), "expected a non-empty 2-D array"),
    "3-D": (np.zeros((3, 224, 224), np.float32), "expected a non-empty 2-D array"),
    "integer": (np.zeros((224, 224), np.int64), "expected floating-point values, got int64"),
    "NaN": (np.full((224, 224), np.nan), "expected finite values"),
    "too low": (np.full((224, 224), -0.01), "expected values in [0, 1]"),
    "too high": (np.full((224, 224), 1.01), "expected values in [0, 1]"),
    "objects": (np.array([[{}]], dtype=object), "pickled objects, which are never loaded"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_map_that_cannot_be_scored_ends_the_evaluation(stored, evaluate, kind):
    made, _, maps = stored()
    content, reason = BROKEN[kind]
    path = maps / "test" / "test" / "02.png.npy"
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    done = evaluate("--metadata-root", made.metadata, "--scoremaps", maps / "test", "--json")
    assert done.refused(reason, "02.png")


def test_a_map_of_no_image_is_refused(stored, evaluate):
    made, _, maps = stored()
    place = ["--metadata-root", made.metadata]
    np.save(maps / "test" / "test" / "bird.npy", np.zeros((224, 224), np.float32))
    done = evaluate(*place, "--scoremaps", maps / "test")
    assert done.refused("bird.npy is the scoremap of no image of the data set (one of 1)", "take such files away")
    (maps / "test" / "test" / "bird.npy").unlink()
    assert evaluate(*place, "--scoremaps", maps / "test", "--limit", 2).code == 0


def test_one_folder_may_hold_the_maps_of_both_splits(stored, evaluate):
    made, record, maps = stored()
    (maps / "val" / "val").rename(maps / "test" / "val")
    both = ["--scoremaps", maps / "test", "--fullsup-scoremaps", maps / "test"]
    (again,) = evaluate("--metadata-root", made.metadata, *both, "--json").records
    assert box_and_mask_metrics(again) == box_and_mask_metrics(record)


def rename(made, split, before, after):
    """Give an image of a `FolderSet` another id."""
    for path in (made.metadata / split).glob("*.txt"):
        path.write_text(path.read_text().replace(before, after))


def test_a_short_name_is_weighed_against_images_beyond_the_limit(folder_set, evaluate, tmp_path):
    made = folder_set(test=2)
    rename(made, "test", "test/01.png", "test/00.jpg")
    (tmp_path / "maps" / "test").mkdir(parents=True)
    np.save(tmp_path / "maps" / "test" / "00.npy", np.eye(224, dtype=np.float32))
    done = evaluate("--metadata-root", made.metadata, "--scoremaps", tmp_path / "maps", "--limit", 1)
    assert done.refused("has no scoremap for 1 of 1 images", "test/00.npy could be of 2 images")


def test_a_short_name_is_weighed_against_the_other_split_in_the_same_folder(folder_set, evaluate, tmp_path):
    made = folder_set(test=1, val=1)
    rename(made, "test", "test/00.png", "x/00.jpg")
    rename(made, "val", "val/00.png", "x/00.png")
    maps = [tmp_path / "one", tmp_path / "other"]
    for root in maps:
        (root / "x").mkdir(parents=True)
        np.save(root / "x" / "00.npy", np.eye(224, dtype=np.float32))
    places = ["--metadata-root", made.metadata, "--scoremaps", maps[0], "--fullsup-scoremaps"]
    assert evaluate(*places, maps[0]).refused("x/00.npy could be of 2 images")
    assert evaluate(*places, maps[0] / "x" / "..").refused("x/00.npy could be of 2 images")
    assert evaluate(*places, maps[1]).code == 0


def test_a_damaged_split_that_is_not_scored_is_no_obstacle(stored, evaluate):
    made, record, maps = stored()
    (made.metadata / "val" / "image_sizes.txt").write_text("no size here")
    options = ["--metadata-root", made.metadata, "--scoremaps", maps / "test"]
    done = evaluate(*options, "--json")
    assert done.err == ""
    assert done.records[0]["metrics"]["max_box_acc"] == record["metrics"]["max_box_acc"]
    (maps / "val" / "val").rename(maps / "test" / "val")
    warned = evaluate(*options, "--json")
    assert warned.records[0]["metrics"] == done.records[0]["metrics"]
    assert "warning: maps that are not scored may be of train-fullsup or of no image: " in warned.err
    assert "image_sizes.txt" in warned.err


def test_what_cannot_be_evaluated_is_refused(stored, evaluate, tmp_path):
    made, _, maps = stored()
    place = ["--metadata-root", made.metadata]
    assert evaluate("--scoremaps", maps).refused("--dataset NAME or --metadata-root DIR")
    assert evaluate(*place, "--scoremaps", tmp_path / "no").refused("no is no folder of scoremaps")
    assert evaluate(*place, "--scoremaps", maps / "test", "--fullsup-scoremaps", tmp_path).refused(
        "has no scoremap for 3"
    )
    assert evaluate("--dataset", "folder", "--scoremaps", maps).refused("pass --metadata-root DIR")
    assert evaluate("--dataset", "critters", *place, "--scoremaps", maps).refused("reads nothing from disk")
    assert evaluate("--dataset", "nope", "--scoremaps", maps).refused("unknown data set 'nope'")
    assert evaluate("--metadata-root", tmp_path / "no", "--scoremaps", maps).refused("check --metadata-root")
    assert evaluate(*place, "--scoremaps", maps, "--interval", "0").refused("--interval")
    assert evaluate(*place, "--scoremaps", maps, "--limit", "0").refused("--limit")


def test_masks_without_their_folder_are_asked_for(stored, evaluate):
    made, _, maps = stored(annotation="masks")
    done = evaluate("--metadata-root", made.metadata, "--scoremaps", maps / "test")
    assert done.refused("annotated with masks; pass --masks DIR")


def test_a_data_set_without_train_fullsup_has_no_maps_for_it(stored, evaluate):
    made, _, maps = stored(test=4)
    done = evaluate(
        "--metadata-root", made.metadata, "--scoremaps", maps / "test", "--fullsup-scoremaps", maps / "test"
    )
    assert done.refused("has no split train-fullsup; it has test")


def test_compilation_is_told_on_stderr(stored, evaluate, monkeypatch):
    made, _, maps = stored()
    monkeypatch.setattr("wsolbench.engine.assembly.load_sweep", lambda tell: tell("compiling"))
    done = evaluate("--metadata-root", made.metadata, "--scoremaps", maps / "test", "--json")
    assert done.err.splitlines()[0] == "compiling"
    assert len(done.records) == 1


def test_the_record_can_be_written_to_a_folder_and_compared(stored, evaluate, cli, tmp_path):
    made, _, maps = stored()
    options = ["--metadata-root", made.metadata, "--scoremaps", maps / "test"]
    done = evaluate(*options, "--out", tmp_path / "record")
    assert done.code == 0
    (tmp_path / "line.json").write_text(evaluate(*options, "--json").out)
    compared = cli("compare", tmp_path / "line.json", tmp_path / "record" / "record-precomputed.json")
    assert compared.code == 0
    assert evaluate(*options, "--out", tmp_path / "record").refused("--out", "not empty")


def test_how_boxes_were_read_is_said_and_recorded(tmp_path, evaluate):
    """Two boxes of one half-open list, one of which touches the border: refused, or read as the option says."""
    lists = {"image_ids": "a\nb", "class_labels": "a,0\nb,0", "image_sizes": "a,30,20\nb,30,20"}
    for name, text in (lists | {"localization": "a,5,5,10.5,10\nb,0,0,30,20"}).items():
        path = tmp_path / "lists" / "test" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "maps").mkdir()
    for name in "ab":
        np.save(tmp_path / "maps" / f"{name}.npy", np.eye(7, dtype=np.float32))
    places = ["--metadata-root", tmp_path / "lists", "--scoremaps", tmp_path / "maps", "--json"]
    refused = evaluate(*places)
    assert refused.code == 2
    assert "pass --boxes half-open" in refused.err
    hashes = set()
    for option, change in (
        ("half-open", "half-open, with 1 subtracted from the second corner"),
        ("clip", "beyond the"),
    ):
        done = evaluate(*places, "--boxes", option)
        (record,) = done.records
        assert f"box{'es' * (option == 'half-open')} {change}" in done.err
        assert "test: 1 box with fractions, truncated to whole pixels" in done.err
        assert record["config"]["boxes"] == option
        remarks = record["dataset"]["remarks"]["test"]
        assert remarks.pop("boxes with fractions, truncated to whole pixels") == 1
        ((remark, count),) = remarks.items()
        assert (remark.startswith(f"boxes {change}"), count) == (True, 2 if option == "half-open" else 1)
        hashes.add(record["dataset"]["content_sha256"])
    assert len(hashes) == 2
