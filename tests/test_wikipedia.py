"""The Wikipedia samples against a wiki on this machine: our own pages, in the shape that the MediaWiki API gives."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from nbclient import NotebookClient

from rag_core.config import LimitsConfig
from rag_core.loading import load_document
from sample_files.wikipedia import Article, Wiki, WikipediaError, build_samples
from sample_files.wikipedia_text import file_name, navigation_titles, page_text

NOTEBOOK = Path(__file__).parent.parent / "sample_files" / "wikipedia_samples.ipynb"
BOX = "Template:Loans"
HAIRCUT = """
<div class="mw-parser-output"><div class="shortdescription" style="display:none">Short</div>
<div role="note" class="hatnote">For the style of hair, see elsewhere.</div>
<table class="infobox"><tr><th>Infobox</th><td>left out</td></tr></table>
<style data-mw-deduplicate="x">.a{color:red}</style>
<figure typeof="mw:File/Thumb"><a href="/x"><img src="http://127.0.0.1:9/x.png"></a><figcaption>A picture</figcaption></figure>
<p>A <b>haircut</b> is the part of a value that a <a href="/wiki/Lender" title="Lender">lender</a> does not
count.<sup class="reference"><a href="#n1">[1]</a></sup> It is
<span class="mwe-math-element"><span style="display: none;"><math alttext="{\\displaystyle 1-L/V}"><mi>h</mi></math></span>
<img alt="x"></span> of the value.</p>
<div class="mw-heading mw-heading2"><h2 id="Sizes">Sizes</h2><span class="mw-editsection">[edit]</span></div>
<table class="wikitable"><tr><th>Kind</th><th>Haircut</th></tr><tr><td>Government bond</td><td>2%</td></tr>
<tr><td>Share</td><td>25%</td></tr></table>
<div class="mw-heading mw-heading3"><h3>In a crisis</h3></div><ul><li>They rise.</li><li>Loans are called.</li></ul>
<div class="mw-heading mw-heading2"><h2>See also</h2></div><ul><li>Margin</li></ul>
<div class="mw-heading mw-heading2"><h2>References</h2></div><div class="reflist"><ol><li>A book</li></ol></div>
<div class="navbox"><a href="/wiki/Margin" title="Margin">Margin</a></div></div>
"""


def link(title: str, **attributes: str) -> str:
    more = "".join(f' {name.strip("_")}="{value}"' for name, value in attributes.items())
    return f'<li><a href="/wiki/{title}" title="{title}"{more}>{title}</a></li>'


@dataclass
class FakeWiki:
    """Serves pages as `api.php` does (format version 2); `failures` come first, one for each request."""

    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    boxes: dict[str, dict[str, Any]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    failures: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    batch: int = 50
    url: str = ""

    def add(self, title: str, page_id: int, text: str, **more: Any) -> None:
        self.pages[title] = {"id": page_id, "text": text, "more": more}

    def add_box(self, title: str, html: str, *, missing: tuple[str, ...] = (), other: tuple[str, ...] = ()) -> None:
        names = [name for name in navigation_titles(html) if name not in missing and name not in other]
        links: list[dict[str, Any]] = [{"ns": 0, "title": name, "exists": True} for name in names]
        links += [{"ns": 0, "title": name, "exists": False} for name in missing]
        links += [{"ns": 10, "title": name, "exists": True} for name in other]
        self.boxes[title] = {"title": title, "pageid": 1, "text": html, "links": links}

    def answer(self, query: dict[str, str]) -> Any:
        if query["action"] == "query":
            return self._query(query)
        if "oldid" in query:
            for title, page in self.pages.items():
                if str(page["id"] * 1000) == query["oldid"]:
                    return {
                        "parse": {
                            "title": title,
                            "pageid": page["id"],
                            "revid": page["id"] * 1000,
                            "text": page["text"],
                        }
                    }
            return {"error": {"code": "nosuchrevid", "info": "There is no revision with that ID."}}
        if query["page"] in self.boxes:
            return {"parse": self.boxes[query["page"]]}
        return {"error": {"code": "missingtitle", "info": "The page you specified doesn't exist."}}

    def _query(self, query: dict[str, str]) -> Any:
        titles = query["titles"].split("|")
        assert len(titles) <= 50
        start = int(query.get("rvcontinue", 0))
        pages = []
        for number, title in enumerate(dict.fromkeys(self.redirects.get(title, title) for title in titles)):
            page = self.pages.get(title)
            if page is None:
                pages.append({"ns": 0, "title": title, "missing": True})
                continue
            url = f"{self.url}/wiki/{title.replace(' ', '_')}"
            entry = {"pageid": page["id"], "ns": 0, "title": title, "canonicalurl": url, **page["more"]}
            if start <= number < start + self.batch:
                entry["revisions"] = [{"revid": page["id"] * 1000, "parentid": 0, "timestamp": "2024-05-06T07:08:09Z"}]
            pages.append(entry)
        moved = [{"from": title, "to": self.redirects[title]} for title in titles if title in self.redirects]
        answer: dict[str, Any] = {"query": {"redirects": moved, "pages": pages}}
        if start + self.batch < len(pages):
            answer["continue"] = {"rvcontinue": str(start + self.batch), "continue": "||"}
        return answer


@contextmanager
def served(wiki: FakeWiki) -> Iterator[FakeWiki]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(place.query).items()}
            wiki.requests.append(query)
            wiki.agents.append(self.headers["User-Agent"])
            status, headers, answer = wiki.failures.pop(0) if wiki.failures else (200, {}, wiki.answer(query))
            if status == 301:
                headers = {"Location": f"/api.php?{place.query}"}
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    wiki.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield wiki
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def wiki() -> Iterator[FakeWiki]:
    fake = FakeWiki(redirects={"Cut of hair value": "Haircut (finance)"})
    fake.add("Haircut (finance)", 11, HAIRCUT)
    fake.add("Margin", 12, "<p>Margin is the money that a broker asks for.</p>")
    fake.add("Spread", 13, "<p>Spread may mean: the bid and ask spread.</p>", pageprops={"disambiguation": ""})
    fake.add("Empty", 14, '<div class="hatnote">Nothing else.</div>')
    box = "".join(map(link, ("Haircut (finance)", "Cut of hair value", "Margin", "Spread", "Empty", "Gone", "Margin")))
    fake.add_box(
        BOX,
        f'<div class="navbox"><div class="navbar">{link("Template:Loans")}</div><ul>{box}{link("Red", class_="new")}'
        f"{link('Category:Loans')}</ul></div><p>{link('Outside')}</p>",
        other=("Template:Loans", "Category:Loans"),
    )
    with served(fake) as running:
        yield running


@dataclass
class Time:
    """A clock that only `sleep` moves."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def client(fake: FakeWiki, folder: Path, time: Time | None = None, **more: Any) -> Wiki:
    time = time or Time()
    settings: dict[str, Any] = {"sleep": time.sleep, "clock": time.clock, **more}
    return Wiki(folder / "cache", "tests@example.org", api=f"{fake.url}/w/api.php", **settings)


