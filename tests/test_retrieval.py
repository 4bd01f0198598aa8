"""Searching: terms, BM25, fusion, and what every list of hits keeps to. About 10 s on two idle cores."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rag_core import (
    ConfigError,
    Document,
    DocumentNotFoundError,
    Hit,
    Page,
    QuestionError,
    RagConfig,
    RagPipeline,
)
from rag_core.chunking.splitting import split_document
from rag_core.encoder.embedding import create_embedder
from rag_core.indexing.index import DocumentIndex
from rag_core.records import Table
from rag_core.search.retrieval import Retriever, as_a_whole, relevance
from rag_core.words.lexical import LexicalIndex, terms

pytestmark = pytest.mark.usefixtures("one_thread")
EMBEDDER = create_embedder(RagConfig())
CONFIG = RagConfig()
SHARE = st.floats(0, 1)

TEXTS = {
    "loan": "The bank loan of EUR 50 million carries interest of 4.2 percent and matures in June 2027.",
    "dividend": "The board proposes a dividend of EUR 1.30 per share. In 2022 it was EUR 1.10 per share.",
    "chips": "The company buys 61% of its wafers from one supplier of semiconductors in Taiwan.",
    "people": "On 31 December 2023 the group employed 1,452 people, of whom 311 worked in research.",
    "weather": "A drought cut the wheat harvest, and rain came too late for the maize.",
    "rent": "Offices are leased for ten years; the landlord may raise the rent with consumer prices.",
}


def make(name: str, text: str, tables: tuple[Table, ...] = ()) -> Document:
    identity = f"{name:x<64}"[:64]
    return Document(identity, f"{name}.txt", "text/plain", len(text), text, (Page(1, 0, len(text)),), tables=tables)


def filled(texts: dict[str, str]) -> DocumentIndex:
    index = DocumentIndex(CONFIG, EMBEDDER)
    for name, text in texts.items():
        document = make(name, text)
        index.add(document, split_document(document, CONFIG.splitting, EMBEDDER))
    return index


@pytest.fixture(scope="module")
def index() -> Iterator[DocumentIndex]:
    # One document has several passages.
    index = filled({**TEXTS, "long": "\n\n".join(f"Note {n}. {text}" for n, text in enumerate(TEXTS.values())) * 12})
    yield index
    index.close()


@pytest.fixture(scope="module")
def retriever(index: DocumentIndex) -> Retriever:
    return Retriever(index, EMBEDDER, CONFIG)


def names(hits: list[Hit]) -> list[str]:
    return [hit.document.name.removesuffix(".txt") for hit in hits]


# Words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("$1,452.40", "1452.4"),
        ("(1,163)", "1163"),
        ("19.0%", "19 %"),
        ("U.S. bonds", "us bonds"),
        ("R&D", "r&d"),
        ("company’s", "company's"),
        ("Émission", "emission"),
        ("ﬁnance", "finance"),
        ("１２３", "123"),
        ("the NET sales", "net sales"),
    ],
)
def test_what_means_the_same_is_the_same_term(one: str, other: str) -> None:
    assert terms(one) == terms(other) != []


@pytest.mark.parametrize(("one", "other"), [("1.2.3", "1.23"), ("1452", "14.52"), ("-5 bonds", "bonds"), ("収", "益")])
def test_what_differs_differs(one: str, other: str) -> None:
    assert terms(one) != terms(other)


@pytest.mark.parametrize(
    ("word", "stem"),
    [("bonds", "bond"), ("policies", "policy"), ("losses", "loss"), ("taxes", "tax"), ("analysis", "analysis")],
)
def test_plural_endings_are_dropped(word: str, stem: str) -> None:
    assert f"{stem}~" in terms(word)


def test_neighbours_are_a_term_across_function_words() -> None:
    assert "cost revenue" in terms("the cost of revenue")
    assert "収 益" in terms("収益")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_any_text_has_terms_that_do_not_depend_on_case(text: str) -> None:
    found = terms(text)
    assert all(term.strip() and "\0" not in term for term in found)
    assert terms(text.encode("utf-8", "replace").decode().upper().lower()) == terms(text.upper().lower())


ODD = ["", " ", "?", "the of and", "\0", "\ud800", "*" * 50, "%s {0} \\", "SELECT 1; --", "🙂", "zzz qqq", "a" * 4_000]


@pytest.fixture(scope="module")
def lexical() -> LexicalIndex:
    found = LexicalIndex()
    found.add(((name, 0), text) for name, text in TEXTS.items())
    return found


@pytest.mark.parametrize("query", ODD)
def test_a_query_without_known_words_matches_nothing(lexical: LexicalIndex, query: str) -> None:
    assert lexical.search(query, 5) == []
    matches = lexical.matches(query, [("loan", 0)])
    assert (matches["loan", 0].score, matches["loan", 0].coverage) == (0.0, 0.0)


def test_an_empty_word_index_matches_nothing() -> None:
    empty = LexicalIndex()
    assert empty.search("loan", 5) == []
    assert empty.matches("loan", [("loan", 0)]) == {}
    empty.add([(("blank", 0), "")])
    assert empty.search("loan", 5) == []
    empty.remove("unknown")


def test_words_find_their_passage_and_scores_fall(lexical: LexicalIndex) -> None:
    for name, text in TEXTS.items():
        found = lexical.search(text, 10)
        assert found[0].key == (name, 0)
        assert all(before.score >= after.score > 0 for before, after in pairwise(found))
        assert all(0 < match.coverage <= 1 for match in found)
        assert lexical.matches(text, [match.key for match in found]) == {match.key: match for match in found}
    assert len(lexical.search("loan dividend supplier", 2)) == 2
    assert [match.key for match in lexical.search("loan dividend", 5, ["dividend"])] == [("dividend", 0)]


def test_scores_are_those_of_the_formula() -> None:
    """BM25 as in the module's docstring, worked out by hand for one term."""
    found = LexicalIndex()
    found.add([(("a", 0), "quetzal " + "fern " * 3), (("b", 0), "fern")])
    (match,) = found.search("quetzal", 5)
    # Terms of a: 4 words, 4 stems, 3 pairs; of b: 1 word, 1 stem. Twenty more passages are of the average length.
    lengths = [11, 2]
    average = (sum(lengths) + 20 * round(sum(lengths) / 2)) / 22
    weight = math.log(1 + (22 - 1 + 0.5) / 1.5)
    saturated = 1 / (1 + 1.2 * (1 - 0.75 + 0.75 * 11 / average))
    # The word and its stem.
    assert match.score == pytest.approx(2 * weight * saturated, rel=1e-5)
    assert match.coverage == pytest.approx(saturated, rel=1e-5)


