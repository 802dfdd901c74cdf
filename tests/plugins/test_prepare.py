"""Data sets fetched from a web server on this machine, as their plugins describe it."""

import errno
import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace

import pytest
from trees import photo, write_imagenette, write_lists, write_small_cub, write_tiny_imagenet

from wsolbench.api import DataError, DatasetRoots, OutputError, Split, UsageError
from wsolbench.data.fetch.prepare import prepare_dataset
from wsolbench.host.loading import load_plugins
from wsolbench.host.provider import Provider
from wsolbench.host.registry import Offer
from wsolbench.progress import Reporter

DATASETS = {offer.name: offer.spec for offer in load_plugins().datasets}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)


def zipped(folder):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return stream.getvalue()


def tarred(folder, *, top=True):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(folder, folder.name if top else ".")
    return stream.getvalue()


def served(web, name, archives, lists=None):
    """Return an offer whose downloads come from the server: archives by name, lists by their place below `lists`."""
    downloads = []
    for download in DATASETS[name].preparation.downloads:
        content = archives.get(download.archive)
        if content is not None and download.url is not None:
            web.files[download.archive] = content
            md5 = f"md5:{hashlib.md5(content).hexdigest()}" if download.checksum else None
            downloads.append(replace(download, url=web.url(download.archive), checksum=md5))
        elif download.url is not None and download.archive is None:
            path = lists / "/".join(download.place.split("/")[1:])
            web.files[download.place] = path.read_bytes() if path.exists() else b""
            downloads.append(replace(download, url=web.url(download.place)))
        else:
            downloads.append(replace(download, checksum=None))
    plan = replace(DATASETS[name].preparation, downloads=tuple(downloads))
    return Offer(replace(DATASETS[name], preparation=plan), Provider("tests", "1", name))


class Told(Reporter):
    def __init__(self):
        super().__init__()
        self.lines = []

    def say(self, message):
        self.lines.append(message)


@pytest.fixture
def tiny(web, tmp_path):
    source = write_tiny_imagenet(tmp_path / "origin" / "tiny-imagenet-200")
    return served(web, "tiny-imagenet", {"tiny-imagenet-200.zip": zipped(source.images)}), source


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_tiny_imagenet_is_fetched_and_copied_to_the_reference_layout(tiny, tmp_path):
    offer, source = tiny
    told = Told()
    prepare_dataset(offer, tmp_path / "tiny", told)
    assert told.lines == ["terms: photos of ImageNet: research and education, not commercial"]
    assert names(tmp_path / "tiny") == ["images", "metadata"]
    for place in (
        {"images": tmp_path / "tiny"},
        {"images": tmp_path / "tiny" / "images", "metadata": tmp_path / "tiny/metadata"},
    ):
        prepared, original = offer.spec.build(DatasetRoots(**place)), offer.spec.build(source)
        assert prepared.version == original.version
        for split in Split:
            assert prepared.images(split).ids == original.images(split).ids
            assert prepared.images(split).load(7).tobytes() == original.images(split).load(7).tobytes()
    folder = DATASETS["folder"].build(DatasetRoots(tmp_path / "tiny" / "images", tmp_path / "tiny" / "metadata"))
    assert len(folder.annotations(Split.TEST).boxes) == 250


@pytest.mark.slow
def test_what_is_prepared_is_left_alone(web, tiny, tmp_path):
    offer, _ = tiny
    prepare_dataset(offer, tmp_path / "tiny", Reporter())
    web.requests.clear()
    told = Told()
    prepare_dataset(offer, tmp_path / "tiny", told)
    assert web.requests == []
    assert told.lines == [f"{tmp_path / 'tiny'} already holds 'tiny-imagenet'"]


def test_an_archive_that_is_there_is_not_fetched_again(web, tiny, tmp_path):
    offer, _ = tiny
    (tmp_path / "tiny").mkdir()
    archive = tmp_path / "tiny" / "tiny-imagenet-200.zip"
    archive.write_bytes(web.files["tiny-imagenet-200.zip"])
    prepare_dataset(offer, tmp_path / "tiny", Reporter())
    assert web.requests == []
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tiny-imagenet-200.zip").write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"tiny-imagenet-200\.zip is not the published file: its checksum is not"):
        prepare_dataset(offer, tmp_path / "other", Reporter())


def test_a_lost_connection_is_gone_on_with(web, tiny, tmp_path):
    offer, _ = tiny
    web.cuts = [10_000, 20_000]
    prepare_dataset(offer, tmp_path / "tiny", Reporter())
    assert [asked for _, asked in web.requests] == [None, "bytes=10000-", "bytes=30000-"]
    assert names(tmp_path / "tiny") == ["images", "metadata"]


