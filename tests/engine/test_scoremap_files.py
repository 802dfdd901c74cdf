import io

import numpy as np
import pytest

from wsolbench.engine.scoremap_files import ScoremapFolder, save_scoremap
from wsolbench.errors import ScoremapError
from wsolbench.protocol import FRAME, to_scoremap

SIZE = (FRAME, FRAME)


def scoremap(side: int = FRAME) -> np.ndarray:
    return np.random.default_rng(side).random((side, side), dtype=np.float32)


def npy(array, **settings) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **settings)
    return buffer.getvalue()


def npz(array) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, array)
    return buffer.getvalue()


def test_what_is_saved_is_read_back_to_the_last_bit(tmp_path):
    save_scoremap(tmp_path, "a/b.jpg", scoremap())
    stored = np.load(tmp_path / "a" / "b.jpg.npy")
    assert stored.dtype == np.float32
    assert stored.shape == (224, 224)
    assert np.array_equal(ScoremapFolder(tmp_path, ["a/b.jpg"]).load("a/b.jpg", SIZE), scoremap())


def test_names_without_the_images_ending_are_read(tmp_path):
    save_scoremap(tmp_path, "a/b", scoremap())
    assert np.array_equal(ScoremapFolder(tmp_path, ["a/b.jpg"]).load("a/b.jpg", SIZE), scoremap())


def test_the_whole_name_goes_first(tmp_path):
    save_scoremap(tmp_path, "b", np.zeros(SIZE, np.float32))
    save_scoremap(tmp_path, "b.jpg", scoremap())
    assert np.array_equal(ScoremapFolder(tmp_path, ["b.jpg"]).load("b.jpg", SIZE), scoremap())


def test_a_short_name_that_could_be_two_images_is_refused(tmp_path):
    save_scoremap(tmp_path, "b", scoremap())
    with pytest.raises(ScoremapError, match=r"no scoremap for 2 of 2 images; the first is 'b\.jpg'"):
        ScoremapFolder(tmp_path, ["b.jpg", "b.png"])


def test_a_short_name_that_could_be_of_an_image_that_is_not_read_is_refused(tmp_path):
    save_scoremap(tmp_path, "b", scoremap())
    with pytest.raises(ScoremapError, match=r"\(expected b\.jpg\.npy; b\.npy could be of 2 images\)"):
        ScoremapFolder(tmp_path, ["b.jpg"], ["b.jpg", "b.png"])


def test_the_whole_name_of_one_image_is_no_short_name_of_another(tmp_path):
    save_scoremap(tmp_path, "b.jpg", scoremap())
    with pytest.raises(ScoremapError, match=r"no scoremap for 1 of 2 images; the first is 'b\.jpg\.png'"):
        ScoremapFolder(tmp_path, ["b.jpg", "b.jpg.png"])


def test_a_missing_map_names_image_and_file(tmp_path):
    save_scoremap(tmp_path, "a.jpg", scoremap())
    with pytest.raises(ScoremapError, match=r"1 of 2 images; the first is 'b\.jpg' \(expected b\.jpg\.npy or b\.npy\)"):
        ScoremapFolder(tmp_path, ["a.jpg", "b.jpg"])


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ScoremapError, match="nowhere is no folder of scoremaps"):
        ScoremapFolder(tmp_path / "nowhere", ["a.jpg"])


