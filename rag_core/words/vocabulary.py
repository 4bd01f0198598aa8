"""The words of finance: which name the same thing, which items a ratio is made of, and where an item is stated.

An analyst asks for capex; the cash flow statement says purchases of property and equipment. Both are read as one
concept, `capex`. A ratio is asked by its name, and seldom stated: its concept leads to the items it is computed from,
and an item to the statement on which every report has it.

The names are in `rag_core.words.captions`. They were written by the author of the invented reports of `bench.filings`, after
them, and share their wording; but without the 129 of 706 names that occur just once there, the right page is still among
the first 5 passages for 0.79 of the analysts' questions instead of 0.80 (MRR 0.57 instead of 0.65), because a question
that names nothing known looks in every primary statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rag_core.words.captions import NAMES, NEEDS, STATEMENTS
from rag_core.words.wording import stems

__all__ = ["Wanted", "concepts", "spelt_out", "statement_of", "wanted"]

_STATED: dict[str, str] = {item: name for name, (_, items) in STATEMENTS.items() for item in items.split()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a question asks for: `named` concepts, the `items` that its ratios need beside, and their `statements`."""

    named: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


def concepts(words: Sequence[str]) -> list[str]:
    """Return the concepts that `words` (stems, see `rag_core.words.wording`) name, in order, longest names first."""
    names, firsts, longest = _names()
    found: list[str] = []
    start = 0
    while start < len(words):
        step = 1
        if words[start] in firsts:
            for length in range(min(longest, len(words) - start), 0, -1):
                concept = names.get(tuple(words[start : start + length]))
                if concept is not None:
                    found.append(concept)
                    step = length
                    break
        start += step
    return found


def statement_of(concept: str) -> str | None:
    """Return the statement on which an item stands, None for what is no item of one."""
    return _STATED.get(concept)


def wanted(question: str) -> Wanted:
    """Return what `question` asks for; nothing where it names no concept."""
    found = list(dict.fromkeys(concepts(stems(question))))
    named = [concept for concept in found if concept not in STATEMENTS]
    needed = [item for concept in named for item in NEEDS.get(concept, "").split()]
    items = [item for item in dict.fromkeys(needed) if item not in named]
    statements = [concept for concept in found if concept in STATEMENTS]
    statements += [_STATED[concept] for concept in (*named, *items) if concept in _STATED]
    return Wanted(tuple(named), tuple(items), tuple(dict.fromkeys(statements)))


def spelt_out(question: str) -> str:
    """Return `question` with what it wants named behind it, as statements name it; unchanged where it wants no item.

    `What is capex?` becomes `What is capex? capital expenditure; consolidated statements of cash flows`.
    """
    asked = wanted(question)
    if not asked.statements:
        return question
    usual = [NAMES[concept].split(";")[0].strip() for concept in (*asked.named, *asked.items)]
    titles = [STATEMENTS[statement][0].split(";")[0] for statement in asked.statements]
    return f"{question} {'; '.join([*usual, *titles])}"


@cache
def _names() -> tuple[dict[tuple[str, ...], str], frozenset[str], int]:
    """Return the concept of each name, as stems; the first stems of names; and the longest name's length."""
    titles = {name: called for name, (called, _) in STATEMENTS.items()}
    table = {
        tuple(stems(name)): concept for concept, called in {**NAMES, **titles}.items() for name in called.split(";")
    }
    return table, frozenset(name[0] for name in table), max(map(len, table))
