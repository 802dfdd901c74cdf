"""The page in Chromium, opened from disk: sorted, filtered, opened, compared, sent as an address, and accessible."""

import csv
import re
import shutil
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from toy_board import IMAGES, METHODS, NETWORKS, REPORTED, SEEDS, write_board

from wsolbench.leaderboard.page import Part, render_page
from wsolbench.protocol.uncertainty import interval
from wsolbench.records import read_record
from wsolbench.records.compare import compare

pytestmark = pytest.mark.slow

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
AXE = Path(sys.prefix) / "node_modules" / "axe-core" / "axe.min.js"
INTERVALS = (files("wsolbench.leaderboard") / "templates" / "intervals.js").read_text(encoding="utf-8")
ROWS = '.part[data-slug="birds"] table.rows > tbody > tr'


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    return folder, write_board(folder)


@pytest.fixture
def open_page(browser, board):
    """Return a function that opens the page; nothing may be asked of a network, and nothing may go wrong."""
    contexts, wrong = [], []

    def open_at(address="", **settings):
        contexts.append(browser.new_context(**{"viewport": WIDE, **settings}))
        page = contexts[-1].new_page()
        page.on(
            "request",
            lambda request: (
                wrong.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None
            ),
        )
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((board[0] / "index.html").as_uri() + address)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert wrong == []


def shown(page, slug="birds", kind="rows"):
    """Return the texts of the cells of the visible rows of a table, by the key of their column."""
    return page.evaluate(
        """([slug, kind]) => {
            const table = document.querySelector(`.part[data-slug="${slug}"] table.${kind}`);
            const heads = [...table.tHead.rows[0].cells].map((head) => head.dataset.key ?? "pick");
            return [...table.tBodies[0].rows]
                .filter((tr) => !tr.hidden && !tr.closest("[hidden]") && !tr.classList.contains("detail"))
                .map((tr) => [...tr.cells].map((cell, place) => [heads[place], cell.textContent.trim()]))
                .map(Object.fromEntries);
        }""",
        [slug, kind],
    )


def open_all(page, slug="birds"):
    page.locator(f'.part[data-slug="{slug}"] details.all > summary').click()


def tick(page, name, *values):
    """Choose values of a facet."""
    page.locator(f'[data-facet="{name}"] > summary').click()
    for value in values:
        page.locator(f'[data-facet="{name}"] input[value="{value}"]').check()
    page.keyboard.press("Escape")


def record_at(board, network, method, seed=0):
    return board[0] / "records" / "birds" / f"{network}__{method}__seed{seed}.json"


def row_id(network, method, seed=0):
    return f"birds/{network}__{method}__seed{seed}"


def test_the_first_screen_answers_the_question(open_page):
    page = open_page()
    texts = page.locator("table.summary tbody tr").all_inner_texts()
    assert len(texts) == 2
    for text in texts:
        assert any(network in text for network in NETWORKS)
        assert "others" in text
    assert "93.6" in page.locator(".papers").inner_text()
    assert page.locator("table.summary").bounding_box()["y"] < WIDE["height"] / 2


def test_every_record_is_in_the_page(open_page):
    page = open_page()
    ids = page.locator("table.rows > tbody > tr").evaluate_all("rows => rows.map((tr) => tr.dataset.id)")
    expected = {row_id(*each) for each in ((n, m, s) for n in NETWORKS for m in METHODS for s in SEEDS)}
    assert expected < set(ids)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("kind", ["rows", "networks"])
def test_every_column_sorts_both_ways_and_back(open_page, kind):
    page = open_page(
        "#columns=rank,method,weights,parameters,kernel,family,precision,max_box_acc,max_box_acc_v2,fullsup_box_acc,fullsup_box_acc_v2,top1_loc,top1_acc,pxap"
    )
    open_all(page)
    original = shown(page, kind=kind)
    heads = page.locator(f'.part[data-slug="birds"] table.{kind} thead th[data-key]')
    for place in range(heads.count()):
        head = heads.nth(place)
        key = head.get_attribute("data-key")
        orders = []
        for _ in range(2):
            head.locator("button").click()
            orders.append(head.get_attribute("aria-sort"))
            values = [row[key] for row in shown(page, kind=kind)]
            assert values == in_order(values, orders[-1]), key
        assert sorted(orders) == ["ascending", "descending"]
        head.locator("button").click()
        assert shown(page, kind=kind) == original


