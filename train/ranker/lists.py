"""Questions with windows of texts to be put in order, as two files of JSON Lines: `windows.jsonl` and `lists.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from train.errors import DataError
from train.rows import read_records

__all__ = ["Listed", "RankingLists", "read_lists", "write_lists"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A question with the numbers of windows: those that hold its answer, the others of the same text, and wrong ones.

    `right` is empty where the text does not answer. `wrong` are of other texts, the likeliest to be taken for right first.
    """

    question: str
    right: tuple[int, ...]
    own: tuple[int, ...]
    wrong: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RankingLists:
    """Windows of texts, and the lists that name them by number."""

    windows: tuple[str, ...]
    lists: tuple[Listed, ...]


def write_lists(found: RankingLists, folder: Path) -> None:
    """Write both files, as `read_lists` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "windows.jsonl", ({"text": text} for text in found.windows))
    _write(folder / "lists.jsonl", (asdict(each) for each in found.lists))


def read_lists(folder: Path) -> RankingLists:
    """Return what `write_lists` wrote into `folder`. Raises DataError, which names file and row."""
    windows = tuple(str(record.get("text", "")) for _, record in read_records(str(folder / "windows.jsonl")))
    path = folder / "lists.jsonl"
    lists = tuple(_listed(record, len(windows), f"{path}, row {row}") for row, record in read_records(str(path)))
    if not lists:
        raise DataError(f"{path} holds no lists; write some with `python -m train.ranker.build FOLDER`")
    return RankingLists(windows, lists)


def _listed(record: Mapping[str, Any], count: int, where: str) -> Listed:
    question = record.get("question")
    numbers = [record.get(name) for name in ("right", "own", "wrong")]
    if not isinstance(question, str) or not question.strip() or not all(isinstance(part, list) for part in numbers):
        raise DataError(f"{where}: a question and the lists right, own and wrong are needed")
    right, own, wrong = (tuple(part or ()) for part in numbers)
    if not all(isinstance(number, int) and 0 <= number < count for number in (*right, *own, *wrong)):
        raise DataError(f"{where}: windows are named by numbers below {count}")
    if not own and not wrong:
        raise DataError(f"{where}: there is nothing to put the right windows before")
    return Listed(question, right, own, wrong)


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
