"""What a reading model's states say of a calculation: the shape of the formula, and the figures that go into it.

Two heads beside the one that marks answers (`rag_core.answers.reader`): the first token's state gives the shape, each
token's how likely the figure that starts there has a role, as the cells of a table are chosen in Herzig et al. 2020
(arXiv:2004.02349). The figures themselves, and what they come to, are code's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag_core.arithmetic.figures import find_figures
from rag_core.arithmetic.plans import NOTHING, ROLES, SAID, SHAPES, Plan, Shape

__all__ = ["Planner", "figure_spans"]

Floats = npt.NDArray[np.float32]
# Numbers of the shapes that are formulas, and of those whose figures are told.
_FORMULAS = [number for number, shape in enumerate(SHAPES) if shape not in (NOTHING, SAID)]
_NOTHING = SHAPES.index(NOTHING)
_HELD = [number for number, shape in enumerate(SHAPES) if shape != NOTHING]
_NUMBERED = [number for number, shape in enumerate(SHAPES) if any(shape.counts)]
# Shapes that are tried, the likeliest first.
_MOST_SHAPES = 4
_DIGIT = re.compile(r"\d")

Span = tuple[int, int]


def figure_spans(text: str) -> list[Span]:
    """Return the spans [start, end) of the figures in a text, those of years and days among them."""
    return [(start, end) for _, start, end in find_figures(text)]


@dataclass(frozen=True, slots=True, eq=False)
class Planner:
    """The heads: `shapes` float32 (shapes, size) and `roles` (3, size), each with its bias."""

    shapes: Floats
    shapes_bias: Floats
    roles: Floats
    roles_bias: Floats

    def plan(self, states: Floats, first: int, text: str, figures: Sequence[Span], offsets: Sequence[Span]) -> Plan:
        """Return the likeliest plan over a window of `text`, of probability 0 where it holds no figures.

        `states` are (tokens, size); the window's tokens start at `first` and have the characters `offsets` of the text.
        """
        tokens = _first_tokens(text, figures, offsets)
        scores = states[0] @ self.shapes.T + self.shapes_bias
        likely = _softmax(scores)
        needed = float(likely[_FORMULAS].sum())
        held = float(np.logaddexp.reduce(scores[_HELD]) - scores[_NOTHING])
        nothing = Plan(NOTHING, (), 0.0, needed, held)
        if not tokens:
            return nothing
        spans = [figures[number] for number in tokens]
        places = [first + token for token in tokens.values()]
        roles = np.stack(
            [_softmax(scores) for scores in (states[places] @ self.roles.T + self.roles_bias).T]
        )  # (3, figures)
        plans = []
        for number in sorted(_NUMBERED, key=lambda number: -likely[number])[:_MOST_SHAPES]:
            chosen, share = _choose(SHAPES[number], roles)
            if share:
                found = tuple(tuple(spans[figure] for figure in role) for role in chosen)
                plans.append(Plan(SHAPES[number], found, float(likely[number]) * share, needed, held))
        return max(plans, key=lambda plan: plan.probability, default=nothing)


def _first_tokens(text: str, figures: Sequence[Span], offsets: Sequence[Span]) -> dict[int, int]:
    """Return by the number of each figure that lies in the window the token of its first digit."""
    found, token = {}, 0
    for number, (start, end) in enumerate(figures):
        digit = _DIGIT.search(text, start, end)
        place = digit.start() if digit else start
        while token < len(offsets) and offsets[token][1] <= place:
            token += 1
        if token == len(offsets):
            break
        if offsets[token][0] <= place:
            found[number] = token
    return found


def _choose(shape: Shape, roles: Floats) -> tuple[list[list[int]], float]:
    """Return the figures of each role, the surest first and none twice, and their probability, 0 where they are too few."""
    chosen: list[list[int]] = [[] for _ in ROLES]
    taken: set[int] = set()
    share = 1.0
    for place in np.argsort(-roles, axis=None):
        role, figure = divmod(int(place), roles.shape[1])
        count = shape.counts[role]
        if len(chosen[role]) < count and figure not in taken:
            chosen[role].append(figure)
            taken.add(figure)
            # Of a role with two figures each has one half at best.
            share *= min(1.0, float(roles[role, figure]) * count)
    return chosen, share if len(taken) == sum(shape.counts) else 0.0


def _softmax(scores: Floats) -> Floats:
    likely = np.exp(scores - scores.max())
    shares: Floats = likely / likely.sum()
    return shares
