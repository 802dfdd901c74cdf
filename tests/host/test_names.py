"""Names that people type, and the files that are called after them."""

from wsolbench.contract.names import NAME_PATTERN
from wsolbench.files import file_name


def test_names_that_are_allowed():
    names = ["cam", "replknet_31b", "cam-pos", "v1.5", "7", "grad-cam++"]
    assert [name for name in names if NAME_PATTERN.fullmatch(name)] == names
    assert [file_name(name) for name in names] == names


def test_names_that_are_not():
    names = ["", "Cam", "a b", "a:b", "-a", ".a", "+a", "é", "a\n", "a/b"]
    assert [name for name in names if NAME_PATTERN.fullmatch(name)] == []


def test_file_names_hold_nothing_that_a_file_system_refuses():
    expected = {
        "gradcam:ScoreCAM": "gradcam-ScoreCAM",
        "timm:vit_b.in1k": "timm-vit_b.in1k",
        'a/b\\c<d>e"f|g?h*i j': "a-b-c-d-e-f-g-h-i-j",
    }
    assert {text: file_name(text) for text in expected} == expected
