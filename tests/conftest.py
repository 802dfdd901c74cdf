"""What all tests share: the real data, small data sets on disk, and the command line in this process."""

import gc
import json
import os
import secrets
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy networks: more threads would only wait for each other

NUMBERS = {"train": 0, "val": 1, "test": 2}
COLOURS = ((220, 40, 40), (40, 200, 60))


def pytest_configure(config):
    """Load the fixtures that need torch, except in a process that only deals tests out to others."""
    if not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("toys")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Let the garbage collector pass over what was imported and collected: it stays until the tests end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def heard_signals():
    """Hear the signals that a shell or nohup had the test runner ignore: commands and their children would too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def cache_of_fixtures(tmp_path_factory):
    """Let what fixtures of modules run keep maps in a folder that is thrown away."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WSOLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Let every test begin with an empty cache, which is made when something is kept there."""
    monkeypatch.setenv("WSOLBENCH_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{secrets.token_hex(4)}"))


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets, which are not part of the repository."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("WSOLBENCH_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set WSOLBENCH_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests; they are skipped where it is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass(frozen=True)
class Finished:
    """How a command ended, and what it said; the lines of progress, which begin with a bracket, stand apart."""

    code: int
    out: str
    err: str
    progress: str = ""

    @property
    def records(self) -> list[dict[str, Any]]:
        """The JSON records on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def refused(self, *words: str) -> bool:
        """Check the form of an error for the user: one line, perhaps indented ones below, exit code 2, no results."""
        first, *rest = [line for line in self.err.splitlines() if not line.startswith("warning: ")]
        assert self.code == 2, self.err
        assert self.out == ""
        assert first.startswith("error: ")
        assert all(line.startswith("  ") for line in rest), self.err
        assert "Traceback" not in self.err
        for word in words:
            assert word in self.err
        return True


@pytest.fixture(scope="session")
def compiled_sweep():
    """Compile the threshold sweep where that is still to be done, so that no command says that it does."""
    from wsolbench.protocol.compilation import load_sweep

    load_sweep(lambda _: None)


@pytest.fixture
def cli(capsys, compiled_sweep):  # noqa: ARG001
    """Run a command line in this process: ``cli("run", "--limit", 3)``."""
    from wsolbench.cli.app import main

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        lines = said.err.splitlines(keepends=True)
        progress, err = ("".join(line for line in lines if line.startswith("[") is kind) for kind in (True, False))
        return Finished(ended.value.code, said.out, err, progress)

    return run


@dataclass(frozen=True)
class FolderSet:
    """A small data set in the reference layout: a coloured rectangle in noise; the colour is the class."""

    images: Path
    metadata: Path

    @property
    def options(self) -> list[str]:
        """The options that name it."""
        places = ["--data-root", str(self.images), "--metadata-root", str(self.metadata)]
        return ["--dataset", "folder", *places]

    def ids(self, split: str = "test") -> list[str]:
        """The image ids of a split."""
        return (self.metadata / split / "image_ids.txt").read_text().split("\n")


@pytest.fixture
def folder_set(tmp_path):
    """Make a `FolderSet` with so many images a split, annotated with ``boxes`` or ``masks``."""

    def make(name="set", annotation="boxes", **counts):
        root = tmp_path / name
        for split, count in (counts or {"val": 3, "test": 4}).items():
            _write_split(root, split, count, annotation)
        return FolderSet(root / "images", root / "metadata")

    return make


def _write_split(root, split, count, annotation):
    random = np.random.default_rng(NUMBERS[split])
    lists = {name: [] for name in ("image_ids", "class_labels", "image_sizes", "localization")}
    for number in range(count):
        image_id, label = f"{split}/{number:02d}.png", number % len(COLOURS)
        width, height = (int(side) for side in random.integers(24, 48, 2))
        x0, y0 = (int(random.integers(2, side // 2)) for side in (width, height))
        x1, y1 = x0 + width // 3, y0 + height // 3
        pixels = random.integers(80, 130, (height, width, 3), dtype=np.uint8)
        pixels[y0 : y1 + 1, x0 : x1 + 1] = COLOURS[label]
        _save(root / "images" / image_id, pixels)
        lists["image_ids"].append(image_id)
        lists["class_labels"].append(f"{image_id},{label}")
        lists["image_sizes"].append(f"{image_id},{width},{height}")
        if annotation == "boxes":
            lists["localization"].append(f"{image_id},{x0},{y0},{x1},{y1}")
        else:
            mask = np.zeros((height, width), dtype=np.uint8)
            mask[y0 : y1 + 1, x0 : x1 + 1] = 255
            _save(root / "images" / "masks" / image_id, mask)
            lists["localization"].append(f"{image_id},masks/{image_id},")
    folder = root / "metadata" / split
    folder.mkdir(parents=True)
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines))


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def without_galleries():
    """Return a context in which runs draw no pictures, for fixtures that need their records alone."""

    @contextmanager
    def context():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("wsolbench.engine.redraw.draw_galleries", lambda *_: None)
            yield

    return context


@pytest.fixture
def no_gallery(without_galleries):
    """Leave the pictures of runs out, for tests of numbers."""
    with without_galleries():
        yield


@pytest.fixture
def no_curve(monkeypatch):
    """Leave the picture of a training empty: it takes longer than a training of toys."""
    monkeypatch.setattr("wsolbench.training.train.draw_curve", lambda _log, _title, path: path.touch())


@pytest.fixture
def web(monkeypatch):
    """A web server on this machine, which no proxy stands before."""
    from web import serve

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as running:
        yield running
