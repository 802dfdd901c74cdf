"""What a fix looks like where a check fails: check -> what its author does, in one sentence."""

from __future__ import annotations

import re

from wsolbench.errors import UsageError
from wsolbench.testing.expectations import BrokenRuleError

__all__ = ["FIXES", "LOADING", "fix_of"]

LOADING = {
    "import": "import what may be missing, and fetch files, inside build and not at import; a file imports what is "
    "installed, and not the files beside it: for several files, `wsolbench new` writes a distribution",
    "registration": "decorate with @hookimpl functions without arguments called wsolbench_backbones, _methods, "
    "_datasets, _recipes or _systems",
}
"""Stage at which a plugin is dropped -> what its author does; the others are those of hooks."""
_HOOK = "return a list of specifications from the hook, as wsolbench.api has them, with names such as my-net.2"
_ARGUMENTS = (
    "take the arguments that come: build the number of classes and options, a method (features, context), "
    "forward_features (images), forward_head (features)"
)
_ARGUMENTS_OF_SYSTEMS = (
    "take the arguments that come: a loss (step), targets (images), forward (network, images, labels), begin "
    "(network); of the network training_outputs (images, labels), localize (features, images, class_indices)"
)
_MISCALLED = re.compile(r"takes .*positional arguments?|missing \d+ required|unexpected keyword argument")
_OWN_GENERATOR = "use a torch.Generator of your own in place of manual_seed; set no threads; print to sys.stderr"

