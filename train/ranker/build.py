"""`python -m train.ranker.build FOLDER`: questions with the windows that answer them, and those that look as if they did."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rag_core.config import RagConfig
from rag_core.encoder.embedding import create_embedder
from train.embedder.grouping import joined_groups
from train.embedder.pairs import Pair
from train.ranker.lists import Listed, RankingLists, write_lists
from train.ranker.windows import Asked, asked_about, cut, held_by, holding
from train.reader.examples import held_out
from train.reader.formulas import apart, calculations_over, load_calculations
from train.reader.paragraphs import load_paragraphs
from train.terminal import command_parser, note, run, write

if TYPE_CHECKING:
    from rag_core.encoder.embedding import Embedder

__all__ = ["build_lists", "main"]

_DESCRIPTION = """Write lists that teach a ranking model: questions of train/reader, the windows of their text that hold the
answer, and windows of other texts that words or vectors take for right."""
_EXAMPLES = """
python -m train.ranker.build runs/lists
python -m train.ranker.train runs/ranker.safetensors --lists runs/lists
"""
# Windows of other texts that are looked at on either side, and that are kept.
_LOOKED_AT, _KEPT = 60, 40
_BLOCK = 1_024
_WORDS = r"(?u)\b\w+\b"


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = command_parser("ranker.build", _DESCRIPTION, _EXAMPLES, "")
    parser.add_argument("folder", type=Path, help="where windows.jsonl and lists.jsonl go")
    parser.add_argument("--all", action="store_true", help="questions of the held-out paragraphs too")
    options = parser.parse_args(arguments)
    paragraphs = load_paragraphs()
    shown = paragraphs if options.all else held_out(paragraphs)[0]
    asked = asked_about(shown, apart(load_calculations())[0] + calculations_over(shown))
    found = build_lists(asked, create_embedder(RagConfig()))
    write_lists(found, options.folder)
    note(f"{len(found.lists)} questions, {len(found.windows)} windows")
    write(f"{options.folder}\n")
    return 0


def build_lists(asked: Sequence[Asked], embedder: Embedder) -> RankingLists:
    """Return lists for the questions; wrong windows come from all their texts but those that say nearly the same."""
    config = RagConfig().splitting
    texts = {text: cut(text, config, embedder) for text in dict.fromkeys(each.text for each in asked)}
    starts: dict[str, int] = {}
    windows: list[str] = []
    for text, made in texts.items():
        starts[text] = len(windows)
        windows += made.embedded
    groups = joined_groups([Pair(each.question, each.text, str(starts[each.text])) for each in asked])
    group_of = {text: pair.group for text, pair in zip((each.text for each in asked), groups, strict=True)}
    owners = [group_of[text] for text, made in texts.items() for _ in made.embedded]
    questions = [each.question for each in asked]
    lists = []
    for each, likely in zip(asked, _likely(questions, windows, embedder), strict=True):
        first, here = starts[each.text], texts[each.text]
        right = [first + number for number in holding(each, here)]
        own = [number for number in range(first, first + len(here.spans)) if number not in right]
        wrong = [
            number
            for number in likely
            if owners[number] != group_of[each.text] and not held_by(each.parts, windows[number])
        ]
        lists.append(Listed(each.question, tuple(right), tuple(own), tuple(wrong[:_KEPT])))
    return RankingLists(tuple(windows), tuple(lists))


def _likely(questions: Sequence[str], windows: Sequence[str], embedder: Embedder) -> Iterator[list[int]]:
    """Yield for each question the windows that words and vectors find, the best of either side in turn."""
    worded = _nearest(*_word_vectors(questions, windows))
    embedded = _nearest(embedder.encode(questions), embedder.encode(windows).T)
    for by_words, by_vectors in zip(worded, embedded, strict=True):
        in_turn = chain.from_iterable(zip_longest(by_words, by_vectors))
        yield list(dict.fromkeys(number for number in in_turn if number is not None))


def _word_vectors(questions: Sequence[str], windows: Sequence[str]) -> tuple[Any, Any]:
    """Return the questions' rows and the windows' columns of weights of words, sparse."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    weighing = TfidfVectorizer(token_pattern=_WORDS, sublinear_tf=True, dtype=np.float32)
    columns = weighing.fit_transform(windows).T.tocsr()
    return weighing.transform(questions), columns


def _nearest(rows: Any, columns: Any) -> Iterator[list[int]]:
    """Yield for each row the numbers of the columns with the largest products, largest first."""
    count = min(_LOOKED_AT, columns.shape[1])
    for start in range(0, rows.shape[0], _BLOCK):
        product = rows[start : start + _BLOCK] @ columns
        near: npt.NDArray[np.float32] = product.toarray() if hasattr(product, "toarray") else product
        best = np.argpartition(-near, count - 1, axis=1)[:, :count]
        for line, numbers in zip(near, best, strict=True):
            yield [int(number) for number in numbers[np.argsort(-line[numbers], kind="stable")]]


if __name__ == "__main__":
    sys.exit(run(main))
