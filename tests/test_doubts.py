from __future__ import annotations

from conftest import make_document, make_hit

from rag_core.answers.doubts import Doubts, doubts_about
from rag_core.answers.latest import within_sentence
from rag_core.answers.questions import analyse
from rag_core.records import Table

BOARD = (
    "Deputy chair Rosa Pike led the committee that chose the auditor, and the board is chaired by Edmund Vale. "
    "The group has 6,240 employees. In May it acquired Kestrel Signs, a maker of shop fittings with 58 employees."
)
TABLE = "Inventories:\n | 2019 | 2018\nRaw materials | 222 | 191\n"


def doubts(question: str, words: str, text: str = BOARD) -> Doubts:
    start = text.index(words)
    table = text.find(" | ")
    head = text.find("\n", table) + 1
    tables = (Table(table, len(text), table, head),) if table > 0 else ()
    document = make_document(text, tables=tables)
    return doubts_about(analyse(question), make_hit(document), start, start + len(words))


def test_a_deputy_is_doubted_where_the_chair_is_asked_for() -> None:
    found = doubts("Who is the chair of the board?", "Rosa Pike")
    assert found.qualifier > 0
    assert found.qualified == "Deputy chair"
    assert doubts("Who is the chair of the board?", "Edmund Vale").total == 0
    assert doubts("Who is the deputy chair?", "Rosa Pike").total == 0


def test_an_acquired_company_is_doubted_where_the_group_is_asked_for() -> None:
    assert doubts("How many employees does the group have?", "58").qualifier > 0
    assert doubts("How many employees does the group have?", "6,240").total == 0
    assert doubts("How many employees did the company that was acquired have?", "58").total == 0


def test_a_cell_belongs_to_the_year_above_it() -> None:
    assert doubts("What were raw materials in 2018?", "222", TABLE).year > 0
    assert doubts("What were raw materials in 2018?", "191", TABLE).year == 0
    assert doubts("What were raw materials?", "222", TABLE).year == 0


def test_a_figure_belongs_to_the_year_of_its_part_of_the_sentence() -> None:
    text = "The funding level is now 103%; in 2018 it had been 96%. Sales were 64 (2017: 71)."
    question = "What was the funding level in 2018?"
    assert doubts(question, "96%", text).year < doubts(question, "103%", text).year
    assert doubts("What were sales in 2017?", "71", text).year == 0
    assert doubts("What were sales in 2018?", "71", text).year > 0


def test_a_figure_of_a_named_company_is_doubted_where_the_group_is_asked_for() -> None:
    text = "Annual report of Norvellan. Kestrel Loop had 58 employees in 2023. Norvellan Systems had 640 employees."
    question = "How many employees does the group have?"
    assert doubts(question, "58", text).qualifier > 0
    assert doubts(question, "640", text).total == 0
    assert doubts("How many employees did Kestrel Loop have?", "58", text).total == 0
    assert doubts("headcount", "58", text).qualifier > 0
    assert doubts("headcount", "640", text).qualifier == 0


def test_a_target_is_doubted_where_none_is_asked_for() -> None:
    table = "Measures:\n | 2022 | 2023 | Target 2026\nRevenue growth | 10.6% | 11.9% | 6% to 9% a year\n"
    assert doubts("revenue growth", "6% to 9% a year", table).year > doubts("revenue growth", "10.6%", table).year > 0
    assert doubts("revenue growth", "11.9%", table).year == 0
    assert doubts("What is the target for revenue growth?", "6% to 9% a year", table).year == 0
    assert doubts("What revenue growth is expected?", "6% to 9% a year", table).year == 0


def test_no_figure_is_a_segment() -> None:
    text = "Segment result | 16,420\nSegments are Sensors and Valves"
    assert doubts("What are the segments of the group?", "16,420", text).kind > 0
    assert doubts("What are the segments of the group?", "Sensors and Valves", text).kind == 0


def test_an_older_years_cell_is_doubted_where_no_period_is_asked_for() -> None:
    table = "Notes | 2023 | 2022\nTrucks | 71 | 68\n"
    assert doubts("How many trucks are there?", "71", table).year == 0
    assert doubts("How many trucks are there?", "68", table).year > 0
    assert doubts("How many trucks were there before?", "68", table).year == 0


def test_a_vice_chair_may_chair_the_committee_that_is_asked_about() -> None:
    text = "Name | Office\nAda Lund | Vice-Chair; chairs the Audit Committee\nIda Berg | Chairs the Pay Committee\n"
    assert doubts("Who chairs the Audit Committee?", "Ada Lund", text).total == 0
    assert doubts("Who chairs the Audit Committee?", "Ida Berg", text).role == "chair"
    assert doubts("Who audits the company?", "Ada Lund", text).role == "auditor"


def test_of_the_cells_of_a_row_the_first_figure_is_meant() -> None:
    text = "Measures:\n | 2022 | 2023 | Target\nRevenue growth | 10.6% | 11.9% | 6% to 9% a year\n"
    hit, asked = make_hit(make_document(text)), analyse("By what percentage did revenue grow?")
    start, label = text.index("11.9%"), text.index("Revenue growth")
    assert within_sentence(asked, hit, start, len(text) - 1) == start + len("11.9%")
    assert within_sentence(asked, hit, label, len(text) - 1) == len(text) - 1
