"""The statements and note tables of the invented company, as rows of text: used by the PDF and by the workbook."""

from __future__ import annotations

from collections.abc import Callable

from sample_files.build.company import COMPANY, GOODWILL, OPTIONS, SHARES, YEARS, Year

__all__ = [
    "HEADER",
    "Table",
    "balance_sheet",
    "cash_flow",
    "equity_changes",
    "income_statement",
    "key_figures",
    "notes",
]

Table = list[list[str]]
HEADER = ["In thousands of euros", *(str(year) for year in reversed(YEARS))]


def _row(label: str, value: Callable[[Year], float], *, decimals: int = 0) -> list[str]:
    return COMPANY.row(label, [value(COMPANY.years[year]) for year in YEARS], decimals=decimals)


def income_statement() -> Table:
    """Return the income statement; expenses in brackets."""
    return [
        HEADER,
        _row("Revenue", lambda y: y.revenue),
        _row("Cost of sales", lambda y: -y.inputs.cost_of_sales),
        _row("Gross profit", lambda y: y.gross_profit),
        _row("Research and development expenses", lambda y: -y.inputs.research),
        _row("Selling and distribution expenses", lambda y: -y.inputs.selling),
        _row("Administrative expenses", lambda y: -y.inputs.administration),
        _row("Operating profit", lambda y: y.operating_profit),
        _row("Interest on loans", lambda y: -y.inputs.loan_interest),
        _row("Interest on lease liabilities", lambda y: -y.inputs.lease_interest),
        _row("Profit before tax", lambda y: y.profit_before_tax),
        _row("Income tax expense", lambda y: -y.tax),
        _row("Profit for the year", lambda y: y.profit),
        _row("Basic earnings per share (in euros)", lambda y: y.basic_eps, decimals=2),
        _row("Diluted earnings per share (in euros)", lambda y: y.diluted_eps, decimals=2),
    ]


def balance_sheet() -> Table:
    """Return the balance sheet at 31 December."""
    return [
        HEADER,
        _row("Property, plant and equipment", lambda y: y.ppe),
        _row("Right-of-use assets", lambda y: y.right_of_use),
        _row("Goodwill", lambda y: GOODWILL),
        _row("Other intangible assets", lambda y: y.intangibles),
        _row("Inventories", lambda y: y.inputs.inventories),
        _row("Trade receivables", lambda y: y.inputs.receivables),
        _row("Cash and cash equivalents", lambda y: y.cash),
        _row("Total assets", lambda y: y.total_assets),
        _row("Borrowings", lambda y: y.debt),
        _row("Lease liabilities", lambda y: y.lease_liabilities),
        _row("Trade and other payables", lambda y: y.inputs.payables),
        _row("Total liabilities", lambda y: y.total_liabilities),
        _row("Total equity", lambda y: y.equity),
        _row("Total equity and liabilities", lambda y: y.equity + y.total_liabilities),
    ]


def cash_flow() -> Table:
    """Return the cash flow statement; outflows in brackets."""
    return [
        HEADER,
        _row("Profit for the year", lambda y: y.profit),
        _row(
            "Depreciation and amortisation",
            lambda y: y.inputs.depreciation + y.inputs.lease_depreciation + y.inputs.amortisation,
        ),
        _row("Share-based payment expense", lambda y: y.inputs.share_based_pay),
        _row("Change in working capital", lambda y: y.working_capital_change),
        _row("Net cash from operating activities", lambda y: y.operating_cash),
        _row("Purchase of property, plant and equipment", lambda y: -y.inputs.capex),
        _row("Capitalised development costs", lambda y: -y.inputs.development),
        _row("Net cash used in investing activities", lambda y: y.investing_cash),
        _row("Proceeds from (repayment of) borrowings", lambda y: y.inputs.new_debt),
        _row("Repayment of lease liabilities", lambda y: y.inputs.lease_interest - y.inputs.lease_payments),
        _row("Dividends paid", lambda y: -y.inputs.dividends),
        _row("Net cash used in financing activities", lambda y: y.financing_cash),
        _row("Net increase in cash", lambda y: y.cash - y.opening.cash),
        _row("Cash at 1 January", lambda y: y.opening.cash),
        _row("Cash at 31 December", lambda y: y.cash),
    ]


