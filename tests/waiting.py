"""Waiting for what another thread or process does: as long as it takes on a slow machine, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

# A limit costs nothing but on a failure: waiting ends as soon as what is waited for is there.
PATIENCE_SECONDS = 120.0


def eventually(condition: Callable[[], object]) -> bool:
    """Return whether the condition came true before patience ran out."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