# What a run writes ----------------------------------------------------------------------------------------------------


def test_a_run_writes_texts_with_their_attribution(wiki: FakeWiki, tmp_path: Path) -> None:
    with client(wiki, tmp_path) as api:
        samples = build_samples(api, tmp_path / "out", [BOX, "Template:None"])
    assert [path.name for path in samples.files] == ["Haircut_finance.txt", "Margin.txt"]
    assert samples.skipped == {
        "Template:None": "there is no such box, or it links to no article",
        "Cut of hair value": "the same article as Haircut (finance)",
        "Spread": "it only tells pages of one name apart",
        "Empty": "no text",
        "Gone": "there is no such page",
    }
    beside = json.loads((tmp_path / "out" / "Haircut_finance.attribution.json").read_text())
    assert beside["title"] == "Haircut (finance)"
    assert beside["url"] == f"{wiki.url}/wiki/Haircut_(finance)?oldid=11000"
    assert (beside["revision"], beside["date"]) == (11000, "2024-05-06T07:08:09Z")
    assert beside["licence"] == {"name": "CC BY-SA 4.0", "url": "https://creativecommons.org/licenses/by-sa/4.0/"}
    assert "plain text" in beside["changes"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "Haircut_finance.attribution.json",
        "Haircut_finance.txt",
        "Margin.attribution.json",
        "Margin.txt",
    ]


def test_a_page_becomes_clean_text_that_our_loader_reads(tmp_path: Path) -> None:
    text = page_text("Haircut (finance)", HAIRCUT)
    assert text == (
        "Haircut (finance)\n=================\n\nA haircut is the part of a value that a lender does not count. It is 1-L/V "
        "of the value.\n\nSizes\n=====\n\nKind | Haircut\nGovernment bond | 2%\nShare | 25%\n\nIn a crisis\n-----------\n\n"
        "- They rise.\n- Loans are called.\n"
    )
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    document = load_document(tmp_path / "a.txt", LimitsConfig())
    found = [(heading.level, heading.title) for heading in document.headings]
    assert found == [(1, "Haircut (finance)"), (1, "Sizes"), (2, "In a crisis")]