def in_order(values, order):
    """Return texts as a literal reference sorts them: numbers by their first number, and what is missing last."""
    missing = [value for value in values if value in ("", "–", "n/a")]
    known = [value for value in values if value not in missing]
    numbers = all(re.match(r"[\d.]+", value) for value in known)
    ordered = sorted(known, key=first_number if numbers else str.casefold, reverse=order == "descending")
    return ordered + missing


def first_number(text):
    return float(re.match(r"[\d.]+", text)[0])


def test_filters_leave_the_rows_that_fit(open_page):
    page = open_page()
    told = page.locator('.part[data-slug="birds"] .all .told')
    assert told.inner_text() == "All 31 rows"
    tick(page, "method", "pc1")
    assert {row["method"] for row in shown(page)} == {"pc1"}
    assert told.inner_text() == "6 of 31 rows"
    assert {row["network"].split("2")[0].strip() for row in shown(page, kind="networks")} == set(NETWORKS)
    tick(page, "family", "SLaK")
    assert {row["network"].split()[0] for row in shown(page)} == {"slak_toy"}
    page.locator("#reset").click()
    page.locator("#search").fill("replknet ddt")
    assert {(row["network"].split()[0], row["method"]) for row in shown(page)} == {("replknet_toy", "ddt")}
    assert page.locator('.part[data-slug="fish"]').is_hidden()
    assert page.locator("#count").inner_text().startswith("2 of ")
    page.locator("#reset").click()
    tick(page, "kind", "baseline")
    assert [row["method"] for row in shown(page)] == ["centred-box"]
    page.locator("#reset").click()
    tick(page, "kind", "reported")
    assert shown(page) == []
    assert [row["network"] for row in shown(page, "reported-cub")] == ["RepLKNet reported"]
    page.locator("#reset").click()
    tick(page, "data", "fish")
    assert page.locator(".part:visible").evaluate_all("parts => parts.map((part) => part.dataset.slug)") == ["fish"]


def test_counts_of_rows_agree_with_their_noun(browser, tmp_path):
    (tmp_path / "index.html").write_bytes(render_page([Part("cub", "CUB", "A paper", [REPORTED], "max_box_acc_v2")]))
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    told = page.locator(".told")
    assert (page.locator("#count").inner_text(), told.inner_text()) == ("1 of 1 row", "1 row")
    page.locator("#search").fill("nothing has this")
    assert page.locator("#count").inner_text() == "0 of 1 row"
    page.close()


def test_single_trainings_are_one_click_away_from_their_mean(open_page):
    page = open_page()
    open_all(page)
    before = shown(page)
    assert len(before) == len(NETWORKS) * len(METHODS) + 1
    page.locator(f"{ROWS}:not([hidden]) button.seeds").first.click()
    assert len(shown(page)) == len(before) + len(SEEDS)


def test_columns_come_and_go(open_page):
    page = open_page()
    open_all(page)
    head = page.locator('.part[data-slug="birds"] table.rows th[data-key="pxap"]')
    assert head.is_hidden()
    page.locator("#columns > summary").click()
    page.locator('#columns input[value="pxap"]').check()
    assert head.is_visible()
    page.locator('#columns input[value="weights"]').uncheck()
    assert page.locator('.part[data-slug="birds"] table.rows th[data-key="weights"]').is_hidden()


