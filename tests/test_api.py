"""What plugins may rely on, frozen: a change here is a change of the contract."""

from types import ModuleType

from wsolbench import api

FROZEN = [
    "BELOW_ONE",
    "COUNT",
    "NOT_NEGATIVE",
    "POSITIVE",
    "PROBABILITY",
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
    "DiskDataset",
    "DiskSplit",
    "Download",
    "Finding",
    "FittedMethod",
    "Fusable",
    "HeaderSizes",
    "ImageFiles",
    "ImageSplit",
    "InputConfig",
    "Inspectable",
    "KnownSplit",
    "Layered",
    "LazySplit",
    "Line",
    "ListedSplit",
    "Maps",
    "MaskPair",
    "Method",
    "MethodContext",
    "MethodSpec",
    "MethodZoo",
    "MissingFileError",
    "OutputError",
    "PlacedSplit",
    "PluginError",
    "Preparation",
    "Pretrained",
    "Quad",
    "Range",
    "Recipe",
    "RecipeSpec",
    "ReferenceDataset",
    "ReferenceSplit",
    "Reparameterizable",
    "ScoremapError",
    "Severity",
    "SizedBoxes",
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
    "compare_annotations",
    "folder_names",
    "hookimpl",
    "list_class_folders",
    "lists_below",
    "open_storage",
    "parse_each",
    "prepared_roots",
    "published_lists",
    "read_lines",
    "reference_splits",
    "warp",
    "whole_corners",
    "xywh_to_xyxy",
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
    from wsolbench import contract

    assert set(contract.__all__) - {"Spec", "Zoo"} <= set(api.__all__)
