import json
import pickle
import shutil
import subprocess
import sys
from itertools import product

import pytest
import torch
from cases import each, replacing
from PIL import Image

BASE = ["run", "--backbone", "wsolbench:replknet_nano", "--method", "cam", "--interval", "0.1"]
RANDOM = [*BASE, "--weights", "random"]

pytestmark = pytest.mark.usefixtures("no_gallery")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture
def refused(cli, tmp_path):
    """Check that a command is refused as it should be, and leaves nothing behind."""

    def refused(arguments, *words):
        assert cli(*arguments).refused(*words)
        assert list((tmp_path / "work").iterdir()) == []
        return True

    return refused


# -------------------------------------------------------------------------------------------------- names and options

WRONG_OPTIONS = [
    (["--dataset", "critter"], "unknown data set 'critter'. Did you mean 'critters'?"),
    (["--backbone", "replknt_nano"], "unknown backbone 'replknt_nano'. Did you mean 'replknet_nano'"),
    (
        ["--system", "acol"],
        "No such option: --system: a system stands before the network, as in --backbone acol:resnet",
    ),
    (["--target", "predict"], "'predict' is not one of 'gt', 'predicted'. Did you mean 'predicted'?"),
    (["--backbone", "nothing-like-it"], "'wsolbench list backbones' shows all"),
    (["--method", "pcl1"], "unknown method 'pcl1'. Did you mean 'pc1'"),
    (["--method", "cam"], "--method: cam, cam names a method twice"),
    (["--method", "pc1, cam-pos"], "--method pc1, cam-pos: repeat the option: --method pc1 --method cam-pos"),
    (["--method", "wsolbench:cam"], "two would write files of one name"),
    (
        ["--input-size", "2"],
        "--input-size 2: 'replknet_nano' does not take such images (its feature maps would be of one",
    ),
    (["--input-size", "0"], "--input-size 0: expected a whole number of pixels from 1 to 4096"),
    (["--mean", "0.5,0.5"], "--mean 0.5,0.5: expected three numbers R,G,B, each from 0 to 1"),
    (["--mean", "124,116,104"], "pixels are scaled to [0, 1]: divide by 255"),
    (["--mean", "nan,0,0"], "--mean nan,0,0: expected three numbers"),
    (["--std", "0"], "--std 0: expected three numbers R,G,B, each above 0 and at most 1"),
    (["--std", "0.5,0.5,0"], "--std 0.5,0.5,0: expected three numbers R,G,B, each above 0"),
    (
        ["--preprocessing", "timm"],
        "--preprocessing timm: 'replknet_nano' is no network of timm; omit it, or pass imagenet",
    ),
    (["--method-opt", "cam"], "--method-opt cam: expected NAME=VALUE"),
    (["--method-opt", "relu=true"], "with a METHOD of this run; type --method-opt cam.relu=true"),
    (["--method-opt", "pc1.rule=authors"], "with a METHOD of this run"),
    (
        ["--method-opt", "cam.rule=authors"],
        "the method 'cam' has no option 'rule'. Its options: relu (true or false), ",
    ),
    (["--method-opt", "cam.relu=perhaps"], "option 'relu' takes true or false, not 'perhaps'"),
    (["--method-opt", "cam.relu=no", "--method-opt", "cam.relu=yes"], "cam.relu is given twice"),
    (["--method", "cam-tap", "--method-opt", "cam-tap.threshold=1"], "takes a number from 0 to below 1, not '1'"),
    (
        ["--method", "cam-pas", "--method-opt", "cam-pas.percentile=0"],
        "takes a number above 0 and at most 100",
    ),
    (["--method", "cam-small", "--method-opt", "cam-small.value=nan"], "takes a number of at least 0, not 'nan'"),
    (["--method", "noise", "--method-opt", "noise.seed=-1"], "takes a whole number of at least 0, not '-1'"),
    (
        ["--method", "layer-cam-fused", "--method-opt", "layer-cam-fused.taps=stem,stem"],
        "the method 'layer-cam-fused': taps: a layer is named more than once; name each once",
    ),
    (["--interval", "0"], "'--interval'"),
    (["--interval", "2"], "'--interval'"),
    (["--interval", "nan"], "'--interval'"),
    (["--interval", "1e-12"], "'--interval'"),
    (["--interval", "abc"], "'--interval'"),
    (["--batch-size", "0"], "'--batch-size'"),
    (["--workers", "0"], "'--workers'"),
    (["--limit", "0"], "Invalid value for '--limit': expected a number of at least 1, got '0'"),
    (["--seed", "x"], "Invalid value for '--seed': expected a whole number, got 'x'"),
    (["--method", "cam", "pc1"], "pc1: one value too many; repeat the option: --method pc1"),
    (["--split", "val"], "'val' is not one of 'test', 'train-fullsup'. Did you mean 'train-fullsup'?"),
    (["--split", "train"], "'--split'"),
    (["--target", "true"], "'--target'"),
    (["--device", "warp"], "--device warp cannot be used here"),
    (["--device", "meta"], "--device meta cannot be used here"),
    (["--data-root", "."], "reads nothing from disk"),
    (["--dataset", "folder"], "pass --metadata-root DIR"),
    (["--dataset", "folder", "--metadata-root", "nowhere"], "check --metadata-root"),
    (["--no-such-option"], "--no-such-option"),
]