def test_a_second_run_fetches_and_changes_nothing(wiki: FakeWiki, tmp_path: Path) -> None:
    with client(wiki, tmp_path) as api:
        first = build_samples(api, tmp_path / "out", [BOX])
    count = len(wiki.requests)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    time = Time()
    with client(wiki, tmp_path, time) as api:
        assert build_samples(api, tmp_path / "out", [BOX]) == first
    assert len(wiki.requests) == count
    assert time.slept == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_a_run_stops_at_the_most_that_was_asked_for(wiki: FakeWiki, tmp_path: Path) -> None:
    with client(wiki, tmp_path) as api:
        assert len(build_samples(api, tmp_path / "out", [BOX], most=1).files) == 1
    assert sum("oldid" in query for query in wiki.requests) == 1


def test_many_titles_are_looked_up_in_batches_and_parts(wiki: FakeWiki, tmp_path: Path) -> None:
    titles = [f"Page {number}" for number in range(120)]
    for number, title in enumerate(titles):
        wiki.add(title, 100 + number, "<p>Words.</p>")
    wiki.batch = 30
    with client(wiki, tmp_path) as api:
        found = api.look_up(titles)
    assert all(isinstance(found[title], Article) for title in titles)
    assert [found[title].page_id for title in titles] == list(range(100, 220))  # type: ignore[union-attr]
    assert len(wiki.requests) == 5


# Names ----------------------------------------------------------------------------------------------------------------

HOSTILE = {
    "../../x": "x",
    "..": "page_",
    "/etc/passwd": "etc_passwd",
    'a\\b:c*d?e"f<g>h|i': "a_b_c_d_e_f_g_h_i",
    "CON": "page_CON",
    "lpt1": "page_lpt1",
    ".hidden": "hidden",
    "a\u202egnp.exe": "a_gnp_exe",
    "nul\x00byte\n": "nul_byte",
    "Zürich-Börse (SIX)": "Zürich-Börse_SIX",
    "株" * 300: "株" * 50,
    "": "page_",
}


@pytest.mark.parametrize("title", HOSTILE)
def test_names_of_files_are_safe(title: str) -> None:
    name = file_name(title)
    assert name == HOSTILE[title]
    assert len(f"{name}_12345678.attribution.json".encode()) <= 255


def test_hostile_titles_stay_in_the_folder_and_do_not_overwrite_each_other(wiki: FakeWiki, tmp_path: Path) -> None:
    titles = ["../../x", "x", "X", "..", "con"]
    for number, title in enumerate(titles):
        wiki.add(title, 50 + number, f"<p>Text of page {number}.</p>")
    wiki.add_box("Template:Bad", f'<div class="navbox"><ul>{"".join(map(link, titles))}</ul></div>')
    out = tmp_path / "deep" / "er" / "out"
    with client(wiki, tmp_path) as api:
        samples = build_samples(api, out, ["Template:Bad"])
    assert [path.name for path in samples.files] == ["x.txt", "x_51.txt", "X_52.txt", "page_.txt", "page_con.txt"]
    assert [path.read_text().splitlines()[-1] for path in samples.files] == [f"Text of page {n}." for n in range(5)]
    written = {path for path in tmp_path.rglob("*") if path.is_file() and "cache" not in path.parts}
    assert all(path.parent == out for path in written)


# Manners --------------------------------------------------------------------------------------------------------------


def test_requests_say_who_asks_and_keep_their_distance(wiki: FakeWiki, tmp_path: Path) -> None:
    time = Time()
    with client(wiki, tmp_path, time, pause_seconds=2.0) as api:
        build_samples(api, tmp_path / "out", [BOX])
    assert len(wiki.requests) >= 5
    assert time.slept == [0.0] + [2.0] * (len(wiki.requests) - 1)
    assert all("tests@example.org" in agent and agent.startswith("RagOptimizeSamples/") for agent in wiki.agents)
    assert all(query["maxlag"] == "5" and query["formatversion"] == "2" for query in wiki.requests)


@pytest.mark.parametrize("contact", ["", "  ", "a\nb"])
def test_nobody_calls_without_a_name(contact: str, tmp_path: Path) -> None:
    with pytest.raises(WikipediaError, match="contact"):
        Wiki(tmp_path, contact)


@pytest.mark.parametrize(
    ("failure", "waits"),
    [
        ((429, {"Retry-After": "7"}, {}), 7.0),
        ((503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}), 1.0),
        ((500, {}, b"<html>down</html>"), 1.0),
        ((502, {"Retry-After": "soon"}, {}), 1.0),
        ((200, {"Retry-After": "5"}, {"error": {"code": "maxlag", "info": "Waiting for a server"}}), 5.0),
        ((200, {}, {"error": {"code": "ratelimited", "info": "Too many"}}), 1.0),
    ],
)
def test_a_busy_wiki_is_asked_again_after_the_wait_it_wants(
    failure: tuple[int, dict[str, str], Any], waits: float, wiki: FakeWiki, tmp_path: Path
) -> None:
    wiki.failures = [failure]
    time = Time()
    with client(wiki, tmp_path, time, pause_seconds=0.5) as api:
        assert "Margin" in api.linked_titles(BOX)
    assert time.slept == [0.0, waits]
    assert len(wiki.requests) == 2


