"""What reaches the page as markup: nothing of a document's, a name's or a model's own."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import replace
from decimal import Decimal

import pytest
from conftest import make_document, make_hit
from hypothesis import given
from hypothesis import strategies as st

from rag_core import Answer, Citation, Progress, TokenCounts
from rag_core.answers.answering import CLOSEST
from rag_core.records import AnswerSentence, Computation, Heading, Operand, Page, Table
from ui.answers import error_html, final_html, progress_words, streaming_html, waiting_html
from ui.documents import Arrival, documents_html
from ui.judging import judged_html
from ui.markup import attributes, escape, plain_name, shorten
from ui.passages import passage_html
from ui.samples import Samples
from ui.sources import gone_panel, source_panel, view_panel
from ui.views import VIEW_CHARACTERS, view_at, views_of

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "![x](http://example.com/x.png)",
    "[click](javascript:alert(1))",
    "{{constructor.constructor('alert(1)')()}} ${alert(1)} `x`",
    "</mark></div></section><iframe src=//example.com>",
    "&lt;b&gt; &#60;b&#62;",
    "<a href='http://example.com'>here</a>",
    "<style>*{display:none}</style><base href=//example.com>",
]
OURS = {
    "div", "p", "span", "button", "b", "i", "ul", "ol", "li", "details", "summary", "strong", "section", "header", "h2",
    "h3", "h4", "h5", "h6", "mark", "table", "tr", "td", "th", "progress",
}  # fmt: skip


def tags(markup: str) -> set[str]:
    return {name.lower() for name in re.findall(r"</?([a-zA-Z][\w-]*)", markup)}


def attribute_names(markup: str) -> set[str]:
    found: set[str] = set()
    for tag in re.findall(r"<[a-z][^<>]*>", markup):
        found.update(re.findall(r'\s([a-zA-Z-]+)="[^"]*"', tag))
    return found


def text_of(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def answer_of(text: str, *, name: str = "note.txt", body: str | None = None, **fields: object) -> Answer:
    document = make_document(body or text, name)
    citation = Citation(1, document, 1, 0, len(document.text), document.text)
    defaults: dict[str, object] = {
        "question": "q",
        "query": "q",
        "text": text,
        "citations": (citation,),
        "sentences": (AnswerSentence(0, len(text), text, (1,)),),
        "abstained": False,
        "hits": (make_hit(document),),
        "finish_reason": "stop",
        "model": "m",
        "timings": {"total": 1.0},
        "tokens": TokenCounts(10, 5),
    }
    return Answer(**{**defaults, **fields})  # type: ignore[arg-type]


def computed(answer: Answer, words: str) -> Answer:
    """Return the answer as one that was computed from two figures in the row that it cites."""
    (citation,) = answer.citations
    span = (citation.document, 1, 0, 1, citation.start, citation.end)
    operands = tuple(Operand(words, period, Decimal(1), "1", words, *span) for period in ("2018", "2019"))
    return replace(
        answer, computation=Computation("change", f"1 − 1 = 0 {words}", Decimal(0), "", operands, answer.text)
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_become_text_everywhere(text: str) -> None:
    name = text.replace("/", "") + ".txt"
    answer = answer_of(text, name=name, query=text, reason=text, model=text)
    abstained = answer_of(text, name=name, query=text, reason=text, abstained=True)
    document = make_document(text, name, warnings=(text,))
    shown = [
        final_html("t", answer),
        final_html("t", abstained),
        final_html("t", answer, judged=True),
        final_html("t", computed(answer, text)),
        streaming_html("t", text),
        waiting_html("t", text),
        error_html(text),
        source_panel("t", answer, "citation", 1),
        source_panel("t", answer, "hit", 1),
        view_panel(document, 0),
        documents_html([document], [Arrival(name, Progress("reading", 1, 2)), Arrival(name, error=text)]),
        passage_html(document, 0, len(text), (2, 5)),
    ]
    for markup in shown:
        assert tags(markup) <= OURS, tags(markup) - OURS
        assert not {
            item for item in attribute_names(markup) if item.startswith("on") or item in ("href", "src", "style")
        }
        assert not re.search(r"[{}$`]", markup)
    assert text in text_of(final_html("t", answer))
    assert text in text_of(source_panel("t", answer, "citation", 1))


def test_a_computed_figure_shows_its_formula_and_where_each_figure_stands() -> None:
    shown = final_html("t", computed(answer_of("It fell by 0."), "Revenue"))
    assert "Computed 1 − 1 = 0 Revenue" in text_of(shown)
    assert re.findall(r"<li><span>(Revenue, \d+)</span> <b>1</b><button[^>]* data-number=\"1\"", shown) == [
        "Revenue, 2018",
        "Revenue, 2019",
    ]
    assert "no model was asked" in shown
    assert "Computed" not in final_html("t", answer_of("It fell by 0."))


def test_thumbs_stand_under_an_answer_only_where_verdicts_are_kept() -> None:
    for answer in (answer_of("Yes."), answer_of("No.", abstained=True)):
        assert "rag-thumb" not in final_html("t", answer)
        shown = final_html("t", answer, judged=True)
        assert re.findall(r'data-rag="judge" data-turn="t" data-verdict="(up|down)"', shown) == ["up", "down"]
        assert shown.count('aria-label="This answer is') == 2
    first, second = judged_html("t", "up"), judged_html("t", "up")
    assert first != second
    assert 'data-kept="0"' in judged_html("t", None)


@given(st.text(max_size=200))
def test_escaping_shows_exactly_the_visible_characters(text: str) -> None:
    escaped = escape(text)
    assert not re.search(r"[<>\"'{}$`]", escaped)
    shown = html.unescape(escaped)

    def visible(words: str) -> str:
        return "".join(c for c in words if unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp"))

    assert visible(shown) == visible(text)
    assert attributes(name=text).count('"') == 2


def test_names_lose_what_misleads_the_eye() -> None:
    assert plain_name("report\u202efdp.exe") == "reportfdp.exe"
    assert plain_name("a\nb\x00c.txt") == "a bc.txt"
    assert plain_name("\u200f") == "document"
    assert plain_name("a\ud83db.txt") == "ab.txt"
    long = plain_name("x" * 300 + ".pdf")
    assert len(long) == 80
    assert long.endswith(".pdf")
    assert "…" in long


def test_shortening_cuts_at_a_word() -> None:
    assert shorten("one two three", 50) == "one two three"
    assert shorten("one two three four", 11) == "one two…"


def test_supported_and_unsupported_sentences_look_different() -> None:
    text = "Sales rose. The moon is far."
    sentences = (AnswerSentence(0, 11, text[:11], (1,)), AnswerSentence(12, 28, text[12:], ()))
    markup = final_html("turn-1", answer_of(text, sentences=sentences))
    assert markup.count('class="rag-chip"') == 1
    assert 'data-turn="turn-1"' in markup
    assert '<span class="rag-unsupported">The moon is far.</span>' in markup
    assert "No passage of your documents supports the underlined words" in markup
    assert "1 of 2 sentences" in markup
    assert 'aria-label="Source 1: note.txt, page 1"' in markup


def test_an_answer_that_is_all_supported_carries_no_warning() -> None:
    markup = final_html("t", answer_of("Sales rose."))
    assert "unsupported" not in markup
    assert "Searched for" not in markup
    assert "length limit" not in markup


def test_what_was_searched_and_a_cut_answer_are_told() -> None:
    markup = final_html("t", answer_of("Sales rose.", query="What were sales in 2022?", finish_reason="length"))
    assert "Searched for</span> What were sales in 2022?" in markup
    assert "length limit" in markup


def test_an_abstained_answer_says_why_and_offers_the_nearest_passages() -> None:
    markup = final_html(
        "t", answer_of("I could not find this.", abstained=True, reason="nothing matches", citations=())
    )
    assert "is-abstained" in markup
    assert "Why: nothing matches." in markup
    assert 'data-kind="hit"' in markup
    assert "rag-chip" not in markup


def test_the_words_before_a_quotation_are_a_label_of_our_own() -> None:
    text = f"Wrong.\n\n{CLOSEST}\nSales rose."
    start = text.index("Sales")
    sentences = (AnswerSentence(0, 6, "Wrong.", ()), AnswerSentence(start, len(text), "Sales rose.", (1,)))
    markup = final_html("t", answer_of(text, body="Sales rose.", sentences=sentences))
    assert "rag-lead" in markup
    assert CLOSEST not in markup


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress("reading", 3, 20), "Reading, page 3 of 20"),
        (Progress("splitting"), "Splitting into passages"),
        (Progress("embedding", 32, 96), "Embedding, 32 of 96"),
        (Progress("converting", 1, 4), "Preparing the model, 25%"),
        (Progress("loading"), "Loading the model"),
    ],
)
def test_progress_is_told_by_stage(progress: Progress, words: str) -> None:
    assert progress_words(progress) == words


# Passages


def marks(markup: str) -> str:
    return html.unescape("".join(re.findall(r"<mark>(.*?)</mark>", markup, re.DOTALL)))


@given(st.text(alphabet=st.sampled_from("ab <>&|\n.$"), max_size=120), st.data())
def test_the_mark_holds_the_quote_and_the_rest_stays(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    document = make_document(text)
    markup = passage_html(document, 0, len(text), (start, end))

    def visible(words: str) -> str:
        return re.sub(r"[\s|]", "", words)

    assert visible(marks(markup)) == visible(text[start:end])
    assert visible(text_of(markup)) == visible(text)


def test_tables_are_tables_and_a_marked_row_is_marked_cell_by_cell() -> None:
    text = "Figures\nEUR million | 2022 | 2023\nRevenue | 1,318.0 | (1,452.4)\nAfterwards.\n"
    head = text.index("EUR")
    row = text.index("Revenue")
    end = text.index("\nAfter")
    document = make_document(
        text, headings=(Heading(1, "Figures", 0, 7),), tables=(Table(head, end + 1, head, row - 1),)
    )
    markup = passage_html(document, 0, len(text), (row, end))
    assert "<h3>Figures</h3>" in markup
    assert '<th>EUR million</th><th class="is-figure">2022</th>' in markup
    assert (
        '<tr class="is-marked"><td><mark>Revenue</mark></td><td class="is-figure"><mark>1,318.0</mark></td>' in markup
    )
    assert "<p>Afterwards.</p>" in markup
    assert marks(markup) == "Revenue1,318.0(1,452.4)"


def test_views_cover_the_text_and_name_page_and_part() -> None:
    first, second = "a. " * 20, ("word " * 40 + "\n") * 400
    text = first + second
    document = make_document(text, pages=(Page(1, 0, len(first)), Page(2, len(first), len(text), "Balance")))
    views = views_of(document)
    assert [view.start for view in views[1:]] == [view.end for view in views[:-1]]
    assert (views[0].start, views[-1].end) == (0, len(text))
    assert max(view.end - view.start for view in views) <= VIEW_CHARACTERS * 5 // 4
    assert views[1].parts == len(views) - 1
    position = len(first) + 3 * VIEW_CHARACTERS
    assert views[view_at(views, position)].start <= position < views[view_at(views, position)].end
    panel = view_panel(document, 2)
    assert f"Page 2 of 2 · Balance · part 2 of {len(views) - 1}" in panel
    assert 'aria-label="Previous page"' in panel
    assert 'aria-label="Previous page"' not in view_panel(document, 0)
    assert 'aria-label="Next page"' not in view_panel(document, 10_000)


def test_the_source_panel_opens_at_the_quote_and_lists_the_others() -> None:
    text = "Sales rose. Costs fell."
    document = make_document(text)
    citations = (Citation(1, document, 1, 0, 11, text[:11]), Citation(2, document, 1, 12, 23, text[12:]))
    markup = source_panel("t", answer_of(text, citations=citations), "citation", 2)
    assert marks(markup) == "Costs fell."
    assert 'data-number="1"' in markup
    assert markup.count('aria-current="true"') == 1
    assert "Page 1 of 1" in markup
    assert "No longer there" in gone_panel()


def test_samples_are_robust_where_files_or_questions_are_missing(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    assert Samples(folder / "absent").files_html() == ""
    assert Samples(folder / "absent").starters_html() == ""
    (folder / "a.md").write_text("x")
    (folder / "README.md").write_text("x")
    (folder / "build.py").write_text("x")
    (folder / "questions.json").write_text("{not json")
    samples = Samples(folder)
    assert [sample.name for sample in samples.files] == ["a.md"]
    assert samples.get("../a.md") is None
    assert samples.starters() == ()
    (folder / "questions.json").write_text(
        '[{"file":"a.md","question":"What?","answer":"x"},{"file":"b.md","question":"?","answer":"x"},'
        '{"file":"a.md","question":"Not there?","answer":null},7]'
    )
    assert [item.question for item in Samples(folder).starters()] == ["What?"]
