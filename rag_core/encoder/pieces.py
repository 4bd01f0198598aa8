"""Texts side by side in memory, cut into pieces that threads take one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag_core.engines.memory import thread_count
from rag_core.engines.team import team_of

__all__ = ["Layout", "Piecework", "lay_out", "run_pieces"]

Integers = npt.NDArray[np.int64]
# Tokens of a piece of work: what is computed for them stays in the cache of one core.
_PIECE_TOKENS = 128
_POLL_SECONDS = 0.0002


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Texts longest first: `order` their numbers, `starts` where each begins in `flat`, and the end; `flat` all ids."""

    order: list[int]
    starts: Integers
    flat: Integers

    def apart(self, rows: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Return of `rows`, one for each of `flat`, those of each text, in the order in which the texts came."""
        found = [rows[:0]] * len(self.order)
        for place, index in enumerate(self.order):
            found[index] = rows[self.starts[place] : self.starts[place + 1]]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Piecework:
    """What compiled code takes pieces by: addresses of the counters of those taken and done, the first text of each piece
    and the number of texts, and the most tokens of a piece and of a text."""

    taken: int
    done: int
    pieces: Integers
    rows: int
    longest: int


def lay_out(ids: Sequence[Sequence[int]], vocabulary: int) -> Layout:
    """Lay the ids of texts side by side. Raises ValueError where one is none of the vocabulary's."""
    order = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
    starts = np.cumsum([0, *(len(ids[index]) for index in order)], dtype=np.int64)
    flat = np.fromiter((token for index in order for token in ids[index]), np.int64, int(starts[-1]))
    if len(flat) and not 0 <= flat.min() <= flat.max() < vocabulary:
        raise ValueError("A token is not in the vocabulary")
    return Layout(order, starts, flat)


def run_pieces(starts: Integers, work: Callable[[Piecework], None], name: str = "embedding") -> None:
    """Call `work` on every core, at once, with the texts that start there; return when all pieces are done.

    `name` is that of the team, so that long work of one kind does not stand in another's way. Raises what `work` raises,
    no memory most likely.
    """
    pieces = _pieces(starts)
    count = len(pieces) - 1
    if not count:
        return
    counters = np.zeros(2, dtype=np.int64)
    taken, done = counters.ctypes.data, counters.ctypes.data + counters.itemsize
    shared = Piecework(taken, done, pieces, int(np.diff(starts[pieces]).max()), int(np.diff(starts).max()))
    failed: list[BaseException] = []

    def take_part(_: int) -> None:
        # A helper may come when all is done and this call has returned. Named here, the counters are still in memory
        # then: in their place would lie others', which it would count up.
        if counters[0] >= count:
            return
        try:
            work(shared)
        except BaseException as error:
            failed.append(error)

    team_of(min(thread_count(0), count), name).run(take_part)
    # What another thread has taken may be under way still, for milliseconds or, of a large model, tenths of a second.
    while counters[1] < count and not failed:
        time.sleep(_POLL_SECONDS)
    if failed:
        raise failed[0]


def _pieces(starts: Integers) -> Integers:
    """Return the first text of each piece, and the number of texts: neighbours share one while they fit in it."""
    firsts: list[int] = []
    for text in range(len(starts) - 1):
        if not firsts or starts[text + 1] - starts[firsts[-1]] > _PIECE_TOKENS:
            firsts.append(text)
    return np.array([*firsts, len(starts) - 1] if firsts else [0], dtype=np.int64)
