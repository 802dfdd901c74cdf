"""What plugins may rely on, frozen: a change here is a change of the contract."""

from types import ModuleType

from wsolbench import api

FROZEN = [
    "Annotations",
    "Augmenting",
    "Averaging",
    "Backbone",
    "BackboneSpec",
    "BackboneZoo",
    "Checkpoint",
    "DataError",
    "Dataset",
    "DatasetRoots",
    "DatasetSpec",
    "Foldable",
    "ImageSplit",
    "InputConfig",
    "Layered",
    "MaskPair",
    "Method",
    "MethodContext",
    "MethodSpec",
    "OutputError",
    "PluginError",
    "Pretrained",
    "Recipe",
    "RecipeSpec",
    "ReferenceDataset",
    "Reparameterizable",
    "ScoremapError",
    "SpatialHead",
    "Split",
    "StochasticDepth",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "WsolbenchError",
    "after_batch_norm",
    "after_layer_norm",
    "after_pooling",
    "hookimpl",
    "warp",
]


def test_the_contract_is_frozen():
    assert api.__all__ == FROZEN


def test_all_is_what_can_be_imported():
    public = {
        name for name, value in vars(api).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(api.__all__)


def test_every_error_is_part_of_the_contract():
    from wsolbench import errors

    assert set(errors.__all__) <= set(api.__all__)
    assert all(issubclass(getattr(errors, name), errors.WsolbenchError) for name in errors.__all__)


def test_every_interface_is_part_of_the_contract():
    from wsolbench import interfaces

    assert set(interfaces.__all__) - {"Spec"} <= set(api.__all__)
