"""State dicts: read from a weights file under a network's own names, compared with the network, loaded strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsolbench.contract import BackboneSpec, Fusable, Reparameterizable
from wsolbench.errors import WeightsError, WsolbenchError
from wsolbench.files import sha256
from wsolbench.networks.bounds import MOST_CLASSES
from wsolbench.networks.entries import choose_entries
from wsolbench.networks.entry_names import is_counter, some
from wsolbench.networks.hints import other_classifier, why_entries_differ
from wsolbench.networks.pickles import shown
from wsolbench.networks.shapes import build_shapes, transform
from wsolbench.networks.stored import REPEATED, overlaps
from wsolbench.networks.weights_file import WeightsFile, read_weights_file

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_EXPECTED_FLOATS = "expected floating-point numbers of 16, 32 or 64 bits"


@dataclass(frozen=True)
class StateDict:
    """A state dict in a network's own names, and where it comes from.

    Args:
        path: Its file, or the name of pretrained weights, for messages.
        entries: Name -> tensor.
        sha256: Hex SHA-256 of the bytes that it was read from.
        key: Which state dict of the file it is, where there are several; otherwise None.
        notes: What was decided while reading, for the user and the record.
        beside: The small tensors among the entries of the file that are skipped.
    """

    path: Path
    entries: dict[str, Tensor]
    sha256: str = ""
    key: str | None = None
    notes: tuple[str, ...] = ()
    beside: Mapping[str, Tensor] = field(default_factory=dict)


def read_state(path: Path, spec: BackboneSpec, key: str | None = None) -> StateDict:
    """Read a weights file into a state dict with the network's own names.

    If the plugin has a reader, it reads the file. Otherwise the file is safetensors or a ``torch.save`` file of plain
    tensors. Containers (``model``, ``state_dict``) and prefixes (``module.``) are removed, and the plugin may convert
    the entries.

    Args:
        path: The file.
        spec: The network.
        key: Which state dict of the file is read; None for the usual one.

    Raises:
        WeightsError: The file is missing, is damaged, holds code, or holds no state dict.
    """
    if spec.read_weights is not None:
        return _read_by_plugin(path, spec, key)
    return state_of(read_weights_file(path), spec, key)


def state_of(file: WeightsFile, spec: BackboneSpec, key: str | None = None) -> StateDict:
    """Return the state dict of a file that was read, with the network's own names.

    Raises:
        WeightsError: It holds no state dict, or the plugin cannot convert it.
    """
    found = choose_entries(file, key, spec.classifier_key)
    entries = convert_entries(file.path, spec, found.tensors)
    state = StateDict(file.path, entries, file.sha256, found.key, found.notes, found.beside)
    return with_head_bias(state, spec)


def with_head_bias(state: StateDict, spec: BackboneSpec) -> StateDict:
    """Return a state dict with the bias of the network's classifier: zeros where the file has none."""
    weight, bias = spec.classifier_key, f"{spec.classifier_key.removesuffix('weight')}bias"
    if weight not in state.entries or bias in (weight, *state.entries):
        return state
    try:
        own = build_shapes(spec, count_classes(state.path, spec, state.entries)).state_dict()
    except Exception:  # a network that cannot be built is reported when it is built
        return state
    if bias not in own or own[bias].shape != state.entries[weight].shape[:1]:
        return state
    entries = {**state.entries, bias: torch.zeros(own[bias].shape)}
    return replace(state, entries=entries, notes=(*state.notes, f"the file has no '{bias}', which is taken for zeros"))


def _read_by_plugin(path: Path, spec: BackboneSpec, key: str | None) -> StateDict:
    if key is not None:
        raise WeightsError(f"--weights-key {key}: the plugin of '{spec.name}' reads files by itself; omit the option")
    if not path.is_file():
        raise WeightsError(f"weights file {path} {'is no file' if path.exists() else 'does not exist'}; pass a file")
    assert spec.read_weights is not None
    before = sha256(path)
    with _naming(path, spec):
        entries = dict(spec.read_weights(path))
    if sha256(path) != before:
        raise WeightsError(f"weights file {path} changed while it was read; repeat the command")
    return StateDict(path, entries, before)


