"""The report: a section for every analysis, and what cannot be done is a line of the page."""

import warnings
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from toy_records import ENVIRONMENT, make_backbone
from toy_tokens import ToyTokens
from toys import ToyDataset

import wsolbench
from wsolbench.analysis.catalogue import list_studies
from wsolbench.analysis.page import render_page
from wsolbench.analysis.stored import AnalyzedNetwork, AnalyzedRecord, StoredAnalysis, read_analysis
from wsolbench.analysis.studies.report import Study
from wsolbench.analysis.study import Part
from wsolbench.contract import InputConfig, Split
from wsolbench.errors import UnknownNameError, UsageError, WeightsError
from wsolbench.testing.toys import ToyNetwork

HOSTILE = "<script>alert(1)</script>\u202e\"'&{{ 7 * 7 }}"
PARTS = [name for name in list_studies() if name != "report"]


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data.strip())
        if self.tags and self.tags[-1][0] == "a" and len(self.links) < len(self.of("a")):
            self.links.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@dataclass
class Made:
    folder: object
    table: object
    page: Page


@pytest.fixture(scope="module")
def made(tmp_path_factory, compiled_sweep):  # noqa: ARG001
    """A report of a network with a linear head and of one without."""
    folder = tmp_path_factory.mktemp("report") / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # maps without any weight of a kind
        table = wsolbench.analyze(
            "report",
            [ToyNetwork(3, 2).eval(), ToyTokens(2).eval()],
            ToyDataset({Split.TEST: 2, Split.TRAIN_FULLSUP: 2}),
            input=InputConfig(32),
            random=False,
            images=2,
            out=folder,
        )
    return Made(folder, table, Page((folder / "report.html").read_text(encoding="utf-8")))


@pytest.mark.slow
def test_every_analysis_is_a_section(made):
    assert [section["id"] for section in made.page.of("section")] == PARTS == made.table["analysis"].tolist()
    titles = list_studies()
    for name in PARTS:
        stored = made.folder / name / f"{name}.json"
        assert not stored.exists() or read_analysis(stored).shows in made.page.texts
        assert titles[name] in made.page.texts


@pytest.mark.slow
def test_pictures_and_links_are_files_beside_the_page(made):
    pictures = made.page.of("img")
    assert {each["src"] for each in pictures} == {
        str(path.relative_to(made.folder)) for path in made.folder.glob("*/*.png")
    }
    assert all(len(each["alt"]) > 20 for each in pictures)
    links = [each["href"] for each in made.page.of("a") if not each["href"].startswith("#")]
    assert links
    assert [link for link in links if not (made.folder / link).is_file()] == []


@pytest.mark.slow
def test_what_is_not_possible_is_a_line(made):
    lines = [text for text in made.page.texts if "has no linear head on its feature maps" in text]
    assert lines
    weights = made.table.set_index("analysis").loc["weights"]
    assert weights["networks"] == 1
    assert "has no linear head" in weights["not possible"]
    assert any("reads records" in text for text in made.page.texts)


@pytest.mark.slow
def test_settings_for_a_first_look_are_stated(made):
    assert read_analysis(made.folder / "erf" / "erf.json").options == {"size": 256}
    assert any("A first look, with size 256;" in text for text in made.page.texts)


@pytest.mark.slow
def test_the_page_needs_nothing_from_elsewhere(made):
    assert not made.page.of("script") + made.page.of("link") + made.page.of("iframe")
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in made.page.of("meta")
    assert any("prefers-color-scheme: dark" in text for text in made.page.texts)
    assert files("wsolbench.analysis").joinpath("templates/report.html.jinja").is_file()


def test_hostile_names_are_plain_text():
    stored = StoredAnalysis(
        analysis="noise",
        options={"size": HOSTILE},
        environment=ENVIRONMENT,
        config={},
        shows=HOSTILE,
        cannot_say=HOSTILE,
        terms={HOSTILE: HOSTILE, "value": "what it is."},
        table=[{HOSTILE: HOSTILE, "value": 0.123456}],
        files=["noise.png", "noise.csv"],
    )
    text = render_page([Part("noise", HOSTILE, stored, [(HOSTILE, HOSTILE)])], HOSTILE, HOSTILE)
    page = Page(text)
    assert not page.of("script")
    assert "\u202e" not in text
    assert "{{ 7 * 7 }}" in text
    assert page.of("img")[0]["alt"].startswith("Figure of noise. <script>alert(1)</script>\\u202e")
    assert "0.1235" in page.texts
    assert "what it is." in page.texts


def test_tables_and_pictures_are_read_aloud_in_a_sensible_way():
    network = AnalyzedNetwork(label="net (64 px)", backbone=make_backbone())
    stored = StoredAnalysis(
        analysis="erf",
        options={},
        environment=ENVIRONMENT,
        config={},
        networks=[network, network.model_copy(update={"label": "net (64 px) (random)"})],
        records=[AnalyzedRecord(label="net, cam", outcomes_sha256="a")],
        shows="It shows something.",
        cannot_say=".",
        table=[{"network": "net", "kind": None, "value": 0.5}, {"network": "other", "kind": "b", "value": None}],
        files=["erf.png", "erf.svg", "erf-curve.png", "erf-curve.svg", "erf-curve.csv", "erf-map.png", "erf-map.svg"],
    )
    page = Page(render_page([Part("erf", "Title.", stored)], "wsolbench", "."))
    assert [each["alt"] for each in page.of("img")] == [
        "Figure of erf. It shows something.",
        "Figure of erf: curve. Its numbers are in erf-curve.csv.",
        "Figure of erf: map.",
    ]
    assert page.of("th") == [
        {"scope": "col", "class": "text"}, {"scope": "col", "class": "text"}, {"scope": "col"},
        {"scope": "row"}, {"scope": "row"},
    ]  # fmt: skip
    assert page.of("td") == [{"class": "text"}, {}] * 2
    assert {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": "Table of erf"} in page.of("div")
    links = {(each["href"], text) for each, text in zip(page.of("a"), page.links, strict=True)}
    assert len(links) == len({href for href, _ in links}) == len({text for _, text in links})  # no two read alike
    assert page.texts.count(f"Analyses of {network.backbone.name}") == 2  # title and heading; its random twin is none
    assert "net, cam" in page.texts


def test_only_some(tmp_path):
    options = {"random": False, "images": 2, "input": InputConfig(32)}
    data = ToyDataset({Split.TEST: 2})
    with pytest.raises(UnknownNameError, match="Did you mean 'noise'"):
        wsolbench.analyze("report", ToyNetwork(), data, options={"only": ("noize",)}, out=tmp_path / "out", **options)
    only = {"only": ("weights",)}
    with pytest.raises(UsageError, match=r"no analysis could be carried out; weights: .* has no linear head"):
        wsolbench.analyze("report", ToyTokens(2).eval(), data, options=only, out=tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []
    assert Study(only=("weights", "noise")).choose(PARTS) == ["noise", "weights"]
    assert Study().choose(PARTS) == PARTS
    with pytest.raises(WeightsError, match="does not exist"):
        wsolbench.analyze("report", "resnet_nano", weights="absent", images=2, out=tmp_path / "out")
    with pytest.raises(UsageError, match="writes files"):
        wsolbench.analyze("report", ToyNetwork(), data, **options)
    with pytest.raises(UsageError, match="needs networks or records"):
        wsolbench.analyze("report", dataset=data, out=tmp_path / "other")
