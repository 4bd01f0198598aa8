"""The garbage collector kept out of the way while libraries and models are loaded.

An import makes some hundred thousand objects that stay as long as the process. The collector goes through all of them
again and again while they are made, and once more at the end: together a fifth of a start, measured.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["first_load"]

_lock = threading.Lock()
_done: set[str] = set()
_running = 0
_was_enabled = False


@contextmanager
def first_load(what: str) -> Iterator[None]:
    """Pause collections while `what` is loaded for the first time in this process; what is loaded is then never gone through.

    Later loads of the same name run as ever: what they leave may be garbage some day. Any thread may load meanwhile;
    collections begin again when the last one is through. One that fails counts as no load.
    """
    with _lock:
        first = what not in _done
        if first:
            _done.add(what)
            _pause()
    try:
        yield
    except BaseException:
        if first:
            _done.discard(what)
        raise
    finally:
        if first:
            with _lock:
                _resume()


def _pause() -> None:
    global _running, _was_enabled
    if _running == 0:
        _was_enabled = gc.isenabled()
        gc.disable()
    _running += 1


def _resume() -> None:
    global _running
    _running -= 1
    if _running == 0:
        gc.freeze()
        if _was_enabled:
            gc.enable()
