"""A sweep as plain values: what SWEEP.yaml says, checked, with the place of whatever is wrong."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from wsolbench.config import RunConfig, Seed
from wsolbench.contract.options import list_options
from wsolbench.errors import UsageError
from wsolbench.sweeps.yaml_file import read_yaml
from wsolbench.texts import printable

__all__ = [
    "SETTINGS",
    "DatasetEntry",
    "Exclusion",
    "MethodEntry",
    "NetworkEntry",
    "Settings",
    "SweepConfig",
    "read_sweep",
]

AXES: Final = {"backbone": "backbones", "methods": "methods", "dataset": "datasets", "seed": "seeds"}
"""Field of a run -> the list of a sweep that gives it."""

OptionText = Annotated[str, Field(max_length=1000)]
OptionGrid = Mapping[str, Annotated[tuple[OptionText, ...], Field(min_length=1)]]
"""Option -> the texts that stand for its values, as the command line takes them."""

_PLAIN = (str, int, float, type(None))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _value_type(name: str) -> Any:
    """Return the type of one value of a setting; where it is a list in YAML, it has to be one here too."""
    field = RunConfig.model_fields[name]
    bounds = [each for each in field.metadata if not isinstance(each, BeforeValidator)]
    return Annotated[(field.annotation, *bounds)] if bounds else field.annotation


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(map(_is_list, get_args(annotation)))


SETTINGS: Final = tuple(name for name in RunConfig.model_fields if name not in (*AXES, "out"))
"""The fields of a run that are settings here."""
_SINGLE: Final = tuple(name for name in SETTINGS if name != "backbone_options")
"""Those that are no mappings."""
_LISTS: Final = tuple(name for name in SETTINGS if _is_list(_value_type(name)))
"""Settings of which one value is a list."""


def _grid(*but: str) -> dict[str, Any]:
    """Return the fields of a model that takes several values of every setting; none of those that are not given."""
    several = {
        name: (tuple[_value_type(name), ...], Field(default=(), min_length=1))  # type: ignore[misc]
        for name in SETTINGS
        if name not in but
    }
    return {**several, "backbone_options": (OptionGrid, {})} if "backbone_options" not in but else several


if TYPE_CHECKING:

    class Settings(_Part):
        """Setting -> its values."""

    class _Own(_Part):
        """The same without options."""
else:
    Settings = create_model("Settings", __base__=_Part, **_grid())
    _Own = create_model("_Own", __base__=_Part, **_grid("backbone_options"))


class NetworkEntry(_Own):
    """A network, with options and settings of its own."""

    name: str
    options: OptionGrid = Field(default={})


class MethodEntry(_Part):
    """A method with its options."""

    name: str
    options: OptionGrid = Field(default={})


class DatasetEntry(_Own):
    """A data set with its folders, and whatever settings are its own."""

    name: str


class Exclusion(_Own):
    """Which runs are left out: those that have one of the values of every field that is given."""

    backbone: Annotated[tuple[str, ...], Field(min_length=1)] = ()
    method: Annotated[tuple[str, ...], Field(min_length=1)] = ()
    dataset: Annotated[tuple[str, ...], Field(min_length=1)] = ()
    seed: Annotated[tuple[int, ...], Field(min_length=1)] = ()


class SweepConfig(_Part):
    """A grid of runs.

    Args:
        backbones: The networks.
        methods: The methods; a run has all of them.
        datasets: The data sets.
        seeds: Of every random draw; each makes runs of its own.
        settings: Every further field of a run -> its values, which make runs of their own.
        exclude: Which runs, or methods of runs, are left out.
        retries: How often a run that failed is tried once more.
        cpus: Processors of a run: reserved on Ray, and so many threads everywhere; None for one, and as many threads
            as the libraries think fit.
        gpus: GPUs of a run, which no other run of the sweep sees; of a part, as 0.5, several share one.
    """

    backbones: Annotated[tuple[NetworkEntry, ...], Field(min_length=1)]
    methods: Annotated[tuple[MethodEntry, ...], Field(min_length=1)]
    datasets: Annotated[tuple[DatasetEntry, ...], Field(min_length=1)] = (DatasetEntry(name="critters"),)
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    settings: Settings = Settings()
    exclude: tuple[Exclusion, ...] = ()
    retries: Annotated[int, Field(ge=0, le=100)] = 0
    cpus: Annotated[int, Field(ge=1)] | None = None
    gpus: Annotated[float, Field(ge=0)] = 0

    @classmethod
    def of(cls, given: Any, where: str) -> SweepConfig:
        """Build a sweep from what a YAML file holds.

        Args:
            given: Plain data; a list of one may be written without brackets, and an entry without own settings as its
                name.
            where: What messages call it.

        Raises:
            UsageError: Something is unknown, missing or of a wrong type.
        """
        if not isinstance(given, Mapping):
            raise UsageError(f"{where}: expected backbones: [...], methods: [...] and so on, got {_shown(given)}")
        try:
            return cls.model_validate_json(json.dumps(_in_full(given)))
        except ValidationError as error:
            raise UsageError(f"{where}: {_in_one_line(error, given)}") from None
        except (TypeError, ValueError) as error:
            raise UsageError(f"{where}: no plain data ({error})") from None


def read_sweep(path: Path) -> tuple[SweepConfig, bytes]:
    """Read a SWEEP.yaml; return it with its bytes.

    Raises:
        UsageError: It cannot be read, or something in it is unknown, missing or of a wrong type.
    """
    given, content = read_yaml(path)
    return SweepConfig.of(given, str(path)), content


# ------------------------------------------------------------------------------------ from what people write to lists


def _in_full(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given with lists wherever several values may stand, and mappings for names."""
    full = dict(given)
    for name in ("backbones", "methods", "datasets"):
        if name in full:
            full[name] = [_entry(each) for each in _several(full[name])]
    if "seeds" in full:
        full["seeds"] = _several(full["seeds"])
    if isinstance(full.get("settings"), Mapping):
        full["settings"] = _lists_of(full["settings"])
    if "exclude" in full:
        full["exclude"] = [_lists_of(each) if isinstance(each, Mapping) else each for each in _several(full["exclude"])]
    return full


