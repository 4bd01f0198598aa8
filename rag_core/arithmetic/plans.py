"""Plans of calculations: which kind of figure a question asks for, and which figures of a text go into it.

A reading model makes them (`rag_core.answers.planning`), and learns to on formulas of ours (`train.reader`). What is
computed, and whether at all, code decides (`rag_core.arithmetic.planned`).
"""

from __future__ import annotations

from dataclasses import dataclass

from rag_core.records import Operation

__all__ = ["NOTHING", "OTHER", "ROLES", "SAID", "SHAPES", "Plan", "Shape"]

# What a figure does in a formula: it is added, taken away, or divided by.
ROLES = ("adds", "takes", "under")


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of formula, with how many figures it adds, takes away, and divides by.

    A percentage change takes the base away and divides by it: it counts once. A complement is 100 less a percentage. Those of
    no kind are called by their `label`: `nothing` is neither said nor to be computed, `said` stands in the text, and `other`
    is a formula of none of these shapes.
    """

    kind: Operation | None
    adds: int = 0
    takes: int = 0
    under: int = 0
    label: str = ""

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many figures have each of ROLES."""
        return self.adds, self.takes, self.under


NOTHING, SAID, OTHER = (Shape(None, label=label) for label in ("nothing", "said", "other"))
# In the order of the rows of the model's head: a new one goes to the end, and the model is trained again.
SHAPES = (
    NOTHING,
    SAID,
    OTHER,
    Shape("difference", 1, 1),
    Shape("difference", 1, 2),
    Shape("difference", 1, 3),
    Shape("difference", 2, 1),
    Shape("difference", 3, 1),
    Shape("sum", 2),
    Shape("sum", 3),
    Shape("sum", 4),
    Shape("sum", 5),
    Shape("percentage of", 1, 0, 1),
    Shape("percentage of", 1, 0, 2),
    Shape("percentage of", 1, 0, 3),
    Shape("percentage of", 2, 0, 1),
    Shape("percentage of", 3, 0, 1),
    Shape("percentage of", 1, 1, 1),
    Shape("percentage change", 1, 1),
    Shape("ratio", 1, 0, 1),
    Shape("ratio", 1, 0, 2),
    Shape("ratio", 2, 0, 1),
    Shape("product", 2),
    Shape("complement", 1),
    Shape("average", 2),
    Shape("average", 3),
    Shape("average", 4),
    Shape("average", 5),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A shape, and the spans [start, end) of the figures that have each of ROLES, best first.

    `probability` in [0, 1] is the model's, of the shape and of all its figures together; `needed` is that of any formula.
    `held` is by how many nats the answer is likelier in the text, said or to be computed, than not.
    """

    shape: Shape
    figures: tuple[tuple[tuple[int, int], ...], ...]
    probability: float
    needed: float
    held: float = 0.0

    @property
    def share(self) -> float:
        """How likely in [0, 1] this plan is among all formulas, where one is needed."""
        return min(1.0, self.probability / self.needed) if self.needed else 0.0
