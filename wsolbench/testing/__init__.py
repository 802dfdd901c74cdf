"""Conformance checks for authors of plugins: one function a rule, named ``check_*``.

With pytest, in the plugin's own tests::

    @pytest.mark.parametrize(("name", "check"), conformance_checks(my_spec))
    def test_conforms(name, check):
        check()

Every check raises ``AssertionError``, which says what was expected and what came instead, or ``unittest.SkipTest`` for
an optional part that is not there. On the command line, ``wsolbench check NAME`` runs them. Networks are built on the
CPU with initial weights: nothing is downloaded, and only shipped checkpoints are read.
"""

from wsolbench.testing.backbones import (
    check_backbone_attention,
    check_backbone_batch_invariance,
    check_backbone_checkpoints,
    check_backbone_class_weights,
    check_backbone_classifier_key,
    check_backbone_converts_itself,
    check_backbone_deterministic,
    check_backbone_drop_path,
    check_backbone_effective_weights,
    check_backbone_eval_mode,
    check_backbone_fuse,
    check_backbone_head,
    check_backbone_layers,
    check_backbone_localizes,
    check_backbone_on_meta,
    check_backbone_process,
    check_backbone_reparameterize,
    check_backbone_shapes,
    check_backbone_taps,
    check_backbone_training_outputs,
    check_backbone_without_classifier,
    check_input_config,
)
from wsolbench.testing.datasets import (
    check_dataset_boxes,
    check_dataset_can_be_scored,
    check_dataset_identity,
    check_dataset_ids,
    check_dataset_images,
    check_dataset_labels,
    check_dataset_masks,
    check_dataset_pickles,
    check_dataset_process,
)
from wsolbench.testing.methods import (
    check_method_batch_invariance,
    check_method_deterministic,
    check_method_fit,
    check_method_fit_with_labels,
    check_method_leaves_its_input,
    check_method_maps,
    check_method_not_square,
    check_method_one_channel,
    check_method_process,
    check_method_statistics,
)
from wsolbench.testing.options import check_options
from wsolbench.testing.plugins import check_plugin_loads, check_plugin_names, check_plugin_process, plugin_checks
from wsolbench.testing.recipes import (
    check_recipe_augment,
    check_recipe_average,
    check_recipe_continues,
    check_recipe_deterministic,
    check_recipe_numbers,
    check_recipe_prepare,
    check_recipe_process,
    check_recipe_step,
)
from wsolbench.testing.suite import Check, conformance_checks
from wsolbench.testing.systems import (
    check_system_classifies,
    check_system_localizes,
    check_system_network,
    check_system_process,
    check_system_stages,
    check_system_targets,
    check_system_trains,
)
from wsolbench.testing.zoos import check_zoo_finds, check_zoo_names

__all__ = [
    "Check",
    "check_backbone_attention",
    "check_backbone_batch_invariance",
    "check_backbone_checkpoints",
    "check_backbone_class_weights",
    "check_backbone_classifier_key",
    "check_backbone_converts_itself",
    "check_backbone_deterministic",
    "check_backbone_drop_path",
    "check_backbone_effective_weights",
    "check_backbone_eval_mode",
    "check_backbone_fuse",
    "check_backbone_head",
    "check_backbone_layers",
    "check_backbone_localizes",
    "check_backbone_on_meta",
    "check_backbone_process",
    "check_backbone_reparameterize",
    "check_backbone_shapes",
    "check_backbone_taps",
    "check_backbone_training_outputs",
    "check_backbone_without_classifier",
    "check_dataset_boxes",
    "check_dataset_can_be_scored",
    "check_dataset_identity",
    "check_dataset_ids",
    "check_dataset_images",
    "check_dataset_labels",
    "check_dataset_masks",
    "check_dataset_pickles",
    "check_dataset_process",
    "check_input_config",
    "check_method_batch_invariance",
    "check_method_deterministic",
    "check_method_fit",
    "check_method_fit_with_labels",
    "check_method_leaves_its_input",
    "check_method_maps",
    "check_method_not_square",
    "check_method_one_channel",
    "check_method_process",
    "check_method_statistics",
    "check_options",
    "check_plugin_loads",
    "check_plugin_names",
    "check_plugin_process",
    "check_recipe_augment",
    "check_recipe_average",
    "check_recipe_continues",
    "check_recipe_deterministic",
    "check_recipe_numbers",
    "check_recipe_prepare",
    "check_recipe_process",
    "check_recipe_step",
    "check_system_classifies",
    "check_system_localizes",
    "check_system_network",
    "check_system_process",
    "check_system_stages",
    "check_system_targets",
    "check_system_trains",
    "check_zoo_finds",
    "check_zoo_names",
    "conformance_checks",
    "plugin_checks",
]
