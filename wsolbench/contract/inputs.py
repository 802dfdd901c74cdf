"""What a user says about the input of a network; what is not said stays as weights and network have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from wsolbench.contract.backbones import InputConfig
from wsolbench.contract.choices import Interpolation, PreprocessingName
from wsolbench.errors import UsageError

__all__ = ["NORMALISATIONS", "NO_CHANGES", "Channels", "InputChanges", "InputSetting", "changed_input", "shown_input"]

Channels: TypeAlias = tuple[float, float, float]
"""A number for each channel: R, G, B."""

InputSetting: TypeAlias = Literal["size", "mean", "std", "interpolation"]
"""A field of `InputConfig`."""

NORMALISATIONS: Final[dict[PreprocessingName, tuple[Channels, Channels]]] = {
    "imagenet": (InputConfig.mean, InputConfig.std),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Name -> mean and std; ``timm`` is not among them, since it has others for every network."""


@dataclass(frozen=True)
class InputChanges:
    """What is to be different in the input of a network; None leaves a setting as it is.

    Args:
        size: Side of the square input in pixels.
        preprocessing: Which mean and std; ``timm`` stands for those that timm has for the network, and its filter.
        mean: Of each channel of [0, 1].
        std: Of each channel.
        interpolation: Filter of the warp.
        size_option: The option with which the user says the size, for messages.
    """

    size: int | None = None
    preprocessing: PreprocessingName | None = None
    mean: Channels | None = None
    std: Channels | None = None
    interpolation: Interpolation | None = None
    size_option: str = "--input-size"

    @classmethod
    def all_of(cls, config: InputConfig) -> InputChanges:
        """Return changes that turn every input into this one."""
        return cls(size=config.size, mean=config.mean, std=config.std, interpolation=config.interpolation)

    def sized(self, size: int | None, name: str) -> InputChanges:
        """Return the changes with the size that stands behind the name of a network, if one does.

        Raises:
            UsageError: Another size is asked for too.
        """
        if size is None or self.size == size:
            return self
        if self.size is not None:
            raise UsageError(f"{self.size_option} {self.size}: the name '{name}' says {size}; omit one of them")
        return replace(self, size=size)

    def of(self, config: InputConfig, own: InputConfig) -> InputConfig:
        """Return an input with the changes.

        Args:
            config: The input that the weights ask for.
            own: The network's own, which ``timm`` stands for.
        """
        changes: dict[str, Any] = {name: value for name, value in asdict(self).items() if value is not None}
        del changes["size_option"]
        name = changes.pop("preprocessing", None)
        if name == "timm":
            config = replace(own, size=config.size)
        elif name is not None:
            mean, std = NORMALISATIONS[name]
            config = replace(config, mean=mean, std=std)
        return replace(config, **changes)


NO_CHANGES: Final = InputChanges()


def changed_input(config: InputConfig, own: InputConfig) -> dict[InputSetting, Any]:
    """Return the settings of an input that are not those of a network's own: name -> value."""
    names: tuple[InputSetting, ...] = get_args(InputSetting)
    return {name: getattr(config, name) for name in names if getattr(config, name) != getattr(own, name)}


def shown_input(settings: Mapping[InputSetting, Any]) -> str:
    """Return settings of an input for people, as in ``384 px, mean 0.5``; equal channels are one number."""
    shown = []
    for name, value in settings.items():
        if name == "size":
            shown.append(f"{value} px")
        elif name == "interpolation":
            shown.append(str(value))
        else:
            shown.append(f"{name} {' '.join(f'{each:g}' for each in dict.fromkeys(value))}")
    return ", ".join(shown)
