import threading
import time
from contextlib import closing

import numpy as np
import pytest
import torch

from wsolbench.contract import ImageSplit, InputConfig
from wsolbench.engine.stream import stream_batches
from wsolbench.errors import DataError
from wsolbench.threads import ordered_map

CONFIG = InputConfig(size=4, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))


def pool_threads() -> int:
    return sum(thread.name.startswith("ThreadPoolExecutor") for thread in threading.enumerate())


def test_results_keep_the_order_of_the_items():
    def slow_first(item):
        time.sleep(0.05 if item == 0 else 0)
        return item * item

    assert list(ordered_map(slow_first, range(20), workers=4, ahead=6)) == [item * item for item in range(20)]


def test_nothing_to_do_gives_nothing():
    assert list(ordered_map(str, [], workers=2, ahead=3)) == []


def test_work_goes_only_so_far_ahead():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    with closing(ordered_map(lambda item: item, items(), workers=2, ahead=5)) as results:
        for item in results:
            assert len(taken) <= item + 1 + 5
            if item == 20:
                break
    assert len(taken) < 30


@pytest.mark.parametrize("where", ["function", "items"])
def test_an_error_comes_out_and_the_threads_end(where):
    def items():
        yield from range(5)
        if where == "items":
            raise KeyError("broken")
        yield from range(5, 50)

    def work(item):
        if item == 5:
            raise KeyError("broken")
        return item

    got = []
    with pytest.raises(KeyError, match="broken"):
        got.extend(ordered_map(work, items(), workers=3, ahead=4))
    assert pool_threads() == 0


def test_leaving_early_ends_the_threads_and_cancels_what_waits():
    done = []

    def work(item):
        time.sleep(0.01)
        done.append(item)
        return item

    with closing(ordered_map(work, range(100), workers=1, ahead=50)) as results:
        next(results)
    assert pool_threads() == 0
    assert len(done) < 10


def split_of(count: int, broken: int | None = None) -> ImageSplit:
    def load(index):
        if index == broken:
            raise DataError(f"image {index} is damaged")
        return np.full((4, 4, 3), index, dtype=np.uint8)

    labels = np.arange(count, dtype=np.int64) * 10
    return ImageSplit(tuple(f"{index}.png" for index in range(count)), labels, load)


def batches_of(split: ImageSplit, **settings):
    return stream_batches(split, CONFIG, **{"batch_size": 3, "workers": 2, "device": torch.device("cpu"), **settings})


def test_every_image_comes_once_in_batches():
    batches = list(batches_of(split_of(7)))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [batch.labels.tolist() for batch in batches] == [[0, 10, 20], [30, 40, 50], [60]]
    assert batches[0].images.shape == (3, 3, 4, 4)


def test_pixels_are_normalised_per_channel():
    (batch,) = batches_of(split_of(2))
    expected = (1 / 255 - torch.tensor(CONFIG.mean)) / torch.tensor(CONFIG.std)
    assert torch.equal(batch.images[1], expected[:, None, None].expand(3, 4, 4))


def test_an_order_is_followed_and_images_are_observed_as_they_are_stored():
    seen = {}
    batches = list(batches_of(split_of(6), order=[5, 0, 3], observe=lambda index, image: seen.update({index: image})))
    assert [batch.indices.tolist() for batch in batches] == [[5, 0, 3]]
    assert sorted(seen) == [0, 3, 5]
    assert (seen[3] == 3).all()


def test_a_damaged_image_stops_the_stream_and_its_threads():
    stream = batches_of(split_of(20, broken=8))
    with pytest.raises(DataError, match="image 8"):
        list(stream)
    assert pool_threads() == 0


def test_no_images_give_no_batches():
    assert list(batches_of(split_of(0))) == []