def test_a_connection_that_is_lost_for_good_leaves_no_half_data_set(web, tiny, tmp_path):
    offer, _ = tiny
    web.cuts = [10_000] + [0] * 4
    with pytest.raises(DataError, match="run the command again, or download it yourself and save it as"):
        prepare_dataset(offer, tmp_path / "tiny", Reporter())
    assert not (tmp_path / "tiny" / "metadata").exists()
    prepare_dataset(offer, tmp_path / "tiny", Reporter())
    assert web.requests[-1] == ("/tiny-imagenet-200.zip", "bytes=10000-")


def test_without_a_network_everything_is_for_a_person_to_fetch(tmp_path):
    plan = DATASETS["cub"].preparation
    nowhere = tuple(replace(one, url=one.url and "http://127.0.0.1:9/x") for one in plan.downloads)
    offer = Offer(replace(DATASETS["cub"], preparation=replace(plan, downloads=nowhere)), Provider("tests", "1", "cub"))
    with pytest.raises(DataError) as caught:
        prepare_dataset(offer, tmp_path / "cub", Reporter())
    first, second, *rest = str(caught.value).splitlines()
    assert first.startswith("http://127.0.0.1:9/x cannot be downloaded (")
    assert second == "  download 14 files yourself, then run this command again"
    assert rest[0] == f"  {tmp_path / 'cub' / 'CUB_200_2011.tgz'}: from http://127.0.0.1:9/x"
    assert rest[1] == f"  {tmp_path / 'cub' / 'metadata' / 'train' / 'image_ids.txt'}: from http://127.0.0.1:9/x"
    assert rest[-1].startswith(f"  {tmp_path / 'cub' / 'CUBV2.tar'}: from https://drive.google.com")


@pytest.mark.slow
@pytest.mark.parametrize("full_after", [0, 700])
def test_a_full_disk_while_copying_is_gone_on_with(web, tiny, tmp_path, monkeypatch, full_after):
    from pathlib import Path

    offer, _ = tiny
    written, write_bytes = [], Path.write_bytes

    def write(path, content):
        written.append(path)
        if len(written) > full_after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OutputError, match=r"the disk is full: .*; free some space and run the command again to cont"):
        prepare_dataset(offer, tmp_path / "tiny", Reporter())
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert names(tmp_path / "tiny") == [".source"]
    web.requests.clear()
    prepare_dataset(offer, tmp_path / "tiny", Reporter())
    assert web.requests == []
    assert names(tmp_path / "tiny") == ["images", "metadata"]


def test_what_a_killed_run_left_is_cleared_away(tiny, tmp_path):
    offer, _ = tiny
    (tmp_path / "tiny" / ".copy-draft-1234" / "images").mkdir(parents=True)
    (tmp_path / "tiny" / "images").mkdir()
    (tmp_path / "tiny" / "images" / "half.JPEG").touch()
    prepare_dataset(offer, tmp_path / "tiny", Reporter())
    assert names(tmp_path / "tiny") == ["images", "metadata"]
    assert not (tmp_path / "tiny" / "images" / "half.JPEG").exists()


def test_imagenette_takes_its_boxes_from_the_published_lists(web, tmp_path):
    source = write_imagenette(tmp_path / "origin")
    renamed = source.images.rename(tmp_path / "origin" / "imagenette2-320")
    offer = served(web, "imagenette", {"imagenette2-320.tgz": tarred(renamed)}, source.metadata)
    prepare_dataset(offer, tmp_path / "imagenette", Reporter())
    prepared = offer.spec.build(DatasetRoots(tmp_path / "imagenette"))
    assert names(tmp_path / "imagenette") == ["images", "metadata"]
    assert prepared.version == offer.spec.build(DatasetRoots(renamed, source.metadata)).version
    assert prepared.images(Split.TEST).load(0).shape == (24, 30, 3)


