"""What the names of entries that do not fit say about how a file was saved, and what makes it fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from torch import Tensor

from wsolbench.networks.pickles import shown

__all__ = ["other_classifier", "why_entries_differ"]

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")
_KINDS = {
    r"\.weight_(orig|mask)$|_mask$": "pruned weights; torch.nn.utils.prune.remove makes them plain",
    r"\.parametrizations": "parametrized weights; torch.nn.utils.parametrize.remove_parametrizations makes them plain",
    r"\.weight_[gvu]$": "normalised weights; torch.nn.utils.remove_weight_norm, remove_spectral_norm make them plain",
    r"\.lora_|lora_[AB]|\.base_layer\.": "adapters beside weights; merge them into the weights before they are saved",
    r"zero_point|_packed_params|quant|observer": "quantised weights; save the weights before they are quantised",
    r"(^|\.)(mean|std|new_mean|new_std)$": "a network that normalises its own input; save its inner network alone",
}
"""Pattern of a name -> what the file holds, and what to do."""
_MOST, _LONGEST = 2_000, 100
"""So many names are looked at, and so many characters at the end of each."""


def why_entries_differ(path: Path, missing: Iterable[str], unexpected: Iterable[str]) -> str:
    """Return a clause about a file whose entries differ from a network's, starting with a semicolon; or nothing.

    Args:
        path: The file.
        missing: Names that the network has and the file does not.
        unexpected: Names that the file has and the network does not.
    """
    shard = _SHARD.search(path.stem)
    if shard is not None:
        return f"; by its name it is part {int(shard[1])} of {int(shard[2])} of a network; save all of it in one file"
    names, lacking = [name[-_LONGEST:] for name in islice(unexpected, _MOST)], list(missing)
    found = next((kind for pattern, kind in _KINDS.items() if any(re.search(pattern, name) for name in names)), None)
    if found is not None:
        return f"; it holds {found}"
    statistics = [name for name in lacking if name.endswith(("running_mean", "running_var"))]
    if statistics and len(statistics) == len(lacking):
        return "; it holds parameters without the statistics of its norms; save the whole state dict"
    return ""


def other_classifier(state: Mapping[str, Tensor], classifier_key: str) -> str:
    """Return a clause about a file without a network's classifier, which says what may be one; or nothing."""
    owner = classifier_key.rpartition(".")[0]
    layers = {name.rpartition(".")[0] for name in state if name.startswith(f"{owner}.")}
    if len(layers) > 1:
        return (
            f"; its head '{owner}' has {len(layers)} layers with weights, and class activation maps need a single "
            "linear one"
        )
    last = [(name, value) for name, value in state.items() if value.ndim == 2 and name.endswith("weight")][-1:]
    if not last:
        return "; it holds no matrix that could be a classifier"
    name, value = last[0]
    return f"; its last matrix is '{shown(name)}' {tuple(value.shape)}"
