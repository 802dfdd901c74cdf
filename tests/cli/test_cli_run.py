import json
import re
import subprocess
import sys
import time
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from cases import replacing
from PIL import Image

from wsolbench import console
from wsolbench.contract import MethodSpec, MethodZoo
from wsolbench.engine.methods import build_methods
from wsolbench.errors import UsageError
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer, Registry
from wsolbench.records import read_record
from wsolbench.records.verify import read_verified

METRICS = {
    *("max_box_acc", "fullsup_box_acc", "max_box_acc_v2", "fullsup_box_acc_v2"),
    *("max_box_acc_by_iou", "fullsup_box_acc_by_iou", "fullsup_cam_threshold", "fullsup_cam_threshold_single"),
    *("top1_loc", "top5_loc", "top1_acc", "top5_acc", "pxap"),
    *("mean_iou", "fullsup_mean_iou", "box_acc_area", "box_acc_area_v2"),
    *("max_box_acc_by_size", "fullsup_box_acc_by_size"),
}
FULLSUP = {name for name in METRICS if name.startswith("fullsup")} | {"gt_known_loc", "top1_loc", "top5_loc"}
NANO = ["run", "--backbone", "wsolbench:replknet_nano", "--weights", "random"]
QUICK = [*NANO, "--interval", "0.05"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def pictures_and_records(folder):
    return [name for name in names(folder) if not name.endswith(".gz")]


def table_of(text):
    """Return the table's cells by line label and column."""
    lines = text.splitlines()
    rule = next(line for line in lines if line.startswith("---"))
    spans = [match.span() for match in re.finditer("-+", rule)]
    rows = [[line[start:stop].strip() for start, stop in spans] for line in lines[lines.index(rule) + 1 :]]
    return {row[0]: row[1:] for row in rows}


# --------------------------------------------------------------------------------------------------- from end to end


@pytest.fixture
def critters_run(cli, tmp_path):
    def run(name, *options):
        out = tmp_path / name
        methods = ["--method", "cam", "--method", "pc1"]
        usual = [*NANO, "--limit", 12, "--interval", 0.02, *methods, "--out", out]
        return cli(*replacing(usual, options)), out

    return run


@pytest.mark.usefixtures("no_gallery")
def test_many_methods_are_told_a_line_each(cli, tmp_path):
    methods = ("cam", "cam-pos", "cam-neg", "mean-feature", "full-image", "centred-box")
    chosen = [part for method in methods for part in ("--method", method)]
    done = cli(*QUICK, "--limit", 4, *chosen, "--out", tmp_path / "out")
    tables = [table.splitlines() for table in done.out.split("\n\n")[1:-1]]
    places = ("fullsup τ", "oracle τ")
    assert [table[0] for table in tables] == [f"{tau}{end}" for tau in places for end in (":", ", continued:")]
    assert all(tuple(line.split()[0] for line in table[-6:]) == methods for table in tables[:-1])
    assert max(map(len, done.out.splitlines())) <= 100


def test_a_wide_table_shows_the_same_as_a_narrow_one(cli, tmp_path, monkeypatch):
    methods = ["--method", "pc1", "--method", "cam-neg", "--all-metrics", "--no-gallery"]
    monkeypatch.setenv("COLUMNS", "250")
    usual = table_of(cli(*QUICK, "--limit", 4, *methods, "--out", tmp_path / "wide").out)
    monkeypatch.setenv("COLUMNS", "60")
    turned = cli(*QUICK, "--limit", 4, *methods, "--out", tmp_path / "narrow")
    assert max(len(line) for line in turned.out.splitlines() if line.startswith(("pc1", "---"))) <= 60
    row = next(line for line in turned.out.splitlines() if line.startswith("pc1")).split()
    assert row[1:4] == [usual["MaxBoxAcc"][1], f"[{usual['MaxBoxAcc, 95 %'][1]}]", usual["MaxBoxAccV2"][1]]
    cells = [cell for line in turned.out.splitlines() if line.startswith("pc1") for cell in line.split()[1:]]
    labels = ("MaxBoxAccV2, 95 %", "V2 at IoU 0.3", "V2 at IoU 0.7", "Top-1 Loc", "τ of MaxBoxAcc", "Mean IoU")
    assert {cell for label in labels for cell in usual[label][:2] if cell} <= {cell.strip("[]") for cell in cells}


def test_no_gallery_writes_records_alone(critters_run):
    done, out = critters_run("out", "--no-gallery")
    assert pictures_and_records(out) == ["record-cam.json", "record-pc1.json"]
    assert done.out.endswith(f"records: {out}\n")


def test_the_time_of_each_method_is_recorded(critters_run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done, out = critters_run("out", "--no-gallery", "--all-metrics")
    seconds = [read_record(out / f"record-{method}.json").seconds for method in ("cam", "pc1")]
    assert 0 < seconds[0]["method"] < seconds[0]["test"] + seconds[0]["train-fullsup"]
    shown = table_of(done.out)["Method alone, ms an image"]
    assert [float(shown[0]), float(shown[2])] == pytest.approx(
        [1000 * each["method"] / 24 for each in seconds], rel=0.06
    )


@pytest.mark.slow
@pytest.mark.usefixtures("no_gallery")
def test_precision_is_told_and_recorded(critters_run):
    done, out = critters_run("out", "--precision", "bf16", "--limit", 2)
    assert "features are computed in bf16" in done.err
    assert "random weights in bf16" in done.out
    network = read_record(out / "record-cam.json").backbone
    assert (network.precision, network.compiled) == ("bf16", False)
    done, out = critters_run("usual")
    assert "fp32" not in done.err
    assert read_record(out / "record-cam.json").backbone.precision == "fp32"


def test_a_run_prints_a_table_and_writes_a_record_and_a_gallery_for_each_method(critters_run):
    done, out = critters_run("out")
    assert done.code == 0
    assert pictures_and_records(out) == ["gallery-cam.png", "gallery-pc1.png", "record-cam.json", "record-pc1.json"]
    assert {f"record-{name}.outcomes.json.gz" for name in ("cam", "pc1")} < set(names(out))
    assert len(list(out.glob("images-*.txt.gz"))) == 2  # of test and of train-fullsup, whatever the methods
    assert done.out.startswith("critters, test: 12 images; τ chosen on 12 images of train-fullsup\n")
    assert f"records and galleries: {out}" in done.out
    cells = table_of(done.out)
    for column, method in enumerate(("cam", "pc1")):
        record = read_record(out / f"record-{method}.json")
        assert record.method.name == method
        assert cells["MaxBoxAcc"][2 * column] == f"{record.metrics.max_box_acc:.2f}"
        assert cells["MaxBoxAcc"][2 * column + 1] == f"{record.metrics.fullsup_box_acc:.2f}"
        low, high = record.intervals.metrics["fullsup_box_acc"]
        assert cells["MaxBoxAcc, 95 %"][2 * column + 1] == f"{low:.1f}–{high:.1f}"
        assert cells["PxAP"][2 * column] == f"{record.metrics.pxap:.2f}"
        with Image.open(out / f"gallery-{method}.png") as picture:
            picture.load()
            assert 800 < picture.width < 2500
            assert 400 < picture.height < 2000
            assert np.asarray(picture).std() > 20


@pytest.mark.usefixtures("no_gallery")
def test_with_json_stdout_holds_one_record_a_line_and_twice_the_same(critters_run):
    (first, out), (second, _) = critters_run("a", "--json"), critters_run("b", "--json")
    schema = json.loads(files("wsolbench.records").joinpath("record.schema.json").read_text(encoding="utf-8"))
    assert [record["method"]["name"] for record in first.records] == ["cam", "pc1"]
    for record, again in zip(first.records, second.records, strict=True):
        jsonschema.validate(record, schema)
        assert set(record["metrics"]) >= METRICS
        assert all(record["metrics"][name] is not None for name in METRICS)
        assert set(record["metrics"]["max_box_acc_by_iou"]) == {"0.3", "0.5", "0.7"}
        assert record["metrics"] == again["metrics"]
        assert record["outcomes"] == again["outcomes"]
        assert record["dataset"] == again["dataset"]
        assert json.loads(read_record(out / f"record-{record['method']['name']}.json").to_line()) == record


@pytest.mark.usefixtures("no_gallery")
def test_a_record_tells_where_its_numbers_come_from(cli, tmp_path, folder_set):
    made = folder_set()
    options = ["--method", "pc1", "--method-opt", "pc1.rule=corrected", "--seed", 5, "--batch-size", 2]
    done = cli(*QUICK, *options, *made.options, "--json", "--out", tmp_path / "out")
    (record,) = done.records
    assert record["method"]["options"] == {"rule": "corrected", "weighting": "sign"}
    assert record["method"]["provider"].startswith("wsolbench ")
    assert record["backbone"]["requested"] == "wsolbench:replknet_nano"
    assert record["backbone"]["name"] == "replknet_nano"
    nothing = {"file": None, "sha256": None, "training": None, "key": None, "notes": []}
    assert record["backbone"]["weights"] == {"source": "random", **nothing}
    assert record["backbone"]["preprocessing"]["size"] == 96
    assert record["backbone"]["largest_kernel"] == record["backbone"]["stage_kernel"] == 13
    assert record["protocol"]["threshold_step"] == 0.05
    environment = record["environment"]
    assert (environment["seed"], environment["batch_size"], environment["device"]) == (5, 2, "cpu")
    assert environment["command"].startswith("wsolbench run --backbone wsolbench:replknet_nano")
    assert record["dataset"]["split_sizes"] == {"test": 4, "train-fullsup": 3}


@pytest.mark.usefixtures("no_gallery")
def test_a_log_has_a_line_for_every_phase(cli, tmp_path, folder_set):
    done = cli(*QUICK, "--method", "pc1", *folder_set(val=3, test=4).options, "--out", tmp_path / "out")
    assert [line for line in done.err.splitlines() if not line.startswith("warning: ")] == []
    phases = ["[annotations]", "[compilation]", "[train-fullsup] 3 images", "[test] 4 images"]
    assert done.progress.splitlines() == phases


def test_a_log_counts_methods_beside_images(capsys):
    with console.ConsoleReporter().phase("test", 1, beside="2 methods"):
        pass
    assert capsys.readouterr().err == "[test] 1 image, 2 methods\n"


def test_a_log_says_how_far_a_phase_is(capsys, monkeypatch):
    monkeypatch.setattr(console, "LINE_SECONDS", 0.05)
    with console.ConsoleReporter().phase("test", 10, "maps") as advance:
        advance(4)
        time.sleep(0.2)
    said = capsys.readouterr()
    first, second, *_ = said.err.splitlines()
    assert (said.out, first) == ("", "[test] 10 maps")
    assert re.fullmatch(r"\[test\] 4 of 10 maps, after 0 s, [\d.]+ maps/s, 0 s left", second)


def test_progress_in_words():
    assert console._so_far(0, 10, "maps", 30) == "0 of 10 maps, after 30 s"
    assert console._so_far(300, 5794, "maps", 150) == "300 of 5,794 maps, after 2 min, 2.0 maps/s, 46 min left"
    assert console._so_far(2, 300, "maps", 120) == "2 of 300 maps, after 2 min, 60.0 s a map, 4 h 58 min left"
    assert console._so_far(0, None, "images", 30) == "not finished after 30 s"
    assert console._so_far(7, None, "files", 60) == "7 files, after 60 s, 8.6 s a file"


@pytest.mark.usefixtures("no_gallery")
def test_a_family_says_which_variant_it_stands_for(cli, tmp_path):
    run = ["run", "--backbone", "replknet", "--weights", "random", "--method", "cam", "--limit", 1, "--interval", 0.1]
    done = cli(*run, "--json", "--out", tmp_path / "out")
    assert "replknet: the variant replknet_nano" in done.err.splitlines()
    assert done.records[0]["backbone"]["requested"] == "replknet"
    assert done.records[0]["backbone"]["family"] == "replknet"


@pytest.mark.slow
@pytest.mark.usefixtures("no_gallery")
def test_without_weights_those_that_ship_are_used(cli, tmp_path):
    run = ["run", "--backbone", "replknet", "--method", "pc1", "--limit", 48, "--interval", 0.02]
    (record,) = cli(*run, "--json", "--out", tmp_path / "out").records
    weights = record["backbone"]["weights"]
    assert (weights["source"], weights["file"]) == ("shipped", "replknet_nano__critters.safetensors")
    assert record["metrics"]["top1_acc"] > 80


# ---------------------------------------------------------------------------------------------------- where it goes


@pytest.mark.usefixtures("no_gallery")
def test_without_out_a_fresh_folder_in_runs_is_made(cli, tmp_path, folder_set, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = folder_set()
    for count in (1, 2):
        assert cli(*QUICK, "--method", "cam", *made.options).code == 0
        assert len(names(tmp_path / "runs")) == count
    assert all(re.fullmatch(r"\d{8}-\d{6}-wsolbench-replknet_nano(-2)?", name) for name in names(tmp_path / "runs"))


@pytest.mark.parametrize("place", ["full", "file", "file/below", "/proc/wsolbench/x"])
def test_an_out_that_cannot_be_is_refused_before_any_work(cli, tmp_path, monkeypatch, place):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    (tmp_path / "file").write_text("kept")
    monkeypatch.setattr("wsolbench.engine.run.load_network", lambda *_, **__: pytest.fail("the work began"))
    done = cli(*QUICK, "--method", "cam", "--limit", 1, "--out", tmp_path / place)
    assert done.refused("--out", place)
    assert names(tmp_path) == ["file", "full"]
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "mine").read_text() == "kept"


@pytest.mark.usefixtures("no_gallery")
def test_scoremaps_go_into_folders_of_their_own_and_never_over_others(cli, tmp_path, folder_set):
    made = folder_set()
    options = [*QUICK, "--method", "cam", "--method", "pc1", *made.options, "--save-scoremaps", tmp_path / "maps"]
    assert cli(*options, "--out", tmp_path / "a").code == 0
    assert names(tmp_path / "maps") == ["cam", "pc1"]
    assert names(tmp_path / "maps" / "cam") == ["test", "val"]
    for split, count in (("val", 3), ("test", 4)):
        paths = [tmp_path / "maps" / "pc1" / split / f"{image_id}.npy" for image_id in made.ids(split)]
        assert len(paths) == count
        for path in paths:
            scoremap = np.load(path)
            assert (scoremap.shape, scoremap.dtype) == ((224, 224), np.float32)
            assert (scoremap.min(), scoremap.max()) == (0, 1)
    before = sorted(str(path) for path in (tmp_path / "maps").rglob("*"))
    assert cli(*options, "--out", tmp_path / "b").refused("--save-scoremaps", "cam", "not empty")
    assert not (tmp_path / "b").exists()
    assert sorted(str(path) for path in (tmp_path / "maps").rglob("*")) == before


@pytest.mark.usefixtures("no_gallery")
def test_scoremaps_may_go_into_the_runs_own_folder(cli, tmp_path, folder_set):
    out = tmp_path / "out"
    run = [*QUICK, "--method", "cam", *folder_set().options, "--out", out]
    assert cli(*run, "--save-scoremaps", out / "maps").code == 0
    assert pictures_and_records(out) == ["maps", "record-cam.json"]
    assert len(list((out / "maps" / "cam" / "test").rglob("*.npy"))) == 4


def turn(path):
    """Store a photo on its side, with the EXIF orientation that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as photo:
        photo.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


@pytest.mark.usefixtures("no_gallery")
def test_saved_maps_change_nothing_of_what_is_recorded_and_said(cli, tmp_path, folder_set):
    made = folder_set(val=2, test=2)
    turn(made.images / "test" / "01.png")
    records, said = [], []
    for name, maps in (("a", ()), ("b", ("--save-scoremaps", tmp_path / "maps"))):
        done = cli(*QUICK, "--method", "cam", *made.options, "--out", tmp_path / name, *maps)
        said.append([line for line in done.err.splitlines() if "EXIF" in line])
        record = json.loads((tmp_path / name / "record-cam.json").read_text())
        records.append(
            {
                key: value
                for key, value in record.items()
                if key not in ("environment", "config", "seconds", "summary_sha256")
            }
        )
    assert len(said[0]) == 1
    assert said[0] == said[1]
    assert records[0]["dataset"]["remarks"]
    assert records[0] == records[1]


def test_records_cannot_go_where_the_maps_of_a_method_go(cli, tmp_path, folder_set):
    run = [*QUICK, "--method", "cam", *folder_set().options, "--out", tmp_path / "maps" / "cam"]
    assert cli(*run, "--save-scoremaps", tmp_path / "maps").refused("the maps of 'cam' go there")
    assert names(tmp_path) == ["set"]


# -------------------------------------------------------------------------------------------------------- the options


@pytest.mark.usefixtures("no_gallery")
def test_train_fullsup_has_no_threshold_from_itself(cli, tmp_path, folder_set):
    run = [*QUICK, "--method", "pc1", *folder_set().options, "--split", "train-fullsup"]
    (record,) = cli(*run, "--json", "--out", tmp_path / "a").records
    assert {name for name, value in record["metrics"].items() if value is None} == FULLSUP | {"pxap"}
    assert record["protocol"]["split"] == "train-fullsup"
    assert list(record["outcomes"]) == ["train-fullsup"]
    reason = "train-fullsup itself is evaluated, and a threshold chosen on it would be its oracle"
    assert {record["missing"][name] for name in FULLSUP} == {reason}
    table = cli(*run, "--out", tmp_path / "b").out
    assert f"no value at the fullsup τ, GT-known Loc, Top-1 Loc, Top-5 Loc: {reason}" in table


@pytest.mark.usefixtures("no_gallery")
def test_maps_of_the_predicted_class_are_not_gt_known(cli, tmp_path, folder_set):
    run = [*QUICK, "--method", "cam", *folder_set().options, "--target", "predicted"]
    (record,) = cli(*run, "--json", "--out", tmp_path / "a").records
    assert record["protocol"]["target"] == "predicted"
    assert record["metrics"]["gt_known_loc"] is None
    assert record["metrics"]["fullsup_box_acc"] is not None
    assert record["metrics"]["top1_loc"] is not None
    table = cli(*run, "--out", tmp_path / "b").out
    assert "maps of the predicted class, not the true one" in table
    assert "no GT-known Loc: maps of the predicted class" in table


@pytest.mark.usefixtures("no_gallery")
def test_a_limit_takes_some_images_of_each_split(cli, tmp_path, folder_set):
    made = folder_set(val=4, test=9)
    (record,) = cli(*QUICK, "--method", "cam", *made.options, "--limit", 3, "--json", "--out", tmp_path / "o").records
    test, fullsup = (record["outcomes"][split] for split in ("test", "train-fullsup"))
    assert len(set(test["image_ids"])) == len(set(fullsup["image_ids"])) == 3
    assert set(test["image_ids"]) < set(made.ids())
    assert test["image_ids"] == sorted(test["image_ids"])
    assert record["dataset"]["limit"] == 3


@pytest.mark.slow
@pytest.mark.usefixtures("no_gallery")
def test_workers_and_batches_change_no_number(cli, tmp_path, folder_set):
    """Records agree in every number; maps of another batch size may differ in rounding, here by less than 1e-5."""
    made = folder_set(val=5, test=9)
    runs = []
    for workers, batch_size in ((1, 8), (3, 8), (3, 1)):
        name = f"{workers}-{batch_size}"
        settings = ["--workers", workers, "--batch-size", batch_size, "--save-scoremaps", tmp_path / f"maps-{name}"]
        methods = ["--method", "cam", "--method", "pc1"]
        runs.append(cli(*QUICK, *methods, *made.options, *settings, "--json", "--out", tmp_path / name).records)
    for other in runs[1:]:
        for record, same in zip(runs[0], other, strict=True):
            assert record["metrics"] == same["metrics"]
            assert record["outcomes"] == same["outcomes"]
    for path in (tmp_path / "maps-1-8").rglob("*.npy"):
        place = path.relative_to(tmp_path / "maps-1-8")
        assert np.array_equal(np.load(path), np.load(tmp_path / "maps-3-8" / place))
        np.testing.assert_allclose(np.load(path), np.load(tmp_path / "maps-3-1" / place), atol=1e-5)


# ------------------------------------------------------------------------------------------------ principal components


@pytest.mark.usefixtures("no_gallery")
def test_components_record_the_share_of_the_variance_that_they_explain(cli, tmp_path, folder_set):
    names = ["pc1", "pc1-corrected", "pc2", "pc3", "pc4"]
    methods = [option for name in names for option in ("--method", name)]
    records = cli(*QUICK, *methods, *folder_set().options, "--json", "--out", tmp_path / "out").records
    shares = {
        record["method"]["name"]: record["outcomes"]["test"]["statistics"]["variance_share"] for record in records
    }
    assert list(shares) == names
    assert shares["pc1"] == shares["pc1-corrected"]
    for first, second, third, fourth in zip(*(shares[name] for name in names[1:]), strict=True):
        assert 1 > first > second > third > fourth > 0
        assert first + second + third + fourth < 1


@pytest.mark.slow
@pytest.mark.usefixtures("no_gallery")
def test_ddt_is_fitted_on_train_weaksup_and_runs_to_the_end(cli, tmp_path, folder_set):
    made = folder_set(train=9, val=3, test=4)
    run = [*QUICK, "--method", "ddt", "--method", "cam", *made.options, "--json"]
    ddt, cam = cli(*run, "--limit", 5, "--out", tmp_path / "a").records
    assert (ddt["method"]["options"], ddt["method"]["fitted_images"]) == ({"fit_images": 5000}, 5)
    assert cam["method"]["fitted_images"] is None
    assert ddt["seconds"]["fit"] > 0
    assert pictures_and_records(tmp_path / "a") == ["record-cam.json", "record-ddt.json"]
    again, _ = cli(*run, "--limit", 5, "--out", tmp_path / "b").records
    assert ddt["outcomes"] == again["outcomes"]
    few, _ = cli(*run, "--method-opt", "ddt.fit_images=2", "--out", tmp_path / "c").records
    everything, _ = cli(*run, "--method-opt", "ddt.fit_images=none", "--out", tmp_path / "d").records
    assert [record["method"]["fitted_images"] for record in (few, everything)] == [2, 9]
    assert everything["method"]["changed_options"] == {"fit_images": None}


def test_ddt_is_refused_where_there_is_nothing_to_fit_it_on(cli, tmp_path, folder_set, monkeypatch):
    monkeypatch.setattr("wsolbench.engine.run.load_network", lambda *_, **__: pytest.fail("the work began"))
    run = [*QUICK, "--method", "ddt", *folder_set(val=3, test=4).options, "--out", tmp_path / "out"]
    assert cli(*run).refused("'ddt' is fitted on images of train-weaksup", "'folder' has none")
    empty = folder_set("empty", train=1, test=4)
    for path in (empty.metadata / "train").iterdir():
        path.write_text("")
    run = [*QUICK, "--method", "ddt", *empty.options, "--out", tmp_path / "out"]
    assert cli(*run).refused("train-weaksup", "has no images")
    made = folder_set("whole", train=3, test=4)
    run = [*QUICK, "--method", "ddt", "--method-opt", "ddt.fit_images=0", *made.options, "--out", tmp_path / "out"]
    assert cli(*run).refused("'ddt': option 'fit_images' takes a whole number of at least 1")
    assert not (tmp_path / "out").exists()


# -------------------------------------------------------------------------------------------------- kinds of data sets


@pytest.mark.slow
@pytest.mark.parametrize(
    ("annotation", "counts", "absent", "said"),
    [
        ("boxes", {"val": 3, "test": 4}, {"pxap"}, "no PxAP: the data set has no masks"),
        (
            "masks",
            {"val": 3, "test": 4},
            {name for name in METRICS if "box_acc" in name or name == "mean_iou"} | FULLSUP,
            "no MaxBoxAcc, MaxBoxAccV2, value at the fullsup τ, GT-known Loc, Top-1 Loc, Top-5 Loc: "
            "the data set has no boxes",
        ),
        (
            "boxes",
            {"test": 4},
            {"pxap", *FULLSUP},
            "no value at the fullsup τ, GT-known Loc, Top-1 Loc, Top-5 Loc: the data set has no train-fullsup split; "
            "'wsolbench data split' cuts one off test",
        ),
    ],
    ids=["only boxes", "only masks", "no val"],
)
def test_what_a_data_set_lacks_is_null_and_the_table_says_why(
    cli, tmp_path, folder_set, annotation, counts, absent, said
):
    made = folder_set(annotation=annotation, **counts)
    done = cli(*QUICK, "--method", "pc1", *made.options, "--out", tmp_path / "out")
    assert done.code == 0
    assert said in done.out.splitlines()
    assert done.out.count("fullsup τ\n") == ("fullsup_box_acc" not in absent)  # no column without a value
    record = read_record(tmp_path / "out" / "record-pc1.json")
    assert {name for name, value in record.metrics if value is None} == absent
    assert set(record.missing) == absent
    with Image.open(tmp_path / "out" / "gallery-pc1.png") as picture:
        picture.load()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("annotation", "cells_of_cam_neg"), [("boxes", ["not defined", ""]), ("masks", ["not defined"])]
)
def test_a_method_without_maps_has_no_scores_and_says_why(cli, tmp_path, folder_set, annotation, cells_of_cam_neg):
    made = folder_set(annotation=annotation, val=3, test=4)
    methods = [part for name in ("cam", "cam-neg") for part in ("--method", name)]
    run = ["run", "--backbone", "resnet_nano", "--weights", "random", "--interval", "0.05", *methods, *made.options]
    done = cli(*run, "--out", tmp_path / "out")
    assert "cam-neg: not defined: features ≥ 0" in done.out.splitlines()
    cells = table_of(done.out)["MaxBoxAcc"]
    assert cells[len(cells) // 2 :] == cells_of_cam_neg
    assert "4 of 4 maps of 'cam-neg' on test hold one value only: not defined: features ≥ 0; the first is" in done.err
    record = read_verified(tmp_path / "out" / "record-cam-neg.json")
    known = {name for name, value in record.metrics if value is not None}
    assert known == {"top1_acc", "top5_acc"}
    assert set(record.missing.values()) == {record.undefined} == {"not defined: features ≥ 0"}
    with Image.open(tmp_path / "out" / "gallery-cam-neg.png") as picture:
        picture.load()
    flipped = cli(*run, "--method-opt", "cam-neg.sign=flipped", "--json", "--out", tmp_path / "flipped").records[1]
    assert flipped["metrics"]["max_box_acc" if annotation == "boxes" else "pxap"] is not None


def test_the_threshold_of_the_oracle_stands_beside_that_of_train_fullsup(cli, tmp_path, folder_set):
    made = folder_set(annotation="boxes", val=3, test=4)
    done = cli(*QUICK, "--method", "pc1", *made.options, "--out", tmp_path / "out")
    record = read_verified(tmp_path / "out" / "record-pc1.json")
    curve = record.curves()["single", 0.5]
    expected = float(curve.index[curve.argmax()])
    shown = [f"{expected:g}", f"{record.metrics.fullsup_cam_threshold_single:g}"]
    assert table_of(done.out)["τ of MaxBoxAcc"] == shown
    (row,) = record.to_frame().to_dict("records")
    assert row["oracle_cam_threshold_single"] == expected


def test_greyscale_cmyk_and_one_pixel_images_run(cli, tmp_path, folder_set):
    made = folder_set(val=3, test=4)
    test = made.metadata / "test"
    ids = ["grey.png", "cmyk.jpg", "dot.png", "a$b$ 日本.png"]
    colour = Image.open(made.images / "test" / "00.png").resize((24, 24))
    colour.convert("L").save(made.images / ids[0])
    colour.convert("CMYK").save(made.images / ids[1])
    Image.new("RGB", (1, 1), (9, 8, 7)).save(made.images / ids[2])
    colour.save(made.images / ids[3])
    sizes = dict(zip(ids, [(24, 24), (24, 24), (1, 1), (24, 24)], strict=True))
    (test / "image_ids.txt").write_text("\r\n".join(ids), encoding="utf-8")
    (test / "class_labels.txt").write_text("".join(f"{i},0\r\n" for i in ids), encoding="utf-8")
    (test / "image_sizes.txt").write_text("".join(f"{i},{w},{h}\n" for i, (w, h) in sizes.items()), encoding="utf-8")
    boxes = (f"{i},0,0,{w - 1},{h - 1}\n" for i, (w, h) in sizes.items())
    (test / "localization.txt").write_text("".join(boxes), encoding="utf-8")
    done = cli(*QUICK, "--method", "pc1", *made.options, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    record = read_record(tmp_path / "out" / "record-pc1.json")
    assert record.outcomes[0].image_ids == tuple(sorted(ids))


# ------------------------------------------------------------------------------------------------------ other processes


@pytest.mark.slow
def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path, folder_set):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "wsolbench", *QUICK, "--method", "pc1", *folder_set().options, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=120)
    assert "Traceback" not in err
    assert "Exception" not in err
    assert pictures_and_records(out) == ["gallery-pc1.png", "record-pc1.json"]


@pytest.mark.slow
def test_a_terminal_without_greek_letters_gets_no_traceback(tmp_path, folder_set):
    command = [sys.executable, "-m", "wsolbench", *QUICK, "--method", "pc1", *folder_set().options]
    environment = {"PATH": "", "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"fullsup ?" in done.stdout


def test_two_names_that_make_one_file_name_are_refused():
    def spec(name):
        return MethodSpec(name, lambda: None, "s")

    offered = spec("lib-map"), MethodZoo("lib", lambda: ["map"], spec, "a library")
    registry = Registry([Offer(one, Provider("acme", "1.0", "maps")) for one in offered])
    assert [method.name for method in build_methods(registry, {"lib:map": {}})] == ["lib:map"]
    with pytest.raises(UsageError, match="of lib:map, lib-map two would write files of one name"):
        build_methods(registry, {"lib:map": {}, "lib-map": {}})


def test_what_was_decided_about_sizes_is_said_and_recorded(cli, folder_set, tmp_path):
    made = folder_set(val=2, test=4)
    for name in ("val/00.png", "test/01.png"):
        turn(made.images / name)
    with Image.open(made.images / "test/02.png") as photo:
        photo.resize((photo.width * 2, photo.height * 2)).save(made.images / "test/02.png")
    options = [*made.options, "--backbone", "resnet_nano", "--weights", "random", "--method", "centre-surround"]
    done = cli("run", *options, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "train-fullsup: 1 image (val/00.png) turned upright by EXIF orientation, as the lists have them" in done.err
    assert "test: 1 image (test/01.png) turned upright by EXIF orientation, as the lists have them" in done.err
    assert "test: 1 image (test/02.png) resized; boxes and sizes remain those of the originals" in done.err
    record = json.loads((tmp_path / "out" / "record-centre-surround.json").read_text())
    assert record["dataset"]["remarks"] == {
        "train-fullsup": {"turned upright": 1},
        "test": {"turned upright": 1, "resized copies": 1},
    }


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_record(cli, tmp_path, folder_set):
    images = folder_set(test=4, val=4).options
    metrics = {}
    for options in ([], ["--compile"]):
        out = tmp_path / f"out{len(options)}"
        assert cli(*QUICK, *options, "--method", "cam", "--method", "grad-cam", *images, "--out", out).code == 0
        metrics[len(options)] = [read_record(out / f"record-{name}.json").metrics for name in ("cam", "grad-cam")]
    assert metrics[0] == metrics[1]
