"""`python -m train.reader.build FOLDER`: the rows on which a small model learns to read, and those that judge it.

Each row is what `train.finetune` reads: instruction, input and output. Passages of one row are parted by form feeds, and
the output is a part of one of them, or the sentence that says that they do not hold the answer.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from train.encoding import PASSAGE_BREAK
from train.reader.examples import ReadingExample, compose, held_out, report_examples
from train.reader.paragraphs import load_paragraphs
from train.terminal import command_parser, run, write

__all__ = ["NO_ANSWER", "main", "rows_of"]

NO_ANSWER = "The documents do not say."

_DESCRIPTION = """Write train.jsonl and eval.jsonl: questions over paragraphs and report tables of our own.

Paragraphs stand in train/reader/paragraphs, every eighth of a file is held out; reports are made up from the seed."""
_EXAMPLES = """
python -m train.reader.build runs/reading
python -m train.finetune train/configs/smollm2-cpu.yaml --set data.train=runs/reading/train.jsonl
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = command_parser("reader.build", _DESCRIPTION, _EXAMPLES, "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="where the two files go")
    parser.add_argument(
        "--variants", type=int, default=3, help="times that each paragraph is shown, among others each time"
    )
    parser.add_argument("--reports", type=int, default=6_000, help="rows over invented reports")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    chance = random.Random(options.seed)  # noqa: S311
    trained, held = held_out(load_paragraphs())
    examples = [example for _ in range(options.variants) for example in compose(trained, chance)]
    examples += report_examples(options.reports, chance)
    chance.shuffle(examples)
    judged = [
        ReadingExample(question.text, (paragraph.text,), question.answer)
        for paragraph in held
        for question in paragraph.questions
    ]
    judged += report_examples(200, chance)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, made in (("train.jsonl", examples), ("eval.jsonl", judged)):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows_of(made)]
        (options.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        write(f"{options.folder / name}: {len(lines):,} rows\n")
    return 0


def rows_of(examples: Iterable[ReadingExample]) -> list[dict[str, str]]:
    """Return the examples as rows for training."""
    return [
        {
            "instruction": example.question,
            "input": PASSAGE_BREAK.join(example.passages),
            "output": example.answer or NO_ANSWER,
        }
        for example in examples
    ]


if __name__ == "__main__":
    sys.exit(run(main))
