"""Who is computed when: chats in slots, prompts in parts between the others' tokens, drafts while few are served.

The scheduler has no thread of its own; `turn` does a little of what there is to do. A pass is launched before the
tokens of the one before it are looked at, so the device never waits. What comes of it is that a chat which has ended
is computed once more, into a place that is given away only behind it.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from rag_core.engines.cuda.passes import Passes, Pending, Row
from rag_core.engines.cuda.requests import Request, Slot
from rag_core.engines.lookup import PromptLookup
from rag_core.engines.memory import is_memory_error
from rag_core.engines.steps import Step
from rag_core.errors import ModelError, OutOfMemoryError, RagError

__all__ = ["Scheduler"]

# Tokens of a prompt that are read at once: alone, and while others wait for their next token (20 ms of an H200 at 7B).
_ALONE, _SHARED = 2_048, 1_024
# Chats up to which drafts are made: they share the rows of one narrow pass.
_DRAFTING, _DRAFT_ROWS = 4, 16
# Tokens of a common start from which on a copy is cheaper than reading them again.
_WORTH_COPYING = 16
log = logging.getLogger(__name__)


class Scheduler:
    """Requests over the slots of one model. `submit` and `cancel` may be called from any thread, `turn` from one."""

    def __init__(self, passes: Passes, stop_ids: frozenset[int], *, lookup: bool) -> None:
        """`stop_ids` end an answer; `lookup`: draft from the prompt while few are served."""
        self._passes, self._stop_ids, self._lookup = passes, stop_ids, lookup
        # Drafts that fill a pass, of which one row is the last token itself.
        self._fills = [width - 1 for width in passes.widths if 1 < width <= _DRAFT_ROWS]
        self._slots = [Slot() for _ in range(passes.model.slots)]
        self._waiting: deque[Request] = deque()
        self._active: list[Request] = []
        self._pending: deque[tuple[Pending, list[Request]]] = deque()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    @property
    def free(self) -> int:
        """Slots that nobody has."""
        return sum(slot.owner is None for slot in self._slots)

    def idle(self) -> bool:
        """Whether there is nothing to do."""
        with self._lock:
            return not self._waiting and not self._active and not self._pending

    def submit(self, request: Request) -> None:
        """Put a request into the line."""
        with self._lock:
            request.number = next(self._numbers)
            self._waiting.append(request)

    def fail(self, error: RagError) -> None:
        """End every request with this error: something broke that is none of theirs."""
        with self._lock:
            waiting, self._waiting = list(self._waiting), deque()
        self._pending.clear()
        for request in [*waiting, *self._active]:
            self._end(request, error)
        self._active = []

    def turn(self) -> bool:
        """Do one thing after another once: whom to drop, whom to take in, a part of a prompt, a token for everybody.

        Returns whether anything was done.
        """
        for request in [request for request in self._active if request.cancelled]:
            self._end(request, None)
        self._active = [request for request in self._active if not request.done]
        self._admit()
        worked = self._read()
        return self._decode() or worked

    # Slots -----------------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        while self.free:
            with self._lock:
                request = self._waiting.popleft() if self._waiting else None
            if request is None:
                return
            if request.cancelled:
                continue
            self._give_slot(request)
            self._active.append(request)

    def _give_slot(self, request: Request) -> None:
        """Choose a slot, and the longest start of the prompt that is in one: taken over, or copied from another."""
        common, source = max(
            ((slot.shares(request.prompt), number) for number, slot in enumerate(self._slots)),
            key=lambda found: found[0],
        )
        free = [number for number, slot in enumerate(self._slots) if slot.owner is None]
        oldest = min(free, key=lambda number: self._slots[number].used)
        there = self._slots[source]
        # A chat that goes on takes its own place. One that shares its first words only leaves the other as it is.
        goes_on = there.owner is None and (2 * common >= len(there.tokens) or len(free) == 1)
        target = source if common and goes_on else oldest
        if target != source:
            if common >= _WORTH_COPYING:
                self._passes.model.copy_start(source, target, common)
            else:
                common = 0
        slot = self._slots[target]
        slot.owner, slot.tokens, slot.used = request, (), request.number
        request.slot, request.read, request.cached = target, common, common
        request.lookup = PromptLookup(request.prompt, _DRAFT_ROWS - 1, self._fills) if self._lookup else None

    def _end(
        self,
        request: Request,
        error: RagError | None,
        finish: Literal["stop", "length"] | None = None,
        last: int | None = None,
    ) -> None:
        """Free the slot of a request and tell it why."""
        if request.done:
            return
        request.done = True
        if request.slot >= 0:
            slot = self._slots[request.slot]
            # The last token was chosen and not read. After an error nothing is certain.
            made = () if request.unread else tuple(request.made[:-1])
            slot.tokens, slot.owner = (() if error else request.prompt[: request.read] + made), None
        if error is not None:
            request.steps.put(error)
        elif finish is not None:
            request.steps.put(Step(() if last is None else (last,), request.cached, finish))

    # Passes ----------------------------------------------------------------------------------------------------------

    def _read(self) -> bool:
        """Read a part of the prompt that waits longest."""
        request = next((each for each in self._active if each.unread), None)
        if request is None:
            return False
        alone = all(other.unread for other in self._active)
        part = request.prompt[request.read : request.read + (_ALONE if alone else _SHARED)]
        self._attempt(lambda requests: self._read_part(requests[0], part), [request])
        return True

    def _read_part(self, request: Request, part: Sequence[int]) -> None:
        pending = self._passes.read(part, request.slot, request.read)
        request.read += len(part)
        # A part gives nobody a token, but is waited for: those launched far ahead could not be stopped any more.
        self._pending.append((pending, [] if request.unread else [request]))
        if request.unread:
            request.steps.put(Step(cached=request.cached))
        else:
            request.launched = 1

    def _decode(self) -> bool:
        live = self._live()
        if self._lookup and 0 < len(live) <= min(_DRAFTING, len(self._active)):
            self._settle(0)
            if live := self._live():
                self._attempt(self._draft, live)
            return True
        if not live:
            worked = bool(self._pending)
            # While a prompt is read its next part is launched behind this one.
            self._settle(1 if any(each.unread for each in self._active) else 0)
            return worked
        self._attempt(self._advance, live)
        self._settle(1)
        return True

    def _live(self) -> list[Request]:
        """Return who gets another token."""
        return [
            request
            for request in self._active
            if not request.done and not request.cancelled and 0 < request.launched < request.limit
        ]

    def _advance(self, live: list[Request]) -> None:
        """Launch a pass that gives everybody a token."""
        for request in live:
            if not request.placed:
                self._passes.place(request.slot, request.made[-1], request.end)
                request.placed = True
        reach = max(len(request.prompt) + request.launched for request in live)
        pending = self._passes.advance([request.slot for request in live], reach)
        for request in live:
            request.launched += 1
        self._pending.append((pending, live))

    def _settle(self, left: int) -> None:
        """Look at the tokens of all passes but the `left` latest."""
        while len(self._pending) > left:
            pending, requests = self._pending.popleft()
            try:
                tokens = pending.tokens()
            except RuntimeError as error:  # the card's own: nobody knows what the pass has done
                for request in requests:
                    self._end(request, _told(error))
                continue
            for request, token in zip(requests, tokens, strict=bool(requests)):
                self._take(request, [token])

    def _draft(self, live: list[Request]) -> None:
        """Read the last token of everybody with a draft behind it; keep what greedy decoding would have chosen."""
        most = _DRAFT_ROWS // len(live) - 1
        rows: list[Row] = []
        drafts = []
        for request in live:
            left = min(most, request.limit - len(request.made) - 1)
            guess = request.lookup.draft(left, eager=len(live) == 1) if request.lookup else []
            drafts.append(guess)
            rows.extend(
                Row(request.slot, request.end + number, token)
                for number, token in enumerate([request.made[-1], *guess])
            )
        best = self._passes.check(rows)
        at = 0
        for request, guess in zip(live, drafts, strict=True):
            chosen = best[at : at + len(guess) + 1]
            at += len(chosen)
            right = next((i for i, token in enumerate(guess) if token != chosen[i]), len(guess))
            if request.lookup and guess:
                request.lookup.learn(len(guess), right)
            request.placed = False
            self._take(request, chosen[: right + 1])
            request.launched = len(request.made)

    def _take(self, request: Request, tokens: list[int]) -> None:
        """Add tokens to an answer, up to one that ends it."""
        for token in tokens:
            if request.done:
                return
            if token in self._stop_ids:
                self._end(request, None, "stop")
                return
            request.made.append(token)
            if request.lookup is not None:
                request.lookup.extend((token,))
            if len(request.made) >= request.limit:
                self._end(request, None, "length", token)
                return
            request.steps.put(Step((token,), request.cached))

    # What goes wrong -------------------------------------------------------------------------------------------------

    def _attempt(self, work: Callable[[list[Request]], None], requests: list[Request]) -> None:
        """Do `work` for these requests; where it fails, for each alone, so that it fails for the one that it is due to.

        Where memory ends, the newest request goes, and the others find things as they were at the next turn.
        """
        try:
            work(requests)
        except Exception as error:
            if is_memory_error(error):
                self._shed(error)
            elif len(requests) == 1:
                log.warning("A request failed", exc_info=error)
                self._end(requests[0], _told(error))
            else:
                for request in requests:
                    self._attempt(work, [request])

    def _shed(self, error: Exception) -> None:
        newest = max((each for each in self._active if not each.done), key=lambda each: each.number, default=None)
        if newest is not None:
            log.warning("Memory ended; the newest of %d requests goes: %s", len(self._active), error)
            told = OutOfMemoryError(
                "The memory of the GPU is full, so the newest question was dropped; ask it again in a moment"
            )
            told.__cause__ = error
            self._end(newest, told)
        self._passes.relieve()


def _told(error: Exception) -> RagError:
    if isinstance(error, RagError):
        return error
    told = ModelError(f"This answer failed ({type(error).__name__}: {str(error)[:200]}); ask again")
    told.__cause__ = error
    return told