def convert_entries(path: Path, spec: BackboneSpec, entries: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a file's entries under the network's names.

    Args:
        path: The file, for messages.
        spec: The network.
        entries: The entries of the file.

    Raises:
        WeightsError: The plugin cannot convert them.
    """
    if spec.convert_weights is None:
        return entries
    with _naming(path, spec):
        return dict(spec.convert_weights(entries))


@contextmanager
def _naming(path: Path, spec: BackboneSpec) -> Iterator[None]:
    """Convert any exception of a plugin about a file into one line that names the file."""
    try:
        yield
    except WsolbenchError:
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        reason = shown(f"it has no entry {text}" if isinstance(error, KeyError) else text)
        raise WeightsError(f"weights file {path} cannot be read as '{spec.name}' weights: {reason}") from error


def count_classes(path: Path, spec: BackboneSpec, state: Mapping[str, Tensor]) -> int:
    """Return the number of classes of a state dict; 0 where it is all of the network but its classifier.

    Args:
        path: Its file, for messages.
        spec: The network.
        state: The state dict, in the network's names.

    Raises:
        WeightsError: It lacks the network's classifier entry, or this can be none.
    """
    found = state.get(spec.classifier_key)
    if (found is None or found.shape[:1] == (0,)) and fits_without_classifier(spec, state):
        return 0
    if found is None:
        raise WeightsError(
            f"weights file {path} is not for '{spec.name}': it has no '{spec.classifier_key}'; "
            f"it holds {len(state)} entries such as {some(state)}"
            f"{why_entries_differ(path, (), state) or other_classifier(state, spec.classifier_key)}"
        )
    shape = tuple(found.shape)
    if len(shape) == 0 or 0 in shape or shape[0] > MOST_CLASSES:
        raise WeightsError(
            f"weights file {path}: the entry '{spec.classifier_key}' has the shape {shape}, not one of class weights"
        )
    return shape[0]


def fits_without_classifier(spec: BackboneSpec, state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is that of a network built for 0 classes, with its branches merged or not.

    Args:
        spec: The network.
        state: The state dict, in the network's names.
    """
    try:
        network = build_shapes(spec, 0)
        forms = [network, *(build_shapes(spec, 0, steps) for steps in inference_forms(network))]
    except Exception:  # not every network can be built without a classifier
        return False
    return any(not difference(form, state) for form in forms)


@dataclass(frozen=True)
class Difference:
    """The entries in which a state dict differs from a network's, by name."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether any entry differs."""
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        """Return the differences as one line."""
        parts = [("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.reshaped)]
        return "; ".join(f"{len(names)} {what}: {some(names)}" for what, names in parts if names)

    @property
    def size(self) -> int:
        """How many entries differ."""
        return len(self.missing) + len(self.unexpected) + len(self.reshaped)


def difference(network: Any, state: Mapping[str, Tensor]) -> Difference:
    """Compare a state dict with a network's; counters may be absent, in vain, and of another shape.

    An entry without numbers may be absent too, as that of a classifier of 0 classes.
    """
    own = network.state_dict()
    return Difference(
        missing=tuple(
            key for key, value in own.items() if key not in state and not is_counter(key) and value.numel() > 0
        ),
        unexpected=tuple(key for key in state if key not in own and not is_counter(key)),
        reshaped=tuple(
            f"{key} (file {tuple(state[key].shape)}, network {tuple(own[key].shape)})"
            for key in own
            if key in state and not _fits(key, state[key], own[key])
        ),
    )


def _fits(name: str, value: Tensor, own: Tensor) -> bool:
    """Return whether an entry has the shape of the network's; a single number may be a row, as some libraries save."""
    return value.shape == own.shape or (is_counter(name) and value.numel() == own.numel())


def inference_forms(network: Any) -> list[tuple[str, ...]]:
    """Return the methods that turn a network into the forms for inference that its weights may be saved in."""
    merge = ("reparameterize",) if isinstance(network, Reparameterizable) else ()
    fuse = ("fuse",) if isinstance(network, Fusable) else ()
    return [steps for steps in dict.fromkeys([merge, merge + fuse]) if steps]


def check_fit(state: StateDict, spec: BackboneSpec, num_classes: int) -> None:
    """Check that a state dict has the names and shapes of a network, before this is built and takes memory.

    Args:
        state: The state dict, in the network's names.
        spec: The network's spec.
        num_classes: Number of classes of the state dict.

    Raises:
        WeightsError: The state dict does not fit.
    """
    try:
        shapes = build_shapes(spec, num_classes)
        found = difference(shapes, state.entries)
        forms = [build_shapes(spec, num_classes, steps) for steps in inference_forms(shapes)] if found else []
    except Exception:  # a network that cannot be built without memory is compared when it is built
        return
    if found and all(difference(form, state.entries) for form in forms):
        raise _misfit(state, spec, found)


def load_state(state: StateDict, spec: BackboneSpec, network: Any) -> tuple[str, ...]:
    """Load a state dict into a network, whose branches are merged first if the file was saved in merged form.

    Args:
        state: The state dict, in the network's names, its values checked by `check_values`.
        spec: The network's spec.
        network: The network, built.

    Returns:
        Notes about the form, and about counters that are skipped.

    Raises:
        WeightsError: The state dict does not fit, or holds what is no weight; the message names the entries.
    """
    notes: list[str] = []
    found = difference(network, state.entries)
    for steps in inference_forms(network) if found else ():
        shapes = build_shapes(spec, count_classes(state.path, spec, state.entries), steps)
        if not difference(shapes, state.entries):
            transform(network, steps)
            found = difference(network, state.entries)
            notes.append("the file holds the network in its form for inference, branches merged")
            break
    if found:
        raise _misfit(state, spec, found)
    own = network.state_dict()
    check_types(state, own)
    skipped = [name for name in state.entries if name not in own]
    if skipped:
        notes.append(f"{len(skipped)} counters that the network does not have are skipped: {some(skipped)}")
    entries = {name: value.reshape(own[name].shape) for name, value in state.entries.items() if name in own}
    network.load_state_dict(entries, strict=False)  # `difference` has checked all but the counters
    return tuple(notes)


def _misfit(state: StateDict, spec: BackboneSpec, found: Difference) -> WeightsError:
    hint = why_entries_differ(state.path, found.missing, found.unexpected)
    return WeightsError(f"weights file {state.path} does not fit '{spec.name}': {found}{hint}")


def check_values(state: StateDict) -> None:
    """Check that the entries of a state dict are plain tensors, their fractions finite and of 16 to 64 bits.

    Raises:
        WeightsError: An entry is not.
    """
    _refuse(state, ((name, _problem_of_value(name, value)) for name, value in state.entries.items()))


def check_types(state: StateDict, own: Mapping[str, Tensor]) -> None:
    """Check that the entries of a state dict, whose values are checked, are numbers of the kind that a network has.

    Args:
        state: The state dict.
        own: The network's entries; their types count, not their values. Counters may be fractions, as in converted
            files.

    Raises:
        WeightsError: An entry is not.
    """
    pairs = ((name, state.entries[name], entry) for name, entry in own.items() if name in state.entries)
    _refuse(
        state,
        (
            (name, _problem_of_type(value, entry))
            for name, value, entry in pairs
            if not (is_counter(name) and value.is_floating_point())
        ),
    )


def _refuse(state: StateDict, problems: Iterable[tuple[str, str | None]]) -> None:
    """Raise ``WeightsError`` for the first entry that has a problem."""
    for name, problem in problems:
        if problem:
            raise WeightsError(f"weights file {state.path}: the entry '{shown(name)}' {problem}")


def _problem_of_value(name: str, value: Tensor) -> str | None:
    """Return what is wrong with an entry, whatever the network is, or None."""
    kind = _kind(value)
    if value.layout is not torch.strided or value.is_meta or value.is_quantized:
        return f"is {kind} in a form other than plain numbers; save plain tensors"
    if value.is_complex():
        return f"holds {kind} numbers; expected floating-point numbers"
    if not value.is_floating_point():
        return None
    if value.dtype not in _FLOATS:
        return f"holds {kind} numbers; {_EXPECTED_FLOATS}"
    if overlaps(value.shape, value.stride()):
        return REPEATED
    if name.endswith("running_var") and bool((value < 0).any()):
        return "holds variances below 0"
    return _problem_of_infinity(value)


def _problem_of_type(value: Tensor, own: Tensor) -> str | None:
    """Return what is wrong with an entry for a network's own one, or None."""
    if own.is_floating_point():
        if not value.is_floating_point():
            return f"holds {_kind(value)} numbers; {_EXPECTED_FLOATS}"
        return None if value.dtype is own.dtype else _problem_of_infinity(value.to(own.dtype))
    fits = not value.is_floating_point() and (value.dtype is torch.bool) == (own.dtype is torch.bool)
    return None if fits else f"holds {_kind(value)} numbers; expected {_kind(own)}"


def _problem_of_infinity(value: Tensor) -> str | None:
    count = value.numel() - int(value.isfinite().sum())
    return f"holds {count:,} numbers that are not finite" if count else None


def _kind(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the hex SHA-256 of a state dict's names, types, shapes and values, for weights that are not a file."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
