"""Indexing and search at size, ours against plain LangChain with Chroma in one run.

`python -m bench.index` measures, each ours and plain:
- embedding: texts a second on this machine's device, and the cosine between both ways' vectors of the same texts;
- indexing: generated ten-page documents and one long text, from text to searchable (`--documents 1000 --pages 2000`);
- search: p50 and p95 of one question at each size (`--sizes 10000 100000 1000000`, embedded chunks), memory, and the time
  until a new document is found. Chunks and words are real work; the vectors of this part are seeded noise around 200
  centres, given to both, because embedding a million chunks takes hours on a CPU. `--vectors-only` leaves the words out.

The defaults are small, so that `make bench` stays short. It prints a table, and writes JSON and a picture.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.corpus import documents, questions
from rag_core.config import RagConfig
from rag_core.embedding import Embedder, create_embedder
from rag_core.index import DocumentIndex
from rag_core.records import Document
from rag_core.retrieval import Retriever
from rag_core.splitting import split_document

ROOT = Path(__file__).parent.parent
PLAIN_CHARACTERS = 512
CENTRES = 200
Pair = dict[str, float]


class GivenEmbedder:
    """Counts tokens as the real embedder does, and gives vectors that cost nothing."""

    name, dimension, max_tokens, loaded = "given", 384, 254, True

    def __init__(self, real: Embedder | None) -> None:
        self._real = real
        self._draw = np.random.default_rng(5)
        self._centres = self._draw.standard_normal((CENTRES, self.dimension)).astype(np.float32)

    def load(self, on_progress: object = None) -> None: ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._real.count_tokens(texts) if self._real else [len(text) // 4 + 1 for text in texts]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        noise = self._draw.standard_normal((len(texts), self.dimension)).astype(np.float32)
        rows = self._centres[self._draw.integers(0, CENTRES, len(texts))] + 0.8 * noise
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class PlainStore:
    """512-character chunks in Chroma through LangChain, with every setting at its usual value."""

    def __init__(self, embeddings: Any) -> None:
        from langchain_chroma import Chroma
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        self._splitter = RecursiveCharacterTextSplitter(chunk_size=PLAIN_CHARACTERS, chunk_overlap=0)
        self._store: Any = Chroma(collection_name=f"plain-{time.monotonic_ns()}", embedding_function=embeddings)

    def add(self, texts: Sequence[str]) -> int:
        """Split and store texts; return the number of chunks."""
        chunks = self._splitter.create_documents(list(texts))
        for start in range(0, len(chunks), 4_096):
            self._store.add_documents(chunks[start : start + 4_096])
        return len(chunks)

    def search(self, question: str) -> Any:
        return self._store.similarity_search(question, k=4)

    def close(self) -> None:
        self._store.delete_collection()


class _GivenEmbeddings:
    """The given vectors as LangChain wants them."""

    def __init__(self, given: GivenEmbedder) -> None:
        self._given = given

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._given.encode(texts).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self._given.encode([text])[0].tolist()  # type: ignore[no-any-return]


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

    ours = create_embedder(config)
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


def search(config: RagConfig, size: int, asked: int, words: bool) -> dict[str, Pair]:
    """Measure one question at `size` embedded chunks, after ten to warm up."""
    real = create_embedder(config)
    real.load()
    if not words:
        return _vectors_only(size, asked)
    given = GivenEmbedder(real)
    figures: dict[str, Pair] = {}
    before = memory()
    index, held = DocumentIndex(config, given), 0
    for document in documents(1_000_000, 10):
        held += _add(index, document, config, given)
        if held >= size:
            break
    retriever = Retriever(index, given, config)
    mine = _percentiles(lambda question: retriever.search(question), asked)
    ours_memory = memory() - before
    late = next(documents(1, 10, seed=11))
    _add(index, late, config, given)
    fresh = timed(lambda: retriever.search(late.text[200:300]))
    index.close()
    before = memory()
    store, held = PlainStore(_GivenEmbeddings(given)), 0
    for document in documents(1_000_000, 10):
        held += store.add([document.text])
        if held >= size:
            break
    theirs = _percentiles(store.search, asked)
    plain_memory = memory() - before
    store.add([late.text])
    plain_fresh = timed(lambda: store.search(late.text[200:300]))
    store.close()
    for name, ours, plain in zip(("p50", "p95"), mine, theirs, strict=True):
        figures[f"search {name} at {size:,} chunks (ms)"] = {"ours": ours, "plain": plain}
    figures[f"first search after an addition at {size:,} (ms)"] = {"ours": fresh * 1e3, "plain": plain_fresh * 1e3}
    figures[f"memory at {size:,} chunks (MiB)"] = {"ours": ours_memory, "plain": plain_memory}
    return figures


def _vectors_only(size: int, asked: int) -> dict[str, Pair]:
    """Measure the nearest neighbours alone: our store against a plain one, without any text."""
    from rag_core.vectors import VectorStore, WindowKey

    given = GivenEmbedder(None)
    before = memory()
    store = VectorStore(None)
    for start in range(0, size, 8_192):
        count = min(8_192, size - start)
        keys = [WindowKey("d" * 64, start + number, 0) for number in range(count)]
        for _ in store.add(keys, given.encode([""] * count)):
            pass
    mine = _percentiles(lambda _: store.nearest(given.encode([""])[0], 100), asked)
    held = memory() - before
    store.close()
    return {
        f"nearest 100 p50 at {size:,} vectors (ms)": {"ours": mine[0]},
        f"nearest 100 p95 at {size:,} vectors (ms)": {"ours": mine[1]},
        f"memory at {size:,} vectors (MiB)": {"ours": held},
    }


def _percentiles(ask: Callable[[str], Any], asked: int) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds."""
    made = questions(asked + 10)
    for question in made[:10]:
        ask(question)
    spent = [timed(lambda question=question: ask(question)) * 1_000 for question in made[10:]]
    return float(np.percentile(spent, 50)), float(np.percentile(spent, 95))


