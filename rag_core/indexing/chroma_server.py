"""Vectors on a Chroma server (`chroma run`) that several processes share: connections, private collections, leases.

    database visitors-TOKEN     one for each process, with a collection for each of its visitors; gone when it ends
    database index-TOKEN        one for each persisted index, whose records stay in its folder
    database ragoptimize        holds the leases: by when each process said that it still lives

A process that is killed deletes nothing. Its lease runs out, and the next sweep of any other process deletes its
database. Times are the server's own, so clocks need not agree. A process lists its own database alone; the names of the
others are tokens of 128 bits. The server itself asks for no password: whoever reaches it can read all vectors, so it
belongs on a private network, or behind a proxy that asks for RAG_CHROMA_KEY.
"""

from __future__ import annotations

import atexit
import logging
import secrets
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from rag_core.indexing.chroma import client_of, retried, translated

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

__all__ = ["ChromaServer", "RemoteCollection", "connected"]

LEASE_SECONDS = 300.0
RENEW_SECONDS = 30.0
_REQUEST_SECONDS = 60.0
_LEASES = ("ragoptimize", "leases")
_PAGE = 1_000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteCollection:
    """Where a store's vectors are: `drop` deletes them, and may be called whether or not they are there."""

    client: ClientAPI
    name: str
    place: str
    drop: Callable[[], None]
    private: bool = False


