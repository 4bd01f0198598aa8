"""Methods to rank the passages of a long report for a question, each as the pages of its first ten passages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.baseline import PlainRecipe, pdf_text

__all__ = ["page_key", "page_rankers", "reports_index"]

_TEN = 10
# Nearest chunks of all reports, among which ten of the one that is asked are taken to be.
_PLAIN_DEPTH = 400


def page_key(file: str, page: int) -> str:
    """Return the name of a page, 1-based, of a file."""
    return f"{file}#{page}"


def reports_index(folder: Path, index: Path | None = None) -> tuple[Any, dict[str, str]]:
    """Return a pipeline with the PDFs of `folder`, and their documents' ids by file; `index` keeps the vectors."""
    from rag_core import RagConfig, RagPipeline

    rag = RagPipeline(RagConfig().with_setting("index.directory", index and index / "reports"))
    return rag, {path.name: rag.add_document(path).id for path in sorted(folder.glob("*.pdf"))}


def page_rankers(
    folder: Path, asked: Mapping[str, str], index: Path | None = None
) -> dict[str, Callable[[str], list[str]]]:
    """Index the PDFs of `folder`; return methods, each from a question to pages, the best passage's page first.

    `asked` has the file that each question is about; only that one is searched.
    """
    rag, ids = reports_index(folder, index)

    def ours(question: str) -> list[str]:
        file = asked[question]
        return [page_key(file, hit.page) for hit in rag.search(question, _TEN, document_ids=[ids[file]])]

    def pages_of(file: str, numbers: list[int]) -> list[str]:
        chunks = rag.index.chunks(ids[file])
        return [page_key(file, chunks[number].page) for number in dict.fromkeys(numbers)][:_TEN]

    def dense(question: str) -> list[str]:
        file = asked[question]
        near = rag.index.nearest(rag.embedder.encode([question])[0], 4 * _TEN, [ids[file]])
        return pages_of(file, [item.key.chunk for item in near])

    def worded(question: str) -> list[str]:
        file = asked[question]
        return pages_of(file, [match.key[1] for match in rag.index.lexical().search(question, _TEN, [ids[file]])])

    return {
        "ours": ours,
        "our dense side alone": dense,
        "our BM25 side alone": worded,
        "BM25 over passages": _plain_words(rag, ids, asked),
        "plain recipe": _plain_recipe(folder, asked),
    }


def _plain_words(rag: Any, ids: Mapping[str, str], asked: Mapping[str, str]) -> Callable[[str], list[str]]:
    """Return plain BM25 over our passages: words in small letters, every setting of bm25s at its default."""
    import bm25s

    def words(text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())

    built: dict[str, Any] = {}
    for file, document_id in ids.items():
        built[file] = bm25s.BM25()
        built[file].index([words(chunk.text) for chunk in rag.index.chunks(document_id)], show_progress=False)

    def rank(question: str) -> list[str]:
        file = asked[question]
        chunks = rag.index.chunks(ids[file])
        found, _ = built[file].retrieve([words(question)], k=min(_TEN, len(chunks)), show_progress=False)
        return [page_key(file, chunks[int(number)].page) for number in found[0]]

    return rank


def _plain_recipe(folder: Path, asked: Mapping[str, str]) -> Callable[[str], list[str]]:
    """Return the plain recipe's search over the same files, page by page."""
    texts, metadatas = [], []
    for path in sorted(folder.glob("*.pdf")):
        for number, text in enumerate(pdf_text(path), 1):
            texts.append(text)
            metadatas.append({"file": path.name, "page": number})
    recipe = PlainRecipe()
    recipe.index(texts, metadatas)

    def rank(question: str) -> list[str]:
        file = asked[question]
        found = [entry.metadata for entry in recipe.search(question, _PLAIN_DEPTH)]
        return [page_key(file, entry["page"]) for entry in found if entry["file"] == file][:_TEN]

    return rank
