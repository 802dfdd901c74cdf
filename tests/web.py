"""A small web server for the tests of downloads: it may cut connections, change its files, or know no ranges."""

import hashlib
import threading
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """What the server has and how it behaves.

    Args:
        files: Path -> content.
        cuts: After how many bytes the next connections end, one after another; None: when everything was sent.
        ranges: Whether it goes on from where a client asks it to.
        tags: Whether it says which file it has, by a tag.
        dates: Whether it says so by a date.
        heeds: Whether it begins anew for a client that has a part of another file.
        most: How many bytes it gives at most to a client that asks it to go on.
        requests: The path and the range of every request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int | None] = field(default_factory=list)
    ranges: bool = True
    tags: bool = True
    dates: bool = False
    heeds: bool = True
    most: int | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""

    def url(self, path):
        return f"{self.address}/{path}"


def _handler(web):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            web.requests.append((self.path, asked))
            content = web.files.get(self.path.lstrip("/"))
            if content is None:
                self.send_error(404)
                return
            tag, date = f'"{hashlib.sha256(content).hexdigest()}"', formatdate(zlib.crc32(content), usegmt=True)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and web.ranges else 0
            if web.heeds and self.headers.get("If-Range", tag) not in (tag, date):
                start = 0
            if start >= len(content) and start:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            end = min(len(content), start + web.most) if start and web.most else len(content)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
            if web.tags:
                self.send_header("ETag", tag)
            if web.dates:
                self.send_header("Last-Modified", date)
            self.send_header("Content-Length", str(end - start))
            self.end_headers()
            cut = web.cuts.pop(0) if web.cuts else None
            self.wfile.write(content[start : end if cut is None else start + cut])

        def log_message(self, *_):
            pass

    return Handler


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client may leave early."""


@contextmanager
def serve():
    """Run a server on this machine; yield its `Web`."""
    web = Web()
    server = _QuietServer(("127.0.0.1", 0), _handler(web))
    web.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