def test_removed_and_replaced_passages_are_forgotten() -> None:
    found = LexicalIndex()
    found.add([(("a", 0), "quetzal bond"), (("a", 1), "quetzal loan"), (("b", 0), "quetzal fund")])
    found.remove("a")
    assert [match.key for match in found.search("quetzal", 5)] == [("b", 0)]
    found.add([(("b", 0), "zebra fund")])
    assert found.search("quetzal", 5) == []


# Fusion ---------------------------------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True)
@given(st.floats(-1, 1), SHARE, SHARE, SHARE)
def test_the_score_is_a_share_that_grows_with_either_side(
    cosine: float, coverage: float, best: float, step: float
) -> None:
    best = max(coverage, best)
    score = relevance(cosine, coverage, best)
    assert 0 <= score <= 1
    assert relevance(min(1.0, cosine + step), coverage, best) >= score
    assert relevance(cosine, min(best, coverage + step), best) >= score
    for period, spelt in ((True, False), (False, True), (True, True)):
        assert 0 <= relevance(cosine, coverage, best, period=period, spelt=spelt) <= 1


def test_meaning_decides_where_no_words_are_shared_and_words_where_they_are() -> None:
    assert relevance(0.6, 0.0, 0.05) > relevance(0.3, 0.05, 0.05)
    assert relevance(0.3, 0.6, 0.6) > relevance(0.6, 0.4, 0.6)


def test_words_decide_between_tables_of_figures() -> None:
    assert relevance(0.7, 0.10, 0.12) > relevance(0.3, 0.12, 0.12)
    assert relevance(0.7, 0.20, 0.30, period=True) < relevance(0.3, 0.30, 0.30, period=True)


def test_meaning_is_heard_where_a_question_was_spelt_out() -> None:
    assert relevance(0.8, 0.5, 0.6) < relevance(0.4, 0.6, 0.6)
    assert relevance(0.8, 0.5, 0.6, spelt=True) > relevance(0.4, 0.6, 0.6, spelt=True)


