"""What plugins may rely on, frozen: a change here is a change of the contract."""

import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import wsolbench
from wsolbench import api, contract, data, errors, protocol

API = [
    "BOXES",
    "FRAME",
    "Annotations",
    "Attention",
    "Attentive",
    "Augmenting",
    "Averaging",
    "Backbone",
    "BackboneSpec",
    "BackboneZoo",
    "BelowOne",
    "Boxes",
    "Checkpoint",
    "Choice",
    "ConvNeXtLike",
    "Conventions",
    "Count",
    "DataError",
    "Dataset",
    "DatasetRoots",
    "DatasetSpec",
    "Descriptors",
    "Features",
    "FittedMethod",
    "Fusable",
    "ImageSplit",
    "InputConfig",
    "LabelFittedMethod",
    "Layered",
    "LinearHead",
    "Localizing",
    "LogUniform",
    "Maps",
    "MaskPair",
    "Method",
    "MethodContext",
    "MethodSpec",
    "MethodZoo",
    "MissingFileError",
    "NonNegative",
    "OutputError",
    "PluginError",
    "Positive",
    "Pretrained",
    "Probability",
    "Recipe",
    "RecipeSpec",
    "Reparameterizable",
    "ScoremapError",
    "SpatialHead",
    "Split",
    "Stage",
    "StochasticDepth",
    "System",
    "SystemSpec",
    "Tapped",
    "TargetImages",
    "Trainable",
    "TrainingStep",
    "Uniform",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "WsolbenchError",
    "after_batch_norm",
    "after_layer_norm",
    "after_pooling",
    "as_before",
    "change_network",
    "channels_of",
    "classification",
    "hookimpl",
    "kept_layers",
    "min_max",
    "rebuilt",
    "region_boxes",
    "remove_head",
    "tap_maps",
    "visit_layers",
    "warp",
    "without_memory",
]

DATA = [
    "BoxRule",
    "DiskDataset",
    "DiskSplit",
    "Download",
    "Finding",
    "HeaderSizes",
    "ImageFiles",
    "Inspectable",
    "KnownSplit",
    "LazySplit",
    "Line",
    "ListedSplit",
    "NameIndex",
    "PickedSplit",
    "PlacedSplit",
    "Preparation",
    "Quad",
    "ReferenceDataset",
    "ReferenceSplit",
    "Severity",
    "SizedBoxes",
    "Storage",
    "category_names",
    "check_class_names",
    "check_folders",
    "check_units",
    "common_front",
    "compare_annotations",
    "find_fractions",
    "find_split_folders",
    "findings_of_dummies",
    "folder_names",
    "folder_title",
    "is_blank",
    "list_class_folders",
    "lists_below",
    "match_categories",
    "open_storage",
    "parse_each",
    "plain_name",
    "prepared_roots",
    "published_lists",
    "quote",
    "read_file",
    "read_lines",
    "read_xml",
    "reference_splits",
    "refuse_unused",
    "split_named",
    "split_of_list",
    "tidy_path",
    "top_folder",
    "visible",
    "visible_entries",
    "xywh_to_xyxy",
]

LOADED_WHEN_ASKED_FOR = {"FRAME"}


def test_the_faces_are_frozen():
    assert api.__all__ == API
    assert data.__all__ == DATA


def test_what_the_package_offers_is_frozen():
    functions = ["analyze", "compare", "evaluate", "load_record", "rescore", "run", "score", "sweep", "train"]
    assert wsolbench.__all__ == ["__version__", *functions]
    assert all(callable(getattr(wsolbench, name)) for name in functions)
    parameters = inspect.signature(wsolbench.sweep).parameters
    assert list(parameters) == ["sweep", "out", "on", "address", "jobs", "progress"]


def test_a_name_has_one_face():
    assert set(API).isdisjoint(DATA)


@pytest.mark.parametrize("face", [api, data])
def test_all_is_what_can_be_imported(face):
    public = {
        name for name, value in vars(face).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public | LOADED_WHEN_ASKED_FOR & set(face.__all__) == set(face.__all__)
    assert all(hasattr(face, name) for name in face.__all__)


def test_the_frame_is_that_of_the_protocol():
    assert api.FRAME == protocol.FRAME


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match=r"'wsolbench\.api' has no attribute 'Nonsense'"):
        api.Nonsense  # noqa: B018


@pytest.mark.parametrize("face", ["wsolbench.api", "wsolbench.data"])
def test_a_face_imports_no_heavy_library(face):
    heavy = "{'torch', 'timm', 'numba', 'cv2', 'PIL', 'pandas', 'wsolbench.protocol'}"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {face}; print(sorted({heavy} & sys.modules.keys()))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_every_error_is_part_of_the_contract():
    assert set(errors.__all__) <= set(api.__all__)
    assert all(issubclass(getattr(errors, name), errors.WsolbenchError) for name in errors.__all__)


def test_every_interface_is_part_of_the_contract():
    assert set(contract.__all__) - {"Spec", "Zoo"} <= {*api.__all__, *data.__all__}
