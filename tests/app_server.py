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
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
START_SECONDS = 120


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[bytes]
    uploads: Path
    temporary: Path
    log: Path
    start_seconds: float

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def start_server(**environment: str) -> Server:
    """Start `python app.py` on a free port, with folders of its own, and wait until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary = Path(tempfile.mkdtemp(prefix="rag-app-test-"))
    uploads = temporary / "uploads"
    uploads.mkdir()
    log = temporary / "log.txt"
    variables = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(uploads),
        "TMPDIR": str(temporary),
        "HF_HUB_OFFLINE": "1",
        "APP_GRACE_SECONDS": "1",
        **environment,
    }
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(f"http://127.0.0.1:{port}", process, uploads, temporary, log, 0.0)
    while time.monotonic() - started < START_SECONDS:
        if process.poll() is not None:
            raise RuntimeError(f"The server ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(server.url, timeout=5):
                seconds = time.monotonic() - started
                return Server(server.url, process, uploads, temporary, log, seconds)
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