def test_a_passage_that_is_near_throughout_is_nearer_than_one_with_a_near_part() -> None:
    assert as_a_whole([0.6, 0.5]) > as_a_whole([0.6, 0.1])
    assert as_a_whole([0.6, 0.1]) > as_a_whole([0.4, 0.4])
    assert as_a_whole([0.5]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("When does the bank loan mature?", "loan"),
        ("How much money did the firm borrow?", "loan"),
        ("What will shareholders be paid?", "dividend"),
        ("How many employees are there?", "people"),
        ("Who makes the microchips?", "chips"),
        ("Why were crops poor?", "weather"),
        ("What does the landlord do?", "rent"),
    ],
)
def test_questions_find_their_passage_by_words_or_by_meaning(index: DocumentIndex, question: str, name: str) -> None:
    ids = [document.id for document in index.documents() if document.name != "long.txt"]
    assert names(Retriever(index, EMBEDDER, CONFIG).search(question, 1, ids)) == [name]


def test_an_unrelated_question_scores_low(retriever: Retriever) -> None:
    related = retriever.search("When does the bank loan mature?", 1)[0].score
    assert related > 0.5
    for question in ("Who painted the ceiling of the chapel?", "How do I sort a list in Python?"):
        assert retriever.search(question, 1)[0].score < 0.1


def check_hits(hits: list[Hit], k: int) -> None:
    assert len(hits) <= k
    assert all(before.score >= after.score for before, after in pairwise(hits))
    assert len({(hit.document.id, hit.start) for hit in hits}) == len(hits)
    for hit in hits:
        assert 0 <= hit.score <= 1
        assert -1.001 <= hit.dense_score <= 1.001
        assert hit.lexical_score >= 0
        assert hit.text == hit.document.text[hit.start : hit.end]
        assert hit.page == hit.document.page_at(hit.start)
        assert hit.start <= hit.focus.start < hit.focus.end <= hit.end


QUERY = st.one_of(st.sampled_from([*TEXTS.values(), *ODD]), st.text(max_size=60))


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUERY, st.integers(1, 12), st.sets(st.sampled_from([*TEXTS, "long"])))
@example("", 1, set())
@example("loan", 100, {"long", "loan"})
def test_hits_are_exact_ranked_and_the_same_again(
    index: DocumentIndex, retriever: Retriever, query: str, k: int, chosen: set[str]
) -> None:
    hits = retriever.search(query, k)
    check_hits(hits, k)
    assert len(hits) == min(k, len(retriever.search(query, 100)))
    assert retriever.search(query, k) == hits
    assert retriever.search(query, k + 3)[:k] == hits
    wanted = [make(name, "").id for name in sorted(chosen)]
    narrowed = retriever.search(query, k, wanted)
    check_hits(narrowed, k)
    assert {hit.document.id for hit in narrowed} <= set(wanted)
    assert retriever.search(query, k, [*wanted, *wanted]) == narrowed
    if chosen:
        assert narrowed


def test_every_passage_can_be_asked_for(index: DocumentIndex, retriever: Retriever) -> None:
    passages = sum(document.chunk_count for document in index.documents())
    assert len(retriever.search("dividend", 100)) == passages > len(TEXTS) + 1


def test_how_to_answer_does_not_change_what_is_found(index: DocumentIndex, retriever: Retriever) -> None:
    question = "When does the bank loan mature?"
    tail = " Answer in one sentence. If the passages do not say, admit it."
    assert retriever.search(question + tail, 5) == retriever.search(question, 5)


def test_the_scores_are_those_of_both_sides(index: DocumentIndex, retriever: Retriever) -> None:
    question = "What interest does the bank loan carry?"
    vector = EMBEDDER.encode([question])[0]
    for hit in retriever.search(question, 5):
        focus = hit.document.text[hit.focus.start : hit.focus.end]
        assert hit.dense_score == pytest.approx(float(vector @ EMBEDDER.encode([focus])[0]), abs=1e-3)
    words = {match.key[0]: match.score for match in index.lexical().search(question, 1)}
    best = max(retriever.search(question, 5), key=lambda hit: hit.lexical_score)
    assert words == {best.document.id: pytest.approx(best.lexical_score)}


