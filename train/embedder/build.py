"""`python -m train.embedder.build FILE`: pairs of question and passage, as JSON Lines of `query`, `passage`, `group`."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from train.embedder.grouping import joined_groups
from train.embedder.network import MAX_TOKENS, open_tokenizer
from train.embedder.pairs import Pair, write_pairs
from train.embedder.sources import paragraph_pairs, row_pairs
from train.reader.paragraphs import FOLDER, load_paragraphs
from train.rows import read_rows
from train.terminal import command_parser, note, run, write

__all__ = ["build_pairs", "main"]

_DESCRIPTION = """Write pairs that fine-tune the sentence encoder: questions of train/reader/paragraphs with their paragraphs,
and with --rows those of a data set in the columns of finance-alpaca. A row with an input is paired with it, else with its
output. Rows of general instructions are left out, and passages are cut to what the encoder reads."""
_EXAMPLES = """
python -m train.embedder.build runs/pairs.jsonl
python -m train.embedder.build runs/finance.jsonl --no-paragraphs --rows finance_alpaca/train.jsonl
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = command_parser("embedder.build", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, help="where the pairs go")
    parser.add_argument("--paragraphs", type=Path, default=FOLDER, help="folder of paragraphs with questions")
    parser.add_argument("--no-paragraphs", action="store_true", help="rows alone")
    parser.add_argument("--rows", nargs="*", default=[], help="files of instruction, input and output")
    parser.add_argument("--headed", type=float, default=0.33, help="share of passages put under a title")
    parser.add_argument("--base", type=Path, help="folder of the encoder; the embedded one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    paragraphs = None if options.no_paragraphs else options.paragraphs
    pairs = build_pairs(paragraphs, options.rows, options.headed, options.seed, options.base)
    write_pairs(pairs, options.file)
    note(f"{len(pairs)} pairs in {len({pair.group for pair in pairs})} groups")
    write(f"{options.file}\n")
    return 0


def build_pairs(
    paragraphs: Path | None, rows: Sequence[str], headed: float, seed: int = 0, base: Path | None = None
) -> list[Pair]:
    """Return the pairs of a folder of paragraphs and of files of rows. Raises DataError or ModelError."""
    chance = random.Random(seed)  # noqa: S311
    pairs = paragraph_pairs(load_paragraphs(paragraphs), chance, headed) if paragraphs else []
    for number, source in enumerate(rows):
        pairs += row_pairs(read_rows(source), f"rows{number or ''}", chance, headed)
    tokenizer = open_tokenizer(base)
    cut = []
    for pair in pairs:
        # The two special tokens are no part of the text.
        offsets = tokenizer.encode(pair.passage, add_special_tokens=False).offsets[: MAX_TOKENS - 2]
        cut.append(replace(pair, passage=pair.passage[: offsets[-1][1]]) if offsets else pair)
    return joined_groups(cut) if cut else []


if __name__ == "__main__":
    sys.exit(run(main))
