"""Numbers with their nouns."""

import pytest

from wsolbench.texts import counted


@pytest.mark.parametrize(
    ("count", "things", "text"),
    [
        (0, "rows", "0 rows"),
        (1, "rows", "1 row"),
        (2, "rows", "2 rows"),
        (1, "data sets", "1 data set"),
        (1, "entries", "1 entry"),
        (1, "boxes", "1 box"),
        (1, "classes", "1 class"),
        (1, "images", "1 image"),
        (2000, "images", "2,000 images"),
    ],
)
def test_a_noun_agrees_with_its_number(count, things, text):
    assert counted(count, things) == text
