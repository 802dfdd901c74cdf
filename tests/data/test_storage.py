import multiprocessing
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from wsolbench.data import storage as storage_module
from wsolbench.data.storage import open_storage, top_folder
from wsolbench.errors import DataError, MissingFileError

FILES = {f"n{k % 3}/photo {k}.jpg": bytes([k]) * (1000 + k) for k in range(50)}


@pytest.fixture(params=["folder", "zip", "deflated"])
def storage(request, tmp_path):
    if request.param == "folder":
        for path, content in FILES.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_bytes(content)
        return open_storage(tmp_path)
    return open_storage(write_zip(tmp_path / "photos.zip", deflated=request.param == "deflated"))


def write_zip(path, *, deflated=False):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        archive.mkdir("n0")
        for name, content in FILES.items():
            archive.writestr(name, content)
    return path


def test_files_are_listed_and_read(storage):
    assert sorted(storage.paths()) == sorted(FILES)
    assert {path: storage.read(path) for path in FILES} == FILES


def test_many_threads_read_the_same(storage):
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(storage.read, list(FILES) * 20))
    assert read == list(FILES.values()) * 20


def read_all(storage, queue):
    queue.put({path: storage.read(path) for path in FILES} == FILES)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_other_processes_read_too(storage, way):
    """A forked process shares open files with its parent, which reads meanwhile."""
    context = multiprocessing.get_context(way)
    queue = context.Queue()
    workers = [context.Process(target=read_all, args=(storage, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert all(storage.read(path) == content for path, content in FILES.items())
    assert [queue.get(timeout=60) for _ in workers] == [True, True]
    for worker in workers:
        worker.join()


def test_it_can_be_sent_elsewhere(storage):
    assert pickle.loads(pickle.dumps(storage)).read("n1/photo 1.jpg") == FILES["n1/photo 1.jpg"]


def test_what_is_missing_is_named_with_its_place(storage):
    with pytest.raises(MissingFileError, match=r"n0/gone\.jpg"):
        storage.read("n0/gone.jpg")
    assert "n0/gone.jpg" in storage.place("n0/gone.jpg")


def test_a_place_that_is_neither_folder_nor_zip(tmp_path):
    with pytest.raises(DataError, match="gone does not exist"):
        open_storage(tmp_path / "gone")
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(DataError, match="text cannot be read as a ZIP file: it is damaged or no ZIP file"):
        open_storage(tmp_path / "text")


def test_a_zip_file_that_was_cut_short(tmp_path):
    path = write_zip(tmp_path / "photos.zip")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged or no ZIP file"):
        open_storage(path)


def test_a_damaged_file_in_a_zip_file(tmp_path):
    path = write_zip(tmp_path / "photos.zip")
    content = bytearray(path.read_bytes())
    content[content.index(FILES["n2/photo 5.jpg"]) + 7] ^= 1
    path.write_bytes(content)
    storage = open_storage(path)
    with pytest.raises(DataError, match=r"n2/photo 5\.jpg in .*photos\.zip cannot be read: Bad CRC-32"):
        storage.read("n2/photo 5.jpg")
    assert storage.read("n0/photo 6.jpg") == FILES["n0/photo 6.jpg"]


def test_a_file_that_is_larger_than_any_image_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(storage_module, "LARGEST", 1 << 20)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes((1 << 20) + 1))
    with pytest.raises(DataError, match=r"a\.jpg in .*bomb\.zip is larger than 1 MiB"):
        open_storage(path).read("a.jpg")
    assert len(open_storage(path).read_head("a.jpg", 10)) == 10
    (tmp_path / "b.jpg").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(DataError, match=r"b\.jpg cannot be read: it is larger than 1 MiB"):
        open_storage(tmp_path).read("b.jpg")


def test_what_is_no_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zero.jpg"):
        for read in (open_storage(tmp_path).read, lambda path: open_storage(tmp_path).read_head(path, 10)):
            with pytest.raises(DataError, match="cannot be read: it is a pipe, socket or device, no file"):
                read(name)


def test_links_to_a_folder_above_are_not_followed(tmp_path):
    (tmp_path / "root" / "x").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for path in ("root/x/a.jpg", "other/b.jpg"):
        (tmp_path / path).touch()
    for name in ("a", "b"):
        (tmp_path / "root" / name).symlink_to("../root")
    (tmp_path / "root" / "x" / "up").symlink_to("..")
    (tmp_path / "root" / "self").symlink_to("self")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "other")
    assert sorted(open_storage(tmp_path / "root").paths()) == ["linked/b.jpg", "self", "x/a.jpg"]


def test_folders_that_all_link_to_each_other_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("wsolbench.data.storage.MOST_LINKS", 50)
    for one in "abcd":
        (tmp_path / one).mkdir()
        for other in "abcd":
            (tmp_path / one / other).symlink_to(f"../{other}")
    with pytest.raises(DataError, match="more than 50 links to folders; remove them"):
        list(open_storage(tmp_path).paths())


def test_a_tree_deeper_than_paths_may_be_long_is_read_as_far_as_it_can_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    long = 250 * "x"
    for _ in range(20):
        os.mkdir(long)  # noqa: PTH102
        os.chdir(long)
    (tmp_path / "a.jpg").touch()
    assert list(open_storage(tmp_path).paths()) == ["a.jpg"]
    for _ in range(20):
        os.chdir("..")
        os.rmdir(long)  # noqa: PTH106


@pytest.mark.parametrize(
    ("names", "top"),
    [
        (["photos/test/cat/a.jpg", "photos/notes.txt", "__MACOSX/photos/._a.jpg"], "photos"),
        (["x/y/cat/a.jpg", "x/y/dog/a.jpg"], "x/y"),
        (["test/cat/a.jpg"], ""),
        (["cat/a.jpg"], ""),
        (["cat/a.jpg", "dog/b.jpg"], ""),
    ],
)
def test_the_one_folder_at_the_top_of_a_zip_file(tmp_path, names, top):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    storage = open_storage(tmp_path / "a.zip")
    assert top_folder(storage) == top
    assert top_folder(open_storage(tmp_path)) == ""
    with pytest.raises(DataError, match="there is no folder none in"):
        storage.entries("none")


def test_a_root_one_folder_too_high_is_told(tmp_path):
    (tmp_path / "photos" / "test").mkdir(parents=True)
    (tmp_path / "photos" / "test" / "a.jpg").touch()
    storage = open_storage(tmp_path)
    with pytest.raises(MissingFileError, match=r"test/a\.jpg does not exist; is the root .*/photos\?"):
        storage.read("test/a.jpg")
    with pytest.raises(MissingFileError, match=r"photos/b\.jpg does not exist; check the folder"):
        storage.read("photos/b.jpg")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "photos" / "test" / "a.jpg", "photos/test/a.jpg")
    assert open_storage(tmp_path / "a.zip").similar("Test/a.jpg") == ("photos/test/a.jpg",)


def test_a_bomb_in_a_zip_file_is_not_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bmp", b"BM" + bytes(200_000))
    storage = open_storage(tmp_path / "a.zip")
    assert len(storage.read("a.bmp")) == 200_002
    monkeypatch.setattr("wsolbench.data.storage._SMALL", 100_000)
    with pytest.raises(DataError, match=r"a\.bmp in .*a\.zip unpacks [0-9,]+ bytes to 200,002, which no photo does"):
        storage.read("a.bmp")
    assert storage.read_head("a.bmp", 2) == b"BM"
