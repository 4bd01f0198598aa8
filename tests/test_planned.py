"""Plans of calculations: the shape of a formula, the figures that a head chooses, and what they come to in code."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_core import Document, Hit, RagConfig, RagPipeline
from rag_core.answers.planning import Planner, figure_spans
from rag_core.answers.questions import analyse
from rag_core.answers.reader import Marked
from rag_core.answers.reading import Marks, computed
from rag_core.arithmetic.planned import compute_planned
from rag_core.arithmetic.plans import NOTHING, OTHER, ROLES, SAID, SHAPES, Plan, Shape
from rag_core.encoder.packed import multiplies_bytes
from rag_core.loading.opening import load_document
from rag_core.records import Window
from train.reader.formulas import apart, load_calculations, read_formula
from train.reader.planning import _redrawn, calculation_examples, planned

bytes_only = pytest.mark.skipif(not multiplies_bytes(), reason="this processor does not multiply bytes")
FIGURES = "Of 40, 30 and 20 there were 10 and 50% left."


@pytest.mark.parametrize(
    ("answer", "kind", "roles"),
    [
        ("= [40] - [30]", "difference", "+-"),
        ("= [40] - [30] - [20]", "difference", "+--"),
        ("= [40] - ([30] - [20])", "difference", "+-+"),
        ("= [40] + [30] + [20]", "sum", "+++"),
        ("= [40] / [30] %", "percentage of", "+/"),
        ("= [40] / ([30] + [20]) %", "percentage of", "+//"),
        ("= ([40] - [30]) / [30] %", "percentage change", "+-"),
        ("= ([40] - [30]) / [20] %", "percentage of", "+-/"),
        ("= [40] / [30]", "ratio", "+/"),
        ("= [40] * [50%]", "product", "++"),
        ("= 100 - [50%]", "complement", "+"),
        ("= avg([40], [30], [20])", "average", "+++"),
        ("= [40] / 12", None, ""),
        ("= [40] / ([30] - [20])", None, ""),
        ("= [40] - [30] - [20] - [10] - [50%]", None, ""),
        ("= [40] * ([30] + [20])", None, ""),
    ],
)
def test_a_formula_has_a_shape_and_its_operands_have_roles(answer: str, kind: str | None, roles: str) -> None:
    shape, found = planned(read_formula(answer, FIGURES))
    assert shape.kind == kind
    assert "".join("+-/"[role] for role, _ in sorted(found, key=lambda item: item[1])) == roles
    assert (shape == OTHER) == (not found)


def test_most_of_what_is_written_has_a_shape() -> None:
    shapes = [planned(each.formula)[0] for each in load_calculations() if each.formula is not None]
    assert sum(shape == OTHER for shape in shapes) < len(shapes) * 0.06
    assert {shape for shape in SHAPES if shape.kind} - set(shapes) <= {Shape("percentage of", 3, 0, 1)}


def test_texts_are_held_out_whole() -> None:
    trained, held = apart(load_calculations())
    assert not {each.text for each in trained} & {each.text for each in held}
    assert 0.08 < len(held) / (len(held) + len(trained)) < 0.16


def test_figures_are_drawn_anew_and_the_formula_with_them() -> None:
    asked = [each for each in load_calculations()[:300] if each.formula is not None]
    changed = 0
    for each in asked:
        other = _redrawn(each, random.Random(1))
        assert other.formula is not None
        assert each.formula is not None
        assert other.formula.expression == each.formula.expression
        assert re.sub(r"\d", "0", other.text) == re.sub(r"\d", "0", each.text)
        assert set(re.findall(r"\b20\d\d\b(?![.,]\d)", each.text)) <= set(re.findall(r"\b20\d\d\b", other.text))
        changed += other.text != each.text
    assert changed > len(asked) * 0.7


def test_questions_over_one_text_are_near_misses_of_none() -> None:
    first = load_calculations()[0]
    of_one = [each for each in load_calculations() if each.text == first.text]
    for seed in range(20):
        assert len(calculation_examples(of_one, random.Random(seed))) == len(of_one)


def test_examples_mark_the_first_digits_of_operands() -> None:
    for example in calculation_examples(load_calculations()[:200], random.Random(2)):
        text = "\n\n".join(example.passages)
        assert all(text[place].isdigit() for _, place in example.figures)
        assert example.shape is not None
        assert bool(example.figures) == any(SHAPES[example.shape].counts)


def heads(
    text: str, shape: Shape, roles: dict[str, str]
) -> tuple[Planner, np.ndarray[Any, Any], list[tuple[int, int]]]:
    """Return a planner, and states of a token a character, that choose the figures (by text) of each role."""
    states = np.zeros((len(text) + 1, 4), dtype=np.float32)
    states[0, 3] = 1.0
    for figure, role in roles.items():
        states[1 + text.index(figure), "+-/".index(role)] = 1.0
    shapes = np.zeros((len(SHAPES), 4), dtype=np.float32)
    shapes[SHAPES.index(shape), 3] = 10.0
    pointing = np.eye(4, dtype=np.float32)[:3] * 10.0
    planner = Planner(shapes, np.zeros(len(SHAPES), np.float32), pointing, np.zeros(3, np.float32))
    return planner, states, [(place, place + 1) for place in range(len(text))]


def test_the_head_chooses_a_shape_and_its_figures() -> None:
    shape = next(shape for shape in SHAPES if shape.kind == "sum" and shape.adds == 2)
    planner, states, offsets = heads(FIGURES, shape, {"40": "+", "20": "+"})
    plan = planner.plan(states, 1, FIGURES, figure_spans(FIGURES), offsets)
    assert plan.shape == shape
    assert sorted(FIGURES[start:end] for start, end in plan.figures[0]) == ["20", "40"]
    assert plan.figures[1:] == ((), ())
    assert plan.probability > 0.9
    assert plan.needed > 0.99
    assert plan.held > 9 - math.log(len(SHAPES))


@pytest.mark.parametrize(("shape", "held"), [(SAID, True), (OTHER, True), (NOTHING, False)])
def test_the_head_says_whether_the_text_holds_the_answer_at_all(shape: Shape, held: bool) -> None:
    planner, states, offsets = heads(FIGURES, shape, {})
    plan = planner.plan(states, 1, FIGURES, figure_spans(FIGURES), offsets)
    assert (plan.held > 5) == held
    assert (plan.held < -5) != held
    assert planner.plan(states, 1, "No figures.", [], offsets).held == plan.held


def test_no_figure_is_taken_twice_and_too_few_make_no_plan() -> None:
    shape = Shape("difference", 1, 1)
    planner, states, offsets = heads(FIGURES, shape, {"40": "+"})
    states[1 + FIGURES.index("40"), 1] = 1.0
    plan = planner.plan(states, 1, FIGURES, figure_spans(FIGURES), offsets)
    assert plan.figures[0] != plan.figures[1]
    assert plan.probability < 0.5
    assert planner.plan(states, 1, "No figures.", [], offsets).probability == 0
    # Of a window that holds one figure alone, no difference.
    end = FIGURES.index(",")
    assert planner.plan(states[: end + 1], 1, FIGURES, figure_spans(FIGURES), offsets[:end]).probability == 0


TABLE = """Halden Glass plc, year to 31 March (GBP million) | 2023 | 2022
Revenue | 418.2 | 397.5
Tax paid | (31.0) | (28.5)
Result of the year | 12.4 | (7.1)
Other income | (2.2) | 3.0
Rate of tax | 19.5% | 19.0%

