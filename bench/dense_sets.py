"""Sets that judge a sentence encoder alone, without our index: `python -m bench.dense_sets --data DIR --out FOLDER`.

Each set is a folder with `corpus.jsonl` (`id`, `text`, `windows`: what our index would embed of the text; `file` where
it is a page of a report) and `queries.jsonl` (`question`, `relevant_ids`, `kind`, and `file` where only that report is
searched). `python -m train.embedder.evaluate` reads them. Made from DIR's questions with `bench/data/paraphrases.jsonl`
over the same texts, the reports of `bench.filings`, and the reading sets of `bench/data`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.filings import PageQuestion, build_filings
from bench.pages import page_key
from bench.retrieval import ROOT, asked_of, read_rows

__all__ = ["main", "page_rows", "reading_set"]


def page_rows(path: Path, name: str) -> list[dict[str, Any]]:
    """Return a document's pages with `id`, `text` and `windows`, cut as our index cuts them."""
    from rag_core import RagConfig
    from rag_core.chunking.splitting import split_document
    from rag_core.chunking.windows import WindowTexts
    from rag_core.encoder.embedding import create_embedder
    from rag_core.loading import load_document

    config = RagConfig()
    embedder = create_embedder(config)
    document = load_document(path, config.limits, name=name)
    texts = WindowTexts(document, config.splitting, embedder)
    windows: dict[int, list[str]] = {}
    for chunk in split_document(document, config.splitting, embedder):
        found = windows.setdefault(chunk.page, [])
        found += [texts.embedded(window.start, window.end) for window in chunk.windows]
    return [
        {
            "id": page_key(name, page.number),
            "file": name,
            "text": document.text[page.start : page.end],
            "windows": windows[page.number],
        }
        for page in document.pages
        if page.number in windows
    ]


def reading_set(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return texts and answerable questions of a reading set."""
    rows = read_rows(path)
    ids = {text: f"{path.stem}-{number:03}" for number, text in enumerate(dict.fromkeys(row["text"] for row in rows))}
    asked = [
        {"question": row["question"], "relevant_ids": [ids[row["text"]]], "kind": "text"}
        for row in rows
        if row["answerable"]
    ]
    return [{"id": key, "text": text} for text, key in ids.items()], asked


def _cut(rows: Iterable[Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Return texts with their windows, each text a document of its own under a name that says nothing."""
    path, found = folder / "text.txt", []
    for row in rows:
        path.write_text(row["text"], encoding="utf-8")
        windows = [window for page in page_rows(path, "report.txt") for window in page["windows"]]
        found.append({"id": row["id"], "text": row["text"], "windows": windows})
    return found


def _write(folder: Path, corpus: Iterable[Mapping[str, Any]], queries: Iterable[Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def main() -> None:
    """Write all sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus.jsonl and queries.jsonl")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    source, asked = read_rows(options.data / "corpus.jsonl"), asked_of(options.data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        queries = [{"question": text, "relevant_ids": sorted(ids), "kind": kind} for text, ids, kind in asked]
        _write(options.out / "retrieval_dev", _cut(source, folder), queries)
        for file in ("reading", "finance_reading"):
            texts, queries = reading_set(ROOT / "bench" / "data" / f"{file}.jsonl")
            _write(options.out / file, _cut(texts, folder), queries)
        questions = build_filings(folder, source, asked)
        pages = [row for path in sorted(folder.glob("*.pdf")) for row in page_rows(path, path.name)]
        _write(options.out / "reports", pages, [_of_page(question) for question in questions])


def _of_page(question: PageQuestion) -> dict[str, Any]:
    keys = [page_key(question.file, page) for page in sorted(question.pages)]
    return {"question": question.text, "file": question.file, "relevant_ids": keys, "kind": question.kind}


if __name__ == "__main__":
    main()
