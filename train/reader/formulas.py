"""Questions that need a calculation, with the formula that answers them, written for this project (`formulas/*.txt`).

Blocks as in `train.reader.paragraphs`, but an answer may be a formula: `= ([418.2] - [397.5]) / [397.5] %`. Each operand in
square brackets is a figure that stands in the text once, as a whole; numbers without brackets come from the question or
are common knowledge (`/ 12`); `avg(...)` is the mean; a percent sign at the end makes a share a percentage. An answer
without `=` is said by the text, and `-` is neither said nor to be computed. Names in the texts are invented.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import add, mul, sub, truediv
from pathlib import Path

from rag_core.arithmetic.figures import Figure, find_figures
from train.errors import DataError
from train.reader.examples import HELD_OUT_EVERY, occurrences
from train.reader.paragraphs import FOLDER as PARAGRAPHS
from train.reader.paragraphs import FORMULA, Block, Paragraph, read_blocks, said

__all__ = ["FORMULAS", "Calculation", "Formula", "apart", "calculations_over", "load_calculations", "read_formula"]

FORMULAS = Path(__file__).parent / "formulas"
_OPERAND = re.compile(r"\[([^\]]+)\]")
_STEPS: Mapping[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
}


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression over `operands`, the figures as they stand in the text, which it calls x0, x1 and so on."""

    expression: str
    operands: tuple[str, ...]
    percent: bool

    def value(self) -> Decimal | None:
        """Return what it comes to, scale words counted ("€1.2bn" is 1.2e9) and percentages as printed; None where an
        operand's figure is of a kind that the product does not read yet."""
        figures = [_figure(operand) for operand in self.operands]
        known = {f"x{number}": _plain(figure) for number, figure in enumerate(figures) if figure is not None}
        if len(known) < len(figures):
            return None
        found = _computed(ast.parse(self.expression, mode="eval").body, known)
        return found * 100 if self.percent else found


@dataclass(frozen=True, slots=True)
class Calculation:
    """A question about a text: its `formula`, or the words of the text that `answer`, or neither: it has no answer."""

    topic: str
    text: str
    question: str
    formula: Formula | None
    answer: str


def load_calculations(folder: Path = FORMULAS) -> list[Calculation]:
    """Return all questions in the order of files and lines. Raises DataError, which names file and block."""
    found = [_calculation(block, *asked) for block in read_blocks(folder, "block") for asked in block.asked]
    if not found:
        raise DataError(f"{folder} holds no questions; name a folder with .txt files")
    return found


def calculations_over(paragraphs: Sequence[Paragraph], folder: Path = PARAGRAPHS) -> list[Calculation]:
    """Return the questions about these paragraphs of `folder` that are to be computed: what is said of them, and what not,
    they have themselves. Raises DataError, which names file and block."""
    texts = {paragraph.text for paragraph in paragraphs}
    return [each for each in load_calculations(folder) if each.formula is not None and each.text in texts]


def apart(calculations: Sequence[Calculation]) -> tuple[list[Calculation], list[Calculation]]:
    """Return (trained on, held out): of each file the questions of every eighth text are held out."""
    texts: dict[str, dict[str, int]] = {}
    for each in calculations:
        own = texts.setdefault(each.topic, {})
        own.setdefault(each.text, len(own))
    held = [texts[each.topic][each.text] % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 for each in calculations]
    return (
        [each for each, out in zip(calculations, held, strict=True) if not out],
        [each for each, out in zip(calculations, held, strict=True) if out],
    )


def read_formula(answer: str, text: str) -> Formula:
    """Return the formula that stands behind `= `. Raises DataError where it is none, or an operand is not once in `text`."""
    operands = tuple(match[1] for match in _OPERAND.finditer(answer))
    numbers = iter(range(len(operands)))
    expression = _OPERAND.sub(lambda _: f"x{next(numbers)}", answer.removeprefix(FORMULA))
    percent = expression.endswith(" %")
    expression = re.sub(r"(?<=\d)%|(?<=\d),(?=\d{3})", "", expression.removesuffix(" %"))
    if not operands:
        raise DataError(f"{answer!r} has no operand in square brackets")
    for operand in operands:
        if len(occurrences(text, operand)) != 1:
            raise DataError(f"the operand {operand!r} does not stand in the text once")
    try:
        _computed(ast.parse(expression, mode="eval").body, {f"x{place}": Decimal(1) for place in range(len(operands))})
    except (SyntaxError, KeyError) as error:
        raise DataError(f"{answer!r} is no formula of sums, products and averages") from error
    except ArithmeticError:
        pass  # With all operands 1 a difference below the bar is zero.
    return Formula(expression, operands, percent)


def _calculation(block: Block, question: str, answer: str) -> Calculation:
    if not answer.startswith(FORMULA):
        return Calculation(block.topic, block.text, question, None, said(answer, block))
    try:
        return Calculation(block.topic, block.text, question, read_formula(answer, block.text), "")
    except DataError as error:
        raise DataError(f"{block.where}: {error}") from error


def _computed(node: ast.expr, known: Mapping[str, Decimal]) -> Decimal:
    """Return the value of an expression. Raises KeyError for what is none of ours, ArithmeticError for a division by zero."""
    match node:
        case ast.Name(id=name):
            return known[name]
        case ast.Constant(value=int() | float() as number):
            return Decimal(str(number))
        case ast.BinOp(left=left, op=step, right=right):
            return _STEPS[type(step)](_computed(left, known), _computed(right, known))
        case ast.Call(func=ast.Name(id="avg"), args=several, keywords=[]) if several:
            return sum((_computed(each, known) for each in several), Decimal(0)) / len(several)
    raise KeyError(type(node).__name__)


def _figure(operand: str) -> Figure | None:
    found = find_figures(operand)
    return found[0][0] if len(found) == 1 else None


def _plain(figure: Figure) -> Decimal:
    return figure.value.scaleb(figure.scale)
