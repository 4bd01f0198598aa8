"""What passes between caller and pipeline beside documents and answers: turns of a conversation, steps of a long job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Message",
    "Progress",
    "ProgressCallback",
]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, in the roles that chat templates know."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a longer job: `done` of `total` units of `stage`; `total` is 0 while it is unknown."""

    stage: Literal["reading", "splitting", "embedding", "saving", "downloading", "converting", "loading"]
    done: int = 0
    total: int = 0
    detail: str = ""


ProgressCallback = Callable[[Progress], None]
