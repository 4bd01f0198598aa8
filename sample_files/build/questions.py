"""Questions to the sample files with their answers, pages and evidence; some have no answer in the documents."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sample_files.build.blocks import Row
from sample_files.build.ledger import read_ledger
from sample_files.build.spreadsheets import fund_rows
from sample_files.build.tables import read_tables

__all__ = ["QUESTIONS", "REPORT", "WORKBOOK", "Question", "as_json"]

REPORT = "norvellan_annual_report_2023.pdf"
WORKBOOK = "norvellan_statements.xlsx"


@dataclass(frozen=True)
class Question:
    """`answer` and `evidence` are None where the file does not hold the answer; `page` is 1-based."""

    file: str
    question: str
    answer: str | None
    page: int | None
    evidence: str | None


def _figures() -> list[Question]:
    """Return questions for a line of a statement in 2023 and 2021, the newest and the oldest year that it shows."""
    tables = read_tables(read_ledger())
    wanted = (
        ("What was revenue in {}?", "income_statement", "Revenue", 9),
        ("What was the gross profit in {}?", "income_statement", "Gross profit", 9),
        ("How high were administrative expenses in {}?", "income_statement", "Administrative expenses", 9),
        ("What was the income tax expense in {}?", "income_statement", "Income tax expense", 9),
        ("How large were inventories at the end of {}?", "balance_sheet", "Inventories", 10),
        ("What were total assets at the end of {}?", "balance_sheet", "Total assets", 10),
        ("How much were dividends paid in {}?", "cash_flow", "Dividends paid", 11),
        ("What was net cash from operating activities in {}?", "cash_flow", "Net cash from operating activities", 11),
    )
    result = []
    for question, name, label, page in wanted:
        table = tables[name]
        row = next(row for row in table.rows if row.cells[0] == label)
        for year in ("2023", "2021"):
            answer = row.cells[table.header.index(year)]
            result.append(Question(REPORT, question.format(year), answer, page, _line(row)))
    return result


def _line(row: Row) -> str:
    """Return a row as our reader prints it."""
    return " | ".join(row.cells)


_JUNE = next(row for row in fund_rows() if row[0] == "2023-06")
_WORDS = (
    (REPORT, "Who is the chief executive officer?", "Ilse Marchetti-Voss", 3, "Ilse Marchetti-Voss, Chief Executive Officer"),
    (REPORT, "Who chairs the audit committee?", "Matthias Oyelaran", 8, "Matthias Oyelaran | Vice-Chair; chairs the Audit Committee | 2019"),
    (REPORT, "What dividend per share does the Management Board propose for 2023?", "0.58 euros", 3, "The Management Board proposes a dividend of 0.58 euros per share for 2023"),
    (REPORT, "What did the recall of the PT-40 pressure transmitters cost?", "0.7 million euros", 3, "The recall cost 0.7 million euros"),
    (REPORT, "By how much is revenue expected to grow in 2024?", "6% to 8%", 3, "For 2024 we expect revenue to grow by 6% to 8% before acquisitions and exchange rates"),
    (REPORT, "How many sites send readings to the Tidemark platform?", "1,340", 3, "1,340 sites now send their readings to our Tidemark platform"),
    (REPORT, "In how many countries does the company have companies of its own?", "nine", 4, "sell through our own companies in nine countries"),
    (REPORT, "What was the ratio of orders to revenue in 2023?", "1.03", 5, "the ratio of orders to revenue was 1.03"),
    (REPORT, "At what share of capacity did the Enschede line run in 2023?", "88%", 6, "the Enschede line ran at 88% of capacity"),
    (REPORT, "What was the renewal rate of subscriptions?", "96%", 6, "The renewal rate of subscriptions was 96%."),
    (REPORT, "How much of the expected dollar inflows is hedged?", "60%", 7, "We hedge 60% of expected net dollar inflows"),
    (REPORT, "How large were scope 1 and 2 emissions in 2023?", "9,850 tonnes of CO2 equivalent", 7, "Scope 1 and 2 emissions were 9,850 tonnes of CO2 equivalent"),
    (REPORT, "What is the bonus of the management board capped at?", "150% of target", 8, "The bonus is capped at 150% of target."),
    (REPORT, "What salary did the chief executive receive?", "580 thousand euros", 8, "Ilse Marchetti-Voss | 580 | 445 | 410 | 87 | 1,522"),
    (REPORT, "Over how many years is development cost amortised?", "five years", 13, "is amortised over five years from launch"),
    (REPORT, "What was the average exchange rate of the US dollar in 2023?", "1.081", 13, "1.081 on average for 2023"),
    (REPORT, "What was the effective tax rate in 2023?", "22.4%", 16, "Effective tax rate | 22.4% | 22.0% | 22.8%"),
    (REPORT, "What discount rate does the goodwill impairment test use for Process Analysers?", "11.2%", 17, "pre-tax discount rates of 11.2% for Process Analysers"),
    (REPORT, "When does the term loan mature?", "30 September 2026", 19, "Term loan, variable rate, due 30 September 2026"),
    (REPORT, "How much net debt do the covenants allow?", "3.0 times EBITDA", 19, "net debt may not exceed 3.0 times EBITDA"),
    (REPORT, "Which company did the group agree to buy after the balance sheet date?", "Kestrel Loop GmbH", 20, "On 14 February 2024 the group agreed to buy all shares of Kestrel Loop GmbH"),
    ("options.md", "How much can the holder of an option lose at most?", "the premium", 1, "The holder of an option can lose no more than the premium."),
    ("options.md", "What does theta measure?", "the loss of value per day", 1, "Theta is the loss of value per day"),
    ("options.md", "When can a European option be exercised?", "on the last day only", 1, "One of European style can be exercised on the last\nday only."),
    ("haircut.txt", "What is a haircut?", "the part of a security's market value that a lender does not count as collateral", 1, "A haircut is the part of a security's market value that a lender does not count as collateral."),
    ("haircut.txt", "How much haircut does a share carry?", "15 to 30 percent", 1, "a share 15\nto 30 percent."),
    ("haircut.txt", "What initial margin corresponds to a haircut of 4 percent?", "104.17 percent", 1, "haircut of 4 percent corresponds to an initial margin of 104.17 percent."),
    ("net_asset_value.html", "What is the NAV per unit of the Alder Income Fund?", "EUR 120.00", 1, "With 1.6 million units in issue, the NAV per unit is EUR 120.00."),
    ("net_asset_value.html", "How large are the accrued fees?", "(460)", 1, "Accrued fees | (460)"),
    ("net_asset_value.html", "What is swing pricing for?", "so that those who leave pay for it", 1, "so that those who leave pay for it."),
    ("working_capital.md", "What is the cash conversion cycle?", "DIO plus DSO less DPO", 1, "The cash conversion cycle is DIO plus DSO less DPO."),
    ("working_capital.md", "Why is the working capital of supermarkets negative?", "they sell goods for cash before they pay for them", 1, "Supermarkets sell goods for cash before they pay for them"),
    ("credit_spread.txt", "What is a basis point?", "one hundredth of a percentage point", 1, "One basis point is one hundredth of a percentage point."),
    ("credit_spread.txt", "How is the expected loss of a year calculated?", "the probability of default times the loss given default", 1, "expected loss of a year is the probability of default times the loss given default."),
    ("ebitda.html", "What does EBITDA stand for?", "earnings before interest, taxes, depreciation and amortisation", 1, "EBITDA stands for earnings before interest, taxes, depreciation and amortisation."),
    ("duration.docx", "What is the Macaulay duration of a zero-coupon bond?", "equal to its maturity", 1, "A zero-coupon bond has a Macaulay duration equal to its maturity."),
    ("duration.docx", "Why can callable bonds have negative convexity?", "the issuer redeems them when yields have fallen", 1, "because the issuer redeems them when yields have fallen."),
    ("alder_fund_2023.csv", "What was the NAV per unit in 2023-06?", _JUNE[1], 1, "2023-06 | " + _JUNE[1]),
    (WORKBOOK, "How much cash was there at the end of 2022?", "39,145", 2, "Cash and cash equivalents | 61,795 | 39,145 | 55,680"),
    (WORKBOOK, "What was the segment margin of Service and Software in 2023?", "28.8%", 4, "Segment margin | 28.8% | 27.4% | 27.0%"),
)  # fmt: skip

_UNANSWERED = (
    (REPORT, "How many patents does the company hold?"),
    (REPORT, "What was revenue in 2019?"),
    (REPORT, "Which bank is the agent of the revolving credit facility?"),
    (REPORT, "What is the share price at the end of 2023?"),
    (REPORT, "Who is the chief operating officer?"),
    ("options.md", "Who invented the Black-Scholes formula?"),
    ("haircut.txt", "What is the repo rate of the European Central Bank?"),
    ("net_asset_value.html", "Who manages the Alder Income Fund?"),
    ("working_capital.md", "What is the interest on late payments?"),
    ("ebitda.html", "What is the dividend yield of the company?"),
    ("duration.docx", "What is the price of gold?"),
)


QUESTIONS: tuple[Question, ...] = (
    *(Question(*item) for item in _WORDS[:1]),
    *_figures(),
    *(Question(*item) for item in _WORDS[1:]),
    *(Question(file, question, None, None, None) for file, question in _UNANSWERED),
)


def as_json() -> list[dict[str, object]]:
    """Return the questions as plain values."""
    return [asdict(question) for question in QUESTIONS]
