"""Formulas to what a reading model learns of them: the shape, and what each operand does in it."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Sequence

from rag_core.arithmetic.plans import NOTHING, OTHER, ROLES, SAID, SHAPES, Shape
from train.errors import DataError
from train.reader.examples import ReadingExample, occurrences
from train.reader.formulas import Calculation, Formula, read_formula

__all__ = ["calculation_example", "calculation_examples", "planned"]

_ADDS, _TAKES, _UNDER = range(len(ROLES))
# Of the questions, those shown with another text, and those whose figures are drawn anew.
_MISPLACED, _REDRAWN = 0.2, 0.5
# A text stands alone, or behind or before another.
_ALONE = 0.6
# Figures of three digits and more, or with decimals, but for years and what hangs on letters ("Q3", "SU-3A").
_DRAWN = re.compile(r"(?<![\w.,'-])(?!(?:19|20)\d\d(?![.,]?\d))\d(?=[\d,]*[,.]|\d\d)[\d,.]*\d(?![\w'-])")


def planned(formula: Formula) -> tuple[Shape, tuple[tuple[int, int], ...]]:
    """Return the shape of a formula, and (role, operand) for each operand that has one; (OTHER, ()) for any other form."""
    roles = _roles(ast.parse(formula.expression, mode="eval").body, formula)
    if roles is None:
        return OTHER, ()
    kind, found = roles
    counts = tuple(sum(role == own for own, _ in found) for role in range(len(ROLES)))
    shape = next((shape for shape in SHAPES if shape.kind == kind and shape.counts == counts), OTHER)
    return (shape, tuple(found)) if shape != OTHER else (OTHER, ())


_Roles = list[tuple[int, int]]


def _roles(node: ast.expr, formula: Formula) -> tuple[str, _Roles] | None:
    match node:
        case ast.Call(args=several):
            names = [_operand(each) for each in several]
            return None if None in names else ("average", [(_ADDS, name) for name in names if name is not None])
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            pair = (_operand(left), _operand(right))
            return None if pair[0] is None or pair[1] is None else ("product", [(_ADDS, pair[0]), (_ADDS, pair[1])])
        case ast.BinOp(left=ast.Constant(value=100), op=ast.Sub(), right=right):
            name = _operand(right)
            return None if name is None else ("complement", [(_ADDS, name)])
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            above, below = _terms(left, _ADDS), _terms(right, _ADDS)
            if not above or not below or any(role == _TAKES for role, _ in below):
                return None
            taken = [name for role, name in above if role == _TAKES]
            base = formula.operands[below[0][1]]
            if formula.percent and len(below) == 1 and [formula.operands[name] for name in taken] == [base]:
                return "percentage change", above
            return "percentage of" if formula.percent else "ratio", above + [(_UNDER, name) for _, name in below]
    terms = _terms(node, _ADDS)
    if not terms or len(terms) < 2:
        return None
    return "difference" if any(role == _TAKES for role, _ in terms) else "sum", terms


def _terms(node: ast.expr, role: int) -> _Roles | None:
    """Return the operands of a sum with their signs, None where it is more than a sum of operands."""
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as step, right=right):
            first = _terms(left, role)
            second = _terms(right, role if isinstance(step, ast.Add) else _ADDS + _TAKES - role)
            return None if first is None or second is None else first + second
        case _:
            name = _operand(node)
            return None if name is None else [(role, name)]


def _operand(node: ast.expr) -> int | None:
    return int(node.id[1:]) if isinstance(node, ast.Name) else None


def calculation_examples(calculations: Sequence[Calculation], chance: random.Random) -> list[ReadingExample]:
    """Return an example a question, and near misses: some with another text. Of some texts the figures are drawn anew."""
    texts = list(dict.fromkeys(each.text for each in calculations))
    examples = []
    for each in calculations:
        shown = _redrawn(each, chance) if chance.random() < _REDRAWN else each
        examples.append(calculation_example(shown, texts, chance))
        if chance.random() < _MISPLACED:
            others = tuple(chance.sample(texts, min(len(texts), chance.choice((1, 1, 2)))))
            if each.text not in others:
                examples.append(ReadingExample(each.question, others, "", SHAPES.index(NOTHING)))
    chance.shuffle(examples)
    return examples


def calculation_example(asked: Calculation, texts: Sequence[str], chance: random.Random) -> ReadingExample:
    """Return a question over its text, alone or beside another one of `texts`."""
    passages = [asked.text]
    if chance.random() > _ALONE and (other := chance.choice(texts)) != asked.text:
        passages.insert(chance.randint(0, 1), other)
    if asked.formula is None:
        shape = SAID if asked.answer else NOTHING
        return ReadingExample(asked.question, tuple(passages), asked.answer, SHAPES.index(shape))
    shape, roles = planned(asked.formula)
    before = sum(len(text) + 2 for text in passages[: passages.index(asked.text)])
    figures = []
    for role, name in roles:
        operand = asked.formula.operands[name]
        first = re.search(r"\d", operand)
        at = before + occurrences(asked.text, operand)[0] + (first.start() if first else 0)
        figures.append((role, at))
    return ReadingExample(asked.question, tuple(passages), "", SHAPES.index(shape), tuple(figures))


def _redrawn(asked: Calculation, chance: random.Random) -> Calculation:
    """Return the same with other figures, so that none is learnt by heart; as it was where a formula would not be clear."""
    drawn: dict[str, str] = {}

    def other(match: re.Match[str]) -> str:
        text = match.group()
        if text not in drawn:
            # The first digit stays, so that what was larger is larger mostly.
            drawn[text] = text[0] + re.sub(r"\d", lambda _: str(chance.randint(0, 9)), text[1:])
        return drawn[text]

    text = _DRAWN.sub(other, asked.text)
    question, answer = _DRAWN.sub(other, asked.question), _DRAWN.sub(other, asked.answer)
    if len(set(drawn.values())) < len(drawn) or (answer and answer not in text):
        return asked
    if asked.formula is None:
        return Calculation(asked.topic, text, question, None, answer)
    # "x10" holds "x1": the operands are put in from the last on.
    written = asked.formula.expression
    for number in reversed(range(len(asked.formula.operands))):
        written = re.sub(rf"\bx{number}\b", f"[{_DRAWN.sub(other, asked.formula.operands[number])}]", written)
    try:
        formula = read_formula(f"= {written}{' %' if asked.formula.percent else ''}", text)
    except DataError:
        return asked
    return Calculation(asked.topic, text, question, formula, "")
