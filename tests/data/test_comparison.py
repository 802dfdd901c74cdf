import numpy as np
import pytest

from wsolbench.contract import Annotations, Severity
from wsolbench.data.boxes import SizedBoxes
from wsolbench.data.comparison import compare_annotations
from wsolbench.errors import MissingFileError


def annotated(size=(40, 30), **boxes):
    named = {name: np.array(corners, dtype=np.int64) for name, corners in boxes.items()}
    return Annotations(named, dict.fromkeys(named, size))


LISTED = annotated(a=[[1, 2, 3, 4]], b=[[0, 0, 9, 9], [5, 5, 6, 6]])


@pytest.mark.parametrize(
    ("other", "severity", "words"),
    [
        (LISTED, Severity.NOTE, "lists and file agree on the boxes and sizes of all 2 images"),
        (
            annotated(a=[[1, 2, 3, 6]], b=[[0, 0, 9, 9], [5, 5, 6, 6]]),
            Severity.WARNING,
            "differ on 1 of 2 images, by at most 2 pixels a corner, such as 'a': [[1, 2, 3, 4]] counts, not",
        ),
        (annotated(a=[[1, 2, 3, 4]], b=[[0, 0, 9, 9]]), Severity.WARNING, "differ on 1 of 2 images, by at most 0"),
        (annotated((40, 31), a=LISTED.boxes["a"], b=LISTED.boxes["b"]), Severity.WARNING, "differ on 2 of 2 images"),
    ],
)
def test_boxes_and_sizes_are_compared(other, severity, words):
    (finding,) = compare_annotations(LISTED, other, "lists and file")
    assert finding.severity is severity
    assert words in finding.text


def test_images_of_one_source_alone():
    first, second = compare_annotations(LISTED, annotated(a=[[1, 2, 3, 4]], c=[[1, 1, 2, 2]]), "lists and file")
    assert first.severity is Severity.ERROR
    assert first.text == "lists and file: 2 images are in one of them alone, such as 'b'"
    assert second.text == "lists and file agree on the boxes and sizes of all 1 images"


def test_images_whose_files_are_gone_are_passed_over():
    class Gone(dict):
        def __getitem__(self, name):
            if name == "b":
                raise MissingFileError("b is gone")
            return super().__getitem__(name)

    sizes = Gone(a=(40, 30), b=(40, 30))
    boxes = SizedBoxes({"a": [(1, 2, 2, 2)], "b": [(0, 0, 1, 1)]}, sizes, "file")
    (finding,) = compare_annotations(LISTED, Annotations(boxes, sizes), "lists and file")
    assert finding.text == "lists and file agree on the boxes and sizes of all 1 images"