@pytest.mark.parametrize("shape", [(7, 7), (224, 223), (300, 200), (1, 2)])
def test_maps_of_another_size_are_resized_and_normalised(tmp_path, shape):
    small = np.random.default_rng(0).random(shape)
    (tmp_path / "a.npy").write_bytes(npy(small))
    loaded = ScoremapFolder(tmp_path, ["a.jpg"]).load("a.jpg", SIZE)
    assert np.array_equal(loaded, to_scoremap(small))
    assert (loaded.min(), loaded.max()) == (0, 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_maps_of_the_frames_size_are_taken_as_they_are(tmp_path, dtype):
    stored = (scoremap() * 0.5 + 0.25).astype(dtype)
    (tmp_path / "a.npy").write_bytes(npy(stored))
    assert np.array_equal(ScoremapFolder(tmp_path, ["a.jpg"]).load("a.jpg", SIZE), stored)


def with_value(value: float) -> np.ndarray:
    changed = scoremap()
    changed[3, 4] = value
    return changed


UNREADABLE = {
    "empty": (b"", "damaged or cut off"),
    "text": (b"no map here\n", "no .npy file"),
    "truncated": (npy(scoremap())[:1000], "damaged or cut off"),
    "no data": (npy(scoremap())[:128], "damaged or cut off"),
    "half a header": (npy(scoremap())[:40], "damaged or cut off"),
    "spoilt header": (npy(scoremap()).replace(b"'shape': (224, 224)", b"'shape': (224, 224$"), "damaged or cut off"),
    "giant": (npy(scoremap()).replace(b"'shape': (224, 224), }      ", b"'shape': (9999999999999,)}  "), "damaged"),
    "objects": (npy(np.array([{"a": 1}], dtype=object), allow_pickle=True), "pickled objects, which are never"),
    "archive": (npz(scoremap()), "expected one array"),
    "truncated archive": (npz(scoremap())[:3000], "damaged or cut off"),
    "3-D": (npy(np.zeros((3, 224, 224), np.float32)), "expected a non-empty 2-D array, got shape (3, 224, 224)"),
    "1-D": (npy(np.zeros(224, np.float32)), "expected a non-empty 2-D array"),
    "no pixels": (npy(np.zeros((0, 224), np.float32)), "expected a non-empty 2-D array"),
    "integers": (npy(np.zeros((224, 224), np.uint8)), "expected floating-point values, got uint8"),
    "complex": (npy(np.zeros((224, 224), np.complex64)), "expected floating-point values"),
    "NaN": (npy(with_value(np.nan)), "expected finite values, got 1 of 50176 not finite"),
    "infinity": (npy(with_value(np.inf)), "expected finite values"),
    "above 1": (npy(with_value(1.5)), "expected values in [0, 1]"),
    "below 0": (npy(with_value(-0.1)), "expected values in [0, 1]"),
}


REMEDIES = {
    "text": "; save a plain array: np.save(path, array, allow_pickle=False)",
    "truncated": "; write the file again",
    "objects": "; save a plain array: np.save(path, array, allow_pickle=False)",
    "archive": "; save a plain array: np.save(path, array, allow_pickle=False)",
    "3-D": "; give one map (H, W) an image",
    "no pixels": "; give one map (H, W) an image",
    "integers": "; make it float32 in [0, 1] first (bytes: divide by 255)",
    "NaN": "; put numbers in their place, or give a map of zeros",
    "above 1": "; min-max it to [0, 1] first",
}


@pytest.mark.parametrize("kind", REMEDIES)
def test_what_is_no_scoremap_is_told_what_to_do(tmp_path, kind):
    (tmp_path / "a.npy").write_bytes(UNREADABLE[kind][0])
    with pytest.raises(ScoremapError) as caught:
        ScoremapFolder(tmp_path, ["a.jpg"]).load("a.jpg", SIZE)
    assert str(caught.value).endswith(REMEDIES[kind])


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_scoremap_is_refused_and_named(tmp_path, kind):
    content, reason = UNREADABLE[kind]
    (tmp_path / "a.npy").write_bytes(content)
    folder = ScoremapFolder(tmp_path, ["a.jpg"])
    with pytest.raises(ScoremapError) as caught:
        folder.load("a.jpg", SIZE)
    message = str(caught.value)
    assert reason in message
    assert str(tmp_path / "a.npy") in message
    assert "\n" not in message


def test_a_map_in_other_letter_case_is_found(tmp_path):
    save_scoremap(tmp_path, "X/A.JPG", np.zeros(SIZE, np.float32))
    save_scoremap(tmp_path, "b", np.zeros(SIZE, np.float32))
    folder = ScoremapFolder(tmp_path, ["x/a.jpg", "B.png"])
    assert folder.path("x/a.jpg") == tmp_path / "X/A.JPG.npy"
    assert folder.path("B.png") == tmp_path / "b.npy"
    folder.refuse_unlisted(["x/a.jpg", "B.png"])
    save_scoremap(tmp_path, "X/a.JPG", np.zeros(SIZE, np.float32))
    with pytest.raises(ScoremapError, match=r"the scoremap of 'x/a\.jpg' may be X/A\.JPG\.npy or X/a\.JPG\.npy; keep"):
        ScoremapFolder(tmp_path, ["x/a.jpg"])


def test_a_map_that_vanished_or_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    save_scoremap(tmp_path, "a.jpg", scoremap())
    folder = ScoremapFolder(tmp_path, ["a.jpg"])
    (tmp_path / "a.jpg.npy").rename(tmp_path / "kept")
    with pytest.raises(ScoremapError, match=r"a.jpg.npy cannot be read: it was there when the work began, and is gone"):
        folder.load("a.jpg", SIZE)
    (tmp_path / "kept").rename(tmp_path / "a.jpg.npy")

    def refuse(path, _most):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("wsolbench.engine.scoremap_files.read_regular", refuse)
    with pytest.raises(ScoremapError, match=r"a.jpg.npy cannot be read: Permission denied$"):
        folder.load("a.jpg", SIZE)