@each(("options", "words"), WRONG_OPTIONS)
def test_a_wrong_option_is_one_line(refused, options, words):
    assert refused(replacing(RANDOM, options, "--method"), words)


@each(
    ("seed", "words"),
    [
        ("0,1", "--seed 0,1: repeat the option: --seed 0 --seed 1"),
        *((seed, f"--seed {seed}: expected a whole number from 0 to ") for seed in ("x", "-1", "1.5", "9" * 20, "٣")),
    ],
)
def test_a_wrong_seed_of_a_training_is_one_line(refused, seed, words):
    assert refused(["train", "--backbone", "replknet_nano", "--seed", seed], words)


TYPED = """
import json, sys
from wsolbench.cli.app import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as ended:
        print(ended.code, "torch" in sys.modules)
"""


def test_a_mistyped_name_is_found_before_torch_is_imported():
    commands = [
        ("run", "--backbone", "replknet", "--method", "cma"),
        ("run", "--backbone", "replkent", "--method", "cam"),
        ("run", "--backbone", "replknet", "--method", "cam", "--dataset", "critter"),
        ("train", "--backbone", "replknet_nano", "--recipe", "onecyle"),
        ("evaluate", "--dataset", "critter", "--scoremaps", "maps"),
    ]
    done = subprocess.run([sys.executable, "-c", TYPED, json.dumps(commands)], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["2 False"] * len(commands), done.stderr
    said = done.stderr.split("error: ")[1:]
    assert ["Did you mean" in error for error in said] == [True] * len(commands), done.stderr


@each("missing", ["--backbone", "--method"])
def test_what_must_be_given_is_asked_for(refused, missing):
    options = {"--backbone": "replknet_nano", "--method": "cam"}
    del options[missing]
    assert refused(["run", *(part for pair in options.items() for part in pair)], f"Missing option '{missing}'")


def test_debug_shows_the_traceback_above_the_line(cli):
    done = cli(*RANDOM, "--dataset", "nope", "--debug")
    assert done.code == 2
    assert done.err.startswith("Traceback (most recent call last):")
    assert "\nerror: unknown data set 'nope'." in done.err


# ------------------------------------------------------------------------------------------------------------ weights


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.slow
def test_weights_that_cannot_be_used_are_refused(refused, tmp_path):
    from wsolbench_plugins.backbones.replknet.network import RepLKNet

    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "attack.pth").write_bytes(pickle.dumps(Attack(tmp_path / "executed")))
    torch.save({"head.weight": torch.zeros(12, 7), "surplus": torch.zeros(1)}, tmp_path / "other.pth")
    network = RepLKNet(5, channels=(24, 48, 72), depths=(1, 1, 2), kernels=(13, 13, 13), small_kernel=3, strides=(2, 1))
    torch.save(network.state_dict(), tmp_path / "five.pth")
    whole = (tmp_path / "five.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    for name, *words in (
        ("nowhere.pth", "does not exist"),
        (".", "is a folder"),
        ("text.safetensors", "damaged or not a safetensors file"),
        ("cut.pth", "damaged or not a weights file"),
        ("attack.pth", "holds pickled objects or code, which are never loaded"),
        ("other.pth", "missing: ", "1 unexpected: surplus", "head.weight (file (12, 7), network (12, 72))"),
        ("five.pth", "know 5 classes and 'critters' has 12", "--class-map FILE"),
    ):
        assert refused([*BASE, "--weights", tmp_path / name, "--limit", "20"], *words)
    assert not (tmp_path / "executed").exists()


def test_an_empty_name_of_a_weights_file_is_no_file(refused):
    assert refused([*BASE, "--weights", ""], "is a folder")


# ------------------------------------------------------------------------------------------------------------- images


@pytest.fixture
def run_on(refused):
    def run_on(made, *words):
        return refused([*RANDOM, *made.options], *words)

    return run_on


