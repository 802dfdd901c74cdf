"""Per-image targets of a stage: made once by the network as the stage before left it, kept in files, hashed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from wsolbench.contract import ImageSplit, InputConfig, Stage
from wsolbench.contract.names import NAME_CHARACTERS, NAME_PATTERN
from wsolbench.contract.systems import BOXES, check_boxes, described
from wsolbench.engine.stream import stream_batches
from wsolbench.errors import OutputError, UsageError
from wsolbench.files import sha256

__all__ = [
    "StageTargets",
    "WarpedImages",
    "check_place",
    "make_targets",
    "mirrored",
    "read_targets",
    "targets_folder",
]


def targets_folder(state_path: Path, seed: int | None = None) -> Path:
    """Return the folder with the targets of a training, beside its state; of one seed, or of all."""
    folder = state_path.with_suffix(".targets")
    return folder if seed is None else folder / f"seed-{seed}"


def check_place(state_path: Path) -> None:
    """Refuse to train where something else stands in the place of the targets, which goes when the training ends.

    Raises:
        UsageError: The place is a file, or a folder with other things than targets of seeds.
    """
    folder = targets_folder(state_path)
    if not folder.exists():
        return
    if not folder.is_dir() or any(not each.name.startswith("seed-") for each in folder.iterdir()):
        raise UsageError(
            f"{folder} holds something else, and it is where this training keeps the targets of its stages meanwhile; "
            "move it, or name another --out"
        )


class WarpedImages:
    """The images of train-weaksup for makers of targets, warped and not augmented; see `TargetImages`.

    Args:
        network: The network in eval mode.
        split: The images.
        config: The network's input.
        batch_size: Images in a batch.
        workers: Threads that load.
        device: Where the batches go.
        observe: Called with the position and the pixels of every image that is loaded.
    """

    def __init__(
        self,
        network: Any,
        split: ImageSplit,
        config: InputConfig,
        *,
        batch_size: int,
        workers: int,
        device: torch.device,
        observe: Any,
    ) -> None:
        self.network = network
        self._split, self._config = split, config
        self._how: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "device": device, "observe": observe}

    def at_size(self, size: int) -> WarpedImages:
        """Return the same images, warped to squares of another side in pixels."""
        return WarpedImages(self.network, self._split, replace(self._config, size=size), **self._how)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        with closing(stream_batches(self._split, self._config, **self._how)) as batches:
            for batch in batches:
                yield batch.images, batch.labels

    def __len__(self) -> int:
        return len(self._split.ids)


class StageTargets:
    """The targets of all images, in files of which parts are read as they are needed.

    Args:
        arrays: Name -> values, the first dimension is N.
        sha256: The hash of the files.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], sha256: str) -> None:
        self._arrays = arrays
        self.sha256 = sha256

    def of(self, indices: NDArray[np.int64], device: torch.device) -> dict[str, Tensor]:
        """Return the targets of some images by name, (B, ...)."""
        return {name: torch.from_numpy(values[indices]).to(device) for name, values in self._arrays.items()}


def make_targets(stage: Stage, images: WarpedImages, folder: Path) -> StageTargets:
    """Make the targets of a stage and write them, a file for each name.

    Args:
        stage: The stage.
        images: The images that they are made of.
        folder: Where the files go; what is there is replaced.

    Raises:
        OutputError: The files cannot be written.
        ValueError: They are not those of all images, or not all of one form.
    """
    assert stage.targets is not None
    place = folder / stage.name
    shutil.rmtree(place, ignore_errors=True)
    with _writing(place):
        place.mkdir(parents=True)
    training = images.network.training
    images.network.eval()
    with torch.no_grad():
        _write(stage.targets(images), len(images), place)
    images.network.train(training)
    return StageTargets(_read(place), _hash(place))


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Convert errors of the file system, which are nobody's code. Raises ``OutputError``."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"the targets {place} cannot be written ({error.strerror})") from error