def report(figures: dict[str, Pair], load: float, out: Path) -> None:
    """Print the table, write JSON and the picture."""
    from bench.pictures import bars

    for name, pair in figures.items():
        if "plain" in pair:
            higher = "/s)" in name or "cosine" in name
            pair["ratio"] = pair["ours"] / pair["plain"] if higher else pair["plain"] / pair["ours"]
        shown = "   ".join(f"{kind} {value:>10.3f}" for kind, value in pair.items())
        print(f"{name:<52} {shown}", flush=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {_device()}, Python {platform.python_version()}"
    document = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "load_before": load, "figures": figures}
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    ratios = {name: pair["ratio"] for name, pair in figures.items() if "ratio" in pair and "cosine" not in name}
    bars(ratios, "Times better than the plain recipe", out / "index.png")


def _device() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=int, default=512, help="texts to embed; 0 skips that part")
    parser.add_argument("--documents", type=int, default=10, help="ten-page documents to index; 0 skips that part")
    parser.add_argument("--pages", type=int, default=50, help="pages of the long text")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000], help="chunks to search among")
    parser.add_argument("--vectors-only", type=int, nargs="*", default=[], help="sizes to measure without words")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--embedder", default="auto", help="a Hub id or a folder")
    parser.add_argument("--device", default="auto", help="of the embedder: auto, cpu or cuda")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    load = round(os.getloadavg()[0], 2)
    config = RagConfig().with_setting("limits.documents", 1_000_000)
    config = config.with_setting("embedding.model", options.embedder)
    config = config.with_setting("embedding.device", options.device)
    parts: list[Callable[[], dict[str, Pair]]] = []
    if options.texts:
        parts.append(lambda: embedding(config, options.texts))
    if options.documents:
        parts.append(lambda: indexing(config, options.documents, options.pages))
    parts += [partial(search, config, size, options.questions, True) for size in options.sizes]
    parts += [partial(search, config, size, options.questions, False) for size in options.vectors_only]
    figures: dict[str, Pair] = {}
    for part in parts:
        # Written after each part: the largest sizes take long, and may not fit.
        figures.update(part())
        report(figures, load, options.out)


if __name__ == "__main__":
    main()
