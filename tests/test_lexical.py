"""The word index as it changes: whatever came and went, it scores as one that was built of what is left."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_core.words.lexical import ChunkKey, LexicalIndex, LexicalMatch, terms
from rag_core.words.marks import passage_marks
from rag_core.words.postings import Postings

PATIENCE_SECONDS = 60
WORDS = "revenue capex loan bond fee 2021 2022 12.5 raw materials the of net income total".split()
QUERIES = [
    "revenue in 2021",
    "net income and capex",
    "raw materials",
    "What was total revenue?",
    "loan loan bond",
    "zebra",
]
TEXT = st.lists(st.sampled_from([*WORDS, "Raw materials | 12.5 | 13\n", "Net income | 1 | 2\n"]), max_size=12).map(
    " ".join
)
PASSAGES = st.dictionaries(st.integers(0, 3), TEXT, max_size=4)
DOCUMENT = st.sampled_from("abcd")
CHANGES = st.lists(st.one_of(st.tuples(DOCUMENT, PASSAGES), st.tuples(DOCUMENT, st.none())), max_size=14)


def keyed(document: str, passages: dict[int, str]) -> dict[ChunkKey, str]:
    return {(document, number): text for number, text in passages.items()}


def built(texts: dict[ChunkKey, str]) -> LexicalIndex:
    index = LexicalIndex()
    index.add(texts.items(), report=True)
    return index


def found(index: LexicalIndex, texts: Sequence[ChunkKey]) -> list[object]:
    """Return all that the index says, scores and order."""
    said: list[object] = []
    for query in QUERIES:
        said.append(index.search(query, 3))
        said.append(index.search(query, 100, ["a", "c", "unknown"]))
        said.append(index.matches(query, [*texts, ("gone", 0)]))
    return said


@settings(max_examples=150, deadline=None, derandomize=True)
@given(CHANGES)
def test_scores_do_not_depend_on_how_the_passages_came(changes: list[tuple[str, dict[int, str] | None]]) -> None:
    index = LexicalIndex()
    left: dict[ChunkKey, str] = {}
    for document, passages in changes:
        if passages is None:
            index.remove(document)
            left = {key: text for key, text in left.items() if key[0] != document}
        else:
            added = keyed(document, passages)
            index.add(added.items(), report=True)
            left = {key: text for key, text in left.items() if key not in added} | added
        assert found(index, list(left)) == found(built(left), list(left))


def test_scores_are_those_of_bm25s() -> None:
    """Against another implementation of the same formula, over the passages and the twenty average ones."""
    draw = np.random.default_rng(4)
    animals = ["zebra", "lynx", "quail", "newt", "shrew"]  # no marks
    texts = {(f"d{number}", 0): " ".join(draw.choice(animals, draw.integers(1, 40))) for number in range(60)}
    index = LexicalIndex()
    for key, text in texts.items():
        index.add([(key, text)], report=True)
    corpus = [[*terms(text), *passage_marks(text)] for text in texts.values()]
    corpus += [["\0"] * round(sum(map(len, corpus)) / len(corpus))] * 20
    numbers = {term: number for number, term in enumerate(dict.fromkeys(term for found in corpus for term in found))}
    peer = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    peer.index(([[numbers[term] for term in found] for found in corpus], numbers), show_progress=False)
    for word in ("zebra", "newt"):
        expected = peer.get_scores([word, f"{word}~"])[: len(texts)]
        matches = index.matches(word, list(texts))
        assert [matches[key].score for key in texts] == pytest.approx(expected.tolist(), rel=1e-5)


def test_equal_passages_come_in_the_order_in_which_they_were_added() -> None:
    index = LexicalIndex()
    for number in range(40):
        index.add([((f"d{number}", 0), "revenue")])
    assert [match.key[0] for match in index.search("revenue", 7)] == [f"d{number}" for number in range(7)]
    index.add([(("d2", 0), "revenue")])
    assert [match.key[0] for match in index.search("revenue", 40)][-2:] == ["d39", "d2"]


def test_there_are_few_segments_and_what_was_removed_is_let_go() -> None:
    index = LexicalIndex()
    for number in range(300):
        index.add([((f"d{number}", chunk), f"revenue of{number} year {chunk}") for chunk in range(3)])
        assert len(index._state.postings._parts) <= 10
    for number in range(299):
        index.remove(f"d{number}")
        held = sum(len(part.left) for part in index._state.postings._parts)
        assert 0.75 * held <= index._state.postings.count == 3 * (299 - number)
    (match, *_) = index.search("revenue", 1)
    assert match.key[0] == "d299"
    index.remove("d299")
    assert index._state.postings._parts == ()


class Held:
    """Stops a merge in the middle until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        real = Postings.merged

        def merged(postings: Postings, which: slice) -> object:
            segment = real(postings, which)
            if threading.current_thread().name == "merging":
                self.reached.set()
                assert self.go.wait(PATIENCE_SECONDS)
            return segment

        monkeypatch.setattr(Postings, "merged", merged)


def test_nobody_waits_for_a_merge_and_it_loses_nothing_that_came_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    first = {("a", 0): "revenue 2021", ("a", 1): "revenue 2022"}
    second = {("b", 0): "capex 2021", ("b", 1): "loan bond", ("b", 2): "net income"}
    index = built(first)
    thread = threading.Thread(target=lambda: index.add(second.items(), report=True), name="merging")
    thread.start()
    try:
        assert held.reached.wait(PATIENCE_SECONDS)
        # Both are there already, and both may be changed.
        left = first | second
        assert found(index, list(left)) == found(built(left), list(left))
        index.remove("a")
        later = {("b", 1): "revenue total", ("c", 0): "raw materials"}
        index.add(later.items(), report=True)
        left = {("b", 0): second["b", 0], ("b", 2): second["b", 2], **later}
        assert found(index, list(left)) == found(built(left), list(left))
    finally:
        held.go.set()
        thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert found(index, list(left)) == found(built(left), list(left))
    assert len(index._state.postings._parts) == 1


def test_threads_that_add_remove_and_search_at_once() -> None:
    index = LexicalIndex()
    always = {("always", 0): "revenue of the year"}
    index.add(always.items())
    failed: list[BaseException] = []
    done = threading.Event()

    def search() -> None:
        try:
            while not done.is_set():
                matches = index.search("revenue of loan 7", 500)
                assert ("always", 0) in {match.key for match in matches}
                assert all(isinstance(match, LexicalMatch) and match.score > 0 for match in matches)
        except BaseException as error:
            failed.append(error)

    def write(part: int) -> None:
        try:
            for number in range(part, 120, 3):
                index.add([((str(number), chunk), f"revenue {number} loan {chunk}") for chunk in range(3)])
                if number % 2:
                    index.remove(str(number))
        except BaseException as error:
            failed.append(error)

    searchers = [threading.Thread(target=search) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(part,)) for part in range(3)]
    for thread in [*searchers, *writers]:
        thread.start()
    for thread in writers:
        thread.join(PATIENCE_SECONDS)
    done.set()
    for thread in searchers:
        thread.join(PATIENCE_SECONDS)
    assert failed == []
    left = {(str(number), chunk): f"revenue {number} loan {chunk}" for number in range(0, 120, 2) for chunk in range(3)}
    fresh = built(always | left)
    for query in ("revenue 8 loan", "loan 2", "revenue of the year"):
        assert index.matches(query, [*always, *left]) == fresh.matches(query, [*always, *left])