def _entry(given: Any) -> Any:
    if isinstance(given, str):
        return {"name": given}
    return _lists_of(given, "name") if isinstance(given, Mapping) else given


def _lists_of(given: Mapping[str, Any], *single: str) -> dict[str, Any]:
    """Return the values of settings as lists of values."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in single:
            found[name] = value
        elif name in ("options", "backbone_options") and isinstance(value, Mapping):
            found[name] = {
                option: [_option_text(each) for each in _several(of_one)] for option, of_one in value.items()
            }
        else:
            found[name] = _several(value, is_list=name in _LISTS)
    return found


def _several(value: Any, *, is_list: bool = False) -> Any:
    """Return one value as a list of one, a list as it is; where a value is a list, several are a list of lists."""
    if isinstance(value, list | tuple) and not (
        is_list and value and not any(isinstance(each, list) for each in value)
    ):
        return list(value)
    return [[value]] if is_list and isinstance(value, str | float | int) and not isinstance(value, bool) else [value]


def _option_text(value: Any) -> Any:
    """Return the text that stands for the value of an option; what cannot be one stays as it is."""
    if isinstance(value, list) and all(isinstance(each, _PLAIN) for each in value):
        return ",".join(map(str, map(_option_text, value)))
    if not isinstance(value, _PLAIN):
        return value
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


# ------------------------------------------------------------------------------------------------------ what is wrong


def _in_one_line(error: ValidationError, given: Mapping[str, Any]) -> str:
    first = error.errors()[0]
    loc = _to_the_value(first["loc"])
    place, found = _place(loc, given)
    if first["type"] == "extra_forbidden":
        return f"{place}: {_no_field(str(loc[-1]), loc)}"
    if first["type"] == "missing" and isinstance(loc[-1], str):
        return f"{place}: this field is missing; it takes {_takes(loc)}"
    return f"{place}: this takes {_takes(loc)}, not {_shown(found)}"


def _to_the_value(loc: Sequence[str | int]) -> Sequence[str | int]:
    """Return the steps to a value of a setting, without those into its parts and to one of its types."""
    setting = next((number for number, step in enumerate(loc) if step in _SINGLE), len(loc))
    return loc[: setting + 2]


def _place(loc: Sequence[str | int], given: Any) -> tuple[str, Any]:
    """Return where a value stands in the file, and what stands there; indices that nobody wrote are left out."""
    place, value = "", given
    for step in loc:
        if isinstance(value, Mapping) and isinstance(step, str):
            place += f".{printable(step)}" if place else printable(step)
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
            place, value = f"{place}[{step}]", value[step]
    return place, value


def _no_field(name: str, loc: Sequence[str | int]) -> str:
    known = _fields_at(loc)
    if len(loc) == 1 and name in SETTINGS:
        return "there is no such field here; write it below settings"
    if name in AXES and AXES[name] not in known and len(loc) == 2 and loc[0] == "settings":
        return f"there is no such setting; write {AXES[name]} at the top"
    if name == "out":
        return "there is no such setting; --out names the folder of all runs"
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"there is no such field; did you mean {close[0]}?"
    if loc[0] == "methods":
        return "there is no such field; write the options of a method below options"
    return f"there is no such field; the fields are {', '.join(known)}"


_MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "backbones": NetworkEntry,
    "methods": MethodEntry,
    "datasets": DatasetEntry,
    "exclude": Exclusion,
    "settings": Settings,
}


def _fields_at(loc: Sequence[str | int]) -> list[str]:
    """Return the fields beside the one at a place; the telling ones come first."""
    model = SweepConfig if len(loc) == 1 else _MODELS[str(loc[0])]
    own = [name for name in model.model_fields if name not in SETTINGS]
    return [*own, *(name for name in model.model_fields if name in SETTINGS)]


_TAKES: Final = {
    "backbones": "names of networks, or mappings of name:, options: and settings",
    "methods": "names of methods, or mappings of name: and options:",
    "datasets": "names of data sets, or mappings of name: and settings such as data_root:",
    "seeds": "whole numbers from 0",
    "seed": "whole numbers from 0",
    "settings": "a mapping of fields of a run, such as limit: 500",
    "exclude": "mappings such as {backbone: NAME, method: NAME}",
    "retries": "a whole number from 0 to 100",
    "cpus": "a whole number at least 1",
    "gpus": "a number at least 0",
    "name": "a name",
    "backbone": "names of networks",
    "method": "names of methods",
    "dataset": "names of data sets",
    "options": "a mapping of options to values",
    "backbone_options": "a mapping of options to values",
}


def _takes(loc: Sequence[str | int]) -> str:
    """Say what belongs at a place."""
    if "options" in loc or "backbone_options" in loc:
        return "a value or a list of values" if isinstance(loc[-1], int) else _TAKES["options"]
    name = next(step for step in reversed(loc) if isinstance(step, str))
    if name in _TAKES:
        return _TAKES[name]
    return next(option.accepts for option in list_options(RunConfig) if option.name == name)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else "an empty list" if value in ([], ()) else repr(value)
    return printable(text, 100)
