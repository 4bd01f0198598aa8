"""One answer from its hits: decide whether to answer, build the prompt, stream the model, tie the text to its sources."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

from rag_core.answers.citing import cite, closest_sentence
from rag_core.answers.extracting import Extraction, extract
from rag_core.answers.nearness import WordNearness
from rag_core.answers.reader import Reader
from rag_core.arithmetic import cite_operands, compute
from rag_core.config import RagConfig
from rag_core.errors import ModelLoadError
from rag_core.generation import GenerationDelta, TextGenerator
from rag_core.language.sentences import content_terms
from rag_core.policy import ModelPolicy, policy_for, small_talk
from rag_core.prompting import Prompt, build_prompt
from rag_core.records import (
    Answer,
    AnswerEvent,
    CitationsEvent,
    Computation,
    DoneEvent,
    FinishReason,
    Hit,
    Message,
    TextEvent,
    TokenCounts,
)

__all__ = ["CLOSEST", "NOT_FOUND", "stream_answer"]

log = logging.getLogger(__name__)

NOT_FOUND = "I could not find this in your documents."
# What stands before a quoted sentence where nothing that the model said is supported.
CLOSEST = "Closest passage in the documents:"

# Shares of the question's words that a quote holds: under the first it is about something else, from the second on it
# is about the question. A small model that loses the thread copies a true sentence from the end of the passage.
_OFF_TOPIC, _ON_TOPIC = 0.25, 0.5

# A model's own way to say that the passages do not hold the answer.
_REFUSAL = re.compile(
    r"^(?:i(?:'m| am) sorry[^.]*\.\s*)?"
    r"(?:(?:the|these|your|provided|given) (?:\w+ )?(?:documents?|passages?|text|context)s? (?:do|does|did)(?:n't| not) "
    r"(?:say|mention|contain|provide|state|specify|hold|include)|i (?:could not|couldn't|cannot|can't) (?:find|answer)|"
    r"there is no (?:mention|information))",
    re.IGNORECASE,
)


class _Run:
    """What is gathered while one answer streams."""

    def __init__(self, started: float, search_seconds: float) -> None:
        self.started = started
        self.timings = {"search": search_seconds}
        self.text = ""
        self.tokens = TokenCounts()
        self.finish_reason: FinishReason = "stop"

    def take(self, delta: GenerationDelta) -> str:
        """Account for one delta and return its text, without white space at the start of the answer."""
        self.tokens = TokenCounts(
            delta.prompt_tokens or self.tokens.prompt,
            self.tokens.completion + delta.tokens,
            delta.cached_tokens or self.tokens.cached,
        )
        if delta.finish_reason:
            self.finish_reason = delta.finish_reason
        return self.say(delta.text)

    def say(self, text: str) -> str:
        """Append to the answer and return what was appended."""
        if not self.text:
            text = text.lstrip()
        if text and "first_token" not in self.timings:
            self.timings["first_token"] = time.perf_counter() - self.started
        self.text += text
        return text


def stream_answer(
    question: str,
    query: str,
    hits: Sequence[Hit],
    history: Sequence[Message],
    generator: TextGenerator,
    config: RagConfig,
    started: float,
    search_seconds: float,
    wording: WordNearness | None = None,
    reader: Reader | None = None,
) -> Iterator[AnswerEvent]:
    """Yield the events of one answer. `started` is `time.perf_counter()` at the question. Raises ModelError, QuestionError.

    A greeting is answered with what the assistant does; it claims nothing and needs no source.
    Where no hit reaches the policy's minimum score, the answer is NOT_FOUND and the model is not called. Neither is it
    where the question asks for a figure that code can compute from cited cells, however low a table scores, nor, under a
    policy that extracts and with `wording` and `reader`, where it asks for something that can be looked up: that is read
    out of the passages, or found not to be there.
    """
    run = _Run(started, search_seconds)
    policy = policy_for(generator.name, config.generation)
    prompt: Prompt | None = None
    extraction: Extraction | None = None
    reply = small_talk(question)
    if reply:
        query, hits, extraction = question, (), Extraction(reply)
    computation = compute(query, hits) if hits else None
    if computation is None and hits and policy.extracts and wording is not None and reader is not None:
        extraction = _extracted(query, hits, wording, reader)
        computation = extraction.computation if extraction else None
    # What was read closely is judged by that; the score of the passage decides where nothing was.
    unread = computation is None and extraction is None
    reason = extraction.reason if extraction else _nothing_relevant(hits, policy) if unread else ""
    if reason:
        run.finish_reason = "abstained"
        yield TextEvent(run.say(NOT_FOUND))
    elif computation is not None:
        yield TextEvent(run.say(computation.text))
    elif extraction is not None:
        yield TextEvent(run.say(extraction.text))
    else:
        generator.load()
        asked = question if policy.history_turns else query
        prompt = build_prompt(asked, hits, history, policy, generator.count_tokens)
        with closing(generator.stream(prompt.messages, max_new_tokens=prompt.answer_tokens)) as deltas:  # type: ignore[type-var]
            for delta in deltas:
                text = run.take(delta)
                # While the prompt is read there is no text; it is told all the same, as a place to stop.
                if text or not (delta.tokens or delta.finish_reason):
                    yield TextEvent(text)
        if not run.text.strip():
            reason, run.finish_reason = "the model gave no answer", "abstained"
            yield TextEvent(run.say(NOT_FOUND))
        elif _REFUSAL.match(run.text.strip()):
            reason, run.finish_reason = "the model found no answer in the passages", "abstained"
        else:
            yield from _offer_quote(query, prompt, run)
    yield from _finish(question, query, hits, generator.name, run, prompt, reason, computation, extraction)


def _offer_quote(query: str, prompt: Prompt, run: _Run) -> Iterator[AnswerEvent]:
    """Where no sentence of the answer is supported, or what supports it is off the question, add the nearest sentence."""
    citations, sentences = cite(run.text, query, prompt.hits)
    closest = closest_sentence(query, prompt.hits)
    if any(sentence.supported for sentence in sentences):
        on_topic = max(_share_named(query, citation.quote) for citation in citations)
        if on_topic >= _OFF_TOPIC or closest is None or _share_named(query, closest.quote) < _ON_TOPIC:
            return
    if closest is not None:
        yield TextEvent(run.say(f"\n\n{CLOSEST}\n{closest.quote}"))


def _share_named(question: str, quote: str) -> float:
    """Return the share in [0, 1] of the question's content words that a quote holds."""
    asked = set(content_terms(question))
    return len(asked & set(content_terms(quote))) / (len(asked) or 1)


