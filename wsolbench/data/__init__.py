"""The kit for authors of data sets on disk: splits, lists, image files, boxes, and where a data set is fetched.

What every plugin needs, a data set in memory too, is in `wsolbench.api`.
"""

from wsolbench.contract import Download, Finding, Inspectable, KnownSplit, Preparation, Severity
from wsolbench.data.boxes import BoxRule, Quad, SizedBoxes, findings_of_dummies, xywh_to_xyxy
from wsolbench.data.class_folders import check_class_names, list_class_folders
from wsolbench.data.class_map import category_names, match_categories, plain_name
from wsolbench.data.comparison import compare_annotations
from wsolbench.data.conventions import refuse_unused
from wsolbench.data.disk import DiskDataset, DiskSplit, LazySplit, ListedSplit, PickedSplit, PlacedSplit
from wsolbench.data.image_files import HeaderSizes, ImageFiles
from wsolbench.data.lines import Line, is_blank, parse_each, quote, read_file, read_lines
from wsolbench.data.names import NameIndex, common_front, tidy_path, visible
from wsolbench.data.prepared import lists_below, prepared_roots
from wsolbench.data.published import published_lists
from wsolbench.data.reference import ReferenceDataset, ReferenceSplit, check_folders, folder_names, reference_splits
from wsolbench.data.split_folders import find_split_folders
from wsolbench.data.split_names import split_named, split_of_list
from wsolbench.data.storage import Storage, folder_title, open_storage, top_folder, visible_entries
from wsolbench.data.units import check_units, find_fractions
from wsolbench.data.xml_files import read_xml

__all__ = [
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
