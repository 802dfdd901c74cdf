"""Weights after every N-th epoch, kept in a folder beside the state until the training is complete."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from wsolbench.errors import OutputError, UsageError
from wsolbench.files import atomic_write, sha256
from wsolbench.networks.card import Card, SeedResult
from wsolbench.training.loop import EpochLog

__all__ = ["KeptEpochs", "epoch_weights"]


def epoch_weights(epoch: int) -> str:
    """Return the name of the file with the weights after an epoch; the card beside it ends in ``.json``."""
    return f"weights-epoch-{epoch:03}.safetensors"


class KeptEpochs:
    """The weights of a training after every N-th epoch.

    The state of the training says which there are, so that a continued training has the same ones.

    Args:
        state_path: The state file of the training.
        every: N; None keeps none.
    """

    def __init__(self, state_path: Path, every: int | None) -> None:
        self._folder = state_path.with_suffix(".epochs")
        self._every = every

    def due(self, log: Sequence[EpochLog], kept: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether the epoch that ended last is to be kept, and is not yet."""
        return self._every is not None and len(log) // self._every > len(kept)

    def keep(
        self, weights: Mapping[str, Tensor], line: EpochLog, seconds: float, images_per_second: float
    ) -> dict[str, Any]:
        """Write the weights after an epoch, and return what the state and later the card say of it.

        Args:
            weights: The weights.
            line: What the log says of the epoch.
            seconds: Wall-clock time of the training until then.
            images_per_second: Speed of the epochs until then.

        Raises:
            OutputError: They cannot be written.
        """
        content = save(dict(weights))
        path = self._folder / epoch_weights(line.epoch)
        try:
            atomic_write(path, content)
        except OSError as error:
            raise OutputError(f"the weights {path} cannot be written ({error.strerror})") from error
        return {
            "epoch": line.epoch,
            "seconds": round(seconds, 1),
            "images_per_second": images_per_second,
            "sha256": hashlib.sha256(content).hexdigest(),
            "loss": line.loss,
            "train_fullsup_top1": line.train_fullsup_top1,
            "test_top1": line.test_top1,
        }

    def check(self, kept: Sequence[Mapping[str, Any]], state_path: Path) -> None:
        """Refuse to continue a training whose kept weights are not there any more.

        Raises:
            UsageError: A file is missing or another one.
        """
        for each in kept:
            path = self._folder / epoch_weights(each["epoch"])
            if not path.is_file() or sha256(path) != each["sha256"]:
                raise UsageError(
                    f"--resume: {path} is missing or has changed; restore it, or delete {state_path} to start again"
                )

    def publish(self, kept: Sequence[Mapping[str, Any]], folder: Path, card: Card) -> None:
        """Copy the weights into the folder of the results, each with a card.

        Args:
            kept: What `keep` returned of each.
            folder: The folder of the results.
            card: That of the weights at the end.
        """
        for each in kept:
            name = epoch_weights(each["epoch"])
            shutil.copyfile(self._folder / name, folder / name)
            content = _card_of(each, card).model_dump_json(indent=2)
            (folder / name).with_suffix(".json").write_text(content + "\n", encoding="utf-8")

    def remove(self) -> None:
        """Remove the files, when they have been published; nothing else in the folder."""
        for path in self._folder.glob(epoch_weights(0).replace("000", "*")):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()


def _card_of(kept: Mapping[str, Any], card: Card) -> Card:
    """Return the card of weights after an epoch.

    Args:
        kept: What `KeptEpochs.keep` returned of them.
        card: That of the weights at the end, whose results are also those of the last epoch.
    """
    result = SeedResult(
        seed=card.results[0].seed,
        final_loss=kept["loss"],
        train_fullsup_top1=kept["train_fullsup_top1"],
        test_top1=kept["test_top1"],
    )
    changes = {
        "epoch": kept["epoch"],
        "best_epoch": None,
        "checkpoint": "epoch" if card.checkpoint == "last" else "epoch-ema",
        "weights_sha256": kept["sha256"],
        "seconds": kept["seconds"],
        "images_per_second": kept.get("images_per_second", card.images_per_second),  # older states have none
        "results": [card.results[0] if kept["sha256"] == card.weights_sha256 else result],
    }
    return card.model_copy(update=changes)