def _extracted(query: str, hits: Sequence[Hit], wording: WordNearness, reader: Reader) -> Extraction | None:
    """Return what can be looked up; None where an answer has to be written, or the reading model is not to be had."""
    try:
        return extract(query, hits, wording, reader)
    except ModelLoadError as error:
        log.warning("Answers are written and not read: %s", error)
        return None


def _nothing_relevant(hits: Sequence[Hit], policy: ModelPolicy) -> str:
    """Return why retrieval alone shows that there is no answer, or nothing where it does not."""
    if not hits:
        return "no passage matches the question"
    best = max(hit.score for hit in hits)
    if best < policy.minimum_score:
        return f"the best passage scores {best:.2f}, under the {policy.minimum_score:.2f} that counts as relevant"
    return ""


def _finish(
    question: str,
    query: str,
    hits: Sequence[Hit],
    model: str,
    run: _Run,
    prompt: Prompt | None,
    reason: str,
    computation: Computation | None,
    extraction: Extraction | None,
) -> Iterator[AnswerEvent]:
    shown = prompt.hits if prompt else ()
    if computation is not None:
        citations, sentences = cite_operands(computation)
    elif extraction is not None:
        citations, sentences = extraction.citations, extraction.sentences
    else:
        citations, sentences = ((), ()) if reason else cite(run.text, query, shown)
    # The words that introduce the quotation are ours and claim nothing.
    sentences = tuple(sentence for sentence in sentences if sentence.text != CLOSEST)
    yield CitationsEvent(citations, sentences)
    run.timings["total"] = time.perf_counter() - run.started
    yield DoneEvent(
        Answer(
            question=question,
            query=query,
            text=run.text,
            citations=citations,
            sentences=sentences,
            abstained=bool(reason),
            hits=tuple(hits),
            finish_reason=run.finish_reason,
            model=model,
            timings=run.timings,
            tokens=run.tokens,
            dropped_passages=prompt.dropped_passages if prompt else 0,
            dropped_turns=prompt.dropped_turns if prompt else 0,
            reason=reason,
            computation=computation,
        )
    )
