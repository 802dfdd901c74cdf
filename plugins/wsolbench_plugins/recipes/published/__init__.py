"""Published recipes: the WSOL reference's (``plain``, ``has``, ``cutmix``) and that of large kernels (``modern``)."""

from __future__ import annotations

from wsolbench.api import RecipeSpec, hookimpl
from wsolbench_plugins.recipes.published.modern import Modern, ModernNoAug
from wsolbench_plugins.recipes.published.reference import CutMix, HideAndSeek, Plain

REFERENCE = "Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020"
LARGE_KERNELS = "the training of ConvNeXt (Liu et al., CVPR 2022), RepLKNet (Ding et al., CVPR 2022) and SLaK"


@hookimpl
def wsolbench_recipes() -> list[RecipeSpec]:
    """Offer the recipes."""
    return [
        RecipeSpec("plain", Plain, REFERENCE),
        RecipeSpec("has", HideAndSeek, f"Singh & Lee, Hide-and-Seek, ICCV 2017, as in {REFERENCE}"),
        RecipeSpec("cutmix", CutMix, f"Yun et al., CutMix, ICCV 2019, as in {REFERENCE}"),
        RecipeSpec("modern", Modern, LARGE_KERNELS),
        RecipeSpec("modern-noaug", ModernNoAug, f"{LARGE_KERNELS}, without augmentation"),
    ]