def test_a_header_row_helps_to_find_the_rows_below_it() -> None:
    header = "Emission certificates bought | tonnes"
    rows = [f"Plant {number} of the northern region | {number * 37}" for number in range(120)]
    text = "\n".join([header, *rows])
    document = make("table", text, (Table(0, len(text), 0, len(header)),))
    index = filled(TEXTS)
    index.add(document, split_document(document, CONFIG.splitting, EMBEDDER))
    hits = Retriever(index, EMBEDDER, CONFIG).search("emission certificates of plant 77", 1)
    assert "Plant 77 of" in hits[0].text
    assert header not in hits[0].text
    index.close()


def test_wrong_requests_are_told(retriever: Retriever) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        retriever.search("loan", 0)
    with pytest.raises(DocumentNotFoundError, match="There is no document"):
        retriever.search("loan", 1, ["nothing"])
    assert retriever.search("loan", 1, []) == []


def test_the_default_count_is_the_configured_one(index: DocumentIndex) -> None:
    config = replace(CONFIG, retrieval=replace(CONFIG.retrieval, k=3))
    assert len(Retriever(index, EMBEDDER, config).search("loan")) == 3


# Sessions -------------------------------------------------------------------------------------------------------------


def test_two_sessions_never_meet(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.txt" for name in ("loan", "dividend")}
    for name, path in paths.items():
        path.write_text(TEXTS[name], encoding="utf-8")
    with RagPipeline(CONFIG, embedder=EMBEDDER) as shared, shared.session() as one, shared.session() as two:
        mine = one.add_document(paths["loan"])
        with pytest.raises(QuestionError):
            two.search("When does the loan mature?")
        theirs = two.add_document(paths["dividend"])
        # The same file in both is two documents: one's removal is not the other's.
        two.add_document(paths["loan"])
        two.remove_document(mine.id)
        assert names(one.search("bank loan dividend", 10)) == ["loan"]
        assert names(two.search("bank loan dividend", 10)) == ["dividend"]
        assert [document.id for document in one.documents()] == [mine.id]
        for use in (
            lambda: one.get_document(theirs.id),
            lambda: one.remove_document(theirs.id),
            lambda: one.search("dividend", document_ids=[theirs.id]),
            lambda: two.search("loan", document_ids=[mine.id]),
        ):
            with pytest.raises(DocumentNotFoundError):
                use()
        assert shared.documents() == ()
    with shared.session() as third:
        assert third.documents() == ()


# The benchmark --------------------------------------------------------------------------------------------------------


def test_the_benchmark_counts_right() -> None:
    bench = importlib.import_module("bench.retrieval")
    questions = [bench.Question(str(place), frozenset({"right"})) for place in (1, 2, 5, 11)]
    places = {"1": 0, "2": 1, "5": 4, "11": 99}

    def rank(question: str) -> list[str]:
        found = [f"wrong {number}" for number in range(10)]
        if places[question] < 10:
            found[places[question]] = "right"
        return found

    assert bench.score(rank, questions) == {
        "hit@1": 0.25, "hit@3": 0.5, "hit@5": 0.75, "hit@10": 0.75, "MRR@10": (1 + 1 / 2 + 1 / 5) / 4,
    }  # fmt: skip
    assert bench.first_ten(["a", "b", "a", "c"]) == ["a", "b", "c"]
    both = bench.fused(lambda _: ["a", "b", "c"], lambda _: ["c", "b", "d"])
    assert both("any") == ["c", "b", "a", "d"]


def test_the_benchmark_finds_texts_through_the_real_search(tmp_path: Path) -> None:
    bench = importlib.import_module("bench.retrieval")
    corpus = [{"id": name, "text": text} for name, text in TEXTS.items()]
    rankers = {**bench.our_rankers(corpus, tmp_path), "whole": bench.whole_text_ranker(corpus)}
    for rank in rankers.values():
        assert rank("When does the bank loan mature?")[0] == "loan"


def test_the_paraphrases_are_well_formed() -> None:
    bench = importlib.import_module("bench.retrieval")
    rows = [json.loads(line) for line in bench.PARAPHRASES.read_text(encoding="utf-8").splitlines()]
    assert len({row["question"] for row in rows}) == len(rows) > 30
    assert all(row["relevant_ids"] for row in rows)
