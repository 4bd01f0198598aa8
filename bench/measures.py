"""The measures of `bench.index`: embedding, indexing, and search at size, each ours and plain."""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil

from bench.corpus import documents, questions
from bench.given import GivenEmbedder, GivenEmbeddings, PlainStore
from rag_core.chunking.splitting import split_document
from rag_core.config import RagConfig
from rag_core.encoder.embedding import Embedder, create_embedder
from rag_core.indexing.index import DocumentIndex
from rag_core.indexing.vectors import VectorStore, WindowKey
from rag_core.records import Document
from rag_core.search.retrieval import Retriever

__all__ = ["Pair", "embedding", "indexing", "search", "vectors_only"]

Pair = dict[str, float]


def timed(run: Callable[[], Any]) -> float:
    """Return the seconds that `run` takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def memory() -> float:
    """Return what this process holds, in MiB."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1024**2


def embedding(config: RagConfig, texts: int, repeats: int = 3) -> dict[str, Pair]:
    """Measure both ways on the same texts of the length that is embedded: windows of ours."""
    from sentence_transformers import SentenceTransformer

    from rag_core.models import resolve_embedder

    # The change costs no time, and the plain way has none: without it the vectors compare.
    ours = create_embedder(config.with_setting("embedding.change", "none"))
    ours.load()
    source = resolve_embedder(config.embedding)
    plain = SentenceTransformer(str(source.path or source.name))
    windows = list(itertools.islice(_windows(config, ours), texts))
    vectors = ours.encode(windows[:64])
    others = plain.encode(windows[:64], normalize_embeddings=True, show_progress_bar=False)
    mine, theirs = [], []
    for _ in range(repeats):
        mine.append(len(windows) / timed(lambda: ours.encode(windows)))
        theirs.append(len(windows) / timed(lambda: plain.encode(windows, show_progress_bar=False)))
    least = float(np.min(np.sum(vectors * others, axis=1)))
    question = questions(1)[0]
    one = [timed(lambda: ours.encode([question])) * 1_000 for _ in range(20)]
    other = [timed(lambda: plain.encode([question], show_progress_bar=False)) * 1_000 for _ in range(20)]
    return {
        "embedding (chunks/s)": {"ours": statistics.median(mine), "plain": statistics.median(theirs)},
        "least cosine between both": {"ours": least, "plain": 1.0},
        "embedding one question (ms)": {"ours": statistics.median(one), "plain": statistics.median(other)},
    }


def _windows(config: RagConfig, embedder: Embedder) -> Iterator[str]:
    for document in documents(1_000_000, 10, seed=3):
        for chunk in split_document(document, config.splitting, embedder):
            yield from (document.text[window.start : window.end] for window in chunk.windows)


def indexing(config: RagConfig, count: int, pages: int) -> dict[str, Pair]:
    """Measure from text to searchable: ten-page documents, then one long text."""
    from langchain_huggingface import HuggingFaceEmbeddings

    from rag_core.models import resolve_embedder

    ours = create_embedder(config)
    ours.load()
    source = resolve_embedder(config.embedding)
    embeddings = HuggingFaceEmbeddings(model_name=str(source.path or source.name))
    figures: dict[str, Pair] = {}
    for name, made in (
        (f"{count} ten-page documents (s)", list(documents(count, 10))),
        (f"one text of {pages} pages (s)", list(documents(1, pages, seed=7))),
    ):
        index, store = DocumentIndex(config, ours), PlainStore(embeddings)
        mine = timed(lambda index=index, made=made: [_add(index, document, config, ours) for document in made])
        theirs = timed(lambda store=store, made=made: store.add([document.text for document in made]))
        figures[name] = {"ours": mine, "plain": theirs}
        index.close()
        store.close()
    return figures


def _add(index: DocumentIndex, document: Document, config: RagConfig, embedder: Embedder) -> int:
    chunks = split_document(document, config.splitting, embedder)
    index.add(document, chunks)
    return sum(len(chunk.windows) for chunk in chunks)


def search(config: RagConfig, size: int, asked: int) -> dict[str, Pair]:
    """Measure one question at `size` embedded chunks, after ten to warm up, and once after one more document."""
    real = create_embedder(config)
    real.load()
    given = GivenEmbedder(real)
    late = next(documents(1, 10, seed=11))
    index = DocumentIndex(config, given)
    retriever = Retriever(index, given, config)
    ours = _at_size(lambda document: _add(index, document, config, given), retriever.search, late, size, asked)
    index.close()
    store = PlainStore(GivenEmbeddings(given))
    plain = _at_size(lambda document: store.add([document.text]), store.search, late, size, asked)
    store.close()
    names = (
        f"search p50 at {size:,} chunks (ms)",
        f"search p95 at {size:,} chunks (ms)",
        f"first search after an addition at {size:,} (ms)",
        f"memory at {size:,} chunks (MiB)",
    )
    return {name: {"ours": mine, "plain": theirs} for name, mine, theirs in zip(names, ours, plain, strict=True)}


def _at_size(
    add: Callable[[Document], int], ask: Callable[[str], Any], late: Document, size: int, asked: int
) -> tuple[float, float, float, float]:
    """Return p50 and p95, the first question after `late` was added, all in milliseconds, and memory in MiB."""
    before, held = memory(), 0
    for document in documents(1_000_000, 10):
        held += add(document)
        if held >= size:
            break
    middle, high = _percentiles(ask, asked)
    used = memory() - before
    add(late)
    return middle, high, timed(lambda: ask(late.text[200:300])) * 1_000, used


def vectors_only(size: int, asked: int) -> dict[str, Pair]:
    """Measure the nearest neighbours alone in our store, without any text, and one addition of 256 after searches."""
    given = GivenEmbedder(None)
    before = memory()
    store = VectorStore(None)

    def add(first: int, count: int) -> None:
        keys = [WindowKey("d" * 64, number, 0) for number in range(first, first + count)]
        for _ in store.add(keys, given.encode([""] * count)):
            pass

    for start in range(0, size, 8_192):
        add(start, min(8_192, size - start))
    middle, high = _percentiles(lambda _: store.nearest(given.encode([""])[0], 100), asked)
    held = memory() - before
    more = timed(lambda: add(size, 256)) * 1_000
    store.close()
    return {
        f"nearest 100 p50 at {size:,} vectors (ms)": {"ours": middle},
        f"nearest 100 p95 at {size:,} vectors (ms)": {"ours": high},
        f"256 more after searches at {size:,} vectors (ms)": {"ours": more},
        f"memory at {size:,} vectors (MiB)": {"ours": held},
    }


def _percentiles(ask: Callable[[str], Any], asked: int) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds."""
    made = questions(asked + 10)
    for question in made[:10]:
        ask(question)
    spent = [timed(lambda question=question: ask(question)) * 1_000 for question in made[10:]]
    return float(np.percentile(spent, 50)), float(np.percentile(spent, 95))