def test_an_image_root_that_is_not_there_is_told_before_the_network_is_built(folder_set, run_on, monkeypatch):
    made = folder_set()
    shutil.rmtree(made.images)
    monkeypatch.setattr("wsolbench.engine.run.load_network", lambda *_, **__: pytest.fail("the network was built"))
    assert run_on(made, "images does not exist; name the folder")


def test_a_run_without_an_image_root_asks_for_it(folder_set, refused):
    made = folder_set()
    options = ["--dataset", "folder", "--metadata-root", made.metadata]
    assert refused([*RANDOM, *options], "the images are needed; pass --data-root DIR")


def truncate(path):
    colour = Image.effect_noise((64, 64), 50).convert("RGB")
    colour.save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:900])


DAMAGES = {
    "missing": (lambda path: path.unlink(), "does not exist"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "truncated": (truncate, "cut short or damaged"),
    "text": (lambda path: path.write_text("<html>not found"), "is not an image"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a directory"),
}


@each(("damage", "image_id"), list(product(DAMAGES, ["val/01.png", "test/02.png"])))
def test_an_image_that_cannot_be_read_ends_the_run_without_a_record(folder_set, refused, damage, image_id):
    made = folder_set(name=f"{damage}/{image_id}")
    spoil, words = DAMAGES[damage]
    spoil(made.images / image_id)
    maps = ["--save-scoremaps", "maps"]
    assert refused([*RANDOM, *made.options, *maps, "--batch-size", "1"], image_id, words)


def test_a_mask_that_cannot_be_read_ends_the_run(folder_set, run_on):
    made = folder_set(annotation="masks")
    (made.images / "masks" / "test" / "01.png").write_bytes(b"\x89PNG")
    assert run_on(made, "masks/test/01.png")


# ----------------------------------------------------------------------------------------------------------- metadata


def append(name, text):
    def change(made):
        with (made.metadata / "test" / name).open("a") as file:
            file.write("\n" + text)

    return change


def drop_line(name):
    def change(made):
        path = made.metadata / "test" / name
        path.write_text("\n".join(path.read_text().splitlines()[:-1]))

    return change


METADATA = {
    "duplicate id": (append("image_ids.txt", "test/00.png"), "image_ids.txt, line 5", "this one is on line 1 too"),
    "climbing id": (append("image_ids.txt", "../x.png"), "image_ids.txt, line 5", "stays inside its folder"),
    "absolute id": (append("image_ids.txt", "/etc/passwd"), "image_ids.txt, line 5", "stays inside its folder"),
    "missing label": (drop_line("class_labels.txt"), "1 image has no class label", "'test/03.png'"),
    "missing size": (drop_line("image_sizes.txt"), "1 image has no size", "'test/03.png'"),
    "missing box": (drop_line("localization.txt"), "1 image has no box", "'test/03.png'"),
    "outside": (append("localization.txt", "test/00.png,0,0,500,9"), "line 5", "expected a box inside its"),
    "inverted": (append("localization.txt", "test/00.png,9,0,5,9"), "line 5", "expected x0 <= x1 and y0 <= y1"),
    "no numbers": (append("localization.txt", "test/00.png,a,b,c,5"), "line 5", "in numbers such as 12 or 12.5"),
    "no label file": (
        lambda made: (made.metadata / "test" / "class_labels.txt").unlink(),
        "class_labels.txt is missing",
    ),
}


@each("kind", METADATA)
def test_damaged_metadata_is_told_with_file_and_line(folder_set, run_on, kind):
    made = folder_set(name=kind)
    change, *words = METADATA[kind]
    change(made)
    assert run_on(made, *words)


def test_legal_variants_of_the_metadata_run(cli, folder_set, tmp_path):
    made = folder_set(annotation="masks", val=2, test=3, train=2)
    for path in made.metadata.rglob("*.txt"):
        path.write_bytes(path.read_text().replace("\n", "\r\n").encode() + b"\r\n")
    for name in ("image_sizes.txt", "localization.txt"):
        (made.metadata / "train" / name).write_text("")
    assert cli(*RANDOM, *made.options, "--out", tmp_path / "out").code == 0


def test_a_split_folder_without_files_is_damaged_not_absent(folder_set, run_on):
    made = folder_set()
    shutil.rmtree(made.metadata / "val")
    (made.metadata / "val").mkdir()
    assert run_on(made, "image_ids.txt is missing")


# ----------------------------------------------------------------------------------------------------------- the shell


@pytest.mark.slow
def test_the_error_reaches_the_shell_as_one_line_and_exit_code_2():
    done = subprocess.run(
        [sys.executable, "-m", "wsolbench", *RANDOM, "--method", "nope"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: unknown method 'nope'.")
    assert "Traceback" not in done.stderr
