"""A whole leaderboard of records that hold hostile texts wherever a text can stand, read back by a parser a format.

Reading a record refuses some of these texts. Here they come past that, so that every format has to hold alone.
"""

import csv
import json
import re
from collections import Counter
from html.parser import HTMLParser
from importlib import import_module
from xml.etree import ElementTree

import pytest
from hostile import HOSTILE
from markdown_it import MarkdownIt
from pydantic import BaseModel
from toy_networks import trained_record
from toy_records import make_outcomes

from wsolbench.escaping import terminal_text, visible
from wsolbench.leaderboard import build
from wsolbench.leaderboard.entries import Entry
from wsolbench.records import TrainingInfo, WeightsInfo

TEXTS = [text.replace("\ud800", "") for text in HOSTILE if text.strip()]  # which no file can hold
PLAIN = [f"ordinary{number}" for number in range(len(TEXTS))]
CHOICES = {"split", "source", "precision", "target", "scored", "kind"}
"""Fields whose values are words of ours, checked when a record is read, as the name of a data set is."""
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


def poisoned(value, text, field=""):
    """Return a part of a record in which every text of others is a hostile one; nothing checks it."""
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        return value.model_copy(update={name: poisoned(getattr(value, name), text, name) for name in names})
    if isinstance(value, str):
        return value if field in CHOICES or field.endswith("sha256") else text
    if isinstance(value, dict) and (not value or all(isinstance(item, str) for item in value.values())):
        return {text: text}
    return value


def record_of(text, seed, image_ids):
    """Return a record in which a text stands in every place of others, its data set's name excepted."""
    record = trained_record("toy", test=make_outcomes(image_ids=image_ids, shift=seed % 9))
    start = WeightsInfo(source="random", file=None, sha256=None)
    training = TrainingInfo(
        **{
            "dataset": "birds",
            "recipe": "a",
            "recipe_options": {},
            "seed": seed,
            "initial_weights": start,
            "command": "b",
        }
    )
    weights = record.backbone.weights.model_copy(update={"training": training, "key": "c", "sha256": f"{seed:064x}"})
    backbone = record.backbone.model_copy(update={"weights": weights, "tap": "d", "family": "e"})
    parts = {
        "backbone": poisoned(backbone, text).model_copy(update={"parameters": 10**6 + seed}),
        "method": poisoned(record.method, text),
        "dataset": poisoned(record.dataset, text).model_copy(
            update={"name": "birds", "split_sizes": record.dataset.split_sizes, "omitted": {}, "remarks": {}}
        ),
        "environment": poisoned(record.environment, text),
        "missing": dict.fromkeys(record.missing, text),
        "config": {"metadata_root": text, "data_root": text, text: text},
    }
    return record.model_copy(update=parts)


def built(folder, texts):
    """Build a leaderboard whose records hold texts; of the first one there are two trainings, and so a mean."""
    (folder / "records").mkdir(parents=True)
    image_ids = tuple(texts[:8])
    records = [record_of(text, seed, image_ids) for seed, text in enumerate([texts[0], *texts])]
    entries = [Entry(f"{folder.name}/{seed}.json", f"{seed:02x}" * 32, record) for seed, record in enumerate(records)]
    module = import_module("wsolbench.leaderboard.build")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_all", lambda *_: (entries, []))
        build(folder)
    return folder


@pytest.fixture(scope="module")
def boards(tmp_path_factory):
    """The same leaderboard with hostile and with ordinary texts."""
    folder = tmp_path_factory.mktemp("boards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsolbench.leaderboard.drawing.draw_board", lambda *_: (each for each in ()))
        return built(folder / "hostile", TEXTS), built(folder / "plain", PLAIN)


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.places, self.handlers, self.data, self.scripts = Counter(), set(), Counter(), [], []
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.inside = tag if tag in ("script", "style") else None
        self.places |= {value for name, value in attributes if name in ("href", "src", "action", "formaction")}
        self.handlers += Counter(name for name, _ in attributes if name.startswith("on"))
        if tag == "script":
            self.scripts.append((dict(attributes).get("type"), ""))

    def handle_endtag(self, tag):
        self.inside = None if tag == self.inside else self.inside

    def handle_data(self, data):
        if self.inside == "script":
            kind, before = self.scripts[-1]
            self.scripts[-1] = kind, before + data
        elif self.inside is None:
            self.data.append(data)


def shows_all(text, spaces=re.compile(r"\s+")):
    """Return which hostile texts a text does not show, however spaces stand in it."""
    shown = spaces.sub(" ", text)
    return [each for each in TEXTS if spaces.sub(" ", visible(each)).strip() not in shown]


