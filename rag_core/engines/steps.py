"""What an engine does under the chat: token ids in, token ids out, a step at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Engine", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """New tokens of one forward pass, none while the prompt is still read. Only the last step says why it ended.

    `cached` counts the tokens of the prompt that were not computed again. A stop token is never among `tokens`.
    """

    tokens: tuple[int, ...] = ()
    cached: int = 0
    finish: Literal["stop", "length"] | None = None


class Engine(Protocol):
    """A loaded model. `at_once` calls of `generate` run at a time; closing its iterator stops it before the next token."""

    @property
    def at_once(self) -> int:
        """How many answers are made together."""

    @property
    def description(self) -> str:
        """Where and in what precision it computes."""

    def generate(self, prompt: Sequence[int], max_new_tokens: int) -> Iterator[Step]:
        """Continue `prompt` greedily. `prompt` and new tokens together stay within the model's context."""
