"""Feature maps of small and of large positive class weights, and what the CAM of either is worth (Fig. 6).

Source: Yasuki and Taki, "CAM Back Again", CVPR 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from wsolbench.analysis.parts import Part, PartsStudy


@dataclass(frozen=True)
class Study(PartsStudy):
    """The channels of positive class weights, parted by the size of the weight."""

    cannot_say: ClassVar[str] = (
        "The scale of weights differs between networks, so one value parts the channels of each in other shares: "
        "compare the parts of one network, and read the numbers of channels first."
    )

    terms: ClassVar[Mapping[str, str]] = {
        "cam, cam-small, cam-large": "maps of the true class, summed over all channels, over those of positive class "
        "weights up to --value, and over those of larger ones.",
        **PartsStudy.terms,
    }

    value: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="The largest small weight; the paper's is 0.04.")
    ] = 0.04

    @property
    def parts(self) -> tuple[Part, Part]:
        """Small and large positive weights."""
        value, options = self.value, {"value": self.value}
        return (
            Part(f"positive weights up to {value:g}", "cam-small", lambda w: (w > 0) & (w <= value), options),
            Part(f"weights above {value:g}", "cam-large", lambda w: w > value, options),
        )
