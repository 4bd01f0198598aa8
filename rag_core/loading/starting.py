"""Starts the worker process: on an open file, or ahead of one, so that the file finds it with its imports done.

A worker that waits has read nothing, reads one file when it gets one, and is killed like any other.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["SPARE", "Spare", "Worker", "end", "kill", "start"]

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from rag_core.loading.worker import main; main()"
_ROOT = str(Path(__file__).resolve().parents[2])
# What a Python process needs to start and find its libraries; nothing that could be a secret.
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP")
# A worker that waits holds 30 MiB; after this long without a file it is not worth them.
_IDLE_SECONDS = 600.0

Worker = subprocess.Popen[bytes]


def start(source: int, job: Mapping[str, Any]) -> Worker:
    """Start a worker on an open file's descriptor, or on a socket at which it is to wait. Raises OSError."""
    # It is told where its libraries are, so that it need not look for them (-S), which takes as long as starting.
    paths = [_ROOT, *(path for path in sys.path if path and Path(path).is_absolute())]
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment |= {"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, json.dumps(paths), json.dumps(job)],
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=tempfile.gettempdir(),
        start_new_session=True,
    )


def kill(worker: Worker) -> None:
    """Kill a worker and whatever it started, unless its end has been seen already (its id may be another's by then)."""
    if worker.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(worker.pid, signal.SIGKILL)
        else:
            worker.kill()


def end(worker: Worker) -> None:
    """Kill a worker and wait until it is dead."""
    kill(worker)
    worker.wait()
    if worker.stdout is not None:
        worker.stdout.close()


class Spare:
    """At most one worker that waits for a file. Thread-safe; does nothing before `keep`."""

    def __init__(self, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._kept = False
        self._waiting: tuple[Worker, socket.socket] | None = None

    def keep(self) -> None:
        """Have a worker wait from now on: a new one starts when a file is handed over, while that is being read."""
        # Windows hands no files over.
        self._kept = hasattr(socket, "send_fds")
        self._fill()

    def hand_over(self, content: BinaryIO, job: Mapping[str, Any]) -> Worker | None:
        """Give an open file to the worker that waits, and return it; None where none does."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        worker = self._given(waiting, content, job) if waiting else None
        self._fill()
        return worker

    def _given(self, waiting: tuple[Worker, socket.socket], content: BinaryIO, job: Mapping[str, Any]) -> Worker | None:
        worker, channel = waiting
        with channel:
            try:
                socket.send_fds(channel, [json.dumps(job).encode()], [content.fileno()])
            except OSError:
                # It died while it waited, or has given up waiting.
                end(worker)
                return None
        return worker

    def _fill(self) -> None:
        with self._lock:
            if not self._kept or self._waiting:
                return
            # Without a worker that waits, files are read all the same.
            with suppress(OSError):
                ours, its = socket.socketpair()
                with its:
                    try:
                        self._waiting = start(its.fileno(), {"idle_seconds": self._idle_seconds}), ours
                    except OSError:
                        ours.close()
                        raise

    def release(self) -> None:
        """Have no worker wait any more, and kill the one that does."""
        with self._lock:
            self._kept = False
            waiting, self._waiting = self._waiting, None
        if waiting:
            worker, channel = waiting
            channel.close()
            end(worker)


SPARE = Spare()
atexit.register(SPARE.release)