def test_a_row_opens_with_scores_curves_provenance_and_command(open_page, board):
    page = open_page(f"#seeds={quote(row_id(NETWORKS[0], 'cam') + '//mean', safe='')}")
    open_all(page)
    page.locator(f'{ROWS}[data-id="{row_id(NETWORKS[0], "cam")}"] button.open').click()
    panel = page.locator(".panel")
    panel.locator("pre").wait_for()
    record = read_record(record_at(board, NETWORKS[0], "cam"))
    low, high = record.intervals.metrics["fullsup_box_acc_v2"]
    assert f"{record.metrics.fullsup_box_acc_v2:.1f} [{low:.1f}, {high:.1f}]" in panel.inner_text()
    assert record.environment.command in panel.locator("pre").inner_text()
    assert "wsolbench train --backbone resnet_toy --seed 0" in panel.locator("pre").inner_text()
    assert record.outcomes_sha256[:16] in panel.inner_text()
    assert panel.locator("svg.chart path").count() == 4
    link = panel.locator("dd a").first.get_attribute("href")
    assert (board[0] / link).is_file()


def test_the_details_of_a_mean_have_every_training(open_page):
    page = open_page(f"#open={quote(row_id(NETWORKS[0], 'cam') + '//mean', safe='')}")
    page.locator(".panel pre").wait_for()
    assert page.locator(".panel svg.chart path").count() == len(SEEDS)
    assert page.locator(".panel pre").inner_text().count("wsolbench train") == len(SEEDS)


def test_details_that_are_not_beside_the_page_are_said_to_be_missing(browser, board, tmp_path):
    shutil.copy(board[0] / "index.html", tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri() + f"#open={quote(row_id(NETWORKS[0], 'cam') + '//mean', safe='')}")
    page.get_by_text("is not beside this page").wait_for()
    page.close()


def test_two_rows_are_compared_as_the_command_compares_them(open_page, board):
    pair = [(NETWORKS[0], "cam"), (NETWORKS[1], "pc1")]
    page = open_page(f"#seeds={','.join(quote(row_id(*each) + '//mean', safe='') for each in pair)}")
    open_all(page)
    for each in pair:
        page.locator(f'{ROWS}[data-id="{row_id(*each)}"] .pick input').check()
    page.locator("#disagreement").wait_for()
    expected = compare(*(read_record(record_at(board, *each)) for each in pair))
    lines = page.locator("#comparison tr[data-metric]")
    found = {}
    for place in range(lines.count()):
        cells = lines.nth(place).locator("td").all_inner_texts()
        found[lines.nth(place).get_attribute("data-metric")] = cells[:4]
    assert set(found) == {"fullsup_box_acc_v2", "fullsup_box_acc", "max_box_acc_v2", "max_box_acc", "top1_loc"}
    for name, cells in found.items():
        of = expected.differences[name]
        ends = f"[{signed(of.low)}, {signed(of.high)}]"
        assert cells == [f"{of.first:.1f}", f"{of.second:.1f}", signed(of.difference), ends], name
    images = expected.discordant
    told = page.locator("#disagreement").inner_text()
    assert f"Of {IMAGES} images" in told
    assert re.findall(r"(?:localizes|pc1) (\d+)", told) == [str(len(images.only_first)), str(len(images.only_second))]
    listed = page.locator("#comparison details ul").first.locator("li").all_text_contents()
    assert listed == list(images.only_first)


def signed(value):
    return f"{'−' if value < 0 else '+'}{abs(value):.1f}"


def test_intervals_of_the_page_are_those_of_the_protocol(open_page):
    page, random = open_page(), np.random.default_rng(0)
    for size, scale in ((1000, 1), (1000, 0), (7, 3), (400, 0.2)):
        resampled = np.rint(random.normal(0.3, scale, size) * 40) / 40
        found = page.evaluate(f"(() => {{ {INTERVALS}\nreturn biasCorrected(0.25, {resampled.tolist()}); }})()")
        assert found == pytest.approx(interval(0.25, resampled), abs=1e-9)