class ChromaServer:
    """One server, for the whole process. Thread-safe. Nothing is sent before the first collection is asked for."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        self.place = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self.url, self._key = url.rstrip("/"), key
        self._lock = threading.RLock()
        self._system: Any = None
        self._database = ""
        self._unwanted: set[str] = set()
        self._made: set[str] = set()
        self._ended = threading.Event()

    def private_collection(self) -> RemoteCollection:
        """Return a place of its own for one visitor's vectors. Raises IndexStateError."""
        database = self._own_database()
        name = f"windows-{secrets.token_hex(16)}"
        return RemoteCollection(self._client(database), name, self.place, lambda: self._discard(name), private=True)

    def collection(self, database: str, name: str) -> RemoteCollection:
        """Return the place of a persisted index's vectors, whose database is made where it is missing."""
        with self.told():
            self._create(database)
        client = self._client(database)
        return RemoteCollection(client, name, self.place, lambda: self._delete_collection(client, name))

    def version(self) -> str:
        """Return the version of the server's interface. Raises IndexStateError where it does not answer."""
        with self.told():
            return str(retried(lambda: self._client("").get_version()))

    def sweep(self) -> int:
        """Delete the databases of processes that have not renewed their lease; return how many."""
        with self.told():
            leases = self._leases()
            now = self._now()
            held = retried(lambda: leases.get(include=["metadatas"]))
            ended = [
                name
                for name, item in zip(held["ids"], held["metadatas"] or [], strict=True)
                if now - float(item.get("renewed") or 0) > LEASE_SECONDS and name != self._database
            ]
            for name in ended:
                self._delete_database(name)
            if ended:
                retried(lambda: leases.delete(ids=ended))
            return len(ended)

    def close(self) -> None:
        """Delete this process's visitors; may be called twice. The server may be gone already."""
        self._ended.set()
        with self._lock:
            database, self._database = self._database, ""
        if database:
            with suppress(Exception):
                self._delete_database(database)
                self._leases().delete(ids=[database])

    @property
    def database(self) -> str:
        """The database of this process's visitors; empty before the first."""
        return self._database

    def told(self) -> AbstractContextManager[None]:
        """Return a context that turns what the client raises into IndexStateError."""
        return translated(f"on the server {self.place}", server=True)

    # Own database and lease -------------------------------------------------------------------------------------------

    def _own_database(self) -> str:
        with self._lock:
            if not self._database:
                database = f"visitors-{secrets.token_hex(16)}"
                with self.told():
                    # The lease first: a database without one would never be swept.
                    self._renew(database)
                    self._create(database)
                self._database = database
                atexit.register(self.close)
                threading.Thread(target=self._renew_until_closed, name="chroma-lease", daemon=True).start()
            return self._database

    def _renew_until_closed(self) -> None:
        self._attempt(self.sweep)
        while not self._ended.wait(RENEW_SECONDS):
            self._attempt(lambda: self._renew(self._database))
            for name in list(self._unwanted):
                self._attempt(partial(self._discard, name))
            self._attempt(self.sweep)

    def _attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # the server may be away for a while; the next round tries again
            log.warning("The Chroma server %s does not answer: %s", self.place, error)

    def _renew(self, database: str) -> None:
        if database:
            row = {"renewed": self._now()}
            leases = self._leases()
            retried(lambda: leases.upsert(ids=[database], embeddings=[[1.0]], metadatas=[row]))

    def _discard(self, name: str) -> None:
        """Delete a visitor's collection, now or, where the server does not answer, at the next renewal."""
        self._unwanted.add(name)
        if self._database:
            self._delete_collection(self._client(self._database), name)
        self._unwanted.discard(name)

    # Requests ---------------------------------------------------------------------------------------------------------

    def _leases(self) -> Any:
        database, name = _LEASES
        self._create(database)
        return retried(lambda: self._client(database).get_or_create_collection(name))

    def _now(self) -> float:
        """Return the server's time in seconds."""
        return float(retried(lambda: self._client("").heartbeat())) / 1e9

    def _create(self, database: str) -> None:
        from chromadb.errors import ChromaError

        if database in self._made:
            return
        try:
            retried(lambda: self._admin().create_database(database))
        except ChromaError as error:  # the server has no class of its own for this
            if "already exists" not in str(error):
                raise
        self._made.add(database)

    def _delete_database(self, database: str) -> None:
        """Delete each collection, then the database: deleted alone, it leaves them unreachable and not gone."""
        from chromadb.errors import NotFoundError

        client = self._client(database)
        with suppress(NotFoundError):
            while found := retried(lambda: client.list_collections(limit=_PAGE)):
                for item in found:
                    self._delete_collection(client, item.name)
            retried(lambda: self._admin().delete_database(database))

    def _delete_collection(self, client: ClientAPI, name: str) -> None:
        from chromadb.errors import NotFoundError

        with suppress(NotFoundError):
            retried(lambda: client.delete_collection(name))

    def _client(self, database: str) -> ClientAPI:
        return client_of(self._opened(), database)

    def _admin(self) -> Any:
        from chromadb.api.client import AdminClient

        admin = AdminClient.__new__(AdminClient)
        admin._server = self._api()
        return admin

    def _api(self) -> Any:
        from chromadb.api import ServerAPI

        api: Any = ServerAPI
        return self._opened().instance(api)

    def _opened(self) -> Any:
        with self._lock:
            if self._system is None:
                from chromadb.api import ServerAPI
                from chromadb.config import Settings, System

                system = System(
                    Settings(
                        anonymized_telemetry=False,
                        chroma_api_impl="chromadb.api.fastapi.FastAPI",
                        chroma_server_host=self.url,
                        chroma_server_http_port=urlsplit(self.url).port or 8000,
                        chroma_server_headers={"Authorization": f"Bearer {self._key}"} if self._key else None,
                    )
                )
                api: Any = ServerAPI
                session = getattr(system.instance(api), "_session", None)
                if isinstance(session, httpx.Client):
                    # Without a limit of its own, a server that says nothing would hold a visitor for ever.
                    session.timeout = httpx.Timeout(_REQUEST_SECONDS, connect=5.0)
                system.start()
                self._system = system
            return self._system


def connected(url: str, key: str = "") -> ChromaServer:
    """Return the process's one connection to the server at `url`."""
    return _connection(url.rstrip("/"), key)


@cache
def _connection(url: str, key: str) -> ChromaServer:
    return ChromaServer(url, key)