Capital spending came to £22.6 million, of which £940 thousand went into the new furnace. The plan was $30 million.

A pane sold for £120 on average, a crate for £950; 4,000 panes were broken.
Of the Rs 9.8 lakh that went to Pune Rs 6.1 lakh came back."""


def plan_over(text: str, kind: str, *roles: str) -> Plan:
    """Return the plan over figures by their text, a string of them for each role, parted by semicolons."""
    figures = tuple(
        tuple((text.index(figure), text.index(figure) + len(figure)) for figure in role.split(";") if figure)
        for role in (*roles, *[""] * (len(ROLES) - len(roles)))
    )
    shape = next(shape for shape in SHAPES if shape.kind == kind and shape.counts == tuple(map(len, figures)))
    return Plan(shape, figures, 1.0, 1.0)


@pytest.fixture(scope="module")
def hit(tmp_path_factory: pytest.TempPathFactory) -> Hit:
    path = tmp_path_factory.mktemp("planned") / "report.txt"
    path.write_text(TABLE, encoding="utf-8")
    document: Document = load_document(path, RagConfig().limits)
    end = len(document.text)
    return Hit(document, 1, 0, end, document.text, 1.0, Window(0, end))


@pytest.mark.parametrize(
    ("kind", "roles", "text", "formula"),
    [
        ("difference", ("418.2", "397.5"), "GBP 20.7 million", "418.2 − 397.5 = GBP 20.7 million"),
        ("difference", ("31.0", "28.5"), "GBP 2.5 million", "31.0 − 28.5 = GBP 2.5 million"),
        ("difference", ("12.4", "(7.1)"), "GBP 19.5 million", "12.4 − (−7.1) = GBP 19.5 million"),
        ("difference", ("418.2", "(31.0)"), "GBP 387.2 million", "418.2 − 31.0 = GBP 387.2 million"),
        ("difference", ("19.5%", "19.0%"), "0.5 percentage points", "19.5 − 19.0 = 0.5 percentage points"),
        ("difference", ("£22.6 million", "£940 thousand"), "£21.660 million", "22.6 − 0.940 = £21.660 million"),
        ("percentage change", ("418.2", "397.5"), "5.21%", "(418.2 − 397.5) / 397.5 = 5.21%"),
        ("percentage of", ("31.0", "", "418.2"), "7.41%", "31.0 / 418.2 = 7.41%"),
        ("percentage of", ("£22.6 million", "", "418.2;397.5"), "2.77%", "22.6 / (418.2 + 397.5) = 2.77%"),
        ("ratio", ("418.2", "", "31.0"), "13.49", "418.2 / 31.0 = 13.49"),
        # Money over what is counted is a price of one; of a table in millions, too.
        ("ratio", ("£22.6 million", "", "4,000"), "£5,650", "22,600,000 / 4,000 = £5,650"),
        ("ratio", ("397.5", "", "4,000"), "GBP 99,375", "397,500,000 / 4,000 = GBP 99,375"),
        ("difference", ("Rs 9.8 lakh", "Rs 6.1 lakh"), "Rs 3.7 lakh", "9.8 − 6.1 = Rs 3.7 lakh"),
        ("sum", ("12.4;(2.2)",), "GBP 10.2 million", "12.4 + (−2.2) = GBP 10.2 million"),
        ("product", ("418.2;19.5%",), "GBP 81.55 million", "418.2 × 19.5% = GBP 81.55 million"),
        ("product", ("£120;4,000",), "£480,000", "120 × 4,000 = £480,000"),
        ("complement", ("19.5%",), "80.5%", "100 − 19.5 = 80.5%"),
        ("average", ("418.2;397.5",), "GBP 407.85 million", "(418.2 + 397.5) / 2 = GBP 407.85 million"),
        # Years, two currencies, a figure taken twice, a share of a rate and money times money do not go together.
        ("difference", ("2023", "2022"), None, None),
        ("difference", ("£22.6 million", "$30 million"), None, None),
        ("sum", ("418.2;418.2",), None, None),
        ("percentage of", ("19.5%", "", "418.2"), None, None),
        ("complement", ("418.2",), None, None),
        ("product", ("£120;£950",), None, None),
    ],
)
def test_a_plan_comes_to_a_figure_or_to_none(
    hit: Hit, kind: str, roles: tuple[str, ...], text: str | None, formula: str | None
) -> None:
    found = compute_planned("What is it?", plan_over(hit.text, kind, *roles), hit)
    if text is None:
        assert found is None
        return
    assert found is not None
    assert (found.text, found.formula) == (text, formula)
    assert found.operation == kind
    for operand in found.operands:
        assert hit.document.text[operand.start : operand.end].strip("()") in operand.text.strip("()") + ")"


def test_a_part_is_not_more_than_the_whole(hit: Hit) -> None:
    plan = plan_over(hit.text, "percentage of", "418.2", "", "31.0")
    assert compute_planned("What part of profit was revenue?", plan, hit) is None
    asked_as_a_percentage = compute_planned("What was revenue as a percentage of profit?", plan, hit)
    assert asked_as_a_percentage is not None
    assert asked_as_a_percentage.text == "1,349.03%"


CONTRACTS = """Forward contracts (DKK million) | Notional amount | Fair value
USD bought | 1,265 | 38
SEK sold | 420 | 9
Total | 2,220 | 40"""


def test_what_a_row_is_called_is_no_unit_of_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "contracts.txt"
    path.write_text(CONTRACTS, encoding="utf-8")
    document = load_document(path, RagConfig().limits)
    hit = Hit(document, 1, 0, len(document.text), document.text, 1.0, Window(0, len(document.text)))
    found = compute_planned(
        "What share is in USD?", plan_over(document.text, "percentage of", "1,265", "", "2,220"), hit
    )
    assert found is not None
    assert found.text == "56.98%"
    # In different columns two currencies stay two.
    assert compute_planned("What is it?", plan_over(document.text, "difference", "1,265", "9"), hit) is None


@pytest.mark.parametrize(
    ("probability", "needed", "read", "unread"),
    [
        (0.7, 0.9, True, True),
        (0.55, 0.75, True, True),
        (0.55, 0.9, False, True),
        (0.47, 0.9, False, True),
        (0.3, 0.9, False, False),
        (0.25, 0.35, True, True),
        (0.2, 0.35, False, True),
        (0.15, 0.35, False, False),
        (0.25, 0.29, False, False),
    ],
)
def test_a_plan_is_heard_where_it_is_sure(
    hit: Hit, probability: float, needed: float, read: bool, unread: bool
) -> None:
    plan = replace(plan_over(hit.text, "difference", "418.2", "397.5"), probability=probability, needed=needed)
    marks = Marks(analyse("How much more was it?"), (hit,), (hit.text,), (Marked([], plan),))
    assert (computed("How much more was it?", marks) is not None) == read
    assert (computed("How much more was it?", marks, unread=True) is not None) == unread


def test_the_surest_plan_is_heard(hit: Hit) -> None:
    first = replace(plan_over(hit.text, "difference", "418.2", "397.5"), probability=0.7)
    second = replace(plan_over(hit.text, "sum", "418.2;397.5"), probability=0.8)
    marks = Marks(
        analyse("What is it?"), (hit, hit, hit), ("", "", ""), (Marked([], first), Marked([], second), Marked([]))
    )
    found = computed("What is it?", marks)
    assert found is not None
    assert found.operation == "sum"
    assert computed("What is it?", Marks(marks.asked, (hit,), ("",), (Marked([]),))) is None


@pytest.mark.parametrize(
    "question",
    [
        "What was the rise from 397.5 to 418.2 driven by?",
        "What was revenue in 2023 and 2022 respectively?",
        "Who grew?",
    ],
)
def test_what_is_asked_for_in_words_or_one_by_one_is_never_computed(hit: Hit, question: str) -> None:
    plan = replace(plan_over(hit.text, "difference", "418.2", "397.5"), probability=0.9)
    assert computed(question, Marks(analyse(question), (hit,), (hit.text,), (Marked([], plan),))) is None


@bytes_only
def test_a_question_that_no_rule_reads_is_planned_computed_and_cited(tmp_path: Path) -> None:
    text = (
        "The bridge at Ferrin cost 312 crowns to build. The county lent 87 crowns of that, and the rest came from tolls. "
        "The mill next to it cost 540."
    )
    path = tmp_path / "bridge.txt"
    path.write_text(text, encoding="utf-8")
    with RagPipeline(RagConfig.from_env().with_setting("index.directory", None)) as rag:
        rag.add_document(path)
        answer = rag.ask("How much of the cost of the bridge was not lent by the county?")
        assert answer.text.startswith("225")
        assert answer.computation is not None
        assert answer.computation.formula.startswith("312 − 87 = 225")
        assert [citation.quote for citation in answer.citations] == [
            "The bridge at Ferrin cost 312 crowns to build.",
            "The county lent 87 crowns of that, and the rest came from tolls.",
        ]
        assert rag.ask("What did the weir cost to build?").abstained
