"""Whatever a file holds: its text has spans that fit, no unseen characters, and the only errors are ours."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rag_core.errors import DocumentError
from rag_core.loading.cleaning import clean_text
from rag_core.loading.drafting import Draft, DraftLimits
from rag_core.loading.naming import document_name
from rag_core.loading.worker import read_content

LIMITS = DraftLimits(pages=3, characters=50_000, expanded_bytes=1_000_000)
# Text that each format gives a meaning to, among any other.
MARKS = {
    ".txt": ["\n", "\n\n", "Title\n=====\n", "NOTES\n\n", "2.1 Cash\n\n", "\t", "\r\n", "\x0c", "\u2028"],
    ".md": [*"# |\n|\n\n|```|<!--|-->|[x](y)|**|> |---\n|\\".split("|"), "| a | b |\n|---|---|\n", "| 1 |"],
    ".html": [
        *"<p> </p> <h2> </h2> <table> <tr> <th> </table> <ul><li> <br> </style> &amp; &#0; <pre> <!-- <".split(),
        *("<table><tr><th>A<th>B<tr><td rowspan=2>1<td>2", "<td rowspan=3>", "<td colspan=9>"),
        *(
            "<p hidden>",
            "<style>p{display:none}",
        ),
    ],
    ".csv": [",", ";", '"', "\n", "a,b\n", "1,2\n", "(1,234)", "2023", "\t", "|", "\r", "sep=;\n"],
    ".tsv": ["\t", '"', "\n", "a\tb\n", "$", "(56", ")"],
}
STARTS = [b"", b"%PDF-1.7\n", b"PK\x03\x04", b"\xff\xfe", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
WORDS = st.text(max_size=8) | st.sampled_from(
    ["Revenue", "1,234", "\u202e", "\x00", "\ud800", "é", "株", "\ufeff", " "]
)


def files(suffix: str) -> st.SearchStrategy[bytes]:
    pieces = st.lists(WORDS | st.sampled_from(MARKS[suffix]), max_size=40)
    encodings = st.sampled_from(["utf-8", "utf-16", "cp1252"])
    return st.builds(lambda parts, name: "".join(parts).encode(name, "replace"), pieces, encodings)


def check(data: bytes, suffix: str) -> None:
    draft = Draft(LIMITS)
    try:
        read_content(data, suffix, draft)
        text, pages = draft.finish()
    except DocumentError:
        return
    assert text == clean_text(text)
    assert len(text) <= LIMITS.characters
    if pages:
        assert (pages[0].start, pages[-1].end) == (0, len(text))
        assert all(left.end == right.start for left, right in pairwise(pages))
    for heading in draft.headings:
        assert heading.title
        assert " ".join(text[heading.start : heading.end].split()) == heading.title
    end = 0
    for table in draft.tables:
        assert end <= table.start < table.end <= len(text)
        end = table.end
        if table.header_end:
            first = text[table.start : table.end].split("\n")[0]
            assert text[table.header_start : table.header_end] == first
    assert all(warning.isprintable() for warning in draft.warnings)


@pytest.mark.parametrize("suffix", MARKS)
def test_spans_fit_whatever_a_file_holds(suffix: str) -> None:
    @settings(max_examples=500, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(files(suffix))
    def holds(data: bytes) -> None:
        check(data, suffix)

    holds()


@pytest.mark.parametrize("suffix", [*MARKS, ".pdf", ".docx", ".xlsx"])
def test_noise_of_any_kind_raises_no_other_error(suffix: str) -> None:
    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(st.binary(max_size=300), st.sampled_from(STARTS))
    def holds(data: bytes, start: bytes) -> None:
        check(start + data, suffix)

    holds()


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.text(max_size=300) | st.lists(st.sampled_from(["../", "..\\", "a", ".txt", "\u202e", "\r\n"])).map("".join))
@example("..")
def test_names_are_plain_and_stay_what_they_are(name: str) -> None:
    shown = document_name(name)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert 0 < len(shown) <= 120
    assert not {"/", "\\"} & set(shown)
    assert shown.strip(". ")
    assert document_name(shown) == shown
