"""Rules for τ beside the oracle's and train-fullsup's, by the names that records and tables have for them."""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["OTSU", "PSEUDO_BOXES", "fixed_threshold", "rule_of"]

PSEUDO_BOXES: Final = "pseudo-boxes"
"""τ is chosen on images with pseudo boxes, as on train-fullsup.

Source: Murtaza et al., "A Realistic Protocol for Evaluation of Weakly Supervised Object Localization", WACV 2025.
"""

OTSU: Final = "otsu"
"""Every map is cut by Otsu's method, at a τ of its own."""

_FIXED: Final = "fixed-"


def rule_of(threshold: float | Literal["otsu"]) -> str:
    """Return the name of the rule that takes one τ for all images, or Otsu's method."""
    return OTSU if threshold == OTSU else f"{_FIXED}{threshold:g}"


def fixed_threshold(rule: str) -> float | None:
    """Return the τ that a rule takes for all images, or None where it is another rule or none.

    The name has to be the one that `rule_of` gives.
    """
    try:
        threshold = float(rule.removeprefix(_FIXED))
    except ValueError:
        return None
    return threshold if 0 <= threshold < 1 and rule_of(threshold) == rule else None
