"""Figures that documents do not print and questions ask for: computed in code from cited table cells, never by a model.

question -> what to compute (questions) ; hits -> tables (grids) -> line items by period (series) -> the ones that are
meant (matching, choosing) -> exact decimals (operations) -> answer, formula and operands (telling). Where a row, a period
or the operation is not clear, nothing is computed.
"""

from __future__ import annotations

from rag_core.arithmetic.citing import cite_operands
from rag_core.arithmetic.computing import compute
from rag_core.records import Computation, Operand

__all__ = ["Computation", "Operand", "cite_operands", "compute"]
