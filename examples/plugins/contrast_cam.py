"""A method: the CAM of the class, less that of the class which is most easily taken for it.

In the folder of this file, check it, and score it beside CAM on one forward pass:

    wsolbench check contrast_cam.py
    wsolbench run --plugin contrast_cam.py --backbone replknet --method cam --method contrast-cam
    wsolbench run --plugin contrast_cam.py --backbone replknet --method contrast-cam --method-opt contrast-cam.share=0.5
"""

import torch

from wsolbench.api import Maps, MethodSpec, Probability, hookimpl


class ContrastCam:
    """Features that speak for both classes say little about where one of them is; they are taken away.

    With class weights w_c, feature maps F_k and the rival r, the class of the next highest score, the map is
    ``sum_k (w_ck - share · w_rk) F_k``.

    Args:
        share: How much of the rival is taken away; 0 is CAM. An option: ``--method-opt contrast-cam.share=0.5``.
    """

    def __init__(self, share: Probability = 0.5):
        self.share = share

    def __call__(self, features, context):  # (B, K, h, w) -> raw maps (B, h, w) of any range
        rows = torch.arange(len(features), device=features.device)
        others = context.logits.clone()
        others[rows, context.class_indices] = -torch.inf
        rival = context.backbone.classifier_weight[others.argmax(dim=1)]
        maps = torch.einsum("bkhw,bk->bhw", features, context.class_weights - self.share * rival)
        margin = context.logits[rows, context.class_indices] - others.amax(dim=1)
        return Maps(maps, {"margin": margin})  # numbers of each image, kept in the record; `return maps` will do


@hookimpl
def wsolbench_methods():
    needs = frozenset({"class weights", "class scores"})  # other networks are refused in one line
    return [MethodSpec("contrast-cam", ContrastCam, "an example, not published", needs=needs)]