_PLUGIN = {
    "check_plugin_loads": _HOOK,
    "check_plugin_process": "move downloads, seeds, threads, prints and what takes long out of the module, into build "
    "or the method; leave sys.path as it is; print to sys.stderr",
    "check_plugin_names": "choose another name for the specification",
    "check_zoo_names": "let names() return every name once, in lowercase",
    "check_zoo_finds": "let find(name) return the specification of every name of names(), or raise a UsageError",
    "check_options": "give every option a default that str() and the type of its annotation bring back",
}
_BACKBONE = {
    "check_input_config": "give InputConfig a side in pixels, and mean and std as fractions of [0, 1]",
    "check_backbone_on_meta": "make tensors on the device of the parameters or images, and read no values in build",
    "check_backbone_without_classifier": "let nn.Linear(K, 0) be the head of 0 classes; its logits are (B, 0)",
    "check_backbone_shapes": "return maps (B, K, h, w) from forward_features and logits (B, C) from forward_head",
    "check_backbone_classifier_key": "set classifier_key to the name of the head's weight in state_dict()",
    "check_backbone_converts_itself": "let convert_weights return entries that are the network's own as they are",
    "check_backbone_deterministic": "switch off in eval mode whatever draws random numbers: if self.training",
    "check_backbone_batch_invariance": "compute every image alone: normalise over channels and places, not over images",
    "check_backbone_head": "write no tensor in place in forward_head: x = x + y, not x += y",
    "check_backbone_eval_mode": "call no train() in forward_features and forward_head, and update buffers only "
    "if self.training",
    **dict.fromkeys(
        ("check_backbone_reparameterize", "check_backbone_fuse"),
        "merge the statistics of norms into the convolutions, and do nothing when called again",
    ),
    "check_backbone_class_weights": "let classifier_weight be the weights (C, K) by which the head weighs the "
    "channels, or leave it out",
    "check_backbone_effective_weights": "let the mean of the weighted maps plus the constant be the logit",
    "check_backbone_taps": "list modules whose output is (B, K, h, w) and on the way to the logits; see visit_layers",
    "check_backbone_attention": "return the weights after softmax, of prefix and patch tokens, for each block",
    "check_backbone_localizes": "return one map or box an image from localize, computed of this image alone",
    "check_backbone_training_outputs": "return a dict of tensors with 'logits' from training_outputs",
    "check_backbone_drop_path": "let set_drop_path set the rate of DropPath layers, which draw in train mode only",
    "check_backbone_layers": "number every parameter in layer_ids, from 0 at the image to the classifier",
    "check_backbone_process": _OWN_GENERATOR,
    "check_backbone_checkpoints": "save state_dict() of this very network, and name the file in Checkpoint",
}
_METHOD = {
    "check_method_maps": "return a floating tensor (B, h', w') with one map an image; where a division may be by 0, "
    "clamp the denominator",
    "check_method_not_square": "read height and width from features.shape",
    "check_method_one_channel": "where statistics of one channel are not defined, return another finite map",
    "check_method_deterministic": "draw from a torch.Generator that the method seeds itself",
    "check_method_batch_invariance": "compute each map from its own image: mean(dim=(1, 2, 3)), not mean()",
    "check_method_statistics": "return a floating tensor (B,) for every name, each number of one image alone",
    "check_method_fit": "sum over images in partial_fit, on copies of what is given, and divide when maps are made",
    "check_method_fit_with_labels": "keep sums that merge() adds up, and return them as tensors from fit_state()",
    "check_method_leaves_its_input": "change copies only, such as features.clone(); leave mode and hooks of the "
    "network as they are",
    "check_method_process": _OWN_GENERATOR,
}
_DATASET = {
    "check_dataset_identity": "give the data set a name, a version as text, class names that differ and splits",
    "check_dataset_ids": "make ids unique over all splits, such as val/0001.jpg",
    "check_dataset_labels": "return labels as np.int64 (N,), numbered from 0 in the order of class_names",
    "check_dataset_images": "return images as np.uint8 (H, W, 3), in RGB",
    "check_dataset_boxes": "list inclusive corners x0, y0, x1, y1 in pixels of the image, and sizes as (width, height)",
    "check_dataset_masks": "return masks as bool arrays (H, W)",
    "check_dataset_can_be_scored": "give every split but train-weaksup boxes or masks",
    "check_dataset_pickles": "use functions of a module, bound methods or functools.partial, no lambda and no closure",
    "check_dataset_process": "seed nothing and print nothing while images are loaded",
}
_RECIPE = {
    "check_recipe_numbers": "make epochs and batch_size whole numbers from 1 on",
    "check_recipe_prepare": "return images of the same shape and type, and one target an image",
    "check_recipe_deterministic": "draw from the given generator: torch.rand(..., generator=generator)",
    "check_recipe_augment": "return np.uint8 (size, size, 3) of a copy, and draw from the given generator",
    "check_recipe_average": "let ema be a decay between 0 and 1, or None",
    "check_recipe_step": "return the mean of the loss over the batch, and an optimizer of network.parameters()",
    "check_recipe_continues": "keep what steps depend on in the states of optimizer and schedule",
    "check_recipe_process": "draw from the given generator, set no seed and no threads, and print to sys.stderr",
}
_SYSTEM = {
    "check_system_stages": "return stages with names that differ, at least one with epochs, also of 1 epoch",
    "check_system_network": "build the network with rebuilt(base, change), which keeps options and input; "
    "--base names a network for a system that refuses the small one",
    "check_system_classifies": "return logits (B, C) in eval mode, each image's own",
    "check_system_localizes": "return one map (h, w) or box an image from localize, computed of this image alone",
    "check_system_targets": "yield tensors with a row for every image, of the same names and types in every batch",
    "check_system_trains": "return scalars by name from the loss, the same names in every step, with gradients to "
    "what Stage(trains=...) names; leave the network in training mode",
    "check_system_process": "draw from step.generator, set no seed and no threads, and print to sys.stderr",
}
FIXES: dict[str, str] = _PLUGIN | _BACKBONE | _METHOD | _DATASET | _RECIPE | _SYSTEM


def fix_of(check: str, error: BaseException, *, in_plugin: bool) -> str:
    """Return what a fix looks like.

    Args:
        check: The check that fails.
        error: What it raised.
        in_plugin: Whether code of the plugin raised it.
    """
    if isinstance(error, UsageError) and "needs a value for its option" in str(error):
        return FIXES["check_options"]
    if isinstance(error, TypeError) and not in_plugin and _MISCALLED.search(str(error)):
        return _ARGUMENTS_OF_SYSTEMS if check in _SYSTEM else _ARGUMENTS
    return error.fix if isinstance(error, BrokenRuleError) else FIXES[check]
