"""Every system that is registered: no box and no mask decides about its weights, except by name."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from served import network_for

import wsolbench
from wsolbench.contract import ImageSplit, Split
from wsolbench.errors import DataError
from wsolbench.host.loading import load_plugins
from wsolbench.records.tables import results_table

SYSTEMS = list(load_plugins().systems)
NAMES = [offer.name for offer in SYSTEMS]
SIDE = 32
SETTINGS = {"input_size": SIDE, "workers": 1, "recipe_options": {"epochs": 2, "batch_size": 4}}

pytestmark = pytest.mark.usefixtures("no_curve", "no_gallery")


class Unannotated:
    """Bright squares; whoever reads annotations fails."""

    name, version, class_names = "unannotated", "1", ("left", "right")
    splits = frozenset({Split.TRAIN_WEAKSUP, Split.TRAIN_FULLSUP})

    def images(self, split):
        def load(index):
            image = np.random.default_rng(index).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
            image[10:20, 2 + 16 * (index % 2) : 12 + 16 * (index % 2)] = 255
            return image

        return ImageSplit(tuple(f"{split.value}-{index}" for index in range(8)), np.arange(8) % 2, load)

    def annotations(self, split):
        raise AssertionError(f"the annotations of {split} were read")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_box_and_no_mask_reaches_its_stages_and_targets(name, tmp_path):
    done = wsolbench.train(network_for(name), Unannotated(), out=tmp_path / "out", **SETTINGS)
    assert np.isfinite(done.card.results[0].final_loss)
    assert done.card.system.name == name
    assert done.card.supervision == "image labels of train-weaksup"


def changed(made, write):
    """Change the files of boxes, or of masks, of all splits of a data set."""
    masks = [path for path in (made.images / "masks").rglob("*.png") if path.is_file()]
    for path in masks or made.metadata.rglob("localization.txt"):
        write(path)
    return made


def moved(path):
    """Put all boxes into the corner."""
    ids = [line.partition(",")[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(f"{name},0,0,3,3" for name in ids))


def inverted(path):
    """Make the object of a mask the background."""
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def unreadable(path):
    """Leave no file that can be read."""
    path.unlink()
    path.mkdir()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_weights_are_the_same_whatever_the_boxes_and_masks(name, folder_set, tmp_path):
    """In all stages, and where files of boxes and masks cannot be read; accuracies are watched meanwhile."""
    counts = {"train": 12, "val": 4, "test": 2}
    sets = {
        "boxes": folder_set("boxes", **counts),
        "moved": changed(folder_set("moved", **counts), moved),
        "unreadable": changed(folder_set("unreadable", **counts), unreadable),
        "masks": folder_set("masks", "masks", **counts),
        "inverted masks": changed(folder_set("inverted-masks", "masks", **counts), inverted),
        "unreadable masks": changed(folder_set("unreadable-masks", "masks", **counts), unreadable),
    }
    found = {}
    for kind, made in sets.items():
        data = {"dataset": "folder", "data_root": made.images, "metadata_root": made.metadata}
        watch = {"watch": ("test", "train-fullsup"), "keep_every": 1, "seeds": (3,)}
        card = wsolbench.train(network_for(name), **data, **watch, **SETTINGS, out=tmp_path / f"out {kind}").card
        found[kind] = (card.weights_sha256, [stage.targets_sha256 for stage in card.system.stages])
        assert (card.supervision, card.best_epoch) == ("image labels of train-weaksup", None)
    assert found == dict.fromkeys(sets, found["boxes"])


@pytest.mark.slow
@pytest.mark.parametrize("offer", SYSTEMS, ids=NAMES)
@pytest.mark.filterwarnings("ignore:.*hold one value only")  # two photos teach little
def test_the_one_exception_is_made_by_name_and_told(offer, folder_set, tmp_path):
    """The epoch is one of its last stage; steps are those of the training without the name."""
    made = folder_set(train=12, val=4, test=2)
    data = {"dataset": "folder", "data_root": made.images, "metadata_root": made.metadata}
    name, best = network_for(offer.name), {"checkpoint": "best-on-train-fullsup", "method": offer.spec.method}
    how = {**data, **SETTINGS, "keep_every": 1}
    plain = wsolbench.train(name, **how, out=tmp_path / "plain")
    done = wsolbench.train(name, **how, **best, out=tmp_path / "best")
    info, log = done.card.best_epoch, pd.read_csv(done.folder / "log.csv")
    assert log["stage"].iloc[info.epoch - 1] == log["stage"].iloc[-1]
    assert (info.method, len(info.scores)) == (offer.spec.method, (log["stage"] == log["stage"].iloc[-1]).sum())
    kept = plain.folder / f"weights-epoch-{info.epoch:03d}.safetensors"
    assert done.weights.read_bytes() == kept.read_bytes()
    assert done.card.supervision.endswith("; boxes or masks of train-fullsup chose the epoch")
    (record,) = wsolbench.run(name, offer.spec.method, **data, weights=done.weights, input_size=SIDE)
    assert record.backbone.weights.training.best_epoch == info
    assert f"{offer.spec.method} §" in results_table([record])
    changed(made, unreadable)
    with pytest.raises(DataError):
        wsolbench.train(name, **how, **best, out=tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
