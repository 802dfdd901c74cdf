"""In which order tables stand on the page, and what their first lines say."""

from leaderboards import readme_of
from toy_networks import trained_record
from toy_records import FULLSUP, make_outcomes, remade

from wsolbench.leaderboard.entries import Entry, group_tables


def entry(name, *, classes=2, count=8, limit=None, root="photos", lists=None):
    """Return an entry of the data set whose name is before the hyphen."""
    parts = [make_outcomes(count=count), make_outcomes("train-fullsup", FULLSUP)]
    config = {"data_root": root, "metadata_root": lists}
    made = remade(trained_record(), parts, config=config)
    dataset = {"name": name.partition("-")[0], "num_classes": classes, "limit": limit}
    made = made.model_copy(update={"dataset": made.dataset.model_copy(update=dataset)})
    return Entry(f"{name}.json", "0" * 64, made)


def test_photos_come_first_then_many_classes_then_small_selections_and_limited_ones_last():
    entries = [
        entry("drawn", classes=500, root=None),
        entry("few", classes=10),
        entry("many-all", classes=1000, count=8),
        entry("many-few", classes=1000, count=3, lists="photos/metadata-small"),
        entry("many-limited", classes=1000, count=2, limit=2),
    ]
    tables = group_tables(entries)
    assert [table.entries[0].name for table in tables] == [
        f"{name}.json" for name in ("many-few", "many-all", "many-limited", "few", "drawn")
    ]
    assert [table.slug for table in tables if table.slug in ("many", "few", "drawn")] == ["many", "few", "drawn"]
    page = readme_of(tables)
    assert "These 3 images, listed in metadata-small, are a part of the 8 of another table." in page
    assert "These 2 images are a part of the 8 of another table." in page


def test_pretrained_networks_stand_with_their_source_and_accuracy():
    page = readme_of(group_tables([entry("net")]))
    assert "Pretrained networks: toy (toy.pth, top-1 50.0)." in page
