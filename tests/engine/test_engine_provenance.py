import shutil
import subprocess

import pytest
import torch

from wsolbench.engine import provenance
from wsolbench.engine.provenance import git_revision, package_versions
from wsolbench.errors import UsageError
from wsolbench.networks.devices import choose_device
from wsolbench.progress import Reporter


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, "-C", folder, *arguments], check=True, capture_output=True)


@pytest.fixture
def source_file(tmp_path, monkeypatch):
    """Let the code believe that it runs from a file in a folder of its own."""
    path = tmp_path / "code" / "provenance.py"
    path.parent.mkdir()
    path.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(path))
    return path


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_revision_of_a_checkout_says_whether_it_was_changed(source_file):
    git(source_file.parent, "init")
    git(source_file.parent, "add", ".")
    git(source_file.parent, "commit", "-m", "x")
    clean = git_revision()
    assert clean is not None
    assert len(clean) == 40
    source_file.write_text("changed = True\n")
    assert git_revision() == f"{clean}-dirty"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_code_that_is_installed_into_somebody_elses_checkout_has_no_revision(source_file):
    git(source_file.parent, "init")
    (source_file.parent / "theirs").touch()
    git(source_file.parent, "add", "theirs")
    git(source_file.parent, "commit", "-m", "x")
    assert git_revision() is None


def test_outside_a_checkout_there_is_no_revision(source_file, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(source_file.parents[1]))
    assert git_revision() is None


def test_without_git_there_is_no_revision(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_revision() is None


def test_versions_are_those_of_what_is_installed():
    versions = package_versions(("torch", "no-such-package"))
    assert versions["torch"] == str(torch.__version__).partition("+")[0] or versions["torch"] == torch.__version__
    assert "no-such-package" not in versions
    assert versions["python"][0] == "3"


def test_a_reporter_times_its_phases():
    reporter = Reporter()
    with reporter.phase("first"), reporter.phase("inner") as advance:
        advance(1)
    assert list(reporter.seconds) == ["inner", "first"]
    assert all(0 <= seconds < 1 for seconds in reporter.seconds.values())


def test_the_cpu_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["meta", "nonsense", "", "cuda:99", "cpu:x", "xla"])
def test_a_device_that_cannot_compute_is_refused_in_one_short_line(name):
    with pytest.raises(UsageError, match="cannot be used here") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
