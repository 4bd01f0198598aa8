"""What else a passage can be matched by than its words: its rows' labels, its concepts, its quarters, its statement.

Marks are terms of the word index beside the words, told from them by their first sign. A question that names a row
label whole (`Raw materials`) asks for the table that has this very row; one that names a concept (capex) for the
passage that names it too, in whatever words; one that needs an item for the statement that every report has it on.
Where a question gives a period and names no item (`What was left for the owners in 2021?`), every primary statement is
taken to be a likely place.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rag_core.words.captions import STATEMENTS
from rag_core.words.vocabulary import concepts, statement_of, wanted
from rag_core.words.wording import asks_only, names_period, quarters, stems

__all__ = ["ROW", "passage_marks", "question_marks"]

# What the mark of a row label begins with.
ROW = "="

# Weights in a question, where a word counts 1.
_LABEL = 1.0
_NAMED = 1.0
_ITEM = 0.5
_STATEMENT = 1.5
_TITLED = 1.5
# Of every titled statement, where the question gives a period and names no item that a statement has.
_ANY_STATEMENT = 2.5
_QUARTER = 0.5
# A label of more words is a sentence that happens to stand in a table.
_LABEL_WORDS = 8
# A title above a table has at most this many words.
_TITLE_WORDS = 14
# A passage whose rows name this many different items of a statement, with figures, is taken for that statement; under
# its title, this many less one.
_STATEMENT_ITEMS = 4
_CELLS = " | "
# A figure, or what stands in its place, at the end of a line: 1,234, $12.5, (403), 19.0%, a currency's sign, a dash.
_FIGURE = re.compile(r"[$\u20ac\u00a3]?\(?[\d.,]*\d\)?%?|[$\u20ac\u00a3]|[-\u2013\u2014]")


def passage_marks(text: str, *, report: bool = True) -> list[str]:
    """Return the marks of a passage: `=label` of each row, `#concept` and `@quarter` where named, and its statement.

    The statement is marked only in a `report`, as `!statement` once for each item that it has, and as `!!statement`
    where its title stands above: a short excerpt has no statements that would say more than itself.
    """
    marks = [f"#{concept}" for concept in concepts(stems(text))]
    marks += [f"@{quarter}" for quarter in quarters(text)]
    items: dict[str, set[str]] = {}
    head: list[str] = []
    for line in text.splitlines():
        label, figures = _row(line)
        if 0 < len(label) <= _LABEL_WORDS:
            marks.append(f"{ROW}{' '.join(label)}")
        for concept in concepts(label) if figures > 1 else ():
            statement = statement_of(concept)
            if statement:
                items.setdefault(statement, set()).add(concept)
        if not items:
            head.append(line)
    if report and items:
        titles = {concept for line in head if _is_title(line) for concept in concepts(stems(line))}
        for statement, found in items.items():
            marks += [f"!{statement}"] * (len(found) if len(found) >= _STATEMENT_ITEMS else 0)
            marks += [f"!!{statement}"] * (len(found) >= _STATEMENT_ITEMS - 1 and statement in titles)
    return marks


def question_marks(question: str, known: Callable[[str], bool]) -> dict[str, float]:
    """Return the marks that a passage should have to answer `question`, with their weights; `known` ones only.

    Of labels that stand in the question one within another only the longest counts.
    """
    asked = wanted(question)
    marks = {f"#{concept}": _NAMED for concept in asked.named}
    marks.update({f"#{item}": _ITEM for item in asked.items})
    marks.update({f"!{statement}": _STATEMENT for statement in asked.statements})
    marks.update({f"!!{statement}": _TITLED for statement in asked.statements})
    marks.update({f"@{quarter}": _QUARTER for quarter in quarters(question)})
    if not asked.statements and names_period(question):
        marks.update({f"!!{statement}": _ANY_STATEMENT for statement in STATEMENTS})
    words = stems(question)
    taken: list[tuple[int, int]] = []
    for length in range(min(_LABEL_WORDS, len(words)), 0, -1):
        for start in range(len(words) - length + 1):
            end = start + length
            label = f"{ROW}{' '.join(words[start:end])}"
            if all(_says_nothing(word) for word in words[start:end]):
                continue
            if known(label) and not any(first <= start and end <= last for first, last in taken):
                taken.append((start, end))
                marks[label] = _LABEL
    return {mark: weight for mark, weight in marks.items() if known(mark)}


def _is_title(line: str) -> bool:
    """Return whether a line above a table may be its title; prose also speaks of the balance sheet."""
    return len(line.split()) <= _TITLE_WORDS and not line.rstrip().endswith(".")


def _says_nothing(word: str) -> bool:
    """Return whether a stem alone makes no row label: a year or number, or a word that says how to answer."""
    return word[0].isdigit() or asks_only(word)


def _row(line: str) -> tuple[list[str], int]:
    """Return the stems of a table row's label and how many further cells hold a figure; none for other lines.

    A table that was not recognised as one still has lines that end with figures: two or more of them make a row.
    """
    if _CELLS in line:
        first, *others = line.split(_CELLS)
        return stems(first), sum(any(sign.isdigit() for sign in cell) for cell in others)
    parts = line.split()
    end = len(parts)
    while end and _FIGURE.fullmatch(parts[end - 1]):
        end -= 1
    figures = sum(any(sign.isdigit() for sign in part) for part in parts[end:])
    return (stems(" ".join(parts[:end])), figures) if figures > 1 else ([], 0)
