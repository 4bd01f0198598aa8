"""Measuring answers: questions with expected answers, what a system gave, the marks, and their means."""

from __future__ import annotations

from rag_core.evaluation.marking import Given, Marks, given_by, mark
from rag_core.evaluation.questions import EvalQuestion, question_from, read_questions
from rag_core.evaluation.summing import Summary, summarise, table

__all__ = [
    "EvalQuestion",
    "Given",
    "Marks",
    "Summary",
    "given_by",
    "mark",
    "question_from",
    "read_questions",
    "summarise",
    "table",
]
