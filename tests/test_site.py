"""The documentation site, built strictly: its pages, links, search, and what a browser asks for."""

import json
import re
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from wsolbench.cli.commands import command
from wsolbench.host.loading import load_plugins

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
HERE = "https://wsolbench.github.io/wsolbench/"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it: a warning is an error."""
    for package in "mkdocs", "material", "mkdocstrings_handlers.python":
        pytest.importorskip(package, reason="the site is built with wsolbench[docs]")
    folder = tmp_path_factory.mktemp("built") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return folder


class Reader(HTMLParser):
    """What a page links to, what it loads, and which anchors it has."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.anchors, self.text = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(found["href"])
        if tag in ("script", "img", "source", "iframe") and found.get("src"):
            self.loads.append(found["src"])

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def pages(site):
    """Path below the site -> what is on the page."""
    return {
        path.relative_to(site).as_posix(): Reader(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
    }


def place(page, link):
    """Return path and anchor of a link of a page; None for other sites."""
    parts = urlsplit(urljoin(f"{HERE}{page}", link))
    address = parts._replace(query="", fragment="").geturl()
    if parts.scheme not in ("http", "https") or not address.startswith(HERE):
        return None
    path = unquote(address.removeprefix(HERE))
    return (f"{path}index.html" if path == "" or path.endswith("/") else path), unquote(parts.fragment)


def test_every_link_of_the_site_leads_somewhere(site, pages):
    broken = []
    for page, content in pages.items():
        if page.startswith("board/"):
            continue  # its links are made by its scripts, which have tests of their own
        for target in filter(None, (place(page, link) for link in (*content.links, *content.loads))):
            path, anchor = target
            if not (site / path).is_file():
                broken.append((page, path))
            elif anchor and path in pages and anchor not in pages[path].anchors and not anchor.startswith("__"):
                broken.append((page, f"{path}#{anchor}"))
    assert broken == []


def test_links_to_the_repository_name_what_is_there(pages):
    base = "https://github.com/wsolbench/wsolbench/"
    named = {link for content in pages.values() for link in content.links if link.startswith(base)}
    parts = [link.removeprefix(base).partition("#")[0].split("/", 2) for link in sorted(named)]
    files = [unquote(each[2]) for each in parts if each[0] in ("blob", "tree")]
    assert files
    assert [path for path in files if not (ROOT / path).exists()] == []


def test_what_github_reads_as_lists_and_code_is_read_so_here(site, pages):
    """Code inside list items is indented by two or three columns, where Python's Markdown wants four."""
    unread = [page for page, content in pages.items() if "```" in "".join(content.text)]
    assert unread == []
    plugins = (site / "plugins/index.html").read_text(encoding="utf-8")
    assert re.search(r"<li>(?:(?!</li>).)*highlight(?:(?!</li>).)*targets", plugins, re.DOTALL)


def test_nothing_is_loaded_from_elsewhere(pages):
    for page, content in pages.items():
        assert [load for load in content.loads if urlsplit(load).netloc] == [], page


def test_the_reference_has_everything_that_is_registered(pages):
    text = " ".join(pages["reference/registry/index.html"].text)
    ours = [
        offer.name
        for catalogue in load_plugins().catalogues
        for offer in catalogue
        if offer.provider.distribution == "wsolbench"
    ]
    assert len(ours) > 100
    assert [name for name in ours if name not in text] == []


def test_the_reference_has_every_option(pages):
    page = pages["reference/commands/index.html"]
    run = command.get_command(command.context_class(command), "run")
    options = [name for parameter in run.params for name in parameter.opts if name.startswith("--")]
    assert len(options) > 30
    text = " ".join(page.text)
    assert [name for name in options if name not in text] == []
    assert {"run", "leaderboard-check", "analyze-erf"} <= page.anchors


def test_the_reference_has_the_fields_of_a_record(pages):
    schema = json.loads((ROOT / "wsolbench/records/record.schema.json").read_text())
    text = " ".join(pages["reference/records/index.html"].text)
    assert [name for name in schema["properties"] if name not in text] == []


def test_search_knows_the_words_of_the_field(site):
    index = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))
    for word, page in (
        ("train-fullsup", "guides/protocol/"),
        ("attention-rollout", "methods/"),
        ("BackboneSpec", "reference/"),
    ):
        found = {entry["location"] for entry in index["docs"] if word in entry["title"] or word in entry["text"]}
        assert any(location.startswith(page) for location in found), word


@pytest.fixture
def address(site):
    """The address of the site on this machine."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=site)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize(("width", "colours"), [(1280, "light"), (390, "dark")])
def test_a_browser_asks_nobody_else_and_no_page_is_too_wide(browser, address, width, colours):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=colours)
    page, asked, wrong = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for path in (
        "",
        "start/read-a-result/",
        "guides/footguns/",
        "reference/commands/",
        "reference/registry/",
        "methods/",
    ):
        page.goto(address + path, wait_until="networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    if width > 1000:
        page.get_by_role("textbox", name="Search").fill("percentile")
        page.wait_for_selector(".md-search-result__item")
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert wrong == []
    context.close()


def test_dark_colours_follow_the_system(browser, address):
    seen = {}
    for colours in "light", "dark":
        context = browser.new_context(color_scheme=colours)
        page = context.new_page()
        page.goto(address, wait_until="networkidle")
        seen[colours] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        context.close()
    assert seen["light"] == "rgb(255, 255, 255)"
    assert seen["dark"] != seen["light"]
