"""Names that people type, and the files that are called after them."""

import pytest

from wsolbench.files import file_name
from wsolbench.host.names import NAME_PATTERN


@pytest.mark.parametrize("name", ["cam", "replknet_31b", "cam-pos", "v1.5", "7", "grad-cam++"])
def test_names_that_are_allowed(name):
    assert NAME_PATTERN.fullmatch(name)
    assert file_name(name) == name


@pytest.mark.parametrize("name", ["", "Cam", "a b", "a:b", "-a", ".a", "+a", "é", "a\n", "a/b"])
def test_names_that_are_not(name):
    assert not NAME_PATTERN.fullmatch(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gradcam:ScoreCAM", "gradcam-ScoreCAM"),
        ("timm:vit_b.in1k", "timm-vit_b.in1k"),
        ('a/b\\c<d>e"f|g?h*i j', "a-b-c-d-e-f-g-h-i-j"),
    ],
)
def test_file_names_hold_nothing_that_a_file_system_refuses(text, expected):
    assert file_name(text) == expected
