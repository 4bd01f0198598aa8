"""A process that starts or ends additions and is killed in the middle, at points named on its command line.

`python tests/index_killer.py CONFIG.json`: a list of [point, folder, document file]. Everything is imported once, then
each point has a forked process of its own, which sends itself SIGKILL. Prints one line a point: how its process ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import chromadb
import langchain_chroma
import torch
from chromadb.api.client import Client  # noqa: F401

from rag_core import Document, Page, Progress, RagConfig
from rag_core.chunking.splitting import split_document
from rag_core.config import SplittingConfig
from rag_core.encoder.embedding import create_embedder
from rag_core.indexing import keeping, storage, vectors
from rag_core.indexing.index import DocumentIndex

assert chromadb

# Small windows and small batches: several of both from a short text.
SPLITTING = SplittingConfig(passage_tokens=64, window_tokens=16, window_overlap_tokens=0)
BATCH = 32


def config(folder: Path) -> RagConfig:
    server = os.environ.get("RAG_CHROMA_URL", "")
    return RagConfig(splitting=SPLITTING).with_setting("index.directory", folder).with_setting("index.server", server)


def document(identity: str, text: str) -> Document:
    return Document(identity, "note.txt", "text/plain", len(text), text, (Page(1, 0, len(text)),))


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    """Die when the function `name` of `owner` is called with arguments for which `when` holds."""
    real = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if when(*arguments):
            die()
        return real(*arguments, **named)

    setattr(owner, name, wrapped)


def at(stage: str, least: int) -> Callable[[Progress], None]:
    """Return a progress callback that dies at `stage` once `least` are done."""
    return lambda progress: die() if progress.stage == stage and progress.done >= least else None


def run(point: str, folder: Path, given: Document) -> None:
    """Do what `point` says; never returns normally."""
    embedder = create_embedder(RagConfig())
    index = DocumentIndex(config(folder), embedder)
    on_progress = None
    if point == "add: embedding":
        on_progress = at("embedding", 64)
    elif point == "add: before the first vector":
        on_progress = at("saving", 0)
    elif point == "add: after the first vectors":
        on_progress = at("saving", 1)
    elif point == "add: inside Chroma":
        before(langchain_chroma.Chroma, "add_texts", lambda store, texts, *_: len(texts) < BATCH)
    elif point == "add: before the record":
        before(storage.IndexFolder, "write")
    elif point == "add: record not yet in place":
        before(Path, "replace", lambda path, _: path.name.startswith(given.id))
    elif point == "add: after the record":
        before(storage.IndexFolder, "next_generation")
    elif point == "remove: after the record":
        before(keeping, "rewrite")
    elif point == "remove: before the server's vectors":
        before(vectors.VectorStore, "erase")
    elif point == "remove: vectors half rewritten":
        before(storage.IndexFolder, "write_state")
    elif point == "remove: before the old vectors go":
        before(keeping.shutil, "rmtree")
    else:
        raise ValueError(point)
    if point.startswith("add"):
        index.add(given, split_document(given, SPLITTING, embedder), on_progress)
    else:
        index.remove(given.id)


def main() -> None:
    vectors._BATCH = BATCH
    torch.set_num_threads(1)
    for point, folder, identity, text in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        child = os.fork()
        if not child:
            try:
                run(point, Path(folder), document(identity, text))
            finally:
                os._exit(3)
        _, status = os.waitpid(child, 0)
        print(f"{point}\t{os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)}", flush=True)


if __name__ == "__main__":
    main()
