"""Threads that help with one forward pass after another, and sleep in between."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import lru_cache

__all__ = ["Team", "team_of"]

Job = Callable[[int], None]


class Team:
    """The calling thread and `size - 1` helpers. A job is called once by each, with the thread's number from 0.

    Jobs share their work through counters, so a helper that comes late finds nothing to do and does no harm, as long as
    the job itself holds the counters; `run` returns when the caller's own part has returned.
    """

    def __init__(self, size: int, work: str = "decoding") -> None:
        """Start the helpers, named after their work; they end with the process."""
        self.size = size
        self._jobs: list[queue.SimpleQueue[Job]] = [queue.SimpleQueue() for _ in range(size - 1)]
        for number, jobs in enumerate(self._jobs, start=1):
            threading.Thread(target=_help, args=(number, jobs), name=f"{work}-{number}", daemon=True).start()

    def run(self, job: Job) -> None:
        """Call `job` on every thread."""
        for jobs in self._jobs:
            jobs.put(job)
        job(0)


def _help(number: int, jobs: queue.SimpleQueue[Job]) -> None:
    while True:
        jobs.get()(number)


@lru_cache(maxsize=8)
def team_of(size: int, work: str = "decoding") -> Team:
    """Return the process's team of that size for that work: long work of one kind must not stand in another's way."""
    return Team(size, work)
