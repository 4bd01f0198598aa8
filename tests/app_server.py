"""One real server process for all tests of the app: started at first use, ended with the test run."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gradio_client import Client

ROOT = Path(__file__).parent.parent
START_SECONDS = 240
# What a library allows a request by default (httpx: 5 seconds) is too little where a model loads on a busy machine.
REQUEST_SECONDS = 120.0


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[bytes]
    uploads: Path
    temporary: Path
    log: Path
    hold: Path

    @contextmanager
    def held(self) -> Iterator[Path]:
        """Hold every answer after its first words; yield the file that appears when a held answer is stopped."""
        closed = self.hold.with_suffix(".closed")
        closed.unlink(missing_ok=True)
        self.hold.touch()
        try:
            yield closed
        finally:
            self.hold.unlink()

    def files(self) -> Iterator[Path]:
        """List the files under `temporary`, while the server may be deleting some of them."""
        for folder, _, names in os.walk(self.temporary):
            yield from (Path(folder) / name for name in names)

    def client(self) -> Client:
        return Client(self.url, verbose=False, httpx_kwargs={"timeout": REQUEST_SECONDS})

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(REQUEST_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def start_server(**environment: str) -> Server:
    """Start app.py on a free port, with folders of its own, and wait until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary = Path(tempfile.mkdtemp(prefix="rag-app-test-"))
    uploads = temporary / "uploads"
    uploads.mkdir()
    log, hold = temporary / "log.txt", temporary / "hold"
    variables = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(uploads),
        "TMPDIR": str(temporary),
        "HF_HUB_OFFLINE": "1",
        "APP_GRACE_SECONDS": "1",
        "APP_FEEDBACK_FILE": str(temporary / "feedback.jsonl"),
        **environment,
    }
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "tests/held_app.py", str(hold)],
            cwd=ROOT,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"http://127.0.0.1:{port}", process, uploads, temporary, log, hold)
    while time.monotonic() - started < START_SECONDS:
        if process.poll() is not None:
            raise RuntimeError(f"The server ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(server.url, timeout=REQUEST_SECONDS):
                return server
        except OSError:
            time.sleep(0.1)
    server.stop()
    raise RuntimeError(f"The server did not answer: {log.read_text()[-2000:]}")


@lru_cache(maxsize=1)
def shared_server() -> Server:
    """Return the server that all tests share."""
    server = start_server()

    def end() -> None:
        server.stop()
        shutil.rmtree(server.temporary, ignore_errors=True)

    atexit.register(end)
    return server
