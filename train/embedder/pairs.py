"""Questions with the passages that answer them, as JSON Lines of `query`, `passage` and `group`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from train.errors import DataError
from train.rows import read_records

__all__ = ["Pair", "read_pairs", "write_pairs"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and a passage that answers it. No passage is wrong for a question of its own `group`."""

    query: str
    passage: str
    group: str


def read_pairs(paths: Sequence[Path]) -> list[Pair]:
    """Return the pairs of all files, in order. Raises DataError, which names file and row."""
    pairs = []
    for path in paths:
        for number, record in read_records(str(path)):
            values = [record.get(name) for name in ("query", "passage", "group")]
            texts = [value.strip() for value in values if isinstance(value, str)]
            if len(texts) < len(values) or not all(texts):
                raise DataError(f"{path}, row {number}: query, passage and group are needed, none of them empty")
            pairs.append(Pair(*texts))
    if not pairs:
        raise DataError("There are no pairs; write some with `python -m train.embedder.build FILE`")
    return pairs


def write_pairs(pairs: Iterable[Pair], path: Path) -> None:
    """Write the pairs as `read_pairs` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in pairs)
    path.write_text(text, encoding="utf-8")