def test_networks_are_ticked_where_they_stand_side_by_side(open_page):
    page = open_page()
    lines = page.locator('.part[data-slug="birds"] table.networks tr[data-kind="measured"]')
    for place in (0, 1):
        lines.nth(place).locator(".pick input").check()
    ids = [lines.nth(place).get_attribute("data-id") for place in (0, 1)]
    page.wait_for_selector("#comparison tr[data-metric]")
    boxes = page.locator("table.rows tr:has(.pick input:checked)")
    ticked = [boxes.nth(place).get_attribute("data-id") for place in range(boxes.count())]
    assert sorted(ticked) == sorted(ids)
    page.locator("#comparison .close").click()
    assert page.locator(".pick input:checked").count() == 0


def test_rows_of_two_tables_are_not_compared(open_page):
    ids = [row_id(NETWORKS[0], "cam") + "//mean", "fish/resnet_toy__cam__seed0"]
    page = open_page(f"#pick={','.join(quote(each, safe='') for each in ids)}")
    assert "their scores do not compare" in page.locator("#comparison").inner_text()


def test_a_view_is_in_its_address(open_page):
    page = open_page()
    open_all(page)
    tick(page, "method", "pc1", "ddt")
    page.locator("#search").fill("toy")
    page.locator('.part[data-slug="birds"] table.rows th[data-key="fullsup_box_acc"] button').click()
    page.locator("#columns > summary").click()
    page.locator('#columns input[value="kernel"]').uncheck()
    page.keyboard.press("Escape")
    page.locator(f"{ROWS}:not([hidden]) button.open").first.click()
    page.locator(f"{ROWS}:not([hidden]) .pick input").nth(0).check()
    page.locator(f"{ROWS}:not([hidden]) .pick input").nth(1).check()
    page.locator("#comparison tr[data-metric]").first.wait_for()
    again = open_page(page.url[page.url.index("#") :])
    again.locator("#comparison tr[data-metric]").first.wait_for()
    again.locator(".panel pre").wait_for()
    for kind in ("rows", "networks"):
        assert shown(again, kind=kind) == shown(page, kind=kind)
    assert again.locator("#comparison").inner_text() == page.locator("#comparison").inner_text()
    assert again.locator("#search").input_value() == "toy"
    assert again.locator('.part[data-slug="birds"] table.rows th[data-key="kernel"]').is_hidden()
    assert (
        again.locator('.part[data-slug="birds"] table.rows th[aria-sort]').get_attribute("data-key")
        == "fullsup_box_acc"
    )


def test_an_address_that_was_cut_or_made_up_breaks_nothing(open_page):
    for address in ("#method=%E0%A4%A", "#open=nobody&pick=nobody,none&rows=-none&columns=x", "#=&&=,", "#t-birds"):
        page = open_page(address)
        assert page.locator("h1").is_visible()
        assert page.locator("#count").inner_text().endswith("rows")


