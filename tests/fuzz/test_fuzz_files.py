"""Scoremaps, images, archives and settings, damaged."""

import io
import json
import tarfile
import zipfile

import numpy as np
from hypothesis import strategies as st
from mutations import as_json, both_sizes, changed, damaged, fuzz, own_folder, photo, refused_in_one_line

from wsolbench.config import EvaluateConfig, RunConfig, TrainConfig
from wsolbench.data.fetch.unpack import unpack
from wsolbench.data.images import decode_grey, open_picture
from wsolbench.data.storage import open_storage
from wsolbench.engine.scoremap_files import ScoremapFolder


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=array.dtype == object)
    return stream.getvalue()


@both_sizes
def test_scoremaps(examples):
    rng = np.random.default_rng(0)
    arrays = [rng.random((7, 9)), rng.random((7, 9)).astype(">f2"), np.asfortranarray(rng.random((3, 4)))]
    contents = st.sampled_from([saved(array) for array in (*arrays, np.array([{}], dtype=object))])

    def check(content):
        with own_folder() as folder:
            (folder / "a.npy").write_bytes(content)
            found = refused_in_one_line(lambda: ScoremapFolder(folder, ["a"]).load("a", (9, 7)))
            assert found is None or found.ndim == 2

    fuzz(contents.flatmap(damaged), check, examples)


@both_sizes
def test_images(examples):
    kinds = [photo(12, 9, kind=kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")]

    def check(content):
        refused_in_one_line(decode_grey, content, "a.jpg")
        picture = refused_in_one_line(open_picture, content, "a.jpg")
        for upright in (False, True) if picture is not None else ():
            pixels = refused_in_one_line(lambda upright=upright: picture.rgb(upright=upright))
            size = picture.header.upright_size if upright else picture.header.size
            assert pixels is None or pixels.shape[1::-1] == size

    fuzz(st.sampled_from(kinds).flatmap(damaged), check, examples)


MEMBERS = {"a/b.txt": b"text", "a/c.txt": b"more " * 50, "d.txt": b""}


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def tarred(members, mode):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return stream.getvalue()


names = st.sampled_from(
    ["a.txt", "a/b.txt", "../e", "/tmp/escaped", "a/../../e", ".", "..", "a\\..\\..\\e", "C:\\e", "a\nb"]
)
archives = {
    "x.zip": st.one_of(
        damaged(zipped(MEMBERS)),
        damaged(zipped(MEMBERS, zipfile.ZIP_STORED)),
        st.dictionaries(names, st.binary(max_size=20), max_size=4).map(zipped),
    ),
    "x.tar": st.one_of(
        damaged(tarred(MEMBERS, "w")),
        st.dictionaries(names, st.binary(max_size=20), max_size=4).map(lambda members: tarred(members, "w")),
    ),
    "x.tar.gz": damaged(tarred(MEMBERS, "w:gz")),
}


@both_sizes
def test_archives(examples):
    def check(drawn):
        name, content = drawn
        with own_folder() as folder:
            (folder / name).write_bytes(content)
            refused_in_one_line(lambda: unpack(folder / name, folder / "out"))

    contents = st.sampled_from(sorted(archives)).flatmap(lambda name: st.tuples(st.just(name), archives[name]))
    fuzz(contents, check, examples)


@both_sizes
def test_zip_files_of_images(examples):
    whole = zipped({"a.png": photo(6, 5, kind="PNG"), "b/c.png": photo(6, 5, kind="PNG")})

    def check(content):
        with own_folder() as folder:
            (folder / "x.zip").write_bytes(content)
            storage = refused_in_one_line(open_storage, folder / "x.zip")
            if storage is not None:
                for path in ("a.png", "b/c.png", "../e"):
                    refused_in_one_line(storage.read, path)
                    refused_in_one_line(storage.read_head, path, 4)
                refused_in_one_line(lambda: list(storage.paths()))

    fuzz(damaged(whole), check, examples)


@both_sizes
def test_settings(examples):
    whole = {
        RunConfig: RunConfig(backbone="replknet", methods={"cam": {"relu": "false"}, "pc1": {}}),
        EvaluateConfig: EvaluateConfig(scoremaps="maps", limit=3),
        TrainConfig: TrainConfig(backbone="replknet", out="o", seeds=(1, 2)),
    }

    def check(drawn):
        kind, content = drawn
        found = refused_in_one_line(kind.from_json, content)
        assert found is None or kind.from_json(found.to_json()) == found

    kinds = st.sampled_from(sorted(whole, key=lambda kind: kind.__name__))
    contents = kinds.flatmap(
        lambda kind: st.tuples(
            st.just(kind),
            st.one_of(as_json(changed(json.loads(whole[kind].to_json()))), damaged(whole[kind].to_json().encode())),
        )
    )
    fuzz(contents, check, examples)
