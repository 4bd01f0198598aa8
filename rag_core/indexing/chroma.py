"""Chroma's clients, and its errors turned into ours: what the vectors on this machine and on a server have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from rag_core.errors import IndexStateError

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

__all__ = ["client_of", "open_client", "retried", "translated"]

# Waits before another try: long enough for a server that is started anew by its supervisor.
_WAITS = (0.2, 1.0, 3.0)
T = TypeVar("T")


def open_client(folder: Path | None) -> ClientAPI:
    """Return a client of the store in `folder`, or of one in memory that shares nothing."""
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False, allow_reset=False)
    if folder is None:
        return _private_client(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return chromadb.PersistentClient(str(folder), settings=settings)


def _private_client(settings: Any) -> ClientAPI:
    """Return a client of a system of its own; `chromadb.EphemeralClient` shares one among all in the process."""
    from chromadb.api import ServerAPI
    from chromadb.config import System

    api: Any = ServerAPI
    system = System(settings)
    system.instance(api)
    system.start()
    return client_of(system, "", owned=True)


def client_of(system: Any, database: str, owned: bool = False) -> ClientAPI:
    """Return a client of `database` (the default one where empty) over a started Chroma system; asks no server yet."""
    from chromadb.api import ServerAPI
    from chromadb.api.client import Client
    from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT

    api: Any = ServerAPI

    class PrivateClient(Client):
        """May own its system: then closing it gives the memory back."""

        def __init__(self) -> None:
            self._own_system = system if owned else None
            self._server = system.instance(api)
            self.tenant, self.database = DEFAULT_TENANT, database or DEFAULT_DATABASE

        def close(self) -> None:
            """Stop the system, once."""
            ours, self._own_system = self._own_system, None
            if ours is not None:
                del self._server
                ours.stop()

    return PrivateClient()


@contextmanager
def translated(place: str, server: bool = False) -> Iterator[None]:
    """Turn Chroma's, SQLite's, the network's and the file system's errors into ours."""
    try:
        yield
    except IndexStateError:
        raise
    except Exception as error:  # chromadb raises its own, ValueError, RuntimeError and the driver's errors.
        text = str(error).splitlines()[0][:200] if str(error) else ""
        advice = "free some disk or memory and try again" if "full" in text else "delete it and add the files again"
        if "readonly" in text or "read-only" in text or isinstance(error, PermissionError):
            advice = "make it writable, or name another folder (RAG_INDEX_DIR)"
        if server:
            advice = (
                "start it, or correct RAG_CHROMA_URL"
                if isinstance(error, httpx.TransportError)
                else "see the server's log"
            )
        raise IndexStateError(f"The index {place} cannot be used ({type(error).__name__}: {text}); {advice}") from error


def retried(work: Callable[[], T]) -> T:
    """Return what `work` returns, tried again while the connection fails; it must do no harm when done twice."""
    for wait in _WAITS:
        try:
            return work()
        except httpx.TimeoutException:
            raise
        except httpx.TransportError:
            time.sleep(wait)
    return work()
