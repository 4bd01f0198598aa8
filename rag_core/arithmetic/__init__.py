"""Figures that documents do not print and questions ask for: computed in code from cited figures, never by a model.

question -> its words as they are read (rephrasing) -> what to compute (questions). hits -> tables (grids) -> line items by
period (series), and those that sentences give (prose, prosepairs, prosefacts) -> the ones that are meant (matching,
choosing, picking) -> exact decimals (calculating, operations) -> answer, formula and operands (telling). What one sentence
gives by itself, a whole with its part or a figure with its change, is computed from it alone (remainders, statements).
Where a row, a period or the operation is not clear, or where the text says the result (outright), nothing is computed.
"""

from __future__ import annotations

from rag_core.arithmetic.citing import cite_operands
from rag_core.arithmetic.computing import compute
from rag_core.records import Computation, Operand

__all__ = ["Computation", "Operand", "cite_operands", "compute"]
