"""Questions to the sample files with their answers, pages and evidence; some have no answer in the documents."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sample_files.build import statements
from sample_files.build.tables import fund_rows

__all__ = ["QUESTIONS", "Question", "as_json"]

REPORT = "halden_annual_report_2023.pdf"


@dataclass(frozen=True)
class Question:
    """`answer` and `evidence` are None where the file does not hold the answer; `page` is 1-based."""

    file: str
    question: str
    answer: str | None
    page: int | None
    evidence: str | None


def _cell(rows: statements.Table, label: str, year: int) -> tuple[str, str]:
    row = next(row for row in rows if row[0] == label)
    return row[rows[0].index(str(year))], " | ".join(row)


def _figures() -> list[Question]:
    wanted = (
        ("What was revenue in {}?", statements.income_statement(), "Revenue", 12),
        ("What was the gross profit in {}?", statements.income_statement(), "Gross profit", 12),
        ("How high were administrative expenses in {}?", statements.income_statement(), "Administrative expenses", 12),
        ("What was the income tax expense in {}?", statements.income_statement(), "Income tax expense", 12),
        ("How large were inventories at the end of {}?", statements.balance_sheet(), "Inventories", 13),
        ("What were total assets at the end of {}?", statements.balance_sheet(), "Total assets", 13),
        ("How much were dividends paid in {}?", statements.cash_flow(), "Dividends paid", 14),
        ("What was net cash from operating activities in {}?", statements.cash_flow(), "Net cash from operating activities", 14),
    )  # fmt: skip
    result = []
    for question, rows, label, page in wanted:
        for year in (2023, 2021):
            answer, evidence = _cell(rows, label, year)
            result.append(Question(REPORT, question.format(year), answer, page, evidence))
    return result


_JUNE = next(row for row in fund_rows() if row[0] == "2023-06")
_WORDS = (
    (REPORT, "Who is the chief executive officer?", "Elke Vandermeer", 3, "Elke Vandermeer, chief executive officer."),
    (REPORT, "What dividend per share does the board propose for 2023?", "EUR 0.85", 3, "The board proposes a dividend of EUR 0.85 per share for 2023"),
    (REPORT, "At what share of capacity did the Ghent wafer line run in 2023?", "71 percent", 4, "It ran at 71 percent of capacity in 2023"),
    (REPORT, "When was the HX-4 pressure transmitter launched?", "April 2023", 5, "The HX-4 pressure transmitter, launched in April 2023"),
    (REPORT, "What did the field correction of monitors cost?", "EUR 1.9 million", 6, "A field correction of 1,140 monitors with a faulty battery connector cost EUR 1.9 million"),
    (REPORT, "How many sites were under service contract at year end?", "4,310", 7, "4,310 sites were under contract at year end."),
    (REPORT, "What revenue does the company expect for 2024?", "between EUR 425 million and EUR 440 million", 7, "We expect revenue between EUR 425 million and EUR 440 million in 2024"),
    (REPORT, "How much of the wafers does a single supplier deliver?", "62 percent", 8, "A single supplier in Dresden delivers 62 percent of our wafers."),
    (REPORT, "Which covenants does the group have to meet?", "Net debt must not exceed 3.0 times EBITDA", 9, "Net debt must not exceed 3.0 times EBITDA"),
    (REPORT, "Who chairs the audit committee?", "Johan Lindqvist", 10, "The audit committee is chaired by Johan Lindqvist."),
    (REPORT, "What base salary did the chief executive receive?", "EUR 540 thousand", 11, "The chief executive received a base salary of EUR 540 thousand"),
    (REPORT, "When does the bank term loan mature?", "June 2027", 19, "Bank term loan | 4.2% | June 2027 | 50,000"),
    (REPORT, "Which company did the group agree to buy after the reporting period?", "Kestrel Telemetry Ltd.", 20, "to buy 100 percent of Kestrel Telemetry Ltd."),
    (REPORT, "What discount rate does the goodwill impairment test use?", "9.8 percent", 17, "The impairment test uses a pre-tax discount rate of 9.8 percent"),
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
    ("halden_statements.xlsx", "What was revenue from Services in 2022?", "55,600", 4, "Services | 60,900 | 55,600 | 49,300"),
)  # fmt: skip

_UNANSWERED = (
    (REPORT, "How many patents does the company hold?"),
    (REPORT, "What was revenue in 2019?"),
    (REPORT, "Which bank is the agent of the revolving credit facility?"),
    (REPORT, "What is the share price at the end of 2023?"),
    (REPORT, "How much carbon dioxide did the group emit?"),
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
