"""The leaderboard at an address: its files and no others, on this machine alone, until Ctrl-C."""

import re
import signal
import subprocess
import sys
from http.client import HTTPConnection

import pytest


@pytest.fixture
def board(tmp_path):
    """A leaderboard, as far as a server looks at it."""
    folder = tmp_path / "board"
    (folder / "details").mkdir(parents=True)
    (folder / "index.html").write_text("<p>the page</p>")
    (folder / "details" / "a.js").write_text("detail()")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
def server(board):
    """A running server, and the port that it names."""
    command = [sys.executable, "-m", "wsolbench", "leaderboard", "serve", "--folder", str(board), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline()
        yield process, int(re.fullmatch(rf"{board} is at http://127\.0\.0\.1:(\d+)/; Ctrl-C ends it\n", said)[1])
        process.kill()


def ask(port, path):
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_its_files_are_served_and_no_others_until_ctrl_c(server, cli, board):
    process, port = server
    assert ask(port, "/") == (200, b"<p>the page</p>")
    assert ask(port, "/details/a.js?x=1") == (200, b"detail()")
    for path in ("/details/", "/../secret.txt", "/%2e%2e/secret.txt", "/link.txt", "/nothing"):
        status, text = ask(port, path)
        assert (status, b"secret" in text.replace(path.encode(), b"")) == (404, False), path
    assert cli("leaderboard", "serve", "--folder", board, "--port", port).refused(f"port {port}", "--port")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", f"interrupted: http://127.0.0.1:{port}/ is closed\n")


def test_a_folder_without_a_page_is_one_line(tmp_path, cli):
    assert cli("leaderboard", "serve", "--folder", tmp_path).refused("has no index.html", "leaderboard build")
