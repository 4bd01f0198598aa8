"""Rows of instruction, input and output: from a data set on the Hub, a JSONL file or a Parquet file."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.errors import DataError
from train.settings import DataSettings

__all__ = ["COLUMNS", "Row", "Split", "load_split", "read_records", "read_rows"]

# The columns that are read, and whether a row may go without.
COLUMNS = {"instruction": False, "input": True, "output": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One exchange. `context` is the data's `input` column: empty, or the text that the question is about."""

    question: str
    context: str
    answer: str


@dataclass(frozen=True)
class Split:
    """Rows to train on and rows held out."""

    train: tuple[Row, ...]
    eval: tuple[Row, ...]


def read_rows(source: str) -> list[Row]:
    """Return the rows of a .jsonl, .json or .parquet file, or of the `train` split of a data set on the Hub, white space trimmed.

    Rows without a question or an answer are kept: `train.data` reports them, `load_split` leaves them out.
    Raises DataError, which names the file and the line.
    """
    return _checked(read_records(source), source)


def read_records(source: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield what a source holds, not yet checked: the number of each row, counted from 1, and its columns by name.

    Raises DataError where the source cannot be read.
    """
    path = Path(source).expanduser()
    if path.suffix.lower() == ".jsonl":
        return _json_lines(path)
    if path.suffix.lower() == ".json":
        return _json_array(path)
    if path.suffix.lower() == ".parquet":
        return _parquet(path, source)
    if path.exists():
        raise DataError(f"{source} is neither .jsonl, .json nor .parquet; convert it, or name a data set on the Hub")
    return _from_hub(source)


def load_split(settings: DataSettings) -> Split:
    """Return the rows of a run: complete ones, without repetitions, none of them in both parts.

    A held-out row goes from the training rows wherever its question with its context stands there too.
    The same settings give the same rows in the same order. Raises DataError.
    """
    rows = _usable(read_rows(settings.train))
    if settings.eval:
        held_out = _usable(read_rows(settings.eval))
        held_out = held_out[: settings.eval_rows] if settings.eval_rows else held_out
    else:
        shuffled = list(rows)
        random.Random(settings.seed).shuffle(shuffled)  # noqa: S311
        count = min(settings.eval_rows, len(shuffled) // 5)
        held_out = shuffled[:count]
    unseen = {(row.question, row.context) for row in held_out}
    train = [row for row in rows if (row.question, row.context) not in unseen]
    train = train[: settings.train_rows] if settings.train_rows else train
    if not train or not held_out:
        raise DataError(
            f"{settings.train} leaves {len(train)} rows to train on and {len(held_out)} to evaluate; add rows"
        )
    return Split(tuple(train), tuple(held_out))


def _usable(rows: Iterable[Row]) -> list[Row]:
    return list(dict.fromkeys(row for row in rows if row.question and row.answer))


def _checked(records: Iterable[tuple[int, Mapping[str, Any]]], source: str) -> list[Row]:
    rows = []
    for number, record in records:
        values = {key: record.get(key) for key in COLUMNS}
        for key, optional in COLUMNS.items():
            value = values[key]
            if not isinstance(value, str) and not (optional and value is None):
                raise DataError(
                    f"{source}, row {number}: column {key} is {type(value).__name__}, text is needed; "
                    "the columns are instruction, input and output"
                )
        question, context, answer = (str(value or "").strip() for value in values.values())
        rows.append(Row(question, context, answer))
    if not rows:
        raise DataError(f"{source} holds no rows")
    return rows


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        # Some editors put a byte order mark in front.
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise DataError(f"{path}, row {number}: not an object; each line holds one with its columns")
                yield number, record
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON Lines in UTF-8: {error}") from error


def _parquet(path: Path, source: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError(f"{source} needs pyarrow; pip install pyarrow") from error
    try:
        table = parquet.read_table(path)
    except Exception as error:  # pyarrow raises kinds of its own, and OSError.
        raise DataError(f"{source} cannot be read as Parquet ({error})") from error
    start = 1
    for batch in table.to_batches(max_chunksize=4_096):
        yield from enumerate(batch.to_pylist(), start=start)
        start += batch.num_rows


def _from_hub(source: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rows of all files of a data set's training part, in the order of their names."""
    from train.hub import fetch_dataset

    files = fetch_dataset(source)
    for path in _training_files(files, source):
        if path.suffix == ".parquet":
            yield from _parquet(path, source)
        elif path.suffix == ".jsonl":
            yield from _json_lines(path)
        else:
            yield from _json_array(path)


def _training_files(files: Sequence[Path], source: str) -> list[Path]:
    found = sorted(path for path in files if path.suffix in (".parquet", ".jsonl", ".json"))
    named = [path for path in found if "train" in path.name.lower()]
    if not found:
        raise DataError(f"{source} holds no .json, .jsonl or .parquet file; download it and name the file")
    return named or found


def _json_array(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the objects of a .json file: one array, or one object a line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON in UTF-8: {error}") from error
    if not text.lstrip().startswith("["):
        yield from _json_lines(path)
        return
    try:
        records = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path.name} is not JSON: {error}") from error
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path.name}, row {number}: not an object")
        yield number, record
