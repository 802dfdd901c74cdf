"""Every system that is registered, trained for real on a data set whose annotations nobody may read."""

import numpy as np
import pytest

import wsolbench
from wsolbench.contract import ImageSplit, Split
from wsolbench.errors import UsageError
from wsolbench.host.loading import load_plugins

SYSTEMS = [offer.name for offer in load_plugins().systems]
NETWORKS = ("resnet_nano", "vit_nano")
SIDE = 64


class Unannotated:
    """Bright squares; whoever reads annotations fails."""

    name, version, class_names = "unannotated", "1", ("left", "right")
    splits = frozenset({Split.TRAIN_WEAKSUP, Split.TRAIN_FULLSUP})

    def images(self, split):
        def load(index):
            image = np.random.default_rng(index).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
            image[20:40, 4 + 32 * (index % 2) : 24 + 32 * (index % 2)] = 255
            return image

        return ImageSplit(tuple(f"{split.value}-{index}" for index in range(8)), np.arange(8) % 2, load)

    def annotations(self, split):
        raise AssertionError(f"the annotations of {split} were read")


@pytest.mark.usefixtures("no_curve")
@pytest.mark.parametrize("name", SYSTEMS)
def test_no_box_and_no_mask_reaches_its_stages_and_targets(name, tmp_path):
    options = {"epochs": 4, "batch_size": 4}
    for network in NETWORKS:
        try:
            done = wsolbench.train(
                *(f"{name}:{network}", Unannotated()),
                **{"out": tmp_path / "out", "recipe_options": options, "input_size": SIDE, "workers": 1},
            )
        except UsageError as error:
            assert "cannot train" in str(error) or "needs" in str(error)  # noqa: PT017
            continue
        assert np.isfinite(done.card.results[0].final_loss)
        assert done.card.system.name == name
        return
    pytest.fail(f"'{name}' trains none of {', '.join(NETWORKS)}")
