"""What an index keeps in its folder beside the vectors: one record a document, what made them, and the locks.

    DIR/index-KEY/              one for each pair of embedder and splitter, because vectors of two never mix
        index.json              format, embedder, splitter, and which folder holds the vectors
        records/ID.json         a whole document: text, pages, chunks, windows. Its presence is the commit mark
        vectors-*/              Chroma, where no server holds the vectors
        generation              a word that changes with every change, so that other processes notice
        writer.lock             held by the one process that adds or removes
        vectors.lock            shared by those that search, exclusive while vectors change

A record is written to a temporary file, flushed to disk and renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rag_core.errors import IndexStateError
from rag_core.records import Chunk, Document, Heading, Page, Table, Window

__all__ = ["IndexFolder", "IndexState", "Record", "folder_name"]

FORMAT_VERSION = 1
_IDENTITY = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LOCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class IndexState:
    """What the folder was made with; `vectors` names the folder of the vectors, anew after each removal.

    Where a Chroma server holds them, `server` is its URL, `database` the one there, and `vectors` the collection.
    """

    embedder: str
    dimension: int
    splitter: str
    vectors: str
    format: int = FORMAT_VERSION
    server: str = ""
    database: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A document with its chunks; `sequence` orders documents by when they were added."""

    document: Document
    chunks: tuple[Chunk, ...]
    sequence: int


def folder_name(embedder: str, splitter: str, server: str = "") -> str:
    """Return the name of the folder for what these two make, whose vectors are in it or on a server."""
    parts = [embedder, splitter, *([server] if server else [])]
    return "index-" + hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


