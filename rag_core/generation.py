"""What a text generator is: the small protocol that every engine implements; `rag_core.engines` picks one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from rag_core.records import Message, ProgressCallback

__all__ = ["GenerationDelta", "StartsEarly", "TextGenerator"]


@dataclass(frozen=True, slots=True)
class GenerationDelta:
    """The next piece of text, with `tokens` new tokens behind it.

    The last delta of a stream has a `finish_reason`, and only the last; its text may be empty. `prompt_tokens` counts
    the whole prompt, `cached_tokens` those of it whose keys and values were reused from an earlier call.
    """

    text: str
    tokens: int = 1
    prompt_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: Literal["stop", "length", "cancelled"] | None = None


@runtime_checkable
class TextGenerator(Protocol):
    """A lazily loaded chat model. All methods may be called from any thread; `stream` runs one request at a time."""

    @property
    def name(self) -> str:
        """Hub id, folder or package that the weights came from."""

    @property
    def context_tokens(self) -> int:
        """Most tokens of prompt and answer together."""

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""

    def load(self, on_progress: ProgressCallback | None = None) -> None:
        """Load tokenizer and weights, once; later calls return at once. Raises ModelError."""

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count the prompt's tokens under the chat template (needs the tokenizer only, not the weights)."""

    def stream(self, messages: Sequence[Message], *, max_new_tokens: int) -> Iterator[GenerationDelta]:
        """Generate greedily; closing the iterator stops within one token and frees the engine. Raises ModelError."""


@runtime_checkable
class StartsEarly(Protocol):
    """A generator whose first start on a machine can begin before anything is asked of it."""

    def prepare(self) -> None:
        """Begin it in the background and return at once. Raises ModelError."""