def test_the_page_has_the_elements_of_an_ordinary_one_and_shows_every_text(boards):
    hostile, plain = (Page((board / "index.html").read_text()) for board in boards)
    assert hostile.tags == plain.tags
    assert hostile.handlers == plain.handlers
    allowed = re.compile(r"(figures|details|records)/[^:]*|#[^:]*|[A-Za-z0-9_.-]+|https://[a-z0-9.-]+/[^?]*")
    assert [place for place in hostile.places if not allowed.fullmatch(place or "")] == []
    assert not [place for place in hostile.places if "evil" in place or "tracker" in place]
    assert shows_all("".join(hostile.data)) == []
    (data,) = [content for kind, content in hostile.scripts if kind == "application/json"]
    assert "<" not in data
    json.loads(data)
    code = [content for kind, content in hostile.scripts if kind != "application/json"]
    assert code == [content for kind, content in plain.scripts if kind != "application/json"]


def test_markdown_has_the_structure_of_an_ordinary_page(boards):
    def kinds(board):
        tokens = [each for token in MARKDOWN.parse((board / "README.md").read_text()) for each in tokens_of(token)]
        html = "".join(token.content for token in tokens if token.type.startswith("html"))
        places = sorted(value for token in tokens for name, value in token.attrItems() if name in ("href", "src"))
        return (
            Counter(token.type for token in tokens if token.type not in ("text", "softbreak")),
            Page(html).tags,
            places,
        )

    def tokens_of(token):
        return [token, *(token.children or ())]

    assert kinds(boards[0]) == kinds(boards[1])


def test_csv_has_a_row_each_and_no_formula(boards):
    with (boards[0] / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(TEXTS) + 2
    assert not [row for row in rows if None in row or None in row.values()]
    cells = [cell for row in rows for cell in row.values() if cell.lstrip()[:1] in tuple("=+-@＝")]
    assert [cell for cell in cells if not re.fullmatch(r"-?[0-9.e-]+", cell)] == []
    assert {"'=cmd|'/C calc'!A0", "'+1+1", "'-1", "'@SUM(1)"} <= {row["method"].split(" (")[0] for row in rows}


def test_json_has_the_texts_as_they_are(boards):
    content = json.loads((boards[0] / "leaderboard.json").read_text())
    methods = {row["method"] for row in content["tables"][0]["rows"]}
    assert all(any(text in method for method in methods) for text in TEXTS)


def test_scripts_of_rows_are_calls_with_json(boards):
    scripts = list((boards[0] / "details").iterdir())
    assert len(scripts) == len(TEXTS) + 2
    for script in scripts:
        name, content = json.loads(f"[{re.fullmatch(r'wsolbenchDetail[(](.*)[)];', script.read_text().strip())[1]}]")
        assert name == script.stem
        assert content


def test_latex_has_the_commands_and_cells_of_an_ordinary_table(boards):
    def structure(board):
        text = (board / "birds.tex").read_text()
        return Counter(len(re.findall(r"(?<!\\)&", line)) for line in text.splitlines())

    words = "[a-z]*rule|begin|end|multicolumn|linewidth|footnotesize|underline|text[a-z]+|ensuremath|dag|S|ddag|pm|par"
    known = rf"\\(?:{words})(?![a-zA-Z])" + r"|\\[\\&%$#_{}^,;~]"
    assert structure(boards[0]) == structure(boards[1])
    for line in (boards[0] / "birds.tex").read_text().splitlines():
        if not line.startswith("%"):
            assert re.sub(known, "", line).count("\\") == 0, line


def test_no_output_has_a_character_that_nobody_sees(boards):
    files = [path for path in boards[0].rglob("*") if path.is_file() and path.suffix != ".png"]
    assert {path.suffix for path in files} >= {".html", ".md", ".csv", ".json", ".tex", ".js"}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert terminal_text(text) == text, path


def test_the_terminal_shows_texts_in_lines_that_nothing_in_them_begins(boards, cli, tmp_path):
    hostile, plain = boards
    for board, copy in ((hostile, "hostile"), (plain, "plain")):
        (tmp_path / copy).mkdir()
        (tmp_path / copy / "leaderboard.json").write_bytes((board / "leaderboard.json").read_bytes())
    done = cli("leaderboard", "diff", tmp_path / "plain", "--folder", tmp_path / "hostile")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 4 + 2 * (len(TEXTS) + 2)
    assert {line.split()[0] for line in lines[4:]} == {"new", "gone"}


@pytest.mark.slow
def test_figures_are_xml_that_shows_texts_and_runs_nothing(tmp_path):
    drawings = list((built(tmp_path / "board", TEXTS) / "figures").glob("*.svg"))
    assert drawings
    for path in drawings:
        root = ElementTree.fromstring(path.read_bytes())
        tags = {node.tag.rpartition("}")[2] for node in root.iter()}
        assert not tags & {"script", "foreignObject", "a", "iframe", "image"} - {"image"}, path
        attributes = [(name.rpartition("}")[2], value) for node in root.iter() for name, value in node.attrib.items()]
        assert not [name for name, _ in attributes if name.startswith("on")]
        places = [value for name, value in attributes if name == "href"]
        assert all(value.startswith(("#", "data:image/png")) for value in places)
