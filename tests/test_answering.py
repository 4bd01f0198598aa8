from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from conftest import ScriptedGenerator, make_document, make_hit

from rag_core import Answer, CitationsEvent, DoneEvent, Hit, Message, RagConfig, TextEvent
from rag_core.answers.answering import CLOSEST, NOT_FOUND, stream_answer
from rag_core.answers.citing import verify
from rag_core.policy import small_talk

TEXT = "The loan of EUR 50 million matures in June 2027. The dividend was not increased."


def run(
    generator: ScriptedGenerator, hits: Sequence[Hit], question: str = "When does the loan mature?", query: str = ""
) -> list:
    stream = stream_answer(question, query or question, hits, [], generator, RagConfig(), time.perf_counter(), 0.0)
    return list(stream)


def answer_of(events: list) -> Answer:
    assert isinstance(events[-1], DoneEvent)
    return events[-1].answer


def test_events_are_text_then_citations_then_done() -> None:
    generator = ScriptedGenerator("The loan matures in June 2027.")
    events = run(generator, [make_hit(make_document(TEXT))])
    kinds = [event.kind for event in events]
    assert kinds == ["text"] * (len(kinds) - 2) + ["citations", "done"]
    assert len(kinds) > 4, "the text comes in pieces"
    answer = answer_of(events)
    assert "".join(event.text for event in events if isinstance(event, TextEvent)) == answer.text
    assert answer.text == "The loan matures in June 2027."
    assert answer.citations == next(event.citations for event in events if isinstance(event, CitationsEvent))
    assert answer.citations
    assert all(verify(citation) for citation in answer.citations)
    assert answer.tokens.completion == 6
    assert set(answer.timings) == {"search", "first_token", "total"}


def test_nothing_relevant_abstains_without_calling_the_model() -> None:
    generator = ScriptedGenerator()
    answer = answer_of(run(generator, [make_hit(make_document(TEXT), score=0.01)]))
    assert answer.abstained
    assert answer.text == NOT_FOUND
    assert answer.citations == ()
    assert "0.01" in answer.reason
    assert generator.calls == []
    assert not generator.loaded


def test_a_refusal_by_the_model_is_an_abstention() -> None:
    generator = ScriptedGenerator("The documents do not say.")
    answer = answer_of(run(generator, [make_hit(make_document(TEXT))]))
    assert answer.abstained
    assert answer.citations == ()


def test_an_empty_reply_is_an_abstention_with_a_text() -> None:
    answer = answer_of(run(ScriptedGenerator(" "), [make_hit(make_document(TEXT))]))
    assert answer.abstained
    assert answer.text == NOT_FOUND


def test_an_unsupported_sentence_is_marked_and_the_others_keep_their_sources() -> None:
    generator = ScriptedGenerator("The loan matures in June 2027. It was granted by the bank of Mars.")
    answer = answer_of(run(generator, [make_hit(make_document(TEXT))]))
    assert [sentence.supported for sentence in answer.sentences] == [True, False]


def test_a_true_sentence_that_is_off_the_question_gets_the_closest_beside_it() -> None:
    generator = ScriptedGenerator("The dividend was not increased.")
    answer = answer_of(run(generator, [make_hit(make_document(TEXT))]))
    assert answer.text.endswith(f"{CLOSEST}\nThe loan of EUR 50 million matures in June 2027.")
    assert all(sentence.supported for sentence in answer.sentences)
    # On the question, it stands alone.
    generator = ScriptedGenerator("The loan matures in June 2027.")
    assert CLOSEST not in answer_of(run(generator, [make_hit(make_document(TEXT))])).text


def test_where_nothing_is_supported_the_closest_sentence_is_quoted_with_its_source() -> None:
    generator = ScriptedGenerator("The loan matures in May 2031.")
    answer = answer_of(run(generator, [make_hit(make_document(TEXT))]))
    assert answer.text.endswith(f"{CLOSEST}\nThe loan of EUR 50 million matures in June 2027.")
    assert [citation.quote for citation in answer.citations] == ["The loan of EUR 50 million matures in June 2027."]
    assert [sentence.supported for sentence in answer.sentences] == [False, True]


def test_closing_the_stream_closes_the_generator() -> None:
    generator = ScriptedGenerator("one two three four five six seven eight")
    stream = stream_answer(
        "q", "q", [make_hit(make_document(TEXT))], [], generator, RagConfig(), time.perf_counter(), 0.0
    )
    next(stream)
    next(stream)
    stream.close()
    assert generator.closed_after == 2


def test_a_large_model_is_shown_the_conversation_and_the_question_as_asked() -> None:
    generator = ScriptedGenerator("The loan matures in June 2027.")
    history = [Message("user", "How large is the loan?"), Message("assistant", "EUR 50 million.")]
    stream = stream_answer(
        "When does it mature?",
        "When does it mature? (How large is the loan)",
        [make_hit(make_document(TEXT))],
        history,
        generator,
        RagConfig(),
        time.perf_counter(),
        0.0,
    )
    answer = answer_of(list(stream))
    contents = [message.content for message in generator.calls[0]]
    assert "How large is the loan?" in contents
    assert contents[-1].endswith("When does it mature?")
    assert answer.query == "When does it mature? (How large is the loan)"


def test_a_small_model_is_shown_the_resolved_question_instead() -> None:
    generator = ScriptedGenerator("In 2022 it was 5.", name="SmolLM2-135M-Instruct")
    run(generator, [make_hit(make_document(TEXT))], "and in 2022?", "What was revenue in 2022?")
    assert generator.calls[0][-1].content.endswith("What was revenue in 2022?")


@pytest.mark.parametrize("words", ["hello", "Hi there!", "Thanks a lot.", "OK, thank you!", "What can you do?"])
def test_small_talk_is_answered_without_sources_and_is_no_abstention(words: str) -> None:
    generator = ScriptedGenerator("never said")
    answer = answer_of(run(generator, [make_hit(make_document(TEXT))], words))
    assert answer.text
    assert not answer.abstained
    assert (answer.citations, answer.sentences, answer.reason) == ((), (), "")
    assert generator.calls == []


@pytest.mark.parametrize(
    "question", ["Thanks. When does the loan mature?", "Who are you lending to?", "What is a bye?"]
)
def test_a_question_behind_a_greeting_is_a_question(question: str) -> None:
    assert not small_talk(question)
