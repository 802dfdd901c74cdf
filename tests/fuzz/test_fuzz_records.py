"""Records and their outcomes, damaged: each is refused in one line, or what its tables show is as it was."""

import gzip
import json

from hypothesis import strategies as st
from mutations import as_json, both_sizes, changed, damaged, fuzz, own_folder, refused_in_one_line
from toy_records import as_version1, make_record

from wsolbench.records import read_record, write_record
from wsolbench.records.verify import read_verified


def look_at(path):
    """Read a record in both ways; one that passes can be shown and written again."""
    record = refused_in_one_line(read_record, path)
    if record is not None:
        refused_in_one_line(record.to_json)
    return refused_in_one_line(read_verified, path)


@both_sizes
def test_summaries(examples):
    whole = make_record()

    def check(content):
        with own_folder() as folder:
            path = write_record(whole, folder, "r")
            path.write_bytes(content)
            found = look_at(path)
            if found is not None:
                assert found.metrics == whole.metrics
                assert found.intervals == whole.intervals
                assert found.missing == whole.missing

    fuzz(st.one_of(as_json(changed(json.loads(whole.to_json()))), damaged(whole.to_json().encode())), check, examples)


@both_sizes
def test_outcomes(examples):
    whole = make_record()
    with own_folder() as folder:
        write_record(whole, folder, "r")
        packed = (folder / "r.outcomes.json.gz").read_bytes()
    plain = gzip.decompress(packed)

    def check(content):
        with own_folder() as folder:
            path = write_record(whole, folder, "r")
            (folder / "r.outcomes.json.gz").write_bytes(content)
            found = look_at(path)
            if found is not None:
                assert found.metrics == whole.metrics

    repacked = st.one_of(damaged(plain), as_json(changed(json.loads(plain)))).map(gzip.compress)
    fuzz(st.one_of(damaged(packed), repacked), check, examples)


@both_sizes
def test_lists_of_image_ids(examples):
    whole = make_record()
    with own_folder() as folder:
        write_record(whole, folder, "r")
        names = sorted(path.name for path in folder.glob("images-*"))
        packed = {name: (folder / name).read_bytes() for name in names}

    def check(drawn):
        name, content = drawn
        with own_folder() as folder:
            path = write_record(whole, folder, "r")
            (folder / name).write_bytes(content)
            found = look_at(path)
            if found is not None:
                assert [part.image_ids for part in found.outcomes] == [part.image_ids for part in whole.outcomes]

    contents = st.sampled_from(names).flatmap(
        lambda name: st.tuples(
            st.just(name), st.one_of(damaged(packed[name]), damaged(gzip.decompress(packed[name])).map(gzip.compress))
        )
    )
    fuzz(contents, check, examples)


@both_sizes
def test_records_in_one_line_and_of_version_1(examples):
    whole = make_record()
    line, old = json.loads(whole.to_line()), as_version1(whole)

    def check(content):
        with own_folder() as folder:
            (folder / "r.json").write_bytes(content)
            found = look_at(folder / "r.json")
            if found is not None:
                assert found.metrics == whole.metrics

    fuzz(st.one_of(as_json(changed(line)), as_json(changed(old))), check, examples)
