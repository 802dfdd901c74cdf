"""Feature maps of positive and of negative class weights, and what the CAM of either is worth (Fig. 4, Table 2).

Source: Yasuki and Taki, "CAM Back Again", CVPR 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from wsolbench.analysis.parts import Part, PartsStudy


@dataclass(frozen=True)
class Study(PartsStudy):
    """The channels parted by the sign of their class weight."""

    cannot_say: ClassVar[str] = (
        "A part that localizes badly alone may still help the whole, and which sign a channel has is of little meaning "
        "where its features have both signs: w F does not change if both change their sign."
    )

    terms: ClassVar[Mapping[str, str]] = {
        "cam, cam-pos, cam-neg": "maps of the true class, summed over all channels, over those of positive class "
        "weights, and over those of negative ones.",
        **PartsStudy.terms,
    }

    @property
    def parts(self) -> tuple[Part, Part]:
        """Positive and negative weights."""
        return (
            Part("positive weights", "cam-pos", lambda weights: weights > 0),
            Part("negative weights", "cam-neg", lambda weights: weights < 0),
        )