def test_waits_grow_and_end(wiki: FakeWiki, tmp_path: Path) -> None:
    wiki.failures = [(500, {}, {})] * 10
    time = Time()
    with client(wiki, tmp_path, time) as api, pytest.raises(WikipediaError, match=r"status 500.*run it again"):
        api.linked_titles(BOX)
    assert time.slept == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert len(wiki.requests) == 5
    assert list(tmp_path.rglob("*.json")) == []


def test_a_wait_that_is_too_long_is_left_to_the_reader(wiki: FakeWiki, tmp_path: Path) -> None:
    wiki.failures = [(429, {"Retry-After": "86400"}, {})]
    with client(wiki, tmp_path) as api, pytest.raises(WikipediaError, match="86400 seconds"):
        api.linked_titles(BOX)
    assert len(wiki.requests) == 1


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ((403, {}, {}), "refuses"),
        ((404, {}, b"not here"), "refuses"),
        ((200, {}, b"<html>a portal of a hotel</html>"), "not JSON"),
        ((200, {}, ["a list"]), "not what the API gives"),
    ],
)
def test_what_will_not_get_better_is_not_tried_again(
    failure: tuple[int, dict[str, str], Any], words: str, wiki: FakeWiki, tmp_path: Path
) -> None:
    wiki.failures = [failure]
    with client(wiki, tmp_path) as api, pytest.raises(WikipediaError, match=words):
        api.linked_titles(BOX)
    assert len(wiki.requests) == 1
    assert list(tmp_path.rglob("*.json")) == []


def test_a_moved_address_is_followed(wiki: FakeWiki, tmp_path: Path) -> None:
    wiki.failures = [(301, {}, {})]
    with client(wiki, tmp_path) as api:
        assert "Margin" in api.linked_titles(BOX)


def test_no_server_is_an_error_in_words(tmp_path: Path) -> None:
    time = Time()
    with served(FakeWiki()) as gone:
        address = f"{gone.url}/w/api.php"
    with (
        Wiki(tmp_path, "tests@example.org", api=address, sleep=time.sleep, clock=time.clock) as api,
        pytest.raises(WikipediaError, match="does not answer"),
    ):
        api.look_up(["Margin"])


def test_a_broken_run_goes_on_where_it_stopped(wiki: FakeWiki, tmp_path: Path) -> None:
    with client(wiki, tmp_path) as api:
        api.linked_titles(BOX)
        found = api.look_up(["Haircut (finance)"])
        wiki.failures = [(500, {}, {})] * 5
        with pytest.raises(WikipediaError):
            build_samples(api, tmp_path / "out", [BOX])
    assert isinstance(found["Haircut (finance)"], Article)
    wiki.failures, count = [], len(wiki.requests)
    with client(wiki, tmp_path) as api:
        assert len(build_samples(api, tmp_path / "out", [BOX]).files) == 2
    assert all("page" not in query for query in wiki.requests[count:])


def test_a_revision_that_is_gone_is_said(wiki: FakeWiki, tmp_path: Path) -> None:
    with client(wiki, tmp_path) as api, pytest.raises(WikipediaError, match="There is no revision with that ID"):
        api.page_html(Article("Old", 1, 999, "2024-01-01T00:00:00Z", "u"))


# The notebook ---------------------------------------------------------------------------------------------------------


def test_the_notebook_runs_from_start_to_end(wiki: FakeWiki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert "CC BY-SA 4.0" in notebook.cells[0].source
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert source.count("Template:") == 0
    monkeypatch.setenv("WIKIPEDIA_API", f"{wiki.url}/w/api.php")
    monkeypatch.setenv("WIKIPEDIA_CONTACT", "tests@example.org")
    monkeypatch.setenv("WIKIPEDIA_BOXES", BOX)
    monkeypatch.setenv("WIKIPEDIA_FOLDER", str(tmp_path / "samples"))
    monkeypatch.setenv("WIKIPEDIA_PAUSE_SECONDS", "0")
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert "Haircut_finance.txt" in printed
    assert "Spread: it only tells pages of one name apart" in printed
    assert "Government bond | 2%" in printed
    assert (tmp_path / "samples" / "Margin.txt").is_file()
