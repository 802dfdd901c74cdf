"""Conventions: a data set refuses those that it has no use for."""

import pytest
from trees import TREES

from wsolbench.api import Conventions, DatasetRoots, UsageError
from wsolbench.host.loading import load_plugins

USED = {name: {"boxes", "first_pixel"} for name in TREES} | {"openimages": set()}
SET = {"boxes": (Conventions(boxes="half-open"), "--boxes"), "first_pixel": (Conventions(first_pixel=1), "--first-pix")}


@pytest.mark.parametrize("name", TREES)
def test_a_convention_without_use_is_refused(tmp_path, name):
    offer = load_plugins().datasets.get(name)
    for convention, (conventions, option) in SET.items():
        roots = DatasetRoots(tmp_path, tmp_path, conventions=conventions)
        if convention not in USED[name]:
            with pytest.raises(UsageError, match=f"'{name}' has no use for {option}.*; omit it"):
                offer.spec.build(roots)


def test_what_is_drawn_has_no_lists_but_class_names(tmp_path):
    build = load_plugins().datasets.get("critters").spec.build
    with pytest.raises(UsageError, match="'critters' is drawn and has no lists; leave out --boxes, --first-pixel and"):
        build(DatasetRoots(conventions=Conventions(unannotated="omit")))
    (tmp_path / "map.csv").write_text("folder,category,row\nred-ears,ears,3\n")
    said = []
    roots = DatasetRoots(conventions=Conventions(class_map=tmp_path / "map.csv"), on_finding=said.append)
    assert "red-ears" in build(roots).class_names
    assert "map.csv: its categories are not used, as 'critters' has no categories of boxes" in said[0].text