class IndexFolder:
    """The folder of a persisted index. Raises IndexStateError wherever the folder cannot be read or written."""

    def __init__(self, root: Path) -> None:
        """Make the folder, for its owner alone, where it is missing."""
        self.root = root
        self._records = root / "records"
        with _translated(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._records.mkdir(mode=0o700, exist_ok=True)

    # State -----------------------------------------------------------------------------------------------------------

    def state(self) -> IndexState | None:
        """Return what the folder was made with, None for a new one."""
        path = self.root / "index.json"
        with _translated(self.root):
            if not path.exists():
                return None
            content = json.loads(path.read_text(encoding="utf-8"))
            state = IndexState(**content)
        if state.format != FORMAT_VERSION or not re.fullmatch(r"vectors-[0-9a-f]+", state.vectors):
            raise IndexStateError(
                f"The index in {self.root} has format {state.format}, this version reads {FORMAT_VERSION}; "
                "delete the folder and add the files again"
            )
        return state

    def write_state(self, state: IndexState) -> None:
        """Write what the folder was made with, in one step."""
        with _translated(self.root):
            _write(self.root / "index.json", json.dumps(asdict(state), indent=1))

    def new_vectors_name(self) -> str:
        """Return a name for a folder of vectors that none has had."""
        return f"vectors-{secrets.token_hex(8)}"

    def other_vectors(self, current: str) -> list[Path]:
        """Return the folders of vectors that are not `current`: left by an interrupted removal."""
        return [path for path in self.root.glob("vectors-*") if path.is_dir() and path.name != current]

    def generation(self) -> str:
        """Return a word that is another one after every change by any process."""
        try:
            return (self.root / "generation").read_text(encoding="ascii")
        except (OSError, ValueError):
            return ""

    def next_generation(self) -> str:
        """Tell other processes that something changed, and return the new word."""
        word = secrets.token_hex(8)
        with _translated(self.root):
            _write(self.root / "generation", word)
        return word

    # Records ---------------------------------------------------------------------------------------------------------

    def record_ids(self) -> list[str]:
        """Return the ids of the committed documents."""
        with _translated(self.root):
            return [path.stem for path in self._records.glob("*.json") if _IDENTITY.fullmatch(path.stem)]

    def read(self, document_id: str) -> Record:
        """Return a committed record. Raises IndexStateError where it is damaged."""
        path = self._path(document_id)
        with _translated(self.root):
            text = path.read_text(encoding="utf-8", errors="surrogatepass")
        try:
            return _record(json.loads(text))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise IndexStateError(
                f"The record {path} is damaged; delete that file and add its document again"
            ) from error

    def write(self, record: Record) -> None:
        """Commit a record: afterwards the document counts as whole."""
        path = self._path(record.document.id)
        with _translated(self.root):
            _write(path, json.dumps(_content(record), ensure_ascii=False))

    def delete(self, document_id: str) -> None:
        """Take the commit mark away: afterwards the document counts as gone."""
        with _translated(self.root):
            self._path(document_id).unlink(missing_ok=True)
            _flush_folder(self._records)

    def delete_temporary(self) -> None:
        """Delete what an interrupted write left."""
        with _translated(self.root):
            for path in [*self._records.glob("*.part"), *self.root.glob("*.part")]:
                path.unlink(missing_ok=True)

    def _path(self, document_id: str) -> Path:
        if not _IDENTITY.fullmatch(document_id):
            raise IndexStateError(f"A document cannot be kept under the id {document_id[:80]!r}")
        return self._records / f"{document_id}.json"

    # Locks -----------------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, wait: bool = True) -> Iterator[bool]:
        """Be the one process that writes; yields False at once where `wait` is False and another one writes."""
        with _locked(self.root / "writer.lock", exclusive=True, seconds=_LOCK_SECONDS if wait else 0.0) as held:
            if wait and not held:
                raise IndexStateError(
                    f"Another process is adding to the index in {self.root}; wait for it to end, "
                    "or name another folder (RAG_INDEX_DIR)"
                )
            yield held

    @contextmanager
    def vectors_locked(self, exclusive: bool) -> Iterator[None]:
        """Keep other processes from changing the vectors or, when `exclusive`, from reading them."""
        with _locked(self.root / "vectors.lock", exclusive=exclusive, seconds=_LOCK_SECONDS) as held:
            if not held:
                raise IndexStateError(f"The index in {self.root} stays locked by another process; end it and try again")
            yield


@contextmanager
def _locked(path: Path, exclusive: bool, seconds: float) -> Iterator[bool]:
    """Hold an advisory lock on `path` (flock: it ends with the process), yielding whether it was had in time."""
    try:
        import fcntl
    except ImportError:  # Not on Windows: there one process at a time is the user's own care.
        yield True
        return
    with _translated(path.parent):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        ends = time.monotonic() + seconds
        held = False
        while not held:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if time.monotonic() >= ends:
                    break
                time.sleep(0.02)
        yield held
    finally:
        os.close(handle)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # Some file systems cannot; the rename itself is still one step.
        pass
    finally:
        os.close(handle)


@contextmanager
def _translated(root: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise IndexStateError(
            f"The index in {root} is not writable; change its permissions, or name another folder (RAG_INDEX_DIR)"
        ) from error
    except OSError as error:
        raise IndexStateError(
            f"The index in {root} cannot be used ({error.strerror or error}); "
            "see to the disk, or name another folder (RAG_INDEX_DIR)"
        ) from error
    except (ValueError, TypeError) as error:
        raise IndexStateError(f"The index in {root} is damaged; delete the folder and add the files again") from error


def _content(record: Record) -> dict[str, Any]:
    """Return a record as JSON values; a chunk's text and owner follow from the document."""
    chunks = [
        {
            "start": chunk.start,
            "end": chunk.end,
            "page": chunk.page,
            "headings": list(chunk.headings),
            "windows": [[window.start, window.end] for window in chunk.windows],
        }
        for chunk in record.chunks
    ]
    return {"sequence": record.sequence, "document": asdict(record.document), "chunks": chunks}


def _record(content: dict[str, Any]) -> Record:
    """Return the record that `_content` wrote, its spans checked. Raises ValueError, KeyError or TypeError."""
    given = dict(content["document"])
    if set(given) != {item.name for item in fields(Document)}:
        raise ValueError("Other fields than a document has")
    given["pages"] = tuple(Page(**page) for page in given["pages"])
    given["headings"] = tuple(Heading(**heading) for heading in given["headings"])
    given["tables"] = tuple(Table(**table) for table in given["tables"])
    given["warnings"] = tuple(given["warnings"])
    document = Document(**given)
    chunks = []
    for number, entry in enumerate(content["chunks"]):
        start, end = int(entry["start"]), int(entry["end"])
        windows = tuple(Window(int(first), int(last)) for first, last in entry["windows"])
        spans = [(start, end, 0, len(document.text)), *((item.start, item.end, start, end) for item in windows)]
        if not all(low <= first < last <= high for first, last, low, high in spans):
            raise ValueError("A span lies outside of its text")
        text, headings = document.text[start:end], tuple(map(str, entry["headings"]))
        chunks.append(Chunk(document.id, number, start, end, int(entry["page"]), text, headings, windows))
    return Record(document, tuple(chunks), int(content["sequence"]))
