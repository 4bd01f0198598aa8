"""What a run tells: one JSON line an event in RUN/log.jsonl for programs, one line of text on stderr for people."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from train.checkpoint import disk_error

__all__ = ["Journal", "read_journal"]

LOG = "log.jsonl"


class Journal:
    """Writes events as they happen. Only the first process of several writes; the others keep silent."""

    def __init__(self, run: Path, *, active: bool = True, resumed_at: int = 0) -> None:
        """Open RUN/log.jsonl; events after step `resumed_at` are dropped, since those steps come again.

        Raises DiskError.
        """
        self._path = run / LOG
        self._active = active
        self._started = time.monotonic()
        if not active:
            return
        try:
            run.mkdir(parents=True, exist_ok=True)
            kept = [event for event in read_journal(run) if event.get("step", 0) <= resumed_at] if resumed_at else []
            self._started -= max((float(event.get("time", 0.0)) for event in kept), default=0.0)
            text = "".join(json.dumps(event) + "\n" for event in kept)
            self._path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise disk_error(self._path, error) from error

    def note(self, event: str, step: int, **values: Any) -> None:
        """Append an event. A disk that is full then stops no training: the next checkpoint tells."""
        if not self._active:
            return
        line = {"event": event, "step": step, "time": round(time.monotonic() - self._started, 2), **values}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            self.say(f"The log could not be written ({error.strerror}); training goes on")

    def say(self, text: str) -> None:
        """Show a line to whoever watches."""
        if self._active:
            print(text, file=sys.stderr, flush=True)

    def show_step(self, step: int, total: int, values: dict[str, float]) -> None:
        """Show a step with what is left of the run."""
        elapsed = time.monotonic() - self._started
        left = elapsed / max(1, step) * (total - step)
        memory = values["memory_bytes"] / 2**30
        self.say(
            f"step {step}/{total}  loss {values['loss']:.4f}  rate {values['learning_rate']:.2e}  "
            f"{values['tokens_per_second']:,.0f} tokens/s  {memory:.2f} GiB  {_clock(left)} left"
        )


def read_journal(run: Path) -> list[dict[str, Any]]:
    """Return the events of a run in order; a line that a killed process left half-written ends them."""
    events: list[dict[str, Any]] = []
    path = run / LOG
    if not path.is_file():
        return events
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            break
        if isinstance(event, dict):
            events.append(event)
    return events


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
