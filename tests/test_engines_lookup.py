"""Drafts copied from the prompt: what they say, and how long they are."""

from __future__ import annotations

from rag_core.engines.lookup import PromptLookup

PROMPT = [*range(100, 140), 7, 100, 101, 102]


def test_a_draft_goes_on_where_the_latest_tokens_stood_before() -> None:
    lookup = PromptLookup(PROMPT)
    assert lookup.draft(9) == [103, 104, 105, 106]
    assert lookup.draft(2) == [103, 104]
    assert lookup.draft(0) == []
    lookup.extend([55])
    assert lookup.draft(9) == []


def test_the_length_follows_what_was_right() -> None:
    lookup = PromptLookup(PROMPT, longest=9)
    for drafted, accepted, then in ((4, 4, 7), (7, 7, 9), (9, 9, 9), (9, 3, 5), (5, 0, 2), (2, 2, 5)):
        lookup.learn(drafted, accepted)
        assert len(lookup.draft(20)) == then


def test_a_draft_fills_the_pass_that_it_needs() -> None:
    lookup = PromptLookup(PROMPT, 15, [3, 15])
    assert lookup.draft(20) == list(range(103, 118))
    assert len(lookup.draft(8)) == 8
    lookup.learn(15, 0)
    assert lookup.draft(20) == [103, 104, 105]
    lookup.learn(3, 3)
    assert len(lookup.draft(20)) == 15


def test_an_eager_draft_guesses_a_little_behind_one_token() -> None:
    lookup = PromptLookup([*PROMPT, 55, 110], 15, [3, 15])
    assert lookup.draft(20) == []
    assert lookup.draft(20, eager=True) == [111, 112, 113]
    lookup.extend([111])
    for _ in range(2):
        lookup.learn(3, 0)
    # Two tokens are too little after two misses.
    assert lookup.draft(20) == []
    assert lookup.draft(20, eager=True) == [112, 113, 114]
