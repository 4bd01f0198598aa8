from __future__ import annotations

from conftest import make_document, make_hit
from hypothesis import given
from hypothesis import strategies as st

from rag_core.answers.citing import cite, verify
from rag_core.records import Citation, Page, Table

REPORT = (
    "Halden Instruments makes pressure sensors. Revenue rose to EUR 412.6 million in 2023 from EUR 388.1 million in 2022. "
    "The dividend was not increased. The loan of EUR 50 million matures in June 2027. "
    "Management expects stable margins next year."
)


def supported(answer: str, question: str = "?", text: str = REPORT) -> list[tuple[str, ...]]:
    document = make_document(text)
    citations, sentences = cite(answer, question, [make_hit(document)])
    quotes = {citation.number: citation.quote for citation in citations}
    assert all(verify(citation) for citation in citations)
    return [tuple(quotes[number] for number in sentence.citations) for sentence in sentences]


def test_a_copied_sentence_is_tied_to_exactly_that_sentence() -> None:
    (quotes,) = supported("The loan of EUR 50 million matures in June 2027.")
    assert quotes == ("The loan of EUR 50 million matures in June 2027.",)


def test_a_reworded_sentence_is_still_tied_to_its_source() -> None:
    (quotes,) = supported("In 2023, revenue rose to 412.6 million.", "What was revenue in 2023?")
    assert len(quotes) == 1
    assert "412.6 million" in quotes[0]


def test_a_wrong_figure_is_unsupported() -> None:
    assert supported("Revenue rose to EUR 421.6 million in 2023.") == [()]
    assert supported("The loan of EUR 50 million matures in June 2028.") == [()]


def test_a_lost_negation_is_unsupported() -> None:
    assert supported("The dividend was increased.") == [()]
    assert supported("The dividend was not increased.") == [("The dividend was not increased.",)]


def test_a_figure_does_not_excuse_a_negation() -> None:
    assert supported("The loan of EUR 50 million does not mature in June 2027.") == [()]


def test_a_short_claim_is_not_pieced_together_from_neighbouring_sentences() -> None:
    assert supported("The dividend is EUR 50 million of sensors.") == [()]
    assert supported("The loan is a dividend of 412.6 million.") == [()]


def test_each_sentence_is_judged_alone() -> None:
    first, second = supported("Management expects stable margins next year. The moon is made of cheese.")
    assert first
    assert second == ()


def test_a_bare_figure_is_tied_to_the_sentence_the_question_is_about() -> None:
    (quotes,) = supported("EUR 50 million", "How large is the loan?")
    assert quotes == ("The loan of EUR 50 million matures in June 2027.",)


def test_a_table_row_may_take_its_year_from_the_header_but_not_its_figures() -> None:
    text = "Income statement\nIn thousands | 2023 | 2022\nRevenue | 412,600 | 388,100\nCosts | (300,000) | (290,500)\n"
    table = Table(text.index("In thousands"), len(text), text.index("In thousands"), text.index("\nRevenue"))
    document = make_document(text, tables=(table,))
    citations, sentences = cite("Revenue was 412,600 in 2023.", "revenue?", [make_hit(document)])
    assert [citation.quote for citation in citations] == ["Revenue | 412,600 | 388,100"]
    assert sentences[0].supported
    _, wrong = cite("Revenue was 412,900 in 2023.", "revenue?", [make_hit(document)])
    assert not wrong[0].supported
    loss, _ = cite("Costs were 300,000.", "costs?", [make_hit(document)])
    assert [citation.quote for citation in loss] == ["Costs | (300,000) | (290,500)"]


NOTES = (
    "In thousands | Note | 2023 | 2022 | 2021\nGross profit | | 172,770 | 150,010 | 136,260\n"
    "Term loan, due 30 September 2026 | 14 | 42,000 | 48,000 | 54,000\nTotal assets |  | 388,505 | (359,515) | 350,190\n"
)


def supported_by_row(answer: str) -> bool:
    table = Table(0, len(NOTES), 0, NOTES.index("\n"))
    _, (sentence,) = cite(answer, "?", [make_hit(make_document(NOTES, tables=(table,)))])
    return sentence.supported


def test_a_figure_belongs_to_the_year_above_it() -> None:
    assert supported_by_row("Gross profit was 172,770 in 2023.")
    assert supported_by_row("Gross profit in 2021 was 136,260.")
    assert supported_by_row("Total assets were 359,515 in 2022.")
    assert supported_by_row("Gross profit was 172,770.")
    assert supported_by_row("Gross profit rose from 150,010 in 2022 to 172,770 in 2023.")
    assert not supported_by_row("Gross profit in 2021 was 172,770.")
    assert not supported_by_row("Total assets were 388,505 in 2022.")


def test_a_year_above_a_column_dates_its_figures_alone() -> None:
    assert supported_by_row("The term loan is due in September 2026.")
    assert supported_by_row("The term loan due in 2026 was 42,000.")
    assert supported_by_row("The term loan due 2026 was 48,000 in 2022.")
    assert not supported_by_row("The term loan is due in 2023.")


def test_markers_that_a_model_writes_are_neither_needed_nor_trusted() -> None:
    (quotes,) = supported("The loan of EUR 50 million matures in June 2027 [7].")
    assert quotes == ("The loan of EUR 50 million matures in June 2027.",)


def test_the_same_source_keeps_one_number_and_the_page_is_that_of_the_span() -> None:
    text = "First page says nothing. \nThe loan of EUR 50 million matures in June 2027."
    cut = text.index("The loan")
    document = make_document(text, pages=(Page(1, 0, cut), Page(2, cut, len(text))))
    answer = "The loan matures in June 2027. The loan is EUR 50 million."
    citations, sentences = cite(answer, "loan?", [make_hit(document)])
    assert [citation.page for citation in citations] == [2]
    assert [sentence.citations for sentence in sentences] == [(1,), (1,)]


def test_a_quote_that_is_not_verbatim_fails_verification() -> None:
    document = make_document(REPORT)
    assert not verify(Citation(1, document, 1, 0, 6, "halden"))
    assert not verify(Citation(1, document, 2, 0, 6, "Halden"))
    assert not verify(Citation(1, document, 1, 0, 10_000, REPORT))
    assert verify(Citation(1, document, 1, 0, 6, "Halden"))


@given(st.text(max_size=300), st.text(max_size=200), st.text(max_size=40))
def test_every_citation_of_any_text_is_verbatim(text: str, answer: str, question: str) -> None:
    document = make_document(text)
    citations, sentences = cite(answer, question, [make_hit(document)] if text else [])
    assert all(verify(citation) for citation in citations)
    assert all(answer[sentence.start : sentence.end] == sentence.text for sentence in sentences)
    numbers = {citation.number for citation in citations}
    assert all(set(sentence.citations) <= numbers for sentence in sentences)
