"""Rows to token ids under the chat template that `rag_core` serves with, and the mask of what is learnt.

The prompt of a row is what the chat would send: with a context, a fenced passage and the question after it; without
one, the question alone. Only the answer and the token that ends it are in the loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rag_core.config import GenerationConfig
from rag_core.engines.tokens import ChatTokenizer
from rag_core.policy import ModelPolicy, policy_for
from rag_core.prompting import build_prompt, defuse
from rag_core.records import Document, Hit, Message, Page, Window
from train.errors import BaseModelError
from train.rows import Row

__all__ = ["IGNORED", "PASSAGE_BREAK", "Encoder", "Example", "labels_of", "limited"]

# The label that torch's cross entropy leaves out.
IGNORED = -100
# Between the passages of one context: each is then shown with a number and a fence of its own.
PASSAGE_BREAK = "\f"
_NO_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of prompt and answer; [answer_start, len(ids)) is learnt, the last id being the end of the turn.

    `cut` tells that the answer was longer than the limit: then the end is missing, and nothing teaches to stop there.
    """

    ids: tuple[int, ...]
    answer_start: int
    cut: bool = False

    def __len__(self) -> int:
        return len(self.ids)


def limited(example: Example, max_tokens: int, overlong: Literal["cut", "drop"]) -> Example | None:
    """Return what a run uses of a whole example; None where it teaches nothing, or is too long and goes."""
    short = _cut(example, max_tokens)
    return None if short.answer_start == len(short) or (short.cut and overlong == "drop") else short


def _cut(example: Example, max_tokens: int) -> Example:
    if len(example) <= max_tokens:
        return example
    return Example(example.ids[:max_tokens], min(example.answer_start, max_tokens), cut=True)


def labels_of(example: Example) -> list[int]:
    """Return the label of each id: itself in the answer, IGNORED in the prompt."""
    return [IGNORED] * example.answer_start + list(example.ids[example.answer_start :])


class Encoder:
    """The tokenizer of a base with the policy under which `model_name` is served."""

    def __init__(self, folder: Path, model_name: str) -> None:
        """Read the tokenizer. Raises ModelLoadError, or BaseModelError where it names no end of turn."""
        self.tokenizer = ChatTokenizer(folder)
        end = self.tokenizer.eos_id
        if end is None:
            raise BaseModelError(f"The tokenizer of {model_name} names no eos_token; it could never learn to stop")
        self.end_id: int = end
        # A row's context is already the part that the question is about, so all of it is shown.
        served = policy_for(model_name, GenerationConfig())
        self.policy: ModelPolicy = replace(served, focus_tokens=0)

    @property
    def pad_id(self) -> int:
        """The id that fills short rows. It is not the end of turn: that one must stay in the loss."""
        return self.tokenizer.padding_id

    def messages(self, row: Row) -> tuple[Message, ...]:
        """Return the conversation up to the answer, as it is served."""
        if not row.context:
            # As `build_prompt` writes a question: [/INST] is no control token to Mistral's first tokenizer, and ends a turn.
            return (Message("user", defuse(" ".join(row.question.split()))),)
        hits = [_hit(text.strip()) for text in row.context.split(PASSAGE_BREAK)]
        policy = replace(self.policy, passages=len(hits))
        return build_prompt(row.question, hits, (), policy, lambda messages: 0).messages

    def prompt(self, row: Row) -> list[int]:
        """Return the ids of the prompt, ready for the answer."""
        return self.tokenizer.encode(self.messages(row))

    def encode(self, row: Row, max_tokens: int = _NO_LIMIT) -> Example:
        """Return the row as ids. An answer over the limit is cut; a prompt over it leaves an example that is all prompt."""
        prompt = self.prompt(row)
        ids = (*prompt, *self.tokenizer.encode_answer(row.answer), self.end_id)
        return _cut(Example(ids, len(prompt)), max_tokens)

    def encode_all(self, rows: Iterable[Row], max_tokens: int, overlong: Literal["cut", "drop"]) -> list[Example]:
        """Return the examples that teach something: those with an answer, and, with `drop`, only whole ones."""
        examples = (limited(self.encode(row), max_tokens, overlong) for row in rows)
        return [example for example in examples if example is not None]


def _hit(text: str) -> Hit:
    document = Document("", "document", "text/plain", 0, text, (Page(1, 0, len(text)),))
    return Hit(document, 1, 0, len(text), text, 1.0, focus=Window(0, len(text)))
