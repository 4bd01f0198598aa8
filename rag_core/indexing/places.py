"""Where a persisted index has its vectors: in its own folder, or in a database of its own on a Chroma server."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import replace
from typing import Protocol

from rag_core.indexing.chroma_server import ChromaServer, connected
from rag_core.indexing.storage import IndexFolder, IndexState
from rag_core.indexing.vectors import VectorStore

__all__ = ["FolderPlace", "ServerPlace", "VectorPlace"]


class VectorPlace(Protocol):
    """What `FolderKeeper` needs to know of the place. All but `marked` raise IndexStateError."""

    @property
    def shared(self) -> bool:
        """Whether others may read and write there at the same time without locks of ours."""

    def marked(self, state: IndexState) -> IndexState:
        """Return a new index's state with the place written into it."""

    def open(self, state: IndexState) -> VectorStore:
        """Open the vectors that the state names."""

    def delete_others(self, state: IndexState | None, current: str) -> None:
        """Delete vectors that an interrupted process left under other names than `current`."""

    def server_of(self, state: IndexState) -> ChromaServer | None:
        """Return the server of another index in the same folder, None where it has its vectors beside it."""


class FolderPlace:
    """In the index's folder."""

    shared = False

    def __init__(self, folder: IndexFolder) -> None:
        self._folder = folder

    def marked(self, state: IndexState) -> IndexState:
        """The folder itself is the place."""
        return state

    def open(self, state: IndexState) -> VectorStore:
        """Open the folder of vectors."""
        return VectorStore(self._folder.root / state.vectors)

    def delete_others(self, state: IndexState | None, current: str) -> None:
        """Delete the other folders."""
        for path in self._folder.other_vectors(current):
            shutil.rmtree(path, ignore_errors=True)

    def server_of(self, state: IndexState) -> ChromaServer | None:
        """Connect without a key: none is set where this place is in use."""
        return connected(state.server) if state.server else None


class ServerPlace:
    """In a database of the index's own, under a name that nobody can guess."""

    shared = True

    def __init__(self, server: ChromaServer) -> None:
        self._server = server

    def marked(self, state: IndexState) -> IndexState:
        """Name the server and a new database."""
        return replace(state, server=self._server.url, database=f"index-{secrets.token_hex(16)}")

    def open(self, state: IndexState) -> VectorStore:
        """Open the collection."""
        return VectorStore(None, self._server.collection(state.database, state.vectors))

    def delete_others(self, state: IndexState | None, current: str) -> None:
        """One collection is all that there ever is: removals happen inside it."""

    def server_of(self, state: IndexState) -> ChromaServer | None:
        """The same server with its key; any other without."""
        if state.server == self._server.url:
            return self._server
        return connected(state.server) if state.server else None