def test_the_keyboard_alone_sorts_opens_and_compares(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    summary = page.locator('.part[data-slug="birds"] details.all > summary')
    summary.focus()
    page.keyboard.press("Enter")
    page.locator('.part[data-slug="birds"] table.rows th[data-key="method"] button').focus()
    page.keyboard.press("Enter")
    assert (
        page.locator('.part[data-slug="birds"] table.rows th[data-key="method"]').get_attribute("aria-sort")
        == "ascending"
    )
    opener = page.locator(f"{ROWS}:not([hidden]) button.open").first
    opener.focus()
    page.keyboard.press("Space")
    assert opener.get_attribute("aria-expanded") == "true"
    for place in (0, 1):
        page.locator(f"{ROWS}:not([hidden]) .pick input").nth(place).focus()
        page.keyboard.press("Space")
    page.locator("#comparison tr[data-metric]").first.wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#comparison").is_hidden()


def test_the_page_has_all_tables_without_scripts(open_page):
    page = open_page(java_script_enabled=False)
    assert page.locator("table.networks").count() == 2
    assert page.locator("table.rows").count() == 3
    assert page.locator("#filters").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_rule_of_accessibility_is_broken(open_page, scheme, viewport):
    if not AXE.is_file():
        pytest.skip(f"axe-core is not installed: npm install --prefix {sys.prefix} axe-core")
    ids = [row_id(NETWORKS[0], method) + "//mean" for method in ("cam", "pc1")]
    quoted = ",".join(quote(each, safe="") for each in ids)
    page = open_page(f"#all=birds,fish&open={quoted}&pick={quoted}", color_scheme=scheme, viewport=viewport)
    page.locator("#comparison tr[data-metric]").first.wait_for()
    page.locator(".panel pre").first.wait_for()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(each["id"], [node["html"][:150] for node in each["nodes"]][:3]) for each in found["violations"]] == []


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_page_is_no_wider_than_the_screen(open_page, viewport):
    page = open_page("#all=birds,fish", viewport=viewport)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_the_visible_table_is_copied_in_every_format(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    tick(page, "method", "cam", "centred-box")
    open_all(page)
    bar = page.locator('.part[data-slug="birds"] .all .bar')
    copied = {}
    for name in ("latex", "markdown", "csv", "bibtex"):
        if not bar.locator("details").get_attribute("open"):
            bar.locator("details").evaluate("menu => menu.open = true")
        bar.locator(f'[data-copy="{name}"]').click()
        copied[name] = page.evaluate("navigator.clipboard.readText()")
    assert r"\toprule" in copied["latex"]
    assert r"resnet\_toy" in copied["latex"]
    assert copied["latex"].count(r"\textbf{") >= 1
    assert copied["latex"].count(r"\underline{") >= 1
    lines = copied["markdown"].splitlines()
    assert len(lines) == 2 + len(NETWORKS) + 1
    assert {line.count(" | ") for line in lines} == {lines[0].count(" | ")}
    rows = list(csv.DictReader(copied["csv"].splitlines()))
    assert {row["Network"] for row in rows} == {*NETWORKS, "no network"}
    assert all(float(row["V2 @fullsup"]) for row in rows)
    assert copied["bibtex"].count("@") == copied["bibtex"].count("@misc{wsolbench,") == 1
    with page.expect_download() as waiting:
        bar.locator("details").evaluate("menu => menu.open = true")
        bar.locator('[data-download="csv"]').click()
    assert waiting.value.suggested_filename == "birds.csv"
    assert Path(waiting.value.path()).read_text(encoding="utf-8") == copied["csv"]


def test_the_papers_of_reported_rows_are_cited(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    bar = page.locator('.part[data-slug="reported-cub"] .bar')
    bar.locator("summary").click()
    bar.locator('[data-copy="bibtex"]').click()
    assert re.findall(r"@misc\{(\w+)", page.evaluate("navigator.clipboard.readText()")) == ["wsolbench", "somebody"]


def test_two_thousand_rows_are_shown_soon(browser, tmp_path):
    """About 0.5 s to the first paint on one busy core; the limit is what no machine should exceed."""
    first = replace(
        REPORTED, kind="measured", source=None, printed={}, images=200, intervals={"max_box_acc_v2": (70.0, 90.0)}
    )
    rows = [replace(first, id=f"birds/{number}", network=f"net_{number}") for number in range(2000)]
    content = render_page([Part("birds", "birds", "birds, test", rows, "max_box_acc_v2")])
    assert len(content) < 3 * 10**6
    (tmp_path / "index.html").write_bytes(content)
    page = browser.new_page(viewport=WIDE)
    page.goto((tmp_path / "index.html").as_uri())
    assert page.locator("table.rows > tbody > tr").count() == 2000
    (painted,) = page.evaluate("performance.getEntriesByName('first-contentful-paint').map((each) => each.startTime)")
    page.close()
    assert painted < 5000


def test_print_has_the_tables_and_no_controls(open_page):
    page = open_page()
    page.emulate_media(media="print")
    assert page.locator("table.networks").first.is_visible()
    assert page.locator("#filters").is_hidden()
