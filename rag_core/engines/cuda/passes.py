"""Passes of the model as the scheduler asks for them: recorded as CUDA graphs, chosen tokens kept on the device.

Launching a pass kernel by kernel takes longer than computing it, so the second pass of a kind replays a recording of the
first. The token that a chat reads next stays on the device, so that a pass can be launched before the one before it
has been looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rag_core.engines.cuda.model import SlotModel

__all__ = ["Passes", "Pending", "Row"]

# Widths that are recorded: a pass takes the next one up, and what is left of it stays idle.
_NARROW, _WIDE = (1, 4, 16), 32
_SHORT = 64
# Positions that a recording reaches: this, and its doubles.
_LEAST_REACH = 1_024
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One token to read: of which chat, at which position."""

    slot: int
    position: int
    token: int


class Pending:
    """Tokens that a pass under way will choose."""

    def __init__(self, chosen: torch.Tensor) -> None:
        """Begin to fetch `chosen` (rows)."""
        self._event: Any = None
        if chosen.device.type == "cuda":
            self._host = torch.empty(chosen.shape, dtype=chosen.dtype, pin_memory=True)
            self._host.copy_(chosen, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()
        else:
            self._host = chosen.clone()

    def tokens(self) -> list[int]:
        """Wait for the pass; return its tokens."""
        if self._event is not None:
            self._event.synchronize()
        return [int(token) for token in self._host.tolist()]


class Passes:
    """Passes over one model. For one thread at a time, in its current stream."""

    def __init__(self, model: SlotModel, *, record: bool) -> None:
        """`record`: replay recordings (CUDA alone)."""
        self.model = model
        self._record = record
        most = max(16, model.slots)
        widths = [*_NARROW, *(_WIDE << power for power in range(16))]
        self._widths = [width for width in widths if width < most] + [next(width for width in widths if width >= most)]

        # The few tokens that a next turn adds are read as rows: that is recorded, and launching costs more than reading.
        self._short = min(_SHORT, self._widths[-1]) if record else 0

        def new(size: int, value: int) -> torch.Tensor:
            return torch.full((size,), value, dtype=torch.int64, device=model.device)

        # By slot: the token to read next, and its position; one more for rows that stay idle.
        self._last, self._place = new(model.slots + 1, 0), new(model.slots + 1, -1)
        # What a recording reads and writes, by row.
        self._rows = torch.zeros(3, self._widths[-1], dtype=torch.int64, device=model.device)
        self._chosen = new(self._widths[-1], 0)
        self._set: tuple[int, ...] = ()
        self._graphs: dict[tuple[str, int, int], Any] = {}
        self._pool: Any = None

    @property
    def widths(self) -> Sequence[int]:
        """Rows of a pass, ascending: fewer cost as much as the next of these."""
        return self._widths

    @property
    def recording(self) -> bool:
        """Whether passes are recorded."""
        return self._record

    def read(self, tokens: Sequence[int], slot: int, start: int) -> Pending:
        """Read a part of a prompt; the token chosen behind it becomes the one that the chat reads next."""
        if start and len(tokens) <= self._short:
            self._look([Row(slot, start + number, token) for number, token in enumerate(tokens)])
            chosen = self._chosen[len(tokens) - 1 : len(tokens)].clone()
        else:
            chosen = self.model.read(self._device(list(tokens)), slot, start).argmax(-1)
        self._last[slot : slot + 1] = chosen
        self._place[slot : slot + 1].fill_(start + len(tokens))
        return Pending(chosen)

    def place(self, slot: int, token: int, position: int) -> None:
        """Say which token a chat reads next."""
        # Filled, since assigning a number to one element copies it from pageable memory and waits for the device.
        self._last[slot : slot + 1].fill_(token)
        self._place[slot : slot + 1].fill_(position)

    def advance(self, slots: Sequence[int], reach: int) -> Pending:
        """Let each of these chats read its next token, all below position `reach`; choose those behind them."""
        width = self._width(len(slots))
        padded = (*slots, *[self.model.slots] * (width - len(slots)))
        if padded != self._set:
            self._rows[1, :width] = self._device(padded)
            self._set = padded
        self._run("advance", width, self._reach(reach))
        return Pending(self._chosen[: len(slots)])

    def check(self, rows: Sequence[Row]) -> list[int]:
        """Read these rows; wait for the tokens chosen behind each. Chats must be placed again before they advance."""
        self._look(rows)
        return Pending(self._chosen[: len(rows)]).tokens()

    def _look(self, rows: Sequence[Row]) -> None:
        width = self._width(len(rows))
        idle = [0] * (width - len(rows))
        columns = (
            [*(row.token for row in rows), *idle],
            [*(row.slot for row in rows), *(self.model.slots for _ in idle)],
            [*(row.position for row in rows), *(-1 for _ in idle)],
        )
        self._rows[:, :width] = self._device(columns)
        self._set = ()
        together = all(row.slot == rows[0].slot for row in rows)
        self._run("same" if together else "check", width, self._reach(1 + max(row.position for row in rows)))

    def try_out(self) -> None:
        """Run a pass of every sort, and where they are recorded each a second time. Raises whatever is in the way."""
        first, second = (
            [*self.read([0] * 8, 0, 0).tokens(), *self.advance([0], 9).tokens(), *self.check([Row(0, 9, 0)])]
            for _ in range(2)
        )
        if not all(0 <= token < self.model.settings.vocabulary for token in (*first, *second)):
            raise RuntimeError("the card computes tokens that there are not")
        if first != second and self._record:
            log.warning("Recorded passes compute other tokens on this card, so they are not recorded")
            self._record = False
            self._short = 0
            self._graphs.clear()

    def prepare(self, kind: str, rows: int, reach: int) -> None:
        """Record a pass before it is needed, over idle rows. Only with operations that take nothing but those."""
        width = self._width(rows)
        if not self._record or (kind, width, self._reach(reach)) in self._graphs:
            return
        self._set = ()
        self._rows[1, :width] = self.model.slots
        self._rows[2, :width] = -1
        self._run(kind, width, self._reach(reach))

    def kinds(self) -> list[tuple[str, int, int]]:
        """Return the passes worth preparing, the likeliest first."""
        reaches = []
        reach = _LEAST_REACH
        while True:
            reaches.append(self._reach(reach))
            if reach >= self.model.length:
                break
            reach *= 2
        found = [("same", rows, reach) for rows in (16, self._short) for reach in reaches]
        found += [("advance", 1, reach) for reach in reaches] + [("check", 16, reach) for reach in reaches]
        return found + [("advance", width, reach) for width in self._widths[1:] for reach in reaches]

    def relieve(self) -> None:
        """Give back what memory torch keeps for later."""
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _run(self, kind: str, width: int, reach: int) -> None:
        key = (kind, width, reach)
        if (graph := self._graphs.get(key)) is not None:
            graph.replay()
            return

        def body() -> None:
            if kind == "advance":
                self._advance(width, reach)
            else:
                self._check(width, reach, kind == "same")

        # The first is run as it is, since recording alone computes nothing; it also compiles what is needed.
        body()
        if self._record and (graph := self._recorded(body)) is not None:
            self._graphs[key] = graph

    def _recorded(self, body: Callable[[], None]) -> Any:
        """Return the graph of a pass, None where it cannot be recorded: then passes are launched one by one."""
        graph = torch.cuda.CUDAGraph()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        try:
            # Other threads may use the card meanwhile: only what this one does is recorded.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
            ):
                body()
        except torch.cuda.OutOfMemoryError:
            return None  # the pass itself has been computed; the next of its kind tries again
        except RuntimeError as error:
            log.warning("Passes cannot be recorded on this card, so answers come slower: %s", error)
            self._record = False
            return None
        return graph

    def _advance(self, width: int, reach: int) -> None:
        slots = self._rows[1, :width]
        positions = self._place[slots]
        chosen = self.model.step(self._last[slots], slots, positions, reach, apart=True).argmax(-1)
        self._last[slots] = chosen
        self._place[slots] = torch.where(positions < 0, positions, positions + 1)
        self._chosen[:width] = chosen

    def _check(self, width: int, reach: int, together: bool) -> None:
        ids, slots, positions = self._rows[:, :width]
        self._chosen[:width] = self.model.step(ids, slots, positions, reach, together=together).argmax(-1)

    def _width(self, rows: int) -> int:
        return next(width for width in self._widths if width >= rows)

    def _reach(self, positions: int) -> int:
        reach = _LEAST_REACH
        while reach < positions:
            reach *= 2
        return min(reach, self.model.length)

    def _device(self, numbers: Any) -> torch.Tensor:
        on_gpu = self.model.device.type == "cuda"
        host = torch.tensor(numbers, dtype=torch.int64, pin_memory=on_gpu)
        return host.to(self.model.device, non_blocking=True)
