"""The splits of ``critters``: drawn when they are asked for, and sent to another process without their drawings."""

import pickle

import numpy as np
import pytest
from wsolbench_plugins.datasets.critters.dataset import Critters

from wsolbench.api import DataError, Split


def test_images_boxes_and_masks_are_those_of_one_drawing():
    data = Critters()
    images, truth = data.images(Split.TEST), data.annotations(Split.TEST)
    for index in (0, 41, 999):
        image_id = images.ids[index]
        foreground = truth.load_mask(image_id).foreground
        rows, columns = np.nonzero(foreground)
        assert truth.boxes[image_id].tolist() == [[columns.min(), rows.min(), columns.max(), rows.max()]]
        assert images.load(index).shape == (*foreground.shape, 3)
    assert list(truth.boxes) == list(images.ids)
    assert "test/00000.png" in truth.boxes
    assert "val/00000.png" not in truth.boxes


def test_boxes_to_train_on_are_refused():
    with pytest.raises(DataError, match="image labels only"):
        Critters().annotations(Split.TRAIN_WEAKSUP)


def test_drawings_are_not_sent_to_another_process():
    data = Critters()
    parts = data.images(Split.TEST), data.annotations(Split.TEST)
    before = pickle.dumps(parts)
    first = [parts[0].load(index) for index in range(5)]
    assert pickle.dumps(parts) == before
    sent, _ = pickle.loads(before)
    assert all(np.array_equal(sent.load(index), image) for index, image in enumerate(first))