def equity_changes() -> Table:
    """Return the statement of changes in equity."""
    return [
        HEADER,
        _row("Equity at 1 January", lambda y: y.opening.equity),
        _row("Profit for the year", lambda y: y.profit),
        _row("Share-based payment", lambda y: y.inputs.share_based_pay),
        _row("Dividends to shareholders", lambda y: -y.inputs.dividends),
        _row("Equity at 31 December", lambda y: y.equity),
    ]


def key_figures() -> Table:
    """Return what the front of the report sums up; percentages of revenue are named as such."""
    return [
        HEADER,
        _row("Revenue", lambda y: y.revenue),
        _row("EBITDA", lambda y: y.ebitda),
        _row("Operating profit", lambda y: y.operating_profit),
        _row("Operating margin (percent of revenue)", lambda y: 100 * y.operating_profit / y.revenue, decimals=1),
        _row("Profit for the year", lambda y: y.profit),
        _row("Net cash (cash less borrowings)", lambda y: y.cash - y.debt),
        _row("Employees at year end", lambda y: {340_400: 1_710, 388_100: 1_842, 412_600: 1_905}[y.revenue]),
    ]


def notes() -> dict[str, Table]:
    """Return the tables of the notes by name."""
    return {
        "segments": [
            HEADER,
            _row("Industrial Sensors", lambda y: y.inputs.industrial),
            _row("Medical Systems", lambda y: y.inputs.medical),
            _row("Services", lambda y: y.inputs.services),
            _row("Total revenue", lambda y: y.revenue),
        ],
        "equipment": [
            HEADER,
            _row("Carrying amount at 1 January", lambda y: y.opening.ppe),
            _row("Additions", lambda y: y.inputs.capex),
            _row("Depreciation", lambda y: -y.inputs.depreciation),
            _row("Carrying amount at 31 December", lambda y: y.ppe),
        ],
        "leases": [
            HEADER,
            _row("Lease liabilities at 1 January", lambda y: y.opening.lease_liabilities),
            _row("New leases", lambda y: y.inputs.lease_additions),
            _row("Interest", lambda y: y.inputs.lease_interest),
            _row("Payments", lambda y: -y.inputs.lease_payments),
            _row("Lease liabilities at 31 December", lambda y: y.lease_liabilities),
        ],
        "maturities": [
            ["In thousands of euros", "Rate", "Maturity", "Amount"],
            ["Bank term loan", "4.2%", "June 2027", "50,000"],
            ["Private placement notes", "3.6%", "March 2029", "30,000"],
            ["Revolving credit facility, drawn", "Euribor + 1.1%", "October 2026", "10,000"],
            ["Total borrowings", "", "", f"{COMPANY.years[2023].debt:,}"],
        ],
        "tax": [
            HEADER,
            _row("Profit before tax", lambda y: y.profit_before_tax),
            _row("Tax at the statutory rate of 25 percent", lambda y: y.tax),
            _row("Income tax expense", lambda y: y.tax),
        ],
        "shares": [
            ["In thousands of shares", *(str(year) for year in reversed(YEARS))],
            ["Ordinary shares outstanding", *[f"{SHARES:,}"] * 3],
            ["Dilutive share options", *[f"{OPTIONS:,}"] * 3],
            ["Shares for diluted earnings", *[f"{SHARES + OPTIONS:,}"] * 3],
        ],
        "commitments": [
            ["In thousands of euros", "2023", "2022"],
            ["Contracted purchases of machinery", "7,450", "9,120"],
            ["Contracted software licences", "1,280", "960"],
            ["Bank guarantees given", "3,300", "2,850"],
        ],
    }