def _write(made: Iterable[Mapping[str, Tensor]], count: int, place: Path) -> None:
    """Write targets that come in batches into one file for each name."""
    if not isinstance(made, Iterable):
        raise TypeError(f"targets are {type(made).__name__}: expected a mapping for one batch after another")
    files: dict[str, Any] = {}
    done = 0
    for batch in made:
        values = _arrays(batch)
        size = {len(each) for each in values.values()}
        if done == 0:
            for name, each in values.items():
                shape = (count, *each.shape[1:])
                with _writing(place):
                    files[name] = open_memmap(place / f"{name}.npy", mode="w+", dtype=each.dtype, shape=shape)
        if len(size) != 1 or values.keys() != files.keys() or done + max(size) > count:
            raise ValueError(f"targets of the images from {done} on: expected the same names and one for each image")
        for name, each in values.items():
            file = files[name]
            if each.dtype != file.dtype or each.shape[1:] != file.shape[1:]:
                raise ValueError(
                    f"targets '{name}' are not all of one form: {each.dtype} {each.shape[1:]} from image {done} on, "
                    f"{file.dtype} {file.shape[1:]} before"
                )
            file[done : done + len(each)] = each
        done += max(size)
    if done != count:
        raise ValueError(f"targets of {done} of {count} images: expected one for each")
    with _writing(place):
        for file in files.values():
            file.flush()


def _arrays(batch: object) -> dict[str, NDArray[Any]]:
    """Return the targets of a batch as arrays.

    Raises:
        TypeError: They are no mapping of tensors that files can hold.
        ValueError: A name is no name of a file, or boxes are none.
    """
    if not isinstance(batch, Mapping):
        raise TypeError(f"targets of a batch are {type(batch).__name__}: expected a mapping: name -> tensor")
    arrays = {}
    for name, values in batch.items():
        if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
            raise ValueError(f"targets {name!r}: expected a name of {NAME_CHARACTERS}")
        if not isinstance(values, Tensor):
            raise TypeError(f"targets '{name}' are {type(values).__name__}: expected a tensor")
        if values.ndim == 0 or values.is_complex() or values.dtype is torch.bfloat16:
            raise TypeError(
                f"targets '{name}' are {described(values)}: expected a row for each image, of plain numbers"
            )
        if name == BOXES:
            check_boxes(values)
        arrays[name] = values.detach().cpu().numpy()
    return arrays


def read_targets(stage: Stage, folder: Path, expected: str) -> StageTargets:
    """Return the targets that a training made before it was interrupted; none is read whose hash is another one.

    Args:
        stage: The stage.
        folder: Where they are.
        expected: Their hash.

    Raises:
        UsageError: They are not there, or are others.
    """
    place = folder / stage.name
    try:
        same = _hash(place) == expected
    except OSError:
        same = False
    if not same:
        raise UsageError(
            f"--resume: the targets of the stage '{stage.name}' in {place} are missing or have changed; restore them, "
            f"or delete {folder.parent.with_suffix('.state')} to start again"
        )
    return StageTargets(_read(place), expected)


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("*.npy"))


def _hash(place: Path) -> str:
    listed = "\n".join(f"{path.name} {sha256(path)}" for path in _files(place))
    return hashlib.sha256(listed.encode()).hexdigest()


def _read(place: Path) -> dict[str, NDArray[Any]]:
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in _files(place)}


def mirrored(
    images: Tensor, targets: Mapping[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mirror half of the images (B, 3, H, W) left to right, and their targets with them.

    Maps over the image, which have three dimensions or more, are mirrored along the last one, boxes in their fractions;
    other targets stay as they are.
    """
    flip = torch.rand(len(images), generator=generator) < 0.5

    def choose(mirror: Tensor, values: Tensor) -> Tensor:
        return torch.where(flip.to(values.device).reshape(-1, *[1] * (values.ndim - 1)), mirror, values)

    changed = {}
    for name, values in targets.items():
        if name == BOXES:
            x0, y0, x1, y1 = values.unbind(dim=-1)
            changed[name] = choose(torch.stack([1 - x1, y0, 1 - x0, y1], dim=-1), values)
        else:
            changed[name] = choose(values.flip(-1), values) if values.ndim > 2 else values
    return choose(images.flip(3), images).contiguous(memory_format=torch.channels_last), changed