def test_what_a_person_has_to_fetch_is_told_after_all_else_was_fetched(web, tmp_path):
    source = write_small_cub(tmp_path / "origin")
    test = [("001.Auk/Auk_2.jpg", 0, [(3, 4, 23, 19)]), ("001.Auk/Auk_3.jpg", 0, [(3, 4, 23, 19)])]
    for split in ("train", "test"):
        write_lists(source.metadata / split, test, (40, 30))
    offer = served(web, "cub", {"CUB_200_2011.tgz": tarred(source.images)}, source.metadata)
    folder = tmp_path / "cub"
    with pytest.raises(DataError) as caught:
        prepare_dataset(offer, folder, Reporter())
    assert str(caught.value).splitlines() == [
        "download 1 file yourself, then run this command again",
        f"  {folder / 'CUBV2.tar'}: from https://drive.google.com/open?id=1U6cwKHS65wayT9FFvoLIA8cn1k0Ot2M1",
    ]
    assert names(folder) == ["CUB_200_2011", "metadata"]
    (folder / "CUBV2.tar").write_bytes(tarred(tmp_path / "origin" / "CUBV2", top=False))
    web.requests.clear()
    prepare_dataset(offer, folder, Reporter())
    assert web.requests == []
    assert names(folder) == ["CUBV2", "CUBV2.tar", "CUB_200_2011", "metadata"]
    dataset = offer.spec.build(DatasetRoots(folder))
    assert dataset.splits == set(Split)
    assert dataset.images(Split.TRAIN_FULLSUP).load(0).shape == (30, 32, 3)
    assert dataset.images(Split.TEST).load(0).shape == (30, 40, 3)


def test_what_is_not_needed_is_told_and_gone_without(web, tmp_path):
    write_lists(tmp_path / "lists" / "val", [("val2/0/0.jpeg", 0, [(0, 0, 1, 1)])], (9, 8))
    write_lists(tmp_path / "lists" / "test", [("val/ILSVRC2012_val_00000001.JPEG", 0, [(0, 0, 1, 1)])], (9, 8))
    v2 = tmp_path / "imagenetv2-threshold0.7-format-val" / "0"
    v2.mkdir(parents=True)
    (v2 / "0.jpeg").write_bytes(photo(9, 8))
    offer = served(web, "ilsvrc", {"imagenetv2-threshold0.7.tar.gz": tarred(v2.parent)}, tmp_path / "lists")
    folder = tmp_path / "ilsvrc"
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "ILSVRC2012_val_00000001.JPEG").write_bytes(photo(9, 8))
    (folder / "ILSVRC2012_img_val.tar").write_bytes(tarred(folder / "photos", top=False))
    told = Told()
    prepare_dataset(offer, folder, told)
    assert told.lines[1].startswith(
        f"not downloaded: {folder / 'train'}: from https://image-net.org/download-images, after"
    )
    dataset = offer.spec.build(DatasetRoots(folder))
    for split in (Split.TRAIN_FULLSUP, Split.TEST):
        assert dataset.images(split).load(0).shape == (8, 9, 3)


def test_openimages_is_for_a_person_to_fetch(web, tmp_path):
    offer = served(web, "openimages", {}, tmp_path / "none")
    with pytest.raises(DataError, match=r"download 2 files yourself, then run this command again\n.*OpenImages_images"):
        prepare_dataset(offer, tmp_path / "openimages", Reporter())


def test_an_archive_of_something_else(web, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").touch()
    offer = served(web, "tiny-imagenet", {"tiny-imagenet-200.zip": zipped(tmp_path / "elsewhere")})
    with pytest.raises(DataError, match="has no file in tiny-imagenet-200; is it another archive"):
        prepare_dataset(offer, tmp_path / "tiny", Reporter())


@pytest.mark.parametrize("name", ["critters", "folder", "imagefolder"])
def test_data_sets_that_nobody_publishes(name, tmp_path):
    with pytest.raises(UsageError, match=f"the data set '{name}' has nothing to prepare"):
        prepare_dataset(Offer(DATASETS[name], Provider("tests", "1", name)), tmp_path / "out", Reporter())
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(tiny, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/tiny cannot be written: Not a directory"):
        prepare_dataset(tiny[0], tmp_path / "file" / "tiny", Reporter())


def test_every_download_is_described_whole():
    for name, spec in DATASETS.items():
        for download in spec.preparation.downloads if spec.preparation else ():
            assert download.url or download.by_hand, (name, download)
            assert download.url is None or download.url.startswith("http"), (name, download)
            assert download.checksum is None or len(download.checksum) in (4 + 32, 7 + 64), (name, download)


def test_the_published_lists_are_those_of_one_commit():
    places = {
        name: {d.place for d in DATASETS[name].preparation.downloads if d.archive is None} for name in ("cub", "ilsvrc")
    }
    assert "metadata/val/localization.txt" in places["cub"]
    assert len(places["cub"]) == 12
    assert places["ilsvrc"] >= {"metadata/val/mapping.txt", "metadata/test/image_sizes.txt"}
    urls = [d.url for d in DATASETS["openimages"].preparation.downloads if d.url]
    assert len(urls) == 8
    assert all(url.startswith("https://raw.githubusercontent.com/clovaai/wsolevaluation/b5c1e8a9") for url in urls)
