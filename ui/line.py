"""Who answers now and who waits: few at a time, the others in order, and past a limit a request to come back."""

from __future__ import annotations

import threading
from types import TracebackType

from rag_core import BusyError

__all__ = ["Line", "Place"]


class Line:
    """At most `places` are served at one time; at most `waiting` more stand in line, first come first served."""

    def __init__(self, places: int, waiting: int) -> None:
        self._free = places
        self._most = waiting
        self._waiting: list[Place] = []
        self._lock = threading.Lock()

    def join(self) -> Place:
        """Return a place at the end of the line. Raises BusyError where too many wait already."""
        with self._lock:
            if len(self._waiting) >= self._most + self._free:
                raise BusyError("Many questions are waiting at the moment; try again in a minute")
            place = Place(self)
            self._waiting.append(place)
            return place

    def _ahead(self, place: Place) -> int:
        with self._lock:
            if place.taken:
                return 0
            rank = self._waiting.index(place)
            if rank == 0 and self._free:
                self._waiting.remove(place)
                self._free -= 1
                place.taken = True
                return 0
            return rank + 1

    def _leave(self, place: Place) -> None:
        with self._lock:
            if place.taken:
                self._free += 1
            else:
                self._waiting.remove(place)


class Place:
    """One's place in a line; a context manager that gives it up at the end."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.taken = False

    def ahead(self) -> int:
        """Return how many must end before it is this one's turn; at 0 it is, and `taken` is true."""
        return self._line._ahead(self)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line._leave(self)
