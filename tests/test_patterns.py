"""No pattern takes exponential time: its own words, repeated and then broken off, are what it can part in most ways."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest

import rag_core

# What is imported needs a card.
_ELSEWHERE = ("rag_core.engines.cuda", "rag_core.__main__")
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(rag_core.__path__, "rag_core.")
    if not module.name.startswith(_ELSEWHERE)
)
_ANY = ("x", "X1", "12", "1,2", "$3", "among", "Alba")
_GAPS = (" ", ", ", " and ", " the ", ", the ", "-")
_LEADS = ("", ", ", "what was the ")
_TIMES = 45
_MOST_WORDS = 40


def patterns(module: str) -> Iterator[re.Pattern[str]]:
    """Yield the patterns of a module, also those in its tuples and mappings."""
    waiting = list(vars(importlib.import_module(module)).values())
    for _ in range(3):
        inner: list[object] = []
        for value in waiting:
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                yield value
            elif isinstance(value, dict):
                inner += [*value.keys(), *value.values()]
            elif isinstance(value, (list, tuple, set, frozenset)):
                inner += value
        waiting = inner


@pytest.mark.timeout(60)
@pytest.mark.parametrize("module", MODULES)
def test_no_pattern_takes_exponential_time(module: str) -> None:
    for pattern in dict.fromkeys(patterns(module)):
        own = re.findall(r"(?<![\\a-zA-Z])[A-Za-z]{1,12}", pattern.pattern)
        for word in dict.fromkeys([*_ANY, *own[:_MOST_WORDS]]):
            for text in (lead + (word + gap) * _TIMES + "\x00" for gap in _GAPS for lead in _LEADS):
                # What cannot be matched to its end has every way tried.
                pattern.search(text)
                pattern.fullmatch(text)
