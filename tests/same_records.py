"""Whether two runs gave the same: records without times, commands and where they are."""

import json


def same_records(first, second):
    """Check that the records of two folders are the same but for times, commands and where they are."""
    names = sorted(path.name for path in first.glob("record-*"))
    assert names == sorted(path.name for path in second.glob("record-*"))
    assert names
    for name in names:
        if name.endswith(".gz"):
            assert (first / name).read_bytes() == (second / name).read_bytes(), name
        else:
            one, other = (bare(json.loads((folder / name).read_text())) for folder in (first, second))
            assert one == other, name


def bare(summary):
    """Remove what differs between two runs of the same from the summary of a record, and return it."""
    for name in ("seconds", "summary_sha256"):
        del summary[name]
    for part, name in (("environment", "command"), ("environment", "created"), ("config", "out"), ("config", "cache")):
        del summary[part][name]
    return summary
