"""`python -m train.embedder.evaluate --sets DIR...`: which texts an encoder ranks first, by its vectors alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.embedder.network import MAX_TOKENS, base_folder, encode_rows, load_encoder, open_tokenizer, token_ids
from train.errors import DataError
from train.rows import read_records
from train.terminal import command_parser, run, write

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = ["Corpus", "figures_of", "main", "read_corpus", "scores"]

_DESCRIPTION = """Rank the texts of each DIR for its questions by the nearest of their windows, and print hit@1, 5, 10 and MRR@10
by set and kind of question: one line of JSON for each model. DIR has corpus.jsonl (id, text or windows, file) and queries.jsonl
(question, relevant_ids, kind, file); where a question has a file, texts of other files are not ranked."""
_EXAMPLES = """
python -m train.embedder.evaluate --sets runs/sets/*
python -m train.embedder.evaluate runs/embedder.safetensors --mix 0.5 1 --sets runs/sets/reports --window 254
"""
_CUTS = (1, 5, 10)
_OVERLAP = 16
Figures = dict[str, float | int]


@dataclass(frozen=True)
class Corpus:
    """Windows as token ids, the number of each one's text, and the texts' ids and files; the questions with their rows."""

    windows: list[list[int]]
    owners: list[int]
    ids: list[str]
    files: list[str]
    queries: Sequence[Mapping[str, Any]]


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = command_parser("embedder.evaluate", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("models", type=Path, nargs="*", help="folders or changes to the base; none: the base itself")
    parser.add_argument("--sets", type=Path, nargs="+", required=True)
    parser.add_argument("--base", type=Path, help="folder of the encoder that changes are added to; the embedded one")
    parser.add_argument("--mix", type=float, nargs="+", default=[1.0], help="shares of a change that are added")
    parser.add_argument("--queries-only", action="store_true", help="texts are embedded by the base")
    parser.add_argument(
        "--window", type=int, default=0, help="cut texts at so many word pieces; 0: windows as given, or 254"
    )
    options = parser.parse_args(arguments)
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base = base_folder(options.base)
    tokenizer = open_tokenizer(base)
    corpora = {folder.name: read_corpus(folder, tokenizer, options.window) for folder in options.sets}
    for path in options.models or [base]:
        for mix in [1.0] if path.is_dir() else options.mix:
            encoder = load_encoder(path, device) if path.is_dir() else load_encoder(base, device, _changes(path), mix)
            texts = load_encoder(base, device) if options.queries_only else encoder
            found = {name: figures_of(corpus, encoder, tokenizer, texts) for name, corpus in corpora.items()}
            row = {"model": path.stem, "mix": mix, "queries_only": options.queries_only, "sets": found}
            write(json.dumps(row) + "\n")
            sys.stdout.flush()
    return 0


def read_corpus(folder: Path, tokenizer: Tokenizer, window: int = 0) -> Corpus:
    """Return a set with its texts cut; `window` 0 takes windows that are given. Raises DataError."""
    windows: list[list[int]] = []
    owners: list[int] = []
    rows = [dict(record) for _, record in read_records(str(folder / "corpus.jsonl"))]
    queries = [dict(record) for _, record in read_records(str(folder / "queries.jsonl"))]
    try:
        for number, row in enumerate(rows):
            given = row.get("windows", ()) if not window else ()
            cut = token_ids(given, tokenizer) if given else _cut(str(row["text"]), tokenizer, window or MAX_TOKENS - 2)
            windows += cut
            owners += [number] * len(cut)
        known = {str(row["id"]) for row in rows}
        unknown = next((key for row in queries for key in row["relevant_ids"] if key not in known), None)
    except KeyError as error:
        raise DataError(f"A row of {folder} has no {error}") from error
    if unknown is not None or not queries:
        raise DataError(
            f"{folder} asks for {unknown!r}, which is none of its texts" if queries else f"{folder} asks nothing"
        )
    return Corpus(
        windows, owners, [str(row["id"]) for row in rows], [str(row.get("file", "")) for row in rows], queries
    )


def figures_of(corpus: Corpus, encoder: Any, tokenizer: Tokenizer, texts: Any = None) -> dict[str, Figures]:
    """Return the figures by kind of question; `texts` is the encoder of the texts where it is another one."""
    windows = encode_rows(texts or encoder, corpus.windows)
    queries = encode_rows(encoder, token_ids([str(row["question"]) for row in corpus.queries], tokenizer))
    places = _places(corpus, queries, windows)
    kinds: dict[str, list[int]] = {}
    for row, place in zip(corpus.queries, places, strict=True):
        kinds.setdefault(str(row.get("kind", "text")), []).append(place)
    return {kind: scores(found) for kind, found in kinds.items()}


def scores(places: Sequence[int]) -> Figures:
    """Return hit@1, 5, 10 and MRR@10, in [0, 1], of the 1-based places at which right texts were found."""
    hits: Figures = {f"hit@{cut}": round(sum(place <= cut for place in places) / len(places), 4) for cut in _CUTS}
    best = sum(1 / place for place in places if place <= max(_CUTS)) / len(places)
    return {"questions": len(places), **hits, f"MRR@{max(_CUTS)}": round(best, 4)}


def _places(corpus: Corpus, queries: torch.Tensor, windows: torch.Tensor) -> list[int]:
    """Return the place of the first right text of each question, 1 for the best; a text is as near as its nearest window."""
    import torch

    device = windows.device
    near = torch.full((len(queries), len(corpus.ids)), -2.0, device=device)
    owners = torch.tensor(corpus.owners, device=device).expand(len(queries), -1)
    near.scatter_reduce_(1, owners, queries @ windows.T, "amax")
    numbers = {key: number for number, key in enumerate(corpus.ids)}
    places = []
    for row, values in zip(corpus.queries, near, strict=True):
        if row.get("file"):
            values = values.masked_fill(
                torch.tensor([file != row["file"] for file in corpus.files], device=device), -3.0
            )
        best = values[[numbers[key] for key in row["relevant_ids"]]].max()
        places.append(1 + int((values > best).sum()))
    return places


def _cut(text: str, tokenizer: Tokenizer, window: int) -> list[list[int]]:
    """Return the ids of the text's windows of at most `window` word pieces, each repeating the last few before it."""
    first, *_, last = tokenizer.encode("x").ids
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    starts = range(0, max(1, len(ids) - _OVERLAP), window - _OVERLAP)
    return [[first, *ids[start : start + window], last] for start in starts]


def _changes(path: Path) -> dict[str, torch.Tensor]:
    """Return the packed change in a file, float32 by name. Raises DataError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from rag_core.encoder.changes import unpacked

    try:
        return unpacked(load_file(str(path)))
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is no change that train.embedder.train wrote ({error})") from error


if __name__ == "__main__":
    sys.exit(run(main))
