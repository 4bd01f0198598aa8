"""One answer in the making, and the place that it has in the cache."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from dataclasses import dataclass, field

from rag_core.engines.lookup import PromptLookup
from rag_core.engines.steps import Step
from rag_core.errors import RagError

__all__ = ["Request", "Slot"]


@dataclass(eq=False)
class Request:
    """One answer in the making. Its steps arrive in `steps`; an error is the last thing that does."""

    prompt: tuple[int, ...]
    limit: int
    steps: queue.SimpleQueue[Step | RagError] = field(default_factory=queue.SimpleQueue)
    cancelled: bool = False
    number: int = 0
    slot: int = -1
    # Tokens of the prompt that are in the cache, those of them that were there before, tokens of the answer asked for.
    read: int = 0
    cached: int = 0
    launched: int = 0
    made: list[int] = field(default_factory=list)
    done: bool = False
    # Whether the device knows which token is next.
    placed: bool = True
    lookup: PromptLookup | None = None

    @property
    def unread(self) -> bool:
        """Whether a part of the prompt is still to be read."""
        return self.read < len(self.prompt)

    @property
    def end(self) -> int:
        """Position of the last token chosen."""
        return len(self.prompt) + len(self.made) - 1


@dataclass
class Slot:
    """A place for one chat: the tokens whose keys and values are there, who has it, when it was last given away."""

    tokens: tuple[int, ...] = ()
    owner: Request | None = None
    used: int = 0

    @property
    def known(self) -> tuple[int, ...]:
        """Tokens that another chat may copy or go on from."""
        return self.tokens if self.owner is None else self.owner.prompt[: self.owner.read]

    def shares(self, prompt: Sequence[int]) -> int:
        """Return how many tokens at the start are those of `prompt`, whose last is always read, for what comes behind it."""
        same = 0
        for a, b in zip(self.known, prompt[:-1], strict=False):
            if a != b:
                break
            same += 1
        return same
